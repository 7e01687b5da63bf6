// SPDX-License-Identifier: Apache-2.0
// One element of a new weight as int8 (numerics.md, section 9): shift_round, half to even, saturated, in three stages.
module lathe_update_int8
  import lathe_update_pkg::*;
(
  input  logic               clk_i,
  input  int8_cfg_t          cfg_i,        // constant while an element is inside
  input  logic signed [15:0] w_i,
  output logic signed [7:0]  w8_o,         // three cycles later
  output logic               saturated_o
);
  logic               sign;
  logic [12:0]        coarse, coarse_q;
  logic [9:0]         turned;
  logic               sticky_q, sticky2_q, over_q, over2_q, sign_q, sign2_q;
  logic signed [8:0]  whole_q;   // bit 8 is not the sign if over
  logic               half_q;
  logic signed [9:0]  rounded;
  logic               saturated;

  assign sign = w_i[15];
  assign coarse = 13'({w_i, w_i} >> {cfg_i.rot[3:2], 2'd0});
  assign turned = 10'(coarse_q >> cfg_i.rot[1:0]);
  assign rounded = 10'(whole_q) + 10'(half_q && (sticky2_q || whole_q[0]));
  assign saturated = over2_q || (rounded[9:7] != '0 && rounded[9:7] != '1);

  always_ff @(posedge clk_i) begin
    coarse_q <= coarse;
    sticky_q <= (w_i & cfg_i.sticky) != '0;
    over_q <= ((w_i[14:0] ^ {15{sign}}) & cfg_i.above) != '0;
    sign_q <= sign;
    {whole_q, half_q} <= (turned & cfg_i.keep) | (cfg_i.fill & {10{sign_q}});
    {sticky2_q, over2_q, sign2_q} <= {sticky_q, over_q, sign_q};
    w8_o <= saturated ? {sign2_q, {7{!sign2_q}}} : rounded[7:0];
    saturated_o <= saturated;
  end
endmodule
