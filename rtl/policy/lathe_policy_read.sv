// SPDX-License-Identifier: Apache-2.0
// Reads the rows of a policy operation: requests words and records, takes words apart and converts one
// element a cycle to LSB 2**-16. Limits the samples in flight to MaxRows. Does not look at values
// beyond the conversion, except that a record's action is limited to the last one.
module lathe_policy_read
  import lathe_policy_pkg::*;
#(
  parameter int unsigned Lanes = 8
) (
  input  logic                  clk_i,
  input  logic                  rst_ni,
  input  logic                  start_i,
  input  logic                  records_i,   // records are read too
  input  logic                  carry_i,     // and handed on
  input  logic                  sequences_i, // and words of sequences
  input  logic                  scan_i,      // nothing else is read
  input  lathe_pkg::operand_t   src_i,
  input  lathe_pkg::operand_t   rec_src_i,
  input  lathe_pkg::operand_t   seq_src_i,
  input  logic [15:0]           rows_i,
  input  logic [CountW-1:0]     cols_i,
  input  logic                  row_done_i,  // a sample has left the unit
  output logic                  starved_o,   // waits for operand words

  output logic                  rd_valid_o,
  input  logic                  rd_ready_i,
  output logic [15:0]           rd_addr_o,
  input  logic                  rd_rvalid_i,
  input  logic [Lanes*16-1:0]   rd_rdata_i,

  output logic                  z_valid_o,
  input  logic                  z_room_i,    // out of a register: for one more element than are in the stages
  output logic                  z_last_o,
  output z_t                    z_o,

  output logic                  rec_valid_o,
  input  logic                  rec_pop_i,   // if there is one
  output record_t               rec_o,
  input  logic                  sequence_pop_i,
  output sequence_t             sequence_o,  // there before the record of its first sample
  input  logic                  carried_pop_i,
  output kept_t                 carried_o    // of the oldest sample whose record was not popped
);
  localparam int unsigned LaneW = $clog2(Lanes);
  localparam int unsigned WordW = ColW - LaneW;
  localparam int unsigned WordDepth = 8;
  localparam int unsigned RecWords = lathe_pkg::record_words(Lanes);  // one or two

  logic [ColW-1:0]  last_action_q;  // its column comes before the row's last
  logic [WordW-1:0] last_word_q;
  logic             one_word;
  logic [15:0]      rec_step_q;  // from a record's last word to the next record
  assign one_word = cols_i <= CountW'(Lanes);

  always_ff @(posedge clk_i) begin
    rec_step_q <= rec_src_i.stride - 16'(RecWords - 1);
    if (start_i) begin
      last_action_q <= ColW'(cols_i - CountW'(2));
      last_word_q <= WordW'((cols_i - 1'b1) >> LaneW);
    end
  end

  // Requests: the word of a sequence, the record of a row, its words; so what belongs to a row is there before it is worked on. At
  // each row the word of one more sequence is asked for while there is room, which is more than rows in flight: enough, whichever
  // samples end their sequence. Addresses follow a cycle later, since they are near the port and what decides is not; for the same
  // reason requests on their way to the port are counted here.
  localparam int unsigned RequestDepth = 4;
  localparam int unsigned RequestW = $clog2(RequestDepth + 1);
  logic [15:0]      rows_left_q, word_addr_q, row_addr_q, rec_addr_q, seq_addr_q;  // of the next word, row, word of a record, sequence
  logic             ask_seq, seq_asked_q, seq_room, row_first;
  logic             rec_end, rec_end_q;  // a record's word is its last
  logic [WordW-1:0] word_q, word_next, answer_word_q;
  logic             more_q, row_start_q, word_last_q;  // rows are left; the next request is a row's first, its last word
  logic             ask_word, rec_next_q, answer_rec_q, issue, row_end, word_pop, word_popped_q;
  logic [$clog2(MaxRows):0] in_flight_q;
  logic [3:0]       words_q;  // requested and not yet taken apart
  logic [RequestW-1:0] room_q;  // requests that may be on their way
  logic             room_any_q, accepted_q;
  logic             issue_q, seq_q, rec_q, rec_last_q, row_word_q, row_last_q;  // a cycle later: issue, ask_seq, rec_next, rec_end, word_last, row_end

  assign issue = more_q && room_any_q && (rec_next_q || !words_q[$clog2(WordDepth)]) &&
                 (!row_start_q || !in_flight_q[$clog2(MaxRows)]);
  assign ask_seq = sequences_i && row_start_q && !seq_asked_q && seq_room;
  assign row_first = issue && row_start_q && !ask_seq;
  assign ask_word = issue && !rec_next_q;
  assign rec_end = RecWords == 1 || rec_end_q;
  assign row_end = rec_next_q ? scan_i && rec_end : word_last_q;
  assign word_next = rec_next_q || word_last_q ? '0 : word_q + 1'b1;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      more_q <= 1'b0;
      in_flight_q <= '0;
      words_q <= '0;
      word_popped_q <= 1'b0;
      room_q <= RequestW'(RequestDepth);
      room_any_q <= 1'b1;
      accepted_q <= 1'b0;
      issue_q <= 1'b0;
    end else begin
      if (start_i) more_q <= 1'b1;
      else if (issue && row_end && rows_left_q == 16'd1) more_q <= 1'b0;
      if (row_first != row_done_i) in_flight_q <= row_done_i ? in_flight_q - 1'b1 : in_flight_q + 1'b1;
      if (ask_word != word_popped_q) words_q <= ask_word ? words_q + 4'd1 : words_q - 4'd1;
      word_popped_q <= word_pop;
      if (issue != accepted_q) room_q <= issue ? room_q - 1'b1 : room_q + 1'b1;
      room_any_q <= accepted_q || (room_any_q && (!issue || room_q[RequestW-1:1] != '0));
      accepted_q <= rd_valid_o && rd_ready_i;
      issue_q <= issue;
    end
  end

  always_ff @(posedge clk_i) begin
    if (start_i) begin
      seq_asked_q <= 1'b0;
      rec_end_q <= 1'b0;
      word_q <= '0;
      word_last_q <= one_word;
      rec_next_q <= records_i;
      row_start_q <= 1'b1;
      rows_left_q <= rows_i;
    end else if (issue && ask_seq) begin
      seq_asked_q <= 1'b1;
    end else if (issue) begin
      seq_asked_q <= 1'b0;
      if (row_end) rows_left_q <= rows_left_q - 16'd1;
      word_q <= word_next;
      word_last_q <= word_next == last_word_q;
      rec_next_q <= rec_next_q ? scan_i || !rec_end : row_end && records_i;
      rec_end_q <= rec_next_q && !rec_end;
      row_start_q <= row_end;
    end
    {seq_q, rec_q, rec_last_q, row_word_q, row_last_q} <= {ask_seq, rec_next_q, rec_end, word_last_q, row_end};
  end

  always_ff @(posedge clk_i) begin
    if (start_i) begin
      word_addr_q <= src_i.addr;
      row_addr_q <= src_i.addr + src_i.stride;
      rec_addr_q <= rec_src_i.addr;
      seq_addr_q <= seq_src_i.addr;
    end else if (issue_q && seq_q) begin
      seq_addr_q <= seq_addr_q + seq_src_i.stride;
    end else if (issue_q) begin
      if (rec_q) rec_addr_q <= rec_addr_q + (rec_last_q ? rec_step_q : 16'd1);
      else word_addr_q <= row_word_q ? row_addr_q : word_addr_q + 16'd1;
      if (row_last_q) row_addr_q <= row_addr_q + src_i.stride;
    end
  end

  // verilator lint_off PINCONNECTEMPTY
  lathe_fifo #(
    .Width(16),
    .Depth(RequestDepth),
    .NeverFull(1'b1)
  ) u_request (
    .clk_i,
    .rst_ni,
    .in_valid_i(issue_q),
    .in_ready_o(),
    .in_data_i(seq_q ? seq_addr_q : rec_q ? rec_addr_q : word_addr_q),
    .out_valid_o(rd_valid_o),
    .out_ready_i(rd_ready_i),
    .out_data_o(rd_addr_o),
    .level_o()
  );
  // verilator lint_on PINCONNECTEMPTY

  // Answers come in the order of requests. Of a row is kept whether a sequence's word was asked for, and whether it is the last.
  logic       tag_seq, tag_last, answer_seq, seq_answered_q, rec_push, unused_tag_ready, unused_tag_valid;
  logic [$clog2(MaxRows):0] unused_tag_level;

  lathe_fifo #(
    .Width(2),
    .Depth(MaxRows)
  ) u_tags (
    .clk_i,
    .rst_ni,
    .in_valid_i(row_first && records_i),
    .in_ready_o(unused_tag_ready),
    .in_data_i({seq_asked_q, rows_left_q == 16'd1}),
    .out_valid_o(unused_tag_valid),
    .out_ready_i(rec_push),
    .out_data_o({tag_seq, tag_last}),
    .level_o(unused_tag_level)
  );

  logic                answer_valid_q, answer_end, answer_end_q;  // end: of a record's words the last
  logic [Lanes*16-1:0] answer_q;
  assign answer_end = RecWords == 1 || answer_end_q;
  assign answer_seq = answer_rec_q && !answer_end_q && tag_seq && !seq_answered_q;
  assign rec_push = answer_valid_q && answer_rec_q && answer_end && !answer_seq;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) answer_valid_q <= 1'b0;
    else answer_valid_q <= rd_rvalid_i;
    answer_q <= rd_rdata_i;
  end

  always_ff @(posedge clk_i) begin
    if (start_i) begin
      answer_word_q <= '0;
      answer_rec_q <= records_i;
      answer_end_q <= 1'b0;
      seq_answered_q <= 1'b0;
    end else if (answer_valid_q) begin
      seq_answered_q <= answer_seq || (seq_answered_q && !rec_push);
    end
    if (!start_i && answer_valid_q && !answer_seq) begin
      answer_rec_q <= answer_rec_q ? scan_i || !answer_end : records_i && answer_word_q == last_word_q;
      answer_end_q <= answer_rec_q && !answer_end;
      answer_word_q <= answer_rec_q || answer_word_q == last_word_q ? '0 : answer_word_q + 1'b1;
    end
  end

  // Another register: the port is far from what takes the words.
  logic [127:0]        elements, elements_q;  // of a record
  logic [Lanes*16-1:0] word_data_q;
  logic                push_word_q, push_rec_q, push_seq_q, ends_q, unused_carried, unused_sequence;
  record_t             rec;
  if (RecWords == 1) begin : gen_one_word
    assign elements = answer_q[127:0];
  end else begin : gen_two_words
    logic [63:0] first_q;
    always_ff @(posedge clk_i) begin
      if (answer_valid_q) first_q <= answer_q;
    end
    assign elements = {answer_q, first_q};
  end

  logic [ColW-1:0] action_q;  // limited

  always_ff @(posedge clk_i) begin
    push_rec_q <= rst_ni && rec_push;
    push_seq_q <= rst_ni && answer_valid_q && answer_seq;
    push_word_q <= rst_ni && answer_valid_q && !answer_rec_q;
    elements_q <= elements;
    ends_q <= elements[80] || tag_last;
    word_data_q <= answer_q;
    action_q <= elements[15:0] > 16'(last_action_q) ? last_action_q : elements[ColW-1:0];
  end

  always_comb begin
    rec.old = elements_q[31:16];
    rec.adv = elements_q[47:32];
    rec.ret = elements_q[63:48];
    rec.mu = elements_q[79:64];
    rec.ends = ends_q;
    rec.action = action_q;
    rec.last = elements_q[80];
    rec.terminated = elements_q[81];
  end

  lathe_policy_side #(
    .Width($bits(record_t))
  ) u_records (
    .clk_i,
    .rst_ni,
    .push_i(push_rec_q),
    .push_data_i(rec),
    .valid_o(rec_valid_o),
    .pop_i(rec_pop_i && rec_valid_o),
    .data_o(rec_o)
  );

  lathe_policy_side #(
    .Width($bits(kept_t))
  ) u_carried (
    .clk_i,
    .rst_ni,
    .push_i(push_rec_q && carry_i),
    .push_data_i({elements_q[127:64], elements_q[47:0]}),
    .valid_o(unused_carried),
    .pop_i(carried_pop_i),
    .data_o(carried_o)
  );

  lathe_row_buffer #(
    .Width($bits(sequence_t)),
    .Depth(2 * MaxRows)
  ) u_sequences (
    .clk_i,
    .rst_ni(rst_ni && !start_i),  // what the command before has not used
    .reserve_i(issue && ask_seq),
    .room_o(seq_room),
    .push_i(push_seq_q),
    .push_data_i(word_data_q[$bits(sequence_t)-1:0]),
    .valid_o(unused_sequence),
    .pop_i(sequence_pop_i),
    .data_o(sequence_o)
  );

  logic                word_valid, word_ready;
  logic [Lanes*16-1:0] word;
  logic [3:0]          unused_level;

  lathe_fifo #(
    .Width(Lanes * 16),
    .Depth(WordDepth),
    .NeverFull(1'b1)
  ) u_words (
    .clk_i,
    .rst_ni,
    .in_valid_i(push_word_q),
    .in_ready_o(word_ready),
    .in_data_i(word_data_q),
    .out_valid_o(word_valid),
    .out_ready_i(word_pop),
    .out_data_o(word),
    .level_o(unused_level)
  );

  // Elements: pick, shift by eights, shift, clamp. Nothing stalls.
  logic               take, picked_valid_q, picked_last_q, eights_valid_q, eights_last_q, wide_valid_q, wide_last_q;
  logic               col_last_q, word_ends_q;  // the column is the row's last, or the word's
  logic [ColW-1:0]    col_q;
  logic signed [15:0] picked_q;
  logic signed [55:0] eights_q;
  logic [22:0]        wide_q;
  logic               high_q, edge_q, negative_q;  // what lies above wide is not the sign: above 39, or what the shift brings there
  logic [6:0]         out_q;  // which of eights[38:32] the shift brings there
  logic signed [9:0]  shift_q;
  logic [5:0]         up_q;  // 16 more than the shift: then 16 bits are cut off

  assign take = z_room_i && word_valid;
  assign word_pop = take && word_ends_q;
  assign starved_o = z_room_i && !word_valid && (words_q != '0 || more_q);

  always_ff @(posedge clk_i) begin
    if (!rst_ni) {picked_valid_q, eights_valid_q, wide_valid_q, z_valid_o} <= '0;
    else {picked_valid_q, eights_valid_q, wide_valid_q, z_valid_o} <= {take, picked_valid_q, eights_valid_q, wide_valid_q};
  end

  always_ff @(posedge clk_i) begin
    shift_q <= 10'(src_i.exp) + 10'sd16;
    // Beyond 24 all but zero is too large, beyond -16 only the sign is left
    up_q <= shift_q > 10'sd24 ? 6'd40 : shift_q < -10'sd16 ? 6'd0 : 6'(shift_q + 10'sd16);
    out_q <= 7'(14'h3f80 >> up_q[2:0]);
    if (start_i) begin
      col_q <= '0;
      col_last_q <= 1'b0;  // a row has two columns and more, a word four
      word_ends_q <= 1'b0;
    end else if (take) begin
      col_q <= col_last_q ? '0 : col_q + 1'b1;
      col_last_q <= !col_last_q && col_q == last_action_q;
      word_ends_q <= !col_last_q && (col_q == last_action_q || col_q[LaneW-1:0] == LaneW'(Lanes - 2));
    end
    if (take) begin
      picked_q <= word[16*col_q[LaneW-1:0] +: 16];
      picked_last_q <= col_last_q;
    end
    if (picked_valid_q) begin
      eights_q <= 56'(picked_q) <<< {up_q[5:3], 3'd0};
      eights_last_q <= picked_last_q;
    end
    if (eights_valid_q) begin
      wide_q <= 23'((eights_q <<< up_q[2:0]) >>> 16);
      high_q <= eights_q[55:39] != {17{eights_q[55]}};
      edge_q <= (out_q & (eights_q[38:32] ^ {7{eights_q[55]}})) != '0;
      negative_q <= eights_q[55];
      wide_last_q <= eights_last_q;
    end
    if (wide_valid_q) begin
      z_o <= {negative_q, high_q || edge_q ? {23{!negative_q}} : wide_q};
      z_last_o <= wide_last_q;
    end
  end

`ifndef SYNTHESIS  // registers are random at time 0
  always_ff @(posedge clk_i) begin
    if (rst_ni && $time != 0) begin
      assert (!push_word_q || word_ready) else $error("policy_read: word without room");
    end
  end
`endif
endmodule
