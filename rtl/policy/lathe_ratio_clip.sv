// SPDX-License-Identifier: Apache-2.0
// The coefficient of a sample's policy gradient from the log importance ratios of two lanes, r (old to new policy) and rho
// (sampler to old policy): what a method does is in the registers alone (docs/numerics.md, section 8). One sample a cycle, fixed
// latency, no back-pressure. Does not multiply by the advantage and keeps no statistics. The configuration must hold still
// from the cycle before the first sample on.
//
//   x ── compare with bounds ── choose log-weights ── add ── exp ── coefficient
//   └── of the statistics' lane ───────────────────────────── exp ── ratio
module lathe_ratio_clip (
  input  logic                   clk_i,
  input  logic                   rst_ni,
  input  lathe_pkg::ratio_lane_t r_i,
  input  lathe_pkg::ratio_lane_t rho_i,
  input  logic                   dual_on_i,
  input  logic signed [15:0]     dual_i,
  input  logic                   stats_rho_i,
  input  logic                   valid_i,
  input  logic signed [16:0]     x_r_i,      // log ratios, LSB 2**-10
  input  logic signed [16:0]     x_rho_i,
  input  logic                   veto_i,
  input  logic                   r_sequence_i,    // the log ratio of lane r is its sequence's; holds still like the configuration
  input  logic                   rho_sequence_i,
  input  logic signed [15:0]     adv_i,      // advantage, only its sign matters
  output logic                   valid_o,
  output logic [20:0]            coef_o,     // LSB 2**-16
  output logic [20:0]            ratio_o,    // exp(x) of the statistics' lane, LSB 2**-16
  output logic                   high_o,     // lane r: x > hi
  output logic                   low_o,      // x < lo
  output logic                   rho_high_o,
  output logic                   rho_low_o,
  output logic                   masked_o,   // zeroed by an action zero
  output logic                   clipped_o,  // zeroed by an action sign or dual, or saturated
  output logic                   seq_masked_o,  // masked by a sequence's log ratio
  output logic                   vetoed_o
);
  import lathe_desc_pkg::*;

  // A lane's actions, decoded; of the bounds the lane's registers.
  typedef struct packed {
    logic weight;
    logic cap;         // above: saturate
    logic above_zero;
    logic above_sign;
    logic floor;       // below: saturate
    logic below_zero;
    logic below_sign;
  } decoded_t;

  function automatic decoded_t decode(logic weight, ratio_action_e above, ratio_action_e below);
    return '{weight: weight,
             cap: weight && above == RatioSaturate, above_zero: above == RatioZero, above_sign: above == RatioSign,
             floor: weight && below == RatioSaturate, below_zero: below == RatioZero, below_sign: below == RatioSign};
  endfunction

  decoded_t r_q, rho_q;
  logic     dual_on_q;

  // 1: compare.
  typedef struct packed {
    logic signed [16:0] x;
    logic               high;
    logic               low;
  } compared_t;

  compared_t          r1_q, rho1_q;
  logic               beyond1_q, gain1_q, cost1_q, veto1_q;  // above dual; advantage above, below 0
  logic signed [16:0] x1_q, x2_q, x3_q;             // of the statistics' lane

  // 2: choose. 3: add.
  typedef struct packed {
    logic high;
    logic low;
    logic rho_high;
    logic rho_low;
    logic masked;
    logic clipped;
    logic seq_masked;
    logic vetoed;
    logic zero;
  } flags_t;

  function automatic logic signed [16:0] log_weight(logic up, logic down, logic weight, logic signed [16:0] x,
                                                    logic signed [15:0] lo, logic signed [15:0] hi);
    if (up) return 17'(hi);
    if (down) return 17'(lo);
    return weight ? x : 17'sd0;
  endfunction

  logic [3:1]         valid_q;
  logic signed [16:0] r_weight_q, rho_weight_q;
  logic signed [17:0] weight_q;
  flags_t             flags, flags2_q, flags3_q, flags_late;
  logic               r_masked, rho_masked, by_sign, r_up, r_down, rho_up, rho_down;  // down, up: a bound takes the log ratio's place

  always_comb begin
    {flags.high, flags.low, flags.rho_high, flags.rho_low} = {r1_q.high, r1_q.low, rho1_q.high, rho1_q.low};
    r_masked = (r1_q.high && r_q.above_zero) || (r1_q.low && r_q.below_zero);
    rho_masked = (rho1_q.high && rho_q.above_zero) || (rho1_q.low && rho_q.below_zero);
    flags.masked = r_masked || rho_masked;
    flags.seq_masked = (r_masked && r_sequence_i) || (rho_masked && rho_sequence_i);
    flags.vetoed = veto1_q;
    by_sign = (gain1_q && ((r1_q.high && r_q.above_sign) || (rho1_q.high && rho_q.above_sign))) ||
              (cost1_q && ((r1_q.low && r_q.below_sign) || (rho1_q.low && rho_q.below_sign) || (beyond1_q && dual_on_q)));
    r_up = r1_q.high && r_q.cap;
    r_down = r1_q.low && r_q.floor;
    rho_up = rho1_q.high && rho_q.cap;
    rho_down = rho1_q.low && rho_q.floor;
    flags.clipped = by_sign || r_up || r_down || rho_up || rho_down;
    flags.zero = flags.masked || by_sign || veto1_q;
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) valid_q <= '0;
    else valid_q <= {valid_q[2:1], valid_i};
  end

  always_ff @(posedge clk_i) begin
    r_q <= decode(r_i.weight, r_i.above, r_i.below);
    rho_q <= decode(rho_i.weight, rho_i.above, rho_i.below);
    dual_on_q <= dual_on_i;
    if (valid_i) begin
      r1_q <= '{x: x_r_i, high: x_r_i > 17'(r_i.hi), low: x_r_i < 17'(r_i.lo)};
      rho1_q <= '{x: x_rho_i, high: x_rho_i > 17'(rho_i.hi), low: x_rho_i < 17'(rho_i.lo)};
      beyond1_q <= x_r_i > 17'(dual_i);
      gain1_q <= !adv_i[15] && adv_i != '0;
      cost1_q <= adv_i[15];
      veto1_q <= veto_i;
      x1_q <= stats_rho_i ? x_rho_i : x_r_i;
    end
    if (valid_q[1]) begin
      r_weight_q <= log_weight(r_up, r_down, r_q.weight, r1_q.x, r_i.lo, r_i.hi);
      rho_weight_q <= log_weight(rho_up, rho_down, rho_q.weight, rho1_q.x, rho_i.lo, rho_i.hi);
      flags2_q <= flags;
      x2_q <= x1_q;
    end
    if (valid_q[2]) begin
      weight_q <= 18'(r_weight_q) + 18'(rho_weight_q);
      flags3_q <= flags2_q;
      x3_q <= x2_q;
    end
  end

  logic        late_valid, unused_valid, unused_tag;
  logic [20:0] coef, ratio;

  lathe_exp_q #(
    .TagW($bits(flags_t))
  ) u_exp (
    .clk_i,
    .rst_ni,
    .valid_i(valid_q[3]),
    .x_i(26'(weight_q) <<< 6),
    .tag_i(flags3_q),
    .valid_o(late_valid),
    .y_o(coef),
    .tag_o(flags_late)
  );

  lathe_exp_q u_ratio (
    .clk_i,
    .rst_ni,
    .valid_i(valid_q[3]),
    .x_i(26'(x3_q) <<< 6),
    .tag_i(1'b0),
    .valid_o(unused_valid),
    .y_o(ratio),
    .tag_o(unused_tag)
  );

  always_ff @(posedge clk_i) begin
    if (!rst_ni) valid_o <= 1'b0;
    else valid_o <= late_valid;
  end

  always_ff @(posedge clk_i) begin
    if (late_valid) begin
      coef_o <= flags_late.zero ? 21'd0 : coef;
      ratio_o <= ratio;
      {high_o, low_o, rho_high_o, rho_low_o} <= {flags_late.high, flags_late.low, flags_late.rho_high, flags_late.rho_low};
      masked_o <= flags_late.masked;
      clipped_o <= flags_late.clipped;
      seq_masked_o <= flags_late.seq_masked;
      vetoed_o <= flags_late.vetoed;
    end
  end
endmodule
