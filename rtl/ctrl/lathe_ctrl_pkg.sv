// SPDX-License-Identifier: Apache-2.0
// Types inside the control side: what waits in a queue, what is reported, what is counted.
package lathe_ctrl_pkg;
  import lathe_pkg::*;
  import lathe_desc_pkg::*;

  localparam int unsigned NumSemaphores = 16;
  localparam int unsigned PcW = 8;           // index of a descriptor
  localparam int unsigned QueueDepth = 4;    // descriptors that wait for a unit
  localparam int unsigned UnitW = $clog2(NumUnits);
  localparam int unsigned NumQueues = NumUnits + 1;  // one more for the request
  localparam int unsigned QueueW = $clog2(NumQueues);
  localparam int unsigned RequestQueue = NumUnits;
  localparam int unsigned NumResults = 3;    // of a command, that have an exponent: operands 2, 4 and 5
  localparam int unsigned FlightDepth = 4;   // commands that gemm works on at once; the other units take one

  // What issue has to know of a descriptor before it is out of the queue's memory for a cycle.
  typedef struct packed {
    logic                  step;      // a step of update
    logic                  moments;   // with operands 3 and 4
    logic [NumResults-1:0] writes;    // results that have an exponent
    logic                  source3;   // operand 3 is a source, or 3 and 4
    logic                  source4;
    logic                  cuttable;  // it may start in pieces
    logic [1:0]            blocks;    // and, of gemm, column blocks of a piece, binary logarithm
    logic [ExpW-1:0]       first;     // exponent field of the result that is looked up first
  } plan_t;

  // A checked descriptor. Until issue resolves it, cmd.t[i].exp holds {space, exponent register}.
  typedef struct packed {
    plan_t                    plan;
    cmd_t                     cmd;
    logic [NumSemaphores-1:0] post_mask;
    logic [PcW-1:0]           pc;
  } entry_t;

  // A result's exponent register: logical index, {weight group, register}.
  typedef struct packed {
    logic       write;  // there is such a result
    logic [6:0] index;
  } ref_t;

  // What a running command needs when it is done.
  typedef struct packed {
    logic [NumSemaphores-1:0] post_mask;
    logic [PcW-1:0]           pc;
    logic                     request; // it belongs to the request, not to the program
    logic                     more;    // other pieces of the command follow
    logic                     int8;    // result 0 is int8
    ref_t [NumResults-1:0]    result;
  } info_t;

  // What enters the histories when a command is done. Result 2 is an int8 copy of result 0.
  typedef struct packed {
    logic                   int8;
    ref_t [NumResults-1:0]  result;
    logic [1:0][ExpW-1:0]   top;
  } tops_t;

  // An error and the descriptor at fault.
  typedef struct packed {
    error_e         code;
    logic [2:0]     unit;
    logic [PcW-1:0] pc;
  } report_t;

  // Weight group as the host wants it at group_init.
  typedef struct packed {
    logic [15:0] base;
    logic [15:0] size;
    logic [2:0]  slots;
    logic [31:0] version;
  } group_t;

  // Slots of the weight group as they stand.
  localparam int unsigned MaxSlots = 4;
  typedef struct packed {
    logic [31:0]               version;   // of the current slot
    logic [1:0]                slot;      // current
    logic [1:0]                next;
    logic [MaxSlots-1:0]       valid;
    logic [MaxSlots-1:0]       pinned;
    logic [MaxSlots-1:0]       bad;
    logic [MaxSlots-1:0][31:0] versions;
  } weights_t;

  // Where results may lie.
  typedef struct packed {
    logic [AddrW-1:0] last;
    logic [AddrW-1:0] first;
  } window_t;
  typedef struct packed {
    logic          install;   // programs may load into the current slot
    logic          requests;  // are kept to their windows
    logic          programs;
    window_t [1:0] request_windows;
    window_t [3:0] windows;
  } grants_t;

  function automatic operand_t unresolved(logic [AddrW-1:0] addr, logic [AddrW-1:0] stride, logic [1:0] space,
                                          logic [5:0] exp);
    operand_t operand;
    operand.addr = addr;
    operand.stride = stride;
    operand.exp = signed'({space, exp});
    return operand;
  endfunction

  // Steps of a gemm command by which its pieces have column blocks: a power of two.
  localparam int unsigned ManySteps = 16;  // up to these eight,
  localparam int unsigned FewSteps = 64;   // up to these two, else one

  // verilator lint_off UNUSEDSIGNAL
  function automatic plan_t plan_of(logic [2:0] unit, cmd_t cmd);
    logic            gemm, policy;
    logic [DimW-1:0] steps;
    gemm = unit == UnitGemm;
    policy = unit == UnitPolicy;
    steps = (cmd.k + DimW'(cmd.int8)) >> cmd.int8;
    plan_of.step = unit == UnitUpdate && (cmd.op == UpdateMomentum || cmd.op >= UpdateSgd);
    plan_of.moments = plan_of.step && cmd.op != UpdateSgd;
    plan_of.writes = {plan_of.step && cmd.int8_result, plan_of.moments || cmd.colsum, gemm || plan_of.step || (policy && cmd.op == PolicyLoss)};
    plan_of.source3 = cmd.bias || plan_of.step;
    plan_of.source4 = plan_of.step || cmd.dact != ActNone || cmd.accumulate || cmd.sequence_words;
    plan_of.cuttable = gemm || (policy && cmd.op != PolicyMeasure && cmd.op != PolicyScan && !cmd.sequence_words);
    plan_of.first = plan_of.step ? cmd.t[1].exp : cmd.t[2].exp;
    plan_of.blocks = (steps <= DimW'(ManySteps)) ? 2'd3 : (steps <= DimW'(FewSteps) || cmd.int8_result) ? 2'd1 : 2'd0;
  endfunction

  // The queue, semaphores and end of the program take what is left of the descriptor.
  function automatic entry_t to_entry(desc_t desc, logic [31:0] key, logic [PcW-1:0] pc, plan_t plan);
    entry_t entry;
    entry.cmd.op = desc.op;
    entry.cmd.trans_a = desc.trans_a;
    entry.cmd.trans_b = desc.trans_b;
    entry.cmd.bias = desc.bias;
    entry.cmd.act = act_e'(desc.act);
    entry.cmd.dact = act_e'(desc.dact);
    entry.cmd.stochastic = desc.stochastic;
    entry.cmd.greedy = desc.greedy;
    entry.cmd.sequence_words = desc.sequence_words;
    entry.cmd.int8 = desc.int8;
    entry.cmd.int8_result = desc.int8_result;
    entry.cmd.accumulate = desc.accumulate;
    entry.cmd.colsum = desc.colsum;
    entry.cmd.chain = desc.chain;
    entry.cmd.overlap = desc.overlap;
    entry.cmd.norm = desc.norm;
    entry.cmd.clip = desc.clip;
    entry.cmd.gshift = desc.gshift;
    entry.cmd.t[0] = unresolved(desc.t0_addr, desc.t0_stride, desc.t0_space, desc.t0_exp);
    entry.cmd.t[1] = unresolved(desc.t1_addr, desc.t1_stride, desc.t1_space, desc.t1_exp);
    entry.cmd.t[2] = unresolved(desc.t2_addr, desc.t2_stride, desc.t2_space, desc.t2_exp);
    entry.cmd.t[3] = unresolved(desc.t3_addr, desc.t3_stride, desc.t3_space, desc.t3_exp);
    entry.cmd.t[4] = unresolved(desc.t4_addr, desc.t4_stride, desc.t4_space, desc.t4_exp);
    entry.cmd.t5 = unresolved(desc.t5_addr, desc.t5_stride, desc.t5_space, desc.t5_exp);
    entry.cmd.m = desc.m;
    entry.cmd.n = desc.n;
    entry.cmd.k = desc.k;
    entry.cmd.mem_addr = desc.mem_addr;
    entry.cmd.mem_stride = desc.mem_stride;
    entry.cmd.key = key;
    entry.cmd.first_row = '0;
    entry.cmd.first_col = '0;
    entry.cmd.all_rows = desc.m;
    entry.plan = plan;
    entry.post_mask = desc.post_mask;
    entry.pc = pc;
    return entry;
  endfunction
  // verilator lint_on UNUSEDSIGNAL
endpackage
