# SPDX-License-Identifier: Apache-2.0
"""The chip bench, for each number of lanes, and planted errors that it must catch."""

import pytest

from tb.common.runner import BenchFailed, run

CONFIGURATIONS = [(8, 8), (4, 2), pytest.param(16, 2, marks=pytest.mark.regress)]


def chip(lanes: int, banks: int, module: str = "bench", planted: str = "", build: dict | None = None, **options):
    return run("lathe", f"tb.chip.{module}", parameters={"Lanes": lanes, "Banks": banks} | (build or {}),
               extra_env={"CHIP_LANES": lanes, "CHIP_BANKS": banks, "CHIP_PLANTED": planted}, **options)


@pytest.mark.parametrize(("lanes", "banks"), CONFIGURATIONS)
def test_chip_equals_the_golden_model(lanes, banks):
    chip(lanes, banks)


@pytest.mark.regress
def test_a_narrow_update_unit_gives_the_same_bits():
    chip(8, 8, build={"UpdateLanes": 2})


@pytest.mark.parametrize(("lanes", "banks"), [(8, 8), *(pytest.param(*other, marks=pytest.mark.regress) for other in [(4, 4), (16, 2)])])
def test_requests_beside_programs(lanes, banks):
    chip(lanes, banks, module="requests")


@pytest.mark.parametrize(("module", "testcase", "error"), [("bench", "RandomProgramsFreely", "version"),
                                                           ("requests", "BesideFreely", "random bits")])
def test_a_planted_error_of_the_model_is_caught(module, testcase, error):
    """What differs is compared, whichever side is wrong; no chip needs to be compiled for it."""
    with pytest.raises(BenchFailed):
        chip(8, 8, module=module, testcase=testcase, planted=error)


@pytest.mark.regress
def test_a_planted_error_in_pieces_is_caught():
    """The rows of a piece are counted from its own: other random bits."""
    with pytest.raises(BenchFailed):
        chip(8, 8, module="requests", testcase="BesideFreely", mutate=(
            "rtl/ctrl/lathe_issue.sv", "cmd_o.first_row = piece_row;", "cmd_o.first_row = '0;"))


@pytest.mark.regress
def test_a_planted_error_is_caught():
    """COMMIT gives the number of the version before."""
    with pytest.raises(BenchFailed):
        chip(4, 2, testcase="RandomProgramsFreely", mutate=(
            "rtl/update/lathe_weights.sv", "version_q <= commit ? fresh_q :", "version_q <= commit ? version_q :"))
