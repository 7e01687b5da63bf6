// SPDX-License-Identifier: Apache-2.0
// State of the program, or of the request, as a whole: when it runs, when it is done, and how an error ends it. On the first error it
// stops the sequencer and empties the queues, lets running commands finish, and only then tells the host.
// Finds deadlocks: nothing runs or is on its way, the sequencer cannot go on, and no head may start.
module lathe_program
  import lathe_pkg::*;
  import lathe_desc_pkg::*;
  import lathe_ctrl_pkg::*;
(
  input  logic                         clk_i,
  input  logic                         rst_ni,

  input  logic                         start_i,        // pulse from the host
  output logic                         start_o,        // pulse: it was accepted
  output logic                         stop_o,         // level: sequencer and queues are to forget everything
  output logic                         busy_o,

  input  logic                         seq_running_i,
  input  logic                         seq_stuck_i,
  input  logic [NumUnits-1:0]          head_valid_i,
  input  logic [NumUnits-1:0][PcW-1:0] head_pc_i,
  input  logic [NumUnits-1:0]          occupied_i,
  input  logic                         can_start_i,    // of the heads in the cycle before

  input  logic                         seq_report_valid_i,
  input  report_t                      seq_report_i,
  input  logic                         unit_report_valid_i,
  input  report_t                      unit_report_i,

  output logic                         done_o,         // pulse
  output logic                         error_o,        // pulse
  output report_t                      report_o        // with error_o
);
  typedef enum logic [1:0] {Idle, Run, Drain} state_e;
  state_e  state_q;
  report_t report_q, deadlock;
  logic [UnitW-1:0] first, first_q;  // the first unit whose head waits
  logic [PcW-1:0]   first_pc_q;
  logic    quiet, finished, stuck, stuck_q, deadlocked_q, stop_q;

  assign quiet = occupied_i == '0;
  assign finished = state_q == Run && quiet && head_valid_i == '0 && !seq_running_i;
  assign stuck = quiet && head_valid_i != '0 && (!seq_running_i || seq_stuck_i);
  always_ff @(posedge clk_i) begin
    stuck_q <= stuck;
    if (stuck) first_q <= first;
    if (stuck_q) first_pc_q <= head_pc_i[first_q];
    deadlocked_q <= state_q == Run && quiet && stuck_q && !can_start_i;
  end
  always_comb begin
    first = '0;
    for (int unsigned u = NumUnits; u > 0; u--) begin
      if (head_valid_i[u-1]) first = UnitW'(u - 1);
    end
  end
  assign deadlock = '{code: ErrDeadlock, unit: 3'(first_q) + 3'd1, pc: first_pc_q};

  logic failing;
  assign failing = unit_report_valid_i || seq_report_valid_i || deadlocked_q;
  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      state_q <= Idle;
      stop_q <= 1'b0;
    end else begin
      stop_q <= (state_q == Run && failing) || (state_q == Drain && !quiet);
      unique case (state_q)
        Idle:    if (start_i) state_q <= Run;
        Run:     if (failing) state_q <= Drain;
                 else if (finished) state_q <= Idle;
        Drain:   if (quiet) state_q <= Idle;
        default: state_q <= Idle;
      endcase
    end
  end
  always_ff @(posedge clk_i) begin
    if (state_q == Run && failing) begin
      report_q <= unit_report_valid_i ? unit_report_i : seq_report_valid_i ? seq_report_i : deadlock;
    end
  end

  assign start_o = state_q == Idle && start_i;
  assign stop_o = stop_q;
  assign busy_o = state_q != Idle;
  assign done_o = finished && !failing;
  assign error_o = state_q == Drain && quiet;
  assign report_o = report_q;
endmodule
