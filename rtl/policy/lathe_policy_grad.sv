// SPDX-License-Identifier: Apache-2.0
// Gradient of the loss, one element a cycle: policy and entropy terms of a logit or the value's error,
// scaled, rounded and saturated. Nothing stalls. Collects saturations and top.
module lathe_policy_grad
  import lathe_policy_pkg::*;
#(
  parameter int unsigned Lanes = 8
) (
  input  logic                   clk_i,
  input  logic                   rst_ni,
  input  logic                   start_i,
  input  logic                   stochastic_i,
  input  logic signed [9:0]      shift_i,      // e_dY - e_v
  input  logic [17:0]            entropy_coef_i,
  input  logic [17:0]            value_coef_i,

  input  logic                   on_i,         // LOSS
  input  logic                   fire_i,       // it is taken, with its context
  input  elem_t                  in_i,
  input  context_t               ctx_i,
  output logic                   word_end_o,   // it is its word's last

  output logic                   row_end_o,    // the last element of a row asks for its random number
  output logic [ColW-3:0]        random_col_o, // the number's column / 4, 3 cycles later
  input  logic [31:0]            random_i,     // another 3 cycles later

  output logic                   out_valid_o,
  output logic                   out_last_o,
  output logic signed [15:0]     out_o,
  output logic [31:0]            saturations_o,
  output logic [6:0]             bits_o        // bit length of the largest magnitude before rounding, 0: none
);
  localparam int unsigned LaneW = $clog2(Lanes);
  localparam int unsigned Stages = 14;

  logic [Stages:1] valid_q, last_q;
  logic [ColW-1:0] col_q;

  assign word_end_o = in_i.last || (&col_q[LaneW-1:0]);

  always_ff @(posedge clk_i) begin
    if (!rst_ni) valid_q <= '0;
    else valid_q <= {valid_q[Stages-1:1], fire_i};
    last_q <= {last_q[Stages-1:1], in_i.last};
    if (start_i) col_q <= '0;
    else if (fire_i) col_q <= in_i.last ? '0 : col_q + 1'b1;
  end

  // 1: factors. The value's error takes the entropy term's path with factor 1.
  logic signed [25:0] coef_q;
  logic signed [17:0] miss_q, weight_q;  // P - (a == act); P
  logic signed [26:0] surprise_q;        // lp + H
  always_ff @(posedge clk_i) begin
    if (on_i) begin
      coef_q <= ctx_i.coef;
      miss_q <= in_i.last ? '0 : {1'b0, in_i.p} - (col_q == ctx_i.action ? 18'sd65536 : 18'sd0);
      weight_q <= in_i.last ? 18'sd65536 : {1'b0, in_i.p};
      surprise_q <= in_i.last ? 27'(ctx_i.verr) : 27'(in_i.lp) + 27'(ctx_i.entropy);
    end
  end

  // 2-4: products.
  logic signed [43:0] policy_4;
  logic signed [44:0] weighted_4, weighted_rounded;
  lathe_policy_mul #(
    .WidthA(26),
    .WidthB(18)
  ) u_policy (
    .clk_i,
    .rst_ni,
    .valid_i(valid_q[1]),
    .a_i(coef_q),
    .b_i(miss_q),
    .p_o(policy_4)
  );
  lathe_policy_mul #(
    .WidthA(27),
    .WidthB(18)
  ) u_weighted (
    .clk_i,
    .rst_ni,
    .valid_i(valid_q[1]),
    .a_i(surprise_q),
    .b_i(weight_q),
    .p_o(weighted_4)
  );

  // 5: round; 6-8: times the coefficient, whose top bit is added apart so that 18 bits suffice.
  logic signed [24:0] side_q;
  logic signed [43:0] policy_5_q, rest_6_q, rest_7_q, rest_8_q;
  logic [17:0]        side_coef_q;
  logic signed [42:0] side_8;
  assign weighted_rounded = (weighted_4 + 45'sd32768) >>> 16;
  lathe_policy_mul #(
    .WidthA(25),
    .WidthB(18)
  ) u_side (
    .clk_i,
    .rst_ni,
    .valid_i(valid_q[5]),
    .a_i(side_q),
    .b_i({1'b0, side_coef_q[16:0]}),
    .p_o(side_8)
  );
  always_ff @(posedge clk_i) begin
    if (valid_q[4]) begin
      side_q <= 25'(weighted_rounded);
      side_coef_q <= last_q[4] ? value_coef_i : entropy_coef_i;
      policy_5_q <= policy_4;
    end
    if (valid_q[5]) rest_6_q <= policy_5_q + (side_coef_q[17] ? 44'(side_q) <<< 17 : '0);
    if (valid_q[6]) rest_7_q <= rest_6_q;
    if (valid_q[7]) rest_8_q <= rest_7_q;
  end

  // 9: the value before rounding; 10-14: shift, shift, clamp, round, saturate.
  logic signed [43:0]     v_q;
  logic [43:0]            magnitude_q;  // OR of all
  logic [21:0]            half_q;       // its upper half or, if that is zero, the lower one
  logic [10:0]            part_q;       // so again
  logic                   upper_q;
  logic [5:0]             below_q, below2_q;  // bits below the part
  logic [3:0]             length_q;     // of the part
  lathe_num_pkg::window_t coarse_q;
  logic signed [34:0]     shifted_q;
  logic                   negative_q, clamp_q, lost_q;
  lathe_num_pkg::fixed_t  fixed_q;
  logic [15:0]            term_q;       // of the rounding
  logic                   start1_q;
  logic signed [9:0]      shift_q;
  logic signed [19:0]     rounded_q;
  logic                   saturates_q;
  logic [6:0]             amount_q;
  logic [4:0]             coarse_at_q;
  logic [15:0]            mask_q;
  logic [ColW-1:0]        rcol_q, rcol_6_q, rcol_7_q, rcol_8_q;
  logic [1:0]             rcol_9_q, rcol_10_q, rcol_11_q;

  always_ff @(posedge clk_i) begin
    start1_q <= start_i;
    if (start_i) shift_q <= shift_i;
    if (start1_q) amount_q <= lathe_num_pkg::shift_amount(shift_q);
    mask_q <= lathe_num_pkg::window_mask(amount_q[3:0]);
    coarse_at_q <= lathe_num_pkg::window_at(amount_q[6:4]);
    if (valid_q[8]) v_q <= rest_8_q + 44'(side_8);
    if (valid_q[9]) coarse_q <= lathe_num_pkg::window_select(46'(v_q), coarse_at_q);
    if (valid_q[10]) begin  // lathe_num_pkg::window_fine in two steps
      shifted_q <= 35'(unsigned'(coarse_q.window) >> amount_q[3:0]);
      negative_q <= coarse_q.negative;
      clamp_q <= |coarse_q.over || (coarse_q.upper & mask_q) != '0;
      lost_q <= |coarse_q.lost || (coarse_q.window[14:0] & ~mask_q[14:0]) != '0;
    end
    if (valid_q[11]) begin
      fixed_q <= '{x: clamp_q ? {negative_q, {34{!negative_q}}} : shifted_q, lost: lost_q};
      term_q <= lathe_num_pkg::round_term(stochastic_i, lathe_num_pkg::rand16(random_i, rcol_11_q));
    end
    if (valid_q[12]) begin
      rounded_q <= lathe_num_pkg::round_add(fixed_q.x, term_q, !stochastic_i && (fixed_q.lost || fixed_q.x[16]));
    end
    if (valid_q[13]) out_o <= lathe_num_pkg::saturate16(22'(rounded_q));
  end

  always_ff @(posedge clk_i) begin
    if (start_i) begin
      saturations_o <= '0;
      magnitude_q <= '0;
    end else begin
      if (valid_q[9]) magnitude_q <= magnitude_q | 44'(lathe_num_pkg::magnitude(64'(v_q)));
      saturates_q <= valid_q[13] && lathe_num_pkg::saturates16(22'(rounded_q));
      if (saturates_q) saturations_o <= saturations_o + 32'd1;
    end
  end

  // The bit length of the magnitude, known before the last element is written.
  always_ff @(posedge clk_i) begin
    upper_q <= magnitude_q[43:22] != '0;
    half_q <= magnitude_q[43:22] != '0 ? magnitude_q[43:22] : magnitude_q[21:0];
    part_q <= half_q[21:11] != '0 ? half_q[21:11] : half_q[10:0];
    below_q <= (upper_q ? 6'd22 : 6'd0) + (half_q[21:11] != '0 ? 6'd11 : 6'd0);
    length_q <= 4'(lathe_num_pkg::bit_length(64'(part_q)));
    below2_q <= below_q;
    bits_o <= 7'(length_q) + 7'(below2_q);
  end

  // The random number of the element in stage 11, asked for six stages earlier.
  always_ff @(posedge clk_i) begin
    if (start_i) rcol_q <= '0;
    else if (valid_q[5]) rcol_q <= last_q[5] ? '0 : rcol_q + 1'b1;
    rcol_6_q <= rcol_q;
    rcol_7_q <= rcol_6_q;
    rcol_8_q <= rcol_7_q;
    rcol_9_q <= rcol_8_q[1:0];
    rcol_10_q <= rcol_9_q;
    rcol_11_q <= rcol_10_q;
  end
  assign row_end_o = valid_q[5] && last_q[5];
  assign random_col_o = rcol_8_q[ColW-1:2];

  assign out_valid_o = valid_q[Stages];
  assign out_last_o = last_q[Stages];

`ifndef SYNTHESIS  // registers are random at time 0
  always_ff @(posedge clk_i) begin
    if (rst_ni && $time != 0 && valid_q[4]) begin
      assert (45'(25'(weighted_rounded)) == weighted_rounded) else $error("policy_grad: term too wide");
    end
  end
`endif
endmodule
