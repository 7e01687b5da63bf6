# SPDX-License-Identifier: Apache-2.0
import pytest

from tb.common.runner import BenchFailed, run


@pytest.mark.parametrize("lanes", [8, 4, 16])
def test_gemm(lanes):
    run("lathe_gemm", "tb.gemm.bench", parameters={"Lanes": lanes})
