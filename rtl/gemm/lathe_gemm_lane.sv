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
  // At load_i[0]
  input  logic signed [AccW-1:0]  acc_i,
  input  logic [6:0]              amount_i,       // of the window
  input  logic signed [15:0]      aux_i,          // addend or y
  input  logic                    addend_load_i,  // takes an addend; at load_i[0] or, for a row to come, before it
  // At load_i[1]
  input  logic                    addend_new_i,   // the row is the first one that has the addend taken last
  input  logic                    addend_none_i,  // neither this row nor those up to the next new one have an addend
  // At load_i[2]
  input  logic                    keep_i,         // not a pad lane
  input  logic                    plain_i,        // column sums: no activation
  // At load_i[RoundStage]
  input  logic                    nearest_i,
  input  logic [15:0]             term_i,         // round_term
  output logic signed [34:0]      x_o,            // in stage RoundStage - 1
  output logic                    lost_o,
  input  logic                    tanh_i,         // result_o is the one in TanhStage, else the one in RoundStage
  output logic                    sat_o,
  output logic signed [15:0]      result_o        // int8: in the low byte
);
  // Stages 0 and 1: window; addend, shifted left by the fine amount and then by a multiple of 16; y*y.
  window_t window0_q;
  fixed_t fixed1_q;
  logic signed [30:0] addend0_q;
  logic signed [34:0] addend1_q, addend1_d;
  logic signed [15:0] y0_q;
  logic [18:0] square1_q;  // upper bits
  logic positive1_q;

  always_comb begin
    unique case (cfg_i.addend_shift[5:4])
      2'd0: addend1_d = 35'(signed'(addend0_q[30:15]));
      2'd1: addend1_d = 35'(addend0_q) <<< 1;
      default: addend1_d = addend0_q[30:17] == {14{addend0_q[30]}} ? {addend0_q[17:0], 17'd0} :
                           {addend0_q[30], {34{!addend0_q[30]}}};
    endcase
  end

  // Stage 2: sum, relu, derivative factor. For tanh the factor makes the magnitude.
  logic signed [35:0] sum;
  logic signed [34:0] x2_q, clamped;
  logic lost2_q, negative2_q;
  logic signed [17:0] d2_d, d2_q;
  // verilator lint_off UNUSEDSIGNAL
  logic [18:0] factor;  // (2**30 + 2**13 - 1 - y*y) >> 13; its last bit is dropped
  // verilator lint_on UNUSEDSIGNAL

  assign sum = 36'(fixed1_q.x) + 36'(addend1_q);
  assign clamped = sum[35] != sum[34] ? {sum[35], {34{!sum[35]}}} : sum[34:0];
  assign factor = 19'h20001 + ~square1_q;

  always_comb begin
    d2_d = 18'h10000;
    if (cfg_i.dact_tanh) d2_d = 18'(factor[17:1]);
    d2_d[17] = cfg_i.act_tanh && !plain_i && sum[35];
  end

  // Stages 3 and 4: the product of 35 and 17 bits from two of 18.
  logic signed [33:0] high3_q;
  logic signed [35:0] low3_q;
  logic lost3_q, lost4_q, negative3_q, negative4_q;
  logic signed [34:0] x4_q;

  // RoundStage. A magnitude that lost something lies below its value, not above it.
  logic tie, saturates;
  logic signed [19:0] rounded;
  logic signed [15:0] result5_q;
  logic [17:0] arg5_q;
  logic sat5_q, negative5_q;

  assign tie = nearest_i && (negative4_q ? !lost4_q && x4_q[16] : lost4_q || x4_q[16]);
  assign rounded = round_add(x4_q, term_i, tie);
  assign saturates = rounded[19:15] != {5{rounded[19]}} || (cfg_i.int8_result && rounded[14:7] != {8{rounded[19]}});

  always_ff @(posedge clk_i) begin
    if (load_i[0]) window0_q <= window_coarse(acc_i, amount_i);
    if (addend_load_i) addend0_q <= 31'(aux_i) <<< cfg_i.addend_shift[3:0];
    if (load_i[0] && (cfg_i.dact_relu || cfg_i.dact_tanh)) y0_q <= aux_i;
    if (load_i[1]) begin
      fixed1_q <= window_fine(window0_q);
      if (addend_none_i) addend1_q <= '0;
      else if (addend_new_i) addend1_q <= addend1_d;
      positive1_q <= y0_q > 0;
      if (cfg_i.dact_tanh) square1_q <= 19'(unsigned'(32'(y0_q) * 32'(y0_q)) >> 13);
    end
    if (load_i[2]) begin
      if (!keep_i || (cfg_i.act_relu && !plain_i && sum[35]) || (cfg_i.dact_relu && !positive1_q)) begin
        x2_q <= '0;
        lost2_q <= 1'b0;
      end else begin
        x2_q <= clamped;
        lost2_q <= fixed1_q.lost;
      end
      d2_q <= d2_d;
      negative2_q <= d2_d[17];
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
      result5_q <= rounded[15:0];
      if (saturates) begin
        result5_q[14:0] <= {15{!rounded[19]}};
        result5_q[15] <= rounded[19];
        if (cfg_i.int8_result) result5_q[7] <= rounded[19];
      end
      sat5_q <= saturates;
      negative5_q <= negative4_q;
      if (cfg_i.act_tanh) begin
        if (rounded[18]) arg5_q <= '1;
        else arg5_q <= rounded[17:0];
      end
    end
  end

  // tanh; as int8 rounded half up to 8 bits, where only the largest values saturate.
  logic signed [15:0] tanh;
  logic tanh_sat;

  lathe_gemm_tanh u_tanh (
    .clk_i,
    .load_i(load_i[TanhStage-:3]),
    .sign_i(negative5_q),
    .arg_i (arg5_q),
    .y_o   (tanh)
  );

  assign tanh_sat = cfg_i.int8_result && tanh[15:7] == 9'h0ff;

  always_comb begin
    if (!tanh_i) result_o = result5_q;
    else if (cfg_i.int8_result) result_o = {tanh[15:8], tanh[15:8] + 8'(tanh[7] && !tanh_sat)};
    else result_o = tanh;
  end

  assign x_o = x4_q;
  assign lost_o = lost4_q;
  assign sat_o = tanh_i ? tanh_sat : sat5_q;
endmodule
