// SPDX-License-Identifier: Apache-2.0
// Streams the words of a tensor out of the scratchpad, row by row. One word per cycle while the port grants each request.
module lathe_row_reader #(
  parameter int unsigned Lanes = 8,
  parameter int unsigned Depth = 16   // at least RdLatency + 6 for one word per cycle
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

  logic             walk_valid, ask_ready, ask, word_valid, reading;
  logic [AddrW-1:0] walk_addr;

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

  lathe_word_reader #(
    .Lanes(Lanes),
    .Depth(Depth)
  ) u_words (
    .clk_i,
    .rst_ni,
    .req_valid_i(walk_valid && !clear_i),
    .req_ready_o(ask_ready),
    .req_addr_i(walk_addr),
    .rd_valid_o,
    .rd_ready_i,
    .rd_addr_o,
    .rd_rvalid_i,
    .rd_rdata_i,
    .word_valid_o(word_valid),
    .word_ready_i(out_ready_i || clear_i),
    .word_data_o(out_data_o),
    .busy_o(reading)
  );

  assign ask = walk_valid && !clear_i && ask_ready;
  assign out_valid_o = word_valid && !clear_i;
  assign busy_o = walk_valid || reading;

`ifndef SYNTHESIS
  logic checking_q;  // false before the first reset, when registers hold anything
  initial checking_q = 1'b0;
  always @(posedge clk_i) if (!rst_ni) checking_q <= 1'b1;

  always_ff @(posedge clk_i) begin
    if (checking_q && rst_ni && start_i) assert (!busy_o) else $error("started while busy");
  end
`endif
endmodule
