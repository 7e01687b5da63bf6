// SPDX-License-Identifier: Apache-2.0
// Datapath of one element of SGD with momentum (numerics.md, section 9): the new momentum 7 stages, the new weight
// 14 stages after the operands, two 18 x 18 multipliers. It holds no state of the optimizer. Another optimizer is
// another such lane beside it, with its own number of stages. Never waits; keeps its own copy of what enables its stages.
//
//   stage   0      1             2, 3     4      5        6     7      8            9, 10    11      12       13
//           m  ->  * momentum -> align -> sum -> round -> m' -> m'  -> * lr_mant -> align -> diff -> round -> w'
//           g                ---> align                         w   ------------> align
module lathe_update_lane
  import lathe_update_pkg::*;
(
  input  logic               clk_i,
  input  logic               valid_i,         // an element enters stage 1; stages 0 and 1 take what is there, element or not
  // Constant while an element is inside
  input  align_cfg_t         align_i [4],     // momentum * m, g, w, lr * m'
  input  logic [16:0]        momentum_i,      // shifted to the left by its pre[0]
  input  logic [16:0]        lr_mant_i,
  input  logic               to_even_i,       // not stochastic: then the random numbers are 0x7FFF
  // Stage 0
  input  logic signed [15:0] g_i,
  input  logic signed [15:0] m_i,
  // Stage 5
  input  logic [15:0]        m_rand_i,
  output logic signed [35:0] vm_o,            // m' before rounding; beyond 35 bits it counts as clamped
  // Stage 7
  input  logic signed [15:0] w_i,
  output logic signed [15:0] mn_o,
  output logic               mn_saturated_o,
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
  (* keep *) always_ff @(posedge clk_i) en_q <= {en_q[12:2], valid_i};

  // ---- Momentum ----
  logic signed [17:0]      m0_q;
  logic signed [15:0]      g0_q;
  logic signed [34:0]      pm_q;
  logic signed [18:0]      g1_q;
  logic signed [TermW-1:0] m_term, g_term;
  logic signed [35:0]      vm_q;
  logic signed [20:0]      rm_q;

  always_ff @(posedge clk_i) begin
    m0_q <= align_i[0].pre[1] ? {m_i, 2'd0} : 18'(m_i);
    g0_q <= g_i;
    pm_q <= 35'(m0_q * signed'({1'b0, momentum_i}));
    g1_q <= 19'(g0_q) << align_i[1].pre;
    if (en_q[4]) vm_q <= 36'(m_term) + 36'(g_term);
    if (en_q[5]) rm_q <= round(vm_q, to_even_i, m_rand_i);
    if (en_q[6]) begin
      mn_o <= saturate16(rm_q);
      mn_saturated_o <= saturates16(rm_q[20:15]);
    end
  end

  lathe_update_align #(
    .Width(32)
  ) u_m (
    .clk_i,
    .en_i(en_q[3:2]),
    .cfg_i(align_i[0]),
    .x_i(pm_q),
    .term_o(m_term)
  );

  lathe_update_align #(
    .Width(16)
  ) u_g (
    .clk_i,
    .en_i(en_q[3:2]),
    .cfg_i(align_i[1]),
    .x_i(g1_q),
    .term_o(g_term)
  );

  // ---- Weight ----
  logic signed [17:0]      m7_q;
  logic signed [15:0]      w7_q;
  logic signed [34:0]      pl_q;
  logic signed [18:0]      w8_q;
  logic signed [TermW-1:0] w_term, lr_term;
  logic signed [35:0]      vw_q;
  logic signed [20:0]      rw_q;

  always_ff @(posedge clk_i) begin
    if (en_q[7]) begin
      m7_q <= align_i[3].pre[1] ? {mn_o, 2'd0} : 18'(mn_o);
      w7_q <= w_i;
    end
    if (en_q[8]) begin
      pl_q <= 35'(m7_q * signed'({1'b0, lr_mant_i}));
      w8_q <= 19'(w7_q) << align_i[2].pre;
    end
    if (en_q[11]) vw_q <= 36'(w_term) - 36'(lr_term);
    if (en_q[12]) rw_q <= round(vw_q, to_even_i, w_rand_i);
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
    .cfg_i(align_i[2]),
    .x_i(w8_q),
    .term_o(w_term)
  );

  lathe_update_align #(
    .Width(32)
  ) u_lr (
    .clk_i,
    .en_i(en_q[10:9]),
    .cfg_i(align_i[3]),
    .x_i(pl_q),
    .term_o(lr_term)
  );

  assign vm_o = vm_q;
  assign vw_o = vw_q;
endmodule
