// SPDX-License-Identifier: Apache-2.0
// Packs the results of a policy operation into words and writes them: gradient elements one by one, or
// one record a row. Room is given as credit, one word at a time. Pad lanes are written as zero.
module lathe_policy_write #(
  parameter int unsigned Lanes = 8
) (
  input  logic                clk_i,
  input  logic                rst_ni,
  input  logic                start_i,
  input  lathe_pkg::operand_t dst_i,
  output logic                room_o,        // out of a register: a word may be taken
  input  logic                take_i,        // a word's first element is on its way
  input  logic                elem_valid_i,
  input  logic                elem_last_i,
  input  logic signed [15:0]  elem_i,
  input  logic                row_skip_i,    // a row has ended without a result
  input  logic                rec_valid_i,   // never together with elem_valid_i, and not in two cycles one after the other
  input  logic                rec_whole_i,   // records are of 8 elements, not of 4
  input  logic [127:0]        rec_i,         // stays a cycle longer
  output logic                row_done_o,    // out of a register
  output logic                empty_o,       // the same; a cycle late

  output logic                wr_valid_o,
  input  logic                wr_ready_i,
  output logic [15:0]         wr_addr_o,
  output logic [Lanes*16-1:0] wr_data_o
);
  localparam int unsigned Depth = 16;

  logic [Lanes*16-1:0] word_q;
  logic [Lanes-1:0]    lane_q;  // one-hot
  logic [15:0]         row_addr_q, addr_q;
  logic                push_q, ready, left_q, left2_q, rec_rest, rec_rest_q;  // rest: a record has a second word, which comes now
  logic [4:0]          taken_q, unused_level;

  assign rec_rest = Lanes == 4 && rec_whole_i && rec_valid_i;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      taken_q <= '0;
      room_o <= 1'b1;
      push_q <= 1'b0;
      row_done_o <= 1'b0;
      {left_q, left2_q} <= '0;
      rec_rest_q <= 1'b0;
    end else begin
      rec_rest_q <= rec_rest;
      {left_q, left2_q} <= {wr_valid_o && wr_ready_i, left_q};
      if (take_i != left2_q) taken_q <= take_i ? taken_q + 5'd1 : taken_q - 5'd1;
      room_o <= !taken_q[$clog2(Depth)] && !(take_i && taken_q == 5'(Depth - 1));  // three cycles late when a word leaves
      push_q <= rec_valid_i || rec_rest_q || (elem_valid_i && (elem_last_i || lane_q[Lanes-1]));
      row_done_o <= row_skip_i || (rec_valid_i && !rec_rest) || rec_rest_q || (elem_valid_i && elem_last_i);
    end
  end

  always_ff @(posedge clk_i) begin
    for (int unsigned i = 0; i < Lanes; i++) begin
      if (elem_valid_i && lane_q[i]) word_q[16*i+:16] <= elem_i;
      else if (elem_valid_i && lane_q[0]) word_q[16*i+:16] <= '0;
    end
    if (rec_valid_i) word_q <= (Lanes*16)'(rec_i);
    else if (rec_rest_q) word_q <= (Lanes*16)'(rec_i[127:64]);
    empty_o <= !wr_valid_o;
    if (start_i) begin
      lane_q <= Lanes'(1);
      row_addr_q <= dst_i.addr + dst_i.stride;
      addr_q <= dst_i.addr;
    end else begin
      if (elem_valid_i) lane_q <= elem_last_i ? Lanes'(1) : {lane_q[Lanes-2:0], lane_q[Lanes-1]};
      if (push_q) begin
        addr_q <= row_done_o ? row_addr_q : addr_q + 16'd1;
        if (row_done_o) row_addr_q <= row_addr_q + dst_i.stride;
      end
    end
  end

  lathe_fifo #(
    .Width(16 + Lanes * 16),
    .Depth(Depth)
  ) u_fifo (
    .clk_i,
    .rst_ni,
    .in_valid_i(push_q),
    .in_ready_o(ready),
    .in_data_i({addr_q, word_q}),
    .out_valid_o(wr_valid_o),
    .out_ready_i(wr_ready_i),
    .out_data_o({wr_addr_o, wr_data_o}),
    .level_o(unused_level)
  );

`ifndef SYNTHESIS  // registers are random at time 0
  always_ff @(posedge clk_i) begin
    if (rst_ni && $time != 0) begin
      assert (!push_q || ready) else $error("policy_write: word without room");
      assert (!(elem_valid_i && rec_valid_i) && !(rec_rest_q && rec_valid_i)) else $error("policy_write: element and record");
      assert (!take_i || room_o) else $error("policy_write: taken without room");
    end
  end
`endif
endmodule
