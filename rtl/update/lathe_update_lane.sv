// SPDX-License-Identifier: Apache-2.0
// Datapath of one element of a step (numerics.md, section 9) with two 18 x 18 multipliers: the new momentum 7 stages after the
// operands, the new weight 7 stages after w. It holds no state of the optimizer, and of adam only what follows the logarithms.
// Never waits; keeps its own copy of what enables its stages.
//
//   stage   0      1             2, 3     4      5        6     7      8            9, 10    11      12       13
//           m  ->  * momentum -> align -> sum -> round -> m' -> m'  -> * lr_mant -> align -> diff -> round -> w'
//           g                ---> align                         w   ------------> align
//
// sgd: momentum is 0 and m' is not written. At half rate the multipliers work on two products in turn:
// - k * g goes through the path of m, a cycle before it, and is held; g's own path is not used.
// - nesterov: m' times -momentum, less than what was held of g, becomes u as if it were w'; u enters stage 7 as m' did.
// - adam: at stage 7 also w itself, for the decay, three cycles after m'. P * m' leaves in product_o and comes back aligned and
//   inverted; the inverse less the decay is the inverse of the sum, which enters the difference a cycle later.
module lathe_update_lane
  import lathe_update_pkg::*;
(
  input  logic               clk_i,
  input  logic               valid_i,         // an element enters stage 1; stages 0 and 1 take what is there, element or not
  // Constant while an element is inside
  input  logic               nesterov_i,
  input  logic               adam_i,
  input  logic               half_i,
  input  align_cfg_t         align_g_i,
  input  align_cfg_t         align_w_i,
  // Constant, or in turn at half rate
  input  align_cfg_t         align_m_i,       // momentum * m, k * g
  input  align_cfg_t         align_b_i,       // lr * m'; momentum * m'; the decay
  input  logic               m_up_i,          // stage 0: shift to the left by two
  input  logic               b_up_i,          // stage 7
  input  logic [17:0]        factor_m_i,      // stage 1
  input  logic signed [17:0] factor_b_i,      // a cycle before stage 8
  input  logic               m_even_i,        // half to even: then the random numbers are 0x7FFF
  input  logic               w_even_i,
  input  logic               g_turn_i,        // stage 0 takes k * g's g; what comes out of the path of m is held
  input  logic               again_i,         // stage 7 takes u or w
  input  logic               p_turn_i,        // stage 7 is adam's: shifted by p_up_i, then times p_i; stage 11 subtracts the sum
  input  logic               x_turn_i,        // stage 11 takes something else than w
  // Stage 0
  input  logic signed [15:0] g_i,
  input  logic signed [15:0] m_i,
  input  logic signed [15:0] g_held_i,        // with g_turn_i
  // Stage 5
  input  logic [15:0]        m_rand_i,
  output logic signed [35:0] vm_o,            // m' before rounding; beyond 35 bits it counts as clamped
  // Stage 7
  input  logic signed [15:0] w_i,
  output logic signed [15:0] mn_o,
  output logic               mn_saturated_o,
  input  logic [16:0]        p_i,
  input  logic               p_up_i,
  output logic signed [34:0] product_o,       // stage 9
  input  logic               term_load_i,
  input  logic signed [TermW-1:0] term_i,
  // Stage 12
  input  logic [15:0]        w_rand_i,
  output logic signed [35:0] vw_o,
  // Stage 14
  output logic signed [15:0] wn_o,
  output logic               wn_saturated_o
);
  // round(v, 0, stochastic, r): both roundings are one addition before the cut, the lowest bit carries in
  function automatic logic signed [20:0] round(logic signed [35:0] v, logic to_even, logic [15:0] r);
    return 21'((signed'({v[35], v, 1'b1}) + signed'({21'd0, r, to_even && v[16]})) >>> 17);
  endfunction

  function automatic logic saturates16(logic [5:0] high);  // of v, from its sign down to bit 15
    return high != '0 && high != '1;
  endfunction
  function automatic logic signed [15:0] saturate16(logic signed [20:0] v);
    return saturates16(v[20:15]) ? {v[20], {15{!v[20]}}} : v[15:0];
  endfunction

  logic [13:2] en_q;  // bit k: an element enters stage k
  (* keep *) always_ff @(posedge clk_i) en_q <= {en_q[12:2], valid_i} | {12{half_i}};

  // ---- Momentum ----
  logic signed [15:0]      x0;
  logic signed [17:0]      m0_q;
  logic signed [15:0]      g0_q;
  logic signed [34:0]      pm_q;
  logic signed [18:0]      g1_q;
  logic signed [TermW-1:0] m_term, g_term, held_q, held2_q, held3_q, held4_q;
  logic signed [35:0]      vm_q;
  logic signed [20:0]      rm_q;

  assign x0 = g_turn_i ? g_held_i : m_i;

  always_ff @(posedge clk_i) begin
    m0_q <= m_up_i ? {x0, 2'd0} : 18'(x0);
    g0_q <= g_i;
    pm_q <= 35'(m0_q * signed'(factor_m_i));
    g1_q <= 19'(g0_q) << align_g_i.pre;
    if (en_q[4]) vm_q <= 36'(m_term) + 36'(half_i ? held_q : g_term);
    if (en_q[5]) rm_q <= round(vm_q, m_even_i, m_rand_i);
    if (en_q[6]) begin
      mn_o <= saturate16(rm_q);
      mn_saturated_o <= saturates16(rm_q[20:15]);
    end
  end

  always_ff @(posedge clk_i) begin
    if (g_turn_i) {held_q, held2_q, held3_q} <= {m_term, held_q, held2_q};
    if (!nesterov_i) held4_q <= '0;
    else if (g_turn_i) held4_q <= held3_q;
  end

  lathe_update_align #(
    .Width(32)
  ) u_m (
    .clk_i,
    .en_i(en_q[3:2]),
    .cfg_i(align_m_i),
    .x_i(pm_q),
    .term_o(m_term)
  );

  lathe_update_align #(
    .Width(16)
  ) u_g (
    .clk_i,
    .en_i(en_q[3:2]),
    .cfg_i(align_g_i),
    .x_i(g1_q),
    .term_o(g_term)
  );

  // ---- Weight ----
  logic signed [15:0]      x7;
  logic signed [17:0]      m7_q, factor_q;
  logic signed [15:0]      w7_q;
  logic signed [34:0]      pl_q;
  logic signed [18:0]      w8_q;
  logic signed [TermW-1:0] w_term, lr_term, p_term_q, from, less, sum;
  logic signed [35:0]      vw_q;
  logic signed [20:0]      rw_q;

  assign x7 = again_i ? (adam_i ? w_i : wn_o) : mn_o;
  assign sum = vw_q[35] == vw_q[34] ? ~vw_q[34:0] : {!vw_q[35], {34{vw_q[35]}}};
  assign from = x_turn_i ? held4_q | p_term_q : w_term;
  assign less = p_turn_i ? sum : lr_term;

  always_ff @(posedge clk_i) begin
    factor_q <= p_turn_i ? {1'b0, p_i} : factor_b_i;
    if (en_q[7]) begin
      m7_q <= (p_turn_i ? p_up_i : b_up_i) ? {x7, 2'd0} : 18'(x7);
      w7_q <= w_i;
    end
    if (en_q[8]) begin
      pl_q <= 35'(m7_q * factor_q);
      w8_q <= 19'(w7_q) << align_w_i.pre;
    end
    if (!adam_i) p_term_q <= '0;
    else if (term_load_i) p_term_q <= term_i;
    if (en_q[11]) vw_q <= 36'(from) - 36'(less);
    if (en_q[12]) rw_q <= round(vw_q, w_even_i, w_rand_i);
    if (en_q[13]) begin
      wn_o <= saturate16(rw_q);
      wn_saturated_o <= saturates16(rw_q[20:15]);
    end
  end

  lathe_update_align #(
    .Width(16)
  ) u_w (
    .clk_i,
    .en_i(en_q[10:9]),
    .cfg_i(align_w_i),
    .x_i(w8_q),
    .term_o(w_term)
  );

  lathe_update_align #(
    .Width(32)
  ) u_lr (
    .clk_i,
    .en_i(en_q[10:9]),
    .cfg_i(align_b_i),
    .x_i(pl_q),
    .term_o(lr_term)
  );

  assign product_o = pl_q;
  assign vm_o = vm_q;
  assign vw_o = vw_q;
endmodule
