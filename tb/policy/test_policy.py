# SPDX-License-Identifier: Apache-2.0
import pytest

from tb.common.runner import BenchFailed, run


@pytest.mark.parametrize("lanes", [8, 16, pytest.param(4, marks=pytest.mark.regress)])
def test_policy(lanes):
    run("lathe_policy", "tb.policy.bench", parameters={"Lanes": lanes})


@pytest.mark.parametrize("file, old, new, caught_by", [
    ("policy_pick", "sum_q[10:0] >", "sum_q[10:0] >=", "test_thresholds"),            # one action too early
    ("policy", "random_row_q <= cmd_q.first_row", "random_row_q <= '0", "test_pieces"),  # rows of a piece counted from its own
    ("policy_pick", "if (!found_q)", "if (!found_q || hit)", "test_ties_and_zeros"),              # the last of equal logits
    ("policy_read", "elements[15:0] > 16'(last_action_q) ?", "elements[15:0] == 16'hffff ?", "test_extremes"),  # codes out of range
    ("policy_score", "44'sd32768", "44'sd0", "test_shapes"),                                      # floor in the entropy
    ("policy_score", "(25'(rec_i.ret) <<< 6)", "(25'(rec_i.ret) <<< 5)", "test_shapes"),          # scale of the return
    ("policy_grad", "magnitude_q <= '0;", "", "test_random"),                                     # top of the operation before
    ("policy_write", "lane_q[0]) word_q", "1'b0) word_q", "test_shapes"),                       # pad lanes keep old values
    ("policy_read", "!in_flight_q[$clog2(MaxRows)]", "1'b1", "test_backlog"),  # more samples than fit
    ("policy_stats", "stats_q.sum_x[41:0], 6'd0", "stats_q.sum_x[42:0], 5'd0", "test_shapes"),    # scale of the log-ratio in k3
    ("policy_score", "cfg_i.stats_rho ? x_rho_q : x_r_q", "x_r_q", "test_corrections"),           # statistics of the wrong lane
    ("policy_read", "rec.mu = elements_q[79:64]", "rec.mu = elements_q[95:80]", "test_corrections"),  # the record's flags
    ("policy_pick", "carried_i.adv, code_q", "code_q, carried_i.adv", "test_shapes"),             # elements of the record in another order
    ("policy", "(Lanes == 4 && evaluate_q && elem.last)", "1'b0", "test_backlog"),         # no room for a record's second word
    ("policy", "sample_valid && loss_q", "sample_valid", "test_shapes"),                   # statistics of EVALUATE
    ("policy_sequence", "low_q[0])", "1'b1)", "test_aggregates"),                            # half up in the mean
    ("policy_sequence", "5'(Steps)", "5'(Steps - 1)", "test_aggregates"),                  # a bit less of the mean
    ("policy_sequence", "start_i || ended_q) begin", "start_i) begin", "test_sequences"),      # what the sequence before has left
    ("policy_sequence", "fresh_q || r_total[SumW-1]", "r_total[SumW-1]", "test_sequences"), # the largest of two sequences
    ("policy_read", "elements[80] || tag_last", "elements[80]", "test_sequences"),         # the command's last sample
    ("policy_read", "rst_ni && !start_i)", "rst_ni)", "test_sequences"),                   # words that the command before has left
    ("policy_read", "&& !seq_asked_q && seq_room", "&& !seq_asked_q", "test_long_sequence"),  # more words than fit
    ("policy_score", "passed1_q.ends && sequences_i", "sequences_i", "test_sequences"),    # a word a sample
    ("policy_stats", "x2_valid_q <= valid_q", "x2_valid_q <= valid_i", "test_shapes"),     # squares of other samples
    ("policy_read", "rec_last_q ? rec_step_q", "rec_last_q ? rec_step_q + 16'd1", "test_shapes"),       # records of two words
    ("policy", "cfg_q.stats_rho <= 1'b1", "cfg_q.stats_rho <= 1'b0", "test_scan"),         # the other lane's ratio
    ("policy_read", "rec.terminated = elements_q[81]", "rec.terminated = elements_q[80]", "test_scan"),  # the other flag
    ("policy", "(cmd_i.m - cmd_i.n) <<", "(cmd_i.m - 16'd1) <<", "test_scan"),             # records without follower have a place
    ("policy", "cfg_q.rho.source <= lathe_desc_pkg::SourceOwn;", "", "test_scan"),         # another ratio than old over mu
    ("policy_score", "clip_valid && loss_i", "clip_valid", "test_scan"),                   # ratios of SCAN stay behind
])
def test_policy_detects_a_planted_error(file, old, new, caught_by):
    with pytest.raises(BenchFailed, match=f"failed: {caught_by}") as error:
        run("lathe_policy", "tb.policy.bench", parameters={"Lanes": 4}, testcase=caught_by,
            mutate=(f"rtl/policy/lathe_{file}.sv", old, new))
    assert "[0] %Error" not in str(error.value)  # not for the state at power-on
