// SPDX-License-Identifier: Apache-2.0
// Transposes groups of up to Lanes words: lines go in, columns come out, one of each a cycle, from two halves in turn.
// A tile is one or more groups side by side, only its last group may have fewer columns than Lanes. Missing lines of a
// short group leave their lanes undefined.
module lathe_transpose #(
  parameter int unsigned Lanes = 8,   // a power of 2
  parameter int unsigned Width = 16,  // of an element
  parameter int unsigned CountW = 16  // of a number of columns
) (
  input  logic                   clk_i,
  input  logic                   rst_ni,
  input  logic                   start_i,
  input  logic [CountW-1:0]      last_column_i,  // of a tile; holds from start_i on
  input  logic                   line_valid_i,
  output logic                   line_ready_o,
  input  logic [Lanes*Width-1:0] line_data_i,
  input  logic                   line_last_i,    // last line of the group
  output logic                   column_valid_o,
  input  logic                   column_ready_i,
  output logic [Lanes*Width-1:0] column_data_o
);
  if (Lanes < 2 || Lanes != 1 << $clog2(Lanes) || CountW <= $clog2(Lanes)) begin : g_check
    $fatal(1, "lathe_transpose: Lanes must be a power of 2, CountW wide enough to count them");
  end

  // Stored on the diagonal, so that a line and a column both touch every memory once: element (line i, column k) is
  // in memory (i + k) mod Lanes at address i.
  localparam int unsigned LaneW = $clog2(Lanes);
  localparam int unsigned GroupW = CountW - LaneW;
  typedef logic [LaneW-1:0] lane_t;

  logic [1:0] full_q;
  logic in_half_q, out_half_q, push, pop, column_last;
  lane_t line_q, column_q;
  logic [GroupW-1:0] left_q;  // groups of the tile after the one that comes out

  assign line_ready_o = !full_q[in_half_q];
  assign column_valid_o = full_q[out_half_q];
  assign push = line_valid_i && line_ready_o;
  assign pop = column_valid_o && column_ready_i;
  assign column_last = column_q == (left_q == '0 ? last_column_i[LaneW-1:0] : '1);

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      full_q <= '0;
      in_half_q <= 1'b0;
      out_half_q <= 1'b0;
    end else begin
      if (push && line_last_i) begin
        full_q[in_half_q] <= 1'b1;
        in_half_q <= !in_half_q;
      end
      if (pop && column_last) begin
        full_q[out_half_q] <= 1'b0;
        out_half_q <= !out_half_q;
      end
    end
  end

  always_ff @(posedge clk_i) begin
    if (start_i) begin
      line_q <= '0;
      column_q <= '0;
      left_q <= last_column_i[CountW-1:LaneW];
    end else begin
      if (push) line_q <= line_last_i ? '0 : line_q + 1'b1;
      if (pop) begin
        column_q <= column_last ? '0 : column_q + 1'b1;
        if (column_last) left_q <= left_q == '0 ? last_column_i[CountW-1:LaneW] : left_q - 1'b1;
      end
    end
  end

  logic [Lanes-1:0][Width-1:0] line, column, diagonal;
  assign line = line_data_i;

  for (genvar m = 0; m < Lanes; m++) begin : gen_memory
    logic [Width-1:0] mem_q [2*Lanes];

    always_ff @(posedge clk_i) begin
      if (push) mem_q[{in_half_q, line_q}] <= line[lane_t'(m) - line_q];
    end

    assign diagonal[m] = mem_q[{out_half_q, lane_t'(m) - column_q}];
    assign column[m] = diagonal[lane_t'(m) + column_q];
  end

  assign column_data_o = column;
endmodule
