// SPDX-License-Identifier: Apache-2.0
// The check bits of a scratchpad word (lathe_secded_pkg). Combinational.
module lathe_secded_encode #(
  parameter int unsigned Width = 128,
  localparam int unsigned Checks = lathe_secded_pkg::checks_of(Width)
) (
  input  logic              valid_i,  // else check_o is anything
  input  logic [Width-1:0]  data_i,
  output logic [Checks-1:0] check_o
);
  localparam lathe_secded_pkg::columns_t Columns = lathe_secded_pkg::columns_of(Width);

  typedef logic [Checks-1:0][Width-1:0] inputs_t;  // of each check bit

  function automatic inputs_t inputs();
    for (int unsigned i = 0; i < Width; i++) begin
      for (int unsigned j = 0; j < Checks; j++) inputs[j][i] = Columns[i][j];
    end
  endfunction

  localparam inputs_t Inputs = inputs();

  always_comb begin
    check_o = 'x;
    if (valid_i) for (int unsigned j = 0; j < Checks; j++) check_o[j] = ^(data_i & Inputs[j]);
  end
endmodule
