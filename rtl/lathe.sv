// SPDX-License-Identifier: Apache-2.0
// The chip: control, scratchpad and the four units, wired together.
// Holds no logic of its own but the registers of the resets; clock generation and the memory behind the AXI master are outside.
module lathe #(
  parameter int unsigned Lanes = 8,
  parameter int unsigned Banks = 8,
  parameter int unsigned Slots = 4,  // of the weight group, at most: 2 to 4
  parameter int unsigned UpdateLanes = Lanes  // weights that the update unit takes at once: a power of two from 2 to Lanes
) (
  input  logic               clk_i,
  // Resets: low for at least 4 cycles
  input  logic               por_ni,  // power-on: also clears weight group and exponents
  input  logic               rst_ni,  // keeps the current weights, their version and exponents
  output logic               irq_o,
  output lathe_pkg::unit_trace_t [lathe_pkg::NumUnits-1:0] trace_o,  // what each unit does in this cycle

  input  logic               s_axil_awvalid,
  output logic               s_axil_awready,
  input  logic [14:0]        s_axil_awaddr,
  input  logic [2:0]         s_axil_awprot,
  input  logic               s_axil_wvalid,
  output logic               s_axil_wready,
  input  logic [31:0]        s_axil_wdata,
  input  logic [3:0]         s_axil_wstrb,
  output logic               s_axil_bvalid,
  input  logic               s_axil_bready,
  output logic [1:0]         s_axil_bresp,
  input  logic               s_axil_arvalid,
  output logic               s_axil_arready,
  input  logic [14:0]        s_axil_araddr,
  input  logic [2:0]         s_axil_arprot,
  output logic               s_axil_rvalid,
  input  logic               s_axil_rready,
  output logic [31:0]        s_axil_rdata,
  output logic [1:0]         s_axil_rresp,

  output logic               m_axi_awvalid,
  input  logic               m_axi_awready,
  output logic [0:0]         m_axi_awid,
  output logic [31:0]        m_axi_awaddr,
  output logic [7:0]         m_axi_awlen,
  output logic [2:0]         m_axi_awsize,
  output logic [1:0]         m_axi_awburst,
  output logic               m_axi_wvalid,
  input  logic               m_axi_wready,
  output logic [Lanes*16-1:0] m_axi_wdata,
  output logic [Lanes*2-1:0] m_axi_wstrb,
  output logic               m_axi_wlast,
  input  logic               m_axi_bvalid,
  output logic               m_axi_bready,
  input  logic [0:0]         m_axi_bid,
  input  logic [1:0]         m_axi_bresp,
  output logic               m_axi_arvalid,
  input  logic               m_axi_arready,
  output logic [0:0]         m_axi_arid,
  output logic [31:0]        m_axi_araddr,
  output logic [7:0]         m_axi_arlen,
  output logic [2:0]         m_axi_arsize,
  output logic [1:0]         m_axi_arburst,
  input  logic               m_axi_rvalid,
  output logic               m_axi_rready,
  input  logic [0:0]         m_axi_rid,
  input  logic [Lanes*16-1:0] m_axi_rdata,
  input  logic [1:0]         m_axi_rresp,
  input  logic               m_axi_rlast
);
  import lathe_pkg::*;

  localparam int unsigned WordW = Lanes * 16;
  localparam int unsigned NumRd = 9;
  localparam int unsigned NumWr = 7;
  // Clients of the scratchpad. Those of the array have ports for themselves, except for what only its drain reads.
  localparam int unsigned RdGemmA = 0;
  localparam int unsigned RdGemmB = 1;
  localparam int unsigned RdGemmX = 2;
  localparam int unsigned RdPolicy = 3;
  localparam int unsigned RdUpdateW = 4;
  localparam int unsigned RdUpdateG = 5;
  localparam int unsigned RdUpdateM = 6;
  localparam int unsigned RdDma = 7;
  localparam int unsigned RdUpdateV = 8;
  localparam int unsigned WrGemm = 0;
  localparam int unsigned WrPolicy = 1;
  localparam int unsigned WrUpdateW = 2;
  localparam int unsigned WrUpdateM = 3;
  localparam int unsigned WrDma = 4;
  localparam int unsigned WrUpdateW8 = 5;
  localparam int unsigned WrUpdateV = 6;
  // Units
  localparam int unsigned Gemm = 0;
  localparam int unsigned Policy = 1;
  localparam int unsigned Update = 2;
  localparam int unsigned Dma = 3;

  logic [NumRd-1:0]            rd_valid, rd_ready, rd_rvalid, rd_bad;
  logic [NumRd-1:0][AddrW-1:0] rd_addr;
  logic [NumRd-1:0][WordW-1:0] rd_rdata;
  logic [NumWr-1:0]            wr_valid, wr_ready;
  logic                        wr_urgent;
  logic [NumWr-1:0][AddrW-1:0] wr_addr;
  logic [NumWr-1:0][WordW-1:0] wr_data;

  logic  [NumUnits-1:0] cmd_valid, cmd_ready, done_valid, stall_operand, stall_result;
  cmd_t  [NumUnits-1:0] cmd;
  done_t [NumUnits-1:0] done;
  logic                 norm_clear, norm_zero;
  logic signed [31:0]   norm;
  logic                 mac_step, gemm_free, gemm_idle, stats_clear, move_valid, move_done;
  logic [4:0]           move_op;
  logic [1:0]           move_slot;
  lathe_desc_pkg::error_e move_error;
  policy_cfg_t          policy_cfg;
  policy_stats_t        policy_stats;
  update_cfg_t          update_cfg;
  logic                 fault_valid, inject_valid, inject_busy, poisoned;
  logic [NumUnits-1:0]  bad;           // this unit gets an uncorrectable word
  logic [4:0]           scrub_interval;
  fault_t               fault;
  inject_t              inject;

  logic clk_core;
  lathe_clock u_clock (
    .clk_i,
    .clk_o(clk_core)
  );

  // Resets go out of registers, which power up as resets, to a register for each unit: they are far apart. Power-on resets
  // everything.
  logic rst_n, por_n;
  logic [NumUnits+1:0] rst_far_n;  // of the units, control, scratchpad
  logic [NumUnits+1:NumUnits] por_far_n;
  initial {rst_n, por_n, rst_far_n, por_far_n} = '0;
  always @(posedge clk_core) begin
    por_n <= por_ni;
    rst_n <= rst_ni && por_ni;
  end
  for (genvar u = 0; u < NumUnits + 2; u++) begin : gen_reset
    (* keep *) always @(posedge clk_core) rst_far_n[u] <= rst_n;
    if (u >= NumUnits) begin : gen_por
      (* keep *) always @(posedge clk_core) por_far_n[u] <= por_n;
    end
  end

