// SPDX-License-Identifier: Apache-2.0
// Order in which an update goes through its tensor of m rows of n words: two rows at a time, word under word, and an odd last
// row alone, so that words of an int8 copy packed along columns are complete one after the other. With one row that is the
// order of addresses. Knows no addresses.
module lathe_update_walk
  import lathe_pkg::*;
(
  input  logic             clk_i,
  input  logic             rst_ni,
  input  logic             begin_i,   // pulse: to the first word
  input  logic [DimW-1:0]  m_i,       // from then on
  input  logic [DimW-1:0]  n_i,
  input  logic             step_i,    // only with valid_o
  output logic             valid_o,   // there is a word
  output logic [AddrW-1:0] offset_o,  // row * n + column
  output logic             lower_o,   // in the lower row of two
  output logic             ends_o     // no word under it follows
);
  logic             valid_q, lower_q, alone_q, two_q, last_col_q;  // two: rows left
  logic [AddrW-1:0] offset_q, back_q, by;
  logic [DimW-1:0]  rows_q, left_q;  // from this word's row on, words of its row
  logic             row_done;

  assign row_done = last_col_q && (alone_q || lower_q);
  always_comb begin
    by = AddrW'(1);
    if (!alone_q && !lower_q) by = n_i;
    else if (lower_q && !last_col_q) by = back_q;
  end

  always_ff @(posedge clk_i) begin
    back_q <= AddrW'(1) - n_i;
    if (!rst_ni) begin
      valid_q <= 1'b0;
    end else if (begin_i) begin
      valid_q <= 1'b1;
    end else if (step_i && row_done && (alone_q || two_q)) begin
      valid_q <= 1'b0;
    end
    if (begin_i) begin
      offset_q <= '0;
      lower_q <= 1'b0;
      rows_q <= m_i;
      alone_q <= m_i == DimW'(1);
      two_q <= m_i == DimW'(2);
      left_q <= n_i;
      last_col_q <= n_i == DimW'(1);
    end else if (step_i) begin
      offset_q <= offset_q + by;
      lower_q <= !alone_q && !lower_q;
      if (row_done) begin
        rows_q <= rows_q - DimW'(2);
        alone_q <= rows_q == DimW'(3);
        two_q <= rows_q == DimW'(4);
      end
      if (alone_q || lower_q) begin
        left_q <= last_col_q ? n_i : left_q - DimW'(1);
        last_col_q <= last_col_q ? n_i == DimW'(1) : left_q == DimW'(2);
      end
    end
  end

  assign valid_o = valid_q;
  assign offset_o = offset_q;
  assign lower_o = lower_q;
  assign ends_o = alone_q || lower_q;
endmodule
