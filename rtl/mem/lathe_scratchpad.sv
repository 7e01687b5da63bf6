// SPDX-License-Identifier: Apache-2.0
// The scratchpad: Banks of 1,024 words in true dual-port RAM, two accesses a cycle each (lathe_bank_arb). Clients share
// RdPorts and WrPorts ports into the banks: client c uses port c mod RdPorts (WrPorts), and of the clients of a port the
// lowest that asks goes first.
// A read is answered exactly lathe_pkg::RdLatency cycles after its grant; grants depend on requests only, never on data.
// Does not buffer requests or check addresses: see docs/architecture.md.
//
//   cycle     t                             t+1                    t+2                     t+3
//   read    client, bank, arbiter, grant | row into the bank    | word out of the bank  | rd_rvalid_o, rd_rdata_o
//   write   client, bank, arbiter, grant | word into the bank   | in the bank
//
// With RdLatency = 4 a bank's word has a cycle of its own before a port chooses it: faster, and a cycle later.
module lathe_scratchpad #(
  parameter int unsigned Lanes = 8,
  parameter int unsigned Banks = 8,     // a power of two
  parameter int unsigned NumRd = 8,     // clients
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
  output logic [NumRd-1:0][WordW-1:0] rd_rdata_o,   // the same for all clients of a port
  input  logic [NumWr-1:0]            wr_valid_i,
  output logic [NumWr-1:0]            wr_ready_o,   // depends on wr_valid_i and wr_addr_i
  input  logic [NumWr-1:0]            wr_urgent_i,  // before reads, if its bank has no room besides
  input  logic [NumWr-1:0][AddrW-1:0] wr_addr_i,
  input  logic [NumWr-1:0][WordW-1:0] wr_data_i
);
  import lathe_pkg::RdLatency;

  localparam int unsigned Rows = 1024;
  localparam int unsigned RdPorts = 4;
  localparam int unsigned WrPorts = 2;
  localparam int unsigned RowW = $clog2(Rows);
  localparam int unsigned BankW = $clog2(Banks);

  if (Banks < 2 || Banks > 64 || (Banks & (Banks - 1)) != 0) begin : g_check_banks
    $fatal(1, "lathe_scratchpad: Banks must be a power of two from 2 to 64");
  end
  if (Lanes < 1 || NumRd < RdPorts || NumWr < WrPorts ||
      RdLatency < 3 || RdLatency > 4) begin : g_check
    $fatal(1, "lathe_scratchpad: Lanes, NumRd, NumWr or ports");
  end

  // The XOR of all address digits of BankW bits: words that lie a power of two apart still spread over the banks.
  function automatic logic [BankW-1:0] bank_of(logic [AddrW-1:0] addr);
    logic [BankW-1:0] bank;
    bank = '0;
    for (int unsigned i = 0; i < AddrW; i += BankW) bank ^= BankW'(addr >> i);
    return bank;
  endfunction

  // ---- Requests ----
  logic [NumRd-1:0]              rd_turn;             // no client before this one asks for the port
  logic [NumWr-1:0]              wr_turn;
  logic [RdPorts-1:0]            rd_req, rd_free;
  logic [RdPorts-1:0][BankW-1:0] rd_bank;
  logic [Banks-1:0]              rd_hit_q [RdPorts];  // one-hot: the bank that is read
  logic [RowW-1:0]               rd_row_q [RdPorts];
  logic [WrPorts-1:0]            wr_req, wr_free, wr_urgent;
  logic [WrPorts-1:0][BankW-1:0] wr_bank;
  logic [Banks-1:0]              wr_hit_q [WrPorts];
  logic [RowW-1:0]               wr_row_q [WrPorts];
  logic [WordW-1:0]              wr_data_q [WrPorts];
  logic [WrPorts-1:0]            wr_side_a, wr_side_a_q;

  for (genvar p = 0; p < RdPorts; p++) begin : g_rd
    logic [AddrW-1:0] addr;
    always_comb begin
      rd_req[p] = 1'b0;
      addr = rd_addr_i[p];
      for (int unsigned c = p; c < NumRd; c += RdPorts) begin
        rd_turn[c] = !rd_req[p];
        if (!rd_req[p]) addr = rd_addr_i[c];
        rd_req[p] |= rd_valid_i[c];
      end
    end
    assign rd_bank[p] = bank_of(addr);
    for (genvar c = p; c < NumRd; c += RdPorts) begin : g_client
      assign rd_ready_o[c] = rd_turn[c] && rd_free[p];
    end

    always_ff @(posedge clk_i) begin
      for (int unsigned b = 0; b < Banks; b++) rd_hit_q[p][b] <= rd_req[p] && rd_free[p] && rd_bank[p] == BankW'(b);
      if (rd_req[p]) rd_row_q[p] <= addr[BankW+:RowW];
    end
  end

  for (genvar p = 0; p < WrPorts; p++) begin : g_wr
    logic [AddrW-1:0] addr;
    logic [WordW-1:0] data;
    always_comb begin
      wr_req[p] = 1'b0;
      wr_urgent[p] = wr_urgent_i[p];
      addr = wr_addr_i[p];
      data = wr_data_i[p];
      for (int unsigned c = p; c < NumWr; c += WrPorts) begin
        wr_turn[c] = !wr_req[p];
        if (!wr_req[p]) wr_urgent[p] = wr_urgent_i[c];
        if (!wr_req[p]) addr = wr_addr_i[c];
        if (!wr_req[p]) data = wr_data_i[c];
        wr_req[p] |= wr_valid_i[c];
      end
    end
    assign wr_bank[p] = bank_of(addr);
    for (genvar c = p; c < NumWr; c += WrPorts) begin : g_client
      assign wr_ready_o[c] = wr_turn[c] && wr_free[p];
    end

    always_ff @(posedge clk_i) begin
      for (int unsigned b = 0; b < Banks; b++) begin
        wr_hit_q[p][b] <= rst_ni && wr_req[p] && wr_free[p] && wr_bank[p] == BankW'(b);
      end
      if (wr_req[p]) begin
        wr_row_q[p]  <= addr[BankW+:RowW];
        wr_data_q[p] <= data;
      end
    end
  end

  always_ff @(posedge clk_i) wr_side_a_q <= wr_side_a;

  lathe_bank_arb #(
    .BankW(BankW)
  ) u_arb (
    .clk_i,
    .rst_ni,
    .rd_req_i   (rd_req),
    .rd_bank_i  (rd_bank),
    .rd_ready_o (rd_free),
    .wr_req_i   (wr_req),
    .wr_urgent_i(wr_urgent),
    .wr_bank_i  (wr_bank),
    .wr_ready_o (wr_free),
    .wr_side_a_o(wr_side_a)
  );

  // ---- Banks ----
  logic [WordW-1:0] read_word [2][Banks];  // of each side

  for (genvar b = 0; b < Banks; b++) begin : g_bank
    (* no_rw_check, ram_style = "block" *) logic [WordW-1:0] mem_q [Rows];
    logic [WordW-1:0] write_word;

    always_comb begin
      write_word = wr_data_q[0];
      for (int unsigned p = 1; p < WrPorts; p++) if (wr_hit_q[p][b]) write_word = wr_data_q[p];
    end

    for (genvar s = 0; s < 2; s++) begin : g_side
      logic             reads, writes;
      logic [RowW-1:0]  row;
      logic [WordW-1:0] word_q;

      always_comb begin
        reads = 1'b0;
        writes = 1'b0;
        row = '0;
        for (int unsigned p = s; p < RdPorts; p += 2) begin
          reads |= rd_hit_q[p][b];
          if (rd_hit_q[p][b]) row |= rd_row_q[p];
        end
        for (int unsigned p = 0; p < WrPorts; p++) begin
          if (wr_hit_q[p][b] && wr_side_a_q[p] == (s == 0)) begin
            writes = 1'b1;
            row |= wr_row_q[p];
          end
        end
      end

      // Not always_ff, since both sides write one memory; never in the same cycle.
      always @(posedge clk_i) begin
        if (writes) mem_q[row] <= write_word;
        else if (reads) word_q <= mem_q[row];
      end

      if (RdLatency == 4) begin : g_late
        logic reads_q;
        always_ff @(posedge clk_i) begin
          reads_q <= reads;
          if (reads_q) read_word[s][b] <= word_q;
        end
      end else begin : g_early
        assign read_word[s][b] = word_q;
      end
    end
  end

  // ---- Answers ----
  logic [NumRd-1:0] rd_taken_q [RdLatency];  // which clients' reads were granted, by age
  always_ff @(posedge clk_i) begin
    rd_taken_q[0] <= rd_valid_i & rd_ready_o;
    for (int unsigned i = 1; i < RdLatency; i++) rd_taken_q[i] <= rd_taken_q[i-1];
    if (!rst_ni) rd_taken_q <= '{default: '0};
  end
  assign rd_rvalid_o = rd_taken_q[RdLatency-1];

  for (genvar p = 0; p < RdPorts; p++) begin : g_answer
    logic             coming_q;
    logic [Banks-1:0] hit, from_q;  // one-hot: the bank that holds the answer
    logic [WordW-1:0] word_q;
    if (RdLatency == 4) begin : g_late
      always_ff @(posedge clk_i) hit <= rd_hit_q[p];
    end else begin : g_early
      assign hit = rd_hit_q[p];
    end
    always_ff @(posedge clk_i) begin
      logic [WordW-1:0] word;
      from_q   <= hit;
      coming_q <= hit != '0;
      if (coming_q) begin
        word = '0;
        for (int unsigned b = 0; b < Banks; b++) begin
          if (from_q[b]) word |= read_word[p%2][b];
        end
        word_q <= word;
      end
    end
    for (genvar c = p; c < NumRd; c += RdPorts) begin : g_client
      assign rd_rdata_o[c] = word_q;
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
