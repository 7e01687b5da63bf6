// SPDX-License-Identifier: Apache-2.0
// Update unit (numerics.md, section 9): reads weights, gradient and momentum, writes new weights and momentum, `Lanes`
// elements per cycle; COMMIT and ROLLBACK are pulses to lathe_weights. Never writes what it was not given as a result,
// so a reset at any time leaves the current slot whole.
//
// An element word starts when w, g and m are there, then runs through lathe_update_sgd; all words inside take a step
// when both results can be taken. w is taken only where it is needed. Further optimizers: another datapath beside it,
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
  localparam int unsigned WDepth = 16;  // words of w that wait, from the start of their element on

  if (Lanes != 4 && Lanes != 8 && Lanes != 16) begin : g_check
    $fatal(1, "lathe_update: Lanes must be 4, 8 or 16");
  end

  // ---- Control ----
  typedef enum logic [2:0] {Idle, Setup, Run, Point, Finish, Done} state_e;
  state_e      state_q, state_d;
  // verilator lint_off UNUSEDSIGNAL
  cmd_t        cmd_q;  // has fields of other units too
  // verilator lint_on UNUSEDSIGNAL
  update_cfg_t cfg_q;
  error_e      error_q;
  logic        accept, setup, written, sgd_q;  // sgd: not a pointer's command

  assign cmd_ready_o = state_q == Idle || state_q == Done;
  assign accept = cmd_valid_i && cmd_ready_o;
  assign setup = state_q == Setup;

  always_comb begin
    state_d = state_q;
    unique case (state_q)
      Idle, Done: begin
        state_d = Idle;
        if (cmd_valid_i) state_d = (cmd_i.op == UpdateSgd) ? Setup : Point;
      end
      Setup: state_d = Run;
      Run: if (written) state_d = Finish;
      Point: state_d = Done;
      default: state_d = Done;  // Finish
    endcase
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) state_q <= Idle;
    else state_q <= state_d;
  end

  always_ff @(posedge clk_i) begin
    if (accept) begin
      cmd_q <= cmd_i;
      sgd_q <= cmd_i.op == UpdateSgd;
      cfg_q <= cfg_i;
      error_q <= ErrNone;
    end
    if (state_q == Point) begin
      unique case (cmd_q.op)
        UpdateCommit:   error_q <= ErrNone;
        UpdateRollback: error_q <= rollback_ok_i ? ErrNone : ErrNoVersion;
        default:        error_q <= ErrBadOp;
      endcase
    end
  end

  // The pointers move one cycle before the command is done
  logic commit_q, rollback_q;

  always_ff @(posedge clk_i) begin
    commit_q <= rst_ni && accept && cmd_i.op == UpdateCommit;
    rollback_q <= rst_ni && accept && cmd_i.op == UpdateRollback;
  end

  assign commit_o = commit_q;
  assign rollback_o = rollback_q && rollback_ok_i;

  // ---- Operands ----
  localparam int unsigned W = 0, G = 1, M = 2;
  logic [2:0]            in_valid, in_busy, rd_valid, rd_ready, rd_rvalid, take;
  logic [2:0][AddrW-1:0] rd_addr;
  logic [WordW-1:0]      in_data [3];
  logic [1:0]            operand [3];
  logic [4:0]            w_there_q;  // words of w that came, of elements not yet started
  logic                  w_any_q;    // it is not 0
  logic                  start, operands_there;

  assign operand = '{2'd0, 2'd1, 2'd3};
  assign {m_rd_valid_o, g_rd_valid_o, w_rd_valid_o} = rd_valid;
  assign {m_rd_addr_o, g_rd_addr_o, w_rd_addr_o} = rd_addr;
  assign rd_ready = {m_rd_ready_i, g_rd_ready_i, w_rd_ready_i};
  assign rd_rvalid = {m_rd_rvalid_i, g_rd_rvalid_i, w_rd_rvalid_i};

  for (genvar i = 0; i < 3; i++) begin : g_read
    lathe_row_reader #(
      .Lanes(Lanes),
      .Depth(i == W ? WDepth : 8)
    ) u_reader (
      .clk_i,
      .rst_ni,
      .start_i(setup),
      .addr_i(cmd_q.t[operand[i]].addr),
      .stride_i('0),
      .rows_i(DimW'(1)),
      .words_i(cmd_q.n),
      .clear_i(1'b0),
      .busy_o(in_busy[i]),
      .rd_valid_o(rd_valid[i]),
      .rd_ready_i(rd_ready[i]),
      .rd_addr_o(rd_addr[i]),
      .rd_rvalid_i(rd_rvalid[i]),
      .rd_rdata_i(i == W ? w_rd_rdata_i : i == G ? g_rd_rdata_i : m_rd_rdata_i),
      .out_valid_o(in_valid[i]),
      .out_ready_i(take[i]),
      .out_data_o(in_data[i])
    );
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      w_there_q <= '0;
      w_any_q <= 1'b0;
    end else if (rd_rvalid[W] != start) begin
      w_there_q <= rd_rvalid[W] ? w_there_q + 5'd1 : w_there_q - 5'd1;
      w_any_q <= rd_rvalid[W] || w_there_q[4:1] != '0;
    end
  end

  // ---- Datapath ----
  logic             ready, move_q, load_q, mn_valid, wn_valid, running, in_flight, w_take;
  logic [WordW-1:0] mn_word, wn_word;
  logic [31:0]      saturations;
  result_t          mn_result, wn_result;

  assign operands_there = w_any_q && in_valid[G] && in_valid[M];
  assign start = ready && move_q && operands_there;
  assign take = {start, start, w_take};  // M, G, W
  assign running = state_q == Run && (|in_busy);
  assign stall_operand_o = running && ready && move_q && !operands_there;
  assign stall_result_o = running && !move_q;

  lathe_update_sgd #(
    .Lanes(Lanes)
  ) u_sgd (
    .clk_i,
    .rst_ni,
    .exp_i({cmd_q.t[4].exp, cmd_q.t[3].exp, cmd_q.t[2].exp, cmd_q.t[1].exp, cmd_q.t[0].exp}),
    .stochastic_i(cmd_q.stochastic),
    .key_i(cmd_q.key),
    .cfg_i(cfg_q),
    .setup_i(setup),
    .finish_i(state_q == Finish),
    .move_i(move_q),
    .load_i(load_q),
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
    .busy_o(in_flight),
    .saturations_o(saturations),
    .mn_result_o(mn_result),
    .wn_result_o(wn_result)
  );

  assign done_valid_o = state_q == Done;
  always_comb begin
    done_o = '0;
    done_o.error = error_q;
    if (sgd_q) begin
      done_o.saturations = saturations;
      done_o.result = {mn_result, wn_result};
    end
  end

  // ---- Results: w' is result 0, m' result 1 ----
  logic [1:0]            out_valid, push, out_ready, out_room, wr_valid, wr_ready;
  logic [1:0][AddrW-1:0] wr_addr;
  logic [WordW-1:0]      out_data [2], wr_data [2];

  assign out_valid = {mn_valid, wn_valid};
  assign out_data = '{wn_word, mn_word};
  assign push = out_valid & {2{move_q}};
  // Out of a register, so it is known a cycle ahead: whether both can take another result then
  assign out_room = wr_ready | ~wr_valid | (out_ready & ~push);
  assign written = in_busy == '0 && !in_flight && wr_valid == '0;
  assign {mn_wr_valid_o, wn_wr_valid_o} = wr_valid;
  assign {mn_wr_addr_o, wn_wr_addr_o} = wr_addr;
  assign wn_wr_data_o = wr_data[0];
  assign mn_wr_data_o = wr_data[1];
  assign wr_ready = {mn_wr_ready_i, wn_wr_ready_i};

  always_ff @(posedge clk_i) begin
    if (!rst_ni) move_q <= 1'b1;
    else move_q <= &out_room;
    load_q <= &out_room && (setup || state_q == Run);
  end

  for (genvar i = 0; i < 2; i++) begin : g_write
    logic [AddrW-1:0] addr_q;

    always_ff @(posedge clk_i) begin
      if (setup) addr_q <= cmd_q.t[i == 0 ? 2 : 4].addr;
      else if (push[i]) addr_q <= addr_q + AddrW'(1);
    end

    lathe_spill #(
      .Width(AddrW + WordW)
    ) u_spill (
      .clk_i,
      .rst_ni,
      .in_valid_i(push[i]),
      .in_ready_o(out_ready[i]),
      .in_data_i({addr_q, out_data[i]}),
      .out_valid_o(wr_valid[i]),
      .out_ready_i(wr_ready[i]),
      .out_data_o({wr_addr[i], wr_data[i]})
    );
  end

`ifndef SYNTHESIS
  logic checking_q;  // false before the first reset, when registers hold anything
  initial checking_q = 1'b0;
  always @(posedge clk_i) if (!rst_ni) checking_q <= 1'b1;

  always_ff @(posedge clk_i) begin
    if (checking_q && rst_ni && w_take) assert (in_valid[W]) else $error("w is not there");
    if (checking_q && rst_ni) assert (move_q == &out_ready) else $error("room");
    if (checking_q && rst_ni && setup) assert (cmd_q.m == 16'd1 && cmd_q.n != '0) else $error("shape");
  end
`endif
endmodule
