// SPDX-License-Identifier: Apache-2.0
// What the modules of the gemm unit share: sizes, a command's shape and the settings of the drain.
package lathe_gemm_pkg;
  import lathe_pkg::AddrW;
  import lathe_pkg::DimW;

  localparam int unsigned BlockW = 14;      // index of a block of Lanes rows or columns
  localparam int unsigned EdgeW = 32;       // a sum of the array's edge row or column
  localparam int unsigned ResultTiles = 8;  // tiles of Lanes rows that lathe_gemm_collect has room for

  // Stages of the drain's lanes whose results are written.
  localparam int unsigned RoundStage = 5;
  localparam int unsigned TanhStage = 9;
  localparam int unsigned NumStages = 10;

  // A command's last indices, in stored elements. In blocks of Lanes: the upper bits count the blocks after the first,
  // the lower bits are the last index within the last block.
  typedef struct packed {
    logic [DimW-1:0] m_last;
    logic [DimW-1:0] n_last;
    logic [DimW-1:0] k_last;  // steps: with int8 a step is a pair
  } shape_t;

  // A shape has only one of these.
  typedef struct packed {
    logic row_block;
    logic row;        // in its last row block
    logic col_block;
  } single_t;

  // A number of rows, columns or steps in blocks of Lanes.
  typedef struct packed {
    logic [BlockW-1:0] whole;  // blocks of all Lanes
    logic              part;   // there is one more, a smaller one
    logic              one;    // there is one only
    logic              unit;   // with one row, column or step
  } blocks_t;

  typedef struct packed {
    blocks_t m;
    blocks_t n;
    blocks_t k;
  } tiling_t;

  // Counts blocks: two less than are left after this one, so that it is below 0 if the next one is the last.
  function automatic logic [BlockW:0] count_blocks(logic anew, logic [BlockW-1:0] whole, logic part, logic [BlockW:0] count);
    return (anew ? {1'b0, whole} : count) + (anew ? ~(BlockW+1)'(2) : '1) + (BlockW+1)'(anew && part);
  endfunction

  // Settings of the lanes' arithmetic.
  typedef struct packed {
    logic        bias;        // the addend is a bias word, one a tile
    logic        accumulate;  // the addend is a word of operand 4, one a row
    logic [5:0]  addend_shift;  // align(z, s, 31) is (z << this) >> 15
    logic        act_relu;
    logic        act_tanh;
    logic        dact_relu;
    logic        dact_tanh;
    logic        int8_result;
    logic [6:0]  shift;       // of window: s clamped to -16..62, plus 16
    logic        stochastic;
  } lane_cfg_t;

  // What the drain needs of a command.
  typedef struct packed {
    shape_t            shape;
    lane_cfg_t         lane;
    logic              needs_rows;  // each row has a word of operand 4
    logic              needs_aux;   // that or a bias
    logic [31:0]       key;
    logic [DimW-1:0]   first_row;   // of a piece: where it lies in the whole; for random bits only
    logic [BlockW-1:0] first_col;
    logic [DimW-1:0]   all_rows;    // of the whole: the row of the column sums
    logic [AddrW-1:0]  base;        // C
    logic [AddrW-1:0]  stride;
    logic [AddrW-1:0]  bias_base;
    logic [AddrW-1:0]  aux_base;    // operand 4: y, addend or column sums
    logic [AddrW-1:0]  aux_stride;
    logic              norm;        // squares of the results go to the gradient norm
    logic              colsum;      // before the rows of each tile of the first row block comes its row of column sums
    logic [6:0]        colsum_shift;
    logic signed [9:0] value_exp;   // e_T - 16
    logic signed [9:0] colsum_exp;  // e_t4 - 16
  } drain_ctx_t;
endpackage
