// SPDX-License-Identifier: Apache-2.0
// The steps sgd, momentum, nesterov and adam on words of `Lanes` elements (numerics.md, section 9): lanes, their random bits,
// and what the command reports. One word per cycle or, where each multiplier is needed twice, in two; without a wait: whoever
// sends words has room for their results. Knows no addresses.
module lathe_update_step
  import lathe_update_pkg::*;
#(
  parameter int unsigned Lanes = 8,
  parameter int unsigned WordLanes = Lanes,  // of a word in the scratchpad: it comes in parts of `Lanes`
  localparam int unsigned Parts = WordLanes / Lanes,
  localparam int unsigned IndexW = 16 + $clog2(Parts)
) (
  input  logic                   clk_i,
  input  logic                   rst_ni,
  // Constant from setup_i until the reports have been read
  input  kind_t                  kind_i,
  input  logic signed [lathe_pkg::NumOperands:0][lathe_pkg::ExpW-1:0] exp_i,  // by operand: w, g, w', m, m', w8
  input  logic                   stochastic_i,
  input  logic [31:0]            key_i,
  input  lathe_pkg::update_cfg_t cfg_i,
  input  logic [15:0]            k_i,            // k * 2**n, the gradient's factor
  input  logic                   halved_i,       // but k is halved
  input  logic signed [5:0]      n_i,
  input  logic                   setup_i,        // pulse before the first word: nothing counted
  // POW, while no word is inside
  input  logic                   pow_turn_i,
  input  logic [9:0]             pow_index_i,
  output logic [15:0]            pow_o,

  // The next word
  input  logic                   word_valid_i,
  input  logic [IndexW-1:0]      word_i,         // its number in the tensor
  input  logic                   lower_i,        // it lies in the lower row of two
  input  logic                   ends_i,         // no word under it follows
  output logic                   ready_o,        // it may start,
  output logic                   turn_o,         // but only now
  input  logic                   start_i,        // with both

  output logic                   w_soon_o,       // w is taken in six cycles
  output logic [3:0]             take_o,         // w, g, m, l
  input  logic [Lanes*16-1:0]    w_i,
  input  logic [Lanes*16-1:0]    g_i,
  input  logic [Lanes*16-1:0]    m_i,
  input  logic [Lanes*16-1:0]    l_i,
  output logic [3:0]             valid_o,        // w', m', l', w8
  output logic [Lanes*16-1:0]    wn_o,
  output logic [Lanes*16-1:0]    mn_o,
  output logic [Lanes*16-1:0]    ln_o,
  output logic [Lanes*16-1:0]    w8_o,

  // Reports: complete 4 cycles after the last valid_o
  output logic [31:0]            saturations_o,
  output lathe_pkg::result_t     mn_result_o,
  output lathe_pkg::result_t     wn_result_o
);
  import lathe_pkg::*;

  localparam int unsigned LogLanes = $clog2(Lanes);
  localparam int unsigned Hashes = (Lanes + 3) / 4; // four elements share one
  localparam int unsigned RowW = 16 - LogLanes;     // words of a row that elements are numbered in: 2**RowW
  localparam int unsigned RowsW = IndexW - RowW;
  // Stages of lathe_update_lane: where a result's value before rounding is known, and where the result
  localparam int unsigned SumStage [2] = '{5, 12};
  localparam int unsigned OutStage [2] = '{7, 14};
  localparam int unsigned Int8Stage = OutStage[1] + 3;
  // At half rate m enters stage 0 so many cycles after the start, when the logarithms of adam are nearly there
  localparam int unsigned Late = 9;
  // w follows m' a pass through the lane later, or when adam's two other terms have been added
  localparam int unsigned AfterNesterov = 7, AfterAdam = 4;
  localparam int unsigned SoonStage = OutStage[0] - 6;
  localparam int unsigned LogStage = 11;            // l' after the start

  function automatic result_t report(logic signed [ExpW-1:0] exponent, logic [6:0] bits);
    report.track = bits != '0;
    report.top = (bits != '0) ? lathe_num_pkg::top_of(bits, 10'(exponent) - 10'sd16) : '0;
  endfunction

  // ---- Stages: bit k: a word enters stage k, of those of m' and of w', or started k cycles ago ----
  logic [LogStage:1]                       since_q;
  logic [LogStage:0]                       since;
  logic [SoonStage+AfterNesterov:1]        m_valid_q;
  logic [SoonStage+AfterNesterov:0]        m_valid;
  logic [Int8Stage+1:SoonStage+1]          w_valid_q;
  logic [Int8Stage+1:SoonStage]            w_valid;
  logic                                    busy_q;  // words are inside, until one cycle after the last w' left
  logic                                    odd, odd_q;  // at half rate words start in even cycles
  logic                                    turn_q;

  assign since = {since_q, start_i};
  assign m_valid = {m_valid_q, kind_i.half ? since[Late] : start_i};
  assign w_valid = {w_valid_q, m_valid[SoonStage + (kind_i.nesterov ? AfterNesterov : kind_i.adam ? AfterAdam : 0)]};

  always_ff @(posedge clk_i) begin
    odd_q <= odd;
    turn_q <= !kind_i.half || !odd;
    if (!rst_ni) {since_q, m_valid_q, w_valid_q} <= '0;
    else {since_q, m_valid_q, w_valid_q} <= {since[LogStage-1:0], m_valid[SoonStage+AfterNesterov-1:0], w_valid[Int8Stage:SoonStage]};
    busy_q <= since != '0 || m_valid != '0 || w_valid[OutStage[1]:SoonStage] != '0;
  end

  assign odd = rst_ni && !setup_i && !odd_q;
  assign turn_o = turn_q;
  assign w_soon_o = w_valid[SoonStage];
  assign take_o = {since[1] && kind_i.adam, m_valid[0] && !kind_i.sgd, since[kind_i.half ? 1 : 0], w_valid[OutStage[0]]};

  // ---- Set-up, at the start and when the numbering comes to a new row; each of two rows of words has its keys ----
  logic [RowsW-1:0]    row, row_q [2];
  logic [1:0]          keys_of_q;   // rows of words whose keys are made
  logic [31:0]         row_key [3], row_key_q [2][3];
  logic                known, again, ready, ready_q;
  align_cfg_t          align [4];
  logic [16:0]         factor [4];
  log_cfg_t            log_cfg;
  int8_cfg_t           int8_cfg;

  assign row = RowsW'(word_i >> RowW);
  assign known = !word_valid_i || row_q[lower_i] == row;
  assign again = word_valid_i && !known && !busy_q && ready_q;
  assign ready_o = ready_q && known;

  always_ff @(posedge clk_i) begin
    ready_q <= rst_ni && ready && !setup_i && !again;
    if (setup_i) begin
      row_q <= '{default: '0};
      keys_of_q <= '1;
    end else if (again) begin
      row_q[lower_i] <= row;
      keys_of_q <= {lower_i, !lower_i};
    end
    for (int unsigned i = 0; i < 2; i++) if (!ready_q && keys_of_q[i]) row_key_q[i] <= row_key;
  end

  lathe_update_setup u_setup (
    .clk_i,
    .rst_ni,
    .begin_i(setup_i || again),
    .sgd_i(kind_i.sgd),
    .adam_i(kind_i.adam),
    .half_i(kind_i.half),
    .exp_i,
    .cfg_i,
    .k_i,
    .halved_i,
    .n_i,
    .key_i,
    .row_i(16'(row_q[keys_of_q[1]])),
    .ready_o(ready),
    .align_o(align),
    .factor_o(factor),
    .log_o(log_cfg),
    .int8_o(int8_cfg),
    .row_key_o(row_key)
  );

  // ---- Where words are, from their start until their random bits are drawn ----
  typedef struct packed {
    logic            ends;
    logic            lower;
    logic [RowW-1:0] number;
  } place_t;
  place_t     places_q [16], now, place_q [2];  // place: of the word that enters stage SumStage - 4
  logic [3:0] started_q, drawn_q [2];

  assign now = '{ends: ends_i, lower: lower_i, number: word_i[RowW-1:0]};

  always_ff @(posedge clk_i) begin
    if (start_i) places_q[started_q] <= now;
    if (setup_i) begin
      started_q <= '0;
      drawn_q <= '{default: '0};
    end else begin
      if (start_i) started_q <= started_q + 4'd1;
      if (m_valid[0]) drawn_q[0] <= drawn_q[0] + 4'd1;
      if (w_valid[OutStage[0]]) drawn_q[1] <= drawn_q[1] + 4'd1;
    end
    place_q[0] <= kind_i.half ? places_q[drawn_q[0]] : now;
    place_q[1] <= places_q[drawn_q[1]];
  end

  // ---- Random bits: the hash in three stages, then what each lane makes of it; 0x7FFF rounds to even ----
  logic [15:0] random [2][Lanes];  // of m', of w'
  for (genvar r = 0; r < 2; r++) begin : g_random
    logic [2:0]  near;
    logic [31:0] hash [Hashes];
    logic [2:0]  second_q;  // of two words that share a hash, by its stages

    always_ff @(posedge clk_i) second_q <= {second_q[1:0], place_q[r].number[0]};

    if (r == 0) begin : g_m
      assign near = m_valid[SumStage[r]-3-:3];
    end else begin : g_w
      assign near = w_valid[SumStage[r]-3-:3];
    end

    for (genvar h = 0; h < Hashes; h++) begin : g_hash
      logic hash_q, choose_q, even_q;  // copies: enables of the hash, of its elements; the latter are 0x7FFF

      (* keep *) always_ff @(posedge clk_i) begin
        hash_q <= stochastic_i && near != '0;
        choose_q <= hash_q;
        even_q <= !stochastic_i || (r == 0 ? kind_i.sgd : kind_i.nesterov && odd_q);  // u is not rounded stochastically
      end

      lathe_rng #(
        .Stages(3)
      ) u_hash (
        .clk_i,
        .en_i(hash_q),
        .key_i(row_key_q[place_q[r].lower][r]),
        .index_i(lathe_num_pkg::group_index(lathe_num_pkg::group_of(16'(place_q[r].number), Lanes) + 16'(h))),
        .rand_o(hash[h])
      );
    end

    for (genvar i = 0; i < Lanes; i++) begin : g_lane
      always_ff @(posedge clk_i) begin
        if (g_hash[i/4].even_q) random[r][i] <= 16'h7FFF;
        else if (g_hash[i/4].choose_q) random[r][i] <= lathe_num_pkg::rand16(hash[i/4], Lanes == 2 ? {second_q[2], 1'(i)} : 2'(i));
      end
    end
  end

  // ---- What the lanes take in turn at half rate: k * g enters stage 0 in even cycles, m in odd ones; m' enters stage 7 in even
  //      cycles, u or the decayed w in odd ones ----
  align_cfg_t         align_m_q, align_b_q;
  logic [17:0]        factor_m_q;
  logic signed [17:0] factor_b_q;
  logic               m_up_q, b_up_q, m_even_q, w_even_q, even_q, again_q, p_turn_q, x_turn_q;
  logic               u_next;  // nesterov's u follows

  assign u_next = kind_i.nesterov && odd_q;

  always_ff @(posedge clk_i) begin
    even_q <= kind_i.half && odd_q;
    again_q <= (kind_i.nesterov || kind_i.adam) && !odd_q;
    p_turn_q <= kind_i.adam && odd_q;
    x_turn_q <= kind_i.nesterov ? odd_q : kind_i.adam && !odd_q;
    m_even_q <= !stochastic_i || kind_i.sgd;
    w_even_q <= !stochastic_i || (kind_i.nesterov && !odd_q);
    m_up_q <= align[kind_i.half && odd_q ? 1 : 0].pre[1];
    b_up_q <= align[3].pre[1] && !u_next;
    factor_m_q <= {1'b0, factor[kind_i.half && !odd_q ? 1 : 0]};
    factor_b_q <= u_next ? -18'(cfg_i.momentum) : {1'b0, factor[3]};
    if (!kind_i.half) align_m_q <= align[0];
    else align_m_q <= odd_q ? in_turn(align[1], align[0].rot[2]) : in_turn(align[0], align[1].rot[2]);
    if (!kind_i.nesterov) align_b_q <= align[3];
    else align_b_q <= odd_q ? in_turn(Unshifted, align[3].rot[2]) : in_turn(align[3], Unshifted.rot[2]);
  end

  // ---- Half rate: g waits for the logarithms ----
  logic [3:0][Lanes*16-1:0] g_held_q;
  always_ff @(posedge clk_i) if (odd_q) g_held_q <= {g_held_q[2:0], g_i};

  // ---- adam ----
  logic [16:0]             p       [Lanes];
  logic                    p_up    [Lanes], load [Lanes];
  logic signed [34:0]      product [Lanes];
  logic signed [TermW-1:0] p_term  [Lanes];

  lathe_update_adam #(
    .Lanes(Lanes)
  ) u_adam (
    .clk_i,
    .odd_i(odd_q),
    .cfg_i(log_cfg),
    .stochastic_i,
    .g_i,
    .l_i,
    .lower_i,
    .number_i(word_i[RowW-1:0]),
    .row_key_i('{row_key_q[0][2], row_key_q[1][2]}),
    .l_o(ln_o),
    .p_o(p),
    .p_up_o(p_up),
    .product_i(product),
    .load_o(load),
    .term_o(p_term),
    .pow_turn_i,
    .pow_index_i,
    .pow_o
  );

  // ---- Lanes ----
  logic signed [35:0] sum [2][Lanes];
  logic [Lanes-1:0]   saturated [3];  // of m', w', w8
  logic [Lanes*8-1:0] copy, copy_lower_q, copy_upper_q [Parts];  // of the last parts, the last one first

  for (genvar i = 0; i < Lanes; i++) begin : g_lane
    lathe_update_lane u_lane (
      .clk_i,
      .valid_i(m_valid[1]),
      .nesterov_i(kind_i.nesterov),
      .adam_i(kind_i.adam),
      .half_i(kind_i.half),
      .align_g_i(align[1]),
      .align_w_i(align[2]),
      .align_m_i(align_m_q),
      .align_b_i(align_b_q),
      .m_up_i(m_up_q),
      .b_up_i(b_up_q),
      .factor_m_i(factor_m_q),
      .factor_b_i(factor_b_q),
      .m_even_i(m_even_q),
      .w_even_i(w_even_q),
      .g_turn_i(even_q),
      .again_i(again_q),
      .p_turn_i(p_turn_q),
      .x_turn_i(x_turn_q),
      .g_i(g_i[16*i+:16]),
      .m_i(m_i[16*i+:16]),
      .g_held_i(g_held_q[3][16*i+:16]),
      .m_rand_i(random[0][i]),
      .vm_o(sum[0][i]),
      .w_i(w_i[16*i+:16]),
      .mn_o(mn_o[16*i+:16]),
      .mn_saturated_o(saturated[0][i]),
      .p_i(p[i]),
      .p_up_i(p_up[i]),
      .product_o(product[i]),
      .term_load_i(load[i]),
      .term_i(p_term[i]),
      .w_rand_i(random[1][i]),
      .vw_o(sum[1][i]),
      .wn_o(wn_o[16*i+:16]),
      .wn_saturated_o(saturated[1][i])
    );

    lathe_update_int8 u_int8 (
      .clk_i,
      .cfg_i(int8_cfg),
      .w_i(wn_o[16*i+:16]),
      .w8_o(copy[8*i+:8]),
      .saturated_o(saturated[2][i])
    );
    assign w8_o[16*i+:16] = {copy_lower_q[8*i+:8], copy_upper_q[0][8*i+:8]};
  end

  // ---- The int8 copy: the upper row of two in the low bytes ----
  logic [Int8Stage:SumStage[1]-4] ends_q, lower_q;  // bit k: of the word in stage k
  logic                           copied_q;
  assign {ends_q[SumStage[1]-4], lower_q[SumStage[1]-4]} = {place_q[1].ends, place_q[1].lower};
  always_ff @(posedge clk_i) begin
    ends_q[Int8Stage:SumStage[1]-3] <= ends_q[Int8Stage-1:SumStage[1]-4];
    lower_q[Int8Stage:SumStage[1]-3] <= lower_q[Int8Stage-1:SumStage[1]-4];
    copied_q <= ends_q[Int8Stage];
    if (w_valid[Int8Stage]) begin
      copy_upper_q[0] <= lower_q[Int8Stage] ? copy_upper_q[Parts-1] : copy;
      for (int unsigned i = 1; i < Parts; i++) copy_upper_q[i] <= copy_upper_q[i-1];
      copy_lower_q <= lower_q[Int8Stage] ? copy : '0;
    end
  end

  assign valid_o = {w_valid[Int8Stage+1] && copied_q && kind_i.int8, since[LogStage] && kind_i.adam,
                    m_valid[OutStage[0]] && !kind_i.sgd, w_valid[OutStage[1]]};

  // ---- Reports ----
  logic [34:0] longest_q [2];  // as long as the longest value
  logic [5:0]  bits_q [2];
  logic [2:0]  count_q [3][Hashes];  // clamped, of four lanes
  logic [4:0]  clamped_q [3];
  logic [31:0] saturations_q;
  logic [1:0]  summed;  // values before rounding are there
  logic [2:0]  seen;    // results are

  assign summed = {w_valid[SumStage[1]], m_valid[SumStage[0]] && !kind_i.sgd};
  assign seen = {w_valid[Int8Stage] && kind_i.int8, w_valid[OutStage[1]], m_valid[OutStage[0]] && !kind_i.sgd};

  for (genvar r = 0; r < 3; r++) begin : g_clamped
    logic [4:0] clamped;
    always_comb begin
      clamped = '0;
      for (int unsigned h = 0; h < Hashes; h++) clamped += 5'(count_q[r][h]);
    end
    always_ff @(posedge clk_i) begin
      for (int unsigned h = 0; h < Hashes; h++) count_q[r][h] <= seen[r] ? lathe_num_pkg::ones(4'(saturated[r] >> (4 * h))) : '0;
      clamped_q[r] <= clamped;
    end
  end

  for (genvar r = 0; r < 2; r++) begin : g_report
    logic [34:0] longest;
    logic [33:0] magnitude;    // a sum beyond 35 bits is clamped to 34 bits and sign
    logic [16:0] half_q;       // the upper half of the magnitude or, if that is zero, the lower one
    logic [8:0]  part_q;       // so again
    logic        upper_q;
    logic [3:0]  length_q;     // of the part
    logic [4:0]  below_q, below2_q;  // bits below the part

    assign magnitude = {longest_q[r][34] || longest_q[r][33], longest_q[r][32:0]};

    always_comb begin
      longest = longest_q[r];
      for (int unsigned i = 0; i < Lanes; i++) longest |= sum[r][i][34:0] ^ {35{sum[r][i][35]}};
    end

    always_ff @(posedge clk_i) begin
      if (setup_i) longest_q[r] <= '0;
      else if (summed[r]) longest_q[r] <= longest;
      upper_q <= magnitude[33:17] != '0;
      half_q <= magnitude[33:17] != '0 ? magnitude[33:17] : magnitude[16:0];
      part_q <= half_q[16:8] != '0 ? half_q[16:8] : 9'(half_q[7:0]);
      below_q <= (upper_q ? 5'd17 : 5'd0) + (half_q[16:8] != '0 ? 5'd8 : 5'd0);
      length_q <= 4'(lathe_num_pkg::bit_length(64'(part_q)));
      below2_q <= below_q;
      bits_q[r] <= 6'(length_q) + 6'(below2_q);
    end
  end

  always_ff @(posedge clk_i) begin
    if (setup_i) saturations_q <= '0;
    else saturations_q <= saturations_q + 32'(clamped_q[0]) + 32'(clamped_q[1]) + 32'(clamped_q[2]);
  end

  always_ff @(posedge clk_i) begin
    wn_result_o <= report(exp_i[2], 7'(bits_q[1]));
    mn_result_o <= report(exp_i[4], 7'(bits_q[0]));
  end
  assign saturations_o = saturations_q;

`ifndef SYNTHESIS
  logic checking_q;  // false before the first reset, when registers hold anything
  initial checking_q = 1'b0;
  always @(posedge clk_i) if (!rst_ni) checking_q <= 1'b1;

  always_ff @(posedge clk_i) begin
    if (checking_q && rst_ni && start_i) assert (word_valid_i && ready_o && turn_o) else $error("a word came too early");
  end
`endif
endmodule
