// SPDX-License-Identifier: Apache-2.0
// Types of the streams inside the policy unit. Holds nothing that other units see.
package lathe_policy_pkg;
  localparam int unsigned MaxCols = 64;   // actions + 1
  localparam int unsigned ColW = 6;       // a column
  localparam int unsigned CountW = 7;     // a number of columns
  localparam int unsigned MaxRows = 64;   // samples in flight, read but not written
  localparam int unsigned RowBuffer = 128;  // elements in each row buffer, more than one row

  typedef logic signed [23:0] z_t;        // logit or value, LSB 2**-16

  // One element of a row behind the log-softmax.
  typedef struct packed {
    logic               last;    // the value, which ends the row
    logic               is_max;  // a logit as large as the largest of its row
    logic signed [25:0] lp;      // log-probability; on `last` the value; LSB 2**-16
    logic [16:0]        p;       // probability; 0 on `last`
    logic [16:0]        e;       // exp(logit - maximum); 0 on `last`
  } elem_t;

  // What LOSS, EVALUATE and MEASURE need of a sample's record, the action already limited to the last one.
  typedef struct packed {
    logic signed [15:0] mu;      // log-probability under the sampler, LSB 2**-10
    logic signed [15:0] ret;     // LSB 2**-10
    logic signed [15:0] adv;     // LSB 2**-11
    logic signed [15:0] old;     // LSB 2**-10
    logic [ColW-1:0]    action;
    logic               ends;    // the last sample of its sequence
    logic               last;        // flags, as they are
    logic               terminated;
  } record_t;

  // What LOSS needs of a sequence's word.
  typedef struct packed {
    logic               veto;
    logic signed [15:0] x_rho;   // LSB 2**-10
    logic signed [15:0] x_r;
  } sequence_t;

  // What EVALUATE and SCAN leave of a record as it was.
  typedef struct packed {
    logic [63:0] high;    // elements 4 to 7
    logic [15:0] adv;     // EVALUATE
    logic [15:0] old;     // SCAN
    logic [15:0] action;
  } kept_t;

  // What is known of a sample when its row's elements are taken out for the last step.
  typedef struct packed {
    logic signed [25:0] coef;    // LOSS: coefficient * advantage, LSB 2**-16; SAMPLE: threshold T
    logic signed [21:0] entropy;
    logic signed [24:0] verr;    // value - return, LSB 2**-16
    logic [ColW-1:0]    action;
    logic               ends;    // the last sample of its sequence
  } context_t;

  // One sample's contribution to the statistics.
  typedef struct packed {
    logic               high;
    logic               low;
    logic               rho_high;
    logic               rho_low;
    logic               masked;
    logic               clipped;
    logic               seq_masked;
    logic               vetoed;
    logic signed [16:0] x;       // this and the ratio: of the chosen lane
    logic [20:0]        ratio;
    logic [25:0]        ratio2;
    logic signed [21:0] entropy;
    logic [33:0]        verr2;
  } sample_t;

  // RNE(v / 2**6), saturated to 16 bits: LSB 2**-16 to LSB 2**-10.
  function automatic logic signed [15:0] log_code(logic signed [25:0] v);
    logic up;
    up = v[5] && (v[4:0] != '0 || v[6]) && v[21:6] != 16'h7fff;
    return v[25:21] != {5{v[25]}} ? {v[25], {15{!v[25]}}} : v[21:6] + 16'(up);
  endfunction
endpackage
