// SPDX-License-Identifier: Apache-2.0
// Signed multiplier in three stages, cut into products that fit 18 x 18 blocks, one product a
// cycle, fixed latency 3, no back-pressure. Operands up to 34 bits, products up to 62.
module lathe_policy_mul #(
  parameter int unsigned WidthA = 26,
  parameter int unsigned WidthB = 26
) (
  input  logic                            clk_i,
  input  logic                            rst_ni,
  input  logic                            valid_i,
  input  logic signed [WidthA-1:0]        a_i,
  input  logic signed [WidthB-1:0]        b_i,
  output logic signed [WidthA+WidthB-1:0] p_o
);
  localparam int unsigned WidthP = WidthA + WidthB;

  if (WidthA > 34 || WidthB > 34 || WidthP > 62) begin : gen_illegal
    $fatal(1, "lathe_policy_mul: operands of up to 34 bits, products of up to 62");
  end

  logic               valid1_q, valid2_q;
  logic signed [33:0] a, b;
  logic signed [17:0] a_low, b_low, a_high;
  logic signed [34:0] low_q, mid_q;
  logic signed [35:0] mid2_q;
  logic signed [61:0] outer2_q;
  logic signed [WidthP-1:0] p_q;

  assign a = 34'(a_i);
  assign b = 34'(b_i);
  assign a_low = {1'b0, a[16:0]};
  assign a_high = 18'(a >>> 17);

  // A narrow B goes whole into the blocks of A's halves.
  if (WidthB > 18) begin : gen_four
    logic signed [17:0] b_high;
    logic signed [34:0] cross_q, high_q;
    assign b_low = {1'b0, b[16:0]};
    assign b_high = 18'(b >>> 17);
    always_ff @(posedge clk_i) begin
      if (valid_i) cross_q <= 35'(a_low) * 35'(b_high);
      if (valid1_q) mid2_q <= 36'(mid_q) + 36'(cross_q);
      if (valid_i) high_q <= 35'(a_high) * 35'(b_high);
      if (valid1_q) outer2_q <= 62'(low_q) | (62'(high_q) <<< 34);  // disjoint: low_q < 2**34
    end
  end else begin : gen_two
    assign b_low = b[17:0];
    always_ff @(posedge clk_i) begin
      if (valid1_q) mid2_q <= 36'(mid_q);
      if (valid1_q) outer2_q <= 62'(low_q);
    end
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) {valid1_q, valid2_q} <= '0;
    else {valid1_q, valid2_q} <= {valid_i, valid1_q};
  end

  always_ff @(posedge clk_i) begin
    if (valid_i) begin
      low_q <= 35'(a_low) * 35'(b_low);
      mid_q <= 35'(a_high) * 35'(b_low);
    end
    if (valid2_q) p_q <= WidthP'(outer2_q + (62'(mid2_q) <<< 17));
  end

  assign p_o = p_q;

`ifndef SYNTHESIS  // registers are random at time 0
  logic signed [WidthP-1:0] plain [3];
  logic                     valid3_q;
  always_ff @(posedge clk_i) begin
    plain[0] <= WidthP'(a_i) * WidthP'(b_i);
    plain[1] <= plain[0];
    plain[2] <= plain[1];
    valid3_q <= rst_ni && valid2_q;
    if (rst_ni && $time != 0 && valid3_q) assert (p_q == plain[2]) else $error("policy_mul: product differs");
  end
`endif
endmodule
