# SPDX-License-Identifier: Apache-2.0
import pytest

from tb.common.runner import BenchFailed, run


def test_weights():
    run("lathe_weights", "tb.weights.bench")


def test_weights_detects_a_planted_error():
    with pytest.raises(BenchFailed, match="test_random"):
        run("lathe_weights", "tb.weights.bench", testcase="test_random",
            mutate=("rtl/update/lathe_weights.sv", "if (kept_q != last_q - 2'd1)", "if (kept_q != last_q)"))
