# SPDX-License-Identifier: Apache-2.0
"""The chip bench, for each number of lanes, and planted errors that it must catch."""

import pytest

from tb.common.runner import BenchFailed, run

CONFIGURATIONS = [(8, 8), (4, 2), (16, 2)]


def chip(lanes: int, banks: int, **options):
    return run("lathe", "tb.chip.bench", parameters={"Lanes": lanes, "Banks": banks},
               extra_env={"CHIP_LANES": lanes, "CHIP_BANKS": banks}, **options)


@pytest.mark.parametrize(("lanes", "banks"), CONFIGURATIONS)
def test_chip_equals_the_golden_model(lanes, banks):
    chip(lanes, banks)


def test_a_planted_error_is_caught():
    """The commit forgets to advance the version."""
    with pytest.raises(BenchFailed):
        chip(4, 2, testcase="RandomProgramsFreely", mutate=(
            "rtl/update/lathe_weights.sv", "(commit_q || back) version_q", "(back) version_q"))
