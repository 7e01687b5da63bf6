// SPDX-License-Identifier: Apache-2.0
// The board without its chip: host link, bus and memory, with a UART at the host's end of the line so that the bench moves bytes.
// The chip writes single words of outside memory.
module link_harness #(
  parameter int unsigned Lanes = 4,
  parameter int unsigned MemoryBytes = 8448,
  parameter int unsigned ClockHz = 4_000_000,
  parameter int unsigned Baud = 1_000_000
) (
  input  logic        clk_i,
  input  logic        rst_ni,
  input  logic        tx_valid_i,
  output logic        tx_ready_o,
  input  logic [7:0]  tx_data_i,
  output logic        rx_valid_o,
  output logic [7:0]  rx_data_o,
  input  logic        irq_i,
  output logic        chip_por_no,
  output logic        chip_rst_no,
  input  logic        store_i,       // steady until stored
  input  logic [31:0] store_addr_i,
  input  logic [31:0] store_data_i,  // in all places of the word
  output logic        stored_o,
  output logic [63:0] cycles_o,

  output logic        m_axil_awvalid,
  input  logic        m_axil_awready,
  output logic [14:0] m_axil_awaddr,
  output logic        m_axil_wvalid,
  input  logic        m_axil_wready,
  output logic [31:0] m_axil_wdata,
  output logic [3:0]  m_axil_wstrb,
  input  logic        m_axil_bvalid,
  output logic        m_axil_bready,
  input  logic [1:0]  m_axil_bresp,
  output logic        m_axil_arvalid,
  input  logic        m_axil_arready,
  output logic [14:0] m_axil_araddr,
  input  logic        m_axil_rvalid,
  output logic        m_axil_rready,
  input  logic [31:0] m_axil_rdata,
  input  logic [1:0]  m_axil_rresp
);
  import lathe_link_pkg::*;

  logic        to_board, to_host, bus_req, bus_write, bus_ack, mem_req, mem_ack, dirty_req, dirty_ack;
  logic [31:0] bus_addr, bus_wdata, bus_rdata, mem_rdata, dirty_rdata;
  status_e     bus_status;
  logic [15:0] errors;
  logic [16:0] last_failure;

  lathe_uart_tx #(.ClockHz(ClockHz), .Baud(Baud)) u_tx (
    .clk_i, .rst_ni, .valid_i(tx_valid_i), .ready_o(tx_ready_o), .data_i(tx_data_i), .tx_o(to_board)
  );
  lathe_uart_rx #(.ClockHz(ClockHz), .Baud(Baud)) u_rx (
    .clk_i, .rst_ni, .rx_i(to_host), .valid_o(rx_valid_o), .data_o(rx_data_o)
  );

  // verilator lint_off PINCONNECTEMPTY
  lathe_link #(.ClockHz(ClockHz), .Baud(Baud)) u_link (
    .clk_i, .rst_ni, .uart_rx_i(to_board), .uart_tx_o(to_host), .bus_req_o(bus_req), .bus_write_o(bus_write), .bus_addr_o(bus_addr),
    .bus_wdata_o(bus_wdata), .bus_ack_i(bus_ack), .bus_status_i(bus_status), .bus_rdata_i(bus_rdata), .open_o(), .received_o(),
    .sent_o(), .errors_o(errors), .last_failure_o(last_failure)
  );

  lathe_board_bus #(.ClockHz(ClockHz), .MemoryBytes(MemoryBytes)) u_bus (
    .clk_i, .rst_ni, .bus_req_i(bus_req), .bus_write_i(bus_write), .bus_addr_i(bus_addr), .bus_wdata_i(bus_wdata),
    .bus_ack_o(bus_ack), .bus_status_o(bus_status), .bus_rdata_o(bus_rdata), .errors_i(errors), .last_failure_i(last_failure),
    .irq_i, .chip_por_no, .chip_rst_no, .cycles_o, .mem_req_o(mem_req), .dirty_req_o(dirty_req), .mem_ack_i(mem_ack),
    .mem_rdata_i(mem_rdata), .dirty_ack_i(dirty_ack), .dirty_rdata_i(dirty_rdata), .m_axil_awprot(), .m_axil_arprot(), .*
  );

  lathe_board_memory #(.Lanes(Lanes), .Bytes(MemoryBytes)) u_memory (
    .clk_i, .por_ni(rst_ni), .rst_ni, .s_axi_awvalid(store_i), .s_axi_awready(), .s_axi_awaddr(store_addr_i), .s_axi_awlen(8'd0),
    .s_axi_awsize(3'($clog2(Lanes * 2))), .s_axi_awburst(2'b01), .s_axi_awid('0), .s_axi_wvalid(store_i), .s_axi_wready(),
    .s_axi_wdata({Lanes/2{store_data_i}}), .s_axi_wstrb('1), .s_axi_wlast(1'b1), .s_axi_bvalid(stored_o), .s_axi_bready(1'b1),
    .s_axi_bid(), .s_axi_bresp(), .s_axi_arvalid(1'b0), .s_axi_arready(), .s_axi_araddr('0), .s_axi_arlen('0), .s_axi_arsize('0),
    .s_axi_arburst('0), .s_axi_arid('0), .s_axi_rvalid(), .s_axi_rready(1'b1), .s_axi_rid(), .s_axi_rdata(), .s_axi_rresp(),
    .s_axi_rlast(), .req_i(mem_req), .dirty_req_i(dirty_req), .write_i(bus_write), .addr_i(bus_addr[18:0]), .wdata_i(bus_wdata),
    .ack_o(mem_ack), .rdata_o(mem_rdata), .dirty_ack_o(dirty_ack), .dirty_rdata_o(dirty_rdata)
  );
  // verilator lint_on PINCONNECTEMPTY
endmodule
