// SPDX-License-Identifier: Apache-2.0
// Performance counters: of each unit the cycles in each state, of all the cycles, k-steps and saturations. A clear wins over
// counting. All but the saturations lie in one memory; the low bits of each count apart, and one counter a cycle, in turn,
// carries into its word what these have passed over. A read waits for its counter's turn, so it is exact. Counts wrap.
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
  output logic [31:0]                saturations_o,

  input  logic                       read_valid_i, // held until ready
  output logic                       read_ready_o,
  input  logic [4:0]                 read_index_i, // 8 * unit + state; 7, 15: cycles, 23, 31: k-steps (low word, high word)
  output logic [31:0]                read_o        // with ready
);
  localparam int unsigned SlotW = UnitW + 3;
  localparam int unsigned NumSlots = 2**SlotW;
  localparam int unsigned LowW = SlotW + 1;  // a count never goes around between two of its turns
  localparam logic [2:0] Total = 3'd7;       // in the place of a state

  // ---- Whose turn it is. After a clear words read as zero until all have been rewritten ----
  logic [SlotW-1:0] turn_q;
  logic [SlotW:0]   clear_q;
  always_ff @(posedge clk_i) begin
    turn_q <= rst_ni ? turn_q + SlotW'(1) : '0;
    if (!rst_ni || clear_i) clear_q <= '1;
    else if (clear_q != '0) clear_q <= clear_q - (SlotW+1)'(1);
  end

  // ---- Low bits: of the units in a memory each, of the totals in registers ----
  logic [NumUnits-1:0][LowW-1:0] unit_low_q;  // of the state whose turn it was
  logic [3:0][LowW-1:0]          total_q;   // cycles, carries of the cycles, k-steps, carries of the k-steps
  logic [3:0]                    total_add;
  logic                          counting_q;      // in the cycle before
  logic [1:0]                    mac_step_q;      // as late as the states
  for (genvar u = 0; u < NumUnits; u++) begin : gen_unit
    logic [LowW-1:0] low_mem [2**3];
    logic [7:0]      known_q;  // counted since the last clear
    logic [2:0]      state_q;
    always_ff @(posedge clk_i) begin
      state_q <= trace_i[u].state;
      if (!rst_ni || clear_i) known_q <= '0;
      else if (counting_q) known_q[state_q] <= 1'b1;
      if (counting_q) low_mem[state_q] <= known_q[state_q] ? low_mem[state_q] + LowW'(1) : LowW'(1);
      unit_low_q[u] <= known_q[turn_q[2:0]] ? low_mem[turn_q[2:0]] : '0;
    end
  end
  always_ff @(posedge clk_i) begin
    mac_step_q <= rst_ni ? {mac_step_q[0], mac_step_i} : '0;
    counting_q <= rst_ni && counting_i;
    for (int unsigned i = 0; i < 4; i++) begin
      if (!rst_ni || clear_i) total_q[i] <= '0;
      else if (total_add[i]) total_q[i] <= total_q[i] + LowW'(1);
    end
  end

  // ---- A turn: read, carry, write ----
  logic [3:1][SlotW-1:0] slot_q;
  logic [3:1]            valid_q;
  logic [LowW-1:0]       total_low_q, low_q;
  logic [31:0]           read, old_q, sum_q;
  logic                  carry_q;  // out of the word
  always_ff @(posedge clk_i) begin
    valid_q <= (rst_ni && !clear_i) ? {valid_q[2:1], 1'b1} : '0;
    slot_q <= {slot_q[2:1], turn_q};
    total_low_q <= total_q[turn_q[SlotW-1:3]];
    low_q <= (slot_q[1][2:0] == Total) ? total_low_q : unit_low_q[slot_q[1][SlotW-1:3]];
    old_q <= (clear_q != '0) ? '0 : read;
    {carry_q, sum_q[31:LowW]} <= {1'b0, old_q[31:LowW]} + (33-LowW)'(low_q < old_q[LowW-1:0]);
    sum_q[LowW-1:0] <= low_q;
  end
  for (genvar t = 0; t < 2; t++) begin : gen_total
    assign total_add[2*t+1] = valid_q[3] && carry_q && slot_q[3] == {UnitW'(2*t), Total};
  end
  assign total_add[0] = counting_q;
  assign total_add[2] = mac_step_q[1];

  (* ram_style = "block", no_rw_check *)
  logic [31:0] count_mem [NumSlots];
  always_ff @(posedge clk_i) begin
    if (valid_q[3]) count_mem[slot_q[3]] <= sum_q;
    read <= count_mem[turn_q];
  end

  assign read_ready_o = valid_q[3] && read_valid_i && slot_q[3] == read_index_i;
  assign read_o = sum_q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni || clear_i) saturations_o <= '0;
    else if (saturations_valid_i) saturations_o <= saturations_o + saturations_i;
  end
endmodule
