// SPDX-License-Identifier: Apache-2.0
// Counts the tiles of a result in their order: row blocks outside, column blocks inside. Knows no addresses.
module lathe_gemm_tiles
  import lathe_gemm_pkg::*;
#(
  parameter int unsigned Lanes = 8
) (
  input  logic   clk_i,
  // verilator lint_off UNUSEDSIGNAL
  input  shape_t shape_i,     // the block counts of M and N
  // verilator lint_on UNUSEDSIGNAL
  input  logic   start_i,     // go to the first tile
  input  logic   next_i,      // go to the next tile
  output logic   row_last_o,  // in the last row block
  output logic   col_last_o,  // in the last column block
  output logic   last_o       // in the last tile
);
  localparam int unsigned LaneW = $clog2(Lanes);

  logic [BlockW-1:0] rows_q, cols_q;  // blocks left after this one

  always_ff @(posedge clk_i) begin
    if (start_i) begin
      rows_q <= BlockW'(shape_i.m_last >> LaneW);
      cols_q <= BlockW'(shape_i.n_last >> LaneW);
    end else if (next_i) begin
      cols_q <= col_last_o ? BlockW'(shape_i.n_last >> LaneW) : cols_q - 1'b1;
      if (col_last_o) rows_q <= rows_q - 1'b1;
    end
  end

  assign row_last_o = rows_q == '0;
  assign col_last_o = cols_q == '0;
  assign last_o = row_last_o && col_last_o;
endmodule
