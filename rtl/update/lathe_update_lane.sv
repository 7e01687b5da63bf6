// SPDX-License-Identifier: Apache-2.0
// Datapath of one element of SGD with momentum (numerics.md, section 9): the new momentum 7 cycles, the new weight
// 13 cycles after the operands, one element per cycle, two 16 x 16 multipliers. It never stalls and holds no state
// of the optimizer. Another optimizer is another such lane beside it, with its own number of stages.
//
//   stage   0        1         2, 3     4      5      6     7         8, 9     10      11     12
//           m, g  -> * mom  -> align -> sum -> round -> m' -> * lr  -> align -> diff -> round -> w'
//           w   ------------------------------------------------------> align
module lathe_update_lane (
  input  logic               clk_i,
  input  logic [12:0]        valid_i,        // bit k: an element enters stage k
  // Settings, constant while an element is inside. Shifts are 0..63, see lathe_update.
  input  logic [15:0]        momentum_i,
  input  logic [15:0]        lr_mant_i,
  input  logic [5:0]         shift_m_i,
  input  logic [5:0]         shift_g_i,
  input  logic [5:0]         shift_w_i,
  input  logic [5:0]         shift_lr_i,
  input  logic               stochastic_i,
  // Stage 0
  input  logic signed [15:0] w_i,
  input  logic signed [15:0] g_i,
  input  logic signed [15:0] m_i,
  // Stage 5
  input  logic [31:0]        rand_i,
  output logic [46:0]        vm_magnitude_o, // v if v >= 0 else -1 - v, of m' before rounding
  // Stage 7
  output logic signed [15:0] mn_o,
  output logic               mn_saturated_o,
  // Stage 11
  output logic [46:0]        vw_magnitude_o,
  // Stage 13
  output logic signed [15:0] wn_o,
  output logic               wn_saturated_o
);
  localparam int unsigned TermW = 47;  // an aligned term
  localparam int unsigned SumW = 48;

  // align in two steps: the term stands `up` bits to the left and is shifted right by `up - s`, 0..63
  function automatic logic signed [TermW-1:0] align_coarse(logic signed [TermW-1:0] x, logic [1:0] shift);
    return x >>> {shift, 4'd0};
  endfunction
  function automatic logic signed [TermW-1:0] align_fine(logic signed [TermW-1:0] x, logic [3:0] shift);
    return x >>> shift;
  endfunction

  // shift_round(v, 16, stochastic, r): both roundings are one addition before the cut
  function automatic logic signed [31:0] shift_round_16(logic signed [SumW-1:0] v, logic stochastic, logic [15:0] r);
    logic [15:0] addend;
    addend = stochastic ? r : 16'h7FFF + 16'(v[16]);
    return 32'((v + signed'({32'd0, addend})) >>> 16);
  endfunction

  function automatic logic saturates16(logic [16:0] high);  // of v, from its sign down to bit 15
    return high != '0 && high != '1;
  endfunction
  function automatic logic signed [15:0] saturate16(logic signed [31:0] v);
    return saturates16(v[31:15]) ? {v[31], {15{!v[31]}}} : v[15:0];
  endfunction

  // ---- Momentum ----
  logic signed [15:0]      m0_q, g0_q, g1_q;
  logic signed [31:0]      pm_q;
  logic signed [TermW-1:0] m2_q, g2_q, m3_q, g3_q;
  logic signed [SumW-1:0]  vm_q;
  logic signed [31:0]      rm_q;
  logic signed [15:0]      mn_q;
  logic                    mn_saturated_q;

  always_ff @(posedge clk_i) begin
    if (valid_i[0]) begin
      m0_q <= m_i;
      g0_q <= g_i;
    end
    if (valid_i[1]) begin
      pm_q <= 32'(signed'({1'b0, momentum_i}) * m0_q);
      g1_q <= g0_q;
    end
    if (valid_i[2]) begin
      m2_q <= align_coarse({pm_q, 15'd0}, shift_m_i[5:4]);
      g2_q <= align_coarse({g1_q, 31'd0}, shift_g_i[5:4]);
    end
    if (valid_i[3]) begin
      m3_q <= align_fine(m2_q, shift_m_i[3:0]);
      g3_q <= align_fine(g2_q, shift_g_i[3:0]);
    end
    if (valid_i[4]) vm_q <= SumW'(m3_q) + SumW'(g3_q);
    if (valid_i[5]) rm_q <= shift_round_16(vm_q, stochastic_i, rand_i[31:16]);
    if (valid_i[6]) begin
      mn_q <= saturate16(rm_q);
      mn_saturated_q <= saturates16(rm_q[31:15]);
    end
  end

  assign vm_magnitude_o = vm_q[SumW-2:0] ^ {(SumW - 1){vm_q[SumW-1]}};
  assign mn_o = mn_q;
  assign mn_saturated_o = mn_saturated_q;

  // ---- What waits for the new momentum ----
  logic signed [15:0] w_q [8];
  logic [15:0]        rand_q [6:11];
  always_ff @(posedge clk_i) begin
    if (valid_i[0]) w_q[0] <= w_i;
    for (int unsigned k = 1; k < 8; k++) if (valid_i[k]) w_q[k] <= w_q[k-1];
    if (valid_i[5]) rand_q[6] <= rand_i[15:0];
    for (int unsigned k = 7; k < 12; k++) if (valid_i[k-1]) rand_q[k] <= rand_q[k-1];
  end

  // ---- Weight ----
  logic signed [31:0]      pl_q;
  logic signed [TermW-1:0] l8_q, w8_q, l9_q, w9_q;
  logic signed [SumW-1:0]  vw_q;
  logic signed [31:0]      rw_q;
  logic signed [15:0]      wn_q;
  logic                    wn_saturated_q;

  always_ff @(posedge clk_i) begin
    if (valid_i[7]) pl_q <= 32'(signed'({1'b0, lr_mant_i}) * mn_q);
    if (valid_i[8]) begin
      l8_q <= align_coarse({pl_q, 15'd0}, shift_lr_i[5:4]);
      w8_q <= align_coarse({w_q[7], 31'd0}, shift_w_i[5:4]);
    end
    if (valid_i[9]) begin
      l9_q <= align_fine(l8_q, shift_lr_i[3:0]);
      w9_q <= align_fine(w8_q, shift_w_i[3:0]);
    end
    if (valid_i[10]) vw_q <= SumW'(w9_q) - SumW'(l9_q);
    if (valid_i[11]) rw_q <= shift_round_16(vw_q, stochastic_i, rand_q[11]);
    if (valid_i[12]) begin
      wn_q <= saturate16(rw_q);
      wn_saturated_q <= saturates16(rw_q[31:15]);
    end
  end

  assign vw_magnitude_o = vw_q[SumW-2:0] ^ {(SumW - 1){vw_q[SumW-1]}};
  assign wn_o = wn_q;
  assign wn_saturated_o = wn_saturated_q;

`ifndef SYNTHESIS
  // The plain formulas
  function automatic logic signed [SumW-1:0] align(logic signed [31:0] x, int up, logic [5:0] shift);
    int s;
    s = up - int'(shift);
    return (s >= 0) ? SumW'(x) << s : SumW'(x) >>> -s;
  endfunction
  function automatic logic signed [31:0] round_to_even(logic signed [SumW-1:0] v);
    logic signed [31:0] q;
    q = v[SumW-1:16];
    return q + 32'(v[15:0] > 16'h8000 || (v[15:0] == 16'h8000 && q[0]));
  endfunction
  logic checking_q;  // false before the first reset, when valid bits are anything
  initial checking_q = 1'b0;
  always @(posedge clk_i) if (valid_i == '0) checking_q <= 1'b1;

  logic signed [SumW-1:0] sum_q;
  always_ff @(posedge clk_i) begin
    if (valid_i[8]) sum_q <= align(32'(w_q[7]), 31, shift_w_i) - align(pl_q, 15, shift_lr_i);
    if (checking_q && valid_i[9]) begin
      assert (SumW'(align_fine(w8_q, shift_w_i[3:0])) - SumW'(align_fine(l8_q, shift_lr_i[3:0])) == sum_q) else $error("align");
    end
    if (checking_q && valid_i[11] && !stochastic_i) begin
      assert (shift_round_16(vw_q, 1'b0, '0) == round_to_even(vw_q)) else $error("shift_round");
    end
  end
`endif
endmodule
