// SPDX-License-Identifier: Apache-2.0
// Makes a frame of each answer: flag, its bytes and their FCS, escaped where they must be, flag.
module lathe_link_send
  import lathe_link_pkg::*;
(
  input  logic       clk_i,
  input  logic       rst_ni,
  input  logic       in_valid_i,
  output logic       in_ready_o,   // out of registers
  input  logic [7:0] in_data_i,
  input  logic       in_last_i,
  output logic       out_valid_o,  // out of registers
  input  logic       out_ready_i,
  output logic [7:0] out_data_o
);
  typedef enum logic [2:0] {Begin, Take, Give, Fcs, End} state_e;
  state_e      state_q, after_q;  // after: the state after the byte that Give gives
  logic [31:0] fcs_q;
  logic [1:0]  left_q;            // bytes of the FCS behind the next one
  logic [7:0]  data_q;
  logic        valid_q, flip_q;   // flip: the escape is out, the byte follows
  logic        free;              // the byte that is out is taken

  assign in_ready_o = state_q == Take;
  assign out_valid_o = valid_q;
  assign free = !valid_q || out_ready_i;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      state_q <= Begin;
      valid_q <= 1'b0;
      flip_q <= 1'b0;
    end else begin
      if (out_ready_i) valid_q <= 1'b0;
      unique case (state_q)
        Begin: begin
          if (in_valid_i && free) begin
            state_q <= Take;
            valid_q <= 1'b1;
          end
        end
        Take: if (in_valid_i) state_q <= Give;
        Give: begin
          if (free) begin
            valid_q <= 1'b1;
            flip_q <= !flip_q && (data_q == Flag || data_q == Escape);
            if (flip_q || (data_q != Flag && data_q != Escape)) state_q <= after_q;
          end
        end
        Fcs: state_q <= Give;
        default: begin
          if (free) begin
            state_q <= Begin;
            valid_q <= 1'b1;
          end
        end
      endcase
    end
  end

  always_ff @(posedge clk_i) begin
    unique case (state_q)
      Begin: fcs_q <= FcsFirst;
      Take: begin
        data_q <= in_data_i;
        after_q <= in_last_i ? Fcs : Take;
        left_q <= 2'(FcsBytes - 1);
        if (in_valid_i) fcs_q <= fcs_step(fcs_q, in_data_i);
      end
      Fcs: begin
        data_q <= ~fcs_q[7:0];
        fcs_q <= {8'd0, fcs_q[31:8]};
        left_q <= left_q - 2'd1;
        after_q <= left_q == '0 ? End : Fcs;
      end
      default: ;
    endcase
    if (free) begin
      unique case (state_q)
        Begin, End: out_data_o <= Flag;
        default: begin
          if (flip_q) out_data_o <= data_q ^ Flip;
          else out_data_o <= data_q == Flag || data_q == Escape ? Escape : data_q;
        end
      endcase
    end
  end
endmodule
