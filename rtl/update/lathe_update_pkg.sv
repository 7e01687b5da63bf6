// SPDX-License-Identifier: Apache-2.0
// What the parts of the update unit tell each other: which step it is, and what is constant during a command, made by
// lathe_update_prepare and lathe_update_setup.
package lathe_update_pkg;
  localparam int unsigned TermW = 35;  // an aligned term, clamped
  localparam int unsigned LogW = 28;   // a logarithm, signed, LSB 2**-18

  // The step. At half rate a word takes two cycles and each multiplier is used twice for it.
  typedef struct packed {
    logic sgd;
    logic nesterov;
    logic adam;
    logic half;
    logic int8;  // w' goes out as int8 too
  } kind_t;

  // How a term is aligned
  typedef struct packed {
    logic [1:0]       pre;   // first to the left, whoever hands in the term
    logic [2:0]       rot;   // then rotated to the left by 4 * rot
    logic [TermW-2:0] keep;  // bits of the result that come out of the rotation
    logic [TermW-2:0] fill;  // bits that are copies of the sign, or may be those of a clamped value
    logic [3:0]       over;  // groups of four bits below the sign, from the top, that would leave the result
  } align_cfg_t;

  // Of a product that is not shifted
  localparam align_cfg_t Unshifted = '{pre: '0, rot: '0, keep: 34'h0_7FFF_FFFF, fill: 34'h3_8000_0000, over: '0};

  // Two terms in turn through one lathe_update_align: `now` in its first stage and behind its second, the other in its second.
  function automatic align_cfg_t in_turn(align_cfg_t now, logic other_rot2);
    align_cfg_t cfg;
    cfg = now;
    cfg.rot[2] = other_rot2;
    return cfg;
  endfunction

  // Of adam's logarithms
  typedef struct packed {
    logic signed [LogW-1:0] gradient;  // added to that of |g|
    logic signed [17:0]     decay;     // added to l
    logic signed [15:0]     eps;       // LSB 2**-10, rounded down
    logic signed [16:0]     eps_up;    // rounded up
    logic signed [23:0]     rate;
    logic signed [24:0]     rate_eps;  // rate - eps
    logic signed [9:0]      right;     // 2**15 * P * m' is shifted to the right by this less q
  } log_cfg_t;

  // How w' becomes int8
  typedef struct packed {
    logic [3:0]  rot;     // rotated to the right
    logic [9:0]  keep;    // bits -1 to 8 of the result that come out of the rotation
    logic [9:0]  fill;    // or are copies of the sign
    logic [15:0] sticky;  // bits of w' below bit -1
    logic [14:0] above;   // bits of w' from bit 8 up
  } int8_cfg_t;
endpackage
