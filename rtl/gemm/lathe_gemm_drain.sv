// SPDX-License-Identifier: Apache-2.0
// Takes the rows of finished sums, one a cycle, through the lanes' arithmetic and writes them; keeps the saturation
// count and the largest magnitude. Rows beyond M are dropped, lanes beyond N are written as zero and counted nowhere.
module lathe_gemm_drain
  import lathe_pkg::*;
  import lathe_gemm_pkg::*;
  import lathe_num_pkg::*;
#(
  parameter int unsigned Lanes = 8
) (
  input  logic                       clk_i,
  input  logic                       rst_ni,
  // verilator lint_off UNUSEDSIGNAL
  input  shape_t                     shape_i,        // not K
  // verilator lint_on UNUSEDSIGNAL
  input  lane_cfg_t                  cfg_i,
  input  logic                       tanh_i,         // the result is a tanh
  input  logic [31:0]                key_i,
  input  logic [AddrW-1:0]           base_i,
  input  logic [AddrW-1:0]           stride_i,
  input  logic                       start_i,
  output logic                       idle_o,         // everything written
  // Rows of sums; all Lanes rows of each tile come.
  input  logic                       row_valid_i,
  output logic                       row_ready_o,
  input  logic [Lanes-1:0][AccW-1:0] row_data_i,
  // Bias word of each tile, then the y words of its rows.
  input  logic                       aux_valid_i,
  output logic                       aux_ready_o,
  input  logic [Lanes*16-1:0]        aux_data_i,
  output logic                       wr_valid_o,
  input  logic                       wr_ready_i,
  output logic [AddrW-1:0]           wr_addr_o,
  output logic [Lanes*16-1:0]        wr_data_o,
  output logic [31:0]                saturations_o,
  output logic [ValueW-1:0]          magnitude_o     // OR of v (v < 0: -1 - v)
);
  localparam int unsigned OutDepth = 32;  // more than the pipeline holds, so it runs at full rate
  localparam int unsigned OutW = $clog2(OutDepth + 1);
  localparam int unsigned LaneW = $clog2(Lanes);
  localparam int unsigned CountW = $clog2(Lanes + 1);

  typedef struct packed {
    logic [AddrW-1:0] addr;
    logic [Lanes-1:0] mask;  // lanes within N
  } meta_t;

  // Walk over the rows that are written; the rest of a tile's rows is skipped.
  logic issue, skip, take_y, load_bias, need_y;
  logic tile_last, col_last, last, active_q;
  logic [AddrW-1:0] addr;
  logic [DimW-1:0] row, col;
  logic [LaneW-1:0] row_end, skip_q;
  logic [OutW-1:0] room_q;  // of the output FIFO, less what is in the pipeline
  logic bias_valid_q;
  logic [Lanes-1:0][15:0] bias_q;
  logic [NumStages-1:0] load, valid_q;

  // verilator lint_off PINCONNECTEMPTY
  lathe_gemm_walk #(
    .Lanes(Lanes)
  ) u_walk (
    .clk_i,
    .shape_i,
    .base_i,
    .stride_i,
    .start_i,
    .step_i      (issue),
    .addr_o      (addr),
    .row_o       (row),
    .col_o       (col),
    .row_end_o   (row_end),
    .tile_first_o(),
    .tile_last_o (tile_last),
    .col_last_o  (col_last),
    .last_o      (last)
  );
  // verilator lint_on PINCONNECTEMPTY

  assign need_y = cfg_i.dact_relu || cfg_i.dact_tanh;
  assign skip = skip_q != '0;
  assign issue = active_q && !skip && row_valid_i && room_q != '0 && (!cfg_i.bias || bias_valid_q) &&
                 (!need_y || aux_valid_i);
  assign take_y = issue && need_y;
  // The word at the head is the bias if none is held, or if this row is the last that needs the one held.
  assign load_bias = cfg_i.bias && aux_valid_i && (!bias_valid_q || (issue && tile_last && !need_y));
  assign aux_ready_o = take_y || load_bias;
  assign row_ready_o = issue || skip;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      active_q <= 1'b0;
      bias_valid_q <= 1'b0;
      skip_q <= '0;
      room_q <= OutW'(OutDepth);
    end else begin
      if (start_i) active_q <= 1'b1;
      else if (issue && last) active_q <= 1'b0;
      if (load_bias) bias_valid_q <= 1'b1;
      else if (issue && tile_last) bias_valid_q <= 1'b0;
      if (issue && tile_last) skip_q <= ~row_end;
      else if (skip && row_valid_i) skip_q <= skip_q - 1'b1;
      if (issue != (wr_valid_o && wr_ready_i)) room_q <= issue ? room_q - 1'b1 : room_q + 1'b1;
    end
  end

  always_ff @(posedge clk_i) if (load_bias) bias_q <= aux_data_i;

  assign idle_o = !active_q && !skip && room_q == OutW'(OutDepth) && valid_q == '0;

  // Pipeline: valid bits, then address and mask of each stage's row.
  meta_t meta_q [NumStages];
  meta_t meta;
  logic [31:0] row_key;         // of the row in stage 3: its part of the random bits
  logic [31:0] row_key_q [2];
  logic [15:0] rand_col_q [5];

  // Stages after RoundStage work for tanh only.
  assign load = {valid_q[TanhStage-1:RoundStage] & {(TanhStage - RoundStage){tanh_i}},
                 valid_q[RoundStage-1:0], issue};
  assign meta.addr = addr;
  assign meta.mask = col_last ? (Lanes'(2) << shape_i.n_last[LaneW-1:0]) - 1'b1 : '1;  // lanes 0 to n_last

  always_ff @(posedge clk_i) begin
    if (!rst_ni) valid_q <= '0;
    else valid_q <= load;
  end

  always_ff @(posedge clk_i) begin
    for (int unsigned s = 0; s < NumStages; s++) begin
      if (load[s]) meta_q[s] <= s == 0 ? meta : meta_q[s-1];
    end
    if (cfg_i.stochastic) begin
      for (int unsigned s = 0; s < 5; s++) begin
        if (load[s]) begin
          rand_col_q[s] <= s == 0 ? col : rand_col_q[s-1];
        end
      end
    end
  end

  lathe_rng #(
    .Stages(3)
  ) u_row_key (
    .clk_i,
    .en_i(cfg_i.stochastic && (|load[2:0])),
    .key_i,
    .index_i(32'(row)),
    .rand_o(row_key)
  );
  always_ff @(posedge clk_i) begin
    if (cfg_i.stochastic && load[3]) row_key_q[0] <= row_key;
    if (cfg_i.stochastic && load[4]) row_key_q[1] <= row_key_q[0];
  end

  // Lanes.
  logic [Lanes-1:0] sat;
  logic signed [ValueW-1:0] value [Lanes];
  logic [Lanes-1:0][15:0] result;

  for (genvar l = 0; l < Lanes; l++) begin : gen_lane
    // verilator lint_off UNUSEDSIGNAL
    logic [31:0] rand32;  // the lower half rounds
    // verilator lint_on UNUSEDSIGNAL
    logic signed [15:0] rounded, tanh;

    lathe_rng #(
      .Stages(3)
    ) u_rng (
      .clk_i,
      .en_i  (cfg_i.stochastic && (|load[7:5])),
      .key_i  (row_key_q[1]),
      .index_i(32'(rand_col_q[4] | 16'(l))),
      .rand_o(rand32)
    );

    lathe_gemm_lane u_lane (
      .clk_i,
      .cfg_i,
      .load_i  (load),
      .acc_i   (row_data_i[l]),
      .bias_i  (bias_q[l]),
      .y_i     (aux_data_i[16*l+:16]),
      .rand_i  (rand32[15:0]),
      .value_o (value[l]),
      .sat_o   (sat[l]),
      .result_o(rounded),
      .tanh_o  (tanh)
    );

    assign result[l] = tanh_i ? (meta_q[TanhStage].mask[l] ? tanh : '0) :
                       (meta_q[RoundStage].mask[l] ? rounded : '0);
  end

  // verilator lint_off PINCONNECTEMPTY
  lathe_fifo #(
    .Width(AddrW + Lanes * 16),
    .Depth(OutDepth)
  ) u_out (
    .clk_i,
    .rst_ni,
    .in_valid_i (tanh_i ? valid_q[TanhStage] : valid_q[RoundStage]),
    .in_ready_o (),
    .in_data_i  ({tanh_i ? meta_q[TanhStage].addr : meta_q[RoundStage].addr, result}),
    .out_valid_o(wr_valid_o),
    .out_ready_i(wr_ready_i),
    .out_data_o ({wr_addr_o, wr_data_o}),
    .level_o    ()
  );
  // verilator lint_on PINCONNECTEMPTY

  // What the exponent and the statistics need.
  logic or_valid_q, count_valid_q;
  logic [ValueW-1:0] or_d, or_q, magnitude_q;
  logic [CountW-1:0] count_d, count_q;
  logic [31:0] saturations_q;

  always_comb begin
    or_d = '0;
    count_d = '0;
    for (int unsigned l = 0; l < Lanes; l++) begin
      if (meta_q[5].mask[l]) or_d |= ValueW'(magnitude(64'(value[l])));
      count_d += CountW'(sat[l] && meta_q[RoundStage].mask[l]);
    end
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      or_valid_q <= 1'b0;
      count_valid_q <= 1'b0;
    end else begin
      or_valid_q <= load[6];
      count_valid_q <= valid_q[RoundStage] && !tanh_i;
    end
  end

  always_ff @(posedge clk_i) begin
    if (load[6]) or_q <= or_d;
    if (valid_q[RoundStage]) count_q <= count_d;
    if (start_i) begin
      magnitude_q <= '0;
      saturations_q <= '0;
    end else begin
      if (or_valid_q) magnitude_q <= magnitude_q | or_q;
      if (count_valid_q) saturations_q <= saturations_q + 32'(count_q);
    end
  end

  assign saturations_o = saturations_q;
  assign magnitude_o = magnitude_q;
endmodule
