// SPDX-License-Identifier: Apache-2.0
// Sums over the samples of LOSS operations (docs/numerics.md, section 8). Sums wrap at 48 bits;
// clearing wins over a sample of the same cycle. The sum of k3 follows from three others: sum_ratio - count - sum_x.
module lathe_policy_stats (
  input  logic                       clk_i,
  input  logic                       rst_ni,
  input  logic                       clear_i,
  input  logic                       valid_i,
  input  lathe_policy_pkg::sample_t  sample_i,
  output lathe_pkg::policy_stats_t   stats_o
);
  lathe_pkg::policy_stats_t  stats_q, stats_d;
  lathe_policy_pkg::sample_t sample_q;
  logic                      valid_q;

  always_comb begin
    stats_d = stats_q;
    stats_d.count = stats_q.count + 32'd1;
    stats_d.high = stats_q.high + 32'(sample_q.high);
    stats_d.low = stats_q.low + 32'(sample_q.low);
    stats_d.rho_high = stats_q.rho_high + 32'(sample_q.rho_high);
    stats_d.rho_low = stats_q.rho_low + 32'(sample_q.rho_low);
    stats_d.masked = stats_q.masked + 32'(sample_q.masked);
    stats_d.clipped = stats_q.clipped + 32'(sample_q.clipped);
    stats_d.seq_masked = stats_q.seq_masked + 32'(sample_q.seq_masked);
    stats_d.vetoed = stats_q.vetoed + 32'(sample_q.vetoed);
    stats_d.sum_x = stats_q.sum_x + 48'(sample_q.x);
    stats_d.sum_ratio = stats_q.sum_ratio + signed'(48'(sample_q.ratio));
    stats_d.sum_ratio2 = stats_q.sum_ratio2 + signed'(48'(sample_q.ratio2));
    {stats_d.sum_x2, stats_d.sum_k3} = '0;
    stats_d.sum_entropy = stats_q.sum_entropy + 48'(sample_q.entropy);
    stats_d.sum_verr2 = stats_q.sum_verr2 + signed'(48'(sample_q.verr2));
    if (sample_q.x > stats_q.max_x) stats_d.max_x = sample_q.x;
    if (sample_q.x < stats_q.min_x) stats_d.min_x = sample_q.x;
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni || clear_i) begin
      stats_q <= '0;
      stats_q.max_x <= -17'sd65536;
      stats_q.min_x <= 17'sd65535;
      valid_q <= 1'b0;
    end else begin
      valid_q <= valid_i;
      if (valid_q) stats_q <= stats_d;
    end
  end

  always_ff @(posedge clk_i) begin
    if (valid_i) sample_q <= sample_i;
  end

  // 32 bits of the count are 48 bits of its sum at LSB 2**-16; two cycles late.
  logic [47:0]        whole_q;  // count + sum_x
  logic signed [47:0] sum_ratio_q, sum_k3_q;
  always_ff @(posedge clk_i) begin
    if (!rst_ni || clear_i) begin
      whole_q <= '0;
      sum_ratio_q <= '0;
      sum_k3_q <= '0;
    end else begin
      whole_q <= {stats_q.count, 16'd0} + {stats_q.sum_x[41:0], 6'd0};
      sum_ratio_q <= stats_q.sum_ratio;
      sum_k3_q <= sum_ratio_q - signed'(whole_q);
    end
  end

  // The square of the log ratio has a cycle of its own.
  logic signed [33:0] x2_q;
  logic signed [47:0] sum_x2_q;
  logic               x2_valid_q;
  always_ff @(posedge clk_i) begin
    if (!rst_ni || clear_i) begin
      sum_x2_q <= '0;
      x2_valid_q <= 1'b0;
    end else begin
      x2_valid_q <= valid_q;
      if (x2_valid_q) sum_x2_q <= sum_x2_q + 48'(x2_q);
    end
    x2_q <= 34'(sample_q.x) * 34'(sample_q.x);
  end

  always_comb begin
    stats_o = stats_q;
    stats_o.sum_x2 = sum_x2_q;
    stats_o.sum_k3 = sum_k3_q;
  end
endmodule
