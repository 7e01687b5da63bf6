// SPDX-License-Identifier: Apache-2.0
// ln(s) at LSB 2**-16 (ln_q of docs/numerics.md) for 65536 <= s < 2**23, one value a cycle, fixed
// latency, no back-pressure; a tag travels along untouched. Arguments outside are not defined.
module lathe_ln_q #(
  parameter int unsigned TagW = 1,
  localparam int unsigned Latency = 7
) (
  input  logic            clk_i,
  input  logic            rst_ni,
  input  logic            valid_i,
  input  logic [22:0]     s_i,
  input  logic [TagW-1:0] tag_i,
  output logic            valid_o,
  output logic [18:0]     y_o,
  output logic [TagW-1:0] tag_o
);
  logic [Latency-1:0] valid_q;
  logic [2:0]         k, k0_q, k1_q, k2_q, k3_q, k4_q;
  logic [22:0]        s_q;
  logic [21:0]        fraction_q;
  logic [16:0]        base2_q, base3_q, base4_q;
  logic [8:0]         slope2_q, slope3_q;
  logic [13:0]        g2_q, g3_q;
  logic [22:0]        rise_q;
  logic [18:0]        octave_q, y_q;
  logic [16:0]        within_q;

  localparam logic [18:0] Ln2 = 19'd45426;

  // k * ln(2) without a multiplier.
  function automatic logic [18:0] octaves(logic [2:0] count);
    return (count[2] ? Ln2 << 2 : '0) + (count[1] ? Ln2 << 1 : '0) + (count[0] ? Ln2 : '0);
  endfunction

  // Per segment: first value and rise to the next.
  logic [25:0] rom [256];
  initial begin
    for (int unsigned i = 0; i < 256; i++) begin
      rom[i] = {lathe_tables_pkg::LnTable[i],
                9'(lathe_tables_pkg::LnTable[i+1] - lathe_tables_pkg::LnTable[i])};
    end
  end

  always_comb begin
    k = '0;
    for (int unsigned i = 1; i < 7; i++) if (s_i[16+i]) k = 3'(i);
  end

  lathe_tag_pipe #(
    .Latency(Latency),
    .TagW   (TagW)
  ) u_tag (
    .clk_i,
    .rst_ni,
    .valid_i,
    .tag_i,
    .valid_o(valid_q),
    .tag_o
  );

  always_ff @(posedge clk_i) begin
    if (valid_i) begin
      k0_q <= k;
      s_q <= s_i;
    end
    if (valid_q[0]) begin
      k1_q <= k0_q;
      fraction_q <= 22'(s_q << (3'd6 - k0_q));  // the leading one drops out
    end
    if (valid_q[1]) begin
      {base2_q, slope2_q} <= rom[fraction_q[21:14]];
      g2_q <= fraction_q[13:0];
      k2_q <= k1_q;
    end
    if (valid_q[2]) begin  // block RAM and multiplier each have a cycle of their own
      base3_q <= base2_q;
      slope3_q <= slope2_q;
      g3_q <= g2_q;
      k3_q <= k2_q;
    end
    if (valid_q[3]) begin
      rise_q <= 23'(slope3_q) * 23'(g3_q);
      base4_q <= base3_q;
      k4_q <= k3_q;
    end
    if (valid_q[4]) begin
      within_q <= base4_q + 17'((24'(rise_q) + 24'd8192) >> 14);
      octave_q <= octaves(k4_q);
    end
    if (valid_q[5]) y_q <= octave_q + 19'(within_q);
  end

  assign valid_o = valid_q[Latency-1];
  assign y_o = y_q;

`ifndef SYNTHESIS  // registers are random at time 0
  always_ff @(posedge clk_i) begin
    if (rst_ni && $time != 0 && valid_i) assert (s_i >= 23'd65536) else $error("ln_q: argument below 1");
  end
`endif
endmodule
