// SPDX-License-Identifier: Apache-2.0
// Sixteen counting semaphores, 0 to 255. Does not decide who may take: take only what is positive.
// A post beyond 255 leaves the count and raises overflow_o in the same cycle.
module lathe_semaphores #(
  parameter int unsigned Num = lathe_ctrl_pkg::NumSemaphores
) (
  input  logic           clk_i,
  input  logic           rst_ni,
  input  logic           clear_i,

  input  logic           take_i,
  input  logic [Num-1:0] take_mask_i,
  input  logic           post_i,
  input  logic [Num-1:0] post_mask_i,

  output logic [Num-1:0] positive_o,
  output logic           overflow_o
);
  logic [Num-1:0][7:0] count_q;
  logic [Num-1:0]      take, post, positive_q, full_q;

  assign take = take_i ? take_mask_i : '0;
  assign post = post_i ? post_mask_i : '0;
  assign overflow_o = post_i && (take_i ? |(post_mask_i & full_q & ~take_mask_i) : |(post_mask_i & full_q));
  assign positive_o = positive_q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni || clear_i) begin
      count_q <= '0;
      positive_q <= '0;
      full_q <= '0;
    end else if (take_i || post_i) begin
      for (int unsigned i = 0; i < Num; i++) begin
        if (take[i] != post[i] && !(post[i] && full_q[i])) begin
          count_q[i] <= count_q[i] + {{7{take[i]}}, 1'b1};
          positive_q[i] <= post[i] || count_q[i] != 8'd1;
          full_q[i] <= post[i] && count_q[i] == 8'hfe;
        end
      end
    end
  end

`ifndef SYNTHESIS
  always_ff @(posedge clk_i) begin
    if (rst_ni) assert ((take & ~positive_o) == '0) else $error("a semaphore at zero was taken");
  end
`endif
endmodule
