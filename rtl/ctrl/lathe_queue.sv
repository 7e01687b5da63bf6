// SPDX-License-Identifier: Apache-2.0
// The queues between sequencer and issue, one per unit, in one memory of 16 entries. All heads' wait masks
// can be seen at once; an entry is read, and popped later or not at all. Does not know what an entry means.
module lathe_queue
  import lathe_pkg::*;
  import lathe_ctrl_pkg::*;
(
  input  logic                                   clk_i,
  input  logic                                   rst_ni,
  input  logic                                   flush_i,

  input  logic                                   push_try_i,    // an entry is there; push_valid_i says whether it is any good
  input  logic                                   push_valid_i,  // not without push_try_i
  output logic                                   push_ready_o,  // of the unit in the cycle before; low after a push
  input  logic [UnitW-1:0]                       push_unit_i,   // steady from two cycles before push_try_i on
  input  logic [NumSemaphores-1:0]               push_wait_i,
  input  entry_t                                 push_entry_i,

  output logic [NumUnits-1:0]                    head_valid_o,
  output logic [NumUnits-1:0][NumSemaphores-1:0] head_wait_o,
  output logic [NumUnits-1:0][PcW-1:0]           head_pc_o,

  input  logic                                   choose_i,
  input  logic [UnitW-1:0]                       choose_unit_i,
  input  logic                                   read_i,        // the head that was chosen last
  output entry_t                                 entry_o,       // that head, from the cycle after read_i until the next read
  input  logic                                   pop_i,
  input  logic [UnitW-1:0]                       pop_unit_i
);
  localparam int unsigned PtrW = $clog2(QueueDepth);

  logic [NumUnits-1:0][PtrW-1:0] rptr_q, wptr_q;
  logic [NumUnits-1:0][PtrW:0]   count_q;
  logic [NumUnits-1:0]           push, pop, full_q, push_unit_q;

  always_comb begin
    push = push_unit_q & {NumUnits{push_valid_i && push_ready_o}};
    pop = '0;
    pop[pop_unit_i] = pop_i;
    for (int unsigned u = 0; u < NumUnits; u++) head_valid_o[u] = count_q[u] != '0;
  end

  always_ff @(posedge clk_i) push_unit_q <= NumUnits'(1) << push_unit_i;
  always_ff @(posedge clk_i) push_ready_o <= rst_ni && !full_q[push_unit_i] && !(push_try_i && push_ready_o);
  always_ff @(posedge clk_i) begin
    if (!rst_ni || flush_i) begin
      rptr_q <= '0;
      wptr_q <= '0;
      count_q <= '0;
      full_q <= '0;
    end else begin
      for (int unsigned u = 0; u < NumUnits; u++) begin
        if (push[u]) wptr_q[u] <= wptr_q[u] + PtrW'(1);
        if (pop[u]) rptr_q[u] <= rptr_q[u] + PtrW'(1);
        if (push[u] != pop[u]) begin
          count_q[u] <= push[u] ? count_q[u] + (PtrW+1)'(1) : count_q[u] - (PtrW+1)'(1);
          full_q[u] <= push[u] && count_q[u] == (PtrW+1)'(QueueDepth - 1);
        end
      end
    end
  end

  entry_t entry_mem [NumUnits*QueueDepth];
  logic [UnitW+PtrW-1:0] read_index_q;
  always_ff @(posedge clk_i) begin
    if (push_try_i && push_ready_o) entry_mem[{push_unit_i, wptr_q[push_unit_i]}] <= push_entry_i;
    if (choose_i) read_index_q <= {choose_unit_i, rptr_q[choose_unit_i]};
    if (read_i) entry_o <= entry_mem[read_index_q];
  end

  for (genvar u = 0; u < NumUnits; u++) begin : gen_head
    logic [NumSemaphores+PcW-1:0] head_mem [QueueDepth];
    always_ff @(posedge clk_i) begin
      if (push_try_i && push_ready_o && push_unit_q[u]) head_mem[wptr_q[u]] <= {push_wait_i, push_entry_i.pc};
    end
    assign {head_wait_o[u], head_pc_o[u]} = head_mem[rptr_q[u]];
  end

`ifndef SYNTHESIS
  always_ff @(posedge clk_i) begin
    if (rst_ni && pop_i) assert (head_valid_o[pop_unit_i]) else $error("pop of an empty queue");
  end
`endif
endmodule
