// SPDX-License-Identifier: Apache-2.0
// Derives from a command what stays constant while it runs: last indices and what the drain needs.
// Of the shape combinational; the settings of the drain come a cycle after the command.
module lathe_gemm_setup
  import lathe_pkg::*;
  import lathe_desc_pkg::*;
  import lathe_gemm_pkg::*;
  import lathe_num_pkg::*;
(
  input  logic       clk_i,
  // Fields of other units are not looked at.
  // verilator lint_off UNUSEDSIGNAL
  input  cmd_t       cmd_i,
  // verilator lint_on UNUSEDSIGNAL
  output shape_t     shape_o,
  output drain_ctx_t ctx_o
);
  logic signed [9:0] target, addend_exp;  // e_T
  logic signed [9:0] shift_q, colsum_shift_q, addend_shift_q;  // not yet clamped
  logic [DimW-1:0] k_last;

  assign target = cmd_i.act == ActTanh ? -10'sd15 : 10'(cmd_i.t[2].exp);
  assign addend_exp = cmd_i.accumulate ? 10'(cmd_i.t[4].exp) : 10'(cmd_i.t[3].exp);
  assign k_last = cmd_i.k - 1'b1;

  // align(z, s, up = 31) as (z << shift) >> 15, s at least -15: further right only the sign is left, as at -15. From s - 17.
  function automatic logic [5:0] addend_shift(logic signed [9:0] s);
    if (!s[9] && (s[8:4] != '0 || s[3:0] == '1)) return 6'd46;
    if (s[9] && s[8:5] != '1) return 6'd0;
    return {!s[5], s[4:0]};
  endfunction

  always_ff @(posedge clk_i) begin
    addend_shift_q <= addend_exp + ~target;
    shift_q <= target - 10'(cmd_i.t[0].exp) - 10'(cmd_i.t[1].exp);
    colsum_shift_q <= 10'(cmd_i.t[4].exp) - 10'(cmd_i.t[1].exp);
  end

  always_comb begin
    shape_o.m_last = cmd_i.m - 1'b1;
    shape_o.n_last = cmd_i.n - 1'b1;
    shape_o.k_last = cmd_i.int8 ? k_last >> 1 : k_last;
    ctx_o.shape = shape_o;
    ctx_o.lane.bias = cmd_i.bias;
    ctx_o.lane.accumulate = cmd_i.accumulate;
    ctx_o.lane.addend_shift = addend_shift(addend_shift_q);
    ctx_o.lane.act_relu = cmd_i.act == ActRelu;
    ctx_o.lane.act_tanh = cmd_i.act == ActTanh;
    ctx_o.lane.dact_relu = cmd_i.dact == ActRelu;
    ctx_o.lane.dact_tanh = cmd_i.dact == ActTanh;
    ctx_o.lane.int8_result = cmd_i.int8_result;
    ctx_o.lane.shift = shift_amount(shift_q);
    ctx_o.lane.stochastic = cmd_i.stochastic;
    ctx_o.needs_rows = cmd_i.accumulate || ctx_o.lane.dact_relu || ctx_o.lane.dact_tanh;
    ctx_o.needs_aux = cmd_i.bias || ctx_o.needs_rows;
    ctx_o.key = cmd_i.key;
    ctx_o.first_row = cmd_i.first_row;
    ctx_o.first_col = BlockW'(cmd_i.first_col);
    ctx_o.all_rows = cmd_i.all_rows;
    ctx_o.base = cmd_i.t[2].addr;
    ctx_o.stride = cmd_i.t[2].stride;
    ctx_o.bias_base = cmd_i.t[3].addr;
    ctx_o.aux_base = cmd_i.t[4].addr;
    ctx_o.aux_stride = cmd_i.t[4].stride;
    ctx_o.norm = cmd_i.norm;
    ctx_o.colsum = cmd_i.colsum;
    ctx_o.colsum_shift = shift_amount(colsum_shift_q);
    ctx_o.value_exp = target - 10'sd16;
    ctx_o.colsum_exp = 10'(cmd_i.t[4].exp) - 10'sd16;
  end
endmodule
