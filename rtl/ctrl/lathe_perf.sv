// SPDX-License-Identifier: Apache-2.0
// Performance counters: what happened in how many cycles. One cycle late; clear_i wins over counting.
module lathe_perf
  import lathe_pkg::*;
  import lathe_ctrl_pkg::*;
(
  input  logic                clk_i,
  input  logic                rst_ni,
  input  logic                clear_i,

  input  logic                program_busy_i,
  input  logic                mac_step_i,
  input  logic                saturations_valid_i,
  input  logic [31:0]         saturations_i,
  input  logic [NumUnits-1:0] unit_start_i,
  input  logic [NumUnits-1:0] unit_done_i,
  input  logic [NumUnits-1:0] unit_waiting_i,
  input  logic [NumUnits-1:0] stall_operand_i,
  input  logic [NumUnits-1:0] stall_result_i,

  output perf_t               perf_o
);
  // Events are registered first: they come from all over the chip.
  logic                program_busy_q, mac_step_q;
  logic [NumUnits-1:0] unit_runs_q, unit_busy_q, unit_waiting_q, stall_operand_q, stall_result_q;
  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      {program_busy_q, mac_step_q} <= '0;
      {unit_runs_q, unit_busy_q, unit_waiting_q, stall_operand_q, stall_result_q} <= '0;
    end else begin
      program_busy_q <= program_busy_i;
      mac_step_q <= mac_step_i;
      unit_runs_q <= (unit_runs_q & ~unit_done_i) | unit_start_i;
      unit_busy_q <= unit_runs_q;
      unit_waiting_q <= unit_waiting_i;
      stall_operand_q <= stall_operand_i;
      stall_result_q <= stall_result_i;
    end
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni || clear_i) begin
      perf_o.cycles <= '0;
      perf_o.mac_steps <= '0;
      perf_o.saturations <= '0;
    end else begin
      if (program_busy_q) perf_o.cycles <= perf_o.cycles + 64'd1;
      if (mac_step_q) perf_o.mac_steps <= perf_o.mac_steps + 64'd1;
      if (saturations_valid_i) perf_o.saturations <= perf_o.saturations + saturations_i;
    end
  end

  for (genvar u = 0; u < NumUnits; u++) begin : gen_unit
    unit_perf_t count_q;
    always_ff @(posedge clk_i) begin
      if (!rst_ni || clear_i) begin
        count_q <= '0;
      end else begin
        if (unit_busy_q[u]) count_q.busy <= count_q.busy + 32'd1;
        if (unit_waiting_q[u]) count_q.waiting <= count_q.waiting + 32'd1;
        if (stall_operand_q[u]) count_q.stall_operand <= count_q.stall_operand + 32'd1;
        if (stall_result_q[u]) count_q.stall_result <= count_q.stall_result + 32'd1;
      end
    end
    assign perf_o.unit[u] = count_q;
  end
endmodule
