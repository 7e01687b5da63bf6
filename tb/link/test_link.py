# SPDX-License-Identifier: Apache-2.0
import pytest

from tb.common.runner import BenchFailed, run

RECEIVE, EXECUTE, SEND = (f"rtl/link/lathe_link_{name}.sv" for name in ("receive", "execute", "send"))
BUS, DIRTY = "rtl/board/lathe_board_bus.sv", "rtl/board/lathe_board_dirty.sv"


def test_link():
    run("link_harness", "tb.link.bench")


@pytest.mark.regress
def test_link_fuzz():
    run("link_harness", "tb.link.bench", testcase="test_fuzz", seed=2, extra_env={"FUZZ_BYTES": 200_000})


@pytest.mark.parametrize("file, old, new, testcase", [
    (RECEIVE, "fcs_q == FcsGood", "1'b1", "test_disturbed"),
    (EXECUTE, "behind_q > 8'd128", "behind_q >= 8'd128", "test_lost_and_repeated"),
    (RECEIVE, "!escaped_q && !lost_q", "!lost_q", "test_disturbed"),
    (RECEIVE, "count_q <= 9'(MaxFrame) && fcs", "fcs", "test_disturbed"),
    (RECEIVE, ">= (AddrW + 1)'(BufferBytes - 1)", "> (AddrW + 1)'(BufferBytes + 8)", "test_overrun"),
    (EXECUTE, "write_ok_q && behind_q != '0", "1'b0", "test_lost_and_repeated"),
    (EXECUTE, "same_q && nonce_same_q", "same_q", "test_lost_and_repeated"),
    (EXECUTE, "if (!rst_ni || opens) errors_o", "if (!rst_ni) errors_o", "test_disturbed"),
    (EXECUTE, "bus_status_i != StatusDone || (write_ok_q", "(write_ok_q", "test_requests"),
    (SEND, "data_q == Flag || data_q == Escape);", "data_q == Flag);", "test_requests"),
    (BUS, "!(state_q == Reset && bus_wdata_i[1])", "1'b1", "test_board"),
    (BUS, "!rst_ni || (state_q == Register && resets && bus_wdata_i[1])", "!rst_ni", "test_board"),
    (DIRTY, "bit_read && there_q", "bit_read", "test_board"),
])
def test_link_detects_a_planted_error(file, old, new, testcase):
    with pytest.raises(BenchFailed, match=testcase):
        run("link_harness", "tb.link.bench", mutate=(file, old, new), testcase=testcase)
