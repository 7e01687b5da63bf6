// SPDX-License-Identifier: Apache-2.0
// Counts the tiles of a result in their order: row blocks outside, column blocks inside. Knows no addresses.
module lathe_gemm_tiles
  import lathe_gemm_pkg::*;
(
  input  logic   clk_i,
  // verilator lint_off UNUSEDSIGNAL
  input  shape_t shape_i,     // only m_blocks and n_blocks
  // verilator lint_on UNUSEDSIGNAL
  input  logic   start_i,     // go to the first tile
  input  logic   next_i,      // go to the next tile
  output logic   row_last_o,  // in the last row block
  output logic   col_last_o,  // in the last column block
  output logic   last_o       // in the last tile
);
  logic [BlockW-1:0] rows_q, cols_q;  // blocks left after this one

  always_ff @(posedge clk_i) begin
    if (start_i) begin
      rows_q <= shape_i.m_blocks - 1'b1;
      cols_q <= shape_i.n_blocks - 1'b1;
    end else if (next_i) begin
      cols_q <= col_last_o ? shape_i.n_blocks - 1'b1 : cols_q - 1'b1;
      if (col_last_o) rows_q <= rows_q - 1'b1;
    end
  end

  assign row_last_o = rows_q == '0;
  assign col_last_o = cols_q == '0;
  assign last_o = row_last_o && col_last_o;
endmodule
