# SPDX-License-Identifier: Apache-2.0
import pytest

from tb.common.runner import BenchFailed, run

RTL = "rtl/mem/lathe_scratchpad.sv"
ARBITER = "rtl/mem/lathe_bank_arb.sv"
BANKS = "rtl/mem/lathe_banks.sv"
SCRUB = "rtl/mem/lathe_scrub.sv"


@pytest.mark.parametrize("lanes, banks", [(8, 8), (4, 4), (16, 16)])
def test_scratchpad(lanes, banks):
    run("lathe_scratchpad", "tb.scratchpad.bench", parameters={"Lanes": lanes, "Banks": banks})


@pytest.mark.parametrize("lanes, banks", [(8, 8), (4, 4), (16, 16)])
def test_lending(lanes, banks):
    run("lathe_scratchpad", "tb.scratchpad.lending", parameters={"Lanes": lanes, "Banks": banks})


@pytest.mark.parametrize("lanes, banks", [(8, 8), (4, 4), (16, 16)])
def test_faults(lanes, banks):
    run("lathe_scratchpad", "tb.scratchpad.faults", parameters={"Lanes": lanes, "Banks": banks})


@pytest.mark.parametrize("bench, file, old, new", [
    ("bench", ARBITER, "if (wr_req_i[v] && wr_bank_i[v] == wr_bank_i[w] && after", "if (1'b0 && after"),  # two writes in one bank
    ("faults", SCRUB, "written_q <= state_q != Read && (written_q || written_i)", "written_q <= 1'b0"),  # overwrites what was written
    ("lending", RTL, "rd_lent_q[p] == lend_q || (!rd_may_q[p] && owed_q == '0)", "1'b1"),  # answers change places
    ("lending", RTL, "if (!rd_may_q[p] && owed_q == '0)", "if (p == 0 && !rd_may_q[p] && owed_q == '0)"),  # lends one read port
    ("lending", RTL, "c == RdLent[1] ? 1 : 0", "0"),  # the word of the other lent port
    ("lending", RTL, "C == WrLent ? 2 : C - 2", "C == WrLent ? 0 : C - 1"),  # the int8 copy first
    ("bench", ARBITER, "wr_urgent_i[v] : older_q", "wr_urgent_i[v] : 1'b0"),  # always the same write first
    ("bench", ARBITER, "wr_urgent_i[w] != wr_urgent_i[v] ?", "1'b0 ?"),  # urgent writes wait like the others
    ("bench", ARBITER, "if (rd_bank_i[2] == wr_bank_i[w] && meets[w][1])", "if (1'b0)"),  # write and read on side A
    ("bench", ARBITER, "&& yield_q) : meets", ") : meets"),  # the write goes where the other read stays
    ("bench", RTL, "side_a == (s == 0)", "side_a != (s == 0)"),  # the write goes to the other side
    ("bench", BANKS, "word_o[p] <= read_word[p%2][from_q]", "word_o[p] <= read_word[0][from_q]"),  # the word of the other side
    ("bench", "rtl/mem/lathe_share_read.sv", "turn & {Clients{room}}", "{Clients{room}}"),  # all clients of a port at a time
    ("bench", "rtl/ctrl/lathe_pkg.sv", "bank ^= addr >> i", "bank |= addr >> i"),  # addresses share words
    ("bench", "rtl/mem/lathe_share_write.sv", "urgent_o = waited_q", "urgent_o = 1'b0"),  # writes of a shared port wait for long
    ("bench", "rtl/prim/lathe_turns.sv", "after != '0 ? after : ask_i", "ask_i"),  # always the first client's turn
    ("bench", RTL, "rd_grant & {RdPorts{live}}", "rd_grant"),  # reads before all words are zero
    ("bench", RTL, "ready[i] && live", "ready[i]"),  # takes writes that cannot be done before all words are zero
    ("faults", RTL, "{scrubber: p == 2 &&", "{scrubber: 1'b0 &&"),  # a unit found what the scrubber found
    ("faults", RTL, "uncorrectable: two_bits[p],", "uncorrectable: one_bit[p],"),
    ("faults", SCRUB, "if (granted_i && injects_q) inject_q <= 1'b0;", "if (injects_q) inject_q <= 1'b0;"),  # gives an injection up
    ("faults", SCRUB, "injects_q ? raw_i : data_i", "raw_i"),  # repairs nothing
])
def test_scratchpad_detects_a_planted_error(bench, file, old, new):
    with pytest.raises(BenchFailed, match="test_"):
        run("lathe_scratchpad", f"tb.scratchpad.{bench}", mutate=(file, old, new))
