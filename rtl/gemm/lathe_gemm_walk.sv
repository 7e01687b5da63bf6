// SPDX-License-Identifier: Apache-2.0
// Walks a tensor of the result's shape word by word, tile after tile, and gives each word's address and indices.
// Rows beyond M are not visited.
module lathe_gemm_walk
  import lathe_pkg::*;
  import lathe_gemm_pkg::*;
#(
  parameter int unsigned Lanes = 8,
  localparam int unsigned LaneW = $clog2(Lanes)
) (
  input  logic             clk_i,
  // verilator lint_off UNUSEDSIGNAL
  input  shape_t           shape_i,       // not K
  // verilator lint_on UNUSEDSIGNAL
  input  logic [AddrW-1:0] base_i,
  input  logic [AddrW-1:0] stride_i,
  input  logic             start_i,       // go to the first word
  input  logic             step_i,        // go to the next word
  output logic [AddrW-1:0] addr_o,
  output logic [DimW-1:0]  row_o,         // row of the word
  output logic [DimW-1:0]  col_o,         // column of its lane 0
  output logic [LaneW-1:0] row_end_o,     // last row of this tile that is visited, within the tile
  output logic             tile_first_o,  // first row of its tile
  output logic             tile_last_o,   // last row of its tile
  output logic             col_last_o,    // in the last column block
  output logic             last_o         // last word of all
);
  logic row_last, next, all_last;
  logic [AddrW-1:0] row_block_q, tile_q, addr_q;  // start of the row block, of the tile, this word
  logic [AddrW-1:0] next_row_block;
  logic [DimW-1:0] row_q;
  logic [BlockW-1:0] col_block_q;

  lathe_gemm_tiles #(
    .Lanes(Lanes)
  ) u_tiles (
    .clk_i,
    .shape_i,
    .start_i,
    .next_i    (next),
    .row_last_o(row_last),
    .col_last_o,
    .last_o    (all_last)
  );

  assign tile_first_o = row_q[LaneW-1:0] == '0;
  assign tile_last_o = row_q[LaneW-1:0] == row_end_o;
  assign row_end_o = row_last ? shape_i.m_last[LaneW-1:0] : '1;
  assign next = step_i && tile_last_o;
  assign next_row_block = row_block_q + (stride_i << LaneW);

  always_ff @(posedge clk_i) begin
    if (start_i) begin
      row_block_q <= base_i;
      tile_q <= base_i;
      addr_q <= base_i;
      row_q <= '0;
      col_block_q <= '0;
    end else if (next) begin
      if (col_last_o) begin
        row_block_q <= next_row_block;
        tile_q <= next_row_block;
        addr_q <= next_row_block;
        row_q <= {row_q[DimW-1:LaneW] + 1'b1, {LaneW{1'b0}}};
        col_block_q <= '0;
      end else begin
        tile_q <= tile_q + 1'b1;
        addr_q <= tile_q + 1'b1;
        row_q <= {row_q[DimW-1:LaneW], {LaneW{1'b0}}};
        col_block_q <= col_block_q + 1'b1;
      end
    end else if (step_i) begin
      addr_q <= addr_q + stride_i;
      row_q <= row_q + 1'b1;
    end
  end

  assign addr_o = addr_q;
  assign row_o = row_q;
  assign col_o = DimW'({col_block_q, {LaneW{1'b0}}});
  assign last_o = all_last && tile_last_o;
endmodule
