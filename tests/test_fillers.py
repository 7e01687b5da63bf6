# SPDX-License-Identifier: Apache-2.0
"""Fillers: as many tables without nets as spread a design over its part, and none where it fills the part itself."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))
import fillers
import floorplan_picture


@pytest.mark.parametrize("carries, fill", [(249, 0), (250, 210), (354, 2), (355, 0), (450, 0)])
def test_used_and_filled_tables_are_a_share_of_the_part(carries, fill):
    module = {"cells": {f"sum{n}": {"type": "CCU2C"} for n in range(carries)}}
    assert (fillers.LEAST, fillers.SHARE) == (0.5, 0.71), "the figures above are for these shares"
    assert fillers.fill(module, 1000) == fill
    added = [cell for name, cell in module["cells"].items() if name.startswith(fillers.NAME)]
    assert len(added) == fill and len(module["cells"]) == carries + fill
    assert all(cell["type"] == "LUT4" and not any(cell["connections"].values()) for cell in added)


def test_the_floor_plan_shows_no_fillers():
    at = {"attributes": {"NEXTPNR_BEL": "X3/Y4/SLICEA.K0"}}
    assert floorplan_picture.tiles({f"{fillers.NAME}7": at}) == {}
    assert floorplan_picture.tiles({f"{fillers.NAME}7": at, "u_gemm.x": at}) == {(3, 4): "gemm"}
