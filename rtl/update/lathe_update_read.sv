// SPDX-License-Identifier: Apache-2.0
// Streams `words` consecutive words out of the scratchpad. One word a cycle while the port grants each request.
module lathe_update_read
  import lathe_pkg::*;
#(
  parameter int unsigned Lanes = 8,
  parameter int unsigned Depth = 8  // words asked for and not yet taken
) (
  input  logic                clk_i,
  input  logic                rst_ni,
  input  logic                start_i,      // pulse while not busy; latches the following
  input  logic [AddrW-1:0]    addr_i,
  input  logic [DimW-1:0]     words_i,
  output logic                busy_o,       // words are still to come out
  output logic                rd_valid_o,
  input  logic                rd_ready_i,
  output logic [AddrW-1:0]    rd_addr_o,
  input  logic                rd_rvalid_i,
  input  logic [Lanes*16-1:0] rd_rdata_i,
  output logic                out_valid_o,
  input  logic                out_ready_i,
  output logic [Lanes*16-1:0] out_data_o
);
  logic [AddrW-1:0] addr_q;
  logic [DimW-1:0]  left_q;
  logic             asking, ask_ready, reading;

  assign asking = left_q != '0;
  assign busy_o = asking || reading;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) left_q <= '0;
    else if (start_i) left_q <= words_i;
    else if (asking && ask_ready) left_q <= left_q - DimW'(1);
  end

  always_ff @(posedge clk_i) begin
    if (start_i) addr_q <= addr_i;
    else if (asking && ask_ready) addr_q <= addr_q + AddrW'(1);
  end

  // verilator lint_off PINCONNECTEMPTY
  lathe_word_reader #(
    .Lanes(Lanes),
    .Depth(Depth)
  ) u_words (
    .clk_i,
    .rst_ni,
    .req_valid_i(asking),
    .req_ready_o(ask_ready),
    .req_addr_i(addr_q),
    .req_tag_i(1'b0),
    .rd_valid_o,
    .rd_ready_i,
    .rd_addr_o,
    .rd_rvalid_i,
    .rd_rdata_i,
    .word_valid_o(out_valid_o),
    .word_ready_i(out_ready_i),
    .word_data_o(out_data_o),
    .word_tag_o(),
    .busy_o(reading)
  );
  // verilator lint_on PINCONNECTEMPTY

`ifndef SYNTHESIS
  logic checking_q;  // false before the first reset, when registers hold anything
  initial checking_q = 1'b0;
  always @(posedge clk_i) if (!rst_ni) checking_q <= 1'b1;

  always_ff @(posedge clk_i) begin
    if (checking_q && rst_ni && start_i) assert (!busy_o) else $error("started while busy");
  end
`endif
endmodule
