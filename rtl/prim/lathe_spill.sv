// SPDX-License-Identifier: Apache-2.0
// Spill register (skid buffer) for one stream: cuts valid, data and ready, passes one word a cycle. Two words deep; holds
// no level and reorders nothing.
module lathe_spill #(
  parameter int unsigned Width = 32
) (
  input  logic             clk_i,
  input  logic             rst_ni,
  input  logic             in_valid_i,
  output logic             in_ready_o,   // out of a register
  input  logic [Width-1:0] in_data_i,
  output logic             out_valid_o,  // out of a register
  input  logic             out_ready_i,
  output logic [Width-1:0] out_data_o    // out of a register
);
  if (Width < 1) begin : g_check
    $fatal(1, "lathe_spill: Width must be at least 1");
  end

  // `out` faces the reader. `skid` catches the one word that arrives while `out` is full and stalled.
  logic             out_valid_q, skid_valid_q;
  logic [Width-1:0] out_q, skid_q;
  logic             move;  // `out` is free after this edge

  assign in_ready_o  = !skid_valid_q;
  assign out_valid_o = out_valid_q;
  assign out_data_o  = out_q;
  assign move        = !out_valid_q || out_ready_i;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      out_valid_q  <= 1'b0;
      skid_valid_q <= 1'b0;
    end else if (move) begin
      out_valid_q  <= skid_valid_q || in_valid_i;
      skid_valid_q <= 1'b0;
    end else if (in_valid_i) begin
      skid_valid_q <= 1'b1;
    end
  end

  always_ff @(posedge clk_i) begin
    if (move) out_q <= skid_valid_q ? skid_q : in_data_i;
    if (in_ready_o) skid_q <= in_data_i;  // it counts only if `out` does not move
  end

`ifndef SYNTHESIS
  logic             stalled_q;
  logic [Width-1:0] held_q;
  always_ff @(posedge clk_i) begin
    stalled_q <= rst_ni && out_valid_o && !out_ready_i;
    held_q    <= out_data_o;
    if (rst_ni && stalled_q) begin
      assert (out_valid_o && out_data_o == held_q) else $error("output changed while it waited");
    end
  end
`endif
endmodule
