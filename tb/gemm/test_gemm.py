# SPDX-License-Identifier: Apache-2.0
import pytest

from tb.common.runner import BenchFailed, run


@pytest.mark.parametrize("lanes", [8, 16, pytest.param(4, marks=pytest.mark.regress)])
def test_gemm(lanes):
    run("lathe_gemm", "tb.gemm.bench", parameters={"Lanes": lanes})


@pytest.mark.regress
@pytest.mark.parametrize("testcase", ["test_sequences", "test_pieces"])
@pytest.mark.parametrize("lanes", [8, 4, 16])
def test_gemm_with_2000_random_commands(lanes, testcase):
    run("lathe_gemm", "tb.gemm.bench", parameters={"Lanes": lanes}, testcase=testcase, extra_env={"GEMM_CASES": 2000})


# What is wrong: the test that finds it, the file, the text and its replacement.
PLANTED = {
    "pad lanes are not masked": ("test_shapes", "gemm_drain", "place.col_last ? (Lanes'(2)", "1'b0 ? (Lanes'(2)"),
    "even tile dropped in int8": ("test_shapes", "gemm_drain", "else if (out_meta.odd)", "else if (1'b0)"),
    "random bits of other columns": ("test_options", "gemm_drain", "rand16(hash[l/4], 2'(l))", "rand16(hash[l/4], 2'(l+1))"),
    "column sums rounded with another row": ("test_options", "gemm_drain", "is_sum_q ? ctx_q.all_rows : place.row", "place.row"),
    "rows of a piece counted from its own": ("test_pieces", "gemm_walk", "row_q <= first_row_i", "row_q <= '0"),
    "columns of a piece counted from its own": ("test_pieces", "gemm_drain", "place_q.col_block | ctx_q.first_col", "place_q.col_block"),
    "column sums of a piece rounded with its rows": ("test_pieces", "gemm_setup", "= cmd_i.all_rows", "= cmd_i.m"),
    "column sums leave beside tanh rows": ("test_options", "gemm_drain", "step_sum : stay_sum) && !tanh_near", "step_sum : stay_sum)"),
    "a derivative loses silently": ("test_exponents", "gemm_lane", "lost3_q || low3_q[15:0] != '0", "lost3_q"),
    "derivative cut instead of rounded": ("test_options", "gemm_lane", "19'h20001 + ~square0_q", "19'h20000 + ~square0_q"),
    "an addend's size counts for nothing": ("test_terms", "gemm_lane", "x[34]}}) | (addend1_q", "x[34]}}) & (addend1_q"),
    "terms of what is zero in any case": ("test_terms", "gemm_lane", "!terms_i || (cfg_i.dact_relu && !positive1_q)", "!terms_i"),
    "a cut addend is not counted": ("test_terms", "gemm_lane", "addend_cut1_q <= beyond0_q && scale_i[2]", "addend_cut1_q <= 1'b0"),
    "a cut sum before a derivative is not counted": ("test_terms", "gemm_lane", " || sum[35] != sum[34]", ""),
    "what was cut on one side counts": ("test_terms", "gemm_lane", " && fixed1_q.x[34] != addend1_q[34]", ""),
    "terms of an int8 result count like those of int16": ("test_terms", "gemm_drain", "? terms3_q >> 8 :", "? terms3_q :"),
    "terms of the lanes that come first": ("test_terms", "gemm_drain", "joined |= terms[l]", "joined = terms[l]"),
    "tie of a negative argument of tanh": ("test_exponents", "gemm_lane", "negative3_q ? !product.lost && product.x[16] : ", ""),
    "rounding of an int8 tanh": ("test_options", "gemm_tanh", "{8'd0, int8_i, 7'd0}", "16'd0"),
    "twice the steps in int8": ("test_shapes", "gemm_setup", "k_last >> 1", "k_last"),
    "carry of a sum of bytes": ("test_shapes", "gemm_cells", "a_q[n][8:0] + {1'b0, b_q[n][23:16]}", "9'(a_q[n][7:0] + b_q[n][23:16])"),
    "column sums stay in the tile's rows": ("test_options", "gemm_array", "if (last_q[i+4] && !int8_q[i+4]) edge", "if (1'b0) edge"),
    "corrections of tiles before": ("test_shapes", "gemm_array", "edge_first_q[i] ? '0 : edge_q", "1'b0 ? '0 : edge_q"),
    "column sums join the squares of C": ("test_norm", "gemm_norm", "of_q[2] == 1'(r)", "of_q[2] >= 1'(r)"),
    "a norm's carry is lost": ("test_norm", "gemm_norm", "carry_q <= added_word[32]", "carry_q <= 1'b0"),
    "the last word does not wait for the norm": ("test_norm", "gemm_norm", "word_last_i ? state_q == Settled : ready_q",
                                                  "word_last_i || ready_q"),
    "totals survive a reset": ("test_reset", "gemm_collect", "row_valid_i[j] || clear_line[j]", "row_valid_i[j]"),
    "no correction by the row": ("test_shapes", "gemm_collect", "signed'(side_q[j] + edge_data_i[j])", "signed'(edge_data_i[j])"),
    "a pad byte counts": ("test_shapes", "gemm_feed", "if (a_odd && last_q)", "if (1'b0)"),
    "column sums meet other rows": ("test_options", "gemm_feed", "gap_q == GapW'(2) && !a_colsum", "gap_q == GapW'(2)"),
    "tiles start without room": ("test_stalls", "gemm_feed", "room && apart", "apart"),
    "reads what is not yet written": ("test_chain", "gemm_feed", "before_q == 3'd1 && more_q", "before_q == 3'd1"),
    "overlaps what it depends on": ("test_sequences", "gemm_feed", "unfinished_i <= 3'(cmd_i.overlap) + 3'd1", "1'b1"),
    "reads beyond a ragged edge": ("test_shapes", "gemm_fetch", "IsA ? next_row_last : next_col_last", "1'b0"),
    "shape of the command before": ("test_sequences", "gemm_fetch", "IsA ? next_shape_i.m_last", "IsA ? shape_i.m_last"),
}


@pytest.mark.parametrize("test, file, old, new", PLANTED.values(), ids=PLANTED)
def test_gemm_detects_a_planted_error(test, file, old, new):
    with pytest.raises(BenchFailed, match=test) as caught:
        run("lathe_gemm", "tb.gemm.bench", parameters={"Lanes": 4}, testcase=test, mutate=(f"rtl/gemm/lathe_{file}.sv", old, new))
    assert "[0] %Error" not in str(caught.value)  # not for the state at power-on
