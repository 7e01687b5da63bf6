// SPDX-License-Identifier: Apache-2.0
// Arithmetic of one lane of the drain: window, addend, activation or derivative factor, round and saturate, or tanh
// (numerics.md, sections 2 and 6). A pipeline that never stalls; the stage valids come from outside.
module lathe_gemm_lane
  import lathe_pkg::*;
  import lathe_gemm_pkg::*;
  import lathe_num_pkg::*;
(
  input  logic                    clk_i,
  // verilator lint_off UNUSEDSIGNAL
  input  lane_cfg_t               cfg_i,          // not shift and stochastic, which go by rows
  // verilator lint_on UNUSEDSIGNAL
  input  logic [NumStages-1:0]    load_i,         // bit s: stage s takes a value
  // At load_i[0]; with row_i, which may come before it, the first stage follows acc_i and aux_i
  input  logic                    row_i,
  input  logic signed [AccW-1:0]  acc_i,
  input  logic [6:0]              amount_i,       // of the window
  input  logic signed [15:0]      aux_i,          // addend or y
  input  logic                    addend_load_i,  // takes an addend; at load_i[0] or, for a row to come, before it
  input  logic                    square_i,       // aux_i is a y of which the square is wanted
  // At load_i[1]
  input  logic                    addend_new_i,   // the row is the first one that has the addend taken last
  input  logic                    addend_none_i,  // neither this row nor those up to the next new one have an addend
  // At load_i[2]
  input  logic                    keep_i,         // not a pad lane
  input  logic                    plain_i,        // column sums: no activation
  // At load_i[RoundStage]
  input  logic                    tanh_i,         // the row's result is a tanh
  input  logic                    nearest_i,
  input  logic [15:0]             term_i,         // round_term
  output logic signed [34:0]      x_o,            // in stage RoundStage - 1
  output logic                    lost_o,
  output logic                    sat_o,          // with result_o
  output logic [15:0]             result_o        // in TanhStage if a tanh, else in RoundStage; int8: in the low byte
);
  // Stages 0 and 1: window; addend, shifted left by the fine amount (a product) and then by a multiple of 16; y*y.
  window_t window0_q;
  fixed_t fixed1_q;
  logic signed [30:0] addend0_q;
  logic signed [34:0] addend1_q;
  logic [18:0] square0_q;  // upper bits
  logic positive0_q, positive1_q;
  logic signed [16:0] factor;
  // verilator lint_off UNUSEDSIGNAL
  logic signed [32:0] product;
  // verilator lint_on UNUSEDSIGNAL

  assign factor = square_i ? 17'(aux_i) : 17'd1 << cfg_i.addend_shift[3:0];
  assign product = 33'(aux_i) * 33'(factor);
  // align(z, s, 31) is addend0 shifted by 15 to the right, 1 or 17 to the left. One LUT4 a bit: above the product is
  // its sign, instead of the product 0 or, as a synchronous set, the largest value.
  logic [2:0] scale;
  logic low, select, sign, over;
  logic signed [34:0] addend1_d;

  assign scale = addend_none_i ? '0 : 3'd1 << cfg_i.addend_shift[5:4];
  assign sign = addend0_q[30];
  assign over = scale[2] && addend0_q[29:17] != {13{sign}};
  assign low = scale[2] && !over;
  assign select = scale[1] || (scale[0] && sign);

  always_comb begin
    for (int unsigned i = 0; i < 35; i++) begin
      if (i == 0) addend1_d[i] = scale[0] && addend0_q[15];
      else if (i < 17) addend1_d[i] = (scale[0] && addend0_q[i<15?i+15:30]) || (scale[1] && addend0_q[i-1]);
      else if (i < 32) addend1_d[i] = scale[1] || low ? (select ? addend0_q[i-1] : addend0_q[i-17]) : select;
      else if (i < 34) addend1_d[i] = low ? addend0_q[i-17] : sign && |scale[1:0];
      else addend1_d[i] = sign && |scale;
    end
  end

  // Stage 2: sum, relu, derivative factor. For tanh the factor makes the magnitude.
  logic signed [35:0] sum;
  logic signed [34:0] x2_q, clamped;
  logic lost2_q, negative, negative2_q;
  logic signed [17:0] d2_q;
  logic [16:0] d1_q;
  // verilator lint_off UNUSEDSIGNAL
  logic [18:0] twice_d;  // (2**30 + 2**13 - 1 - y*y) >> 13; its last bit is dropped
  // verilator lint_on UNUSEDSIGNAL

  assign sum = 36'(fixed1_q.x) + 36'(addend1_q);
  assign clamped = sum[35] != sum[34] ? {sum[35], {34{!sum[35]}}} : sum[34:0];
  assign twice_d = 19'h20001 + ~square0_q;
  assign negative = cfg_i.act_tanh && !plain_i && sum[35];

  // Stages 3 and 4: the product of 35 and 17 bits from two of 18.
  logic signed [33:0] high3_q;
  logic signed [35:0] low3_q;
  logic lost3_q, lost4_q, negative3_q, negative4_q;
  logic signed [34:0] x4_q;

  // RoundStage. A magnitude that lost something lies below its value, not above it.
  logic tie, saturates;
  logic signed [19:0] rounded;
  logic [15:0] result5_q;
  logic [17:0] arg5_q;
  logic sat5_q, negative5_q;

  assign tie = nearest_i && (negative4_q ? !lost4_q && x4_q[16] : lost4_q || x4_q[16]);
  assign rounded = round_add(x4_q, term_i, tie);
  assign saturates = rounded[19:15] != {5{rounded[19]}} || (cfg_i.int8_result && rounded[14:7] != {8{rounded[19]}});

  always_ff @(posedge clk_i) begin
    if (addend_load_i) addend0_q <= product[30:0];
    if (row_i) begin
      window0_q <= window_coarse(acc_i, amount_i);
      if (cfg_i.dact_tanh) square0_q <= product[31:13];
      else square0_q <= '0;
      positive0_q <= aux_i > 0;
    end
    if (load_i[1]) begin
      fixed1_q <= window_fine(window0_q);
      if (addend_none_i || addend_new_i) begin
        if (over && !sign) addend1_q <= {1'b0, {34{1'b1}}};
        else addend1_q <= addend1_d;
      end
      positive1_q <= positive0_q;
      d1_q <= twice_d[17:1];
    end
    if (load_i[2]) begin
      if (!keep_i || (cfg_i.act_relu && !plain_i && sum[35]) || (cfg_i.dact_relu && !positive1_q)) begin
        x2_q <= '0;
        lost2_q <= 1'b0;
      end else begin
        x2_q <= clamped;
        lost2_q <= fixed1_q.lost;
      end
      d2_q <= {negative, d1_q};
      negative2_q <= negative;
    end
    if (load_i[3]) begin
      high3_q <= 34'(36'(signed'(x2_q[34:17])) * 36'(d2_q));
      low3_q <= 36'(signed'({1'b0, x2_q[16:0]})) * 36'(d2_q);
      lost3_q <= lost2_q;
      negative3_q <= negative2_q;
    end
    if (load_i[4]) begin
      x4_q <= {high3_q, 1'b0} + 35'(signed'(low3_q[35:16]));
      lost4_q <= lost3_q || low3_q[15:0] != '0;
      negative4_q <= negative3_q;
    end
    if (load_i[RoundStage]) begin
      if (tanh_i) begin
        result5_q <= '0;
        sat5_q <= 1'b0;
      end else begin
        result5_q <= rounded[15:0];
        if (saturates) begin
          result5_q[14:0] <= {15{!rounded[19]}};
          result5_q[15] <= rounded[19];
          if (cfg_i.int8_result) result5_q[7] <= rounded[19];
        end
        sat5_q <= saturates;
      end
      negative5_q <= negative4_q;
      if (cfg_i.act_tanh) begin
        if (rounded[18]) arg5_q <= '1;
        else arg5_q <= rounded[17:0];
      end
    end
  end

  // A result is there when the other one is zero.
  logic [15:0] tanh;
  logic tanh_sat;

  lathe_gemm_tanh u_tanh (
    .clk_i,
    .load_i(load_i[TanhStage-:4]),
    .int8_i(cfg_i.int8_result),
    .sign_i(negative5_q),
    .arg_i (arg5_q),
    .y_o   (tanh),
    .sat_o (tanh_sat)
  );

  assign x_o = x4_q;
  assign lost_o = lost4_q;
  assign sat_o = sat5_q || tanh_sat;
  assign result_o = result5_q | tanh;
endmodule
