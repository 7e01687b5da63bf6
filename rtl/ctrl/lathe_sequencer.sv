// SPDX-License-Identifier: Apache-2.0
// Reads descriptors in order, checks each, gives it its operation number and key and puts it into its unit's
// queue; stops after the one marked last, or after the first that fails its check (reported, not queued).
// A descriptor is queued 8 cycles after its first word is asked for; one per 7 cycles. Does not wait for semaphores.
// A request goes before the program: it waits for the end of a check at most, and the program is read on when all of it is queued or
// its queue is full. A descriptor of it is refused only when all before it have ended, so that its first error is the one reported.
module lathe_sequencer
  import lathe_desc_pkg::*;
  import lathe_ctrl_pkg::*;
#(
  parameter int unsigned Lanes = 8,
  parameter int unsigned Banks = 8
) (
  input  logic                     clk_i,
  input  logic                     rst_ni,

  input  logic                     start_i,      // pulse, only while not running
  input  logic [PcW-1:0]           start_pc_i,
  input  logic                     stop_i,       // level: forget the program
  output logic                     running_o,    // the last descriptor is not yet queued
  output logic                     stuck_o,      // running, and nothing but room in a queue is missing
  input  logic                     request_start_i,  // the same of the request
  input  logic [PcW-1:0]           request_pc_i,
  input  logic                     request_stop_i,
  output logic                     request_running_o,
  input  logic                     request_room_i,     // its queue is not full
  input  logic                     request_pending_i,  // a descriptor of it is queued or runs
  output logic                     waits_o,      // for room in a queue or for a start: nothing moves

  output logic                     mem_en_o,
  output logic [PcW+1:0]           mem_row_o,    // four words
  input  logic [3:0][31:0]         mem_rdata_i,  // one cycle after mem_en_o

  input  logic [31:0]              seed_i,
  input  logic [31:0]              opnum_i,      // of the next descriptor
  input  logic [31:0]              request_opnum_i,
  output logic                     dispatch_o,   // pulse: opnum is taken
  output logic                     request_dispatch_o,
  input  logic [15:0]              group_size_i,
  input  logic [15:0]              group_first_i,
  input  logic [16:0]              group_end_i,
  input  grants_t                  grants_i,

  output logic                     push_try_o,
  output logic                     push_valid_o,
  input  logic                     push_ready_i,
  output logic [QueueW-1:0]        push_unit_o,
  output logic [NumSemaphores-1:0] push_wait_o,
  output entry_t                   push_entry_o,
  output logic [lathe_ctrl_pkg::UnitW-1:0] push_request_unit_o,

  output logic                     report_valid_o,  // pulse
  output logic                     request_report_valid_o,
  output report_t                  report_o
);
  // It waits for most of a program's time, for room in a queue or for the program's end: then nothing in here moves.
  logic clk, waits;
  lathe_clock_stop u_clock (
    .clk_i,
    .wanted_i(!waits || start_i || stop_i || request_start_i || request_stop_i || !rst_ni),
    .clk_o   (clk)
  );

  // ---- One step a cycle; the last one, in which the verdict stands, lasts until the queue has room ----
  // In step 1 words 8 to 11 arrive (dimensions: the check begins with them), then 0 to 3, 4 to 7 and 12 to 15.
  localparam int unsigned LastStep = 8;
  localparam int unsigned KeyStep = 2;  // from then on opnum counts the descriptor before

  logic [LastStep:1] step_q;
  logic              ahead_q, more_q, read, read_ahead, kick_q, push, bad, overrun_q, refused, done, stuck;  // stuck: it waits
  logic [1:0]        running_q;           // program, request
  logic              request_q;           // the descriptor is the request's
  logic              to_request, to_program, stop;
  logic [PcW-1:0]    pc_q, next_pc_q, resume_q, request_next_q;  // resume_q, request_next_q: where program and request go on
  desc_t             desc_q;

  // The next descriptor overwrites this one from the cycle after step 8 on: it is asked for in step 7 if the queue has
  // room then, since no one else fills it.
  assign stop = request_q ? request_stop_i : stop_i;
  assign read_ahead = step_q[7] && push_ready_i && more_q && (request_q || !running_q[1]);
  assign read = ((start_i && !request_q && !to_request) || kick_q || read_ahead || (push && more_q && !ahead_q && !to_request)) && !stop;
  assign done = step_q[LastStep];
  assign stuck = done && (bad ? request_q && request_pending_i : !push_ready_i);
  assign refused = done && bad && !stuck;
  assign push = done && !bad && push_ready_i;
  assign to_request = running_q[1] && !request_q && request_room_i && !stop_i && !kick_q &&
                      (step_q == '0 || stuck || (push && !ahead_q));
  assign to_program = request_q && (refused || request_stop_i || (push && desc_q.last) || (stuck && running_q[0]));
  assign waits = !kick_q && !to_request && (running_q != '0 ? step_q == {1'b1, {LastStep-1{1'b0}}} && stuck
                                                            : step_q == '0 && next_pc_q == start_pc_i);

  always_ff @(posedge clk) begin
    if (!rst_ni) begin
      step_q <= '0;
      running_q <= '0;
      {kick_q, request_q} <= '0;
    end else begin
      step_q[1] <= read;
      for (int unsigned i = 2; i <= LastStep; i++) step_q[i] <= step_q[i-1];
      if (stuck) step_q <= {1'b1, {LastStep - 1{1'b0}}};  // what was read ahead of a refused one is forgotten
      if (refused || stop || to_request || to_program) step_q <= '0;
      kick_q <= to_request || (to_program && (running_q[0] || start_i) && !stop_i);
      if (to_request || to_program) request_q <= to_request;
      if (start_i) running_q[0] <= 1'b1;
      else if (stop_i || (!request_q && (refused || (push && desc_q.last)))) running_q[0] <= 1'b0;
      if (request_start_i) running_q[1] <= 1'b1;
      else if ((to_program && !stuck) || request_stop_i) running_q[1] <= 1'b0;
    end
  end

  // ---- Read: the memory reads on, only what a step has asked for is kept ----
  logic [PcW-1:0] read_pc_q;
  logic [13:0]    rest;     // of the reserved end of the words 14 and 15: one for each four bits that are not zero
  assign mem_en_o = start_i || running_q != '0;
  always_comb begin
    if (step_q[1]) mem_row_o = {read_pc_q, 2'd0};
    else if (step_q[2]) mem_row_o = {read_pc_q, 2'd1};
    else if (step_q[3]) mem_row_o = {read_pc_q, 2'd3};
    else mem_row_o = {next_pc_q, 2'd2};
    for (int unsigned i = 0; i < 14; i++) rest[i] = mem_rdata_i[2+(i+2)/8][4*((i+2)%8) +: 4] != '0;
  end

  logic [15:0][31:0] word_q;
  logic [UnitW-1:0]  unit_q;
  assign desc_q = word_q;
  always_ff @(posedge clk) begin
    if (to_request) next_pc_q <= request_next_q;
    else if (to_program) next_pc_q <= start_i || !running_q[0] || stop_i ? start_pc_i : resume_q;
    else next_pc_q <= (request_q || (running_q[0] && !stop_i)) ? read_pc_q + PcW'(1) : start_pc_i;
    if (start_i) resume_q <= start_pc_i;
    else if (to_request) resume_q <= stuck ? pc_q : pc_q + PcW'(1);
    if (request_start_i) request_next_q <= request_pc_i;
    else if (to_program) request_next_q <= pc_q;  // the one that waits
    if (read) read_pc_q <= next_pc_q;
    if (step_q[7]) ahead_q <= read_ahead;
    if (step_q[1]) word_q[11:8] <= mem_rdata_i;
    if (step_q[2]) begin
      word_q[3:0] <= mem_rdata_i;
      pc_q <= read_pc_q;
    end
    if (step_q[3]) word_q[7:4] <= mem_rdata_i;
    if (step_q[4]) begin
      word_q[15:12] <= {42'd0, rest, mem_rdata_i[2][7:0], mem_rdata_i[1:0]};
      unit_q <= UnitW'(desc_q.unit - 3'd1);
    end
  end

  // ---- Check ----
  logic   check_done;
  error_e check_error;
  lathe_desc_check #(
    .Lanes(Lanes),
    .Banks(Banks)
  ) u_check (
    .clk_i(clk),
    .rst_ni(rst_ni && !stop),
    .start_i(step_q[2]),
    .desc_i(desc_q),
    .request_i(request_q),
    .group_size_i,
    .group_first_i,
    .group_end_i,
    .grants_i,
    .overrun_i(overrun_q),
    .done_o(check_done),
    .bad_o(bad),
    .error_o(check_error)
  );

  always_ff @(posedge clk) begin
    overrun_q <= pc_q == '1 && !desc_q.last;
    more_q <= pc_q != '1 && !desc_q.last;
  end

  // ---- key = mix32(seed ^ mix32(opnum)), both during the check ----
  localparam int unsigned MixStages = 3;
  logic [31:0] key;
  lathe_rng #(
    .Stages(MixStages)
  ) u_mix (
    .clk_i(clk),
    .en_i(step_q[KeyStep+2*MixStages-1:KeyStep] != '0),
    .key_i(step_q[KeyStep] ? '0 : seed_i),
    .index_i(!step_q[KeyStep] ? key : request_q ? request_opnum_i : opnum_i),
    .rand_o(key)
  );

  assign running_o = running_q[0];
  assign request_running_o = running_q[1];
  assign stuck_o = done && !push_ready_i && !request_q;
  assign waits_o = waits;
  assign push_try_o = done;
  assign push_valid_o = done && !bad && !stop;
  assign dispatch_o = push_valid_o && push_ready_i && !request_q;
  assign request_dispatch_o = push_valid_o && push_ready_i && request_q;
  assign push_unit_o = request_q ? QueueW'(RequestQueue) : {1'b0, unit_q};
  assign push_wait_o = request_q ? '0 : desc_q.wait_mask;
  assign push_request_unit_o = unit_q;
  plan_t plan_q;
  always_ff @(posedge clk) if (step_q[LastStep-1]) plan_q <= plan_of(desc_q.unit, push_entry_o.cmd);
  assign push_entry_o = to_entry(desc_q, key, pc_q, plan_q);
  always_ff @(posedge clk_i) begin
    report_valid_o <= rst_ni && refused && !request_q && !stop_i;
    request_report_valid_o <= rst_ni && refused && request_q && !request_stop_i;
    if (refused) report_o <= '{code: check_error, unit: desc_q.unit, pc: pc_q};
  end

`ifndef SYNTHESIS
  always_ff @(posedge clk_i) begin
    if (rst_ni && !stop && check_done) assert (done) else $error("the verdict is not in step 8");
  end
`endif
endmodule
