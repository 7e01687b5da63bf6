// SPDX-License-Identifier: Apache-2.0
// FIFO in block RAM for what is known once per row. It has no back-pressure: it holds MaxRows entries, and no more rows
// than that are ever in flight. `data_o` shows the oldest entry, from the third cycle after its push on.
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
  logic unused_room;

  lathe_row_buffer #(
    .Width(Width),
    .Depth(MaxRows)
  ) u_buffer (
    .clk_i,
    .rst_ni,
    .reserve_i(push_i),
    .room_o(unused_room),
    .push_i,
    .push_data_i,
    .valid_o,
    .pop_i,
    .data_o
  );
endmodule
