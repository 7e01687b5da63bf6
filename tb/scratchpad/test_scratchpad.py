# SPDX-License-Identifier: Apache-2.0
import pytest

from tb.common.runner import BenchFailed, run

RTL = "rtl/mem/lathe_scratchpad.sv"


@pytest.mark.parametrize("lanes, banks", [(8, 8), (4, 4), (16, 16)])
def test_scratchpad(lanes, banks):
    run("lathe_scratchpad", "tb.scratchpad.bench", parameters={"Lanes": lanes, "Banks": banks})


@pytest.mark.parametrize("old, new", [
    ("writes_q && wr_row_q == rd_row_b", "1'b0"),  # a read just after the write gets the old word
    ("bank ^= BankW'(addr >> i)", "bank |= BankW'(addr >> i)"),  # addresses share words
])
def test_scratchpad_detects_a_planted_error(old, new):
    with pytest.raises(BenchFailed, match="test_random"):
        run("lathe_scratchpad", "tb.scratchpad.bench", mutate=(RTL, old, new))
