// SPDX-License-Identifier: Apache-2.0
// SGD with momentum on words of `Lanes` elements (numerics.md, section 9): lanes, their random bits, and what the command
// reports. One word per cycle, never stalls; whoever starts a word keeps room for its results. Knows no addresses.
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
  input  logic                   setup_i,        // pulse before the first word: shifts, word number 0, nothing counted
  input  logic                   finish_i,       // pulse after the last word: reports are ready in the next cycle

  input  logic                   in_valid_i,
  input  logic [Lanes*16-1:0]    w_i,
  input  logic [Lanes*16-1:0]    g_i,
  input  logic [Lanes*16-1:0]    m_i,
  output logic                   mn_valid_o,     // 7 cycles later
  output logic [Lanes*16-1:0]    mn_o,
  output logic                   wn_valid_o,     // 13 cycles later
  output logic [Lanes*16-1:0]    wn_o,
  output logic                   busy_o,         // words are inside

  output logic [31:0]            saturations_o,
  output lathe_pkg::result_t     mn_result_o,
  output lathe_pkg::result_t     wn_result_o
);
  import lathe_pkg::*;

  localparam int unsigned LogLanes = $clog2(Lanes);
  localparam int unsigned MagW = 47;
  // Stages of lathe_update_lane
  localparam int unsigned RandStage = 5;
  localparam int unsigned MStage = 7;
  localparam int unsigned WStage = 13;
  localparam int unsigned RngStages = 2;
  localparam int unsigned RowIn = RandStage - 2 * RngStages;  // the row's key, then the elements' numbers

  // A term stands `up` bits to the left and is shifted right by up - s, limited (align)
  function automatic logic [5:0] limit_shift(logic signed [10:0] shift);
    if (shift < 11'sd0) return 6'd0;
    if (shift > 11'sd63) return 6'd63;
    return shift[5:0];
  endfunction

  function automatic result_t report(logic signed [ExpW-1:0] exponent, logic [6:0] bits);
    report.write = 1'b1;
    report.exp = exponent;
    report.track = bits != '0;
    report.top = (bits != '0) ? lathe_num_pkg::top_of(bits, 10'(exponent) - 10'sd16) : '0;
  endfunction

  // ---- Shifts ----
  logic [5:0]         shift_m_q, shift_g_q, shift_w_q, shift_lr_q;
  logic signed [10:0] e_w, e_g, e_wn, e_m, e_mn, e_lr;
  always_comb begin
    e_w = 11'(signed'(exp_i[0]));
    e_g = 11'(signed'(exp_i[1]));
    e_wn = 11'(signed'(exp_i[2]));
    e_m = 11'(signed'(exp_i[3]));
    e_mn = 11'(signed'(exp_i[4]));
    e_lr = 11'(cfg_i.lr_exp);
  end
  always_ff @(posedge clk_i) begin
    if (setup_i) begin
      shift_m_q <= limit_shift(11'sd15 - e_m + e_mn);
      shift_g_q <= limit_shift(11'sd15 - e_g + e_mn);
      shift_w_q <= limit_shift(11'sd15 - e_w + e_wn);
      shift_lr_q <= limit_shift(-11'sd1 - e_mn - e_lr + e_wn);
    end
  end

  // ---- Lanes ----
  logic [WStage:1]  valid_q;
  logic [WStage:0]  valid;
  logic [15:0]      word_q;      // number of the word whose random bits are next
  logic [31:0]      element;     // number of that word's first weight
  logic [31:0]      row_key;     // key of the row that the elements are numbered in
  logic [RngStages-1:0][15:0] col_q;
  logic             rng_en;
  logic [31:0]      random [Lanes];
  logic [MagW-1:0]  vm [Lanes], vw [Lanes];
  logic [Lanes-1:0] mn_saturated, wn_saturated;

  assign valid = {valid_q, in_valid_i};
  assign mn_valid_o = valid[MStage];
  assign wn_valid_o = valid[WStage];
  assign busy_o = |valid_q;
  assign rng_en = stochastic_i && (|valid[RandStage-1:RowIn]);

  always_ff @(posedge clk_i) begin
    if (!rst_ni) valid_q <= '0;
    else valid_q <= valid[WStage-1:0];
  end

  always_ff @(posedge clk_i) begin
    if (setup_i) word_q <= '0;
    else if (valid[RowIn]) word_q <= word_q + 16'd1;
  end

  assign element = 32'({word_q, LogLanes'(0)});

  lathe_rng #(
    .Stages(RngStages)
  ) u_row_key (
    .clk_i,
    .en_i(rng_en),
    .key_i,
    .index_i(32'(element[31:16])),
    .rand_o(row_key)
  );

  always_ff @(posedge clk_i) begin
    if (rng_en) col_q <= {col_q[RngStages-2:0], element[15:0]};
  end

  for (genvar i = 0; i < Lanes; i++) begin : g_lane
    lathe_rng #(
      .Stages(RngStages)
    ) u_rng (
      .clk_i,
      .en_i(rng_en),
      .key_i(row_key),
      .index_i(32'(col_q[RngStages-1] | 16'(i))),
      .rand_o(random[i])
    );

    lathe_update_lane u_lane (
      .clk_i,
      .valid_i(valid[WStage-1:0]),
      .momentum_i(cfg_i.momentum),
      .lr_mant_i(cfg_i.lr_mant),
      .shift_m_i(shift_m_q),
      .shift_g_i(shift_g_q),
      .shift_w_i(shift_w_q),
      .shift_lr_i(shift_lr_q),
      .stochastic_i,
      .w_i(w_i[16*i+:16]),
      .g_i(g_i[16*i+:16]),
      .m_i(m_i[16*i+:16]),
      .rand_i(random[i]),
      .vm_magnitude_o(vm[i]),
      .mn_o(mn_o[16*i+:16]),
      .mn_saturated_o(mn_saturated[i]),
      .vw_magnitude_o(vw[i]),
      .wn_o(wn_o[16*i+:16]),
      .wn_saturated_o(wn_saturated[i])
    );
  end

  // ---- Reports ----
  logic [MagW-1:0] vm_or_q, vw_or_q, vm_or, vw_or;   // as long as the longest value
  logic [6:0]      vm_bits_q, vw_bits_q;
  logic [5:0]      clamped_q, clamped;
  logic [31:0]     saturations_q;

  always_comb begin
    vm_or = '0;
    vw_or = '0;
    clamped = '0;
    for (int unsigned i = 0; i < Lanes; i++) begin
      vm_or |= vm[i];
      vw_or |= vw[i];
      clamped += 6'(valid[MStage] && mn_saturated[i]) + 6'(valid[WStage] && wn_saturated[i]);
    end
  end

  always_ff @(posedge clk_i) begin
    if (setup_i) begin
      vm_or_q <= '0;
      vw_or_q <= '0;
      clamped_q <= '0;
      saturations_q <= '0;
    end else begin
      if (valid[MStage-2]) vm_or_q <= vm_or_q | vm_or;
      if (valid[WStage-2]) vw_or_q <= vw_or_q | vw_or;
      clamped_q <= clamped;
      saturations_q <= saturations_q + 32'(clamped_q);
    end
    if (finish_i) begin
      vm_bits_q <= lathe_num_pkg::bit_length(64'(vm_or_q));
      vw_bits_q <= lathe_num_pkg::bit_length(64'(vw_or_q));
    end
  end

  assign saturations_o = saturations_q;
  assign wn_result_o = report(exp_i[2], vw_bits_q);
  assign mn_result_o = report(exp_i[4], vm_bits_q);
endmodule
