// SPDX-License-Identifier: Apache-2.0
// Checks one descriptor: unit, operation, fields, shapes, and where each operand ends. Ten cycles, one
// multiplier: the operands pass one after another through a pipeline that finds the last word of each.
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

  input  logic        start_i,       // pulse, not while a check runs
  input  desc_t       desc_i,        // stable from start_i to done_o
  input  logic [15:0] group_size_i,  // words of a weight slot

  output logic        done_o,        // pulse
  output error_e      error_o        // valid with done_o
);
  localparam int unsigned WordBytes = 2 * Lanes;
  localparam int unsigned LaneW = $clog2(Lanes);
  localparam logic [3:0]  LastStep = 4'd9;

  if (Lanes != 4 && Lanes != 8 && Lanes != 16) begin : gen_bad_lanes
    initial $fatal(1, "Lanes must be 4, 8 or 16");
  end
  if (Banks < 2 || Banks > 64 || (Banks & (Banks - 1)) != 0) begin : gen_bad_banks
    initial $fatal(1, "Banks must be a power of two from 2 to 64");
  end

  // ---- What the operation uses ----
  typedef struct packed {
    logic                   unit_ok;
    logic                   op_ok;
    logic                   gemm;        // trans_a, trans_b, bias, act, dact
    logic                   stochastic;
    logic                   greedy;
    logic                   gshift;
    logic                   mn;          // m and n
    logic                   k;
    logic                   mem;         // mem_addr, mem_stride
    logic [NumOperands-1:0] used;
    logic [NumOperands-1:0] keep;        // results that must not lie in the current version
  } uses_t;

  uses_t uses;
  always_comb begin
    uses = '0;
    uses.unit_ok = 1'b1;
    uses.op_ok = 1'b1;
    unique case (desc_i.unit)
      UnitGemm: begin
        uses.op_ok = desc_i.op == GemmMatmul;
        {uses.gemm, uses.stochastic, uses.mn, uses.k} = '1;
        uses.used = {desc_i.dact != ActNone, desc_i.bias, 3'b111};
        uses.keep = 5'b00100;
      end
      UnitPolicy: begin
        uses.op_ok = desc_i.op == PolicySample || desc_i.op == PolicyLoss;
        uses.mn = 1'b1;
        uses.greedy = desc_i.op == PolicySample;
        {uses.stochastic, uses.gshift} = {2{desc_i.op == PolicyLoss}};
        uses.used = {3'b001, desc_i.op == PolicyLoss, 1'b1};
        uses.keep = 5'b00100;
      end
      UnitUpdate: begin
        uses.op_ok = desc_i.op == UpdateSgd || desc_i.op == UpdateCommit || desc_i.op == UpdateRollback;
        if (desc_i.op == UpdateSgd) begin
          {uses.stochastic, uses.mn} = '1;
          uses.used = 5'b11111;
          uses.keep = 5'b10100;
        end
      end
      UnitDma: begin
        uses.op_ok = desc_i.op == DmaLoad || desc_i.op == DmaStore;
        {uses.mn, uses.mem} = '1;
        uses.used = (desc_i.op == DmaLoad) ? 5'b00100 : 5'b00001;
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

  // ---- Fields and shape: step 1 finds, step 2 combines ----
  logic [NumOperands-1:0] operand_bad;
  logic                   reserved_bad, flags_bad, dims_bad, shape_bad;
  always_comb begin
    for (int unsigned i = 0; i < NumOperands; i++) begin
      if (!uses.used[i]) operand_bad[i] = {addr[i], stride[i], space[i], exp[i]} != '0;
      else if (space[i] == SpaceAbsolute) operand_bad[i] = 1'b0;
      else operand_bad[i] = space[i] == 2'd3 || exp[i][5:4] != 2'd0 || (uses.keep[i] && space[i] == SpaceCurrent);
    end
    reserved_bad = (desc_i & ReservedMask) != '0;
    flags_bad = (!uses.gemm && {desc_i.trans_a, desc_i.trans_b, desc_i.bias, desc_i.act, desc_i.dact} != '0)
             || desc_i.act == 2'd3 || desc_i.dact == 2'd3 || (desc_i.act != ActNone && desc_i.dact != ActNone)
             || (!uses.stochastic && desc_i.stochastic) || (!uses.greedy && desc_i.greedy)
             || (!uses.gshift && desc_i.gshift != '0);
    dims_bad = (!uses.mn && {desc_i.m, desc_i.n} != '0) || (!uses.k && desc_i.k != '0)
            || (!uses.mem && {desc_i.mem_addr, desc_i.mem_stride} != '0);
    shape_bad = uses.mn && (desc_i.m == '0 || desc_i.n == '0);
    unique case (desc_i.unit)
      UnitGemm:   shape_bad |= desc_i.k == '0 || desc_i.k > 16'd16384;
      UnitPolicy: shape_bad |= desc_i.n < 16'd2 || desc_i.n > 16'd64;
      UnitUpdate: shape_bad |= uses.mn && desc_i.m != 16'd1;
      default: ;
    endcase
  end

  // ---- Shape of the operand whose turn it is ----
  logic [3:0]  step_q;
  logic [2:0]  index;
  logic [15:0] rows, columns;
  logic        elements;  // columns counts elements, otherwise words
  assign index = step_q[2:0] - 3'd1;
  always_comb begin
    rows = desc_i.m;
    columns = desc_i.n;
    elements = 1'b1;
    unique case (desc_i.unit)
      UnitGemm: begin
        if (index == 3'd0) {rows, columns} = desc_i.trans_a ? {desc_i.k, desc_i.m} : {desc_i.m, desc_i.k};
        else if (index == 3'd1) {rows, columns} = desc_i.trans_b ? {desc_i.n, desc_i.k} : {desc_i.k, desc_i.n};
        else if (index == 3'd3) rows = 16'd1;
      end
      UnitPolicy: begin
        if (index == 3'd1 || (index == 3'd2 && desc_i.op == PolicySample)) begin
          columns = 16'd1;
          elements = 1'b0;
        end
      end
      default: elements = 1'b0;
    endcase
  end

  // ---- Last word of an operand: addr + (rows - 1) * stride + words - 1 ----
  logic        a_used_q, b_used_q, c_used_q;
  logic [15:0] a_rows1_q, a_words1_q, a_stride_q, a_addr_q;  // ..1: less one
  logic [16:0] a_limit_q, b_limit_q, c_limit_q;
  logic [31:0] b_product_q;
  logic [16:0] b_row_end_q;
  logic [32:0] c_last_q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      {a_used_q, b_used_q, c_used_q} <= '0;
    end else begin
      a_used_q <= step_q >= 4'd1 && step_q <= 4'd5 && uses.used[index];
      b_used_q <= a_used_q;
      c_used_q <= b_used_q;
    end
  end
  always_ff @(posedge clk_i) begin
    if (step_q >= 4'd1 && step_q <= 4'd5) begin
      a_rows1_q <= rows - 16'd1;
      a_words1_q <= elements ? 16'((columns - 16'd1) >> LaneW) : columns - 16'd1;
      a_stride_q <= stride[index];
      a_addr_q <= addr[index];
      a_limit_q <= (space[index] == SpaceAbsolute) ? 17'(Banks * 1024) : {1'b0, group_size_i};
    end
    if (a_used_q) begin
      b_product_q <= {16'd0, a_rows1_q} * {16'd0, a_stride_q};
      b_row_end_q <= {1'b0, a_addr_q} + {1'b0, a_words1_q};
      b_limit_q <= a_limit_q;
    end
    if (b_used_q) begin
      c_last_q <= {1'b0, b_product_q} + {16'd0, b_row_end_q};
      c_limit_q <= b_limit_q;
    end
  end

  // ---- Verdict ----
  logic [NumOperands+2:0] field_bad_q;
  logic                   unit_bad_q, op_bad_q, shape_bad_q, space_bad_q, align_bad_q;
  always_ff @(posedge clk_i) begin
    if (!rst_ni) step_q <= '0;
    else if (start_i) step_q <= 4'd1;
    else if (step_q != '0) step_q <= (step_q == LastStep) ? '0 : step_q + 4'd1;
  end
  always_ff @(posedge clk_i) begin
    if (step_q == 4'd1) begin
      unit_bad_q <= !uses.unit_ok;
      op_bad_q <= !uses.op_ok;
      field_bad_q <= {operand_bad, reserved_bad, flags_bad, dims_bad};
      shape_bad_q <= shape_bad;
      space_bad_q <= 1'b0;
      align_bad_q <= uses.mem && ((desc_i.mem_addr | desc_i.mem_stride) & 32'(WordBytes - 1)) != '0;
    end else begin
      if (a_used_q && a_rows1_q != '0 && a_stride_q <= a_words1_q) shape_bad_q <= 1'b1;
      if (c_used_q && c_last_q >= {16'd0, c_limit_q}) space_bad_q <= 1'b1;
    end
  end

  assign done_o = step_q == LastStep;
  always_comb begin
    if (unit_bad_q) error_o = ErrBadUnit;
    else if (op_bad_q) error_o = ErrBadOp;
    else if (field_bad_q != '0) error_o = ErrBadField;
    else if (shape_bad_q) error_o = ErrBadShape;
    else if (space_bad_q) error_o = ErrOutOfScratchpad;
    else if (align_bad_q) error_o = ErrMisaligned;
    else error_o = ErrNone;
  end

`ifndef SYNTHESIS
  always_ff @(posedge clk_i) begin
    if (rst_ni && start_i) assert (step_q == '0) else $error("start during a check");
  end
`endif
endmodule
