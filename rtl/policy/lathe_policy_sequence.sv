// SPDX-License-Identifier: Apache-2.0
// MEASURE: aggregates the log ratios of two lanes over each sequence of samples into one word (docs/numerics.md, section 8): sum,
// mean or maximum, and the veto. Takes a sample in every second cycle at most. A word takes two cycles, and another 17 for each lane whose
// mean is to be divided; sequences wait for that. At most MaxRows samples may be inside; whoever feeds it counts them.
//
//   x ── sum or maximum ── buffer ── magnitude ── divide ── sign, saturate ── buffer ── word
module lathe_policy_sequence
  import lathe_policy_pkg::*;
  import lathe_desc_pkg::*;
(
  input  logic                   clk_i,
  input  logic                   rst_ni,
  input  logic                   start_i,
  input  lathe_pkg::policy_cfg_t cfg_i,
  input  logic                   valid_i,
  input  logic signed [16:0]     x_r_i,         // LSB 2**-10
  input  logic signed [16:0]     x_rho_i,
  input  logic                   ends_i,        // the sequence's last sample
  output logic                   word_valid_o,
  input  logic                   word_pop_i,
  output logic [63:0]            word_o
);
  localparam int unsigned SumW = 33;            // 65,535 samples
  localparam int unsigned Steps = 17;           // of a division: 16 bits of the quotient, one to round

  typedef struct packed {
    logic signed [SumW-1:0] rho;
    logic signed [SumW-1:0] r;
    logic                   veto;
    logic [15:0]            count;
  } measured_t;

  // Aggregate.
  logic               fresh_q, ended_q, below, above;  // fresh: the next sample is a sequence's first
  logic               r_max_q, rho_max_q, r_mean_q, rho_mean_q;
  measured_t          sums_q, ended;
  logic               ended_valid, ended_pop;

  logic signed [SumW-1:0] r_total, rho_total;  // sum + x, or for the maximum sum - x

  assign r_total = sums_q.r + (SumW'(x_r_i) ^ {SumW{r_max_q}}) + SumW'(r_max_q);
  assign rho_total = sums_q.rho + (SumW'(x_rho_i) ^ {SumW{rho_max_q}}) + SumW'(rho_max_q);
  assign below = cfg_i.veto_below && x_rho_i < 17'(cfg_i.veto_lo);
  assign above = cfg_i.veto_above && x_rho_i > 17'(cfg_i.veto_hi);

  always_ff @(posedge clk_i) begin
    if (!rst_ni) ended_q <= 1'b0;
    else ended_q <= valid_i && ends_i;
  end

  always_ff @(posedge clk_i) begin
    r_max_q <= cfg_i.r.aggregate == AggregateMaximum;
    rho_max_q <= cfg_i.rho.aggregate == AggregateMaximum;
    r_mean_q <= cfg_i.r.aggregate == AggregateMean;
    rho_mean_q <= cfg_i.rho.aggregate == AggregateMean;
    if (start_i) fresh_q <= 1'b1;
    else if (valid_i) fresh_q <= ends_i;
    if (start_i || ended_q) begin  // no sample comes while one is pushed
      sums_q <= '0;
    end else if (valid_i) begin
      if (!r_max_q || fresh_q || r_total[SumW-1]) sums_q.r <= r_max_q ? SumW'(x_r_i) : r_total;
      if (!rho_max_q || fresh_q || rho_total[SumW-1]) sums_q.rho <= rho_max_q ? SumW'(x_rho_i) : rho_total;
      if (below || above) sums_q.veto <= 1'b1;
      sums_q.count <= sums_q.count + 16'd1;
    end
  end

  lathe_policy_side #(
    .Width($bits(measured_t))
  ) u_ended (
    .clk_i,
    .rst_ni,
    .push_i(ended_q),
    .push_data_i(sums_q),
    .valid_o(ended_valid),
    .pop_i(ended_pop),
    .data_o(ended)
  );

  // Lane r, then lane rho: the magnitude, divided by the count if that is wanted and not 1. A mean is below 2**16, so its quotient
  // has 16 bits, and what is above them in the sum is the first remainder.
  logic signed [SumW-1:0] sum;
  logic [SumW-2:0]        magnitude;
  logic                   load, divide, rho_next_q, rho_q, divide_q, ready_q, negative_q, up_q, veto_q, last_step, fits;
  logic [4:0]             left_q;
  logic [15:0]            count_q, rest_q, low_q;
  logic [16:0]            rest2;
  logic signed [17:0]     less;

  assign load = ended_valid && !divide_q;
  assign ended_pop = load && rho_next_q;
  assign sum = rho_next_q ? ended.rho : ended.r;
  assign magnitude = (SumW-1)'(sum ^ {SumW{sum[SumW-1]}}) + (SumW-1)'(sum[SumW-1]);
  assign divide = (rho_next_q ? rho_mean_q : r_mean_q) && ended.count != 16'd1;
  assign last_step = left_q == 5'd1;
  assign rest2 = {rest_q, low_q[15] && !last_step};
  assign less = 18'({1'b0, rest2}) - 18'({2'b0, count_q});
  assign fits = !less[17];

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      rho_next_q <= 1'b0;
      divide_q <= 1'b0;
      ready_q <= 1'b0;
    end else begin
      if (load) rho_next_q <= !rho_next_q;
      divide_q <= load ? divide : divide_q && !last_step;
      ready_q <= (load && !divide) || (divide_q && last_step);
    end
  end

  always_ff @(posedge clk_i) begin
    if (load) begin
      rho_q <= rho_next_q;
      {veto_q, count_q} <= {ended.veto, ended.count};
      negative_q <= sum[SumW-1];
      up_q <= 1'b0;
      left_q <= 5'(Steps);
      rest_q <= magnitude[31:16];
      low_q <= magnitude[15:0] | {16{!divide && magnitude[31:16] != '0}};
    end else if (divide_q) begin
      left_q <= left_q - 5'd1;
      rest_q <= fits ? less[15:0] : rest2[15:0];
      if (last_step) up_q <= fits && (less != '0 || low_q[0]);
      else low_q <= {low_q[14:0], fits};
    end
  end

  // Sign and saturation: -(low + up) is ~low + !up.
  logic signed [16:0] value;
  logic [15:0]        code, r_code_q;
  assign value = {negative_q, low_q ^ {16{negative_q}}} + 17'(negative_q ^ up_q);
  assign code = value[16] == value[15] ? value[15:0] : {negative_q, {15{!negative_q}}};

  always_ff @(posedge clk_i) begin
    if (ready_q && !rho_q) r_code_q <= code;
  end

  logic [48:0] word;
  lathe_policy_side #(
    .Width(49)
  ) u_words (
    .clk_i,
    .rst_ni,
    .push_i(ready_q && rho_q),
    .push_data_i({count_q, veto_q, code, r_code_q}),
    .valid_o(word_valid_o),
    .pop_i(word_pop_i),
    .data_o(word)
  );
  assign word_o = {word[48:33], 15'd0, word[32:0]};
endmodule
