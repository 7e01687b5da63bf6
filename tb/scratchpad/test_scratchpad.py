# SPDX-License-Identifier: Apache-2.0
import pytest

from tb.common.runner import BenchFailed, run

RTL = "rtl/mem/lathe_scratchpad.sv"
ARBITER = "rtl/mem/lathe_bank_arb.sv"


@pytest.mark.parametrize("lanes, banks", [(8, 8), (4, 4), (16, 16)])
def test_scratchpad(lanes, banks):
    run("lathe_scratchpad", "tb.scratchpad.bench", parameters={"Lanes": lanes, "Banks": banks})


@pytest.mark.parametrize("file, old, new", [
    (ARBITER, "if (req_i[i]) ready_o[j] = 1'b0;", "if (req_i[j]) ready_o[i] = 1'b0;"),  # the wrong port first
    (ARBITER, "later_q[i][j] <= granted[i]", "later_q[i][j] <= 1'b0"),  # always the same port first
    (RTL, "rd_ready_o[c] = rd_turn[c] && rd_free[p]", "rd_ready_o[c] = rd_free[p]"),  # all clients of a port at a time
    (RTL, "bank ^= BankW'(addr >> i)", "bank |= BankW'(addr >> i)"),  # addresses share words
])
def test_scratchpad_detects_a_planted_error(file, old, new):
    with pytest.raises(BenchFailed, match="test_random"):
        run("lathe_scratchpad", "tb.scratchpad.bench", mutate=(file, old, new))
