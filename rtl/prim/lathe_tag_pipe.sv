// SPDX-License-Identifier: Apache-2.0
// The valid bit of every stage of a pipeline of fixed latency, and a tag that rides through it. No back-pressure; a tag's
// registers move only with a valid value.
module lathe_tag_pipe #(
  parameter int unsigned Latency = 2,  // at least 2
  parameter int unsigned TagW = 1
) (
  input  logic               clk_i,
  input  logic               rst_ni,
  input  logic               valid_i,
  input  logic [TagW-1:0]    tag_i,
  output logic [Latency-1:0] valid_o,  // of each stage, out of registers; the last is that of tag_o
  output logic [TagW-1:0]    tag_o     // out of a register
);
  if (Latency < 2) begin : g_check
    $fatal(1, "lathe_tag_pipe: Latency must be at least 2");
  end

  logic [Latency-1:0] valid_q;
  logic [TagW-1:0]    tag_q [Latency];

  always_ff @(posedge clk_i) begin
    if (!rst_ni) valid_q <= '0;
    else valid_q <= {valid_q[Latency-2:0], valid_i};
  end

  always_ff @(posedge clk_i) begin
    if (valid_i) tag_q[0] <= tag_i;
    for (int unsigned i = 1; i < Latency; i++) begin
      if (valid_q[i-1]) tag_q[i] <= tag_q[i-1];
    end
  end

  assign valid_o = valid_q;
  assign tag_o = tag_q[Latency-1];
endmodule
