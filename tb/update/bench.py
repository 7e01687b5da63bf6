# SPDX-License-Identifier: Apache-2.0
"""lathe_update against pymodels.update: every result word, report and pulse."""

from itertools import product

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge

from pymodels.numerics import op_key
from pymodels.update import sgd
from tb.common.actors import CommandDriver, Coverage, ScratchpadPorts, cycle, rng, start_clock_and_reset
from tb.common.structs import constant, struct

WORDS = 1024
CONFIG = struct("update_cfg_t")
EDGES = np.array([-32768, -32767, -1, 0, 1, 2, 32766, 32767])
OPERANDS = ("w", "g", "w_next", "m", "m_next")


class Bench:
    """A unit with its scratchpad; `sgd` runs one command and compares everything that it did."""

    def __init__(self, dut, stall=0.0, words=WORDS):
        self.dut, self.lanes = dut, int(dut.Lanes.value)
        self.memory = ScratchpadPorts(dut, words, self.lanes, reads=("w", "g", "m"), writes=("wn", "mn"), stall=stall)
        self.driver = CommandDriver(dut, config=[dut.cfg_i])
        self.rng, self.seen = rng(), Coverage()
        self.words = 0
        self.memory.memory[:] = self.rng.integers(-32768, 32768, self.memory.memory.shape)

    def values(self, count):
        """Elements of all sizes, corners among them."""
        x = self.rng.integers(-32768, 32768, count) >> self.rng.integers(0, 16, count)
        return np.where(self.rng.random(count) < 0.2, self.rng.choice(EDGES, count), x)

    def places(self, n):
        """Five places of n words that do not overlap, in random order."""
        gaps = self.rng.multinomial(WORDS - 5 * n, [1 / 6] * 6)
        starts = [int(sum(gaps[: i + 1]) + i * n) for i in range(5)]
        return dict(zip(self.rng.permutation(OPERANDS), starts, strict=True))

    def command(self, n, at, exps, stochastic, key):
        exps = dict(zip(("w", "g", "m", "w_next", "m_next"), exps, strict=True))
        return {"op": constant("UpdateMomentum"), "stochastic": int(stochastic), "m": 1, "n": n, "key": key,
                "t": [{"addr": at[name], "stride": n, "exp": exps[name]} for name in OPERANDS]}

    async def sgd(self, w, g, m, exps, *, momentum, lr_mant, lr_exp, stochastic=False, at=None, key=None):
        """One command; exps of w, g, m, w', m'. Returns (w', m', cycles)."""
        n = len(w) // self.lanes
        at = at or self.places(n)
        key = op_key(self.rng.integers(1 << 32).item(), 3) if key is None else key
        memory = self.memory.memory
        for name, tensor in (("w", w), ("g", g), ("m", m)):
            memory[at[name]:at[name] + n] = np.asarray(tensor).reshape(n, self.lanes)
        before = memory.copy()
        settings = {"momentum": momentum, "lr_mant": lr_mant, "lr_exp": lr_exp}
        w_next, m_next, w_result, m_result = sgd(
            *(np.asarray(x, np.int16) for x in (w, g, m)), *exps, stochastic=stochastic, key=key, **settings)
        self.memory.read.clear()
        self.memory.written.clear()
        self.dut.cfg_i.value = CONFIG.pack(settings)
        done = await self.driver.run(self.command(n, at, exps, stochastic, key))

        expected = before
        expected[at["w_next"]:at["w_next"] + n] = w_next.reshape(n, -1)
        expected[at["m_next"]:at["m_next"] + n] = m_next.reshape(n, -1)
        wrong = np.argwhere(memory != expected)
        assert not len(wrong), (f"{len(wrong)} elements differ, first {wrong[0]}: {memory[tuple(wrong[0])]}, expected "
                                f"{expected[tuple(wrong[0])]}; {at}, {exps}, {settings}, stochastic {stochastic}")
        reads = {at[name] + i for name in ("w", "g", "m") for i in range(n)}
        writes = {at[name] + i for name in ("w_next", "m_next") for i in range(n)}
        assert self.memory.read.keys() == reads and self.memory.written.keys() == writes
        assert set(self.memory.written.values()) == {1}
        report = {"error": 0, "saturations": w_result.saturations + m_result.saturations,
                  "result": [{"track": r.track, "top": r.top} for r in (w_result, m_result)]}
        assert done == report, f"{done}, expected {report}"
        self.words += n
        for name, result in (("w", w_result), ("m", m_result)):
            self.seen.hit((name, "saturated"), result.saturations > 0)
            self.seen.hit((name, "untracked"), not result.track)
        return w_next, m_next, self.driver.cycles


