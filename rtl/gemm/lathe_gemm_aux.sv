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
  output logic                busy_o,        // it asks for a word, or walks towards the next one
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
  localparam int unsigned PtrW = $clog2(Depth);  // Depth is a power of 2

  logic active_q, want_bias_q;  // want_bias_q: the next word is a bias
  logic step_bias, stay_bias;   // want_bias_q after a step and without
  logic asks_q, goes_q;  // a step takes a request that is accepted; takes none
  (* keep *) logic step;  // one level of logic
  logic req_valid, req_ready, stay, tile_last, last;
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
    .first_row_i ('0),
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
  assign busy_o = goes_q || rd_valid_o;
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

  // A request goes out when there is room for its word, since words cannot wait. Counters learn a cycle later, out of a
  // register, that a word was taken; what decides whether there is room or a word does not wait for that.
  logic [LevelW-1:0] credits_q, level_q;  // room and words; the word that was taken a cycle ago still counts as one
  logic credit_q, word_valid_q;           // there is any
  logic request, take, taken_q, spill_ready;

  assign req_ready = spill_ready && credit_q;
  assign request = req_valid && req_ready;
  assign word_valid_o = word_valid_q;
  assign take = word_valid_q && word_ready_i;

  lathe_spill #(
    .Width(AddrW)
  ) u_spill (
    .clk_i,
    .rst_ni,
    .in_valid_i (req_valid && credit_q),
    .in_ready_o (spill_ready),
    .in_data_i  (req_addr),
    .out_valid_o(rd_valid_o),
    .out_ready_i(rd_ready_i),
    .out_data_o (rd_addr_o)
  );

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      credits_q <= LevelW'(Depth);
      credit_q <= 1'b1;
      level_q <= '0;
      word_valid_q <= 1'b0;
      taken_q <= 1'b0;
    end else begin
      if (request != taken_q) credits_q <= request ? credits_q - 1'b1 : credits_q + 1'b1;
      credit_q <= take || (credit_q && !request) || credits_q[LevelW-1:1] != '0 || (credits_q[0] && taken_q);
      if (rd_rvalid_i != taken_q) level_q <= rd_rvalid_i ? level_q + 1'b1 : level_q - 1'b1;
      word_valid_q <= rd_rvalid_i || (word_valid_q && !word_ready_i) ||
                      level_q[LevelW-1:2] != '0 || (level_q[1] && (level_q[0] || !taken_q));
      taken_q <= take;
    end
  end

  logic [Lanes*16-1:0] mem_q [Depth];
  logic [PtrW-1:0] write_q, read_q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      write_q <= '0;
      read_q <= '0;
    end else begin
      if (rd_rvalid_i) write_q <= write_q + 1'b1;
      if (take) read_q <= read_q + 1'b1;
    end
  end

  always_ff @(posedge clk_i) if (rd_rvalid_i) mem_q[write_q] <= rd_rdata_i;

  assign word_data_o = mem_q[read_q];

`ifndef SYNTHESIS
  logic live_q;  // after a reset, when registers no longer hold what they powered up with
  initial live_q = 1'b0;
  always @(posedge clk_i) begin
    live_q <= rst_ni;
    if (live_q && rd_rvalid_i) assert (level_q - LevelW'(taken_q) < LevelW'(Depth)) else $error("a word came back without room for it");
  end
`endif
endmodule
