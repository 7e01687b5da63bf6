# SPDX-License-Identifier: Apache-2.0
import pytest

from tb.common.runner import BenchFailed, run


@pytest.mark.parametrize("num", [1, 5, 8])
def test_rr_arb(num):
    run("lathe_rr_arb", "tb.rr_arb.bench", parameters={"Num": num})


def test_rr_arb_detects_a_planted_error():
    with pytest.raises(BenchFailed, match="test_random"):
        run("lathe_rr_arb", "tb.rr_arb.bench", parameters={"Num": 5},
            mutate=("rtl/prim/lathe_rr_arb.sv", "advance_i && req_i != '0", "req_i != '0"))
