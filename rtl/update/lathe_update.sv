// SPDX-License-Identifier: Apache-2.0
// Update unit (numerics.md, section 9): reads weights, gradient and moments, writes new weights and moments, `StepLanes` elements
// per cycle or two; operations that move pointers go to lathe_weights. Never writes what it was not given as a result, so a
// reset at any time leaves the current slot whole.
//
// A word of elements starts when its operands are there and its results have a place to wait in; then it runs through
// lathe_update_step without a stop. What is needed later is taken later.
module lathe_update #(
  parameter int unsigned Lanes = 8,         // elements of a word
  parameter int unsigned StepLanes = Lanes  // or fewer, from 2: a smaller unit, which takes as many more cycles
) (
  input  logic                        clk_i,
  input  logic                        rst_ni,
  input  logic                        cmd_valid_i,
  output logic                        cmd_ready_o,
  input  lathe_pkg::cmd_t             cmd_i,
  output logic                        done_valid_o,
  output lathe_pkg::done_t            done_o,
  input  lathe_pkg::update_cfg_t      cfg_i,          // taken with the command
  input  logic                        poisoned_i,     // a word read by this program was wrong: nothing is committed

  // COMMIT and the like: a pulse, answered by one at least a cycle later
  output logic                        move_valid_o,
  output logic [4:0]                  move_op_o,
  output logic [1:0]                  move_slot_o,
  input  logic                        move_done_i,
  input  lathe_desc_pkg::error_e      move_error_i,

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
  output logic                        v_rd_valid_o,   // l, or every second word of m
  input  logic                        v_rd_ready_i,
  output logic [lathe_pkg::AddrW-1:0] v_rd_addr_o,
  input  logic                        v_rd_rvalid_i,
  input  logic [Lanes*16-1:0]         v_rd_rdata_i,

  output logic                        wn_wr_valid_o,
  input  logic                        wn_wr_ready_i,
  output logic [lathe_pkg::AddrW-1:0] wn_wr_addr_o,
  output logic [Lanes*16-1:0]         wn_wr_data_o,
  output logic                        mn_wr_valid_o,
  input  logic                        mn_wr_ready_i,
  output logic [lathe_pkg::AddrW-1:0] mn_wr_addr_o,
  output logic [Lanes*16-1:0]         mn_wr_data_o,
  output logic                        vn_wr_valid_o,  // l'
  input  logic                        vn_wr_ready_i,
  output logic [lathe_pkg::AddrW-1:0] vn_wr_addr_o,
  output logic [Lanes*16-1:0]         vn_wr_data_o,
  output logic                        wc_wr_valid_o,  // w8
  input  logic                        wc_wr_ready_i,
  output logic [lathe_pkg::AddrW-1:0] wc_wr_addr_o,
  output logic [Lanes*16-1:0]         wc_wr_data_o,

  output logic                        stall_operand_o,
  output logic                        stall_result_o
);
  import lathe_pkg::*;
  import lathe_desc_pkg::*;
  import lathe_update_pkg::*;

  localparam int unsigned WordW = Lanes * 16;
  localparam int unsigned Depth = 16;  // words of an operand that are asked for or wait, of a result that are inside or wait

  if (Lanes != 4 && Lanes != 8 && Lanes != 16) begin : g_check
    $fatal(1, "lathe_update: Lanes must be 4, 8 or 16");
  end
  if (StepLanes < 2 || StepLanes > Lanes || $countones(StepLanes) != 1) begin : g_check_step
    $fatal(1, "lathe_update: StepLanes must be a power of two from 2 to Lanes");
  end

  // ---- Control ----
  typedef enum logic [2:0] {Idle, Decode, Prepare, Setup, Run, Move, Done} state_e;
  state_e      state_q, state_d;
  // verilator lint_off UNUSEDSIGNAL
  cmd_t        cmd_q;  // has fields of other units too
  // verilator lint_on UNUSEDSIGNAL
  update_cfg_t cfg_q;
  kind_t       kind_q;
  error_e      error_q;
  logic        accept, refused, written, prepared, step_q;  // step: not a pointer's command
  logic        open_q, open2_q;         // Idle or Done; its copy lets commands in
  logic        setup_q, run_q, done_q;  // these states

  assign cmd_ready_o = open_q;
  assign accept = cmd_valid_i && open_q;
  assign refused = cmd_i.op == UpdateCommit && poisoned_i;

  always_comb begin
    state_d = state_q;
    unique case (state_q)
      Decode: state_d = !step_q ? (move_valid_o ? Move : Done) : kind_q.adam || cfg_q.clip_log != '0 ? Prepare : Setup;
      Prepare: if (prepared) state_d = Setup;
      Setup: state_d = Run;
      Run: if (written) state_d = Done;
      Move: if (move_done_i) state_d = Done;
      default: state_d = cmd_valid_i ? Decode : Idle;  // Idle, Done
    endcase
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) state_q <= Idle;
    else state_q <= state_d;
    setup_q <= rst_ni && state_d == Setup;
    run_q <= rst_ni && state_d == Run;
    done_q <= rst_ni && state_d == Done;
  end

  (* keep *) always_ff @(posedge clk_i) begin
    open_q <= !rst_ni || state_d == Idle || state_d == Done;
    open2_q <= !rst_ni || state_d == Idle || state_d == Done;
  end

  always_ff @(posedge clk_i) begin
    if (open2_q) begin
      cmd_q <= cmd_i;
      step_q <= cmd_i.op inside {UpdateSgd, UpdateMomentum, UpdateNesterov, UpdateAdam};
      kind_q.sgd <= cmd_i.op == UpdateSgd;
      kind_q.nesterov <= cmd_i.op == UpdateNesterov;
      kind_q.adam <= cmd_i.op == UpdateAdam;
      kind_q.half <= cmd_i.clip || cmd_i.op inside {UpdateNesterov, UpdateAdam};
      kind_q.int8 <= cmd_i.int8_result;
      cfg_q <= cfg_i;
      if (!cmd_i.clip) cfg_q.clip_log <= '0;
      error_q <= refused ? ErrUncorrectable : ErrNone;
    end
    if (state_q == Decode && !step_q && !move_valid_o && error_q == ErrNone) error_q <= ErrBadOp;
    if (state_q == Move && move_done_i) error_q <= move_error_i;
  end

  always_ff @(posedge clk_i) begin
    move_valid_o <= rst_ni && accept && !refused &&
                    cmd_i.op inside {UpdateCommit, UpdateRollback, UpdateRestore, UpdatePin, UpdateUnpin};
  end
  assign move_op_o = cmd_q.op;
  assign move_slot_o = cmd_q.k[1:0];

  // ---- What the step multiplies before its words ----
  logic [15:0]       k, pow;
  logic signed [5:0] n;
  logic              halved;
  logic [9:0]        pow_index;
  logic [DimW-1:0]   size;  // of the tensors, for adam

  lathe_update_prepare u_prepare (
    .clk_i,
    .rst_ni,
    .begin_i(state_q == Decode),
    .adam_i(kind_q.adam),
    .clip_i(cfg_q.clip_log),
    .beta1_i(cfg_q.beta1),
    .m_i(cmd_q.m),
    .n_i(cmd_q.n),
    .done_o(prepared),
    .pow_index_o(pow_index),
    .pow_i(pow),
    .k_o(k),
    .halved_o(halved),
    .n_o(n),
    .size_o(size)
  );

  // ---- Operands: w, g, m, l; results: w', m', l', w8 ----
  localparam int unsigned Streams = 4;
  localparam int unsigned W = 0, G = 1, M = 2, V = 3;
  logic [Streams-1:0]            use_in, use_out, take, out_valid, rd_valid, wr_valid;
  logic [Streams-1:0][AddrW-1:0] rd_addr, wr_addr;
  logic [AddrW-1:0]              in_base [Streams], out_base [Streams], moments_q, new_moments_q;
  logic [WordW-1:0]              in_word [Streams], out_word [Streams], wr_data [Streams];
  logic                          alternate;  // m at the full rate: M has the even words, V the odd ones
  logic                          start, there, room, ready, turn, reading, owing, word_valid, lower, ends;
  logic [AddrW-1:0]              word;
  // The same of what the datapath takes at once
  localparam int unsigned PartW = StepLanes * 16;
  logic                                 part_start, part_soon, give_back, part_fits;
  logic [Streams-1:0]                   part_take, part_valid;
  logic [15+$clog2(Lanes/StepLanes):0]  part_number;
  logic [PartW-1:0]                     in_part [Streams], out_part [Streams];

  always_ff @(posedge clk_i) begin
    moments_q <= kind_q.adam ? cmd_q.t[3].addr + size : cmd_q.t[3].addr;
    new_moments_q <= cmd_q.t[4].addr + size;
  end

  assign alternate = !kind_q.sgd && !kind_q.half;
  assign use_in = {kind_q.adam || alternate, !kind_q.sgd, 2'b11};
  assign use_out = {kind_q.int8, kind_q.adam, !kind_q.sgd, 1'b1};
  assign in_base = '{cmd_q.t[0].addr, cmd_q.t[1].addr, cmd_q.t[3].addr, moments_q};
  assign out_base = '{cmd_q.t[2].addr, cmd_q.t[4].addr, new_moments_q, cmd_q.t5.addr};
  assign {v_rd_valid_o, m_rd_valid_o, g_rd_valid_o, w_rd_valid_o} = rd_valid;
  assign {v_rd_addr_o, m_rd_addr_o, g_rd_addr_o, w_rd_addr_o} = rd_addr;
  assign {wc_wr_valid_o, vn_wr_valid_o, mn_wr_valid_o, wn_wr_valid_o} = wr_valid;
  assign {wc_wr_addr_o, vn_wr_addr_o, mn_wr_addr_o, wn_wr_addr_o} = wr_addr;
  assign {wc_wr_data_o, vn_wr_data_o, mn_wr_data_o, wn_wr_data_o} = {wr_data[3], wr_data[2], wr_data[1], wr_data[0]};

  lathe_update_read #(
    .Lanes(Lanes),
    .Depth(Depth)
  ) u_read (
    .clk_i,
    .rst_ni,
    .begin_i(setup_q),
    .rows_i(cmd_q.m),
    .cols_i(cmd_q.n),
    .use_i(use_in),
    .alternate_i(alternate),
    .base_i(in_base),
    .busy_o(reading),
    .rd_valid_o(rd_valid),
    .rd_ready_i({v_rd_ready_i, m_rd_ready_i, g_rd_ready_i, w_rd_ready_i}),
    .rd_addr_o(rd_addr),
    .rd_rvalid_i({v_rd_rvalid_i, m_rd_rvalid_i, g_rd_rvalid_i, w_rd_rvalid_i}),
    .rd_rdata_i('{w_rd_rdata_i, g_rd_rdata_i, m_rd_rdata_i, v_rd_rdata_i}),
    .asked_o(word_valid),
    .offset_o(word),
    .lower_o(lower),
    .ends_o(ends),
    .there_o(there),
    .start_i(start),
    .give_back_i(give_back),
    .take_i(take),
    .word_o(in_word)
  );

  lathe_update_write #(
    .Lanes(Lanes),
    .Depth(Depth)
  ) u_write (
    .clk_i,
    .rst_ni,
    .begin_i(setup_q),
    .use_i(use_out),
    .base_i(out_base),
    .busy_o(owing),
    .room_o(room),
    .start_i(start),
    .offset_i(word),
    .ends_i(ends),
    .valid_i(out_valid),
    .word_i(out_word),
    .wr_valid_o(wr_valid),
    .wr_ready_i({wc_wr_ready_i, vn_wr_ready_i, mn_wr_ready_i, wn_wr_ready_i}),
    .wr_addr_o(wr_addr),
    .wr_data_o(wr_data)
  );

  // ---- Datapath ----
  logic        reading_q;  // not all words given back yet
  logic [31:0] saturations;
  result_t     mn_result, wn_result;

  assign part_start = ready && turn && part_fits;

  lathe_update_parts #(
    .Lanes(Lanes),
    .StepLanes(StepLanes)
  ) u_parts (
    .clk_i,
    .rst_ni,
    .number_i(word),
    .fits_i(room && there),
    .start_o(start),
    .give_back_o(give_back),
    .take_o(take),
    .word_i(in_word),
    .valid_o(out_valid),
    .word_o(out_word),
    .part_number_o(part_number),
    .part_fits_o(part_fits),
    .part_start_i(part_start),
    .part_give_back_i(part_soon),
    .part_take_i(part_take),
    .part_o(in_part),
    .part_valid_i(part_valid),
    .part_i(out_part)
  );

  lathe_update_step #(
    .Lanes(StepLanes),
    .WordLanes(Lanes)
  ) u_step (
    .clk_i,
    .rst_ni,
    .kind_i(kind_q),
    .exp_i({cmd_q.t5.exp, cmd_q.t[4].exp, cmd_q.t[3].exp, cmd_q.t[2].exp, cmd_q.t[1].exp, cmd_q.t[0].exp}),
    .stochastic_i(cmd_q.stochastic),
    .key_i(cmd_q.key),
    .cfg_i(cfg_q),
    .k_i(k),
    .halved_i(halved),
    .n_i(n),
    .setup_i(setup_q),
    .pow_turn_i(!run_q),
    .pow_index_i(pow_index),
    .pow_o(pow),
    .word_valid_i(word_valid),
    .word_i(part_number),
    .lower_i(lower),
    .ends_i(ends),
    .ready_o(ready),
    .turn_o(turn),
    .start_i(part_start),
    .w_soon_o(part_soon),
    .take_o(part_take),
    .w_i(in_part[W]),
    .g_i(in_part[G]),
    .m_i(in_part[M]),
    .l_i(in_part[V]),
    .valid_o(part_valid),
    .wn_o(out_part[0]),
    .mn_o(out_part[1]),
    .ln_o(out_part[2]),
    .w8_o(out_part[3]),
    .saturations_o(saturations),
    .mn_result_o(mn_result),
    .wn_result_o(wn_result)
  );

  always_ff @(posedge clk_i) begin  // a cycle late
    stall_operand_o <= run_q && reading_q && ready && room && !there && !part_fits;
    stall_result_o <= run_q && reading_q && !room && !part_fits;
  end

  // Both a cycle late: a word that moves from one of them to the next is never missed
  always_ff @(posedge clk_i) reading_q <= setup_q || reading;
  assign written = !reading_q && !owing;

  assign done_valid_o = done_q;
  always_comb begin
    done_o = '0;
    done_o.error = error_q;
    if (step_q) begin
      done_o.saturations = saturations;
      done_o.result = {mn_result, wn_result};
    end
  end

`ifndef SYNTHESIS
  logic checking_q;  // false before the first reset, when registers hold anything
  initial checking_q = 1'b0;
  always @(posedge clk_i) if (!rst_ni) checking_q <= 1'b1;

  always_ff @(posedge clk_i) begin
    if (checking_q && rst_ni && setup_q) begin
      assert (cmd_q.m != '0 && cmd_q.n != '0 && (cmd_q.int8_result || cmd_q.m == 16'd1)) else $error("shape");
    end
  end
`endif
endmodule
