# SPDX-License-Identifier: Apache-2.0
import pytest

from tb.common.runner import BenchFailed, run


def test_semaphores():
    run("lathe_semaphores", "tb.semaphores.bench")


def test_semaphores_detects_a_planted_error():
    with pytest.raises(BenchFailed, match="test_full"):
        run("lathe_semaphores", "tb.semaphores.bench",
            mutate=("rtl/ctrl/lathe_semaphores.sv", "take[i] != post[i] && !(post[i] && full_q[i])", "take[i] != post[i]"))
