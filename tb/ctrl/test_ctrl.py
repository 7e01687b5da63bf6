# SPDX-License-Identifier: Apache-2.0
import pytest

from tb.common.runner import BenchFailed, run


def ctrl(module: str, **options):
    return run("lathe_ctrl", f"tb.ctrl.{module}", parameters={"Lanes": 8, "Banks": 8}, extra_env={"LANES": 8, "BANKS": 8},
               public_depth=2, **options)


@pytest.mark.parametrize("module", ["bench", "errors", "requests"])
def test_ctrl(module):
    ctrl(module)


@pytest.mark.parametrize(("module", "testcase", "file", "old", "new"), [
    ("errors", "test_deadlock_of_a_full_queue", "lathe_program.sv", "(!seq_running_i || seq_stuck_i)", "!seq_running_i"),
    ("bench", "test_versions", "lathe_exponents.sv", "result_exp_o <= own.next", "result_exp_o <= source_exp_o"),
    ("bench", "test_programs", "lathe_issue.sv", "(found_q == 3'd0) ? SumW'", "1'b0 ? SumW'"),
    ("bench", "test_programs", "lathe_issue.sv", "== UpdateNesterov)", "== UpdateMomentum)"),
    ("bench", "test_programs", "lathe_issue.sv", "&& !result_static_i && least_q", "&& least_q"),
    ("bench", "test_programs", "lathe_issue.sv", "exp_q[plan_q.moments ? 3'd4 : 3'd1]", "exp_q[3'd4]"),
    ("bench", "test_programs", "lathe_retire.sv", "result[2] <= '{write: merged[0].track", "result[2] <= '{write: merged[1].track"),
    ("bench", "test_commands_in_flight", "lathe_issue.sv", "grow_o = '{write: plan_q.moments,", "grow_o = '{write: 1'b0,"),
    ("bench", "test_commands_in_flight", "lathe_inflight.sv", "ref_i[i].write && valid[u][s] && clash", "1'b0 && clash"),
    ("bench", "test_commands_in_flight", "lathe_issue.sv", "(last_source_q && plan_q.writes[0] && !dropped)",
     "(last_source_q && plan_q.writes[0])"),
    ("bench", "test_counters", "lathe_perf.sv", "(low_q < old_q[LowW-1:0])", "(low_q <= old_q[LowW-1:0])"),
    ("bench", "test_counters", "lathe_perf.sv", "valid_q[3] && carry_q", "1'b0"),
    ("bench", "test_reset", "lathe_perf.sv", "if (!rst_ni || clear_i) known_q", "if (clear_i) known_q"),
    ("bench", "test_counters", "lathe_unit_state.sv", "(u == 0) ? mac_step_i", "(u == 1) ? mac_step_i"),
    ("requests", "test_priority", "lathe_retire.sv", "pieces_q[next_q[0]][r].top > merged[r].top", "1'b0"),
    ("requests", "test_round_robin", "lathe_arbiter.sv", "policy_i == ArbRoundRobin && turn_q", "1'b0"),
    ("requests", "test_command", "lathe_sequencer.sv", "resume_q <= stuck ? pc_q : pc_q", "resume_q <= pc_q"),
    ("requests", "test_time_slice", "lathe_arbiter.sv", "ArbTimeSlice && !owner_q", "ArbTimeSlice && 1'b0"),
    ("requests", "test_errors_alone", "lathe_sequencer.sv", "step_q <= {1'b1, {LastStep - 1{1'b0}}}", "step_q[LastStep] <= 1'b1"),
    ("requests", "test_errors", "lathe_queue.sv", "(u == RequestQueue ? flush_request_i : flush_i)", "flush_i"),
])
def test_ctrl_detects_a_planted_error(module, testcase, file, old, new):
    with pytest.raises(BenchFailed, match=f"failed: {testcase}"):
        ctrl(module, testcase=testcase, mutate=(f"rtl/ctrl/{file}", old, new))
