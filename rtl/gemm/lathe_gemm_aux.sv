// SPDX-License-Identifier: Apache-2.0
// Reads what the drain needs besides the sums, in the order in which it needs them: the bias word of each tile, then
// the word of operand 4 (y or addend) of each of its rows. Gives the bare words; the drain knows which is which.
module lathe_gemm_aux
  import lathe_pkg::*;
  import lathe_gemm_pkg::*;
#(
  parameter int unsigned Lanes = 8
) (
  input  logic                clk_i,
  input  logic                rst_ni,
  // verilator lint_off UNUSEDSIGNAL
  input  drain_ctx_t          ctx_i,         // constant while a command's words are read
  // verilator lint_on UNUSEDSIGNAL
  input  single_t             single_i,      // of ctx_i.shape
  input  logic                rows_i,        // words of operand 4 are needed
  input  logic                start_i,
  output logic                rd_valid_o,
  input  logic                rd_ready_i,
  output logic [AddrW-1:0]    rd_addr_o,
  input  logic                rd_rvalid_i,
  input  logic [Lanes*16-1:0] rd_rdata_i,
  output logic                word_valid_o,
  input  logic                word_ready_i,
  output logic [Lanes*16-1:0] word_data_o
);
  localparam int unsigned Depth = 16;
  localparam int unsigned LevelW = $clog2(Depth + 1);

  logic active_q, want_bias_q;  // want_bias_q: the next word is a bias
  logic step_bias, stay_bias;   // want_bias_q after a step and without
  logic asks_q, goes_q;  // a step takes a request that is accepted; takes none
  logic req_valid, req_ready, step, stay, tile_last, last;
  logic [AddrW-1:0] row_addr, req_addr;
  logic [BlockW-1:0] col_block;

  // verilator lint_off PINCONNECTEMPTY
  lathe_gemm_walk #(
    .Lanes(Lanes)
  ) u_walk (
    .clk_i,
    .shape_i     (ctx_i.shape),
    .single_i,
    .base_i      (ctx_i.aux_base),
    .stride_i    (ctx_i.aux_stride),
    .pair_i      (1'b0),
    .start_i,
    .step_i      (step),
    .addr_o      (row_addr),
    .row_o       (),
    .col_block_o (col_block),
    .row_end_o   (),
    .row_first_o (),
    .tile_first_o(),
    .tile_last_o (tile_last),
    .col_last_o  (),
    .last_o      (last)
  );
  // verilator lint_on PINCONNECTEMPTY

  // With rows, a tile's first row takes two requests; without, the walk goes through the rows and asks only at the first.
  assign req_valid = active_q && (want_bias_q || rows_i);
  assign req_addr = want_bias_q ? ctx_i.bias_base + AddrW'(col_block) : row_addr;
  assign step = goes_q || (asks_q && req_ready);

  assign step_bias = ctx_i.lane.bias && tile_last;
  assign stay_bias = start_i ? ctx_i.lane.bias : want_bias_q && !req_ready;
  assign stay = start_i ? ctx_i.lane.bias || rows_i : active_q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      active_q <= 1'b0;
      asks_q <= 1'b0;
      goes_q <= 1'b0;
    end else begin
      active_q <= step ? !last : stay;
      asks_q <= step ? !last && step_bias != rows_i : stay && stay_bias != rows_i;
      goes_q <= step ? !last && !step_bias && !rows_i : stay && !stay_bias && !rows_i;
    end
    want_bias_q <= step ? step_bias : stay_bias;
  end

  // verilator lint_off PINCONNECTEMPTY
  lathe_word_reader #(
    .Lanes(Lanes),
    .Depth(Depth)
  ) u_reader (
    .clk_i,
    .rst_ni,
    .req_valid_i (req_valid),
    .req_ready_o (req_ready),
    .req_addr_i  (req_addr),
    .rd_valid_o,
    .rd_ready_i,
    .rd_addr_o,
    .rd_rvalid_i,
    .rd_rdata_i,
    .word_valid_o(),
    .word_ready_i,
    .word_data_o,
    .busy_o      ()
  );
  // verilator lint_on PINCONNECTEMPTY

  // Whether a word is there, out of a register.
  logic [LevelW-1:0] level_q;  // words in the reader
  logic word_valid_q, take;

  assign word_valid_o = word_valid_q;
  assign take = word_valid_q && word_ready_i;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      level_q <= '0;
      word_valid_q <= 1'b0;
    end else begin
      if (rd_rvalid_i != take) level_q <= rd_rvalid_i ? level_q + 1'b1 : level_q - 1'b1;
      word_valid_q <= rd_rvalid_i || (word_valid_q && (!word_ready_i || level_q[LevelW-1:1] != '0));
    end
  end
endmodule
