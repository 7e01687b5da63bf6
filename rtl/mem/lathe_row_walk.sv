// SPDX-License-Identifier: Apache-2.0
// Word addresses of a tensor of `rows` rows of `words` words, rows `stride` words apart, in order.
// One address per step; does not talk to a memory.
module lathe_row_walk (
  input  logic                        clk_i,
  input  logic                        rst_ni,
  input  logic                        start_i,   // pulse; latches the following, rows and words at least 1
  input  logic [lathe_pkg::AddrW-1:0] addr_i,
  input  logic [lathe_pkg::AddrW-1:0] stride_i,
  input  logic [lathe_pkg::DimW-1:0]  rows_i,
  input  logic [lathe_pkg::DimW-1:0]  words_i,
  input  logic                        clear_i,   // ends the walk
  input  logic                        step_i,    // addr_o was taken
  output logic                        valid_o,   // addr_o is an address not yet taken
  output logic [lathe_pkg::AddrW-1:0] addr_o
);
  import lathe_pkg::*;

  logic             valid_q;
  logic [AddrW-1:0] addr_q, row_q, stride_q, next_row;
  logic [DimW-1:0]  words_q, words_left_q, rows_left_q;
  // Of what is left: one word of the row, one row; of every row: one word
  logic             word_last_q, row_last_q, narrow_q;

  assign next_row = row_q + stride_q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni || clear_i) valid_q <= 1'b0;
    else valid_q <= start_i || (valid_q && !(step_i && word_last_q && row_last_q));
  end

  always_ff @(posedge clk_i) begin
    if (start_i) begin
      addr_q <= addr_i;
      row_q <= addr_i;
      stride_q <= stride_i;
      words_q <= words_i;
      words_left_q <= words_i;
      rows_left_q <= rows_i;
      narrow_q <= words_i == DimW'(1);
      word_last_q <= words_i == DimW'(1);
      row_last_q <= rows_i == DimW'(1);
    end else if (step_i) begin
      if (word_last_q) begin
        addr_q <= next_row;
        row_q <= next_row;
        words_left_q <= words_q;
        rows_left_q <= rows_left_q - DimW'(1);
        word_last_q <= narrow_q;
        row_last_q <= rows_left_q == DimW'(2);
      end else begin
        addr_q <= addr_q + AddrW'(1);
        words_left_q <= words_left_q - DimW'(1);
        word_last_q <= words_left_q == DimW'(2);
      end
    end
  end

  assign valid_o = valid_q;
  assign addr_o = addr_q;

`ifndef SYNTHESIS
  logic checking_q;  // false before the first reset, when registers hold anything
  initial checking_q = 1'b0;
  always @(posedge clk_i) if (!rst_ni) checking_q <= 1'b1;

  always_ff @(posedge clk_i) begin
    if (checking_q && rst_ni && step_i) assert (valid_q) else $error("step past the end");
    if (checking_q && rst_ni && start_i) assert (!valid_q) else $error("started while walking");
  end
`endif
endmodule
