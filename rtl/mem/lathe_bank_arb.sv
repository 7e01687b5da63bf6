// SPDX-License-Identifier: Apache-2.0
// Lets at most one request into each bank: ports 0 .. First-1 go before the others; within either group the port that
// was granted longest ago goes first. Compares ports with each other and so costs the same for any number of banks.
// Combinational from request to ready; a port of the second group gets every slot that the first leaves, and no other.
module lathe_bank_arb #(
  parameter int unsigned Num = 4,
  parameter int unsigned First = 2,
  parameter int unsigned BankW = 3
) (
  input  logic                      clk_i,
  input  logic                      rst_ni,
  input  logic [Num-1:0]            req_i,
  input  logic [Num-1:0][BankW-1:0] bank_i,
  output logic [Num-1:0]            ready_o   // nobody goes before this port; does not depend on its own req_i
);
  if (Num < 1 || First > Num) begin : g_check
    $fatal(1, "lathe_bank_arb: Num must be at least 1 and First at most Num");
  end

  localparam logic [Num-1:0] Group = Num'((64'd1 << First) - 64'd1);  // the ports of the first group

  logic [Num-1:0] granted;
  logic [Num-1:0] later_q [Num];  // [i][j], i < j, both of one group: j goes before i

  always_comb begin
    ready_o = '1;
    for (int unsigned j = 1; j < Num; j++) begin
      for (int unsigned i = 0; i < j; i++) begin
        if (bank_i[i] == bank_i[j]) begin
          if (Group[i] == Group[j] && later_q[i][j]) begin
            if (req_i[j]) ready_o[i] = 1'b0;
          end else begin
            if (req_i[i]) ready_o[j] = 1'b0;
          end
        end
      end
    end
  end

  assign granted = req_i & ready_o;

  always_ff @(posedge clk_i) begin
    for (int unsigned j = 0; j < Num; j++) begin
      for (int unsigned i = 0; i < Num; i++) begin
        if (!rst_ni || i >= j || Group[i] != Group[j]) later_q[i][j] <= 1'b0;
        else if (granted[i] != granted[j]) later_q[i][j] <= granted[i];
      end
    end
  end

`ifndef SYNTHESIS
  always_ff @(posedge clk_i) begin
    for (int unsigned j = 1; j < Num; j++) begin
      for (int unsigned i = 0; i < j; i++) begin
        if (rst_ni && req_i[i] && req_i[j] && bank_i[i] == bank_i[j]) begin
          assert (!(ready_o[i] && ready_o[j])) else $error("two grants in bank %0d", bank_i[i]);
        end
      end
    end
  end
`endif
endmodule
