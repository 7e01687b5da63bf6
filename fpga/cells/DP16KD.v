// SPDX-License-Identifier: Apache-2.0
// Simulation model of the ECP5's block RAM, written from Lattice's description of it (FPGA-TN-02204): two ports of 1 to 18 bits,
// or one of 36 bits to write and one to read. What the device leaves open, a word that one port reads while the other writes it, is
// read inverted, so that a netlist that uses it differs. Without output registers, chip selects and asynchronous reset.
module DP16KD (
  input DIA17, DIA16, DIA15, DIA14, DIA13, DIA12, DIA11, DIA10, DIA9, DIA8, DIA7, DIA6, DIA5, DIA4, DIA3, DIA2, DIA1, DIA0,
  input ADA13, ADA12, ADA11, ADA10, ADA9, ADA8, ADA7, ADA6, ADA5, ADA4, ADA3, ADA2, ADA1, ADA0,
  input CEA, OCEA, CLKA, WEA, RSTA, CSA2, CSA1, CSA0,
  output DOA17, DOA16, DOA15, DOA14, DOA13, DOA12, DOA11, DOA10, DOA9, DOA8, DOA7, DOA6, DOA5, DOA4, DOA3, DOA2, DOA1, DOA0,
  input DIB17, DIB16, DIB15, DIB14, DIB13, DIB12, DIB11, DIB10, DIB9, DIB8, DIB7, DIB6, DIB5, DIB4, DIB3, DIB2, DIB1, DIB0,
  input ADB13, ADB12, ADB11, ADB10, ADB9, ADB8, ADB7, ADB6, ADB5, ADB4, ADB3, ADB2, ADB1, ADB0,
  input CEB, OCEB, CLKB, WEB, RSTB, CSB2, CSB1, CSB0,
  output DOB17, DOB16, DOB15, DOB14, DOB13, DOB12, DOB11, DOB10, DOB9, DOB8, DOB7, DOB6, DOB5, DOB4, DOB3, DOB2, DOB1, DOB0
);
  parameter DATA_WIDTH_A = 18;
  parameter DATA_WIDTH_B = 18;
  parameter REGMODE_A = "NOREG";
  parameter [127:0] WRITEMODE_A = "NORMAL";
  parameter CSDECODE_A = "0b000";
  parameter CLKAMUX = "CLKA";
  parameter REGMODE_B = "NOREG";
  parameter [127:0] WRITEMODE_B = "NORMAL";
  parameter CSDECODE_B = "0b000";
  parameter CLKBMUX = "CLKB";
  parameter RESETMODE = "SYNC";
  parameter ASYNC_RESET_RELEASE = "SYNC";
  parameter GSR = "ENABLED";
  parameter [319:0] INITVAL_00 = 320'h0;
  parameter [319:0] INITVAL_01 = 320'h0;
  parameter [319:0] INITVAL_02 = 320'h0;
  parameter [319:0] INITVAL_03 = 320'h0;
  parameter [319:0] INITVAL_04 = 320'h0;
  parameter [319:0] INITVAL_05 = 320'h0;
  parameter [319:0] INITVAL_06 = 320'h0;
  parameter [319:0] INITVAL_07 = 320'h0;
  parameter [319:0] INITVAL_08 = 320'h0;
  parameter [319:0] INITVAL_09 = 320'h0;
  parameter [319:0] INITVAL_0A = 320'h0;
  parameter [319:0] INITVAL_0B = 320'h0;
  parameter [319:0] INITVAL_0C = 320'h0;
  parameter [319:0] INITVAL_0D = 320'h0;
  parameter [319:0] INITVAL_0E = 320'h0;
  parameter [319:0] INITVAL_0F = 320'h0;
  parameter [319:0] INITVAL_10 = 320'h0;
  parameter [319:0] INITVAL_11 = 320'h0;
  parameter [319:0] INITVAL_12 = 320'h0;
  parameter [319:0] INITVAL_13 = 320'h0;
  parameter [319:0] INITVAL_14 = 320'h0;
  parameter [319:0] INITVAL_15 = 320'h0;
  parameter [319:0] INITVAL_16 = 320'h0;
  parameter [319:0] INITVAL_17 = 320'h0;
  parameter [319:0] INITVAL_18 = 320'h0;
  parameter [319:0] INITVAL_19 = 320'h0;
  parameter [319:0] INITVAL_1A = 320'h0;
  parameter [319:0] INITVAL_1B = 320'h0;
  parameter [319:0] INITVAL_1C = 320'h0;
  parameter [319:0] INITVAL_1D = 320'h0;
  parameter [319:0] INITVAL_1E = 320'h0;
  parameter [319:0] INITVAL_1F = 320'h0;
  parameter [319:0] INITVAL_20 = 320'h0;
  parameter [319:0] INITVAL_21 = 320'h0;
  parameter [319:0] INITVAL_22 = 320'h0;
  parameter [319:0] INITVAL_23 = 320'h0;
  parameter [319:0] INITVAL_24 = 320'h0;
  parameter [319:0] INITVAL_25 = 320'h0;
  parameter [319:0] INITVAL_26 = 320'h0;
  parameter [319:0] INITVAL_27 = 320'h0;
  parameter [319:0] INITVAL_28 = 320'h0;
  parameter [319:0] INITVAL_29 = 320'h0;
  parameter [319:0] INITVAL_2A = 320'h0;
  parameter [319:0] INITVAL_2B = 320'h0;
  parameter [319:0] INITVAL_2C = 320'h0;
  parameter [319:0] INITVAL_2D = 320'h0;
  parameter [319:0] INITVAL_2E = 320'h0;
  parameter [319:0] INITVAL_2F = 320'h0;
  parameter [319:0] INITVAL_30 = 320'h0;
  parameter [319:0] INITVAL_31 = 320'h0;
  parameter [319:0] INITVAL_32 = 320'h0;
  parameter [319:0] INITVAL_33 = 320'h0;
  parameter [319:0] INITVAL_34 = 320'h0;
  parameter [319:0] INITVAL_35 = 320'h0;
  parameter [319:0] INITVAL_36 = 320'h0;
  parameter [319:0] INITVAL_37 = 320'h0;
  parameter [319:0] INITVAL_38 = 320'h0;
  parameter [319:0] INITVAL_39 = 320'h0;
  parameter [319:0] INITVAL_3A = 320'h0;
  parameter [319:0] INITVAL_3B = 320'h0;
  parameter [319:0] INITVAL_3C = 320'h0;
  parameter [319:0] INITVAL_3D = 320'h0;
  parameter [319:0] INITVAL_3E = 320'h0;
  parameter [319:0] INITVAL_3F = 320'h0;

  always @(posedge RSTA, posedge RSTB) if (RESETMODE != "SYNC") $fatal(1, "DP16KD: the model has no asynchronous reset");

  // Bytes of nine bits; narrower words are parts of their first eight.
  reg [8:0] mem[0:2047];
  wire [64*320-1:0] initial_words = {
    INITVAL_3F, INITVAL_3E, INITVAL_3D, INITVAL_3C, INITVAL_3B, INITVAL_3A, INITVAL_39, INITVAL_38,
    INITVAL_37, INITVAL_36, INITVAL_35, INITVAL_34, INITVAL_33, INITVAL_32, INITVAL_31, INITVAL_30,
    INITVAL_2F, INITVAL_2E, INITVAL_2D, INITVAL_2C, INITVAL_2B, INITVAL_2A, INITVAL_29, INITVAL_28,
    INITVAL_27, INITVAL_26, INITVAL_25, INITVAL_24, INITVAL_23, INITVAL_22, INITVAL_21, INITVAL_20,
    INITVAL_1F, INITVAL_1E, INITVAL_1D, INITVAL_1C, INITVAL_1B, INITVAL_1A, INITVAL_19, INITVAL_18,
    INITVAL_17, INITVAL_16, INITVAL_15, INITVAL_14, INITVAL_13, INITVAL_12, INITVAL_11, INITVAL_10,
    INITVAL_0F, INITVAL_0E, INITVAL_0D, INITVAL_0C, INITVAL_0B, INITVAL_0A, INITVAL_09, INITVAL_08,
    INITVAL_07, INITVAL_06, INITVAL_05, INITVAL_04, INITVAL_03, INITVAL_02, INITVAL_01, INITVAL_00};
  integer i;
  initial begin
    if (REGMODE_A != "NOREG" || REGMODE_B != "NOREG" || CLKAMUX != "CLKA" || CLKBMUX != "CLKB" ||
        CSDECODE_A != "0b000" || CSDECODE_B != "0b000") $fatal(1, "DP16KD: the model has no such mode");
    for (i = 0; i < 2048; i = i + 1) mem[i] = initial_words[20 * (i / 2) + 9 * (i % 2) +: 9];
  end

  wire [13:0] address_a = {ADA13, ADA12, ADA11, ADA10, ADA9, ADA8, ADA7, ADA6, ADA5, ADA4, ADA3, ADA2, ADA1, ADA0};
  wire [13:0] address_b = {ADB13, ADB12, ADB11, ADB10, ADB9, ADB8, ADB7, ADB6, ADB5, ADB4, ADB3, ADB2, ADB1, ADB0};
  wire [17:0] in_a = {DIA17, DIA16, DIA15, DIA14, DIA13, DIA12, DIA11, DIA10, DIA9, DIA8, DIA7, DIA6, DIA5, DIA4, DIA3, DIA2,
  DIA1, DIA0};
  wire [17:0] in_b = {DIB17, DIB16, DIB15, DIB14, DIB13, DIB12, DIB11, DIB10, DIB9, DIB8, DIB7, DIB6, DIB5, DIB4, DIB3, DIB2,
  DIB1, DIB0};
  wire enable_a = CEA && ~|{CSA2, CSA1, CSA0};
  wire enable_b = CEB && ~|{CSB2, CSB1, CSB0};
  wire write_a = enable_a && WEA;
  wire write_b = enable_b && WEB;

  // Which bytes of a 36-bit word a port touches at all, and which it writes: words of 18 and 36 bits have a write enable for each byte,
  // in the lowest bits of the address.
  function [3:0] touched(input integer width, input [1:0] low);
    touched = width == 36 ? 4'b1111 : width == 18 ? 4'b0011 << {low[1], 1'b0} : 4'b0001 << low;
  endfunction
  function [3:0] enables(input integer width, input [3:0] low, input [1:0] place);
    enables = width == 36 ? low : width == 18 ? {2'b00, low[1:0]} << {place[1], 1'b0} : 4'b0001 << place;
  endfunction
  wire [3:0] touched_a = touched(DATA_WIDTH_A, address_a[4:3]);
  wire [3:0] touched_b = touched(DATA_WIDTH_B, address_b[4:3]);
  wire [3:0] written_a = write_a ? enables(DATA_WIDTH_A, address_a[3:0], address_a[4:3]) : 4'b0000;
  wire [3:0] written_b = write_b ? enables(DATA_WIDTH_B, address_b[3:0], address_b[4:3]) : 4'b0000;

  // The 36-bit words around the two addresses, and what a port's data look like in all their places.
  wire [35:0] old_a = {mem[{address_a[13:5], 2'd3}], mem[{address_a[13:5], 2'd2}], mem[{address_a[13:5], 2'd1}], mem[{address_a[13:5], 2'd0}]};
  wire [35:0] old_b = {mem[{address_b[13:5], 2'd3}], mem[{address_b[13:5], 2'd2}], mem[{address_b[13:5], 2'd1}], mem[{address_b[13:5], 2'd0}]};
  function [35:0] merge(input integer width, input [35:0] old, input [35:0] data, input [4:0] address, input [3:0] written);
    integer k;
    begin
      merge = old;
      for (k = 0; k < 4; k = k + 1) begin
        if (written[k]) begin
          if (width == 36) merge[9*k +: 9] = data[9*k +: 9];
          else if (width == 18) merge[9*k +: 9] = data[9*(k%2) +: 9];
          else if (width == 9) merge[9*k +: 9] = data[8:0];
          else if (width == 4) merge[9*k + {28'd0, address[2], 2'd0} +: 4] = data[3:0];
          else if (width == 2) merge[9*k + {29'd0, address[2:1], 1'd0} +: 2] = data[1:0];
          else merge[9*k + {29'd0, address[2:0]} +: 1] = data[0];
        end
      end
    end
  endfunction
  wire [35:0] new_a = merge(DATA_WIDTH_A, old_a, {in_b, in_a}, address_a[4:0], written_a);
  wire [35:0] new_b = merge(DATA_WIDTH_B, old_b, {18'd0, in_b}, address_b[4:0], written_b);
  wire same = address_a[13:5] == address_b[13:5];
  wire clash_a = same && |(touched_a & written_b);
  wire clash_b = same && |(touched_b & written_a);

  function [35:0] word(input integer width, input [35:0] around, input [4:0] address);
    word = width == 36 ? around :
           width == 18 ? {18'd0, address[4] ? around[35:18] : around[17:0]} :
           width == 9 ? {27'd0, around[9*address[4:3] +: 9]} :
           width == 4 ? {32'd0, around[9*address[4:3] + {3'd0, address[2], 2'd0} +: 4]} :
           width == 2 ? {34'd0, around[9*address[4:3] + {3'd0, address[2:1], 1'd0} +: 2]} :
           {35'd0, around[9*address[4:3] + {3'd0, address[2:0]} +: 1]};
  endfunction

  reg [17:0] out_a;
  reg [35:0] out_b;
  initial out_a = 0;
  initial out_b = 0;
  wire [35:0] read_a = word(DATA_WIDTH_A, (write_a && WRITEMODE_A == "WRITETHROUGH" ? new_a : old_a), address_a[4:0]);
  wire [35:0] read_b = word(DATA_WIDTH_B, (write_b && WRITEMODE_B == "WRITETHROUGH" ? new_b : old_b), address_b[4:0]);
  always @(posedge CLKA) begin
    if (RSTA) out_a <= 0;
    else if (enable_a && !(write_a && WRITEMODE_A == "NORMAL")) out_a <= read_a[17:0] ^ {18{clash_a}};
    for (i = 0; i < 4; i = i + 1) if (written_a[i]) mem[{address_a[13:5], i[1:0]}] <= new_a[9*i +: 9];
  end
  integer j;
  always @(posedge CLKB) begin
    if (RSTB) out_b <= 0;
    else if (enable_b && !(write_b && WRITEMODE_B == "NORMAL")) out_b <= read_b ^ {36{clash_b}};
    for (j = 0; j < 4; j = j + 1) if (written_b[j]) mem[{address_b[13:5], j[1:0]}] <= new_b[9*j +: 9];
  end
  assign {DOA17, DOA16, DOA15, DOA14, DOA13, DOA12, DOA11, DOA10, DOA9, DOA8, DOA7, DOA6, DOA5, DOA4, DOA3, DOA2, DOA1, DOA0} =
  DATA_WIDTH_B == 36 ? out_b[17:0] : out_a;
  assign {DOB17, DOB16, DOB15, DOB14, DOB13, DOB12, DOB11, DOB10, DOB9, DOB8, DOB7, DOB6, DOB5, DOB4, DOB3, DOB2, DOB1, DOB0} =
  DATA_WIDTH_B == 36 ? out_b[35:18] : out_b[17:0];
endmodule
