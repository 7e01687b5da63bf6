// SPDX-License-Identifier: Apache-2.0
// tanh_q of numerics.md, section 6, from sign and magnitude: linear interpolation between values that stand in one table
// with their differences. Three stages; stage valids come from outside; does not stall.
module lathe_gemm_tanh
  import lathe_tables_pkg::*;
(
  input  logic               clk_i,
  input  logic [2:0]         load_i,  // bit s: stage s takes a value
  input  logic               sign_i,
  input  logic [17:0]        arg_i,   // magnitude, LSB 2**-15
  output logic signed [15:0] y_o      // LSB 2**-15
);
  logic [25:0] rom [512];  // difference to the next value, value
  initial begin
    for (int unsigned i = 0; i < 512; i++) rom[i] = {10'(TanhTable[i+1] - TanhTable[i]), TanhTable[i]};
  end

  logic [25:0] entry0_q;
  logic [8:0] f0_q;
  logic [15:0] low1_q;
  logic [18:0] step1_q;  // neighbors differ by 512 at most
  logic sign0_q, sign1_q;
  logic signed [15:0] y2_q;
  logic [15:0] y;

  assign y = low1_q + 16'((20'(step1_q) + 20'd256) >> 9);

  always_ff @(posedge clk_i) begin
    if (load_i[0]) begin
      entry0_q <= rom[arg_i[17:9]];
      f0_q <= arg_i[8:0];
      sign0_q <= sign_i;
    end
    if (load_i[1]) begin
      step1_q <= 19'(entry0_q[25:16]) * 19'(f0_q);
      low1_q <= entry0_q[15:0];
      sign1_q <= sign0_q;
    end
    if (load_i[2]) y2_q <= signed'(sign1_q ? -y : y);
  end

  assign y_o = y2_q;
endmodule
