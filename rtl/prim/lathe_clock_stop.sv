// SPDX-License-Identifier: Apache-2.0
// The clock of something that is often idle. The in-process model (LATHE_IN_PROCESS) stops it Grace cycles after it was
// wanted last: there idle logic would only compute what nobody uses. Everywhere else it is clk_i itself.
module lathe_clock_stop #(
  // verilator lint_off UNUSEDPARAM
  parameter int unsigned Grace = 16  // as many as registers take to settle; a power of 2
  // verilator lint_on UNUSEDPARAM
) (
  input  logic clk_i,
  // verilator lint_off UNUSEDSIGNAL
  input  logic wanted_i,  // settles while clk_i is low; the edge that follows comes
  // verilator lint_on UNUSEDSIGNAL
  output logic clk_o
);
`ifdef LATHE_IN_PROCESS
  localparam int unsigned IdleW = $clog2(Grace);
  logic [IdleW-1:0] idle_q;
  logic             run;
  always_ff @(posedge clk_i) begin
    if (wanted_i) idle_q <= '0;
    else if (idle_q != '1) idle_q <= idle_q + 1'b1;
  end
  always_latch if (!clk_i) run = wanted_i || idle_q != '1;
  assign clk_o = clk_i && run;
`else
  assign clk_o = clk_i;
`endif
endmodule
