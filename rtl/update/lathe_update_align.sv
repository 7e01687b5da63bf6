// SPDX-License-Identifier: Apache-2.0
// clamp35(align(x, s, up)) of numerics.md in two stages, for one shift amount a command: the bits are rotated, and masks
// say which bits of the result are theirs, zero, or the sign's. Takes x already shifted to the left by s mod 4.
module lathe_update_align
  import lathe_update_pkg::*;
#(
  parameter int unsigned Width = 16  // of the term: 16 or 32
) (
  input  logic                    clk_i,
  input  logic [1:0]              en_i,   // x enters the first, the second stage: one cycle after the other, and leaves in the next
  input  align_cfg_t              cfg_i,
  input  logic signed [Width+2:0] x_i,
  output logic signed [TermW-1:0] term_o  // one gate behind the second stage
);
  if (Width != 16 && Width != 32) begin : g_check
    $fatal(1, "lathe_update_align: Width must be 16 or 32");
  end

  function automatic logic [Width-1:0] rotate(logic [Width-1:0] x, int unsigned by);
    return (x << by) | (x >> (Width - by));
  endfunction

  logic             sign, over, over_q, sign_q, fill_q;
  logic [Width-1:0] folded, turned, turned_q, last_q;
  logic             sign2_q, fill2_q;

  assign sign = x_i[Width+2];
  always_comb begin
    over = 1'b0;
    for (int unsigned i = 0; i < (Width == 32 ? 4 : 3); i++) over |= cfg_i.over[i] && x_i[Width+1-4*i-:4] != {4{sign}};
    folded = x_i[Width-1:0];  // what was shifted out at the top comes in at the bottom
    for (int unsigned i = 0; i < 3; i++) if (cfg_i.pre > 2'(i)) folded[i] = x_i[Width+i];
    turned = cfg_i.rot[0] ? rotate(folded, 4) : folded;
    if (Width == 32 && cfg_i.rot[1]) turned = rotate(turned, 8);
  end

  always_ff @(posedge clk_i) begin
    if (en_i[0]) begin
      turned_q <= turned;
      over_q <= over;
      sign_q <= sign;
      fill_q <= cfg_i.over[0] ? over && !sign : sign;
    end
    if (over_q) last_q <= '0;
    else if (en_i[1]) last_q <= cfg_i.rot[$clog2(Width)-3] ? rotate(turned_q, Width / 2) : turned_q;
    if (en_i[1]) begin
      sign2_q <= sign_q;
      fill2_q <= fill_q;
    end
  end

  assign term_o = {sign2_q, (cfg_i.keep & (TermW - 1)'({3{last_q}})) | (cfg_i.fill & {TermW - 1{fill2_q}})};
endmodule
