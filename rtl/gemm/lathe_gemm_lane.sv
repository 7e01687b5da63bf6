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
  input  logic [4:0]              at_i,           // of the window: window_at
  input  logic [3:0]              fine_i,
  input  logic [15:0]             mask_i,         // window_mask of it
  input  logic                    real_i,         // not a pad lane
  input  logic signed [15:0]      aux_i,          // addend or y
  input  logic                    addend_load_i,  // takes an addend; at load_i[0] or, for a row to come, before it
  input  logic signed [16:0]      factor_i,       // of aux_i: 1 << cfg_i.addend_shift[3:0], or aux_i for a square
  input  logic [14:2]             beyond_i,       // the bits that this shifts beyond 17 bits
  // At load_i[1]
  input  logic                    addend_new_i,   // the row is the first one that has the addend taken last, or none
  input  logic [2:0]              scale_i,        // of the addend: one-hot of cfg_i.addend_shift[5:4], or 0 for none
  // At load_i[2]
  input  logic                    keep_i,         // not a pad lane
  input  logic                    plain_i,        // column sums: no activation
  input  logic                    terms_i,        // the command has an addend or a derivative's factor: its terms count
  // At load_i[RoundStage - 1]
  input  logic                    nearest_i,
  // At load_i[RoundStage]
  input  logic                    tanh_i,         // the row's result is a tanh
  input  logic                    arg_load_i,     // the command has tanh, and load_i[RoundStage]
  input  logic [15:0]             term_i,         // round_term
  output logic [30:0]             terms_o,        // in stage 2: upper bits of its terms' magnitudes, joined
  output fixed_t                  x_o,            // in stage RoundStage - 1
  output logic                    sat_o,          // with result_o
  output logic [15:0]             result_o        // in TanhStage if a tanh, else in RoundStage; int8: in the low byte
);
  // align(z, s, 31) is z, shifted left by the fine amount, shifted by 15 to the right, 1 or 17 to the left (scale one-hot;
  // the last one is too much if `beyond`), or 0. One LUT4 a bit: above z is its sign, instead of it 0 or, as a synchronous
  // set, the largest value.
  function automatic logic signed [34:0] lane_align(logic signed [30:0] z, logic beyond, logic [2:0] scale);
    logic sign, over, low, other, second;
    sign = z[30];
    over = scale[2] && beyond;
    low = scale[2] && !over;
    other = scale[1] || low;
    second = scale[1] || (scale[0] && sign);
    if (over && !sign) return {1'b0, {34{1'b1}}};
    return {
      sign && |scale, ({2{low}} & z[16:15]) | {2{sign && |scale[1:0]}},
      ({15{other && second}} & z[30:16]) | ({15{other && !second}} & z[14:0]) | {15{!other && second}},
      ({16{scale[0]}} & {sign, z[30:16]}) | ({16{scale[1]}} & z[15:0]), scale[0] && z[15]
    };
  endfunction

  // Everything is computed under its stage's enable: a stage without a row costs a simulation nothing.
  // Stages 0 and 1: window; addend, shifted left by the fine amount (a product) and then by a multiple of 16; y*y.
  (* keep *) logic [49:0]  some;  // these are a level of logic of their own, so that one more is enough
  (* keep *) window_rest_t rest;
  window_t window0_q;
  logic [3:0] fine0_q;
  logic [15:0] mask0_q;
  fixed_t fixed1_q;
  logic cut1_q, addend_cut1_q;  // clamp35 changed the window, the addend
  logic signed [30:0] addend0_q;
  logic beyond0_q;
  logic signed [34:0] addend1_q;
  logic [18:0] square0_q;  // upper bits
  logic positive0_q, positive1_q;
  logic [16:0] d1_q;

  always_comb begin
    {some, rest} = 'x;
    if (load_i[0]) begin
      some = window_some(acc_i, at_i[3:0]);
      rest = window_rest(acc_i, at_i);
    end
  end

  always_ff @(posedge clk_i) begin
    if (load_i[0] || addend_load_i) begin
      // verilator lint_off UNUSEDSIGNAL
      logic signed [32:0] product;
      // verilator lint_on UNUSEDSIGNAL
      product = 33'(aux_i) * 33'(factor_i);
      if (addend_load_i) begin
        addend0_q <= product[30:0];
        beyond0_q <= ((aux_i[14:2] ^ {13{aux_i[15]}}) & beyond_i) != '0;
      end
      if (load_i[0]) square0_q <= cfg_i.dact_tanh ? product[31:13] : '0;
    end
    if (load_i[0]) begin
      window0_q <= window_join(acc_i, at_i, some, rest);
      // A pad lane's value is not used. Without this all lanes, far from each other, would share these registers.
      fine0_q <= real_i ? fine_i : '0;
      mask0_q <= real_i ? mask_i : '0;
      positive0_q <= aux_i > 0;
    end
    if (load_i[1]) begin
      fixed1_q <= window_fine(window0_q, fine0_q, mask0_q);
      cut1_q <= window_cut(window0_q, mask0_q);
      if (addend_new_i) begin
        addend1_q <= lane_align(addend0_q, beyond0_q, scale_i);
        addend_cut1_q <= beyond0_q && scale_i[2];
      end
      positive1_q <= positive0_q;
      d1_q <= 17'((19'h20001 + ~square0_q) >> 1);  // (2**30 + 2**13 - 1 - y*y) >> 13, without its last bit
    end
  end

  // Stage 2: sum, relu, derivative factor. For tanh the factor makes the magnitude. The terms: what they leave of the headroom.
  fixed_t x2_q;
  logic signed [17:0] d2_q;
  logic negative2_q;
  logic [30:0] terms2_q;
  logic cut2_q, cut3_q, cut4_q;  // a result that is wrong by what was cut

  always_ff @(posedge clk_i) begin
    if (load_i[2]) begin
      logic signed [35:0] sum;
      logic negative;
      sum = 36'(signed'(fixed1_q.x)) + 36'(addend1_q);
      negative = cfg_i.act_tanh && !plain_i && sum[35];
      if (!keep_i || (cfg_i.act_relu && !plain_i && sum[35]) || (cfg_i.dact_relu && !positive1_q)) x2_q <= '0;
      else x2_q <= '{x: sum[35] != sum[34] ? {sum[35], {34{!sum[35]}}} : sum[34:0], lost: fixed1_q.lost};
      d2_q <= {negative, d1_q};
      negative2_q <= negative;
      if (!keep_i || !terms_i || (cfg_i.dact_relu && !positive1_q)) begin
        terms2_q <= '0;
        cut2_q <= 1'b0;
      end else begin
        terms2_q <= (fixed1_q.x[33:3] ^ {31{fixed1_q.x[34]}}) | (addend1_q[33:3] ^ {31{addend1_q[34]}});
        if (cfg_i.dact_tanh) cut2_q <= cut1_q || addend_cut1_q || sum[35] != sum[34];
        else cut2_q <= (cut1_q || addend_cut1_q) && fixed1_q.x[34] != addend1_q[34];
      end
    end
  end

  assign terms_o = terms2_q;

  // Stages 3 and 4: the product of 35 and 17 bits from two of 18. A magnitude that lost something lies below its value, not
  // above it.
  logic signed [33:0] high3_q;
  logic signed [35:0] low3_q;
  logic lost3_q, negative3_q, negative4_q, tie4_q;
  fixed_t x4_q;

  always_ff @(posedge clk_i) begin
    if (load_i[3]) begin
      high3_q <= 34'(36'(signed'(x2_q.x[34:17])) * 36'(d2_q));
      low3_q <= 36'(signed'({1'b0, x2_q.x[16:0]})) * 36'(d2_q);
      lost3_q <= x2_q.lost;
      negative3_q <= negative2_q;
      cut3_q <= cut2_q;
    end
    if (load_i[4]) begin
      fixed_t product;
      product.x = {high3_q, 1'b0} + 35'(signed'(low3_q[35:16]));
      product.lost = lost3_q || low3_q[15:0] != '0;
      x4_q <= product;
      tie4_q <= nearest_i && (negative3_q ? !product.lost && product.x[16] : product.lost || product.x[16]);
      negative4_q <= negative3_q;
      cut4_q <= cut3_q;
    end
  end

  // RoundStage.
  logic [15:0] result5_q;
  logic [17:0] arg5_q;
  logic cut5_q;                        // counts as saturated in any case
  logic [3:0] sat5_q;                  // saturates (any); then what takes the place of result5_q:
  logic sign5_q, sign7_5_q, negative5_q;  // its bit 15, its bit 7; the other ones are !bit 15

  always_ff @(posedge clk_i) begin
    if (load_i[RoundStage]) begin
      logic signed [19:0] rounded;
      logic sign;
      rounded = round_add(x4_q.x, term_i, tie4_q);
      sign = rounded[19];
      if (tanh_i) begin
        result5_q <= '0;
        sat5_q <= '0;
        cut5_q <= 1'b0;
      end else begin
        cut5_q <= cut4_q;
        result5_q <= rounded[15:0];
        sat5_q[0] <= rounded[18:15] != {4{sign}};
        if (cfg_i.int8_result) begin
          sat5_q[3:1] <= {rounded[14:12] != {3{sign}}, rounded[11:9] != {3{sign}}, rounded[8:7] != {2{sign}}};
        end else begin
          sat5_q[3:1] <= '0;
        end
      end
      sign5_q <= sign;
      sign7_5_q <= sign == cfg_i.int8_result;
      negative5_q <= negative4_q;
      if (arg_load_i) begin
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
  assign sat_o = |sat5_q || cut5_q || tanh_sat;
  assign result_o = (|sat5_q ? {sign5_q, {7{!sign5_q}}, sign7_5_q, {7{!sign5_q}}} : result5_q) | tanh;
endmodule
