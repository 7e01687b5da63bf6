# SPDX-License-Identifier: Apache-2.0
import pytest

from tb.common.runner import BenchFailed, run


@pytest.mark.parametrize("lanes", [8, 4, 16])
def test_gemm(lanes):
    run("lathe_gemm", "tb.gemm.bench", parameters={"Lanes": lanes})


@pytest.mark.parametrize("test, file, old, new", [
    ("test_shapes", "drain", "col_last ? (Lanes'(2)", "1'b0 ? (Lanes'(2)"),        # pad lanes not masked
    ("test_options", "drain", "rand32[15:0]", "rand32[31:16]"),                   # other random bits
    ("test_options", "lane", "yy1_q + 32'd8192", "yy1_q + 32'd0"),                # derivative cut instead of rounded
    ("test_stalls", "feed", "(room && apart)", "apart"),                          # tiles start without room
], ids=["mask", "random", "rounding", "room"])
def test_gemm_detects_a_planted_error(test, file, old, new):
    with pytest.raises(BenchFailed, match=test) as caught:
        run("lathe_gemm", "tb.gemm.bench", parameters={"Lanes": 4}, testcase=test,
            mutate=(f"rtl/gemm/lathe_gemm_{file}.sv", old, new))
    assert "[0] %Error" not in str(caught.value)  # not for the state at power-on
