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
  logic [Clients-1:0] turn_q, turn_d;

  always_comb begin
    turn_d = '0;
    for (int unsigned from = 0; from < Clients; from++) begin
      logic free;  // nobody after `from` and before `to` asks
      free = turn_q[from];
      for (int unsigned i = 1; i < Clients; i++) begin
        if (free && ask_i[(from+i)%Clients]) turn_d[(from+i)%Clients] = 1'b1;
        free &= !ask_i[(from+i)%Clients];
      end
      if (free) turn_d[from] = 1'b1;
    end
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) turn_q <= Clients'(1);
    else turn_q <= turn_d;
  end

  assign turn_o = turn_q;
endmodule
