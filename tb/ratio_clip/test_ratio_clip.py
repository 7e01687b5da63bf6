# SPDX-License-Identifier: Apache-2.0
import pytest

from tb.common.runner import BenchFailed, run

FILE = "rtl/policy/lathe_ratio_clip.sv"


def test_ratio_clip():
    run("lathe_ratio_clip", "tb.ratio_clip.bench")


@pytest.mark.parametrize("old, new", [
    ("x_i > 17'(hi_i)", "x_i >= 17'(hi_i)"),      # the bound itself is kept
    ("{1'b1, bound_q}", "{1'b1, ratio}"),  # not capped
    ("flags_late.low && flags_late.cost", "flags_late.high && flags_late.cost"),  # the wrong side for negative advantages
])
def test_ratio_clip_detects_a_planted_error(old, new):
    with pytest.raises(BenchFailed, match="test_corners"):
        run("lathe_ratio_clip", "tb.ratio_clip.bench", mutate=(FILE, old, new))
