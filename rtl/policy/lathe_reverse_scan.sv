// SPDX-License-Identifier: Apache-2.0
// Advantages and returns from records that come from the last to the first (SCAN of docs/numerics.md, section 8), a record a cycle.
// What a record leaves behind for the one before it, of the same environment, waits in RAMs. From reading that to leaving it takes
// LoopCycles; with fewer environments records wait at the entrance. Behind it nothing stalls: room for a result is reserved there.
// Configuration and environments must hold still from the cycle before the first record to the last result. Takes no exponential:
// who makes the ratio has RatioCycles for it.
//
//          ratio ── caps ──┬──────────── * rho ─┐
//   in ── delay ──┬── td ──│───────────── * ────┴── sum ── a ──┬── round ── buffer ── out
//               state ── * decay ── * c ────────────┘          │
//                 └────────────────────────────────────────────┘
module lathe_reverse_scan #(
  parameter int unsigned RatioCycles = 14  // at least 3
) (
  input  logic                 clk_i,
  input  logic                 rst_ni,
  input  logic                 start_i,         // pulse before the first record, while nothing is inside
  input  lathe_pkg::scan_cfg_t cfg_i,
  input  logic [5:0]           environments_i,  // at least 1

  input  logic                 in_valid_i,
  output logic                 in_ready_o,      // out of registers
  input  logic signed [15:0]   reward_i,        // LSB 2**-10
  input  logic signed [15:0]   value_i,
  input  logic                 last_i,
  input  logic                 terminated_i,
  input  logic [20:0]          ratio_i,         // of the record taken RatioCycles ago, LSB 2**-16

  output logic                 skip_o,          // a record without follower has come through, which gives no result; before all results
  output logic [16:0]          saturations_o,   // advantages and returns clamped since the start
  output logic                 out_valid_o,
  input  logic                 out_ready_i,
  output logic signed [15:0]   advantage_o,     // LSB 2**-11
  output logic signed [15:0]   return_o         // LSB 2**-10
);
  localparam int unsigned LoopCycles = 7;
  localparam int unsigned Results = 32;  // more than the cycles from the entrance to the way out
  localparam int unsigned EnvW = 6;

  // What of a record waits for its ratio.
  typedef struct packed {
    logic signed [16:0] gap;         // reward - value, LSB 2**-10
    logic signed [15:0] value;
    logic               last;
    logic               terminated;
    logic               skip;        // without follower
    logic [EnvW-1:0]    env;         // in the order of arrival
  } step_t;

  // What a record leaves behind, but for the trace.
  typedef struct packed {
    logic signed [17:0] value;  // discounted, LSB 2**-12
    logic [16:0]        c;      // the trace's weight, LSB 2**-16
  } behind_t;

  // 18 bits signed.
  function automatic logic signed [17:0] saturate18(logic signed [19:0] x);
    return x[19:17] != {3{x[19]}} ? {x[19], {17{!x[19]}}} : x[17:0];
  endfunction

  // Configuration. A factor of 17 bits is at most 1.
  logic signed [17:0] gamma_q, decay_q;
  logic [EnvW-1:0]    last_env_q;
  logic [2:0]         limit_q;  // records that may be in the loop

  always_ff @(posedge clk_i) begin
    gamma_q <= {1'b0, cfg_i.gamma};
    if (cfg_i.gamma[16]) gamma_q[15:0] <= '0;
    decay_q <= {1'b0, cfg_i.decay};
    if (cfg_i.decay[16]) decay_q[15:0] <= '0;
    last_env_q <= environments_i - 1'b1;
    limit_q <= environments_i[EnvW-1:3] != '0 ? 3'd7 : environments_i[2:0];
  end

  // Entrance.
  logic                  room, enter, env_end, skip_q;
  logic                  may_q;   // an environment that enters finds what it left
  logic [LoopCycles-2:0] came_q;  // a record came so many cycles ago, from one on
  logic [2:0]            loop_q, loop_d;  // how many of these
  logic [EnvW-1:0]       env_q;

  assign in_ready_o = room && may_q;
  assign enter = in_valid_i && in_ready_o;
  assign env_end = env_q == last_env_q;
  assign loop_d = loop_q + 3'(enter) - 3'(came_q[LoopCycles-2]);

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      came_q <= '0;
      loop_q <= '0;
      may_q <= 1'b0;
    end else begin
      came_q <= {came_q[LoopCycles-3:0], enter};
      loop_q <= loop_d;
      may_q <= loop_d < limit_q && !start_i;  // the limit is that of the command before
    end
  end

  always_ff @(posedge clk_i) begin
    if (start_i) begin
      env_q <= '0;
      skip_q <= 1'b1;
    end else if (enter) begin
      env_q <= env_end ? '0 : env_q + 1'b1;
      skip_q <= skip_q && !env_end;
    end
  end

  // Delay. It ends with stage 0, in which the ratio is there. valid_q[i]: stage i holds a record.
  logic [RatioCycles-2:0] delay_valid;
  logic                   early_valid;  // a cycle before stage 0
  step_t                  early;
  logic [8:0]             valid_q, skips_q;  // skips: it is without follower
  logic [EnvW-1:0]        env_at_q [6];
  logic signed [15:0]     value_at_q [7];

  lathe_tag_pipe #(
    .Latency(RatioCycles - 1),
    .TagW   ($bits(step_t))
  ) u_delay (
    .clk_i,
    .rst_ni,
    .valid_i(enter),
    .tag_i({17'(reward_i) - 17'(value_i), value_i, last_i, terminated_i, skip_q, env_q}),
    .valid_o(delay_valid),
    .tag_o(early)
  );
  assign early_valid = delay_valid[RatioCycles-2];

  always_ff @(posedge clk_i) begin
    if (!rst_ni) valid_q <= '0;
    else valid_q <= {valid_q[7:0], early_valid};
    skips_q <= {skips_q[7:0], early.skip};
    env_at_q[0] <= early.env;
    value_at_q[0] <= early.value;
    for (int unsigned i = 1; i < 6; i++) env_at_q[i] <= env_at_q[i-1];
    for (int unsigned i = 1; i < 7; i++) value_at_q[i] <= value_at_q[i-1];
  end

  // 0: what the follower left comes out of the RAMs; weights; discounted value. 1: registers between RAM and multiplier.
  // 2: temporal difference, decayed trace. 3: these rounded and clamped. 4: weighted. 5: summed. 6: rounded and clamped.
  function automatic logic [16:0] weight(logic on, logic [20:0] ratio, logic [15:0] cap);
    if (!on) return 17'h10000;
    return ratio > {4'd0, cap, 1'b0} ? {cap, 1'b0} : ratio[16:0];
  endfunction

  behind_t            behind, behind1_q;  // the follower's, the record's own
  logic signed [17:0] value1_q, trace, trace1_q, td3_q, u3_q, a, a6_q;
  logic signed [16:0] gap0_q, gap1_q;
  logic               last0_q, last1_q, last2_q, terminated0_q;
  logic [16:0]        follower1_q, rho1_q, rho2_q, rho3_q, k2_q, k3_q;
  logic signed [33:0] discounted_q;
  logic signed [19:0] td2_q;
  logic signed [35:0] decayed2_q, delta4_q, going4_q, sum5_q;
  logic signed [18:0] with4_q, with5_q, with6_q;  // temporal difference with the trace, unweighted

  assign a = saturate18(20'(sum5_q >>> 16) + 20'(sum5_q[15]));

  always_ff @(posedge clk_i) begin
    if (early_valid) begin
      {gap0_q, last0_q, terminated0_q} <= {early.gap, early.last, early.terminated};
      discounted_q <= gamma_q * early.value;
    end
    if (valid_q[0]) begin
      rho1_q <= weight(cfg_i.delta_weight, ratio_i, cfg_i.rho_cap);
      behind1_q.c <= weight(cfg_i.trace_weight, ratio_i, cfg_i.c_cap);
      behind1_q.value <= 18'(discounted_q >>> 14) + 18'(discounted_q[13]);
      follower1_q <= behind.c;
      value1_q <= behind.value;
      if (terminated0_q) value1_q <= '0;
      trace1_q <= trace;
      gap1_q <= gap0_q;
      last1_q <= last0_q;
    end
    if (valid_q[1]) begin
      td2_q <= (20'(gap1_q) <<< 2) + 20'(value1_q);
      decayed2_q <= decay_q * trace1_q;
      k2_q <= cfg_i.trace_next ? follower1_q : behind1_q.c;
      rho2_q <= rho1_q;
      last2_q <= last1_q;
    end
    if (valid_q[2]) begin
      td3_q <= saturate18(td2_q);
      u3_q <= 18'(decayed2_q >>> 16) + 18'(decayed2_q[15]);
      if (last2_q) u3_q <= '0;
      rho3_q <= rho2_q;
      k3_q <= k2_q;
    end
    if (valid_q[3]) begin
      delta4_q <= signed'({1'b0, rho3_q}) * td3_q;
      going4_q <= signed'({1'b0, k3_q}) * u3_q;
      with4_q <= 19'(td3_q) + 19'(u3_q);
    end
    if (valid_q[4]) begin
      sum5_q <= delta4_q + going4_q;
      if (skips_q[4]) sum5_q <= '0;
      with5_q <= with4_q;
    end
    if (valid_q[5]) begin
      a6_q <= a;
      with6_q <= with5_q;
    end
  end

  lathe_ram #(
    .Width($bits(behind_t)),
    .Words(2**EnvW),
    .AnyOnCollision(1'b1),
    .Block(1'b1)
  ) u_behind (
    .clk_i,
    .wr_en_i(valid_q[1]),
    .wr_addr_i(env_at_q[1]),
    .wr_data_i(behind1_q),
    .rd_en_i(early_valid),
    .rd_addr_i(early.env),
    .rd_data_o(behind)
  );

  lathe_ram #(
    .Width(18),
    .Words(2**EnvW),
    .AnyOnCollision(1'b1),
    .Block(1'b1)
  ) u_trace (
    .clk_i,
    .wr_en_i(valid_q[5]),
    .wr_addr_i(env_at_q[5]),
    .wr_data_i(a),
    .rd_en_i(early_valid),
    .rd_addr_i(early.env),
    .rd_data_o(trace)
  );

  // 7: choose, add the value. 8: round and clamp.
  logic signed [18:0] advantage7_q, return7_q;
  logic signed [21:0] advantage, return_value;
  logic signed [15:0] advantage8_q, return8_q;
  logic [1:0]         clamped8_q;
  logic               result8;

  assign advantage = (22'(advantage7_q) + 22'sd1) >>> 1;
  assign return_value = 22'(return7_q >>> 2);
  assign result8 = valid_q[8] && !skips_q[8];
  assign skip_o = valid_q[8] && skips_q[8];

  always_ff @(posedge clk_i) begin
    if (valid_q[6]) begin
      advantage7_q <= cfg_i.td_advantage ? with6_q : 19'(a6_q);
      return7_q <= signed'({value_at_q[6][15], value_at_q[6], 2'b10}) + 19'(a6_q);
    end
    if (valid_q[7]) begin
      advantage8_q <= lathe_num_pkg::saturate16(advantage);
      return8_q <= lathe_num_pkg::saturate16(return_value);
      clamped8_q <= {lathe_num_pkg::saturates16(advantage), lathe_num_pkg::saturates16(return_value)};
    end
    if (start_i) saturations_o <= '0;
    else if (result8) saturations_o <= saturations_o + {15'd0, &clamped8_q, ^clamped8_q};
  end

  lathe_row_buffer #(
    .Width(32),
    .Depth(Results)
  ) u_results (
    .clk_i,
    .rst_ni,
    .reserve_i(enter && !skip_q),
    .room_o(room),
    .push_i(result8),
    .push_data_i({return8_q, advantage8_q}),
    .valid_o(out_valid_o),
    .pop_i(out_valid_o && out_ready_i),
    .data_o({return_o, advantage_o})
  );
endmodule
