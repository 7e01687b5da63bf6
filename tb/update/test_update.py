# SPDX-License-Identifier: Apache-2.0
import pytest

from tb.common.runner import BenchFailed, run

LANE, ALIGN, SETUP, STEP, ADAM, LOG, SCALE, INT8, PREPARE, WALK, READ, WRITE, UNIT = (
    f"rtl/update/lathe_update{name}.sv" for name in ("_lane", "_align", "_setup", "_step", "_adam", "_log", "_scale", "_int8",
                                                     "_prepare", "_walk", "_read", "_write", ""))


@pytest.mark.parametrize("lanes", [8, 16, pytest.param(4, marks=pytest.mark.regress)])
def test_update(lanes):
    run("lathe_update", "tb.update.bench", parameters={"Lanes": lanes})


@pytest.mark.parametrize(("lanes", "step"), [(8, 2), *(pytest.param(*other, marks=pytest.mark.regress)
                                                       for other in [(4, 2), (8, 4), (16, 2), (16, 4), (16, 8)])])
def test_update_in_parts_of_a_word(lanes, step):
    run("lathe_update", "tb.update.bench", parameters={"Lanes": lanes, "StepLanes": step})


@pytest.mark.parametrize("file, old, new, testcase", [
    (LANE, "{v[20], {15{!v[20]}}}", "{v[20], {14{!v[20]}}, 1'b1}", "test_corners"),  # saturates to -32767
    (LANE, "to_even && v[16]", "1'b0", "test_corners"),                             # ties round down
    (ALIGN, "over && !sign : sign", "over : sign", "test_corners"),                 # clamps what is too low at the top
    (ALIGN, "if (over_q) last_q <= '0;", "if (1'b0) last_q <= '0;", "test_corners"),  # bits of what was clamped
    (SETUP, "!(product ? reached[i+33]", "!(product ? reached[i+32]", "test_shifts"),  # a shift of 16 loses the lowest bit
    (STEP, "row_q[lower_i] == row;", "1'b1;", "test_long"),                         # stays in the first row
    (STEP, "row_key_q[place_q[r].lower][r]", "row_key_q[0][r]", "test_long"),       # the lower row of two with the upper one's keys
    (STEP, "longest_q[r][34] || longest_q[r][33]", "longest_q[r][33]", "test_corners"),  # top of a sum that was clamped
    (STEP, "m_valid[SumStage[0]] && !kind_i.sgd", "m_valid[SumStage[0]]", "test_random"),  # sgd reports a momentum
    (STEP, "kind_i.nesterov && odd_q);", "1'b0);", "test_every_form"),              # u is rounded stochastically
    (LANE, "{34{vw_q[35]}}", "~vw_q[33:0]", "test_corners"),                        # adam's step is not clamped
    (LOG, "none11_q || ", "", "test_corners"),                                      # no second moment is a small one
    (LOG, "+ 14'(normal[0])", "", "test_adam"),                                     # log2_q rounds down
    (LOG, "!zero5_q", "1'b1", "test_corners"),                                      # a gradient of 0 has a logarithm
    (LOG, "!rounded[LogW-9] && rounded[LogW-10:15] != '0", "1'b0", "test_corners"),  # l' wraps
    (SCALE, "over_q ? {34{sign_q}} : ~fine_q", "~fine_q", "test_corners"),          # a large step is not clamped
    (INT8, "sticky2_q || whole_q[0]", "1'b1", "test_every_form"),                   # ties round up
    (PREPARE, "{sum, product_q[16:1]}", "{sum, product_q[16:2], 1'b0}", "test_random"),  # a wrong factor
    (SETUP, "6'd47 + 6'(halved)", "6'd47", "test_shifts"),                          # half the gradient
    (WALK, "rows_q == DimW'(3)", "1'b0", "test_every_form"),                        # an odd last row is half a pair
    (READ, "has_q[2][2] ? words[2]", "1'b1 ? words[2]", "test_random"),  # the even words of m for the odd ones
    (READ, "|| there_q[CountW-1:1] != '0", "", "test_rate"),                        # waits for what is there
    (WRITE, "assign room_o = &some_q;", "assign room_o = |some_q;", "test_rate"),   # results are lost while one may not be written
    (UNIT, "cmd_i.op == UpdateCommit && poisoned_i", "1'b0", "test_pointers"),      # commits what is wrong
])
def test_update_detects_a_planted_error(file, old, new, testcase):
    with pytest.raises(BenchFailed, match=testcase):
        run("lathe_update", "tb.update.bench", parameters={"Lanes": 4}, mutate=(file, old, new), testcase=testcase)
