# SPDX-License-Identifier: Apache-2.0
"""lathe_transpose against numpy: full and short groups, tails, stalls, one word a cycle on both sides, reset."""

import cocotb
import numpy as np

from tb.common.actors import (
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
from tb.common.ports import to_word


class Bench:
    def __init__(self, dut):
        self.dut, self.lanes = dut, int(dut.Lanes.value)
        self.source = StreamSource(dut, "line", fields={"data": "line_data_i", "last": "line_last_i"})
        self.sink = StreamSink(dut, "column")
        self.board, self.generator = Scoreboard("transpose"), rng()
        self.lines = self.lanes
        StreamMonitor(dut, "column", lambda word: self.board.observe(word & (1 << 16 * self.lines) - 1))

    async def start(self, blocks, tail):
        self.dut.last_column_i.value = (blocks - 1) * self.lanes + tail - 1
        self.dut.start_i.value = 1
        await cycle(self.dut)
        self.dut.start_i.value = 0

    async def tiles(self, count, blocks, tail, lines):
        """`count` tiles of `blocks` groups of `lines` lines each, the last group with `tail` columns."""
        self.lines = lines
        await self.start(blocks, tail)
        for group in range(count * blocks):
            block = self.generator.integers(-32768, 32768, (lines, self.lanes)).astype("<i2")
            if group == 0:
                block[0, 0], block[-1, -1] = -32768, 32767
            for column in range(tail if group % blocks == blocks - 1 else self.lanes):
                self.board.expect(to_word(block[:, column]))
            for line in range(lines):
                self.source.send_nowait({"data": to_word(block[line]), "last": int(line == lines - 1)})
        await self.source.idle()
        await self.board.drained()
        await cycle(self.dut)


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def test_shapes(dut):
    """Every tail and number of lines, under all stall rates."""
    await start_clock_and_reset(dut)
    bench = Bench(dut)
    for size in range(1, bench.lanes + 1):
        await bench.tiles(2, 2, size, bench.lanes)
        await bench.tiles(2, 1, bench.lanes, size)
    for _ in stall_rates(bench.source, bench.sink):
        blocks, tail, lines = (int(v) for v in bench.generator.integers([3, bench.lanes, bench.lanes]) + 1)
        await bench.tiles(3, blocks, tail, lines)
    bench.board.finish()


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def test_rate(dut):
    """Full groups without stalls: one line in and one column out a cycle."""
    await start_clock_and_reset(dut)
    bench = Bench(dut)
    before = cocotb.simtime.get_sim_time("ns")
    await bench.tiles(20, 1, bench.lanes, bench.lanes)
    cycles = (cocotb.simtime.get_sim_time("ns") - before) / 10
    assert cycles <= 21 * bench.lanes + 6, f"{cycles} cycles"
    bench.board.finish()


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def test_reset(dut):
    """A reset in the middle of a group, on either side, leaves nothing behind."""
    await start_clock_and_reset(dut)
    bench = Bench(dut)
    for moment in range(1, 3 * bench.lanes, 5):
        bench.sink.stall = stalls(0.5, rng(moment))
        bench.lines = bench.lanes
        await bench.start(1, bench.lanes)
        for line in range(3 * bench.lanes):
            bench.source.send_nowait({"data": line, "last": int(line % bench.lanes == bench.lanes - 1)})
        block = np.zeros((bench.lanes, bench.lanes), "<i2")
        for group in range(3):
            block[:, 0] = np.arange(group * bench.lanes, (group + 1) * bench.lanes)
            for column in range(bench.lanes):
                bench.board.expect(to_word(block[:, column]))
        await cycle(dut, moment)
        await reset(dut, 2)
        bench.board.clear()
        assert not int(dut.column_valid_o.value) and int(dut.line_ready_o.value)
        await bench.tiles(2, 1, bench.lanes, bench.lanes)
    bench.board.finish()
