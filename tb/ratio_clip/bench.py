# SPDX-License-Identifier: Apache-2.0
"""lathe_ratio_clip: every mode at and around its bounds, extremes, random samples, gaps, reset."""

from collections import deque
from itertools import product

import cocotb
import numpy as np

from pymodels.functions import exp_q
from tb.common.actors import Coverage, Scoreboard, cycle, reset, rng, stalls, start_clock_and_reset

NONE, RATIO, TRUNCATE, PPO = range(4)
LATENCY = 11
OUTPUTS = ("coef_o", "ratio_o", "high_o", "low_o", "clipped_o")


def expected(mode: int, lo: int, hi: int, x: int, adv: int) -> tuple[int, ...]:
    """Coefficient, ratio and flags by docs/numerics.md, section 8."""
    def e(v):
        return int(exp_q(np.array([v << 6]))[0])

    ratio, clipped = e(x), False
    if mode == NONE:
        coef = 65536
    elif mode == TRUNCATE:
        coef, clipped = e(min(x, hi)), x > hi
    elif mode == PPO:
        clipped = (adv > 0 and x > hi) or (adv < 0 and x < lo)
        coef = 0 if clipped else ratio
    else:
        coef = ratio
    return coef, ratio, int(x > hi), int(x < lo), int(clipped)


class Bench:
    def __init__(self, dut):
        self.dut, self.board, self.seen = dut, Scoreboard("ratio_clip"), Coverage()
        self._due: deque = deque()
        self._now = 0
        cocotb.start_soon(self._watch())

    async def _watch(self):
        while True:
            await cycle(self.dut)
            self._now += 1
            if not int(self.dut.rst_ni.value):
                self._due.clear()
            elif int(self.dut.valid_o.value):
                assert self._due and self._now - self._due.popleft() == LATENCY, "a result at the wrong time"
                self.board.observe(tuple(int(getattr(self.dut, name).value) for name in OUTPUTS))
            if int(self.dut.rst_ni.value) and int(self.dut.valid_i.value):
                self._due.append(self._now)

    async def send(self, mode, lo, hi, samples, gaps=0.0):
        """Send (x, adv) pairs under one configuration and wait for all results."""
        dut, stall = self.dut, stalls(gaps, rng(5))
        dut.mode_i.value, dut.lo_i.value, dut.hi_i.value = mode, lo, hi
        dut.start_i.value = 1
        await cycle(dut)
        dut.start_i.value = 0
        for x, adv in samples:
            while next(stall):
                dut.valid_i.value, dut.x_i.value = 0, -1
                await cycle(dut)
            dut.valid_i.value, dut.x_i.value, dut.adv_i.value = 1, x, adv
            wanted = expected(mode, lo, hi, x, adv)
            self.board.expect(wanted)
            self.seen.hit((mode, "clipped", wanted[4], np.sign(adv)))
            await cycle(dut)
        dut.valid_i.value = 0
        await cycle(dut, LATENCY + 2)
        assert not self.board.expected, "results are missing"


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def test_corners(dut):
    """Every mode at each bound and one beside it, with advantages of both signs and zero; the ends of the range."""
    await start_clock_and_reset(dut)
    bench = Bench(dut)
    bounds = [(-228, 187), (0, 0), (-32768, 32767), (32767, -32768), (-1, 1)]
    for mode, (lo, hi) in product(range(6), bounds):
        xs = {0, 1, -1, lo, lo - 1, lo + 1, hi, hi - 1, hi + 1, 65535, -65536, 3548, 3549, 3550, -11400, -13000}
        samples = list(product(sorted(xs), (0, 1, -1, 32767, -32768)))
        await bench.send(mode, lo, hi, samples)
    bench.seen.require([(PPO, "clipped", 1, 1), (PPO, "clipped", 1, -1), (PPO, "clipped", 0, 0), (TRUNCATE, "clipped", 1, 0)])
    bench.board.finish()


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def test_on_policy(dut):
    """At a log-ratio of 0 every mode whose bounds hold 0 gives exactly 1."""
    await start_clock_and_reset(dut)
    bench = Bench(dut)
    for mode, (lo, hi) in product(range(4), [(0, 0), (-200, 200)]):
        for adv in (-32768, -1, 0, 1, 32767):
            assert expected(mode, lo, hi, 0, adv)[0] == 65536
            await bench.send(mode, lo, hi, [(0, adv)])
    bench.board.finish()


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def test_random(dut):
    """Random configurations and samples, from one a cycle to long gaps."""
    await start_clock_and_reset(dut)
    bench, generator = Bench(dut), rng()
    for gaps in (0.0, 0.5, 0.9):
        for mode in range(4):
            lo, hi = sorted(generator.integers(-3000, 3000, 2).tolist())
            near = generator.integers(-4000, 4000, 150)
            wide = generator.integers(-65536, 65536, 50)
            advs = generator.integers(-32768, 32768, 200)
            xs = generator.permutation(np.concatenate([near, wide]))
            await bench.send(mode, lo, hi, list(zip(xs.tolist(), advs.tolist(), strict=True)), gaps)
    bench.board.finish()


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def test_reset(dut):
    """A reset drops the samples inside."""
    await start_clock_and_reset(dut)
    bench = Bench(dut)
    dut.mode_i.value, dut.valid_i.value, dut.x_i.value = RATIO, 1, 77
    await cycle(dut, 3)
    dut.valid_i.value = 0
    await reset(dut, 1)
    await cycle(dut, LATENCY + 4)
    await bench.send(PPO, -100, 100, [(x, 1) for x in range(-110, 110, 7)])
    bench.board.finish()
