// SPDX-License-Identifier: Apache-2.0
// Completes commands, one a cycle, lowest unit first: hands the tops of the results to the histories, adds the
// saturations, posts the semaphores and makes room in the unit, or reports the command's error.
module lathe_retire
  import lathe_pkg::*;
  import lathe_desc_pkg::*;
  import lathe_ctrl_pkg::*;
(
  input  logic                     clk_i,
  input  logic                     rst_ni,

  input  logic [NumUnits-1:0]      done_valid_i,
  input  done_t [NumUnits-1:0]     done_i,

  output logic                     finish_o,             // the oldest command of this unit is complete
  output logic [lathe_ctrl_pkg::UnitW-1:0] unit_o,
  input  info_t                    info_i,               // of that command
  output logic                     post_o,
  output logic [NumSemaphores-1:0] post_mask_o,
  input  logic                     overflow_i,           // this post is one too many

  output logic                     retire_valid_o,       // to the exponents
  input  logic                     retire_ready_i,
  output tops_t                    retire_o,

  output logic                     saturations_valid_o,  // these come one cycle after finish_o
  output logic [31:0]              saturations_o,
  output logic                     report_valid_o,
  output report_t                  report_o
);
  // ---- What has ended: of gemm up to four, of the others one command ----
  logic  [NumUnits-1:0] pending, finish;
  done_t [NumUnits-1:0] record;
  logic                 unused_ready;

  logic [$clog2(FlightDepth+1)-1:0] unused_level;
  lathe_fifo #(
    .Width($bits(done_t)),
    .Depth(FlightDepth)
  ) u_gemm (
    .clk_i,
    .rst_ni,
    .in_valid_i(done_valid_i[0]),
    .in_ready_o(unused_ready),  // never more than four commands in flight
    .in_data_i(done_i[0]),
    .out_valid_o(pending[0]),
    .out_ready_i(finish[0]),
    .out_data_o(record[0]),
    .level_o(unused_level)
  );
  for (genvar u = 1; u < NumUnits; u++) begin : gen_unit
    always_ff @(posedge clk_i) begin
      if (!rst_ni) pending[u] <= 1'b0;
      else pending[u] <= done_valid_i[u] || (pending[u] && !finish[u]);
      if (done_valid_i[u]) record[u] <= done_i[u];
    end
  end

  // ---- Complete one ----
  done_t      current;
  logic [1:0] tracked;
  logic       failed;
  always_comb begin
    unit_o = '0;
    for (int unsigned u = NumUnits; u > 0; u--) begin
      if (pending[u-1]) unit_o = UnitW'(u - 1);
    end
  end
  assign current = record[unit_o];
  for (genvar r = 0; r < 2; r++) begin : gen_result
    assign tracked[r] = current.result[r].track && info_i.result[r].write;
    assign retire_o.result[r] = '{write: tracked[r], index: info_i.result[r].index};
    assign retire_o.top[r] = current.result[r].top;
  end
  assign retire_o.int8 = info_i.int8;
  assign finish_o = pending != '0 && (retire_ready_i || {current.result[0].track, current.result[1].track} == '0);
  assign finish = NumUnits'(finish_o) << unit_o;
  assign retire_valid_o = pending != '0;
  assign failed = current.error != ErrNone;
  assign post_o = finish_o && !failed;
  assign post_mask_o = info_i.post_mask;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      {saturations_valid_o, report_valid_o} <= '0;
    end else begin
      saturations_valid_o <= finish_o;
      report_valid_o <= finish_o && (failed || overflow_i);
    end
  end
  always_ff @(posedge clk_i) begin
    saturations_o <= current.saturations;
    report_o <= '{code: failed ? current.error : ErrSemaphoreOverflow, unit: 3'(unit_o) + 3'd1, pc: info_i.pc};
  end

`ifndef SYNTHESIS
  always_ff @(posedge clk_i) begin
    if (rst_ni) begin
      assert ((done_valid_i & pending & ~NumUnits'(1)) == '0) else $error("a unit was done twice");
      assert (!done_valid_i[0] || unused_ready) else $error("gemm was done too often");
    end
  end
`endif
endmodule
