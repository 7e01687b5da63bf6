// SPDX-License-Identifier: Apache-2.0
// The coefficient of a sample's policy gradient from its log importance ratio: the place where a
// method (none, ratio, truncate, ppo, ...) is chosen. One sample a cycle, fixed latency, no
// back-pressure. Does not multiply by the advantage and keeps no statistics. Mode and bounds must
// hold still from start_i on, which makes the ratio at the upper bound; modes without a name act as ratio.
module lathe_ratio_clip (
  input  logic                        clk_i,
  input  logic                        rst_ni,
  input  lathe_desc_pkg::ratio_mode_e mode_i,
  input  logic signed [15:0]          lo_i,       // log bounds, LSB 2**-10, inclusive
  input  logic signed [15:0]          hi_i,
  input  logic                        start_i,    // pulse before the first sample
  input  logic                        valid_i,
  input  logic signed [16:0]          x_i,        // log ratio, LSB 2**-10
  input  logic signed [15:0]          adv_i,      // advantage, only its sign matters
  output logic                        valid_o,
  output logic [20:0]                 coef_o,     // LSB 2**-16
  output logic [20:0]                 ratio_o,    // exp(x), LSB 2**-16
  output logic                        high_o,     // x > hi
  output logic                        low_o,      // x < lo
  output logic                        clipped_o   // zeroed (ppo) or capped (truncate)
);
  import lathe_desc_pkg::*;

  localparam logic [20:0] One = 21'd65536;

  typedef struct packed {
    logic bound;   // no sample, but the upper bound
    logic high;
    logic low;
    logic gain;    // advantage above 0
    logic cost;    // below 0
  } flags_t;

  flags_t             flags, flags_q, flags_late;
  logic signed [16:0] x_q;
  logic [20:0]        ratio, bound_q;  // exp of the upper bound
  logic               valid_q, late_valid, zeroed;  // zeroed: ppo's clipped surrogate has no gradient here
  logic               none_q, truncate_q, ppo_q;    // the mode, decoded

  always_comb begin
    flags.bound = start_i;
    flags.high = x_i > 17'(hi_i);
    flags.low = x_i < 17'(lo_i);
    flags.gain = adv_i > 16'sd0;
    flags.cost = adv_i < 16'sd0;
    zeroed = (flags_late.high && flags_late.gain) || (flags_late.low && flags_late.cost);
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) valid_q <= 1'b0;
    else valid_q <= valid_i || start_i;
  end

  always_ff @(posedge clk_i) begin
    if (valid_i || start_i) begin
      x_q <= start_i ? 17'(hi_i) : x_i;
      flags_q <= flags;
    end
  end

  lathe_exp_q #(
    .TagW($bits(flags_t))
  ) u_exp (
    .clk_i,
    .rst_ni,
    .valid_i(valid_q),
    .x_i(26'(x_q) <<< 6),
    .tag_i(flags_q),
    .valid_o(late_valid),
    .y_o(ratio),
    .tag_o(flags_late)
  );

  always_ff @(posedge clk_i) begin
    if (!rst_ni) valid_o <= 1'b0;
    else valid_o <= late_valid && !flags_late.bound;
  end

  always_ff @(posedge clk_i) begin
    if (late_valid && flags_late.bound) bound_q <= ratio;
    if (late_valid) begin
      ratio_o <= ratio;
      high_o <= flags_late.high;
      low_o <= flags_late.low;
      clipped_o <= 1'b0;
      coef_o <= ratio;
      if (none_q) coef_o <= One;
      if (truncate_q && flags_late.high) {clipped_o, coef_o} <= {1'b1, bound_q};
      if (ppo_q && zeroed) {clipped_o, coef_o} <= {1'b1, 21'd0};
    end
    none_q <= mode_i == RatioNone;
    truncate_q <= mode_i == RatioTruncate;
    ppo_q <= mode_i == RatioPpo;
  end
endmodule
