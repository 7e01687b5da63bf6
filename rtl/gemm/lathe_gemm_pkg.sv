// SPDX-License-Identifier: Apache-2.0
// What the modules of the gemm unit share: sizes and the settings of the drain's arithmetic.
package lathe_gemm_pkg;
  import lathe_pkg::DimW;

  localparam int unsigned ValueW = 62;      // sum (below 2**45) times derivative factor: below 2**61 in magnitude
  localparam int unsigned RoundStage = 8;   // stage of the lane pipeline that holds the rounded value
  localparam int unsigned TanhStage = 12;   // stage of the lane pipeline that holds the tanh
  localparam int unsigned NumStages = TanhStage + 1;

  localparam int unsigned BlockW = 14;      // index of a block of Lanes rows or columns

  // A command's last indices. In blocks of Lanes: the upper bits count the blocks after the first, the lower bits are
  // the last index within the last block.
  typedef struct packed {
    logic [DimW-1:0] m_last;
    logic [DimW-1:0] n_last;
    logic [DimW-1:0] k_last;
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
