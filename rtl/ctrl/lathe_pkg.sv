// SPDX-License-Identifier: Apache-2.0
// Types shared by the sequencer and the units: resolved commands, completion records and unit
// configuration. Holds no layout that software sees; that is lathe_desc_pkg and the registers.
package lathe_pkg;
  localparam int unsigned NumUnits = 4;      // gemm, policy, update, dma: index = unit code - 1
  localparam int unsigned NumOperands = 5;   // operands of a descriptor
  localparam int unsigned AddrW = 16;        // scratchpad word address
  localparam int unsigned RdLatency = 5;     // cycles from a granted scratchpad read to its answer
  localparam int unsigned WriteDelay = 7;    // within so many cycles a write that the scratchpad took is in its bank
  localparam int unsigned DimW = 16;         // a tensor dimension
  localparam int unsigned ExpW = 8;          // an exponent, signed
  localparam int unsigned AccW = 46;         // a gemm accumulator

  // Row and bank of a word of a scratchpad with 2**bank_w banks. The bank is the XOR of all address digits of bank_w bits: words
  // that lie a power of two apart still spread over the banks.
  function automatic logic [AddrW-1:0] place_of(logic [AddrW-1:0] addr, int unsigned bank_w);
    logic [AddrW-1:0] bank;
    bank = '0;
    for (int unsigned i = 1; i < AddrW; i++) bank ^= addr >> i * bank_w;
    return addr ^ (bank & AddrW'((1 << bank_w) - 1));
  endfunction

  typedef struct packed {
    logic [AddrW-1:0]      addr;    // word address, weight slot already added
    logic [AddrW-1:0]      stride;  // words from row to row
    logic signed [ExpW-1:0] exp;    // exponent: the stored one of a source, the next one of a result
  } operand_t;

  // A descriptor as a unit receives it: addresses and exponents resolved.
  typedef struct packed {
    logic [4:0]            op;
    logic                  trans_a;
    logic                  trans_b;
    logic                  bias;
    lathe_desc_pkg::act_e  act;
    lathe_desc_pkg::act_e  dact;
    logic                  stochastic;
    logic                  greedy;
    logic                  int8;         // A and B are int8
    logic                  int8_result;  // C is int8
    logic                  accumulate;
    logic                  colsum;
    logic                  chain;        // A is the result of the gemm command before this one
    logic [1:0]            overlap;      // gemm commands before this one that may be unfinished when it starts to read
    logic                  norm;         // gemm: squares of the results go to the gradient norm
    logic                  clip;         // update: the gradient is clipped by the norm
    logic                  sequence_words;  // policy LOSS: operand 4 holds log ratios of whole sequences
    logic [4:0]            gshift;
    operand_t [NumOperands-1:0] t;
    operand_t              t5;      // update with int8_result: the int8 copy of the new weights
    logic [DimW-1:0]       m;
    logic [DimW-1:0]       n;
    logic [DimW-1:0]       k;
    logic [31:0]           mem_addr;
    logic [31:0]           mem_stride;
    logic [31:0]           key;     // key of the operation's random bits
    // Of a piece of a command (gemm, policy): where it lies in the whole. Random bits are those of the whole.
    logic [DimW-1:0]       first_row;  // its first row
    logic [DimW-1:0]       first_col;  // gemm: its first column, in blocks of Lanes
    logic [DimW-1:0]       all_rows;   // gemm: m of the whole
  } cmd_t;

  // What one result of a command tells its exponent register.
  typedef struct packed {
    logic                   track;  // `top` enters the history of delayed scaling
    logic signed [ExpW-1:0] top;    // all values of the result are below 2**top in magnitude
  } result_t;

  // Result 0 belongs to operand 2, result 1 to operand 4.
  typedef struct packed {
    lathe_desc_pkg::error_e error;
    logic [31:0]            saturations;  // values that were clamped
    result_t [1:0]          result;
  } done_t;

  // A scratchpad word that was not as it had been written.
  typedef struct packed {
    logic             scrubber;       // which found it, not a unit
    logic             uncorrectable;  // two bits were flipped, else one
    logic [AddrW-1:0] addr;
  } fault_t;

  // Bits of a word to be flipped in the memory itself: its data bits, above them its check bits.
  typedef struct packed {
    logic             two;
    logic [8:0]       second;  // if two
    logic [8:0]       first;
    logic [AddrW-1:0] addr;
  } inject_t;

  // What a unit does in a cycle: the reasons of the performance counters and of the trace. Exactly one holds.
  typedef enum logic [2:0] {
    UnitIdle         = 3'd0,  // no command in it, none queued, none to come
    UnitBusy         = 3'd1,
    UnitWait         = 3'd2,  // no command in it, the head of its queue waits for a semaphore
    UnitStallOperand = 3'd3,
    UnitStallResult  = 3'd4,
    UnitOverhead     = 3'd5,  // a command is in it, but its stream has not begun or has ended: set-up, fill, drain
    UnitFetch        = 3'd6   // no command in it, none queued, but the sequencer still reads the program or issue works
  } unit_state_e;

  typedef struct packed {
    unit_state_e state;
    logic        start;  // takes a command in this cycle
    logic        done;   // completes one
    logic [7:0]  pc;     // descriptor of the oldest command in it, else of the head of its queue
  } unit_trace_t;

  // What the importance ratio of a lane does to a sample.
  typedef struct packed {
    logic                          weight;  // it enters the coefficient
    lathe_desc_pkg::ratio_action_e above;   // log-ratio > hi
    lathe_desc_pkg::ratio_action_e below;   // log-ratio < lo
    logic signed [15:0]            lo;      // LSB 2**-10
    logic signed [15:0]            hi;      // LSB 2**-10
    lathe_desc_pkg::ratio_source_e source;
    lathe_desc_pkg::ratio_aggregate_e aggregate;
  } ratio_lane_t;

  // Configuration of SCAN (registers).
  typedef struct packed {
    logic        delta_weight;  // the ratio weights the temporal difference
    logic        trace_weight;  // the trace
    logic        trace_next;    // with the ratio of the record that follows
    logic        td_advantage;
    logic [16:0] gamma;         // LSB 2**-16, above 65536 as 65536
    logic [16:0] decay;         // gamma * lambda, the same
    logic [15:0] rho_cap;       // LSB 2**-15
    logic [15:0] c_cap;
  } scan_cfg_t;

  // Policy configuration (registers).
  typedef struct packed {
    ratio_lane_t        r;             // old to new
    ratio_lane_t        rho;           // sampler to old
    logic               dual_on;
    logic signed [15:0] dual;          // log threshold of lane r for negative advantages, LSB 2**-10
    logic               stats_rho;     // statistics: of lane rho, not r
    logic               veto_below;    // MEASURE: a log ratio of lane rho below veto_lo vetoes its sequence
    logic               veto_above;    // the same above veto_hi
    logic signed [15:0] veto_lo;       // LSB 2**-10
    logic signed [15:0] veto_hi;       // LSB 2**-10
    logic [17:0]        entropy_coef;  // LSB 2**-16
    logic [17:0]        value_coef;    // LSB 2**-16
    logic [15:0]        version;       // low bits of the current weight version
    scan_cfg_t          scan;
  } policy_cfg_t;

  // Words of a row of records that LOSS, EVALUATE and MEASURE read: 8 elements a sample.
  function automatic int unsigned record_words(int unsigned lanes);
    return lanes < 8 ? 8 / lanes : 1;
  endfunction

  // Sums over the samples of LOSS operations since they were last cleared.
  typedef struct packed {
    logic [31:0]        count;
    logic [31:0]        high;         // log ratio of lane r above its bound
    logic [31:0]        low;          // below
    logic [31:0]        rho_high;     // the same of lane rho
    logic [31:0]        rho_low;
    logic [31:0]        masked;       // coefficient zeroed by an action zero
    logic [31:0]        clipped;      // zeroed by an action sign or dual, or the log ratio saturated
    logic [31:0]        seq_masked;   // of the masked those zeroed with their sequence
    logic [31:0]        vetoed;       // of vetoed sequences
    logic signed [47:0] sum_x;        // log ratio, LSB 2**-10
    logic signed [47:0] sum_x2;       // its square, LSB 2**-20
    logic signed [47:0] sum_ratio;    // LSB 2**-16
    logic signed [47:0] sum_ratio2;   // LSB 2**-16
    logic signed [47:0] sum_k3;       // ratio - 1 - log ratio, LSB 2**-16
    logic signed [47:0] sum_entropy;  // LSB 2**-16
    logic signed [47:0] sum_verr2;    // squared value error, LSB 2**-16
    logic signed [16:0] max_x;        // LSB 2**-10, reset value -65536
    logic signed [16:0] min_x;        // LSB 2**-10, reset value 65535
  } policy_stats_t;

  // Update configuration (registers).
  typedef struct packed {
    logic [15:0]       lr_mant;   // learning rate = lr_mant * 2**lr_exp
    logic signed [7:0] lr_exp;
    logic [15:0]       momentum;  // LSB 2**-16
    // adam; logarithms are binary, LSB 2**-18
    logic [15:0]        beta1;      // LSB 2**-16
    logic signed [17:0] decay_log;  // of beta2, half of it
    logic signed [23:0] gain_log;   // of 1 - beta2, half of it
    logic signed [23:0] rate_log;   // of the step size
    logic signed [23:0] eps_log;
    logic [15:0]        wd_mant;    // decoupled weight decay * learning rate = wd_mant * 2**wd_exp
    logic signed [7:0]  wd_exp;
    logic signed [23:0] clip_log;   // of the gradient's factor with `clip`, at most 0
  } update_cfg_t;
endpackage
