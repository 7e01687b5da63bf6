// SPDX-License-Identifier: Apache-2.0
// tanh_q of numerics.md, section 6, from sign and magnitude: linear interpolation between values that stand in one
// table with their differences; as int8 rounded half up. Four stages; stage valids come from outside; does not stall.
module lathe_gemm_tanh
  import lathe_tables_pkg::*;
(
  input  logic               clk_i,
  input  logic [3:0]         load_i,  // bit s: stage s takes a value
  input  logic               int8_i,
  input  logic               sign_i,
  input  logic [17:0]        arg_i,   // magnitude, LSB 2**-15
  output logic [15:0]        y_o,     // LSB 2**-15; int8: in the low byte, LSB 2**-7. One cycle after load_i[3], else 0
  output logic               sat_o    // with y_o
);
  logic [25:0] rom [512];  // difference to the next value, value
  initial begin
    for (int unsigned i = 0; i < 512; i++) rom[i] = {10'(TanhTable[i+1] - TanhTable[i]), TanhTable[i]};
  end

  logic [25:0] entry0_q, entry1_q;  // in block RAM; out of it
  logic [8:0] f0_q, f1_q;
  logic [15:0] low2_q;
  logic [10:0] step2_q;  // 19 bits without the lower 8: neighbors differ by 512 at most
  logic sign0_q, sign1_q, sign2_q;
  logic [15:0] y3_q;
  logic sat3_q;

  always_ff @(posedge clk_i) begin
    if (load_i[0]) begin
      entry0_q <= rom[arg_i[17:9]];
      f0_q <= arg_i[8:0];
      sign0_q <= sign_i;
    end
    if (load_i[1]) begin
      entry1_q <= entry0_q;
      f1_q <= f0_q;
      sign1_q <= sign0_q;
    end
    if (load_i[2]) begin
      step2_q <= 11'(19'(entry1_q[25:16]) * 19'(f1_q) >> 8);
      low2_q <= entry1_q[15:0];
      sign2_q <= sign1_q;
    end
    if (load_i[3]) begin
      logic [15:0] y, z;
      logic high;
      y = low2_q + 16'(step2_q[10:1]) + 16'(step2_q[0]);
      z = (y ^ {16{sign2_q}}) + {8'd0, int8_i, 7'd0} + 16'(sign2_q);
      high = int8_i && z[15] && !sign2_q;  // as int8 only the largest positive values carry into the sign
      y3_q <= z;
      if (int8_i) y3_q[7:0] <= {z[15] && !high, z[14:8] | {7{high}}};
      sat3_q <= high;
    end else begin
      y3_q <= '0;
      sat3_q <= 1'b0;
    end
  end

  assign y_o = y3_q;
  assign sat_o = sat3_q;
endmodule
