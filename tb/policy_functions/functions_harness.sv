// SPDX-License-Identifier: Apache-2.0
// Sixteen lathe_exp_q or lathe_ln_q side by side, so that a bench can sweep whole ranges of arguments.
// Arguments, results and tags (a copy of the argument) are 32 bits a lane.
module functions_harness #(
  parameter bit Ln = 1'b0
) (
  input  logic         clk_i,
  input  logic         rst_ni,
  input  logic         valid_i,
  input  logic [511:0] x_i,
  output logic [15:0]  valid_o,
  output logic [511:0] y_o,
  output logic [511:0] tag_o
);
  for (genvar i = 0; i < 16; i++) begin : gen_lane
    logic [31:0] x;
    assign x = x_i[32*i+:32];
    if (Ln) begin : gen_ln
      logic [18:0] y;
      lathe_ln_q #(
        .TagW(32)
      ) u_dut (
        .clk_i,
        .rst_ni,
        .valid_i,
        .s_i(x[22:0]),
        .tag_i(x),
        .valid_o(valid_o[i]),
        .y_o(y),
        .tag_o(tag_o[32*i+:32])
      );
      assign y_o[32*i+:32] = 32'(y);
    end else begin : gen_exp
      logic [20:0] y;
      lathe_exp_q #(
        .TagW(32)
      ) u_dut (
        .clk_i,
        .rst_ni,
        .valid_i,
        .x_i(x[25:0]),
        .tag_i(x),
        .valid_o(valid_o[i]),
        .y_o(y),
        .tag_o(tag_o[32*i+:32])
      );
      assign y_o[32*i+:32] = 32'(y);
    end
  end
endmodule
