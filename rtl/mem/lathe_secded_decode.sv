// SPDX-License-Identifier: Apache-2.0
// Corrects the words that come out of the scratchpad's memory (lathe_secded_pkg), two cycles after they come in. Of more than
// two flipped bits it may see one or none. Does nothing while no word comes.
module lathe_secded_decode #(
  parameter int unsigned Width = 128,
  localparam int unsigned Checks = lathe_secded_pkg::checks_of(Width),
  localparam int unsigned Bits = Width + Checks
) (
  input  logic            clk_i,
  input  logic            valid_i,
  input  logic [Bits-1:0] word_i,           // check bits, data
  output logic [Bits-1:0] raw_o,            // a cycle later: the word as it came
  output logic [Bits-1:0] word_o,           // two cycles later: corrected
  output logic            corrected_o,      // with it: a bit was flipped
  output logic            uncorrectable_o   // or two
);
  localparam lathe_secded_pkg::columns_t Columns = lathe_secded_pkg::columns_of(Width);

  logic [Checks-1:0] check, syndrome, syndrome_q;
  logic              valid_q, error_q;
  logic [Bits-1:0]   raw_q, flips;

  lathe_secded_encode #(
    .Width(Width)
  ) u_encode (
    .valid_i,
    .data_i (word_i[Width-1:0]),
    .check_o(check)
  );

  assign syndrome = check ^ word_i[Width+:Checks];

  always_ff @(posedge clk_i) begin
    valid_q <= valid_i;
    error_q <= valid_i && syndrome != '0;
    if (valid_i) begin
      raw_q <= word_i;
      syndrome_q <= syndrome;
    end
  end

  // The bit whose column the syndrome is.
  always_comb begin
    flips = '0;
    if (error_q) begin
      for (int unsigned i = 0; i < Width; i++) flips[i] = syndrome_q == Columns[i][Checks-1:0];
      for (int unsigned j = 0; j < Checks; j++) flips[Width+j] = syndrome_q == Checks'(1 << j);
    end
  end

  always_ff @(posedge clk_i) begin
    corrected_o <= valid_q && ^syndrome_q;
    uncorrectable_o <= error_q && !(^syndrome_q);
    if (valid_q) word_o <= raw_q ^ flips;
  end

  assign raw_o = raw_q;
endmodule
