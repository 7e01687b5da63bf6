// SPDX-License-Identifier: Apache-2.0
// Completes commands, lowest unit first: one is chosen, and in the next cycle the tops of its results go to the histories, its
// saturations are added, its semaphores posted and room is made in the unit, or its error is reported. Of a command in pieces the
// largest tops go there with the last one.
module lathe_retire
  import lathe_pkg::*;
  import lathe_desc_pkg::*;
  import lathe_ctrl_pkg::*;
(
  input  logic                     clk_i,
  input  logic                     rst_ni,
  input  logic                     clear_i,              // forget what pieces have left

  input  logic [NumUnits-1:0]      done_valid_i,
  input  done_t [NumUnits-1:0]     done_i,               // of gemm it stands a cycle longer

  output logic [lathe_ctrl_pkg::UnitW-1:0] next_o,       // the unit that is chosen if none waits to be completed
  input  info_t                    info_i,               // of its oldest command
  output logic                     finish_o,             // the oldest command of this unit is complete
  output logic [lathe_ctrl_pkg::UnitW-1:0] unit_o,
  output logic                     post_o,
  output logic [NumSemaphores-1:0] post_mask_o,
  input  logic                     overflow_i,           // this post is one too many

  output logic                     retire_valid_o,       // to the exponents
  input  logic                     retire_ready_i,
  output tops_t                    retire_o,

  output logic                     saturations_valid_o,  // these come one cycle after finish_o
  output logic [31:0]              saturations_o,
  output logic                     report_valid_o,
  output logic                     request_report_valid_o,  // of a command of the request
  output report_t                  report_o
);
  // ---- What has ended: of gemm up to four, of the others one command ----
  logic  [NumUnits-1:0] done, pending, coming, take;
  done_t [NumUnits-1:0] record;
  logic                 unused_ready;
  (* keep *) logic      take_gemm;  // for the FIFO alone, so that what follows here does not move to it

  logic gemm_done_q;  // its logic lies far away
  always_ff @(posedge clk_i) gemm_done_q <= rst_ni && done_valid_i[0];
  assign done = {done_valid_i[NumUnits-1:1], gemm_done_q};

  logic [$clog2(FlightDepth+1)-1:0] level;
  lathe_fifo #(
    .Width($bits(done_t)),
    .Depth(FlightDepth)
  ) u_gemm (
    .clk_i,
    .rst_ni,
    .in_valid_i(done[0]),
    .in_ready_o(unused_ready),  // never more than four commands in flight
    .in_data_i(done_i[0]),
    .out_valid_o(pending[0]),
    .out_ready_i(take_gemm),
    .out_data_o(record[0]),
    .level_o(level)
  );
  for (genvar u = 1; u < NumUnits; u++) begin : gen_unit
    always_ff @(posedge clk_i) begin
      if (!rst_ni) pending[u] <= 1'b0;
      else pending[u] <= coming[u];
      if (done[u]) record[u] <= done_i[u];
    end
  end

  // ---- Choose one ----
  done_t              current;
  result_t [1:0]      merged;
  result_t [1:0][1:0] pieces_q;  // of gemm and policy: the results of the pieces of a command so far
  logic               valid_q, tracked_q, failed_q, request_q, piecewise;
  logic [UnitW-1:0]   unit_q;
  error_e             error_q;
  logic [31:0]        saturations_q;
  tops_t              retire_q;
  logic [NumSemaphores-1:0] post_mask_q;
  logic [PcW-1:0]     pc_q;
  logic               any_q;
  logic [UnitW-1:0]   next_q;
  assign next_o = next_q;
  always_comb begin
    take = '0;
    take[next_q] = any_q && !valid_q;
    coming = done | (pending & ~take);
    if (level > 3'd1) coming[0] = 1'b1;
  end
  assign take_gemm = take[0];
  always_ff @(posedge clk_i) begin
    any_q <= rst_ni && coming != '0;
    for (int unsigned u = NumUnits; u > 0; u--) begin
      if (coming[u-1]) next_q <= UnitW'(u - 1);
    end
  end
  assign current = record[next_q];
  assign piecewise = next_q < UnitW'(2) && !info_i.request;
  always_comb begin
    for (int unsigned r = 0; r < 2; r++) begin
      merged[r] = current.result[r];
      if (piecewise && pieces_q[next_q[0]][r].track && (!merged[r].track || pieces_q[next_q[0]][r].top > merged[r].top)) begin
        merged[r] = pieces_q[next_q[0]][r];
      end
    end
  end
  always_ff @(posedge clk_i) begin
    for (int unsigned u = 0; u < 2; u++) begin
      for (int unsigned r = 0; r < 2; r++) begin
        if (!rst_ni || clear_i) pieces_q[u][r].track <= 1'b0;
        else if (any_q && !valid_q && piecewise && next_q[0] == 1'(u)) pieces_q[u][r].track <= merged[r].track && info_i.more;
        if (any_q && !valid_q && piecewise && next_q[0] == 1'(u)) pieces_q[u][r].top <= merged[r].top;
      end
    end
  end
  always_ff @(posedge clk_i) begin
    if (!rst_ni) valid_q <= 1'b0;
    else valid_q <= valid_q ? !finish_o : any_q;
    if (any_q && !valid_q) begin
      unit_q <= next_q;
      error_q <= current.error;
      failed_q <= current.error != ErrNone;
      tracked_q <= (merged[0].track || merged[1].track) && !info_i.more;
      for (int unsigned r = 0; r < 2; r++) begin
        retire_q.result[r] <= '{write: merged[r].track && info_i.result[r].write && !info_i.more, index: info_i.result[r].index};
        retire_q.top[r] <= merged[r].top;
      end
      retire_q.result[2] <= '{write: merged[0].track && info_i.result[2].write, index: info_i.result[2].index};
      request_q <= info_i.request;
      retire_q.int8 <= info_i.int8;
      saturations_q <= current.saturations;
      post_mask_q <= info_i.post_mask;
      pc_q <= info_i.pc;
    end
  end

  // ---- Complete it ----
  assign unit_o = unit_q;
  assign finish_o = valid_q && (retire_ready_i || !tracked_q);
  assign retire_valid_o = valid_q;
  assign retire_o = retire_q;
  assign post_o = finish_o && !failed_q;
  assign post_mask_o = post_mask_q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      {saturations_valid_o, report_valid_o, request_report_valid_o} <= '0;
    end else begin
      saturations_valid_o <= finish_o;
      report_valid_o <= finish_o && (failed_q || overflow_i) && !request_q;
      request_report_valid_o <= finish_o && failed_q && request_q;
    end
  end
  always_ff @(posedge clk_i) begin
    if (finish_o) begin
      saturations_o <= saturations_q;
      report_o <= '{code: failed_q ? error_q : ErrSemaphoreOverflow, unit: 3'(unit_q) + 3'd1, pc: pc_q};
    end
  end

`ifndef SYNTHESIS
  always_ff @(posedge clk_i) begin
    if (rst_ni) begin
      assert ((done & pending & ~NumUnits'(1)) == '0) else $error("a unit was done twice");
      assert (!done[0] || unused_ready) else $error("gemm was done too often");
    end
  end
`endif
endmodule
