// SPDX-License-Identifier: Apache-2.0
// Starts commands: takes the request's head or the first unit (lowest code) that has room, whose head's semaphores are all
// positive and whose head's results no unfinished command writes; takes the semaphores, resolves addresses and exponents, one
// source a cycle, and hands the command over, or its next piece. A plain matmul is offered 7 cycles after it could start. Does not retire.
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
  input  entry_t                                 entry_i,      // from the cycle after read_o until the next
  output logic                                   start_o,      // what was read starts: a command or a piece
  output logic                                   take_o,       // it takes the semaphores
  output logic                                   pop_o,        // its queue goes on
  output logic [QueueW-1:0]                      queue_o,      // of entry_i
  output logic [lathe_ctrl_pkg::UnitW-1:0]       unit_o,       // of entry_i
  output logic [NumSemaphores-1:0]               take_mask_o,

  input  logic [NumUnits-1:0]                    room_i,
  input  logic                                   gemm_program_i,  // gemm has an unfinished command of the program
  input  logic                                   request_i,    // a command of the request is unfinished
  input  logic                                   gemm_free_i,  // gemm would soon begin with another command
  output info_t                                  info_o,       // with start_o
  output logic                                   check_o,
  input  logic                                   conflict_i,   // two cycles later: info_o's results are still being written
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
  output logic                                   assign_o,
  output logic                                   fixed_o,
  output logic [ExpW-1:0]                        fixed_exp_o,

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
  logic                 chosen_q, held, request_q, stop;  // request_q: the entry is the request's
  logic                 given_q;   // gemm was given something and does not show it yet

  // Of the entry: its unit, whether it starts in pieces, and of a piece what lathe_pieces says.
  logic                 gemm_q, policy_q, update_q, cuts, again, piece_last, pieces_busy;
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
    if (!rst_ni || stop_i || request_stop_i || start_o) able_q <= '0;  // a start changes heads and semaphores
    else able_q <= able;
    if (!rst_ni || stop_i || request_stop_i || read_o || held) chosen_q <= 1'b0;
    else if (state_q == Read || state_q == Offer || state_q == Advance) chosen_q <= chosen_q || (may != '0 && exponents_ready_i);
    if (!chosen_q) choice_q <= choice;
    if (!rst_ni || !gemm_free_i || !cut_i) given_q <= 1'b0;
    else if (start_o && gemm_q) given_q <= 1'b1;
  end
  assign choice_unit = (choice_q == QueueW'(RequestQueue)) ? request_unit_i : choice_q[UnitW-1:0];
  assign choose_o = !chosen_q;
  assign choose_queue_o = choice;
  assign can_start_o = able_q != '0;
  assign held = (choice_q == QueueW'(RequestQueue)) ? hold_request_i : hold_program_i;
  assign read_o = state_q == Read && chosen_q && !held && !stop_i && !request_stop_i;
  assign moves_o = state_q != Read && state_q != Offer;
  assign stop = request_q ? request_stop_i : stop_i;

  // ---- Check ----
  logic       sgd;
  logic [1:0] writes, writes_q;  // results that have an exponent: operands 2 and 4
  assign sgd = update_q && entry_i.cmd.op == UpdateMomentum;
  assign writes[0] = gemm_q || sgd || (policy_q && entry_i.cmd.op == PolicyLoss);
  assign writes[1] = sgd || entry_i.cmd.colsum;

  function automatic ref_t result_ref(logic write, logic [1:0] space, logic [5:0] exp);
    return '{write: write, index: {space != SpaceAbsolute, exp}};
  endfunction
  assign info_o = '{post_mask: piece_last ? entry_i.post_mask : '0, pc: entry_i.pc, request: request_q, more: !piece_last,
                    int8: entry_i.cmd.int8_result,
                    result: {result_ref(writes[1], entry_i.cmd.t[4].exp[7:6], entry_i.cmd.t[4].exp[5:0]),
                             result_ref(writes[0], entry_i.cmd.t[2].exp[7:6], entry_i.cmd.t[2].exp[5:0])}};

  logic                     first_q, verdict_q;  // the cycles after Check
  logic [1:0]               unblock_q;
  logic [NumSemaphores-1:0] take_mask_q;
  always_ff @(posedge clk_i) begin
    first_q <= rst_ni && state_q == Check && !stop;
    verdict_q <= rst_ni && first_q && !stop;
    unblock_q <= {unblock_q[0], unblock_i};
    if (check_o) take_mask_q <= head_wait_i[queue_q];
  end
  assign start_o = verdict_q && (!conflict_i || again) && !stop;
  assign take_o = start_o && !again;
  assign pop_o = start_o && piece_last;
  assign queue_o = queue_q;
  assign unit_o = unit_q;
  assign take_mask_o = take_mask_q;

  // ---- Resolve: operands 0 and 1, 3 and 4 if they are sources; 2 with the last of these, and 4 after it if it is a result.
  // What a lookup needs is selected in the cycle before it, what it finds is taken in the cycle after it ----
  logic [NumOperands-1:0][AddrW-1:0] addr_q;
  logic [AddrW-1:0]                  own_q, base_q;   // of the lookup that is answered
  logic [NumOperands-1:0][ExpW-1:0]  exp_q;
  logic [2:0]                        index_q, next_q, found_q;  // found_q: of the lookup that is answered
  logic [6:0]                        source_q, result_q;
  logic                              lookup_q, use3, use3_q, source4_q, last_source_q, second_q, last, dropped;
  logic                              answered_q, answered_last_q, answered_second_q;

  // An exponent field is {space, register}
  function automatic logic [6:0] physical(logic [ExpW-1:0] field, logic [1:0] current, logic [1:0] next);
    if (field[7:6] == SpaceAbsolute) return {1'b0, field[5:0]};
    return {1'b1, (field[7:6] == SpaceCurrent) ? current : next, field[3:0]};
  endfunction
  function automatic logic [AddrW-1:0] offset(logic [1:0] space, logic [AddrW-1:0] current, logic [AddrW-1:0] next);
    return (space == SpaceAbsolute) ? '0 : (space == SpaceCurrent) ? current : next;
  endfunction

  assign use3 = entry_i.cmd.bias || sgd;
  assign last = second_q || (last_source_q && !writes_q[1]);
  assign dropped = (first_q && stop) || (verdict_q && !start_o);
  assign check_o = state_q == Check;
  assign lookup_o = lookup_q;
  assign source_o = source_q;
  assign result_o = result_q;
  assign assign_o = !again && (second_q || (last_source_q && writes_q[0] && !dropped));
  assign fixed_o = !second_q && entry_i.cmd.act == ActTanh;
  assign fixed_exp_o = entry_i.cmd.int8_result ? 8'(-7) : 8'(-15);

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
      gemm_q <= choice_unit == UnitW'(UnitGemm - 3'd1);
      policy_q <= choice_unit == UnitW'(UnitPolicy - 3'd1);
      update_q <= choice_unit == UnitW'(UnitUpdate - 3'd1);
      next_q <= '0;
    end
    if (check_o) begin
      writes_q <= writes;
      use3_q <= use3;
      source4_q <= entry_i.cmd.dact != ActNone || entry_i.cmd.accumulate || entry_i.cmd.sequence_words;
    end
    if (check_o || lookup_q) begin
      index_q <= next_q;
      last_source_q <= next_q == (source4_q ? 3'd4 : use3_q ? 3'd3 : 3'd1);
      next_q <= (next_q == 3'd0) ? 3'd1 : (next_q == 3'd1 && use3_q) ? 3'd3 : 3'd4;
      second_q <= lookup_q && last_source_q && writes_q[1];
      source_q <= physical(entry_i.cmd.t[next_q].exp, slot_current_i, slot_next_i);
      result_q <= physical(entry_i.cmd.t[last_source_q ? 3'd4 : 3'd2].exp, slot_current_i, slot_next_i);
    end
    answered_q <= lookup_q;
    if (lookup_q) begin
      found_q <= index_q;
      answered_last_q <= last_source_q;
      answered_second_q <= second_q;
      piece_exp_q <= piece_exp;
      own_q <= again ? piece_addr : entry_i.cmd.t[index_q].addr;
      base_q <= again ? '0 : offset(entry_i.cmd.t[index_q].exp[7:6], base_current_i, base_next_i);
    end
    if (answered_q) begin
      addr_q[found_q] <= own_q + base_q;
      exp_q[found_q] <= again ? piece_exp_q : answered_second_q ? result_exp_i : source_exp_i;
      if (answered_last_q) begin
        addr_q[2] <= again ? piece_result_addr : entry_i.cmd.t[2].addr + offset(entry_i.cmd.t[2].exp[7:6], base_current_i, base_next_i);
        exp_q[2] <= again ? piece_result_exp : result_exp_i;
      end
    end
  end

  // ---- Pieces ----
  assign cuts = cut_i && !request_q && (gemm_q || (policy_q && entry_i.cmd.op != PolicyMeasure && entry_i.cmd.op != PolicyScan &&
                                                   !entry_i.cmd.sequence_words));
  lathe_pieces #(
    .Lanes(Lanes)
  ) u_pieces (
    .clk_i,
    .rst_ni,
    .stop_i,
    .begun_o      (begun),
    .check_i      (check_o),
    .cuts_i       (cuts),
    .policy_i     (policy_q),
    .cmd_i        (entry_i.cmd),
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
    .addr_i       (addr_q),
    .exp_i        (exp_q),
    .busy_o       (pieces_busy)
  );

  // ---- Hand over. Nothing that a piece or a request reads is still being written: whatever came before has ended ----
  always_comb begin
    cmd_o = entry_i.cmd;
    cmd_o.m = piece_m;
    cmd_o.n = piece_n;
    cmd_o.first_row = piece_row;
    cmd_o.first_col = piece_col;
    cmd_o.all_rows = entry_i.cmd.m;
    cmd_o.colsum = entry_i.cmd.colsum && piece_row == '0;
    if (cuts || request_q) begin
      cmd_o.overlap = '1;
      cmd_o.chain = 1'b0;
    end
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
