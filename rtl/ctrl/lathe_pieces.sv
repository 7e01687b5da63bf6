// SPDX-License-Identifier: Apache-2.0
// Where the program's commands to gemm and policy stand that start in pieces (architecture.md, "Requests beside a program"):
// size and place of the next piece, and the addresses of its operands. Does not decide when a piece starts.
module lathe_pieces
  import lathe_pkg::*;
  import lathe_desc_pkg::*;
#(
  parameter int unsigned Lanes = 8
) (
  input  logic                              clk_i,
  input  logic                              rst_ni,
  input  logic                              stop_i,        // forget what has begun
  output logic [1:0]                        begun_o,       // of gemm, of policy a command whose next piece is not the first

  // The command whose turn it is
  input  logic                              check_i,       // pulse, with what follows
  input  logic                              may_i,         // it is one of the program to gemm or policy, which are to start in pieces
  input  logic                              cuts_i,        // and it does
  input  logic                              policy_i,      // its unit: policy, else gemm
  input  logic [1:0]                        blocks_i,      // of gemm: column blocks of a piece, binary logarithm
  input  logic [DimW-1:0]                   m_i,
  input  logic [DimW-1:0]                   n_i,
  // verilator lint_off UNUSEDSIGNAL
  input  cmd_t                              cmd_i,         // from the cycle after check_i on; not all of its fields
  // verilator lint_on UNUSEDSIGNAL
  output logic                              cuts_o,        // like all that follows steady from the next cycle on
  output logic                              again_o,       // not its first piece
  input  logic [2:0]                        operand_i,
  output logic [AddrW-1:0]                  addr_o,        // of that operand in this piece, in the same cycle; of pieces but the first
  output logic [ExpW-1:0]                   exp_o,         // and its exponent, as the first piece had it
  output logic [AddrW-1:0]                  result_addr_o, // of operand 2
  output logic [ExpW-1:0]                   result_exp_o,
  // From the second cycle after check_i on.
  output logic                              last_o,        // its last piece
  output logic [DimW-1:0]                   m_o,
  output logic [DimW-1:0]                   n_o,
  output logic [DimW-1:0]                   first_row_o,
  output logic [DimW-1:0]                   first_col_o,   // in blocks of Lanes

  input  logic                              start_i,       // pulse: the piece starts
  input  logic                              next_i,        // pulse: it was handed over, with these addresses and exponents; then busy_o
  input  logic [NumOperands-1:0][AddrW-1:0] addr_i,
  input  logic [NumOperands-1:0][ExpW-1:0]  exp_i,
  output logic                              busy_o         // the next piece is made ready; the command still stands
);
  localparam int unsigned LaneW = $clog2(Lanes);
  localparam int unsigned PolicyRowsW = 5;  // 32 samples

  // ---- Where each unit's command stands: 0 gemm, 1 policy ----
  logic [1:0]           begun_q;
  logic [1:0][DimW-1:0] rows_q, row_q;  // rows that are left; first row of the next piece
  logic [DimW-1:0]      cols_q, col_q;  // of gemm: columns that are left; first column block

  // ---- This piece ----
  logic            again, cuts_q, policy_q, again_q, row_last, col_last, row_last_q, col_last_q;
  logic [DimW-1:0] rows_now_q, cols_now_q, row_step, col_step;
  logic [1:0]      blocks_q;  // binary logarithm of its column blocks
  assign again = may_i && begun_q[policy_i];  // nothing that does not start in pieces comes before the last one
  assign row_step = policy_q ? DimW'(1) << PolicyRowsW : DimW'(Lanes);
  assign col_step = DimW'(Lanes) << blocks_q;
  assign row_last = !cuts_q || rows_now_q <= row_step;
  assign col_last = !cuts_q || policy_q || cols_now_q <= col_step;

  always_ff @(posedge clk_i) begin
    if (check_i) begin
      cuts_q <= cuts_i;
      policy_q <= policy_i;
      again_q <= again;
      blocks_q <= blocks_i;
      rows_now_q <= again ? rows_q[policy_i] : m_i;
      cols_now_q <= (again && !policy_i) ? cols_q : n_i;
      first_row_o <= again ? row_q[policy_i] : '0;
      first_col_o <= (again && !policy_i) ? col_q : '0;
    end
    row_last_q <= row_last;
    col_last_q <= col_last;
    m_o <= row_last ? rows_now_q : row_step;
    n_o <= col_last ? cols_now_q : col_step;
  end
  assign cuts_o = cuts_q;
  assign again_o = again_q;
  assign last_o = row_last_q && col_last_q;

  // ---- The next one: where it lies ----
  always_ff @(posedge clk_i) begin
    if (!rst_ni || stop_i) begun_q <= '0;
    else if (start_i && cuts_q) begun_q[policy_q] <= !last_o;
    if (start_i && cuts_q) begin
      rows_q[policy_q] <= col_last_q ? rows_now_q - row_step : rows_now_q;
      row_q[policy_q] <= col_last_q ? first_row_o + row_step : first_row_o;
      if (!policy_q) begin
        cols_q <= col_last_q ? cmd_i.n : cols_now_q - col_step;
        col_q <= col_last_q ? '0 : first_col_o + (DimW'(1) << blocks_q);
      end
    end
  end
  assign begun_o = begun_q;

  // ---- And its operands, one a cycle: beside this one, or in the next row block ----
  logic [ExpW+AddrW-1:0] next_mem [16];   // of the next piece
  logic [AddrW-1:0]      start_mem [16];  // of the first piece of its row block
  logic [ExpW-1:0]       exp_q;
  logic [2:0]       operand_q, done_q;
  logic             busy_q, write_q;
  logic [AddrW-1:0] start, start_q, from_q, step, step_q, sum, many;
  logic [AddrW-1:0] stride;

  assign stride = cmd_i.t[operand_q].stride;
  assign many = AddrW'(1) << blocks_q;
  assign start = again_q ? start_mem[{policy_q, operand_q}] : addr_i[operand_q];
  always_comb begin
    unique case (operand_q)
      3'd0:    step = !col_last_q ? '0 : cmd_i.trans_a ? AddrW'(1) : stride << LaneW;
      3'd1:    step = col_last_q ? '0 : cmd_i.trans_b ? (stride << LaneW) << blocks_q : many;
      3'd2:    step = col_last_q ? stride << LaneW : many >> cmd_i.int8_result;
      3'd3:    step = col_last_q ? '0 : many;
      default: step = col_last_q ? stride << LaneW : many;
    endcase
    if (policy_q) step = stride << PolicyRowsW;
  end
  always_ff @(posedge clk_i) begin
    if (!rst_ni) {busy_q, write_q} <= '0;
    else begin
      busy_q <= next_i ? cuts_q && !last_o : busy_q && operand_q != 3'(NumOperands - 1);
      write_q <= busy_q;
    end
    operand_q <= busy_q ? operand_q + 3'd1 : '0;
    done_q <= operand_q;
    start_q <= start;
    from_q <= col_last_q ? start : addr_i[operand_q];
    step_q <= step;
    exp_q <= exp_i[operand_q];
  end
  assign sum = from_q + step_q;
  always_ff @(posedge clk_i) begin
    if (write_q) begin
      next_mem[{policy_q, done_q}] <= {exp_q, sum};
      start_mem[{policy_q, done_q}] <= col_last_q ? sum : start_q;
    end
  end
  assign busy_o = busy_q || write_q;

  // Operand 2 is read before the others.
  assign {exp_o, addr_o} = next_mem[check_i ? {policy_i, 3'd2} : {policy_q, operand_i}];
  always_ff @(posedge clk_i) if (check_i) {result_exp_o, result_addr_o} <= {exp_o, addr_o};
endmodule
