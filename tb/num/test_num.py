# SPDX-License-Identifier: Apache-2.0
import pytest

from tb.common.runner import BenchFailed, run


def test_num():
    run("num_harness", "tb.num.bench")


@pytest.mark.parametrize("old, new", [
    ("x.sticky || x.q[0]", "x.q[0]"),                      # ties that are none
    ("c.sticky || lost != '0", "c.sticky"),                # the same, one level deeper
    ("|c.lost || (c", "(c"),                          # what was lost in the coarse step
    ("return 16'hffff << fine", "return 16'hfffe << fine"),  # a window that just does not fit
    ("? r : 16'h7fff", "? r : 16'h8000"),                  # half rounds up
    ("v[62:34] != {29{v[63]}}", "v[62:35] != {28{v[63]}}"),
    ("16'h002D", "16'h002B"),
    ("{4'd0, group, 12'd0}", "{3'd0, group, 13'd0}"),
    ("v[62:36] != {27{v[63]}}", "v[62:37] != {26{v[63]}}"),  # a value that just does not fit
])
def test_num_detects_a_planted_error(old, new):
    with pytest.raises(BenchFailed, match="test_functions"):
        run("num_harness", "tb.num.bench", mutate=("rtl/prim/lathe_num_pkg.sv", old, new))
