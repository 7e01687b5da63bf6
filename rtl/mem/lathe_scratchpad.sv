// SPDX-License-Identifier: Apache-2.0
// The scratchpad: Banks of 1,024 words, each with one read and one write port that round-robin arbiters share among all
// requests. A read is answered exactly two cycles after it is granted; grants depend on requests only, never on data.
// Does not buffer requests, order ports among each other or check addresses: see docs/architecture.md.
//
//   cycle       t                           t+1                        t+2
//   read    bank, arbiter, grant, row | word out of the bank     | rd_rvalid_o, rd_rdata_o
//   write   bank, arbiter, grant      | word into the bank; a read of it granted now takes it from the side
module lathe_scratchpad #(
  parameter int unsigned Lanes = 8,
  parameter int unsigned Banks = 8,   // a power of two
  parameter int unsigned NumRd = 8,
  parameter int unsigned NumWr = 5,
  localparam int unsigned AddrW = lathe_pkg::AddrW,
  localparam int unsigned WordW = Lanes * 16
) (
  input  logic                        clk_i,
  input  logic                        rst_ni,
  input  logic [NumRd-1:0]            rd_valid_i,
  output logic [NumRd-1:0]            rd_ready_o,   // depends on rd_valid_i and rd_addr_i
  input  logic [NumRd-1:0][AddrW-1:0] rd_addr_i,
  output logic [NumRd-1:0]            rd_rvalid_o,
  output logic [NumRd-1:0][WordW-1:0] rd_rdata_o,
  input  logic [NumWr-1:0]            wr_valid_i,
  output logic [NumWr-1:0]            wr_ready_o,   // depends on wr_valid_i and wr_addr_i
  input  logic [NumWr-1:0][AddrW-1:0] wr_addr_i,
  input  logic [NumWr-1:0][WordW-1:0] wr_data_i
);
  localparam int unsigned Rows = 1024;
  localparam int unsigned RowW = $clog2(Rows);
  localparam int unsigned BankW = $clog2(Banks);
  localparam int unsigned WrPortW = NumWr > 1 ? $clog2(NumWr) : 1;

  if (Banks < 2 || Banks > 64 || (Banks & (Banks - 1)) != 0) begin : g_check_banks
    $fatal(1, "lathe_scratchpad: Banks must be a power of two from 2 to 64");
  end
  if (Lanes < 1 || NumRd < 1 || NumWr < 1) begin : g_check
    $fatal(1, "lathe_scratchpad: Lanes, NumRd and NumWr must be at least 1");
  end

  // The XOR of all address digits of BankW bits: words that lie a power of two apart still spread over the banks.
  function automatic logic [BankW-1:0] bank_of(logic [AddrW-1:0] addr);
    logic [BankW-1:0] bank;
    bank = '0;
    for (int unsigned i = 0; i < AddrW; i += BankW) bank ^= BankW'(addr >> i);
    return bank;
  endfunction

  logic [BankW-1:0] rd_bank [NumRd];
  logic [BankW-1:0] wr_bank [NumWr];
  logic [RowW-1:0]  rd_row [NumRd];
  logic [RowW-1:0]  wr_row [NumWr];
  for (genvar p = 0; p < NumRd; p++) begin : g_rd_place
    assign rd_bank[p] = bank_of(rd_addr_i[p]);
    assign rd_row[p]  = rd_addr_i[p][BankW+:RowW];
  end
  for (genvar p = 0; p < NumWr; p++) begin : g_wr_place
    assign wr_bank[p] = bank_of(wr_addr_i[p]);
    assign wr_row[p]  = wr_addr_i[p][BankW+:RowW];
  end

  // A granted write is kept for a cycle, so that no arbiter stands before the wide multiplexers.
  logic [WordW-1:0] wr_data_q [NumWr];
  for (genvar p = 0; p < NumWr; p++) begin : g_wr_keep
    always_ff @(posedge clk_i) begin
      if (wr_valid_i[p]) wr_data_q[p] <= wr_data_i[p];
    end
  end

  // ---- Banks ----
  logic [NumRd-1:0] rd_grant [Banks];
  logic [NumWr-1:0] wr_grant [Banks];
  logic [Banks-1:0] passes_q;           // the answer is `passed_q`, just written, and not the bank's `read_word`
  logic [WordW-1:0] passed_q [Banks];
  logic [WordW-1:0] read_word [Banks];

  for (genvar b = 0; b < Banks; b++) begin : g_bank
    logic [NumRd-1:0]   rd_req;
    logic [NumWr-1:0]   wr_req;
    logic [RowW-1:0]    rd_row_b, wr_row_b, wr_row_q;
    logic [WrPortW-1:0] wr_port, wr_port_q;
    logic               writes_q;
    logic [WordW-1:0]   write_word;

    always_comb begin
      rd_req = '0;
      if (rd_valid_i != '0) begin
        for (int unsigned p = 0; p < NumRd; p++) rd_req[p] = rd_valid_i[p] && rd_bank[p] == BankW'(b);
      end
      wr_req = '0;
      if (wr_valid_i != '0) begin
        for (int unsigned p = 0; p < NumWr; p++) wr_req[p] = wr_valid_i[p] && wr_bank[p] == BankW'(b);
      end
    end

    lathe_rr_arb #(
      .Num(NumRd)
    ) u_rd_arb (
      .clk_i,
      .rst_ni,
      .req_i    (rd_req),
      .advance_i(1'b1),
      .grant_o  (rd_grant[b])
    );

    lathe_rr_arb #(
      .Num(NumWr)
    ) u_wr_arb (
      .clk_i,
      .rst_ni,
      .req_i    (wr_req),
      .advance_i(1'b1),
      .grant_o  (wr_grant[b])
    );

    always_comb begin
      rd_row_b = '0;
      for (int unsigned p = 0; p < NumRd; p++) begin
        if (rd_grant[b][p]) rd_row_b |= rd_row[p];
      end
      wr_row_b = '0;
      wr_port  = '0;
      for (int unsigned p = 0; p < NumWr; p++) begin
        if (wr_grant[b][p]) begin
          wr_row_b |= wr_row[p];
          wr_port  |= WrPortW'(p);
        end
      end
    end

    always_ff @(posedge clk_i) begin
      if (!rst_ni) writes_q <= 1'b0;
      else writes_q <= wr_req != '0;
    end

    assign write_word = wr_data_q[wr_port_q];

    always_ff @(posedge clk_i) begin
      if (wr_req != '0) begin
        wr_port_q <= wr_port;
        wr_row_q  <= wr_row_b;
      end
      if (rd_req != '0) passes_q[b] <= writes_q && wr_row_q == rd_row_b;
      if (writes_q) passed_q[b] <= write_word;
    end

    lathe_ram #(
      .Width(WordW),
      .Words(Rows),
      .AnyOnCollision(1'b1)
    ) u_ram (
      .clk_i,
      .wr_en_i  (writes_q),
      .wr_addr_i(wr_row_q),
      .wr_data_i(write_word),
      .rd_en_i  (rd_req != '0),
      .rd_addr_i(rd_row_b),
      .rd_data_o(read_word[b])
    );
  end

  always_comb begin
    rd_ready_o = '0;
    wr_ready_o = '0;
    for (int unsigned b = 0; b < Banks; b++) begin
      rd_ready_o |= rd_grant[b];
      wr_ready_o |= wr_grant[b];
    end
  end

  // ---- Answers ----
  logic [NumRd-1:0] rd_pending_q;
  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      rd_pending_q <= '0;
      rd_rvalid_o  <= '0;
    end else begin
      rd_pending_q <= rd_valid_i & rd_ready_o;
      rd_rvalid_o  <= rd_pending_q;
    end
  end

  for (genvar p = 0; p < NumRd; p++) begin : g_answer
    logic [Banks-1:0] from_q;  // one-hot: the bank that holds the answer
    always_ff @(posedge clk_i) begin
      logic [WordW-1:0] word;
      if (rd_valid_i[p]) begin
        for (int unsigned b = 0; b < Banks; b++) from_q[b] <= rd_grant[b][p];
      end
      if (rd_pending_q[p]) begin
        word = '0;
        for (int unsigned b = 0; b < Banks; b++) begin
          if (from_q[b]) word |= passes_q[b] ? passed_q[b] : read_word[b];
        end
        rd_rdata_o[p] <= word;
      end
    end
  end

`ifndef SYNTHESIS
  // What the ports' owners owe: addresses inside, requests that hold until granted.
  localparam int unsigned Words = Banks * Rows;
  for (genvar p = 0; p < NumRd; p++) begin : g_rd_check
    logic             waits_q;
    logic [AddrW-1:0] addr_q;
    always_ff @(posedge clk_i) begin
      waits_q <= rst_ni && rd_valid_i[p] && !rd_ready_o[p];
      if (rst_ni && rd_valid_i[p]) begin
        addr_q <= rd_addr_i[p];
        assert (32'(rd_addr_i[p]) < Words) else $error("read port %0d: address %0d", p, rd_addr_i[p]);
      end
      if (rst_ni && waits_q) begin
        assert (rd_valid_i[p] && rd_addr_i[p] == addr_q) else $error("read port %0d: request changed", p);
      end
    end
  end
  for (genvar p = 0; p < NumWr; p++) begin : g_wr_check
    logic             waits_q;
    logic [AddrW-1:0] addr_q;
    always_ff @(posedge clk_i) begin
      waits_q <= rst_ni && wr_valid_i[p] && !wr_ready_o[p];
      if (rst_ni && wr_valid_i[p]) begin
        addr_q <= wr_addr_i[p];
        assert (32'(wr_addr_i[p]) < Words) else $error("write port %0d: address %0d", p, wr_addr_i[p]);
      end
      if (rst_ni && waits_q) begin
        assert (wr_valid_i[p] && wr_addr_i[p] == addr_q) else $error("write port %0d: request changed", p);
      end
    end
  end
`endif
endmodule
