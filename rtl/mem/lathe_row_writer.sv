// SPDX-License-Identifier: Apache-2.0
// Writes a stream of words into the scratchpad as the rows of a tensor, through a FIFO. One word per cycle.
module lathe_row_writer #(
  parameter int unsigned Lanes = 8,
  parameter int unsigned Depth = 16
) (
  input  logic                        clk_i,
  input  logic                        rst_ni,
  input  logic                        start_i,   // pulse while not busy; latches the following
  input  logic [lathe_pkg::AddrW-1:0] addr_i,
  input  logic [lathe_pkg::AddrW-1:0] stride_i,
  input  logic [lathe_pkg::DimW-1:0]  rows_i,
  input  logic [lathe_pkg::DimW-1:0]  words_i,
  input  logic                        clear_i,   // pulse: words that did not come will not come; only while wr_valid_o is low
  output logic                        busy_o,    // words of the tensor are still to be written

  input  logic                        in_valid_i,
  output logic                        in_ready_o,
  input  logic [Lanes*16-1:0]         in_data_i,

  output logic                        wr_valid_o,
  input  logic                        wr_ready_i,
  output logic [lathe_pkg::AddrW-1:0] wr_addr_o,
  output logic [Lanes*16-1:0]         wr_data_o
);
  logic                       valid, step;
  logic [$clog2(Depth+1)-1:0] unused_level;

  lathe_fifo #(
    .Width(Lanes * 16),
    .Depth(Depth)
  ) u_fifo (
    .clk_i,
    .rst_ni,
    .in_valid_i,
    .in_ready_o,
    .in_data_i,
    .out_valid_o(valid),
    .out_ready_i(wr_ready_i),
    .out_data_o(wr_data_o),
    .level_o(unused_level)
  );

  assign step = valid && wr_ready_i;

  lathe_row_walk u_walk (
    .clk_i,
    .rst_ni,
    .start_i,
    .addr_i,
    .stride_i,
    .rows_i,
    .words_i,
    .clear_i,
    .step_i(step),
    .valid_o(busy_o),
    .addr_o(wr_addr_o)
  );

  assign wr_valid_o = valid;
endmodule
