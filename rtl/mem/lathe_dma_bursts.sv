// SPDX-License-Identifier: Apache-2.0
// Cuts rows in outside memory into AXI bursts: at most 64 beats, within one row, never across a 4 KiB boundary.
// Only counts; one burst every other cycle. Addresses are in beats, since every row starts at a whole word.
module lathe_dma_bursts #(
  parameter int unsigned AddrW = 28,       // address bits above those within a beat
  parameter int unsigned PageBeats = 256,  // beats of 4 KiB
  localparam int unsigned MaxBeats = 64
) (
  input  logic                       clk_i,
  input  logic                       rst_ni,
  input  logic                       start_i,  // pulse; latches the following, rows and words at least 1
  input  logic [AddrW-1:0]           addr_i,
  input  logic [AddrW-1:0]           stride_i,
  input  logic [lathe_pkg::DimW-1:0] rows_i,
  input  logic [lathe_pkg::DimW-1:0] words_i,
  input  logic                       clear_i,  // no more bursts
  output logic                       busy_o,   // bursts are still to come

  output logic                       burst_valid_o,
  input  logic                       burst_ready_i,
  output logic [AddrW-1:0]           burst_addr_o,
  output logic [6:0]                 burst_beats_o   // 1..64
);
  import lathe_pkg::*;

  localparam int unsigned PageW = $clog2(PageBeats);

  logic             busy_q, sized_q, take, row_ends_q;  // row_ends: with the burst that was sized
  logic             row_ended_q;  // one did: row_q and rows_left_q follow a cycle later
  logic [AddrW-1:0] addr_q, row_q, stride_q;
  logic [DimW-1:0]  words_q, words_left_q, rows_left_q;
  logic [6:0]       beats_q, beats;

  // Beats up to the page's end, and the least of the three limits
  logic [PageW:0] page_left;
  logic           page_first;  // the page's end is that limit, and before the row's end
  assign page_left = (PageW + 1)'(PageBeats) - {1'b0, addr_q[PageW-1:0]};
  assign page_first = page_left < (PageW + 1)'(MaxBeats) && DimW'(page_left) < words_left_q;
  always_comb begin
    beats = 7'(MaxBeats);
    if (words_left_q < DimW'(MaxBeats)) beats = words_left_q[6:0];
    if (page_first) beats = page_left[6:0];
  end

  assign take = burst_valid_o && burst_ready_i;

  always_ff @(posedge clk_i) begin
    if (!rst_ni || clear_i) begin
      busy_q <= 1'b0;
      sized_q <= 1'b0;
    end else if (start_i) begin
      busy_q <= 1'b1;
      sized_q <= 1'b0;
    end else begin
      sized_q <= busy_q && !take;
      if (take && row_ends_q && rows_left_q == DimW'(1)) busy_q <= 1'b0;
    end
  end

  always_ff @(posedge clk_i) begin
    if (start_i) begin
      addr_q <= addr_i;
      row_q <= addr_i;
      stride_q <= stride_i;
      words_q <= words_i;
      words_left_q <= words_i;
      rows_left_q <= rows_i;
    end else if (take) begin
      if (row_ends_q) begin
        addr_q <= row_q + stride_q;
        words_left_q <= words_q;
      end else begin
        addr_q <= addr_q + AddrW'(beats_q);
        words_left_q <= words_left_q - DimW'(beats_q);
      end
    end
    if (!start_i && row_ended_q) begin
      row_q <= row_q + stride_q;
      rows_left_q <= rows_left_q - DimW'(1);
    end
    row_ended_q <= take && row_ends_q;
    if (busy_q && !sized_q) begin
      beats_q <= beats;
      row_ends_q <= words_left_q <= DimW'(MaxBeats) && !page_first;
    end
  end

  assign busy_o = busy_q;
  assign burst_valid_o = sized_q;
  assign burst_addr_o = addr_q;
  assign burst_beats_o = beats_q;

`ifndef SYNTHESIS
  logic checking_q;  // false before the first reset, when registers hold anything
  initial checking_q = 1'b0;
  always @(posedge clk_i) if (!rst_ni) checking_q <= 1'b1;

  always_ff @(posedge clk_i) begin
    if (checking_q && rst_ni && burst_valid_o) begin
      assert (busy_q) else $error("a burst after the last one");
      assert (beats_q >= 7'd1 && beats_q <= 7'(MaxBeats)) else $error("beats");
      assert (DimW'(beats_q) <= words_left_q) else $error("burst beyond its row");
      assert ((PageW + 1)'(beats_q) <= page_left) else $error("burst across 4 KiB");
    end
  end
`endif
endmodule
