# SPDX-License-Identifier: Apache-2.0
import pytest

from tb.common.runner import BenchFailed, run

RTL = "rtl/ctrl/lathe_exponents.sv"


def test_exponents():
    run("lathe_exponents", "tb.exponents.bench")


@pytest.mark.parametrize("old, new", [
    ("word[WordTops-1];", "word[WordTops-2];"),                        # a history of fewer tops
    ("tracked: 1'b0, next: host_wdata_i", "tracked: own_q.tracked, next: host_wdata_i"),  # the host does not empty it
    ("assign_q ? result_q : host_index_i", "assign_q ? source_i : host_index_i"),          # the source given the result's exponent
    ("(tops_q.int8 && which_q == 2'd0)", "tops_q.int8"),                 # the second result taken for int8
    ("tops_q.top[which_q == 2'd1]", "tops_q.top[which_q != 2'd0]"),      # the copy given the top of the second result
])
def test_exponents_detects_a_planted_error(old, new):
    with pytest.raises(BenchFailed, match="test_"):
        run("lathe_exponents", "tb.exponents.bench", mutate=(RTL, old, new))
