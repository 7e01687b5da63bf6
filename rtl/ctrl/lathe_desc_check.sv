// SPDX-License-Identifier: Apache-2.0
// Checks one descriptor while it is read: unit, operation, fields, shapes, and where each operand ends. Results, then sources
// pass through a pipeline that finds whether each has room and each result is granted; the verdict stands six cycles after the start.
// Reports the first of bad_unit, bad_op, bad_field, bad_shape, out_of_scratchpad, misaligned, protected, program_overrun.
module lathe_desc_check
  import lathe_pkg::*;
  import lathe_desc_pkg::*;
  import lathe_ctrl_pkg::*;
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
  input  logic [15:0] group_first_i, // of all slots
  input  logic [16:0] group_end_i,
  input  grants_t     grants_i,
  input  logic        overrun_i,     // another descriptor would have to follow it; steady from the third cycle on

  output logic        done_o,        // pulse
  output logic        bad_o,         // error_o is not ErrNone; out of a register
  output error_e      error_o        // both from done_o until the next start_i
);
  localparam int unsigned WordBytes = 2 * Lanes;
  localparam int unsigned LaneW = $clog2(Lanes);
  localparam int unsigned Cycles = 6;
  localparam int unsigned Operands = NumOperands + 1;

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
    logic                   mem;         // mem_addr, mem_stride
    logic                   step;        // the options of the steps of update alone
    logic [Operands-1:0]    used;
    logic [Operands-1:0]    result;      // these are written
    logic                   install;     // even in the current version
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
        uses.used = {1'b0, desc_i.dact != ActNone || desc_i.accumulate || desc_i.colsum, desc_i.bias, 3'b111};
        uses.result = {1'b0, desc_i.colsum, 4'b0100};
      end
      UnitPolicy: begin
        uses.op_ok = desc_i.op[4:2] == '0 || desc_i.op == PolicyScan;
        uses.mn = 1'b1;
        uses.greedy = desc_i.op[2:0] == PolicySample[2:0];
        {uses.stochastic, uses.loss} = {2{desc_i.op[2:0] == PolicyLoss[2:0]}};
        uses.used = {1'b0, desc_i.sequence_words, 2'b01, desc_i.op[2:0] != PolicySample[2:0], desc_i.op[2:0] != PolicyScan[2:0]};
        uses.result = 6'b000100;
      end
      UnitUpdate: begin
        uses.op_ok = desc_i.op <= UpdateAdam;
        uses.k = desc_i.op[3:0] == UpdateRestore[3:0] || desc_i.op[3:0] == UpdateUnpin[3:0];
        if (desc_i.op[3:0] == UpdateMomentum[3:0] || desc_i.op[3:0] >= UpdateSgd[3:0]) begin
          {uses.step, uses.stochastic, uses.mn} = '1;
          uses.used = {desc_i.int8_result, {2{desc_i.op[3:0] != UpdateSgd[3:0]}}, 3'b111};
          uses.result = 6'b110100;
        end
      end
      UnitDma: begin
        uses.op_ok = desc_i.op == DmaLoad || desc_i.op == DmaStore;
        {uses.mn, uses.mem} = '1;
        uses.used = (desc_i.op[0] == DmaLoad[0]) ? 6'b000100 : 6'b000001;
        uses.result = 6'b000100;
        uses.install = !request_i;
      end
      default: uses.unit_ok = 1'b0;
    endcase
    if (request_i) begin
      if (desc_i.unit == UnitUpdate) uses.unit_ok = 1'b0;
      if (desc_i.unit == UnitPolicy && (desc_i.op == PolicyMeasure || desc_i.op == PolicyScan)) uses.op_ok = 1'b0;
    end
  end

  // ---- Operands as arrays ----
  logic [Operands-1:0][15:0] addr, stride;
  logic [Operands-1:0][1:0]  space;
  logic [Operands-1:0][5:0]  exp;
  assign addr = {desc_i.t5_addr, desc_i.t4_addr, desc_i.t3_addr, desc_i.t2_addr, desc_i.t1_addr, desc_i.t0_addr};
  assign stride = {desc_i.t5_stride, desc_i.t4_stride, desc_i.t3_stride, desc_i.t2_stride, desc_i.t1_stride, desc_i.t0_stride};
  assign space = {desc_i.t5_space, desc_i.t4_space, desc_i.t3_space, desc_i.t2_space, desc_i.t1_space, desc_i.t0_space};
  assign exp = {desc_i.t5_exp, desc_i.t4_exp, desc_i.t3_exp, desc_i.t2_exp, desc_i.t1_exp, desc_i.t0_exp};

  // ---- Fields and shape, when all words are there: first what each field is by itself ----
  typedef struct packed {
    logic [Operands-1:0]    given;    // a field of the operand is not zero
    logic [Operands-1:0]    odd;      // its space or exponent register is none that it may have
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
    logic                   k_slot;   // no slot
  } parts_t;
  parts_t parts, parts_q;
  logic   dact, fields, dims, shape;
  logic [Operands-1:0] operand_bad;
  assign dact = desc_i.dact != ActNone;
  always_comb begin
    for (int unsigned i = 0; i < Operands; i++) begin
      parts.given[i] = {addr[i], stride[i], space[i], exp[i]} != '0;
      parts.odd[i] = space[i] != SpaceAbsolute &&
                     (space[i] == 2'd3 || (request_i && space[i] == SpaceNext) || exp[i][5:4] != 2'd0 ||
                      (uses_q.result[i] && !uses_q.install && space[i] == SpaceCurrent));
    end
    parts.reserved = (desc_i & ReservedMask) != '0;
    parts.options = {desc_i.trans_a, desc_i.trans_b, desc_i.bias, desc_i.act, desc_i.dact, desc_i.int8,
                     desc_i.accumulate, desc_i.colsum, desc_i.chain, desc_i.overlap, desc_i.norm} != '0;
    parts.clash = desc_i.act == 2'd3 || desc_i.dact == 2'd3 || (desc_i.act != ActNone && dact)
               || (dact && desc_i.accumulate) || (dact && desc_i.colsum) || (desc_i.accumulate && desc_i.colsum)
               || (desc_i.bias && desc_i.accumulate) || (desc_i.int8 && (dact || desc_i.colsum))
               || (desc_i.int8_result && (dact || desc_i.accumulate || desc_i.colsum || desc_i.norm))
               || (desc_i.chain && (desc_i.trans_a || desc_i.overlap == '0));
    parts.other = (!uses_q.step && desc_i.clip) || (!uses_q.step && !uses_q.gemm && desc_i.int8_result)
               || (!uses_q.stochastic && desc_i.stochastic) || (!uses_q.greedy && desc_i.greedy)
               || (!uses_q.loss && {desc_i.gshift, desc_i.sequence_words} != '0)
               || (request_i && {desc_i.wait_mask, desc_i.post_mask, desc_i.chain, desc_i.overlap, desc_i.norm} != '0);
    parts.m_zero = desc_i.m == '0;
    parts.n_zero = desc_i.n == '0;
    parts.k_zero = desc_i.k == '0;
    parts.mem = {desc_i.mem_addr, desc_i.mem_stride} != '0;
    parts.m_one = desc_i.m == 16'd1;
    parts.n_range = desc_i.n >= 16'd2 && desc_i.n <= 16'd64;
    parts.k_large = desc_i.k > 16'd16384;
    parts.k_slot = desc_i.k > 16'd3;
  end
  always_comb begin
    operand_bad = (uses_q.used & parts_q.odd) | (~uses_q.used & parts_q.given);
    fields = parts_q.reserved || (!uses_q.gemm && parts_q.options) || parts_q.clash || parts_q.other;
    dims = (!uses_q.mn && !(parts_q.m_zero && parts_q.n_zero)) || (!uses_q.k && !parts_q.k_zero) || (!uses_q.mem && parts_q.mem);
    shape = uses_q.mn && (parts_q.m_zero || parts_q.n_zero);
    unique case (desc_i.unit)
      UnitGemm:   shape |= parts_q.k_zero || parts_q.k_large;
      UnitPolicy: shape |= !parts_q.n_range;
      UnitUpdate: begin
        fields |= parts_q.k_slot;
        shape |= uses_q.mn && !parts_q.m_one && !desc_i.int8_result;
      end
      default: ;
    endcase
  end

  // ---- Last indices of the two operands whose turn it is: 2 and 4, then 0 and 1. The steps of update have operands without gaps: w, g
  // and w' of the same words, so that 5 may come in the place of 0; m and m' too. What a unit or operation that does not exist would
  // make of it, nobody asks, so two bits tell units apart. Chosen a cycle ahead ----
  typedef struct packed {
    logic row_m;
    logic row_n;
    logic row_k;
    logic rows_half;   // half of m, rounded up
    logic rows_twice;  // twice m
    logic column_m;
    logic column_n;
    logic column_k;
    logic half;      // two columns an element
    logic record;    // a record of LOSS, EVALUATE, MEASURE or SCAN
    logic elements;  // columns, not words
  } pick_t;

  logic [15:0] m1_q, n1_q, k1_q;  // less one; of k two an element with int8
  pick_t [1:0] pick, pick_q;
  logic        gemm, policy, update_q, sources, dense_q;  // dense: rows without gaps
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
    update_q <= desc_i.unit[1:0] == UnitUpdate[1:0];
  end
  always_comb begin
    gemm = desc_i.unit[1:0] == UnitGemm[1:0];
    policy = desc_i.unit[1:0] == UnitPolicy[1:0];
    sources = at_q[2];
    pick = '0;
    pick[0].rows_half = sources && desc_i.unit[1:0] == UnitUpdate[1:0];
    pick[0].row_k = sources && gemm && desc_i.trans_a;
    pick[0].row_m = !pick[0].row_k && !pick[0].rows_half;
    pick[0].column_m = pick[0].row_k;
    pick[0].column_k = sources && gemm && !desc_i.trans_a;
    pick[0].column_n = sources ? !gemm : !policy || desc_i.op[1:0] == PolicyLoss[1:0];
    pick[0].record = !sources && policy && (desc_i.op[2:0] == PolicyEvaluate[2:0] || desc_i.op[2:0] == PolicyScan[2:0]);
    pick[0].half = !sources && gemm && desc_i.int8_result;
    pick[0].elements = gemm || policy;
    pick[1].rows_twice = !sources && desc_i.unit[1:0] == UnitUpdate[1:0] && desc_i.op[3:0] == UpdateAdam[3:0];
    pick[1].row_k = sources && gemm && !desc_i.trans_b;
    pick[1].row_n = sources && gemm && desc_i.trans_b;
    pick[1].row_m = sources ? !gemm : !(gemm && desc_i.colsum) && !pick[1].rows_twice;
    pick[1].column_k = pick[1].row_n;
    pick[1].column_n = sources && gemm ? !desc_i.trans_b : !policy;
    pick[1].record = sources && policy;
    pick[1].elements = gemm;
  end

  // ---- Room behind an operand: limit - addr - last word of the row, in which row * stride has to lie ----
  function automatic logic signed [17:0] spare(logic [1:0] operand_space, logic [15:0] operand_addr, logic [15:0] group_size);
    return signed'({1'b0, (operand_space == SpaceAbsolute) ? 17'(Banks * 1024) : {1'b0, group_size}} - {2'b0, operand_addr});
  endfunction

  // A result by absolute addresses lies wholly in one of the windows, and no word of it in the weight group.
  localparam int unsigned NumWindows = 4;
  window_t [NumWindows-1:0] window_q;
  logic                     kept_q;  // to the windows
  always_ff @(posedge clk_i) begin
    kept_q <= request_i ? grants_i.requests : grants_i.programs;
    window_q <= grants_i.windows;
    if (request_i) window_q <= {{2{window_t'{first: '1, last: '0}}}, grants_i.request_windows};
  end

  typedef struct packed {
    logic [16:0]        row;
    logic [15:0]        word;
    logic [15:0]        stride;
    logic [15:0]        addr;
    logic signed [17:0] spare;
  } a_t;
  typedef struct packed {
    logic               used;
    logic               written;  // by an absolute address
    logic [32:0]        product;
    logic signed [17:0] room;
    logic [15:0]        row_last; // last word of the first row
    logic [NumWindows-1:0] after; // it begins in a window, or behind its end
    logic               reaches;  // it begins before the weight group's end
  } b_t;

  a_t [1:0]   a_q;
  b_t [1:0]   b_q;
  logic [1:0] row_bad, end_bad, denied;
  for (genvar l = 0; l < 2; l++) begin : gen_lane
    localparam int unsigned Result = 2 + 2 * l;
    logic [2:0]  turn;  // of the operand whose addresses are there
    logic [15:0] row, column;
    logic        used, written;  // the one that is in a_q
    logic [15:0] last_word;      // of the one that is in b_q
    logic [NumWindows-1:0] granted;
    always_comb begin
      turn = at_q[2] ? 3'(Result) : (l == 0 && update_q) ? 3'd5 : 3'(l);
      row = ({16{pick_q[l].row_m}} & m1_q) | ({16{pick_q[l].row_n}} & n1_q) | ({16{pick_q[l].row_k}} & k1_q)
          | ({16{pick_q[l].rows_half}} & {1'b0, m1_q[15:1]});
      column = ({16{pick_q[l].column_m}} & m1_q) | ({16{pick_q[l].column_k}} & k1_q)
             | ({16{pick_q[l].column_n}} & (pick_q[l].half ? {1'b0, n1_q[15:1]} : n1_q));
      if (pick_q[l].elements) column >>= LaneW;
      if (pick_q[l].record) column |= 16'(record_words(Lanes) - 1);
      used = (at_q[3] && uses_q.used[Result]) || (at_q[4] && uses_q.used[(l == 0 && update_q) ? 5 : l]);
      row_bad[l] = used && a_q[l].row != '0 &&
                   (a_q[l].stride <= a_q[l].word || (dense_q && a_q[l].stride != 16'(record_words(Lanes))));
      written = (at_q[3] && uses_q.used[Result] && uses_q.result[Result] && space[Result] == SpaceAbsolute)
             || (l == 0 && at_q[4] && update_q && uses_q.used[5] && space[5] == SpaceAbsolute);
      last_word = b_q[l].row_last + b_q[l].product[15:0];
      for (int unsigned w = 0; w < NumWindows; w++) granted[w] = b_q[l].after[w] && last_word <= window_q[w].last;
      denied[l] = b_q[l].written && ((kept_q && granted == '0) || (b_q[l].reaches && last_word >= group_first_i));
      end_bad[l] = b_q[l].used && signed'({1'b0, b_q[l].product}) >= 34'(b_q[l].room);
    end
    always_ff @(posedge clk_i) begin
      a_q[l] <= '{row: pick_q[l].rows_twice ? {m1_q, 1'b1} : {1'b0, row}, word: column, stride: update_q ? desc_i.n : stride[turn],
                  addr: addr[turn], spare: spare(space[turn], addr[turn], group_size_i)};
      b_q[l].used <= used;
      b_q[l].written <= written;
      b_q[l].product <= {16'd0, a_q[l].row} * {17'd0, a_q[l].stride};
      b_q[l].room <= a_q[l].spare - signed'({2'b0, a_q[l].word});
      b_q[l].row_last <= a_q[l].addr + a_q[l].word;
      for (int unsigned w = 0; w < NumWindows; w++) b_q[l].after[w] <= a_q[l].addr >= window_q[w].first;
      b_q[l].reaches <= {1'b0, a_q[l].addr} < group_end_i;
    end
  end

  // Beside the second one, with its product: first operand 3, whose one row is as long as those of operand 4, or whose words are as many;
  // then operand 0 of a step. Before that: more words of a step than there may be.
  logic signed [17:0] side_spare_q, side_room_q;
  logic [15:0]        spare_words_q;  // 65,535 less the last word of w's row
  logic               side_used_q, side_bad, excess;
  assign side_bad = side_used_q && signed'({1'b0, b_q[1].product & {33{update_q}}}) >= 34'(side_room_q);
  assign excess = at_q[4] && uses_q.step && b_q[0].product >= 33'(spare_words_q);
  always_ff @(posedge clk_i) begin
    side_spare_q <= at_q[2] ? spare(space[3], addr[3], group_size_i) : spare(space[0], addr[0], group_size_i);
    side_room_q <= side_spare_q - signed'({2'b0, a_q[1].word});
    side_used_q <= (at_q[3] && uses_q.used[3]) || (at_q[4] && uses_q.step);
    spare_words_q <= ~a_q[0].word;
  end

  // ---- Verdict ----
  logic unit_bad_q, op_bad_q, operand_bad_q, fields_bad_q, shape_bad_q, early_bad_q, rows_bad_q, space_bad_q, align_bad_q, denied_q, bad_q;
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
    denied_q <= !at_q[1] && (denied_q || denied != '0 ||
                             (at_q[4] && uses_q.install && kept_q && !grants_i.install && space[2] == SpaceCurrent));
    rows_bad_q <= !at_q[1] && (rows_bad_q || row_bad != '0 || excess);
    space_bad_q <= !at_q[1] && (space_bad_q || end_bad != '0 || side_bad);
    bad_q <= early_bad || align_bad_q || rows_bad_q || space_bad_q || end_bad != '0 || side_bad || denied_q || denied != '0 || overrun_i;
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
    else if (space_bad_q) error_o = ErrOutOfScratchpad;
    else if (align_bad_q) error_o = ErrMisaligned;
    else if (denied_q) error_o = ErrProtected;
    else error_o = overrun_i ? ErrProgramOverrun : ErrNone;
  end

`ifndef SYNTHESIS
  always_ff @(posedge clk_i) begin
    if (rst_ni && start_i) assert (at_q[Cycles-1:1] == '0) else $error("start during a check");
  end
`endif
endmodule
