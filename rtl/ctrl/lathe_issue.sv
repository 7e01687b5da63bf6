// SPDX-License-Identifier: Apache-2.0
// Starts commands: takes the first unit (lowest code) that has room, whose head's semaphores are all positive and whose
// head's results no unfinished command writes; takes the semaphores, resolves addresses and exponents one operand a cycle,
// and hands the command over. A plain matmul is offered 4 cycles after it could start. Does not retire.
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
  output logic                                   read_o,       // asks for a unit's head
  output logic [lathe_ctrl_pkg::UnitW-1:0]       read_unit_o,
  input  entry_t                                 entry_i,      // from the cycle after read_o until the next
  output logic                                   pop_o,        // the head that was read starts: takes the semaphores
  output logic [lathe_ctrl_pkg::UnitW-1:0]       unit_o,       // of entry_i
  output logic [NumSemaphores-1:0]               take_mask_o,

  input  logic [NumUnits-1:0]                    room_i,
  output info_t                                  info_o,       // with pop_o
  input  logic                                   conflict_i,   // info_o's results are still being written
  input  logic                                   unblock_i,    // pulse: look at conflicts again

  input  logic [15:0]                            base_current_i,
  input  logic [15:0]                            base_next_i,
  input  logic                                   exponents_ready_i,
  output logic                                   lookup_o,
  output logic [5:0]                             ref_exp_o,
  output logic [1:0]                             ref_space_o,
  output logic                                   result_o,
  output logic                                   assign_o,
  output logic                                   fixed_o,
  output logic [ExpW-1:0]                        fixed_exp_o,
  input  logic [ExpW-1:0]                        exp_i,

  output logic [NumUnits-1:0]                    cmd_valid_o,
  input  logic [NumUnits-1:0]                    cmd_ready_i,
  output cmd_t                                   cmd_o,        // for the unit whose valid is high

  output logic [NumUnits-1:0]                    waiting_o,    // the head waits for a semaphore
  output logic                                   can_start_o   // a head may start (now or after a hand-over)
);
  typedef enum logic [1:0] {Idle, Take, Resolve, Offer} state_e;
  state_e              state_q;
  logic [UnitW-1:0]    unit_q;
  logic [NumUnits-1:0] ready, blocked_q;

  // ---- Choose ----
  always_comb begin
    read_unit_o = '0;
    for (int unsigned u = 0; u < NumUnits; u++) begin
      waiting_o[u] = head_valid_i[u] && (head_wait_i[u] & ~positive_i) != '0;
      ready[u] = head_valid_i[u] && room_i[u] && !waiting_o[u];
    end
    for (int unsigned u = NumUnits; u > 0; u--) begin
      if (ready[u-1] && !blocked_q[u-1]) read_unit_o = UnitW'(u - 1);
    end
  end
  assign can_start_o = ready != '0;
  assign read_o = state_q == Idle && (ready & ~blocked_q) != '0 && !stop_i && exponents_ready_i;

  // ---- Take: the entry is there, its results' registers are compared ----
  logic       gemm, sgd;
  logic [1:0] writes;  // results that have an exponent: operands 2 and 4
  assign gemm = unit_q == UnitW'(UnitGemm - 3'd1);
  assign sgd = unit_q == UnitW'(UnitUpdate - 3'd1) && entry_i.cmd.op == UpdateSgd;
  assign writes[0] = gemm || sgd || (unit_q == UnitW'(UnitPolicy - 3'd1) && entry_i.cmd.op == PolicyLoss);
  assign writes[1] = sgd || entry_i.cmd.colsum;

  function automatic ref_t result_ref(logic write, logic [1:0] space, logic [5:0] exp);
    return '{write: write, index: {space != SpaceAbsolute, exp}};
  endfunction
  assign info_o = '{post_mask: entry_i.post_mask, pc: entry_i.pc, int8: entry_i.cmd.int8_result,
                    result: {result_ref(writes[1], entry_i.cmd.t[4].exp[7:6], entry_i.cmd.t[4].exp[5:0]),
                             result_ref(writes[0], entry_i.cmd.t[2].exp[7:6], entry_i.cmd.t[2].exp[5:0])}};
  assign pop_o = state_q == Take && !conflict_i && !stop_i;
  assign unit_o = unit_q;
  assign take_mask_o = head_wait_i[unit_q];

  // ---- Resolve: operands 0 and 1, 3 and 4 if they are used, 2, and 4 if it is a result: sources come before results ----
  logic [NumOperands-1:0][AddrW-1:0] addr_q;
  logic [NumOperands-1:0][ExpW-1:0]  exp_q;
  logic [AddrW-1:0]                  base;
  logic [2:0]                        index_q, index_d;
  logic                              use3, source4, last;

  assign use3 = entry_i.cmd.bias || sgd;
  assign source4 = entry_i.cmd.dact != ActNone || entry_i.cmd.accumulate;
  assign last = index_q == (writes[1] ? 3'd4 : 3'd2);
  always_comb begin
    unique case (index_q)
      3'd0:    index_d = 3'd1;
      3'd1:    index_d = use3 ? 3'd3 : source4 ? 3'd4 : 3'd2;
      3'd3:    index_d = source4 ? 3'd4 : 3'd2;
      3'd4:    index_d = 3'd2;
      default: index_d = 3'd4;
    endcase
  end
  assign lookup_o = state_q == Take || state_q == Resolve;
  assign {ref_space_o, ref_exp_o} = entry_i.cmd.t[index_q].exp;
  assign result_o = index_q == 3'd2 || (index_q == 3'd4 && writes[1]);
  assign assign_o = (index_q == 3'd2 && writes[0]) || (index_q == 3'd4 && writes[1]);
  assign fixed_o = index_q == 3'd2 && entry_i.cmd.act == ActTanh;
  assign fixed_exp_o = entry_i.cmd.int8_result ? 8'(-7) : 8'(-15);
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
      blocked_q <= '0;
    end else begin
      unique case (state_q)
        Idle:    if (read_o) state_q <= Take;
        Take:    state_q <= pop_o ? Resolve : Idle;
        Resolve: if (last) state_q <= Offer;
        default: if (taken) state_q <= Idle;
      endcase
      if (unblock_i) blocked_q <= '0;
      else if (state_q == Take && conflict_i) blocked_q[unit_q] <= 1'b1;
    end
  end
  always_ff @(posedge clk_i) begin
    if (read_o) unit_q <= read_unit_o;
    index_q <= lookup_o ? index_d : '0;
    if (lookup_o) begin
      addr_q[index_q] <= entry_i.cmd.t[index_q].addr + base;
      exp_q[index_q] <= exp_i;
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

`ifndef SYNTHESIS
  logic [NumUnits-1:0] offered_q;
  cmd_t                offered_cmd_q;
  always_ff @(posedge clk_i) begin
    offered_q <= rst_ni ? cmd_valid_o & ~cmd_ready_i : '0;
    offered_cmd_q <= cmd_o;
    if (rst_ni) begin
      assert ((offered_q & ~cmd_valid_o) == '0) else $error("a command was withdrawn");
      if (offered_q != '0) assert (offered_cmd_q == cmd_o) else $error("a command changed while it waited");
    end
  end
`endif
endmodule
