// SPDX-License-Identifier: Apache-2.0
// A board: the chip, the host link and outside memory; a clock, power-on reset and the pins of a UART in, LEDs out. The memory lies
// behind one AXI4 interface and the second port of lathe_board_memory, where an SDRAM controller can take its place. Clock
// generation and whatever makes the power-on reset are outside.
module lathe_board #(
  parameter int unsigned Lanes = 8,
  parameter int unsigned Banks = 8,
  parameter int unsigned Slots = 4,
  parameter int unsigned UpdateLanes = Lanes,
  parameter int unsigned ClockHz = 25_000_000,
  parameter int unsigned Baud = 3_000_000,
  parameter int unsigned MemoryBytes = 65536
) (
  input  logic       clk_i,
  input  logic       por_ni,     // power-on reset, may be of no clock
  input  logic       uart_rx_i,  // of no clock
  output logic       uart_tx_o,
  output logic [7:0] led_o       // heartbeat, bytes from the host, bytes to it, session open, program runs, interrupt, frames
                                 // dropped or writes failed, chip in reset
);
  import lathe_pkg::*;
  import lathe_link_pkg::*;

  localparam int unsigned WordW = Lanes * 16;
  localparam int unsigned BeatBit = $clog2(ClockHz) - 1;  // of the cycle counter: about a second

  // The chip makes the same clock of clk_i for itself.
  logic clk;
  lathe_clock u_clock (
    .clk_i,
    .clk_o(clk)
  );

  logic por_meta_n, por_n;
  initial {por_n, por_meta_n} = '0;
  always @(posedge clk) {por_n, por_meta_n} <= {por_meta_n, por_ni};

  // ---- Host link ----
  logic        bus_req, bus_write, bus_ack, open, received, sent;
  logic [31:0] bus_addr, bus_wdata, bus_rdata;
  status_e     bus_status;
  logic [15:0] errors;
  logic [16:0] last_failure;

  lathe_link #(
    .ClockHz(ClockHz),
    .Baud(Baud)
  ) u_link (
    .clk_i         (clk),
    .rst_ni        (por_n),
    .uart_rx_i,
    .uart_tx_o,
    .bus_req_o     (bus_req),
    .bus_write_o   (bus_write),
    .bus_addr_o    (bus_addr),
    .bus_wdata_o   (bus_wdata),
    .bus_ack_i     (bus_ack),
    .bus_status_i  (bus_status),
    .bus_rdata_i   (bus_rdata),
    .open_o        (open),
    .received_o    (received),
    .sent_o        (sent),
    .errors_o      (errors),
    .last_failure_o(last_failure)
  );

  logic        irq, chip_por_n, chip_rst_n, mem_req, mem_ack, dirty_req, dirty_ack;
  logic [31:0] mem_rdata, dirty_rdata;
  logic [63:0] cycles;
  logic        axil_awvalid, axil_awready, axil_wvalid, axil_wready, axil_bvalid, axil_bready;
  logic        axil_arvalid, axil_arready, axil_rvalid, axil_rready;
  logic [14:0] axil_awaddr, axil_araddr;
  logic [2:0]  axil_awprot, axil_arprot;
  logic [31:0] axil_wdata, axil_rdata;
  logic [3:0]  axil_wstrb;
  logic [1:0]  axil_bresp, axil_rresp;

  lathe_board_bus #(
    .ClockHz(ClockHz),
    .MemoryBytes(MemoryBytes)
  ) u_bus (
    .clk_i         (clk),
    .rst_ni        (por_n),
    .bus_req_i     (bus_req),
    .bus_write_i   (bus_write),
    .bus_addr_i    (bus_addr),
    .bus_wdata_i   (bus_wdata),
    .bus_ack_o     (bus_ack),
    .bus_status_o  (bus_status),
    .bus_rdata_o   (bus_rdata),
    .errors_i      (errors),
    .last_failure_i(last_failure),
    .irq_i         (irq),
    .chip_por_no   (chip_por_n),
    .chip_rst_no   (chip_rst_n),
    .cycles_o      (cycles),
    .mem_req_o     (mem_req),
    .dirty_req_o   (dirty_req),
    .mem_ack_i     (mem_ack),
    .mem_rdata_i   (mem_rdata),
    .dirty_ack_i   (dirty_ack),
    .dirty_rdata_i (dirty_rdata),
    .m_axil_awvalid(axil_awvalid),
    .m_axil_awready(axil_awready),
    .m_axil_awaddr (axil_awaddr),
    .m_axil_awprot (axil_awprot),
    .m_axil_wvalid (axil_wvalid),
    .m_axil_wready (axil_wready),
    .m_axil_wdata  (axil_wdata),
    .m_axil_wstrb  (axil_wstrb),
    .m_axil_bvalid (axil_bvalid),
    .m_axil_bready (axil_bready),
    .m_axil_bresp  (axil_bresp),
    .m_axil_arvalid(axil_arvalid),
    .m_axil_arready(axil_arready),
    .m_axil_araddr (axil_araddr),
    .m_axil_arprot (axil_arprot),
    .m_axil_rvalid (axil_rvalid),
    .m_axil_rready (axil_rready),
    .m_axil_rdata  (axil_rdata),
    .m_axil_rresp  (axil_rresp)
  );

  // ---- Chip ----
  unit_trace_t [NumUnits-1:0] trace;
  logic              axi_awvalid, axi_awready, axi_wvalid, axi_wready, axi_wlast, axi_bvalid, axi_bready;
  logic              axi_arvalid, axi_arready, axi_rvalid, axi_rready, axi_rlast;
  logic [0:0]        axi_awid, axi_bid, axi_arid, axi_rid;
  logic [31:0]       axi_awaddr, axi_araddr;
  logic [7:0]        axi_awlen, axi_arlen;
  logic [2:0]        axi_awsize, axi_arsize;
  logic [1:0]        axi_awburst, axi_arburst, axi_bresp, axi_rresp;
  logic [WordW-1:0]  axi_wdata, axi_rdata;
  logic [Lanes*2-1:0] axi_wstrb;

  lathe #(
    .Lanes(Lanes),
    .Banks(Banks),
    .Slots(Slots),
    .UpdateLanes(UpdateLanes)
  ) u_chip (
    .clk_i,
    .por_ni        (chip_por_n),
    .rst_ni        (chip_rst_n),
    .irq_o         (irq),
    .trace_o       (trace),
    .s_axil_awvalid(axil_awvalid),
    .s_axil_awready(axil_awready),
    .s_axil_awaddr (axil_awaddr),
    .s_axil_awprot (axil_awprot),
    .s_axil_wvalid (axil_wvalid),
    .s_axil_wready (axil_wready),
    .s_axil_wdata  (axil_wdata),
    .s_axil_wstrb  (axil_wstrb),
    .s_axil_bvalid (axil_bvalid),
    .s_axil_bready (axil_bready),
    .s_axil_bresp  (axil_bresp),
    .s_axil_arvalid(axil_arvalid),
    .s_axil_arready(axil_arready),
    .s_axil_araddr (axil_araddr),
    .s_axil_arprot (axil_arprot),
    .s_axil_rvalid (axil_rvalid),
    .s_axil_rready (axil_rready),
    .s_axil_rdata  (axil_rdata),
    .s_axil_rresp  (axil_rresp),
    .m_axi_awvalid (axi_awvalid),
    .m_axi_awready (axi_awready),
    .m_axi_awid    (axi_awid),
    .m_axi_awaddr  (axi_awaddr),
    .m_axi_awlen   (axi_awlen),
    .m_axi_awsize  (axi_awsize),
    .m_axi_awburst (axi_awburst),
    .m_axi_wvalid  (axi_wvalid),
    .m_axi_wready  (axi_wready),
    .m_axi_wdata   (axi_wdata),
    .m_axi_wstrb   (axi_wstrb),
    .m_axi_wlast   (axi_wlast),
    .m_axi_bvalid  (axi_bvalid),
    .m_axi_bready  (axi_bready),
    .m_axi_bid     (axi_bid),
    .m_axi_bresp   (axi_bresp),
    .m_axi_arvalid (axi_arvalid),
    .m_axi_arready (axi_arready),
    .m_axi_arid    (axi_arid),
    .m_axi_araddr  (axi_araddr),
    .m_axi_arlen   (axi_arlen),
    .m_axi_arsize  (axi_arsize),
    .m_axi_arburst (axi_arburst),
    .m_axi_rvalid  (axi_rvalid),
    .m_axi_rready  (axi_rready),
    .m_axi_rid     (axi_rid),
    .m_axi_rdata   (axi_rdata),
    .m_axi_rresp   (axi_rresp),
    .m_axi_rlast   (axi_rlast)
  );

  // ---- Outside memory ----
  lathe_board_memory #(
    .Lanes(Lanes),
    .Bytes(MemoryBytes)
  ) u_memory (
    .clk_i        (clk),
    .por_ni       (por_n),
    .rst_ni       (chip_rst_n),
    .s_axi_awvalid(axi_awvalid),
    .s_axi_awready(axi_awready),
    .s_axi_awaddr (axi_awaddr),
    .s_axi_awlen  (axi_awlen),
    .s_axi_awsize (axi_awsize),
    .s_axi_awburst(axi_awburst),
    .s_axi_awid   (axi_awid),
    .s_axi_wvalid (axi_wvalid),
    .s_axi_wready (axi_wready),
    .s_axi_wdata  (axi_wdata),
    .s_axi_wstrb  (axi_wstrb),
    .s_axi_wlast  (axi_wlast),
    .s_axi_bvalid (axi_bvalid),
    .s_axi_bready (axi_bready),
    .s_axi_bid    (axi_bid),
    .s_axi_bresp  (axi_bresp),
    .s_axi_arvalid(axi_arvalid),
    .s_axi_arready(axi_arready),
    .s_axi_araddr (axi_araddr),
    .s_axi_arlen  (axi_arlen),
    .s_axi_arsize (axi_arsize),
    .s_axi_arburst(axi_arburst),
    .s_axi_arid   (axi_arid),
    .s_axi_rvalid (axi_rvalid),
    .s_axi_rready (axi_rready),
    .s_axi_rid    (axi_rid),
    .s_axi_rdata  (axi_rdata),
    .s_axi_rresp  (axi_rresp),
    .s_axi_rlast  (axi_rlast),
    .req_i        (mem_req),
    .dirty_req_i  (dirty_req),
    .write_i      (bus_write),
    .addr_i       (bus_addr[18:0]),
    .wdata_i      (bus_wdata),
    .ack_o        (mem_ack),
    .rdata_o      (mem_rdata),
    .dirty_ack_o  (dirty_ack),
    .dirty_rdata_o(dirty_rdata)
  );

  // ---- LEDs: a byte lights its LED until the next 32nd of a heartbeat or longer ----
  logic received_q, sent_q, runs_q, blink_q;
  always_ff @(posedge clk) begin
    blink_q <= cycles[BeatBit-4];
    if (received) received_q <= 1'b1;
    else if (!por_n || (blink_q && !cycles[BeatBit-4])) received_q <= 1'b0;
    if (sent) sent_q <= 1'b1;
    else if (!por_n || (blink_q && !cycles[BeatBit-4])) sent_q <= 1'b0;
    runs_q <= 1'b0;
    for (int unsigned u = 0; u < NumUnits; u++) if (trace[u].state != UnitIdle) runs_q <= 1'b1;
    led_o <= {!chip_rst_n, errors != '0 || last_failure[16], irq, runs_q, open, sent_q, received_q, cycles[BeatBit]};
  end
endmodule
