// SPDX-License-Identifier: Apache-2.0
// Whose turn it is at something shared: goes to the next one around that asks, every cycle; stays where nobody else asks.
// Out of registers, so one that begins to ask may wait a cycle for its turn.
module lathe_turns #(
  parameter int unsigned Clients = 3
) (
  input  logic               clk_i,
  input  logic               rst_ni,
  input  logic [Clients-1:0] ask_i,
  output logic [Clients-1:0] turn_o  // one-hot
);
  logic [Clients-1:0] turn_q, after, next;

  assign after = ask_i & ~((turn_q << 1) - 1'b1);  // those that come after the one whose turn it is
  assign next = after != '0 ? after : ask_i;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) turn_q <= Clients'(1);
    else if (next != '0) turn_q <= next & (~next + 1'b1);  // the lowest of them
  end

  assign turn_o = turn_q;
endmodule
