// SPDX-License-Identifier: Apache-2.0
// Checks one descriptor while it is read: unit, operation, fields, shapes, and where each operand ends. Two operands a
// cycle pass through a pipeline that finds whether each has room; the verdict stands six cycles after the start.
// Reports the first of bad_unit, bad_op, bad_field, bad_shape, out_of_scratchpad, misaligned, program_overrun.
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
  input  logic        request_i,     // of a request, which may do less; steady from start_i on
  input  logic [15:0] group_size_i,  // words of a weight slot
  input  logic        overrun_i,     // another descriptor would have to follow it; steady from the third cycle on

  output logic        done_o,        // pulse
  output logic        bad_o,         // error_o is not ErrNone; out of a register
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
    logic                   loss;        // the options of LOSS alone: gshift, sequence_words
    logic                   mn;          // m and n
    logic                   k;
    logic                   slot;        // k is a slot
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
        uses.op_ok = desc_i.op[4:2] == '0 || desc_i.op == PolicyScan;
        uses.mn = 1'b1;
        uses.greedy = desc_i.op[2:0] == PolicySample[2:0];
        {uses.stochastic, uses.loss} = {2{desc_i.op[2:0] == PolicyLoss[2:0]}};
        uses.used = {desc_i.sequence_words, 2'b01, desc_i.op[2:0] != PolicySample[2:0], desc_i.op[2:0] != PolicyScan[2:0]};
        uses.keep = 5'b00100;
      end
      UnitUpdate: begin
        uses.op_ok = desc_i.op <= UpdateUnpin;
        if (desc_i.op[2:0] == UpdateMomentum[2:0]) begin
          {uses.stochastic, uses.mn} = '1;
          uses.used = 5'b11111;
          uses.keep = 5'b10100;
        end
        uses.slot = desc_i.op == UpdateRestore || desc_i.op == UpdateUnpin;
      end
      UnitDma: begin
        uses.op_ok = desc_i.op == DmaLoad || desc_i.op == DmaStore;
        {uses.mn, uses.mem} = '1;
        uses.used = (desc_i.op[0] == DmaLoad[0]) ? 5'b00100 : 5'b00001;
      end
      default: uses.unit_ok = 1'b0;
    endcase
    if (request_i) begin
      if (desc_i.unit == UnitUpdate) uses.unit_ok = 1'b0;
      if (desc_i.unit == UnitPolicy && (desc_i.op == PolicyMeasure || desc_i.op == PolicyScan)) uses.op_ok = 1'b0;
    end
  end

  // ---- Operands as arrays ----
  logic [NumOperands-1:0][15:0] addr, stride;
  logic [NumOperands-1:0][1:0]  space;
  logic [NumOperands-1:0][5:0]  exp;
  assign addr = {desc_i.t4_addr, desc_i.t3_addr, desc_i.t2_addr, desc_i.t1_addr, desc_i.t0_addr};
  assign stride = {desc_i.t4_stride, desc_i.t3_stride, desc_i.t2_stride, desc_i.t1_stride, desc_i.t0_stride};
  assign space = {desc_i.t4_space, desc_i.t3_space, desc_i.t2_space, desc_i.t1_space, desc_i.t0_space};
  assign exp = {desc_i.t4_exp, desc_i.t3_exp, desc_i.t2_exp, desc_i.t1_exp, desc_i.t0_exp};

  // ---- Fields and shape, when all words are there: first what each field is by itself ----
  typedef struct packed {
    logic [NumOperands-1:0] given;    // a field of the operand is not zero
    logic [NumOperands-1:0] odd;      // its space or exponent register is none that it may have
    logic                   reserved;
    logic                   options;  // of gemm
    logic                   clash;    // options that exclude each other
    logic                   other;    // an option of another operation
    logic                   m_zero;
    logic                   n_zero;
    logic                   k_zero;
    logic                   mem;
    logic                   m_one;
    logic                   n_range;  // 2 to 64
    logic                   k_large;
    logic                   k_slot;   // 0 to 3
  } parts_t;
  parts_t parts, parts_q;
  logic   dact, fields, dims, shape;
  logic [NumOperands-1:0] operand_bad;
  assign dact = desc_i.dact != ActNone;
  always_comb begin
    for (int unsigned i = 0; i < NumOperands; i++) begin
      parts.given[i] = {addr[i], stride[i], space[i], exp[i]} != '0;
      parts.odd[i] = space[i] != SpaceAbsolute &&
                     ((request_i && (space[i] != SpaceCurrent || i == 2)) || space[i] == 2'd3 || exp[i][5:4] != 2'd0 || (uses_q.keep[i] && space[i] == SpaceCurrent));
    end
    parts.reserved = (desc_i & ReservedMask) != '0;
    parts.options = {desc_i.trans_a, desc_i.trans_b, desc_i.bias, desc_i.act, desc_i.dact, desc_i.int8,
                     desc_i.int8_result, desc_i.accumulate, desc_i.colsum, desc_i.chain, desc_i.overlap} != '0;
    parts.clash = desc_i.act == 2'd3 || desc_i.dact == 2'd3 || (desc_i.act != ActNone && dact)
               || (dact && desc_i.accumulate) || (dact && desc_i.colsum) || (desc_i.accumulate && desc_i.colsum)
               || (desc_i.bias && desc_i.accumulate) || (desc_i.int8 && (dact || desc_i.colsum))
               || (desc_i.int8_result && (dact || desc_i.accumulate || desc_i.colsum))
               || (desc_i.chain && (desc_i.trans_a || desc_i.overlap == '0));
    parts.other = {desc_i.norm, desc_i.clip, desc_i.t5_addr, desc_i.t5_stride, desc_i.t5_exp, desc_i.t5_space} != '0
               || (!uses_q.stochastic && desc_i.stochastic) || (!uses_q.greedy && desc_i.greedy)
               || (!uses_q.loss && {desc_i.gshift, desc_i.sequence_words} != '0)
               || (request_i && {desc_i.wait_mask, desc_i.post_mask, desc_i.chain, desc_i.overlap} != '0);
    parts.m_zero = desc_i.m == '0;
    parts.n_zero = desc_i.n == '0;
    parts.k_zero = desc_i.k == '0;
    parts.mem = {desc_i.mem_addr, desc_i.mem_stride} != '0;
    parts.m_one = desc_i.m == 16'd1;
    parts.n_range = desc_i.n >= 16'd2 && desc_i.n <= 16'd64;
    parts.k_large = desc_i.k > 16'd16384;
    parts.k_slot = desc_i.k[15:2] == '0;
  end
  always_comb begin
    operand_bad = (uses_q.used & parts_q.odd) | (~uses_q.used & parts_q.given);
    fields = parts_q.reserved || (!uses_q.gemm && parts_q.options) || parts_q.clash || parts_q.other;
    dims = (!uses_q.mn && !(parts_q.m_zero && parts_q.n_zero)) || (!uses_q.k && !parts_q.k_zero && !(uses_q.slot && parts_q.k_slot)) || (!uses_q.mem && parts_q.mem);
    shape = uses_q.mn && (parts_q.m_zero || parts_q.n_zero);
    unique case (desc_i.unit)
      UnitGemm:   shape |= parts_q.k_zero || parts_q.k_large;
      UnitPolicy: shape |= !parts_q.n_range;
      UnitUpdate: shape |= uses_q.mn && !parts_q.m_one;
      default: ;
    endcase
  end

  // ---- Last indices of the two operands whose turn it is: 0 and 1, then 2 and 4. What a unit or operation that does not
  // exist would make of it, nobody asks, so two bits tell units apart. Chosen a cycle ahead ----
  typedef struct packed {
    logic row_m;
    logic row_n;
    logic row_k;
    logic column_m;
    logic column_n;
    logic column_k;
    logic half;      // two columns an element
    logic record;    // a record of LOSS, EVALUATE, MEASURE or SCAN
    logic elements;  // columns, not words
  } pick_t;

  logic [15:0] m1_q, n1_q, k1_q;  // less one; of k two an element with int8
  pick_t [1:0] pick, pick_q;
  logic        gemm, policy, first, dense_q;  // dense: rows without gaps
  always_ff @(posedge clk_i) begin
    if (start_i) begin
      m1_q <= desc_i.m - 16'd1;
      n1_q <= desc_i.n - 16'd1;
      k1_q <= desc_i.k - 16'd1;
    end else if (at_q[1] && desc_i.int8) begin
      k1_q <= {1'b0, k1_q[15:1]};
    end
    pick_q <= pick;
    dense_q <= policy && desc_i.op[2:0] == PolicyScan[2:0];
  end
  always_comb begin
    gemm = desc_i.unit[1:0] == UnitGemm[1:0];
    policy = desc_i.unit[1:0] == UnitPolicy[1:0];
    first = at_q[1];
    pick = '0;
    pick[0].row_k = first && gemm && desc_i.trans_a;
    pick[0].row_m = !pick[0].row_k;
    pick[0].column_m = pick[0].row_k;
    pick[0].column_k = first && gemm && !desc_i.trans_a;
    pick[0].column_n = first ? !gemm : !policy || desc_i.op[1:0] == PolicyLoss[1:0];
    pick[0].record = !first && policy && (desc_i.op[2:0] == PolicyEvaluate[2:0] || desc_i.op[2:0] == PolicyScan[2:0]);
    pick[0].half = !first && gemm && desc_i.int8_result;
    pick[0].elements = gemm || policy;
    pick[1].row_k = first && gemm && !desc_i.trans_b;
    pick[1].row_n = first && gemm && desc_i.trans_b;
    pick[1].row_m = first ? !gemm : !(gemm && desc_i.colsum);
    pick[1].column_k = pick[1].row_n;
    pick[1].column_n = first && gemm ? !desc_i.trans_b : !policy;
    pick[1].record = first && policy;
    pick[1].elements = gemm;
  end

  // ---- Room behind an operand: limit - addr - last word of the row, in which row * stride has to lie ----
  function automatic logic [16:0] limit(logic [1:0] operand_space, logic [15:0] group_size);
    return (operand_space == SpaceAbsolute) ? 17'(Banks * 1024) : {1'b0, group_size};
  endfunction

  typedef struct packed {
    logic [15:0]        row;
    logic [15:0]        word;
    logic [15:0]        stride;
    logic signed [17:0] spare;
  } a_t;
  typedef struct packed {
    logic               used;
    logic [31:0]        product;
    logic signed [17:0] room;
  } b_t;

  a_t [1:0]   a_q;
  b_t [1:0]   b_q;
  logic [1:0] row_bad, end_bad;
  for (genvar l = 0; l < 2; l++) begin : gen_lane
    localparam int unsigned Second = 2 + 2 * l;
    logic [15:0] row, column;
    logic        used;  // the one that is in a_q
    always_comb begin
      row = ({16{pick_q[l].row_m}} & m1_q) | ({16{pick_q[l].row_n}} & n1_q) | ({16{pick_q[l].row_k}} & k1_q);
      column = ({16{pick_q[l].column_m}} & m1_q) | ({16{pick_q[l].column_k}} & k1_q)
             | ({16{pick_q[l].column_n}} & (pick_q[l].half ? {1'b0, n1_q[15:1]} : n1_q));
      if (pick_q[l].elements) column >>= LaneW;
      if (pick_q[l].record) column |= 16'(record_words(Lanes) - 1);
      used = (at_q[3] && uses_q.used[l]) || (at_q[4] && uses_q.used[Second]);
      row_bad[l] = used && a_q[l].row != '0 &&
                   (a_q[l].stride <= a_q[l].word || (dense_q && a_q[l].stride != 16'(record_words(Lanes))));
      end_bad[l] = b_q[l].used && signed'({1'b0, b_q[l].product}) >= 33'(b_q[l].room);
    end
    always_ff @(posedge clk_i) begin
      a_q[l] <= '{row: row, word: column, stride: at_q[2] ? stride[l] : stride[Second],
                  spare: signed'({1'b0, limit(at_q[2] ? space[l] : space[Second], group_size_i)}
                                 - {2'b0, at_q[2] ? addr[l] : addr[Second]})};
      b_q[l] <= '{used: used, product: {16'd0, a_q[l].row} * {16'd0, a_q[l].stride},
                  room: a_q[l].spare - signed'({2'b0, a_q[l].word})};
    end
  end

  // Operand 3 has one row, as long as those of operand 4.
  logic [16:0] end3_q;
  logic        end3_bad, end3_bad_q;
  assign end3_bad = uses_q.used[3] && ((space[3] == SpaceAbsolute) ? end3_q >= 17'(Banks * 1024) : end3_q >= {1'b0, group_size_i});
  always_ff @(posedge clk_i) begin
    end3_q <= {1'b0, addr[3]} + {1'b0, a_q[1].word};
    end3_bad_q <= end3_bad;
  end

  // ---- Verdict ----
  logic unit_bad_q, op_bad_q, operand_bad_q, fields_bad_q, shape_bad_q, early_bad_q, rows_bad_q, space_bad_q, align_bad_q, bad_q;
  logic early_bad;
  always_ff @(posedge clk_i) begin
    if (at_q[3]) parts_q <= parts;
    if (at_q[4]) begin
      unit_bad_q <= !uses_q.unit_ok;
      op_bad_q <= !uses_q.op_ok;
      operand_bad_q <= operand_bad != '0;
      fields_bad_q <= fields || dims;
      shape_bad_q <= shape;
      align_bad_q <= uses_q.mem && ((desc_i.mem_addr | desc_i.mem_stride) & 32'(WordBytes - 1)) != '0;
    end
    rows_bad_q <= !at_q[1] && (rows_bad_q || row_bad != '0);
    space_bad_q <= !at_q[1] && (space_bad_q || end_bad != '0);
    bad_q <= early_bad || align_bad_q || rows_bad_q || space_bad_q || end_bad != '0 || end3_bad || overrun_i;
  end

  error_e early_q;  // what is known before the operands' ends
  assign early_bad = {unit_bad_q, op_bad_q, operand_bad_q, fields_bad_q, shape_bad_q} != '0;
  always_ff @(posedge clk_i) begin
    if (unit_bad_q) early_q <= ErrBadUnit;
    else if (op_bad_q) early_q <= ErrBadOp;
    else early_q <= (operand_bad_q || fields_bad_q) ? ErrBadField : ErrBadShape;
    early_bad_q <= early_bad;
  end
  assign bad_o = bad_q;
  always_comb begin
    if (early_bad_q) error_o = early_q;
    else if (rows_bad_q) error_o = ErrBadShape;
    else if (space_bad_q || end3_bad_q) error_o = ErrOutOfScratchpad;
    else if (align_bad_q) error_o = ErrMisaligned;
    else error_o = overrun_i ? ErrProgramOverrun : ErrNone;
  end

`ifndef SYNTHESIS
  always_ff @(posedge clk_i) begin
    if (rst_ni && start_i) assert (at_q[Cycles-1:1] == '0) else $error("start during a check");
  end
`endif
endmodule
