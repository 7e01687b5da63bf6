// SPDX-License-Identifier: Apache-2.0
// Takes the rows of finished sums of one command after the other, one a cycle, through the lanes' arithmetic and writes them;
// lathe_gemm_report reports. Rows beyond M are dropped; lanes beyond N are written as zero and counted nowhere.
module lathe_gemm_drain
  import lathe_pkg::*;
  import lathe_desc_pkg::*;
  import lathe_gemm_pkg::*;
  import lathe_num_pkg::*;
#(
  parameter int unsigned Lanes = 8,
  parameter int unsigned Banks = 1  // of the scratchpad: results go out with row and bank
) (
  input  logic                       clk_i,
  input  logic                       rst_ni,
  output logic                       busy_o,        // not only waiting for rows, words or a command
  // The command whose rows come next. Taken when those of the one before have gone through the lanes.
  input  logic                       ctx_valid_i,
  output logic                       ctx_ready_o,
  input  drain_ctx_t                 ctx_i,
  // Rows of sums: of each tile its column sums, if ctx_i.colsum and it is in the first row block, then all Lanes rows.
  // A row's data comes a cycle after it is taken.
  input  logic                       row_valid_i,
  output logic                       row_ready_o,
  input  logic [AccW-1:0]            row_data_i [Lanes],
  // Bias, y and addend words.
  output logic                       rd_valid_o,
  input  logic                       rd_ready_i,
  output logic [AddrW-1:0]           rd_addr_o,
  input  logic                       rd_rvalid_i,
  input  logic [Lanes*16-1:0]        rd_rdata_i,
  output logic                       wr_valid_o,
  input  logic                       wr_ready_i,
  output logic                       wr_urgent_o,   // results begin to pile up
  output logic [AddrW-1:0]           wr_addr_o,
  output logic [Lanes*16-1:0]        wr_data_o,
  output logic                       block_o,       // a block of C (one column of words of a row block) has been accepted
  output logic                       block_last_o,  // with block_o: the last one of its command
  input  logic                       norm_clear_i,  // pulse: see lathe_gemm_norm
  output logic                       norm_zero_o,
  output logic signed [31:0]         norm_o,
  output logic                       done_valid_o,  // all words of a command have been accepted
  output done_t                      done_o
);
  localparam int unsigned OutDepth = 16;  // more than the pipeline holds, so it runs at full rate
  localparam int unsigned OutW = $clog2(OutDepth + 1);
  localparam int unsigned Urgent = 5;     // this many words wait
  localparam int unsigned LaneW = $clog2(Lanes);
  localparam int unsigned Groups = Lanes / 4;  // of lanes that share a hash

  // A row that is taken.
  typedef struct packed {
    logic [AddrW-1:0]  addr;
    logic [DimW-1:0]   row;         // of the whole, if the command is a piece
    logic [BlockW-1:0] col_block;   // of the piece
    logic              is_sum;      // a row of column sums
    logic              tile_first;  // first row of its tile
    logic              tile_last;   // last row of its tile
    logic              col_last;    // in the last column block
    logic              last;        // last one of the command
  } place_t;

  // A row's way through the pipeline.
  typedef struct packed {
    logic [AddrW-1:0] addr;
    logic [LaneW-1:0] row;        // within its tile
    logic             write;      // else kept for the odd tile (int8)
    logic             odd;        // the odd tile of two (int8)
    logic             is_sum;     // column sums
    logic             block_end;  // last word of a block
    logic             cmd_end;    // last word of the command
  } meta_t;

  // Command.
  drain_ctx_t ctx_q;
  single_t single_q;
  logic idle_q, start_q, started_q, issuing_q, finish, report_ready, take_ctx;

  assign ctx_ready_o = idle_q;
  assign take_ctx = ctx_valid_i && idle_q;

  always_ff @(posedge clk_i) begin
    if (idle_q) begin
      ctx_q <= ctx_i;
      single_q <= '{row_block: ctx_i.shape.m_last[DimW-1:LaneW] == '0, row: ctx_i.shape.m_last[LaneW-1:0] == '0,
                    col_block: ctx_i.shape.n_last[DimW-1:LaneW] == '0};
    end
  end

  // Walk over the rows that are taken; the rest of a tile's rows is skipped. What decides about a row comes out of
  // registers; the row itself comes a cycle after the decision.
  (* keep *) logic step;     // one level of logic
  logic issue, issue_q, skip_valid_q, skip_end, is_sum_q, bias_load, bias_load_q, bias_valid_q;
  logic open;                // a row may be taken: neither is the rest of a tile skipped nor is there no room
  logic ends;                // not after this one: it is the last one that is visited of its tile or the command
  logic step_ok_q, sum_ok_q;  // it may be one of a tile, as far as a bias is concerned, or one of column sums
  logic next_bias, next_bias_q;  // of a command whose rows have words of their own: the next word is a bias
  logic want_bias_q;         // the next row wants a bias: it is the first one of its tile
  logic step_bias, stay_bias, step_sum, stay_sum;  // want_bias_q and is_sum_q after a step and without
  place_t place, place_q;
  logic [LaneW-1:0] row_end, skip_q;
  logic row_first;
  logic [OutW-1:0] room_q;  // of the output FIFO, less what is in the pipeline
  logic tanh_near, aux_valid, writes;
  logic [Lanes*16-1:0] aux_data, aux_q;
  logic [NumStages-1:0] load, valid_q;
  logic queued_valid, queued_ready;  // out of the output FIFO
  logic aux_busy, norm_busy;

  assign busy_o = load != '0 || queued_valid || wr_valid_o || aux_busy || norm_busy;

  lathe_gemm_walk #(
    .Lanes(Lanes)
  ) u_walk (
    .clk_i,
    .shape_i     (ctx_q.shape),
    .single_i    (single_q),
    .base_i      (ctx_q.base),
    .stride_i    (ctx_q.stride),
    .pair_i      (ctx_q.lane.int8_result),
    .first_row_i (ctx_q.first_row),
    .start_i     (start_q),
    .step_i      (step),
    .addr_o      (place.addr),
    .row_o       (place.row),
    .col_block_o (place.col_block),
    .row_end_o   (row_end),
    .row_first_o (row_first),
    .tile_first_o(place.tile_first),
    .tile_last_o (place.tile_last),
    .col_last_o  (place.col_last),
    .last_o      (place.last)
  );

  assign place.is_sum = is_sum_q;

  lathe_gemm_aux #(
    .Lanes(Lanes)
  ) u_aux (
    .clk_i,
    .rst_ni,
    .busy_o      (aux_busy),
    .ctx_i       (ctx_q),
    .single_i    (single_q),
    .rows_i      (ctx_q.needs_rows),
    .start_i     (start_q),
    .rd_valid_o,
    .rd_ready_i,
    .rd_addr_o,
    .rd_rvalid_i,
    .rd_rdata_i,
    .word_valid_o(aux_valid),
    .word_ready_i(bias_load || (step && ctx_q.needs_rows)),
    .word_data_o (aux_data)
  );

  assign step = step_ok_q && row_valid_i && (!ctx_q.needs_rows || aux_valid);
  assign issue = step || (sum_ok_q && row_valid_i);
  // A row of column sums is never a tanh: it would overtake the last rows before it if they are.
  assign tanh_near = ctx_q.lane.act_tanh && (issue || load[2:0] != '0);
  // Two rows that were taken do not count yet.
  assign open = room_q > OutW'(2) && (start_q || (issuing_q && (!skip_valid_q || skip_end)));
  assign ends = place.tile_last && (row_end != '1 || place.last);
  assign next_bias = ctx_q.lane.bias && (start_q || (step && place.tile_last) || (next_bias_q && !bias_load));
  assign step_bias = ctx_q.lane.bias && place.tile_last;
  assign stay_bias = start_q ? ctx_q.lane.bias : want_bias_q;
  // Column sums come before a tile.
  assign step_sum = ctx_q.colsum && row_first && place.tile_last && !place.col_last;
  assign stay_sum = start_q ? ctx_q.colsum : is_sum_q && !(sum_ok_q && row_valid_i);
  assign skip_end = row_valid_i && skip_q == LaneW'(1);
  assign row_ready_o = issue || skip_valid_q;
  // The bias of the next tile waits in the lanes' first stage until that tile's first row has gone to the second one.
  assign bias_load = ctx_q.lane.bias && aux_valid && !bias_valid_q && (!ctx_q.needs_rows || place.tile_first);
  assign writes = !ctx_q.lane.int8_result || place_q.col_block[0] || place_q.col_last;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      idle_q <= 1'b1;
      start_q <= 1'b0;
      issuing_q <= 1'b0;
      issue_q <= 1'b0;
      bias_valid_q <= 1'b0;
      bias_load_q <= 1'b0;
      skip_valid_q <= 1'b0;
      room_q <= OutW'(OutDepth);
      step_ok_q <= 1'b0;
      sum_ok_q <= 1'b0;
    end else begin
      if (take_ctx) idle_q <= 1'b0;
      else if (finish) idle_q <= 1'b1;
      start_q <= take_ctx;
      if (start_q) issuing_q <= 1'b1;
      else if (step && place.last) issuing_q <= 1'b0;
      issue_q <= issue;
      bias_load_q <= bias_load;
      if (bias_load) bias_valid_q <= 1'b1;
      else if (step && place.tile_first) bias_valid_q <= 1'b0;
      if (step && place.tile_last) skip_valid_q <= row_end != '1;
      else if (skip_end) skip_valid_q <= 1'b0;
      if ((issue_q && writes) != (queued_valid && queued_ready)) begin
        room_q <= (issue_q && writes) ? room_q - 1'b1 : room_q + 1'b1;
      end
      step_ok_q <= open && (step ? !ends && !step_sum && (!step_bias || bias_load || (bias_valid_q && !place.tile_first)) :
                                   !stay_sum && (!stay_bias || bias_load || bias_valid_q));
      sum_ok_q <= open && (step ? !ends && step_sum : stay_sum) && !tanh_near;
    end
  end

  always_ff @(posedge clk_i) begin
    if (!skip_valid_q) skip_q <= ~row_end;
    else if (row_valid_i) skip_q <= skip_q - 1'b1;
    started_q <= start_q;
    next_bias_q <= next_bias;
    want_bias_q <= step ? step_bias : stay_bias;
    is_sum_q <= step ? step_sum : stay_sum;
    if (issuing_q) place_q <= place;
    if (ctx_q.needs_aux) aux_q <= aux_data;
  end

  // Nothing of the command is to come, and nothing in the lanes but what leaves in this cycle.
  assign finish = !idle_q && !start_q && !issuing_q && !skip_valid_q && load == '0 && report_ready;

  // Pipeline: valid bits, then what rides along. A row of column sums has no addend and no activation.
  meta_t meta, out_meta;
  meta_t meta_q [NumStages];
  logic [RoundStage:0] sum_q;    // the row in this stage is one of column sums
  logic [Lanes-1:0] mask_q [3];  // of the row that comes, and in stages 0 and 1: not the pad lanes
  logic out_tanh, out_valid;

  function automatic logic is_tanh(logic act_tanh, logic is_sum);
    return act_tanh && !is_sum;
  endfunction

  assign load = {valid_q[TanhStage-1:RoundStage+1], valid_q[RoundStage] && is_tanh(ctx_q.lane.act_tanh, sum_q[RoundStage]),
                 valid_q[RoundStage-1:0], issue_q};
  assign meta.addr = place_q.is_sum ? ctx_q.aux_base + AddrW'(place_q.col_block) : place_q.addr;
  assign meta.row = place_q.row[LaneW-1:0];
  assign meta.write = writes;
  assign meta.odd = place_q.col_block[0];
  assign meta.is_sum = place_q.is_sum;
  assign meta.block_end = !place_q.is_sum && place_q.tile_last && writes;
  assign meta.cmd_end = !place_q.is_sum && place_q.last;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) valid_q <= '0;
    else valid_q <= load;
  end

  always_ff @(posedge clk_i) begin
    sum_q <= {sum_q[RoundStage-1:0], place_q.is_sum};
    if (load[0]) begin
      meta_q[0] <= meta;
      mask_q[1] <= mask_q[0];
    end
    if (load[1]) mask_q[2] <= mask_q[1];
    if (issuing_q) mask_q[0] <= place.col_last ? (Lanes'(2) << ctx_q.shape.n_last[LaneW-1:0]) - 1'b1 : '1;  // 0 to n_last
    for (int unsigned s = 1; s < NumStages; s++) begin
      if (load[s]) meta_q[s] <= meta_q[s-1];
    end
  end

  // Random bits: the row's key, from the cycle in which it is taken, then a hash for every four lanes, then the lanes' numbers.
  // Rows and columns count from those of the whole. A piece begins at a multiple of its column blocks, so OR adds them up.
  logic [DimW-1:0] row_index;
  logic [31:0] row_key;
  logic [31:0] hash [Groups];
  logic [BlockW-1:0] col_block_q;
  logic [15:0] term_q [Lanes];

  assign row_index = is_sum_q ? ctx_q.all_rows : place.row;

  lathe_rng #(
    .Stages(2)
  ) u_row_key (
    .clk_i,
    .en_i   (ctx_q.lane.stochastic && ((issuing_q && row_valid_i) || load[0])),
    .key_i  (ctx_q.key),
    .index_i(32'(row_index)),
    .rand_o (row_key)
  );

  for (genvar g = 0; g < Groups; g++) begin : gen_hash
    lathe_rng #(
      .Stages(3)
    ) u_rng (
      .clk_i,
      .en_i   (ctx_q.lane.stochastic && (|load[3:1])),
      .key_i  (row_key),
      .index_i(group_index(16'(col_block_q) * 16'(Groups) | 16'(g))),
      .rand_o (hash[g])
    );
  end

  always_ff @(posedge clk_i) begin
    if (ctx_q.lane.stochastic && load[0]) col_block_q <= place_q.col_block | ctx_q.first_col;
  end

  // Lanes.
  logic [Lanes-1:0] sat;
  fixed_t x [Lanes];
  logic [30:0] terms [Lanes], terms3_q, terms4_q;  // joined; with the row in stages 3 and 4
  logic has_terms_q;
  logic [Lanes-1:0][15:0] result;
  logic [Lanes-1:0][7:0] bytes;
  logic tanh3, stochastic3, tanh4_q, arg_load_q;  // of the rows in these stages
  // Of the row or bias that comes: its window, what its addend is multiplied with. Of the row in stage 0: its addend.
  typedef struct packed {
    logic [4:0]  at;
    logic [3:0]  fine;
    logic [15:0] mask;
  } window_cfg_t;

  window_cfg_t value_window_q, sum_window_q, window_q;  // of the command's rows, of its column sums, of this row
  logic square_q, has_addend, addend_new_q;
  logic [15:0] unit_q;
  logic [14:2] beyond_q;  // bits of an addend that the fine amount shifts beyond 17 bits
  logic [2:0] addend_scale_q;

  assign tanh3 = is_tanh(ctx_q.lane.act_tanh, sum_q[3]);
  assign stochastic3 = ctx_q.lane.stochastic && !tanh3;
  assign has_addend = (ctx_q.lane.bias || ctx_q.lane.accumulate) && !place_q.is_sum;

  function automatic window_cfg_t window_cfg(logic [6:0] amount);
    return '{at: window_at(amount[6:4]), fine: amount[3:0], mask: window_mask(amount[3:0])};
  endfunction

  always_ff @(posedge clk_i) begin
    tanh4_q <= tanh3;
    arg_load_q <= load[RoundStage-1] && ctx_q.lane.act_tanh;
    has_terms_q <= ctx_q.lane.bias || ctx_q.lane.accumulate || ctx_q.lane.dact_tanh;
    if (load[3] && has_terms_q) begin
      logic [30:0] joined;
      joined = '0;
      for (int unsigned l = 0; l < Lanes; l++) joined |= terms[l];
      terms3_q <= joined;
    end
    if (load[4]) begin
      if (!has_terms_q) terms4_q <= '0;
      else terms4_q <= ctx_q.lane.int8_result ? terms3_q >> 8 : terms3_q;  // an int8 result lies 8 bits lower in the window
    end
    if (started_q) begin
      unit_q <= 16'd1 << ctx_q.lane.addend_shift[3:0];
      for (int unsigned i = 2; i < 15; i++) beyond_q[i] <= ctx_q.lane.addend_shift[3:0] >= 4'(17 - i);
    end
    square_q <= ctx_q.lane.dact_tanh && !next_bias;
    addend_new_q <= ctx_q.lane.accumulate || place_q.tile_first || !has_addend;
    addend_scale_q <= has_addend ? 3'd1 << ctx_q.lane.addend_shift[5:4] : '0;
    if (start_q) begin
      value_window_q <= window_cfg(ctx_q.lane.shift);
      sum_window_q <= window_cfg(ctx_q.colsum_shift);
    end
    if (issuing_q) window_q <= is_sum_q ? sum_window_q : value_window_q;
  end

  for (genvar l = 0; l < Lanes; l++) begin : gen_lane
    logic signed [16:0] factor_q;  // of aux_q

    always_ff @(posedge clk_i) begin
      if (ctx_q.needs_aux) factor_q <= square_q ? 17'(signed'(aux_data[16*l+:16])) : {1'b0, unit_q};
      if (load[4]) term_q[l] <= round_term(stochastic3, rand16(hash[l/4], 2'(l)));
    end

    lathe_gemm_lane u_lane (
      .clk_i,
      .cfg_i        (ctx_q.lane),
      .load_i       (load),
      .acc_i        (row_data_i[l]),
      .at_i         (window_q.at),
      .fine_i       (window_q.fine),
      .mask_i       (window_q.mask),
      .real_i       (mask_q[0][l]),
      .aux_i        (aux_q[16*l+:16]),
      .addend_load_i(bias_load_q || (load[0] && ctx_q.lane.accumulate)),
      .factor_i     (factor_q),
      .beyond_i     (beyond_q),
      .addend_new_i (addend_new_q),
      .scale_i      (addend_scale_q),
      .keep_i       (mask_q[2][l]),
      .plain_i      (sum_q[1]),
      .terms_i      (has_terms_q),
      .nearest_i    (!stochastic3),
      .tanh_i       (tanh4_q),
      .arg_load_i   (arg_load_q),
      .term_i       (term_q[l]),
      .terms_o      (terms[l]),
      .x_o          (x[l]),
      .sat_o        (sat[l]),
      .result_o     (result[l])
    );

    assign bytes[l] = result[l][7:0];
  end

  // Results. Of two int8 tiles beside each other the even one's rows wait for those of the odd one.
  logic [Lanes*8-1:0] even [Lanes];
  logic [Lanes*16-1:0] word;
  // A word that waits to be written.
  typedef struct packed {
    logic                   norm;    // of a command that goes to the gradient norm
    logic                   is_sum;
    logic signed [ExpW-1:0] exp;
    logic                   block_end;
    logic                   cmd_end;
    logic [AddrW-1:0]       place;
    logic [Lanes*16-1:0]    data;
  } queued_t;

  logic block_end, cmd_end, write_ready, pass;
  queued_t queued, out_word;
  logic [OutW-1:0] out_level;

  assign out_tanh = valid_q[TanhStage];
  assign out_valid = out_tanh || (valid_q[RoundStage] && !load[RoundStage+1]);
  assign out_meta = out_tanh ? meta_q[TanhStage] : meta_q[RoundStage];

  always_comb begin
    word = 'x;
    if (out_valid) begin
      if (!ctx_q.lane.int8_result) word = result;
      else if (out_meta.odd) word = {bytes, even[out_meta.row]};
      else word = {{Lanes*8{1'b0}}, bytes};
    end
  end

  always_ff @(posedge clk_i) begin
    if (out_valid && !out_meta.write) even[out_meta.row] <= bytes;
  end

  assign out_word = '{norm: ctx_q.norm, is_sum: out_meta.is_sum, exp: ExpW'((out_meta.is_sum ? ctx_q.colsum_exp : ctx_q.value_exp) + 10'sd16),
                      block_end: out_meta.block_end, cmd_end: out_meta.cmd_end, place: place_of(out_meta.addr, $clog2(Banks)),
                      data: word};

  // verilator lint_off PINCONNECTEMPTY
  lathe_fifo #(
    .Width($bits(queued_t)),
    .Depth(OutDepth),
    .NeverFull(1'b1)
  ) u_out (
    .clk_i,
    .rst_ni,
    .in_valid_i (out_valid && out_meta.write),
    .in_ready_o (),
    .in_data_i  (out_word),
    .out_valid_o(queued_valid),
    .out_ready_i(queued_ready),
    .out_data_o (queued),
    .level_o    (out_level)
  );
  // verilator lint_on PINCONNECTEMPTY

  lathe_spill_wide #(
    .Width(2 + AddrW + Lanes * 16),
    .WideW(Lanes * 16)
  ) u_write (
    .clk_i,
    .rst_ni,
    .in_valid_i (queued_valid && pass),
    .in_ready_o (write_ready),
    .in_data_i  ({queued.block_end, queued.cmd_end, queued.place, queued.data}),
    .out_valid_o(wr_valid_o),
    .out_ready_i(wr_ready_i),
    .out_data_o ({block_end, cmd_end, wr_addr_o, wr_data_o})
  );

  // A word of a gradient goes to its norm too, and waits for it.
  logic norm_ready;
  assign pass = !queued.norm || norm_ready;
  assign queued_ready = write_ready && pass;

  lathe_gemm_norm #(
    .Lanes(Lanes)
  ) u_norm (
    .clk_i,
    .rst_ni,
    .busy_o      (norm_busy),
    .clear_i     (norm_clear_i),
    .word_valid_i(queued_valid && queued.norm),
    .word_ready_o(norm_ready),
    .word_taken_i(queued_valid && queued.norm && queued_ready),
    .word_last_i (queued.cmd_end),
    .word_sum_i  (queued.is_sum),
    .word_exp_i  (queued.exp),
    .word_i      (queued.data),
    .zero_o      (norm_zero_o),
    .norm_o
  );

  always_ff @(posedge clk_i) wr_urgent_o <= out_level >= OutW'(Urgent);

  logic accepted_q, block_end_q, cmd_end_q;  // a word was accepted a cycle ago

  always_ff @(posedge clk_i) begin
    accepted_q <= rst_ni && wr_valid_o && wr_ready_i;
    block_end_q <= block_end;
    cmd_end_q <= cmd_end;
  end

  assign block_o = accepted_q && block_end_q;
  assign block_last_o = cmd_end_q;

  lathe_gemm_report #(
    .Lanes(Lanes)
  ) u_report (
    .clk_i,
    .rst_ni,
    .clear_i     (started_q),
    .row_valid_i (load[RoundStage]),
    .row_sum_i   (sum_q[RoundStage-1]),
    .row_track_i (!is_tanh(ctx_q.lane.act_tanh, sum_q[RoundStage-1])),
    .row_i       (x),
    .row_terms_i (terms4_q),
    .out_valid_i (out_valid),
    .sat_i       (sat),
    .finish_i    (finish),
    .colsum_i    (ctx_q.colsum),
    .value_exp_i (ctx_q.value_exp),
    .colsum_exp_i(ctx_q.colsum_exp),
    .ready_o     (report_ready),
    .written_i   (accepted_q && cmd_end_q),
    .done_valid_o,
    .done_o
  );

`ifndef SYNTHESIS
  logic live_q;  // after a reset, when registers no longer hold what they powered up with
  initial live_q = 1'b0;
  always @(posedge clk_i) begin
    live_q <= rst_ni;
    if (live_q) assert (!(out_tanh && valid_q[RoundStage] && !load[RoundStage+1])) else $error("two rows leave the lanes");
    if (live_q && start_q) begin
      assert (ctx_q.first_row == '0 || (single_q.row_block && ctx_q.first_row[LaneW-1:0] == '0)) else $error("rows of a piece");
      assert (!ctx_q.lane.int8_result || !ctx_q.first_col[0]) else $error("a piece begins inside a word");
    end
    if (live_q && load[0]) assert ((place_q.col_block & ctx_q.first_col) == '0) else $error("columns of a piece");
  end
`endif
endmodule
