// SPDX-License-Identifier: Apache-2.0
// Spill register (skid buffer) for a stream with many bits: no wide enable depends on out_ready_i. Words lie in turn in two
// registers and come out behind a multiplexer, whose upper bits, what decides about the word, are driven apart from the low
// WideW. Reorders nothing.
module lathe_spill_wide #(
  parameter int unsigned Width = 144,
  parameter int unsigned WideW = 128
) (
  input  logic             clk_i,
  input  logic             rst_ni,
  input  logic             in_valid_i,
  output logic             in_ready_o,
  input  logic [Width-1:0] in_data_i,
  output logic             out_valid_o,
  input  logic             out_ready_i,
  output logic [Width-1:0] out_data_o
);
  if (WideW < 1 || WideW >= Width) begin : g_check
    $fatal(1, "lathe_spill_wide: WideW must be at least 1 and less than Width");
  end

  logic [Width-1:0] word_q [2];
  logic             out_valid_q, full_q;  // at least one word, two
  logic             in_q;                 // which register a word enters next
  logic             out_q, wide_out_q;    // which one shows: of the upper bits, of the low ones
  logic             pop;

  assign in_ready_o = !full_q;
  assign out_valid_o = out_valid_q;
  assign pop = out_valid_q && out_ready_i;
  assign out_data_o = {word_q[out_q][Width-1:WideW], word_q[wide_out_q][WideW-1:0]};

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      {out_valid_q, full_q, in_q} <= '0;
    end else begin
      out_valid_q <= full_q || in_valid_i || (out_valid_q && !out_ready_i);
      full_q <= out_valid_q && !out_ready_i && (full_q || in_valid_i);
      in_q <= in_q ^ (in_valid_i && in_ready_o);
    end
  end

  (* keep *) always_ff @(posedge clk_i) begin  // two registers, not one
    if (!rst_ni) begin
      {out_q, wide_out_q} <= '0;
    end else begin
      out_q <= out_q ^ pop;
      wide_out_q <= wide_out_q ^ pop;
    end
  end

  always_ff @(posedge clk_i) begin
    if (in_ready_o && !in_q) word_q[0] <= in_data_i;
    if (in_ready_o && in_q) word_q[1] <= in_data_i;
  end

`ifndef SYNTHESIS
  logic             stalled_q;
  logic [Width-1:0] held_q;
  always_ff @(posedge clk_i) begin
    stalled_q <= rst_ni && out_valid_o && !out_ready_i;
    held_q    <= out_data_o;
    if (rst_ni && stalled_q) begin
      assert (out_valid_o && out_data_o == held_q) else $error("output changed while it waited");
    end
  end
`endif
endmodule
