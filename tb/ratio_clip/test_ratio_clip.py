# SPDX-License-Identifier: Apache-2.0
import pytest

from tb.common.runner import BenchFailed, run

FILE = "rtl/policy/lathe_ratio_clip.sv"


def test_ratio_clip():
    run("lathe_ratio_clip", "tb.ratio_clip.bench")


@pytest.mark.regress
def test_ratio_clip_with_100000_samples_of_every_correction():
    run("lathe_ratio_clip", "tb.ratio_clip.bench", testcase="test_random", extra_env={"RATIO_SAMPLES": 100_000})


@pytest.mark.parametrize("old, new", [
    ("x_r_i > 17'(r_i.hi)", "x_r_i >= 17'(r_i.hi)"),              # the bound itself is kept
    ("x_rho_i < 17'(rho_i.lo)", "-x_rho_i > 17'(rho_i.hi)"),      # the sign convention: asymmetric bounds tell
    ("18'(r_weight_q) + 18'(rho_weight_q)", "18'(r_weight_q)"),   # a lane is left out
    ("if (down) return 17'(lo)", "if (down) return x"),           # not saturated
    ("cost1_q && ((r1_q.low", "cost1_q && ((r1_q.high"),          # the wrong side for negative advantages
    ("stats_rho_i ? x_rho_i : x_r_i", "x_r_i"),                   # statistics of the wrong lane
])
def test_ratio_clip_detects_a_planted_error(old, new):
    with pytest.raises(BenchFailed, match="test_corners"):
        run("lathe_ratio_clip", "tb.ratio_clip.bench", mutate=(FILE, old, new), testcase="test_corners")
