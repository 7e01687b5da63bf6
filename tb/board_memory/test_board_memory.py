# SPDX-License-Identifier: Apache-2.0
import pytest

from tb.common.runner import BenchFailed, run

MEMORY, DIRTY = "rtl/board/lathe_board_memory.sv", "rtl/board/lathe_board_dirty.sv"


@pytest.mark.parametrize("lanes, size", [(8, 4096), (4, 8448), pytest.param(16, 1024, marks=pytest.mark.regress)])
def test_board_memory(lanes, size):
    run("lathe_board_memory", "tb.board_memory.bench", parameters={"Lanes": lanes, "Bytes": size})


@pytest.mark.parametrize("file, old, new, testcase", [
    (MEMORY, "bus_write = bus_write_q && !word_taken", "bus_write = bus_write_q", "test_both_ports"),
    (MEMORY, "{Slices{rst_ni && !woutside}}", "{Slices{rst_ni}}", "test_bursts"),
    (MEMORY, "bus_read_q && !reading_q && gives", "bus_read_q && gives", "test_both_ports"),
    (MEMORY, "wfailed_q || woutside", "wfailed_q", "test_bursts"),
    (MEMORY, "mark_q <= rst_ni && word_taken && !woutside", "mark_q <= bus_write", "test_both_ports"),
    (DIRTY, "clears && mark_i", "1'b0", "test_dirty"),
    (DIRTY, "write_i && shift_q[0]", "write_i", "test_dirty"),
])
def test_board_memory_detects_a_planted_error(file, old, new, testcase):
    with pytest.raises(BenchFailed, match=testcase):
        run("lathe_board_memory", "tb.board_memory.bench", parameters={"Lanes": 4, "Bytes": 8448}, mutate=(file, old, new),
            testcase=testcase)
