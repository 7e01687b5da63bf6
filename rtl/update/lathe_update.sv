// SPDX-License-Identifier: Apache-2.0
// Update unit (numerics.md, section 9): reads weights, gradient and momentum, writes new weights and momentum, `Lanes`
// elements per cycle; COMMIT and ROLLBACK are pulses to lathe_weights. Never writes what it was not given as a result,
// so a reset at any time leaves the current slot whole.
//
// An element word starts when w, g and m are there and both result FIFOs have a place left for it (credits), then
// runs through lathe_update_sgd without stalling. Further optimizers: another datapath beside it, selected by `op`.
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
  // Places in the result FIFOs: the stages, the way through the FIFO and back to the credits, and some slack
  localparam int unsigned MDepth = 16;
  localparam int unsigned WDepth = 32;
  localparam int unsigned MCreditW = $clog2(MDepth + 1);
  localparam int unsigned WCreditW = $clog2(WDepth + 1);

  if (Lanes != 4 && Lanes != 8 && Lanes != 16) begin : g_check
    $fatal(1, "lathe_update: Lanes must be 4, 8 or 16");
  end

  // ---- Control ----
  typedef enum logic [2:0] {Idle, Setup, Run, Point, Finish, Done} state_e;
  state_e      state_q, state_d;
  cmd_t        cmd_q;
  update_cfg_t cfg_q;
  error_e      error_q;
  logic        accept, setup, written;
  logic        unused_cmd;

  assign cmd_ready_o = state_q == Idle;
  assign accept = cmd_valid_i && cmd_ready_o;
  assign setup = state_q == Setup;
  assign unused_cmd = ^{cmd_q.trans_a, cmd_q.trans_b, cmd_q.bias, cmd_q.act, cmd_q.dact, cmd_q.greedy, cmd_q.gshift,
                        cmd_q.m, cmd_q.k, cmd_q.mem_addr, cmd_q.mem_stride};

  always_comb begin
    state_d = state_q;
    unique case (state_q)
      Idle:    if (cmd_valid_i) state_d = (cmd_i.op == UpdateSgd) ? Setup : Point;
      Setup:   state_d = Run;
      Run:     if (written) state_d = Finish;
      Point:   state_d = Done;
      Finish:  state_d = Done;
      default: state_d = Idle;
    endcase
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) state_q <= Idle;
    else state_q <= state_d;
  end

  always_ff @(posedge clk_i) begin
    if (accept) begin
      cmd_q <= cmd_i;
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
  assign commit_o = state_q == Point && cmd_q.op == UpdateCommit;
  assign rollback_o = state_q == Point && cmd_q.op == UpdateRollback && rollback_ok_i;

  // ---- Operands ----
  logic [2:0]            in_valid, in_busy, rd_valid, rd_ready, rd_rvalid;
  logic [2:0][AddrW-1:0] rd_addr;
  logic [WordW-1:0]      rd_rdata [3], in_data [3];
  logic [1:0]            operand [3];
  logic                  start;

  assign operand = '{2'd0, 2'd1, 2'd3};
  assign {m_rd_valid_o, g_rd_valid_o, w_rd_valid_o} = rd_valid;
  assign {m_rd_addr_o, g_rd_addr_o, w_rd_addr_o} = rd_addr;
  assign rd_ready = {m_rd_ready_i, g_rd_ready_i, w_rd_ready_i};
  assign rd_rvalid = {m_rd_rvalid_i, g_rd_rvalid_i, w_rd_rvalid_i};
  assign rd_rdata = '{w_rd_rdata_i, g_rd_rdata_i, m_rd_rdata_i};

  for (genvar i = 0; i < 3; i++) begin : g_read
    lathe_row_reader #(
      .Lanes(Lanes)
    ) u_reader (
      .clk_i,
      .rst_ni,
      .start_i(setup),
      .addr_i(cmd_q.t[operand[i]].addr),
      .stride_i(cmd_q.t[operand[i]].stride),
      .rows_i(DimW'(1)),
      .words_i(cmd_q.n),
      .clear_i(1'b0),
      .busy_o(in_busy[i]),
      .rd_valid_o(rd_valid[i]),
      .rd_ready_i(rd_ready[i]),
      .rd_addr_o(rd_addr[i]),
      .rd_rvalid_i(rd_rvalid[i]),
      .rd_rdata_i(rd_rdata[i]),
      .out_valid_o(in_valid[i]),
      .out_ready_i(start),
      .out_data_o(in_data[i])
    );
  end

  // ---- Datapath: a word starts when its operands and places for its results are there ----
  logic [MCreditW-1:0] m_credit_q;
  logic [WCreditW-1:0] w_credit_q;
  logic                room, mn_valid, wn_valid, mn_taken, wn_taken, running, in_flight;
  logic [WordW-1:0]    mn_word, wn_word;
  logic [31:0]         saturations;
  result_t             mn_result, wn_result;

  assign room = m_credit_q != '0 && w_credit_q != '0;
  assign start = (&in_valid) && room;
  assign running = state_q == Run && (|in_busy);
  assign stall_operand_o = running && room && !(&in_valid);
  assign stall_result_o = running && !room;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      m_credit_q <= MCreditW'(MDepth);
      w_credit_q <= WCreditW'(WDepth);
    end else begin
      m_credit_q <= m_credit_q - MCreditW'(start) + MCreditW'(mn_taken);
      w_credit_q <= w_credit_q - WCreditW'(start) + WCreditW'(wn_taken);
    end
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
    .setup_i(setup),
    .finish_i(state_q == Finish),
    .in_valid_i(start),
    .w_i(in_data[0]),
    .g_i(in_data[1]),
    .m_i(in_data[2]),
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
    if (cmd_q.op == UpdateSgd) begin
      done_o.saturations = saturations;
      done_o.result = {mn_result, wn_result};
    end
  end

  // ---- Results ----
  logic mn_busy, wn_busy, mn_room, wn_room;
  assign written = !mn_busy && !wn_busy;
  assign mn_taken = mn_wr_valid_o && mn_wr_ready_i;
  assign wn_taken = wn_wr_valid_o && wn_wr_ready_i;

  lathe_row_writer #(
    .Lanes(Lanes),
    .Depth(MDepth)
  ) u_mn (
    .clk_i,
    .rst_ni,
    .start_i(setup),
    .addr_i(cmd_q.t[4].addr),
    .stride_i(cmd_q.t[4].stride),
    .rows_i(DimW'(1)),
    .words_i(cmd_q.n),
    .clear_i(1'b0),
    .busy_o(mn_busy),
    .in_valid_i(mn_valid),
    .in_ready_o(mn_room),
    .in_data_i(mn_word),
    .wr_valid_o(mn_wr_valid_o),
    .wr_ready_i(mn_wr_ready_i),
    .wr_addr_o(mn_wr_addr_o),
    .wr_data_o(mn_wr_data_o)
  );

  lathe_row_writer #(
    .Lanes(Lanes),
    .Depth(WDepth)
  ) u_wn (
    .clk_i,
    .rst_ni,
    .start_i(setup),
    .addr_i(cmd_q.t[2].addr),
    .stride_i(cmd_q.t[2].stride),
    .rows_i(DimW'(1)),
    .words_i(cmd_q.n),
    .clear_i(1'b0),
    .busy_o(wn_busy),
    .in_valid_i(wn_valid),
    .in_ready_o(wn_room),
    .in_data_i(wn_word),
    .wr_valid_o(wn_wr_valid_o),
    .wr_ready_i(wn_wr_ready_i),
    .wr_addr_o(wn_wr_addr_o),
    .wr_data_o(wn_wr_data_o)
  );

`ifndef SYNTHESIS
  logic checking_q;  // false before the first reset, when registers hold anything
  initial checking_q = 1'b0;
  always @(posedge clk_i) if (!rst_ni) checking_q <= 1'b1;

  always_ff @(posedge clk_i) begin
    if (checking_q && rst_ni && mn_valid) assert (mn_room) else $error("no place for m'");
    if (checking_q && rst_ni && wn_valid) assert (wn_room) else $error("no place for w'");
    if (checking_q && rst_ni && setup) assert (cmd_q.m == 16'd1 && cmd_q.n != '0) else $error("shape");
    if (checking_q && rst_ni && state_q == Run && written) assert (!in_flight) else $error("written before all came");
  end
`endif
endmodule