`ifndef SYNTHESIS
  logic       reset_seen_q;  // false before the first reset, when registers hold anything
  logic [2:0] reset_q;       // cycles for which a reset has been low, up to 4
  initial reset_seen_q = 1'b0;
  always @(posedge clk_core) begin
    if (!rst_ni || !por_ni) begin
      reset_seen_q <= 1'b1;
      reset_q <= !reset_seen_q ? 3'd4 : reset_q[2] ? reset_q : reset_q + 1'b1;
    end else if (reset_seen_q) begin
      assert (reset_q == '0 || reset_q[2]) else $error("a reset of %0d cycles; at least 4 are needed", reset_q);
      reset_q <= '0;
    end
  end
`endif

  // Units that are mostly idle: policy, update and dma are ready only then.
  logic [NumUnits-1:0] clk;
  assign clk[Gemm] = clk_core;
  for (genvar u = Policy; u <= Dma; u++) begin : gen_clock
    lathe_clock_stop u_clock (
      .clk_i(clk_core),
      .wanted_i(cmd_valid[u] || !cmd_ready[u] || stats_clear || !rst_n),
      .clk_o   (clk[u])
    );
  end

  lathe_ctrl #(
    .Lanes(Lanes),
    .Banks(Banks),
    .Slots(Slots)
  ) u_ctrl (
    .clk_i(clk_core),
    .rst_ni(rst_far_n[NumUnits]),
    .por_ni(por_far_n[NumUnits]),
    .irq_o,
    .s_axil_awvalid,
    .s_axil_awready,
    .s_axil_awaddr,
    .s_axil_awprot,
    .s_axil_wvalid,
    .s_axil_wready,
    .s_axil_wdata,
    .s_axil_wstrb,
    .s_axil_bvalid,
    .s_axil_bready,
    .s_axil_bresp,
    .s_axil_arvalid,
    .s_axil_arready,
    .s_axil_araddr,
    .s_axil_arprot,
    .s_axil_rvalid,
    .s_axil_rready,
    .s_axil_rdata,
    .s_axil_rresp,
    .cmd_valid_o(cmd_valid),
    .cmd_ready_i(cmd_ready),
    .cmd_o(cmd),
    .done_valid_i(done_valid),
    .done_i(done),
    .stall_operand_i(stall_operand),
    .stall_result_i(stall_result),
    .mac_step_i(mac_step),
    .norm_clear_o(norm_clear),
    .norm_zero_i(norm_zero),
    .norm_i(norm),
    .gemm_free_i(gemm_free),
    .policy_cfg_o(policy_cfg),
    .policy_stats_i(policy_stats),
    .stats_clear_o(stats_clear),
    .update_cfg_o(update_cfg),
    .move_valid_i(move_valid),
    .move_op_i(move_op),
    .move_slot_i(move_slot),
    .move_done_o(move_done),
    .move_error_o(move_error),
    .fault_valid_i(fault_valid),
    .fault_i(fault),
    .bad_i(bad),
    .poisoned_o(poisoned),
    .scrub_interval_o(scrub_interval),
    .inject_valid_o(inject_valid),
    .inject_o(inject),
    .inject_busy_i(inject_busy),
    .trace_o
  );

  assign bad[Gemm] = |rd_bad[RdGemmX:RdGemmA];
  assign bad[Policy] = rd_bad[RdPolicy];
  assign bad[Update] = |{rd_bad[RdUpdateM:RdUpdateW], rd_bad[RdUpdateV]};
  assign bad[Dma] = rd_bad[RdDma];

  lathe_scratchpad #(
    .Lanes(Lanes),
    .Banks(Banks),
    .NumRd(NumRd),
    .NumWr(NumWr)
  ) u_scratchpad (
    .clk_i(clk_core),
    .por_ni(por_far_n[NumUnits+1]),
    .rst_ni(rst_far_n[NumUnits+1]),
    .rd_valid_i(rd_valid),
    .rd_ready_o(rd_ready),
    .rd_addr_i(rd_addr),
    .rd_rvalid_o(rd_rvalid),
    .rd_rdata_o(rd_rdata),
    .rd_bad_o(rd_bad),
    .wr_valid_i(wr_valid),
    .wr_ready_o(wr_ready),
    .wr_urgent_i(wr_urgent),
    .wr_addr_i(wr_addr),
    .wr_data_i(wr_data),
    .lend_i(gemm_idle && !cmd_valid[Gemm]),
    .scrub_interval_i(scrub_interval),
    .inject_valid_i(inject_valid),
    .inject_i(inject),
    .inject_busy_o(inject_busy),
    .fault_valid_o(fault_valid),
    .fault_o(fault)
  );

  lathe_gemm #(
    .Lanes(Lanes),
    .Banks(Banks)
  ) u_gemm (
    .clk_i(clk_core),
    .rst_ni(rst_far_n[Gemm]),
    .cmd_valid_i(cmd_valid[Gemm]),
    .cmd_ready_o(cmd_ready[Gemm]),
    .cmd_i(cmd[Gemm]),
    .free_o(gemm_free),
    .idle_o(gemm_idle),
    .done_valid_o(done_valid[Gemm]),
    .done_o(done[Gemm]),
    .a_rd_valid_o(rd_valid[RdGemmA]),
    .a_rd_ready_i(rd_ready[RdGemmA]),
    .a_rd_addr_o(rd_addr[RdGemmA]),
    .a_rd_rvalid_i(rd_rvalid[RdGemmA]),
    .a_rd_rdata_i(rd_rdata[RdGemmA]),
    .b_rd_valid_o(rd_valid[RdGemmB]),
    .b_rd_ready_i(rd_ready[RdGemmB]),
    .b_rd_addr_o(rd_addr[RdGemmB]),
    .b_rd_rvalid_i(rd_rvalid[RdGemmB]),
    .b_rd_rdata_i(rd_rdata[RdGemmB]),
    .x_rd_valid_o(rd_valid[RdGemmX]),
    .x_rd_ready_i(rd_ready[RdGemmX]),
    .x_rd_addr_o(rd_addr[RdGemmX]),
    .x_rd_rvalid_i(rd_rvalid[RdGemmX]),
    .x_rd_rdata_i(rd_rdata[RdGemmX]),
    .wr_valid_o(wr_valid[WrGemm]),
    .wr_ready_i(wr_ready[WrGemm]),
    .wr_urgent_o(wr_urgent),
    .wr_addr_o(wr_addr[WrGemm]),
    .wr_data_o(wr_data[WrGemm]),
    .stall_operand_o(stall_operand[Gemm]),
    .stall_result_o(stall_result[Gemm]),
    .norm_clear_i(norm_clear),
    .norm_zero_o(norm_zero),
    .norm_o(norm),
    .mac_step_o(mac_step)
  );

  lathe_policy #(
    .Lanes(Lanes)
  ) u_policy (
    .clk_i(clk[Policy]),
    .rst_ni(rst_far_n[Policy]),
    .cmd_valid_i(cmd_valid[Policy]),
    .cmd_ready_o(cmd_ready[Policy]),
    .cmd_i(cmd[Policy]),
    .done_valid_o(done_valid[Policy]),
    .done_o(done[Policy]),
    .cfg_i(policy_cfg),
    .stats_o(policy_stats),
    .stats_clear_i(stats_clear),
    .rd_valid_o(rd_valid[RdPolicy]),
    .rd_ready_i(rd_ready[RdPolicy]),
    .rd_addr_o(rd_addr[RdPolicy]),
    .rd_rvalid_i(rd_rvalid[RdPolicy]),
    .rd_rdata_i(rd_rdata[RdPolicy]),
    .wr_valid_o(wr_valid[WrPolicy]),
    .wr_ready_i(wr_ready[WrPolicy]),
    .wr_addr_o(wr_addr[WrPolicy]),
    .wr_data_o(wr_data[WrPolicy]),
    .stall_operand_o(stall_operand[Policy]),
    .stall_result_o(stall_result[Policy])
  );

  lathe_update #(
    .Lanes(Lanes),
    .StepLanes(UpdateLanes)
  ) u_update (
    .clk_i(clk[Update]),
    .rst_ni(rst_far_n[Update]),
    .cmd_valid_i(cmd_valid[Update]),
    .cmd_ready_o(cmd_ready[Update]),
    .cmd_i(cmd[Update]),
    .done_valid_o(done_valid[Update]),
    .done_o(done[Update]),
    .cfg_i(update_cfg),
    .move_valid_o(move_valid),
    .move_op_o(move_op),
    .move_slot_o(move_slot),
    .move_done_i(move_done),
    .move_error_i(move_error),
    .poisoned_i(poisoned),
    .w_rd_valid_o(rd_valid[RdUpdateW]),
    .w_rd_ready_i(rd_ready[RdUpdateW]),
    .w_rd_addr_o(rd_addr[RdUpdateW]),
    .w_rd_rvalid_i(rd_rvalid[RdUpdateW]),
    .w_rd_rdata_i(rd_rdata[RdUpdateW]),
    .g_rd_valid_o(rd_valid[RdUpdateG]),
    .g_rd_ready_i(rd_ready[RdUpdateG]),
    .g_rd_addr_o(rd_addr[RdUpdateG]),
    .g_rd_rvalid_i(rd_rvalid[RdUpdateG]),
    .g_rd_rdata_i(rd_rdata[RdUpdateG]),
    .m_rd_valid_o(rd_valid[RdUpdateM]),
    .m_rd_ready_i(rd_ready[RdUpdateM]),
    .m_rd_addr_o(rd_addr[RdUpdateM]),
    .m_rd_rvalid_i(rd_rvalid[RdUpdateM]),
    .m_rd_rdata_i(rd_rdata[RdUpdateM]),
    .v_rd_valid_o(rd_valid[RdUpdateV]),
    .v_rd_ready_i(rd_ready[RdUpdateV]),
    .v_rd_addr_o(rd_addr[RdUpdateV]),
    .v_rd_rvalid_i(rd_rvalid[RdUpdateV]),
    .v_rd_rdata_i(rd_rdata[RdUpdateV]),
    .wn_wr_valid_o(wr_valid[WrUpdateW]),
    .wn_wr_ready_i(wr_ready[WrUpdateW]),
    .wn_wr_addr_o(wr_addr[WrUpdateW]),
    .wn_wr_data_o(wr_data[WrUpdateW]),
    .mn_wr_valid_o(wr_valid[WrUpdateM]),
    .mn_wr_ready_i(wr_ready[WrUpdateM]),
    .mn_wr_addr_o(wr_addr[WrUpdateM]),
    .mn_wr_data_o(wr_data[WrUpdateM]),
    .vn_wr_valid_o(wr_valid[WrUpdateV]),
    .vn_wr_ready_i(wr_ready[WrUpdateV]),
    .vn_wr_addr_o(wr_addr[WrUpdateV]),
    .vn_wr_data_o(wr_data[WrUpdateV]),
    .wc_wr_valid_o(wr_valid[WrUpdateW8]),
    .wc_wr_ready_i(wr_ready[WrUpdateW8]),
    .wc_wr_addr_o(wr_addr[WrUpdateW8]),
    .wc_wr_data_o(wr_data[WrUpdateW8]),
    .stall_operand_o(stall_operand[Update]),
    .stall_result_o(stall_result[Update])
  );

  lathe_dma #(
    .Lanes(Lanes)
  ) u_dma (
    .clk_i(clk[Dma]),
    .rst_ni(rst_far_n[Dma]),
    .cmd_valid_i(cmd_valid[Dma]),
    .cmd_ready_o(cmd_ready[Dma]),
    .cmd_i(cmd[Dma]),
    .done_valid_o(done_valid[Dma]),
    .done_o(done[Dma]),
    .rd_valid_o(rd_valid[RdDma]),
    .rd_ready_i(rd_ready[RdDma]),
    .rd_addr_o(rd_addr[RdDma]),
    .rd_rvalid_i(rd_rvalid[RdDma]),
    .rd_rdata_i(rd_rdata[RdDma]),
    .wr_valid_o(wr_valid[WrDma]),
    .wr_ready_i(wr_ready[WrDma]),
    .wr_addr_o(wr_addr[WrDma]),
    .wr_data_o(wr_data[WrDma]),
    .stall_operand_o(stall_operand[Dma]),
    .stall_result_o(stall_result[Dma]),
    .m_axi_awvalid,
    .m_axi_awready,
    .m_axi_awid,
    .m_axi_awaddr,
    .m_axi_awlen,
    .m_axi_awsize,
    .m_axi_awburst,
    .m_axi_wvalid,
    .m_axi_wready,
    .m_axi_wdata,
    .m_axi_wstrb,
    .m_axi_wlast,
    .m_axi_bvalid,
    .m_axi_bready,
    .m_axi_bid,
    .m_axi_bresp,
    .m_axi_arvalid,
    .m_axi_arready,
    .m_axi_arid,
    .m_axi_araddr,
    .m_axi_arlen,
    .m_axi_arsize,
    .m_axi_arburst,
    .m_axi_rvalid,
    .m_axi_rready,
    .m_axi_rid,
    .m_axi_rdata,
    .m_axi_rresp,
    .m_axi_rlast
  );

`ifndef SYNTHESIS
  // Whoever reads what policy, update or dma has written asks later than WriteDelay cycles after their completion.
  for (genvar p = 0; p < 4; p++) begin : gen_order
    for (genvar w = 1; w < 3; w++) begin : gen_write
      always_ff @(posedge clk_core) begin
        if (rst_far_n[NumUnits+1] && u_scratchpad.wr_req[w] && u_scratchpad.rd_req[p]) begin
          assert (u_scratchpad.rd_place[p] != u_scratchpad.wr_place[w]) else $error("read port %0d before its write", p);
        end
      end
    end
  end
`endif
endmodule
