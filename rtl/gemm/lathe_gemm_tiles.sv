// SPDX-License-Identifier: Apache-2.0
// Counts the tiles of a result in their order: row blocks outside, column blocks inside. Knows no addresses.
module lathe_gemm_tiles
  import lathe_gemm_pkg::*;
#(
  parameter int unsigned Lanes = 8
) (
  input  logic   clk_i,
  // Only the block counts of M and N.
  // verilator lint_off UNUSEDSIGNAL
  input  logic   start_i,     // go to the first tile
  input  shape_t first_i,     // of this shape
  input  logic   next_i,      // go to the next tile
  input  shape_t shape_i,     // of this shape
  // verilator lint_on UNUSEDSIGNAL
  output logic   row_last_o,  // in the last row block
  output logic   col_last_o,  // in the last column block
  output logic   last_o       // in the last tile
);
  localparam int unsigned LaneW = $clog2(Lanes);

  logic [BlockW-1:0] rows_q, cols_q, first_rows, first_cols;  // blocks left after this one
  logic row_last_q, col_last_q, one_col_q;                    // none is left

  assign first_rows = BlockW'(first_i.m_last >> LaneW);
  assign first_cols = BlockW'(first_i.n_last >> LaneW);

  always_ff @(posedge clk_i) begin
    if (start_i) begin
      rows_q <= first_rows;
      cols_q <= first_cols;
      row_last_q <= first_rows == '0;
      col_last_q <= first_cols == '0;
      one_col_q <= first_cols == '0;
    end else if (next_i) begin
      cols_q <= col_last_q ? BlockW'(shape_i.n_last >> LaneW) : cols_q - 1'b1;
      col_last_q <= col_last_q ? one_col_q : cols_q == BlockW'(1);
      if (col_last_q) begin
        rows_q <= rows_q - 1'b1;
        row_last_q <= rows_q == BlockW'(1);
      end
    end
  end

  assign row_last_o = row_last_q;
  assign col_last_o = col_last_q;
  assign last_o = row_last_q && col_last_q;
endmodule
