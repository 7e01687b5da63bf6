// SPDX-License-Identifier: Apache-2.0
// One read port of the scratchpad for several clients: they take turns (lathe_turns), and what is taken waits in a register
// for its grant, two requests deep (lathe_spill). Answers do not pass here.
module lathe_share_read
  import lathe_pkg::*;
#(
  parameter int unsigned Clients = 3,
  parameter int unsigned BankW = 3
) (
  input  logic                          clk_i,
  input  logic                          rst_ni,
  input  logic [Clients-1:0]            ask_i,
  output logic [Clients-1:0]            ready_o,
  input  logic [Clients-1:0][AddrW-1:0] addr_i,
  output logic                          req_o,    // out of registers, like whose and place
  input  logic                          free_i,
  output logic [Clients-1:0]            whose_o,  // one-hot
  output logic [AddrW-1:0]              place_o   // row and bank
);
  logic [Clients-1:0] turn;
  logic [AddrW-1:0] addr;
  logic room;

  assign ready_o = turn & {Clients{room}};

  lathe_turns #(
    .Clients(Clients)
  ) u_turns (
    .clk_i,
    .rst_ni,
    .ask_i,
    .turn_o(turn)
  );

  always_comb begin
    addr = 'x;
    if ((turn & ask_i) != '0) begin
      addr = addr_i[0];
      for (int unsigned c = 1; c < Clients; c++) if (turn[c]) addr = addr_i[c];
    end
  end

  lathe_spill #(
    .Width(Clients + AddrW)
  ) u_taken (
    .clk_i,
    .rst_ni,
    .in_valid_i (|(turn & ask_i)),
    .in_ready_o (room),
    .in_data_i  ({turn, place_of(addr, BankW)}),
    .out_valid_o(req_o),
    .out_ready_i(free_i),
    .out_data_o ({whose_o, place_o})
  );
endmodule
