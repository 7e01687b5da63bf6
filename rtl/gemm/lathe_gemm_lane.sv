// SPDX-License-Identifier: Apache-2.0
// Arithmetic of one lane of the drain: acc + bias, times the derivative factor, shift_round, saturate, or tanh
// (numerics.md, sections 2, 3 and 6). A pipeline that never stalls; the stage valids come from outside.
module lathe_gemm_lane
  import lathe_pkg::*;
  import lathe_gemm_pkg::*;
  import lathe_num_pkg::*;
(
  input  logic                       clk_i,
  input  lane_cfg_t                  cfg_i,
  input  logic [NumStages-1:0]       load_i,    // bit s: stage s takes a value
  input  logic signed [AccW-1:0]     acc_i,     // at load_i[0]
  input  logic signed [15:0]         bias_i,
  input  logic signed [15:0]         y_i,
  input  logic [15:0]                rand_i,    // at load_i[RoundStage]
  output logic signed [ValueW-1:0]   value_o,   // v, in stage 5
  output logic                       sat_o,     // in stage RoundStage
  output logic signed [15:0]         result_o,  // in stage RoundStage
  output logic signed [15:0]         tanh_o     // in stage TanhStage
);
  // Stage 0: align the bias.
  localparam int unsigned BiasW = 44;  // 16 bits shifted left by 28 at most
  logic signed [AccW-1:0] acc0_q, sum1_q, sum2_q;
  logic signed [BiasW-1:0] bias0_q;
  logic signed [15:0] y0_q, y1_q;
  logic signed [BiasW-1:0] bias_aligned;

  assign bias_aligned = cfg_i.bias ? BiasW'(align_shift(64'(bias_i), cfg_i.bias_shift)) : '0;

  // Stages 1 and 2: add, find the derivative factor d.
  logic [31:0] yy1_q;
  logic [16:0] d2_d, d2_q;
  logic [16:0] quotient;

  assign quotient = 17'((yy1_q + 32'd8192) >> 14);

  always_comb begin
    d2_d = 17'h10000;
    if (cfg_i.dact_tanh) d2_d = 17'h10000 - quotient;
    else if (cfg_i.dact_relu) d2_d = (y1_q > 0) ? 17'h10000 : '0;
    else if (cfg_i.act_relu) d2_d = (sum1_q > 0) ? 17'h10000 : '0;
  end

  // Stages 3 to 5: v = sum * d from three limbs of 16 bits.
  logic [32:0] low3_q, middle3_q;
  logic signed [ValueW-33:0] high3_q, high4_q;
  logic [49:0] lower4_q;
  logic signed [ValueW-1:0] v5_q;

  // Stages 6 to 8: shift_round in the steps of lathe_num_pkg, saturate.
  coarse_t coarse6_q;
  split_t split7_q;
  logic signed [21:0] rounded;
  logic signed [15:0] result8_q;
  logic signed [18:0] arg8_q;
  logic sat8_q;

  assign rounded = shift_up(split7_q, cfg_i.stochastic, rand_i);

  always_ff @(posedge clk_i) begin
    if (load_i[0]) begin
      acc0_q <= acc_i;
      bias0_q <= bias_aligned;
      y0_q <= y_i;
    end
    if (load_i[1]) begin
      sum1_q <= acc0_q + AccW'(bias0_q);
      y1_q <= y0_q;
      if (cfg_i.dact_tanh) yy1_q <= unsigned'(32'(y0_q) * 32'(y0_q));
    end
    if (load_i[2]) begin
      sum2_q <= sum1_q;
      d2_q <= d2_d;
    end
    if (load_i[3]) begin
      low3_q <= 33'(sum2_q[15:0]) * 33'(d2_q);
      middle3_q <= 33'(sum2_q[31:16]) * 33'(d2_q);
      high3_q <= (ValueW-32)'(signed'(sum2_q[AccW-1:32])) * signed'((ValueW-32)'(d2_q));
    end
    if (load_i[4]) begin
      lower4_q <= 50'(low3_q) + {1'b0, middle3_q, 16'd0};
      high4_q <= high3_q;
    end
    if (load_i[5]) v5_q <= {high4_q, 32'd0} + ValueW'(lower4_q);
    if (load_i[6]) coarse6_q <= shift_coarse(64'(v5_q), cfg_i.shift);
    if (load_i[7]) split7_q <= shift_fine(coarse6_q);
    if (load_i[RoundStage]) begin
      result8_q <= saturate16(rounded);
      sat8_q <= saturates16(rounded);
      if (rounded[21:18] == '0 || rounded[21:18] == '1) arg8_q <= rounded[18:0];
      else arg8_q <= {rounded[21], {18{!rounded[21]}}};
    end
  end

  lathe_gemm_tanh u_tanh (
    .clk_i,
    .load_i(load_i[TanhStage-:4]),
    .arg_i (arg8_q),
    .y_o   (tanh_o)
  );

  assign value_o = v5_q;
  assign sat_o = sat8_q;
  assign result_o = result8_q;

`ifndef SYNTHESIS
  // The limbs together are the plain product.
  logic signed [ValueW-1:0] plain_q [2];
  logic [1:0] plain_valid_q;
  initial plain_valid_q = '0;
  always @(posedge clk_i) begin
    plain_valid_q <= {load_i[4], load_i[3]};
    if (load_i[3]) plain_q[0] <= ValueW'(sum2_q) * signed'(ValueW'(d2_q));
    if (load_i[4]) plain_q[1] <= plain_q[0];
    if (load_i[5] && plain_valid_q == '1) assert (plain_q[1] == ValueW'({high4_q, 32'd0} + ValueW'(lower4_q)))
      else $error("the product's limbs do not add up");
  end
`endif
endmodule
