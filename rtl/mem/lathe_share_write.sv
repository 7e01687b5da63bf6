// SPDX-License-Identifier: Apache-2.0
// One write port of the scratchpad for several clients: they take turns (lathe_turns), and what is taken waits in a register
// for its grant, two requests deep (lathe_spill_wide). One that has waited is urgent, so that it is in the bank soon.
module lathe_share_write
  import lathe_pkg::*;
#(
  parameter int unsigned Clients = 3,
  parameter int unsigned BankW = 3,
  parameter int unsigned WordW = 128,
  parameter bit          InTurn = 1'b1  // else the lowest one that asks goes first, and none waits for its turn
) (
  input  logic                          clk_i,
  input  logic                          rst_ni,
  input  logic [Clients-1:0]            ask_i,
  output logic [Clients-1:0]            ready_o,
  input  logic [Clients-1:0][AddrW-1:0] addr_i,
  input  logic [Clients-1:0][WordW-1:0] data_i,
  output logic                          room_o,   // another one would be taken
  output logic                          req_o,
  input  logic                          free_i,
  output logic                          urgent_o,
  output logic [AddrW-1:0]              place_o,  // row and bank
  output logic [WordW-1:0]              data_o
);
  logic [Clients-1:0] turn;
  logic [AddrW-1:0] addr;
  logic [WordW-1:0] data;
  logic waited_q;

  assign ready_o = turn & {Clients{room_o}};

  if (InTurn) begin : g_turns
    lathe_turns #(
      .Clients(Clients)
    ) u_turns (
      .clk_i,
      .rst_ni,
      .ask_i,
      .turn_o(turn)
    );
  end else begin : g_lowest
    assign turn = ask_i & (~ask_i + 1'b1);
  end

  always_comb begin
    addr = 'x;
    data = 'x;
    if ((turn & ask_i) != '0) begin
      addr = addr_i[0];
      data = data_i[0];
      for (int unsigned c = 1; c < Clients; c++) begin
        if (turn[c]) addr = addr_i[c];
        if (turn[c]) data = data_i[c];
      end
    end
  end

  lathe_spill_wide #(
    .Width(AddrW + WordW),
    .WideW(WordW)
  ) u_taken (
    .clk_i,
    .rst_ni,
    .in_valid_i (|(turn & ask_i)),
    .in_ready_o (room_o),
    .in_data_i  ({place_of(addr, BankW), data}),
    .out_valid_o(req_o),
    .out_ready_i(free_i),
    .out_data_o ({place_o, data_o})
  );

  always_ff @(posedge clk_i) waited_q <= rst_ni && req_o && !free_i;
  assign urgent_o = waited_q;
endmodule
