// SPDX-License-Identifier: Apache-2.0
// What a gemm command reports: saturations, and the bit length of the largest magnitude before rounding, of C (or of its terms)
// and of the column sums. Collects while rows go through the drain's lanes; writes nothing.
module lathe_gemm_report
  import lathe_pkg::*;
  import lathe_desc_pkg::*;
  import lathe_num_pkg::*;
#(
  parameter int unsigned Lanes = 8
) (
  input  logic              clk_i,
  input  logic              rst_ni,
  input  logic              clear_i,      // a command begins
  input  logic              row_valid_i,  // a row before rounding
  input  logic              row_sum_i,    // it is one of column sums
  input  logic              row_track_i,  // its magnitude counts
  input  fixed_t            row_i [Lanes],
  input  logic [30:0]       row_terms_i,  // counts as a magnitude, too
  input  logic              out_valid_i,  // a row of results
  input  logic [Lanes-1:0]  sat_i,
  input  logic              finish_i,     // the command's last row is about to leave the lanes; only while ready_o
  input  logic              colsum_i,     // its settings, with finish_i and a cycle later
  input  logic signed [9:0] value_exp_i,
  input  logic signed [9:0] colsum_exp_i,
  output logic              ready_o,      // the report before is given
  input  logic              written_i,    // the last word of a command has been accepted
  output logic              done_valid_o,
  output done_t             done_o
);
  localparam int unsigned Groups = Lanes / 4;  // of lanes that share a count
  localparam int unsigned CountW = $clog2(Lanes + 1);

  // Of C and of the column sums (index 1): the OR of magnitudes, whether anything was lost, saturations.
  typedef struct packed {
    logic [33:0] magnitude;
    logic        lost;
  } seen_t;

  // Bit i: a bit of byte i or of one above it is set.
  function automatic logic [4:1] reach(logic [33:8] of);
    return {|of[33:32], |of[33:24], |of[33:16], |of[33:8]};
  endfunction

  logic or_valid_q, or_sum_q, count_valid_q, hand_over_q;
  seen_t or_q;
  seen_t [1:0] seen_q;
  logic [1:0][4:1] reach_q;    // of seen_q
  logic [Groups-1:0][2:0] count_q;  // of every four lanes
  logic [CountW-1:0] count;
  logic [31:0] saturations_q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      or_valid_q <= 1'b0;
      count_valid_q <= 1'b0;
    end else begin
      or_valid_q <= row_valid_i && row_track_i;
      count_valid_q <= out_valid_i;
    end
  end

  always_comb begin
    count = '0;
    for (int unsigned g = 0; g < Groups; g++) count += CountW'(count_q[g]);
  end

  always_ff @(posedge clk_i) begin
    if (row_valid_i) begin
      seen_t seen;
      seen = '{magnitude: 34'(row_terms_i), lost: 1'b0};
      for (int unsigned l = 0; l < Lanes; l++) seen |= {row_i[l].x[33:0] ^ {34{row_i[l].x[34]}}, row_i[l].lost};
      or_q <= seen;
      or_sum_q <= row_sum_i;
    end
    if (out_valid_i) begin
      for (int unsigned g = 0; g < Groups; g++) count_q[g] <= ones(sat_i[4*g+:4]);
    end
    if (clear_i) begin
      seen_q <= '0;
      reach_q <= '0;
      saturations_q <= '0;
    end else begin
      if (or_valid_q) begin
        seen_q[or_sum_q] <= seen_q[or_sum_q] | or_q;
        reach_q[or_sum_q] <= reach_q[or_sum_q] | reach(or_q.magnitude[33:8]);
      end
      if (count_valid_q) saturations_q <= saturations_q + 32'(count);
    end
  end

  // Report, while the next command's rows may already be in the lanes: the bit length of the OR in two steps (its
  // highest byte that is not zero, then within it), for the column sums too; then the last word's acceptance.
  typedef enum logic [1:0] {Idle, Length, Part, Wait} report_e;
  report_e report_q;
  seen_t part_seen, report_colsum_seen_q;
  logic [4:1] part_reach, report_colsum_reach_q;
  logic [31:0] report_saturations_q;
  logic signed [1:0][9:0] report_exp_q;
  logic report_colsum_q, which_q, any_q;
  logic [1:0] written_q;
  logic [2:0] part_index_q;
  logic [7:0] part, part_q;
  logic [1:0] track_q;
  logic signed [1:0][9:0] top_q;  // not yet clamped
  logic [2:0] part_top;       // its highest bit that is set
  logic signed [9:0] top;     // bit length of the OR, in terms of its exponent

  assign ready_o = report_q == Idle;
  assign part_seen = hand_over_q ? seen_q[0] : report_colsum_seen_q;
  assign part_reach = hand_over_q ? reach_q[0] : report_colsum_reach_q;
  always_comb begin
    if (part_reach[4]) part = {6'd0, part_seen.magnitude[33:32]};
    else if (part_reach[2]) part = part_reach[3] ? part_seen.magnitude[31:24] : part_seen.magnitude[23:16];
    else part = part_reach[1] ? part_seen.magnitude[15:8] : part_seen.magnitude[7:0];
  end
  always_comb begin
    part_top = '0;
    for (int unsigned i = 1; i < 8; i++) if (part_q[i]) part_top = 3'(i);
  end
  assign top = 10'({report_exp_q[which_q], 1'b1} + {4'd0, part_index_q, part_top, part_q != '0} >> 1);

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      hand_over_q <= 1'b0;
      report_q <= Idle;
      written_q <= '0;
    end else begin
      hand_over_q <= finish_i;
      unique case (report_q)
        Idle:    if (hand_over_q) report_q <= Length;
        Length:  report_q <= report_colsum_q && !which_q ? Part : Wait;
        Part:    report_q <= Length;
        default: if (done_valid_o) report_q <= Idle;
      endcase
      if (written_i != done_valid_o) begin
        written_q <= done_valid_o ? written_q - 1'b1 : written_q + 1'b1;
      end
    end
  end

  always_ff @(posedge clk_i) begin
    if (hand_over_q || report_q == Part) begin
      any_q <= part_reach[1] || part_seen.magnitude[7:0] != '0 || part_seen.lost;
      part_index_q <= {part_reach[4], part_reach[2] && !part_reach[4], part_reach[part_reach[2] ? 3 : 1] && !part_reach[4]};
      part_q <= part;
      which_q <= !hand_over_q;
    end
    if (hand_over_q) begin
      report_colsum_seen_q <= seen_q[1];
      report_colsum_reach_q <= reach_q[1];
      report_exp_q <= {colsum_exp_i, value_exp_i};
      report_colsum_q <= colsum_i;
      track_q <= '0;
      top_q <= '0;
    end
    if (report_q == Length) begin
      if (any_q) begin
        track_q[which_q] <= 1'b1;
        top_q[which_q] <= top;
      end
      if (!which_q) report_saturations_q <= saturations_q;  // complete a cycle after the rest
    end
  end

  assign done_valid_o = report_q == Wait && (written_q != '0 || written_i);
  always_comb begin
    done_o.error = ErrNone;
    done_o.saturations = report_saturations_q;
    for (int unsigned r = 0; r < 2; r++) done_o.result[r] = '{track: track_q[r], top: top_of('0, top_q[r])};
  end
endmodule
