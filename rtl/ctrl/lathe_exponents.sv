// SPDX-License-Identifier: Apache-2.0
// Exponent registers and delayed scaling (numerics.md, section 5): looks exponents up for issue, takes
// what completed commands report, and serves the host. Does not know what a command is.
// Only por_ni resets it: every exponent 0, none static, all histories empty.
//
// Physical registers (exp): 0..63 absolute, 64 + 16*slot + i the copies of logical register i.
// Logical registers (next, static, history): 0..63 absolute, 64 + i. Memories are not cleared; a bit
// per register says whether it was written since power-on (exp, next) or since the host emptied it (history).
module lathe_exponents (
  input  logic                      clk_i,
  input  logic                      por_ni,

  // Lookup, combinational. ref_index_o is the physical index to retire the result with.
  input  logic [5:0]                ref_exp_i,
  input  logic [1:0]                ref_space_i,
  input  logic [1:0]                slot_current_i,
  input  logic [1:0]                slot_next_i,
  output logic signed [7:0]         exp_o,   // of the data now stored
  output logic signed [7:0]         next_o,  // that the next write will use
  output logic [6:0]                ref_index_o,

  // Retire: held until ready; what it changes is seen from the cycle after the handshake on.
  // Withdrawing it before ready (a reset) leaves everything as it was.
  input  logic                      retire_valid_i,
  output logic                      retire_ready_o,  // depends on valid
  input  logic [6:0]                retire_ref_i,    // physical index
  input  lathe_pkg::result_t        retire_i,

  // Host: held until ready; data in the cycle of ready. Read: exp [7:0], next [15:8], static [16].
  input  logic                      host_valid_i,
  output logic                      host_ready_o,
  input  logic                      host_write_i,
  input  logic [6:0]                host_index_i,    // physical index
  input  logic [16:0]               host_wdata_i,    // exp [7:0], static [16]
  output logic [16:0]               host_rdata_o
);
  localparam int unsigned NumPhysical = 128;
  localparam int unsigned NumLogical = 80;
  localparam int unsigned Depth = 16;            // tops in a history, of which the newest 15 are stored
  localparam logic signed [7:0] Empty = -8'sd128;  // no top: these are -127 and above

  function automatic logic [6:0] logical(logic [6:0] physical);
    return physical[6] ? {3'b100, physical[3:0]} : physical;
  endfunction

  function automatic logic signed [7:0] max8(logic signed [7:0] a, logic signed [7:0] b);
    return (a > b) ? a : b;
  endfunction

  function automatic logic signed [7:0] next_exponent(logic signed [7:0] top);
    if (top < -8'sd50) return -8'sd64;
    if (top > 8'sd77) return 8'sd63;
    return top - 8'sd14;
  endfunction

  logic [7:0]             exp_mem [NumPhysical];
  logic [8:0]             next_mem [NumLogical];   // static, next
  logic [(Depth-1)*8-1:0] history_mem [NumLogical];
  logic [NumPhysical-1:0] exp_set_q;
  logic [NumLogical-1:0]  next_set_q, history_set_q;

  // ---- Lookup ----
  logic [6:0] ref_logical;
  always_comb begin
    unique case (ref_space_i)
      lathe_desc_pkg::SpaceCurrent: ref_index_o = {1'b1, slot_current_i, ref_exp_i[3:0]};
      lathe_desc_pkg::SpaceNext:    ref_index_o = {1'b1, slot_next_i, ref_exp_i[3:0]};
      default:                      ref_index_o = {1'b0, ref_exp_i};
    endcase
    ref_logical = logical(ref_index_o);
    exp_o = exp_set_q[ref_index_o] ? exp_mem[ref_index_o] : 8'd0;
    next_o = next_set_q[ref_logical] ? next_mem[ref_logical][7:0] : 8'd0;
  end

  // ---- Retire: read the history, reduce it in two steps, write ----
  typedef enum logic [1:0] {Idle, Quarter, Whole, Write} state_e;
  state_e                 state_q;
  logic [6:0]             retire_logical;
  logic [(Depth-1)*8-1:0] history_q;
  logic signed [3:0][7:0] part_q;
  logic signed [7:0]      top_q;
  logic [Depth-1:0][7:0]  window;     // the history with the new top
  logic                   retire_write, retire_static;

  assign retire_logical = logical(retire_ref_i);
  assign retire_ready_o = retire_valid_i && (!retire_i.track || state_q == Write);
  assign retire_write = retire_ready_o && retire_i.track;
  assign retire_static = next_set_q[retire_logical] && next_mem[retire_logical][8];
  assign window = {history_set_q[retire_logical] ? history_q : {(Depth-1){Empty}}, retire_i.top};

  always_ff @(posedge clk_i) begin
    if (!por_ni || !retire_valid_i || retire_ready_o) state_q <= Idle;
    else state_q <= state_e'(state_q + 2'd1);
  end

  always_ff @(posedge clk_i) begin
    if (retire_write) history_mem[retire_logical] <= window[Depth-2:0];
    if (retire_valid_i && state_q == Idle) history_q <= history_mem[retire_logical];
  end

  always_ff @(posedge clk_i) begin
    if (state_q == Quarter) begin
      for (int unsigned i = 0; i < 4; i++) begin
        part_q[i] <= max8(max8(window[4*i], window[4*i+1]), max8(window[4*i+2], window[4*i+3]));
      end
    end
    if (state_q == Whole) top_q <= max8(max8(part_q[0], part_q[1]), max8(part_q[2], part_q[3]));
  end

  // ---- Host: waits while a command retires ----
  logic [6:0] host_logical;
  logic       host_write;
  logic       unused_host_wdata;
  assign unused_host_wdata = ^host_wdata_i[15:8];  // next is readable only
  assign host_logical = logical(host_index_i);
  assign host_ready_o = host_valid_i && !retire_valid_i;
  assign host_write = host_ready_o && host_write_i;
  always_comb begin
    host_rdata_o = '0;
    if (exp_set_q[host_index_i]) host_rdata_o[7:0] = exp_mem[host_index_i];
    if (next_set_q[host_logical]) host_rdata_o[16:8] = next_mem[host_logical];
  end

  // ---- exp, next and static: one write port ----
  logic       exp_we, next_we;
  logic [6:0] exp_index, next_index;
  logic [7:0] exp_wdata;
  logic [8:0] next_wdata;
  always_comb begin
    exp_we = host_write || (retire_ready_o && retire_i.write);
    exp_index = retire_valid_i ? retire_ref_i : host_index_i;
    exp_wdata = retire_valid_i ? retire_i.exp : host_wdata_i[7:0];
    next_we = host_write || (retire_write && !retire_static);
    next_index = logical(exp_index);
    next_wdata = retire_valid_i ? {1'b0, next_exponent(top_q)} : {host_wdata_i[16], host_wdata_i[7:0]};
  end

  always_ff @(posedge clk_i) begin
    if (exp_we) exp_mem[exp_index] <= exp_wdata;
    if (next_we) next_mem[next_index] <= next_wdata;
  end

  always_ff @(posedge clk_i) begin
    if (!por_ni) begin
      exp_set_q <= '0;
      next_set_q <= '0;
      history_set_q <= '0;
    end else begin
      if (exp_we) exp_set_q[exp_index] <= 1'b1;
      if (next_we) next_set_q[next_index] <= 1'b1;
      if (host_write) history_set_q[host_logical] <= 1'b0;
      if (retire_write) history_set_q[retire_logical] <= 1'b1;
    end
  end

`ifndef SYNTHESIS
  logic checking_q;  // false before the first reset, when registers hold anything
  initial checking_q = 1'b0;
  always @(posedge clk_i) if (!por_ni) checking_q <= 1'b1;

  logic               held_q;
  logic [6:0]         held_ref_q;
  lathe_pkg::result_t held_retire_q;
  always_ff @(posedge clk_i) begin
    held_q <= por_ni && retire_valid_i && !retire_ready_o;
    held_ref_q <= retire_ref_i;
    held_retire_q <= retire_i;
    if (checking_q && held_q && retire_valid_i) begin
      assert (held_ref_q == retire_ref_i && held_retire_q == retire_i)
        else $error("retire changed while it waited");
    end
    if (checking_q && por_ni && retire_write) begin
      assert (signed'(retire_i.top) != Empty) else $error("top below -127");
    end
  end
`endif
endmodule
