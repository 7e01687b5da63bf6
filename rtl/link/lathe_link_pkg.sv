// SPDX-License-Identifier: Apache-2.0
// Numbers of the host link's protocol (docs/link.md) and the step of its checksum.
package lathe_link_pkg;
  localparam logic [7:0]  Flag = 8'h7E;
  localparam logic [7:0]  Escape = 8'h7D;
  localparam logic [7:0]  Flip = 8'h20;
  localparam logic [31:0] FcsFirst = 32'hFFFF_FFFF;
  localparam logic [31:0] FcsGood = 32'hDEBB_20E3;  // after a right frame with its FCS
  localparam int unsigned MaxFrame = 272;      // bytes, FCS included
  localparam int unsigned MinFrame = 7;
  localparam int unsigned FcsBytes = 4;
  localparam int unsigned MaxWords = 64;
  localparam logic [7:0]  LinkVersion = 8'd2;

  typedef enum logic [1:0] {StatusDone, StatusNothing, StatusSlverr, StatusDecerr} status_e;

  // The FCS-32 of RFC 1662 after one more byte, not complemented.
  function automatic logic [31:0] fcs_step(logic [31:0] fcs, logic [7:0] data);
    logic [31:0] next;
    next = fcs ^ {24'd0, data};
    for (int unsigned i = 0; i < 8; i++) next = {1'b0, next[31:1]} ^ (next[0] ? 32'hEDB8_8320 : 32'h0);
    return next;
  endfunction
endpackage
