// SPDX-License-Identifier: Apache-2.0
// The chip's clock. The in-process model (LATHE_IN_PROCESS) gets a rising edge, and the falling one after it, from each
// change of clk_i, so that it is evaluated once a cycle. Everywhere else it is clk_i itself.
module lathe_clock (
  input  logic clk_i,
  output logic clk_o
);
`ifdef LATHE_IN_PROCESS
  logic seen_q;  // the value of clk_i that has had its edge; at power-on either, which may cost the first one
  always_ff @(posedge clk_o) seen_q <= clk_i;
  assign clk_o = clk_i ^ seen_q;
`else
  assign clk_o = clk_i;
`endif
endmodule
