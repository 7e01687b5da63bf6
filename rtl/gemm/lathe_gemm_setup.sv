// SPDX-License-Identifier: Apache-2.0
// Derives from a command what stays constant while it runs: last indices and the settings of the lanes. Combinational.
module lathe_gemm_setup
  import lathe_pkg::*;
  import lathe_desc_pkg::*;
  import lathe_gemm_pkg::*;
  import lathe_num_pkg::*;
(
  // Fields of other units are not looked at.
  // verilator lint_off UNUSEDSIGNAL
  input  cmd_t              cmd_i,
  // verilator lint_on UNUSEDSIGNAL
  output shape_t            shape_o,
  output lane_cfg_t         cfg_o,
  output logic              tanh_o,      // the result is a tanh
  output logic signed [9:0] value_exp_o  // e_v
);
  logic signed [9:0] acc_exp, target;  // e_acc; exponent that the result is rounded to

  assign acc_exp = 10'(cmd_i.t[0].exp) + 10'(cmd_i.t[1].exp);
  assign target = tanh_o ? -10'sd15 : 10'(cmd_i.t[2].exp);
  assign tanh_o = cmd_i.act == ActTanh;
  assign value_exp_o = acc_exp - 10'sd16;

  always_comb begin
    shape_o.m_last = cmd_i.m - 1'b1;
    shape_o.n_last = cmd_i.n - 1'b1;
    shape_o.k_last = cmd_i.k - 1'b1;
    cfg_o.bias = cmd_i.bias;
    cfg_o.bias_shift = align_amount(10'(cmd_i.t[3].exp) - acc_exp, 7'sd28);
    cfg_o.act_relu = cmd_i.act == ActRelu;
    cfg_o.dact_relu = cmd_i.dact == ActRelu;
    cfg_o.dact_tanh = cmd_i.dact == ActTanh;
    cfg_o.shift = shift_amount(target - value_exp_o);
    cfg_o.stochastic = cmd_i.stochastic && !tanh_o;
  end
endmodule
