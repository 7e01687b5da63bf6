// SPDX-License-Identifier: Apache-2.0
// Walks a tensor of the result's shape word by word, tile after tile (row blocks outside, column blocks inside), and gives
// each word's address and indices. Rows beyond M are not visited.
module lathe_gemm_walk
  import lathe_pkg::*;
  import lathe_gemm_pkg::*;
#(
  parameter int unsigned Lanes = 8,
  localparam int unsigned LaneW = $clog2(Lanes)
) (
  input  logic              clk_i,
  // verilator lint_off UNUSEDSIGNAL
  input  shape_t            shape_i,       // not K
  // verilator lint_on UNUSEDSIGNAL
  input  single_t           single_i,      // of the shape
  input  logic [AddrW-1:0]  base_i,
  input  logic [AddrW-1:0]  stride_i,
  input  logic              pair_i,        // two tiles beside each other share their words (int8)
  input  logic [DimW-1:0]   first_row_i,   // what row_o begins with: a multiple of Lanes, 0 if there are several row blocks
  input  logic              start_i,       // go to the first word
  input  logic              step_i,        // go to the next word
  output logic [AddrW-1:0]  addr_o,
  output logic [DimW-1:0]   row_o,         // row of the word
  output logic [BlockW-1:0] col_block_o,
  output logic [LaneW-1:0]  row_end_o,     // last row of this tile that is visited, within the tile
  output logic              row_first_o,   // in the first row block
  output logic              tile_first_o,  // first row of its tile
  output logic              tile_last_o,   // last row of its tile
  output logic              col_last_o,    // in the last column block
  output logic              last_o         // last word of all
);
  logic [AddrW-1:0] row_block_q, tile_q, addr_q;  // start of the row block, of the tile, this word
  logic [AddrW-1:0] next_tile;
  logic [DimW-1:0] row_q, next_row;               // first row of the next tile
  logic [BlockW-1:0] col_block_q, cols_q, cols;   // blocks before and after this one; after the first one
  logic row_first_q, row_last_q, col_last_q;      // in the first or last block
  logic row_next_last_q;                          // the next row block is the last one; known in the second row of a block
  logic tile_first_q, tile_last_q;
  logic [LaneW-1:0] rest_q;                       // rows of the tile after this one
  logic move_q;                                   // the next tile has other words
  logic wrap_q;                                   // last row of the last tile of a row block
  logic next, next_row_last, next_col_last, row_end;

  assign cols = BlockW'(shape_i.n_last >> LaneW);
  assign row_first_o = row_first_q;
  assign row_end_o = row_last_q ? shape_i.m_last[LaneW-1:0] : '1;
  assign tile_first_o = tile_first_q;
  assign tile_last_o = tile_last_q;
  assign col_last_o = col_last_q;
  assign last_o = row_last_q && wrap_q;
  assign next = step_i && tile_last_q;
  assign row_end = rest_q == LaneW'(1);
  assign next_row = {row_q[DimW-1:LaneW] + (DimW-LaneW)'(col_last_q), {LaneW{1'b0}}};
  assign next_row_last = col_last_q ? row_next_last_q : row_last_q;
  assign next_tile = col_last_q ? row_block_q + (stride_i << LaneW) : tile_q + AddrW'(move_q);
  assign next_col_last = col_last_q ? single_i.col_block : cols_q == BlockW'(1);

  always_ff @(posedge clk_i) begin
    row_next_last_q <= row_q[DimW-1:LaneW] + 1'b1 == shape_i.m_last[DimW-1:LaneW];
    if (start_i || (step_i && wrap_q)) row_block_q <= start_i ? base_i : next_tile;
    if (start_i || next) begin
      col_block_q <= (col_block_q + 1'b1) & {BlockW{!start_i && !col_last_q}};
      cols_q <= start_i || col_last_q ? cols : cols_q - 1'b1;
      move_q <= !pair_i || !(start_i || col_last_q || col_block_q[0]);
      col_last_q <= start_i ? single_i.col_block : next_col_last;
      tile_q <= start_i ? base_i : next_tile;
      row_first_q <= start_i || (row_first_q && !col_last_q);
      row_last_q <= start_i ? single_i.row_block : next_row_last;
    end
    if (start_i || step_i) begin
      tile_first_q <= start_i || tile_last_q;
      if (start_i) begin
        tile_last_q <= single_i.row && single_i.row_block;
        wrap_q <= single_i.row && single_i.row_block && single_i.col_block;
        addr_q <= base_i;
        row_q <= first_row_i;
        rest_q <= single_i.row_block ? shape_i.m_last[LaneW-1:0] : '1;
      end else if (tile_last_q) begin
        tile_last_q <= single_i.row && next_row_last;
        wrap_q <= single_i.row && next_row_last && next_col_last;
        addr_q <= next_tile;
        row_q <= next_row;
        rest_q <= next_row_last ? shape_i.m_last[LaneW-1:0] : '1;
      end else begin
        tile_last_q <= row_end;
        wrap_q <= row_end && col_last_q;
        addr_q <= addr_q + stride_i;
        row_q <= row_q + 1'b1;
        rest_q <= rest_q - 1'b1;
      end
    end
  end

  assign addr_o = addr_q;
  assign row_o = row_q;
  assign col_block_o = col_block_q;
endmodule
