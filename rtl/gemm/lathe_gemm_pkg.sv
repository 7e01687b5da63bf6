// SPDX-License-Identifier: Apache-2.0
// What the modules of the gemm unit share: sizes and the settings of the drain's arithmetic.
package lathe_gemm_pkg;
  localparam int unsigned ValueW = 62;      // sum (below 2**45) times derivative factor: below 2**61 in magnitude
  localparam int unsigned RoundStage = 8;   // stage of the lane pipeline that holds the rounded value
  localparam int unsigned TanhStage = 12;   // stage of the lane pipeline that holds the tanh
  localparam int unsigned NumStages = TanhStage + 1;

  localparam int unsigned BlockW = 15;      // number of blocks of Lanes rows or columns
  localparam int unsigned TailW = 5;        // size of a block, 1..16

  // A command's dimensions in blocks of Lanes; a tail is the size of the last block, 1..Lanes.
  typedef struct packed {
    logic [BlockW-1:0] m_blocks;
    logic [BlockW-1:0] n_blocks;
    logic [BlockW-1:0] k_blocks;
    logic [TailW-1:0]  m_tail;
    logic [TailW-1:0]  n_tail;
    logic [TailW-1:0]  k_tail;
  } shape_t;

  // Constant during a command.
  typedef struct packed {
    logic               bias;         // add the bias
    logic signed [6:0]  bias_shift;   // of align_amount: e_bias - e_acc, clamped to -63..28
    logic               act_relu;
    logic               dact_relu;
    logic               dact_tanh;
    logic [6:0]         shift;        // of shift_amount: s clamped to -16..62, plus 16
    logic               stochastic;   // never together with act = tanh
  } lane_cfg_t;
endpackage
