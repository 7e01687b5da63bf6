// SPDX-License-Identifier: Apache-2.0
// gemm: C = act(A * B + bias) * act'(y) on a Lanes x Lanes array (docs/numerics.md, section 6), one command at a time.
// Does not check the command: dimensions and addresses are right when it arrives.
module lathe_gemm
  import lathe_pkg::*;
  import lathe_desc_pkg::*;
  import lathe_gemm_pkg::*;
  import lathe_num_pkg::*;
#(
  parameter int unsigned Lanes = 8
) (
  input  logic                clk_i,
  input  logic                rst_ni,
  input  logic                cmd_valid_i,
  output logic                cmd_ready_o,
  input  cmd_t                cmd_i,
  output logic                done_valid_o,
  output done_t               done_o,
  output logic                a_rd_valid_o,
  input  logic                a_rd_ready_i,
  output logic [AddrW-1:0]    a_rd_addr_o,
  input  logic                a_rd_rvalid_i,
  input  logic [Lanes*16-1:0] a_rd_rdata_i,
  output logic                b_rd_valid_o,
  input  logic                b_rd_ready_i,
  output logic [AddrW-1:0]    b_rd_addr_o,
  input  logic                b_rd_rvalid_i,
  input  logic [Lanes*16-1:0] b_rd_rdata_i,
  output logic                x_rd_valid_o,      // bias and y
  input  logic                x_rd_ready_i,
  output logic [AddrW-1:0]    x_rd_addr_o,
  input  logic                x_rd_rvalid_i,
  input  logic [Lanes*16-1:0] x_rd_rdata_i,
  output logic                wr_valid_o,
  input  logic                wr_ready_i,
  output logic [AddrW-1:0]    wr_addr_o,
  output logic [Lanes*16-1:0] wr_data_o,
  output logic                stall_operand_o,   // the array waits for operand words
  output logic                stall_result_o,    // the array waits for room for a tile's sums
  output logic                mac_step_o         // the array takes a k-step
);
  if (!(Lanes inside {4, 8, 16})) begin : gen_check
    $fatal(1, "lathe_gemm: Lanes must be 4, 8 or 16");
  end

  // Command.
  typedef enum logic [2:0] {Idle, Setup, Start, Run, Part, Length, Top, Done} state_e;
  state_e state_q;
  cmd_t cmd_q;
  shape_t shape_d, shape_q;
  lane_cfg_t cfg_d, cfg_q;
  result_t result_d, result_q;
  logic start, drain_idle;
  logic [31:0] saturations;
  logic [ValueW-1:0] value_or;
  logic [1:0] part_index, part_index_q;
  logic [15:0] part_q;
  logic [6:0] length_q;
  logic tanh_d, tanh_q;
  logic signed [9:0] value_exp_d, value_exp_q;

  assign start = state_q == Start;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      state_q <= Idle;
    end else begin
      unique case (state_q)
        Idle:    if (cmd_valid_i) state_q <= Setup;
        Setup:   state_q <= Start;
        Start:   state_q <= Run;
        Run:     if (drain_idle) state_q <= Part;
        Part:    state_q <= Length;
        Length:  state_q <= Top;
        Top:     state_q <= Done;
        default: state_q <= Idle;
      endcase
    end
  end

  always_ff @(posedge clk_i) begin
    if (state_q == Idle && cmd_valid_i) cmd_q <= cmd_i;
    if (state_q == Setup) begin
      shape_q <= shape_d;
      cfg_q <= cfg_d;
      tanh_q <= tanh_d;
      value_exp_q <= value_exp_d;
    end
    if (state_q == Part) begin
      part_index_q <= part_index;
      part_q <= 16'(value_or >> {part_index, 4'd0});
    end
    if (state_q == Length) length_q <= bit_length(64'(part_q)) + {1'b0, part_index_q, 4'd0};
    if (state_q == Top) result_q <= result_d;
  end

  lathe_gemm_setup u_setup (
    .cmd_i      (cmd_q),
    .shape_o    (shape_d),
    .cfg_o      (cfg_d),
    .tanh_o     (tanh_d),
    .value_exp_o(value_exp_d)
  );

  // The bit length of the OR of all values in two steps: the highest 16 bits that are not zero, then within them.
  assign part_index = (|value_or[ValueW-1:48]) ? 2'd3 : (|value_or[47:32]) ? 2'd2 : (|value_or[31:16]) ? 2'd1 : 2'd0;

  always_comb begin
    result_d = '0;
    result_d.write = 1'b1;
    result_d.exp = -8'sd15;
    if (!tanh_q) begin
      result_d.exp = cmd_q.t[2].exp;
      result_d.track = length_q != '0;
      if (result_d.track) result_d.top = top_of(length_q, value_exp_q);
    end
  end

  assign cmd_ready_o = state_q == Idle;
  assign done_valid_o = state_q == Done;
  always_comb begin
    done_o = '0;
    done_o.error = ErrNone;
    done_o.saturations = saturations;
    done_o.result[0] = result_q;
  end

  // Operands and sums.
  logic row_valid, row_ready;
  logic [Lanes-1:0][AccW-1:0] row_data;

  lathe_gemm_feed #(
    .Lanes(Lanes)
  ) u_feed (
    .clk_i,
    .rst_ni,
    .shape_i    (shape_q),
    .cmd_i      (cmd_q),
    .start_i    (start),
    .a_rd_valid_o,
    .a_rd_ready_i,
    .a_rd_addr_o,
    .a_rd_rvalid_i,
    .a_rd_rdata_i,
    .b_rd_valid_o,
    .b_rd_ready_i,
    .b_rd_addr_o,
    .b_rd_rvalid_i,
    .b_rd_rdata_i,
    .row_valid_o(row_valid),
    .row_ready_i(row_ready),
    .row_data_o (row_data),
    .stall_operand_o,
    .stall_result_o,
    .mac_step_o
  );

  // Results.
  logic aux_valid, aux_ready;
  logic [Lanes*16-1:0] aux_data;

  lathe_gemm_aux #(
    .Lanes(Lanes)
  ) u_aux (
    .clk_i,
    .rst_ni,
    .shape_i     (shape_q),
    .bias_i      (cfg_q.bias),
    .y_i         (cfg_q.dact_relu || cfg_q.dact_tanh),
    .bias_base_i (cmd_q.t[3].addr),
    .y_base_i    (cmd_q.t[4].addr),
    .y_stride_i  (cmd_q.t[4].stride),
    .start_i     (start),
    .rd_valid_o  (x_rd_valid_o),
    .rd_ready_i  (x_rd_ready_i),
    .rd_addr_o   (x_rd_addr_o),
    .rd_rvalid_i (x_rd_rvalid_i),
    .rd_rdata_i  (x_rd_rdata_i),
    .word_valid_o(aux_valid),
    .word_ready_i(aux_ready),
    .word_data_o (aux_data)
  );

  lathe_gemm_drain #(
    .Lanes(Lanes)
  ) u_drain (
    .clk_i,
    .rst_ni,
    .shape_i      (shape_q),
    .cfg_i        (cfg_q),
    .tanh_i       (tanh_q),
    .key_i        (cmd_q.key),
    .base_i       (cmd_q.t[2].addr),
    .stride_i     (cmd_q.t[2].stride),
    .start_i      (start),
    .idle_o       (drain_idle),
    .row_valid_i  (row_valid),
    .row_ready_o  (row_ready),
    .row_data_i   (row_data),
    .aux_valid_i  (aux_valid),
    .aux_ready_o  (aux_ready),
    .aux_data_i   (aux_data),
    .wr_valid_o,
    .wr_ready_i,
    .wr_addr_o,
    .wr_data_o,
    .saturations_o(saturations),
    .magnitude_o  (value_or)
  );
endmodule
