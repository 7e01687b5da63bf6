// SPDX-License-Identifier: Apache-2.0
// Operand streams of an update: w, g, m and l (the logarithms of adam), up to `Depth` words ahead of the datapath. All that an
// operation has are asked for together, so one count of the room serves them: it is given back when w, which is taken last,
// is about to be taken. With `alternate_i` the streams 2 and 3 have one operand together, words in turn, so that two ports read
// it at half the rate each. Does not know what the words are for.
module lathe_update_read #(
  parameter int unsigned Lanes = 8,
  parameter int unsigned Depth = 16,
  localparam int unsigned Streams = 4
) (
  input  logic                        clk_i,
  input  logic                        rst_ni,
  input  logic                        begin_i,            // pulse
  input  logic [lathe_pkg::DimW-1:0]  rows_i,             // as for lathe_update_walk
  input  logic [lathe_pkg::DimW-1:0]  cols_i,
  input  logic [Streams-1:0]          use_i,
  input  logic                        alternate_i,        // both in use, with the same first word; taken and given as stream 2
  input  logic [lathe_pkg::AddrW-1:0] base_i  [Streams],  // first words
  output logic                        busy_o,             // words are still to come

  output logic [Streams-1:0]                       rd_valid_o,
  input  logic [Streams-1:0]                       rd_ready_i,
  output logic [Streams-1:0][lathe_pkg::AddrW-1:0] rd_addr_o,
  input  logic [Streams-1:0]                       rd_rvalid_i,
  input  logic [Lanes*16-1:0]                      rd_rdata_i [Streams],

  output logic                        asked_o,            // there is a next word
  output logic [lathe_pkg::AddrW-1:0] offset_o,           // where it lies
  output logic                        lower_o,            // as in lathe_update_walk
  output logic                        ends_o,
  output logic                        there_o,            // and it is there, of all of them
  input  logic                        start_i,            // it will be taken
  input  logic                        give_back_i,        // its places are free RdLatency + 2 cycles later at the latest
  input  logic [Streams-1:0]          take_i,
  output logic [Lanes*16-1:0]         word_o  [Streams]
);
  import lathe_pkg::*;

  localparam int unsigned WordW = Lanes * 16;
  localparam int unsigned CountW = $clog2(Depth + 1);

  logic               walking, ask, credit_q, given_q, lower, ends;
  logic [AddrW-1:0]   offset;
  logic [CountW-1:0]  credits_q;
  logic [Streams-1:0] free, any_q, rvalid_q;
  logic [WordW-1:0]   rdata_q [Streams], words [Streams];

  // Streams that the next word has something of: when it is asked for, when it starts, when it is taken
  logic [2:0][Streams-1:0] has_q;
  logic [Streams-1:0]      take;

  always_ff @(posedge clk_i) begin
    for (int unsigned i = 0; i < 3; i++) begin
      if (!rst_ni) has_q[i] <= '1;  // none are there, so nothing starts before the first command
      else if (begin_i) has_q[i] <= use_i & {!alternate_i, 3'b111};
      else if (alternate_i && (i == 0 ? ask : i == 1 ? start_i : take_i[2])) has_q[i][3:2] <= ~has_q[i][3:2];
    end
  end

  assign ask = walking && credit_q && &(free | ~has_q[0]);
  assign busy_o = walking || credits_q != CountW'(Depth);
  assign there_o = &(any_q | ~has_q[1]);
  assign take = {alternate_i ? take_i[2] && has_q[2][3] : take_i[3], take_i[2] && has_q[2][2], take_i[1:0]};
  assign word_o = '{words[0], words[1], has_q[2][2] ? words[2] : words[3], words[3]};

  lathe_update_walk u_walk (
    .clk_i,
    .rst_ni,
    .begin_i,
    .m_i(rows_i),
    .n_i(cols_i),
    .step_i(ask),
    .valid_o(walking),
    .offset_o(offset),
    .lower_o(lower),
    .ends_o(ends)
  );

  // verilator lint_off PINCONNECTEMPTY
  lathe_fifo #(
    .Width(AddrW + 2),
    .Depth(Depth),
    .NeverFull(1'b1),
    .NeverEmpty(1'b1)
  ) u_asked (
    .clk_i,
    .rst_ni,
    .in_valid_i (ask),
    .in_ready_o (),
    .in_data_i  ({lower, ends, offset}),
    .out_valid_o(asked_o),
    .out_ready_i(start_i),
    .out_data_o ({lower_o, ends_o, offset_o}),
    .level_o    ()
  );
  // verilator lint_on PINCONNECTEMPTY

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      credits_q <= CountW'(Depth);
      credit_q <= 1'b1;
      given_q <= 1'b0;
      rvalid_q <= '0;
    end else begin
      given_q <= give_back_i;
      if (ask != given_q) credits_q <= ask ? credits_q - 1'b1 : credits_q + 1'b1;
      credit_q <= given_q || (credit_q && (!ask || credits_q[CountW-1:1] != '0));
      rvalid_q <= rd_rvalid_i;
    end
    rdata_q <= rd_rdata_i;
  end

  for (genvar i = 0; i < Streams; i++) begin : g_stream
    logic [CountW-1:0] there_q;  // words of elements not yet started
    logic              some, fits;

    lathe_spill #(
      .Width(AddrW)
    ) u_ask (
      .clk_i,
      .rst_ni,
      .in_valid_i (ask && has_q[0][i]),
      .in_ready_o (free[i]),
      .in_data_i  (base_i[i] + offset),
      .out_valid_o(rd_valid_o[i]),
      .out_ready_i(rd_ready_i[i]),
      .out_data_o (rd_addr_o[i])
    );

    // verilator lint_off PINCONNECTEMPTY
    lathe_fifo #(
      .Width(WordW),
      .Depth(Depth),
      .NeverFull(1'b1),
      .NeverEmpty(1'b1)
    ) u_words (
      .clk_i,
      .rst_ni,
      .in_valid_i (rvalid_q[i]),
      .in_ready_o (fits),
      .in_data_i  (rdata_q[i]),
      .out_valid_o(some),
      .out_ready_i(take[i]),
      .out_data_o (words[i]),
      .level_o    ()
    );
    // verilator lint_on PINCONNECTEMPTY

    // Counted here, where it is decided, so that the decision waits for nothing that is far away.
    always_ff @(posedge clk_i) begin
      if (!rst_ni) begin
        there_q <= '0;
        any_q[i] <= 1'b0;
      end else if (use_i[i] && rvalid_q[i] != (start_i && has_q[1][i])) begin
        there_q <= rvalid_q[i] ? there_q + 1'b1 : there_q - 1'b1;
        any_q[i] <= rvalid_q[i] || there_q[CountW-1:1] != '0;
      end
    end

`ifndef SYNTHESIS
    logic checking_q;  // false before the first reset, when registers hold anything
    initial checking_q = 1'b0;
    always @(posedge clk_i) if (!rst_ni) checking_q <= 1'b1;

    always_ff @(posedge clk_i) begin
      if (checking_q && rst_ni && take[i]) assert (some) else $error("a word is not there");
      if (checking_q && rst_ni && rvalid_q[i]) assert (fits) else $error("a word came back without room for it");
    end
`endif
  end
endmodule
