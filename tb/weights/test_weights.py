# SPDX-License-Identifier: Apache-2.0
import pytest

from tb.common.runner import BenchFailed, run


def weights(slots: int = 4, **options):
    return run("lathe_weights", "tb.weights.bench", parameters={"Slots": slots}, extra_env={"SLOTS": slots}, **options)


@pytest.mark.parametrize("slots", [4, 3, 2])
def test_weights(slots):
    weights(slots)


def test_moves_of_the_host():
    """In lathe_ctrl, from the register on."""
    run("lathe_ctrl", "tb.weights.host", parameters={"Lanes": 8, "Banks": 8}, extra_env={"LANES": 8, "BANKS": 8}, public_depth=2)


@pytest.mark.parametrize(("testcase", "old", "new"), [
    ("test_corners", "(init_i || commit);", "(init_i || move);"),
    ("test_requests", "if (request_busy_i) free[held_q] = 1'b0;", ""),
    ("test_requests", "request_start_i || started_q)", "request_start_i)"),
    ("test_requests", "waiting_q <= rst_ni && go", "waiting_q <= go"),
    ("test_requests", "commit_q && !spoilt;", "commit_q;"),
    ("test_faults", "fault_addr_i} >= first_q[s]", "fault_addr_i} > first_q[s]"),
    ("test_base_and_adaptations", "if (!pin_left_q && !pinned_q[slot_q])", "if (!pin_left_q)"),
    ("test_random", "? slot_q : parent_q[s]) == successor", "? slot_q : parent_q[s]) == slot_q"),
    ("test_random", "32'(move_slot_i) >= Slots || !valid_q[target] ||", ""),
])
def test_weights_detects_a_planted_error(testcase, old, new):
    with pytest.raises(BenchFailed, match=testcase):
        weights(testcase=testcase, mutate=("rtl/update/lathe_weights.sv", old, new))
