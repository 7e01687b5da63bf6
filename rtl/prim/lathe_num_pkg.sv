// SPDX-License-Identifier: Apache-2.0
// The arithmetic steps of docs/numerics.md that several units share, cut where a pipeline wants its registers. Pure
// functions on at most 64 bits; holds no state, no tables and no unit's own formulas.
package lathe_num_pkg;

  // ---- Random bits: mix32 in three steps of one addition level each ----
  function automatic logic [31:0] mix32_a(logic [31:0] x);
    logic [31:0] y;
    y = ~x + (x << 15);
    return y ^ (y >> 12);
  endfunction

  function automatic logic [31:0] mix32_b(logic [31:0] x);
    logic [31:0] y;
    y = x + (x << 2);
    return y ^ (y >> 4);
  endfunction

  function automatic logic [31:0] mix32_c(logic [31:0] x);
    logic [31:0] y;
    y = x + ((x + (x << 8)) << 3);  // x + (x << 3) + (x << 11)
    return y ^ (y >> 16);
  endfunction

  function automatic logic [31:0] mix32(logic [31:0] x);
    return mix32_c(mix32_b(mix32_a(x)));
  endfunction

  // ---- shift_round in steps: amount, coarse, fine, round ----
  // v * 2**-s is held as t = window of v with 16 fraction bits. Every use clamps its result to 19 bits or fewer, so a
  // window of 21 integer bits suffices: a larger value is replaced by the largest or smallest window value.
  //
  //   v (62 bits) -> coarse: window 52 at 16*c -> fine: window 37 = q (21) . f (16) -> round: 22 bits -> clamp
  //   bits shifted out below collect in sticky, bits lost above in over
  typedef struct packed {
    logic signed [51:0] window;
    logic [3:0]         fine;
    logic               sticky;
    logic               over;      // bits above the window differ from the sign
    logic               negative;
  } coarse_t;

  typedef struct packed {
    logic signed [20:0] q;
    logic [15:0]        f;
    logic               sticky;
  } split_t;

  // Shift amount clamped to -16..62, plus 16: 0..78.
  function automatic logic [6:0] shift_amount(logic signed [9:0] s);
    if (s < -10'sd16) return 7'd0;
    if (s > 10'sd62) return 7'd78;
    return 7'(s + 10'sd16);
  endfunction

  // v at most 62 bits signed; amount from shift_amount.
  function automatic coarse_t shift_coarse(logic signed [63:0] v, logic [6:0] amount);
    coarse_t r;
    r.fine     = amount[3:0];
    r.negative = v[63];
    r.sticky   = 1'b0;
    r.over     = 1'b0;
    unique case (amount[6:4])
      3'd0: begin
        r.window = {v[19:0], 32'd0};
        r.over   = v[62:20] != {43{v[63]}};
      end
      3'd1: begin
        r.window = {v[35:0], 16'd0};
        r.over   = v[62:36] != {27{v[63]}};
      end
      3'd2: begin
        r.window = v[51:0];
        r.over   = v[62:52] != {11{v[63]}};
      end
      3'd3: begin
        r.window = {{4{v[63]}}, v[63:16]};
        r.sticky = |v[15:0];
      end
      default: begin
        r.window = {{20{v[63]}}, v[63:32]};
        r.sticky = |v[31:0];
      end
    endcase
    return r;
  endfunction

  function automatic split_t shift_fine(coarse_t c);
    split_t r;
    logic signed [51:0] t;
    logic [14:0]        lost;
    t    = c.window >>> c.fine;
    lost = c.window[14:0] & ~(15'h7fff << c.fine);
    if (c.over || t[51:36] != {16{c.negative}}) begin
      r.q = {c.negative, {20{!c.negative}}};
      r.f = '0;
    end else begin
      r.q = t[36:16];
      r.f = t[15:0];
    end
    r.sticky = c.sticky || lost != '0;
    return r;
  endfunction

  function automatic logic signed [21:0] shift_up(split_t x, logic stochastic, logic [15:0] r);
    logic up;
    if (stochastic) begin
      up = x.f > ~r;  // f + r carries out of 16 bits
    end else begin
      up = x.f[15] && (x.f[14:0] != '0 || x.sticky || x.q[0]);
    end
    return 22'(x.q) + 22'(up);
  endfunction

  // All steps at once: the plain formula for assertions, and for paths with time to spare.
  function automatic logic signed [21:0] shift_round(
      logic signed [63:0] v, logic signed [9:0] s, logic stochastic, logic [15:0] r);
    return shift_up(shift_fine(shift_coarse(v, shift_amount(s))), stochastic, r);
  endfunction

  // ---- window, round, clamp35 (gemm, policy, update) ----
  // window in two steps: v * 2**(16-s) is v << 32, shifted right by `amount` from shift_amount: first by
  // coarse = amount[6:4] times 16, then by fine = amount[3:0]. One LUT4 a bit and level.
  typedef struct packed {
    logic signed [49:0] window;    // after the multiple of 16
    logic [15:0]        upper;     // window[49:34], inverted if negative
    logic [3:0]         lost;      // any
    logic [3:0]         over;      // any: bits above the window differ from the sign
    logic               negative;
  } window_t;

  typedef struct packed {
    logic signed [34:0] x;
    logic               lost;
  } fixed_t;

  // Which multiple of 16, one-hot.
  function automatic logic [4:0] window_at(logic [2:0] coarse);
    return {coarse[2], 4'(!coarse[2]) << coarse[1:0]};
  endfunction

  // window_select is two levels of logic, and these are the first: what no LUT4 joins at once, of the window and of the rest.
  // at from window_at.
  function automatic logic [49:0] window_some(logic signed [45:0] v, logic [3:0] at);
    logic signed [49:0] x;
    x = 50'(v);
    return ((x & {50{at[2]}}) & {20'd0, {30{1'b1}}}) | ((x >>> 16) & {50{at[3]}} & {20'd0, {30{1'b1}}}) |
           ((x << 16) & {50{at[1]}} & {{20{1'b1}}, 30'd0}) | (x & {50{at[2]}} & {4'd0, {16{1'b1}}, 30'd0}) |
           ((x << 32) & {50{at[0]}} & {{4{1'b1}}, 46'd0});
  endfunction

  typedef struct packed {
    logic        fill_right, fill_middle, fill_left;  // bits 29:14, 45:30, 49:46 of the window by the sign
    logic        over_middle, over_left;              // turn bits 45:34, 49:46 over if negative
    logic [7:0]  ones;                                // any of v[4*i+:4]
    logic [9:0]  differ;                              // any of v[17] (bit 0), v[3*i+15+:3] (bit i) is not the sign
  } window_rest_t;

  function automatic window_rest_t window_rest(logic signed [45:0] v, logic [4:0] at);
    window_rest_t p;
    p.fill_right  = at[4] && v[45];
    p.fill_middle = |at[4:3] && v[45];
    p.fill_left   = |at[4:2] && v[45];
    p.over_middle = |at[2:0] && v[45];
    p.over_left   = |at[1:0] && v[45];
    p.ones   = {|v[31:28], |v[27:24], |v[23:20], |v[19:16], |v[15:12], |v[11:8], |v[7:4], |v[3:0]};
    p.differ = {v[44:42] != {3{v[45]}}, v[41:39] != {3{v[45]}}, v[38:36] != {3{v[45]}}, v[35:33] != {3{v[45]}},
                v[32:30] != {3{v[45]}}, v[29:27] != {3{v[45]}}, v[26:24] != {3{v[45]}}, v[23:21] != {3{v[45]}},
                v[20:18] != {3{v[45]}}, v[17] != v[45]};
    return p;
  endfunction

  // The second level
  // verilator lint_off UNUSEDSIGNAL
  function automatic window_t window_join(logic signed [45:0] v, logic [4:0] at, logic [49:0] some, window_rest_t p);
    // verilator lint_on UNUSEDSIGNAL
    window_t     r;
    logic [49:0] x;
    x = some | (50'(unsigned'(v) << 32) & {50{at[0]}} & {4'd0, {16{1'b1}}, 30'd0});
    r.upper    = x[49:34] ^ {{4{p.over_left}}, {12{p.over_middle}}};
    r.window   = x | (50'(unsigned'(v) << 16) & {50{at[1]}} & {20'd0, {16{1'b1}}, 14'd0}) | {36'd0, v[45:32] & {14{at[4]}}} |
                 {{4{p.fill_left}}, {16{p.fill_middle}}, {16{p.fill_right}}, 14'd0};
    r.lost     = {at[4] && p.ones[7:6] != '0, at[4] && p.ones[5:4] != '0,
                  |at[4:3] && p.ones[3:2] != '0, |at[4:3] && p.ones[1:0] != '0};
    r.over     = {|at[1:0] && p.differ[9:8] != '0, |at[1:0] && p.differ[7:6] != '0,
                  at[0] && p.differ[5:3] != '0, at[0] && p.differ[2:0] != '0};
    r.negative = v[45];
    return r;
  endfunction

  function automatic window_t window_select(logic signed [45:0] v, logic [4:0] at);
    return window_join(v, at, window_some(v, at[3:0]), window_rest(v, at));
  endfunction

  function automatic window_t window_coarse(logic signed [45:0] v, logic [2:0] coarse);
    return window_select(v, window_at(coarse));
  endfunction

  // What leaves the window at its upper end; its complement at the lower end.
  function automatic logic [15:0] window_mask(logic [3:0] fine);
    return 16'hffff << fine;
  endfunction

  // Whether the window is clamped; mask from window_mask.
  // verilator lint_off UNUSEDSIGNAL
  function automatic logic window_cut(window_t c, logic [15:0] mask);
    // verilator lint_on UNUSEDSIGNAL
    return |c.over || (c.upper & mask) != '0;
  endfunction

  function automatic fixed_t window_fine(window_t c, logic [3:0] fine, logic [15:0] mask);
    fixed_t      r;
    logic        clamp;
    clamp  = window_cut(c, mask);
    r.x[34] = c.negative;
    if (clamp && c.negative) r.x[33:0] = '0;
    else r.x[33:0] = 34'(unsigned'(c.window) >> fine) | {34{clamp}};
    r.lost = |c.lost || (c.window[14:0] & ~mask[14:0]) != '0;
    return r;
  endfunction

  function automatic logic signed [34:0] clamp35(logic signed [63:0] v);
    return (v[62:34] != {29{v[63]}}) ? {v[63], {34{!v[63]}}} : v[34:0];
  endfunction

  // Adding this to x carries into x >> 16 exactly if `round` goes up; a rounding to nearest adds `tie` too.
  function automatic logic [15:0] round_term(logic stochastic, logic [15:0] r);
    return stochastic ? r : 16'h7fff;
  endfunction

  // term from round_term, tie = !stochastic && (lost || x[16]).
  function automatic logic signed [19:0] round_add(logic signed [34:0] x, logic [15:0] term, logic tie);
    return 20'(({x[34], x, 1'b1} + {20'd0, term, tie}) >> 17);
  endfunction

  function automatic logic signed [19:0] round(logic signed [34:0] x, logic lost, logic stochastic, logic [15:0] r);
    return round_add(x, round_term(stochastic, r), !stochastic && (lost || x[16]));
  endfunction

  // What enters the hash that the four columns number 4 * group.. share.
  function automatic logic [31:0] group_index(logic [15:0] group);
    return 32'(group) ^ {4'd0, group, 12'd0};
  endfunction

  // The first such group in word number `word` of a row, of `lanes` columns a word; of two columns, the group that they lie in.
  function automatic logic [15:0] group_of(logic [15:0] word, int unsigned lanes);
    return 16'((32'(word) * lanes) / 4);
  endfunction

  // The number of column `col` of four that share the hash h.
  function automatic logic [15:0] rand16(logic [31:0] h, logic [1:0] col);
    logic [15:0] x, y;
    x = h[15:0];
    y = h[31:16];
    unique case (col)
      2'd0: return x;
      2'd1: return y;
      2'd2: return x ^ y;
      default: return x ^ {y[14:0], 1'b0} ^ (y[15] ? 16'h002D : 16'h0000);
    endcase
  endfunction

  // How many of four bits are set.
  function automatic logic [2:0] ones(logic [3:0] of);
    return {&of, ^{of[3] && of[2], of[1] && of[0], (of[3] ^ of[2]) && (of[1] ^ of[0])}, ^of};
  endfunction

  // ---- Clamps ----
  function automatic logic saturates16(logic signed [21:0] x);
    return x > 22'sd32767 || x < -22'sd32768;
  endfunction

  function automatic logic signed [15:0] saturate16(logic signed [21:0] x);
    return saturates16(x) ? {x[21], {15{!x[21]}}} : x[15:0];
  endfunction

  // ---- align: amount, then shift ----
  // min(s, up), not below -63; up at most 31.
  function automatic logic signed [6:0] align_amount(logic signed [9:0] s, logic signed [6:0] up);
    if (s > 10'(up)) return up;
    if (s < -10'sd63) return -7'sd63;
    return 7'(s);
  endfunction

  function automatic logic signed [63:0] align_shift(logic signed [63:0] x, logic signed [6:0] amount);
    return amount[6] ? x >>> 6'(-amount) : x <<< amount[4:0];
  endfunction

  function automatic logic signed [63:0] align(logic signed [63:0] x, logic signed [9:0] s, logic signed [6:0] up);
    return align_shift(x, align_amount(s, up));
  endfunction

  // ---- top of a result ----
  // All elements of a result share e_v: collect the OR of their magnitudes and take its bit length once, at the end.
  function automatic logic [63:0] magnitude(logic signed [63:0] v);
    return v ^ {64{v[63]}};
  endfunction

  function automatic logic [6:0] bit_length(logic [63:0] x);
    logic [63:0] y;
    logic [6:0]  n;
    if (x == '0) return 7'd0;
    y    = x;
    n    = 7'd1;
    n[5] = |y[63:32];
    if (n[5]) y = y >> 32;
    n[4] = |y[31:16];
    if (n[4]) y = y >> 16;
    n[3] = |y[15:8];
    if (n[3]) y = y >> 8;
    n[2] = |y[7:4];
    if (n[2]) y = y >> 4;
    n[1] = |y[3:2];
    if (n[1]) y = y >> 2;
    n[0] = y[1];
    return n + 7'd1;
  endfunction

  // bit_length + e_v, clamped to -127..127.
  function automatic logic signed [7:0] top_of(logic [6:0] bits, logic signed [9:0] e_v);
    logic signed [10:0] sum;
    sum = 11'(e_v) + 11'(signed'({1'b0, bits}));
    if (sum > 11'sd127) return 8'sd127;
    if (sum < -11'sd127) return -8'sd127;
    return 8'(sum);
  endfunction
endpackage
