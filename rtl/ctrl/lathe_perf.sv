// SPDX-License-Identifier: Apache-2.0
// Performance counters: of each unit the cycles in each state, of all the cycles, k-steps and saturations. A clear wins over
// counting. The counters of the units are 32 bits wide and wrap. They lie in one memory: five bits of each count at once,
// and one counter a cycle, in turn, takes what these have come to. A read waits for its counter's turn, so it is exact.
module lathe_perf
  import lathe_pkg::*;
  import lathe_ctrl_pkg::*;
(
  input  logic                       clk_i,
  input  logic                       rst_ni,
  input  logic                       clear_i,

  input  logic                       counting_i,   // trace_i belongs to a cycle of a program
  // verilator lint_off UNUSEDSIGNAL
  input  unit_trace_t [NumUnits-1:0] trace_i,      // only the state counts
  // verilator lint_on UNUSEDSIGNAL
  input  logic                       mac_step_i,
  input  logic                       saturations_valid_i,
  input  logic [31:0]                saturations_i,
  output perf_t                      perf_o,

  input  logic                       read_valid_i, // held until ready
  output logic                       read_ready_o,
  input  logic [4:0]                 read_index_i, // 7 * unit + state
  output logic [31:0]                read_o        // with ready
);
  logic mac_step_q;
  always_ff @(posedge clk_i) begin
    mac_step_q <= rst_ni && mac_step_i;
    if (!rst_ni || clear_i) begin
      perf_o <= '0;
    end else begin
      if (counting_i) perf_o.cycles <= perf_o.cycles + 64'd1;
      if (mac_step_q) perf_o.mac_steps <= perf_o.mac_steps + 64'd1;
      if (saturations_valid_i) perf_o.saturations <= perf_o.saturations + saturations_i;
    end
  end

  // ---- Whose turn it is; a clear lasts for one round, in which the memory reads as zero ----
  localparam int unsigned NumStates = 7;
  localparam int unsigned NumSlots = NumUnits * NumStates;
  localparam int unsigned SlotW = $clog2(NumSlots);
  localparam int unsigned LowW = $clog2(NumSlots);  // no count is larger after a round

  logic [UnitW-1:0] unit_q;
  logic [2:0]       state_q;
  logic [SlotW-1:0] turn_q;    // NumStates * unit_q + state_q
  logic [LowW-1:0]  clear_q;   // cycles until this round has been read
  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      {turn_q, state_q, unit_q} <= '0;
    end else begin
      turn_q <= (turn_q == SlotW'(NumSlots - 1)) ? '0 : turn_q + SlotW'(1);
      state_q <= (state_q == 3'(NumStates - 1)) ? '0 : state_q + 3'd1;
      if (state_q == 3'(NumStates - 1)) unit_q <= unit_q + UnitW'(1);
    end
    if (!rst_ni || clear_i) clear_q <= LowW'(NumSlots + 1);
    else if (clear_q != '0) clear_q <= clear_q - LowW'(1);
  end

  // ---- Low bits ----
  logic [NumUnits-1:0][NumStates-1:0][LowW-1:0] low_q;
  logic [NumUnits-1:0][2:0]                     state;
  always_comb begin
    for (int unsigned u = 0; u < NumUnits; u++) state[u] = trace_i[u].state;
  end
  always_ff @(posedge clk_i) begin
    for (int unsigned u = 0; u < NumUnits; u++) begin
      for (int unsigned s = 0; s < NumStates; s++) begin
        if (!rst_ni || clear_i || (unit_q == UnitW'(u) && state_q == 3'(s))) low_q[u][s] <= '0;
        else if (counting_i && state[u] == 3'(s)) low_q[u][s] <= low_q[u][state[u]] + LowW'(1);
      end
    end
  end

  // ---- A turn: read, add, write ----
  logic [3:1][SlotW-1:0] slot_q;
  logic [3:1]            valid_q;
  logic [1:0]            hit_q;      // the counter counts in the very cycle of its turn
  logic [1:0][LowW-1:0]  add_q;
  logic [31:0]           read, old_q, sum_q;
  always_ff @(posedge clk_i) begin
    valid_q <= (rst_ni && !clear_i) ? {valid_q[2:1], 1'b1} : '0;
    slot_q <= {slot_q[2:1], turn_q};
    add_q <= {add_q[0], low_q[unit_q][state_q]};
    hit_q <= {hit_q[0], counting_i && state[unit_q] == state_q};
    old_q <= (clear_q != '0) ? '0 : read;
    sum_q <= old_q + 32'(add_q[1]) + 32'(hit_q[1]);
  end

  (* ram_style = "block", no_rw_check *)
  logic [31:0] count_mem [2**SlotW];
  always_ff @(posedge clk_i) begin
    if (valid_q[3]) count_mem[slot_q[3]] <= sum_q;
    read <= count_mem[turn_q];
  end

  assign read_ready_o = valid_q[3] && read_valid_i && slot_q[3] == read_index_i;
  assign read_o = sum_q;
endmodule
