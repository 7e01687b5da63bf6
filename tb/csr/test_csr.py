# SPDX-License-Identifier: Apache-2.0
import pytest

from tb.common.runner import BenchFailed, run


def csr(lanes: int, banks: int, **options):
    return run("lathe_csr", "tb.csr.bench", parameters={"Lanes": lanes, "Banks": banks},
               extra_env={"LANES": lanes, "BANKS": banks}, **options)


def test_csr():
    csr(8, 16)


def test_csr_detects_a_planted_error():
    with pytest.raises(BenchFailed, match="test_hardware_values"):
        csr(8, 16, testcase="test_hardware_values", mutate=(
            "rtl/ctrl/lathe_csr.sv", "in.STAT_MAX_X.value.next = 32'(stats_i.max_x)", "in.STAT_MAX_X.value.next = {15'd0, stats_i.max_x}"))
