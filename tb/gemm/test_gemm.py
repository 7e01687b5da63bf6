# SPDX-License-Identifier: Apache-2.0
import pytest

from tb.common.runner import BenchFailed, run


@pytest.mark.parametrize("lanes", [8, 4, 16])
def test_gemm(lanes):
    run("lathe_gemm", "tb.gemm.bench", parameters={"Lanes": lanes})


@pytest.mark.regress
@pytest.mark.parametrize("lanes", [8, 4, 16])
def test_gemm_with_2000_random_commands(lanes):
    run("lathe_gemm", "tb.gemm.bench", parameters={"Lanes": lanes}, testcase="test_sequences", extra_env={"GEMM_CASES": 2000})


@pytest.mark.parametrize("test, file, old, new", [
    ("test_shapes", "drain", "col_last ? (Lanes'(2)", "1'b0 ? (Lanes'(2)"),                   # pad lanes not masked
    ("test_shapes", "feed", "if (a_odd && last)", "if (1'b0)"),                               # a pad byte counts
    ("test_shapes", "fetch", "IsA ? row_last : col_last", "1'b0"),                            # reads beyond a ragged edge
    ("test_options", "drain", "ctx_q.shape.m_last + 1'b1", "ctx_q.shape.m_last"),             # random bits of another row
    ("test_exponents", "lane", "lost3_q || low3_q[15:0] != '0", "lost3_q"),                   # a derivative loses silently
    ("test_options", "lane", "8'(tanh[7] && !tanh_sat)", "8'(!tanh_sat)"),                    # rounding of an int8 tanh
    ("test_options", "feed", "gap_q == GapW'(1) && !a_colsum", "gap_q == GapW'(1)"),          # column sums meet other rows
    ("test_stalls", "feed", "(room_q && apart)", "apart"),                                    # tiles start without room
    ("test_chain", "feed", "blocks_q > next_block_q", "1'b1"),                                # reads what is not yet written
    ("test_sequences", "feed", "unfinished_i <= 3'(cmd_i.overlap) + 3'd1", "1'b1"),           # overlaps what it depends on
    ("test_sequences", "fetch", ".shape_i   (reload),", ".shape_i   (shape_i),"),             # the shape of the command before
], ids=["mask", "pad byte", "edge", "random", "lost", "tanh", "column sums", "room", "chain", "overlap", "shape"])
def test_gemm_detects_a_planted_error(test, file, old, new):
    with pytest.raises(BenchFailed, match=test) as caught:
        run("lathe_gemm", "tb.gemm.bench", parameters={"Lanes": 4}, testcase=test,
            mutate=(f"rtl/gemm/lathe_gemm_{file}.sv", old, new))
    assert "[0] %Error" not in str(caught.value)  # not for the state at power-on
