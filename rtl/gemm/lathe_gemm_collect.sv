// SPDX-License-Identifier: Apache-2.0
// Turns the array's running sums into the rows of each tile: subtracts what the tile before left and what the edges added
// up, and deskews in one memory per column. The feed keeps count of the room: ResultTiles * Lanes rows.
module lathe_gemm_collect
  import lathe_pkg::*;
  import lathe_gemm_pkg::*;
#(
  parameter int unsigned Lanes = 8
) (
  input  logic                        clk_i,
  input  logic                        rst_ni,
  output logic                        busy_o,        // a row waits, or it is still being made ready after a reset
  // As lathe_gemm_array gives them.
  input  logic [Lanes-1:0]            row_valid_i,
  input  logic [AccW-1:0]             row_data_i [Lanes],
  input  logic [Lanes-1:0]            colsum_valid_i,
  input  logic [EdgeW-1:0]            edge_data_i [Lanes],
  input  logic                        side_valid_i,
  input  logic [EdgeW-1:0]            side_data_i,
  // For each tile its row of column sums, if it has colsum, then its Lanes rows.
  output logic                        row_valid_o,
  input  logic                        row_ready_i,
  output logic                        row_taken_o,         // a row was taken a cycle ago, out of a register
  output logic [AccW-1:0]             row_data_o [Lanes]   // of the row that was taken a cycle ago
);
  localparam int unsigned LaneW = $clog2(Lanes);
  localparam int unsigned ResultRows = ResultTiles * Lanes;
  localparam int unsigned PtrW = $clog2(ResultRows);

  // In the first Lanes cycles after a reset the memories of the sums before are cleared, entry by entry.
  logic [LaneW:0] clear_q;
  logic clear;

  assign clear = !clear_q[LaneW];
  assign busy_o = clear || row_valid_o;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) clear_q <= '0;
    else if (clear) clear_q <= clear_q + 1'b1;
  end

  // The edge column, one cycle ahead of column 0; what it added in this tile goes from column to column with its row.
  logic [EdgeW-1:0] side_total [Lanes];
  logic [LaneW-1:0] side_index_q;
  logic [EdgeW-1:0] side_q [Lanes], side_d [Lanes];

  always_ff @(posedge clk_i) begin
    if (!rst_ni) side_index_q <= '0;
    else if (side_valid_i || clear) side_index_q <= side_index_q + 1'b1;
  end

  always_comb begin
    side_d[0] = side_valid_i ? side_data_i - side_total[side_index_q] : '0;
    /* verilator unroll_disable */
    for (int unsigned j = 1; j < Lanes; j++) side_d[j] = side_q[j-1];
  end

  always_ff @(posedge clk_i) begin
    if (side_valid_i || clear) side_total[side_index_q] <= side_data_i;
    side_q <= side_d;
  end

  // The columns: difference, then correction, then into the memory. Index and pointer of a column are those of the column
  // before it, a cycle later.
  logic [Lanes-1:0][LaneW-1:0] index_q;
  logic [Lanes-1:0][PtrW-1:0] write_q;
  logic [Lanes-1:0] clear_line, slot_q;
  logic [Lanes-2:0] clear_line_q;
  logic enable_q;
  logic [PtrW-1:0] read;

  assign clear_line = {clear_line_q, clear};

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      clear_line_q <= '0;
      slot_q <= '0;
      index_q[0] <= '0;
      write_q[0] <= '0;
    end else begin
      clear_line_q <= clear_line[Lanes-2:0];
      slot_q <= row_valid_i | colsum_valid_i;
      if (row_valid_i[0] || clear) index_q[0] <= index_q[0] + 1'b1;
      if (slot_q[0]) write_q[0] <= write_q[0] + 1'b1;
    end
    index_q[Lanes-1:1] <= index_q[Lanes-2:0];
    write_q[Lanes-1:1] <= write_q[Lanes-2:0];
  end

  for (genvar j = 0; j < Lanes; j++) begin : gen_column
    logic [AccW-1:0] total [Lanes];
    logic [AccW-1:0] sum_q;
    logic signed [EdgeW-1:0] edge_q;

    always_ff @(posedge clk_i) begin
      if (row_valid_i[j] || clear_line[j]) total[index_q[j]] <= row_data_i[j];
      if (row_valid_i[j] || colsum_valid_i[j]) begin
        sum_q <= row_valid_i[j] ? row_data_i[j] - total[index_q[j]] : '0;
        edge_q <= signed'(side_q[j] + edge_data_i[j]);
      end
    end

    lathe_ram #(
      .Width         (AccW),
      .Words         (ResultRows),
      .AnyOnCollision(1'b1)
    ) u_rows (
      .clk_i,
      .wr_en_i  (slot_q[j]),
      .wr_addr_i(write_q[j]),
      .wr_data_i(sum_q - unsigned'(AccW'(edge_q))),
      .rd_en_i  (enable_q),
      .rd_addr_i(read),
      .rd_data_o(row_data_o[j])
    );
  end

  // A row is there when its last column is: Lanes - 1 cycles after its first one, which is near. What is far from the drain learns a cycle later, out of a register, that a row was
  // taken; what decides whether there is another one does not wait for that.
  logic [PtrW:0] level_q;  // rows, and the one that was taken a cycle ago
  logic [PtrW-1:0] read_q, next_q;
  logic [Lanes-1:1] written_q;
  logic written, more, row_valid_q, row_valid_far_q, taken_q;

  assign written = written_q[Lanes-1];
  assign more = level_q[PtrW:2] != '0 || (level_q[1] && (level_q[0] || !taken_q));  // than one
  assign read = taken_q ? next_q : read_q;
  assign row_valid_o = row_valid_far_q;
  assign row_taken_o = taken_q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      level_q <= '0;
      read_q <= '0;
      next_q <= PtrW'(1);
      row_valid_q <= 1'b0;
      taken_q <= 1'b0;
      written_q <= '0;
    end else begin
      written_q <= (Lanes-1)'({written_q, slot_q[0]});
      if (written != taken_q) level_q <= written ? level_q + 1'b1 : level_q - 1'b1;
      read_q <= read;
      next_q <= read + 1'b1;
      row_valid_q <= written || more || (row_valid_q && !row_ready_i);
      taken_q <= row_valid_q && row_ready_i;
    end
    enable_q <= written || row_valid_q;  // at least when a row is there
  end

  // The same as row_valid_q, for the drain.
  (* keep *) always_ff @(posedge clk_i) row_valid_far_q <= rst_ni && (written || more || (row_valid_q && !row_ready_i));

`ifndef SYNTHESIS
  logic live_q;  // after a reset, when registers no longer hold what they powered up with
  initial live_q = 1'b0;
  always @(posedge clk_i) begin
    live_q <= rst_ni;
    if (live_q && slot_q[0]) assert (level_q - (PtrW+1)'(taken_q) < (PtrW+1)'(ResultRows)) else $error("no room for a row of sums");
    if (live_q) assert (written == slot_q[Lanes-1]) else $error("a row's columns do not follow each other");
    if (live_q && row_valid_i[0]) assert (!clear_line[0]) else $error("a tile ended too early after a reset");
  end
`endif
endmodule
