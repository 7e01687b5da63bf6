// SPDX-License-Identifier: Apache-2.0
// Decides which requests go into the banks, which serve two accesses a cycle: side A reads of the ports 0 and 2, side B of
// 1 and 3; a write takes B, or A if port 1 reads in its bank. One write a bank: urgent ones first, then the port whose
// last grant is longer ago. Ports 0 and 1 go before writes, which go before ports 2 and 3; if both 0 and 1 read in a bank, an
// urgent write goes before port 1. Compares ports with each other, so it costs the same for any number of banks.
// Combinational from request to ready; stores nothing but the turn of the writes.
module lathe_bank_arb #(
  parameter int unsigned BankW = 3
) (
  input  logic                  clk_i,
  input  logic                  rst_ni,
  input  logic [3:0]            rd_req_i,
  input  logic [3:0][BankW-1:0] rd_bank_i,
  output logic [3:0]            rd_ready_o,   // does not depend on the port's own request
  input  logic [1:0]            wr_req_i,
  input  logic [1:0]            wr_urgent_i,
  input  logic [1:0][BankW-1:0] wr_bank_i,
  output logic [1:0]            wr_ready_o,   // does not depend on the port's own request
  output logic [1:0]            wr_side_a_o   // the write takes side A
);
  logic [1:0][3:0] meets;  // [w][r]: write w and the read of port r ask for the same bank
  logic [1:0] second;      // write w comes after the other one, if their banks are the same
  logic turn_q;            // of write 1

  always_comb begin
    for (int unsigned w = 0; w < 2; w++) begin
      for (int unsigned r = 0; r < 4; r++) meets[w][r] = rd_req_i[r] && rd_bank_i[r] == wr_bank_i[w];
      wr_side_a_o[w] = meets[w][1] && !meets[w][0];
    end
    second[0] = wr_urgent_i[0] != wr_urgent_i[1] ? wr_urgent_i[1] : turn_q;
    second[1] = !second[0];
    for (int unsigned w = 0; w < 2; w++) begin
      wr_ready_o[w] = (wr_urgent_i[w] || !meets[w][0] || !meets[w][1]) &&
                      !(second[w] && wr_req_i[1-w] && wr_bank_i[0] == wr_bank_i[1]);
    end
  end

  // Of two writes in one bank either blocks what the other would: they meet the same reads.
  always_comb begin
    rd_ready_o[0] = 1'b1;
    rd_ready_o[1] = 1'b1;
    rd_ready_o[2] = !(rd_req_i[0] && rd_bank_i[0] == rd_bank_i[2]);
    rd_ready_o[3] = !(rd_req_i[1] && rd_bank_i[1] == rd_bank_i[3]);
    for (int unsigned w = 0; w < 2; w++) begin
      if (wr_req_i[w]) begin
        if (wr_urgent_i[w] && meets[w][0] && rd_bank_i[1] == wr_bank_i[w]) rd_ready_o[1] = 1'b0;
        if (rd_bank_i[2] == wr_bank_i[w] && meets[w][1]) rd_ready_o[2] = 1'b0;
        if (rd_bank_i[3] == wr_bank_i[w]) rd_ready_o[3] = 1'b0;
      end
    end
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) turn_q <= 1'b0;
    else if ((wr_req_i & wr_ready_o) == 2'b01) turn_q <= 1'b1;
    else if ((wr_req_i & wr_ready_o) == 2'b10) turn_q <= 1'b0;
  end
endmodule
