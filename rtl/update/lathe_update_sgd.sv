// SPDX-License-Identifier: Apache-2.0
// SGD with momentum on words of `Lanes` elements (numerics.md, section 9): lanes, their random bits, and what the
// command reports. One word per cycle, without a wait: whoever sends words has room for their results. Knows no addresses.
// Another optimizer is another such module beside it.
module lathe_update_sgd #(
  parameter int unsigned Lanes = 8
) (
  input  logic                   clk_i,
  input  logic                   rst_ni,
  // Constant from setup_i until the reports have been read
  input  logic signed [lathe_pkg::NumOperands-1:0][lathe_pkg::ExpW-1:0] exp_i,  // by operand: w, g, w', m, m'
  input  logic                   stochastic_i,
  input  logic [31:0]            key_i,
  input  lathe_pkg::update_cfg_t cfg_i,
  input  logic                   setup_i,        // pulse before the first word: word number 0, nothing counted

  output logic                   ready_o,        // words may come
  input  logic                   in_valid_i,     // only with ready_o
  input  logic [Lanes*16-1:0]    g_i,
  input  logic [Lanes*16-1:0]    m_i,
  output logic                   w_take_o,       // 7 cycles later
  input  logic [Lanes*16-1:0]    w_i,
  output logic                   mn_valid_o,     // then too
  output logic [Lanes*16-1:0]    mn_o,
  output logic                   wn_valid_o,     // 14 cycles later
  output logic [Lanes*16-1:0]    wn_o,

  // Reports: complete 4 cycles after the last wn_valid_o
  output logic [31:0]            saturations_o,
  output lathe_pkg::result_t     mn_result_o,
  output lathe_pkg::result_t     wn_result_o
);
  import lathe_pkg::*;
  import lathe_update_pkg::*;

  localparam int unsigned LogLanes = $clog2(Lanes);
  localparam int unsigned Hashes = Lanes / 4;       // four elements share one
  localparam int unsigned RowW = 16 - LogLanes;     // words of a row that elements are numbered in: 2**RowW
  // Stages of lathe_update_lane: where a result's value before rounding is known, and where the result
  localparam int unsigned SumStage [2] = '{5, 12};
  localparam int unsigned OutStage [2] = '{7, 14};
  localparam int unsigned WStage = OutStage[1];

  function automatic result_t report(logic signed [ExpW-1:0] exponent, logic [6:0] bits);
    report.track = bits != '0;
    report.top = (bits != '0) ? lathe_num_pkg::top_of(bits, 10'(exponent) - 10'sd16) : '0;
  endfunction

  // ---- Stages ----
  logic [WStage:1] valid_q;
  logic [WStage:0] valid;   // bit k: a word enters stage k
  logic              busy_q;  // until one cycle after the last word left

  assign valid = {valid_q, in_valid_i};
  assign mn_valid_o = valid[OutStage[0]];
  assign w_take_o = valid[OutStage[0]];
  assign wn_valid_o = valid[OutStage[1]];

  always_ff @(posedge clk_i) begin
    if (!rst_ni) valid_q <= '0;
    else valid_q <= valid[WStage-1:0];
    busy_q <= valid != '0;
  end

  // ---- Set-up, at the start and when the numbering comes to a new row ----
  logic [15:0] word_q;  // of the next word
  logic        new_row_q, row_ends_q, ready, ready_q;  // row_ends: that word is its row's last
  align_cfg_t  align [4];
  logic [16:0] momentum, lr_mant;
  logic [31:0] row_key [2];

  always_ff @(posedge clk_i) begin
    if (!rst_ni || setup_i) new_row_q <= 1'b0;
    else if (in_valid_i && row_ends_q) new_row_q <= 1'b1;
    else if (!busy_q) new_row_q <= 1'b0;
    ready_q <= ready && !new_row_q && !setup_i && !(in_valid_i && row_ends_q);
  end

  always_ff @(posedge clk_i) begin
    if (setup_i) word_q <= '0;
    else if (in_valid_i) word_q <= word_q + 16'd1;
    row_ends_q <= !setup_i && word_q[RowW-1:0] == {{RowW-1{1'b1}}, !in_valid_i};
  end

  lathe_update_setup u_setup (
    .clk_i,
    .rst_ni,
    .begin_i(setup_i || (new_row_q && !busy_q)),
    .exp_i,
    .cfg_i,
    .key_i,
    .row_i(word_q >> RowW),
    .ready_o(ready),
    .align_o(align),
    .momentum_o(momentum),
    .lr_mant_o(lr_mant),
    .row_key_o(row_key)
  );
  assign ready_o = ready_q;

  // ---- Random bits: the hash in three stages, then what each lane makes of it; 0x7FFF rounds to even ----
  logic [15:0] random [2][Lanes];  // of m', of w'
  for (genvar r = 0; r < 2; r++) begin : g_random
    logic [RowW-1:0] word_number_q;
    logic [31:0]     hash [Hashes];
    always_ff @(posedge clk_i) begin
      if (r == 0) word_number_q <= word_q[RowW-1:0];  // a cycle ahead of stage 1
      else if (setup_i) word_number_q <= '0;
      else if (valid[SumStage[r]-4]) word_number_q <= word_number_q + 1'b1;
    end

    for (genvar h = 0; h < Hashes; h++) begin : g_hash
      logic hash_q, choose_q, even_q;  // copies: enables of the hash, of its elements; the latter are 0x7FFF

      (* keep *) always_ff @(posedge clk_i) begin
        hash_q <= stochastic_i && |valid[SumStage[r]-3-:3];
        choose_q <= hash_q;
        even_q <= !stochastic_i;
      end

      lathe_rng #(
        .Stages(3)
      ) u_hash (
        .clk_i,
        .en_i(hash_q),
        .key_i(row_key[r]),
        .index_i(lathe_num_pkg::group_index(16'(word_number_q) * 16'(Hashes) + 16'(h))),
        .rand_o(hash[h])
      );
    end

    for (genvar i = 0; i < Lanes; i++) begin : g_lane
      always_ff @(posedge clk_i) begin
        if (g_hash[i/4].even_q) random[r][i] <= 16'h7FFF;
        else if (g_hash[i/4].choose_q) random[r][i] <= lathe_num_pkg::rand16(hash[i/4], 2'(i));
      end
    end
  end

  // ---- Lanes ----
  logic signed [35:0] sum [2][Lanes];
  logic [Lanes-1:0]   saturated [2];

  for (genvar i = 0; i < Lanes; i++) begin : g_lane
    lathe_update_lane u_lane (
      .clk_i,
      .valid_i(valid[1]),
      .align_i(align),
      .momentum_i(momentum),
      .lr_mant_i(lr_mant),
      .to_even_i(!stochastic_i),
      .g_i(g_i[16*i+:16]),
      .m_i(m_i[16*i+:16]),
      .m_rand_i(random[0][i]),
      .vm_o(sum[0][i]),
      .w_i(w_i[16*i+:16]),
      .mn_o(mn_o[16*i+:16]),
      .mn_saturated_o(saturated[0][i]),
      .w_rand_i(random[1][i]),
      .vw_o(sum[1][i]),
      .wn_o(wn_o[16*i+:16]),
      .wn_saturated_o(saturated[1][i])
    );
  end

  // ---- Reports ----
  logic [34:0] longest_q [2];  // as long as the longest value
  logic [5:0]  bits_q [2];
  logic [2:0]  count_q [2][Hashes];  // clamped, of four lanes
  logic [4:0]  clamped_q [2];
  logic [31:0] saturations_q;

  for (genvar r = 0; r < 2; r++) begin : g_report
    logic [34:0] longest;
    logic [4:0]  clamped;
    logic [33:0] magnitude;    // a sum beyond 35 bits is clamped to 34 bits and sign
    logic [16:0] half_q;       // the upper half of the magnitude or, if that is zero, the lower one
    logic [8:0]  part_q;       // so again
    logic        upper_q;
    logic [3:0]  length_q;     // of the part
    logic [4:0]  below_q, below2_q;  // bits below the part

    assign magnitude = {longest_q[r][34] || longest_q[r][33], longest_q[r][32:0]};

    always_comb begin
      longest = longest_q[r];
      clamped = '0;
      for (int unsigned i = 0; i < Lanes; i++) longest |= sum[r][i][34:0] ^ {35{sum[r][i][35]}};
      for (int unsigned h = 0; h < Hashes; h++) clamped += 5'(count_q[r][h]);
    end

    always_ff @(posedge clk_i) begin
      if (setup_i) longest_q[r] <= '0;
      else if (valid[SumStage[r]]) longest_q[r] <= longest;
      for (int unsigned h = 0; h < Hashes; h++) count_q[r][h] <= valid[OutStage[r]] ? lathe_num_pkg::ones(saturated[r][4*h+:4]) : '0;
      clamped_q[r] <= clamped;
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
    else saturations_q <= saturations_q + 32'(6'(clamped_q[0]) + 6'(clamped_q[1]));
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
    if (checking_q && rst_ni && in_valid_i) assert (ready_o) else $error("a word came too early");
  end
`endif
endmodule
