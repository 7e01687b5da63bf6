// SPDX-License-Identifier: Apache-2.0
// Starts commands: takes the first unit (lowest code) that is free and whose head's semaphores are all positive,
// takes these, resolves addresses and exponents one operand a cycle, and hands the command over.
// A matmul is offered 4 cycles after it could start. Does not retire; lathe_retire frees the unit.
module lathe_issue
  import lathe_pkg::*;
  import lathe_desc_pkg::*;
  import lathe_ctrl_pkg::*;
(
  input  logic                                   clk_i,
  input  logic                                   rst_ni,
  input  logic                                   stop_i,       // level: start nothing more

  input  logic [NumUnits-1:0]                    head_valid_i,
  input  logic [NumUnits-1:0][NumSemaphores-1:0] head_wait_i,
  input  logic [NumSemaphores-1:0]               positive_i,
  output logic                                   pop_o,        // also takes the semaphores
  output logic [lathe_ctrl_pkg::UnitW-1:0]       pop_unit_o,
  output logic [NumSemaphores-1:0]               take_mask_o,
  input  entry_t                                 entry_i,      // valid from the cycle after pop_o

  input  logic [15:0]                            base_current_i,
  input  logic [15:0]                            base_next_i,
  output logic [5:0]                             ref_exp_o,
  output logic [1:0]                             ref_space_o,
  input  logic signed [7:0]                      exp_i,
  input  logic signed [7:0]                      next_i,
  input  logic [6:0]                             ref_index_i,

  output logic [NumUnits-1:0]                    cmd_valid_o,
  input  logic [NumUnits-1:0]                    cmd_ready_i,
  output cmd_t                                   cmd_o,        // for the unit whose valid is high
  output info_t [NumUnits-1:0]                   info_o,       // of the command that the unit runs

  input  logic [NumUnits-1:0]                    free_i,       // pulse: the unit's command is retired
  output logic [NumUnits-1:0]                    occupied_o,   // from pop to retired
  output logic [NumUnits-1:0]                    waiting_o,    // idle, and the head waits for a semaphore
  output logic                                   can_start_o   // a head may start (now or after a hand-over)
);
  typedef enum logic [1:0] {Idle, Resolve, Offer} state_e;
  state_e              state_q;
  logic [UnitW-1:0]    unit_q;
  logic [NumUnits-1:0] occupied_q, ready;
  logic [2:0]          index_q, last_index;

  // ---- Choose ----
  always_comb begin
    pop_unit_o = '0;
    for (int unsigned u = 0; u < NumUnits; u++) begin
      waiting_o[u] = head_valid_i[u] && !occupied_q[u] && (head_wait_i[u] & ~positive_i) != '0;
      ready[u] = head_valid_i[u] && !occupied_q[u] && !waiting_o[u];
    end
    for (int unsigned u = NumUnits; u > 0; u--) begin
      if (ready[u-1]) pop_unit_o = UnitW'(u - 1);
    end
  end
  assign can_start_o = |ready;
  assign pop_o = state_q == Idle && can_start_o && !stop_i;
  assign take_mask_o = head_wait_i[pop_unit_o];
  assign occupied_o = occupied_q;

  // ---- Resolve ----
  logic [NumOperands-1:0][AddrW-1:0] addr_q;
  logic [NumOperands-1:0][ExpW-1:0]  exp_q;
  logic [1:0][6:0]                   ref_index_q;
  logic [AddrW-1:0]                  addr, base;
  logic                              update, result;

  assign update = unit_q == UnitW'(UnitUpdate - 3'd1);
  always_comb begin  // operands behind these are not used
    last_index = 3'd2;
    if (entry_i.cmd.bias) last_index = 3'd3;
    if (entry_i.cmd.dact != ActNone || update) last_index = 3'd4;
  end
  assign addr = entry_i.cmd.t[index_q].addr;
  assign {ref_space_o, ref_exp_o} = entry_i.cmd.t[index_q].exp;
  assign result = index_q == 3'd2 || (index_q == 3'd4 && update);
  always_comb begin
    unique case (ref_space_o)
      SpaceCurrent: base = base_current_i;
      SpaceNext:    base = base_next_i;
      default:      base = '0;
    endcase
  end

  logic taken;
  assign taken = state_q == Offer && cmd_ready_i[unit_q];
  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      state_q <= Idle;
      occupied_q <= '0;
    end else begin
      unique case (state_q)
        Idle:    if (pop_o) state_q <= Resolve;
        Resolve: if (index_q == last_index) state_q <= Offer;
        Offer:   if (taken) state_q <= Idle;
        default: state_q <= Idle;
      endcase
      for (int unsigned u = 0; u < NumUnits; u++) begin
        if (pop_o && pop_unit_o == UnitW'(u)) occupied_q[u] <= 1'b1;
        else if (free_i[u]) occupied_q[u] <= 1'b0;
      end
    end
  end
  always_ff @(posedge clk_i) begin
    if (pop_o) unit_q <= pop_unit_o;
    index_q <= (state_q == Resolve) ? index_q + 3'd1 : '0;
    if (state_q == Resolve) begin
      addr_q[index_q] <= addr + base;
      exp_q[index_q] <= result ? next_i : exp_i;
      if (index_q == 3'd2) ref_index_q[0] <= ref_index_i;
      if (index_q == 3'd4) ref_index_q[1] <= ref_index_i;
    end
  end

  // ---- Hand over ----
  always_comb begin
    cmd_valid_o = '0;
    cmd_valid_o[unit_q] = state_q == Offer;
    cmd_o = entry_i.cmd;
    for (int unsigned i = 0; i < NumOperands; i++) begin
      cmd_o.t[i].addr = addr_q[i];
      cmd_o.t[i].exp = signed'(exp_q[i]);
    end
  end
  always_ff @(posedge clk_i) begin
    if (taken) info_o[unit_q] <= '{post_mask: entry_i.post_mask, pc: entry_i.pc, ref_index: ref_index_q};
  end

`ifndef SYNTHESIS
  logic [NumUnits-1:0] offered_q;
  cmd_t                offered_cmd_q;
  always_ff @(posedge clk_i) begin
    offered_q <= rst_ni ? cmd_valid_o & ~cmd_ready_i : '0;
    offered_cmd_q <= cmd_o;
    if (rst_ni) begin
      assert ((offered_q & ~cmd_valid_o) == '0) else $error("a command was withdrawn");
      if (offered_q != '0) assert (offered_cmd_q == cmd_o) else $error("a command changed while it waited");
      assert ((free_i & ~occupied_q) == '0) else $error("a free unit was freed");
    end
  end
`endif
endmodule
