// SPDX-License-Identifier: Apache-2.0
// The gradient norm (numerics.md, section 9): the exact sum of the squares of all results of gemm commands with `norm`, and the
// logarithm of its root. Two elements a cycle, in a fixed-point sum wide enough for every exponent; holds words back while
// it works. Does not know what the words belong to.
module lathe_gemm_norm
  import lathe_pkg::ExpW;
#(
  parameter int unsigned Lanes = 8
) (
  input  logic                   clk_i,
  input  logic                   rst_ni,
  output logic                   busy_o,        // not only waiting for a word
  input  logic                   clear_i,       // pulse: the sum becomes 0 as soon as no command is in work
  // Words, each taken with ready; of the command's last one that means: once it is in the sum. Pad lanes are 0.
  input  logic                   word_valid_i,
  output logic                   word_ready_o,
  input  logic                   word_taken_i,  // valid, ready, and whoever else takes it
  input  logic                   word_last_i,
  input  logic                   word_sum_i,    // of the column sums
  input  logic signed [ExpW-1:0] word_exp_i,
  input  logic [Lanes*16-1:0]    word_i,

  output logic                   zero_o,        // the sum is 0
  output logic signed [31:0]     norm_o         // log2 of the root, LSB 2**-18, -2**31 of 0; stays after a clear
);
  localparam int unsigned SquaresW = 52;  // a result's sum of squares: at most 2**20 elements
  localparam int unsigned SumWords = 10;  // of the sum, LSB 2**-128
  localparam int unsigned Pairs = Lanes / 2;
  localparam int unsigned PairW = $clog2(Pairs);

  typedef enum logic [3:0] {Clear, Idle, Square, Flush, Shift, Add, Scan, Align, Look, Round, Settled} state_e;
  state_e state_q;

  // ---- Squares of a word's elements, two a cycle, and their sums: of C, of the column sums ----
  logic                      last_q, sum_q, ready_q, clear_q;
  logic [Lanes*16-1:0]       word_q;
  logic [PairW-1:0]          pair_q;
  logic signed [15:0]        x_q [2];
  logic [31:0]               square_q [2];
  logic [32:0]               squares_q;
  logic [2:0]                valid_q, of_q;       // of the stages of a pair; it belongs to the column sums
  logic [1:0][SquaresW-1:0]  total_q;
  logic signed [1:0][ExpW-1:0] exp_q;
  logic                      load, which_q, added;

  assign busy_o = (state_q != Idle && state_q != Settled) || clear_q;
  assign word_ready_o = word_last_i ? state_q == Settled : ready_q;
  assign load = ready_q && word_valid_i && (word_last_i || word_taken_i);

  always_ff @(posedge clk_i) begin
    if (state_q == Clear || state_q == Settled) exp_q <= {2{ExpW'(-64)}};  // so that a sum of nothing is not shifted
    if (load) begin
      word_q <= word_i;
      sum_q <= word_sum_i;
      last_q <= word_last_i;
      exp_q[word_sum_i] <= word_exp_i;
    end else begin
      word_q <= word_q >> 32;
    end
    pair_q <= state_q == Square ? pair_q + 1'b1 : '0;
    valid_q <= rst_ni ? {valid_q[1:0], state_q == Square} : '0;
    of_q <= {of_q[1:0], sum_q};
    x_q <= '{signed'(word_q[15:0]), signed'(word_q[31:16])};
    for (int unsigned i = 0; i < 2; i++) square_q[i] <= 32'(x_q[i] * x_q[i]);
    squares_q <= 33'(square_q[0]) + 33'(square_q[1]);
    for (int unsigned r = 0; r < 2; r++) begin
      if (state_q == Clear || state_q == Settled) total_q[r] <= '0;
      else if (valid_q[2] && of_q[2] == 1'(r)) total_q[r] <= total_q[r] + SquaresW'(squares_q);
    end
  end

  // ---- The sum, a word a cycle: first a total is shifted to its place, then it is added from its word on ----
  (* ram_style = "distributed" *) logic [31:0] mem_q [16];
  logic [3:0]          at_q;      // the word that is added to or looked at
  logic [SquaresW+31:0] part_q;   // what is still to be added, from that word on
  logic [3:0]          left_q;    // pairs of places still to be shifted
  logic                carry_q;
  logic [32:0]         added_word;
  logic [6:0]          place;     // of the total's LSB, in pairs

  assign place = exp_q[which_q][6:0] ^ 7'h40;  // e + 64; e is -64 to 63
  assign added_word = {1'b0, mem_q[at_q]} + {1'b0, part_q[31:0]} + 33'(carry_q);
  assign added = part_q[SquaresW+31:32] == '0 && !added_word[32];

  always_ff @(posedge clk_i) begin
    if (state_q == Clear) mem_q[at_q] <= '0;
    else if (state_q == Add) mem_q[at_q] <= added_word[31:0];
  end

  // ---- The logarithm: the highest word that is not 0 and the one below, shifted until the highest bit is on top ----
  logic [63:0] top_q;
  logic [8:0]  bit_q;      // place of the highest bit of top_q
  logic [17:0] log_q;
  logic [10:0] rounded;    // 10 bits behind the highest one
  logic        carries_q;  // these were rounded up to the next power of two
  logic        any_q;
  logic        below_q;    // the word below is there

  assign rounded = 11'({1'b0, top_q[62:47]} + 17'd32 >> 6);

  always_ff @(posedge clk_i) begin
    clear_q <= rst_ni && (clear_i || (clear_q && state_q != Clear));
    if (!rst_ni) begin
      state_q <= Clear;
      at_q <= '0;
      ready_q <= 1'b0;
      zero_o <= 1'b1;
    end else begin
      ready_q <= 1'b0;
      unique case (state_q)
        Clear: begin
          at_q <= at_q + 4'd1;
          zero_o <= 1'b1;
          if (at_q == 4'(SumWords - 1)) begin
            state_q <= Idle;
            ready_q <= 1'b1;
          end
        end
        Idle: begin
          which_q <= 1'b0;
          if (load) state_q <= Square;
          else if (clear_q) begin
            state_q <= Clear;
            at_q <= '0;
          end else ready_q <= 1'b1;
        end
        Square: if (pair_q == PairW'(Pairs - 1)) begin
          state_q <= last_q ? Flush : Idle;
          ready_q <= !last_q;
        end
        Flush: if (valid_q == '0) begin
          state_q <= Shift;
          part_q <= (SquaresW + 32)'(total_q[which_q]);
          {at_q, left_q} <= {1'b0, place};
          carry_q <= 1'b0;
        end
        Shift: begin
          if (left_q[3:2] != '0) begin
            part_q <= part_q << 8;
            left_q[3:2] <= left_q[3:2] - 2'd1;
          end else if (left_q[1:0] != '0) begin
            part_q <= part_q << 2;
            left_q[1:0] <= left_q[1:0] - 2'd1;
          end else begin
            state_q <= Add;
          end
        end
        Add: begin
          at_q <= at_q + 4'd1;
          part_q <= part_q >> 32;
          carry_q <= added_word[32];
          if (added) begin
            which_q <= 1'b1;
            state_q <= which_q ? Scan : Flush;
            if (which_q) at_q <= 4'(SumWords - 1);
          end
        end
        Scan: begin
          top_q <= {mem_q[at_q], 32'd0};
          below_q <= 1'b0;
          bit_q <= {at_q, 5'd31};
          any_q <= mem_q[at_q] != '0;
          at_q <= at_q - 4'd1;
          if (mem_q[at_q] != '0 || at_q == '0) state_q <= Align;
        end
        Align: begin  // its first cycle brings the word below
          if (!below_q) begin
            top_q[31:0] <= bit_q[8:5] != '0 ? mem_q[at_q] : '0;
            below_q <= 1'b1;
          end else if (any_q && top_q[63:56] == '0) begin
            top_q <= top_q << 8;
            bit_q <= bit_q - 9'd8;
          end else if (any_q && !top_q[63]) begin
            top_q <= top_q << 1;
            bit_q <= bit_q - 9'd1;
          end else begin
            state_q <= Look;
          end
        end
        Look: state_q <= Round;
        Round: begin
          state_q <= Settled;
          zero_o <= !any_q;
        end
        default: if (word_taken_i) state_q <= Idle;  // Settled
      endcase
    end
    log_q <= lathe_tables_pkg::LogTable[rounded[9:0]];
    carries_q <= rounded[10];
    if (!rst_ni) norm_o <= 32'h8000_0000;
    else if (state_q == Round) norm_o <= !any_q ? 32'h8000_0000 : 32'(signed'({1'b0, bit_q} + 10'(carries_q) - 10'd128)) <<< 17 | 32'(log_q >> 1);
  end
endmodule
