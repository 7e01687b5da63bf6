// SPDX-License-Identifier: Apache-2.0
// Reads descriptors in order, checks each, gives it its operation number and key and puts it into its unit's
// queue; stops after the one marked last, or after the first that fails its check (reported, not queued).
// While one descriptor is checked the next is read: one descriptor per 18 cycles. Does not wait for semaphores.
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

  output logic                     mem_en_o,
  output logic [PcW+3:0]           mem_index_o,
  input  logic [31:0]              mem_rdata_i,  // one cycle after mem_en_o

  input  logic [31:0]              seed_i,
  input  logic [31:0]              opnum_i,      // of the next descriptor
  output logic                     dispatch_o,   // pulse: opnum is taken
  input  logic [15:0]              group_size_i,

  output logic                     push_valid_o,
  input  logic                     push_ready_i,
  output logic [lathe_ctrl_pkg::UnitW-1:0] push_unit_o,
  output logic [NumSemaphores-1:0] push_wait_o,
  output entry_t                   push_entry_o,

  output logic                     report_valid_o,  // pulse
  output report_t                  report_o
);
  localparam int unsigned HeldWords = 13;  // the words behind these are all reserved

  // ---- Read the descriptor's words, one a cycle ----
  logic           reading_q, read_done, arrive_q, arrived_last_q, full_q, take;
  logic [PcW-1:0] read_pc_q;
  logic [3:0]     read_word_q, arrive_word_q;
  logic [HeldWords-1:0][31:0] word_q;
  logic           rest_q;                  // one of the words that are not held is not zero

  assign mem_en_o = reading_q;
  assign mem_index_o = {read_pc_q, read_word_q};
  assign read_done = reading_q && read_word_q == 4'd15;

  logic running_q, read_next;
  assign read_next = take && !word_q[0][8] && read_pc_q != '1;  // bit 8: last

  always_ff @(posedge clk_i) begin
    if (!rst_ni || stop_i) begin
      {reading_q, arrive_q, arrived_last_q, full_q} <= '0;
    end else begin
      reading_q <= (reading_q && !read_done) || start_i || read_next;
      arrive_q <= reading_q;
      arrived_last_q <= read_done;
      if (arrived_last_q) full_q <= 1'b1;
      else if (take) full_q <= 1'b0;
    end
  end
  always_ff @(posedge clk_i) begin
    if (start_i) read_pc_q <= start_pc_i;
    else if (read_next) read_pc_q <= read_pc_q + PcW'(1);
    read_word_q <= reading_q ? read_word_q + 4'd1 : '0;
    arrive_word_q <= read_word_q;
    if (arrive_q) begin
      if (arrive_word_q < 4'(HeldWords)) word_q[arrive_word_q] <= mem_rdata_i;
      if (arrive_word_q == '0) rest_q <= 1'b0;
      else if (arrive_word_q >= 4'(HeldWords) && mem_rdata_i != '0) rest_q <= 1'b1;
    end
  end

  // ---- Check it, make its key, queue it ----
  typedef enum logic [1:0] {Empty, Check, Push} state_e;
  state_e         state_q;
  desc_t          desc_q;
  logic [PcW-1:0] pc_q;
  logic           start_q, check_done, refused;
  error_e         check_error, error;

  assign take = full_q && running_q && (state_q == Empty);
  assign dispatch_o = push_valid_o && push_ready_i;

  lathe_desc_check #(
    .Lanes(Lanes),
    .Banks(Banks)
  ) u_check (
    .clk_i,
    .rst_ni(rst_ni && !stop_i),
    .start_i(start_q),
    .desc_i(desc_q),
    .group_size_i,
    .done_o(check_done),
    .error_o(check_error)
  );

  always_comb begin
    error = check_error;
    if (check_error == ErrNone && pc_q == '1 && !desc_q.last) error = ErrProgramOverrun;
  end
  assign refused = check_done && error != ErrNone;

  always_ff @(posedge clk_i) begin
    if (!rst_ni || stop_i) begin
      state_q <= Empty;
      start_q <= 1'b0;
      running_q <= 1'b0;
    end else begin
      start_q <= take;
      unique case (state_q)
        Empty:   if (take) state_q <= Check;
        Check:   if (check_done) state_q <= refused ? Empty : Push;
        Push:    if (push_ready_i) state_q <= Empty;
        default: state_q <= Empty;
      endcase
      if (start_i) running_q <= 1'b1;
      else if (refused || (dispatch_o && desc_q.last)) running_q <= 1'b0;
    end
  end
  always_ff @(posedge clk_i) begin
    if (take) begin
      desc_q <= {95'd0, rest_q, word_q};
      pc_q <= read_pc_q;
    end
  end

  // ---- key = mix32(seed ^ mix32(opnum)), both during the check ----
  localparam int unsigned MixStages = 2;
  localparam logic [2:0]  KeyStep = 3'(2 * MixStages + 1);
  logic [2:0]  key_step_q;
  logic [31:0] mix_in, mix_out, inner_q, key_q;
  logic        outer;
  assign outer = key_step_q > 3'(MixStages);
  assign mix_in = outer ? inner_q : opnum_i;

  lathe_rng #(
    .Stages(MixStages)
  ) u_mix (
    .clk_i,
    .en_i(state_q == Check),
    .key_i(outer ? seed_i : '0),
    .index_i(mix_in),
    .rand_o(mix_out)
  );

  always_ff @(posedge clk_i) begin
    if (state_q != Check) key_step_q <= '0;
    else if (key_step_q != KeyStep) key_step_q <= key_step_q + 3'd1;
    if (key_step_q == 3'(MixStages)) inner_q <= mix_out;
    if (state_q == Check && check_done) key_q <= mix_out;
  end

  assign running_o = running_q;
  assign stuck_o = state_q == Push && !push_ready_i;
  assign push_valid_o = state_q == Push && !stop_i;
  assign push_unit_o = UnitW'(desc_q.unit - 3'd1);
  assign push_wait_o = desc_q.wait_mask;
  assign push_entry_o = to_entry(desc_q, key_q, pc_q);
  assign report_valid_o = refused && !stop_i;
  assign report_o = '{code: error, unit: desc_q.unit, pc: pc_q};
endmodule