async def started(dut, stall=0.0):
    await start_clock_and_reset(dut)
    return Bench(dut, stall)


def cube(lanes):
    """All combinations of the corner values of w, g and m, in whole words."""
    w, g, m = (np.array(x) for x in zip(*product(EDGES, repeat=3), strict=True))
    assert len(w) % lanes == 0
    return w, g, m


@cocotb.test(timeout_time=4, timeout_unit="ms")
async def test_corners(dut):
    """Corner values under corner settings, both roundings."""
    bench = await started(dut)
    w, g, m = cube(bench.lanes)
    settings = [
        # exps of w, g, m, w', m'      momentum lr_mant lr_exp
        ((0, 0, 0, 0, 0), 0, 0, 0),
        ((-12, -12, -12, -12, -12), 65535, 65535, -16),
        ((-12, -12, -12, -12, -11), 58982, 40000, -22),
        ((0, 0, 0, 0, 0), 65535, 1, 0),
        ((0, 0, 0, 0, 1), 32768, 32768, -16),
        ((-64, 63, -64, -64, 63), 65535, 65535, 127),
        ((63, -64, 63, 63, -64), 65535, 65535, -128),
        ((63, 63, 63, -64, -64), 65535, 65535, 127),
        ((-64, -64, -64, 63, 63), 65535, 65535, -128),
        ((0, 31, 15, -31, 0), 1, 1, 0),
        ((-17, -17, 0, 0, 0), 3, 5, -2),
        ((-16, -16, -15, 0, 0), 16384, 16384, 3),
    ]
    for exps, momentum, lr_mant, lr_exp in settings:
        for stochastic in (False, True):
            await bench.sgd(w, g, m, exps, momentum=momentum, lr_mant=lr_mant, lr_exp=lr_exp, stochastic=stochastic)
    zeros = np.zeros(bench.lanes, int)
    await bench.sgd(zeros, zeros, zeros, (5, 5, 5, 5, 5), momentum=65535, lr_mant=65535, lr_exp=0, stochastic=True)
    same = [np.full(bench.lanes, x) for x in (0, 1, 32767)]  # m' is 2**34: clamped, but no term alone has its length
    await bench.sgd(*same, (0, -16, 15, 0, 0), momentum=65535, lr_mant=0, lr_exp=0)
    bench.seen.require(product("wm", ("saturated", "untracked")))


@cocotb.test(timeout_time=4, timeout_unit="ms")
async def test_shifts(dut):
    """Every shift of every term, from beyond its range on one side to beyond it on the other."""
    bench = await started(dut)
    w, g, m = (bench.values(bench.lanes) for _ in range(3))
    for e in range(-64, 64, 3):
        for exps in ((e, 0, 0, 0, 0), (0, e, 0, 0, 0), (0, 0, e, 0, 0)):
            await bench.sgd(w, g, m, exps, momentum=50000, lr_mant=41, lr_exp=-4)
    for lr_exp in range(-70, 50, 3):
        await bench.sgd(w, g, m, (0, 0, 0, 0, 0), momentum=50000, lr_mant=60001, lr_exp=lr_exp)


