// SPDX-License-Identifier: Apache-2.0
// The board's side of the host link (docs/link.md): from the pins of a UART to a bus of 32-bit words. Holds no registers but
// those of the protocol, and decodes no address.
module lathe_link
  import lathe_link_pkg::*;
#(
  parameter int unsigned ClockHz = 25_000_000,
  parameter int unsigned Baud = 3_000_000,
  parameter int unsigned BufferBytes = 2048  // of the receive buffer
) (
  input  logic        clk_i,
  input  logic        rst_ni,
  input  logic        uart_rx_i,
  output logic        uart_tx_o,
  output logic        bus_req_o,      // pulse; what follows is steady until the acknowledge
  output logic        bus_write_o,
  output logic [31:0] bus_addr_o,
  output logic [31:0] bus_wdata_o,
  input  logic        bus_ack_i,      // pulse, with status and, of a read, the word
  input  status_e     bus_status_i,
  input  logic [31:0] bus_rdata_i,
  output logic        open_o,         // a session is open
  output logic        received_o,     // pulse: a byte came
  output logic        sent_o,         // pulse: a byte goes
  output logic [15:0] errors_o,       // dropped frames since it was opened
  output logic [16:0] last_failure_o  // of its writes
);
  logic       byte_valid, dropped, frame_valid, frame_ready, answer_valid, answer_ready, answer_last, send_valid, send_ready;
  logic [7:0] in_byte, answer, send;
  logic [8:0] frame;

  assign received_o = byte_valid;
  assign sent_o = send_valid && send_ready;

  lathe_uart_rx #(
    .ClockHz(ClockHz),
    .Baud(Baud)
  ) u_rx (
    .clk_i,
    .rst_ni,
    .rx_i   (uart_rx_i),
    .valid_o(byte_valid),
    .data_o (in_byte)
  );

  lathe_link_receive #(
    .BufferBytes(BufferBytes)
  ) u_receive (
    .clk_i,
    .rst_ni,
    .byte_valid_i(byte_valid),
    .byte_i      (in_byte),
    .dropped_o   (dropped),
    .out_valid_o (frame_valid),
    .out_ready_i (frame_ready),
    .out_data_o  (frame)
  );

  lathe_link_execute #(
    .BufferBytes(BufferBytes)
  ) u_execute (
    .clk_i,
    .rst_ni,
    .in_valid_i (frame_valid),
    .in_ready_o (frame_ready),
    .in_data_i  (frame),
    .dropped_i  (dropped),
    .out_valid_o(answer_valid),
    .out_ready_i(answer_ready),
    .out_data_o (answer),
    .out_last_o (answer_last),
    .bus_req_o,
    .bus_write_o,
    .bus_addr_o,
    .bus_wdata_o,
    .bus_ack_i,
    .bus_status_i,
    .bus_rdata_i,
    .open_o,
    .errors_o,
    .last_failure_o
  );

  lathe_link_send u_send (
    .clk_i,
    .rst_ni,
    .in_valid_i (answer_valid),
    .in_ready_o (answer_ready),
    .in_data_i  (answer),
    .in_last_i  (answer_last),
    .out_valid_o(send_valid),
    .out_ready_i(send_ready),
    .out_data_o (send)
  );

  lathe_uart_tx #(
    .ClockHz(ClockHz),
    .Baud(Baud)
  ) u_tx (
    .clk_i,
    .rst_ni,
    .valid_i(send_valid),
    .ready_o(send_ready),
    .data_i (send),
    .tx_o   (uart_tx_o)
  );
endmodule
