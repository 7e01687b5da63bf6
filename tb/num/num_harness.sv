// SPDX-License-Identifier: Apache-2.0
// Pins for the functions of lathe_num_pkg. Combinational; only for benches.
module num_harness
  import lathe_num_pkg::*;
(
  input  logic               clk_i,
  input  logic               rst_ni,
  input  logic signed [63:0] v_i,
  input  logic signed [9:0]  s_i,
  input  logic               stochastic_i,
  input  logic [15:0]        r_i,
  input  logic signed [6:0]  up_i,
  output logic [31:0]        mix_o,
  output logic signed [21:0] round_o,
  output logic signed [15:0] clamp_o,
  output logic               clamped_o,
  output logic signed [63:0] align_o,
  output logic signed [34:0] window_o,       // of the lower 46 bits of v
  output logic               lost_o,
  output logic signed [19:0] window_round_o,
  output logic signed [34:0] clamp35_o,
  output logic [31:0]        group_index_o,  // of the lower 16 bits of v
  output logic [3:0][15:0]   rand16_o,       // of the lower 32 bits of v, for the four columns
  output logic [6:0]         bits_o,
  output logic signed [7:0]  top_o
);
  assign mix_o     = mix32(v_i[31:0]);
  assign round_o   = shift_round(v_i, s_i, stochastic_i, r_i);
  assign clamp_o   = saturate16(round_o);
  assign clamped_o = saturates16(round_o);
  assign align_o   = align(v_i, s_i, up_i);
  assign bits_o    = bit_length(magnitude(v_i));
  assign top_o     = top_of(bits_o, s_i);

  fixed_t fixed;
  logic [6:0] amount;
  assign amount         = shift_amount(s_i);
  assign fixed          = window_fine(window_coarse(v_i[45:0], amount[6:4]), amount[3:0], window_mask(amount[3:0]));
  assign window_o       = fixed.x;
  assign lost_o         = fixed.lost;
  assign window_round_o = round(fixed.x, fixed.lost, stochastic_i, r_i);
  assign clamp35_o      = clamp35(v_i);
  assign group_index_o  = group_index(v_i[15:0]);
  for (genvar c = 0; c < 4; c++) begin : gen_column
    assign rand16_o[c] = rand16(v_i[31:0], 2'(c));
  end

  logic unused;
  assign unused = &{1'b0, clk_i, rst_ni};
endmodule
