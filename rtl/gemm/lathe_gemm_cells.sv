// SPDX-License-Identifier: Apache-2.0
// The cells of the gemm array: cell (i, j) accumulates (p + s) * (r + q) and passes a = {q, p} to the right and
// b = {s, r} down. It takes a step in every cycle, one of zeros changes nothing; it never clears its sum.
// Written as loops over all cells, which Verilator's C++ keeps and the compiler turns into vector instructions.
module lathe_gemm_cells
  import lathe_pkg::*;
#(
  parameter int unsigned Lanes = 8
) (
  input  logic               clk_i,
  input  logic               rst_ni,
  // Row i's a, column j's b, 0 if there is none; cell (i, j) takes those that come i + j cycles after cell (0, 0)'s.
  // int16: p = a, q = 0, r = b, s = 0. int8: four unsigned bytes, so that a sum has 9 bits. No step in the first two
  // cycles after a reset.
  input  logic [23:0]        a_i [Lanes],
  input  logic [23:0]        b_i [Lanes],
  output logic [23:0]        a_o [Lanes],          // a_i and b_i a cycle later
  output logic [23:0]        b_o [Lanes],
  input  logic [2*Lanes-2:0] done_i,               // bit i + j: cell (i, j) holds what it shall give
  input  logic [Lanes-1:0]   leave_i,              // column j: a cell had that bit a cycle ago
  output logic [AccW-1:0]    row_data_o [Lanes]    // column j's cell gave this last; 0 after a reset
);
  localparam int unsigned Cells = Lanes * Lanes;  // cell (i, j) is number i * Lanes + j

  logic [23:0] a_q [Cells], a_d [Cells], b_q [Cells], b_d [Cells];
  logic signed [15:0] x_q [Cells], x_d [Cells], y_q [Cells], y_d [Cells];
  logic signed [31:0] product_q [Cells], product_d [Cells];
  logic [AccW-1:0] acc_q [Cells], acc_d [Cells], out_q [Cells], out_d [Cells];

  always_comb begin
    /* verilator unroll_disable */
    for (int unsigned n = 1; n < Cells; n++) a_d[n] = a_q[n-1];
    for (int unsigned i = 0; i < Lanes; i++) a_d[i*Lanes] = a_i[i];
  end

  always_comb begin
    /* verilator unroll_disable */
    for (int unsigned n = Lanes; n < Cells; n++) b_d[n] = b_q[n-Lanes];
    for (int unsigned j = 0; j < Lanes; j++) b_d[j] = b_i[j];
  end

  always_comb begin
    /* verilator unroll_disable */
    for (int unsigned n = 0; n < Cells; n++) begin
      x_d[n] = {a_q[n][15:9], a_q[n][8:0] + {1'b0, b_q[n][23:16]}};
      y_d[n] = {b_q[n][15:9], b_q[n][8:0] + {1'b0, a_q[n][23:16]}};
    end
  end

  always_comb begin
    /* verilator unroll_disable */
    for (int unsigned n = 0; n < Cells; n++) product_d[n] = 32'(x_q[n]) * 32'(y_q[n]);
  end

  always_comb begin
    /* verilator unroll_disable */
    for (int unsigned n = 0; n < Cells; n++) acc_d[n] = acc_q[n] + unsigned'(AccW'(product_q[n]));
  end

  always_comb begin
    /* verilator unroll_disable */
    for (int unsigned n = 0; n < Cells; n++) out_d[n] = done_i[n / Lanes + n % Lanes] ? acc_q[n] : '0;
  end

  // Registers: they go far. The sums are cleared until the products are 0, whose registers are the multipliers' own.
  logic clear_q, clear_acc_q;

  always_ff @(posedge clk_i) begin
    clear_q <= !rst_ni;
    clear_acc_q <= !rst_ni || clear_q;
    a_q <= a_d;
    b_q <= b_d;
    x_q <= x_d;
    y_q <= y_d;
    if (clear_q) begin  // what comes in from outside is 0 then
      for (int unsigned n = 0; n < Cells; n++) if (n % Lanes != 0) a_q[n] <= '0;
      for (int unsigned n = Lanes; n < Cells; n++) b_q[n] <= '0;
      x_q <= '{default: '0};
      y_q <= '{default: '0};
    end
    product_q <= product_d;
    if (clear_acc_q) acc_q <= '{default: '0};
    else acc_q <= acc_d;
    out_q <= out_d;
  end

  for (genvar i = 0; i < Lanes; i++) begin : gen_edge
    assign a_o[i] = a_q[i*Lanes];
    assign b_o[i] = b_q[i];
  end

  // Column buses: all cells of a column but one give 0.
  for (genvar j = 0; j < Lanes; j++) begin : gen_bus
    logic [AccW-1:0] row_data_q;

    always_ff @(posedge clk_i) begin
      if (!rst_ni) begin
        row_data_q <= '0;
      end else if (leave_i[j]) begin
        logic [AccW-1:0] bus;
        bus = '0;
        for (int unsigned i = 0; i < Lanes; i++) bus |= out_q[i*Lanes+j];
        row_data_q <= bus;
      end
    end

    assign row_data_o[j] = row_data_q;
  end
endmodule