@cocotb.test(timeout_time=4, timeout_unit="ms")
async def test_random(dut):
    """Random tensors, settings and places; grants refused in 0 to 90 percent of the cycles; in place as well."""
    bench = await started(dut)
    for number in range(40):
        bench.memory.set_stall((0.0, 0.3, 0.6, 0.9)[number % 4])
        n = int(bench.rng.choice([1, 2, 3, 7, 40, 90])) if number % 4 < 3 else 12
        w, g, m = (bench.values(n * bench.lanes) for _ in range(3))
        base = int(bench.rng.integers(-40, 40))
        exps = tuple(int(x) for x in base + bench.rng.integers(-20, 20, 5))
        at = None
        if number % 5 == 4:
            at = bench.places(n)
            at["w_next"], at["m_next"] = at["w"], at["m"]
        await bench.sgd(w, g, m, exps, momentum=int(bench.rng.integers(1 << 16)), lr_mant=int(bench.rng.integers(1 << 16)),
                        lr_exp=int(bench.rng.integers(-40, 5)), stochastic=bool(number & 1), at=at)
    assert bench.words > 500


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def test_rate(dut):
    """One word per cycle when the scratchpad grants every request; the counters of waiting see the refusals."""
    bench = await started(dut)
    n = 200
    tensors = [bench.values(n * bench.lanes) for _ in range(3)]
    settings = {"momentum": 60000, "lr_mant": 3000, "lr_exp": -16}
    *_, cycles = await bench.sgd(*tensors, (-12, -14, -13, -12, -13), **settings)
    assert cycles <= n + 30, f"{cycles} cycles for {n} words"

    counts = {"operand": 0, "result": 0}

    async def count():
        while True:
            await RisingEdge(dut.clk_i)
            for name in counts:
                counts[name] += int(getattr(dut, f"stall_{name}_o").value)

    cocotb.start_soon(count())
    for slow, fast in (("operand", "result"), ("result", "operand")):
        slow_ports = range(3) if slow == "operand" else range(3, 5)
        bench.memory.set_stall(lambda port, slow=slow_ports: _pattern(0.8 if port in slow else 0.0, port))
        counts.update(operand=0, result=0)
        *_, cycles = await bench.sgd(*tensors, (-12, -14, -13, -12, -13), **settings)
        assert counts[slow] > 2 * n and counts[fast] < 20, f"slow {slow}s: {counts}"
        assert cycles >= n + counts[slow]
    await cycle(dut, 10)
    before = dict(counts)
    await cycle(dut, 20)
    assert counts == before, "an idle unit does not stall"


def _pattern(p, port):
    generator = rng(500 + port)
    while True:
        yield bool(generator.random() < p)


