# SPDX-License-Identifier: Apache-2.0
import pytest

from tb.common.runner import BenchFailed, run

FILE = "rtl/ctrl/lathe_desc_check.sv"


def desc_check(lanes: int, banks: int, **options):
    return run("lathe_desc_check", "tb.desc_check.bench", parameters={"Lanes": lanes, "Banks": banks},
               extra_env={"LANES": lanes, "BANKS": banks}, **options)


@pytest.mark.parametrize(("lanes", "banks"), [(4, 2), (8, 8), (16, 64)])
def test_desc_check(lanes, banks):
    desc_check(lanes, banks)


@pytest.mark.parametrize(("old", "new", "caught_by"), [
    (">= 34'(b_q[l].room)", "> 34'(b_q[l].room)", "test_ends"),
    ("half ? {1'b0, n1_q[15:1]}", "half ? {1'b0, n1_q[15:1]} + 16'd8", "test_ends"),
    ("(desc_i.chain && (desc_i.trans_a || desc_i.overlap == '0))", "(desc_i.chain && desc_i.overlap == '0)", "test_random"),
    ("if (pick_q[l].record) column |=", "if (1'b0) column |=", "test_ends"),
    ("desc_i.k > 16'd16384", "desc_i.k > 16'd16385", "test_fields"),
    ("desc_i.op == PolicyMeasure || ", "", "test_requests"),
    ("|| (request_i && space[i] == SpaceNext)", "", "test_requests"),
    ("uses.install = !request_i", "uses.install = 1'b1", "test_requests"),
    ("uses_q.step && b_q[0].product >= 33'(spare_words_q)", "uses_q.step && b_q[0].product > 33'(spare_words_q)", "test_steps"),
    ("last_word <= window_q[w].last", "last_word < window_q[w].last", "test_grants"),
    ("a_q[l].addr >= window_q[w].first", "a_q[l].addr > window_q[w].first", "test_grants"),
    ("(b_q[l].reaches && last_word >= group_first_i)", "1'b0", "test_grants"),
    ("|| (l == 0 && at_q[4] && update_q && uses_q.used[5]", "|| (1'b0 && uses_q.used[5]", "test_grants"),
    ("kept_q <= request_i ?", "kept_q <= 1'b0 ?", "test_grants"),
    ("{m1_q, 1'b1}", "{1'b0, m1_q[14:0], 1'b1}", "test_steps"),
    ("{1'b0, m1_q[15:1]})", "{1'b0, m1_q[15:1]} + 16'(m1_q[0]))", "test_steps"),
    ("b_q[1].product & {33{update_q}}", "b_q[1].product & 33'd0", "test_ends"),
])
def test_desc_check_detects_a_planted_error(old, new, caught_by):
    with pytest.raises(BenchFailed, match=caught_by):
        desc_check(4, 8, mutate=(FILE, old, new))
