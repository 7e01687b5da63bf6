// SPDX-License-Identifier: Apache-2.0
// Result streams of an update: w', m', l' and the int8 copy w8, up to `Depth` words each inside the datapath or waiting. Words
// come in the order in which they were started; where each goes is kept from then on, and w8's words follow each other.
module lathe_update_write #(
  parameter int unsigned Lanes = 8,
  parameter int unsigned Depth = 16,
  localparam int unsigned Streams = 4
) (
  input  logic                        clk_i,
  input  logic                        rst_ni,
  input  logic                        begin_i,            // pulse
  input  logic [Streams-1:0]          use_i,
  input  logic [lathe_pkg::AddrW-1:0] base_i  [Streams],  // first words
  output logic                        busy_o,             // words have started and are not all written; a cycle late

  output logic                        room_o,             // for one more word of all of them
  input  logic                        start_i,            // a word starts
  input  logic [lathe_pkg::AddrW-1:0] offset_i,           // of this word
  input  logic                        ends_i,             // w8 gets a word with it
  input  logic [Streams-1:0]          valid_i,
  input  logic [Lanes*16-1:0]         word_i  [Streams],

  output logic [Streams-1:0]                       wr_valid_o,
  input  logic [Streams-1:0]                       wr_ready_i,
  output logic [Streams-1:0][lathe_pkg::AddrW-1:0] wr_addr_o,
  output logic [Lanes*16-1:0]                      wr_data_o [Streams]
);
  import lathe_pkg::*;

  localparam int unsigned WordW = Lanes * 16;
  localparam int unsigned CountW = $clog2(Depth + 1);
  localparam int unsigned PtrW = $clog2(Depth);
  localparam int unsigned Copy = 3;

  logic [Streams-1:0] some_q, owing_q;
  logic [PtrW-1:0]    started_q;

  assign room_o = &some_q;
  assign busy_o = owing_q != '0;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) started_q <= '0;
    else if (start_i) started_q <= started_q + 1'b1;
  end

  for (genvar i = 0; i < Streams; i++) begin : g_stream
    logic [CountW-1:0] room_q;  // places for words that have not started; some: it is not 0
    logic              begins, pop, fits, kept_valid, kept_ready;
    logic [WordW-1:0]  kept;
    logic [AddrW-1:0]  addr;

    assign begins = start_i && use_i[i] && (i != Copy || ends_i);
    assign pop = kept_valid && kept_ready;

    always_ff @(posedge clk_i) begin
      if (!rst_ni) begin
        room_q <= CountW'(Depth);
        some_q[i] <= 1'b1;
      end else begin
        if (begins != pop) room_q <= begins ? room_q - 1'b1 : room_q + 1'b1;
        some_q[i] <= pop || (some_q[i] && (!begins || room_q[CountW-1:1] != '0));
      end
      owing_q[i] <= room_q != CountW'(Depth) || wr_valid_o[i];
    end

    if (i == Copy) begin : g_next
      logic [AddrW-1:0] next_q;
      assign addr = next_q;
      always_ff @(posedge clk_i) begin
        if (begin_i) next_q <= base_i[i];
        else if (pop) next_q <= next_q + 1'b1;
      end
    end else begin : g_place
      logic [AddrW-1:0] offset_q [Depth];
      logic [PtrW-1:0]  popped_q;
      assign addr = base_i[i] + offset_q[popped_q];
      always_ff @(posedge clk_i) begin
        if (start_i) offset_q[started_q] <= offset_i;
        if (begin_i) popped_q <= started_q;
        else if (pop) popped_q <= popped_q + 1'b1;
      end
    end

    // verilator lint_off PINCONNECTEMPTY
    lathe_fifo #(
      .Width(WordW),
      .Depth(Depth),
      .NeverFull(1'b1)
    ) u_words (
      .clk_i,
      .rst_ni,
      .in_valid_i (valid_i[i]),
      .in_ready_o (fits),
      .in_data_i  (word_i[i]),
      .out_valid_o(kept_valid),
      .out_ready_i(kept_ready),
      .out_data_o (kept),
      .level_o    ()
    );
    // verilator lint_on PINCONNECTEMPTY

    lathe_spill_wide #(
      .Width(AddrW + WordW),
      .WideW(WordW)
    ) u_out (
      .clk_i,
      .rst_ni,
      .in_valid_i (kept_valid),
      .in_ready_o (kept_ready),
      .in_data_i  ({addr, kept}),
      .out_valid_o(wr_valid_o[i]),
      .out_ready_i(wr_ready_i[i]),
      .out_data_o ({wr_addr_o[i], wr_data_o[i]})
    );

`ifndef SYNTHESIS
    logic checking_q;  // false before the first reset, when registers hold anything
    initial checking_q = 1'b0;
    always @(posedge clk_i) if (!rst_ni) checking_q <= 1'b1;

    always_ff @(posedge clk_i) begin
      if (checking_q && rst_ni && valid_i[i]) assert (fits) else $error("a result came without room for it");
    end
`endif
  end
endmodule
