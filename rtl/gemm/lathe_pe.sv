// SPDX-License-Identifier: Apache-2.0
// One processing element of the gemm array: multiplies, accumulates, passes a to the right and b down. The array keeps
// the valid bits (a vector for a row of elements simulates faster). Without `load_i` and `add_i` nothing changes.
module lathe_pe
  import lathe_pkg::*;
(
  input  logic                   clk_i,
  input  logic                   load_i,   // a k-step arrives
  input  logic                   add_i,    // its product is added (one cycle later)
  input  logic                   first_i,  // the product opens a tile (with add_i)
  input  logic signed [15:0]     a_i,
  input  logic signed [15:0]     b_i,
  output logic signed [15:0]     a_o,
  output logic signed [15:0]     b_o,
  output logic signed [AccW-1:0] acc_o
);
  logic signed [15:0] a_q, b_q;
  logic signed [31:0] product_q;
  logic signed [AccW-1:0] acc_q;

  // The product has a register of its own: a multiplier and a 48-bit adder do not fit one cycle.
  always_ff @(posedge clk_i) begin
    if (load_i) begin
      a_q <= a_i;
      b_q <= b_i;
      product_q <= 32'(a_i) * 32'(b_i);
    end
    if (add_i) acc_q <= (first_i ? '0 : acc_q) + AccW'(product_q);
  end

  assign a_o = a_q;
  assign b_o = b_q;
  assign acc_o = acc_q;
endmodule
