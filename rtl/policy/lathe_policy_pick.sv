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
  logic               fire, first_q, valid_q, found_q, hit, start_row_q;
  elem_t              elem_q;
  logic [21:0]        threshold_q, sum_q, sum;
  logic [ColW-1:0]    col_q, action_q;
  logic signed [25:0] lp_q;

  assign fire = in_valid_i && ctx_valid_i && (room_i || !first_q);
  assign in_ready_o = fire;
  assign take_o = fire && first_q;

  // Stage 1 takes the element, stage 2 adds and compares.
  assign sum = (start_row_q ? '0 : sum_q) + 22'(elem_q.e);
  assign hit = greedy_i ? elem_q.is_max : sum > threshold_q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      first_q <= 1'b1;
      valid_q <= 1'b0;
      rec_valid_o <= 1'b0;
    end else begin
      if (fire) first_q <= in_i.last;
      valid_q <= fire;
      rec_valid_o <= valid_q && elem_q.last;
    end
  end

  always_ff @(posedge clk_i) begin
    if (fire) begin
      elem_q <= in_i;
      threshold_q <= threshold_i;
      start_row_q <= first_q;
    end
    if (start_i) begin
      col_q <= '0;
      found_q <= 1'b0;
    end else if (valid_q) begin
      col_q <= elem_q.last ? '0 : col_q + 1'b1;
      found_q <= !elem_q.last && (found_q || hit);
    end
    if (valid_q) begin
      sum_q <= sum;
      if (hit && !found_q && !elem_q.last) begin
        action_q <= col_q;
        lp_q <= elem_q.lp;
      end
      if (elem_q.last) rec_o <= {version_i, log_code(elem_q.lp), log_code(lp_q), 16'(action_q)};
    end
  end

`ifndef SYNTHESIS  // registers are random at time 0
  always_ff @(posedge clk_i) begin
    if (rst_ni && $time != 0 && valid_q && elem_q.last) assert (found_q) else $error("policy_pick: no action chosen");
  end
`endif
endmodule
