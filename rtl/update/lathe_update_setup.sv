// SPDX-License-Identifier: Apache-2.0
// What is constant while words run through lathe_update_sgd: how its terms are aligned, its factors and the keys of the
// row that its elements are numbered in. One decoder serves the four terms in turn; 8 cycles after begin_i words may
// start: what comes late is what they need last.
module lathe_update_setup
  import lathe_update_pkg::*;
(
  input  logic                   clk_i,
  input  logic                   rst_ni,
  input  logic                   begin_i,
  input  logic signed [lathe_pkg::NumOperands-1:0][lathe_pkg::ExpW-1:0] exp_i,  // by operand: w, g, w', m, m'
  input  lathe_pkg::update_cfg_t cfg_i,
  input  logic [31:0]            key_i,
  input  logic [15:0]            row_i,
  output logic                   ready_o,       // from the next cycle on
  output align_cfg_t             align_o [4],   // momentum * m, g, w, lr * m'
  output logic [16:0]            momentum_o,
  output logic [16:0]            lr_mant_o,
  output logic [31:0]            row_key_o [2]  // of m', of w'
);
  localparam logic [3:0] Last = 4'd8;
  localparam logic [1:0] TermM = 2'd0, TermG = 2'd1, TermW0 = 2'd2, TermLr = 2'd3;

  logic [3:0]  step_q;
  logic [1:0]  pair_q, term_q, amount_q, decoded_q;  // of x and y, of the difference, of the amount, of what is below it
  logic [5:0]  up_q;
  logic [4:0]  shift_q;
  logic        done;
  logic [31:0] row_key;

  assign done = step_q == Last;
  assign ready_o = step_q >= Last - 4'd1;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) step_q <= Last;
    else if (begin_i) step_q <= '0;
    else if (!done) step_q <= step_q + 4'd1;
  end

  logic [47:0] beyond_q;  // the raised amount is below this

  // ---- Shift amounts, raised so that 0..47 is all that makes a difference: 47 is `up`, 0 leaves only the sign ----
  logic signed [lathe_pkg::ExpW-1:0] x, y, x_q, y_q;
  logic signed [9:0] difference_q, raise_q, up;
  always_comb begin
    unique case (step_q[1:0])
      TermM: {x, y} = {exp_i[3], exp_i[4]};
      TermG: {x, y} = {exp_i[1], exp_i[4]};
      TermW0: {x, y} = {exp_i[0], exp_i[2]};
      default: {x, y} = {exp_i[4], exp_i[2]};  // TermLr
    endcase
  end

  assign up = difference_q + raise_q;

  always_ff @(posedge clk_i) begin
    x_q <= x;
    y_q <= y;
    pair_q <= step_q[1:0];
    difference_q <= 10'(x_q) - 10'(y_q);
    raise_q <= pair_q == TermLr ? 10'(cfg_i.lr_exp) + 10'sd48 : 10'sd32;
    term_q <= pair_q;
    up_q <= up < 10'sd0 ? 6'd0 : up > 10'sd47 ? 6'd47 : up[5:0];
    amount_q <= term_q;
    decoded_q <= amount_q;
    beyond_q <= 48'hFFFF_FFFF_FFFE << up_q;
    shift_q <= up_q[4:0];
  end

  // ---- Masks: bit i of the result is bit i - s of the term ----
  logic [TermW+31:0] reached;
  logic        product;
  align_cfg_t  align;
  always_comb begin
    product = decoded_q == TermM || decoded_q == TermLr;
    reached = (TermW + 32)'({~beyond_q});
    align.pre = shift_q[1:0];
    align.rot = shift_q[4:2];
    align.over = {reached[44], reached[40], reached[36]};
    for (int unsigned i = 0; i < TermW - 1; i++) begin
      align.keep[i] = reached[i+2] && !(product ? reached[i+33] : reached[i+17]);
      align.fill[i] = reached[36] || !reached[i+2];
    end
  end

  // ---- Keys: the two rows follow each other through one hash ----
  lathe_rng #(
    .Stages(3)
  ) u_row_key (
    .clk_i,
    .en_i(!done),
    .key_i,
    .index_i({step_q[0], 15'd0, row_i}),
    .rand_o(row_key)
  );

  always_ff @(posedge clk_i) begin
    if (step_q >= 4'd4 && step_q <= 4'd7) align_o[decoded_q] <= align;
    if (step_q == 4'd3) row_key_o[0] <= row_key;
    if (step_q == 4'd4) row_key_o[1] <= row_key;
    momentum_o <= 17'(cfg_i.momentum) << align_o[TermM].pre[0];
    lr_mant_o <= 17'(cfg_i.lr_mant) << align_o[TermLr].pre[0];
  end
endmodule
