// SPDX-License-Identifier: Apache-2.0
// Buffers groups of up to Lanes lines and gives their columns, or the lines as they came, one of each a cycle. The
// owner opens a group before its lines come and closes the oldest when done. Missing lines leave lanes undefined.
module lathe_transpose #(
  parameter int unsigned Lanes = 8,   // a power of 2
  parameter int unsigned Width = 16,  // of an element
  parameter int unsigned Groups = 4,  // a power of 2
  parameter int unsigned TagW = 1,
  localparam int unsigned LaneW = $clog2(Lanes)
) (
  input  logic                   clk_i,
  input  logic                   rst_ni,
  // A new group, after those that are open.
  output logic                   room_o,
  input  logic                   open_i,
  input  logic [LaneW-1:0]       open_last_i,   // its last line
  input  logic                   open_lines_i,  // give its lines, not its columns
  input  logic [TagW-1:0]        open_tag_i,    // comes out with it
  // Its lines, in order.
  input  logic                   line_valid_i,
  input  logic [Lanes*Width-1:0] line_data_i,
  // The oldest group.
  input  logic [LaneW-1:0]       index_i,       // column or line that is wanted
  output logic                   valid_o,       // it is there
  output logic [Lanes*Width-1:0] data_o,
  output logic [TagW-1:0]        tag_o,
  input  logic                   close_i
);
  if (Lanes < 2 || Lanes != 1 << LaneW || Groups < 2 || Groups != 1 << $clog2(Groups)) begin : g_check
    $fatal(1, "lathe_transpose: Lanes and Groups must be powers of 2");
  end

  localparam int unsigned GroupW = $clog2(Groups);
  typedef logic [LaneW-1:0] lane_t;
  typedef logic [Lanes-1:0][Width-1:0] word_t;

  logic [GroupW-1:0] open_q, in_q, out_q;  // groups that is opened next, gets lines, comes out
  logic [GroupW:0] used_q, full_q;         // groups that are open, that have all lines
  lane_t line_q;
  lane_t last_q [Groups];
  logic [Groups-1:0] lines_q;
  logic [TagW-1:0] tag_q [Groups];
  logic line_last;

  assign room_o = !used_q[GroupW];
  assign line_last = line_valid_i && line_q == last_q[in_q];
  assign tag_o = tag_q[out_q];
  // A line is there as soon as it came, a column with the last line.
  assign valid_o = full_q != '0 || (used_q != '0 && lines_q[out_q] && index_i != line_q);

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      open_q <= '0;
      in_q <= '0;
      out_q <= '0;
      used_q <= '0;
      full_q <= '0;
      line_q <= '0;
    end else begin
      if (open_i) open_q <= open_q + 1'b1;
      if (line_valid_i) line_q <= line_last ? '0 : line_q + 1'b1;
      if (line_last) in_q <= in_q + 1'b1;
      if (close_i) out_q <= out_q + 1'b1;
      if (open_i != close_i) used_q <= open_i ? used_q + 1'b1 : used_q - 1'b1;
      if (line_last != close_i) full_q <= line_last ? full_q + 1'b1 : full_q - 1'b1;
    end
  end

  always_ff @(posedge clk_i) begin
    if (open_i) begin
      last_q[open_q] <= open_last_i;
      lines_q[open_q] <= open_lines_i;
      tag_q[open_q] <= open_tag_i;
    end
  end

  // Lane l of the result is lane l + by of the word.
  function automatic word_t rotate(word_t word, lane_t by);
    for (int unsigned s = 0; s < LaneW; s++) begin
      if (by[s]) word = (word >> ((1 << s) * Width)) | (word << ((Lanes - (1 << s)) * Width));
    end
    return word;
  endfunction

  // Stored on the diagonal, so that a line and a column both touch every memory once: element (line i, column k) is
  // in memory (i + k) mod Lanes at address i.
  word_t line, diagonal;
  assign line = rotate(line_data_i, -line_q);

  for (genvar m = 0; m < Lanes; m++) begin : gen_memory
    logic [Width-1:0] mem_q [Groups*Lanes];
    lane_t address;

    always_ff @(posedge clk_i) begin
      if (line_valid_i) mem_q[{in_q, line_q}] <= line[m];
    end

    assign address = lines_q[out_q] ? index_i : lane_t'(m) - index_i;
    assign diagonal[m] = mem_q[{out_q, address}];
  end

  assign data_o = rotate(diagonal, index_i);

`ifndef SYNTHESIS
  logic live_q;  // after a reset, when registers no longer hold what they powered up with
  initial live_q = 1'b0;
  always @(posedge clk_i) begin
    live_q <= rst_ni;
    if (live_q && rst_ni) begin
      assert (!open_i || room_o) else $error("a group is opened without room");
      assert (!line_valid_i || used_q > full_q) else $error("a line without a group");
      assert (!close_i || full_q != '0) else $error("a group is closed before its last line came");
    end
  end
`endif
endmodule
