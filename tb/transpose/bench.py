# SPDX-License-Identifier: Apache-2.0
"""lathe_transpose against numpy: columns, lines, full and short groups in any order, pauses, one a cycle on both sides, reset."""

from collections import deque
from dataclasses import dataclass

import cocotb
import numpy as np
from cocotb.triggers import FallingEdge, RisingEdge

from tb.common.actors import Coverage, cycle, reset, rng, start_clock_and_reset
from tb.common.ports import to_word


@dataclass
class Group:
    """Lines that go in; given as lines or as the first `count` columns."""

    lines: np.ndarray
    as_lines: bool
    count: int
    tag: int


class Bench:
    """Opens groups, sends their lines and takes their words, each with its own probability of going on."""

    def __init__(self, dut):
        self.dut, self.lanes, self.generator = dut, int(dut.Lanes.value), rng()
        self.groups_inside = int(dut.Groups.value)
        self.seen = Coverage()
        self.compared = 0

    def group(self, as_lines: bool | None = None, lines: int | None = None) -> Group:
        """A group of random kind, if nothing is said."""
        generator = self.generator
        as_lines = bool(generator.integers(2)) if as_lines is None else as_lines
        lines = int(generator.integers(1, self.lanes + 1)) if lines is None else lines
        values = generator.integers(-32768, 32768, (lines, self.lanes)).astype("<i2")
        count = lines if as_lines else int(generator.integers(1, self.lanes + 1))
        return Group(values, as_lines, count, int(generator.integers(2)))

    async def run(self, groups: list[Group], rates=(1.0, 1.0, 1.0), limit: int | None = None) -> int:
        """Pass groups through; `rates`: probability of asking, sending, taking in a cycle. Return the cycles it took."""
        dut, draw = self.dut, self.generator.random
        to_ask = deque((group, number) for group in groups for number in range(len(group.lines)))
        lines, inside = deque(), deque()
        index, now = 0, 0
        while to_ask or inside:
            line = lines.popleft()[1] if lines and lines[0][0] < now and draw() < rates[1] else None
            dut.line_valid_i.value = line is not None
            dut.line_data_i.value = to_word(line) if line is not None else self.generator.integers(1 << 16).item()
            dut.index_i.value = index
            dut.ask_i.value, dut.ask_next_i.value = (to_ask[at][1] if at < len(to_ask) else 0 for at in (0, 1))
            await FallingEdge(dut.clk_i)  # outputs are settled
            opening, asking = None, False
            if to_ask and int(dut.room_o.value) and draw() < rates[0]:
                group, number = to_ask.popleft()
                asking = True
                opening = None if number else group
                lines.append((now + 1, group.lines[number]))
                self.seen.hit("line in the place of one that has come out", len(inside) == self.groups_inside + 1)
            dut.take_i.value = asking
            if opening:
                dut.open_last_i.value, dut.open_lines_i.value = len(opening.lines) - 1, opening.as_lines
                dut.open_tag_i.value = opening.tag
            taken = closing = False
            if int(dut.valid_o.value):
                self.compare(inside[0], index, int(dut.data_o.value), int(dut.tag_o.value))
                self.seen.hit("line before its group is whole", bool(lines) and len(inside) == 1 and inside[0].as_lines)
                taken = bool(draw() < rates[2])
                if taken:
                    closing = index == inside[0].count - 1
                    index = 0 if closing else index + 1
            dut.taken_i.value, dut.last_i.value = taken, closing
            await RisingEdge(dut.clk_i)
            now += 1
            if closing:
                inside.popleft()
            if opening:
                inside.append(opening)
            self.seen.hit("full", len(inside) == self.groups_inside + 1)
            assert len(inside) <= self.groups_inside + 1, "room for more groups than there are"
            assert limit is None or now <= limit, f"more than {limit} cycles"
        dut.take_i.value = dut.line_valid_i.value = dut.taken_i.value = dut.last_i.value = dut.index_i.value = 0
        await cycle(dut)
        assert not int(dut.valid_o.value), "a word without a group"
        return now

    def compare(self, group: Group, index: int, data: int, tag: int) -> None:
        """Compare one word; lanes of missing lines are undefined."""
        values = group.lines[index] if group.as_lines else group.lines[:, index]
        mask = (1 << 16 * len(values)) - 1
        assert data & mask == to_word(values), f"word {index} of {group} is {data:x}"
        assert tag == group.tag, "tag of another group"
        self.compared += 1
        self.seen.hit("lines" if group.as_lines else "columns")
        self.seen.hit("short", len(group.lines) < self.lanes)

    def finish(self, *bins):
        self.seen.require(bins)
        assert self.compared, "compared nothing"


async def start(dut) -> Bench:
    await start_clock_and_reset(dut)
    return Bench(dut)


@cocotb.test(timeout_time=4, timeout_unit="ms")
async def test_groups(dut):
    """Groups of every kind, one after the other, with pauses at each side."""
    bench = await start(dut)
    for _ in range(12):
        rates = tuple(bench.generator.choice([1.0, 0.5, 0.1], 3))
        await bench.run([bench.group() for _ in range(12)], rates)
    bench.finish("columns", "lines", "short", "full", "line before its group is whole",
                 "line in the place of one that has come out")


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def test_rate(dut):
    """Full groups without pauses, columns and lines in turn: a line in and a word out a cycle."""
    bench = await start(dut)
    groups = [bench.group(bool(number & 2), bench.lanes) for number in range(20)]
    for group in groups:
        group.count = bench.lanes
    taken = await bench.run(groups, limit=21 * bench.lanes + 6)
    dut._log.info(f"{taken} cycles")
    bench.finish("columns", "lines")


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def test_reset(dut):
    """A reset in the middle of a group, on either side, leaves nothing behind."""
    bench = await start(dut)
    for moment in range(1, 3 * bench.lanes, 3):
        running = cocotb.start_soon(bench.run([bench.group() for _ in range(8)], (1.0, 0.5, 0.5)))
        await cycle(dut, moment)
        running.cancel()
        dut.take_i.value = dut.line_valid_i.value = dut.taken_i.value = dut.last_i.value = dut.index_i.value = 0
        await reset(dut, 2)
        assert not int(dut.valid_o.value)
        await bench.run([bench.group() for _ in range(4)])
    bench.finish("columns", "lines", "short")
