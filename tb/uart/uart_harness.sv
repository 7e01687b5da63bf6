// SPDX-License-Identifier: Apache-2.0
// Both halves of the UART, not connected to each other.
module uart_harness #(
  parameter int unsigned ClockHz = 25_000_000,
  parameter int unsigned Baud = 3_000_000
) (
  input  logic       clk_i,
  input  logic       rst_ni,
  input  logic       rx_i,
  output logic       rx_valid_o,
  output logic [7:0] rx_data_o,
  input  logic       tx_valid_i,
  output logic       tx_ready_o,
  input  logic [7:0] tx_data_i,
  output logic       tx_o
);
  lathe_uart_rx #(.ClockHz(ClockHz), .Baud(Baud)) u_rx (.clk_i, .rst_ni, .rx_i, .valid_o(rx_valid_o), .data_o(rx_data_o));
  lathe_uart_tx #(.ClockHz(ClockHz), .Baud(Baud)) u_tx (
    .clk_i, .rst_ni, .valid_i(tx_valid_i), .ready_o(tx_ready_o), .data_i(tx_data_i), .tx_o
  );
endmodule
