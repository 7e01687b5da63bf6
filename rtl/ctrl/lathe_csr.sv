// SPDX-License-Identifier: Apache-2.0
// The host's side: registers behind AXI4-Lite (generated block), status, error and interrupt, and the ports to program
// memory and exponent registers. Does not count and does not decide when a program is done.
module lathe_csr
  import lathe_pkg::*;
  import lathe_ctrl_pkg::*;
#(
  parameter int unsigned Lanes = 8,
  parameter int unsigned Banks = 8,
  parameter int unsigned Slots = 4
) (
  input  logic           clk_i,
  input  logic           rst_ni,
  output logic           irq_o,

  input  logic           s_axil_awvalid,
  output logic           s_axil_awready,
  input  logic [14:0]    s_axil_awaddr,
  input  logic [2:0]     s_axil_awprot,
  input  logic           s_axil_wvalid,
  output logic           s_axil_wready,
  input  logic [31:0]    s_axil_wdata,
  input  logic [3:0]     s_axil_wstrb,
  output logic           s_axil_bvalid,
  input  logic           s_axil_bready,
  output logic [1:0]     s_axil_bresp,
  input  logic           s_axil_arvalid,
  output logic           s_axil_arready,
  input  logic [14:0]    s_axil_araddr,
  input  logic [2:0]     s_axil_arprot,
  output logic           s_axil_rvalid,
  input  logic           s_axil_rready,
  output logic [31:0]    s_axil_rdata,
  output logic [1:0]     s_axil_rresp,

  output logic           start_o,             // pulses of CONTROL
  output logic           stats_clear_o,
  output logic           perf_clear_o,
  output logic           group_init_o,
  output logic [PcW-1:0] start_pc_o,
  output logic [31:0]    seed_o,
  output logic [31:0]    opnum_o,
  input  logic           opnum_increment_i,
  output logic           request_o,           // pulse of CONTROL
  output logic [PcW-1:0] request_pc_o,
  output logic [31:0]    request_opnum_o,
  input  logic           request_opnum_increment_i,
  output lathe_desc_pkg::arbitration_e arbiter_policy_o,
  output logic [4:0]     arbiter_slice_o,
  output group_t         group_o,
  output logic           move_valid_o,        // pulse: the host moves between versions; never while a program runs
  output logic [4:0]     move_op_o,           // steady from the pulse on
  output logic [1:0]     move_slot_o,
  input  logic           move_done_i,         // pulse, with move_error_i; not that of a program's move
  input  lathe_desc_pkg::error_e move_error_i,
  output grants_t        grants_o,
  output policy_cfg_t    policy_cfg_o,
  output update_cfg_t    update_cfg_o,
  input  logic           norm_zero_i,   // of the gradient norm
  input  logic signed [31:0] norm_i,
  output logic [4:0]     scrub_interval_o,
  output logic           inject_valid_o,      // pulse
  output inject_t        inject_o,
  input  logic           inject_busy_i,

  input  logic           started_i,           // pulse: start_o was accepted
  input  logic           busy_i,
  input  logic           done_i,              // pulse
  input  logic           error_i,             // pulse, with report_i
  input  report_t        report_i,
  input  logic           requested_i,         // the same of the request
  input  logic           request_busy_i,
  input  logic           request_done_i,
  input  logic           request_error_i,
  input  report_t        request_report_i,
  input  weights_t       weights_i,
  input  logic [15:0]    policy_version_i,    // for a command of the policy unit that would start now
  input  logic [31:0]    saturations_i,
  input  logic           uncorrectable_i,     // pulse: such a word was found
  input  logic [31:0]    corrected_i,         // counts
  input  logic [31:0]    uncorrected_i,
  input  fault_t         fault_i,             // the last one
  output logic           count_valid_o,       // one of the counters, held until ready
  input  logic           count_ready_i,
  output logic [4:0]     count_index_o,       // word of COUNTERS
  input  logic [31:0]    count_i,             // with ready
  input  policy_stats_t  stats_i,

  output logic           progmem_en_o,
  output logic           progmem_write_o,
  output logic [11:0]    progmem_index_o,
  output logic [31:0]    progmem_wdata_o,
  input  logic [31:0]    progmem_rdata_i,     // two cycles after progmem_en_o

  output logic           exponents_valid_o,   // held until ready
  input  logic           exponents_ready_i,
  output logic           exponents_write_o,
  output logic           exponents_history_o, // a word of the register's history instead of the register
  output logic [6:0]     exponents_index_o,
  output logic [1:0]     exponents_word_o,
  output logic [31:0]    exponents_wdata_o,
  input  logic [31:0]    exponents_rdata_i    // with ready
);
  lathe_csr_reg_pkg::lathe_csr_reg__in_t  in;
  lathe_csr_reg_pkg::lathe_csr_reg__out_t out;

  logic clk_reg;
  lathe_csr_reg u_reg (
    .clk(clk_reg),
    .rst_n(rst_ni),
    .s_axil_awready,
    .s_axil_awvalid,
    .s_axil_awaddr,
    .s_axil_awprot,
    .s_axil_wready,
    .s_axil_wvalid,
    .s_axil_wdata,
    .s_axil_wstrb,
    .s_axil_bready,
    .s_axil_bvalid,
    .s_axil_bresp,
    .s_axil_arready,
    .s_axil_arvalid,
    .s_axil_araddr,
    .s_axil_arprot,
    .s_axil_rready,
    .s_axil_rvalid,
    .s_axil_rdata,
    .s_axil_rresp,
    .hwif_in(in),
    .hwif_out(out)
  );

  // ---- Control and settings ----
  assign start_o = out.CONTROL.start.value;
  assign stats_clear_o = out.CONTROL.stats_clear.value;
  assign perf_clear_o = out.CONTROL.perf_clear.value;
  assign group_init_o = out.CONTROL.group_init.value;
  assign start_pc_o = out.START_PC.value.value;
  assign seed_o = out.SEED.value.value;
  assign opnum_o = out.OPNUM.value.value;
  assign in.OPNUM.value.next = opnum_o + 32'd1;
  assign in.OPNUM.value.we = opnum_increment_i;
  assign group_o = '{base: out.GROUP_BASE.value.value, size: out.GROUP_SIZE.value.value,
                     slots: out.GROUP_SLOTS.value.value, version: out.GROUP_VERSION.value.value};
  assign policy_cfg_o = '{r: '{weight: out.RATIO_MODE.r_weight.value,
                               above: lathe_desc_pkg::ratio_action_e'(out.RATIO_MODE.r_above.value),
                               below: lathe_desc_pkg::ratio_action_e'(out.RATIO_MODE.r_below.value),
                               lo: out.RATIO_BOUNDS.lo.value, hi: out.RATIO_BOUNDS.hi.value,
                               source: lathe_desc_pkg::ratio_source_e'(out.RATIO_MODE.r_source.value),
                               aggregate: lathe_desc_pkg::ratio_aggregate_e'(out.RATIO_MODE.r_aggregate.value)},
                          rho: '{weight: out.RATIO_MODE.rho_weight.value,
                                 above: lathe_desc_pkg::ratio_action_e'(out.RATIO_MODE.rho_above.value),
                                 below: lathe_desc_pkg::ratio_action_e'(out.RATIO_MODE.rho_below.value),
                                 lo: out.RHO_BOUNDS.lo.value, hi: out.RHO_BOUNDS.hi.value,
                                 source: lathe_desc_pkg::ratio_source_e'(out.RATIO_MODE.rho_source.value),
                                 aggregate: lathe_desc_pkg::ratio_aggregate_e'(out.RATIO_MODE.rho_aggregate.value)},
                          dual_on: out.RATIO_MODE.r_dual.value, dual: out.RATIO_DUAL.value.value,
                          stats_rho: out.RATIO_MODE.stats_lane.value,
                          veto_below: out.RATIO_MODE.veto_below.value, veto_above: out.RATIO_MODE.veto_above.value,
                          veto_lo: out.VETO_BOUNDS.lo.value, veto_hi: out.VETO_BOUNDS.hi.value,
                          entropy_coef: out.ENTROPY_COEF.value.value, value_coef: out.VALUE_COEF.value.value,
                          version: policy_version_i,
                          scan: '{delta_weight: out.SCAN_MODE.delta_weight.value, trace_weight: out.SCAN_MODE.trace_weight.value,
                                  trace_next: out.SCAN_MODE.trace_next.value, td_advantage: out.SCAN_MODE.td_advantage.value,
                                  gamma: out.SCAN_GAMMA.value.value, decay: out.SCAN_DECAY.value.value,
                                  rho_cap: out.SCAN_CAPS.rho.value, c_cap: out.SCAN_CAPS.c.value}};
  // ---- Gradient clip: the factor's logarithm, min(0, CLIP_NORM - NORM), two cycles after the norm ----
  logic signed [31:0] clip_difference_q;
  logic signed [23:0] clip_q;
  assign in.NORM.value.next = norm_i;
  always_ff @(posedge clk_i) begin
    clip_difference_q <= norm_zero_i ? '0 : 32'(signed'(out.CLIP_NORM.value.value)) - norm_i;
    if (!clip_difference_q[31]) clip_q <= '0;
    else clip_q <= clip_difference_q[30:23] == '1 ? clip_difference_q[23:0] : 24'h80_0000;
  end

  assign update_cfg_o = '{lr_mant: out.LEARNING_RATE.mant.value, lr_exp: out.LEARNING_RATE.exp.value,
                          momentum: out.MOMENTUM.value.value,
                          beta1: out.BETA1.value.value, decay_log: out.ADAM_DECAY.value.value, gain_log: out.ADAM_GAIN.value.value,
                          rate_log: out.ADAM_RATE.value.value, eps_log: out.ADAM_EPS.value.value,
                          wd_mant: out.WEIGHT_DECAY.mant.value, wd_exp: out.WEIGHT_DECAY.exp.value, clip_log: clip_q};

  function automatic window_t window(logic [15:0] first, logic [15:0] last);
    return '{first: first, last: last};
  endfunction
  assign grants_o = '{install: out.GRANT_ENABLE.install.value, requests: out.GRANT_ENABLE.requests.value,
                      programs: out.GRANT_ENABLE.programs.value,
                      request_windows: {window(out.REQUEST_GRANTS_1.first.value, out.REQUEST_GRANTS_1.last.value),
                                        window(out.REQUEST_GRANTS_0.first.value, out.REQUEST_GRANTS_0.last.value)},
                      windows: {window(out.GRANTS_3.first.value, out.GRANTS_3.last.value),
                                window(out.GRANTS_2.first.value, out.GRANTS_2.last.value),
                                window(out.GRANTS_1.first.value, out.GRANTS_1.last.value),
                                window(out.GRANTS_0.first.value, out.GRANTS_0.last.value)}};

  assign request_o = out.CONTROL.request.value;
  assign request_pc_o = out.REQUEST_PC.value.value;
  assign request_opnum_o = out.REQUEST_OPNUM.value.value;
  assign in.REQUEST_OPNUM.value.next = request_opnum_o + 32'd1;
  assign in.REQUEST_OPNUM.value.we = request_opnum_increment_i;
  assign arbiter_policy_o = lathe_desc_pkg::arbitration_e'(out.ARBITER.policy.value);
  assign arbiter_slice_o = out.ARBITER.slice.value;

  logic inject_q;
  always_ff @(posedge clk_i) inject_q <= rst_ni && out.FAULT_INJECT.value.swmod;  // the register holds it a cycle later
  assign scrub_interval_o = out.SCRUB.interval.value;
  assign inject_valid_o = inject_q;
  assign inject_o = '{two: out.FAULT_BITS.two.value, second: out.FAULT_BITS.second.value, first: out.FAULT_BITS.first.value,
                      addr: out.FAULT_INJECT.value.value};

  // ---- Status ----
  logic [2:0] irq_q, begins;  // of the program, of the request, of a fault
  assign begins = {1'b0, requested_i, started_i};
  always_ff @(posedge clk_i) begin
    irq_q <= {out.STATUS.fault.value, out.STATUS.request_done.value || out.STATUS.request_error.value,
              out.STATUS.done.value || out.STATUS.error.value} & ~begins & {3{rst_ni && out.IRQ_ENABLE.enable.value}};
  end
  assign irq_o = (irq_q & ~begins) != '0;  // its own is down in the cycle in which the host learns that its start was taken
  assign in.BUILD.lanes.next = 8'(Lanes);
  assign in.BUILD.log2_banks.next = 4'($clog2(Banks));
  assign in.BUILD.slots.next = 4'(Slots);
  assign in.STATUS.busy.next = busy_i;
  assign in.STATUS.done.hwset = done_i;
  assign in.STATUS.done.hwclr = started_i;
  assign in.STATUS.error.hwset = error_i;
  assign in.STATUS.error.hwclr = started_i;
  assign in.ERROR.code.next = error_i ? report_i.code : lathe_desc_pkg::ErrNone;
  assign in.ERROR.unit.next = error_i ? report_i.unit : '0;
  assign in.ERROR.pc.next = error_i ? report_i.pc : '0;
  assign in.ERROR.code.we = error_i || started_i;
  assign in.ERROR.unit.we = error_i || started_i;
  assign in.ERROR.pc.we = error_i || started_i;
  assign in.STATUS.request_busy.next = request_busy_i;
  assign in.STATUS.request_done.hwset = request_done_i;
  assign in.STATUS.request_done.hwclr = requested_i;
  assign in.STATUS.request_error.hwset = request_error_i;
  assign in.STATUS.request_error.hwclr = requested_i;
  assign in.REQUEST_ERROR.code.next = request_error_i ? request_report_i.code : lathe_desc_pkg::ErrNone;
  assign in.REQUEST_ERROR.unit.next = request_error_i ? request_report_i.unit : '0;
  assign in.REQUEST_ERROR.pc.next = request_error_i ? request_report_i.pc : '0;
  assign in.REQUEST_ERROR.code.we = request_error_i || requested_i;
  assign in.REQUEST_ERROR.unit.we = request_error_i || requested_i;
  assign in.REQUEST_ERROR.pc.we = request_error_i || requested_i;

  // ---- Versions ----
  lathe_desc_pkg::error_e move_error_q;
  always_ff @(posedge clk_i) begin
    move_valid_o <= rst_ni && out.WEIGHTS.op.swmod && !busy_i;
    if (!rst_ni) move_error_q <= lathe_desc_pkg::ErrNone;
    else if (move_done_i) move_error_q <= move_error_i;
  end
  assign move_op_o = (out.WEIGHTS.op.value == lathe_desc_pkg::UpdateCommit) ? '1 : out.WEIGHTS.op.value;  // a program's alone
  assign move_slot_o = out.WEIGHTS.slot.value;
  assign in.WEIGHTS.error.next = move_error_q;
  assign in.VERSION.value.next = weights_i.version;
  assign in.SLOT.slot.next = weights_i.slot;
  assign in.SLOTS.valid.next = weights_i.valid;
  assign in.SLOTS.pinned.next = weights_i.pinned;
  assign in.SLOTS.bad.next = weights_i.bad;
  assign in.SLOTS.next.next = weights_i.next;
  assign in.VERSIONS_0.value.next = weights_i.versions[0];
  assign in.VERSIONS_1.value.next = weights_i.versions[1];
  assign in.VERSIONS_2.value.next = weights_i.versions[2];
  assign in.VERSIONS_3.value.next = weights_i.versions[3];
  assign in.STATUS.fault.hwset = uncorrectable_i;
  assign in.FAULT_INJECT.busy.next = inject_busy_i || inject_q;
  assign in.FAULT_CORRECTED.value.next = corrected_i;
  assign in.FAULT_UNCORRECTED.value.next = uncorrected_i;
  assign in.FAULT_ADDRESS.value.next = fault_i.addr;
  assign in.FAULT_ADDRESS.uncorrectable.next = fault_i.uncorrectable;
  assign in.FAULT_ADDRESS.scrubber.next = fault_i.scrubber;

  // ---- Counters ----
  assign in.SATURATIONS.value.next = saturations_i;

  // ---- Counters but one, exponent registers and program memory lie outside: a request is held until it is served, and
  // the answer goes through registers ----
  logic        count_valid_q, exponents_valid_q, count_served, exponents_served;
  logic [1:0]  program_read_q;
  logic [3:0]  read_q;   // answered: counters, exponents, histories, program
  logic [3:0]  write_q;
  logic [31:0] rdata_q;
  assign count_served = count_valid_q && count_ready_i;
  assign exponents_served = exponents_valid_q && exponents_ready_i;
  always_ff @(posedge clk_i) begin
    if (!rst_ni) {count_valid_q, exponents_valid_q, progmem_en_o, program_read_q, read_q, write_q} <= '0;
    else begin
      count_valid_q <= (out.COUNTERS.req && !out.COUNTERS.req_is_wr) || (count_valid_q && !count_ready_i);
      exponents_valid_q <= out.EXPONENTS.req || out.HISTORY.req || (exponents_valid_q && !exponents_ready_i);
      progmem_en_o <= out.PROGRAM.req;
      program_read_q <= {program_read_q[0], progmem_en_o && !progmem_write_o};
      read_q <= {program_read_q[1], {exponents_history_o, !exponents_history_o} & {2{exponents_served && !exponents_write_o}},
                 count_served};
      write_q <= {progmem_en_o && progmem_write_o, {exponents_history_o, !exponents_history_o} & {2{exponents_served && exponents_write_o}},
                  out.COUNTERS.req && out.COUNTERS.req_is_wr};  // counters: ignored
    end
  end
  always_ff @(posedge clk_i) begin
    if (out.COUNTERS.req) count_index_o <= out.COUNTERS.addr[6:2];
    if (out.EXPONENTS.req || out.HISTORY.req) begin
      exponents_write_o <= out.EXPONENTS.req_is_wr;  // these and the data are the same for all memories
      exponents_history_o <= out.HISTORY.req;
      exponents_index_o <= out.HISTORY.req ? out.HISTORY.addr[10:4] : out.EXPONENTS.addr[8:2];
      exponents_word_o <= out.HISTORY.addr[3:2];
      exponents_wdata_o <= out.EXPONENTS.wr_data;
    end
    if (program_read_q[1]) rdata_q <= progmem_rdata_i;
    else if (count_served) rdata_q <= count_i;
    else if (exponents_served) rdata_q <= exponents_rdata_i;
  end
  assign count_valid_o = count_valid_q;
  assign exponents_valid_o = exponents_valid_q;
  assign progmem_write_o = out.PROGRAM.req_is_wr;  // stays until the answer, like index and data
  assign progmem_index_o = out.PROGRAM.addr[13:2];
  assign progmem_wdata_o = out.PROGRAM.wr_data;
  assign {in.PROGRAM.rd_ack, in.HISTORY.rd_ack, in.EXPONENTS.rd_ack, in.COUNTERS.rd_ack} = read_q;
  assign {in.PROGRAM.wr_ack, in.HISTORY.wr_ack, in.EXPONENTS.wr_ack, in.COUNTERS.wr_ack} = write_q;
  assign {in.PROGRAM.rd_data, in.HISTORY.rd_data, in.EXPONENTS.rd_data, in.COUNTERS.rd_data} = {4{rdata_q}};

  // ---- Statistics ----
  assign in.STAT_COUNT.value.next = stats_i.count;
  assign in.STAT_HIGH.value.next = stats_i.high;
  assign in.STAT_LOW.value.next = stats_i.low;
  assign in.STAT_CLIPPED.value.next = stats_i.clipped;
  assign {in.STAT_SUM_X_HI.value.next, in.STAT_SUM_X_LO.value.next} = 64'(stats_i.sum_x);
  assign {in.STAT_SUM_RATIO_HI.value.next, in.STAT_SUM_RATIO_LO.value.next} = 64'(stats_i.sum_ratio);
  assign {in.STAT_SUM_RATIO2_HI.value.next, in.STAT_SUM_RATIO2_LO.value.next} = 64'(stats_i.sum_ratio2);
  assign {in.STAT_SUM_K3_HI.value.next, in.STAT_SUM_K3_LO.value.next} = 64'(stats_i.sum_k3);
  assign {in.STAT_SUM_ENTROPY_HI.value.next, in.STAT_SUM_ENTROPY_LO.value.next} = 64'(stats_i.sum_entropy);
  assign {in.STAT_SUM_VERR2_HI.value.next, in.STAT_SUM_VERR2_LO.value.next} = 64'(stats_i.sum_verr2);
  assign in.STAT_MAX_X.value.next = 32'(stats_i.max_x);
  assign in.STAT_MIN_X.value.next = 32'(stats_i.min_x);
  assign in.STAT_RHO_HIGH.value.next = stats_i.rho_high;
  assign in.STAT_RHO_LOW.value.next = stats_i.rho_low;
  assign in.STAT_MASKED.value.next = stats_i.masked;
  assign in.STAT_SEQ_MASKED.value.next = stats_i.seq_masked;
  assign in.STAT_VETOED.value.next = stats_i.vetoed;
  assign {in.STAT_SUM_X2_HI.value.next, in.STAT_SUM_X2_LO.value.next} = 64'(stats_i.sum_x2);

  // ---- The registers' clock ----
  lathe_clock_stop u_clock (
    .clk_i,
    .wanted_i(!rst_ni || started_i || done_i || error_i || opnum_increment_i ||
              uncorrectable_i || requested_i || request_done_i || request_error_i || request_opnum_increment_i ||
              s_axil_awvalid || s_axil_wvalid || s_axil_arvalid || !s_axil_awready || !s_axil_wready || !s_axil_arready),
    .clk_o   (clk_reg)
  );

  logic unused_external;
  assign unused_external = ^{out.COUNTERS.addr[1:0], out.COUNTERS.wr_data, out.COUNTERS.wr_biten, out.PROGRAM.addr[1:0],
                             out.PROGRAM.wr_biten, out.EXPONENTS.addr[1:0], out.EXPONENTS.wr_biten, out.HISTORY.addr[1:0],
                             out.HISTORY.req_is_wr, out.HISTORY.wr_data, out.HISTORY.wr_biten};
endmodule
