// SPDX-License-Identifier: Apache-2.0
// Streams the words of a tensor out of the scratchpad: asks for a word only when its FIFO has a place for it, so that
// the data, which cannot be held back, always fits. One word per cycle while the port grants each request.
module lathe_row_reader #(
  parameter int unsigned Lanes = 8,
  parameter int unsigned Depth = 8    // at least 6 for one word per cycle
) (
  input  logic                        clk_i,
  input  logic                        rst_ni,
  input  logic                        start_i,   // pulse while not busy; latches the following
  input  logic [lathe_pkg::AddrW-1:0] addr_i,
  input  logic [lathe_pkg::AddrW-1:0] stride_i,
  input  logic [lathe_pkg::DimW-1:0]  rows_i,
  input  logic [lathe_pkg::DimW-1:0]  words_i,
  input  logic                        clear_i,   // level: no new requests, throw words away; until not busy
  output logic                        busy_o,    // words are still to come out

  output logic                        rd_valid_o,
  input  logic                        rd_ready_i,
  output logic [lathe_pkg::AddrW-1:0] rd_addr_o,
  input  logic                        rd_rvalid_i,
  input  logic [Lanes*16-1:0]         rd_rdata_i,

  output logic                        out_valid_o,
  input  logic                        out_ready_i,
  output logic [Lanes*16-1:0]         out_data_o
);
  import lathe_pkg::*;

  localparam int unsigned CountW = $clog2(Depth + 1);

  logic              walk_valid, ask, fifo_valid, pop, request_q;
  logic [AddrW-1:0]  walk_addr, addr_q;
  logic              fifo_ready;
  logic [CountW-1:0] unused_level;
  logic [CountW-1:0] free_q;    // places that no word and no request has taken

  lathe_row_walk u_walk (
    .clk_i,
    .rst_ni,
    .start_i,
    .addr_i,
    .stride_i,
    .rows_i,
    .words_i,
    .clear_i,
    .step_i(ask),
    .valid_o(walk_valid),
    .addr_o(walk_addr)
  );

  // Request register
  assign ask = walk_valid && !clear_i && free_q != '0 && (!request_q || rd_ready_i);
  assign rd_valid_o = request_q;
  assign rd_addr_o = addr_q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) request_q <= 1'b0;
    else if (!request_q || rd_ready_i) request_q <= ask;
  end

  always_ff @(posedge clk_i) begin
    if (ask) addr_q <= walk_addr;
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) free_q <= CountW'(Depth);
    else free_q <= free_q - CountW'(ask) + CountW'(pop);
  end

  lathe_fifo #(
    .Width(Lanes * 16),
    .Depth(Depth)
  ) u_fifo (
    .clk_i,
    .rst_ni,
    .in_valid_i(rd_rvalid_i),
    .in_ready_o(fifo_ready),
    .in_data_i(rd_rdata_i),
    .out_valid_o(fifo_valid),
    .out_ready_i(pop),
    .out_data_o,
    .level_o(unused_level)
  );

  assign out_valid_o = fifo_valid && !clear_i;
  assign pop = fifo_valid && (out_ready_i || clear_i);
  assign busy_o = walk_valid || free_q != CountW'(Depth);

`ifndef SYNTHESIS
  logic checking_q;  // false before the first reset, when registers hold anything
  initial checking_q = 1'b0;
  always @(posedge clk_i) if (!rst_ni) checking_q <= 1'b1;

  always_ff @(posedge clk_i) begin
    if (checking_q && rst_ni && rd_rvalid_i) assert (fifo_ready) else $error("word without a place");
    if (checking_q && rst_ni && start_i) assert (!busy_o) else $error("started while busy");
  end
`endif
endmodule
