// SPDX-License-Identifier: Apache-2.0
// What lies at the addresses of the host link's word bus (docs/link.md): the chip's AXI4-Lite space, the board's registers and
// outside memory. One access at a time; no time limit, since all three always answer. Makes the chip's resets.
module lathe_board_bus
  import lathe_link_pkg::*;
#(
  parameter int unsigned ClockHz = 25_000_000,
  parameter int unsigned MemoryBytes = 65536
) (
  input  logic        clk_i,
  input  logic        rst_ni,
  input  logic        bus_req_i,       // pulse; what follows is steady until the acknowledge
  input  logic        bus_write_i,
  input  logic [31:0] bus_addr_i,
  input  logic [31:0] bus_wdata_i,
  output logic        bus_ack_o,       // pulse; out of registers, like what follows
  output status_e     bus_status_o,
  output logic [31:0] bus_rdata_o,
  input  logic [15:0] errors_i,        // of the link
  input  logic [16:0] last_failure_i,
  input  logic        irq_i,
  output logic        chip_por_no,
  output logic        chip_rst_no,
  output logic [63:0] cycles_o,        // since power-on

  output logic        mem_req_o,       // pulses; address, write and wdata as on the bus
  output logic        dirty_req_o,
  input  logic        mem_ack_i,       // pulses
  input  logic [31:0] mem_rdata_i,
  input  logic        dirty_ack_i,
  input  logic [31:0] dirty_rdata_i,

  output logic        m_axil_awvalid,
  input  logic        m_axil_awready,
  output logic [14:0] m_axil_awaddr,
  output logic [2:0]  m_axil_awprot,
  output logic        m_axil_wvalid,
  input  logic        m_axil_wready,
  output logic [31:0] m_axil_wdata,
  output logic [3:0]  m_axil_wstrb,
  input  logic        m_axil_bvalid,
  output logic        m_axil_bready,
  input  logic [1:0]  m_axil_bresp,
  output logic        m_axil_arvalid,
  input  logic        m_axil_arready,
  output logic [14:0] m_axil_araddr,
  output logic [2:0]  m_axil_arprot,
  input  logic        m_axil_rvalid,
  output logic        m_axil_rready,
  input  logic [31:0] m_axil_rdata,
  input  logic [1:0]  m_axil_rresp
);
  localparam logic [31:0] Id = 32'h4548_544C;  // "LTHE"
  localparam logic [3:0]  RegReset = 4'h4;     // word numbers
  localparam logic [3:0]  RegCyclesLo = 4'h5;
  localparam logic [3:0]  RegOwner = 4'hA;
  localparam logic [3:0]  RegLast = RegOwner;
  localparam int unsigned ResetCycles = 16;

  typedef enum logic [2:0] {Idle, Route, Register, Chip, Memory, Dirty, Reset} state_e;
  state_e state_q;

  // ---- Where an access goes ----
  logic       chip_q, board_q, memory_q, inside_q, aligned_q;
  logic       register, dirty, resets;
  logic [3:0] number;

  always_ff @(posedge clk_i) begin
    aligned_q <= bus_addr_i[1:0] == '0;
    chip_q <= bus_addr_i[31:15] == '0;
    board_q <= bus_addr_i[31:9] == {8'h40, 15'd0};
    memory_q <= bus_addr_i[31:19] == {8'h80, 5'd0};
    inside_q <= {13'd0, bus_addr_i[18:0]} < 32'(MemoryBytes);
  end

  assign number = bus_addr_i[5:2];
  assign register = board_q && !bus_addr_i[8] && bus_addr_i[7:6] == '0 && number <= RegLast;
  assign dirty = board_q && bus_addr_i[8];
  assign resets = bus_write_i && number == RegReset && bus_wdata_i[1:0] != '0;

  logic chip_done;
  logic [1:0] response;
  assign chip_done = (m_axil_bvalid && m_axil_bready) || (m_axil_rvalid && m_axil_rready);
  assign response = bus_write_i ? m_axil_bresp : m_axil_rresp;

  logic [$clog2(ResetCycles):0] reset_q;  // cycles that the reset still lasts

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      state_q <= Idle;
      bus_ack_o <= 1'b0;
    end else begin
      bus_ack_o <= 1'b0;
      unique case (state_q)
        Idle:  if (bus_req_i) state_q <= Route;
        Route: begin
          if (!aligned_q) state_q <= Idle;
          else if (chip_q) state_q <= Chip;
          else if (memory_q && inside_q) state_q <= Memory;
          else if (dirty) state_q <= Dirty;
          else state_q <= register ? Register : Idle;
          bus_ack_o <= !aligned_q || !(chip_q || (memory_q && inside_q) || dirty || register);
        end
        Register: begin
          state_q <= resets ? Reset : Idle;
          bus_ack_o <= !resets;
        end
        Chip: begin
          if (chip_done) state_q <= Idle;
          bus_ack_o <= chip_done;
        end
        Memory: begin
          if (mem_ack_i) state_q <= Idle;
          bus_ack_o <= mem_ack_i;
        end
        Dirty: begin
          if (dirty_ack_i) state_q <= Idle;
          bus_ack_o <= dirty_ack_i;
        end
        default: begin
          if (reset_q == '0) state_q <= Idle;
          bus_ack_o <= reset_q == '0;
        end
      endcase
    end
  end

  logic [31:0] value;
  always_ff @(posedge clk_i) begin
    mem_req_o <= rst_ni && state_q == Route && aligned_q && memory_q && inside_q;
    dirty_req_o <= rst_ni && state_q == Route && aligned_q && dirty;

    unique case (state_q)
      Chip:     bus_rdata_o <= m_axil_rdata;
      Memory:   bus_rdata_o <= mem_rdata_i;
      Dirty:    bus_rdata_o <= dirty_rdata_i;
      default:  bus_rdata_o <= value;
    endcase
    unique case (state_q)
      Route:   bus_status_o <= StatusNothing;
      Chip:    bus_status_o <= response[1] ? status_e'(response) : StatusDone;
      default: bus_status_o <= StatusDone;
    endcase
  end

  // ---- Registers ----
  logic [31:0] cycles_hi_q, owner_q;
  always_comb begin
    unique case (number)
      4'h0:        value = Id;
      4'h1:        value = 32'(LinkVersion);
      4'h2:        value = 32'(ClockHz);
      4'h3:        value = 32'(MemoryBytes);
      RegCyclesLo: value = cycles_o[31:0];
      4'h6:        value = cycles_hi_q;
      4'h7:        value = 32'(irq_i);
      4'h8:        value = 32'(errors_i);
      4'h9:        value = 32'(last_failure_i);
      RegOwner:    value = owner_q;
      default:     value = '0;
    endcase
  end

  always_ff @(posedge clk_i) begin
    cycles_o <= rst_ni ? cycles_o + 64'd1 : '0;
    if (state_q == Register && !bus_write_i && number == RegCyclesLo) cycles_hi_q <= cycles_o[63:32];
  end

  // Whose chip it is: what a host has written since the chip was reset by power-on.
  always_ff @(posedge clk_i) begin
    if (!rst_ni || (state_q == Register && resets && bus_wdata_i[1])) owner_q <= '0;
    else if (state_q == Register && bus_write_i && number == RegOwner) owner_q <= bus_wdata_i;
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) reset_q <= ($clog2(ResetCycles) + 1)'(ResetCycles);
    else if (state_q == Register && resets) reset_q <= ($clog2(ResetCycles) + 1)'(ResetCycles);
    else if (reset_q != '0) reset_q <= reset_q - 1'b1;
  end

  // Out of registers that power up as resets.
  initial {chip_por_no, chip_rst_no} = '0;
  always @(posedge clk_i) begin
    chip_rst_no <= rst_ni && reset_q == '0;
    chip_por_no <= rst_ni && (reset_q == '0 || (chip_por_no && !(state_q == Reset && bus_wdata_i[1])));
  end

  // ---- The chip's AXI4-Lite ----
  assign m_axil_awaddr = bus_addr_i[14:0];
  assign m_axil_araddr = bus_addr_i[14:0];
  assign {m_axil_awprot, m_axil_arprot} = '0;
  assign m_axil_wdata = bus_wdata_i;
  assign m_axil_wstrb = '1;

  logic begins;
  assign begins = state_q == Route && aligned_q && chip_q;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      {m_axil_awvalid, m_axil_wvalid, m_axil_bready, m_axil_arvalid, m_axil_rready} <= '0;
    end else begin
      m_axil_awvalid <= (begins && bus_write_i) || (m_axil_awvalid && !m_axil_awready);
      m_axil_wvalid <= (begins && bus_write_i) || (m_axil_wvalid && !m_axil_wready);
      m_axil_bready <= (begins && bus_write_i) || (m_axil_bready && !m_axil_bvalid);
      m_axil_arvalid <= (begins && !bus_write_i) || (m_axil_arvalid && !m_axil_arready);
      m_axil_rready <= (begins && !bus_write_i) || (m_axil_rready && !m_axil_rvalid);
    end
  end
endmodule
