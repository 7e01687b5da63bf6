// SPDX-License-Identifier: Apache-2.0
// Exponent registers and delayed scaling (numerics.md, section 5): looks exponents up for issue and gives results their
// new one, takes what completed commands report into the histories, and serves the host. Does not know what a command is.
// Only por_ni resets it: every exponent 0, none static, all histories empty.
//
// Physical registers (exp): 0..63 absolute, 64 + 16*slot + i the copies of logical register i.
// Logical registers (next, static, history): 0..63 absolute, 64 + i. After power-on the memories are cleared, a
// register a cycle. A history is four words of four tops, the newest in front; a bit in the register says that it is not empty.
module lathe_exponents
  import lathe_pkg::*;
  import lathe_ctrl_pkg::*;
(
  input  logic              clk_i,
  input  logic              por_ni,
  output logic              ready_o,         // cleared; before that no lookups

  // Lookup by physical index, answered a cycle later: the exponent of a source's data, and that of a result's next write.
  input  logic              lookup_i,
  input  logic [6:0]        source_i,
  output logic [ExpW-1:0]   source_exp_o,
  input  logic [6:0]        result_i,
  output logic [ExpW-1:0]   result_exp_o,
  output logic              result_static_o,
  input  logic              assign_i,        // the result's data is given an exponent,
  input  logic [ExpW-1:0]   assign_exp_i,    //   in the cycle of the answer; lookups before the next cycle give what was there before

  // Retire: the histories take the tops in the cycles that follow. A reset of the chip does not stop that.
  input  logic              retire_valid_i,
  output logic              retire_ready_o,
  input  tops_t             retire_i,
  output ref_t [NumResults-1:0] retiring_o,      // registers that still have to take a top
  output logic              retired_o,       // pulse: one of these is done

  // Host: held until ready; data in the cycle of ready. A register: exp [7:0], next [15:8], static [16]; or a word of its history.
  input  logic              host_valid_i,
  output logic              host_ready_o,
  input  logic              host_write_i,
  input  logic              host_history_i,
  input  logic [6:0]        host_index_i,    // physical index
  input  logic [1:0]        host_word_i,     // of the history
  input  logic [31:0]       host_wdata_i,
  output logic [31:0]       host_rdata_o
);
  localparam int unsigned NumPhysical = 128;
  localparam int unsigned NumLogical = 80;
  localparam int unsigned WordTops = 4;                // tops in a word of a history
  localparam logic [ExpW-1:0] Empty = 8'h80;           // no top: these are -127 and above

  typedef struct packed {
    logic            fixed;   // "static"
    logic            tracked; // the history is not empty
    logic [ExpW-1:0] next;
  } next_t;

  function automatic logic [6:0] logical(logic [6:0] physical);
    return physical[6] ? {3'b100, physical[3:0]} : physical;
  endfunction

  function automatic logic [ExpW-1:0] max8(logic [ExpW-1:0] a, logic [ExpW-1:0] b);
    return (signed'(a) > signed'(b)) ? a : b;
  endfunction

  logic [ExpW-1:0] exp_mem [NumPhysical];
  next_t           next_mem [NumLogical];

  // Most of the time nothing looks an exponent up, nothing retires and the host does not ask: then nothing in here moves.
  logic clk, working_q;  // working: on a top
  lathe_clock_stop u_clock (
    .clk_i,
    .wanted_i(!por_ni || !ready_o || lookup_i || retire_valid_i || working_q || host_valid_i),
    .clk_o   (clk)
  );

  // ---- After power-on ----
  logic [7:0] clear_q;
  assign ready_o = clear_q[7];
  always_ff @(posedge clk) begin
    if (!por_ni) clear_q <= '0;
    else if (!ready_o) clear_q <= clear_q + 8'd1;
  end

  // ---- Histories: read word by word, each shifted by one top, and the largest top found on the way ----
  localparam logic [3:0] LastStep = 4'd9;
  tops_t                          tops_q;
  logic [3:0]                     step_q;
  next_t                          own, own_q;
  logic [1:0]                     which, which_q;  // of the results; the next one, the one whose turn it is
  logic [NumResults-1:0]          writes;          // that still have to take a top when it is done
  logic                           go, last_q, taken;
  logic                           host, host_q;      // the host is about to be answered
  logic                           working, idle_q;   // neither works on a top nor on that
  logic [6:0]                     index_q;  // of the register whose turn it is, else the host's
  logic [WordTops-1:0][ExpW-1:0]  read, word, word_q;
  logic [1:0][ExpW-1:0]           pair_q;   // the larger of each two of word_q, a step later
  logic [ExpW-1:0]                four_q;   // and of all four
  logic [ExpW-1:0]                carry_q, best_q, next_exp;
  logic                           asked_q, answer_q, host_write;
  logic signed [ExpW+1:0]         scaled_q;

  assign go = working_q && (step_q != '0 || !lookup_i);
  assign taken = retire_valid_i && retire_ready_o;
  always_comb begin
    for (int unsigned r = 0; r < NumResults; r++) writes[r] = taken ? retire_i.result[r].write : tops_q.result[r].write && which_q != 2'(r);
    which = writes[0] ? 2'd0 : writes[1] ? 2'd1 : 2'd2;
    working = (taken || last_q) ? writes != '0 : working_q;
  end
  assign word = own_q.tracked ? read : {WordTops{Empty}};
  always_comb begin
    next_exp = scaled_q[ExpW-1:0];
    if (scaled_q < -64) next_exp = 8'(-64);
    else if (scaled_q > 63) next_exp = 8'd63;
  end

  lathe_ram #(
    .Width(WordTops * ExpW),
    .Words(NumLogical * 4),
    .AnyOnCollision(1'b1)
  ) u_history (
    .clk_i(clk),
    .wr_en_i((step_q >= 4'd2 && step_q <= 4'd5) || (host_write && host_history_i)),
    .wr_addr_i({index_q, working_q ? 2'(step_q - 4'd2) : host_word_i}),
    .wr_data_i(working_q ? word_q : host_wdata_i),
    .rd_en_i(working_q || asked_q),
    .rd_addr_i({index_q, working_q ? step_q[1:0] : host_word_i}),
    .rd_data_o(read)
  );

  always_ff @(posedge clk) begin
    if (!por_ni) begin
      for (int unsigned r = 0; r < NumResults; r++) tops_q.result[r].write <= 1'b0;
      step_q <= '0;
      {working_q, idle_q, last_q} <= '0;
    end else begin
      working_q <= working;
      last_q <= step_q == LastStep - 4'd1;
      idle_q <= ready_o && !working && !host;
      if (go) step_q <= last_q ? '0 : step_q + 4'd1;
      if (last_q) tops_q.result[which_q].write <= 1'b0;
      if (taken) tops_q <= retire_i;
    end
  end
  always_ff @(posedge clk) begin
    if (taken || last_q) which_q <= which;
    if (taken || last_q) index_q <= taken ? retire_i.result[which].index : tops_q.result[which].index;
    else if (!working_q) index_q <= logical(host_index_i);
  end
  always_ff @(posedge clk) begin
    if (working_q) begin
      if (step_q == '0) own_q <= own;
      word_q <= {word[WordTops-2:0], carry_q};
      carry_q <= (step_q == '0) ? tops_q.top[which_q == 2'd1] : word[WordTops-1];
      for (int unsigned i = 0; i < 2; i++) pair_q[i] <= max8(word_q[2*i], word_q[2*i+1]);
      four_q <= max8(pair_q[0], pair_q[1]);
      best_q <= (step_q == 4'd4) ? four_q : max8(best_q, four_q);
      scaled_q <= (ExpW+2)'(signed'(best_q)) - ((which_q == 2'd2 || (tops_q.int8 && which_q == 2'd0)) ? (ExpW+2)'(6) : (ExpW+2)'(14));
    end
  end
  assign retire_ready_o = idle_q;
  assign retiring_o = tops_q.result;
  assign retired_o = last_q;

  // ---- Registers. The host waits for lookups and histories: its index comes into index_q, then it is answered ----
  logic            look, host_look, assign_q, tracked_q, exp_we, next_we;
  logic [6:0]      next_windex, exp_windex, result_q;
  logic [ExpW-1:0] exp_wdata;
  next_t           next_wdata;
  logic            unused_host_wdata;
  assign unused_host_wdata = ^host_wdata_i[31:17];  // but for a history
  assign host = host_valid_i && (host_q ? !answer_q : ready_o && !working_q && !taken);
  assign host_look = asked_q && !lookup_i && !assign_q;
  assign look = lookup_i || host_look;
  assign host_ready_o = answer_q;
  assign host_write = answer_q && host_valid_i && host_write_i;
  assign host_rdata_o = !host_history_i ? {15'd0, result_static_o, result_exp_o, source_exp_o} : tracked_q ? read : {WordTops{Empty}};
  assign own = next_mem[lookup_i ? logical(result_i) : index_q];

  always_ff @(posedge clk) begin
    if (!por_ni) {host_q, asked_q, answer_q, assign_q} <= '0;
    else begin
      host_q <= host;
      asked_q <= host && (!host_q || asked_q) && !host_look;
      answer_q <= host_look;
      assign_q <= lookup_i && assign_i;
    end
    if (look) begin
      result_exp_o <= own.next;
      {result_static_o, tracked_q} <= {own.fixed, own.tracked};
      source_exp_o <= exp_mem[lookup_i ? source_i : host_index_i];
    end
    if (lookup_i) result_q <= result_i;
  end

  always_comb begin
    exp_we = !ready_o || assign_q || (host_write && !host_history_i);
    next_we = (!ready_o && clear_q < 8'(NumLogical)) || last_q || host_write;
    exp_windex = !ready_o ? clear_q[6:0] : assign_q ? result_q : host_index_i;
    next_windex = !ready_o ? clear_q[6:0] : index_q;
    if (!ready_o) begin
      exp_wdata = '0;
      next_wdata = '0;
    end else begin
      exp_wdata = assign_q ? assign_exp_i : host_wdata_i[ExpW-1:0];
      if (!answer_q) next_wdata = '{fixed: own_q.fixed, tracked: 1'b1, next: own_q.fixed ? own_q.next : next_exp};
      else if (host_history_i) next_wdata = '{fixed: result_static_o, tracked: 1'b1, next: result_exp_o};
      else next_wdata = '{fixed: host_wdata_i[16], tracked: 1'b0, next: host_wdata_i[2*ExpW-1:ExpW]};
    end
  end

  always_ff @(posedge clk) begin
    if (exp_we) exp_mem[exp_windex] <= exp_wdata;
    if (next_we) next_mem[next_windex] <= next_wdata;
  end

`ifndef SYNTHESIS
  logic checking_q;  // false before the first reset, when registers hold anything
  initial checking_q = 1'b0;
  always @(posedge clk_i) if (!por_ni) checking_q <= 1'b1;

  always_ff @(posedge clk_i) begin
    if (checking_q && por_ni) begin
      assert (!lookup_i || ready_o) else $error("lookup while the registers are cleared");
      for (int unsigned r = 0; r < NumResults; r++) begin
        if (retire_valid_i && retire_i.result[r].write) begin
          assert (retire_i.top[r == 1] != Empty) else $error("top below -127");
        end
      end
    end
  end
`endif
endmodule
