# SPDX-License-Identifier: Apache-2.0
import pytest

from tb.common.runner import BenchFailed, run


@pytest.mark.parametrize("depth", [1, 3, 8])
def test_fifo(depth):
    run("lathe_fifo", "tb.fifo.bench", parameters={"Width": 16, "Depth": depth})


def test_fifo_detects_a_planted_error():
    with pytest.raises(BenchFailed, match="test_streams"):
        run("lathe_fifo", "tb.fifo.bench", parameters={"Width": 16, "Depth": 3},
            mutate=("rtl/prim/lathe_fifo.sv", "ptr == PtrW'(Depth - 1) ? '0 : ptr + 1'b1", "ptr + 1'b1"))
