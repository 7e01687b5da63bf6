# SPDX-License-Identifier: Apache-2.0
"""lathe_spill and lathe_spill_wide: order and content under stalls, one word a cycle, room for exactly two words, reset in the middle."""

import cocotb

from tb.common.actors import (
    Scoreboard,
    StreamMonitor,
    StreamSink,
    StreamSource,
    bursts,
    cycle,
    reset,
    rng,
    stall_rates,
    stalls,
    start_clock_and_reset,
)


class Bench:
    def __init__(self, dut):
        self.dut, self.width = dut, len(dut.in_data_i)
        self.source, self.sink = StreamSource(dut, "in"), StreamSink(dut, "out")
        self.board = Scoreboard("spill")
        StreamMonitor(dut, "in", self.board.expect, output=False)
        StreamMonitor(dut, "out", self.board.observe)

    async def send(self, count):
        words = [0, (1 << self.width) - 1, 1, 1 << (self.width - 1)]
        words += [int(w) for w in rng().integers(1 << self.width, size=count - 4)]
        for word in words:
            self.source.send_nowait(word)
        await self.source.idle()
        await cycle(self.dut)
        await self.board.drained()


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def test_streams(dut):
    """Every combination of stall rates, single cycles and bursts."""
    await start_clock_and_reset(dut)
    bench = Bench(dut)
    for pattern in (stalls, bursts):
        for _ in stall_rates(bench.source, bench.sink, pattern):
            await bench.send(60)
    bench.board.finish()


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def test_rate(dut):
    """Without stalls one word a cycle; with a stalled reader exactly two words go in."""
    await start_clock_and_reset(dut)
    bench = Bench(dut)
    await cycle(dut, 2)
    for word in range(100):
        bench.source.send_nowait(word % (1 << bench.width))
    await cycle(dut, 103)
    assert bench.board.compared == 100, f"{bench.board.compared} of 100 words in 103 cycles"
    bench.sink.stall = stalls(1)
    await cycle(dut, 2)
    for word in range(5):
        bench.source.send_nowait(word)
    await cycle(dut, 10)
    assert len(bench.board.expected) == 2
    bench.board.clear()


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def test_reset(dut):
    """A reset empties it, whatever it holds."""
    await start_clock_and_reset(dut)
    bench = Bench(dut)
    for held in (0, 1, 2):
        bench.sink.stall = stalls(1)
        await cycle(dut, 2)
        for word in range(held):
            bench.source.send_nowait(word + 1)
        await cycle(dut, 6)
        assert len(bench.board.expected) == held
        await reset(dut)
        bench.board.clear()
        assert int(dut.in_ready_o.value) and not int(dut.out_valid_o.value)
        bench.sink.stall = stalls(0.3)
        await bench.send(20)
    bench.board.finish()
