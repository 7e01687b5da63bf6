// SPDX-License-Identifier: Apache-2.0
// Outside memory in block RAM behind an AXI4 slave as lathe_dma needs it: INCR bursts of whole words, all strobes set, one burst at
// a time each way, one word a cycle; DECERR for each word outside. A second port, for the host link, reads and writes 32 bits
// in cycles that no burst uses, and tells which blocks of 256 bytes the chip has written. An SDRAM controller can take this module's place.
module lathe_board_memory #(
  parameter int unsigned Lanes = 8,
  parameter int unsigned Bytes = 65536,
  localparam int unsigned WordW = Lanes * 16
) (
  input  logic             clk_i,
  input  logic             por_ni,         // of the second port
  input  logic             rst_ni,         // of the AXI port: that of its master

  input  logic             s_axi_awvalid,
  output logic             s_axi_awready,
  input  logic [31:0]      s_axi_awaddr,
  input  logic [7:0]       s_axi_awlen,
  input  logic [2:0]       s_axi_awsize,
  input  logic [1:0]       s_axi_awburst,
  input  logic [0:0]       s_axi_awid,
  input  logic             s_axi_wvalid,
  output logic             s_axi_wready,
  input  logic [WordW-1:0] s_axi_wdata,
  input  logic [WordW/8-1:0] s_axi_wstrb,
  input  logic             s_axi_wlast,
  output logic             s_axi_bvalid,
  input  logic             s_axi_bready,
  output logic [0:0]       s_axi_bid,
  output logic [1:0]       s_axi_bresp,
  input  logic             s_axi_arvalid,
  output logic             s_axi_arready,
  input  logic [31:0]      s_axi_araddr,
  input  logic [7:0]       s_axi_arlen,
  input  logic [2:0]       s_axi_arsize,
  input  logic [1:0]       s_axi_arburst,
  input  logic [0:0]       s_axi_arid,
  output logic             s_axi_rvalid,
  input  logic             s_axi_rready,
  output logic [0:0]       s_axi_rid,
  output logic [WordW-1:0] s_axi_rdata,
  output logic [1:0]       s_axi_rresp,
  output logic             s_axi_rlast,

  input  logic             req_i,          // pulse: an access of the memory; what follows below is steady until the acknowledge
  input  logic             dirty_req_i,    // pulse: an access of the dirty bits
  input  logic             write_i,
  input  logic [18:0]      addr_i,         // in bytes, within the memory; of dirty bits in bits 7:2 the word
  input  logic [31:0]      wdata_i,
  output logic             ack_o,          // pulses; out of registers, like what follows
  output logic [31:0]      rdata_o,
  output logic             dirty_ack_o,
  output logic [31:0]      dirty_rdata_o
);
  localparam int unsigned LogBytes = $clog2(Lanes * 2);
  localparam int unsigned Words = Bytes * 8 / WordW;
  localparam int unsigned AddrW = $clog2(Words);
  localparam int unsigned FullW = 32 - LogBytes;  // of an AXI address in words
  localparam int unsigned PageW = 12 - LogBytes;  // of a word in 4 KiB, which no burst leaves
  localparam int unsigned Slices = Lanes / 2;     // of 32 bits
  localparam int unsigned SliceW = $clog2(Slices);
  localparam int unsigned Blocks = Bytes / 256;
  localparam int unsigned BlockW = Blocks > 1 ? $clog2(Blocks) : 1;
  localparam logic [1:0]  RespOkay = 2'b00;
  localparam logic [1:0]  RespDecerr = 2'b11;

  if (Bytes < 256 || Bytes > 524288 || Bytes % 256 != 0) begin : g_check
    $fatal(1, "lathe_board_memory: Bytes must be a multiple of 256, at most 512 KiB");
  end

  function automatic logic [FullW-1:0] next(logic [FullW-1:0] addr);
    return {addr[FullW-1:PageW], addr[PageW-1:0] + PageW'(1)};
  endfunction

  // ---- Second port: an access waits for its cycle ----
  logic bus_write_q, bus_read_q, bus_write, bus_read, bus_got_q;  // it waits, it happens, its word is there
  logic [31:0] bus_word;

  always_ff @(posedge clk_i) begin
    if (!por_ni) begin
      {bus_write_q, bus_read_q, bus_got_q, ack_o} <= '0;
    end else begin
      bus_write_q <= (req_i && write_i) || (bus_write_q && !bus_write);
      bus_read_q <= (req_i && !write_i) || (bus_read_q && !bus_read);
      bus_got_q <= bus_read;
      ack_o <= bus_write || bus_got_q;
    end
  end

  always_ff @(posedge clk_i) begin
    if (bus_got_q) rdata_o <= bus_word;
  end

  // ---- Writes: words of a burst go first ----
  typedef enum logic [1:0] {WriteIdle, WriteData, WriteAnswer} write_e;
  write_e            write_q;
  logic [FullW-1:0]  waddr_q;
  logic              wfailed_q, word_taken, woutside;
  logic [Slices-1:0] enable_q;  // the word on its way into the RAM
  logic [AddrW-1:0]  place_q;
  logic [WordW-1:0]  word_q;
  logic              mark_q;    // it comes from the chip

  assign s_axi_awready = write_q == WriteIdle;
  assign s_axi_wready = write_q == WriteData;
  assign s_axi_bvalid = write_q == WriteAnswer;
  assign s_axi_bresp = wfailed_q ? RespDecerr : RespOkay;
  assign s_axi_bid = '0;
  assign word_taken = s_axi_wvalid && s_axi_wready;
  assign woutside = waddr_q >= FullW'(Words);
  assign bus_write = bus_write_q && !word_taken;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      write_q <= WriteIdle;
    end else begin
      unique case (write_q)
        WriteIdle: if (s_axi_awvalid) write_q <= WriteData;
        WriteData: if (s_axi_wvalid && s_axi_wlast) write_q <= WriteAnswer;
        default:   if (s_axi_bready) write_q <= WriteIdle;
      endcase
    end
  end

  always_ff @(posedge clk_i) begin
    if (write_q == WriteIdle) begin
      waddr_q <= s_axi_awaddr[31:LogBytes];
      wfailed_q <= 1'b0;
    end else if (word_taken) begin
      waddr_q <= next(waddr_q);
      wfailed_q <= wfailed_q || woutside;
    end
  end

  always_ff @(posedge clk_i) begin
    mark_q <= rst_ni && word_taken && !woutside;
    enable_q <= '0;
    if (word_taken) enable_q <= {Slices{rst_ni && !woutside}};
    else if (bus_write && por_ni) enable_q[addr_i[2+:SliceW]] <= 1'b1;
    place_q <= word_taken ? waddr_q[AddrW-1:0] : addr_i[LogBytes+:AddrW];
    word_q <= word_taken ? s_axi_wdata : {Slices{wdata_i}};
  end

  // ---- Reads: a burst begins only when the second port does not wait ----
  logic              reading_q;  // words of a burst are still to be read
  logic [FullW-1:0]  raddr_q;
  logic [7:0]        rleft_q;    // after the next one
  logic              read, got_q, gives, failed_q, last_q, out_ready, outside;  // got: a word of a burst is at the RAM's output
  logic [WordW-1:0]  ram_word;

  assign s_axi_arready = !reading_q && !bus_read_q;
  assign gives = !got_q || out_ready;
  assign read = reading_q && gives;
  assign bus_read = bus_read_q && !reading_q && gives;
  assign bus_word = ram_word[32*addr_i[2+:SliceW]+:32];
  assign s_axi_rid = '0;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      reading_q <= 1'b0;
      got_q <= 1'b0;
    end else begin
      if (s_axi_arvalid && s_axi_arready) reading_q <= 1'b1;
      else if (read && rleft_q == '0) reading_q <= 1'b0;
      got_q <= read || (got_q && !out_ready);
    end
  end

  always_ff @(posedge clk_i) begin
    if (!reading_q) begin
      raddr_q <= s_axi_araddr[31:LogBytes];
      rleft_q <= s_axi_arlen;
    end else if (read) begin
      raddr_q <= next(raddr_q);
      rleft_q <= rleft_q - 8'd1;
    end
    if (read) begin
      failed_q <= raddr_q >= FullW'(Words);
      last_q <= rleft_q == '0;
    end
  end

  lathe_spill_wide #(
    .Width(WordW + 2),
    .WideW(WordW)
  ) u_out (
    .clk_i,
    .rst_ni,
    .in_valid_i (got_q),
    .in_ready_o (out_ready),
    .in_data_i  ({last_q, failed_q, ram_word}),
    .out_valid_o(s_axi_rvalid),
    .out_ready_i(s_axi_rready),
    .out_data_o ({s_axi_rlast, outside, s_axi_rdata})
  );
  assign s_axi_rresp = outside ? RespDecerr : RespOkay;

  // ---- The memory itself ----
  for (genvar i = 0; i < Slices; i++) begin : gen_slice
    lathe_ram #(
      .Width(32),
      .Words(Words),
      .AnyOnCollision(1'b1),
      .Block(1'b1)
    ) u_ram (
      .clk_i,
      .wr_en_i  (enable_q[i]),
      .wr_addr_i(place_q),
      .wr_data_i(word_q[32*i+:32]),
      .rd_en_i  (read || bus_read),
      .rd_addr_i(reading_q ? raddr_q[AddrW-1:0] : addr_i[LogBytes+:AddrW]),
      .rd_data_o(ram_word[32*i+:32])
    );
  end

  lathe_board_dirty #(
    .Blocks(Blocks)
  ) u_dirty (
    .clk_i,
    .por_ni,
    .mark_i      (mark_q),
    .mark_block_i(BlockW'(place_q >> (8 - LogBytes))),
    .req_i       (dirty_req_i),
    .write_i,
    .word_i      (addr_i[7:2]),
    .wdata_i,
    .ack_o       (dirty_ack_o),
    .rdata_o     (dirty_rdata_o)
  );

  logic unused;
  assign unused = ^{s_axi_awlen, s_axi_awsize, s_axi_arsize, s_axi_awburst, s_axi_arburst, s_axi_awid, s_axi_arid, s_axi_wstrb,
                    s_axi_awaddr[LogBytes-1:0], s_axi_araddr[LogBytes-1:0], addr_i};

`ifndef SYNTHESIS
  always_ff @(posedge clk_i) begin
    if (rst_ni && s_axi_awvalid) assert (s_axi_awsize == 3'(LogBytes) && s_axi_awburst == 2'b01) else $error("kind of burst");
    if (rst_ni && s_axi_arvalid) assert (s_axi_arsize == 3'(LogBytes) && s_axi_arburst == 2'b01) else $error("kind of burst");
    if (rst_ni && s_axi_wvalid) assert (&s_axi_wstrb) else $error("strobes");
  end
`endif
endmodule
