# SPDX-License-Identifier: Apache-2.0
import pytest

from tb.common.runner import BenchFailed, run


@pytest.mark.parametrize("lanes", [4, 8, 16])
def test_transpose(lanes):
    run("lathe_transpose", "tb.transpose.bench", parameters={"Lanes": lanes})


@pytest.mark.parametrize("test, old, new", [
    ("test_groups", "used_q <= group_t'(1) ? opened", "used_q == '0 ? opened"),
    ("test_groups", "lane_t'(line_valid_i) == last_q[in_q]", "lane_t'(line_valid_i) == last_q[open_q]"),
    ("test_groups", "index > ask", "index >= ask"),
    ("test_groups", "opened_turned == open_lines_i", "opened_turned != open_lines_i"),
    ("test_reset", "full_q <= '0;", ""),
], ids=["form of another group", "length of another group", "room too early", "turned", "reset"])
def test_transpose_detects_a_planted_error(test, old, new):
    with pytest.raises(BenchFailed, match=test):
        run("lathe_transpose", "tb.transpose.bench", parameters={"Lanes": 4}, testcase=test,
            mutate=("rtl/prim/lathe_transpose.sv", old, new))
