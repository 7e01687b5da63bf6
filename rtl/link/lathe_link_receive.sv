// SPDX-License-Identifier: Apache-2.0
// Finds frames in what the line brings, checks them and buffers whole right ones: the buffer gives their length, then their bytes
// without the FCS. Drops all others; knows nothing of what is in them.
module lathe_link_receive
  import lathe_link_pkg::*;
#(
  parameter int unsigned BufferBytes = 2048  // a power of two; a frame takes its bytes and one
) (
  input  logic       clk_i,
  input  logic       rst_ni,
  input  logic       byte_valid_i,  // pulse, at most every fourth cycle
  input  logic [7:0] byte_i,
  output logic       dropped_o,     // pulse: a frame was not right or did not fit
  output logic       out_valid_o,
  input  logic       out_ready_i,
  output logic [8:0] out_data_o
);
  localparam int unsigned AddrW = $clog2(BufferBytes);

  if (BufferBytes < 512 || (1 << AddrW) != BufferBytes) begin : g_check
    $fatal(1, "lathe_link_receive: BufferBytes must be a power of two, at least 512");
  end

  // ---- From the line: a byte is looked at, then entered ----
  logic        flag_q, enter_q, escaped_q;
  logic [7:0]  data_q;
  logic [31:0] fcs_q;
  logic [8:0]  count_q;          // bytes of the frame, up to one more than it may have
  logic        full_q, lost_q;   // no room for the next byte; a byte was lost
  logic        right, ends;
  logic [AddrW:0] start_q, write_q, write_next, read_q;  // of the frame (its length comes there), of the byte entered last, of the reader

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      flag_q <= 1'b0;
      enter_q <= 1'b0;
    end else begin
      flag_q <= byte_valid_i && byte_i == Flag;
      enter_q <= byte_valid_i && byte_i != Flag && (byte_i != Escape || escaped_q);
    end
  end

  always_ff @(posedge clk_i) begin
    if (byte_valid_i) data_q <= escaped_q ? byte_i ^ Flip : byte_i;
    full_q <= write_q - read_q >= (AddrW + 1)'(BufferBytes - 1);
  end

  // An escape before a flag stays until the flag has been looked at.
  always_ff @(posedge clk_i) begin
    if (!rst_ni || flag_q || enter_q) escaped_q <= 1'b0;
    else if (byte_valid_i && byte_i == Escape) escaped_q <= 1'b1;
  end

  assign write_next = write_q + (AddrW + 1)'(1);
  assign ends = flag_q && count_q >= 9'(MinFrame);
  assign right = !escaped_q && !lost_q && count_q <= 9'(MaxFrame) && fcs_q == FcsGood;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      dropped_o <= 1'b0;
      start_q <= '0;
    end else begin
      dropped_o <= ends && !right;
      if (ends && right) start_q <= write_q - (AddrW + 1)'(FcsBytes - 1);  // the next one takes the place of the FCS
    end
  end

  logic fresh_q;  // the next byte is the first one of a frame
  always_ff @(posedge clk_i) begin
    fresh_q <= !rst_ni || flag_q;
    if (fresh_q) begin
      fcs_q <= FcsFirst;
      count_q <= '0;
      lost_q <= 1'b0;
      write_q <= start_q;
    end else if (enter_q) begin
      fcs_q <= fcs_step(fcs_q, data_q);
      if (count_q <= 9'(MaxFrame)) count_q <= count_q + 9'd1;
      if (full_q || count_q > 9'(MaxFrame)) lost_q <= 1'b1;
      else write_q <= write_next;
    end
  end

  // ---- Buffer: the length is entered last, where the frame begins ----
  logic read, out_valid_q;
  assign read = read_q != start_q && (!out_valid_q || out_ready_i);
  assign out_valid_o = out_valid_q;

  lathe_ram #(
    .Width(9),
    .Words(BufferBytes),
    .AnyOnCollision(1'b1),
    .Block(1'b1)
  ) u_buffer (
    .clk_i,
    .wr_en_i  (flag_q ? ends && right : enter_q && !full_q),
    .wr_addr_i(flag_q ? start_q[AddrW-1:0] : write_next[AddrW-1:0]),
    .wr_data_i(flag_q ? count_q - 9'(FcsBytes) : {1'b0, data_q}),
    .rd_en_i  (read),
    .rd_addr_i(read_q[AddrW-1:0]),
    .rd_data_o(out_data_o)
  );

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      read_q <= '0;
      out_valid_q <= 1'b0;
    end else begin
      if (read) read_q <= read_q + (AddrW + 1)'(1);
      out_valid_q <= read || (out_valid_q && !out_ready_i);
    end
  end

`ifndef SYNTHESIS
  logic [2:0] recent_q;
  always_ff @(posedge clk_i) begin
    recent_q <= rst_ni ? {recent_q[1:0], byte_valid_i} : '0;
    if (rst_ni && byte_valid_i) assert (recent_q == '0) else $error("bytes too close together");
  end
`endif
endmodule
