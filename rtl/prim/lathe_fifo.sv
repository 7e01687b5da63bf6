// SPDX-License-Identifier: Apache-2.0
// Synchronous first-word-fall-through FIFO of any depth with its fill level. It cuts both handshake paths (in_ready_o
// does not depend on out_ready_i), so a full FIFO does not take a word in the cycle in which it gives one. With NeverFull
// whoever writes keeps count of the room himself, and nothing that a write enables waits for in_ready_o; so with NeverEmpty
// for whoever reads.
module lathe_fifo #(
  parameter int unsigned Width = 32,
  parameter int unsigned Depth = 2,
  parameter bit          NeverFull = 1'b0,
  parameter bit          NeverEmpty = 1'b0,
  localparam int unsigned LevelW = $clog2(Depth + 1)
) (
  input  logic              clk_i,
  input  logic              rst_ni,
  input  logic              in_valid_i,
  output logic              in_ready_o,
  input  logic [Width-1:0]  in_data_i,
  output logic              out_valid_o,
  input  logic              out_ready_i,
  output logic [Width-1:0]  out_data_o,
  output logic [LevelW-1:0] level_o      // words inside, 0..Depth
);
  localparam int unsigned PtrW = Depth > 1 ? $clog2(Depth) : 1;

  if (Width < 1 || Depth < 1) begin : g_check
    $fatal(1, "lathe_fifo: Width and Depth must be at least 1");
  end

  logic [Width-1:0]  mem_q [Depth];
  logic [PtrW-1:0]   wr_ptr_q, rd_ptr_q;
  logic [LevelW-1:0] level_q;
  logic              valid_q;  // level_q != 0
  logic              push, pop;

  assign in_ready_o  = level_q != LevelW'(Depth);
  assign out_valid_o = valid_q;
  assign out_data_o  = mem_q[rd_ptr_q];
  assign level_o     = level_q;
  assign push        = in_valid_i && (NeverFull || in_ready_o);
  assign pop         = out_ready_i && (NeverEmpty || out_valid_o);

  function automatic logic [PtrW-1:0] next(logic [PtrW-1:0] ptr);
    return ptr == PtrW'(Depth - 1) ? '0 : ptr + 1'b1;
  endfunction

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      wr_ptr_q <= '0;
      rd_ptr_q <= '0;
      level_q  <= '0;
      valid_q  <= 1'b0;
    end else begin
      if (push) wr_ptr_q <= next(wr_ptr_q);
      if (pop)  rd_ptr_q <= next(rd_ptr_q);
      if (push != pop) begin
        level_q <= push ? level_q + 1'b1 : level_q - 1'b1;
        valid_q <= push || level_q != LevelW'(1);
      end
    end
  end

  always_ff @(posedge clk_i) begin
    if (push) mem_q[wr_ptr_q] <= in_data_i;
  end

`ifndef SYNTHESIS
  logic             stalled_q;
  logic [Width-1:0] held_q;
  always_ff @(posedge clk_i) begin
    stalled_q <= rst_ni && out_valid_o && !out_ready_i;
    held_q    <= out_data_o;
    if (NeverFull && rst_ni && valid_q && in_valid_i) assert (in_ready_o) else $error("no room for what is written");
    if (NeverEmpty && rst_ni && out_ready_i) assert (valid_q) else $error("nothing to be read");
    if (rst_ni && stalled_q) begin
      assert (out_valid_o && out_data_o == held_q) else $error("output changed while it waited");
    end
  end
`endif
endmodule
