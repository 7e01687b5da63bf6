# SPDX-License-Identifier: Apache-2.0
"""lathe_fifo: order, level, full throughput, stalls on both sides, reset in the middle."""

import cocotb

from tb.common.actors import (
    Coverage,
    Scoreboard,
    StreamMonitor,
    StreamSink,
    StreamSource,
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
        self.depth = int(dut.Depth.value)
        self.source = StreamSource(dut, "in")
        self.sink = StreamSink(dut, "out")
        self.board, self.seen = Scoreboard("fifo"), Coverage()
        StreamMonitor(dut, "in", self.board.expect, output=False)
        StreamMonitor(dut, "out", self.board.observe)
        cocotb.start_soon(self._levels())

    async def _levels(self):
        """The level is what went in minus what came out; ready and valid follow from it."""
        level = 0
        while True:
            await cycle(self.dut)
            if not int(self.dut.rst_ni.value):
                level = 0
                continue
            assert int(self.dut.level_o.value) == level
            ready, valid = int(self.dut.in_ready_o.value), int(self.dut.out_valid_o.value)
            assert (ready, valid) == (level < self.depth, level > 0)
            self.seen.hit("full", level == self.depth)
            self.seen.hit("empty", level == 0)
            level += ready & int(self.dut.in_valid_i.value)
            level -= valid & int(self.dut.out_ready_i.value)

    def words(self, count, generator):
        corners = [0, (1 << self.width) - 1, 1, 1 << (self.width - 1)]
        return (corners + [int.from_bytes(generator.bytes(8), "little") % (1 << self.width) for _ in range(count)])[:count]


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def test_streams(dut):
    """Every combination of stall rates keeps order and content."""
    await start_clock_and_reset(dut)
    bench, generator = Bench(dut), rng()
    for _ in stall_rates(bench.source, bench.sink):
        for word in bench.words(60, generator):
            bench.source.send_nowait(word)
        await bench.source.idle()
        await cycle(dut)
        await bench.board.drained()
    bench.seen.require(["full", "empty"])
    bench.board.finish()


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def test_rate(dut):
    """Without stalls a FIFO of two or more words passes one word a cycle."""
    await start_clock_and_reset(dut)
    bench = Bench(dut)
    await cycle(dut, 4)
    for word in range(100):
        bench.source.send_nowait(word % (1 << bench.width))
    await cycle(dut, 104 if bench.depth > 1 else 206)
    assert bench.board.compared == 100
    bench.board.finish()


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def test_reset(dut):
    """A reset empties it."""
    await start_clock_and_reset(dut)
    bench = Bench(dut)
    bench.sink.stall = stalls(1)
    for word in bench.words(3 * bench.depth, rng()):
        bench.source.send_nowait(word)
    await cycle(dut, 2 * bench.depth + 4)
    bench.seen.require(["full"])
    await reset(dut)
    bench.board.clear()
    assert not int(dut.out_valid_o.value) and int(dut.level_o.value) == 0
    bench.sink.stall = stalls(0)
    for word in bench.words(20, rng(3)):
        bench.source.send_nowait(word)
    await bench.source.idle()
    await cycle(dut)
    await bench.board.drained()
    bench.board.finish()
