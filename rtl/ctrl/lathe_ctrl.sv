// SPDX-License-Identifier: Apache-2.0
// Control: host registers, program memory, sequencer, queues, issue, retirement, exponents and the weight group.
// Turns a program into commands for the units; computes nothing itself.
module lathe_ctrl
  import lathe_pkg::*;
  import lathe_ctrl_pkg::*;
  import lathe_desc_pkg::arbitration_e;
  import lathe_desc_pkg::ArbCommand;
#(
  parameter int unsigned Lanes = 8,
  parameter int unsigned Banks = 8,
  parameter int unsigned Slots = 4  // of the weight group, at most
) (
  input  logic                 clk_i,
  input  logic                 rst_ni,
  input  logic                 por_ni,  // with rst_ni only
  output logic                 irq_o,

  input  logic                 s_axil_awvalid,
  output logic                 s_axil_awready,
  input  logic [14:0]          s_axil_awaddr,
  input  logic [2:0]           s_axil_awprot,
  input  logic                 s_axil_wvalid,
  output logic                 s_axil_wready,
  input  logic [31:0]          s_axil_wdata,
  input  logic [3:0]           s_axil_wstrb,
  output logic                 s_axil_bvalid,
  input  logic                 s_axil_bready,
  output logic [1:0]           s_axil_bresp,
  input  logic                 s_axil_arvalid,
  output logic                 s_axil_arready,
  input  logic [14:0]          s_axil_araddr,
  input  logic [2:0]           s_axil_arprot,
  output logic                 s_axil_rvalid,
  input  logic                 s_axil_rready,
  output logic [31:0]          s_axil_rdata,
  output logic [1:0]           s_axil_rresp,

  output logic  [NumUnits-1:0] cmd_valid_o,
  input  logic  [NumUnits-1:0] cmd_ready_i,
  output cmd_t  [NumUnits-1:0] cmd_o,
  input  logic  [NumUnits-1:0] done_valid_i,
  input  done_t [NumUnits-1:0] done_i,
  input  logic  [NumUnits-1:0] stall_operand_i,
  input  logic  [NumUnits-1:0] stall_result_i,
  input  logic                 mac_step_i,
  input  logic                 gemm_free_i,  // gemm would soon begin with another command

  output policy_cfg_t          policy_cfg_o,
  input  policy_stats_t        policy_stats_i,
  output logic                 stats_clear_o,
  output update_cfg_t          update_cfg_o,
  output logic                 norm_clear_o,
  input  logic                 norm_zero_i,
  input  logic signed [31:0]   norm_i,
  input  logic                 move_valid_i,  // of the update unit: see lathe_weights
  input  logic [4:0]           move_op_i,
  input  logic [1:0]           move_slot_i,
  output logic                 move_done_o,
  output lathe_desc_pkg::error_e move_error_o,

  input  logic                 fault_valid_i,  // faults of the scratchpad
  input  fault_t               fault_i,
  input  logic  [NumUnits-1:0] bad_i,          // this unit gets an uncorrectable word
  output logic                 poisoned_o,     // so the program must not commit
  output logic [4:0]           scrub_interval_o,
  output logic                 inject_valid_o,
  output inject_t              inject_o,
  input  logic                 inject_busy_i,

  output unit_trace_t [NumUnits-1:0] trace_o
);
  // ---- Host ----
  done_t [NumUnits-1:0] unit_done;
  logic                 uncorrectable;
  logic [31:0]          corrected, uncorrected;
  fault_t               last_fault;
  logic           start_asked, start, perf_clear, group_init, busy, done, error, stop, dispatch;
  logic [PcW-1:0] start_pc;
  logic           request_asked, request_start, request_busy, request_done, request_error, request_stop, request_dispatch;
  logic [PcW-1:0] request_pc;
  logic [31:0]    request_opnum;
  report_t        request_report;
  arbitration_e   arbiter_policy;
  logic [4:0]     arbiter_slice;
  logic [31:0]    seed, opnum;
  group_t         group;
  weights_t       weights;
  logic           host_move_valid;
  logic [4:0]     host_move_op;
  logic [1:0]     host_move_slot;
  logic [15:0]    base_current, base_next, base_held, group_size, version_held, policy_version;
  logic [1:0]     slot_held;
  grants_t        grants;
  logic [15:0]    group_first;
  logic [16:0]    group_end;
  report_t        report;
  logic           counting, count_valid, count_ready;
  logic [4:0]     count_index;
  logic [31:0]    count, saturations_sum;
  logic           host_mem_en, host_mem_write, host_exp_valid, host_exp_ready, host_exp_write, host_exp_history;
  logic [11:0]    host_mem_index;
  logic [31:0]    host_mem_wdata, host_mem_rdata;
  logic [6:0]     host_exp_index;
  logic [1:0]     host_exp_word;
  logic [31:0]    host_exp_wdata, host_exp_rdata;

  // ---- Gradient norm: anew with each program and each version ----
  always_ff @(posedge clk_i) norm_clear_o <= !rst_ni || start || (move_valid_i && move_op_i == lathe_desc_pkg::UpdateCommit);

  lathe_csr #(
    .Lanes(Lanes),
    .Banks(Banks),
    .Slots(Slots)
  ) u_csr (
    .clk_i,
    .rst_ni,
    .irq_o,
    .s_axil_awvalid,
    .s_axil_awready,
    .s_axil_awaddr,
    .s_axil_awprot,
    .s_axil_wvalid,
    .s_axil_wready,
    .s_axil_wdata,
    .s_axil_wstrb,
    .s_axil_bvalid,
    .s_axil_bready,
    .s_axil_bresp,
    .s_axil_arvalid,
    .s_axil_arready,
    .s_axil_araddr,
    .s_axil_arprot,
    .s_axil_rvalid,
    .s_axil_rready,
    .s_axil_rdata,
    .s_axil_rresp,
    .start_o(start_asked),
    .stats_clear_o,
    .perf_clear_o(perf_clear),
    .group_init_o(group_init),
    .start_pc_o(start_pc),
    .seed_o(seed),
    .opnum_o(opnum),
    .opnum_increment_i(dispatch),
    .request_o(request_asked),
    .request_pc_o(request_pc),
    .request_opnum_o(request_opnum),
    .request_opnum_increment_i(request_dispatch),
    .arbiter_policy_o(arbiter_policy),
    .arbiter_slice_o(arbiter_slice),
    .group_o(group),
    .move_valid_o(host_move_valid),
    .move_op_o(host_move_op),
    .move_slot_o(host_move_slot),
    .move_done_i(move_done_o && !busy),
    .move_error_i(move_error_o),
    .grants_o(grants),
    .policy_cfg_o,
    .update_cfg_o,
    .norm_zero_i,
    .norm_i,
    .started_i(start),
    .busy_i(busy),
    .done_i(done),
    .error_i(error),
    .report_i(report),
    .requested_i(request_start),
    .request_busy_i(request_busy),
    .request_done_i(request_done),
    .request_error_i(request_error),
    .request_report_i(request_report),
    .weights_i(weights),
    .policy_version_i(policy_version),
    .saturations_i(saturations_sum),
    .scrub_interval_o,
    .inject_valid_o,
    .inject_o,
    .inject_busy_i,
    .uncorrectable_i(uncorrectable),
    .corrected_i(corrected),
    .uncorrected_i(uncorrected),
    .fault_i(last_fault),
    .count_valid_o(count_valid),
    .count_ready_i(count_ready),
    .count_index_o(count_index),
    .count_i(count),
    .stats_i(policy_stats_i),
    .progmem_en_o(host_mem_en),
    .progmem_write_o(host_mem_write),
    .progmem_index_o(host_mem_index),
    .progmem_wdata_o(host_mem_wdata),
    .progmem_rdata_i(host_mem_rdata),
    .exponents_valid_o(host_exp_valid),
    .exponents_ready_i(host_exp_ready),
    .exponents_write_o(host_exp_write),
    .exponents_history_o(host_exp_history),
    .exponents_index_o(host_exp_index),
    .exponents_word_o(host_exp_word),
    .exponents_wdata_o(host_exp_wdata),
    .exponents_rdata_i(host_exp_rdata)
  );

  // ---- Faults of the scratchpad ----
  lathe_faults u_faults (
    .clk_i,
    .rst_ni,
    .clear_i(perf_clear),
    .start_i(start),
    .fault_valid_i,
    .fault_i,
    .bad_i,
    .gemm_taken_i(cmd_valid_o[0] && cmd_ready_i[0]),
    .done_valid_i,
    .done_i,
    .done_o(unit_done),
    .poisoned_o,
    .uncorrectable_o(uncorrectable),
    .corrected_o(corrected),
    .uncorrected_o(uncorrected),
    .last_o(last_fault)
  );

  // ---- Program: fetch, check, queue ----
  logic        seq_mem_en, seq_running, seq_stuck, seq_waits, seq_report_valid, push_try, push_valid, push_ready;
  logic        seq_request_running, seq_request_report_valid, unit_request_report_valid;
  logic [9:0]  seq_mem_row;
  logic [3:0][31:0] seq_mem_rdata;
  report_t     seq_report, unit_report;
  logic        unit_report_valid, choose, entry_read, issue, take, pop, can_start;
  entry_t      push_entry, entry;
  logic [QueueW-1:0]                      push_unit, choose_queue, queue;
  logic [UnitW-1:0]                       unit, request_unit, push_request_unit;
  logic [NumSemaphores-1:0]               push_wait, positive, take_mask, post_mask;
  logic [NumUnits-1:0]                    room, occupied, waiting;
  logic [NumQueues-1:0]                   head_valid;
  logic [NumQueues-1:0][NumSemaphores-1:0] head_wait;
  logic [NumQueues-1:0][PcW-1:0]          head_pc;
  logic                                   request_occupied, request_room;

  // Registered, as a path from the queues to the program's address would be the chip's longest. A cycle late is in time: a descriptor is
  // judged many cycles after the one before it was pushed.
  logic request_pending_q;
  always_ff @(posedge clk_i) request_pending_q <= head_valid[RequestQueue] || request_occupied;

  lathe_progmem u_progmem (
    .clk_i,
    .host_en_i(host_mem_en),
    .host_write_i(host_mem_write),
    .host_index_i(host_mem_index),
    .host_wdata_i(host_mem_wdata),
    .host_rdata_o(host_mem_rdata),
    .seq_en_i(seq_mem_en),
    .seq_row_i(seq_mem_row),
    .seq_rdata_o(seq_mem_rdata)
  );

  lathe_sequencer #(
    .Lanes(Lanes),
    .Banks(Banks)
  ) u_sequencer (
    .clk_i,
    .rst_ni,
    .start_i(start),
    .start_pc_i(start_pc),
    .stop_i(stop),
    .running_o(seq_running),
    .stuck_o(seq_stuck),
    .request_start_i(request_start),
    .request_pc_i(request_pc),
    .request_stop_i(request_stop),
    .request_running_o(seq_request_running),
    .request_room_i(request_room),
    .request_pending_i(request_pending_q),
    .waits_o(seq_waits),
    .mem_en_o(seq_mem_en),
    .mem_row_o(seq_mem_row),
    .mem_rdata_i(seq_mem_rdata),
    .seed_i(seed),
    .opnum_i(opnum),
    .request_opnum_i(request_opnum),
    .dispatch_o(dispatch),
    .request_dispatch_o(request_dispatch),
    .group_size_i(group_size),
    .group_first_i(group_first),
    .group_end_i(group_end),
    .grants_i(grants),
    .push_try_o(push_try),
    .push_valid_o(push_valid),
    .push_ready_i(push_ready),
    .push_unit_o(push_unit),
    .push_wait_o(push_wait),
    .push_entry_o(push_entry),
    .push_request_unit_o(push_request_unit),
    .report_valid_o(seq_report_valid),
    .request_report_valid_o(seq_request_report_valid),
    .report_o(seq_report)
  );

  // How long no request has run, up to what issue takes to see it.
  logic [3:0] request_quiet_q;
  always_ff @(posedge clk_i) request_quiet_q <= (!rst_ni || request_busy) ? '0 : {request_quiet_q[2:0], 1'b1};

  // Between the starts and ends of commands nothing moves in what has this clock.
  logic clk, cut, issue_moves, exponents_ready, finish, retired, retire_valid;
  lathe_clock_stop u_clock (
    .clk_i,
    .wanted_i(!rst_ni || start || stop || request_quiet_q != '1 || request_start || cut || !seq_waits || issue_moves || (cmd_valid_o & cmd_ready_i) != '0 || !exponents_ready ||
              done_valid_i != '0 || retire_valid || finish || retired),
    .clk_o   (clk)
  );

  lathe_queue u_queue (
    .clk_i(clk),
    .rst_ni,
    .flush_i(stop),
    .flush_request_i(request_stop),
    .push_try_i(push_try),
    .push_valid_i(push_valid),
    .push_ready_o(push_ready),
    .push_unit_i(push_unit),
    .push_wait_i(push_wait),
    .push_entry_i(push_entry),
    .push_request_unit_i(push_request_unit),
    .head_valid_o(head_valid),
    .head_wait_o(head_wait),
    .head_pc_o(head_pc),
    .request_unit_o(request_unit),
    .request_room_o(request_room),
    .choose_i(choose),
    .choose_unit_i(choose_queue),
    .read_i(entry_read),
    .entry_o(entry),
    .pop_i(pop),
    .pop_unit_i(queue)
  );

  lathe_program u_program (
    .clk_i,
    .rst_ni,
    .start_i(start_asked),
    .start_o(start),
    .stop_o(stop),
    .busy_o(busy),
    .seq_running_i(seq_running),
    .seq_stuck_i(seq_stuck),
    .head_valid_i(head_valid[NumUnits-1:0]),
    .head_pc_i(head_pc[NumUnits-1:0]),
    .occupied_i(occupied),
    .can_start_i(can_start || request_quiet_q != '1),  // it may wait for the request
    .seq_report_valid_i(seq_report_valid),
    .seq_report_i(seq_report),
    .unit_report_valid_i(unit_report_valid),
    .unit_report_i(unit_report),
    .done_o(done),
    .error_o(error),
    .report_o(report)
  );

  lathe_program u_request (
    .clk_i(clk),
    .rst_ni,
    .start_i(request_asked),
    .start_o(request_start),
    .stop_o(request_stop),
    .busy_o(request_busy),
    .seq_running_i(seq_request_running),
    .seq_stuck_i(1'b0),
    .head_valid_i({{NumUnits-1{1'b0}}, head_valid[RequestQueue]}),
    .head_pc_i({{(NumUnits-1)*PcW{1'b0}}, head_pc[RequestQueue]}),
    .occupied_i({{NumUnits-1{1'b0}}, request_occupied}),
    .can_start_i(1'b1),  // it waits for nothing that does not end
    .seq_report_valid_i(seq_request_report_valid),
    .seq_report_i(seq_report),
    .unit_report_valid_i(unit_request_report_valid),
    .unit_report_i(unit_report),
    .done_o(request_done),
    .error_o(request_error),
    .report_o(request_report)
  );

  logic hold_program, hold_request, request_first, move_waits;
  assign cut = arbiter_policy != ArbCommand;
  lathe_arbiter u_arbiter (
    .clk_i,  // its slices go on
    .rst_ni,
    .policy_i(arbiter_policy),
    .slice_i(arbiter_slice),
    .program_busy_i(busy),
    .request_busy_i(request_busy),
    .commit_waits_i(move_waits),
    .start_i(issue),
    .start_request_i(queue == QueueW'(RequestQueue)),
    .hold_program_o(hold_program),
    .hold_request_o(hold_request),
    .request_first_o(request_first)
  );

  // ---- Commands: semaphores, exponents, weight group ----
  logic                 post, overflow, saturations_valid, retire_ready, check, conflict;
  logic [UnitW-1:0]     finish_unit, retire_unit;
  logic [31:0]          saturations;
  logic                 lookup, result_assign, result_static;
  logic [6:0]           source_index, result_index;
  logic [ExpW-1:0]      source_exp, result_exp, assign_exp;
  tops_t                retire;
  ref_t [NumResults-1:0] retiring;
  ref_t                 grow;
  cmd_t                 cmd;
  info_t                start_info, finish_info;

  assign cmd_o = {NumUnits{cmd}};

  // `current` is for a request the slot that it holds.
  logic        of_request;
  logic [15:0] base_read;
  assign of_request = queue == QueueW'(RequestQueue);
  always_ff @(posedge clk_i) begin
    base_read <= of_request ? base_held : base_current;
    policy_version <= of_request ? version_held : weights.version[15:0];
  end

  lathe_semaphores u_semaphores (
    .clk_i(clk),
    .rst_ni,
    .clear_i(start),
    .take_i(take),
    .take_mask_i(take_mask),
    .post_i(post),
    .post_mask_i(post_mask),
    .positive_o(positive),
    .overflow_o(overflow)
  );

  lathe_issue #(
    .Lanes(Lanes)
  ) u_issue (
    .clk_i(clk),
    .rst_ni,
    .stop_i(stop),
    .request_stop_i(request_stop),
    .cut_i(cut),
    .hold_program_i(hold_program),
    .hold_request_i(hold_request),
    .request_first_i(request_first),
    .head_valid_i(head_valid),
    .head_wait_i(head_wait),
    .request_unit_i(request_unit),
    .positive_i(positive),
    .choose_o(choose),
    .choose_queue_o(choose_queue),
    .read_o(entry_read),
    .entry_i(entry),
    .start_o(issue),
    .take_o(take),
    .pop_o(pop),
    .queue_o(queue),
    .unit_o(unit),
    .take_mask_o(take_mask),
    .room_i(room),
    .gemm_program_i(occupied[0]),
    .request_i(request_occupied),
    .gemm_free_i,
    .info_o(start_info),
    .check_o(check),
    .grow_o(grow),
    .conflict_i(conflict),
    .unblock_i(finish || retired),
    .base_current_i(base_read),
    .base_next_i(base_next),
    .slot_current_i(of_request ? slot_held : weights.slot),
    .slot_next_i(weights.next),
    .exponents_ready_i(exponents_ready),
    .lookup_o(lookup),
    .source_o(source_index),
    .source_exp_i(source_exp),
    .result_o(result_index),
    .result_exp_i(result_exp),
    .result_static_i(result_static),
    .assign_o(result_assign),
    .assign_exp_o(assign_exp),
    .update_cfg_i(update_cfg_o),
    .cmd_valid_o,
    .cmd_ready_i,
    .cmd_o(cmd),
    .waiting_o(waiting),
    .can_start_o(can_start),
    .moves_o(issue_moves)
  );

  lathe_inflight u_inflight (
    .clk_i(clk),
    .rst_ni,
    .push_i(issue),
    .push_unit_i(unit),
    .push_info_i(start_info),
    .pop_i(finish),
    .pop_unit_i(finish_unit),
    .read_unit_i(retire_unit),
    .info_o(finish_info),
    .room_o(room),
    .program_o(occupied),
    .request_o(request_occupied),
    .check_i(check),
    .ref_i({grow, start_info.result}),
    .retiring_i(retiring),
    .conflict_o(conflict)
  );

  lathe_retire u_retire (
    .clk_i(clk),
    .rst_ni,
    .clear_i(start),
    .done_valid_i,
    .done_i(unit_done),
    .next_o(retire_unit),
    .info_i(finish_info),
    .finish_o(finish),
    .unit_o(finish_unit),
    .post_o(post),
    .post_mask_o(post_mask),
    .overflow_i(overflow),
    .retire_valid_o(retire_valid),
    .retire_ready_i(retire_ready),
    .retire_o(retire),
    .saturations_valid_o(saturations_valid),
    .saturations_o(saturations),
    .report_valid_o(unit_report_valid),
    .request_report_valid_o(unit_request_report_valid),
    .report_o(unit_report)
  );

  lathe_exponents u_exponents (
    .clk_i,
    .por_ni,
    .ready_o(exponents_ready),
    .lookup_i(lookup),
    .source_i(source_index),
    .source_exp_o(source_exp),
    .result_i(result_index),
    .result_exp_o(result_exp),
    .result_static_o(result_static),
    .assign_i(result_assign),
    .assign_exp_i(assign_exp),
    .retire_valid_i(retire_valid),
    .retire_ready_o(retire_ready),
    .retire_i(retire),
    .retiring_o(retiring),
    .retired_o(retired),
    .host_valid_i(host_exp_valid),
    .host_ready_o(host_exp_ready),
    .host_write_i(host_exp_write),
    .host_history_i(host_exp_history),
    .host_index_i(host_exp_index),
    .host_word_i(host_exp_word),
    .host_wdata_i(host_exp_wdata),
    .host_rdata_o(host_exp_rdata)
  );

  logic busy_q;  // the host moves a cycle after the program's end at the earliest, a program long after its start
  always_ff @(posedge clk_i) busy_q <= busy;

  lathe_weights #(
    .Slots(Slots)
  ) u_weights (
    .clk_i,
    .rst_ni,
    .por_ni,
    .init_i(group_init),
    .init_group_i(group),
    .move_valid_i(move_valid_i || host_move_valid),
    .move_op_i(busy_q ? move_op_i : host_move_op),
    .move_slot_i(busy_q ? move_slot_i : host_move_slot),
    .move_done_o,
    .move_error_o,
    .move_waits_o(move_waits),
    .request_start_i(request_start),
    .request_busy_i(request_busy),
    .poisoned_i(poisoned_o),
    .fault_valid_i(uncorrectable),
    .fault_addr_i(fault_i.addr),
    .base_current_o(base_current),
    .base_next_o(base_next),
    .base_held_o(base_held),
    .size_o(group_size),
    .slot_held_o(slot_held),
    .version_held_o(version_held),
    .weights_o(weights)
  );

  lathe_group_extent #(
    .Slots(Slots)
  ) u_group_extent (
    .clk_i,
    .por_ni,
    .init_i(group_init),
    .init_group_i(group),
    .first_o(group_first),
    .end_o(group_end)
  );

  // ---- What every unit does in every cycle ----
  lathe_unit_state u_unit_state (
    .clk_i,
    .rst_ni,
    .busy_i(busy || request_busy),
    .seq_running_i(seq_running || seq_request_running),
    .head_valid_i(head_valid[NumUnits-1:0]),
    .head_waiting_i(waiting),
    .head_pc_i(head_pc[NumUnits-1:0]),
    .issue_i(issue),
    .issue_unit_i(unit),
    .issue_pc_i(start_info.pc),
    .start_i(cmd_valid_o & cmd_ready_i),
    .done_i(done_valid_i),
    .stall_operand_i,
    .stall_result_i,
    .mac_step_i,
    .counting_o(counting),
    .trace_o
  );

  lathe_perf u_perf (
    .clk_i,
    .rst_ni,
    .clear_i(perf_clear),
    .counting_i(counting),
    .trace_i(trace_o),
    .mac_step_i,
    .saturations_valid_i(saturations_valid),
    .saturations_i(saturations),
    .saturations_o(saturations_sum),
    .read_valid_i(count_valid),
    .read_ready_o(count_ready),
    .read_index_i(count_index),
    .read_o(count)
  );
endmodule
