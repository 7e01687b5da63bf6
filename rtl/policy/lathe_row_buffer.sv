// SPDX-License-Identifier: Apache-2.0
// FIFO of a power of two of elements in block RAM. Room is given as credit: `free_o` counts what may
// still be announced with `reserve_i`, and every announced element is pushed later without asking.
// An element comes out of a register, from the third cycle after its push on.
module lathe_row_buffer #(
  parameter int unsigned Width = 32,
  parameter int unsigned Depth = 128,
  parameter int unsigned Spare = 0  // room_o falls this many elements early; 0 or a power of two
) (
  input  logic             clk_i,
  input  logic             rst_ni,
  input  logic             reserve_i,
  output logic             room_o,      // early: at least one element may be reserved, and `Spare` more
  input  logic             push_i,
  input  logic [Width-1:0] push_data_i,
  output logic             valid_o,     // out of a register
  input  logic             pop_i,       // only while valid_o
  output logic [Width-1:0] data_o       // out of a register
);
  localparam int unsigned PtrW = $clog2(Depth);

  if (Depth < 2 || 2**PtrW != Depth) begin : gen_illegal
    $fatal(1, "lathe_row_buffer: Depth must be a power of two");
  end

  // pop_i comes late: whatever follows from it is prepared for both cases
  logic [PtrW-1:0]  wr_q, rd_q, rd_next_q, rd_d;
  logic [PtrW:0]    reserved_q, avail_q;
  logic             push_q, valid_q, out_valid_q, ahead_q, load;  // valid: in memory, ahead: there alone; load: into the register
  logic [Width-1:0] word, out_q;

  assign load = pop_i ? valid_q : ahead_q;
  assign rd_d = load ? rd_next_q : rd_q;
  assign room_o = !reserved_q[PtrW] && (Spare == 0 || !(&reserved_q[PtrW-1:$clog2(Spare)]));
  assign valid_o = out_valid_q;
  assign data_o = out_q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      wr_q <= '0;
      rd_q <= '0;
      rd_next_q <= PtrW'(1);
      reserved_q <= '0;
      avail_q <= '0;
      valid_q <= 1'b0;
      out_valid_q <= 1'b0;
      ahead_q <= 1'b0;
      push_q <= 1'b0;
    end else begin
      wr_q <= wr_q + PtrW'(push_i);
      rd_q <= rd_d;
      if (load) rd_next_q <= rd_next_q + PtrW'(1);
      if (reserve_i != load) reserved_q <= reserve_i ? reserved_q + (PtrW+1)'(1) : reserved_q - (PtrW+1)'(1);
      if (push_q != load) avail_q <= push_q ? avail_q + (PtrW+1)'(1) : avail_q - (PtrW+1)'(1);
      valid_q <= push_q || (load ? avail_q[PtrW:1] != '0 : valid_q);
      out_valid_q <= load || (out_valid_q && !pop_i);
      ahead_q <= push_q && !valid_q && (!out_valid_q || pop_i);
      push_q <= push_i;
    end
  end

  always_ff @(posedge clk_i) begin
    if (!out_valid_q || pop_i) out_q <= word;  // not for `load`, which has enough to drive
  end

  // The word at the next read position is fetched ahead, again in every cycle until it is popped.
  lathe_ram #(
    .Width(Width),
    .Words(Depth),
    .AnyOnCollision(1'b1),
    .Block(1'b1)
  ) u_ram (
    .clk_i,
    .wr_en_i(push_i),
    .wr_addr_i(wr_q),
    .wr_data_i(push_data_i),
    .rd_en_i(1'b1),
    .rd_addr_i(rd_d),
    .rd_data_o(word)
  );

`ifndef SYNTHESIS  // registers are random at time 0
  always_ff @(posedge clk_i) begin
    if (rst_ni && $time != 0) begin
      assert (!reserve_i || !reserved_q[PtrW]) else $error("row_buffer: reserved without room");
      assert (ahead_q == (valid_q && !out_valid_q)) else $error("row_buffer: ahead");
      assert (!pop_i || valid_o) else $error("row_buffer: popped while empty");
      assert (reserved_q >= avail_q) else $error("row_buffer: pushed without reservation");
    end
  end
`endif
endmodule
