// SPDX-License-Identifier: Apache-2.0
// The scratchpad: Banks of 1,024 words in true dual-port RAM, two accesses a cycle each (lathe_bank_arb). Read clients 0
// and 1 and write client 0 have ports into the banks for themselves. The others share: they take turns (lathe_turns) at two
// more read ports, the even ones at port 2 and the odd ones at port 3, and at a second write port, and what is taken waits
// in a register of its port for its grant (lathe_spill). A read is answered RdLatency cycles after its grant, in the order
// in which its port took it. A write is in its bank WriteDelay cycles after it was taken at the latest.
// Words have check bits beside them, by which every read port corrects what it gives (lathe_secded_decode). After power-on
// all words are zeroed, a row of all banks a cycle; meanwhile nobody is ready.
// Grants depend on requests only, never on data. Does not check addresses: see docs/architecture.md. Those with ports for
// themselves hand over row and bank (lathe_pkg::place_of), out of registers, so that a cycle has time for the arbiter.
//
//   cycle     t                             t+1                    t+2                    t+3        t+4          t+5
//   read    bank, arbiter, grant          | row into the bank    | word out of the bank | syndrome | correction | rd_rvalid_o, rd_rdata_o
//   write   bank, arbiter, grant, encoder | word into the bank   | in the bank
//
// With RdLatency = 6 a bank's word has a cycle of its own before a port chooses it: faster, and a cycle later.
module lathe_scratchpad #(
  parameter int unsigned Lanes = 8,
  parameter int unsigned Banks = 8,     // a power of two
  parameter int unsigned NumRd = 8,     // clients, an even number, at least 6
  parameter int unsigned NumWr = 5,     // at least 3
  localparam int unsigned AddrW = lathe_pkg::AddrW,
  localparam int unsigned WordW = Lanes * 16
) (
  input  logic                        clk_i,
  input  logic                        por_ni,       // starts the zeroing of all words
  input  logic                        rst_ni,
  input  logic [NumRd-1:0]            rd_valid_i,
  output logic [NumRd-1:0]            rd_ready_o,   // of clients with a port for themselves: depends on addresses of others
  input  logic [NumRd-1:0][AddrW-1:0] rd_addr_i,    // of clients 0 and 1: place_of it
  output logic [NumRd-1:0]            rd_rvalid_o,
  output logic [NumRd-1:0][WordW-1:0] rd_rdata_o,   // the same for all clients of a port
  input  logic [NumWr-1:0]            wr_valid_i,
  output logic [NumWr-1:0]            wr_ready_o,   // likewise
  input  logic                        wr_urgent_i,  // client 0's write goes before reads, if its bank has no room besides
  input  logic [NumWr-1:0][AddrW-1:0] wr_addr_i,    // of client 0: place_of it
  input  logic [NumWr-1:0][WordW-1:0] wr_data_i
);
  import lathe_pkg::RdLatency;
  import lathe_pkg::WriteDelay;
  import lathe_pkg::place_of;

  localparam int unsigned Rows = 1024;
  localparam int unsigned RdPorts = 4;
  localparam int unsigned WrPorts = 2;
  localparam int unsigned RowW = $clog2(Rows);
  localparam int unsigned BankW = $clog2(Banks);
  localparam int unsigned Bits = WordW + lathe_secded_pkg::checks_of(WordW);  // of a word in a bank: check bits, data

  if (Banks < 2 || Banks > 64 || (Banks & (Banks - 1)) != 0) begin : g_check_banks
    $fatal(1, "lathe_scratchpad: Banks must be a power of two from 2 to 64");
  end
  if (Lanes < 1 || NumRd < 6 || NumRd % 2 != 0 || NumWr < 3 ||
      RdLatency < 5 || RdLatency > 6) begin : g_check
    $fatal(1, "lathe_scratchpad: Lanes, NumRd, NumWr or ports");
  end

  // ---- Requests ----
  logic [RdPorts-1:0]            rd_req, rd_free;
  logic [RdPorts-1:0][AddrW-1:0] rd_place;            // row and bank
  logic [RdPorts-1:0][BankW-1:0] rd_bank;
  logic [NumRd-1:0]              rd_granted;          // a client's read
  logic [Banks-1:0]              rd_hit_q [RdPorts];  // one-hot: the bank that is read
  logic [RowW-1:0]               rd_row_q [RdPorts];
  logic [BankW-1:0]              rd_bank_q [RdPorts];
  logic [WrPorts-1:0]            wr_req, wr_free, wr_urgent;
  logic [WrPorts-1:0][AddrW-1:0] wr_place;
  logic [WrPorts-1:0][WordW-1:0] wr_data;
  logic [WrPorts-1:0][BankW-1:0] wr_bank;
  logic [Banks-1:0]              wr_hit_q [WrPorts];
  logic [Banks-1:0]              wr_side_hit_q [2][WrPorts];  // and the side on which it is written
  logic [RowW-1:0]               wr_row_q [WrPorts];
  logic [Bits-1:0]               wr_word_q [WrPorts];
  logic [WrPorts-1:0]            wr_side_a;
  logic [RdPorts-1:0]            rd_grant;     // of the arbiter
  logic [WrPorts-1:0]            wr_grant;
  logic [RowW:0]                 zeroed_q;     // rows that are
  logic                          live;         // all of them

  always_ff @(posedge clk_i) begin
    if (!por_ni) zeroed_q <= '0;
    else if (!live) zeroed_q <= zeroed_q + 1'b1;
  end

  assign live = zeroed_q[RowW];
  assign rd_free = rd_grant & {RdPorts{live}};
  assign wr_free = wr_grant & {WrPorts{live}};

  for (genvar p = 0; p < 2; p++) begin : g_rd_own
    assign rd_req[p] = rd_valid_i[p];
    assign rd_place[p] = rd_addr_i[p];
    assign rd_ready_o[p] = rd_free[p];
    assign rd_granted[p] = rd_req[p] && rd_free[p];
  end

  for (genvar p = 2; p < 4; p++) begin : g_rd_shared
    localparam int unsigned Clients = NumRd / 2 - 1;
    logic [Clients-1:0] ask, turn, whose;
    logic [AddrW-1:0] addr;
    logic room;

    for (genvar i = 0; i < Clients; i++) begin : g_client
      assign ask[i] = rd_valid_i[p+2*i];
      assign rd_ready_o[p+2*i] = turn[i] && room;
      assign rd_granted[p+2*i] = rd_req[p] && rd_free[p] && whose[i];
    end

    lathe_turns #(
      .Clients(Clients)
    ) u_turns (
      .clk_i,
      .rst_ni,
      .ask_i (ask),
      .turn_o(turn)
    );

    always_comb begin
      addr = rd_addr_i[p];
      for (int unsigned i = 1; i < Clients; i++) if (turn[i]) addr = rd_addr_i[p+2*i];
    end

    lathe_spill #(
      .Width(Clients + AddrW)
    ) u_taken (
      .clk_i,
      .rst_ni,
      .in_valid_i (|(turn & ask)),
      .in_ready_o (room),
      .in_data_i  ({turn, place_of(addr, BankW)}),
      .out_valid_o(rd_req[p]),
      .out_ready_i(rd_free[p]),
      .out_data_o ({whose, rd_place[p]})
    );
  end

  assign wr_req[0] = wr_valid_i[0];
  assign wr_urgent[0] = wr_urgent_i;
  assign wr_place[0] = wr_addr_i[0];
  assign wr_data[0] = wr_data_i[0];
  assign wr_ready_o[0] = wr_free[0];

  for (genvar p = 1; p < WrPorts; p++) begin : g_wr_shared
    logic [NumWr-1:1] turn;
    logic [AddrW-1:0] addr;
    logic [WordW-1:0] data;
    logic room, waited_q;

    lathe_turns #(
      .Clients(NumWr - 1)
    ) u_turns (
      .clk_i,
      .rst_ni,
      .ask_i (wr_valid_i[NumWr-1:1]),
      .turn_o(turn)
    );

    always_comb begin
      addr = wr_addr_i[1];
      data = wr_data_i[1];
      for (int unsigned c = 2; c < NumWr; c++) begin
        if (turn[c]) addr = wr_addr_i[c];
        if (turn[c]) data = wr_data_i[c];
      end
    end

    for (genvar c = 1; c < NumWr; c++) begin : g_client
      assign wr_ready_o[c] = turn[c] && room;
    end

    lathe_spill_wide #(
      .Width(AddrW + WordW),
      .WideW(WordW)
    ) u_taken (
      .clk_i,
      .rst_ni,
      .in_valid_i (|(turn & wr_valid_i[NumWr-1:1])),
      .in_ready_o (room),
      .in_data_i  ({place_of(addr, BankW), data}),
      .out_valid_o(wr_req[p]),
      .out_ready_i(wr_free[p]),
      .out_data_o ({wr_place[p], wr_data[p]})
    );

    // One that has waited is urgent, so that it is in the bank soon.
    always_ff @(posedge clk_i) waited_q <= rst_ni && wr_req[p] && !wr_free[p];
    assign wr_urgent[p] = waited_q;
  end

  for (genvar p = 0; p < RdPorts; p++) begin : g_rd
    assign rd_bank[p] = rd_place[p][BankW-1:0];
    always_ff @(posedge clk_i) begin
      rd_hit_q[p] <= Banks'(rd_req[p] && rd_free[p]) << rd_bank[p];
      rd_row_q[p] <= rd_place[p][BankW+:RowW];
      rd_bank_q[p] <= rd_bank[p];
    end
  end

  for (genvar p = 0; p < WrPorts; p++) begin : g_wr
    logic [Bits-WordW-1:0] check;

    lathe_secded_encode #(
      .Width(WordW)
    ) u_encode (
      .data_i (wr_data[p]),
      .check_o(check)
    );

    assign wr_bank[p] = wr_place[p][BankW-1:0];
    always_ff @(posedge clk_i) begin
      wr_hit_q[p] <= Banks'(rst_ni && wr_req[p] && wr_free[p]) << wr_bank[p];
      for (int unsigned s = 0; s < 2; s++) begin
        wr_side_hit_q[s][p] <= Banks'(rst_ni && wr_req[p] && wr_free[p] && wr_side_a[p] == (s == 0)) << wr_bank[p];
      end
      wr_row_q[p] <= wr_place[p][BankW+:RowW];
      if (wr_req[p]) wr_word_q[p] <= {check, wr_data[p]};
      if (p == 0 && !live) begin  // zero has no check bits
        wr_side_hit_q[0][p] <= {Banks{por_ni}};
        wr_row_q[p] <= zeroed_q[RowW-1:0];
        wr_word_q[p] <= '0;
      end
    end
  end

  lathe_bank_arb #(
    .BankW  (BankW),
    .WrPorts(WrPorts)
  ) u_arb (
    .clk_i,
    .rst_ni,
    .rd_req_i   (rd_req),
    .rd_bank_i  (rd_bank),
    .rd_ready_o (rd_grant),
    .wr_req_i   (wr_req),
    .wr_urgent_i(wr_urgent),
    .wr_bank_i  (wr_bank),
    .wr_ready_o (wr_grant),
    .wr_side_a_o(wr_side_a)
  );

  // ---- Banks ----
  logic [Bits-1:0]  read_word [2][Banks];  // of each side
  logic [Banks-1:0] reads [2], writes [2];

  for (genvar s = 0; s < 2; s++) begin : g_side
    assign reads[s] = rd_hit_q[s] | rd_hit_q[s+2];
    assign writes[s] = wr_side_hit_q[s][0] | wr_side_hit_q[s][1];
  end

  for (genvar b = 0; b < Banks; b++) begin : g_bank
    (* no_rw_check, ram_style = "block" *) logic [Bits-1:0] mem_q [Rows];
    logic [Bits-1:0] write_word;

    assign write_word = wr_hit_q[1][b] ? wr_word_q[1] : wr_word_q[0];

    for (genvar s = 0; s < 2; s++) begin : g_side
      logic [RowW-1:0] row;
      logic [Bits-1:0] word_q;

      // One at most of these.
      always_comb begin
        row = 'x;
        if (reads[s][b] || writes[s][b]) begin
          row = '0;
          for (int unsigned p = s; p < RdPorts; p += 2) if (rd_hit_q[p][b]) row |= rd_row_q[p];
          for (int unsigned p = 0; p < WrPorts; p++) if (wr_side_hit_q[s][p][b]) row |= wr_row_q[p];
        end
      end

      // Not always_ff, since both sides write one memory; never in the same cycle.
      always @(posedge clk_i) begin
        if (writes[s][b]) mem_q[row] <= write_word;
        else if (reads[s][b]) word_q <= mem_q[row];
      end

      if (RdLatency == 6) begin : g_late
        logic reads_q;
        always_ff @(posedge clk_i) begin
          reads_q <= reads[s][b];
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
    rd_taken_q[0] <= rd_granted;
    for (int unsigned i = 1; i < RdLatency; i++) rd_taken_q[i] <= rd_taken_q[i-1];
    if (!rst_ni) rd_taken_q <= '{default: '0};
  end
  assign rd_rvalid_o = rd_taken_q[RdLatency-1];

  for (genvar p = 0; p < RdPorts; p++) begin : g_answer
    logic             hit, coming_q;
    logic             came_q;
    logic [BankW-1:0] bank, from_q;  // the bank that holds the answer
    logic [Bits-1:0]  word_q, corrected;
    if (RdLatency == 6) begin : g_late
      always_ff @(posedge clk_i) begin
        hit <= rd_hit_q[p] != '0;
        bank <= rd_bank_q[p];
      end
    end else begin : g_early
      assign hit = rd_hit_q[p] != '0;
      assign bank = rd_bank_q[p];
    end
    always_ff @(posedge clk_i) begin
      from_q   <= bank;
      coming_q <= hit;
      came_q   <= coming_q;
      if (coming_q) word_q <= read_word[p%2][from_q];
    end

    // verilator lint_off PINCONNECTEMPTY
    lathe_secded_decode #(
      .Width(WordW)
    ) u_decode (
      .clk_i,
      .valid_i        (came_q),
      .word_i         (word_q),
      .raw_o          (),
      .word_o         (corrected),
      .corrected_o    (),
      .uncorrectable_o()
    );
    // verilator lint_on PINCONNECTEMPTY

    for (genvar c = p; c < (p < 2 ? p + 1 : NumRd); c += 2) begin : g_client
      assign rd_rdata_o[c] = corrected[WordW-1:0];
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

  logic [3:0] age_q [2];  // of the words in the shared write port's register: at its output, behind it
  always_ff @(posedge clk_i) begin
    if (!rst_ni || !live) age_q <= '{default: '0};
    else begin
      age_q[0] <= !wr_req[1] || wr_free[1] ? (g_wr_shared[1].room ? 4'd1 : age_q[1] + 1'b1) : age_q[0] + 1'b1;
      age_q[1] <= g_wr_shared[1].room ? 4'd1 : age_q[1] + 1'b1;
      if (wr_req[1]) assert (32'(age_q[0]) <= WriteDelay) else $error("a write waits for %0d cycles", age_q[0]);
    end
  end
`endif
endmodule
