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
  logic signed [46:0] x, coarse_q;
  logic [3:0]         at;   // which of four
  logic [1:0]         by_q;
  logic [33:0]        fine_q;
  logic               over_q, sign_q;
  (* keep *) logic    fill;  // one level of logic for all bits

  assign x = {x_i, 12'd0};
  assign at = 4'd1 << right_i[3:2];
  assign fill = x[46] && |at[3:2];

  always_ff @(posedge clk_i) begin
    // To the right by 0, 16, 32 or 48, then 0, 4, 8 or 12
    coarse_q[46:31] <= at[0] ? x[46:31] : {16{x[46]}};
    coarse_q[30:15] <= (x[30:15] & {16{at[0]}}) | (x[46:31] & {16{at[1]}}) | {16{fill}};
    unique case (right_i[3:2])
      2'd0: coarse_q[14:0] <= x[14:0];
      2'd1: coarse_q[14:0] <= x[30:16];
      2'd2: coarse_q[14:0] <= x[46:32];
      default: coarse_q[14:0] <= {15{x[46]}};
    endcase
    by_q <= right_i[1:0];
    unique case (by_q)
      2'd0: fine_q <= coarse_q[33:0];
      2'd1: fine_q <= coarse_q[37:4];
      2'd2: fine_q <= coarse_q[41:8];
      default: fine_q <= coarse_q[45:12];
    endcase
    sign_q <= coarse_q[46];
    over_q <= (by_q != 2'd3 && coarse_q[45:42] != {4{coarse_q[46]}}) || (!by_q[1] && coarse_q[41:38] != {4{coarse_q[46]}}) ||
              (by_q == 2'd0 && coarse_q[37:34] != {4{coarse_q[46]}});
  end

  assign term_o = {!sign_q, over_q ? {34{sign_q}} : ~fine_q};
endmodule
