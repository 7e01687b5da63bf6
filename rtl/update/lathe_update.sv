// SPDX-License-Identifier: Apache-2.0
// Update unit (numerics.md, section 9): reads weights, gradient and momentum, writes new weights and momentum, `Lanes`
// elements per cycle; COMMIT and ROLLBACK are pulses to lathe_weights. Never writes what it was not given as a result,
// so a reset at any time leaves the current slot whole.
//
// A word of elements starts when w, g and m are there and both results have a place to wait in; then it runs through
// lathe_update_sgd without a stop. w is taken only where it is needed. Further optimizers: another datapath beside it,
// selected by `op`.
module lathe_update #(
  parameter int unsigned Lanes = 8
) (
  input  logic                        clk_i,
  input  logic                        rst_ni,
  input  logic                        cmd_valid_i,
  output logic                        cmd_ready_o,
  input  lathe_pkg::cmd_t             cmd_i,
  output logic                        done_valid_o,
  output lathe_pkg::done_t            done_o,
  input  lathe_pkg::update_cfg_t      cfg_i,          // taken with the command
  output logic                        commit_o,
  output logic                        rollback_o,
  input  logic                        rollback_ok_i,  // an older version is kept
  input  logic                        poisoned_i,     // the program has read an uncorrectable word: it must not commit

  output logic                        w_rd_valid_o,
  input  logic                        w_rd_ready_i,
  output logic [lathe_pkg::AddrW-1:0] w_rd_addr_o,
  input  logic                        w_rd_rvalid_i,
  input  logic [Lanes*16-1:0]         w_rd_rdata_i,
  output logic                        g_rd_valid_o,
  input  logic                        g_rd_ready_i,
  output logic [lathe_pkg::AddrW-1:0] g_rd_addr_o,
  input  logic                        g_rd_rvalid_i,
  input  logic [Lanes*16-1:0]         g_rd_rdata_i,
  output logic                        m_rd_valid_o,
  input  logic                        m_rd_ready_i,
  output logic [lathe_pkg::AddrW-1:0] m_rd_addr_o,
  input  logic                        m_rd_rvalid_i,
  input  logic [Lanes*16-1:0]         m_rd_rdata_i,

  output logic                        wn_wr_valid_o,
  input  logic                        wn_wr_ready_i,
  output logic [lathe_pkg::AddrW-1:0] wn_wr_addr_o,
  output logic [Lanes*16-1:0]         wn_wr_data_o,
  output logic                        mn_wr_valid_o,
  input  logic                        mn_wr_ready_i,
  output logic [lathe_pkg::AddrW-1:0] mn_wr_addr_o,
  output logic [Lanes*16-1:0]         mn_wr_data_o,

  output logic                        stall_operand_o,
  output logic                        stall_result_o
);
  import lathe_pkg::*;
  import lathe_desc_pkg::*;

  localparam int unsigned WordW = Lanes * 16;
  localparam int unsigned Depth = 16;  // words of an operand that are asked for or wait, of a result that are inside or wait

  if (Lanes != 4 && Lanes != 8 && Lanes != 16) begin : g_check
    $fatal(1, "lathe_update: Lanes must be 4, 8 or 16");
  end

  // ---- Control ----
  typedef enum logic [2:0] {Idle, Decode, Setup, Run, Done} state_e;
  state_e      state_q, state_d;
  // verilator lint_off UNUSEDSIGNAL
  cmd_t        cmd_q;  // has fields of other units too
  // verilator lint_on UNUSEDSIGNAL
  update_cfg_t cfg_q;
  error_e      error_q;
  logic        accept, written, sgd_q;  // sgd: not a pointer's command
  logic        open_q, open2_q;         // Idle or Done; its copy lets commands in
  logic        setup_q, done_q;         // these states

  assign cmd_ready_o = open_q;
  assign accept = cmd_valid_i && open_q;

  always_comb begin
    state_d = state_q;
    unique case (state_q)
      Decode: state_d = sgd_q ? Setup : Done;
      Setup: state_d = Run;
      Run: if (written) state_d = Done;
      default: state_d = cmd_valid_i ? Decode : Idle;  // Idle, Done
    endcase
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) state_q <= Idle;
    else state_q <= state_d;
    setup_q <= rst_ni && state_d == Setup;
    done_q <= rst_ni && state_d == Done;
  end

  (* keep *) always_ff @(posedge clk_i) begin
    open_q <= !rst_ni || state_d == Idle || state_d == Done;
    open2_q <= !rst_ni || state_d == Idle || state_d == Done;
  end

  always_ff @(posedge clk_i) begin
    if (open2_q) begin
      cmd_q <= cmd_i;
      sgd_q <= cmd_i.op == UpdateMomentum;
      cfg_q <= cfg_i;
      error_q <= ErrNone;
    end
    if (state_q == Decode) begin
      unique case (cmd_q.op)
        UpdateMomentum: error_q <= ErrNone;
        UpdateCommit: error_q <= poisoned_i ? ErrUncorrectable : ErrNone;
        UpdateRollback:          error_q <= rollback_ok_i ? ErrNone : ErrNoVersion;
        default:                 error_q <= ErrBadOp;
      endcase
    end
  end

  // The pointers move one cycle before the command is done
  logic commit_q, rollback_q;

  always_ff @(posedge clk_i) begin
    commit_q <= rst_ni && accept && cmd_i.op == UpdateCommit && !poisoned_i;
    rollback_q <= rst_ni && accept && cmd_i.op == UpdateRollback;
  end

  assign commit_o = commit_q;
  assign rollback_o = rollback_q && rollback_ok_i;

  // ---- Operands ----
  localparam int unsigned W = 0, G = 1, M = 2;
  logic [2:0]            in_valid, in_busy, rd_valid, rd_ready, rvalid_q, take;
  logic [2:0][AddrW-1:0] rd_addr;
  logic [WordW-1:0]      in_data [3], rdata_q [3];
  logic [1:0]            operand [3];
  logic [2:0]            any_q;      // words came, of elements not yet started
  logic                  start, operands_there;

  assign operand = '{2'd0, 2'd1, 2'd3};
  assign {m_rd_valid_o, g_rd_valid_o, w_rd_valid_o} = rd_valid;
  assign {m_rd_addr_o, g_rd_addr_o, w_rd_addr_o} = rd_addr;
  assign rd_ready = {m_rd_ready_i, g_rd_ready_i, w_rd_ready_i};

  always_ff @(posedge clk_i) begin
    rvalid_q <= {3{rst_ni}} & {m_rd_rvalid_i, g_rd_rvalid_i, w_rd_rvalid_i};
    rdata_q <= '{w_rd_rdata_i, g_rd_rdata_i, m_rd_rdata_i};
  end

  for (genvar i = 0; i < 3; i++) begin : g_read
    logic             walk_q, last_q, ask_ready, ask, words_busy;
    logic [AddrW-1:0] addr_q;
    logic [DimW-1:0]  left_q;  // words not yet asked for; last: one

    assign ask = walk_q && ask_ready;
    assign in_busy[i] = walk_q || words_busy;

    always_ff @(posedge clk_i) begin
      if (!rst_ni) walk_q <= 1'b0;
      else walk_q <= setup_q || (walk_q && !(ask && last_q));
      if (!walk_q || ask) begin
        addr_q <= walk_q ? addr_q + AddrW'(1) : cmd_q.t[operand[i]].addr;
        left_q <= walk_q ? left_q - DimW'(1) : cmd_q.n;
        last_q <= walk_q ? left_q == DimW'(2) : cmd_q.n == DimW'(1);
      end
    end

    lathe_word_reader #(
      .Lanes(Lanes),
      .Depth(Depth),
      .Counted(1'b1)
    ) u_words (
      .clk_i,
      .rst_ni,
      .req_valid_i(walk_q),
      .req_ready_o(ask_ready),
      .req_addr_i(addr_q),
      .rd_valid_o(rd_valid[i]),
      .rd_ready_i(rd_ready[i]),
      .rd_addr_o(rd_addr[i]),
      .rd_rvalid_i(rvalid_q[i]),
      .rd_rdata_i(rdata_q[i]),
      .word_valid_o(in_valid[i]),
      .word_ready_i(take[i]),
      .word_data_o(in_data[i]),
      .busy_o(words_busy)
    );
  end

  // Counted here, where it is decided, so that the decision waits for nothing that is far away.
  for (genvar i = 0; i < 3; i++) begin : g_there
    logic [4:0] there_q;

    always_ff @(posedge clk_i) begin
      if (!rst_ni) begin
        there_q <= '0;
        any_q[i] <= 1'b0;
      end else if (rvalid_q[i] != start) begin
        there_q <= there_q + {{4{!rvalid_q[i]}}, 1'b1};
        any_q[i] <= rvalid_q[i] || there_q[4:1] != '0;
      end
    end
  end

  // ---- Datapath ----
  logic             ready, mn_valid, wn_valid, running, w_take;
  logic [WordW-1:0] mn_word, wn_word;
  logic [31:0]      saturations;
  result_t          mn_result, wn_result;
  // Of the results: a place for one more, not all words written yet. Of the operands: not all words taken yet
  logic [1:0]       room, owing_q;
  logic             reading_q;

  assign operands_there = &any_q;
  assign start = ready && (&room) && operands_there;
  assign take = {start, start, w_take};  // M, G, W
  assign running = state_q == Run && reading_q;

  always_ff @(posedge clk_i) begin  // a cycle late
    stall_operand_o <= running && ready && (&room) && !operands_there;
    stall_result_o <= running && !(&room);
  end

  lathe_update_sgd #(
    .Lanes(Lanes)
  ) u_sgd (
    .clk_i,
    .rst_ni,
    .exp_i({cmd_q.t[4].exp, cmd_q.t[3].exp, cmd_q.t[2].exp, cmd_q.t[1].exp, cmd_q.t[0].exp}),
    .stochastic_i(cmd_q.stochastic),
    .key_i(cmd_q.key),
    .cfg_i(cfg_q),
    .setup_i(setup_q),
    .ready_o(ready),
    .in_valid_i(start),
    .g_i(in_data[G]),
    .m_i(in_data[M]),
    .w_take_o(w_take),
    .w_i(in_data[W]),
    .mn_valid_o(mn_valid),
    .mn_o(mn_word),
    .wn_valid_o(wn_valid),
    .wn_o(wn_word),
    .saturations_o(saturations),
    .mn_result_o(mn_result),
    .wn_result_o(wn_result)
  );

  assign done_valid_o = done_q;
  always_comb begin
    done_o = '0;
    done_o.error = error_q;
    if (sgd_q) begin
      done_o.saturations = saturations;
      done_o.result = {mn_result, wn_result};
    end
  end

  // ---- Results: w' is result 0, m' result 1 ----
  logic [1:0]       out_valid, fits, kept_valid, kept_ready, wr_valid, wr_ready, pop;
  logic [AddrW-1:0] addr_q [2], wr_addr [2];
  logic [WordW-1:0] out_data [2], kept_data [2], wr_data [2];

  assign out_valid = {mn_valid, wn_valid};
  assign out_data = '{wn_word, mn_word};
  assign wr_ready = {mn_wr_ready_i, wn_wr_ready_i};
  assign pop = kept_valid & kept_ready;
  assign {mn_wr_valid_o, wn_wr_valid_o} = wr_valid;
  assign {mn_wr_addr_o, wn_wr_addr_o} = {wr_addr[1], wr_addr[0]};
  assign {mn_wr_data_o, wn_wr_data_o} = {wr_data[1], wr_data[0]};

  for (genvar i = 0; i < 2; i++) begin : g_write
    logic [4:0] room_q;  // places for words that have not started
    logic       some_q;  // it is not 0

    assign room[i] = some_q;

    // verilator lint_off PINCONNECTEMPTY
    lathe_fifo #(
      .Width(WordW),
      .Depth(Depth),
      .NeverFull(1'b1)
    ) u_fifo (
      .clk_i,
      .rst_ni,
      .in_valid_i (out_valid[i]),
      .in_ready_o (fits[i]),
      .in_data_i  (out_data[i]),
      .out_valid_o(kept_valid[i]),
      .out_ready_i(kept_ready[i]),
      .out_data_o (kept_data[i]),
      .level_o    ()
    );
    // verilator lint_on PINCONNECTEMPTY

    always_ff @(posedge clk_i) begin
      if (!rst_ni) begin
        room_q <= 5'(Depth);
        some_q <= 1'b1;
      end else begin
        if (start != pop[i]) room_q <= room_q + {{4{start}}, 1'b1};
        some_q <= pop[i] || (some_q && (!start || room_q[4:1] != '0));
      end
    end

    always_ff @(posedge clk_i) begin
      if (setup_q) addr_q[i] <= cmd_q.t[i == 0 ? 2 : 4].addr;
      else if (pop[i]) addr_q[i] <= addr_q[i] + AddrW'(1);
    end

    lathe_spill_wide #(
      .Width(AddrW + WordW),
      .WideW(WordW)
    ) u_out (
      .clk_i,
      .rst_ni,
      .in_valid_i (kept_valid[i]),
      .in_ready_o (kept_ready[i]),
      .in_data_i  ({addr_q[i], kept_data[i]}),
      .out_valid_o(wr_valid[i]),
      .out_ready_i(wr_ready[i]),
      .out_data_o ({wr_addr[i], wr_data[i]})
    );

    always_ff @(posedge clk_i) owing_q[i] <= room_q != 5'(Depth) || wr_valid[i];
  end

  // All a cycle late: a word that moves from one of them to the next is never missed
  always_ff @(posedge clk_i) reading_q <= setup_q || in_busy != '0;
  assign written = !reading_q && owing_q == '0;

`ifndef SYNTHESIS
  logic checking_q;  // false before the first reset, when registers hold anything
  initial checking_q = 1'b0;
  always @(posedge clk_i) if (!rst_ni) checking_q <= 1'b1;

  always_ff @(posedge clk_i) begin
    if (checking_q && rst_ni && w_take) assert (in_valid[W]) else $error("w is not there");
    if (checking_q && rst_ni && start) assert (in_valid[G] && in_valid[M]) else $error("g or m is not there");
    if (checking_q && rst_ni) assert ((out_valid & ~fits) == '0) else $error("a result came without room for it");
    if (checking_q && rst_ni && setup_q) assert (cmd_q.m == 16'd1 && cmd_q.n != '0) else $error("shape");
  end
`endif
endmodule
