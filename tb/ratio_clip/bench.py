# SPDX-License-Identifier: Apache-2.0
"""lathe_ratio_clip against pymodels.ratio: every named correction and any registers, at and around bounds, gaps, reset."""

import json
import os
from collections import deque
from dataclasses import asdict, replace
from itertools import product
from pathlib import Path

import cocotb
import numpy as np

from pymodels.ratio import Clip, Lane, clip
from tb.common.actors import Coverage, Scoreboard, cycle, reset, rng, stalls, start_clock_and_reset
from tb.common.ratios import any_clip, named
from tb.common.structs import struct

SAMPLES = int(os.environ.get("RATIO_SAMPLES", "5000"))  # of each correction
OUT = os.environ.get("RATIO_OUT")  # file for the samples a cycle of each correction
LATENCY = 13
OUTPUTS = ("coef", "ratio", "high", "low", "rho_high", "rho_low", "masked", "clipped", "seq_masked", "vetoed")
NATS_20 = 20 * 1024


class Bench:
    def __init__(self, dut):
        self.dut, self.board, self.seen = dut, Scoreboard("ratio_clip"), Coverage()
        self._outputs = [getattr(dut, f"{name}_o") for name in OUTPUTS]
        self._due: deque = deque()
        self._now = 0
        self._times: list[int] = []  # of the results
        cocotb.start_soon(self._watch())

    async def _watch(self):
        while True:
            await cycle(self.dut)
            self._now += 1
            if not int(self.dut.rst_ni.value):
                self._due.clear()
            elif int(self.dut.valid_o.value):
                assert self._due and self._now - self._due.popleft() == LATENCY, "a result at the wrong time"
                self._times.append(self._now)
                self.board.observe(tuple(int(pin.value) for pin in self._outputs))
            if int(self.dut.rst_ni.value) and int(self.dut.valid_i.value):
                self._due.append(self._now)

    async def send(self, name, registers, x_r, x_rho, adv, gaps=0.0, sequences=False):
        """Send samples under one configuration and wait for all results; returns how many of these come a cycle.

        `sequences`: some are vetoed, lanes that aggregate do.
        """
        dut, stall, lane = self.dut, stalls(gaps, rng(5)), struct("ratio_lane_t")
        dut.r_i.value, dut.rho_i.value = lane.pack(asdict(registers.r)), lane.pack(asdict(registers.rho))
        dut.dual_on_i.value, dut.dual_i.value, dut.stats_rho_i.value = registers.dual_on, registers.dual, registers.stats_rho
        await cycle(dut)
        x_r, x_rho, adv = (np.asarray(values, np.int64) for values in (x_r, x_rho, adv))
        veto = rng(6).integers(0, 2, len(x_r)) & sequences
        dut.r_sequence_i.value, dut.rho_sequence_i.value = (int(sequences and lane.aggregate != 0) for lane in (registers.r, registers.rho))
        self._times = []
        wanted = clip(registers, x_r, x_rho, adv, np.stack([x_r, x_rho, veto], axis=1) if sequences else None)
        for field in OUTPUTS[2:]:
            self.seen.hit((name, field), np.count_nonzero(getattr(wanted, field)))
        expected = zip(*(getattr(wanted, field).astype(np.int64).tolist() for field in OUTPUTS), strict=True)
        for sample, result in zip(zip(x_r.tolist(), x_rho.tolist(), adv.tolist(), veto.tolist(), strict=True), expected, strict=True):
            while next(stall):
                dut.valid_i.value, dut.x_r_i.value = 0, -1
                await cycle(dut)
            dut.valid_i.value = 1
            dut.x_r_i.value, dut.x_rho_i.value, dut.adv_i.value, dut.veto_i.value = sample
            self.board.expect(result)
            await cycle(dut)
        dut.valid_i.value = 0
        await cycle(dut, LATENCY + 2)
        assert not self.board.expected, "results are missing"
        return (len(x_r) - 1) / (self._times[-1] - self._times[0])


async def begin(dut) -> Bench:
    dut.valid_i.value = 0
    await start_clock_and_reset(dut)
    return Bench(dut)


