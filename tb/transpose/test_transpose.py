# SPDX-License-Identifier: Apache-2.0
import pytest

from tb.common.runner import BenchFailed, run


@pytest.mark.parametrize("lanes", [4, 8, 16])
def test_transpose(lanes):
    run("lathe_transpose", "tb.transpose.bench", parameters={"Lanes": lanes})


def test_transpose_detects_a_planted_error():
    with pytest.raises(BenchFailed, match="test_shapes"):
        run("lathe_transpose", "tb.transpose.bench", parameters={"Lanes": 4},
            mutate=("rtl/prim/lathe_transpose.sv", "left_q == '0 ? last_column_i[LaneW-1:0] : '1", "last_column_i[LaneW-1:0]"))
