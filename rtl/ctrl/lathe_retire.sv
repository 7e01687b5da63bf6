// SPDX-License-Identifier: Apache-2.0
// Completes commands, one at a time, lowest unit first: writes the exponents and histories of the results,
// adds the saturations, then posts the semaphores and frees the unit, or reports the command's error.
module lathe_retire
  import lathe_pkg::*;
  import lathe_desc_pkg::*;
  import lathe_ctrl_pkg::*;
(
  input  logic                     clk_i,
  input  logic                     rst_ni,

  input  logic [NumUnits-1:0]      done_valid_i,
  input  done_t [NumUnits-1:0]     done_i,
  input  info_t [NumUnits-1:0]     info_i,
  output logic [NumUnits-1:0]      free_o,             // pulse; posts and report come with it

  output logic                     retire_valid_o,     // to the exponents
  input  logic                     retire_ready_i,
  output logic [6:0]               retire_ref_o,
  output result_t                  retire_o,

  output logic                     post_o,
  output logic [NumSemaphores-1:0] post_mask_o,
  input  logic                     overflow_i,         // this post is one too many
  output logic                     saturations_valid_o,
  output logic [31:0]              saturations_o,

  output logic                     report_valid_o,
  output report_t                  report_o
);
  typedef enum logic [1:0] {Idle, Result0, Result1, Finish} state_e;
  state_e              state_q, state_d;
  logic [NumUnits-1:0] pending_q, first;
  done_t               done_q [NumUnits];
  done_t               record_q;
  info_t               info_q;
  logic [UnitW-1:0]    unit_q, chosen;
  logic [1:0]          touches;            // results of the chosen command that change a register

  always_comb begin
    chosen = '0;
    first = '0;
    for (int unsigned u = NumUnits; u > 0; u--) begin
      if (pending_q[u-1]) begin
        chosen = UnitW'(u - 1);
        first = '0;
        first[u-1] = 1'b1;
      end
    end
  end

  done_t current;
  assign current = (state_q == Idle) ? done_q[chosen] : record_q;
  always_comb begin
    for (int unsigned r = 0; r < 2; r++) touches[r] = current.result[r].write || current.result[r].track;
  end

  always_comb begin
    state_d = state_q;
    unique case (state_q)
      Idle:    if (pending_q != '0) state_d = touches[0] ? Result0 : touches[1] ? Result1 : Finish;
      Result0: if (retire_ready_i) state_d = touches[1] ? Result1 : Finish;
      Result1: if (retire_ready_i) state_d = Finish;
      default: state_d = Idle;
    endcase
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      state_q <= Idle;
      pending_q <= '0;
    end else begin
      state_q <= state_d;
      pending_q <= (pending_q | done_valid_i) & ~((state_q == Idle) ? first : '0);
    end
  end
  always_ff @(posedge clk_i) begin
    for (int unsigned u = 0; u < NumUnits; u++) begin
      if (done_valid_i[u]) done_q[u] <= done_i[u];
    end
    if (state_q == Idle && pending_q != '0) begin
      record_q <= current;
      info_q <= info_i[chosen];
      unit_q <= chosen;
    end
  end

  assign retire_valid_o = state_q == Result0 || state_q == Result1;
  assign retire_ref_o = (state_q == Result1) ? info_q.ref_index[1] : info_q.ref_index[0];
  assign retire_o = (state_q == Result1) ? record_q.result[1] : record_q.result[0];

  logic finish, failed;
  assign finish = state_q == Finish;
  assign failed = record_q.error != ErrNone;
  assign post_o = finish && !failed;
  assign post_mask_o = info_q.post_mask;
  assign saturations_valid_o = finish;
  assign saturations_o = record_q.saturations;
  assign report_valid_o = finish && (failed || overflow_i);
  always_comb begin
    report_o.code = failed ? record_q.error : ErrSemaphoreOverflow;
    report_o.unit = 3'(unit_q) + 3'd1;
    report_o.pc = info_q.pc;
    free_o = '0;
    free_o[unit_q] = finish;
  end

`ifndef SYNTHESIS
  always_ff @(posedge clk_i) begin
    if (rst_ni) assert ((done_valid_i & pending_q) == '0) else $error("a unit was done twice");
  end
`endif
endmodule
