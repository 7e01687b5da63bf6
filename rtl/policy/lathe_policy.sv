// SPDX-License-Identifier: Apache-2.0
// Policy unit: SAMPLE draws actions from rows of logits, EVALUATE gives log-probabilities of recorded ones, MEASURE aggregates log ratios
// over sequences, LOSS makes the gradient of the policy, entropy and value losses (docs/numerics.md, section 8). One element a cycle
// through a pipeline of passes, with several samples in flight. SCAN makes advantages and returns of records, from the last to the first,
// with the ratios that LOSS uses. Configuration is taken with the command. Checks no command.
//
//   read ── log_softmax ──┬── pick (SAMPLE, EVALUATE) ───────┬── write
//              └─ score ──┼── grad (LOSS) ───────────────────┤
//                   │     ├── stats                          │
//                   │     └── sequence ─── pick (MEASURE) ───┤
//                   └─ ratio ── reverse_scan ── pick (SCAN) ─┘
module lathe_policy
  import lathe_policy_pkg::*;
#(
  parameter int unsigned Lanes = 8
) (
  input  logic                     clk_i,
  input  logic                     rst_ni,
  input  logic                     cmd_valid_i,
  output logic                     cmd_ready_o,
  input  lathe_pkg::cmd_t          cmd_i,
  output logic                     done_valid_o,
  output lathe_pkg::done_t         done_o,
  input  lathe_pkg::policy_cfg_t   cfg_i,
  output lathe_pkg::policy_stats_t stats_o,
  input  logic                     stats_clear_i,

  output logic                     rd_valid_o,
  input  logic                     rd_ready_i,
  output logic [15:0]              rd_addr_o,
  input  logic                     rd_rvalid_i,
  input  logic [Lanes*16-1:0]      rd_rdata_i,

  output logic                     wr_valid_o,
  input  logic                     wr_ready_i,
  output logic [15:0]              wr_addr_o,
  output logic [Lanes*16-1:0]      wr_data_o,

  output logic                     stall_operand_o,
  output logic                     stall_result_o
);
  if (Lanes != 4 && Lanes != 8 && Lanes != 16) begin : gen_illegal
    $fatal(1, "lathe_policy: Lanes must be 4, 8 or 16");
  end
  localparam int unsigned RecWords = lathe_pkg::record_words(Lanes);

  // Command; it has fields of other units too.
  // verilator lint_off UNUSEDSIGNAL
  lathe_pkg::cmd_t        cmd_q;
  // verilator lint_on UNUSEDSIGNAL
  lathe_pkg::policy_cfg_t cfg_q;
  logic                   accept, start_q, row_done, write_empty;
  logic                   run_q, idle_q;     // one is not the other
  logic                   loss_q, sample_q, evaluate_q, measure_q, scan_q;  // the operation
  logic                   scans_q;           // scan_q a cycle later, for what is far from the command
  logic                   none_q;            // no row is left
  logic [15:0]            rows_left_q;
  logic [15:0]            first_in_q, first_out_q;  // SCAN: from the first record to that where reading, writing begins; else 0

  assign cmd_ready_o = idle_q;
  assign accept = cmd_valid_i && cmd_ready_o;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      run_q <= 1'b0;
      idle_q <= 1'b1;
      start_q <= 1'b0;
      none_q <= 1'b0;
      done_valid_o <= 1'b0;
    end else begin
      if (accept || done_valid_o) begin
        run_q <= accept;
        idle_q <= !accept;
      end
      start_q <= accept;
      none_q <= run_q && rows_left_q == '0;
      done_valid_o <= run_q && none_q && write_empty && !done_valid_o;
    end
  end

  // Whatever is there while the unit is idle is loaded; the command is what is there last.
  always_ff @(posedge clk_i) begin
    if (idle_q) begin
      cmd_q <= cmd_i;
      cfg_q <= cfg_i;
      loss_q <= cmd_i.op == lathe_desc_pkg::PolicyLoss;
      sample_q <= cmd_i.op == lathe_desc_pkg::PolicySample;
      evaluate_q <= cmd_i.op == lathe_desc_pkg::PolicyEvaluate;
      measure_q <= cmd_i.op == lathe_desc_pkg::PolicyMeasure;
      scan_q <= cmd_i.op == lathe_desc_pkg::PolicyScan;
      rows_left_q <= cmd_i.m;
      first_in_q <= '0;
      first_out_q <= '0;
      if (cmd_i.op == lathe_desc_pkg::PolicyScan) begin
        cmd_q.t[1].stride <= -16'(RecWords);
        cmd_q.t[2].stride <= -16'(RecWords);
        first_in_q <= (cmd_i.m - 16'd1) << (RecWords - 1);
        first_out_q <= (cmd_i.m - cmd_i.n) << (RecWords - 1);
      end
    end else begin
      if (start_q && scan_q) begin
        cfg_q.rho.source <= lathe_desc_pkg::SourceOwn;
        cfg_q.stats_rho <= 1'b1;
      end
      if (row_done) rows_left_q <= rows_left_q - 16'd1;
    end
  end

  always_ff @(posedge clk_i) scans_q <= scan_q;

  // Where records begin.
  lathe_pkg::operand_t rec_src, dst;
  always_comb begin
    rec_src = cmd_q.t[1];
    rec_src.addr = cmd_q.t[1].addr + first_in_q;
    dst = cmd_q.t[2];
    dst.addr = cmd_q.t[2].addr + first_out_q;
  end

  // Rows in.
  logic    z_valid, z_room, z_last, rec_valid, rec_pop, starved;
  z_t      z;
  record_t rec;
  logic    carried_pop, sequence_pop, score_pop, scan_take, scan_ready;
  kept_t   carried;
  sequence_t sequence_word;

  lathe_policy_read #(
    .Lanes(Lanes)
  ) u_read (
    .clk_i,
    .rst_ni,
    .start_i(start_q),
    .records_i(!sample_q),
    .carry_i(evaluate_q || scan_q),
    .sequences_i(cmd_q.sequence_words),
    .scan_i(scan_q),
    .src_i(cmd_q.t[0]),
    .rec_src_i(rec_src),
    .seq_src_i(cmd_q.t[4]),
    .rows_i(cmd_q.m),
    .cols_i(cmd_q.n[CountW-1:0]),
    .row_done_i(row_done),
    .starved_o(starved),
    .rd_valid_o,
    .rd_ready_i,
    .rd_addr_o,
    .rd_rvalid_i,
    .rd_rdata_i,
    .z_valid_o(z_valid),
    .z_room_i(z_room),
    .z_last_o(z_last),
    .z_o(z),
    .rec_valid_o(rec_valid),
    .rec_pop_i(rec_pop),
    .rec_o(rec),
    .sequence_pop_i(sequence_pop),
    .sequence_o(sequence_word),
    .carried_pop_i(carried_pop),
    .carried_o(carried)
  );

  assign scan_take = scans_q && rec_valid && scan_ready;
  assign rec_pop = score_pop || scan_take;

  logic        sum_valid, early_valid, elem_valid, elem_ready;
  logic [21:0] sum;
  elem_t       early, elem;

  lathe_log_softmax u_log_softmax (
    .clk_i,
    .rst_ni,
    .in_valid_i(z_valid),
    .in_room_o(z_room),
    .in_last_i(z_last),
    .in_z_i(z),
    .sum_valid_o(sum_valid),
    .sum_o(sum),
    .early_valid_o(early_valid),
    .early_o(early),
    .out_valid_o(elem_valid),
    .out_ready_i(elem_ready),
    .out_o(elem)
  );

  // Random numbers: one a row (SAMPLE), or one for four columns (LOSS; SAMPLE's column is 0). Rows count from
  // those of the whole if the command is a piece.
  logic [15:0]     random_row_q;
  logic [31:0]     row_key, random;
  logic [ColW-3:0] grad_random_col;
  logic            grad_row_end;

  always_ff @(posedge clk_i) begin
    if (start_q) random_row_q <= cmd_q.first_row;
    else if (loss_q ? grad_row_end : sum_valid) random_row_q <= random_row_q + 16'd1;
  end

  lathe_rng #(
    .Stages(3)
  ) u_row_key (
    .clk_i,
    .en_i(run_q),
    .key_i(cmd_q.key),
    .index_i(32'(random_row_q)),
    .rand_o(row_key)
  );
  lathe_rng #(
    .Stages(3)
  ) u_random (
    .clk_i,
    .en_i(run_q),
    .key_i(row_key),
    .index_i(lathe_num_pkg::group_index(16'(grad_random_col))),
    .rand_o(random)
  );

  // What is known per sample.
  logic               ctx_valid, sample_valid, token_valid, ends;
  logic signed [16:0] x_r, x_rho;
  logic [20:0]        ratio;
  context_t           ctx;
  sample_t            sample;

  lathe_policy_score u_score (
    .clk_i,
    .rst_ni,
    .start_i(start_q),
    .loss_i(!sample_q && !scan_q),
    .cfg_i(cfg_q),
    .random_i(random[31:8]),
    .sum_valid_i(sum_valid),
    .sum_i(sum),
    .scan_i(scan_take),
    .ratio_o(ratio),
    .early_valid_i(early_valid),
    .early_i(early),
    .rec_i(rec),
    .rec_pop_o(score_pop),
    .sequences_i(cmd_q.sequence_words),
    .sequence_i(sequence_word),
    .sequence_pop_o(sequence_pop),
    .token_valid_o(token_valid),
    .x_r_o(x_r),
    .x_rho_o(x_rho),
    .ends_o(ends),
    .ctx_valid_o(ctx_valid),
    .ctx_pop_i(elem_ready && elem.last),
    .ctx_o(ctx),
    .sample_valid_o(sample_valid),
    .sample_o(sample)
  );

  lathe_policy_stats u_stats (
    .clk_i,
    .rst_ni,
    .clear_i(stats_clear_i),
    .valid_i(sample_valid && loss_q),
    .sample_i(sample),
    .stats_o
  );

  logic        word_valid, word_pop;
  logic [63:0] word;

  lathe_policy_sequence u_sequence (
    .clk_i,
    .rst_ni,
    .start_i(start_q),
    .cfg_i(cfg_q),
    .valid_i(token_valid && measure_q),
    .x_r_i(x_r),
    .x_rho_i(x_rho),
    .ends_i(ends),
    .word_valid_o(word_valid),
    .word_pop_i(word_pop),
    .word_o(word)
  );

  // SCAN. A record's words get their places one by one.
  logic               room, scan_skip, scan_valid, scan_room, scan_pop, half_q;
  logic signed [15:0] scan_advantage, scan_return;
  logic [16:0]        scan_saturations;

  lathe_reverse_scan #(
    .RatioCycles(15)
  ) u_scan (
    .clk_i,
    .rst_ni,
    .start_i(start_q),
    .cfg_i(cfg_q.scan),
    .environments_i(6'(cmd_q.n - 16'd1)),
    .in_valid_i(scans_q && rec_valid),
    .in_ready_o(scan_ready),
    .reward_i(rec.adv),
    .value_i(rec.ret),
    .last_i(rec.last),
    .terminated_i(rec.terminated),
    .ratio_i(ratio),
    .skip_o(scan_skip),
    .saturations_o(scan_saturations),
    .out_valid_o(scan_valid),
    .out_ready_i(scan_pop),
    .advantage_o(scan_advantage),
    .return_o(scan_return)
  );
  assign scan_room = scan_valid && room;
  assign scan_pop = scan_room && (RecWords == 1 || half_q);

  always_ff @(posedge clk_i) begin
    if (start_q) half_q <= 1'b0;
    else if (scan_room) half_q <= !half_q;
  end

  // Results.
  logic               grad_valid, grad_last, word_end, pick_valid, row_skip, first_q, begins;
  logic signed [15:0] grad;
  logic [127:0]       pick_rec;
  logic [31:0]        saturations;
  logic [6:0]         bits;
  logic signed [9:0]  e_v;

  assign e_v = -10'sd32 - signed'({5'b0, cmd_q.gshift});

  // An element is taken with its row's context and, if a word begins with it, room for that. Of a record's words the first
  // begins with the row's first element, the second with its last. MEASURE writes one when a sequence ends, and when it is there.
  logic [1:0] popping_q;  // word_valid is not yet that of the next word
  assign begins = measure_q ? elem.last && ctx.ends : first_q || (Lanes == 4 && evaluate_q && elem.last);
  assign elem_ready = elem_valid && ctx_valid && (!begins || (room && (!measure_q || (word_valid && popping_q == '0))));
  always_ff @(posedge clk_i) begin
    if (!rst_ni) popping_q <= '0;
    else popping_q <= {popping_q[0], measure_q && elem_ready && begins};
  end

  always_ff @(posedge clk_i) begin
    if (start_q) first_q <= 1'b1;
    else if (elem_ready) first_q <= loss_q ? word_end : elem.last;
  end

  lathe_policy_grad #(
    .Lanes(Lanes)
  ) u_grad (
    .clk_i,
    .rst_ni,
    .start_i(start_q),
    .stochastic_i(cmd_q.stochastic),
    .shift_i(10'(cmd_q.t[2].exp) - e_v),
    .entropy_coef_i(cfg_q.entropy_coef),
    .value_coef_i(cfg_q.value_coef),
    .on_i(loss_q),
    .fire_i(elem_ready && loss_q),
    .in_i(elem),
    .ctx_i(ctx),
    .word_end_o(word_end),
    .row_end_o(grad_row_end),
    .random_col_o(grad_random_col),
    .random_i(random),
    .out_valid_o(grad_valid),
    .out_last_o(grad_last),
    .out_o(grad),
    .saturations_o(saturations),
    .bits_o(bits)
  );

  lathe_policy_pick u_pick (
    .clk_i,
    .rst_ni,
    .start_i(start_q),
    .greedy_i(cmd_q.greedy),
    .recorded_i(!sample_q),
    .measure_i(measure_q),
    .version_i(cfg_q.version),
    .on_i(!loss_q),
    .fire_i(elem_ready && !loss_q),
    .first_i(first_q),
    .in_i(elem),
    .threshold_i(ctx.coef[21:0]),
    .action_i(ctx.action),
    .scan_skip_i(scan_skip),
    .scan_valid_i(scan_pop),
    .advantage_i(scan_advantage),
    .return_i(scan_return),
    .carried_pop_o(carried_pop),
    .carried_i(carried),
    .ends_i(ctx.ends),
    .word_pop_o(word_pop),
    .word_i(word),
    .row_skip_o(row_skip),
    .rec_valid_o(pick_valid),
    .rec_o(pick_rec)
  );

  lathe_policy_write #(
    .Lanes(Lanes)
  ) u_write (
    .clk_i,
    .rst_ni,
    .start_i(start_q),
    .dst_i(dst),
    .room_o(room),
    .take_i((elem_ready && begins) || scan_room),
    .elem_valid_i(grad_valid),
    .elem_last_i(grad_last),
    .elem_i(grad),
    .row_skip_i(row_skip || scan_skip),
    .rec_valid_i(pick_valid),
    .rec_whole_i(evaluate_q || scan_q),
    .rec_i(pick_rec),
    .row_done_o(row_done),
    .empty_o(write_empty),
    .wr_valid_o,
    .wr_ready_i,
    .wr_addr_o,
    .wr_data_o
  );

  // Completion. Only LOSS does not leave bits at zero, only LOSS and SCAN their saturations.
  always_ff @(posedge clk_i) begin
    if (none_q) begin
      done_o <= '0;
      done_o.saturations <= saturations | 32'(scan_saturations);
      done_o.result[0] <= '{track: bits != '0, top: lathe_num_pkg::top_of(bits, e_v)};
    end
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      stall_operand_o <= 1'b0;
      stall_result_o <= 1'b0;
    end else begin
      stall_operand_o <= run_q && starved && !(scans_q && (rec_valid || !scan_ready));
      stall_result_o <= run_q && ((elem_valid && ctx_valid && !elem_ready) || (scan_valid && !room));
    end
  end

`ifndef SYNTHESIS  // registers are random at time 0
  always_ff @(posedge clk_i) begin
    if (rst_ni && $time != 0) begin
      assert (!accept || (cmd_i.n >= 16'd2 && cmd_i.n <= 16'(MaxCols))) else $error("policy: n out of range");
      assert (!(early_valid && !sample_q) || rec_valid) else $error("policy: a row came before its record");
    end
  end
`endif
endmodule
