// SPDX-License-Identifier: Apache-2.0
// tanh_q of numerics.md, section 6: linear interpolation in a table of 513 values, four stages deep.
// Stage valids come from outside; does not stall.
module lathe_gemm_tanh
  import lathe_tables_pkg::*;
(
  input  logic               clk_i,
  input  logic [3:0]         load_i,  // bit s: stage s takes a value
  input  logic signed [18:0] arg_i,   // LSB 2**-15
  output logic signed [15:0] y_o      // LSB 2**-15
);
  logic [15:0] rom [513];
  initial begin
    for (int unsigned i = 0; i < 513; i++) rom[i] = TanhTable[i];
  end

  logic [18:0] magnitude;
  assign magnitude = unsigned'(arg_i[18] ? -arg_i : arg_i);  // -2**18 becomes 2**18, unsigned

  logic [17:0] a0_q;
  logic [15:0] low1_q, high1_q, low2_q;
  logic [8:0] f1_q;
  logic [18:0] step2_q;  // neighbors differ by 512 at most
  logic sign0_q, sign1_q, sign2_q;
  logic signed [15:0] y3_q;
  logic [15:0] y;

  assign y = low2_q + 16'((20'(step2_q) + 20'd256) >> 9);

  always_ff @(posedge clk_i) begin
    if (load_i[0]) begin
      a0_q <= magnitude[18] ? '1 : magnitude[17:0];
      sign0_q <= arg_i[18];
    end
    if (load_i[1]) begin
      low1_q <= rom[{1'b0, a0_q[17:9]}];
      high1_q <= rom[10'(a0_q[17:9]) + 10'd1];
      f1_q <= a0_q[8:0];
      sign1_q <= sign0_q;
    end
    if (load_i[2]) begin
      step2_q <= 19'(10'(high1_q - low1_q)) * 19'(f1_q);
      low2_q <= low1_q;
      sign2_q <= sign1_q;
    end
    if (load_i[3]) y3_q <= signed'(sign2_q ? -y : y);
  end

  assign y_o = y3_q;
endmodule
