// SPDX-License-Identifier: Apache-2.0
// One of the tables of adam (numerics.md, section 9) in a block RAM, for two readers. The entry appears one cycle after its
// index, or 0.
module lathe_update_rom #(
  parameter int unsigned Table = 0  // 0: LOG, 1: HALF, 2: SUM, 3: POW
) (
  input  logic        clk_i,
  input  logic [9:0]  index_i [2],
  input  logic        zero_i  [2],
  output logic [17:0] entry_o [2]
);
  import lathe_tables_pkg::*;

  (* rom_style = "block" *) logic [17:0] rom [1024];
  initial begin  // not a case: yosys-slang takes its default whatever Table is
    for (int unsigned i = 0; i < 1024; i++) begin
      rom[i] = Table == 0 ? LogTable[i] : Table == 1 ? HalfTable[i] : Table == 2 ? SumTable[i] : PowTable[i];
    end
  end

  for (genvar i = 0; i < 2; i++) begin : g_port
    always_ff @(posedge clk_i) entry_o[i] <= zero_i[i] ? '0 : rom[index_i[i]];
  end
endmodule
