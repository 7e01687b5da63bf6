// SPDX-License-Identifier: Apache-2.0
// What control remembers of the commands that are not finished, unit by unit in the order of their starts: who has room
// for another, what the oldest one's end entails, and whether a result's exponent register is still to be written.
module lathe_inflight
  import lathe_pkg::*;
  import lathe_ctrl_pkg::*;
(
  input  logic                clk_i,
  input  logic                rst_ni,

  input  logic                push_i,
  input  logic [UnitW-1:0]    push_unit_i,
  input  info_t               push_info_i,

  input  logic                pop_i,
  input  logic [UnitW-1:0]    pop_unit_i,
  input  logic [UnitW-1:0]    read_unit_i,
  output info_t               info_o,       // of the oldest command of read_unit_i

  output logic [NumUnits-1:0] room_o,       // in the next cycle, unless a command is pushed now
  output logic [NumUnits-1:0] program_o,    // has a command of the program
  output logic                request_o,    // a unit has one of the request

  input  logic                check_i,
  input  ref_t [NumResults:0] ref_i,        // with check_i
  input  ref_t [NumResults-1:0] retiring_i, // registers whose commands are finished, but whose history is not
  output logic                conflict_o    // a cycle after check_i: one of ref_i was among these, or a result of an unfinished command
);
  localparam int unsigned PtrW = $clog2(FlightDepth);

  function automatic logic clash(logic [6:0] index, ref_t [NumResults-1:0] b);
    logic any;
    any = 1'b0;
    for (int unsigned i = 0; i < NumResults; i++) any |= b[i].write && index == b[i].index;
    return any;
  endfunction

  info_t info_mem [NumUnits*FlightDepth];
  logic [NumUnits-1:0][PtrW-1:0] rptr_q, wptr_q;
  logic [NumUnits-1:0][FlightDepth-1:0] valid;
  ref_t [NumUnits-1:0][FlightDepth-1:0][NumResults-1:0] ref_q;
  logic [NumUnits-1:0] request;
  assign request_o = request != '0;
  always_ff @(posedge clk_i) begin
    if (push_i) info_mem[{push_unit_i, wptr_q[push_unit_i]}] <= push_info_i;
  end
  assign info_o = info_mem[{read_unit_i, rptr_q[read_unit_i]}];

  for (genvar u = 0; u < NumUnits; u++) begin : gen_unit
    localparam int unsigned Depth = (u == 0) ? FlightDepth : 1;
    localparam int unsigned Results = (u == 2) ? NumResults : (u == 3) ? 0 : (u == 1) ? 1 : 2;  // with an exponent: update, dma, policy, gemm
    logic [Depth-1:0] valid_q, request_q;
    logic             push, pop;
    assign push = push_i && push_unit_i == UnitW'(u);
    assign pop = pop_i && pop_unit_i == UnitW'(u);
    assign program_o[u] = (valid_q & ~request_q) != '0;
    assign request[u] = (valid_q & request_q) != '0;
    assign room_o[u] = !(&valid_q) || pop;

    if (Depth > 1) begin : gen_ring
      always_ff @(posedge clk_i) begin
        if (!rst_ni) {wptr_q[u], rptr_q[u]} <= '0;
        else {wptr_q[u], rptr_q[u]} <= {wptr_q[u] + PtrW'(push), rptr_q[u] + PtrW'(pop)};
      end
    end else begin : gen_one
      assign {wptr_q[u], rptr_q[u]} = '0;
    end

    for (genvar s = 0; s < FlightDepth; s++) begin : gen_slot
      if (s < Depth) begin : gen_used
        always_ff @(posedge clk_i) begin
          if (!rst_ni) valid_q[s] <= 1'b0;
          else if (push && wptr_q[u] == PtrW'(s)) valid_q[s] <= 1'b1;
          else if (pop && rptr_q[u] == PtrW'(s)) valid_q[s] <= 1'b0;
          if (push && wptr_q[u] == PtrW'(s)) request_q[s] <= push_info_i.request;
        end
        assign valid[u][s] = valid_q[s];
        for (genvar i = 0; i < NumResults; i++) begin : gen_result
          if (i < Results) begin : gen_kept
            always_ff @(posedge clk_i) if (push && wptr_q[u] == PtrW'(s)) ref_q[u][s][i] <= push_info_i.result[i];
          end else begin : gen_not
            assign ref_q[u][s][i] = '0;
          end
        end
      end else begin : gen_none
        assign valid[u][s] = 1'b0;
        assign ref_q[u][s] = '0;
      end
    end
  end

  logic conflict;
  always_comb begin
    conflict = 1'b0;
    if (check_i) begin
      for (int unsigned i = 0; i <= NumResults; i++) begin
        for (int unsigned u = 0; u < NumUnits; u++) begin
          for (int unsigned s = 0; s < FlightDepth; s++) conflict |= ref_i[i].write && valid[u][s] && clash(ref_i[i].index, ref_q[u][s]);
        end
        conflict |= ref_i[i].write && clash(ref_i[i].index, retiring_i);
      end
    end
  end
  always_ff @(posedge clk_i) conflict_o <= conflict;

`ifndef SYNTHESIS
  always_ff @(posedge clk_i) begin
    if (rst_ni) begin
      assert (!push_i || room_o[push_unit_i]) else $error("a command for a unit that has no room");
      assert (!pop_i || program_o[pop_unit_i] || request[pop_unit_i]) else $error("the end of a command that does not run");
    end
  end
`endif
endmodule
