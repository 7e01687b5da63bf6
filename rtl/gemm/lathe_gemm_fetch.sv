// SPDX-License-Identifier: Apache-2.0
// One operand path: reads the words of the tiles in order, command after command, and gives the elements of any step of
// the oldest group. A group is Lanes steps: Lanes rows if k runs along the stored rows, else its words are steps.
// Lanes beyond the operand's edge carry whatever was stored; which step is taken when is decided outside.
module lathe_gemm_fetch
  import lathe_pkg::*;
  import lathe_gemm_pkg::*;
#(
  parameter int unsigned Lanes = 8,
  parameter int unsigned Banks = 1,     // of the scratchpad: requests go out as row and bank
  parameter bit          IsA = 1'b1,  // A: one block of rows per row block; B: one block of columns per tile
  parameter int unsigned TagW = 1,
  localparam int unsigned LaneW = $clog2(Lanes)
) (
  input  logic                clk_i,
  input  logic                rst_ni,
  // The next command, taken with start_i; only if idle_o.
  input  logic                start_i,
  input  shape_t              next_shape_i,
  input  tiling_t             next_tiling_i,
  input  logic                next_chain_i,
  input  logic [AddrW-1:0]    base_i,
  input  logic [AddrW-1:0]    stride_i,
  input  logic                along_k_i,    // k runs along the stored rows
  output logic                idle_o,       // the last request has gone out
  output logic                load_o,       // the same: for wide registers that follow the next command until it starts
  output logic                ending_o,     // or only its last group is still to be asked for
  // The command that is read.
  input  shape_t              shape_i,
  input  logic [TagW-1:0]     tag_i,
  input  logic                chain_i,      // in the first column block a group waits until it may be read,
  input  logic                may_open_i,   // from the next cycle on
  output logic                open_o,       // a group is begun
  output logic                first_row_o,  // in the first row block
  output logic                first_col_o,  // in the first column block
  output logic                rd_valid_o,
  input  logic                rd_ready_i,
  output logic [AddrW-1:0]    rd_addr_o,
  input  logic                rd_rvalid_i,
  input  logic [Lanes*16-1:0] rd_rdata_i,
  // The oldest group.
  input  logic [LaneW-1:0]    step_i,       // step of the group that is wanted
  output logic                valid_o,      // out of a register
  output logic [Lanes*16-1:0] data_o,
  output logic [LaneW-1:0]    step_last_o,  // its last step
  output logic                tile_last_o,  // last group of its tile
  output logic                cmd_last_o,   // of its command
  output logic [TagW-1:0]     tag_o,
  output logic [LaneW-1:0]    next_step_last_o,  // of the group after it
  output logic                next_tile_last_o,
  input  logic                taken_i,      // the step is taken
  input  logic                last_i        // it is the last one
);
  // Addresses: a group is a sequence of words `stride` apart. Along k the next group is one word on, else it goes on.
  // What begins or ends with a word is known before it, out of registers.
  logic active_q, load_q, along_q, col_last, all_last, next_row_last, next_col_last, group_last_q, one_group_q;
  logic first_q, word_last_q, short_q, short_one_q;  // first, last word of its group; which is a short one; of one word
  logic tile_last_q;  // last word of its tile
  logic go_q;         // it may be read, as far as commands are concerned
  logic next_group_last, next_short, next_word_last;
  // verilator lint_off UNUSEDSIGNAL
  blocks_t lines;     // next command: lines of its groups
  // verilator lint_on UNUSEDSIGNAL
  logic push, tile_end, room, spill_ready;
  logic [AddrW-1:0] base_q, stride_q, block_stride_q, block_q, group_q, addr_q, next_block, next_group;
  logic [LaneW-1:0] word_q, next_word, short_last_q, first_short_last, last_step;
  logic [BlockW:0] groups_q;    // of count_blocks: of the tile

  lathe_gemm_tiles #(
    .Lanes(Lanes)
  ) u_tiles (
    .clk_i,
    .start_i   (load_q),
    .first_i   (next_tiling_i),
    .next_i    (tile_end),
    .shape_i,
    .col_last_o(col_last),
    .last_o    (all_last),
    .next_row_last_o(next_row_last),
    .next_col_last_o(next_col_last)
  );

  assign last_step = group_last_q ? shape_i.k_last[LaneW-1:0] : '1;
  assign next_group_last = group_last_q ? one_group_q : groups_q[BlockW];
  assign first_short_last = !along_k_i ? next_shape_i.k_last[LaneW-1:0] :
                            IsA ? next_shape_i.m_last[LaneW-1:0] : next_shape_i.n_last[LaneW-1:0];
  assign lines = !along_k_i ? next_tiling_i.k : IsA ? next_tiling_i.m : next_tiling_i.n;
  assign next_short = !along_q ? next_group_last : !group_last_q ? short_q : IsA ? next_row_last : next_col_last;
  assign next_word = word_last_q ? '0 : word_q + 1'b1;
  assign next_word_last = word_last_q ? next_short && short_one_q : next_word == (short_q ? short_last_q : '1);
  assign push = go_q && spill_ready && room;
  assign open_o = push && first_q;
  assign tile_end = push && tile_last_q;
  assign idle_o = !active_q;
  assign load_o = load_q;
  assign ending_o = !active_q || (all_last && group_last_q);

  always_comb begin
    next_block = block_q + block_stride_q;
    if (IsA && !col_last) next_block = block_q;
    if (!IsA && col_last) next_block = base_q;
    next_group = group_last_q ? next_block : group_q + 1'b1;
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      active_q <= 1'b0;
      load_q <= 1'b1;
      go_q <= 1'b0;
    end else begin
      if (start_i || (tile_end && all_last)) begin
        active_q <= start_i;
        load_q <= !start_i;
      end
      if (!active_q) go_q <= start_i && !next_chain_i;
      else if (!push) go_q <= !first_q || !chain_i || !first_col_o || may_open_i;
      else if (!word_last_q) go_q <= 1'b1;
      else if (tile_last_q) go_q <= !all_last && (!chain_i || !col_last || (may_open_i && !first_q));
      else go_q <= !chain_i || !first_col_o || (may_open_i && !first_q);
    end
  end

  always_ff @(posedge clk_i) begin
    if (load_q) begin
      along_q <= along_k_i;
      short_last_q <= first_short_last;
      short_one_q <= first_short_last == '0;
      stride_q <= stride_i;
      block_stride_q <= along_k_i ? stride_i << LaneW : AddrW'(1);
      base_q <= base_i;
      block_q <= base_i;
      group_q <= base_i;
      addr_q <= base_i;
      word_q <= '0;
      first_q <= 1'b1;
      word_last_q <= lines.unit;
      tile_last_q <= lines.unit && next_tiling_i.k.one;
      short_q <= lines.one;
      first_row_o <= 1'b1;
      first_col_o <= 1'b1;
      one_group_q <= next_tiling_i.k.one;
      group_last_q <= next_tiling_i.k.one;
    end else if (push) begin
      word_q <= next_word;
      first_q <= word_last_q;
      word_last_q <= next_word_last;
      tile_last_q <= next_word_last && (word_last_q ? next_group_last : group_last_q);
      addr_q <= word_last_q && (along_q || group_last_q) ? next_group : addr_q + stride_q;
      if (word_last_q) begin
        short_q <= next_short;
        group_last_q <= next_group_last;
        group_q <= next_group;
        if (tile_last_q) begin
          block_q <= next_block;
          first_row_o <= first_row_o && !col_last;
          first_col_o <= col_last;
        end
      end
    end
    if (load_q || (push && word_last_q)) begin
      groups_q <= count_blocks(load_q || group_last_q, load_q ? next_tiling_i.k.whole : BlockW'(shape_i.k_last >> LaneW),
                               !load_q || next_tiling_i.k.part, groups_q);
    end
  end

  lathe_spill #(
    .Width(AddrW)
  ) u_spill (
    .clk_i,
    .rst_ni,
    .in_valid_i (push),
    .in_ready_o (spill_ready),
    .in_data_i  (place_of(addr_q, $clog2(Banks))),
    .out_valid_o(rd_valid_o),
    .out_ready_i(rd_ready_i),
    .out_data_o (rd_addr_o)
  );

  // verilator lint_off UNUSEDSIGNAL
  logic [TagW+LaneW+1:0] next_tag;  // only two of its fields
  // verilator lint_on UNUSEDSIGNAL
  assign {next_step_last_o, next_tile_last_o} = next_tag[1+:LaneW+1];

  // A word is asked for when there is room for it, so words that come back are always taken.
  lathe_transpose #(
    .Lanes (Lanes),
    .Groups(Lanes < 8 ? 4 : 2),
    .TagW  (TagW + LaneW + 2)
  ) u_transpose (
    .clk_i,
    .rst_ni,
    .ask_i       (word_q),
    .ask_next_i  (next_word),
    .room_o      (room),
    .take_i      (push),
    .open_last_i (short_q ? short_last_q : '1),
    .open_lines_i(!along_q),
    .open_tag_i  ({tag_i, last_step, group_last_q, group_last_q && all_last}),
    .line_valid_i(rd_rvalid_i),
    .line_data_i (rd_rdata_i),
    .index_i     (step_i),
    .valid_o,
    .data_o,
    .tag_o       ({tag_o, step_last_o, tile_last_o, cmd_last_o}),
    .next_tag_o  (next_tag),
    .taken_i,
    .last_i
  );
endmodule
