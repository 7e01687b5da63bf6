// SPDX-License-Identifier: Apache-2.0
// What is constant while words run through lathe_update_step: how its terms are aligned, its factors, the constants of adam
// and the keys of the row that its elements are numbered in. One decoder serves the four terms in turn; 8 cycles after begin_i
// words may start: what comes late is what they need last.
module lathe_update_setup
  import lathe_update_pkg::*;
(
  input  logic                   clk_i,
  input  logic                   rst_ni,
  input  logic                   begin_i,
  input  logic                   sgd_i,
  input  logic                   adam_i,
  input  logic                   half_i,
  input  logic signed [lathe_pkg::NumOperands:0][lathe_pkg::ExpW-1:0] exp_i,  // by operand: w, g, w', m, m', w8
  input  lathe_pkg::update_cfg_t cfg_i,         // clip_log: 0 if the command has no clip
  input  logic [15:0]            k_i,           // k * 2**n, the gradient's factor
  input  logic                   halved_i,      // but k is halved
  input  logic signed [5:0]      n_i,
  input  logic [31:0]            key_i,
  input  logic [15:0]            row_i,
  output logic                   ready_o,       // from the next cycle on
  // momentum * m; g, at half rate k * g; w; lr * m', in adam the decay of w
  output align_cfg_t             align_o [4],
  output logic [16:0]            factor_o [4],  // shifted to the left by their pre[0]
  output log_cfg_t               log_o,
  output int8_cfg_t              int8_o,
  output logic [31:0]            row_key_o [3]  // of m', of w', of l'
);
  localparam logic [3:0] Last = 4'd8;
  localparam logic [1:0] TermM = 2'd0, TermG = 2'd1, TermW0 = 2'd2, TermLr = 2'd3;

  logic [3:0]  step_q;
  logic [1:0]  pair_q, term_q, amount_q, decoded_q;  // of x and y, of the difference, of the amount, of what is below it
  logic [5:0]  up_q;
  logic [4:0]  shift_q;
  logic        done, halved;
  logic [31:0] row_key;

  assign done = step_q == Last;
  assign ready_o = step_q >= Last - 4'd1;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) step_q <= Last;
    else if (begin_i) step_q <= '0;
    else if (!done) step_q <= step_q + 4'd1;
  end

  logic [48:0] beyond_q;  // the raised amount is below this

  // ---- Shift amounts, raised so that 0..47 is all that makes a difference: 47 is `up`, 0 leaves only the sign. With k halved
  //      `up` is one more ----
  logic signed [lathe_pkg::ExpW-1:0] x, y, x_q, y_q;
  logic signed [lathe_pkg::ExpW-1:0] exp_m;  // of what lr is multiplied with
  logic signed [9:0] difference_q, raise, raise_q, up;
  assign exp_m = sgd_i ? exp_i[1] : exp_i[4];
  always_comb begin
    unique case (step_q[1:0])
      TermM: {x, y} = {exp_i[3], exp_m};
      TermG: {x, y} = {exp_i[1], exp_m};
      TermW0: {x, y} = {exp_i[0], exp_i[2]};
      default: {x, y} = {adam_i ? exp_i[0] : exp_m, exp_i[2]};  // TermLr
    endcase
    unique case (pair_q)
      TermG: raise = 10'sd32 + (half_i ? 10'(n_i) + 10'(halved_i) : 10'sd0);
      TermLr: raise = 10'sd48 + 10'(adam_i ? cfg_i.wd_exp : cfg_i.lr_exp);
      default: raise = 10'sd32;
    endcase
  end

  assign up = difference_q + raise_q;
  assign halved = half_i && halved_i && term_q == TermG;

  always_ff @(posedge clk_i) begin
    x_q <= x;
    y_q <= y;
    pair_q <= step_q[1:0];
    difference_q <= 10'(x_q) - 10'(y_q);
    raise_q <= raise;
    term_q <= pair_q;
    up_q <= up < 10'sd0 ? 6'd0 : up > 10'sd47 + 10'(halved) ? 6'd47 + 6'(halved) : up[5:0];
    amount_q <= term_q;
    decoded_q <= amount_q;
    beyond_q <= 49'h1_FFFF_FFFF_FFFE << up_q;
    shift_q <= up_q[4:0];
  end

  // ---- Masks: bit i of the result is bit i - s of the term ----
  logic [TermW+31:0] reached;
  logic        product;
  align_cfg_t  align;
  always_comb begin
    product = decoded_q == TermM || decoded_q == TermLr || (decoded_q == TermG && half_i);
    reached = (TermW + 32)'({~beyond_q});
    align.pre = shift_q[1:0];
    align.rot = shift_q[4:2];
    align.over = {reached[48], reached[44], reached[40], reached[36]};
    for (int unsigned i = 0; i < TermW - 1; i++) begin
      align.keep[i] = reached[i+2] && !(product ? reached[i+33] : reached[i+17]);
      align.fill[i] = reached[36] || !reached[i+2];
    end
  end

  // ---- Keys: the rows follow each other through one hash ----
  lathe_rng #(
    .Stages(3)
  ) u_row_key (
    .clk_i,
    .en_i(!done),
    .key_i,
    .index_i({step_q == 4'd1, step_q == 4'd2, 14'd0, row_i}),
    .rand_o(row_key)
  );

  always_ff @(posedge clk_i) begin
    if (step_q >= 4'd4 && step_q <= 4'd7) align_o[decoded_q] <= align;
    for (int unsigned i = 0; i < 3; i++) if (step_q == 4'(i + 3)) row_key_o[i] <= row_key;
    factor_o[TermM] <= {1'b0, sgd_i ? 16'd0 : adam_i ? cfg_i.beta1 : cfg_i.momentum} << align_o[TermM].pre[0];
    factor_o[TermG] <= {1'b0, k_i} << align_o[TermG].pre[0];
    factor_o[TermLr] <= {1'b0, adam_i ? cfg_i.wd_mant : cfg_i.lr_mant} << align_o[TermLr].pre[0];
  end
  assign factor_o[TermW0] = '0;

  // ---- adam ----
  logic signed [LogW-1:0] gain_q;
  always_ff @(posedge clk_i) begin
    gain_q <= LogW'(cfg_i.gain_log) + LogW'(cfg_i.clip_log);
    log_o.gradient <= gain_q + {{LogW - 26{exp_i[1][7]}}, exp_i[1], 18'd0};
    log_o.eps_up <= 17'(signed'(cfg_i.eps_log[23:8])) + 17'(cfg_i.eps_log[7:0] != '0);
    log_o.rate_eps <= 25'(cfg_i.rate_log) - 25'(cfg_i.eps_log);
    log_o.right <= 10'sd14 + 10'(signed'(exp_i[2])) - 10'(signed'(exp_i[4]));
  end
  assign log_o.decay = cfg_i.decay_log;
  assign log_o.eps = cfg_i.eps_log[23:8];
  assign log_o.rate = cfg_i.rate_log;

  // ---- int8: to the right by -8 to 16, which is all that makes a difference ----
  logic signed [9:0] right;
  logic signed [5:0] right_q;
  int8_cfg_t         int8_q;  // the lanes are far away
  assign right = 10'(signed'(exp_i[5])) - 10'(signed'(exp_i[2]));
  always_ff @(posedge clk_i) begin
    right_q <= right < -10'sd8 ? -6'sd8 : right > 10'sd16 ? 6'sd16 : right[5:0];
    int8_o <= int8_q;
    int8_q.rot <= 4'(right_q - 6'sd1);
    for (int i = 0; i < 10; i++) begin  // bit i - 1 of the result is bit i - 1 + right of w'
      int8_q.keep[i] <= right_q >= 6'(1 - i) && right_q <= 6'(16 - i);
      int8_q.fill[i] <= right_q > 6'(16 - i);
    end
    for (int i = 0; i < 16; i++) int8_q.sticky[i] <= right_q > 6'(i + 1);
    for (int i = 0; i < 15; i++) int8_q.above[i] <= right_q <= 6'(i - 8);
  end
endmodule
