// SPDX-License-Identifier: Apache-2.0
// Buffers groups of up to Lanes lines and gives their columns, or the lines as they came, one of each a cycle. The
// owner opens a group before its lines come and closes the oldest when done. Missing lines leave lanes undefined.
module lathe_transpose #(
  parameter int unsigned Lanes = 8,   // a power of 2
  parameter int unsigned Width = 16,  // of an element
  parameter int unsigned Groups = 2,  // memory for so many, a power of 2; one more is overwritten while it comes out
  parameter int unsigned TagW = 1,
  localparam int unsigned LaneW = $clog2(Lanes)
) (
  input  logic                   clk_i,
  input  logic                   rst_ni,
  // The lines that will come, in order; line 0 opens a new group, after those that are open.
  input  logic [LaneW-1:0]       ask_i,         // the next line
  input  logic [LaneW-1:0]       ask_next_i,    // the one after it
  output logic                   room_o,        // for that line, out of a register
  input  logic                   take_i,        // it is asked for and will come
  input  logic [LaneW-1:0]       open_last_i,   // with line 0: the group's last line
  input  logic                   open_lines_i,  // give its lines, not its columns
  input  logic [TagW-1:0]        open_tag_i,    // comes out with it
  // They come, two cycles later or more.
  input  logic                   line_valid_i,
  input  logic [Lanes*Width-1:0] line_data_i,
  // The oldest group.
  input  logic [LaneW-1:0]       index_i,       // column or line that is wanted: all of them in order, 0 without a group
  output logic                   valid_o,       // it is there, out of a register
  output logic [Lanes*Width-1:0] data_o,
  output logic [TagW-1:0]        tag_o,
  output logic [TagW-1:0]        next_tag_o,    // of the group after it, if that was open a cycle ago
  input  logic                   taken_i,       // it is taken
  input  logic                   last_i         // it is the last one that is wanted
);
  if (Lanes < 2 || Lanes != 1 << LaneW || Groups < 2 || Groups != 1 << $clog2(Groups)) begin : g_check
    $fatal(1, "lathe_transpose: Lanes and Groups must be powers of 2");
  end

  localparam int unsigned GroupW = $clog2(Groups);
  typedef logic [LaneW-1:0] lane_t;
  typedef logic [GroupW:0] group_t;
  typedef logic [Lanes-1:0][Width-1:0] word_t;

  // Element (line i, column k) is in memory i ^ k: a line and a column both touch every memory once. Its address is i
  // or, if the group is turned, k. A new group's line x takes the places of the old one's column or line x, which has
  // come out: it is turned if the old one was and came out as lines, or neither.
  typedef struct packed {
    logic            lines;
    logic            crossed;  // lines and turned, or neither
    logic [TagW-1:0] tag;
  } form_t;

  group_t open_q, in_q, out_q;  // number of the group that is opened next, gets lines, comes out
  group_t used_q, full_q;       // groups that are open, that have all lines
  lane_t line_q;
  lane_t last_q [2*Groups];
  logic [2*Groups-1:0] turned_q;
  logic [Groups-1:0] turn_q;    // of the next group in these places
  form_t form_q [2*Groups], opened, oldest_q, next, coming;
  logic open, close, opened_turned, line_last, last_line_q, room_q, valid_q;
  logic [2*Groups-1:0] one_line_q;
  lane_t data_index_q, read_q;  // index_i; as an address
  logic here, here_next, here_after;

  // Room for line `ask` when `used` groups are open: in places that are free, or whose column or line has come out.
  function automatic logic room(lane_t ask, group_t used, lane_t index);
    if (ask != '0) return used <= group_t'(Groups) || index > ask;
    return used < group_t'(Groups) || (used == group_t'(Groups) && index != '0);
  endfunction

  assign close = taken_i && last_i;
  assign open = take_i && ask_i == '0;
  assign room_o = room_q;
  assign line_last = line_valid_i && last_line_q;
  assign opened_turned = turn_q[open_q[GroupW-1:0]];
  assign opened = '{lines: open_lines_i, crossed: opened_turned == open_lines_i, tag: open_tag_i};
  assign next = form_q[out_q+1'b1];
  assign coming = used_q <= group_t'(1) ? opened : next;  // the oldest one after this one
  assign tag_o = oldest_q.tag;
  assign next_tag_o = next.tag;
  assign valid_o = valid_q;
  // A line is there as soon as it came, a column with the last line. Lines are ahead of the index if not equal.
  assign here = full_q != '0 || (oldest_q.lines && (line_valid_i || line_q != index_i));
  assign here_next = full_q != '0 || (oldest_q.lines && (line_valid_i || line_q != index_i + 1'b1));
  assign here_after = full_q > group_t'(1) || (next.lines && (line_valid_i || line_q != '0));

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      open_q <= '0;
      in_q <= '0;
      out_q <= '0;
      used_q <= '0;
      full_q <= '0;
      line_q <= '0;
      turn_q <= '0;
      room_q <= 1'b0;
      valid_q <= 1'b0;
      data_index_q <= '0;
    end else begin
      if (open) begin
        open_q <= open_q + 1'b1;
        turn_q[open_q[GroupW-1:0]] <= opened.crossed;
      end
      if (line_valid_i) line_q <= line_last ? '0 : line_q + 1'b1;
      if (line_last) in_q <= in_q + 1'b1;
      if (close) out_q <= out_q + 1'b1;
      room_q <= take_i ? room(ask_next_i, used_q + group_t'(ask_i == '0), index_i) : room(ask_i, used_q, index_i);
      if (open != close) used_q <= open ? used_q + 1'b1 : used_q - 1'b1;
      if (line_last != close) full_q <= line_last ? full_q + 1'b1 : full_q - 1'b1;
      valid_q <= line_last || (!taken_i ? here : last_i ? here_after : here_next);
      if (taken_i) data_index_q <= last_i ? '0 : data_index_q + 1'b1;
    end
  end

  always_ff @(posedge clk_i) begin
    if (open) begin
      last_q[open_q] <= open_last_i;
      one_line_q[open_q] <= open_last_i == '0;
      form_q[open_q] <= opened;
      turned_q[open_q] <= opened_turned;
    end
    // Known in the cycle before the line comes, which is later than the one in which its group's length got here.
    last_line_q <= line_last ? one_line_q[in_q+1'b1] : line_q + lane_t'(line_valid_i) == last_q[in_q];
    if (close || used_q == '0) begin
      oldest_q <= coming;
      read_q <= {LaneW{coming.crossed}};
    end else if (taken_i) begin
      read_q <= (data_index_q + 1'b1) ^ {LaneW{oldest_q.crossed}};
    end
  end

  // Lane l of the result is lane l ^ by of the word.
  function automatic word_t swap(word_t word, lane_t by);
    for (int unsigned s = 0; s < LaneW; s++) begin
      word_t other;
      for (int unsigned l = 0; l < Lanes; l++) other[l] = word[l ^ (1 << s)];
      if (by[s]) word = other;
    end
    return word;
  endfunction

  word_t line, crossed;
  assign line = swap(line_data_i, line_q);

  for (genvar m = 0; m < Lanes; m++) begin : gen_memory
    logic [Width-1:0] mem_q [Groups*Lanes];
    lane_t write, read;

    assign write = line_q ^ (turned_q[in_q] ? lane_t'(m) : '0);
    assign read = (read_q & lane_t'(m)) | (data_index_q & ~lane_t'(m));  // only wires

    always_ff @(posedge clk_i) begin
      if (line_valid_i) mem_q[{in_q[GroupW-1:0], write}] <= line[m];
    end

    assign crossed[m] = mem_q[{out_q[GroupW-1:0], read}];
  end

  assign data_o = swap(crossed, data_index_q);

`ifndef SYNTHESIS
  logic live_q;  // after a reset, when registers no longer hold what they powered up with
  initial live_q = 1'b0;
  always @(posedge clk_i) begin
    live_q <= rst_ni;
    if (live_q && rst_ni) begin
      assert (!take_i || room_o) else $error("a line is asked for without room");
      assert (!line_valid_i || full_q < group_t'(Groups) || line_q < index_i) else $error("a line without room");
      assert (!line_valid_i || used_q > full_q) else $error("a line without a group");
      assert (index_i == data_index_q) else $error("not all words in order");
      assert (!close || full_q != '0) else $error("a group is closed before its last line came");
    end
  end
`endif
endmodule
