// SPDX-License-Identifier: Apache-2.0
// The front of the gemm unit: reads both operands, command after command, and steps the array through their tiles.
// Lanes of A beyond M and of B beyond N hold garbage; what comes out of the array is not known here, only its room.
module lathe_gemm_feed
  import lathe_pkg::*;
  import lathe_gemm_pkg::*;
#(
  parameter int unsigned Lanes = 8,
  parameter int unsigned Banks = 1,     // of the scratchpad
  parameter int unsigned RoomRows = 64  // rows of sums that have room behind the array
) (
  input  logic                clk_i,
  input  logic                rst_ni,
  // The next command; its shape in steps.
  input  logic                cmd_valid_i,
  output logic                cmd_ready_o,
  output logic                ending_o,         // of the commands so far at most the last words are still to be asked for
  // verilator lint_off UNUSEDSIGNAL
  input  cmd_t                cmd_i,            // only operands 0 and 1 and their form
  // verilator lint_on UNUSEDSIGNAL
  input  shape_t              shape_i,
  // How far the commands before are.
  input  logic [2:0]          unfinished_i,     // number of commands in the unit, cmd_i's included
  input  logic [2:0]          unwritten_i,      // those of them whose results are not all written
  input  logic                block_i,          // the oldest one of these has written a block
  input  logic                block_last_i,     // its last one
  output logic                a_rd_valid_o,
  input  logic                a_rd_ready_i,
  output logic [AddrW-1:0]    a_rd_addr_o,
  input  logic                a_rd_rvalid_i,
  input  logic [Lanes*16-1:0] a_rd_rdata_i,
  output logic                b_rd_valid_o,
  input  logic                b_rd_ready_i,
  output logic [AddrW-1:0]    b_rd_addr_o,
  input  logic                b_rd_rvalid_i,
  input  logic [Lanes*16-1:0] b_rd_rdata_i,
  // Steps of the array.
  output logic                step_o,
  output logic                step_last_o,      // of its tile
  output logic                step_int8_o,
  output logic                step_colsum_o,    // the tile's column sums are wanted too
  output logic [Lanes*16-1:0] step_a_o,
  output logic [Lanes*16-1:0] step_b_o,
  input  logic                row_taken_i,      // a row of sums left a cycle ago: room for another
  output logic                stall_operand_o,
  output logic                stall_result_o
);
  localparam int unsigned LaneW = $clog2(Lanes);
  localparam int unsigned RoomW = $clog2(RoomRows + 1);
  localparam int unsigned GapW = $clog2(Lanes + 1);

  // The command that is read: both operands begin together, so that the faster one leads by what its buffer holds.
  logic start, load, a_idle, b_idle, a_load, b_load, a_ending, b_ending;
  tiling_t tiling;
  shape_t shape_q;
  logic int8_q, odd_q, colsum_q, chain_q;
  logic [2:0] before_q;  // unwritten commands before it
  logic written;         // one of them has written all

  assign load = a_load && b_load;
  assign ending_o = a_ending && b_ending;
  assign cmd_ready_o = a_idle && b_idle && unfinished_i <= 3'(cmd_i.overlap) + 3'd1;
  assign start = cmd_valid_i && cmd_ready_o;
  assign written = block_i && block_last_i;
  assign tiling = '{m: in_blocks(cmd_i.m, 1'b0), n: in_blocks(cmd_i.n, 1'b0), k: in_blocks(cmd_i.k, cmd_i.int8)};

  // `count`, or pairs of it; nothing carries.
  function automatic blocks_t in_blocks(logic [DimW-1:0] count, logic pairs);
    blocks_t blocks;
    blocks.whole = BlockW'(count >> LaneW);
    blocks.part = count[LaneW-1:0] != '0;
    if (pairs) begin
      blocks.whole = BlockW'(count >> (LaneW + 1));
      blocks.part = count[LaneW:0] != '0;
    end
    blocks.one = count[DimW-1:LaneW+2] == '0 && (!count[LaneW+1] || (pairs && count[LaneW:0] == '0)) &&
                 (!count[LaneW] || pairs || count[LaneW-1:0] == '0);
    blocks.unit = count[DimW-1:2] == '0 && !(count[1] && (count[0] || !pairs));
    return blocks;
  endfunction

  // While nothing is read, the next command is loaded in every cycle, and with the last one of these it starts.
  always_ff @(posedge clk_i) begin
    if (load) begin
      shape_q <= shape_i;
      int8_q <= cmd_i.int8;
      odd_q <= cmd_i.int8 && cmd_i.k[0];
      colsum_q <= cmd_i.colsum;
      before_q <= unwritten_i - 3'd1 - 3'(written);
    end else if (written && before_q != '0) begin
      before_q <= before_q - 1'b1;
    end
  end

  // A chained command reads a group of A when the command before it has written it: in its first column of tiles it
  // comes by all of that command's blocks, in their order.
  logic a_open, a_first_row, a_first_col, chain, takes_block, more_q;
  logic [15:0] blocks_q;  // written by the oldest unwritten command, less what a chained one has begun to read; more_q: any

  assign chain = chain_q && before_q != '0;
  assign takes_block = chain && a_open && a_first_col;

  always_ff @(posedge clk_i) begin
    if (!rst_ni || written) begin
      blocks_q <= '0;
      more_q <= 1'b0;
    end else if (block_i != takes_block) begin
      blocks_q <= block_i ? blocks_q + 1'b1 : blocks_q - 1'b1;
      more_q <= block_i || blocks_q != 16'd1;
    end
  end

  always_ff @(posedge clk_i) chain_q <= load ? cmd_i.chain : chain;

  // Operands.
  logic a_valid, b_valid, a_int8, a_odd, a_colsum, tile_last, next_tile_last, cmd_last, group_end_q;
  logic [LaneW-1:0] index_q, index_last, next_index_last;
  logic [Lanes*16-1:0] a_data;

  lathe_gemm_fetch #(
    .Lanes(Lanes),
    .Banks(Banks),
    .IsA  (1'b1),
    .TagW (3)
  ) u_fetch_a (
    .clk_i,
    .rst_ni,
    .start_i     (start),
    .next_shape_i(shape_i),
    .next_tiling_i(tiling),
    .next_chain_i(cmd_i.chain),
    .base_i      (cmd_i.t[0].addr),
    .stride_i    (cmd_i.t[0].stride),
    .along_k_i   (!cmd_i.trans_a),
    .idle_o      (a_idle),
    .load_o      (a_load),
    .ending_o    (a_ending),
    .shape_i     (shape_q),
    .tag_i       ({int8_q, odd_q, colsum_q && a_first_row}),
    .chain_i     (chain),
    .may_open_i  (before_q == 3'd1 && more_q),
    .open_o      (a_open),
    .first_row_o (a_first_row),
    .first_col_o (a_first_col),
    .rd_valid_o  (a_rd_valid_o),
    .rd_ready_i  (a_rd_ready_i),
    .rd_addr_o   (a_rd_addr_o),
    .rd_rvalid_i (a_rd_rvalid_i),
    .rd_rdata_i  (a_rd_rdata_i),
    .step_i      (index_q),
    .valid_o     (a_valid),
    .data_o      (a_data),
    .step_last_o (index_last),
    .tile_last_o (tile_last),
    .cmd_last_o  (cmd_last),
    .tag_o       ({a_int8, a_odd, a_colsum}),
    .next_step_last_o(next_index_last),
    .next_tile_last_o(next_tile_last),
    .taken_i     (step_o),
    .last_i      (group_end_q)
  );

  // verilator lint_off PINCONNECTEMPTY
  lathe_gemm_fetch #(
    .Lanes(Lanes),
    .Banks(Banks),
    .IsA  (1'b0)
  ) u_fetch_b (
    .clk_i,
    .rst_ni,
    .start_i     (start),
    .next_shape_i(shape_i),
    .next_tiling_i(tiling),
    .next_chain_i(1'b0),
    .base_i      (cmd_i.t[1].addr),
    .stride_i    (cmd_i.t[1].stride),
    .along_k_i   (cmd_i.trans_b),
    .idle_o      (b_idle),
    .load_o      (b_load),
    .ending_o    (b_ending),
    .shape_i     (shape_q),
    .tag_i       (1'b0),
    .chain_i     (1'b0),
    .may_open_i  (1'b1),
    .open_o      (),
    .first_row_o (),
    .first_col_o (),
    .rd_valid_o  (b_rd_valid_o),
    .rd_ready_i  (b_rd_ready_i),
    .rd_addr_o   (b_rd_addr_o),
    .rd_rvalid_i (b_rd_rvalid_i),
    .rd_rdata_i  (b_rd_rdata_i),
    .step_i      (index_q),
    .valid_o     (b_valid),
    .data_o      (step_b_o),
    .step_last_o (),
    .tile_last_o (),
    .cmd_last_o  (),
    .tag_o       (),
    .next_step_last_o(),
    .next_tile_last_o(),
    .taken_i     (step_o),
    .last_i      (group_end_q)
  );
  // verilator lint_on PINCONNECTEMPTY

  // Steps: the last one of a tile waits until the tile's sums have room and meet no other rows behind the array.
  // What a step ends is known in the cycle before it.
  logic at_end, last_q, room, room_q, apart, may_end_q;
  logic [RoomW-1:0] rows_q;   // rows of sums that have room
  logic [GapW-1:0] gap_q;     // counts down from the last step of a tile
  logic [2:0] stepping_q;     // commands that were begun and want more steps

  assign at_end = !step_o ? index_q == index_last : group_end_q ? next_index_last == '0 : index_q + 1'b1 == index_last;
  assign room = rows_q > RoomW'(Lanes);  // for the next tile, which ends later
  assign apart = gap_q <= GapW'(1) || (gap_q == GapW'(2) && !a_colsum);  // in the next cycle
  assign step_o = a_valid && b_valid && (!last_q || may_end_q);

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      index_q <= '0;
      rows_q <= RoomW'(RoomRows);
      room_q <= 1'b1;
      may_end_q <= 1'b0;
      gap_q <= GapW'(Lanes);
      stepping_q <= '0;
    end else begin
      if (step_o) index_q <= group_end_q ? '0 : index_q + 1'b1;
      if (step_o && last_q) rows_q <= rows_q - RoomW'(Lanes) - RoomW'(a_colsum) + RoomW'(row_taken_i);
      else if (row_taken_i) rows_q <= rows_q + 1'b1;
      room_q <= room;
      may_end_q <= room && apart && !(step_o && last_q);
      if (step_o && last_q) gap_q <= GapW'(Lanes);
      else if (gap_q != '0) gap_q <= gap_q - 1'b1;
      if (start != (step_o && group_end_q && cmd_last)) stepping_q <= start ? stepping_q + 1'b1 : stepping_q - 1'b1;
    end
  end

  always_ff @(posedge clk_i) begin
    group_end_q <= at_end;
    last_q <= at_end && (step_o && group_end_q ? next_tile_last : tile_last);
  end

  assign stall_operand_o = stepping_q != '0 && !(a_valid && b_valid);
  assign stall_result_o = a_valid && b_valid && last_q && !room_q;

  // The upper half of the last pair is no element if K is odd.
  assign step_last_o = last_q;
  assign step_int8_o = a_int8;
  assign step_colsum_o = a_colsum;

  always_comb begin
    step_a_o = a_data;
    if (a_odd && last_q) begin
      for (int unsigned l = 0; l < Lanes; l++) step_a_o[16*l+8+:8] = '0;
    end
  end
endmodule
