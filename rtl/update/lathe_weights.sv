// SPDX-License-Identifier: Apache-2.0
// The weight group: equal slots in the scratchpad, which version each holds, which is current, which is written next, which
// a request holds. Moves pointers only, in one cycle after one that decides; never touches the weights. First words follow
// their slots a cycle later. Only por_ni resets the table, so that the versions survive a reset in the middle of an update.
module lathe_weights
  import lathe_desc_pkg::*;
  import lathe_ctrl_pkg::*;
#(
  parameter int unsigned Slots = 4      // most slots, 2 to 4
) (
  input  logic        clk_i,
  input  logic        rst_ni,           // forgets a move that waits, nothing else
  input  logic        por_ni,

  input  logic        init_i,           // pulse: slot 0 holds init_i's version, the others nothing; no move in the 6 cycles after it
  input  group_t      init_group_i,     // slots: outside 2 to Slots, the nearest of these is taken

  // One move at a time: it is decided in the cycle of the pulse, done in the one after it and answered in the third, unless a
  // COMMIT has to wait for the request's end, or a COMMIT or ROLLBACK two cycles for the request that starts.
  input  logic        move_valid_i,     // pulse
  input  logic [4:0]  move_op_i,        // with it, like the slot
  input  logic [1:0]  move_slot_i,
  output logic        move_done_o,      // pulse
  output error_e      move_error_o,     // with it
  output logic        move_waits_o,     // level: for the request

  input  logic        request_start_i,  // pulse: from now on the request holds the slot that is current
  input  logic        request_busy_i,   // level, from the cycle after the pulse to its end

  input  logic        poisoned_i,       // level: no COMMIT, and none that waits; it answers so in the third cycle
  input  logic        fault_valid_i,    // pulse: an uncorrectable error at that address
  input  logic [15:0] fault_addr_i,

  output logic [15:0] base_current_o,   // first words of these slots
  output logic [15:0] base_next_o,
  output logic [15:0] base_held_o,
  output logic [15:0] size_o,
  output logic [1:0]  slot_held_o,      // of the request that runs or ran last
  output logic [15:0] version_held_o,   // low bits
  output weights_t    weights_o
);
  if (Slots < 2 || Slots > MaxSlots) begin : gen_check
    $fatal(1, "lathe_weights: Slots must be 2 to 4");
  end

  typedef logic [$clog2(Slots)-1:0] slot_t;
  typedef logic [Slots-1:0] flags_t;
  slot_t              last_q, slot_q, next_q, held_q;  // last: slots - 1
  logic [31:0]        version_q, fresh_q;              // fresh: what the next COMMIT gives
  flags_t             valid_q, pinned_q, bad_q;
  slot_t [Slots-1:0]  parent_q;    // slot that was current when this one was committed
  flags_t             orphan_q;    // it holds that version no longer
  logic [31:0]        number_q [Slots];

  logic clk;

  // ---- What comes next after each slot, if it becomes current: known a cycle after pins or the request have changed ----
  slot_t [Slots-1:0]  after_q;
  flags_t             after_there_q;  // there is one
  flags_t             free;           // neither pinned nor held
  logic               pin_left_q;     // one more may be pinned
  logic               started_q;
  always_comb begin
    free = ~pinned_q;
    if (request_busy_i) free[held_q] = 1'b0;
  end
  always_ff @(posedge clk) begin
    started_q <= request_start_i;
    after_there_q <= '0;
    for (int unsigned s = 0; s < Slots; s++) begin
      for (int unsigned step = Slots - 1; step > 0; step--) begin  // the nearest comes last and wins
        automatic slot_t other = (s + step <= 32'(last_q)) ? slot_t'(s + step) : slot_t'(s + step) - last_q - slot_t'(1);
        if (slot_t'(step) <= last_q && free[other]) begin
          after_q[s] <= other;
          after_there_q[s] <= 1'b1;
        end
      end
    end
    pin_left_q <= 32'($countones(pinned_q)) + 32'd1 < 32'(last_q);
  end

  // ---- The move ----
  logic   asked_q, waiting_q, go, wait_on, spoilt, commit, rollback, restore, move;
  logic   commit_q, rollback_q, restore_q, pin_q, unpin_q;  // the move, if it is not refused
  slot_t  target, target_q, parent, successor;
  error_e error, error_q;
  assign parent = parent_q[slot_q];
  assign target = (move_op_i == UpdateCommit) ? next_q : (move_op_i == UpdateRollback) ? parent : slot_t'(move_slot_i);
  always_comb begin
    error = ErrNone;
    unique case (move_op_i)
      UpdateCommit:   ;
      UpdateRollback: if (orphan_q[slot_q] || bad_q[parent]) error = ErrNoVersion;
      UpdateRestore:  if (32'(move_slot_i) >= Slots || !valid_q[target] || bad_q[target]) error = ErrNoVersion;
      UpdatePin:      if (!pin_left_q && !pinned_q[slot_q]) error = ErrNoSlot;
      UpdateUnpin:    ;
      default:        error = ErrBadOp;
    endcase
  end
  always_ff @(posedge clk) begin
    asked_q <= rst_ni && move_valid_i;
    if (move_valid_i) begin
      target_q <= target;
      error_q <= error;
      commit_q <= move_op_i == UpdateCommit;
      rollback_q <= move_op_i == UpdateRollback && error == ErrNone;
      restore_q <= move_op_i == UpdateRestore && error == ErrNone;
      pin_q <= move_op_i == UpdatePin && error == ErrNone;
      unpin_q <= move_op_i == UpdateUnpin && 32'(move_slot_i) < Slots;
    end
  end

  assign go = asked_q || waiting_q;
  assign successor = after_q[target_q];
  assign spoilt = commit_q && poisoned_i;
  assign wait_on = !spoilt && (((commit_q || rollback_q) && (request_start_i || started_q)) || (commit_q && !after_there_q[next_q]));
  assign commit = go && !wait_on && commit_q && !spoilt;
  assign rollback = go && !wait_on && rollback_q;
  assign restore = go && restore_q;
  assign move = commit || rollback || restore;
  always_ff @(posedge clk) begin
    waiting_q <= rst_ni && go && wait_on;
    move_done_o <= rst_ni && go && !wait_on;
    move_error_o <= spoilt ? ErrUncorrectable : error_q;
  end

  logic [Slots:0] fault_in;  // at or behind the first word of each slot, or the last one's end
  logic           fault_q;
  always_ff @(posedge clk) begin
    if (!por_ni) begin
      last_q <= slot_t'(1);
      slot_q <= '0;
      next_q <= slot_t'(1);
      valid_q <= flags_t'(1);
      {pinned_q, bad_q, parent_q} <= '0;
      orphan_q <= '1;
    end else if (init_i) begin
      if (init_group_i.slots <= 3'd2) last_q <= slot_t'(1);
      else last_q <= (32'(init_group_i.slots) >= Slots) ? slot_t'(Slots - 1) : slot_t'(init_group_i.slots - 3'd1);
      slot_q <= '0;
      next_q <= slot_t'(1);
      valid_q <= flags_t'(1);
      {pinned_q, bad_q, parent_q} <= '0;
      orphan_q <= '1;
    end else begin
      if (move) slot_q <= target_q;
      if (commit) begin
        valid_q[next_q] <= 1'b1;
        bad_q[next_q] <= 1'b0;  // what an update did not write anew is found again
        parent_q[next_q] <= slot_q;
        orphan_q[next_q] <= 1'b0;
      end
      if (commit || rollback) begin
        next_q <= successor;
        valid_q[successor] <= 1'b0;
        for (int unsigned s = 0; s < Slots; s++) begin
          if (((commit && next_q == slot_t'(s)) ? slot_q : parent_q[s]) == successor) orphan_q[s] <= 1'b1;
        end
      end
      if (go && pin_q) pinned_q[slot_q] <= 1'b1;
      if (go && unpin_q) pinned_q[target_q] <= 1'b0;
      for (int unsigned s = 0; s < Slots; s++) begin
        if (fault_q && fault_in[s] && !fault_in[s+1] && slot_t'(s) <= last_q) bad_q[s] <= 1'b1;
      end
    end
  end

  // ---- Version numbers ----
  logic raise_q;  // fresh is the number that was given last
  always_ff @(posedge clk) begin
    raise_q <= por_ni && (init_i || commit);
    if (!por_ni) begin
      version_q <= '0;
      fresh_q <= 32'd1;
      for (int unsigned s = 0; s < Slots; s++) number_q[s] <= '0;
    end else begin
      if (init_i) begin
        version_q <= init_group_i.version;
        fresh_q <= init_group_i.version;
        number_q[0] <= init_group_i.version;
      end else if (move) begin
        version_q <= commit ? fresh_q : number_q[target_q];
        if (commit) number_q[next_q] <= fresh_q;
      end
      if (raise_q) fresh_q <= fresh_q + 32'd1;
    end
    if (request_start_i) begin
      held_q <= slot_q;
      version_held_o <= version_q[15:0];
    end
  end

  // ---- Where the slots lie: one adder, a slot a cycle ----
  logic [16:0] first_q [Slots];  // top bit: beyond any scratchpad
  logic [16:0] sum_q;            // first word of the slot whose turn it is; in the end that behind the last one
  logic [15:0] size_q;
  flags_t      turn_q;
  always_ff @(posedge clk) begin
    if (!por_ni) begin
      {turn_q, sum_q, size_q} <= '0;
      for (int unsigned s = 0; s < Slots; s++) first_q[s] <= '0;
    end else begin
      turn_q <= init_i ? flags_t'(1) : turn_q << 1;
      if (init_i) size_q <= init_group_i.size;
      if (init_i) sum_q <= {1'b0, init_group_i.base};
      else if (turn_q != '0) sum_q <= {1'b0, sum_q[15:0]} + {1'b0, size_q} | {sum_q[16], 16'd0};
      for (int unsigned s = 0; s < Slots; s++) if (turn_q[s]) first_q[s] <= sum_q;
    end
    base_current_o <= first_q[slot_q][15:0];
    base_next_o <= first_q[next_q][15:0];
    base_held_o <= first_q[held_q][15:0];
  end

  always_ff @(posedge clk) begin
    fault_q <= por_ni && fault_valid_i;
    for (int unsigned s = 0; s < Slots; s++) fault_in[s] <= {1'b0, fault_addr_i} >= first_q[s];
    fault_in[Slots] <= {1'b0, fault_addr_i} >= sum_q;
  end

  // ---- The table's clock ----
  lathe_clock_stop u_clock (
    .clk_i,
    .wanted_i(!rst_ni || !por_ni || init_i || move_valid_i || go || request_start_i || request_busy_i || fault_valid_i),
    .clk_o   (clk)
  );

  assign size_o = size_q;
  assign move_waits_o = waiting_q;
  assign slot_held_o = 2'(held_q);
  always_comb begin
    weights_o = '{version: version_q, slot: 2'(slot_q), next: 2'(next_q), valid: MaxSlots'(valid_q), pinned: MaxSlots'(pinned_q),
                  bad: MaxSlots'(bad_q), default: '0};
    for (int unsigned s = 0; s < Slots; s++) weights_o.versions[s] = number_q[s];
  end

`ifndef SYNTHESIS
  logic checking_q;  // false before the first reset, when registers hold anything
  initial checking_q = 1'b0;
  always @(posedge clk_i) if (!por_ni) checking_q <= 1'b1;

  always_ff @(posedge clk_i) begin
    if (checking_q && por_ni) begin
      assert (valid_q[slot_q] && !valid_q[next_q] && !pinned_q[next_q]) else $error("current or next slot");
      assert (!(request_busy_i && next_q == held_q)) else $error("the slot that the request holds is written next");
      if (rollback) assert (after_there_q[target_q] && valid_q[target_q]) else $error("rollback");
    end
  end
`endif
endmodule
