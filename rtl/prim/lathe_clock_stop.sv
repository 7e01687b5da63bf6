// SPDX-License-Identifier: Apache-2.0
// The clock of something that is often idle. The in-process model (LATHE_STOP_CLOCKS) stops it 16 cycles after it was
// wanted last: there idle logic would only compute what nobody uses. Everywhere else it is clk_i itself.
module lathe_clock_stop (
  input  logic clk_i,
  // verilator lint_off UNUSEDSIGNAL
  input  logic wanted_i,  // settles in the first half of the cycle; the edge at its end comes
  // verilator lint_on UNUSEDSIGNAL
  output logic clk_o
);
`ifdef LATHE_STOP_CLOCKS
  logic [3:0] idle_q;
  logic       run_q;
  always_ff @(posedge clk_i) begin
    if (wanted_i) idle_q <= '0;
    else if (idle_q != '1) idle_q <= idle_q + 4'd1;
  end
  always_ff @(negedge clk_i) run_q <= wanted_i || idle_q != '1;
  assign clk_o = clk_i && run_q;
`else
  assign clk_o = clk_i;
`endif
endmodule
