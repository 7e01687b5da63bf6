// SPDX-License-Identifier: Apache-2.0
// One processing element of the gemm array: multiplies, accumulates, passes a to the right and b down.
// Never stalls: a cycle without `valid_i` changes nothing. The finished sum is offered for one cycle only.
module lathe_pe
  import lathe_pkg::*;
(
  input  logic                   clk_i,
  input  logic                   rst_ni,
  input  logic                   valid_i,  // a k-step arrives
  input  logic                   first_i,  // it opens a tile
  input  logic                   last_i,   // it closes the tile
  input  logic signed [15:0]     a_i,
  input  logic signed [15:0]     b_i,
  output logic                   valid_o,
  output logic                   first_o,
  output logic                   last_o,
  output logic signed [15:0]     a_o,
  output logic signed [15:0]     b_o,
  output logic                   done_o,   // `acc_o` is the tile's sum
  output logic signed [AccW-1:0] acc_o
);
  logic valid_q, first_q, last_q, done_q;
  logic signed [15:0] a_q, b_q;
  logic signed [31:0] product_q;
  logic signed [AccW-1:0] acc_q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      valid_q <= 1'b0;
      done_q <= 1'b0;
    end else begin
      valid_q <= valid_i;
      done_q <= valid_q && last_q;
    end
  end

  // The product has a register of its own: a multiplier and a 48-bit adder do not fit one cycle.
  always_ff @(posedge clk_i) begin
    if (valid_i) begin
      first_q <= first_i;
      last_q <= last_i;
      a_q <= a_i;
      b_q <= b_i;
      product_q <= 32'(a_i) * 32'(b_i);
    end
    if (valid_q) acc_q <= (first_q ? '0 : acc_q) + AccW'(product_q);
  end

  assign valid_o = valid_q;
  assign first_o = first_q;
  assign last_o = last_q;
  assign a_o = a_q;
  assign b_o = b_q;
  assign done_o = done_q;
  assign acc_o = acc_q;
endmodule
