// SPDX-License-Identifier: Apache-2.0
// Multiplexers of four and eight bits as an ECP5 slice has them: a LUT4 chooses one of two, PFUMX and L6MUX21 between LUT4s
// of one tile. yosys's own mapping makes PFUMX only of two LUT4s with the same inputs.
module \$_MUX4_ (
  input  A, B, C, D, S, T,
  output Y
);
  wire low, high;
  LUT4 #(.INIT(16'hcaca)) low_lut (.A(A), .B(B), .C(S), .D(1'b0), .Z(low));
  LUT4 #(.INIT(16'hcaca)) high_lut (.A(C), .B(D), .C(S), .D(1'b0), .Z(high));
  PFUMX choose (.BLUT(low), .ALUT(high), .C0(T), .Z(Y));
endmodule

module \$_MUX8_ (
  input  A, B, C, D, E, F, G, H, S, T, U,
  output Y
);
  wire low, high;
  \$_MUX4_ low_mux (.A(A), .B(B), .C(C), .D(D), .S(S), .T(T), .Y(low));
  \$_MUX4_ high_mux (.A(E), .B(F), .C(G), .D(H), .S(S), .T(T), .Y(high));
  L6MUX21 choose (.D0(low), .D1(high), .SD(U), .Z(Y));
endmodule
