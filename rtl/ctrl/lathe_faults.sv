// SPDX-License-Identifier: Apache-2.0
// What follows from faults of the scratchpad: counts, and the error of a command whose unit has read an uncorrectable word. In
// gemm all commands under way get it, since any of them may have read the word, for a program or a request. Corrects nothing.
module lathe_faults
  import lathe_pkg::*;
(
  input  logic                 clk_i,
  input  logic                 rst_ni,
  input  logic                 clear_i,        // the counts
  input  logic                 start_i,        // of a program
  input  logic                 fault_valid_i,
  input  fault_t               fault_i,
  input  logic  [NumUnits-1:0] bad_i,          // this unit gets an uncorrectable word
  input  logic                 gemm_taken_i,   // pulse: gemm takes a command
  input  logic  [NumUnits-1:0] done_valid_i,
  input  done_t [NumUnits-1:0] done_i,         // of gemm it stands a cycle longer
  output done_t [NumUnits-1:0] done_o,         // with that error
  output logic                 poisoned_o,     // one has been read since the program's start
  output logic                 uncorrectable_o,  // pulse
  output logic  [31:0]         corrected_o,    // counts
  output logic  [31:0]         uncorrected_o,
  output fault_t               last_o
);
  localparam int unsigned Gemm = 0;

  logic [NumUnits-1:0] bad_q;
  logic                ended_q;            // gemm ended a command a cycle ago
  logic [2:0]          under_way_q, left_q;  // gemm's commands, those of them that get the error
  logic [2:0]          under_way;

  assign under_way = under_way_q + 3'(gemm_taken_i) - 3'(ended_q);

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      bad_q <= '0;
      ended_q <= 1'b0;
      under_way_q <= '0;
      left_q <= '0;
      poisoned_o <= 1'b0;
    end else begin
      ended_q <= done_valid_i[Gemm];
      under_way_q <= under_way;
      if (bad_i[Gemm]) left_q <= under_way;
      else if (ended_q && left_q != '0) left_q <= left_q - 1'b1;
      bad_q <= bad_i | (bad_q & ~done_valid_i);
      bad_q[Gemm] <= bad_i[Gemm] ? under_way != '0 : left_q > 3'(ended_q);
      poisoned_o <= bad_i != '0 || (poisoned_o && !start_i);
    end
  end

  always_comb begin
    done_o = done_i;
    for (int unsigned u = 0; u < NumUnits; u++) if (bad_q[u]) done_o[u].error = lathe_desc_pkg::ErrUncorrectable;
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      corrected_o <= '0;
      uncorrected_o <= '0;
      last_o <= '0;
    end else begin
      if (clear_i) {corrected_o, uncorrected_o} <= '0;
      else if (fault_valid_i && !fault_i.uncorrectable && corrected_o != '1) corrected_o <= corrected_o + 1'b1;
      else if (fault_valid_i && fault_i.uncorrectable && uncorrected_o != '1) uncorrected_o <= uncorrected_o + 1'b1;
      if (fault_valid_i) last_o <= fault_i;
    end
  end

  assign uncorrectable_o = fault_valid_i && fault_i.uncorrectable;
endmodule
