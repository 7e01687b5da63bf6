// SPDX-License-Identifier: Apache-2.0
// The output-stationary array with its edge row and column: skews the operands, has lathe_gemm_cells multiply and accumulate,
// and gives each column's running sums, one row a cycle. Does not stall, subtract or deskew: lathe_gemm_collect does.
//
// int8: with every byte taken as byte + 128 (A0, A1 of a, B0, B1 of b; unsigned) a cell adds
//   (A1 + B0) * (A0 + B1) = a0*b0 + a1*b1 + [(A0 + 128) * (A1 + 128)] + [(B0 + 128) * (B1 + 128) - 65536]
// and the edge column adds up the first bracket of its row, the edge row the second one of its column.
module lathe_gemm_array
  import lathe_pkg::*;
  import lathe_gemm_pkg::*;
#(
  parameter int unsigned Lanes = 8
) (
  input  logic                        clk_i,
  input  logic                        rst_ni,
  // One step: column k of A (lane i is row i) and row k of B (lane j is column j), with int8 two of each. Two steps with
  // last_i are at least Lanes cycles apart, Lanes + 1 if the later one has colsum_i; the first one comes at least Lanes
  // cycles after a reset (lathe_gemm_collect clears its memory), other steps at least two. int8_i and colsum_i are the same
  // in all steps of a tile and exclude each other.
  input  logic                        valid_i,
  input  logic                        last_i,    // last step of its tile
  input  logic                        int8_i,
  input  logic                        colsum_i,  // the sums of B's columns are wanted too
  input  logic [Lanes*16-1:0]         a_i,
  input  logic [Lanes*16-1:0]         b_i,
  // Behind the last step of a tile (cycle 0). Column j gives row i in cycle 6 + i + j.
  output logic [Lanes-1:0]            row_valid_o,
  output logic [AccW-1:0]             row_data_o [Lanes],   // since reset; 0 until the first one
  output logic [Lanes-1:0]            colsum_valid_o, // the edge row's sum is a row of its own, cycle 5 + j
  output logic [EdgeW-1:0]            edge_data_o [Lanes],  // with colsum_valid_o minus the sum of the column of B, with
                                                            // row_valid_o the tile's bracket of the column, 0 in int16
  output logic                        side_valid_o,   // row i of the edge column, cycle 5 + i
  output logic [EdgeW-1:0]            side_data_o     // since reset; 0 until the first one
);
  // Control: bit k is the input's bit k + 1 cycles ago. Cell (i, j) holds its sum at bit i + j + 3; the edge cells are one
  // cycle ahead.
  localparam int unsigned Line = 2 * Lanes + 2;
  logic [Lanes:0] valid_q;
  logic [Line-1:0] last_q;
  logic [Lanes+3:0] int8_q, colsum_q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      valid_q <= '0;
      last_q <= '0;
    end else begin
      valid_q <= {valid_q[Lanes-1:0], valid_i};
      last_q <= {last_q[Line-2:0], valid_i && last_i};
    end
    int8_q <= {int8_q[Lanes+2:0], int8_i};
    colsum_q <= {colsum_q[Lanes+2:0], colsum_i};
  end

  // Skew: lane i is i cycles behind the input. Element s * Lanes + i is lane i of stage s, which is s + 1 cycles behind.
  localparam int unsigned Cells = Lanes * Lanes;
  logic [15:0] skew_a_q [Cells], skew_a_d [Cells], skew_b_q [Cells], skew_b_d [Cells], raw_a [Lanes], raw_b [Lanes];

  always_comb begin
    for (int unsigned i = 0; i < Lanes; i++) begin
      skew_a_d[i] = a_i[16*i+:16];
      skew_b_d[i] = b_i[16*i+:16];
    end
    /* verilator unroll_disable */
    for (int unsigned n = Lanes; n < Cells; n++) begin
      skew_a_d[n] = skew_a_q[n-Lanes];
      skew_b_d[n] = skew_b_q[n-Lanes];
    end
  end

  always_ff @(posedge clk_i) begin
    skew_a_q <= skew_a_d;
    skew_b_q <= skew_b_d;
  end

  assign raw_a[0] = a_i[15:0];
  assign raw_b[0] = b_i[15:0];
  for (genvar i = 1; i < Lanes; i++) begin : gen_raw
    assign raw_a[i] = skew_a_q[(i-1)*Lanes+i];
    assign raw_b[i] = skew_b_q[(i-1)*Lanes+i];
  end

  // What the cells take, and the same a cycle later.
  logic [23:0] a_d [Lanes], b_d [Lanes], a [Lanes], b [Lanes];
  logic [Lanes-1:0] skew_valid, skew_int8;

  assign skew_valid = {valid_q[Lanes-2:0], valid_i};
  assign skew_int8 = {int8_q[Lanes-2:0], int8_i};

  function automatic logic [23:0] operand(logic int8, logic [15:0] raw);
    return int8 ? {!raw[7], raw[6:0], 8'd0, !raw[15], raw[14:8]} : {8'd0, raw};
  endfunction

  always_comb begin
    /* verilator unroll_disable */
    for (int unsigned i = 0; i < Lanes; i++) begin
      a_d[i] = skew_valid[i] ? operand(skew_int8[i], raw_a[i]) : '0;
      b_d[i] = skew_valid[i] ? operand(skew_int8[i], raw_b[i]) : '0;
    end
  end

  // Edge cells: add up the brackets.
  logic [17:0] side_product_q [Lanes], side_product_d [Lanes];
  logic [17:0] edge_product_q [Lanes], edge_product_d [Lanes];
  logic [EdgeW-1:0] side_q [Lanes], side_d [Lanes], side_out_q [Lanes], side_out_d [Lanes];
  logic [EdgeW-1:0] edge_q [Lanes], edge_d [Lanes], edge_end_q [Lanes], edge_end_d [Lanes];
  logic [EdgeW-1:0] edge_out_q [Lanes], edge_out_d [Lanes];
  logic [Lanes-1:0] side_add, edge_add, edge_first_q;

  // The 9 bits of byte + 256, from the byte with its sign flipped.
  function automatic logic [8:0] factor(logic [7:0] flipped);
    return {flipped[7], !flipped[7], flipped[6:0]};
  endfunction

  // The product, from which 65536 is to be subtracted if int8; else a negated 16-bit number.
  function automatic logic [17:0] edge_product(logic int8, logic [23:0] operand_b);
    logic signed [9:0] x;
    logic signed [15:0] y;
    // verilator lint_off UNUSEDSIGNAL
    logic signed [25:0] product;  // 18 bits are enough
    // verilator lint_on UNUSEDSIGNAL
    x = int8 ? {1'b0, factor(operand_b[23:16])} : '1;
    y = int8 ? {7'd0, factor(operand_b[7:0])} : operand_b[15:0];
    product = 26'(x) * 26'(y);
    return product[17:0];
  endfunction

  assign side_add = valid_q[Lanes:1] & int8_q[Lanes:1];
  assign edge_add = valid_q[Lanes:1] & (int8_q[Lanes:1] | colsum_q[Lanes:1]);

  // Products that nobody adds are undefined, and cost a simulation nothing.
  always_comb begin
    side_product_d = '{default: 'x};
    edge_product_d = '{default: 'x};
    if ((valid_q[Lanes-1:0] & int8_q[Lanes-1:0]) != '0) begin
      for (int unsigned i = 0; i < Lanes; i++) side_product_d[i] = 18'(factor(a[i][7:0])) * 18'(factor(a[i][23:16]));
    end
    if ((valid_q[Lanes-1:0] & (int8_q[Lanes-1:0] | colsum_q[Lanes-1:0])) != '0) begin
      for (int unsigned i = 0; i < Lanes; i++) edge_product_d[i] = edge_product(int8_q[i], b[i]);
    end
  end

  always_comb begin
    /* verilator unroll_disable */
    for (int unsigned i = 0; i < Lanes; i++) begin
      side_d[i] = side_add[i] ? side_q[i] + EdgeW'(side_product_q[i]) : side_q[i];
      side_out_d[i] = last_q[i+2] ? side_q[i] : '0;
    end
  end

  always_comb begin
    /* verilator unroll_disable */
    for (int unsigned i = 0; i < Lanes; i++) begin
      logic [1:0] upper;  // of the product
      upper = edge_product_q[i][17:16] - {1'b0, int8_q[i+1]};
      edge_d[i] = edge_q[i];
      if (edge_add[i]) begin
        edge_d[i] = (edge_first_q[i] ? '0 : edge_q[i]) + {{EdgeW-18{upper[1]}}, upper, edge_product_q[i][15:0]};
      end
      edge_end_d[i] = last_q[i+2] ? edge_q[i] : edge_end_q[i];
      edge_out_d[i] = edge_out_q[i];
      if (last_q[i+4] && !int8_q[i+4]) edge_out_d[i] = '0;
      else if (last_q[i+4] || (last_q[i+3] && colsum_q[i+3])) edge_out_d[i] = edge_end_q[i];
    end
  end

  always_ff @(posedge clk_i) begin
    side_product_q <= side_product_d;
    edge_product_q <= edge_product_d;
    edge_q <= edge_d;
    edge_end_q <= edge_end_d;
    edge_out_q <= edge_out_d;
    side_out_q <= side_out_d;
    if (!rst_ni) begin
      side_q <= '{default: '0};
      edge_first_q <= '1;
    end else begin
      side_q <= side_d;
      edge_first_q <= (edge_first_q & ~edge_add) | (last_q[Lanes:1] & edge_add);
    end
  end

  assign colsum_valid_o = last_q[Lanes+3:4] & colsum_q[Lanes+3:4];
  assign edge_data_o = edge_out_q;

  // At most one row of a column and one row of the edge column leaves its cell, the others give 0.
  logic [Lanes-1:0] leave_q, row_valid_q;
  logic side_leave_q, side_valid_q;
  logic [EdgeW-1:0] side_data_q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      leave_q <= '0;
      row_valid_q <= '0;
      side_leave_q <= 1'b0;
      side_valid_q <= 1'b0;
      side_data_q <= '0;
    end else begin
      leave_q <= {leave_q[Lanes-2:0], |last_q[3+:Lanes]};
      row_valid_q <= leave_q;
      side_leave_q <= |last_q[2+:Lanes];
      side_valid_q <= side_leave_q;
      if (side_leave_q) begin
        logic [EdgeW-1:0] bus;
        bus = '0;
        for (int unsigned i = 0; i < Lanes; i++) bus |= side_out_q[i];
        side_data_q <= bus;
      end
    end
  end

  lathe_gemm_cells #(
    .Lanes(Lanes)
  ) u_cells (
    .clk_i,
    .rst_ni,
    .a_i       (a_d),
    .b_i       (b_d),
    .a_o       (a),
    .b_o       (b),
    .done_i    (last_q[3+:2*Lanes-1]),
    .leave_i   (leave_q),
    .row_data_o
  );

  assign row_valid_o = row_valid_q;
  assign side_valid_o = side_valid_q;
  assign side_data_o = side_data_q;

`ifndef SYNTHESIS
  logic live_q;  // after a reset, when registers no longer hold what they powered up with
  initial live_q = 1'b0;
  always @(posedge clk_i) begin
    live_q <= rst_ni;
    if (live_q && valid_i && last_i) begin
      assert (last_q[Lanes-2:0] == '0 && !(colsum_i && last_q[Lanes-1])) else $error("two rows meet on a column's bus");
    end
  end
`endif
endmodule
