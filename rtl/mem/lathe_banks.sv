// SPDX-License-Identifier: Apache-2.0
// The scratchpad's memory: banks of 1,024 words in true dual-port RAM with two accesses a cycle, on side A reads of ports 0
// and 2, on side B those of 1 and 3, and on either of them one write. Each port chooses the word of the bank it read. Takes
// what was granted, out of registers; does not check that it fits (lathe_bank_arb).
module lathe_banks #(
  parameter int unsigned Banks = 8,
  parameter int unsigned Bits = 137,
  parameter int unsigned WrPorts = 3,
  parameter bit          Late = 1'b0,  // a bank's word has a cycle of its own before a port chooses it
  localparam int unsigned RdPorts = 4,
  localparam int unsigned RowW = 10,
  localparam int unsigned BankW = $clog2(Banks)
) (
  input  logic             clk_i,
  input  logic [Banks-1:0] rd_hit_i [RdPorts],        // one-hot: the bank that is read
  input  logic [RowW-1:0]  rd_row_i [RdPorts],
  input  logic [BankW-1:0] rd_bank_i [RdPorts],       // the same as rd_hit_i
  input  logic [Banks-1:0] wr_hit_i [WrPorts],
  input  logic [Banks-1:0] wr_side_hit_i [2][WrPorts],  // and the side on which it is written
  input  logic [RowW-1:0]  wr_row_i [WrPorts],
  input  logic [Bits-1:0]  wr_word_i [WrPorts],
  output logic             came_o [RdPorts],          // two cycles later, Late: three
  output logic [Bits-1:0]  word_o [RdPorts]
);
  localparam int unsigned Rows = 1 << RowW;

  logic [Bits-1:0]  read_word [2][Banks];  // of each side
  logic [Banks-1:0] reads [2], writes [2];

  always_comb begin
    for (int unsigned s = 0; s < 2; s++) begin
      reads[s] = rd_hit_i[s] | rd_hit_i[s+2];
      writes[s] = '0;
      for (int unsigned p = 0; p < WrPorts; p++) writes[s] |= wr_side_hit_i[s][p];
    end
  end

  for (genvar b = 0; b < Banks; b++) begin : g_bank
    (* no_rw_check, ram_style = "block" *) logic [Bits-1:0] mem_q [Rows];
    logic [Bits-1:0] write_word;

    always_comb begin
      write_word = 'x;
      if (writes[0][b] || writes[1][b]) begin
        write_word = wr_word_i[0];
        for (int unsigned p = 1; p < WrPorts; p++) if (wr_hit_i[p][b]) write_word = wr_word_i[p];
      end
    end

    for (genvar s = 0; s < 2; s++) begin : g_side
      logic [RowW-1:0] row;
      logic [Bits-1:0] word_q;

      // One at most of these.
      always_comb begin
        row = 'x;
        if (reads[s][b] || writes[s][b]) begin
          row = '0;
          for (int unsigned p = s; p < RdPorts; p += 2) if (rd_hit_i[p][b]) row |= rd_row_i[p];
          for (int unsigned p = 0; p < WrPorts; p++) if (wr_side_hit_i[s][p][b]) row |= wr_row_i[p];
        end
      end

      // Not always_ff, since both sides write one memory; never in the same cycle.
      always @(posedge clk_i) begin
        if (writes[s][b]) mem_q[row] <= write_word;
        else if (reads[s][b]) word_q <= mem_q[row];
      end

      if (Late) begin : g_late
        logic reads_q;
        always_ff @(posedge clk_i) begin
          reads_q <= reads[s][b];
          if (reads_q) read_word[s][b] <= word_q;
        end
      end else begin : g_early
        assign read_word[s][b] = word_q;
      end
    end
  end

  for (genvar p = 0; p < RdPorts; p++) begin : g_word
    logic             hit, coming_q;
    logic [BankW-1:0] bank, from_q;  // the bank that holds the answer
    if (Late) begin : g_late
      always_ff @(posedge clk_i) begin
        hit <= rd_hit_i[p] != '0;
        bank <= rd_bank_i[p];
      end
    end else begin : g_early
      assign hit = rd_hit_i[p] != '0;
      assign bank = rd_bank_i[p];
    end
    always_ff @(posedge clk_i) begin
      from_q    <= bank;
      coming_q  <= hit;
      came_o[p] <= coming_q;
      if (coming_q) word_o[p] <= read_word[p%2][from_q];
    end
  end
endmodule
