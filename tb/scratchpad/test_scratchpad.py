# SPDX-License-Identifier: Apache-2.0
import pytest

from tb.common.runner import BenchFailed, run

RTL = "rtl/mem/lathe_scratchpad.sv"
ARBITER = "rtl/mem/lathe_bank_arb.sv"


@pytest.mark.parametrize("lanes, banks", [(8, 8), (4, 4), (16, 16)])
def test_scratchpad(lanes, banks):
    run("lathe_scratchpad", "tb.scratchpad.bench", parameters={"Lanes": lanes, "Banks": banks})


@pytest.mark.parametrize("file, old, new", [
    (ARBITER, "second[w] && wr_req_i[1-w] &&", "second[w] && 1'b0 &&"),  # two writes in one bank
    (ARBITER, "wr_urgent_i[1] : turn_q", "wr_urgent_i[1] : 1'b0"),  # always the same write first
    (ARBITER, "wr_urgent_i[0] != wr_urgent_i[1] ?", "1'b0 ?"),  # urgent writes wait like the others
    (ARBITER, "if (rd_bank_i[2] == wr_bank_i[w] && meets[w][1])", "if (1'b0)"),  # write and read on side A
    (RTL, "wr_side_a[p] == (s == 0)", "wr_side_a[p] != (s == 0)"),  # the write goes to the other side
    (RTL, "word_q <= read_word[p%2][from_q]", "word_q <= read_word[0][from_q]"),  # the word of the other side
    (RTL, "rd_ready_o[p+2*i] = turn[i] && room", "rd_ready_o[p+2*i] = room"),  # all clients of a port at a time
    ("rtl/ctrl/lathe_pkg.sv", "bank ^= addr >> i", "bank |= addr >> i"),  # addresses share words
    (RTL, "wr_urgent[p] = waited_q", "wr_urgent[p] = 1'b0"),  # writes of the shared port wait for long
    ("rtl/prim/lathe_turns.sv", "after != '0 ? after : ask_i", "ask_i"),  # always the first client's turn
])
def test_scratchpad_detects_a_planted_error(file, old, new):
    with pytest.raises(BenchFailed, match="test_random"):
        run("lathe_scratchpad", "tb.scratchpad.bench", mutate=(file, old, new))


@pytest.mark.parametrize("lanes, banks", [(8, 8), (4, 4), (16, 16)])
def test_lending(lanes, banks):
    run("lathe_scratchpad", "tb.scratchpad.lending", parameters={"Lanes": lanes, "Banks": banks})
