// SPDX-License-Identifier: Apache-2.0
// A word on its way through the scratchpad's code: encoded, some bits flipped, decoded.
module secded_harness #(
  parameter int unsigned Lanes = 8,
  localparam int unsigned Width = 16 * Lanes,
  localparam int unsigned Checks = lathe_secded_pkg::checks_of(Width)
) (
  input  logic                    clk_i,
  input  logic                    valid_i,
  input  logic [Width-1:0]        data_i,
  input  logic [Width+Checks-1:0] flips_i,
  output logic [Checks-1:0]       check_o,
  output logic [Width+Checks-1:0] raw_o,
  output logic [Width+Checks-1:0] word_o,
  output logic                    corrected_o,
  output logic                    uncorrectable_o
);
  lathe_secded_encode #(
    .Width(Width)
  ) u_encode (
    .valid_i,
    .data_i,
    .check_o
  );

  lathe_secded_decode #(
    .Width(Width)
  ) u_decode (
    .clk_i,
    .valid_i,
    .word_i({check_o, data_i} ^ flips_i),
    .raw_o,
    .word_o,
    .corrected_o,
    .uncorrectable_o
  );
endmodule
