// SPDX-License-Identifier: Apache-2.0
// Words of `Lanes` elements in parts of `StepLanes`, the lowest first, for a datapath that is narrower than they are; with
// one part, wires. A word is started, given back and taken with its last part; its results leave together. Decides nothing.
module lathe_update_parts #(
  parameter int unsigned Lanes = 8,
  parameter int unsigned StepLanes = 4,
  localparam int unsigned Streams = 4,
  localparam int unsigned WordW = Lanes * 16,
  localparam int unsigned PartW = StepLanes * 16,
  localparam int unsigned IndexW = 16 + $clog2(Lanes / StepLanes)
) (
  input  logic               clk_i,
  input  logic               rst_ni,
  // Words
  input  logic [15:0]        number_i,            // of the next one
  input  logic               fits_i,              // it is there, and there is room for its results
  output logic               start_o,
  output logic               give_back_o,
  output logic [Streams-1:0] take_o,
  input  logic [WordW-1:0]   word_i  [Streams],
  output logic [Streams-1:0] valid_o,
  output logic [WordW-1:0]   word_o  [Streams],
  // Parts
  output logic [IndexW-1:0]  part_number_o,
  output logic               part_fits_o,
  input  logic               part_start_i,
  input  logic               part_give_back_i,
  input  logic [Streams-1:0] part_take_i,
  output logic [PartW-1:0]   part_o  [Streams],
  input  logic [Streams-1:0] part_valid_i,
  input  logic [PartW-1:0]   part_i  [Streams]
);
  if (Lanes == StepLanes) begin : g_whole
    assign part_number_o = number_i;
    assign part_fits_o = fits_i;
    assign start_o = part_start_i;
    assign give_back_o = part_give_back_i;
    assign take_o = part_take_i;
    assign part_o = word_i;
    assign valid_o = part_valid_i;
    assign word_o = part_i;

    logic unused;
    assign unused = &{clk_i, rst_ni};
  end else begin : g_halves
    logic               started_q, given_back_q;  // the first part of a word
    logic [Streams-1:0] taken_q, came_q;

    assign part_number_o = {number_i, started_q};
    assign part_fits_o = fits_i || started_q;
    assign start_o = part_start_i && started_q;
    assign give_back_o = part_give_back_i && given_back_q;
    assign take_o = part_take_i & taken_q;
    assign valid_o = part_valid_i & came_q;

    always_ff @(posedge clk_i) begin
      if (!rst_ni) {started_q, given_back_q, taken_q, came_q} <= '0;
      else begin
        started_q <= started_q ^ part_start_i;
        given_back_q <= given_back_q ^ part_give_back_i;
        taken_q <= taken_q ^ part_take_i;
        came_q <= came_q ^ part_valid_i;
      end
    end

    for (genvar i = 0; i < Streams; i++) begin : g_stream
      logic [PartW-1:0] first_q;
      always_ff @(posedge clk_i) if (part_valid_i[i] && !came_q[i]) first_q <= part_i[i];
      assign part_o[i] = taken_q[i] ? word_i[i][PartW+:PartW] : word_i[i][PartW-1:0];
      assign word_o[i] = {part_i[i], first_q};
    end
  end
endmodule
