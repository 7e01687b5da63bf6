// SPDX-License-Identifier: Apache-2.0
// Checks one descriptor while it is read: unit, operation, fields, shapes, and where each operand ends. Two operands a
// cycle pass through a pipeline that finds the last word of each; the verdict stands six cycles after the start.
// Reports the first of bad_unit, bad_op, bad_field, bad_shape, out_of_scratchpad, misaligned.
module lathe_desc_check
  import lathe_pkg::*;
  import lathe_desc_pkg::*;
#(
  parameter int unsigned Lanes = 8,
  parameter int unsigned Banks = 8
) (
  input  logic        clk_i,
  input  logic        rst_ni,

  // Words 8 to 11 are there with start_i, 0 to 3 one cycle later, 4 to 7 two, 12 to 15 three; they stay to the verdict.
  input  logic        start_i,       // pulse, not while a check runs
  input  desc_t       desc_i,
  input  logic [15:0] group_size_i,  // words of a weight slot

  output logic        done_o,        // pulse
  output logic        bad_o,         // error_o is not ErrNone
  output error_e      error_o        // both from done_o until the next start_i
);
  localparam int unsigned WordBytes = 2 * Lanes;
  localparam int unsigned LaneW = $clog2(Lanes);
  localparam int unsigned Cycles = 6;

  if (Lanes != 4 && Lanes != 8 && Lanes != 16) begin : gen_bad_lanes
    initial $fatal(1, "Lanes must be 4, 8 or 16");
  end
  if (Banks < 2 || Banks > 64 || (Banks & (Banks - 1)) != 0) begin : gen_bad_banks
    initial $fatal(1, "Banks must be a power of two from 2 to 64");
  end

  logic [Cycles:1] at_q;  // bit i: i cycles after the start
  always_ff @(posedge clk_i) begin
    if (!rst_ni) at_q <= '0;
    else at_q <= {at_q[Cycles-1:1], start_i};
  end
  assign done_o = at_q[Cycles];

  // ---- What the operation uses; of one that does not exist nobody asks ----
  typedef struct packed {
    logic                   unit_ok;
    logic                   op_ok;
    logic                   gemm;        // the options of gemm alone
    logic                   stochastic;
    logic                   greedy;
    logic                   gshift;
    logic                   mn;          // m and n
    logic                   k;
    logic                   mem;         // mem_addr, mem_stride
    logic [NumOperands-1:0] used;
    logic [NumOperands-1:0] keep;        // results that must not lie in the current version
  } uses_t;

  uses_t uses, uses_q;  // uses_q: from two cycles after the start on
  always_ff @(posedge clk_i) if (at_q[1]) uses_q <= uses;
  always_comb begin
    uses = '0;
    uses.unit_ok = 1'b1;
    uses.op_ok = 1'b1;
    unique case (desc_i.unit)
      UnitGemm: begin
        uses.op_ok = desc_i.op == GemmMatmul;
        {uses.gemm, uses.stochastic, uses.mn, uses.k} = '1;
        uses.used = {desc_i.dact != ActNone || desc_i.accumulate || desc_i.colsum, desc_i.bias, 3'b111};
        uses.keep = {desc_i.colsum, 4'b0100};
      end
      UnitPolicy: begin
        uses.op_ok = desc_i.op == PolicySample || desc_i.op == PolicyLoss;
        uses.mn = 1'b1;
        uses.greedy = desc_i.op[0] == PolicySample[0];
        {uses.stochastic, uses.gshift} = {2{desc_i.op[0] == PolicyLoss[0]}};
        uses.used = {3'b001, desc_i.op[0] == PolicyLoss[0], 1'b1};
        uses.keep = 5'b00100;
      end
      UnitUpdate: begin
        uses.op_ok = desc_i.op == UpdateSgd || desc_i.op == UpdateCommit || desc_i.op == UpdateRollback;
        if (desc_i.op[1:0] == UpdateSgd[1:0]) begin
          {uses.stochastic, uses.mn} = '1;
          uses.used = 5'b11111;
          uses.keep = 5'b10100;
        end
      end
      UnitDma: begin
        uses.op_ok = desc_i.op == DmaLoad || desc_i.op == DmaStore;
        {uses.mn, uses.mem} = '1;
        uses.used = (desc_i.op[0] == DmaLoad[0]) ? 5'b00100 : 5'b00001;
      end
      default: uses.unit_ok = 1'b0;
    endcase
  end

  // ---- Operands as arrays ----
  logic [NumOperands-1:0][15:0] addr, stride;
  logic [NumOperands-1:0][1:0]  space;
  logic [NumOperands-1:0][5:0]  exp;
  assign addr = {desc_i.t4_addr, desc_i.t3_addr, desc_i.t2_addr, desc_i.t1_addr, desc_i.t0_addr};
  assign stride = {desc_i.t4_stride, desc_i.t3_stride, desc_i.t2_stride, desc_i.t1_stride, desc_i.t0_stride};
  assign space = {desc_i.t4_space, desc_i.t3_space, desc_i.t2_space, desc_i.t1_space, desc_i.t0_space};
  assign exp = {desc_i.t4_exp, desc_i.t3_exp, desc_i.t2_exp, desc_i.t1_exp, desc_i.t0_exp};

  // ---- Fields and shape, when all words are there ----
  logic [NumOperands-1:0] operand_bad;
  logic                   reserved_bad, flags_bad, dims_bad, shape_bad, dact;
  assign dact = desc_i.dact != ActNone;
  always_comb begin
    for (int unsigned i = 0; i < NumOperands; i++) begin
      if (!uses_q.used[i]) operand_bad[i] = {addr[i], stride[i], space[i], exp[i]} != '0;
      else if (space[i] == SpaceAbsolute) operand_bad[i] = 1'b0;
      else operand_bad[i] = space[i] == 2'd3 || exp[i][5:4] != 2'd0 || (uses_q.keep[i] && space[i] == SpaceCurrent);
    end
    reserved_bad = (desc_i & ReservedMask) != '0;
    flags_bad = (!uses_q.gemm && {desc_i.trans_a, desc_i.trans_b, desc_i.bias, desc_i.act, desc_i.dact, desc_i.int8,
                                desc_i.int8_result, desc_i.accumulate, desc_i.colsum, desc_i.chain, desc_i.overlap} != '0)
             || desc_i.act == 2'd3 || desc_i.dact == 2'd3 || (desc_i.act != ActNone && dact)
             || (dact && desc_i.accumulate) || (dact && desc_i.colsum) || (desc_i.accumulate && desc_i.colsum)
             || (desc_i.bias && desc_i.accumulate) || (desc_i.int8 && (dact || desc_i.colsum))
             || (desc_i.int8_result && (dact || desc_i.accumulate || desc_i.colsum))
             || (desc_i.chain && (desc_i.trans_a || desc_i.overlap == '0))
             || (!uses_q.stochastic && desc_i.stochastic) || (!uses_q.greedy && desc_i.greedy)
             || (!uses_q.gshift && desc_i.gshift != '0);
    dims_bad = (!uses_q.mn && {desc_i.m, desc_i.n} != '0) || (!uses_q.k && desc_i.k != '0)
            || (!uses_q.mem && {desc_i.mem_addr, desc_i.mem_stride} != '0);
    shape_bad = uses_q.mn && (desc_i.m == '0 || desc_i.n == '0);
    unique case (desc_i.unit)
      UnitGemm:   shape_bad |= desc_i.k == '0 || desc_i.k > 16'd16384;
      UnitPolicy: shape_bad |= desc_i.n < 16'd2 || desc_i.n > 16'd64;
      UnitUpdate: shape_bad |= uses_q.mn && desc_i.m != 16'd1;
      default: ;
    endcase
  end

  // ---- Last indices of the two operands whose turn it is: 0 and 1, then 2 and 3, then 4. What a unit or operation that does
  // not exist would make of it, nobody asks, so two bits tell units apart ----
  logic [15:0] m1_q, n1_q, k1_q;  // less one
  logic [15:0] k1;
  always_ff @(posedge clk_i) begin
    if (start_i) begin
      m1_q <= desc_i.m - 16'd1;
      n1_q <= desc_i.n - 16'd1;
      k1_q <= desc_i.k - 16'd1;
    end
  end
  assign k1 = desc_i.int8 ? {1'b0, k1_q[15:1]} : k1_q;

  logic             gemm, policy, first;
  logic [1:0]       row_k, row_n, row_m, column_m, column_k, column_n, halves, elements;
  logic [1:0][15:0] row, column;
  always_comb begin
    gemm = desc_i.unit[1:0] == UnitGemm[1:0];
    policy = desc_i.unit[1:0] == UnitPolicy[1:0];
    first = at_q[1];
    row_k = {first && gemm && !desc_i.trans_b, first && gemm && desc_i.trans_a};
    row_n = {first && gemm && desc_i.trans_b, 1'b0};
    row_m = {first && !gemm, at_q[2] || (first && !(gemm && desc_i.trans_a)) || (at_q[3] && !(gemm && desc_i.colsum))};
    column_m = {1'b0, first && gemm && desc_i.trans_a};
    column_k = {first && gemm && desc_i.trans_b, first && gemm && !desc_i.trans_a};
    column_n = {first ? (gemm ? !desc_i.trans_b : !policy) : 1'b1,
                first ? !gemm : !(at_q[2] && policy && desc_i.op[0] == PolicySample[0])};
    halves = {1'b0, at_q[2] && gemm && desc_i.int8_result};
    elements = {gemm, gemm || policy};
    for (int unsigned l = 0; l < 2; l++) begin
      row[l] = ({16{row_m[l]}} & m1_q) | ({16{row_n[l]}} & n1_q) | ({16{row_k[l]}} & k1);
      column[l] = ({16{column_m[l]}} & m1_q) | ({16{column_k[l]}} & k1) | ({16{column_n[l]}} & (halves[l] ? {1'b0, n1_q[15:1]} : n1_q));
      if (elements[l]) column[l] >>= LaneW;
    end
  end

  // ---- Last word of an operand: addr + row * stride + last word of the row ----
  typedef struct packed {
    logic [15:0] row;
    logic [15:0] word;
    logic [15:0] stride;
    logic [15:0] addr;
  } a_t;
  typedef struct packed {
    logic        used;
    logic [16:0] limit;
    logic [31:0] product;
    logic [16:0] row_end;
  } b_t;

  a_t [1:0]   a_q;
  b_t [1:0]   b_q;
  logic [1:0] row_bad, end_bad;
  for (genvar l = 0; l < 2; l++) begin : gen_lane
    logic [2:0]  index, later;  // operand that enters, and the one that is in a_q
    logic        used;   // of the one that is in a_q
    logic [32:0] last;
    always_comb begin
      index = at_q[1] ? 3'(l) : (at_q[2] || l == 1) ? 3'(2 + l) : 3'd4;
      later = at_q[2] ? 3'(l) : (at_q[3] || l == 1) ? 3'(2 + l) : 3'd4;
      last = {1'b0, b_q[l].product} + {16'd0, b_q[l].row_end};
      used = (at_q[2] || at_q[3] || (at_q[4] && l == 0)) && uses_q.used[later];
      row_bad[l] = used && a_q[l].row != '0 && a_q[l].stride <= a_q[l].word;
      end_bad[l] = b_q[l].used && last >= {16'd0, b_q[l].limit};
    end
    always_ff @(posedge clk_i) begin
      a_q[l] <= '{row: row[l], word: column[l], stride: stride[index], addr: addr[index]};
      b_q[l] <= '{used: used, limit: (space[later] == SpaceAbsolute) ? 17'(Banks * 1024) : {1'b0, group_size_i},
                  product: {16'd0, a_q[l].row} * {16'd0, a_q[l].stride}, row_end: {1'b0, a_q[l].addr} + {1'b0, a_q[l].word}};
    end
  end

  // ---- Verdict ----
  logic [NumOperands+2:0] field_bad_q;
  logic                   unit_bad_q, op_bad_q, shape_bad_q, early_bad_q, rows_bad_q, space_bad_q, align_bad_q, known_bad_q;
  always_ff @(posedge clk_i) begin
    if (at_q[3]) begin
      unit_bad_q <= !uses_q.unit_ok;
      op_bad_q <= !uses_q.op_ok;
      field_bad_q <= {operand_bad, reserved_bad, flags_bad, dims_bad};
      shape_bad_q <= shape_bad;
      align_bad_q <= uses_q.mem && ((desc_i.mem_addr | desc_i.mem_stride) & 32'(WordBytes - 1)) != '0;
    end
    rows_bad_q <= !at_q[1] && (rows_bad_q || row_bad != '0);
    space_bad_q <= !at_q[1] && (space_bad_q || end_bad != '0);
  end

  error_e early_q;  // what is known before the operands' ends
  always_ff @(posedge clk_i) begin
    if (unit_bad_q) early_q <= ErrBadUnit;
    else if (op_bad_q) early_q <= ErrBadOp;
    else if (field_bad_q != '0) early_q <= ErrBadField;
    else early_q <= shape_bad_q ? ErrBadShape : ErrNone;
    early_bad_q <= {unit_bad_q, op_bad_q, field_bad_q, shape_bad_q} != '0;
    known_bad_q <= {unit_bad_q, op_bad_q, field_bad_q, shape_bad_q, align_bad_q} != '0;
  end
  assign bad_o = known_bad_q || rows_bad_q || space_bad_q;
  always_comb begin
    if (early_bad_q) error_o = early_q;
    else if (rows_bad_q) error_o = ErrBadShape;
    else if (space_bad_q) error_o = ErrOutOfScratchpad;
    else error_o = align_bad_q ? ErrMisaligned : ErrNone;
  end

`ifndef SYNTHESIS
  always_ff @(posedge clk_i) begin
    if (rst_ni && start_i) assert (at_q[Cycles-1:1] == '0) else $error("start during a check");
  end
`endif
endmodule
