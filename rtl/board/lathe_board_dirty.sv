// SPDX-License-Identifier: Apache-2.0
// One bit for each block of outside memory: the chip has written it. The host reads and clears 32 of them at a time, a bit a
// cycle; a mark of the same cycle wins. Power-on clears all, which takes a cycle for each; until then nothing may be marked.
module lathe_board_dirty #(
  parameter int unsigned Blocks = 256,
  localparam int unsigned BlockW = Blocks > 1 ? $clog2(Blocks) : 1
) (
  input  logic              clk_i,
  input  logic              por_ni,
  input  logic              mark_i,
  input  logic [BlockW-1:0] mark_block_i,
  input  logic              req_i,    // pulse; what follows is steady until the acknowledge
  input  logic              write_i,  // clear the bits that are ones in wdata
  input  logic [5:0]        word_i,
  input  logic [31:0]       wdata_i,
  output logic              ack_o,    // pulse, with the word that was read; of words beyond the last block 0
  output logic [31:0]       rdata_o
);
  localparam int unsigned IndexW = 11;

  if (Blocks < 1 || Blocks > 1 << IndexW) begin : g_check
    $fatal(1, "lathe_board_dirty: Blocks must be 1 to 2,048");
  end

  typedef enum logic [1:0] {Clear, Idle, Scan, Last} state_e;
  state_e state_q;

  logic [IndexW-1:0] index_q;
  logic [31:0]       shift_q;        // bits to be cleared, those that were read behind them
  logic              seen_q, there_q, bit_read;  // a bit has been read, which exists
  logic              asked_q;        // while the bits were still cleared after power-on
  logic              there, clears, waits;

  assign there = 32'(index_q) < Blocks;
  assign clears = (state_q == Clear || (state_q == Scan && write_i && shift_q[0])) && there;
  assign waits = clears && mark_i;
  assign rdata_o = shift_q;

  always_ff @(posedge clk_i) begin
    if (!por_ni) begin
      state_q <= Clear;
      ack_o <= 1'b0;
    end else begin
      ack_o <= state_q == Last;
      unique case (state_q)
        Clear: if (!waits && index_q == '1) state_q <= Idle;
        Idle:  if (req_i || asked_q) state_q <= Scan;
        Scan:  if (!waits && index_q[4:0] == '1) state_q <= Last;
        default: state_q <= Idle;
      endcase
    end
  end

  always_ff @(posedge clk_i) begin
    asked_q <= por_ni && state_q == Clear && (req_i || asked_q);
    if (!por_ni) index_q <= '0;
    else if (state_q == Idle) index_q <= {word_i, 5'd0};
    else if (!waits) index_q <= index_q + IndexW'(1);
  end

  always_ff @(posedge clk_i) begin
    seen_q <= state_q == Scan && !waits;
    there_q <= there;
    if (state_q == Idle) shift_q <= wdata_i;
    else if (write_i ? state_q == Scan && !waits : seen_q) shift_q <= {bit_read && there_q, shift_q[31:1]};
  end

  lathe_ram #(
    .Width(1),
    .Words(Blocks),
    .AnyOnCollision(1'b1),
    .Block(Blocks > 128)
  ) u_bits (
    .clk_i,
    .wr_en_i  (mark_i || clears),
    .wr_addr_i(mark_i ? mark_block_i : index_q[BlockW-1:0]),
    .wr_data_i(mark_i),
    .rd_en_i  (state_q == Scan),
    .rd_addr_i(index_q[BlockW-1:0]),
    .rd_data_o(bit_read)
  );
endmodule
