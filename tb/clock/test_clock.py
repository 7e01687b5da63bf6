# SPDX-License-Identifier: Apache-2.0
import pytest

from tb.common.runner import BenchFailed, run

IN_PROCESS = {"defines": {"LATHE_IN_PROCESS": 1}, "extra_env": {"IN_PROCESS": "1"}}


@pytest.mark.parametrize("options", [{}, IN_PROCESS], ids=["hardware", "in process"])
def test_clock(options):
    run("clock_harness", "tb.clock.bench", **options)


@pytest.mark.parametrize("file, old, new", [
    ("lathe_clock", "clk_i ^ seen_q", "clk_i"),
    ("lathe_clock_stop", "if (!clk_i) run = wanted_i || idle_q", "if (!clk_i) run = idle_q"),
    ("lathe_clock_stop", "idle_q + 1'b1", "idle_q + 2'd2"),
])
def test_clock_detects_a_planted_error(file, old, new):
    with pytest.raises(BenchFailed, match="test_edges"):
        run("clock_harness", "tb.clock.bench", mutate=(f"rtl/prim/{file}.sv", old, new), **IN_PROCESS)
