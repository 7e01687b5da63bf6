// SPDX-License-Identifier: Apache-2.0
// Turns a stream of word addresses into the stream of these words, in order, through one scratchpad read port.
// Keeps room for every word it has asked for (credits), since read data cannot wait.
module lathe_word_reader
  import lathe_pkg::*;
#(
  parameter int unsigned Lanes = 8,
  parameter int unsigned Depth = 8,  // words asked for and not yet taken; at least RdLatency + 6 for one word a cycle
  parameter bit          Counted = 1'b0  // whoever takes words keeps count of them: word_ready_i only when there is one
) (
  input  logic                clk_i,
  input  logic                rst_ni,
  input  logic                req_valid_i,
  output logic                req_ready_o,
  input  logic [AddrW-1:0]    req_addr_i,
  output logic                rd_valid_o,
  input  logic                rd_ready_i,
  output logic [AddrW-1:0]    rd_addr_o,
  input  logic                rd_rvalid_i,
  input  logic [Lanes*16-1:0] rd_rdata_i,
  output logic                word_valid_o,
  input  logic                word_ready_i,
  output logic [Lanes*16-1:0] word_data_o,
  output logic                busy_o         // words are still to come out
);
  localparam int unsigned CreditW = $clog2(Depth + 1);

  logic [CreditW-1:0] credits_q;
  logic credit_q;  // a word may be asked for; learns a cycle later, out of a register, that one was taken
  logic request, taken_q, spill_ready, full_n;

  assign req_ready_o = spill_ready && credit_q;
  assign request = req_valid_i && req_ready_o;
  assign busy_o = credits_q != CreditW'(Depth);

  lathe_spill #(
    .Width(AddrW)
  ) u_spill (
    .clk_i,
    .rst_ni,
    .in_valid_i (req_valid_i && credit_q),
    .in_ready_o (spill_ready),
    .in_data_i  (req_addr_i),
    .out_valid_o(rd_valid_o),
    .out_ready_i(rd_ready_i),
    .out_data_o (rd_addr_o)
  );

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      credits_q <= CreditW'(Depth);
      credit_q <= 1'b1;
      taken_q <= 1'b0;
    end else begin
      taken_q <= word_ready_i && (Counted || word_valid_o);
      if (request != taken_q) credits_q <= request ? credits_q - 1'b1 : credits_q + 1'b1;
      credit_q <= taken_q || (credit_q && (!request || credits_q[CreditW-1:1] != '0));
    end
  end

  // verilator lint_off PINCONNECTEMPTY
  lathe_fifo #(
    .Width(Lanes * 16),
    .Depth(Depth),
    .NeverFull(1'b1),
    .NeverEmpty(Counted)
  ) u_fifo (
    .clk_i,
    .rst_ni,
    .in_valid_i (rd_rvalid_i),
    .in_ready_o (full_n),
    .in_data_i  (rd_rdata_i),
    .out_valid_o(word_valid_o),
    .out_ready_i(word_ready_i),
    .out_data_o (word_data_o),
    .level_o    ()
  );
  // verilator lint_on PINCONNECTEMPTY

`ifndef SYNTHESIS
  logic live_q;  // after a reset, when registers no longer hold what they powered up with
  initial live_q = 1'b0;
  always @(posedge clk_i) begin
    live_q <= rst_ni;
    if (live_q && rd_rvalid_i) assert (full_n) else $error("a word came back without room for it");
  end
`endif
endmodule
