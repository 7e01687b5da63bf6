// SPDX-License-Identifier: Apache-2.0
// Round-robin arbiter: grants one of the requests, the first at or after the one that follows the last granted. A request
// waits for at most Num - 1 grants of others. Combinational from request to grant; carries no data and locks nothing.
module lathe_rr_arb #(
  parameter int unsigned Num = 4
) (
  input  logic           clk_i,
  input  logic           rst_ni,
  input  logic [Num-1:0] req_i,
  input  logic           advance_i,  // the grant is used in this cycle
  output logic [Num-1:0] grant_o     // one-hot, or 0 without requests
);
  if (Num < 1) begin : g_check
    $fatal(1, "lathe_rr_arb: Num must be at least 1");
  end

  logic [Num-1:0] mask_q;  // requests after the last granted
  logic [Num-1:0] mine;    // the requests that compete: those under the mask, or all if there are none
  logic [Num-1:0] upward;  // ones from the lowest competing request up

  assign mine = req_i & (mask_q | {Num{(req_i & mask_q) == '0}});

  always_comb begin
    upward = mine;
    for (int unsigned i = 1; i < Num; i *= 2) upward |= upward << i;
  end

  assign grant_o = mine & ~(upward << 1);

  always_ff @(posedge clk_i) begin
    if (!rst_ni) mask_q <= '0;
    else if (advance_i && req_i != '0) mask_q <= upward << 1;
  end

`ifndef SYNTHESIS
  always_ff @(posedge clk_i) begin
    if (rst_ni) begin
      assert ((grant_o & ~req_i) == '0 && (grant_o & (grant_o - 1'b1)) == '0 && (grant_o != '0) == (req_i != '0))
        else $error("grant is not one of the requests");
    end
  end
`endif
endmodule
