# SPDX-License-Identifier: Apache-2.0
"""What surrounds the link in its bench: bytes of the line, the chip's registers, its stores; and the golden bridge beside them."""

import cocotb
import numpy as np
from cocotb.triggers import FallingEdge, First, RisingEdge, Timer

from pymodels.link import Bridge, Decoder
from tb.common.actors import CLOCK_NS, Scoreboard, cycle, rng


class Registers:
    """Registers of a chip: those below 0x400 keep what is written, behind them SLVERR, from 0x1000 on DECERR. Notes all accesses."""

    def __init__(self):
        self.words = {}
        self.accesses = []

    def _response(self, address: int) -> int:
        return 0 if address < 0x400 else 2 if address < 0x1000 else 3

    def read(self, address: int) -> tuple[int, int]:
        self.accesses.append((address,))
        return self._response(address), self.words.get(address, address * 0x10001)

    def write(self, address: int, value: int) -> int:
        self.accesses.append((address, value))
        if address < 0x400:
            self.words[address] = value
        return self._response(address)


class AxiLiteSlave:
    """Serves the chip's AXI4-Lite port out of `Registers`, each step after up to `stall` cycles."""

    def __init__(self, dut):
        self.dut, self.registers, self.stall, self._rng = dut, Registers(), 0, rng(7)
        for pin in ("arready", "rvalid", "awready", "wready", "bvalid"):
            self._pin(pin).value = 0
        cocotb.start_soon(self._serve())

    def _pin(self, name):
        return getattr(self.dut, f"m_axil_{name}")

    async def _pulse(self, *names, wait=True):
        if wait and self.stall:
            await cycle(self.dut, int(self._rng.integers(self.stall + 1)))
        for name in names:
            self._pin(name).value = 1
        await cycle(self.dut)
        for name in names:
            self._pin(name).value = 0

    async def _serve(self):
        read, write = self._pin("arvalid"), self._pin("awvalid")
        while True:
            while not int(read.value) and not int(write.value):
                await First(RisingEdge(read), RisingEdge(write))
            await cycle(self.dut)
            if int(read.value):
                address = int(self._pin("araddr").value)
                await self._pulse("arready")
                self._pin("rresp").value, self._pin("rdata").value = self.registers.read(address)
                await self._pulse("rvalid")
            elif int(write.value):
                address, value = int(self._pin("awaddr").value), int(self._pin("wdata").value)
                assert int(self._pin("wvalid").value) and int(self._pin("wstrb").value) == 15
                order = [("awready", "wready"), ("awready",), ("wready",)][int(self._rng.integers(3))]
                await self._pulse(*order)
                if len(order) == 1:
                    await self._pulse(*({"awready", "wready"} - set(order)))
                self._pin("bresp").value = self.registers.write(address, value)
                await self._pulse("bvalid")
            await cycle(self.dut)  # the request is gone


class Bench:
    """The line to the DUT and the golden bridge that gets the same bytes; what comes back is compared byte for byte."""

    def __init__(self, dut):
        self.dut, self.rng = dut, rng()
        self.slave = AxiLiteSlave(dut)
        self.board = Scoreboard("line")
        self.decoder = None  # instead of the comparison: what comes back is decoded into `answers`
        self.answers = []
        self.resets = []
        self.memory = np.zeros(int(dut.MemoryBytes.value), np.uint8)
        self.fresh()
        cocotb.start_soon(self._receive())
        cocotb.start_soon(self._watch_resets())

    def fresh(self):
        """Make the golden bridge anew, as after power-on."""
        self.slave.registers.accesses.clear()
        self.registers = Registers()
        self.registers.words = dict(self.slave.registers.words)
        self.golden_resets = []
        self.resets.clear()
        self.bridge = Bridge(self.registers.read, self.registers.write, self.memory, int(self.dut.ClockHz.value),
                             reset=self.golden_resets.append, irq=lambda: int(self.dut.irq_i.value))

    async def _receive(self):
        while True:
            await RisingEdge(self.dut.rx_valid_o)
            byte = int(self.dut.rx_data_o.value)
            if self.decoder:
                self.answers += self.decoder.feed(bytes([byte]))
            else:
                self.board.observe(byte)

    async def _watch_resets(self):
        while True:
            await FallingEdge(self.dut.chip_rst_no)
            await cycle(self.dut, 2)
            power_on = not int(self.dut.chip_por_no.value)
            await RisingEdge(self.dut.chip_rst_no)
            self.resets.append(power_on)

    async def put(self, data: bytes) -> None:
        """Put bytes on the line, one after the other."""
        edge, dut = RisingEdge(self.dut.clk_i), self.dut
        for byte in data:
            if not int(dut.tx_ready_o.value):
                await RisingEdge(dut.tx_ready_o)
            dut.tx_data_i.value = byte
            dut.tx_valid_i.value = 1
            await edge
            dut.tx_valid_i.value = 0
            await edge

    async def send(self, data: bytes) -> None:
        """Send bytes, expect the answers that the golden bridge gives to them, and wait for these."""
        for byte in self.bridge.receive(data):
            self.board.expect(byte)
        await self.put(data)
        await self.board.drained()

    async def ask(self, data: bytes) -> list[bytes]:
        """Send requests and return the answers, uncompared (the golden bridge learns nothing of them)."""
        self.decoder, self.answers = Decoder(), []
        await self.put(data)
        while not self.answers:
            await RisingEdge(self.dut.rx_valid_o)
        await self.quiet()
        self.decoder = None
        return self.answers

    async def quiet(self, cycles: int = 2500) -> None:
        """Wait until the line back has been idle for so many cycles (longer than the longest access of a request)."""
        seen = -1
        while seen != (seen := self.board.compared + len(self.answers)):
            await Timer(cycles * CLOCK_NS, "ns")

    async def store(self, address: int, value: int) -> None:
        """Let the chip write a word, all its 32-bit parts `value`."""
        dut = self.dut
        dut.store_addr_i.value, dut.store_data_i.value, dut.store_i.value = address, value, 1
        await cycle(dut)
        while not int(dut.stored_o.value):
            await cycle(dut)
        dut.store_i.value = 0
        size = 2 * int(dut.Lanes.value)
        if address < self.memory.size:
            self.memory[address:address + size] = np.tile(np.frombuffer(value.to_bytes(4, "little"), np.uint8), size // 4)
            self.bridge.chip_wrote(address, size)

    def finish(self) -> None:
        """Compare the chip's accesses and resets with the golden bridge's."""
        self.board.finish()
        assert self.slave.registers.accesses == self.registers.accesses
        assert self.slave.registers.words == self.registers.words
        assert self.resets == self.golden_resets, f"{self.resets} resets, expected {self.golden_resets}"
