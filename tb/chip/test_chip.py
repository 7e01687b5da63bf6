# SPDX-License-Identifier: Apache-2.0
"""The chip bench, for each number of lanes, and planted errors that it must catch."""

import pytest

from tb.common.runner import BenchFailed, run

CONFIGURATIONS = [(8, 8), (4, 2), (16, 2)]


def chip(lanes: int, banks: int, module: str = "bench", **options):
    return run("lathe", f"tb.chip.{module}", parameters={"Lanes": lanes, "Banks": banks},
               extra_env={"CHIP_LANES": lanes, "CHIP_BANKS": banks}, **options)


@pytest.mark.parametrize(("lanes", "banks"), CONFIGURATIONS)
def test_chip_equals_the_golden_model(lanes, banks):
    chip(lanes, banks)


@pytest.mark.parametrize(("lanes", "banks"), [(8, 8), *(pytest.param(*other, marks=pytest.mark.regress) for other in [(4, 4), (16, 2)])])
def test_requests_beside_programs(lanes, banks):
    chip(lanes, banks, module="requests")


def test_a_planted_error_in_pieces_is_caught():
    """A source whose exponent register is also the result's: later pieces would find the result's new exponent."""
    with pytest.raises(BenchFailed):
        chip(8, 8, module="requests", testcase="BesideFreely", mutate=(
            "rtl/ctrl/lathe_issue.sv", "exp_q[found_q] <= again ? piece_exp_q :", "exp_q[found_q] <= 1'b0 ? piece_exp_q :"))


def test_a_planted_error_is_caught():
    """A rollback gives a number away."""
    with pytest.raises(BenchFailed):
        chip(4, 2, testcase="RandomProgramsFreely", mutate=(
            "rtl/update/lathe_weights.sv", "(init_i || commit);", "(init_i || commit || rollback);"))
