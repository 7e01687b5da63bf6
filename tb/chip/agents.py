# SPDX-License-Identifier: Apache-2.0
"""The chip's three interfaces as pyuvm agents: AXI4-Lite registers, AXI memory, interrupt."""

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge, with_timeout
from cocotbext.axi import AxiBus, AxiLiteBus, AxiLiteMaster, AxiSlave
from cocotbext.axi.address_space import Region
from pyuvm import (
    ConfigDB,
    uvm_agent,
    uvm_analysis_port,
    uvm_component,
    uvm_driver,
    uvm_monitor,
    uvm_sequence_item,
    uvm_sequencer,
)

from tb.common.actors import rng


def dut():
    return cocotb.top


class Pauses:
    """Share of cycles in which a bus channel pauses; one object for all channels, changed between programs."""

    def __init__(self, share: float = 0.0):
        self.share = share

    def __iter__(self):
        generator = rng()
        while True:
            yield bool(generator.random() < self.share)


class CsrItem(uvm_sequence_item):
    """One register access; `data` is written, or filled in by a read. `response` is the bus response (0 = OKAY)."""

    def __init__(self, address: int, data: int | None = None):
        super().__init__("csr")
        self.address, self.write, self.data, self.response = address, data is not None, data, None


class CsrDriver(uvm_driver):
    """Turns CsrItems into AXI4-Lite transfers."""

    async def run_phase(self):
        top = dut()
        master = AxiLiteMaster(AxiLiteBus.from_prefix(top, "s_axil"), top.clk_i, top.rst_ni, reset_active_level=False)
        pauses = ConfigDB().get(self, "", "PAUSES")
        for channel in (master.write_if.aw_channel, master.write_if.w_channel, master.read_if.ar_channel,
                        master.write_if.b_channel, master.read_if.r_channel):
            channel.set_pause_generator(iter(pauses))
        while True:
            item = await self.seq_item_port.get_next_item()
            if item.write:
                answer = await with_timeout(master.write(item.address, item.data.to_bytes(4, "little")), 100, "us")
            else:
                answer = await with_timeout(master.read(item.address, 4), 100, "us")
                item.data = int.from_bytes(answer.data, "little")
            item.response = int(answer.resp)
            self.seq_item_port.item_done()


class CsrMonitor(uvm_monitor):
    """Publishes the address of every accepted write and read, from the pins alone."""

    def build_phase(self):
        self.ap = uvm_analysis_port("ap", self)

    async def run_phase(self):
        top = dut()
        while True:
            await RisingEdge(top.clk_i)
            if top.s_axil_awvalid.value == 1 and top.s_axil_awready.value == 1:
                self.ap.write(("write", int(top.s_axil_awaddr.value)))
            if top.s_axil_arvalid.value == 1 and top.s_axil_arready.value == 1:
                self.ap.write(("read", int(top.s_axil_araddr.value)))


class CsrAgent(uvm_agent):
    """Active: sequencer, driver, monitor."""

    def build_phase(self):
        super().build_phase()
        self.sequencer = uvm_sequencer("sequencer", self)
        self.driver = CsrDriver("driver", self)
        self.monitor = CsrMonitor("monitor", self)

    def connect_phase(self):
        self.driver.seq_item_port.connect(self.sequencer.seq_item_export)


class ArrayRegion(Region):
    """A numpy buffer as an AXI slave's memory; addresses beyond it fail."""

    def __init__(self, memory: np.ndarray):
        super().__init__(len(memory))
        self.memory = memory

    async def read(self, address, length, **_):
        if address + length > len(self.memory):
            raise ValueError("address outside memory")
        return self.memory[address:address + length].tobytes()

    async def write(self, address, data, **_):
        if address + len(data) > len(self.memory):
            raise ValueError("address outside memory")
        self.memory[address:address + len(data)] = np.frombuffer(bytes(data), np.uint8)


class MemoryDriver(uvm_component):
    """The outside memory, with pauses on each channel."""

    async def run_phase(self):
        top = dut()
        memory = ConfigDB().get(self, "", "MEMORY")
        slave = AxiSlave(AxiBus.from_prefix(top, "m_axi"), top.clk_i, top.rst_ni, target=ArrayRegion(memory),
                         reset_active_level=False)
        pauses = ConfigDB().get(self, "", "PAUSES")
        for channel in (slave.write_if.aw_channel, slave.write_if.w_channel, slave.write_if.b_channel,
                        slave.read_if.ar_channel, slave.read_if.r_channel):
            channel.set_pause_generator(iter(pauses))


class MemoryMonitor(uvm_monitor):
    """Publishes bursts (channel, address, beats; 0 beats: a cycle of waiting) and checks the protocol: 4 KiB boundaries, burst
    type, stability while stalled."""

    def build_phase(self):
        self.ap = uvm_analysis_port("ap", self)

    async def run_phase(self):
        top = dut()
        held: dict[str, int] = {}
        while True:
            await RisingEdge(top.clk_i)
            if top.rst_ni.value == 0:
                held.clear()
                continue
            for channel in ("ar", "aw"):
                valid = getattr(top, f"m_axi_{channel}valid").value == 1
                address = int(getattr(top, f"m_axi_{channel}addr").value) if valid else None
                assert channel not in held or held[channel] == address, f"{channel} changed or fell while it waited"
                held.pop(channel, None)
                if not valid:
                    continue
                if getattr(top, f"m_axi_{channel}ready").value == 0:
                    held[channel] = address
                    self.ap.write((channel, address, 0))
                    continue
                beats = int(getattr(top, f"m_axi_{channel}len").value) + 1
                size = 1 << int(getattr(top, f"m_axi_{channel}size").value)
                assert size * 8 == len(top.m_axi_rdata), "narrow transfer"
                assert int(getattr(top, f"m_axi_{channel}burst").value) == 1, "burst type is not INCR"
                assert address // 4096 == (address + beats * size - 1) // 4096, f"burst at {address:#x} crosses 4 KiB"
                self.ap.write((channel, address, beats))


class MemoryAgent(uvm_agent):
    """Reactive: answers as memory; monitor beside it."""

    def build_phase(self):
        super().build_phase()
        self.driver = MemoryDriver("driver", self)
        self.monitor = MemoryMonitor("monitor", self)


class IrqAgent(uvm_agent):
    """Passive: wakes whoever waits for the interrupt."""

    async def wait(self, cycles: int) -> bool:
        """Return True when the interrupt came within `cycles` clock cycles."""
        top = dut()
        for _ in range(cycles):
            await RisingEdge(top.clk_i)
            if top.irq_o.value == 1:
                return True
        return False
