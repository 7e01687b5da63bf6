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
  input  logic    start_i,          // go to the first tile
  input  tiling_t first_i,          // of these
  input  logic    next_i,           // go to the next tile
  input  shape_t  shape_i,          // of this shape
  // verilator lint_on UNUSEDSIGNAL
  output logic    col_last_o,       // in the last column block
  output logic    last_o,           // in the last tile
  output logic    next_row_last_o,  // the next tile is in the last row block
  output logic    next_col_last_o   // in the last column block
);
  localparam int unsigned LaneW = $clog2(Lanes);

  logic [BlockW:0] rows_q, cols_q;          // of count_blocks
  logic row_last_q, col_last_q, one_col_q;  // none is left after this one

  always_ff @(posedge clk_i) begin
    if (start_i) begin
      row_last_q <= first_i.m.one;
      col_last_q <= first_i.n.one;
      one_col_q <= first_i.n.one;
    end else if (next_i) begin
      row_last_q <= next_row_last_o;
      col_last_q <= next_col_last_o;
    end
    if (start_i || next_i) begin
      cols_q <= count_blocks(start_i || col_last_q, start_i ? first_i.n.whole : BlockW'(shape_i.n_last >> LaneW),
                             !start_i || first_i.n.part, cols_q);
    end
    if (start_i || (next_i && col_last_q)) rows_q <= count_blocks(start_i, first_i.m.whole, first_i.m.part, rows_q);
  end

  assign col_last_o = col_last_q;
  assign last_o = row_last_q && col_last_q;
  assign next_row_last_o = col_last_q ? rows_q[BlockW] : row_last_q;
  assign next_col_last_o = col_last_q ? one_col_q : cols_q[BlockW];
endmodule
