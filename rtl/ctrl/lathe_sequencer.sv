// SPDX-License-Identifier: Apache-2.0
// Reads descriptors in order, checks each, gives it its operation number and key and puts it into its unit's
// queue; stops after the one marked last, or after the first that fails its check (reported, not queued).
// A descriptor is queued 8 cycles after its first word is asked for; one per 7 cycles. Does not wait for semaphores.
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
  input  logic                     stop_i,       // level: forget everything
  output logic                     running_o,    // the last descriptor is not yet queued
  output logic                     stuck_o,      // running, and nothing but room in a queue is missing
  output logic                     waits_o,      // for that or for a start: nothing moves

  output logic                     mem_en_o,
  output logic [PcW+1:0]           mem_row_o,    // four words
  input  logic [3:0][31:0]         mem_rdata_i,  // one cycle after mem_en_o

  input  logic [31:0]              seed_i,
  input  logic [31:0]              opnum_i,      // of the next descriptor
  output logic                     dispatch_o,   // pulse: opnum is taken
  input  logic [15:0]              group_size_i,

  output logic                     push_try_o,
  output logic                     push_valid_o,
  input  logic                     push_ready_i,
  output logic [lathe_ctrl_pkg::UnitW-1:0] push_unit_o,
  output logic [NumSemaphores-1:0] push_wait_o,
  output entry_t                   push_entry_o,

  output logic                     report_valid_o,  // pulse
  output report_t                  report_o
);
  // It waits for most of a program's time, for room in a queue or for the program's end: then nothing in here moves.
  logic clk, waits;
  lathe_clock_stop u_clock (
    .clk_i,
    .wanted_i(!waits || start_i || stop_i || !rst_ni),
    .clk_o   (clk)
  );

  // ---- One step a cycle; the last one, in which the verdict stands, lasts until the queue has room ----
  // In step 1 words 8 to 11 arrive (dimensions: the check begins with them), then 0 to 3, 4 to 7 and 12 to 15.
  localparam int unsigned LastStep = 8;
  localparam int unsigned KeyStep = 2;  // from then on opnum counts the descriptor before

  logic [LastStep:1] step_q;
  logic              running_q, ahead_q, more_q, read, read_ahead, push, bad, overrun_q, refused, done;
  logic [PcW-1:0]    pc_q, next_pc_q;
  desc_t             desc_q;

  // The next descriptor overwrites this one from the cycle after step 8 on: it is asked for in step 7 if the queue has
  // room then, since no one else fills it.
  assign read_ahead = step_q[7] && push_ready_i && more_q;
  assign read = (start_i || read_ahead || (push && more_q && !ahead_q)) && !stop_i;
  assign done = step_q[LastStep];
  assign refused = done && bad;
  assign push = done && !bad && push_ready_i;
  assign waits = running_q ? step_q == {1'b1, {LastStep-1{1'b0}}} && !bad && !push_ready_i
                           : step_q == '0 && next_pc_q == start_pc_i;

  always_ff @(posedge clk) begin
    if (!rst_ni || stop_i) begin
      step_q <= '0;
      running_q <= 1'b0;
    end else begin
      step_q[1] <= read;
      for (int unsigned i = 2; i <= LastStep; i++) step_q[i] <= step_q[i-1];
      if (done && !push && !refused) step_q[LastStep] <= 1'b1;
      if (refused) step_q <= '0;
      if (start_i) running_q <= 1'b1;
      else if (refused || (push && desc_q.last)) running_q <= 1'b0;
    end
  end

  // ---- Read: the memory reads on, only what a step has asked for is kept ----
  logic [PcW-1:0] read_pc_q;
  logic [23:0]    rest;     // of the words 13 to 15, which are all reserved: one for each four bits that are not zero
  assign mem_en_o = start_i || running_q;
  always_comb begin
    if (step_q[1]) mem_row_o = {read_pc_q, 2'd0};
    else if (step_q[2]) mem_row_o = {read_pc_q, 2'd1};
    else if (step_q[3]) mem_row_o = {read_pc_q, 2'd3};
    else mem_row_o = {next_pc_q, 2'd2};
    for (int unsigned i = 0; i < 24; i++) rest[i] = mem_rdata_i[1+i/8][4*(i%8) +: 4] != '0;
  end

  logic [15:0][31:0] word_q;
  logic [UnitW-1:0]  unit_q;
  assign desc_q = word_q;
  always_ff @(posedge clk) begin
    next_pc_q <= running_q ? read_pc_q + PcW'(1) : start_pc_i;
    if (read) read_pc_q <= next_pc_q;
    if (step_q[7]) ahead_q <= read_ahead;
    if (step_q[1]) word_q[11:8] <= mem_rdata_i;
    if (step_q[2]) begin
      word_q[3:0] <= mem_rdata_i;
      pc_q <= read_pc_q;
    end
    if (step_q[3]) word_q[7:4] <= mem_rdata_i;
    if (step_q[4]) begin
      word_q[15:12] <= {72'd0, rest, mem_rdata_i[0]};
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
    .rst_ni(rst_ni && !stop_i),
    .start_i(step_q[2]),
    .desc_i(desc_q),
    .group_size_i,
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
    .index_i(step_q[KeyStep] ? opnum_i : key),
    .rand_o(key)
  );

  assign running_o = running_q;
  assign stuck_o = done && !push_ready_i;
  assign waits_o = waits;
  assign push_try_o = done;
  assign push_valid_o = done && !bad && !stop_i;
  assign dispatch_o = push_valid_o && push_ready_i;
  assign push_unit_o = unit_q;
  assign push_wait_o = desc_q.wait_mask;
  assign push_entry_o = to_entry(desc_q, key, pc_q);
  always_ff @(posedge clk_i) begin
    report_valid_o <= rst_ni && refused && !stop_i;
    if (refused) report_o <= '{code: check_error, unit: desc_q.unit, pc: pc_q};
  end

`ifndef SYNTHESIS
  always_ff @(posedge clk_i) begin
    if (rst_ni && !stop_i && check_done) assert (done) else $error("the verdict is not in step 8");
  end
`endif
endmodule
