// SPDX-License-Identifier: Apache-2.0
// One cell of the gemm array: accumulates (p + s) * (r + q), passes a = {q, p} to the right and b = {s, r} down. Never
// clears its sum. The array keeps the valid bits (a vector for all cells simulates faster).
module lathe_pe
  import lathe_pkg::*;
(
  input  logic                   clk_i,
  input  logic                   rst_ni,
  input  logic                   load_i,  // a step arrives
  input  logic                   mul_i,   // one cycle later
  input  logic                   add_i,   // two cycles later
  input  logic                   done_i,  // three cycles later, if the step was the last one of its tile
  // int16: p = a, q = 0, r = b, s = 0. int8: four unsigned bytes, so that a sum has 9 bits.
  input  logic [23:0]            a_i,
  input  logic [23:0]            b_i,
  output logic [23:0]            a_o,
  output logic [23:0]            b_o,
  output logic [AccW-1:0]        acc_o    // the sum, for one cycle after done_i; else 0
);
  logic [23:0] a_q, b_q;
  logic signed [15:0] x_q, y_q;
  logic signed [31:0] product_q;
  logic [AccW-1:0] acc_q, out_q;
  logic out_valid_q;

  always_ff @(posedge clk_i) begin
    if (load_i) begin
      a_q <= a_i;
      b_q <= b_i;
      x_q <= {a_i[15:9], a_i[8:0] + {1'b0, b_i[23:16]}};
      y_q <= {b_i[15:9], b_i[8:0] + {1'b0, a_i[23:16]}};
    end
    if (mul_i) product_q <= 32'(x_q) * 32'(y_q);
    if (!rst_ni) acc_q <= '0;
    else if (add_i) acc_q <= acc_q + unsigned'(AccW'(product_q));
    out_valid_q <= done_i;
    if (!rst_ni || (out_valid_q && !done_i)) out_q <= '0;
    else if (done_i) out_q <= acc_q;
  end

  assign a_o = a_q;
  assign b_o = b_q;
  assign acc_o = out_q;
endmodule
