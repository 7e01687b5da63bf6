# SPDX-License-Identifier: Apache-2.0
import pytest

from tb.common.runner import BenchFailed, run

FILE = "rtl/policy/lathe_reverse_scan.sv"


def test_reverse_scan():
    run("lathe_reverse_scan", "tb.reverse_scan.bench")


@pytest.mark.parametrize("old, new, caught_by", [
    ("LoopCycles = 7", "LoopCycles = 6", "test_estimators"),                        # an environment comes back too early
    ("ratio[16:0]", "17'h10000", "test_estimators"),                                # ratios below the cap are 1
    ("cfg_i.trace_next ?", "!cfg_i.trace_next ?", "test_estimators"),               # the other step's trace
    ("if (terminated0_q)", "if (last0_q)", "test_estimators"),                       # no value behind an episode that was cut
    ("if (last2_q)", "if (1'b0)", "test_estimators"),                               # the trace goes on behind an episode
    ("18'(decayed2_q[15])", "18'(decayed2_q[14])", "test_estimators"),              # rounding
    ("gamma_q[15:0] <= '0", "gamma_q[15:0] <= '1", "test_extremes"),                # a discount beyond 1
    ("if (skips_q[4])", "if (1'b0)", "test_estimators"),                            # a trace behind the last record
    ("{17{!x[19]}}", "{17{x[19]}}", "test_extremes"),                               # clamped to the wrong end
    ("&clamped8_q, ^clamped8_q", "1'b0, |clamped8_q", "test_extremes"),             # two saturations counted as one
    (".reserve_i(enter && !skip_q)", ".reserve_i(1'b0)", "test_stalls"),            # results without room
])
def test_reverse_scan_detects_a_planted_error(old, new, caught_by):
    with pytest.raises(BenchFailed, match=f"failed: {caught_by}"):
        run("lathe_reverse_scan", "tb.reverse_scan.bench", mutate=(FILE, old, new), testcase=caught_by)
