// SPDX-License-Identifier: Apache-2.0
// Which words of the scratchpad the weight group takes, all slots together; none before it is initialized. It is known four cycles
// after that. Knows nothing of versions. Only por_ni resets it.
module lathe_group_extent
  import lathe_ctrl_pkg::*;
#(
  parameter int unsigned Slots = 4  // most of them, 2 to 4
) (
  input  logic        clk_i,
  input  logic        por_ni,
  input  logic        init_i,        // pulse
  // verilator lint_off UNUSEDSIGNAL
  input  group_t      init_group_i,  // with init_i; not its version
  // verilator lint_on UNUSEDSIGNAL
  output logic [15:0] first_o,
  output logic [16:0] end_o          // one behind the last word
);
  logic [15:0] size_q;
  logic [1:0]  left_q;  // slots still to be added, less one: there are 2 to 4
  logic        adding_q;
  always_ff @(posedge clk_i) begin
    if (!por_ni) {first_o, end_o, adding_q} <= '0;
    else if (init_i) begin
      first_o <= init_group_i.base;
      end_o <= (init_group_i.size == '0) ? '0 : {1'b0, init_group_i.base};
      size_q <= init_group_i.size;
      left_q <= (init_group_i.slots <= 3'd2) ? 2'd1 : (init_group_i.slots >= 3'(Slots)) ? 2'(Slots - 1) : 2'd2;
      adding_q <= 1'b1;
    end else if (adding_q) begin
      end_o <= end_o + {1'b0, size_q};
      left_q <= left_q - 2'd1;
      adding_q <= left_q != '0;
    end
  end
endmodule