@cocotb.test(timeout_time=4, timeout_unit="ms")
async def test_long(dut):
    """More than 65536 elements: the numbering that the random bits follow comes to its second row."""
    await start_clock_and_reset(dut)
    bench = Bench(dut, words=1 << 16)
    n = 65536 // bench.lanes + 5
    tensors = [bench.values(n * bench.lanes) for _ in range(3)]
    at = {"w": 0, "w_next": 0, "g": n, "m": 2 * n, "m_next": 2 * n}
    *_, cycles = await bench.sgd(*tensors, (-12, -14, -13, -12, -13), momentum=60000, lr_mant=3000, lr_exp=-16,
                                 stochastic=True, at=at)
    assert cycles <= n + 60, f"{cycles} cycles for {n} words"


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def test_stochastic_mean(dut):
    """Stochastic rounding is unbiased: a step far below one unit moves the weights by that much in the mean."""
    bench = await started(dut)
    count = 192 * bench.lanes
    w, g, m = np.full(count, 1000), np.full(count, 4096), np.zeros(count, int)
    for lr_mant in (6554, 32768, 58982):   # 0.1, 0.5, 0.9 units
        w_next, m_next, _ = await bench.sgd(w, g, m, (0, 0, 0, 0, 0), momentum=0, lr_mant=lr_mant, lr_exp=-28, stochastic=True)
        step = lr_mant / 65536
        error = float(np.mean(w_next - w)) + step
        sigma = np.sqrt(step * (1 - step) / count)
        assert abs(error) < 4.5 * sigma + 2**-16, f"mean error {error} at a step of {step}"
        assert set(np.unique(w_next)) == {999, 1000}
    w_next, *_ = await bench.sgd(w, g, m, (0, 0, 0, 0, 0), momentum=0, lr_mant=6554, lr_exp=-28)
    assert set(np.unique(w_next)) == {1000}, "half to even loses the step"


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def test_pad_lanes(dut):
    """Lanes that are zero in w, g and m stay zero in the results and are not counted."""
    bench = await started(dut, 0.2)
    for lane in range(1, bench.lanes):
        tensors = [bench.values(8 * bench.lanes).reshape(8, -1) for _ in range(3)]
        for tensor in tensors:
            tensor[:, lane:] = 0
        w_next, m_next, _ = await bench.sgd(*(t.ravel() for t in tensors), (-12, -20, -12, -14, -12), momentum=65535,
                                            lr_mant=65535, lr_exp=-15, stochastic=True)
        assert not w_next.reshape(8, -1)[:, lane:].any() and not m_next.reshape(8, -1)[:, lane:].any()


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def test_pointers(dut):
    """COMMIT and ROLLBACK are one pulse each; ROLLBACK without an older version is an error and no pulse."""
    bench = await started(dut)
    pulses = []

    async def watch():
        while True:
            await RisingEdge(dut.clk_i)
            pulses.extend(name for name in ("commit", "rollback") if int(getattr(dut, f"{name}_o").value))

    cocotb.start_soon(watch())
    nothing = {"track": 0, "top": 0}
    ones = np.full(bench.lanes, 32767)
    for kept in (0, 1, 0, 1):
        dut.rollback_ok_i.value = kept
        for op in ("Commit", "Rollback"):
            pulses.clear()
            done = await bench.driver.run({"op": constant(f"Update{op}")})
            failed = op == "Rollback" and not kept
            assert done == {"error": constant("ErrNoVersion") if failed else 0, "saturations": 0, "result": [nothing] * 2}
            assert pulses == ([] if failed else [op.lower()])
            assert bench.driver.cycles <= 4
        pulses.clear()
        await bench.sgd(ones, ones, ones, (0, 0, 0, -1, -1), momentum=65535, lr_mant=0, lr_exp=0)  # saturates
        assert not pulses
    done = await bench.driver.run({"op": 17})
    assert done["error"] == constant("ErrBadOp")


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def test_reset(dut):
    """A reset in the middle leaves w, m, g and everything else but w' and m' as it was; the next update is right."""
    bench = await started(dut, 0.3)
    n = 60
    settings = {"momentum": 60000, "lr_mant": 3000, "lr_exp": -16}
    for wait in (1, 2, 5, 9, 14, 20, 33, 50, 70):
        tensors = [bench.values(n * bench.lanes) for _ in range(3)]
        exps, at = (-12, -14, -13, -12, -13), bench.places(n)
        for name, tensor in zip("wgm", tensors, strict=True):
            bench.memory.memory[at[name]:at[name] + n] = tensor.reshape(n, -1)
        before = bench.memory.memory.copy()
        dut.cfg_i.value = CONFIG.pack(settings)
        await bench.driver.interrupt(bench.command(n, at, exps, True, 1), wait, 1 + wait % 3)
        kept = np.ones(WORDS, bool)
        for name in ("w_next", "m_next"):
            kept[at[name]:at[name] + n] = False
        assert np.array_equal(bench.memory.memory[kept], before[kept])
        assert not dut.wn_wr_valid_o.value and not dut.mn_wr_valid_o.value and not dut.w_rd_valid_o.value
        await bench.sgd(*tensors, exps, stochastic=True, **settings)
    assert bench.words == 9 * n
