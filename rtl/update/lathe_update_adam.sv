// SPDX-License-Identifier: Apache-2.0
// What adam has beside the lanes (numerics.md, section 9), for words of `Lanes` elements in two cycles: the logarithms, of the
// lower half of the lanes and then of the upper, and the shift of P * m'. Cycles are counted from a word's start, which is even.
module lathe_update_adam
  import lathe_update_pkg::*;
#(
  parameter int unsigned Lanes = 8,
  localparam int unsigned NumberW = 16 - $clog2(Lanes)
) (
  input  logic                    clk_i,
  input  logic                    odd_i,         // cycle of a word
  // Constant while a word is inside
  input  log_cfg_t                cfg_i,
  input  logic                    stochastic_i,
  // Cycles 0 and 1
  input  logic [Lanes*16-1:0]     g_i,
  input  logic [Lanes*16-1:0]     l_i,
  // Cycle 0
  input  logic                    lower_i,       // of two rows that have a key each
  input  logic [NumberW-1:0]      number_i,      // of the word in its row
  input  logic [31:0]             row_key_i [2],
  output logic [Lanes*16-1:0]     l_o,           // cycle 11
  output logic [16:0]             p_o       [Lanes],  // cycle 16
  output logic                    p_up_o    [Lanes],
  input  logic signed [34:0]      product_i [Lanes],  // cycle 18
  output logic                    load_o    [Lanes],  // cycles 21 and 22
  output logic signed [TermW-1:0] term_o    [Lanes],
  // POW for others, while no word is inside
  input  logic                    pow_turn_i,
  input  logic [9:0]              pow_index_i,
  output logic [15:0]             pow_o
);
  localparam int unsigned Units = Lanes / 2;
  localparam int unsigned Hashes = (Lanes + 7) / 8;  // four elements share one

  // ---- Random bits ----
  typedef struct packed {
    logic               lower;
    logic [NumberW-1:0] number;
  } place_t;
  place_t      place1_q, place3_q, place5_q;  // read in this cycle and the next
  logic [31:0] hash [Hashes];
  logic [7:0]  random_q [Units];
  logic [2:0]  second_q;  // of two words that share a hash, by its stages

  always_ff @(posedge clk_i) begin
    if (!odd_i) {place1_q, place3_q, place5_q} <= {lower_i, number_i, place1_q, place3_q};
    second_q <= {second_q[1:0], place5_q.number[0]};
  end

  for (genvar h = 0; h < Hashes; h++) begin : g_hash
    logic [15:0] group;
    assign group = lathe_num_pkg::group_of(16'(place5_q.number), Lanes) + (Lanes > 4 && !odd_i ? 16'(Lanes / 8) : 16'd0) + 16'(h);
    lathe_rng #(
      .Stages(3)
    ) u_hash (
      .clk_i,
      .en_i(stochastic_i),
      .key_i(row_key_i[place5_q.lower]),
      .index_i(lathe_num_pkg::group_index(group)),
      .rand_o(hash[h])
    );
  end

  // ---- Logarithms ----
  logic [9:0]         index [Units][4];
  logic               zero  [Units][4];
  logic [17:0]        entry [Units][4];
  logic signed [15:0] new_l [Units];
  logic [16:0]        p     [Units];
  logic [4:0]         right [Units];

  for (genvar u = 0; u < Units; u++) begin : g_unit
    localparam int unsigned Upper = Units + u;

    always_ff @(posedge clk_i) begin
      if (!stochastic_i) random_q[u] <= 8'h7F;
      else random_q[u] <= 8'(lathe_num_pkg::rand16(hash[u / 4], Lanes == 2 ? {second_q[2], odd_i} : Lanes == 4 ? {odd_i, 1'(u)} : 2'(u)) >> 8);
    end

    lathe_update_log u_log (
      .clk_i,
      .cfg_i,
      .to_even_i(!stochastic_i),
      .g_i(odd_i ? g_i[16*Upper+:16] : g_i[16*u+:16]),
      .l_i(odd_i ? l_i[16*Upper+:16] : l_i[16*u+:16]),
      .rand_i(random_q[u]),
      .l_o(new_l[u]),
      .p_o(p[u]),
      .right_o(right[u]),
      .index_o(index[u]),
      .zero_o(zero[u]),
      .entry_i(entry[u])
    );

    logic [15:0] lower_l_q;
    always_ff @(posedge clk_i) begin
      if (!odd_i) lower_l_q <= new_l[u];
      if (!odd_i) {p_up_o[u], p_o[u]} <= {right[u][4], p[u]};
      if (odd_i) {p_up_o[Upper], p_o[Upper]} <= {right[u][4], p[u]};
    end
    assign l_o[16*u+:16] = lower_l_q;
    assign l_o[16*Upper+:16] = new_l[u];

    // ---- P * m' ----
    logic signed [34:0]      upper_q, product_q;
    logic [4:0][3:0]         right_q;  // on their way to the product
    logic signed [TermW-1:0] term;

    always_ff @(posedge clk_i) begin
      if (!odd_i) upper_q <= product_i[Upper];
      product_q <= odd_i ? upper_q : product_i[u];
      right_q <= {right_q[3:0], right[u][3:0]};
    end

    lathe_update_scale u_scale (
      .clk_i,
      .x_i(product_q),
      .right_i(right_q[4]),
      .term_o(term)
    );
    assign term_o[u] = term;
    assign term_o[Upper] = term;
    assign load_o[u] = odd_i;
    assign load_o[Upper] = !odd_i;
  end

  // ---- Tables ----
  for (genvar r = 0; r < (Units + 1) / 2; r++) begin : g_pair
    for (genvar t = 0; t < 4; t++) begin : g_table
      logic [9:0] first;
      if (r == 0 && t == 3) begin : g_others
        assign first = pow_turn_i ? pow_index_i : index[0][3];
      end else begin : g_own
        assign first = index[2*r][t];
      end

      localparam int unsigned Second = Units == 1 ? 0 : 2 * r + 1;  // a unit alone reads twice the same
      logic [17:0] entries [2];
      lathe_update_rom #(
        .Table(t)
      ) u_rom (
        .clk_i,
        .index_i('{first, index[Second][t]}),
        .zero_i('{zero[2*r][t], zero[Second][t]}),
        .entry_o(entries)
      );
      assign entry[2*r][t] = entries[0];
      if (Units == 1) begin : g_alone
        logic unused_second;
        assign unused_second = &entries[1];
      end else begin : g_second
        assign entry[Second][t] = entries[1];
      end
    end
  end
  assign pow_o = entry[0][3][15:0];
endmodule
