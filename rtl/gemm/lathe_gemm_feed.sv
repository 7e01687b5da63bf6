// SPDX-License-Identifier: Apache-2.0
// The front of the gemm unit: fetches both operands, steps the array through the tiles and gives rows of finished sums.
// All Lanes rows of each tile come, also those beyond M; lanes and rows beyond the edges hold garbage.
module lathe_gemm_feed
  import lathe_pkg::*;
  import lathe_gemm_pkg::*;
#(
  parameter int unsigned Lanes = 8
) (
  input  logic                       clk_i,
  input  logic                       rst_ni,
  input  shape_t                     shape_i,
  // verilator lint_off UNUSEDSIGNAL
  input  cmd_t                       cmd_i,           // only operands 0 and 1, trans_a and trans_b
  // verilator lint_on UNUSEDSIGNAL
  input  logic                       start_i,
  output logic                       a_rd_valid_o,
  input  logic                       a_rd_ready_i,
  output logic [AddrW-1:0]           a_rd_addr_o,
  input  logic                       a_rd_rvalid_i,
  input  logic [Lanes*16-1:0]        a_rd_rdata_i,
  output logic                       b_rd_valid_o,
  input  logic                       b_rd_ready_i,
  output logic [AddrW-1:0]           b_rd_addr_o,
  input  logic                       b_rd_rvalid_i,
  input  logic [Lanes*16-1:0]        b_rd_rdata_i,
  output logic                       row_valid_o,
  input  logic                       row_ready_i,
  output logic [Lanes-1:0][AccW-1:0] row_data_o,
  output logic                       stall_operand_o,
  output logic                       stall_result_o,
  output logic                       mac_step_o
);
  localparam int unsigned ResultRows = 4 * Lanes;  // rows of sums between array and drain
  localparam int unsigned RoomW = $clog2(ResultRows + 1);

  // Operands.
  logic a_valid, b_valid, step;
  logic [Lanes*16-1:0] a_data, b_data;

  lathe_gemm_fetch #(
    .Lanes(Lanes),
    .IsA  (1'b1)
  ) u_fetch_a (
    .clk_i,
    .rst_ni,
    .shape_i,
    .base_i      (cmd_i.t[0].addr),
    .stride_i    (cmd_i.t[0].stride),
    .along_k_i   (!cmd_i.trans_a),
    .start_i,
    .rd_valid_o  (a_rd_valid_o),
    .rd_ready_i  (a_rd_ready_i),
    .rd_addr_o   (a_rd_addr_o),
    .rd_rvalid_i (a_rd_rvalid_i),
    .rd_rdata_i  (a_rd_rdata_i),
    .step_valid_o(a_valid),
    .step_ready_i(step),
    .step_data_o (a_data)
  );

  lathe_gemm_fetch #(
    .Lanes(Lanes),
    .IsA  (1'b0)
  ) u_fetch_b (
    .clk_i,
    .rst_ni,
    .shape_i,
    .base_i      (cmd_i.t[1].addr),
    .stride_i    (cmd_i.t[1].stride),
    .along_k_i   (cmd_i.trans_b),
    .start_i,
    .rd_valid_o  (b_rd_valid_o),
    .rd_ready_i  (b_rd_ready_i),
    .rd_addr_o   (b_rd_addr_o),
    .rd_rvalid_i (b_rd_rvalid_i),
    .rd_rdata_i  (b_rd_rdata_i),
    .step_valid_o(b_valid),
    .step_ready_i(step),
    .step_data_o (b_data)
  );

  // Steps: the last step of a tile waits until the tile's sums have room and meet no other rows on the column buses.
  logic feeding_q, last, last_tile, room, apart, operands;
  logic [DimW-1:0] k_q;  // steps of the tile after this one
  logic first_q;
  logic [$clog2(Lanes)-1:0] gap_q;
  logic [RoomW-1:0] room_q;

  // verilator lint_off PINCONNECTEMPTY
  lathe_gemm_tiles #(
    .Lanes(Lanes)
  ) u_tiles (
    .clk_i,
    .shape_i,
    .start_i,
    .next_i    (step && last),
    .row_last_o(),
    .col_last_o(),
    .last_o    (last_tile)
  );
  // verilator lint_on PINCONNECTEMPTY

  assign last = k_q == '0;
  assign room = room_q >= RoomW'(Lanes);
  assign apart = gap_q == '0;
  assign operands = a_valid && b_valid;
  assign step = feeding_q && operands && (!last || (room && apart));

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      feeding_q <= 1'b0;
      gap_q <= '0;
      room_q <= RoomW'(ResultRows);
    end else begin
      if (start_i) feeding_q <= 1'b1;
      else if (step && last && last_tile) feeding_q <= 1'b0;
      if (step && last) gap_q <= '1;
      else if (!apart) gap_q <= gap_q - 1'b1;
      room_q <= room_q - ((step && last) ? RoomW'(Lanes) : '0) + RoomW'(row_valid_o && row_ready_i);
    end
  end

  always_ff @(posedge clk_i) begin
    if (start_i || (step && last)) begin
      k_q <= shape_i.k_last;
      first_q <= 1'b1;
    end else if (step) begin
      k_q <= k_q - 1'b1;
      first_q <= 1'b0;
    end
  end

  assign mac_step_o = step;
  assign stall_operand_o = feeding_q && !operands;
  assign stall_result_o = feeding_q && operands && last && !room;

  logic [Lanes-1:0] col_valid, col_out_valid;
  logic [Lanes-1:0][AccW-1:0] col_data;

  lathe_gemm_array #(
    .Lanes(Lanes)
  ) u_array (
    .clk_i,
    .rst_ni,
    .valid_i    (step),
    .first_i    (first_q),
    .last_i     (last),
    .a_i        (a_data),
    .b_i        (b_data),
    .col_valid_o(col_valid),
    .col_data_o (col_data)
  );

`ifndef SYNTHESIS
  logic live_q;  // after a reset, when registers no longer hold what they powered up with
  initial live_q = 1'b0;
  always @(posedge clk_i) live_q <= rst_ni;
`endif

  // One FIFO a column: they deskew, since a row is taken when its last column has arrived.
  for (genvar j = 0; j < Lanes; j++) begin : gen_result
    logic has_room;

    // verilator lint_off PINCONNECTEMPTY
    lathe_fifo #(
      .Width(AccW),
      .Depth(ResultRows)
    ) u_fifo (
      .clk_i,
      .rst_ni,
      .in_valid_i (col_valid[j]),
      .in_ready_o (has_room),
      .in_data_i  (col_data[j]),
      .out_valid_o(col_out_valid[j]),
      .out_ready_i(row_valid_o && row_ready_i),
      .out_data_o (row_data_o[j]),
      .level_o    ()
    );
    // verilator lint_on PINCONNECTEMPTY

`ifndef SYNTHESIS
    always @(posedge clk_i) begin
      if (live_q && col_valid[j]) assert (has_room) else $error("no room for a sum of column %0d", j);
    end
`endif
  end
  assign row_valid_o = col_out_valid[Lanes-1];
endmodule
