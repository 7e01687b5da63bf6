// SPDX-License-Identifier: Apache-2.0
// Reports the faults that the scratchpad's read ports find, one a cycle. A port keeps one that waits for others; of two
// in a port at a time the later one goes unreported, but an uncorrectable one takes the place of another.
module lathe_fault_collect
  import lathe_pkg::*;
#(
  parameter int unsigned Ports = 4
) (
  input  logic             clk_i,
  input  logic             rst_ni,
  input  logic [Ports-1:0] valid_i,
  input  fault_t           fault_i [Ports],
  output logic             valid_o,
  output fault_t           fault_o
);
  logic [Ports-1:0] pending_q, take, severe;
  fault_t fault_q [Ports];

  // An uncorrectable one first, else the lowest port.
  always_comb begin
    for (int unsigned p = 0; p < Ports; p++) severe[p] = pending_q[p] && fault_q[p].uncorrectable;
    take = severe != '0 ? severe : pending_q;
    take &= ~take + 1'b1;
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      pending_q <= '0;
      valid_o <= 1'b0;
    end else begin
      pending_q <= valid_i | (pending_q & ~take);
      valid_o <= pending_q != '0;
    end
  end

  always_ff @(posedge clk_i) begin
    for (int unsigned p = 0; p < Ports; p++) begin
      if (valid_i[p] && (!pending_q[p] || take[p] || (fault_i[p].uncorrectable && !fault_q[p].uncorrectable))) fault_q[p] <= fault_i[p];
      if (take[p]) fault_o <= fault_q[p];
    end
  end
endmodule
