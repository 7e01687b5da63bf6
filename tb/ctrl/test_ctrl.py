# SPDX-License-Identifier: Apache-2.0
import pytest

from tb.common.runner import BenchFailed, run


def ctrl(module: str, **options):
    return run("lathe_ctrl", f"tb.ctrl.{module}", parameters={"Lanes": 8, "Banks": 8}, extra_env={"LANES": 8, "BANKS": 8}, **options)


@pytest.mark.parametrize("module", ["bench", "errors"])
def test_ctrl(module):
    ctrl(module)


@pytest.mark.parametrize(("module", "testcase", "file", "old", "new"), [
    ("errors", "test_deadlock_of_a_full_queue", "lathe_program.sv", "(!seq_running_i || seq_stuck_i)", "!seq_running_i"),
    ("bench", "test_versions", "lathe_exponents.sv", "result_i ? own.next : exp_mem[exp_index]", "exp_mem[exp_index]"),
    ("bench", "test_commands_in_flight", "lathe_inflight.sv", "conflict != '0 || clash", "clash"),
    ("bench", "test_commands_in_flight", "lathe_issue.sv", "3'd0:    index_d = 3'd1;", "3'd0:    index_d = 3'd2;"),
    ("bench", "test_counters", "lathe_perf.sv", "+ 32'(hit_q[1])", ""),
    ("bench", "test_reset", "lathe_perf.sv", "!rst_ni || clear_i || (unit_q", "clear_i || (unit_q"),
    ("bench", "test_counters", "lathe_unit_state.sv", "(u == 0) ? mac_step_i", "(u == 1) ? mac_step_i"),
])
def test_ctrl_detects_a_planted_error(module, testcase, file, old, new):
    with pytest.raises(BenchFailed, match=f"failed: {testcase}"):
        ctrl(module, testcase=testcase, mutate=(f"rtl/ctrl/{file}", old, new))
