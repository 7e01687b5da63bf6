// SPDX-License-Identifier: Apache-2.0
// Decides which requests go into the banks, which serve two accesses a cycle: side A reads of the ports 0 and 2, side B of
// 1 and 3; a write takes B, or A if port 1 reads in its bank, or port 3 but neither 0 nor 2. One write a bank: urgent ones first,
// then the port whose last grant is longest ago. Ports 0 and 1 go before writes, which go before ports 2 and 3; if both 0 and 1 read in a bank, an
// urgent write goes before one of them, in turn. Compares ports with each other, so it costs the same for any number of banks.
// Combinational from request to ready; stores nothing but the turns.
module lathe_bank_arb #(
  parameter int unsigned BankW = 3,
  parameter int unsigned WrPorts = 3
) (
  input  logic                          clk_i,
  input  logic                          rst_ni,
  input  logic [3:0]                    rd_req_i,
  input  logic [3:0][BankW-1:0]         rd_bank_i,
  output logic [3:0]                    rd_ready_o,   // does not depend on the port's own request
  input  logic [WrPorts-1:0]            wr_req_i,
  input  logic [WrPorts-1:0]            wr_urgent_i,
  input  logic [WrPorts-1:0][BankW-1:0] wr_bank_i,
  output logic [WrPorts-1:0]            wr_ready_o,   // does not depend on the port's own request
  output logic [WrPorts-1:0]            wr_side_a_o   // the write takes side A
);
  logic [WrPorts-1:0][3:0] meets;  // [w][r]: write w and the read of port r ask for the same bank
  logic [WrPorts-1:0][WrPorts-1:0] after;  // [w][v]: write w comes after v, if their banks are the same
  logic [WrPorts-1:0] granted;
  logic yield_q;     // the read that gives way to an urgent write: of port 0 or 1
  logic [1:0] gives_way;

  always_comb begin
    for (int unsigned w = 0; w < WrPorts; w++) begin
      for (int unsigned r = 0; r < 4; r++) meets[w][r] = rd_req_i[r] && rd_bank_i[r] == wr_bank_i[w];
      wr_side_a_o[w] = meets[w][1] ? !(meets[w][0] && yield_q) : meets[w][3] && !meets[w][0] && !meets[w][2];
    end
    for (int unsigned w = 0; w < WrPorts; w++) begin
      wr_ready_o[w] = wr_urgent_i[w] || !meets[w][0] || !meets[w][1];
      for (int unsigned v = 0; v < WrPorts; v++) begin
        if (wr_req_i[v] && wr_bank_i[v] == wr_bank_i[w] && after[w][v]) wr_ready_o[w] = 1'b0;
      end
    end
  end

  assign granted = wr_req_i & wr_ready_o;

  for (genvar w = 0; w < WrPorts; w++) begin : gen_order
    assign after[w][w] = 1'b0;
    for (genvar v = w + 1; v < WrPorts; v++) begin : gen_pair
      logic older_q;  // the last grant of v is longer ago than that of w

      assign after[w][v] = wr_urgent_i[w] != wr_urgent_i[v] ? wr_urgent_i[v] : older_q;
      assign after[v][w] = !after[w][v];
      always_ff @(posedge clk_i) begin
        if (!rst_ni) older_q <= 1'b0;
        else if (granted[w] != granted[v]) older_q <= granted[w];
      end
    end
  end

  // Of several writes in one bank each blocks what the others would: they meet the same reads.
  always_comb begin
    gives_way = '0;
    rd_ready_o[2] = !(rd_req_i[0] && rd_bank_i[0] == rd_bank_i[2]);
    rd_ready_o[3] = !(rd_req_i[1] && rd_bank_i[1] == rd_bank_i[3]);
    for (int unsigned w = 0; w < WrPorts; w++) begin
      if (wr_req_i[w]) begin
        if (wr_urgent_i[w] && meets[w][1] && rd_bank_i[0] == wr_bank_i[w]) gives_way[0] = !yield_q;
        if (wr_urgent_i[w] && meets[w][0] && rd_bank_i[1] == wr_bank_i[w]) gives_way[1] = yield_q;
        if (rd_bank_i[2] == wr_bank_i[w] && meets[w][1]) rd_ready_o[2] = 1'b0;
        if (rd_bank_i[3] == wr_bank_i[w] && (meets[w][0] || meets[w][2])) rd_ready_o[3] = 1'b0;
      end
    end
    rd_ready_o[1:0] = ~gives_way;
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) yield_q <= 1'b1;
    else if ((gives_way & rd_req_i[1:0]) != '0) yield_q <= !yield_q;
  end
endmodule
