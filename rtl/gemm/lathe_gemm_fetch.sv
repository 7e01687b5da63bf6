// SPDX-License-Identifier: Apache-2.0
// One operand path: reads the words of the tiles in order and gives one k-step (Lanes elements with the same k) a cycle.
// If k runs along the stored rows, groups of Lanes rows pass through the transposer, else words are used as they are.
// Lanes beyond the operand's edge carry whatever was stored; steps beyond K do not appear.
module lathe_gemm_fetch
  import lathe_pkg::*;
  import lathe_gemm_pkg::*;
#(
  parameter int unsigned Lanes = 8,
  parameter bit          IsA = 1'b1  // A: one block of rows per row block; B: one block of columns per tile
) (
  input  logic                clk_i,
  input  logic                rst_ni,
  input  shape_t              shape_i,
  input  logic [AddrW-1:0]    base_i,
  input  logic [AddrW-1:0]    stride_i,
  input  logic                along_k_i,   // k runs along the stored rows: transpose
  input  logic                start_i,
  output logic                rd_valid_o,
  input  logic                rd_ready_i,
  output logic [AddrW-1:0]    rd_addr_o,
  input  logic                rd_rvalid_i,
  input  logic [Lanes*16-1:0] rd_rdata_i,
  output logic                step_valid_o,
  input  logic                step_ready_i,
  output logic [Lanes*16-1:0] step_data_o
);
  localparam int unsigned LaneW = $clog2(Lanes);

  // Addresses: a tile is a sequence of groups, a group a sequence of words `stride_i` apart.
  //   along_k: ceil(K / Lanes) groups, one word apart, of the block's rows;  else: one group of K words.
  logic active_q, row_last, col_last, tile_last, block_last, next_tile;
  logic [AddrW-1:0] block_q, group_q, addr_q, next_block, block_step;
  logic [DimW-1:0] word_q;            // word of the group
  logic [BlockW-1:0] group_left_q;    // groups after this one
  logic [DimW-1:0] last_word;
  logic [LaneW-1:0] last_line;
  logic word_last, group_last, request;

  lathe_gemm_tiles #(
    .Lanes(Lanes)
  ) u_tiles (
    .clk_i,
    .shape_i,
    .start_i,
    .next_i    (next_tile),
    .row_last_o(row_last),
    .col_last_o(col_last),
    .last_o    (tile_last)
  );

  logic [BlockW-1:0] groups_after;
  assign groups_after = along_k_i ? BlockW'(shape_i.k_last >> LaneW) : '0;
  assign block_step = along_k_i ? stride_i << LaneW : AddrW'(1);
  assign block_last = IsA ? row_last : col_last;
  assign last_line = !block_last ? '1 : IsA ? shape_i.m_last[LaneW-1:0] : shape_i.n_last[LaneW-1:0];
  assign last_word = along_k_i ? DimW'(last_line) : shape_i.k_last;
  assign word_last = word_q == last_word;
  assign group_last = group_left_q == '0;
  assign next_tile = request && word_last && group_last;

  always_comb begin
    next_block = block_q + block_step;
    if (IsA && !col_last) next_block = block_q;
    if (!IsA && col_last) next_block = base_i;
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) active_q <= 1'b0;
    else if (start_i) active_q <= 1'b1;
    else if (next_tile && tile_last) active_q <= 1'b0;
  end

  always_ff @(posedge clk_i) begin
    if (start_i) begin
      block_q <= base_i;
      group_q <= base_i;
      addr_q <= base_i;
      word_q <= '0;
      group_left_q <= groups_after;
    end else if (request) begin
      word_q <= word_last ? '0 : word_q + 1'b1;
      addr_q <= addr_q + stride_i;
      if (word_last) begin
        group_left_q <= group_last ? groups_after : group_left_q - 1'b1;
        group_q <= group_last ? next_block : group_q + 1'b1;
        addr_q <= group_last ? next_block : group_q + 1'b1;
        if (group_last) block_q <= next_block;
      end
    end
  end

  logic req_ready, word_valid, word_ready, word_last_of_group;
  logic [Lanes*16-1:0] word;
  assign request = active_q && req_ready;

  // verilator lint_off PINCONNECTEMPTY
  lathe_word_reader #(
    .Lanes(Lanes),
    .Depth(16)
  ) u_reader (
    .clk_i,
    .rst_ni,
    .req_valid_i (active_q),
    .req_ready_o (req_ready),
    .req_addr_i  (addr_q),
    .req_tag_i   (word_last),
    .rd_valid_o,
    .rd_ready_i,
    .rd_addr_o,
    .rd_rvalid_i,
    .rd_rdata_i,
    .word_valid_o(word_valid),
    .word_ready_i(word_ready),
    .word_data_o (word),
    .word_tag_o  (word_last_of_group),
    .busy_o      ()
  );
  // verilator lint_on PINCONNECTEMPTY

  logic column_valid, line_ready;
  logic [Lanes*16-1:0] column;

  lathe_transpose #(
    .Lanes (Lanes),
    .CountW(DimW)
  ) u_transpose (
    .clk_i,
    .rst_ni,
    .start_i,
    .last_column_i (shape_i.k_last),
    .line_valid_i  (word_valid && along_k_i),
    .line_ready_o  (line_ready),
    .line_data_i   (word),
    .line_last_i   (word_last_of_group),
    .column_valid_o(column_valid),
    .column_ready_i(step_ready_i),
    .column_data_o (column)
  );

  assign word_ready = along_k_i ? line_ready : step_ready_i;
  assign step_valid_o = along_k_i ? column_valid : word_valid;
  assign step_data_o = along_k_i ? column : word;
endmodule
