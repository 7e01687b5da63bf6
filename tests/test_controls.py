# SPDX-License-Identifier: Apache-2.0
"""Registers invert their own reset and enable, multiplexers have their own tables, wide resets go through the global network."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))
import controls


def lut(table, inputs, output):
    return {"type": "LUT4", "parameters": {"INIT": f"{table:016b}"},
            "port_directions": {port: "output" if port == "Z" else "input" for port in "ABCDZ"},
            "connections": {port: [bit] for port, bit in zip("ABCDZ", [*inputs, output], strict=True)}}


def register(reset, enable="1"):
    return {"type": "TRELLIS_FF", "parameters": {"LSRMUX": "LSR", "CEMUX": "CE"},
            "port_directions": {"DI": "input", "LSR": "input", "CE": "input", "Q": "output"},
            "connections": {"DI": ["0"], "LSR": [reset], "CE": [enable], "Q": [99]}}


@pytest.mark.parametrize("table, inputs", [(0x00FF, ["0", "0", "0", 5]), (0x5555, [5, "0", "0", "0"]), (0x3333, ["1", 5, "1", "1"])])
def test_an_inverter_goes_into_the_register(table, inputs):
    cells = {"not": lut(table, inputs, 6), "ff": register(6), "gate": register("0", 6)}
    assert controls.absorb_inverters({"cells": cells, "ports": {}}) == 1
    assert "not" not in cells
    assert (cells["ff"]["connections"]["LSR"], cells["ff"]["parameters"]["LSRMUX"]) == ([5], "INV")
    assert (cells["gate"]["connections"]["CE"], cells["gate"]["parameters"]["CEMUX"]) == ([5], "INV")


@pytest.mark.parametrize("table, inputs", [(0xFF00, ["0", "0", "0", 5]), (0x0FFF, ["0", "0", 4, 5]), (0xFF0F, ["0", "0", "1", 5])])
def test_what_does_not_only_invert_stays(table, inputs):
    cells = {"lut": lut(table, inputs, 6), "ff": register(6)}
    assert controls.absorb_inverters({"cells": cells, "ports": {}}) == 0
    assert (cells["ff"]["connections"]["LSR"], cells["ff"]["parameters"]["LSRMUX"]) == ([6], "LSR")


def test_an_inverter_that_others_need_stays():
    cells = {"not": lut(0x00FF, ["0", "0", "0", 5], 6), "ff": register(6)}
    assert controls.absorb_inverters({"cells": cells, "ports": {"out": {"bits": [6]}}}) == 0
    assert "not" in cells and cells["ff"]["connections"]["LSR"] == [5]


def test_only_wide_resets_take_the_global_network():
    cells = {f"ff{n}": {"type": "TRELLIS_FF", "connections": {"LSR": [5 if n < controls.RESET_LOADS else 6]}} for n in range(450)}
    module = {"cells": cells, "netnames": {"reset": {"bits": [5, 6, 7]}}}
    assert controls.promote_resets(module) == 1
    assert {cell["connections"]["LSR"][0] for name, cell in cells.items() if name.startswith("ff")} == {6, 8}
    buffer = module["cells"]["global_reset8_buffer"]
    assert (buffer["type"], buffer["connections"]["CLKI"], buffer["connections"]["CLKO"]) == ("DCCA", [5], [8])


def test_a_multiplexer_gets_tables_for_itself():
    """nextpnr cannot route a table's output that leaves the slice beside the multiplexer's."""
    cells = {"shared": lut(0x8000, [2, 3, 4, 5], 6), "own": lut(0x1234, [2, 3, 4, 5], 7), "other": lut(0x00FF, ["0", "0", "0", 6], 9),
             "mux_ALUT": lut(0xFFFF, ["0", "0", "0", "0"], 11),
             "mux": {"type": "PFUMX", "port_directions": {"ALUT": "input", "BLUT": "input", "C0": "input", "Z": "output"},
                     "connections": {"ALUT": [6], "BLUT": [7], "C0": [2], "Z": [8]}}}
    module = {"cells": cells, "ports": {"out": {"bits": [8, 9]}},
              "netnames": {"all": {"bits": [2, 3, 4, 5, 6, 7, 8, 9]}, "one": {"bits": [11]}}}
    assert controls.split_muxed_tables(module) == 1
    assert controls.split_muxed_tables(module) == 0
    copy = cells["mux_ALUT_own12"]
    assert cells["mux_ALUT"] == lut(0xFFFF, ["0", "0", "0", "0"], 11)
    assert cells["mux"]["connections"] == {"ALUT": [12], "BLUT": [7], "C0": [2], "Z": [8]}
    assert copy["connections"] == {**cells["shared"]["connections"], "Z": [12]} and copy["parameters"] == cells["shared"]["parameters"]
    assert cells["other"]["connections"]["D"] == [6]
