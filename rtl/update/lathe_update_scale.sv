// SPDX-License-Identifier: Apache-2.0
// The term P * m' of adam (numerics.md, section 9), inverted, of one element a cycle in two stages: what lathe_update_align
// does for a shift that is every element's own.
module lathe_update_scale
  import lathe_update_pkg::*;
(
  input  logic                    clk_i,
  input  logic signed [34:0]      x_i,      // the product, shifted to the left by 0 to 3 already
  input  logic [3:0]              right_i,  // of x * 2**12, in steps of four bits
  output logic signed [TermW-1:0] term_o    // ~clamp35, two cycles later, behind a gate
);
  logic signed [46:0] x, coarse, coarse_q;
  logic [1:0]         by_q;
  logic [33:0]        fine_q;
  logic [2:0]         over_q;  // groups of four bits that leave the result
  logic               sign_q;

  assign x = {x_i, 12'd0};
  always_comb begin
    unique case (right_i[3:2])
      2'd0: coarse = x;
      2'd1: coarse = x >>> 16;
      2'd2: coarse = x >>> 32;
      default: coarse = {47{x[46]}};
    endcase
  end

  always_ff @(posedge clk_i) begin
    coarse_q <= coarse;
    by_q <= right_i[1:0];
    fine_q <= 34'(coarse_q >>> {by_q, 2'd0});
    sign_q <= coarse_q[46];
    over_q <= {by_q != 2'd3 && coarse_q[45:42] != {4{coarse_q[46]}}, !by_q[1] && coarse_q[41:38] != {4{coarse_q[46]}},
               by_q == 2'd0 && coarse_q[37:34] != {4{coarse_q[46]}}};
  end

  assign term_o = {!sign_q, over_q != '0 ? {34{sign_q}} : ~fine_q};
endmodule
