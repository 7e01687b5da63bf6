# SPDX-License-Identifier: Apache-2.0
import pytest

from tb.common.runner import BenchFailed, run

FILE = "rtl/policy/lathe_ratio_clip.sv"


def test_ratio_clip():
    run("lathe_ratio_clip", "tb.ratio_clip.bench")


@pytest.mark.parametrize("old, new", [
    ("x_i > 17'(hi_i)", "x_i >= 17'(hi_i)"),      # the bound itself is kept
    ("flags_late.high ? bound_q : ratio", "ratio"),  # not capped
    ("flags.low && adv_i <", "flags.high && adv_i <"),  # the wrong side for negative advantages
])
def test_ratio_clip_detects_a_planted_error(old, new):
    with pytest.raises(BenchFailed, match="test_corners"):
        run("lathe_ratio_clip", "tb.ratio_clip.bench", mutate=(FILE, old, new))
