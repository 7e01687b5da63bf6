// SPDX-License-Identifier: Apache-2.0
// How a term of the update is aligned: constant during a command, made by lathe_update_setup for lathe_update_align.
package lathe_update_pkg;
  localparam int unsigned TermW = 35;  // an aligned term, clamped

  typedef struct packed {
    logic [1:0]       pre;   // first to the left, whoever hands in the term
    logic [2:0]       rot;   // then rotated to the left by 4 * rot
    logic [TermW-2:0] keep;  // bits of the result that come out of the rotation
    logic [TermW-2:0] fill;  // bits that are copies of the sign, or may be those of a clamped value
    logic [2:0]       over;  // groups of four bits below the sign, from the top, that would leave the result
  } align_cfg_t;
endpackage
