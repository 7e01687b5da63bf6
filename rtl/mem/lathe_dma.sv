// SPDX-License-Identifier: Apache-2.0
// DMA unit: moves m rows of n words between the scratchpad and outside memory (AXI4 master, one word a beat, INCR,
// one identifier, several bursts under way). mem_addr and mem_stride are whole words; their bits within a word are ignored.
// After a response other than OKAY no burst is begun; those under way are completed, then the command ends with error
// `memory`. A load has then written the words before the first failing beat and nothing of it or after it.
module lathe_dma #(
  parameter int unsigned Lanes = 8
) (
  input  logic                        clk_i,
  input  logic                        rst_ni,
  input  logic                        cmd_valid_i,
  output logic                        cmd_ready_o,
  input  lathe_pkg::cmd_t             cmd_i,
  output logic                        done_valid_o,
  output lathe_pkg::done_t            done_o,

  output logic                        rd_valid_o,
  input  logic                        rd_ready_i,
  output logic [lathe_pkg::AddrW-1:0] rd_addr_o,
  input  logic                        rd_rvalid_i,
  input  logic [Lanes*16-1:0]         rd_rdata_i,
  output logic                        wr_valid_o,
  input  logic                        wr_ready_i,
  output logic [lathe_pkg::AddrW-1:0] wr_addr_o,
  output logic [Lanes*16-1:0]         wr_data_o,

  output logic                        stall_operand_o,
  output logic                        stall_result_o,

  output logic                        m_axi_awvalid,
  input  logic                        m_axi_awready,
  output logic [0:0]                  m_axi_awid,
  output logic [31:0]                 m_axi_awaddr,
  output logic [7:0]                  m_axi_awlen,
  output logic [2:0]                  m_axi_awsize,
  output logic [1:0]                  m_axi_awburst,
  output logic                        m_axi_wvalid,
  input  logic                        m_axi_wready,
  output logic [Lanes*16-1:0]         m_axi_wdata,
  output logic [Lanes*2-1:0]          m_axi_wstrb,
  output logic                        m_axi_wlast,
  input  logic                        m_axi_bvalid,
  output logic                        m_axi_bready,
  input  logic [0:0]                  m_axi_bid,
  input  logic [1:0]                  m_axi_bresp,
  output logic                        m_axi_arvalid,
  input  logic                        m_axi_arready,
  output logic [0:0]                  m_axi_arid,
  output logic [31:0]                 m_axi_araddr,
  output logic [7:0]                  m_axi_arlen,
  output logic [2:0]                  m_axi_arsize,
  output logic [1:0]                  m_axi_arburst,
  input  logic                        m_axi_rvalid,
  output logic                        m_axi_rready,
  input  logic [0:0]                  m_axi_rid,
  input  logic [Lanes*16-1:0]         m_axi_rdata,
  input  logic [1:0]                  m_axi_rresp,
  input  logic                        m_axi_rlast
);
  import lathe_pkg::*;
  import lathe_desc_pkg::*;

  localparam int unsigned LogBytes = $clog2(Lanes * 2);
  localparam int unsigned BeatAddrW = 32 - LogBytes;
  localparam int unsigned MaxBursts = 4;  // under way at a time
  localparam logic [1:0] RespOkay = 2'b00;

  if (Lanes != 4 && Lanes != 8 && Lanes != 16) begin : g_check
    $fatal(1, "lathe_dma: Lanes must be 4, 8 or 16");
  end

  // ---- Control ----
  typedef enum logic [2:0] {Idle, Setup, Load, Store, Drain, Done} state_e;
  state_e     state_q, state_d;
  cmd_t       cmd_q;
  logic       setup, setup_load, setup_store, store_q;
  logic       idle_q, failed_q, fails, over, reader_busy;
  logic [2:0] bursts_q;  // from the address register to the last response
  logic       unused_cmd;

  assign cmd_ready_o = idle_q;
  assign setup = state_q == Setup;
  assign setup_load = setup && !store_q;
  assign setup_store = setup && store_q;
  assign unused_cmd = ^{cmd_q.trans_a, cmd_q.trans_b, cmd_q.bias, cmd_q.act, cmd_q.dact, cmd_q.stochastic, cmd_q.greedy,
                        cmd_q.int8, cmd_q.int8_result, cmd_q.accumulate, cmd_q.colsum, cmd_q.chain, cmd_q.overlap,
                        cmd_q.norm, cmd_q.clip, cmd_q.t5, cmd_q.sequence_words, cmd_q.gshift, cmd_q.k, cmd_q.key,
                        cmd_q.first_row, cmd_q.first_col, cmd_q.all_rows, cmd_q.op, cmd_q.t, cmd_q.mem_addr, cmd_q.mem_stride};

  always_comb begin
    state_d = state_q;
    unique case (state_q)
      Idle:        if (cmd_valid_i) state_d = Setup;
      Setup:       state_d = store_q ? Store : Load;
      Load, Store: if (over) state_d = Drain;
      Drain:       if (!reader_busy) state_d = Done;
      default:     state_d = Idle;
    endcase
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) state_q <= Idle;
    else state_q <= state_d;
    idle_q <= !rst_ni || state_d == Idle;
  end

  always_ff @(posedge clk_i) begin
    if (idle_q) begin
      cmd_q <= cmd_i;
      store_q <= cmd_i.op == DmaStore;
    end
    if (state_q == Idle) failed_q <= 1'b0;
    else if (fails) failed_q <= 1'b1;
  end

  assign done_valid_o = state_q == Done;
  always_comb begin
    done_o = '0;
    done_o.error = failed_q ? ErrMemory : ErrNone;
  end

  // ---- Addresses: one register for both directions, a command goes one way ----
  logic                 more, burst_valid, burst_ready, burst_taken, burst_ends, addr_valid_q, addr_free;
  logic [BeatAddrW-1:0] burst_addr, addr_q;
  logic [6:0]           burst_beats, beats_q;

  lathe_dma_bursts #(
    .AddrW(BeatAddrW),
    .PageBeats(4096 / (Lanes * 2))
  ) u_bursts (
    .clk_i,
    .rst_ni,
    .start_i(setup),
    .addr_i(cmd_q.mem_addr[31:LogBytes]),
    .stride_i(cmd_q.mem_stride[31:LogBytes]),
    .rows_i(cmd_q.m),
    .words_i(cmd_q.n),
    .clear_i(failed_q),
    .busy_o(more),
    .burst_valid_o(burst_valid),
    .burst_ready_i(burst_ready),
    .burst_addr_o(burst_addr),
    .burst_beats_o(burst_beats)
  );

  assign burst_taken = addr_valid_q && (store_q ? m_axi_awready : m_axi_arready);
  assign addr_free = !addr_valid_q || burst_taken;
  assign burst_ready = addr_free && !bursts_q[$clog2(MaxBursts)] && !failed_q;
  assign burst_ends = (m_axi_bvalid && m_axi_bready) || (m_axi_rvalid && m_axi_rready && m_axi_rlast);
  assign over = !more && !addr_valid_q && bursts_q == '0 && !wr_valid_o;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      addr_valid_q <= 1'b0;
      bursts_q <= '0;
    end else begin
      if (burst_valid && burst_ready) addr_valid_q <= 1'b1;
      else if (burst_taken) addr_valid_q <= 1'b0;
      bursts_q <= bursts_q + 3'(burst_valid && burst_ready) - 3'(burst_ends);
    end
  end

  always_ff @(posedge clk_i) begin
    if (addr_free) begin
      addr_q <= burst_addr;
      beats_q <= burst_beats;
    end
  end

  assign m_axi_awvalid = addr_valid_q && store_q;
  assign m_axi_arvalid = addr_valid_q && !store_q;
  assign m_axi_awaddr = {addr_q, {LogBytes{1'b0}}};
  assign m_axi_araddr = m_axi_awaddr;
  assign m_axi_awlen = 8'(beats_q) - 8'd1;
  assign m_axi_arlen = m_axi_awlen;
  assign {m_axi_awid, m_axi_arid} = '0;
  assign {m_axi_awsize, m_axi_arsize} = {2{3'(LogBytes)}};
  assign {m_axi_awburst, m_axi_arburst} = {2{2'b01}};

  // ---- Load: read data to the scratchpad ----
  logic writer_ready, writer_busy, r_fails, unused_ids;

  assign m_axi_rready = state_q == Load && (writer_ready || failed_q);
  assign r_fails = m_axi_rvalid && m_axi_rready && m_axi_rresp != RespOkay;
  assign unused_ids = ^{m_axi_bid, m_axi_rid};

  lathe_row_writer #(
    .Lanes(Lanes)
  ) u_writer (
    .clk_i,
    .rst_ni,
    .start_i(setup_load),
    .addr_i(cmd_q.t[2].addr),
    .stride_i(cmd_q.t[2].stride),
    .rows_i(cmd_q.m),
    .words_i(cmd_q.n),
    .clear_i(state_q == Drain),
    .busy_o(writer_busy),
    .in_valid_i(m_axi_rvalid && state_q == Load && !failed_q && m_axi_rresp == RespOkay),
    .in_ready_o(writer_ready),
    .in_data_i(m_axi_rdata),
    .wr_valid_o,
    .wr_ready_i,
    .wr_addr_o,
    .wr_data_o
  );

  // ---- Store: the scratchpad's words to write data, burst by burst; they wait for no address to be taken ----
  logic       word_valid, word_ready, lengths_valid, lengths_ready, next_burst, b_fails;
  logic [6:0] length, left_q;   // left: beats of the burst that are still to be sent
  logic       sending_q, last_q;  // left is not 0, is 1
  logic [2:0] unused_level;

  lathe_row_reader #(
    .Lanes(Lanes)
  ) u_reader (
    .clk_i,
    .rst_ni,
    .start_i(setup_store),
    .addr_i(cmd_q.t[0].addr),
    .stride_i(cmd_q.t[0].stride),
    .rows_i(cmd_q.m),
    .words_i(cmd_q.n),
    .clear_i(state_q == Drain),
    .busy_o(reader_busy),
    .rd_valid_o,
    .rd_ready_i,
    .rd_addr_o,
    .rd_rvalid_i,
    .rd_rdata_i,
    .out_valid_o(word_valid),
    .out_ready_i(word_ready),
    .out_data_o(m_axi_wdata)
  );

  lathe_fifo #(
    .Width(7),
    .Depth(MaxBursts)
  ) u_lengths (
    .clk_i,
    .rst_ni,
    .in_valid_i(burst_valid && burst_ready && store_q),
    .in_ready_o(lengths_ready),
    .in_data_i(burst_beats),
    .out_valid_o(lengths_valid),
    .out_ready_i(next_burst),
    .out_data_o(length),
    .level_o(unused_level)
  );

  assign m_axi_wvalid = word_valid && sending_q;
  assign m_axi_wlast = last_q;
  assign m_axi_wstrb = '1;
  assign m_axi_bready = state_q == Store;
  assign word_ready = m_axi_wready && sending_q;
  assign next_burst = !sending_q || (word_valid && m_axi_wready && last_q);
  assign b_fails = m_axi_bvalid && m_axi_bready && m_axi_bresp != RespOkay;
  assign fails = r_fails || b_fails;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) sending_q <= 1'b0;
    else if (next_burst) sending_q <= lengths_valid;
  end

  always_ff @(posedge clk_i) begin
    if (next_burst) begin
      left_q <= length;
      last_q <= length == 7'd1;
    end else if (m_axi_wvalid && m_axi_wready) begin
      left_q <= left_q - 7'd1;
      last_q <= left_q == 7'd2;
    end
  end

  always_comb begin
    stall_operand_o = store_q ? sending_q && !word_valid : !wr_valid_o && !m_axi_rvalid && !over;
    stall_result_o = store_q ? word_valid && !(m_axi_wvalid && m_axi_wready) : wr_valid_o && !wr_ready_i;
    if (state_q != Load && state_q != Store) {stall_operand_o, stall_result_o} = '0;
  end

`ifndef SYNTHESIS
  logic checking_q;  // false before the first reset, when registers hold anything
  initial checking_q = 1'b0;
  always @(posedge clk_i) if (!rst_ni) checking_q <= 1'b1;

  logic       held_q;
  logic [6:0] held_beats_q;
  logic [BeatAddrW-1:0] held_addr_q;
  always_ff @(posedge clk_i) begin
    held_q <= rst_ni && addr_valid_q && !burst_taken;
    held_addr_q <= addr_q;
    held_beats_q <= beats_q;
    if (checking_q && rst_ni) begin
      if (held_q) assert (addr_valid_q && addr_q == held_addr_q && beats_q == held_beats_q) else $error("address changed");
      if (burst_valid && burst_ready && store_q) assert (lengths_ready) else $error("no place for a burst's length");
      if (burst_ends) assert (bursts_q != '0) else $error("response without a burst");
      if (over && state_q == Load && !failed_q) assert (!writer_busy) else $error("words missing");
      if (over && state_q == Store && !failed_q) assert (!reader_busy) else $error("words left over");
      if (setup) assert (cmd_q.m != '0 && cmd_q.n != '0) else $error("shape");
    end
  end
`endif
endmodule
