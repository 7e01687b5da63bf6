// SPDX-License-Identifier: Apache-2.0
// The output-stationary array with its edge row and column: skews the operands, multiplies and accumulates, and gives each
// column's running sums, one row a cycle. Does not stall, does not subtract and does not deskew: lathe_gemm_collect does.
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
  // last_i are at least Lanes cycles apart, Lanes + 1 if the later one has colsum_i; the first one
  // comes at least Lanes cycles after a reset (lathe_gemm_collect clears its memory). int8_i and colsum_i are the same in all steps of a
  // tile and exclude each other.
  input  logic                        valid_i,
  input  logic                        last_i,    // last step of its tile
  input  logic                        int8_i,
  input  logic                        colsum_i,  // the sums of B's columns are wanted too
  input  logic [Lanes*16-1:0]         a_i,
  input  logic [Lanes*16-1:0]         b_i,
  // Behind the last step of a tile (cycle 0). Column j gives row i in cycle 6 + i + j.
  output logic [Lanes-1:0]            row_valid_o,
  output logic [Lanes-1:0][AccW-1:0]  row_data_o,     // since reset; 0 until the first one
  output logic [Lanes-1:0]            colsum_valid_o, // the edge row's sum is a row of its own, cycle 5 + j
  output logic [Lanes-1:0][EdgeW-1:0] edge_data_o,    // with colsum_valid_o minus the sum of the column of B, with
                                                      // row_valid_o the tile's bracket of the column, 0 in int16
  output logic                        side_valid_o,   // row i of the edge column, cycle 5 + i
  output logic [EdgeW-1:0]            side_data_o     // since reset; 0 until the first one
);
  // Control: bit k is the input's bit k + 1 cycles ago. Cell (i, j) loads a step at bit i + j, multiplies at the next one,
  // adds at the one after it and holds its sum at i + j + 3; the edge cells are one cycle ahead.
  localparam int unsigned Line = 2 * Lanes + 2;
  logic [Line-2:0] valid_q;
  logic [Line-1:0] last_q;
  logic [Lanes+3:0] int8_q, colsum_q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      valid_q <= '0;
      last_q <= '0;
    end else begin
      valid_q <= {valid_q[Line-3:0], valid_i};
      last_q <= {last_q[Line-2:0], valid_i && last_i};
    end
    int8_q <= {int8_q[Lanes+2:0], int8_i};
    colsum_q <= {colsum_q[Lanes+2:0], colsum_i};
  end

  // Skew: stage s is s cycles behind the input (stage 0 is no register) and gives row and column s their lanes.
  logic [Lanes-1:0][15:0] skew_a [Lanes];
  logic [Lanes-1:0][15:0] skew_b [Lanes];
  logic [Lanes-1:0] skew_valid, skew_int8;

  assign skew_a[0] = a_i;
  assign skew_b[0] = b_i;
  assign skew_valid = {valid_q[Lanes-2:0], valid_i};
  assign skew_int8 = {int8_q[Lanes-2:0], int8_i};

  for (genvar s = 1; s < Lanes; s++) begin : gen_skew
    always_ff @(posedge clk_i) begin
      if (skew_valid[s-1]) begin
        skew_a[s] <= skew_a[s-1];
        skew_b[s] <= skew_b[s-1];
      end
    end
  end

  // Edge cells: turn the lanes into what the cells take, and add up the brackets.
  // verilator lint_off UNUSEDSIGNAL
  logic [23:0] a [Lanes][Lanes+1];  // index Lanes is where a and b fall off
  logic [23:0] b [Lanes+1][Lanes];
  // verilator lint_on UNUSEDSIGNAL
  logic [EdgeW-1:0] side [Lanes];

  // The 9 bits of byte + 256, from the byte with its sign flipped.
  function automatic logic [8:0] factor(logic [7:0] flipped);
    return {flipped[7], !flipped[7], flipped[6:0]};
  endfunction

  for (genvar i = 0; i < Lanes; i++) begin : gen_edge
    logic [23:0] a_q, b_q;
    logic [17:0] side_product_q;
    logic signed [17:0] edge_product_q;
    logic [EdgeW-1:0] side_q, side_out_q, edge_q, edge_end_q, edge_out_q;
    logic edge_first_q;
    logic [15:0] raw_a, raw_b;
    // verilator lint_off UNUSEDSIGNAL
    logic signed [25:0] edge_product;  // 18 bits are enough
    // verilator lint_on UNUSEDSIGNAL
    logic signed [9:0] edge_x;
    logic signed [15:0] edge_y;

    assign raw_a = skew_a[i][i];
    assign raw_b = skew_b[i][i];
    assign edge_x = int8_q[i] ? {1'b0, factor(b_q[23:16])} : '1;
    assign edge_y = int8_q[i] ? {7'd0, factor(b_q[7:0])} : b_q[15:0];
    assign edge_product = 26'(edge_x) * 26'(edge_y);

    always_ff @(posedge clk_i) begin
      if (skew_valid[i]) begin
        a_q <= skew_int8[i] ? {!raw_a[7], raw_a[6:0], 8'd0, !raw_a[15], raw_a[14:8]} : {8'd0, raw_a};
        b_q <= skew_int8[i] ? {!raw_b[7], raw_b[6:0], 8'd0, !raw_b[15], raw_b[14:8]} : {8'd0, raw_b};
      end
      if (valid_q[i] && int8_q[i]) side_product_q <= 18'(factor(a_q[7:0])) * 18'(factor(a_q[23:16]));
      if (valid_q[i] && (int8_q[i] || colsum_q[i])) begin
        edge_product_q <= edge_product[17:0];
        if (int8_q[i]) edge_product_q[17:16] <= edge_product[17:16] - 2'd1;
      end
    end

    always_ff @(posedge clk_i) begin
      if (!rst_ni) begin
        side_q <= '0;
        edge_first_q <= 1'b1;
      end else begin
        if (valid_q[i+1] && int8_q[i+1]) side_q <= side_q + EdgeW'(side_product_q);
        if (valid_q[i+1] && (int8_q[i+1] || colsum_q[i+1])) edge_first_q <= last_q[i+1];
      end
      if (valid_q[i+1] && (int8_q[i+1] || colsum_q[i+1])) begin
        edge_q <= (edge_first_q ? '0 : edge_q) + unsigned'(EdgeW'(edge_product_q));
      end
      if (!rst_ni || (last_q[i+3] && !last_q[i+2])) side_out_q <= '0;
      else if (last_q[i+2]) side_out_q <= side_q;
      if (last_q[i+2]) edge_end_q <= edge_q;
      if (last_q[i+4] && !int8_q[i+4]) edge_out_q <= '0;
      else if (last_q[i+4] || (last_q[i+3] && colsum_q[i+3])) edge_out_q <= edge_end_q;
    end

    assign a[i][0] = a_q;
    assign b[0][i] = b_q;
    assign side[i] = side_out_q;
    assign colsum_valid_o[i] = last_q[i+4] && colsum_q[i+4];
    assign edge_data_o[i] = edge_out_q;
  end

  // Cells.
  logic [AccW-1:0] acc [Lanes][Lanes];  // [column][row]

  for (genvar i = 0; i < Lanes; i++) begin : gen_row
    for (genvar j = 0; j < Lanes; j++) begin : gen_column
      lathe_pe u_pe (
        .clk_i,
        .rst_ni,
        .load_i(valid_q[i+j]),
        .mul_i (valid_q[i+j+1]),
        .add_i (valid_q[i+j+2]),
        .done_i(last_q[i+j+3]),
        .a_i   (a[i][j]),
        .b_i   (b[i][j]),
        .a_o   (a[i][j+1]),
        .b_o   (b[i+1][j]),
        .acc_o (acc[j][i])
      );
    end
  end

  // Column buses: at most one row of a column and one row of the edge column leaves its cell, the others give 0.
  logic [Lanes-1:0] leave_q, row_valid_q;
  logic [Lanes-1:0][AccW-1:0] row_data_q;
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
      for (int unsigned j = 0; j < Lanes; j++) leave_q[j] <= |last_q[j+3+:Lanes];
      row_valid_q <= leave_q;
      side_leave_q <= |last_q[2+:Lanes];
      side_valid_q <= side_leave_q;
      if (side_leave_q) begin
        logic [EdgeW-1:0] bus;
        bus = '0;
        for (int unsigned i = 0; i < Lanes; i++) bus |= side[i];
        side_data_q <= bus;
      end
    end
  end

  for (genvar j = 0; j < Lanes; j++) begin : gen_bus
    always_ff @(posedge clk_i) begin
      if (!rst_ni) begin
        row_data_q[j] <= '0;
      end else if (leave_q[j]) begin
        logic [AccW-1:0] bus;
        bus = '0;
        for (int unsigned i = 0; i < Lanes; i++) bus |= acc[j][i];
        row_data_q[j] <= bus;
      end
    end
  end

  assign row_valid_o = row_valid_q;
  assign row_data_o = row_data_q;
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