def corners(registers: Clip) -> np.ndarray:
    """Samples at each bound and one beside it, and at the ends of every range, lanes and signs combined."""
    def of(*bounds: int) -> set[int]:
        beside = {bound + step for bound in bounds for step in (-1, 0, 1)}
        return beside | {0, NATS_20, -NATS_20, 32767, -32768, 65535, -65535}

    x_r, x_rho = of(registers.r.lo, registers.r.hi, registers.dual), of(registers.rho.lo, registers.rho.hi)
    some = {0, registers.r.hi + 1, registers.r.lo - 1}
    return np.array([*product(sorted(x_r), sorted(x_rho), (0, 1, -1)), *product(sorted(some), (0,), (32767, -32768))]).T


@cocotb.test(timeout_time=40, timeout_unit="ms")
async def test_corners(dut):
    """Every correction, and every action alone, at each bound, one beside it and at the ends of the range."""
    bench = await begin(dut)
    for name, registers in named().items():
        await bench.send(name, registers, *corners(registers))
    extremes = [(-228, 187), (0, 0), (-32768, 32767), (32767, -32768), (200, -100)]  # two with bounds the wrong way round
    for (lo, hi), action, weight, other in product(extremes, range(4), (0, 1), (False, True)):
        lane = Lane(weight, action, (action + other) % 4, lo, hi)
        registers = Clip(Lane(), lane, stats_rho=1) if other else Clip(lane, Lane(1), weight, lo)
        await bench.send("alone", registers, *corners(registers)[:, ::7])
    bench.seen.require([("ppo", "clipped"), ("ppo", "low"), ("icepop", "masked"), ("icepop", "rho_low"), ("tis", "rho_high"),
                        ("tis", "clipped"), ("dual_clip", "clipped"), ("alone", "masked"), ("alone", "clipped")])
    assert not bench.seen.hits[("ppo", "masked")] and not bench.seen.hits[("icepop", "clipped")]
    bench.board.finish()


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def test_on_policy(dut):
    """At log-ratios of 0 every correction gives exactly 1, whatever the advantage."""
    bench = await begin(dut)
    adv = [-32768, -1, 0, 1, 32767]
    for name, registers in named().items():
        zeros = np.zeros(len(adv), np.int64)
        assert (clip(registers, zeros, zeros, np.array(adv)).coef == 65536).all()
        await bench.send(name, registers, zeros, zeros, adv)
    bench.board.finish()


@cocotb.test(timeout_time=60, timeout_unit="ms")
async def test_random(dut):
    """Random samples of every correction, one a cycle, near the bounds and over the whole range."""
    bench, generator = await begin(dut), rng()
    rates = {}
    for name, registers in named().items():
        x_r, x_rho = (np.where(generator.random(SAMPLES) < 0.8, generator.integers(-1500, 1500, SAMPLES),
                               generator.integers(-65536, 65536, SAMPLES)) for _ in range(2))
        adv = generator.integers(-32768, 32768, SAMPLES) >> generator.integers(0, 16, SAMPLES)
        rates[name] = await bench.send(name, registers, x_r, x_rho, adv)
    assert set(rates.values()) == {1.0}
    if OUT:
        Path(OUT).write_text(json.dumps(rates))
    bench.board.finish()


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def test_any_registers(dut):
    """Random registers, from one sample a cycle to long gaps."""
    bench, generator = await begin(dut), rng(1)
    for gaps in (0.0, 0.5, 0.9):
        for _ in range(30):
            x = generator.integers(-2000, 2000, (2, 40))
            await bench.send("any", any_clip(generator), *x, generator.integers(-2, 3, 40), gaps, sequences=bool(generator.integers(2)))
    bench.seen.require([("any", "vetoed"), ("any", "seq_masked")])
    bench.board.finish()


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def test_reset(dut):
    """A reset drops the samples inside."""
    bench = await begin(dut)
    dut.valid_i.value, dut.x_r_i.value, dut.x_rho_i.value = 1, 77, -3
    await cycle(dut, 3)
    dut.valid_i.value = 0
    await reset(dut, 1)
    await cycle(dut, LATENCY + 4)
    x = np.arange(-300, 300, 7)
    await bench.send("ppo", replace(named()["ppo"], stats_rho=1), x, -x, np.ones_like(x))
    bench.board.finish()
