// SPDX-License-Identifier: Apache-2.0
// The weight group: a ring of equal slots in the scratchpad, which of them is current, its version, and how
// many older versions can be returned to. Moves pointers only, in two cycles; never touches the weights.
// Only por_ni resets it, so that the current version survives a reset in the middle of an update.
module lathe_weights (
  input  logic        clk_i,
  input  logic        por_ni,

  input  logic        init_i,          // pulse: slot 0, nothing kept, and the following
  input  logic [15:0] init_base_i,     // first word of slot 0
  input  logic [15:0] init_size_i,     // words of a slot
  input  logic [2:0]  init_slots_i,    // 2 to 4; outside, the nearest of these is taken
  input  logic [31:0] init_version_i,

  input  logic        commit_i,        // pulse: the next slot becomes the current one
  input  logic        rollback_i,      // pulse: back to the previous version; ignored if none is kept

  output logic [15:0] base_current_o,  // first word of the current slot
  output logic [15:0] base_next_o,     // first word of the slot that updates write
  output logic [15:0] size_o,
  output logic [1:0]  slot_current_o,
  output logic [1:0]  slot_next_o,
  output logic [31:0] version_o,
  output logic [1:0]  kept_o
);
  logic [15:0] base_q, size_q, last_base_q, current_q, next_q;  // last_base: known once the ring has gone around
  logic [1:0]  last_q, slot_q, slot_next_q, kept_q;   // last: slots - 1
  logic [31:0] version_q;

  // One adder serves the pointers, another the version
  logic        init_q, commit_q, rollback_q, back;
  logic [1:0]  init_last;
  logic [15:0] left_q, right_q, moved;
  assign back = rollback_q && kept_q != 2'd0;
  assign moved = left_q + right_q + 16'(rollback_q);
  always_comb begin
    if (init_slots_i <= 3'd2) init_last = 2'd1;
    else if (init_slots_i >= 3'd4) init_last = 2'd3;
    else init_last = 2'd2;
  end
  always_ff @(posedge clk_i) begin
    {init_q, commit_q, rollback_q} <= por_ni ? {init_i, commit_i, rollback_i} : '0;
    if (init_i || commit_i || rollback_i) begin
      left_q <= init_i ? init_base_i : commit_i ? next_q : current_q;
      right_q <= init_i ? init_size_i : commit_i ? size_q : ~size_q;
    end
  end

  always_ff @(posedge clk_i) begin
    if (!por_ni) begin
      base_q <= '0;
      size_q <= '0;
      last_base_q <= '0;
      current_q <= '0;
      next_q <= '0;
      last_q <= 2'd1;
      slot_q <= '0;
      slot_next_q <= 2'd1;
      kept_q <= '0;
    end else if (init_i) begin
      base_q <= init_base_i;
      size_q <= init_size_i;
      current_q <= init_base_i;
      last_q <= init_last;
      slot_q <= '0;
      slot_next_q <= 2'd1;
      kept_q <= '0;
    end else if (init_q) begin
      next_q <= moved;
    end else if (commit_q) begin
      current_q <= next_q;
      slot_q <= slot_next_q;
      if (slot_next_q == '0) last_base_q <= current_q;
      next_q <= (slot_next_q == last_q) ? base_q : moved;
      slot_next_q <= (slot_next_q == last_q) ? 2'd0 : slot_next_q + 2'd1;
      if (kept_q != last_q - 2'd1) kept_q <= kept_q + 2'd1;
    end else if (back) begin
      next_q <= current_q;
      slot_next_q <= slot_q;
      current_q <= (slot_q == 2'd0) ? last_base_q : moved;
      slot_q <= (slot_q == 2'd0) ? last_q : slot_q - 2'd1;
      kept_q <= kept_q - 2'd1;
    end
  end

  always_ff @(posedge clk_i) begin
    if (!por_ni) version_q <= '0;
    else if (init_i) version_q <= init_version_i;
    else if (commit_q || back) version_q <= version_q + {{31{!commit_q}}, 1'b1};
  end

  assign base_current_o = current_q;
  assign base_next_o = next_q;
  assign size_o = size_q;
  assign slot_current_o = slot_q;
  assign slot_next_o = slot_next_q;
  assign version_o = version_q;
  assign kept_o = kept_q;

`ifndef SYNTHESIS
  logic checking_q;  // false before the first reset, when registers hold anything
  initial checking_q = 1'b0;
  always @(posedge clk_i) if (!por_ni) checking_q <= 1'b1;

  // The plain formulas behind the pointers that are moved by sums
  always_ff @(posedge clk_i) begin
    if (checking_q && por_ni && (init_i || commit_i || rollback_i)) begin
      assert (current_q == base_q + 16'(slot_q) * size_q) else $error("base of the current slot");
      assert (next_q == base_q + 16'(slot_next_q) * size_q) else $error("base of the next slot");
      assert (slot_q <= last_q && slot_next_q <= last_q && slot_q != slot_next_q) else $error("slots");
      assert (kept_q < last_q) else $error("kept");
    end
  end
`endif
endmodule
