# SPDX-License-Identifier: Apache-2.0
"""lathe_reverse_scan against pymodels.scan: every estimator and any registers, any number of environments, gaps, stalls, reset."""

from collections import deque
from dataclasses import asdict

import cocotb
import numpy as np
from cocotb.utils import get_sim_time

from pymodels.functions import exp_q
from pymodels.scan import scan
from tb.common.actors import (
    CLOCK_NS,
    Coverage,
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
from tb.common.scans import any_scan, episodes, named
from tb.common.structs import struct

LOOP = 7  # cycles after which an environment's next record may follow
RATIO = 14  # cycles after which a record's ratio is due


FIELDS = ("reward", "value", "last", "terminated")
RESULTS = {"advantage": "advantage_o", "return": "return_o"}


class Bench:
    def __init__(self, dut):
        self.dut = dut
        self.source = StreamSource(dut, "in", fields={name: f"{name}_i" for name in FIELDS})
        self.sink = StreamSink(dut, "out", fields=RESULTS)
        self.board, self.seen = Scoreboard("reverse_scan"), Coverage()
        self.skipped = 0
        self.log_ratios = deque()  # of the records that are to come
        StreamMonitor(dut, "out", lambda item: self.board.observe(tuple(item.values())), fields=RESULTS)
        cocotb.start_soon(self._watch())

    async def _watch(self):
        """Count the skipped records and give each record's ratio when it is due, garbage in all other cycles."""
        dut, garbage = self.dut, rng(9)
        ratios = deque([None] * (RATIO - 1))
        while True:
            await cycle(dut)
            if not int(dut.rst_ni.value):
                ratios = deque([None] * (RATIO - 1))
                self.log_ratios.clear()
                continue
            self.skipped += int(dut.skip_o.value)
            taken = int(dut.in_valid_i.value) and int(dut.in_ready_o.value)
            ratios.append(int(exp_q(np.array(self.log_ratios.popleft() << 6))) if taken else None)
            due = ratios.popleft()
            dut.ratio_i.value = int(garbage.integers(1 << 21)) if due is None else due

    def send(self, record):
        _, old, reward, value, mu, flags = (int(element) for element in record[:6])
        self.log_ratios.append(old - mu)
        self.source.send_nowait(dict(zip(FIELDS, (reward, value, flags & 1, flags >> 1 & 1), strict=True)))

    async def start(self, registers, environments):
        self.dut.cfg_i.value, self.dut.environments_i.value = struct("scan_cfg_t").pack(asdict(registers)), environments
        self.dut.start_i.value = 1
        await cycle(self.dut)
        self.dut.start_i.value = 0
        self.skipped = 0
        await cycle(self.dut, 2)

    async def run(self, records, environments, registers):
        """Scan records, compare every result, the skipped records and the saturations; return the cycles that it took."""
        done, result = scan(records, environments, registers)
        await self.start(registers, environments)
        for record in records[::-1]:
            self.send(record)
        for advantage, value in done[::-1, 2:4].tolist():
            self.board.expect((advantage & 0xFFFF, value & 0xFFFF))
        begin = get_sim_time("ns")
        await self.source.idle()
        await self.board.drained()
        cycles = int(get_sim_time("ns") - begin) // CLOCK_NS
        await cycle(self.dut, 30)
        assert self.skipped == min(len(records), environments)
        assert int(self.dut.saturations_o.value) == result.saturations
        self.seen.hit("saturated", result.saturations > 0)
        return cycles


async def begin(dut) -> Bench:
    dut.start_i.value = 0
    await start_clock_and_reset(dut)
    return Bench(dut)


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def test_estimators(dut):
    """Every estimator with as many environments as the loop has cycles, one beside that, and the fewest and most."""
    bench, generator = await begin(dut), rng()
    for name, registers in named().items():
        for environments in (1, 2, LOOP - 1, LOOP, LOOP + 1, 63):
            await bench.run(episodes(generator, 3 if environments > 8 else 9, environments, 0.2), environments, registers)
        dut._log.info("%s: %d results", name, bench.board.compared)
    bench.board.finish()


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def test_extremes(dut):
    """Ends of every range: records, gamma, decay, caps; fewer records than environments, and a number that is no multiple."""
    bench, generator = await begin(dut), rng(1)
    ends = np.array([-32768, 32767, 0, 1, -1], np.int16)
    for _ in range(60):
        environments = int(generator.choice([1, 2, 5, 9, 63]))
        count = int(generator.integers(1, 6 * environments + 9))
        records = np.where(generator.random((count, 8)) < 0.7, generator.choice(ends, (count, 8)),
                           generator.integers(-32768, 32768, (count, 8))).astype(np.int16)
        await bench.run(records, environments, any_scan(generator))
        bench.seen.hit("no result", count <= environments)
        bench.seen.hit("partial", count > environments and count % environments)
    bench.seen.require(["saturated", "no result", "partial"])
    bench.board.finish()


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def test_stalls(dut):
    """Random registers under every combination of stall rates at both ends, in runs and single cycles."""
    bench, generator = await begin(dut), rng(2)
    for _ in stall_rates(bench.source, bench.sink, bursts):
        for environments in (1, 3, 11):
            await bench.run(episodes(generator, 60 // environments, environments, 0.1), environments, any_scan(generator))
    for _ in stall_rates(bench.source, bench.sink):
        await bench.run(episodes(generator, 8, 8, 0.1), 8, any_scan(generator))
    bench.board.finish()


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def test_rate(dut):
    """Without stalls a record a cycle from LOOP environments on; fewer take LOOP cycles for a step of each."""
    bench, generator = await begin(dut), rng(3)
    for environments in (1, 2, 4, LOOP, 8, 16, 63):
        records = episodes(generator, 400 // environments, environments)
        cycles = await bench.run(records, environments, named()["gae"])
        rate = len(records) / (cycles - 25)
        dut._log.info("%d environments: %.2f records a cycle", environments, rate)
        assert rate > 0.98 * min(environments / LOOP, 1)
    bench.board.finish()


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def test_reset(dut):
    """A reset in the middle of a scan leaves nothing behind."""
    bench, generator = await begin(dut), rng(4)
    for wait in (5, 24, 47):
        await bench.start(named()["gae"], 2)
        for record in episodes(generator, wait // 2, 2):
            bench.send(record)
        bench.sink.stall = stalls(1)
        await cycle(dut, wait)
        await reset(dut, 2)
        bench.sink.stall = stalls(0)
        await cycle(dut, 3)
        await bench.run(episodes(generator, 6, 3), 3, named()["vtrace"])
    bench.board.finish()
