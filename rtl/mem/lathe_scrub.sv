// SPDX-License-Identifier: Apache-2.0
// Walks all words of the scratchpad, one every 2**interval_i cycles, and writes back what its read port has corrected; flips
// bits of a word on demand. Takes part in no arbitration: its accesses go where nobody else wants the bank and the ports.
// What someone has written since it read a word is not overwritten.
module lathe_scrub
  import lathe_pkg::*;
#(
  parameter int unsigned Words = 8192,  // a power of two
  parameter int unsigned BankW = 3,
  parameter int unsigned Bits = 137,    // of a word in the memory
  localparam int unsigned WalkW = $clog2(Words),
  localparam int unsigned Groups = (Bits + 15) / 16
) (
  input  logic             clk_i,
  input  logic             rst_ni,
  input  logic [4:0]       interval_i,      // 0: does not walk
  input  logic             inject_valid_i,  // pulse; ignored while the last one is under way
  input  inject_t          inject_i,
  output logic             inject_busy_o,
  output logic             req_o,           // out of registers, like what follows
  output logic             write_o,
  output logic [WalkW-1:0] place_o,         // row and bank
  output logic [Bits-1:0]  word_o,
  input  logic             granted_i,
  input  logic             written_i,       // someone has written a word at place_o
  input  logic             raw_valid_i,     // the word that was read, as it is in the memory
  input  logic [Bits-1:0]  raw_i,
  input  logic             valid_i,         // corrected, a cycle later
  input  logic             corrected_i,
  input  logic [Bits-1:0]  data_i
);
  typedef enum logic [2:0] {Idle, Read, Answer, Flip, FlipSecond, Write} state_e;
  state_e state_q;
  logic [30:0] count_q;
  logic [WalkW-1:0] walk_q;      // the next word of the walk
  logic tick, bit_q, due_q;      // a word of the walk is due
  logic inject_q, injects_q;     // an injection waits or is under way; is under way
  logic written_q;               // since the word was read
  inject_t order_q;
  logic [8:0] flip;              // the bit to be flipped next
  logic [15:0] low_q;            // it, decoded: which of sixteen,
  logic [Groups-1:0] high_q;     // and of which sixteen
  logic loads, flips;

  // One bit of the counter falls every 2**interval cycles.
  assign tick = bit_q && !count_q[interval_i-5'd1] && interval_i != '0;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      count_q <= '0;
      bit_q <= 1'b0;
      due_q <= 1'b0;
      walk_q <= '0;
      inject_q <= 1'b0;
      state_q <= Idle;
    end else begin
      count_q <= count_q + 1'b1;
      bit_q <= count_q[interval_i-5'd1];
      due_q <= tick || (due_q && !(state_q == Idle && !inject_q));
      if (inject_valid_i) inject_q <= 1'b1;
      unique case (state_q)
        Idle:    if (inject_q || due_q) state_q <= Read;
        Read:    if (granted_i) state_q <= Answer;
        Answer:  if (raw_valid_i && injects_q) state_q <= Flip;
                 else if (valid_i) state_q <= corrected_i && !written_i && !written_q ? Write : Idle;
        Flip:    state_q <= order_q.two ? FlipSecond : Write;
        FlipSecond: state_q <= Write;
        default: if (granted_i || written_i || written_q) begin  // an injection that was too late begins anew
          state_q <= Idle;
          if (granted_i && injects_q) inject_q <= 1'b0;
        end
      endcase
      if (state_q == Answer && valid_i && !injects_q) walk_q <= walk_q + 1'b1;
    end
  end

  always_ff @(posedge clk_i) begin
    if (inject_valid_i && !inject_q) order_q <= inject_i;
    if (state_q == Idle) begin
      injects_q <= inject_q;
      place_o <= WalkW'(place_of(inject_q ? order_q.addr & AddrW'(Words - 1) : AddrW'(walk_q), BankW));
    end
    written_q <= state_q != Read && (written_q || written_i);
    low_q <= 16'b1 << flip[3:0];
    high_q <= Groups'(1'b1) << flip[8:4];
    if (loads) word_o <= injects_q ? raw_i : data_i;
    else if (flips) begin
      for (int unsigned i = 0; i < Bits; i++) word_o[i] <= word_o[i] ^ (high_q[i/16] && low_q[i%16]);
    end
  end

  assign loads = state_q == Answer && (injects_q ? raw_valid_i : valid_i);
  assign flips = state_q == Flip || state_q == FlipSecond;
  assign flip = state_q == Flip ? order_q.second : order_q.first;
  assign req_o = state_q == Read || (state_q == Write && !written_q);
  assign write_o = state_q == Write;
  assign inject_busy_o = inject_q;
endmodule
