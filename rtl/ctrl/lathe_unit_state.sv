// SPDX-License-Identifier: Apache-2.0
// Says what each unit does in each cycle of a program or request (lathe_pkg::unit_state_e) and on which descriptor: the trace, one
// cycle late. Counts nothing.
module lathe_unit_state
  import lathe_pkg::*;
  import lathe_ctrl_pkg::*;
(
  input  logic                         clk_i,
  input  logic                         rst_ni,

  input  logic                         busy_i,          // a program or request runs
  input  logic                         seq_running_i,
  input  logic [NumUnits-1:0]          head_valid_i,
  input  logic [NumUnits-1:0]          head_waiting_i,  // for a semaphore
  input  logic [NumUnits-1:0][PcW-1:0] head_pc_i,
  input  logic                         issue_i,         // issue takes the head of this unit's queue
  input  logic [UnitW-1:0]             issue_unit_i,
  input  logic [PcW-1:0]               issue_pc_i,
  input  logic [NumUnits-1:0]          start_i,         // the unit takes a command
  input  logic [NumUnits-1:0]          done_i,          // the unit completes one
  input  logic [NumUnits-1:0]          stall_operand_i,
  input  logic [NumUnits-1:0]          stall_result_i,
  input  logic                         mac_step_i,      // of gemm, index 0

  output logic                         counting_o,      // trace_o belongs to a cycle of a program or request
  output unit_trace_t [NumUnits-1:0]   trace_o
);
  always_ff @(posedge clk_i) begin
    if (!rst_ni) counting_o <= 1'b0;
    else counting_o <= busy_i;
  end

  for (genvar u = 0; u < NumUnits; u++) begin : gen_unit
    localparam int unsigned Depth = (u == 0) ? FlightDepth : 1;
    localparam int unsigned CountW = $clog2(Depth + 1);

    logic              issue, issuing_q, step, step_q, stall_operand_q, stall_result_q;
    logic [CountW-1:0] inside_q;  // commands that it took and has not completed
    logic [PcW-1:0]    pc;        // of the oldest of these and of the one on its way
    unit_state_e       state, state_q;  // busy: has a command
    assign issue = issue_i && issue_unit_i == UnitW'(u);
    assign step = (u == 0) ? mac_step_i : 1'b1;

    always_ff @(posedge clk_i) begin
      if (!rst_ni) begin
        issuing_q <= 1'b0;
        inside_q <= '0;
      end else begin
        issuing_q <= issue || (issuing_q && !start_i[u]);
        if (start_i[u] != done_i[u]) inside_q <= start_i[u] ? inside_q + CountW'(1) : inside_q - CountW'(1);
      end
    end

    if (Depth > 1) begin : gen_ring
      logic [PcW-1:0]           pc_mem [Depth];
      logic [$clog2(Depth)-1:0] rptr_q, wptr_q;
      always_ff @(posedge clk_i) begin
        if (!rst_ni) {rptr_q, wptr_q} <= '0;
        else {rptr_q, wptr_q} <= {rptr_q + $clog2(Depth)'(done_i[u]), wptr_q + $clog2(Depth)'(issue)};
        if (issue) pc_mem[wptr_q] <= issue_pc_i;
      end
      assign pc = pc_mem[rptr_q];
    end else begin : gen_one
      always_ff @(posedge clk_i) begin
        if (issue) pc <= issue_pc_i;
      end
    end

    always_comb begin
      state = UnitIdle;
      if (inside_q != '0) state = UnitBusy;
      else if (issuing_q) state = UnitFetch;
      else if (head_valid_i[u]) state = head_waiting_i[u] ? UnitWait : UnitFetch;
      else if (seq_running_i) state = UnitFetch;
    end

    always_ff @(posedge clk_i) begin
      state_q <= busy_i ? state : UnitIdle;
      {stall_operand_q, stall_result_q, step_q} <= {stall_operand_i[u], stall_result_i[u], step};
      trace_o[u].start <= start_i[u];
      trace_o[u].done <= done_i[u];
      trace_o[u].pc <= (inside_q != '0 || issuing_q) ? pc : head_pc_i[u];
    end
    always_comb begin
      trace_o[u].state = state_q;
      if (state_q == UnitBusy) begin
        if (stall_operand_q) trace_o[u].state = UnitStallOperand;
        else if (stall_result_q) trace_o[u].state = UnitStallResult;
        else if (!step_q) trace_o[u].state = UnitOverhead;
      end
    end
  end
endmodule
