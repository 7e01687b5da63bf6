// SPDX-License-Identifier: Apache-2.0
// gemm: C = act(A * B + addend) * act'(y) on a Lanes x Lanes array (docs/numerics.md, section 6). Up to four commands
// are under way as a pipeline: read and step (lathe_gemm_feed), multiply (array, collect), write and report (drain).
// Does not check a command: dimensions and addresses are right when it arrives.
module lathe_gemm
  import lathe_pkg::*;
  import lathe_gemm_pkg::*;
#(
  parameter int unsigned Lanes = 8,
  parameter int unsigned Banks = 1  // of the scratchpad: operands A and B and results go by row and bank (place_of)
) (
  input  logic                clk_i,
  input  logic                rst_ni,
  input  logic                cmd_valid_i,
  output logic                cmd_ready_o,
  input  cmd_t                cmd_i,
  output logic                free_o,            // another command would begin soon: of those so far at most the last words are still to be asked for
  output logic                idle_o,            // no command is in it
  output logic                done_valid_o,
  output done_t               done_o,
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
  output logic                x_rd_valid_o,      // bias, y and addend
  input  logic                x_rd_ready_i,
  output logic [AddrW-1:0]    x_rd_addr_o,
  input  logic                x_rd_rvalid_i,
  input  logic [Lanes*16-1:0] x_rd_rdata_i,
  output logic                wr_valid_o,
  input  logic                wr_ready_i,
  output logic                wr_urgent_o,   // results begin to pile up: they should go before reads
  output logic [AddrW-1:0]    wr_addr_o,
  output logic [Lanes*16-1:0] wr_data_o,
  input  logic                norm_clear_i,      // pulse: the gradient norm becomes 0
  output logic                norm_zero_o,       // it is 0
  output logic signed [31:0]  norm_o,            // its logarithm, LSB 2**-18
  output logic                stall_operand_o,   // the array waits for operand words
  output logic                stall_result_o,    // the array waits for room for a tile's sums
  output logic                mac_step_o         // the array takes a k-step
);
  if (!(Lanes inside {4, 8, 16})) begin : gen_check
    $fatal(1, "lathe_gemm: Lanes must be 4, 8 or 16");
  end

  // Commands: one waits in cmd_q until the feed begins with it; what the drain needs then goes to it through a FIFO.
  localparam logic [2:0] MaxCommands = 3'd4;

  cmd_t cmd_q;
  logic cmd_valid_q, begun, block, block_last, feed_ending;
  logic [2:0] unfinished_q, unwritten_q;  // commands in the unit, a cycle late when one ends; those whose results are not all written
  logic done_q;
  shape_t shape;
  drain_ctx_t ctx;

  logic clk;
  lathe_clock_stop u_clock (
    .clk_i,
    .wanted_i(!rst_ni || norm_clear_i || cmd_valid_i || unfinished_q != '0),
    .clk_o   (clk)
  );

  assign cmd_ready_o = !cmd_valid_q && unfinished_q != MaxCommands;
  assign idle_o = unfinished_q == '0;

  always_ff @(posedge clk) begin
    if (!rst_ni) begin
      cmd_valid_q <= 1'b0;
      unfinished_q <= '0;
      unwritten_q <= '0;
      done_q <= 1'b0;
      free_o <= 1'b1;
    end else begin
      done_q <= done_valid_o;
      free_o <= feed_ending && !cmd_valid_q && !(cmd_valid_i && cmd_ready_o);
      cmd_valid_q <= (cmd_valid_i && cmd_ready_o) || (cmd_valid_q && !begun);
      unfinished_q <= unfinished_q + 3'(cmd_valid_i && cmd_ready_o) - 3'(done_q);
      unwritten_q <= unwritten_q + 3'(cmd_valid_i && cmd_ready_o) - 3'(block && block_last);
    end
  end

  // Whatever is there while none waits is loaded; the command is what is there last.
  always_ff @(posedge clk) if (!cmd_valid_q) cmd_q <= cmd_i;

  lathe_gemm_setup u_setup (
    .clk_i  (clk),
    .cmd_i  (cmd_q),
    .shape_o(shape),
    .ctx_o  (ctx)
  );

  // Block RAM: the settings are wide, and the drain wants them later than two cycles from now. They are written in the
  // cycle after the one in which the feed begins: cmd_q is still the same then, and not new.
  localparam int unsigned PtrW = $clog2(MaxCommands);
  (* ram_style = "block", no_rw_check *) drain_ctx_t ctx_mem_q [MaxCommands];
  drain_ctx_t drain_ctx_q;
  logic [PtrW:0] ctx_wr_q, ctx_rd_q;
  logic ctx_new_q, ctx_valid_q, ctx_ready;

  always_ff @(posedge clk) begin
    if (!rst_ni) begin
      ctx_new_q <= 1'b0;
      ctx_wr_q <= '0;
      ctx_rd_q <= '0;
      ctx_valid_q <= 1'b0;
    end else begin
      ctx_new_q <= begun;
      if (ctx_new_q) ctx_wr_q <= ctx_wr_q + 1'b1;
      if (ctx_valid_q && ctx_ready) ctx_rd_q <= ctx_rd_q + 1'b1;
      ctx_valid_q <= ctx_valid_q ? !ctx_ready : ctx_wr_q != ctx_rd_q;
    end
  end

  always_ff @(posedge clk) begin
    if (ctx_new_q) ctx_mem_q[ctx_wr_q[PtrW-1:0]] <= ctx;
    if (!ctx_valid_q) drain_ctx_q <= ctx_mem_q[ctx_rd_q[PtrW-1:0]];
  end

  // Steps.
  logic feed_ready, step_last, step_int8, step_colsum, row_valid, row_ready, row_taken;
  logic [Lanes*16-1:0] step_a, step_b;

  assign begun = cmd_valid_q && feed_ready;

  lathe_gemm_feed #(
    .Lanes   (Lanes),
    .Banks   (Banks),
    .RoomRows(ResultTiles * Lanes)
  ) u_feed (
    .clk_i(clk),
    .rst_ni,
    .cmd_valid_i  (cmd_valid_q),
    .cmd_ready_o  (feed_ready),
    .ending_o     (feed_ending),
    .cmd_i        (cmd_q),
    .shape_i      (shape),
    .unfinished_i (unfinished_q),
    .unwritten_i  (unwritten_q),
    .block_i      (block),
    .block_last_i (block_last),
    .a_rd_valid_o,
    .a_rd_ready_i,
    .a_rd_addr_o,
    .a_rd_rvalid_i,
    .a_rd_rdata_i,
    .b_rd_valid_o,
    .b_rd_ready_i,
    .b_rd_addr_o,
    .b_rd_rvalid_i,
    .b_rd_rdata_i,
    .step_o       (mac_step_o),
    .step_last_o  (step_last),
    .step_int8_o  (step_int8),
    .step_colsum_o(step_colsum),
    .step_a_o     (step_a),
    .step_b_o     (step_b),
    .row_taken_i  (row_taken),
    .stall_operand_o,
    .stall_result_o
  );

  // Sums. From here on things go on around a tile's end only.
  logic [Lanes-1:0] col_valid, colsum_valid;
  logic [AccW-1:0] col_data [Lanes];
  logic [AccW-1:0] row_data [Lanes];
  logic [EdgeW-1:0] edge_data [Lanes];
  logic side_valid;
  logic [EdgeW-1:0] side_data;
  logic clk_rows, collect_busy, drain_busy;

  lathe_clock_stop #(
    .Grace(8)
  ) u_rows_clock (
    .clk_i(clk),
    .wanted_i(!rst_ni || norm_clear_i || (|col_valid) || (|colsum_valid) || side_valid || collect_busy ||
              (ctx_valid_q && ctx_ready) || x_rd_rvalid_i || drain_busy),
    .clk_o   (clk_rows)
  );

  lathe_gemm_array #(
    .Lanes(Lanes)
  ) u_array (
    .clk_i(clk),
    .rst_ni,
    .valid_i       (mac_step_o),
    .last_i        (step_last),
    .int8_i        (step_int8),
    .colsum_i      (step_colsum),
    .a_i           (step_a),
    .b_i           (step_b),
    .row_valid_o   (col_valid),
    .row_data_o    (col_data),
    .colsum_valid_o(colsum_valid),
    .edge_data_o   (edge_data),
    .side_valid_o  (side_valid),
    .side_data_o   (side_data)
  );

  lathe_gemm_collect #(
    .Lanes(Lanes)
  ) u_collect (
    .clk_i(clk_rows),
    .rst_ni,
    .busy_o        (collect_busy),
    .row_valid_i   (col_valid),
    .row_data_i    (col_data),
    .colsum_valid_i(colsum_valid),
    .edge_data_i   (edge_data),
    .side_valid_i  (side_valid),
    .side_data_i   (side_data),
    .row_valid_o   (row_valid),
    .row_ready_i   (row_ready),
    .row_taken_o   (row_taken),
    .row_data_o    (row_data)
  );

  // Results.
  lathe_gemm_drain #(
    .Lanes(Lanes),
    .Banks(Banks)
  ) u_drain (
    .clk_i(clk_rows),
    .rst_ni,
    .busy_o      (drain_busy),
    .ctx_valid_i (ctx_valid_q),
    .ctx_ready_o (ctx_ready),
    .ctx_i       (drain_ctx_q),
    .row_valid_i (row_valid),
    .row_ready_o (row_ready),
    .row_data_i  (row_data),
    .rd_valid_o  (x_rd_valid_o),
    .rd_ready_i  (x_rd_ready_i),
    .rd_addr_o   (x_rd_addr_o),
    .rd_rvalid_i (x_rd_rvalid_i),
    .rd_rdata_i  (x_rd_rdata_i),
    .wr_valid_o,
    .wr_ready_i,
    .wr_urgent_o,
    .wr_addr_o,
    .wr_data_o,
    .block_o     (block),
    .block_last_o(block_last),
    .norm_clear_i,
    .norm_zero_o,
    .norm_o,
    .done_valid_o,
    .done_o
  );
endmodule
