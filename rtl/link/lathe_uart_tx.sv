// SPDX-License-Identifier: Apache-2.0
// UART transmitter: 8 data bits, no parity, one stop bit, least significant bit first; bytes follow each other without a gap
// where the next one comes in time. Edges lie at whole clock cycles, the rate is right in the mean.
module lathe_uart_tx #(
  parameter int unsigned ClockHz = 25_000_000,
  parameter int unsigned Baud = 3_000_000
) (
  input  logic       clk_i,
  input  logic       rst_ni,
  input  logic       valid_i,
  output logic       ready_o,  // out of a register
  input  logic [7:0] data_i,
  output logic       tx_o      // out of a register
);
  localparam int unsigned PhaseW = 20;
  localparam logic [PhaseW-1:0] Step = PhaseW'(((64'(Baud) << PhaseW) + 64'(ClockHz / 2)) / 64'(ClockHz));  // bits a cycle

  if (Baud < 1 || Baud > ClockHz / 4) begin : g_check
    $fatal(1, "lathe_uart_tx: a bit must take at least 4 clock cycles");
  end

  logic              waits_q;   // a byte waits in next_q
  logic              sending_q;
  logic [7:0]        next_q;
  logic [8:0]        shift_q;   // bits to be sent, the start bit among them; ones come after
  logic [3:0]        left_q;    // bits after this one, the stop bit included
  logic              tick, load;
  logic [PhaseW-1:0] phase_q;
  logic [PhaseW:0]   phase_next;

  assign ready_o = !waits_q;
  assign tx_o = shift_q[0];
  assign phase_next = {1'b0, phase_q} + {1'b0, Step};
  assign tick = phase_next[PhaseW];
  assign load = waits_q && (!sending_q || (tick && left_q == '0));

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      waits_q <= 1'b0;
      sending_q <= 1'b0;
      shift_q <= '1;
    end else begin
      if (load) waits_q <= 1'b0;
      else if (valid_i) waits_q <= 1'b1;
      if (load) sending_q <= 1'b1;
      else if (tick && left_q == '0) sending_q <= 1'b0;
      if (load) shift_q <= {next_q, 1'b0};
      else if (sending_q && tick) shift_q <= {1'b1, shift_q[8:1]};
    end
  end

  always_ff @(posedge clk_i) begin
    if (ready_o) next_q <= data_i;
    phase_q <= sending_q ? phase_next[PhaseW-1:0] : '0;
    if (load) left_q <= 4'd9;
    else if (tick) left_q <= left_q - 4'd1;
  end
endmodule
