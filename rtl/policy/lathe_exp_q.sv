// SPDX-License-Identifier: Apache-2.0
// exp(x) at LSB 2**-16 (exp_q of docs/numerics.md), one value a cycle, fixed latency, no
// back-pressure; a tag travels along untouched. Results are defined only for a valid input.
//
//   x ── * 94548 (shifts and adds) ── n.f ── table of 2**f, interpolated ── shift by n ── y
module lathe_exp_q #(
  parameter int unsigned TagW = 1,
  localparam int unsigned Latency = 9
) (
  input  logic               clk_i,
  input  logic               rst_ni,
  input  logic               valid_i,
  input  logic signed [25:0] x_i,
  input  logic [TagW-1:0]    tag_i,
  output logic               valid_o,
  output logic [20:0]        y_o,
  output logic [TagW-1:0]    tag_o
);
  logic [Latency-1:0] valid_q;
  logic signed [28:0] x5_q;
  logic signed [27:0] x3p_q;
  logic signed [25:0] x_q;
  logic signed [31:0] x23p_q;
  logic signed [33:0] x85_q;
  logic signed [27:0] t_q;
  logic signed [10:0] n3;
  logic signed [5:0]  n4_q;  // -19 (result 0) .. 5 (saturated)
  logic [4:0]         shift5_q, shift6_q;  // 5 - n
  logic [2:0]         fine_q;
  logic [7:0]         g4_q, g5_q;
  logic [17:0]        base4_q, base5_q, base6_q, m;
  logic [8:0]         slope4_q, slope5_q;
  logic [16:0]        rise_q;
  logic [23:0]        coarse, coarse_q;
  logic [23:0]        twice_q;  // the result with one fraction bit
  logic [20:0]        y_q;

  // Per segment: first value and rise to the next.
  logic [26:0] rom [256];
  initial begin
    for (int unsigned i = 0; i < 256; i++) begin
      rom[i] = {lathe_tables_pkg::ExpTable[i],
                9'(lathe_tables_pkg::ExpTable[i+1] - lathe_tables_pkg::ExpTable[i])};
    end
  end

  // 2**n * m with m in [1, 2] in three steps: to the right by the eights of 5 - n, by its rest, then round half up and
  // saturate. m is rounded in the addition that makes it.
  assign m = 18'(({base6_q, 1'b1} + 19'(rise_q >> 7)) >> 1);
  always_comb begin
    unique case (shift6_q[4:3])
      2'd0:    coarse = {m, 6'd0};
      2'd1:    coarse = 24'(m[17:2]);
      2'd2:    coarse = 24'(m[17:10]);
      default: coarse = '0;
    endcase
  end

  assign n3 = t_q[26:16];

  lathe_tag_pipe #(
    .Latency(Latency),
    .TagW   (TagW)
  ) u_tag (
    .clk_i,
    .rst_ni,
    .valid_i,
    .tag_i,
    .valid_o(valid_q),
    .tag_o
  );

  // x * 94548 / 2**16 = x * 23637 / 2**14, and 23637 = 85 + 1024 * 23. Rounding, 8 * 1024 = 2**13, comes with 3 * x + 1.
  always_ff @(posedge clk_i) begin
    if (valid_i) begin
      x5_q  <= 29'(x_i) + (29'(x_i) <<< 2);
      x3p_q <= 28'(({28'(x_i), 1'b1} + {28'(x_i) <<< 1, 1'b1}) >> 1);
      x_q <= x_i;
    end
    if (valid_q[0]) begin
      x85_q  <= 34'(x5_q) + (34'(x5_q) <<< 4);
      x23p_q <= (32'(x3p_q) <<< 3) - 32'(x_q);
    end
    if (valid_q[1]) t_q <= 28'((42'(x85_q) + (42'(x23p_q) <<< 10)) >>> 14);
    if (valid_q[2]) begin
      {base4_q, slope4_q} <= rom[t_q[15:8]];
      g4_q <= t_q[7:0];
      n4_q <= n3 < -11'sd19 ? -6'sd19 : n3 >= 11'sd5 ? 6'sd5 : 6'(n3);
    end
    if (valid_q[3]) begin  // block RAM and multiplier each have a cycle of their own
      base5_q <= base4_q;
      slope5_q <= slope4_q;
      g5_q <= g4_q;
      shift5_q <= 5'(6'sd5 - n4_q);
    end
    if (valid_q[4]) begin
      rise_q <= 17'(slope5_q) * 17'(g5_q);
      base6_q <= base5_q;
      shift6_q <= shift5_q;
    end
    if (valid_q[5]) begin
      coarse_q <= coarse;
      fine_q <= shift6_q[2:0];
    end
    if (valid_q[6]) twice_q <= coarse_q >> fine_q;
    if (valid_q[7]) y_q <= |twice_q[23:22] ? '1 : 21'((twice_q[21:0] + 22'd1) >> 1);  // no carry out: only results below 1 are odd
  end

  assign valid_o = valid_q[Latency-1];
  assign y_o = y_q;

`ifndef SYNTHESIS  // registers are random at time 0
  // The shift-and-add product against the plain formula.
  logic signed [25:0] x_check [3];
  always_ff @(posedge clk_i) begin
    x_check[0] <= x_i;
    x_check[1] <= x_check[0];
    x_check[2] <= x_check[1];
    if (rst_ni && $time != 0 && valid_q[2]) begin
      assert (64'(t_q) == (64'(x_check[2]) * 64'sd94548 + 64'sd32768) >>> 16)
      else $error("exp_q: product differs");
    end
  end
`endif
endmodule
