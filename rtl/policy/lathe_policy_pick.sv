// SPDX-License-Identifier: Apache-2.0
// Chooses the action of a SAMPLE row and makes its record: the first action whose cumulated exponential
// exceeds the threshold, or greedily the first largest logit. EVALUATE: takes the recorded action and completes its record.
// MEASURE: a sequence's word takes the record's place. SCAN: completes a record with its results. Nothing stalls.
module lathe_policy_pick
  import lathe_policy_pkg::*;
(
  input  logic        clk_i,
  input  logic        rst_ni,
  input  logic        start_i,
  input  logic        greedy_i,
  input  logic        recorded_i,   // not SAMPLE
  input  logic        measure_i,
  input  logic [15:0] version_i,

  input  logic        on_i,         // not LOSS
  input  logic        fire_i,       // it is taken, with its context
  input  logic        first_i,      // it is its row's first
  input  elem_t       in_i,
  input  logic [21:0] threshold_i,
  input  logic [ColW-1:0] action_i,  // the recorded one
  input  logic        scan_skip_i,  // SCAN: a record comes to nothing
  input  logic        scan_valid_i, // it comes to this
  input  logic [15:0] advantage_i,
  input  logic [15:0] return_i,
  output logic        carried_pop_o,
  input  kept_t       carried_i,    // EVALUATE: of the row that ends
  input  logic        ends_i,       // MEASURE: its row is the last of a sequence
  output logic        word_pop_o,
  input  logic [63:0] word_i,       // of the sequence that ends

  output logic        row_skip_o,   // a row has ended without a result
  output logic        rec_valid_o,
  output logic [127:0] rec_o        // for two cycles at least
);
  logic               valid1_q, valid2_q, found_q, hit, row_end, ends1_q, ends2_q;
  elem_t              elem1_q;
  logic [21:0]        threshold1_q, sum_q;
  logic               last2_q, above_q, same_q, lower_q;  // what the upper and the lower half of the sum say
  logic signed [15:0] code2_q, code_q;  // of the element, of the action
  logic [ColW-1:0]    col_q, action_q, recorded1_q, recorded2_q;

  // Stage 1 adds the element, 2 compares, 3 chooses.
  assign hit = recorded_i ? col_q == recorded2_q : above_q || (same_q && lower_q);
  assign row_end = valid2_q && last2_q;
  assign carried_pop_o = (row_end && recorded_i && !measure_i) || scan_skip_i || scan_valid_i;
  assign word_pop_o = row_end && measure_i && ends2_q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      valid1_q <= 1'b0;
      valid2_q <= 1'b0;
      rec_valid_o <= 1'b0;
      row_skip_o <= 1'b0;
    end else begin
      valid1_q <= fire_i;
      valid2_q <= valid1_q;
      rec_valid_o <= (row_end && (!measure_i || ends2_q)) || scan_valid_i;
      row_skip_o <= row_end && measure_i && !ends2_q;
    end
  end

  always_ff @(posedge clk_i) begin
    if (on_i) begin
      elem1_q <= in_i;
      threshold1_q <= threshold_i;
      recorded1_q <= action_i;
      ends1_q <= ends_i;
    end
    if (fire_i) sum_q <= (first_i ? '0 : sum_q) + 22'(in_i.e);
    if (valid1_q) begin
      above_q <= greedy_i ? elem1_q.is_max : sum_q[21:11] > threshold1_q[21:11];
      same_q <= !greedy_i && (sum_q[21:11] ^ threshold1_q[21:11]) == '0;  // apart from `above`
      lower_q <= sum_q[10:0] > threshold1_q[10:0];
      last2_q <= elem1_q.last;
      recorded2_q <= recorded1_q;
      ends2_q <= ends1_q;
      code2_q <= log_code(elem1_q.lp);
    end
    if (start_i) begin
      col_q <= '0;
      found_q <= 1'b0;
    end else if (valid2_q) begin
      col_q <= last2_q ? '0 : col_q + 1'b1;
      found_q <= !last2_q && (found_q || hit);
    end
    if (!recorded_i || measure_i) rec_o[127:64] <= '0;
    else if (row_end) rec_o[127:64] <= carried_i.high;
    if (valid2_q) begin
      if (!found_q) begin  // until one is found, which is before the last
        action_q <= col_q;
        code_q <= code2_q;
      end
      if (last2_q) begin
        if (measure_i) rec_o[63:0] <= word_i;
        else if (recorded_i) rec_o[63:0] <= {code2_q, carried_i.adv, code_q, carried_i.action};
        else rec_o[63:0] <= {version_i, code2_q, code_q, 16'(action_q)};
      end
    end
    if (scan_valid_i) rec_o <= {carried_i.high, return_i, advantage_i, carried_i.old, carried_i.action};
  end

`ifndef SYNTHESIS  // registers are random at time 0
  always_ff @(posedge clk_i) begin
    if (rst_ni && $time != 0 && valid2_q && last2_q) assert (found_q) else $error("policy_pick: no action chosen");
  end
`endif
endmodule
