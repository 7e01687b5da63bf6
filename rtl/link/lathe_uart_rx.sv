// SPDX-License-Identifier: Apache-2.0
// UART receiver: 8 data bits, no parity, one stop bit, least significant bit first; a byte whose stop bit is low is dropped.
// Nobody can hold it back, and it does not measure the baud rate.
module lathe_uart_rx #(
  parameter int unsigned ClockHz = 25_000_000,
  parameter int unsigned Baud = 3_000_000
) (
  input  logic       clk_i,
  input  logic       rst_ni,
  input  logic       rx_i,     // from the pin, of no clock
  output logic       valid_o,  // pulse; out of registers
  output logic [7:0] data_o
);
  localparam int unsigned PhaseW = 20;
  localparam logic [PhaseW-1:0] Step = PhaseW'(((64'(Baud) << PhaseW) + 64'(ClockHz / 2)) / 64'(ClockHz));  // bits a cycle

  // A bit is sampled at most a cycle before or after its middle: the start is seen up to a cycle late, and the phase
  // wraps up to one late.
  localparam logic [PhaseW-1:0] First = {1'b1, {(PhaseW - 1) {1'b0}}} + Step;

  if (Baud < 1 || Baud > ClockHz / 4) begin : g_check
    $fatal(1, "lathe_uart_rx: a bit must take at least 4 clock cycles");
  end

  typedef enum logic [1:0] {High, Idle, Bits, Stop} state_e;  // High: waits for the line to be idle
  state_e            state_q;
  logic              meta_q, rx_q, tick, start_q;  // start: the next bit is the start bit
  logic [PhaseW-1:0] phase_q;  // of the bit; it wraps in the middle of each
  logic [PhaseW:0]   phase_next;
  logic [2:0]        count_q;

  assign phase_next = {1'b0, phase_q} + {1'b0, Step};
  assign tick = phase_next[PhaseW];

  always_ff @(posedge clk_i) begin
    meta_q <= rx_i;
    rx_q <= meta_q;
    phase_q <= state_q == Idle ? First : phase_next[PhaseW-1:0];
    if (state_q == Bits && tick) data_o <= {rx_q, data_o[7:1]};
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      state_q <= High;
      valid_o <= 1'b0;
    end else begin
      valid_o <= state_q == Stop && tick && rx_q;
      unique case (state_q)
        High: if (rx_q) state_q <= Idle;
        Idle: if (!rx_q) state_q <= Bits;
        Bits: begin
          if (tick && start_q && rx_q) state_q <= Idle;  // a glitch
          else if (tick && !start_q && count_q == 3'd7) state_q <= Stop;
        end
        default: if (tick) state_q <= rx_q ? Idle : High;
      endcase
    end
  end

  always_ff @(posedge clk_i) begin
    if (state_q == Idle) begin
      start_q <= 1'b1;
      count_q <= '0;
    end else if (tick) begin
      start_q <= 1'b0;
      if (!start_q) count_q <= count_q + 3'd1;
    end
  end
endmodule
