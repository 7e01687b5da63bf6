// SPDX-License-Identifier: Apache-2.0
// Carries out the requests of right frames in order, one access of the word bus at a time, and gives the bytes of each answer:
// sessions, sequence numbers, refusals, and what is known of dropped frames and failed writes. One answer is sent before the next
// request is looked at. Does not know what lies at an address.
module lathe_link_execute
  import lathe_link_pkg::*;
#(
  parameter int unsigned BufferBytes = 2048  // told to the host
) (
  input  logic        clk_i,
  input  logic        rst_ni,
  input  logic        in_valid_i,     // length of a frame, then its bytes
  output logic        in_ready_o,
  input  logic [8:0]  in_data_i,
  input  logic        dropped_i,      // pulse: a frame was dropped
  output logic        out_valid_o,
  input  logic        out_ready_i,
  output logic [7:0]  out_data_o,
  output logic        out_last_o,
  output logic        bus_req_o,      // pulse; what follows is steady until the acknowledge
  output logic        bus_write_o,
  output logic [31:0] bus_addr_o,
  output logic [31:0] bus_wdata_o,
  input  logic        bus_ack_i,      // pulse
  input  status_e     bus_status_i,
  input  logic [31:0] bus_rdata_i,
  output logic        open_o,         // there is a session
  output logic [15:0] errors_o,       // dropped frames since it was opened
  output logic [16:0] last_failure_o  // of its writes
);
  localparam logic [7:0] OpHello = 8'h01;
  localparam logic [7:0] OpRead = 8'h02;
  localparam logic [7:0] OpWrite = 8'h03;
  localparam logic [7:0] OpRefusal = 8'hFF;
  localparam logic [7:0] Answer = 8'h80;
  localparam logic [7:0] ReasonSequence = 8'd1;
  localparam logic [7:0] ReasonSession = 8'd2;
  localparam logic [7:0] ReasonForm = 8'd3;
  localparam int unsigned WordsW = $clog2(MaxWords);

  typedef enum logic [3:0] {Length, Head, Check, Decide, Limits, Data, Access, Skip, Session, Sequence, Op, Expected, Verdict,
                            Fetch, Load, Words} state_e;
  state_e state_q;

  logic [8:0]  length_q, left_q;     // of the frame; bytes of it that are to come
  logic        none_q;               // none are
  logic [3:0]  head_q;               // bytes of the head that have come
  logic [1:0]  lane_q;               // of a word, in and out
  logic [7:0]  session_q, sequence_q, op_q, verdict_q;  // verdict: status or reason
  logic [31:0] word_q, addr_q;
  logic [7:0]  last_q;               // words - 1 of a read, then of the answer
  logic [WordsW-1:0] index_q;        // of the answer's words
  logic        words_q;              // the answer has words
  logic [7:0]  open_q, expected_q;   // session (0: none), sequence
  logic [31:0] nonce_q;
  logic        hello_ok_q, read_ok_q, write_ok_q, same_q, nonce_same_q;
  logic [7:0]  behind_q;             // the expected sequence minus that of the request
  logic        take, refused, accepted, opens;
  logic [31:0] answer;

  logic        head_ends;
  assign in_ready_o = state_q == Length || (state_q == Head && !none_q && !head_ends) || ((state_q == Data || state_q == Skip) && !none_q);
  assign take = in_valid_i && in_ready_o;

  // ---- The head of a request ----
  assign head_ends = head_q == 4'd8 || (head_q == 4'd7 && op_q != OpRead);

  always_ff @(posedge clk_i) begin
    if (state_q == Length) begin
      length_q <= in_data_i;
      left_q <= in_data_i;
      none_q <= 1'b0;  // a frame has 3 bytes or more
      head_q <= '0;
    end else if (take) begin
      left_q <= left_q - 9'd1;
      none_q <= left_q == 9'd1;
      if (state_q == Head) begin
        head_q <= head_q + 4'd1;
        if (head_q == 4'd0) session_q <= in_data_i[7:0];
        if (head_q == 4'd1) sequence_q <= in_data_i[7:0];
        if (head_q == 4'd2) op_q <= in_data_i[7:0];
      end
    end
    if (state_q == Decide && refused) op_q <= OpRefusal;
    else if (state_q == Decide) op_q <= op_q | Answer;
  end

  // Of the bytes of a write's words one is taken at a time; words of an answer leave in the same way.
  always_ff @(posedge clk_i) begin
    if (state_q == Length) lane_q <= '0;
    else if ((state_q == Data && take) || (state_q == Words && out_ready_i)) lane_q <= lane_q + 2'd1;
    if (take && (state_q == Data || (state_q == Head && head_q < 4'd7))) word_q <= {in_data_i[7:0], word_q[31:8]};
    else if (state_q == Load) word_q <= answer;
    else if (state_q == Words && out_ready_i) word_q <= {8'd0, word_q[31:8]};
  end

  // ---- What is to be done with it ----
  always_ff @(posedge clk_i) begin
    if (state_q == Check) begin
      hello_ok_q <= op_q == OpHello && length_q == 9'd7 && session_q != '0;
      read_ok_q <= op_q == OpRead && length_q == 9'd8 && last_q < 8'(MaxWords);
      write_ok_q <= op_q == OpWrite && length_q[1:0] == 2'd3 && length_q >= 9'd11 && length_q <= 9'(7 + 4 * MaxWords);
      same_q <= session_q == open_q && open_q != '0;
      nonce_same_q <= word_q == nonce_q;
      behind_q <= expected_q - sequence_q;
    end
  end

  logic [7:0] reason;
  always_comb begin
    reason = '0;
    if (!hello_ok_q) begin
      if (!read_ok_q && !write_ok_q) reason = ReasonForm;
      else if (!same_q) reason = ReasonSession;
      else if (behind_q > 8'd128) reason = ReasonSequence;
    end
  end
  assign refused = reason != '0;
  assign opens = state_q == Decide && hello_ok_q && !(same_q && nonce_same_q);
  assign accepted = state_q == Decide && !refused && !hello_ok_q && behind_q == '0;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      open_q <= '0;
      expected_q <= '0;
    end else if (opens) begin
      open_q <= session_q;
      expected_q <= 8'd1;
    end else if (accepted) begin
      expected_q <= expected_q + 8'd1;
    end
  end

  always_ff @(posedge clk_i) begin
    if (opens) nonce_q <= word_q;
  end

  // ---- Course ----
  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      state_q <= Length;
    end else begin
      unique case (state_q)
        Length: if (in_valid_i) state_q <= Head;
        Head:   if (none_q || head_ends) state_q <= Check;
        Check:  state_q <= Decide;
        Decide: begin
          if (hello_ok_q) state_q <= Limits;
          else if (refused || (write_ok_q && behind_q != '0)) state_q <= Skip;
          else state_q <= write_ok_q ? Data : Access;
        end
        Limits: state_q <= Skip;
        Data:   if (take && lane_q == 2'd3) state_q <= Access;
        Access: begin
          if (bus_ack_i) begin
            if (bus_status_i != StatusDone || (write_ok_q ? none_q : 8'(index_q) == last_q)) state_q <= Skip;
            else if (write_ok_q) state_q <= Data;
          end
        end
        Skip:     if (none_q) state_q <= Session;
        Session:  if (out_ready_i) state_q <= Sequence;
        Sequence: if (out_ready_i) state_q <= Op;
        Op: begin
          if (out_ready_i) begin
            if (hello_ok_q) state_q <= Fetch;
            else state_q <= op_q == OpRefusal ? Expected : Verdict;
          end
        end
        Expected: if (out_ready_i) state_q <= Verdict;
        Verdict:  if (out_ready_i) state_q <= words_q ? Fetch : Length;
        Fetch:    state_q <= Load;
        Load:     state_q <= Words;
        default: begin
          if (out_ready_i && lane_q == 2'd3) state_q <= 8'(index_q) == last_q ? Length : Fetch;
        end
      endcase
    end
  end

  // ---- Accesses ----
  assign bus_write_o = write_ok_q;
  assign bus_addr_o = addr_q;
  assign bus_wdata_o = word_q;

  always_ff @(posedge clk_i) begin
    bus_req_o <= rst_ni && ((state_q == Decide && !refused && read_ok_q) || (state_q == Data && take && lane_q == 2'd3) ||
                            (state_q == Access && bus_ack_i && bus_status_i == StatusDone && read_ok_q && 8'(index_q) != last_q));
    if (state_q == Decide) addr_q <= word_q;
    else if (state_q == Access && bus_ack_i) addr_q <= addr_q + 32'd4;

    if (state_q == Decide) verdict_q <= reason;
    else if (state_q == Access && bus_ack_i) verdict_q <= {6'd0, bus_status_i};
  end

  // ---- Words of the answer: of a read, or nonce and limits of a hello ----
  always_ff @(posedge clk_i) begin
    if (state_q == Head && take) last_q <= in_data_i[7:0];
    else if (state_q == Limits) last_q <= 8'd1;

    if (state_q == Check || state_q == Skip) index_q <= '0;
    else if ((state_q == Decide && hello_ok_q) || (state_q == Access && bus_ack_i) ||
             (state_q == Words && out_ready_i && lane_q == 2'd3)) index_q <= index_q + WordsW'(1);

    if (state_q == Check) words_q <= 1'b0;
    else if (state_q == Access && bus_ack_i) words_q <= read_ok_q && bus_status_i == StatusDone;
  end

  lathe_ram #(
    .Width(32),
    .Words(MaxWords),
    .AnyOnCollision(1'b1),
    .Block(1'b1)
  ) u_words (
    .clk_i,
    .wr_en_i  ((state_q == Decide && hello_ok_q) || state_q == Limits || (state_q == Access && bus_ack_i)),
    .wr_addr_i(index_q),
    .wr_data_i(state_q == Access ? bus_rdata_i : state_q == Limits ? {8'(MaxWords), 16'(BufferBytes), LinkVersion} : word_q),
    .rd_en_i  (state_q == Fetch),
    .rd_addr_i(index_q),
    .rd_data_o(answer)
  );

  // ---- Bytes of the answer ----
  assign out_valid_o = state_q inside {Session, Sequence, Op, Expected, Verdict, Words};
  assign out_last_o = (state_q == Verdict && !words_q) || (state_q == Words && lane_q == 2'd3 && 8'(index_q) == last_q);
  always_comb begin
    unique case (state_q)
      Session:  out_data_o = session_q;
      Sequence: out_data_o = sequence_q;
      Op:       out_data_o = op_q;
      Expected: out_data_o = expected_q;
      Verdict:  out_data_o = verdict_q;
      default:  out_data_o = word_q[7:0];
    endcase
  end

  // ---- What the board's registers tell ----
  assign open_o = open_q != '0;

  always_ff @(posedge clk_i) begin
    if (!rst_ni || opens) errors_o <= '0;
    else if (dropped_i && errors_o != '1) errors_o <= errors_o + 16'd1;
    if (!rst_ni || opens) last_failure_o <= '0;
    else if (state_q == Access && bus_ack_i && write_ok_q && bus_status_i != StatusDone)
      last_failure_o <= {1'b1, sequence_q, 6'd0, bus_status_i};
  end

`ifndef SYNTHESIS
  always_ff @(posedge clk_i) begin
    if (rst_ni && bus_ack_i) assert (state_q == Access && !bus_req_o) else $error("an acknowledge without an access");
  end
`endif
endmodule
