// SPDX-License-Identifier: Apache-2.0
// Spill register (skid buffer) for a stream with many bits: no wide enable depends on out_ready_i. The low WideW bits lie in
// turn in two registers and come out behind a multiplexer, the others out of lathe_spill. Reorders nothing.
module lathe_spill_wide #(
  parameter int unsigned Width = 144,
  parameter int unsigned WideW = 128
) (
  input  logic             clk_i,
  input  logic             rst_ni,
  input  logic             in_valid_i,
  output logic             in_ready_o,
  input  logic [Width-1:0] in_data_i,
  output logic             out_valid_o,
  input  logic             out_ready_i,
  output logic [Width-1:0] out_data_o
);
  if (WideW < 1 || WideW >= Width) begin : g_check
    $fatal(1, "lathe_spill_wide: WideW must be at least 1 and less than Width");
  end

  logic [WideW-1:0] wide_q [2];
  logic             in_q, out_q;  // which of the two a word enters next, which shows

  lathe_spill #(
    .Width(Width - WideW)
  ) u_narrow (
    .clk_i,
    .rst_ni,
    .in_valid_i,
    .in_ready_o,
    .in_data_i (in_data_i[Width-1:WideW]),
    .out_valid_o,
    .out_ready_i,
    .out_data_o(out_data_o[Width-1:WideW])
  );

  always_ff @(posedge clk_i) begin
    if (!rst_ni) {in_q, out_q} <= '0;
    else {in_q, out_q} <= {in_q ^ (in_valid_i && in_ready_o), out_q ^ (out_valid_o && out_ready_i)};
  end

  always_ff @(posedge clk_i) if (in_ready_o && !in_q) wide_q[0] <= in_data_i[WideW-1:0];
  always_ff @(posedge clk_i) if (in_ready_o && in_q) wide_q[1] <= in_data_i[WideW-1:0];
  assign out_data_o[WideW-1:0] = wide_q[out_q];
endmodule
