# SPDX-License-Identifier: Apache-2.0
"""The UART's two halves: bytes from a sender whose rate is off, edges of what is sent, glitches, framing errors, reset."""

import cocotb
from cocotb.triggers import FallingEdge, RisingEdge, Timer
from cocotb.utils import get_sim_time

from tb.common.actors import CLOCK_NS, Scoreboard, StreamSource, cycle, reset, rng, stalls, start_clock_and_reset

BYTES = [0x00, 0xFF, 0x55, 0xAA, 0x01, 0x80, 0x7E, 0x7D]


class Bench:
    def __init__(self, dut):
        self.dut, self.rng = dut, rng()
        self.bit_ps = 1000 * CLOCK_NS * int(dut.ClockHz.value) / int(dut.Baud.value)
        self.board = Scoreboard("receiver")
        cocotb.start_soon(self._receive())

    async def _receive(self):
        while True:
            await RisingEdge(self.dut.clk_i)
            if int(self.dut.rst_ni.value) and int(self.dut.rx_valid_o.value):
                self.board.observe(int(self.dut.rx_data_o.value))

    async def level(self, value, bits, rate=1.0):
        """Hold the line at `value` for so many bits' time of a sender with `rate` times the baud rate."""
        self.dut.rx_i.value = value
        await Timer(max(1, round(bits * self.bit_ps / rate)), "ps")

    async def send(self, byte, rate=1.0, stop=1):
        """Drive one byte in the line's own time, not the clock's; the edges do not drift by rounding."""
        for value in (0, *(byte >> i & 1 for i in range(8)), stop):
            await self.level(value, 1, rate)

    def bytes(self, count):
        return [*BYTES, *self.rng.integers(0, 256, count).tolist()]


async def started(dut):
    await start_clock_and_reset(dut)
    dut.rx_i.value = 1
    await cycle(dut, 20)
    return Bench(dut)


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def test_receive(dut):
    """Bytes back to back and with pauses, from senders up to 2 percent off, at any phase of the clock."""
    bench = await started(dut)
    for rate in (0.98, 0.99, 1.0, 1.01, 1.02):
        for gaps in (False, True):
            for byte in bench.bytes(40):
                bench.board.expect(byte)
                await bench.send(byte, rate)
                if gaps:
                    await bench.level(1, float(bench.rng.random()) * 3)
            await bench.level(1, 2)
            await bench.board.drained()
    bench.board.finish()


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def test_disturbed(dut):
    """Glitches shorter than a quarter of a bit begin no byte; a byte without stop bit is lost, and a break gives nothing."""
    bench = await started(dut)
    for byte in bench.bytes(20):
        await bench.level(0, 0.2)
        await bench.level(1, 1 + float(bench.rng.random()))
        bench.board.expect(byte)
        await bench.send(byte)
    for byte in bench.bytes(20):
        await bench.send(byte, stop=0)
        await bench.level(0, float(bench.rng.integers(0, 3)) * 10)  # the line stays low: a break
        await bench.level(1, 1.5)
        bench.board.expect(byte ^ 0x0F)
        await bench.send(byte ^ 0x0F)
    await bench.level(1, 2)
    bench.board.finish()


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def test_reset(dut):
    """A reset in the middle of a byte forgets it."""
    bench = await started(dut)
    sender = cocotb.start_soon(bench.send(0x00))
    await Timer(round(3 * bench.bit_ps), "ps")
    await reset(dut)
    await sender
    await bench.level(1, 12)
    for byte in bench.bytes(4):
        bench.board.expect(byte)
        await bench.send(byte)
    await bench.level(1, 2)
    bench.board.finish()


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def test_send(dut):
    """Every bit is on the line in the middle half of its time; bytes that wait follow without a gap; with pauses, too."""
    await start_clock_and_reset(dut)
    assert int(dut.tx_o.value) == 1
    bench, board = Bench(dut), Scoreboard("line")
    source = StreamSource(dut, "tx")
    gapless = [True]

    async def watch():
        while True:
            await FallingEdge(dut.tx_o)
            start, number, going = get_sim_time("ps"), 0, True
            while going:
                bits = []
                for i in range(10):
                    for part in (0.3, 0.7):  # a clock cycle is up to a quarter of a bit
                        await Timer(round(start + (10 * number + i + part) * bench.bit_ps - get_sim_time("ps")), "ps")
                        bits.append(int(dut.tx_o.value))
                assert bits[::2] == bits[1::2] and bits[0] == 0 and bits[-1] == 1, f"{bits}"
                board.observe(sum(bit << i for i, bit in enumerate(bits[2:18:2])))
                number += 1
                going = gapless[0] and board.expected

    watcher = cocotb.start_soon(watch())
    for gapless[0], stall in ((True, 0.0), (False, 0.99)):
        source.stall = stalls(stall, rng(1))
        for byte in bench.bytes(60):
            board.expect(byte)
            source.send_nowait(byte)
        await board.drained()
        await cycle(dut, 100)
        assert int(dut.tx_o.value) == 1
    watcher.cancel()
    board.finish()


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def test_loop(dut):
    """What one half sends the other receives."""
    bench = await started(dut)
    source = StreamSource(dut, "tx")

    async def wire():
        while True:
            dut.rx_i.value = int(dut.tx_o.value)
            await dut.tx_o.value_change

    cocotb.start_soon(wire())
    for byte in bench.bytes(100):
        bench.board.expect(byte)
        source.send_nowait(byte)
    await bench.board.drained()
    bench.board.finish()
