// SPDX-License-Identifier: Apache-2.0
// Small FIFO for what is known once per row. It has no back-pressure: it holds MaxRows entries, and no
// more rows than that are ever in flight. `data_o` shows the oldest entry.
module lathe_policy_side
  import lathe_policy_pkg::*;
#(
  parameter int unsigned Width = 16
) (
  input  logic             clk_i,
  input  logic             rst_ni,
  input  logic             push_i,
  input  logic [Width-1:0] push_data_i,
  output logic             valid_o,
  input  logic             pop_i,
  output logic [Width-1:0] data_o
);
  logic                         ready;
  logic [$clog2(MaxRows+1)-1:0] unused_level;

  lathe_fifo #(
    .Width(Width),
    .Depth(MaxRows)
  ) u_fifo (
    .clk_i,
    .rst_ni,
    .in_valid_i(push_i),
    .in_ready_o(ready),
    .in_data_i(push_data_i),
    .out_valid_o(valid_o),
    .out_ready_i(pop_i),
    .out_data_o(data_o),
    .level_o(unused_level)
  );

`ifndef SYNTHESIS  // registers are random at time 0
  always_ff @(posedge clk_i) begin
    if (rst_ni && $time != 0) begin
      assert (!push_i || ready) else $error("policy_side: too many rows in flight");
      assert (!pop_i || valid_o) else $error("policy_side: popped while empty");
    end
  end
`endif
endmodule
