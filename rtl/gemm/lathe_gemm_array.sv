// SPDX-License-Identifier: Apache-2.0
// The output-stationary array: skews the operands, multiplies and accumulates, and brings each column's
// finished sums out, one row a cycle. Does not stall and does not deskew: column j is j cycles behind column 0.
// Two steps with `last_i` must be at least Lanes cycles apart, or two rows meet on a column's bus.
module lathe_gemm_array
  import lathe_pkg::*;
#(
  parameter int unsigned Lanes = 8
) (
  input  logic                              clk_i,
  input  logic                              rst_ni,
  // One k-step: column k of A (lane i is row i) and row k of B (lane j is column j).
  input  logic                              valid_i,
  input  logic                              first_i,
  input  logic                              last_i,
  input  logic [Lanes*16-1:0]               a_i,
  input  logic [Lanes*16-1:0]               b_i,
  // One finished sum per column, rows of a tile in ascending order.
  output logic [Lanes-1:0]                  col_valid_o,
  output logic [Lanes-1:0][AccW-1:0]        col_data_o
);
  // Skew registers: stage s is s + 1 cycles behind the input; row s takes lane s of a, column s lane s of b.
  logic [Lanes-1:0] skew_valid_q, skew_first_q, skew_last_q;
  logic [Lanes-1:0][15:0] skew_a_q [Lanes];
  logic [Lanes-1:0][15:0] skew_b_q [Lanes];

  always_ff @(posedge clk_i) begin
    if (!rst_ni) skew_valid_q <= '0;
    else skew_valid_q <= {skew_valid_q[Lanes-2:0], valid_i};
  end

  always_ff @(posedge clk_i) begin
    skew_first_q <= {skew_first_q[Lanes-2:0], first_i};
    skew_last_q <= {skew_last_q[Lanes-2:0], last_i};
    if (valid_i) begin
      skew_a_q[0] <= a_i;
      skew_b_q[0] <= b_i;
    end
    for (int unsigned s = 1; s < Lanes; s++) begin
      if (skew_valid_q[s-1]) begin
        skew_a_q[s] <= skew_a_q[s-1];
        skew_b_q[s] <= skew_b_q[s-1];
      end
    end
  end

  // The grid; index Lanes is the edge where a and b fall off. Column j of a row is j cycles behind column 0:
  // bit j of `load` says that a step arrives, of `add` that its product is added, of `done` that the sum is finished.
  logic [Lanes-1:0] load [Lanes];
  logic [Lanes-1:0] add_q [Lanes];
  logic [Lanes-1:0] first_q [Lanes];
  logic [Lanes-1:0] last_q [Lanes];
  logic [Lanes-1:0] done_q [Lanes];
  // verilator lint_off UNUSEDSIGNAL
  logic signed [15:0] a [Lanes][Lanes+1];
  logic signed [15:0] b [Lanes+1][Lanes];
  // verilator lint_on UNUSEDSIGNAL
  logic [AccW-1:0] acc [Lanes][Lanes];  // [column][row]
  logic [Lanes-1:0] done [Lanes];       // the same bits by column

  for (genvar i = 0; i < Lanes; i++) begin : gen_row
    assign load[i] = {add_q[i][Lanes-2:0], skew_valid_q[i]};
    assign a[i][0] = skew_a_q[i][i];
    assign b[0][i] = skew_b_q[i][i];

    always_ff @(posedge clk_i) begin
      if (!rst_ni) begin
        add_q[i] <= '0;
        done_q[i] <= '0;
      end else begin
        add_q[i] <= load[i];
        done_q[i] <= add_q[i] & last_q[i];
      end
    end

    always_ff @(posedge clk_i) begin
      first_q[i] <= {first_q[i][Lanes-2:0], skew_first_q[i]};
      last_q[i] <= {last_q[i][Lanes-2:0], skew_last_q[i]};
    end

    for (genvar j = 0; j < Lanes; j++) begin : gen_column
      assign done[j][i] = done_q[i][j];

      lathe_pe u_pe (
        .clk_i,
        .load_i (load[i][j]),
        .add_i  (add_q[i][j]),
        .first_i(first_q[i][j]),
        .a_i    (a[i][j]),
        .b_i    (b[i][j]),
        .a_o    (a[i][j+1]),
        .b_o    (b[i+1][j]),
        .acc_o  (acc[j][i])
      );
    end
  end

`ifndef SYNTHESIS
  logic live_q;  // after a reset, when registers no longer hold what they powered up with
  initial live_q = 1'b0;
  always @(posedge clk_i) live_q <= rst_ni;
`endif

  // Column buses: at most one row of a column is done, so AND-OR selects it.
  logic [Lanes-1:0] col_valid_q;
  logic [Lanes-1:0][AccW-1:0] col_data_q;

  for (genvar j = 0; j < Lanes; j++) begin : gen_bus
    always_ff @(posedge clk_i) begin
      if (!rst_ni) col_valid_q[j] <= 1'b0;
      else col_valid_q[j] <= |done[j];
    end

    always_ff @(posedge clk_i) begin
      if (|done[j]) begin
        logic [AccW-1:0] bus;
        bus = '0;
        for (int unsigned i = 0; i < Lanes; i++) bus |= done[j][i] ? acc[j][i] : '0;
        col_data_q[j] <= bus;
      end
    end

`ifndef SYNTHESIS
    always @(posedge clk_i) begin
      if (live_q) assert ($onehot0(done[j])) else $error("two rows meet on the bus of column %0d", j);
    end
`endif
  end

  assign col_valid_o = col_valid_q;
  assign col_data_o = col_data_q;
endmodule
