# SPDX-License-Identifier: Apache-2.0
import pytest

from tb.common.runner import BenchFailed, run


@pytest.mark.parametrize("stages", [1, 2, 3])
def test_rng(stages):
    run("lathe_rng", "tb.rng.bench", parameters={"Stages": stages})


def test_rng_detects_a_planted_error():
    with pytest.raises(BenchFailed, match="test_values"):
        run("lathe_rng", "tb.rng.bench", mutate=("rtl/prim/lathe_rng.sv", "key_i ^ index_i", "key_i + index_i"))
