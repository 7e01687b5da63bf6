// SPDX-License-Identifier: Apache-2.0
// What is computed once per sample: for LOSS the entropy, importance ratio, coefficient times advantage
// and statistics (EVALUATE, MEASURE: the same, of which they need little), for SAMPLE the random threshold. Leaves a context for each sample, in order. Does
// not touch single elements of the result.
//
// LOSS:   early elements ── p * lp summed, lp[action], value ── ratio_clip ── three products ── context
// SAMPLE: sum of exponentials ── * random number ── context
module lathe_policy_score
  import lathe_policy_pkg::*;
  import lathe_desc_pkg::*;
(
  input  logic                   clk_i,
  input  logic                   rst_ni,
  input  logic                   start_i,
  input  logic                   loss_i,         // or another operation that reads records
  input  lathe_pkg::policy_cfg_t cfg_i,
  input  logic [23:0]            random_i,       // SAMPLE: of a row, 6 cycles after its sum

  input  logic                   sum_valid_i,
  input  logic [21:0]            sum_i,
  input  logic                   scan_i,         // SCAN takes a record for its ratio
  output logic [20:0]            ratio_o,        // of the record taken 15 cycles ago

  input  logic                   early_valid_i,
  input  elem_t                  early_i,
  input  record_t                rec_i,          // of the row that is now coming in
  output logic                   rec_pop_o,      // SAMPLE: of no meaning
  input  logic                   sequences_i,    // LOSS with log ratios of sequences
  input  sequence_t              sequence_i,     // of the row that is now coming in
  output logic                   sequence_pop_o,

  output logic                   token_valid_o,  // to the aggregates of MEASURE
  output logic signed [16:0]     x_r_o,
  output logic signed [16:0]     x_rho_o,
  output logic                   ends_o,

  output logic                   ctx_valid_o,
  input  logic                   ctx_pop_i,
  output context_t               ctx_o,
  output logic                   sample_valid_o,  // to the statistics
  output sample_t                sample_o
);
  // LOSS, while a row enters: select and sum.
  typedef struct packed {
    logic signed [16:0] x;           // of the statistics' lane
    logic signed [15:0] adv;
    logic signed [24:0] verr;
    logic [ColW-1:0]    action;
    logic               ends;
  } scored_t;

  // What of a sample does not depend on its log-ratios.
  typedef struct packed {
    logic signed [15:0] adv;
    logic signed [24:0] verr;
    logic [ColW-1:0]    action;
    logic               ends;
  } passed_t;

  logic               end_q, scored_valid_q, fire, row_end;
  scored_t            scored;
  passed_t            passed1_q, passed_q;
  logic signed [15:0] r_above_q, r_below_q, rho_above_q, rho_below_q;  // log-probabilities: numerators, denominators
  logic               r_sequence_q, rho_sequence_q;  // the lane takes its log-ratio from the sequence
  logic signed [16:0] x_r_q, x_rho_q;
  logic               veto_q;
  logic [ColW-1:0]    col_q;
  logic               hit_q;          // the element before is the action's
  logic signed [15:0] code_q, logp, logp_q;  // of the element before; of the action
  logic [2:0]         term_valid_q, term_last_q;
  logic signed [43:0] term_product;
  logic signed [21:0] term, entropy_q;

  assign fire = early_valid_i && loss_i;
  assign row_end = fire && early_i.last;
  assign rec_pop_o = early_valid_i && early_i.last;
  assign logp = hit_q ? code_q : logp_q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      end_q <= 1'b0;
      scored_valid_q <= 1'b0;
      term_valid_q <= '0;
    end else begin
      end_q <= row_end || scan_i;
      scored_valid_q <= end_q;
      term_valid_q <= {term_valid_q[1:0], fire};
    end
  end

  always_ff @(posedge clk_i) begin
    if (start_i) col_q <= '0;
    else if (fire) col_q <= early_i.last ? '0 : col_q + 1'b1;
    if (fire) begin
      hit_q <= col_q == rec_i.action;
      code_q <= log_code(early_i.lp);
    end
    logp_q <= logp;
    if (rec_pop_o || scan_i) begin
      r_above_q <= cfg_i.r.source == SourceOldMu ? rec_i.old : logp;
      r_below_q <= cfg_i.r.source inside {SourceOwn, SourceNewOld} ? rec_i.old : rec_i.mu;
      rho_above_q <= cfg_i.rho.source inside {SourceOwn, SourceOldMu} ? rec_i.old : logp;
      rho_below_q <= cfg_i.rho.source == SourceNewOld ? rec_i.old : rec_i.mu;
      passed1_q <= '{adv: rec_i.adv, verr: 25'(early_i.lp) - (25'(rec_i.ret) <<< 6), action: rec_i.action, ends: rec_i.ends};
    end
    r_sequence_q <= sequences_i && cfg_i.r.aggregate != AggregateToken;
    rho_sequence_q <= sequences_i && cfg_i.rho.aggregate != AggregateToken;
    if (end_q) begin
      x_r_q <= r_sequence_q ? 17'(sequence_i.x_r) : 17'(r_above_q) - 17'(r_below_q);
      x_rho_q <= rho_sequence_q ? 17'(sequence_i.x_rho) : 17'(rho_above_q) - 17'(rho_below_q);
      veto_q <= sequences_i && sequence_i.veto;
      passed_q <= passed1_q;
    end
  end
  assign sequence_pop_o = end_q && passed1_q.ends && sequences_i;
  assign scored = {cfg_i.stats_rho ? x_rho_q : x_r_q, passed_q};
  assign {token_valid_o, x_r_o, x_rho_o, ends_o} = {scored_valid_q, x_r_q, x_rho_q, passed_q.ends};

  lathe_policy_mul #(
    .WidthA(26),
    .WidthB(18)
  ) u_term (
    .clk_i,
    .rst_ni,
    .valid_i(fire),
    .a_i(early_i.lp),
    .b_i({1'b0, early_i.p}),
    .p_o(term_product)
  );
  assign term = 22'((term_product + 44'sd32768) >>> 16);

  always_ff @(posedge clk_i) begin
    term_last_q <= {term_last_q[1:0], early_i.last};
    if (start_i) entropy_q <= '0;
    else if (term_valid_q[2]) entropy_q <= term_last_q[2] ? '0 : entropy_q - term;
  end

  // LOSS, per row: ratio and coefficient. The ratio comes last, so all three are there when it is.
  typedef struct packed {
    logic               high;
    logic               low;
    logic               rho_high;
    logic               rho_low;
    logic               masked;
    logic               clipped;
    logic               seq_masked;
    logic               vetoed;
    logic [20:0]        coef;
    logic [20:0]        ratio;
  } clip_t;

  clip_t              clip, clip_head;
  scored_t            scored_head;
  logic signed [21:0] entropy_head;
  logic               clip_valid, head_valid, head_pop, unused_scored, unused_entropy;

  lathe_ratio_clip u_ratio_clip (
    .clk_i,
    .rst_ni,
    .r_i(cfg_i.r),
    .rho_i(cfg_i.rho),
    .dual_on_i(cfg_i.dual_on),
    .dual_i(cfg_i.dual),
    .stats_rho_i(cfg_i.stats_rho),
    .valid_i(scored_valid_q),
    .x_r_i(x_r_q),
    .x_rho_i(x_rho_q),
    .veto_i(veto_q),
    .r_sequence_i(r_sequence_q),
    .rho_sequence_i(rho_sequence_q),
    .adv_i(passed_q.adv),
    .valid_o(clip_valid),
    .coef_o(clip.coef),
    .ratio_o(clip.ratio),
    .high_o(clip.high),
    .low_o(clip.low),
    .rho_high_o(clip.rho_high),
    .rho_low_o(clip.rho_low),
    .masked_o(clip.masked),
    .clipped_o(clip.clipped),
    .seq_masked_o(clip.seq_masked),
    .vetoed_o(clip.vetoed)
  );

  lathe_policy_side #(
    .Width($bits(scored_t))
  ) u_scored (
    .clk_i,
    .rst_ni,
    .push_i(scored_valid_q && loss_i),
    .push_data_i(scored),
    .valid_o(unused_scored),
    .pop_i(head_pop),
    .data_o(scored_head)
  );

  lathe_policy_side #(
    .Width(22)
  ) u_entropy (
    .clk_i,
    .rst_ni,
    .push_i(term_valid_q[2] && term_last_q[2]),
    .push_data_i(entropy_q),
    .valid_o(unused_entropy),
    .pop_i(head_pop),
    .data_o(entropy_head)
  );

  lathe_policy_side #(
    .Width($bits(clip_t))
  ) u_clip (
    .clk_i,
    .rst_ni,
    .push_i(clip_valid && loss_i),
    .push_data_i(clip),
    .valid_o(head_valid),
    .pop_i(head_pop),
    .data_o(clip_head)
  );

  assign ratio_o = clip.ratio;

  // SAMPLE, per row: the sum waits for its random number.
  logic [5:0]  draw_q;
  logic [21:0] draw_sum_q [6];

  always_ff @(posedge clk_i) begin
    if (!rst_ni) draw_q <= '0;
    else draw_q <= {draw_q[4:0], sum_valid_i && !loss_i};
    draw_sum_q[0] <= sum_i;
    for (int unsigned s = 1; s < 6; s++) draw_sum_q[s] <= draw_sum_q[s-1];
  end

  // One multiplier for all that is needed once per row: coefficient * advantage, ratio**2, error**2 or
  // random number * sum.
  typedef struct packed {
    clip_t              clip;
    scored_t            scored;
    logic signed [21:0] entropy;
  } row_t;

  row_t               row_cur_q, row_mid_q, row_late_q;
  logic               busy_q, open_q;  // open: a row may come, idle or with the last phase
  logic [1:0]         phase_q;
  logic [3:0]         op_valid_q;
  logic [1:0]         op_phase_q [4];
  logic signed [24:0] op_a, op_b, op_a_q, op_b_q;
  logic signed [49:0] op_p;
  logic               op_valid;
  logic [25:0]        ratio2_q;

  assign head_pop = head_valid && open_q;
  assign op_valid = busy_q || draw_q[5];

  always_comb begin
    unique case (phase_q)
      2'd0: begin
        op_a = 25'(row_cur_q.scored.adv);
        op_b = {4'b0, row_cur_q.clip.coef};
      end
      2'd1: begin
        op_a = {4'b0, row_cur_q.clip.ratio};
        op_b = {4'b0, row_cur_q.clip.ratio};
      end
      default: begin
        op_a = row_cur_q.scored.verr;
        op_b = row_cur_q.scored.verr;
      end
    endcase
    if (!loss_i) begin
      op_a = {1'b0, random_i};
      op_b = {3'b0, draw_sum_q[5]};
    end
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      busy_q <= 1'b0;
      open_q <= 1'b1;
      phase_q <= '0;
      op_valid_q <= '0;
      sample_valid_o <= 1'b0;
    end else begin
      if (head_pop) begin
        busy_q <= 1'b1;
        phase_q <= '0;
      end else if (busy_q) begin
        busy_q <= !open_q;
        phase_q <= open_q ? '0 : phase_q + 2'd1;
      end
      open_q <= !head_pop && (!busy_q || phase_q != '0);
      op_valid_q <= {op_valid_q[2:0], op_valid};
      sample_valid_o <= op_valid_q[3] && op_phase_q[3] == 2'd2;
    end
  end

  lathe_policy_mul #(
    .WidthA(25),
    .WidthB(25)
  ) u_row (
    .clk_i,
    .rst_ni,
    .valid_i(op_valid_q[0]),
    .a_i(op_a_q),
    .b_i(op_b_q),
    .p_o(op_p)
  );

  // A row's products come out while row_late_q holds it: 4, 5 and 6 cycles after phase 0.
  always_ff @(posedge clk_i) begin
    op_phase_q[0] <= phase_q;
    for (int unsigned s = 1; s < 4; s++) op_phase_q[s] <= op_phase_q[s-1];
    if (op_valid) begin
      op_a_q <= op_a;
      op_b_q <= op_b;
    end
    if (open_q) row_cur_q <= {clip_head, scored_head, entropy_head};
    if (busy_q && open_q) row_mid_q <= row_cur_q;
    if (op_valid_q[0] && op_phase_q[0] == 2'd2) row_late_q <= row_mid_q;
    if (op_valid_q[3]) begin
      if (op_phase_q[3] == 2'd1) ratio2_q <= op_p[41:16];
      if (op_phase_q[3] == 2'd2) begin
        sample_o <= {row_late_q.clip.high, row_late_q.clip.low, row_late_q.clip.rho_high, row_late_q.clip.rho_low,
                     row_late_q.clip.masked, row_late_q.clip.clipped, row_late_q.clip.seq_masked, row_late_q.clip.vetoed,
                     row_late_q.scored.x,
                     row_late_q.clip.ratio, ratio2_q, row_late_q.entropy, op_p[49:16]};
      end
    end
  end

  context_t ctx;
  always_comb begin
    ctx.coef = loss_i ? 26'((op_p + 50'sd1024) >>> 11) : 26'(op_p >>> 24);
    ctx.entropy = row_late_q.entropy;
    ctx.verr = row_late_q.scored.verr;
    ctx.action = row_late_q.scored.action;
    ctx.ends = row_late_q.scored.ends;
  end

  lathe_policy_side #(
    .Width($bits(context_t))
  ) u_context (
    .clk_i,
    .rst_ni,
    .push_i(op_valid_q[3] && op_phase_q[3] == 2'd0),
    .push_data_i(ctx),
    .valid_o(ctx_valid_o),
    .pop_i(ctx_pop_i),
    .data_o(ctx_o)
  );
endmodule
