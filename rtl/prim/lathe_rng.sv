// SPDX-License-Identifier: Apache-2.0
// One step of the random bits of an element: rand = mix32(key ^ index), see docs/numerics.md, section 4. Applied to an
// operation's key and a row it gives the row's key, to that and a column the element's number. A pure function in a pipeline
// of `Stages` registers that advances with en_i; carries no valid bit and draws no sequence.
module lathe_rng
  import lathe_num_pkg::*;
#(
  parameter int unsigned Stages = 2  // latency in enabled cycles: 1 to 3
) (
  input  logic        clk_i,
  input  logic        en_i,
  input  logic [31:0] key_i,
  input  logic [31:0] index_i,
  output logic [31:0] rand_o
);
  logic [31:0] x;

  assign x = key_i ^ index_i;

  if (Stages == 1) begin : g_one
    always_ff @(posedge clk_i) begin
      if (en_i) rand_o <= mix32(x);
    end
  end else if (Stages == 2) begin : g_two
    logic [31:0] a, half_q;  // half_q: mix32_b before its last step
    assign a = mix32_a(x);
    always_ff @(posedge clk_i) begin
      if (en_i) begin
        half_q <= a + (a << 2);
        rand_o <= mix32_c(half_q ^ (half_q >> 4));
      end
    end
  end else if (Stages == 3) begin : g_three
    logic [31:0] a_q, b_q;
    always_ff @(posedge clk_i) begin
      if (en_i) begin
        a_q    <= mix32_a(x);
        b_q    <= mix32_b(a_q);
        rand_o <= mix32_c(b_q);
      end
    end
  end else begin : g_check
    $fatal(1, "lathe_rng: Stages must be 1, 2 or 3");
  end
endmodule
