// SPDX-License-Identifier: Apache-2.0
// The chip on a ULX3S: pins, PLL and power-on reset around lathe_board. Ports are named as on the board's schematic, seen from the FPGA.
// Uses neither the board's SDRAM nor its other parts.
module lathe_ulx3s #(
  parameter int unsigned Lanes = 8,
  parameter int unsigned Banks = 8,
  parameter int unsigned Slots = 4,
  parameter int unsigned UpdateLanes = Lanes,
  parameter int unsigned MemoryBytes = 65536,
  parameter int unsigned ClockHz = 25_000_000,  // what the PLL makes of 25 MHz
  parameter int unsigned Baud = 1_000_000,
  // Dividers of the PLL: its oscillator runs at 25 MHz / PllIn * PllFeedback * PllLoop, the chip at that / PllOut.
  parameter int unsigned PllIn = 1,
  parameter int unsigned PllFeedback = 1,
  parameter int unsigned PllLoop = 24,
  parameter int unsigned PllOut = 24
) (
  input  logic       clk_25mhz_i,
  input  logic       fire1_i,       // button: power-on reset
  input  logic       ftdi_txd_i,    // from the host
  output logic       ftdi_rxd_o,    // to the host
  output logic       wifi_gpio0_o,  // high keeps the board's other processor from taking over
  output logic [7:0] led_o
);
  logic clk, loop, locked;
  // The attributes are of the loop filter, as the vendor's tool sets them.
  (* ICP_CURRENT = "12", LPF_RESISTOR = "8", MFG_ENABLE_FILTEROPAMP = "1", MFG_GMCREF_SEL = "2" *)
  EHXPLLL #(
    .CLKI_DIV    (PllIn),
    .CLKFB_DIV   (PllFeedback),
    .CLKOP_DIV   (PllLoop),
    .CLKOP_CPHASE(PllLoop - 1),
    .CLKOS_ENABLE("ENABLED"),
    .CLKOS_DIV   (PllOut),
    .CLKOS_CPHASE(PllOut - 1),
    .FEEDBK_PATH ("CLKOP")
  ) u_pll (
    .CLKI        (clk_25mhz_i),
    .CLKFB       (loop),
    .CLKOP       (loop),
    .CLKOS       (clk),
    .LOCK        (locked),
    .RST         (1'b0),
    .STDBY       (1'b0),
    .PHASESEL0   (1'b0),
    .PHASESEL1   (1'b0),
    .PHASEDIR    (1'b0),
    .PHASESTEP   (1'b0),
    .PHASELOADREG(1'b0),
    .PLLWAKESYNC (1'b0),
    .ENCLKOP     (1'b0),
    .ENCLKOS     (1'b0)
  );

  // Reset until the clock has been right, and the button released, for 2**16 cycles; both come from outside the clock.
  logic [1:0]  good_q;
  logic [15:0] wait_q;
  logic        por_nq;
  initial {good_q, wait_q, por_nq} = '0;
  always_ff @(posedge clk) begin
    good_q <= {good_q[0], locked && !fire1_i};
    wait_q <= good_q[1] ? wait_q + 16'(!(&wait_q)) : '0;
    por_nq <= &wait_q;
  end

  lathe_board #(
    .Lanes      (Lanes),
    .Banks      (Banks),
    .Slots      (Slots),
    .UpdateLanes(UpdateLanes),
    .ClockHz    (ClockHz),
    .Baud       (Baud),
    .MemoryBytes(MemoryBytes)
  ) u_board (
    .clk_i    (clk),
    .por_ni   (por_nq),
    .uart_rx_i(ftdi_txd_i),
    .uart_tx_o(ftdi_rxd_o),
    .led_o
  );
  assign wifi_gpio0_o = 1'b1;
endmodule
