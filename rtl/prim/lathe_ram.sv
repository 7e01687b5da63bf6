// SPDX-License-Identifier: Apache-2.0
// Synchronous RAM with one write and one read port; the word read appears one cycle later and stays until the next read.
// A read in the cycle of a write to the same address gives the old word. Contents are never reset.
module lathe_ram #(
  parameter int unsigned Width = 32,
  parameter int unsigned Words = 1024,
  // 1: nobody uses a word read in the cycle of a write to its address; saves the logic that makes it the old word.
  parameter bit AnyOnCollision = 1'b0,
  // 1: in block RAM however small; only with AnyOnCollision.
  // verilator lint_off UNUSEDPARAM
  parameter bit Block = 1'b0,  // (an attribute uses it)
  // verilator lint_on UNUSEDPARAM
  localparam int unsigned AddrW = Words > 1 ? $clog2(Words) : 1
) (
  input  logic             clk_i,
  input  logic             wr_en_i,
  input  logic [AddrW-1:0] wr_addr_i,
  input  logic [Width-1:0] wr_data_i,
  input  logic             rd_en_i,
  input  logic [AddrW-1:0] rd_addr_i,
  output logic [Width-1:0] rd_data_o
);
  if (Width < 1 || Words < 1) begin : g_check
    $fatal(1, "lathe_ram: Width and Words must be at least 1");
  end

  if (AnyOnCollision) begin : g_any
    (* no_rw_check, ram_style = Block ? "block" : "auto" *) logic [Width-1:0] mem_q [Words];
    always_ff @(posedge clk_i) begin
      if (wr_en_i) mem_q[wr_addr_i] <= wr_data_i;
      if (rd_en_i) rd_data_o <= mem_q[rd_addr_i];
    end
  end else begin : g_old
    logic [Width-1:0] mem_q [Words];
    always_ff @(posedge clk_i) begin
      if (wr_en_i) mem_q[wr_addr_i] <= wr_data_i;
      if (rd_en_i) rd_data_o <= mem_q[rd_addr_i];
    end
  end
endmodule
