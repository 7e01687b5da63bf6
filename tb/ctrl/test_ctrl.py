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
    ("bench", "test_versions", "lathe_issue.sv", "result ? next_i : exp_i", "exp_i"),
])
def test_ctrl_detects_a_planted_error(module, testcase, file, old, new):
    with pytest.raises(BenchFailed, match=f"failed: {testcase}"):
        ctrl(module, testcase=testcase, mutate=(f"rtl/ctrl/{file}", old, new))
