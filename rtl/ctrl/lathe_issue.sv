// SPDX-License-Identifier: Apache-2.0
// Starts commands: takes the request's head or the first unit (lowest code) that has room, whose head's semaphores are all
// positive and whose head's results no unfinished command writes; takes the semaphores, resolves addresses and exponents, one
// source a cycle, and hands the command over, or its next piece. A plain matmul is offered 7 cycles after it could start. The results of
// a step of update are given room to grow (numerics.md, section 9, "Range"). Does not retire.
module lathe_issue
  import lathe_pkg::*;
  import lathe_desc_pkg::*;
  import lathe_ctrl_pkg::*;
#(
  parameter int unsigned Lanes = 8
) (
  input  logic                                   clk_i,
  input  logic                                   rst_ni,
  input  logic                                   stop_i,       // level: start nothing more of the program
  input  logic                                   request_stop_i,  // of the request
  input  logic                                   cut_i,        // the program's commands start in pieces
  input  logic                                   hold_program_i,
  input  logic                                   hold_request_i,
  input  logic                                   request_first_i,

  input  logic [NumQueues-1:0]                   head_valid_i,
  input  logic [NumQueues-1:0][NumSemaphores-1:0] head_wait_i,
  input  logic [UnitW-1:0]                       request_unit_i,
  input  logic [NumSemaphores-1:0]               positive_i,
  output logic                                   choose_o,     // a queue whose head may be asked for
  output logic [QueueW-1:0]                      choose_queue_o,
  output logic                                   read_o,       // asks for the head of the queue that was chosen last
  input  entry_t                                 entry_i,      // in the cycle after read_o, late
  output logic                                   start_o,      // what was read starts: a command or a piece
  output logic                                   take_o,       // it takes the semaphores
  output logic                                   pop_o,        // its queue goes on
  output logic [QueueW-1:0]                      queue_o,      // of what was read
  output logic [lathe_ctrl_pkg::UnitW-1:0]       unit_o,
  output logic [NumSemaphores-1:0]               take_mask_o,

  input  logic [NumUnits-1:0]                    room_i,
  input  logic                                   gemm_program_i,  // gemm has an unfinished command of the program
  input  logic                                   request_i,    // a command of the request is unfinished
  input  logic                                   gemm_free_i,  // gemm would soon begin with another command
  output info_t                                  info_o,       // with start_o
  output logic                                   check_o,      // asks whether info_o's results and grow_o are still being written
  output ref_t                                   grow_o,       // with info_o: the register whose next exponent a step looks up
  input  logic                                   conflict_i,   // a cycle later
  input  logic                                   unblock_i,    // pulse: look at conflicts again

  input  logic [15:0]                            base_current_i,
  input  logic [15:0]                            base_next_i,
  input  logic [1:0]                             slot_current_i,
  input  logic [1:0]                             slot_next_i,
  input  logic                                   exponents_ready_i,
  output logic                                   lookup_o,
  output logic [6:0]                             source_o,     // physical index
  input  logic [ExpW-1:0]                        source_exp_i, // a cycle after lookup_o, like the other
  output logic [6:0]                             result_o,
  input  logic [ExpW-1:0]                        result_exp_i,
  input  logic                                   result_static_i,
  output logic                                   assign_o,
  output logic [ExpW-1:0]                        assign_exp_o, // in the cycle of the answer

  // verilator lint_off UNUSEDSIGNAL
  input  update_cfg_t                            update_cfg_i, // not all of it
  // verilator lint_on UNUSEDSIGNAL

  output logic [NumUnits-1:0]                    cmd_valid_o,
  input  logic [NumUnits-1:0]                    cmd_ready_i,
  output cmd_t                                   cmd_o,        // for the unit whose valid is high

  output logic [NumUnits-1:0]                    waiting_o,    // the head waited for a semaphore in the cycle before
  output logic                                   can_start_o,  // a head might start then (now or after a hand-over)
  output logic                                   moves_o       // does not wait for a head or for a unit
);
  // Read: the chosen head comes out of its queue. Check: its results' registers are compared. Then resolve, let the last
  // exponents arrive, and offer.
  typedef enum logic [2:0] {Read, Check, Resolve, Settle, Offer, Advance} state_e;
  state_e               state_q;
  logic [QueueW-1:0]    choice, choice_q, queue_q;
  logic [UnitW-1:0]     unit_q, choice_unit;
  logic [NumUnits-1:0]  waiting;
  logic [NumQueues-1:0] able, able_q, blocked_q, may;
  logic                 chosen_q, held, stopped, request_q, stop;  // request_q: the entry is the request's
  logic [1:0]           stop_q;    // the request, the program: it stopped a cycle ago, maybe with its head just being chosen
  logic                 given_q;   // gemm was given something and does not show it yet

  // What was read, from the cycle after Check on: out of the memory it is late, so in Check little is done with it.
  entry_t entry_q;
  logic   check;
  always_ff @(posedge clk_i) if (check) entry_q <= entry_i;

  // Of the entry: its unit, whether it starts in pieces, and of a piece what lathe_pieces says.
  logic                 policy_q, may_cut, cuts_q, again, piece_last, pieces_busy;
  logic [1:0]           begun;
  logic [AddrW-1:0]     piece_addr, piece_result_addr;
  logic [ExpW-1:0]      piece_exp, piece_exp_q, piece_result_exp;
  logic [DimW-1:0]      piece_m, piece_n, piece_row, piece_col;

  // ---- Choose, while nothing changes what a head may do ----
  always_comb begin
    for (int unsigned u = 0; u < NumUnits; u++) begin
      waiting[u] = head_valid_i[u] && (head_wait_i[u] & ~positive_i) != '0 && !(u < 2 && begun[u[0]]);
      able[u] = head_valid_i[u] && !waiting[u] && room_i[u] && !hold_program_i;
    end
    if (cut_i && (!gemm_free_i || given_q || (gemm_program_i && !begun[0]))) able[0] = 1'b0;
    able[RequestQueue] = head_valid_i[RequestQueue] && !request_i && room_i[request_unit_i] && !hold_request_i;
    may = able_q & ~blocked_q;
    choice = '0;
    for (int unsigned u = NumUnits; u > 0; u--) begin
      if (may[u-1]) choice = QueueW'(u - 1);
    end
    if (may[RequestQueue] && (request_first_i || may[NumUnits-1:0] == '0)) choice = QueueW'(RequestQueue);
  end
  always_ff @(posedge clk_i) begin
    waiting_o <= waiting;
    stop_q <= {request_stop_i, stop_i};
    if (!rst_ni || start_o) able_q <= '0;  // a start changes heads and semaphores
    else able_q <= able & ~{request_stop_i, {NumUnits{stop_i}}};
    if (!rst_ni || stopped || read_o || held) chosen_q <= 1'b0;
    else if (state_q == Read || state_q == Offer || state_q == Advance) chosen_q <= chosen_q || (may != '0 && exponents_ready_i);
    if (!chosen_q) choice_q <= choice;
    if (!rst_ni || !gemm_free_i || !cut_i) given_q <= 1'b0;
    else if (start_o && unit_q == UnitW'(UnitGemm - 3'd1)) given_q <= 1'b1;
  end
  assign choice_unit = (choice_q == QueueW'(RequestQueue)) ? request_unit_i : choice_q[UnitW-1:0];
  assign choose_o = !chosen_q;
  assign choose_queue_o = choice;
  assign can_start_o = able_q != '0;
  assign held = (choice_q == QueueW'(RequestQueue)) ? hold_request_i : hold_program_i;
  assign stopped = (choice_q == QueueW'(RequestQueue)) ? request_stop_i || stop_q[1] : stop_i || stop_q[0];
  assign read_o = state_q == Read && chosen_q && !held && !stopped;
  assign moves_o = state_q != Read && state_q != Offer;
  assign stop = request_q ? request_stop_i : stop_i;

  // ---- Check ----
  function automatic logic [6:0] logical(logic [ExpW-1:0] field);  // register that an exponent field names
    return {field[7:6] != SpaceAbsolute, field[5:0]};
  endfunction

  // verilator lint_off UNUSEDSIGNAL
  plan_t now, plan_q;  // in Check; after it
  // verilator lint_on UNUSEDSIGNAL
  assign now = entry_i.plan;
  assign plan_q = entry_q.plan;
  assign info_o = '{post_mask: piece_last ? entry_q.post_mask : '0, pc: entry_q.pc, request: request_q, more: !piece_last,
                    int8: entry_q.cmd.int8_result && !plan_q.step,
                    result: {ref_t'{write: plan_q.writes[2], index: logical(entry_q.cmd.t5.exp)},
                             ref_t'{write: plan_q.writes[1], index: logical(entry_q.cmd.t[4].exp)},
                             ref_t'{write: plan_q.writes[0], index: logical(entry_q.cmd.t[2].exp)}}};
  assign grow_o = '{write: plan_q.moments, index: logical(entry_q.cmd.t[1].exp)};

  logic                     first_q, verdict_q;  // the cycles after Check
  logic [1:0]               unblock_q;
  logic [NumSemaphores-1:0] take_mask_q;
  always_ff @(posedge clk_i) begin
    first_q <= rst_ni && state_q == Check && !stop;
    verdict_q <= rst_ni && first_q && !stop;
    unblock_q <= {unblock_q[0], unblock_i};
    if (check) take_mask_q <= head_wait_i[queue_q];
  end
  assign start_o = verdict_q && (!conflict_i || again) && !stop;
  assign take_o = start_o && !again;
  assign pop_o = start_o && piece_last;
  assign queue_o = queue_q;
  assign unit_o = unit_q;
  assign take_mask_o = take_mask_q;

  // ---- Resolve: operands 0 and 1, 3 and 4 if they are sources; 2 with the last of these, and 4 after it if it is a result. A step:
  // operands 0 with the next exponent of g, 1 with result 4, 3, then result 2, and 5 after it.
  // What a lookup needs is selected in the cycle before it, what it finds is taken in the cycle after it ----
  localparam int unsigned Operands = NumOperands + 1;
  operand_t [Operands-1:0]        operand;
  logic [Operands-1:0][AddrW-1:0] addr_q;
  logic [AddrW-1:0]                  own_q, base_q;   // of the lookup that is answered
  logic [Operands-1:0][ExpW-1:0]  exp_q;
  logic [2:0]                        index_q, next_q, result_index, found_q;  // found_q: of the lookup that is answered
  assign operand = {entry_q.cmd.t5, entry_q.cmd.t};
  logic [6:0]                        source_q, result_q;
  logic                              lookup_q, second_result_q, last_source_q, second_q, last, dropped;
  logic                              answered_q, answered_last_q, answered_second_q;

  // An exponent field is {space, register}
  function automatic logic [6:0] physical(logic [ExpW-1:0] field, logic [1:0] current, logic [1:0] next);
    if (field[7:6] == SpaceAbsolute) return {1'b0, field[5:0]};
    return {1'b1, (field[7:6] == SpaceCurrent) ? current : next, field[3:0]};
  endfunction
  function automatic logic [AddrW-1:0] offset(logic [1:0] space, logic [AddrW-1:0] current, logic [AddrW-1:0] next);
    return (space == SpaceAbsolute) ? '0 : (space == SpaceCurrent) ? current : next;
  endfunction

  assign second_result_q = plan_q.step ? plan_q.writes[2] : plan_q.writes[1];  // beside 2, after the sources
  assign last = second_q || (last_source_q && !second_result_q);
  assign dropped = (first_q && stop) || (verdict_q && !start_o);
  assign check = state_q == Check;
  assign check_o = first_q;
  assign lookup_o = lookup_q;
  assign source_o = source_q;
  assign result_o = result_q;
  assign assign_o = !again && (second_q || (last_source_q && plan_q.writes[0] && !dropped) || (plan_q.moments && index_q == 3'd1 && !dropped));
  always_comb begin
    result_index = last_source_q ? (plan_q.step ? 3'd5 : 3'd4) : 3'd2;
    if (plan_q.step && next_q == 3'd1) result_index = 3'd4;
  end

  // A result of a step that is not static has room for the largest sum of its terms. least_q: of the result that is answered
  localparam int unsigned SumW = 10;
  logic signed [ExpW:0]     rate_top_q;  // exponent of the learning rate's top, and one
  logic signed [SumW-1:0]   top;
  logic signed [ExpW-1:0]   least_q;
  logic [ExpW-1:0]          result_exp;  // of a tanh it is not used
  assign top = (found_q == 3'd0) ? SumW'(signed'(result_exp_i)) + SumW'(entry_q.cmd.op == UpdateNesterov)
                                 : SumW'(signed'(exp_q[plan_q.moments ? 3'd4 : 3'd1])) + SumW'(rate_top_q);
  always_ff @(posedge clk_i) begin
    rate_top_q <= (ExpW+1)'(update_cfg_i.lr_exp) + (ExpW+1)'(lathe_num_pkg::bit_length(64'(update_cfg_i.lr_mant))) + (ExpW+1)'(1);
    if (found_q != 3'd0 && entry_q.cmd.op == UpdateAdam) least_q <= ExpW'(signed'(update_cfg_i.rate_log[23:18])) - ExpW'(10);
    else if (top > 63) least_q <= ExpW'(63);
    else least_q <= (top < -64) ? -ExpW'(64) : top[ExpW-1:0];
  end
  always_comb begin
    result_exp = result_exp_i;
    if (plan_q.step && !answered_second_q && !result_static_i && least_q > signed'(result_exp_i)) result_exp = least_q;
    assign_exp_o = result_exp;
    if (!answered_second_q && entry_q.cmd.act == ActTanh) assign_exp_o = entry_q.cmd.int8_result ? 8'(-7) : 8'(-15);
  end

  logic taken;
  assign taken = (cmd_valid_o & cmd_ready_i) != '0;
  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      state_q <= Read;
      lookup_q <= 1'b0;
      cmd_valid_o <= '0;
      blocked_q <= '0;
    end else begin
      lookup_q <= 1'b0;
      unique case (state_q)
        Read: if (read_o) state_q <= Check;
        Check: if (stop) state_q <= Read;
               else begin
                 state_q <= Resolve;
                 lookup_q <= 1'b1;
               end
        Resolve: if (dropped) state_q <= Read;
                 else if (last) state_q <= Settle;
                 else lookup_q <= 1'b1;
        Settle: begin
          state_q <= Offer;
          cmd_valid_o[unit_q] <= 1'b1;
        end
        Offer: if (taken) begin
          state_q <= piece_last ? Read : Advance;
          cmd_valid_o <= '0;
        end
        default: if (!pieces_busy) state_q <= Read;
      endcase
      if (unblock_i) blocked_q <= '0;
      else if (verdict_q && conflict_i && !again && unblock_q == '0) blocked_q[queue_q] <= 1'b1;
    end
  end
  always_ff @(posedge clk_i) begin
    if (read_o) begin
      queue_q <= choice_q;
      request_q <= choice_q == QueueW'(RequestQueue);
      unit_q <= choice_unit;
      policy_q <= choice_unit == UnitW'(UnitPolicy - 3'd1);
      next_q <= '0;
    end
    if (check || lookup_q) begin
      index_q <= next_q;
      last_source_q <= lookup_q && next_q == (plan_q.source4 ? 3'd4 : plan_q.source3 ? 3'd3 : 3'd1);
      next_q <= (next_q == 3'd0) ? 3'd1 : (next_q == 3'd1 && plan_q.source3) ? 3'd3 : (next_q == 3'd4) ? 3'd5 : 3'd4;
      second_q <= lookup_q && last_source_q && second_result_q;
      source_q <= physical(check ? entry_i.cmd.t[0].exp : operand[next_q].exp, slot_current_i, slot_next_i);
      result_q <= physical(check ? now.first : operand[result_index].exp, slot_current_i, slot_next_i);
    end
    answered_q <= lookup_q;
    if (lookup_q) begin
      found_q <= index_q;
      answered_last_q <= last_source_q;
      answered_second_q <= second_q;
      piece_exp_q <= piece_exp;
      own_q <= again ? piece_addr : operand[index_q].addr;
      base_q <= again ? '0 : offset(operand[index_q].exp[7:6], base_current_i, base_next_i);
    end
    if (answered_q) begin
      addr_q[found_q] <= own_q + base_q;
      if (!plan_q.step || found_q != 3'd4) exp_q[found_q] <= again ? piece_exp_q : answered_second_q ? result_exp_i : source_exp_i;
      if (plan_q.step && found_q == 3'd1) exp_q[4] <= result_exp;
      if (answered_last_q) begin
        addr_q[2] <= again ? piece_result_addr : entry_q.cmd.t[2].addr + offset(entry_q.cmd.t[2].exp[7:6], base_current_i, base_next_i);
        exp_q[2] <= again ? piece_result_exp : result_exp;
      end
    end
  end

  // ---- Pieces ----
  assign may_cut = cut_i && !request_q && (policy_q || unit_q == UnitW'(UnitGemm - 3'd1));
  lathe_pieces #(
    .Lanes(Lanes)
  ) u_pieces (
    .clk_i,
    .rst_ni,
    .stop_i,
    .begun_o      (begun),
    .check_i      (check),
    .may_i        (may_cut),
    .cuts_i       (may_cut && now.cuttable),
    .policy_i     (policy_q),
    .blocks_i     (now.blocks),
    .m_i          (entry_i.cmd.m),
    .n_i          (entry_i.cmd.n),
    .cmd_i        (entry_q.cmd),
    .cuts_o       (cuts_q),
    .again_o      (again),
    .operand_i    (index_q),
    .addr_o       (piece_addr),
    .result_addr_o(piece_result_addr),
    .exp_o        (piece_exp),
    .result_exp_o (piece_result_exp),
    .last_o       (piece_last),
    .m_o          (piece_m),
    .n_o          (piece_n),
    .first_row_o  (piece_row),
    .first_col_o  (piece_col),
    .start_i      (start_o),
    .next_i       (taken),
    .addr_i       (addr_q[NumOperands-1:0]),
    .exp_i        (exp_q[NumOperands-1:0]),
    .busy_o       (pieces_busy)
  );

  // ---- Hand over. Nothing that a piece or a request reads is still being written: whatever came before has ended ----
  always_comb begin
    cmd_o = entry_q.cmd;
    cmd_o.m = piece_m;
    cmd_o.n = piece_n;
    cmd_o.first_row = piece_row;
    cmd_o.first_col = piece_col;
    cmd_o.all_rows = entry_q.cmd.m;
    cmd_o.colsum = entry_q.cmd.colsum && piece_row == '0;
    if (cuts_q || request_q) begin
      cmd_o.overlap = '1;
      cmd_o.chain = 1'b0;
    end
    for (int unsigned i = 0; i < NumOperands; i++) begin
      cmd_o.t[i].addr = addr_q[i];
      cmd_o.t[i].exp = signed'(exp_q[i]);
    end
    cmd_o.t5.addr = addr_q[5];
    cmd_o.t5.exp = signed'(exp_q[5]);
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
