// SPDX-License-Identifier: Apache-2.0
// What a command needs before its words are read: the gradient's factor k * 2**n of numerics.md, section 9, with k halved where
// it has 17 bits (its lowest bit is 0 then), and for adam the size of its tensors. One product after the other, a bit a cycle.
module lathe_update_prepare
(
  input  logic                       clk_i,
  input  logic                       rst_ni,
  input  logic                       begin_i,     // pulse; what follows is constant from then on
  input  logic                       adam_i,
  input  logic signed [23:0]         clip_i,      // logarithm of the factor, 0: none
  input  logic [15:0]                beta1_i,
  input  logic [lathe_pkg::DimW-1:0] m_i,
  input  logic [lathe_pkg::DimW-1:0] n_i,
  output logic                       done_o,      // pulse
  output logic [9:0]                 pow_index_o,
  input  logic [15:0]                pow_i,       // POW of it, from the cycle after begin_i on
  output logic [15:0]                k_o,
  output logic                       halved_o,    // k is half of what it should be
  output logic signed [5:0]          n_o,
  output logic [lathe_pkg::DimW-1:0] size_o
);
  localparam logic [4:0] Last = 5'd18;  // of a product's steps; the factors are loaded in the first

  logic        busy_q, size_turn_q, clipped;
  logic [4:0]  step_q;
  logic [16:0] one, left_q, product_k_q, k;
  logic [33:0] product_q;  // below it what of the right factor is to come
  logic [17:0] sum;

  assign clipped = clip_i != '0;
  assign one = adam_i ? 17'h10000 - 17'(beta1_i) : 17'h10000;
  assign sum = 18'(product_q[33:17]) + 18'(product_q[0] ? left_q : 17'd0);
  assign pow_index_o = clip_i[17:8];

  always_ff @(posedge clk_i) begin
    done_o <= rst_ni && busy_q && !begin_i && step_q == Last && (size_turn_q || !adam_i);
    busy_q <= rst_ni && (begin_i || (busy_q && (step_q != Last || (adam_i && !size_turn_q))));
    if (begin_i) begin
      step_q <= '0;
      size_turn_q <= !clipped;
    end else if (step_q == Last) begin
      step_q <= '0;
      size_turn_q <= 1'b1;
    end else begin
      step_q <= step_q + 5'd1;
    end
    if (step_q == '0) begin
      left_q <= size_turn_q ? 17'(m_i) : one;
      product_q <= 34'(size_turn_q ? n_i : pow_i);
    end else if (step_q != Last) begin
      product_q <= {sum, product_q[16:1]};
    end else if (size_turn_q) begin
      size_o <= product_q[15:0];
    end else begin
      product_k_q <= product_q[31:15];
    end
  end

  assign k = clipped ? product_k_q : one;
  always_ff @(posedge clk_i) begin
    k_o <= k[16] ? k[16:1] : k[15:0];
    halved_o <= k[16];
    n_o <= clip_i[23:18];
  end
endmodule
