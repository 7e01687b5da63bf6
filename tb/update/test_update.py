# SPDX-License-Identifier: Apache-2.0
import pytest

from tb.common.runner import BenchFailed, run

LANE, ALIGN, SETUP, SGD, UNIT = (f"rtl/update/lathe_update{name}.sv" for name in ("_lane", "_align", "_setup", "_sgd", ""))


@pytest.mark.parametrize("lanes", [4, 8, 16])
def test_update(lanes):
    run("lathe_update", "tb.update.bench", parameters={"Lanes": lanes})


@pytest.mark.parametrize("file, old, new, testcase", [
    (LANE, "{v[20], {15{!v[20]}}}", "{v[20], {14{!v[20]}}, 1'b1}", "test_corners"),  # saturates to -32767
    (LANE, "to_even && v[16]", "1'b0", "test_corners"),                             # ties round down
    (ALIGN, "over && !sign : sign", "over : sign", "test_corners"),                 # clamps what is too low at the top
    (ALIGN, "if (over_q) last_q <= '0;", "if (1'b0) last_q <= '0;", "test_corners"),  # bits of what was clamped
    (SETUP, "!(product ? reached[i+33]", "!(product ? reached[i+32]", "test_shifts"),  # a shift of 16 loses the lowest bit
    (SGD, "new_row_q <= 1'b1;", "new_row_q <= 1'b0;", "test_long"),                 # stays in the first row
    (SGD, "longest_q[r][34] || longest_q[r][33]", "longest_q[r][33]", "test_corners"),  # top of a sum that was clamped
    (UNIT, "start = ready && (&room)", "start = ready && room[0]", "test_rate"),     # m' is lost while it may not be written
    (UNIT, "start = ready && (&room)", "start = ready && room[1]", "test_rate"),     # w' is
])
def test_update_detects_a_planted_error(file, old, new, testcase):
    with pytest.raises(BenchFailed, match=testcase):
        run("lathe_update", "tb.update.bench", parameters={"Lanes": 4}, mutate=(file, old, new), testcase=testcase)
