// SPDX-License-Identifier: Apache-2.0
// Log-softmax of rows that arrive element by element, one element a cycle: three passes
// (maximum; exp and sum; ln and probabilities) run on different rows at the same time, each behind a
// row buffer. The last element of a row is a value that passes by. Does not choose, score or reduce.
//
//   in ── buffer ── z - max ── exp ─┬─ buffer ── d - ln(sum) ── exp ─┬─ buffer ── out
//     └── max ──────┘               └─ sum ── ln ─┘                  └─ early
// At most MaxRows rows may be inside; whoever feeds it counts them.
module lathe_log_softmax
  import lathe_policy_pkg::*;
(
  input  logic        clk_i,
  input  logic        rst_ni,
  input  logic        in_valid_i,
  output logic        in_room_o,      // out of a register: for 6 elements more, whether they wait for it or not
  input  logic        in_last_i,
  input  z_t          in_z_i,
  output logic        sum_valid_o,    // once per row: the sum of its exponentials
  output logic [21:0] sum_o,
  output logic        early_valid_o,  // every element as it enters the last buffer
  output elem_t       early_o,
  output logic        out_valid_o,
  input  logic        out_ready_i,
  output elem_t       out_o
);
  // Pass 1: store the row, find the largest logit.
  typedef struct packed {
    logic last;
    z_t   z;
  } raw_t;

  logic raw_room, raw_valid, raw_pop, fresh_q, max_valid;
  z_t   max_q, max;
  raw_t raw;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      fresh_q <= 1'b1;
      in_room_o <= 1'b0;
    end else begin
      if (in_valid_i) fresh_q <= in_last_i;
      in_room_o <= raw_room;
    end
  end

  always_ff @(posedge clk_i) begin
    if (in_valid_i && (fresh_q || 25'(max_q) - 25'(in_z_i) < 25'sd0)) max_q <= in_z_i;  // a carry chain
  end

  lathe_row_buffer #(
    .Width($bits(raw_t)),
    .Depth(RowBuffer),
    .Spare(8)  // in_room_o is two cycles old, and the reader has four stages
  ) u_raw (
    .clk_i,
    .rst_ni,
    .reserve_i(in_valid_i),
    .room_o(raw_room),
    .push_i(in_valid_i),
    .push_data_i({in_last_i, in_z_i}),
    .valid_o(raw_valid),
    .pop_i(raw_pop),
    .data_o(raw)
  );

  lathe_policy_side #(
    .Width($bits(z_t))
  ) u_max (
    .clk_i,
    .rst_ni,
    .push_i(in_valid_i && in_last_i),
    .push_data_i(max_q),
    .valid_o(max_valid),
    .pop_i(raw_pop && raw.last),
    .data_o(max)
  );

  // Pass 2: exponentials of the distances to the maximum, and their sum.
  typedef struct packed {
    logic               last;
    logic signed [24:0] d;  // on `last` the value
  } gap_t;
  typedef struct packed {
    gap_t        gap;
    logic        is_max;
    logic [16:0] e;
  } summand_t;

  logic        gap_valid_q, exp_valid, mid_room, mid_valid, mid_pop, ln_valid_q, lnsum_valid;
  gap_t       gap_q, gap_late;
  logic [20:0] exp_y;
  summand_t    summand, mid;
  logic [21:0] sum_q, total;
  logic [18:0] ln_y, ln_sum;
  logic        ln_out, unused_tag;

  assign raw_pop = raw_valid && max_valid && mid_room;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) gap_valid_q <= 1'b0;
    else gap_valid_q <= raw_pop;
  end

  always_ff @(posedge clk_i) begin
    if (raw_pop) gap_q <= {raw.last, raw.last ? 25'(raw.z) : 25'(raw.z) - 25'(max)};
  end

  lathe_exp_q #(
    .TagW($bits(gap_t))
  ) u_exp (
    .clk_i,
    .rst_ni,
    .valid_i(gap_valid_q),
    .x_i(26'(gap_q.d)),
    .tag_i(gap_q),
    .valid_o(exp_valid),
    .y_o(exp_y),
    .tag_o(gap_late)
  );

  assign summand = {gap_late, !gap_late.last && gap_late.d == '0, gap_late.last ? 17'd0 : exp_y[16:0]};
  assign total = sum_q + 22'(summand.e);

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      sum_q <= '0;
      ln_valid_q <= 1'b0;
    end else begin
      if (exp_valid) sum_q <= gap_late.last ? '0 : total;
      ln_valid_q <= exp_valid && gap_late.last;
    end
  end

  always_ff @(posedge clk_i) begin
    if (exp_valid && gap_late.last) sum_o <= sum_q;
  end
  assign sum_valid_o = ln_valid_q;

  lathe_row_buffer #(
    .Width($bits(summand_t)),
    .Depth(RowBuffer)
  ) u_mid (
    .clk_i,
    .rst_ni,
    .reserve_i(raw_pop),
    .room_o(mid_room),
    .push_i(exp_valid),
    .push_data_i(summand),
    .valid_o(mid_valid),
    .pop_i(mid_pop),
    .data_o(mid)
  );

  lathe_ln_q u_ln (
    .clk_i,
    .rst_ni,
    .valid_i(ln_valid_q),
    .s_i(23'(sum_o)),
    .tag_i(1'b0),
    .valid_o(ln_out),
    .y_o(ln_y),
    .tag_o(unused_tag)
  );

  lathe_policy_side #(
    .Width(19)
  ) u_lnsum (
    .clk_i,
    .rst_ni,
    .push_i(ln_out),
    .push_data_i(ln_y),
    .valid_o(lnsum_valid),
    .pop_i(mid_pop && mid.gap.last),
    .data_o(ln_sum)
  );

  // Pass 3: log-probabilities and probabilities.
  logic        lp_valid_q, out_room;
  elem_t       lp_q, lp_late;
  logic [20:0] p_y;

  assign mid_pop = mid_valid && lnsum_valid && out_room;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) lp_valid_q <= 1'b0;
    else lp_valid_q <= mid_pop;
  end

  always_ff @(posedge clk_i) begin
    if (mid_pop) begin
      lp_q.last <= mid.gap.last;
      lp_q.is_max <= mid.is_max;
      lp_q.lp <= mid.gap.last ? 26'(mid.gap.d) : 26'(mid.gap.d) - 26'(ln_sum);
      lp_q.p <= '0;
      lp_q.e <= mid.e;
    end
  end

  lathe_exp_q #(
    .TagW($bits(elem_t))
  ) u_prob (
    .clk_i,
    .rst_ni,
    .valid_i(lp_valid_q),
    .x_i(lp_q.lp),
    .tag_i(lp_q),
    .valid_o(early_valid_o),
    .y_o(p_y),
    .tag_o(lp_late)
  );

  always_comb begin
    early_o = lp_late;
    if (!lp_late.last) early_o.p = p_y[16:0];
  end

  lathe_row_buffer #(
    .Width($bits(elem_t)),
    .Depth(RowBuffer)
  ) u_out (
    .clk_i,
    .rst_ni,
    .reserve_i(mid_pop),
    .room_o(out_room),
    .push_i(early_valid_o),
    .push_data_i(early_o),
    .valid_o(out_valid_o),
    .pop_i(out_valid_o && out_ready_i),
    .data_o(out_o)
  );

`ifndef SYNTHESIS  // registers are random at time 0
  always_ff @(posedge clk_i) begin
    if (rst_ni && $time != 0) begin
      assert (!exp_valid || gap_late.last || exp_y <= 21'd65536) else $error("log_softmax: e above 1");
      assert (!early_valid_o || lp_late.last || p_y <= 21'd65536) else $error("log_softmax: p above 1");
    end
  end
`endif
endmodule
