// SPDX-License-Identifier: Apache-2.0
// Chooses the action of a SAMPLE row and makes its record: the first action whose cumulated exponential
// exceeds the threshold, or greedily the first largest logit. Starts an element only with its row's
// context and, for the first of a row, room for its record; after that nothing stalls.
module lathe_policy_pick
  import lathe_policy_pkg::*;
(
  input  logic        clk_i,
  input  logic        rst_ni,
  input  logic        start_i,
  input  logic        greedy_i,
  input  logic [15:0] version_i,

  input  logic        in_valid_i,
  output logic        in_ready_o,   // late: depends on in_valid_i, context and room
  input  elem_t       in_i,
  input  logic        ctx_valid_i,
  input  logic [21:0] threshold_i,
  input  logic        room_i,
  output logic        take_o,

  output logic        rec_valid_o,
  output logic [63:0] rec_o
);
  logic               fire, first_q, start_row_q, valid1_q, valid2_q, found_q, hit;
  elem_t              elem1_q, elem2_q;
  logic [21:0]        threshold1_q, threshold2_q, sum_q;
  logic [ColW-1:0]    col_q, action_q;
  logic signed [25:0] lp_q;

  assign fire = in_valid_i && ctx_valid_i && (room_i || !first_q);
  assign in_ready_o = fire;
  assign take_o = fire && first_q;

  // Stage 1 takes the element, 2 adds, 3 compares.
  assign hit = greedy_i ? elem2_q.is_max : sum_q > threshold2_q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      first_q <= 1'b1;
      valid1_q <= 1'b0;
      valid2_q <= 1'b0;
      rec_valid_o <= 1'b0;
    end else begin
      if (fire) first_q <= in_i.last;
      valid1_q <= fire;
      valid2_q <= valid1_q;
      rec_valid_o <= valid2_q && elem2_q.last;
    end
  end

  always_ff @(posedge clk_i) begin
    if (fire) begin
      elem1_q <= in_i;
      threshold1_q <= threshold_i;
      start_row_q <= first_q;
    end
    if (valid1_q) begin
      elem2_q <= elem1_q;
      threshold2_q <= threshold1_q;
      sum_q <= (start_row_q ? '0 : sum_q) + 22'(elem1_q.e);
    end
    if (start_i) begin
      col_q <= '0;
      found_q <= 1'b0;
    end else if (valid2_q) begin
      col_q <= elem2_q.last ? '0 : col_q + 1'b1;
      found_q <= !elem2_q.last && (found_q || hit);
    end
    if (valid2_q) begin
      if (hit && !found_q && !elem2_q.last) begin
        action_q <= col_q;
        lp_q <= elem2_q.lp;
      end
      if (elem2_q.last) rec_o <= {version_i, log_code(elem2_q.lp), log_code(lp_q), 16'(action_q)};
    end
  end

`ifndef SYNTHESIS  // registers are random at time 0
  always_ff @(posedge clk_i) begin
    if (rst_ni && $time != 0 && valid2_q && elem2_q.last) assert (found_q) else $error("policy_pick: no action chosen");
  end
`endif
endmodule
