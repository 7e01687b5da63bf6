// SPDX-License-Identifier: Apache-2.0
// Words of `Lanes` elements in parts of `StepLanes`, the lowest first, for a datapath that is narrower than they are; with
// one part, wires. A word is started, given back and taken with its last part; its results leave together. Decides nothing.
module lathe_update_parts #(
  parameter int unsigned Lanes = 8,
  parameter int unsigned StepLanes = 4,
  localparam int unsigned Parts = Lanes / StepLanes,
  localparam int unsigned Streams = 4,
  localparam int unsigned WordW = Lanes * 16,
  localparam int unsigned PartW = StepLanes * 16,
  localparam int unsigned IndexW = 16 + $clog2(Parts)
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
  if (Parts == 1) begin : g_whole
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
  end else begin : g_parts
    localparam int unsigned CountW = $clog2(Parts);
    localparam logic [CountW-1:0] Last = '1;
    logic [CountW-1:0] started_q, given_back_q, taken_q [Streams], came_q [Streams];  // parts of a word

    assign part_number_o = {number_i, started_q};
    assign part_fits_o = fits_i || started_q != '0;
    assign start_o = part_start_i && started_q == Last;
    assign give_back_o = part_give_back_i && given_back_q == Last;

    always_ff @(posedge clk_i) begin
      if (!rst_ni) begin
        {started_q, given_back_q} <= '0;
        taken_q <= '{default: '0};
        came_q <= '{default: '0};
      end else begin
        started_q <= started_q + CountW'(part_start_i);
        given_back_q <= given_back_q + CountW'(part_give_back_i);
        for (int unsigned i = 0; i < Streams; i++) begin
          taken_q[i] <= taken_q[i] + CountW'(part_take_i[i]);
          came_q[i] <= came_q[i] + CountW'(part_valid_i[i]);
        end
      end
    end

    for (genvar i = 0; i < Streams; i++) begin : g_stream
      logic [WordW-PartW-1:0] before_q;  // the parts that came, the last one uppermost
      always_ff @(posedge clk_i) if (part_valid_i[i]) before_q <= word_o[i][WordW-1:PartW];
      assign part_o[i] = word_i[i][PartW*32'(taken_q[i])+:PartW];
      assign word_o[i] = {part_i[i], before_q};
      assign take_o[i] = part_take_i[i] && taken_q[i] == Last;
      assign valid_o[i] = part_valid_i[i] && came_q[i] == Last;
    end
  end
endmodule
