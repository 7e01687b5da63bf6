// SPDX-License-Identifier: Apache-2.0
// Says who may start next where both the program and the request could (architecture.md, "Requests beside a program").
// Does not know whether they can: issue does.
module lathe_arbiter
  import lathe_desc_pkg::*;
(
  input  logic       clk_i,
  input  logic       rst_ni,
  input  arbitration_e policy_i,
  input  logic [4:0] slice_i,           // binary logarithm of a slice's cycles
  input  logic       program_busy_i,
  input  logic       request_busy_i,
  input  logic       commit_waits_i,    // for the request's end: the program's slice is of no use to it
  input  logic       start_i,           // pulse: a command or piece starts
  input  logic       start_request_i,   // with start_i: of the request
  output logic       hold_program_o,    // the program starts nothing
  output logic       hold_request_o,
  output logic       request_first_o    // where both may
);
  localparam int unsigned Smallest = 5;

  logic [31:0] time_q;
  logic        turn_q, owner_q;  // the program has the next turn; the slice is the request's
  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      time_q <= '0;
      turn_q <= 1'b0;
    end else begin
      time_q <= time_q + 32'd1;
      if (start_i) turn_q <= start_request_i;
    end
    owner_q <= time_q[(slice_i < 5'(Smallest)) ? 5'(Smallest) : slice_i];
  end
  always_ff @(posedge clk_i) begin
    hold_program_o <= request_busy_i && (policy_i == ArbPriority || (policy_i == ArbTimeSlice && owner_q));
    hold_request_o <= program_busy_i && policy_i == ArbTimeSlice && !owner_q && !commit_waits_i;
  end
  assign request_first_o = !(policy_i == ArbRoundRobin && turn_q);
endmodule
