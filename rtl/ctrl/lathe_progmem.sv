// SPDX-License-Identifier: Apache-2.0
// Program memory: 256 descriptors of 16 words of 32 bits, one port for the host and one that the sequencer
// reads. Data one cycle after the enable. Never reset; a word that is written while it is read reads as either.
module lathe_progmem #(
  localparam int unsigned Words = 4096,
  localparam int unsigned IndexW = $clog2(Words)
) (
  input  logic              clk_i,

  input  logic              host_en_i,
  input  logic              host_write_i,
  input  logic [IndexW-1:0] host_index_i,
  input  logic [31:0]       host_wdata_i,
  output logic [31:0]       host_rdata_o,

  input  logic              seq_en_i,
  input  logic [IndexW-1:0] seq_index_i,
  output logic [31:0]       seq_rdata_o
);
  (* no_rw_check *)  // a race may read either word, so block RAM needs no bypass
  logic [31:0] mem [Words];

  always_ff @(posedge clk_i) begin
    if (host_en_i) begin
      if (host_write_i) mem[host_index_i] <= host_wdata_i;
      else host_rdata_o <= mem[host_index_i];
    end
  end

  always_ff @(posedge clk_i) begin
    if (seq_en_i) seq_rdata_o <= mem[seq_index_i];
  end
endmodule
