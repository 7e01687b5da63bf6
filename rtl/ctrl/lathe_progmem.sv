// SPDX-License-Identifier: Apache-2.0
// Program memory: 256 descriptors of 16 words of 32 bits. The host's port takes a word, the sequencer's reads four, aligned.
// Data one cycle after the enable, the host's two. Never reset; a word that is written while it is read reads as either.
module lathe_progmem #(
  localparam int unsigned Words = 4096,
  localparam int unsigned Columns = 4,  // words a row
  localparam int unsigned IndexW = $clog2(Words),
  localparam int unsigned RowW = $clog2(Words / Columns)
) (
  input  logic              clk_i,

  input  logic              host_en_i,
  input  logic              host_write_i,
  input  logic [IndexW-1:0] host_index_i,
  input  logic [31:0]       host_wdata_i,
  output logic [31:0]       host_rdata_o,

  input  logic              seq_en_i,
  input  logic [RowW-1:0]   seq_row_i,
  output logic [Columns-1:0][31:0] seq_rdata_o
);
  localparam int unsigned ColumnW = $clog2(Columns);

  logic                     host_read_q;
  logic [ColumnW-1:0]       host_column, host_column_q;
  logic [RowW-1:0]          host_row;
  logic [Columns-1:0][31:0] host_rdata;
  assign {host_row, host_column} = host_index_i;
  always_ff @(posedge clk_i) begin
    host_read_q <= host_en_i && !host_write_i;
    if (host_en_i) host_column_q <= host_column;
    if (host_read_q) host_rdata_o <= host_rdata[host_column_q];
  end

  for (genvar c = 0; c < Columns; c++) begin : gen_column
    (* no_rw_check *)  // a race may read either word, so block RAM needs no bypass
    logic [31:0] mem [Words/Columns];

    always_ff @(posedge clk_i) begin
      if (host_en_i) begin
        if (!host_write_i) host_rdata[c] <= mem[host_row];
        else if (host_column == ColumnW'(c)) mem[host_row] <= host_wdata_i;
      end
    end

    always_ff @(posedge clk_i) begin
      if (seq_en_i) seq_rdata_o[c] <= mem[seq_row_i];
    end
  end
endmodule
