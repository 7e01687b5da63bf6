// SPDX-License-Identifier: Apache-2.0
// Gradient of the loss, one element a cycle: policy and entropy terms of a logit or the value's error,
// scaled, rounded and saturated. Starts an element only with its row's context and, for the first
// element of a word, room for that word; after that nothing stalls. Collects saturations and top.
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

  input  logic                   in_valid_i,
  output logic                   in_ready_o,   // late: depends on in_valid_i, context and room
  input  elem_t                  in_i,
  input  logic                   ctx_valid_i,
  input  context_t               ctx_i,
  input  logic                   room_i,
  output logic                   take_o,

  output logic                   row_end_o,    // the last element of a row asks for its random number
  output logic [ColW-3:0]        random_col_o, // the number's column / 4, 2 cycles later
  input  logic [31:0]            random_i,     // another 2 cycles later

  output logic                   out_valid_o,
  output logic                   out_last_o,
  output logic signed [15:0]     out_o,
  output logic [31:0]            saturations_o,
  output logic [6:0]             bits_o        // bit length of the largest magnitude before rounding, 0: none
);
  localparam int unsigned LaneW = $clog2(Lanes);
  localparam int unsigned Stages = 13;

  logic [Stages:1] valid_q, last_q;
  logic [ColW-1:0] col_q;
  logic            fire, word_start;

  assign word_start = col_q[LaneW-1:0] == '0;
  assign fire = in_valid_i && ctx_valid_i && (room_i || !word_start);
  assign in_ready_o = fire;
  assign take_o = fire && word_start;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) valid_q <= '0;
    else valid_q <= {valid_q[Stages-1:1], fire};
    last_q <= {last_q[Stages-1:1], in_i.last};
    if (start_i) col_q <= '0;
    else if (fire) col_q <= in_i.last ? '0 : col_q + 1'b1;
  end

  // 1: factors. The value's error takes the entropy term's path with factor 1.
  logic signed [25:0] coef_q;
  logic signed [17:0] miss_q, weight_q;  // P - (a == act); P
  logic signed [26:0] surprise_q;        // lp + H
  always_ff @(posedge clk_i) begin
    if (fire) begin
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

  // 9: the value before rounding; 10-13: shift, shift, round, saturate.
  logic signed [43:0]     v_q;
  logic [43:0]            magnitude_q;  // OR of all
  logic [6:0]             high_q, low_q;  // bit lengths of its halves
  lathe_num_pkg::window_t coarse_q;
  lathe_num_pkg::fixed_t  fixed_q;
  logic signed [19:0]     rounded_q;
  logic [6:0]             amount_q;
  logic [15:0]            mask_q;
  logic [ColW-1:0]        rcol_q, rcol_8_q, rcol_9_q;
  logic [1:0]             rcol_10_q, rcol_11_q;

  always_ff @(posedge clk_i) begin
    if (start_i) amount_q <= lathe_num_pkg::shift_amount(shift_i);
    mask_q <= lathe_num_pkg::window_mask(amount_q[3:0]);
    if (valid_q[8]) v_q <= rest_8_q + 44'(side_8);
    if (valid_q[9]) coarse_q <= lathe_num_pkg::window_coarse(46'(v_q), amount_q[6:4]);
    if (valid_q[10]) fixed_q <= lathe_num_pkg::window_fine(coarse_q, amount_q[3:0], mask_q);
    if (valid_q[11]) begin
      rounded_q <= lathe_num_pkg::round(fixed_q.x, fixed_q.lost, stochastic_i,
                                        lathe_num_pkg::rand16(random_i, rcol_11_q));
    end
    if (valid_q[12]) out_o <= lathe_num_pkg::saturate16(22'(rounded_q));
  end

  always_ff @(posedge clk_i) begin
    if (start_i) begin
      saturations_o <= '0;
      magnitude_q <= '0;
      high_q <= '0;
      low_q <= '0;
    end else begin
      if (valid_q[9]) magnitude_q <= magnitude_q | 44'(lathe_num_pkg::magnitude(64'(v_q)));
      if (valid_q[10]) begin
        high_q <= lathe_num_pkg::bit_length(64'(magnitude_q[43:22]));
        low_q <= lathe_num_pkg::bit_length(64'(magnitude_q[21:0]));
      end
      if (valid_q[12] && lathe_num_pkg::saturates16(22'(rounded_q))) saturations_o <= saturations_o + 32'd1;
    end
  end

  always_ff @(posedge clk_i) bits_o <= (high_q != '0) ? high_q + 7'd22 : low_q;

  // The random number of the element in stage 11, asked for four stages earlier.
  always_ff @(posedge clk_i) begin
    if (start_i) rcol_q <= '0;
    else if (valid_q[7]) rcol_q <= last_q[7] ? '0 : rcol_q + 1'b1;
    rcol_8_q <= rcol_q;
    rcol_9_q <= rcol_8_q;
    rcol_10_q <= rcol_9_q[1:0];
    rcol_11_q <= rcol_10_q;
  end
  assign row_end_o = valid_q[7] && last_q[7];
  assign random_col_o = rcol_9_q[ColW-1:2];

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
