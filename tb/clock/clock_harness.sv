// SPDX-License-Identifier: Apache-2.0
// Counts the edges that lathe_clock and, behind it, lathe_clock_stop give. Does not check anything itself.
module clock_harness (
  input  logic        clk_i,
  input  logic        wanted_i,
  output logic        clk_core_o,
  output logic        clk_kept_o,
  output logic [15:0] core_q,
  output logic [15:0] kept_q
);
  lathe_clock u_clock (
    .clk_i,
    .clk_o(clk_core_o)
  );
  lathe_clock_stop u_stop (
    .clk_i(clk_core_o),
    .wanted_i,
    .clk_o(clk_kept_o)
  );
  always_ff @(posedge clk_core_o) core_q <= core_q + 16'd1;
  always_ff @(posedge clk_kept_o) kept_q <= kept_q + 16'd1;
endmodule
