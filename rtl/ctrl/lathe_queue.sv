// SPDX-License-Identifier: Apache-2.0
// The queues between sequencer and issue, one per unit and one for the request, in one memory. All heads' wait masks
// can be seen at once; an entry is read, and popped later or not at all. Does not know what an entry means.
module lathe_queue
  import lathe_pkg::*;
  import lathe_ctrl_pkg::*;
(
  input  logic                                   clk_i,
  input  logic                                   rst_ni,
  input  logic                                   flush_i,
  input  logic                                   flush_request_i,

  input  logic                                   push_try_i,    // an entry is there; push_valid_i says whether it is any good
  input  logic                                   push_valid_i,  // not without push_try_i
  output logic                                   push_ready_o,  // of the unit in the cycle before; low after a push
  input  logic [QueueW-1:0]                      push_unit_i,   // steady from two cycles before push_try_i on
  input  logic [NumSemaphores-1:0]               push_wait_i,
  input  entry_t                                 push_entry_i,
  input  logic [UnitW-1:0]                       push_request_unit_i,  // of a request's entry

  output logic [NumQueues-1:0]                   head_valid_o,
  output logic [NumQueues-1:0][NumSemaphores-1:0] head_wait_o,
  output logic [NumQueues-1:0][PcW-1:0]          head_pc_o,
  output logic [UnitW-1:0]                       request_unit_o,  // of the request's head
  output logic                                   request_room_o,  // in the request's queue

  input  logic                                   choose_i,
  input  logic [QueueW-1:0]                      choose_unit_i,
  input  logic                                   read_i,        // the head that was chosen last
  output entry_t                                 entry_o,       // that head, from the cycle after read_i until the next read
  input  logic                                   pop_i,
  input  logic [QueueW-1:0]                      pop_unit_i
);
  localparam int unsigned PtrW = $clog2(QueueDepth);

  logic [NumQueues-1:0][PtrW-1:0] rptr_q, wptr_q;
  logic [NumQueues-1:0][PtrW:0]   count_q;
  logic [NumQueues-1:0]           push, pop, full_q, push_unit_q;

  always_comb begin
    push = push_unit_q & {NumQueues{push_valid_i && push_ready_o}};
    pop = '0;
    pop[pop_unit_i] = pop_i;
    for (int unsigned u = 0; u < NumQueues; u++) head_valid_o[u] = count_q[u] != '0;
  end

  assign request_room_o = !full_q[RequestQueue];

  always_ff @(posedge clk_i) push_unit_q <= NumQueues'(1) << push_unit_i;
  always_ff @(posedge clk_i) push_ready_o <= rst_ni && !full_q[push_unit_i] && !(push_try_i && push_ready_o);
  always_ff @(posedge clk_i) begin
    for (int unsigned u = 0; u < NumQueues; u++) begin
      if (!rst_ni || (u == RequestQueue ? flush_request_i : flush_i)) begin
        rptr_q[u] <= '0;
        wptr_q[u] <= '0;
        count_q[u] <= '0;
        full_q[u] <= 1'b0;
      end else begin
        if (push[u]) wptr_q[u] <= wptr_q[u] + PtrW'(1);
        if (pop[u]) rptr_q[u] <= rptr_q[u] + PtrW'(1);
        if (push[u] != pop[u]) begin
          count_q[u] <= push[u] ? count_q[u] + (PtrW+1)'(1) : count_q[u] - (PtrW+1)'(1);
          full_q[u] <= push[u] && count_q[u] == (PtrW+1)'(QueueDepth - 1);
        end
      end
    end
  end

  (* ram_style = "block", no_rw_check *) entry_t entry_mem [2**QueueW*QueueDepth];  // an entry is read later than it is written
  logic [QueueW+PtrW-1:0] read_index_q;
  always_ff @(posedge clk_i) begin
    if (push_try_i && push_ready_o) entry_mem[{push_unit_i, wptr_q[push_unit_i]}] <= push_entry_i;
    if (choose_i) read_index_q <= {choose_unit_i, rptr_q[choose_unit_i]};
    if (read_i) entry_o <= entry_mem[read_index_q];
  end

  for (genvar u = 0; u < NumQueues; u++) begin : gen_head
    logic [NumSemaphores+PcW-1:0] head_mem [QueueDepth];
    always_ff @(posedge clk_i) begin
      if (push_try_i && push_ready_o && push_unit_q[u]) head_mem[wptr_q[u]] <= {push_wait_i, push_entry_i.pc};
    end
    assign {head_wait_o[u], head_pc_o[u]} = head_mem[rptr_q[u]];
  end

  logic [UnitW-1:0] request_unit_mem [QueueDepth];
  always_ff @(posedge clk_i) begin
    if (push_try_i && push_ready_o && push_unit_q[RequestQueue]) request_unit_mem[wptr_q[RequestQueue]] <= push_request_unit_i;
  end
  assign request_unit_o = request_unit_mem[rptr_q[RequestQueue]];

`ifndef SYNTHESIS
  always_ff @(posedge clk_i) begin
    if (rst_ni && pop_i) assert (head_valid_o[pop_unit_i]) else $error("pop of an empty queue");
  end
`endif
endmodule
