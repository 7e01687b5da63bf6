// SPDX-License-Identifier: Apache-2.0
// The scratchpad: Banks of 1,024 words in true dual-port RAM, two accesses a cycle each (lathe_banks, lathe_bank_arb). Read
// clients 0 and 1 and write client 0, the array's, have ports into the banks for themselves. The others share (lathe_share_read,
// lathe_share_write): at two more read ports and two more write ports they take turns, and what is taken waits in a register of its
// port for its grant. While the array is idle, its read ports serve the read clients 4 and 5, and its write port serves write
// client 5, and the write clients 2 and 3 where their own ports have no room.
// A read is answered RdLatency cycles after its grant, in the order in which its client was taken. A write is in its bank WriteDelay
// cycles after it was taken at the latest.
// Words have check bits beside them, by which every read port corrects what it gives (lathe_secded_decode); lathe_scrub looks
// after words that nobody reads. After power-on all words are zeroed, a row of all banks a cycle; meanwhile nothing is granted.
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
  parameter int unsigned NumRd = 9,     // clients: these many, since each has its port
  parameter int unsigned NumWr = 7,
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
  output logic [NumRd-1:0]            rd_bad_o,     // with rd_rvalid_o: the word is not what was written
  input  logic [NumWr-1:0]            wr_valid_i,
  output logic [NumWr-1:0]            wr_ready_o,   // likewise
  input  logic                        wr_urgent_i,  // client 0's write goes before reads, if its bank has no room besides
  input  logic [NumWr-1:0][AddrW-1:0] wr_addr_i,    // of client 0: place_of it
  input  logic [NumWr-1:0][WordW-1:0] wr_data_i,
  input  logic                        lend_i,       // the array is idle and asks for nothing in the next two cycles
  input  logic [4:0]                  scrub_interval_i,
  input  logic                        inject_valid_i,
  input  lathe_pkg::inject_t          inject_i,       // ignored while busy
  output logic                        inject_busy_o,
  output logic                        fault_valid_o,  // pulse
  output lathe_pkg::fault_t           fault_o
);
  import lathe_pkg::RdLatency;
  import lathe_pkg::WriteDelay;
  import lathe_pkg::fault_t;
  import lathe_pkg::place_of;

  localparam int unsigned Rows = 1024;
  localparam int unsigned RdPorts = 4;
  localparam int unsigned WrPorts = 3;
  localparam int unsigned RowW = $clog2(Rows);
  localparam int unsigned BankW = $clog2(Banks);
  localparam int unsigned PlaceW = RowW + BankW;
  localparam int unsigned Bits = WordW + lathe_secded_pkg::checks_of(WordW);  // of a word in a bank: check bits, data
  // Clients of the shared ports, and those that the array's ports are lent to.
  localparam int unsigned RdLent [2] = '{4, 5};
  localparam int unsigned WrLent = 5;
  localparam int unsigned RdClients [2] = '{3, 4};
  localparam int unsigned WrClients [2] = '{4, 2};

  function automatic int unsigned rd_client(int unsigned port, int unsigned number);  // 2, 4, 6; 3, 5, 7, 8
    return port == 1 && number == 3 ? 8 : 2 + port + 2 * number;
  endfunction

  function automatic int unsigned wr_client(int unsigned port, int unsigned number);  // 1, 2, 4, 6; 3, 5
    return port == 0 && number == 0 ? 1 : 3 * port + 2 * number;
  endfunction

  if (Banks < 2 || Banks > 64 || (Banks & (Banks - 1)) != 0) begin : g_check_banks
    $fatal(1, "lathe_scratchpad: Banks must be a power of two from 2 to 64");
  end
  if (!(Lanes inside {4, 8, 16}) || NumRd != 9 || NumWr != 7 || RdLatency < 5 || RdLatency > 6) begin : g_check
    $fatal(1, "lathe_scratchpad: Lanes, NumRd, NumWr or RdLatency");
  end

  // ---- Zeroing ----
  logic [RowW:0] zeroed_q;  // rows that are
  logic          live;      // all of them

  always_ff @(posedge clk_i) begin
    if (!por_ni) zeroed_q <= '0;
    else if (!live) zeroed_q <= zeroed_q + 1'b1;
  end

  assign live = zeroed_q[RowW];

  // ---- Requests ----
  logic [RdPorts-1:0]            rd_req, rd_grant, rd_free;  // grant: of the arbiter
  logic [RdPorts-1:0][AddrW-1:0] rd_place;            // row and bank
  logic [RdPorts-1:0][BankW-1:0] rd_bank;
  logic [NumRd-1:0]              rd_shared, rd_granted;  // a client's read at a shared port, at any
  logic [WrPorts-1:0]            wr_req, wr_grant, wr_free, wr_urgent;
  logic [WrPorts-1:0][AddrW-1:0] wr_place;
  logic [WrPorts-1:0][WordW-1:0] wr_data;
  logic [WrPorts-1:0][BankW-1:0] wr_bank;
  logic [WrPorts-1:0]            wr_side_a;
  logic [WrPorts-1:1]            wr_room;  // of a shared port
  logic [1:0]                    rd_may_q, rd_lent_q;  // client RdLent[p] may ask; asks at port p
  logic [1:0]                    lent_rd_ready, lent_rd_req;
  logic                          wr_lent_q;            // client WrLent asks at port 0
  logic                          lent_wr_req, lent_wr_urgent, lent_wr_room;
  logic                          lent_wr_wide_q;       // the same as lent_wr_req, for what chooses the word
  logic [2:0]                    lent_wr_ask, lent_wr_ready;
  logic [2:0][AddrW-1:0]         lent_wr_addr;
  logic [2:0][WordW-1:0]         lent_wr_word;
  logic [1:0][AddrW-1:0]         lent_rd_place;
  logic [AddrW-1:0]              lent_wr_place;
  logic [WordW-1:0]              lent_wr_data;

  assign rd_shared[1:0] = '0;
  assign rd_free = rd_grant & {RdPorts{live}};
  assign wr_free = wr_grant & {WrPorts{live}};

  assign rd_req[1:0] = rd_valid_i[1:0] | lent_rd_req;
  assign rd_ready_o[1:0] = rd_free[1:0] & ~lent_rd_req;
  for (genvar p = 0; p < 2; p++) begin : g_rd_array
    assign rd_place[p] = lent_rd_req[p] ? lent_rd_place[p] : rd_addr_i[p];
  end

  for (genvar p = 0; p < 2; p++) begin : g_rd_shared
    logic [RdClients[p]-1:0] ask, ready, whose;
    logic [RdClients[p]-1:0][AddrW-1:0] addr;

    lathe_share_read #(
      .Clients(RdClients[p]),
      .BankW  (BankW)
    ) u_share (
      .clk_i,
      .rst_ni,
      .ask_i  (ask),
      .ready_o(ready),
      .addr_i (addr),
      .req_o  (rd_req[p+2]),
      .free_i (rd_free[p+2]),
      .whose_o(whose),
      .place_o(rd_place[p+2])
    );

    for (genvar i = 0; i < RdClients[p]; i++) begin : g_client
      localparam int unsigned C = rd_client(p, i);
      assign addr[i] = rd_addr_i[C];
      assign rd_shared[C] = rd_req[p+2] && rd_free[p+2] && whose[i];
      if (C == RdLent[p]) begin : g_lent
        assign ask[i] = rd_valid_i[C] && rd_may_q[p] && !rd_lent_q[p];
        assign rd_ready_o[C] = rd_may_q[p] && (rd_lent_q[p] ? lent_rd_ready[p] : ready[i]);
      end else begin : g_own
        assign ask[i] = rd_valid_i[C];
        assign rd_ready_o[C] = ready[i];
      end
    end
  end

  assign wr_req[0] = wr_valid_i[0] || lent_wr_req;
  assign wr_urgent[0] = lent_wr_req ? lent_wr_urgent : wr_urgent_i;
  assign wr_place[0] = lent_wr_req ? lent_wr_place : wr_addr_i[0];
  assign wr_data[0] = lent_wr_wide_q ? lent_wr_data : wr_data_i[0];
  assign wr_ready_o[0] = wr_free[0] && !lent_wr_req;

  for (genvar p = 0; p < 2; p++) begin : g_wr_shared
    logic [WrClients[p]-1:0] ask, ready;
    logic [WrClients[p]-1:0][AddrW-1:0] addr;
    logic [WrClients[p]-1:0][WordW-1:0] data;

    lathe_share_write #(
      .Clients(WrClients[p]),
      .BankW  (BankW),
      .WordW  (WordW)
    ) u_share (
      .clk_i,
      .rst_ni,
      .ask_i   (ask),
      .ready_o (ready),
      .addr_i  (addr),
      .data_i  (data),
      .room_o  (wr_room[p+1]),
      .req_o   (wr_req[p+1]),
      .free_i  (wr_free[p+1]),
      .urgent_o(wr_urgent[p+1]),
      .place_o (wr_place[p+1]),
      .data_o  (wr_data[p+1])
    );

    for (genvar i = 0; i < WrClients[p]; i++) begin : g_client
      localparam int unsigned C = wr_client(p, i);
      assign addr[i] = wr_addr_i[C];
      assign data[i] = wr_data_i[C];
      if (C inside {2, 3, WrLent}) begin : g_lent
        localparam int unsigned L = C == WrLent ? 2 : C - 2;
        logic goes;  // it asks at port 0
        assign goes = wr_lent_q && (C == WrLent || !wr_room[p+1]);
        assign lent_wr_addr[L] = wr_addr_i[C];
        assign lent_wr_word[L] = wr_data_i[C];
        assign lent_wr_ask[L] = wr_valid_i[C] && goes;
        assign ask[i] = wr_valid_i[C] && !goes;
        assign wr_ready_o[C] = goes ? lent_wr_ready[L] : ready[i];
      end else begin : g_own  // what is loaded while words are zeroed would wait in the port, and its command end before it is written
        assign ask[i] = wr_valid_i[C] && live;
        assign wr_ready_o[C] = ready[i] && live;
      end
    end
  end

  // ---- What the array lends ----
  logic [3:0] idle_q;    // cycles for which the array has been idle, up to 15
  logic       lend_q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      idle_q <= '0;
      {lend_q, wr_lent_q} <= '0;
    end else begin
      idle_q <= !lend_i ? '0 : idle_q == '1 ? idle_q : idle_q + 1'b1;
      lend_q <= lend_i && idle_q == '1;
      wr_lent_q <= lend_q;
    end
  end

  // A read client changes its port when it has all its answers.
  for (genvar p = 0; p < 2; p++) begin : g_lent_read
    localparam int unsigned C = RdLent[p];
    logic [4:0] owed_q;  // answers

    always_ff @(posedge clk_i) begin
      if (!rst_ni) begin
        {owed_q, rd_lent_q[p]} <= '0;
        rd_may_q[p] <= 1'b1;
      end else begin
        owed_q <= owed_q + 5'(rd_valid_i[C] && rd_ready_o[C]) - 5'(rd_rvalid_o[C]);
        rd_may_q[p] <= rd_lent_q[p] == lend_q || (!rd_may_q[p] && owed_q == '0);
        if (!rd_may_q[p] && owed_q == '0) rd_lent_q[p] <= lend_q;
      end
    end

    lathe_spill #(
      .Width(AddrW)
    ) u_ask (
      .clk_i,
      .rst_ni,
      .in_valid_i (rd_valid_i[C] && rd_may_q[p] && rd_lent_q[p]),
      .in_ready_o (lent_rd_ready[p]),
      .in_data_i  (place_of(rd_addr_i[C], BankW)),
      .out_valid_o(lent_rd_req[p]),
      .out_ready_i(rd_free[p]),
      .out_data_o (lent_rd_place[p])
    );
  end

  lathe_share_write #(
    .Clients(3),
    .BankW  (BankW),
    .WordW  (WordW),
    .InTurn (1'b0)
  ) u_lent_write (
    .clk_i,
    .rst_ni,
    .ask_i   (lent_wr_ask),
    .ready_o (lent_wr_ready),
    .addr_i  (lent_wr_addr),
    .data_i  (lent_wr_word),
    .room_o  (lent_wr_room),
    .req_o   (lent_wr_req),
    .free_i  (wr_free[0]),
    .urgent_o(lent_wr_urgent),
    .place_o (lent_wr_place),
    .data_o  (lent_wr_data)
  );

  (* keep *) always_ff @(posedge clk_i) begin  // two registers, not one
    lent_wr_wide_q <= rst_ni && (!lent_wr_room || lent_wr_ask != '0 || (lent_wr_req && !wr_free[0]));
  end

  always_comb begin
    rd_granted = rd_shared;
    rd_granted[1:0] = rd_valid_i[1:0] & rd_ready_o[1:0];
    for (int unsigned p = 0; p < 2; p++) if (lent_rd_req[p] && rd_free[p]) rd_granted[RdLent[p]] = 1'b1;
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

  // ---- The scrubber: reads in place of port 2, writes in place of shared write port 1 ----
  logic             scrub_req, scrub_write, scrub_fits, scrub_reads, scrub_writes, scrub_lost;
  logic [PlaceW-1:0] scrub_place;
  logic [BankW-1:0] scrub_bank;
  logic [Bits-1:0]  scrub_word;

  assign scrub_bank = scrub_place[BankW-1:0];
  always_comb begin
    scrub_fits = live && !rd_req[2] && !wr_req[1];
    for (int unsigned p = 0; p < RdPorts; p++) if (rd_req[p] && rd_bank[p] == scrub_bank) scrub_fits = 1'b0;
    for (int unsigned p = 0; p < WrPorts; p++) if (wr_req[p] && wr_bank[p] == scrub_bank) scrub_fits = 1'b0;
  end
  assign scrub_reads = scrub_req && !scrub_write && scrub_fits;
  assign scrub_writes = scrub_req && scrub_write && scrub_fits && !scrub_lost;

  // ---- Granted ----
  logic [Banks-1:0] rd_hit_q [RdPorts];
  logic [RowW-1:0]  rd_row_q [RdPorts];
  logic [BankW-1:0] rd_bank_q [RdPorts];
  logic [Banks-1:0] wr_hit_q [WrPorts];
  logic [Banks-1:0] wr_side_hit_q [2][WrPorts];
  logic [RowW-1:0]  wr_row_q [WrPorts];
  logic [Bits-1:0]  wr_word_q [WrPorts];
  logic [WrPorts-1:0] wr_went_q;   // a client's write, and
  logic [WrPorts-1:0] wr_meets_q;  // it goes where the scrubber is, which stays there from its read on

  for (genvar p = 0; p < RdPorts; p++) begin : g_rd
    logic scrubs;
    logic [PlaceW-1:0] place;
    assign rd_bank[p] = rd_place[p][BankW-1:0];
    assign scrubs = p == 2 && !rd_req[p];
    assign place = scrubs ? scrub_place : rd_place[p][PlaceW-1:0];
    always_ff @(posedge clk_i) begin
      rd_hit_q[p] <= Banks'(scrubs ? scrub_reads : rd_req[p] && rd_free[p]) << place[BankW-1:0];
      rd_row_q[p] <= place[BankW+:RowW];
      rd_bank_q[p] <= place[BankW-1:0];
    end
  end

  for (genvar p = 0; p < WrPorts; p++) begin : g_wr
    logic [Bits-WordW-1:0] check;
    logic scrubs, go, side_a;
    logic [PlaceW-1:0] place;

    lathe_secded_encode #(
      .Width(WordW)
    ) u_encode (
      .valid_i(wr_req[p]),
      .data_i (wr_data[p]),
      .check_o(check)
    );

    assign wr_bank[p] = wr_place[p][BankW-1:0];
    assign scrubs = p == 1 && !wr_req[p];
    assign place = scrubs ? scrub_place : wr_place[p][PlaceW-1:0];
    assign go = rst_ni && (scrubs ? scrub_writes : wr_req[p] && wr_free[p]);
    assign side_a = !scrubs && wr_side_a[p];
    always_ff @(posedge clk_i) begin
      wr_went_q[p] <= wr_req[p] && wr_free[p];
      wr_meets_q[p] <= wr_place[p][PlaceW-1:0] == scrub_place;
      wr_hit_q[p] <= Banks'(go) << place[BankW-1:0];
      for (int unsigned s = 0; s < 2; s++) wr_side_hit_q[s][p] <= Banks'(go && side_a == (s == 0)) << place[BankW-1:0];
      wr_row_q[p] <= place[BankW+:RowW];
      if (wr_req[p]) wr_word_q[p] <= {check, wr_data[p]};
      else if (p == 1 && scrub_write) wr_word_q[p] <= scrub_word;  // whether it is written is known late
      if (p == 0 && !live) begin  // zero has no check bits
        wr_side_hit_q[0][p] <= {Banks{por_ni}};
        wr_row_q[p] <= zeroed_q[RowW-1:0];
        wr_word_q[p] <= '0;
      end
    end
  end

  assign scrub_lost = (wr_went_q & wr_meets_q) != '0;

  // ---- Banks ----
  logic             came [RdPorts];
  logic [Bits-1:0]  word [RdPorts];

  lathe_banks #(
    .Banks  (Banks),
    .Bits   (Bits),
    .WrPorts(WrPorts),
    .Late   (RdLatency == 6)
  ) u_banks (
    .clk_i,
    .rd_hit_i     (rd_hit_q),
    .rd_row_i     (rd_row_q),
    .rd_bank_i    (rd_bank_q),
    .wr_hit_i     (wr_hit_q),
    .wr_side_hit_i(wr_side_hit_q),
    .wr_row_i     (wr_row_q),
    .wr_word_i    (wr_word_q),
    .came_o       (came),
    .word_o       (word)
  );

  // ---- Answers ----
  logic [NumRd:0]      rd_taken_q [RdLatency];  // which clients' reads were granted, the last one's the scrubber's, by age
  logic [PlaceW-1:0]   place_q [RdPorts][RdLatency-1];  // row and bank
  logic [Bits-1:0]     raw [RdPorts], corrected [RdPorts];
  logic [RdPorts-1:0]  one_bit, two_bits, answers, fault;
  fault_t              fault_found [RdPorts];

  always_ff @(posedge clk_i) begin
    rd_taken_q[0] <= {scrub_reads, rd_granted};
    for (int unsigned i = 1; i < RdLatency; i++) rd_taken_q[i] <= rd_taken_q[i-1];
    if (!rst_ni) rd_taken_q <= '{default: '0};
  end
  assign rd_rvalid_o = rd_taken_q[RdLatency-1][NumRd-1:0];

  for (genvar p = 0; p < RdPorts; p++) begin : g_answer
    lathe_secded_decode #(
      .Width(WordW)
    ) u_decode (
      .clk_i,
      .valid_i        (came[p]),
      .word_i         (word[p]),
      .raw_o          (raw[p]),
      .word_o         (corrected[p]),
      .corrected_o    (one_bit[p]),
      .uncorrectable_o(two_bits[p])
    );

    always_ff @(posedge clk_i) begin
      place_q[p][0] <= {rd_row_q[p], rd_bank_q[p]};
      for (int unsigned i = 1; i < RdLatency - 1; i++) place_q[p][i] <= place_q[p][i-1];
    end

    // place_of is its own inverse.
    assign fault[p] = answers[p] && (one_bit[p] || two_bits[p]);
    assign fault_found[p] = '{scrubber: p == 2 && rd_taken_q[RdLatency-1][NumRd], uncorrectable: two_bits[p],
                              addr: place_of(AddrW'(place_q[p][RdLatency-2]), BankW)};
  end

  logic [1:0] lent_answers, own_answers;  // of the clients RdLent
  assign lent_answers = {rd_rvalid_o[RdLent[1]], rd_rvalid_o[RdLent[0]]} & rd_lent_q;
  assign own_answers = {rd_rvalid_o[RdLent[1]], rd_rvalid_o[RdLent[0]]} & ~rd_lent_q;
  assign answers = {own_answers[1] || |{rd_rvalid_o[8], rd_rvalid_o[7], rd_rvalid_o[3]},
                    own_answers[0] || |{rd_taken_q[RdLatency-1][NumRd], rd_rvalid_o[6], rd_rvalid_o[2]},
                    rd_rvalid_o[1:0] | lent_answers};

  for (genvar c = 0; c < NumRd; c++) begin : g_client
    localparam int unsigned P = c < 2 ? c : c % 2 == 0 && c != 8 ? 2 : 3;
    localparam int unsigned L = c == RdLent[1] ? 1 : 0;  // the port that it may be lent
    logic lent;
    assign lent = c == RdLent[L] && rd_lent_q[L];  // it has no answers to come when that changes
    assign rd_rdata_o[c] = lent ? corrected[L][WordW-1:0] : corrected[P][WordW-1:0];
    assign rd_bad_o[c] = rd_rvalid_o[c] && (lent ? two_bits[L] : two_bits[P]);
  end

  lathe_fault_collect #(
    .Ports(RdPorts)
  ) u_faults (
    .clk_i,
    .rst_ni,
    .valid_i(fault),
    .fault_i(fault_found),
    .valid_o(fault_valid_o),
    .fault_o
  );

  lathe_scrub #(
    .Words(Banks * Rows),
    .BankW(BankW),
    .Bits (Bits)
  ) u_scrub (
    .clk_i,
    .rst_ni,
    .interval_i    (scrub_interval_i),
    .inject_valid_i,
    .inject_i,
    .inject_busy_o,
    .req_o         (scrub_req),
    .write_o       (scrub_write),
    .place_o       (scrub_place),
    .word_o        (scrub_word),
    .granted_i     (scrub_reads || scrub_writes),
    .written_i     (scrub_lost),
    .raw_valid_i   (rd_taken_q[RdLatency-2][NumRd]),
    .raw_i         (raw[2]),
    .valid_i       (rd_taken_q[RdLatency-1][NumRd]),
    .corrected_i   (one_bit[2]),
    .data_i        (corrected[2])
  );

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

  always_ff @(posedge clk_i) if (rst_ni) assert (lent_wr_wide_q == lent_wr_req) else $error("copies differ");

  // Of the words in a shared write port's register: at its output, behind it.
  for (genvar p = 1; p < WrPorts; p++) begin : g_age_check
    logic [3:0] age_q [2];
    always_ff @(posedge clk_i) begin
      if (!rst_ni || !live) age_q <= '{default: '0};
      else begin
        age_q[0] <= !wr_req[p] || wr_free[p] ? (wr_room[p] ? 4'd1 : age_q[1] + 1'b1) : age_q[0] + 1'b1;
        age_q[1] <= wr_room[p] ? 4'd1 : age_q[1] + 1'b1;
        if (wr_req[p]) assert (32'(age_q[0]) <= WriteDelay) else $error("a write waits for %0d cycles", age_q[0]);
      end
    end
  end
`endif
endmodule
