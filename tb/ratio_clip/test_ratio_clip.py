# SPDX-License-Identifier: Apache-2.0
import pytest

from tb.common.runner import BenchFailed, run

FILE = "rtl/policy/lathe_ratio_clip.sv"


def test_ratio_clip():
    run("lathe_ratio_clip", "tb.ratio_clip.bench")


@pytest.mark.regress
def test_ratio_clip_with_100000_samples_of_every_correction():
    run("lathe_ratio_clip", "tb.ratio_clip.bench", testcase="test_random", extra_env={"RATIO_SAMPLES": 100_000})


@pytest.mark.parametrize("caught_by, old, new", [
    ("test_corners", "x_r_i > 17'(r_i.hi)", "x_r_i >= 17'(r_i.hi)"),              # the bound itself is kept
    ("test_corners", "x_rho_i < 17'(rho_i.lo)", "-x_rho_i > 17'(rho_i.hi)"),      # the sign convention: asymmetric bounds tell
    ("test_corners", "18'(r_weight_q) + 18'(rho_weight_q)", "18'(r_weight_q)"),   # a lane is left out
    ("test_corners", "if (down) return 17'(lo)", "if (down) return x"),           # not saturated
    ("test_corners", "cost1_q && ((r1_q.low", "cost1_q && ((r1_q.high"),          # the wrong side for negative advantages
    ("test_corners", "stats_rho_i ? x_rho_i : x_r_i", "x_r_i"),                   # statistics of the wrong lane
    ("test_any_registers", "by_sign || veto1_q", "by_sign"),      # a vetoed sample keeps its coefficient
    ("test_any_registers", "(rho_masked && rho_sequence_i)", "(rho_masked && r_sequence_i)"),
])
def test_ratio_clip_detects_a_planted_error(caught_by, old, new):
    with pytest.raises(BenchFailed, match=caught_by):
        run("lathe_ratio_clip", "tb.ratio_clip.bench", mutate=(FILE, old, new), testcase=caught_by)
