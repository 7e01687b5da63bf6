// SPDX-License-Identifier: Apache-2.0
// The logarithms of adam (numerics.md, section 9), of one element a cycle: l' from l and g in 10 stages, and what scales m',
// P and how far it is shifted, in 14. Its tables are outside, since two units share them. Never waits.
//
//   stage 1      2, 3      4      5         6            7       8        9              10          11         12       13
//         |g| -> log2_q -> LOG -> A, B -> A - B -> max, HALF -> S -> round -> l' -> l' - eps -> max, SUM -> rate - -> POW -> P
module lathe_update_log
  import lathe_update_pkg::*;
(
  input  logic               clk_i,
  // Constant while an element is inside
  input  log_cfg_t           cfg_i,
  input  logic               to_even_i,
  // Stage 0
  input  logic signed [15:0] g_i,
  input  logic signed [15:0] l_i,
  // Stage 9
  input  logic [7:0]         rand_i,       // the upper half of the element's; 0x7F to round to even
  // Stage 10
  output logic signed [15:0] l_o,
  // Stage 14
  output logic [16:0]        p_o,          // P, shifted to the left by one or not
  output logic [4:0]         right_o,      // bit 4: m' to the left by two; the rest: the product to the right in steps of four
  // LOG, HALF, SUM, POW
  output logic [9:0]         index_o [4],
  output logic               zero_o  [4],  // no entry but 0
  input  logic [17:0]        entry_i [4]
);
  localparam logic signed [15:0] None = -16'sd32768;
  localparam int unsigned Log = 0, Half = 1, Sum = 2, Pow = 3;

  // A register's number is the stage that it is read in.

  // ---- log2_q(g) ----
  logic signed [15:0] g1_q, l1_q, l2_q, l3_q, l4_q, l5_q;
  logic [15:0]        a2_q, shifted, a3_q;
  logic [10:0]        normal;   // behind the leading one, and the bit below
  logic [1:0]         high, high3_q, low;
  logic [13:0]        log4_q;   // n, i
  logic [3:0]         n5_q;
  logic               zero2_q, zero3_q, zero4_q, zero5_q;

  always_comb begin
    high = a2_q[15:12] != '0 ? 2'd3 : a2_q[11:8] != '0 ? 2'd2 : {1'b0, a2_q[7:4] != '0};
    unique case (high)
      2'd3: shifted = a2_q;
      2'd2: shifted = a2_q << 4;
      2'd1: shifted = a2_q << 8;
      default: shifted = a2_q << 12;
    endcase
    low = a3_q[15] ? 2'd3 : a3_q[14] ? 2'd2 : {1'b0, a3_q[13]};
    normal = 11'(a3_q << ~low >> 4);
  end

  always_ff @(posedge clk_i) begin
    g1_q <= g_i;
    a2_q <= g1_q[15] ? 16'(-g1_q) : g1_q;
    a3_q <= shifted;
    high3_q <= high;
    log4_q <= {high3_q, low, normal[10:1]} + 14'(normal[0]);
    n5_q <= log4_q[13:10];
    {zero2_q, zero3_q, zero4_q, zero5_q} <= {g1_q == '0, zero2_q, zero3_q, zero4_q};
    l1_q <= l_i;
    {l2_q, l3_q, l4_q, l5_q} <= {l1_q, l2_q, l3_q, l4_q};
  end

  assign index_o[Log] = log4_q[9:0];
  assign zero_o[Log] = 1'b0;

  // ---- l' ----
  typedef struct packed {
    logic old;       // there is an l
    logic gradient;  // g is not 0
  } there_t;

  there_t                 there6_q, there7_q, there8_q, there9_q;
  logic signed [LogW-1:0] a6_q, b6_q, a7_q, b7_q, max8_q, s9_q;
  logic [LogW-12:0]       over7_q, under7_q, distance;  // A - B, B - A, without the lower 11 bits
  logic                   take_a;
  logic [LogW-9:0]        rounded;

  always_comb begin
    take_a = !over7_q[LogW-12];
    distance = take_a ? over7_q : under7_q;
    rounded = (LogW - 8)'((s9_q + LogW'({rand_i}) + LogW'(to_even_i && s9_q[8])) >> 8);
  end

  assign index_o[Half] = distance[9:0];
  assign zero_o[Half] = distance[LogW-12:10] != '0 || there7_q != '1;

  always_ff @(posedge clk_i) begin
    a6_q <= LogW'(signed'({l5_q, 8'd0})) + LogW'(cfg_i.decay);
    b6_q <= cfg_i.gradient + signed'({6'd0, {n5_q, 18'd0}}) + signed'({10'd0, entry_i[Log]});
    there6_q <= '{old: l5_q != None, gradient: !zero5_q};
    over7_q <= (LogW - 11)'((a6_q - b6_q) >>> 11);
    under7_q <= (LogW - 11)'((b6_q - a6_q) >>> 11);
    {a7_q, b7_q} <= {a6_q, b6_q};
    {there7_q, there8_q, there9_q} <= {there6_q, there7_q, there8_q};
    max8_q <= there7_q.old && (take_a || !there7_q.gradient) ? a7_q : b7_q;
    s9_q <= max8_q + signed'({10'd0, entry_i[Half]});
    if (there9_q == '0) l_o <= None;
    else if (!rounded[LogW-9] && rounded[LogW-10:15] != '0) l_o <= 16'sd32767;
    else if (rounded[LogW-9] && (rounded[LogW-10:15] != '1 || rounded[14:0] == '0)) l_o <= -16'sd32767;
    else l_o <= rounded[15:0];
  end

  // ---- P ----
  logic [12:0]        over11_q, under11_q, apart;  // l' - eps, eps - l', in steps of 16
  logic               none11_q, root;  // root: l' is not below eps
  logic signed [24:0] rate11_q, rate12_q;
  logic signed [25:0] x13_q;
  logic signed [9:0]  right;
  logic [5:0]         right14_q;

  always_comb begin
    root = !over11_q[12];
    apart = root ? over11_q : under11_q;
    right = cfg_i.right - 10'(x13_q >>> 18);
  end

  assign index_o[Sum] = apart[9:0];
  assign zero_o[Sum] = apart[12:10] != '0 || none11_q;
  assign index_o[Pow] = x13_q[17:8];
  assign zero_o[Pow] = 1'b0;

  always_ff @(posedge clk_i) begin
    over11_q <= 13'((17'(l_o) - cfg_i.eps_up) >>> 4);
    under11_q <= 13'((17'(cfg_i.eps) - 17'(l_o)) >>> 4);
    none11_q <= l_o == None;
    rate11_q <= 25'(cfg_i.rate) - 25'(signed'({l_o, 8'd0}));
    rate12_q <= root && !none11_q ? rate11_q : cfg_i.rate_eps;
    x13_q <= 26'(rate12_q) - signed'({8'd0, entry_i[Sum]});
    right14_q <= right < 10'sd0 ? 6'd0 : right > 10'sd63 ? 6'd63 : right[5:0];
  end

  assign p_o = right14_q[0] ? {1'b0, entry_i[Pow][15:0]} : {entry_i[Pow][15:0], 1'b0};
  assign right_o = {!right14_q[1], right14_q[5:2]};
endmodule
