# SPDX-License-Identifier: Apache-2.0
"""lathe_update against pymodels.update: every result word, report and pulse of every operation."""

from itertools import product

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge

from pymodels.numerics import op_key
from pymodels.update import Optimizer, int8_copy, step
from tb.common.actors import CommandDriver, Coverage, ScratchpadPorts, cycle, rng, start_clock_and_reset
from tb.common.structs import constant, struct

WORDS = 4096
CONFIG = struct("update_cfg_t")
EDGES = np.array([-32768, -32767, -1, 0, 1, 2, 32766, 32767])
OPERANDS = ("w", "g", "w_next", "m", "m_next")
STEPS = ("Sgd", "Momentum", "Nesterov", "Adam")
SETTINGS = {"lr_mant": 3000, "lr_exp": -16, "momentum": 60000, "beta1": 58982, "decay": -189, "gain": -1306303, "rate": -2612606,
            "eps": -6966949, "wd_mant": 43000, "wd_exp": -32}  # adam: 0.9, 0.999, 1e-3, 1e-8; decay 1e-5
NAMES = {"decay": "decay_log", "gain": "gain_log", "rate": "rate_log", "eps": "eps_log"}  # in update_cfg_t
EXPS = (-12, -14, -13, -12, -13, -6)


class Bench:
    """A unit with its scratchpad; `run` runs one command and compares everything that it did."""

    def __init__(self, dut, stall=0.0, words=WORDS):
        self.dut, self.lanes = dut, int(dut.Lanes.value)
        self.parts = self.lanes // int(dut.StepLanes.value)  # in which the datapath takes a word
        self.memory = ScratchpadPorts(dut, words, self.lanes, reads=("w", "g", "m", "v"), writes=("wn", "mn", "vn", "wc"), stall=stall)
        self.driver = CommandDriver(dut, config=[dut.cfg_i])
        self.rng, self.seen = rng(), Coverage()
        self.words = 0
        self.memory.memory[:] = self.rng.integers(-32768, 32768, self.memory.memory.shape)

    def values(self, count):
        """Elements of all sizes, corners among them."""
        x = self.rng.integers(-32768, 32768, count) >> self.rng.integers(0, 16, count)
        return np.where(self.rng.random(count) < 0.2, self.rng.choice(EDGES, count), x)

    def tensors(self, n):
        """Contents of w, g, m and l, n words each."""
        return [self.values(n * self.lanes) for _ in range(4)]

    def settings(self):
        """Registers with random contents, clip aside."""
        limits = {"lr_mant": 16, "momentum": 16, "beta1": 16, "wd_mant": 16}
        drawn = {name: int(self.rng.integers(1 << bits)) for name, bits in limits.items()}
        for name, bits in (("decay", 18), ("gain", 24), ("rate", 24), ("eps", 24)):
            half = 1 << (bits - 1) >> int(self.rng.integers(0, bits))
            drawn[name] = int(self.rng.integers(-half, half))
        return drawn | {"lr_exp": int(self.rng.integers(-40, 5)), "wd_exp": int(self.rng.integers(-40, 5))}

    def places(self, sizes):
        """Places of tensors of these sizes that do not overlap, in random order."""
        names = list(self.rng.permutation(list(sizes)))
        gaps = self.rng.multinomial(len(self.memory.memory) - sum(sizes.values()), [1 / (len(names) + 1)] * (len(names) + 1))
        at, end = {}, 0
        for name, gap in zip(names, gaps, strict=False):
            at[name] = int(end + gap)
            end = at[name] + sizes[name]
        return at

    def sizes(self, op, n, rows):
        """Words of each tensor of a command."""
        moments = {"Sgd": 0, "Adam": 2 * n}.get(op, n)
        copy = 0 if rows is None else (rows + 1) // 2 * (n // rows)
        return {"w": n, "g": n, "w_next": n, "m": moments, "m_next": moments, "w8": copy}

    def command(self, op, n, at, exps, stochastic, key, clip, rows):
        exps = dict(zip((*("w", "g", "m", "w_next", "m_next"), "w8"), exps, strict=True))
        garbage = {"addr": 0xDEAD, "stride": 0, "exp": 77}  # what an operation does not have
        sizes = self.sizes(op, n, rows)
        t = {name: {"addr": at[name], "stride": n, "exp": exps[name]} if sizes[name] else garbage for name in (*OPERANDS, "w8")}
        return {"op": constant(f"Update{op}"), "stochastic": int(stochastic), "m": rows or 1, "n": n // (rows or 1), "key": key,
                "clip": int(clip is not None), "int8_result": int(rows is not None), "t": [t[name] for name in OPERANDS], "t5": t["w8"]}

    async def run(self, op, tensors, exps, *, stochastic=False, clip=None, rows=None, at=None, key=None, **changes):
        """One command on w, g, m, l; exps of w, g, m, w', m', w8; rows: with int8 copy. Returns (pymodels.update.Step, cycles)."""
        n = len(tensors[0]) // self.lanes
        sizes = self.sizes(op, n, rows)
        at = at or self.places(sizes)
        key = op_key(self.rng.integers(1 << 32).item(), 3) if key is None else key
        settings = SETTINGS | changes
        memory = self.memory.memory
        w, g, m, v = (np.asarray(x, np.int16) for x in tensors)
        first = {"w": w, "g": g, "m": np.concatenate([m, v])[:sizes["m"] * self.lanes]}
        for name, tensor in first.items():
            memory[at[name]:at[name] + sizes[name]] = tensor.reshape(sizes[name], self.lanes)
        before = memory.copy()
        e_w, e_g, e_m, e_w_next, e_m_next, e_w8 = exps
        result = step(constant(f"Update{op}"), w, g, m, v, e_w=e_w, e_g=e_g, e_m=e_m, e_w_next=e_w_next, e_m_next=e_m_next,
                      cfg=Optimizer(**settings), clip=clip or 0, stochastic=stochastic, key=key)
        self.memory.read.clear()
        self.memory.written.clear()
        clip_log = int(self.rng.integers(-(1 << 23), 0)) if clip is None else clip  # ignored without the bit
        self.dut.cfg_i.value = CONFIG.pack({NAMES.get(name, name): value for name, value in settings.items()} | {"clip_log": clip_log})
        done = await self.driver.run(self.command(op, n, at, exps, stochastic, key, clip, rows), timeout=100_000 * self.parts)

        expected, saturations = before, result.w_result.saturations
        outputs = {"w_next": result.w}
        if result.m is not None:
            outputs["m_next"] = result.m if result.v is None else np.concatenate([result.m, result.v])
            saturations += result.m_result.saturations
        if rows is not None:
            copy, clamped = int8_copy(result.w, rows, e_w_next, e_w8)
            outputs["w8"] = copy.ravel()
            saturations += clamped
            self.seen.hit(("w8", "saturated"), clamped > 0)
        for name, tensor in outputs.items():
            expected[at[name]:at[name] + sizes[name]] = tensor.reshape(sizes[name], -1)
        wrong = np.argwhere(memory != expected)
        assert not len(wrong), (f"{op}: {len(wrong)} elements differ, first {wrong[0]}: {memory[tuple(wrong[0])]}, expected "
                                f"{expected[tuple(wrong[0])]}; {at}, {sizes}, {exps}, {settings}, clip {clip}, stochastic {stochastic}")
        reads = {at[name] + i for name in ("w", "g", "m") for i in range(sizes[name])}
        writes = {at[name] + i for name in outputs for i in range(sizes[name])}
        assert self.memory.read.keys() == reads and self.memory.written.keys() == writes
        assert set(self.memory.written.values()) == {1} and set(self.memory.read.values()) == {1}
        nothing = {"track": 0, "top": 0}
        report = {"error": 0, "saturations": saturations,
                  "result": [nothing if r is None else {"track": r.track, "top": r.top} for r in (result.w_result, result.m_result)]}
        assert done == report, f"{op}: {done}, expected {report}"
        self.words += n
        for name, part in (("w", result.w_result), ("m", result.m_result)):
            if part is not None:
                self.seen.hit((name, "saturated"), part.saturations > 0)
                self.seen.hit((name, "untracked"), not part.track)
        return result, self.driver.cycles


async def started(dut, stall=0.0, words=WORDS):
    await start_clock_and_reset(dut)
    return Bench(dut, stall, words)


def cube(lanes):
    """All combinations of the corner values of w, g and m, in whole words; l random-like, with its corners."""
    w, g, m = (np.array(x) for x in zip(*product(EDGES, repeat=3), strict=True))
    assert len(w) % lanes == 0
    return w, g, m, np.roll(np.resize(np.concatenate([EDGES, [-11000, -10500, -9000, 500]]), len(w)), 5)


@cocotb.test(timeout_time=8, timeout_unit="ms")
async def test_corners(dut):
    """Corner values under corner settings, both roundings, every operation."""
    bench = await started(dut)
    tensors = cube(bench.lanes)
    settings = [
        # exps of w, g, m, w', m', w8      momentum lr_mant lr_exp
        ((0, 0, 0, 0, 0, 0), 0, 0, 0),
        ((-12, -12, -12, -12, -12, -4), 65535, 65535, -16),
        ((-12, -12, -12, -12, -11, -5), 58982, 40000, -22),
        ((0, 0, 0, 0, 0, 7), 65535, 1, 0),
        ((0, 0, 0, 0, 1, 8), 32768, 32768, -16),
        ((-64, 63, -64, -64, 63, -64), 65535, 65535, 127),
        ((63, -64, 63, 63, -64, 70), 65535, 65535, -128),
        ((63, 63, 63, -64, -64, 63), 65535, 65535, 127),
        ((-64, -64, -64, 63, 63, -64), 65535, 65535, -128),
        ((0, 31, 15, -31, 0, -22), 1, 1, 0),
        ((-17, -17, 0, 0, 0, 1), 3, 5, -2),
        ((-16, -16, -15, 0, 0, 2), 16384, 16384, 3),
    ]
    for number, (exps, momentum, lr_mant, lr_exp) in enumerate(settings):
        changes = {"momentum": momentum, "beta1": momentum, "lr_mant": lr_mant, "lr_exp": lr_exp, "wd_mant": lr_mant, "wd_exp": lr_exp}
        for op in STEPS:
            for stochastic in (False, True):
                clip = None if number % 3 else int(bench.rng.choice([-1, 0, -(1 << 17), -(1 << 23)]))
                rows = int(bench.rng.choice([1, 2, 4])) if stochastic else None
                await bench.run(op, tensors, exps, stochastic=stochastic, clip=clip, rows=rows, **changes)
    zeros = [np.zeros(bench.lanes, int)] * 3 + [np.full(bench.lanes, -32768)]
    for op in STEPS:
        await bench.run(op, zeros, (5,) * 6, stochastic=True)
    same = [np.full(bench.lanes, x) for x in (0, 1, 32767, 0)]  # m' is 2**34: clamped, but no term alone has its length
    await bench.run("Momentum", same, (0, -16, 15, 0, 0, 0), momentum=65535, lr_mant=0, lr_exp=0)
    for x in (32767, -32768):  # the decay and adam's step are clamped together before they are subtracted from w, which is as large
        await bench.run("Adam", [np.full(bench.lanes, y) for y in (x, 0, x, -32768)], (4, 0, 0, 0, 0, 0), beta1=65535, wd_mant=65535,
                        wd_exp=-18, rate=8_000_000, eps=-(1 << 23) + 1000)
    bench.seen.require(product("wm", ("saturated", "untracked")))


@cocotb.test(timeout_time=8, timeout_unit="ms")
async def test_shifts(dut):
    """Every shift of every term, from beyond its range on one side to beyond it on the other."""
    bench = await started(dut)
    tensors = bench.tensors(1)
    for op in STEPS:
        for e in range(-64, 64, 5 if op in ("Sgd", "Nesterov") else 3):
            for exps in ((e, 0, 0, 0, 0, 0), (0, e, 0, 0, 0, 0), (0, 0, e, 0, 0, 0), (0, 0, 0, 0, e, 0)):
                await bench.run(op, tensors, exps, momentum=50000, beta1=50000, lr_mant=41, lr_exp=-4, stochastic=bool(e & 2))
        for lr_exp in range(-70, 50, 3):
            await bench.run(op, tensors, (0,) * 6, momentum=50000, lr_mant=60001, lr_exp=lr_exp, wd_mant=60001, wd_exp=lr_exp,
                            rate=lr_exp * 100000 - 7 * lr_exp)
    for e_w8 in range(-20, 30):
        await bench.run("Sgd", bench.tensors(2), (0, 0, 0, 0, 0, e_w8), rows=2, lr_mant=1, lr_exp=-30)


@cocotb.test(timeout_time=8, timeout_unit="ms")
async def test_every_form(dut):
    """Every operation with and without clip, int8 copy of rows even and odd in number, and stochastic rounding."""
    bench = await started(dut, 0.2)
    for op, clipped, rows, stochastic in product(STEPS, (False, True), (None, 1, 2, 3, 6), (False, True)):
        cols = int(bench.rng.choice([1, 2, 5]))
        clip = (0, -1, -300000, -4000000)[int(bench.rng.integers(4))] if clipped else None
        await bench.run(op, bench.tensors(cols * (rows or 4)), EXPS, stochastic=stochastic, clip=clip, rows=rows)
    bench.seen.require([("w8", "saturated")])


@cocotb.test(timeout_time=8, timeout_unit="ms")
async def test_random(dut):
    """Random tensors, settings and places; grants refused in 0 to 90 percent of the cycles; in place as well."""
    bench = await started(dut)
    for number in range(80):
        op = STEPS[number % 4]
        bench.memory.set_stall((0.0, 0.3, 0.6, 0.9)[number // 4 % 4])
        n = int(bench.rng.choice([1, 2, 3, 7, 40, 90])) if number // 4 % 4 < 3 else 12
        rows = int(bench.rng.choice([x for x in range(1, n + 1) if n % x == 0])) if bench.rng.random() < 0.4 else None
        base = int(bench.rng.integers(-40, 40))
        exps = tuple(int(x) for x in base + bench.rng.integers(-20, 20, 6))
        at = None
        if number % 5 == 4:
            sizes = bench.sizes(op, n, rows)
            at = bench.places(sizes)
            at["w_next"], at["m_next"] = at["w"], at["m"]
        clip = int(bench.rng.integers(-(1 << 23) >> int(bench.rng.integers(24)), 1)) if bench.rng.random() < 0.4 else None
        await bench.run(op, bench.tensors(n), exps, stochastic=bool(bench.rng.integers(2)), at=at, clip=clip, rows=rows,
                        **bench.settings())
    assert bench.words > 500


@cocotb.test(timeout_time=8, timeout_unit="ms")
async def test_adam(dut):
    """adam as it is used: moments around the gradient's size and epsilon, so that every table is gone through."""
    bench = await started(dut)
    for number in range(24):
        n = 30
        g = bench.values(n * bench.lanes)
        e_g = int(bench.rng.integers(-30, 0))
        near = np.log2(np.maximum(np.abs(g), 1)) + e_g + bench.rng.normal(0, 3, len(g))
        logs = np.where(bench.rng.random(len(g)) < 0.1, -32768, np.clip(near * 1024, -32768, 32767)).astype(int)
        eps = int(np.median(near) * (1 << 18)) + int(bench.rng.integers(-1 << 20, 1 << 20))
        rate = int(bench.rng.integers(-12 << 18, 0))
        exps = (-12, e_g, e_g, -12, int(e_g + bench.rng.integers(-1, 3)), -6)
        await bench.run("Adam", [bench.values(len(g)), g, bench.values(len(g)), logs], exps, eps=max(eps, -(1 << 23)), rate=rate,
                        stochastic=bool(number & 1), clip=None if number % 3 else -100000, rows=3 if number % 4 == 0 else None)


@cocotb.test(timeout_time=4, timeout_unit="ms")
async def test_rate(dut):
    """Words per cycle when the scratchpad grants every request; the counters of waiting see the refusals."""
    bench = await started(dut)
    n = 200
    tensors = bench.tensors(n)
    for op, clip, rows in product(STEPS, (None, -1000), (None, 10)):
        *_, cycles = await bench.run(op, tensors, EXPS, clip=clip, rows=rows)
        *_, twice = await bench.run(op, [np.concatenate([t, t]) for t in tensors[:4]], EXPS, clip=clip, rows=rows and 2 * rows)
        a_word = (twice - cycles) / n
        expected = (1 if op in ("Sgd", "Momentum") and clip is None else 2) * bench.parts
        dut._log.info(f"{op}, clip {clip is not None}, int8 {rows is not None}: {a_word} cycles a word, {cycles - n * a_word:.0f} more")
        assert a_word == expected, f"{op}, clip {clip}: {a_word} cycles a word"
        assert cycles - n * a_word <= (34 if expected == bench.parts else 100 if op == "Adam" or clip is not None else 60)

    counts = {"operand": 0, "result": 0}

    async def count():
        while True:
            await RisingEdge(dut.clk_i)
            for name in counts:
                counts[name] += int(getattr(dut, f"stall_{name}_o").value)

    cocotb.start_soon(count())
    for op in STEPS:
        for slow, fast in (("operand", "result"), ("result", "operand")):
            slow_ports = range(4) if slow == "operand" else range(4, 8)
            bench.memory.set_stall(lambda port, slow=slow_ports: _pattern(1 - 0.2 / bench.parts if port in slow else 0.0, port))
            counts.update(operand=0, result=0)
            *_, cycles = await bench.run(op, tensors, EXPS)
            assert counts[slow] > n and counts[fast] < 40, f"slow {slow}s: {counts}"
            assert cycles >= n + counts[slow]
    await cycle(dut, 10)
    before = dict(counts)
    await cycle(dut, 20)
    assert counts == before, "an idle unit does not stall"


def _pattern(p, port):
    generator = rng(500 + port)
    while True:
        yield bool(generator.random() < p)


@cocotb.test(timeout_time=16, timeout_unit="ms")
async def test_long(dut):
    """More than 65536 elements: the numbering that the random bits follow comes to its second row, within a pair of rows too."""
    bench = await started(dut, words=(1 << 16))
    n = 65536 // bench.lanes + 5
    at = {"w": 0, "w_next": 0, "g": n, "m": 2 * n, "m_next": 2 * n}
    *_, cycles = await bench.run("Momentum", bench.tensors(n), EXPS, stochastic=True, at=at)
    assert cycles <= n * bench.parts + 60, f"{cycles} cycles for {n} words"
    # Rows of words are no rows of the numbering: a word and the one under it lie in different ones
    for op, cols in (("Nesterov", 8197), ("Adam", 32768 // bench.lanes + 5))[:1 if bench.lanes == 4 else 2]:
        n = 2 * cols
        at = {"w": 0, "w_next": 0, "g": n, "m": 2 * n, "m_next": 2 * n, "w8": 4 * n if op == "Adam" else 3 * n}
        *_, cycles = await bench.run(op, bench.tensors(n), EXPS, stochastic=True, at=at, rows=2)
        assert cycles <= 2 * n * bench.parts + 300, f"{cycles} cycles for {n} words"


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def test_stochastic_mean(dut):
    """Stochastic rounding is unbiased: a step far below one unit moves the weights by that much in the mean."""
    bench = await started(dut)
    count = 192 * bench.lanes
    tensors = [np.full(count, 1000), np.full(count, 4096), np.zeros(count, int), np.zeros(count, int)]
    for lr_mant in (6554, 32768, 58982):   # 0.1, 0.5, 0.9 units
        result, _ = await bench.run("Momentum", tensors, (0,) * 6, momentum=0, lr_mant=lr_mant, lr_exp=-28, stochastic=True)
        size = lr_mant / 65536
        error = float(np.mean(result.w - tensors[0])) + size
        sigma = np.sqrt(size * (1 - size) / count)
        assert abs(error) < 4.5 * sigma + 2**-16, f"mean error {error} at a step of {size}"
        assert set(np.unique(result.w)) == {999, 1000}
    result, _ = await bench.run("Momentum", tensors, (0,) * 6, momentum=0, lr_mant=6554, lr_exp=-28)
    assert set(np.unique(result.w)) == {1000}, "half to even loses the step"


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def test_pad_lanes(dut):
    """Lanes that are zero in w, g and m (and none in l) stay so in the results and are not counted."""
    bench = await started(dut, 0.2)
    for lane in range(1, bench.lanes):
        tensors = [x.reshape(8, -1) for x in bench.tensors(8)]
        for tensor, pad in zip(tensors, (0, 0, 0, -32768), strict=True):
            tensor[:, lane:] = pad
        op = STEPS[lane % 4]
        result, _ = await bench.run(op, [t.ravel() for t in tensors], (-12, -20, -12, -14, -12, -5), momentum=65535, lr_mant=65535,
                                    lr_exp=-15, stochastic=True)
        for x, pad in ((result.w, 0), (result.m, 0), (result.v, -32768)):
            assert x is None or np.all(x.reshape(8, -1)[:, lane:] == pad)


async def answer_moves(dut, pulses, answer):
    """Answer each pointer operation so many cycles "after" its pulse with this "error"; `pulses` gets operations and slots."""
    while True:
        await RisingEdge(dut.clk_i)
        dut.move_done_i.value = 0
        if int(dut.move_valid_o.value):
            pulses.append((int(dut.move_op_o.value), int(dut.move_slot_o.value)))
            await cycle(dut, answer["after"] - 1)
            dut.move_done_i.value, dut.move_error_i.value = 1, answer["error"]


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def test_pointers(dut):
    """Each pointer operation is one pulse with its slot, and ends with the answer; COMMIT of a poisoned program is no pulse."""
    bench = await started(dut)
    pulses, answer = [], {"after": 1, "error": 0}
    cocotb.start_soon(answer_moves(dut, pulses, answer))
    nothing = {"track": 0, "top": 0}
    ones = [np.full(bench.lanes, 32767)] * 4
    for after, error, poisoned in ((1, "ErrNone", 0), (1, "ErrNoVersion", 0), (7, "ErrNone", 1), (2, "ErrNoSlot", 1)):
        answer.update(after=after, error=constant(error))
        dut.poisoned_i.value = poisoned
        for number, op in enumerate(("Commit", "Rollback", "Restore", "Pin", "Unpin")):
            pulses.clear()
            done = await bench.driver.run({"op": constant(f"Update{op}"), "k": number % 4})
            refused = op == "Commit" and poisoned
            expected = constant("ErrUncorrectable" if refused else error)
            assert done == {"error": expected, "saturations": 0, "result": [nothing] * 2}, f"{op}: {done}"
            assert pulses == ([] if refused else [(constant(f"Update{op}"), number % 4)])
            assert bench.driver.cycles <= 3 + after
        pulses.clear()
        await bench.run("Momentum", ones, (0, 0, 0, -1, -1, 0), momentum=65535, lr_mant=0, lr_exp=0)  # saturates
        assert not pulses
    for op in (9, 17, 31):
        assert (await bench.driver.run({"op": op}))["error"] == constant("ErrBadOp")
    assert not pulses


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def test_after_pointers(dut):
    """A clipped step that begins 0 to 30 cycles later than it may after a pointer operation is as right as any other."""
    bench = await started(dut)
    pulses, answer = [], {"after": 1, "error": 0}
    cocotb.start_soon(answer_moves(dut, pulses, answer))
    for later, op in product(range(31), STEPS):
        answer["after"] = 1 + later
        await bench.driver.run({"op": constant("UpdateCommit")})
        await bench.run(op, bench.tensors(1), EXPS, clip=int(bench.rng.integers(-(1 << 20), 0)))
    assert len(pulses) == 31 * len(STEPS)


@cocotb.test(timeout_time=4, timeout_unit="ms")
async def test_reset(dut):
    """A reset in the middle leaves everything but the results as it was; the next update is right."""
    bench = await started(dut, 0.3)
    n = 60
    for number, wait in enumerate((1, 2, 5, 9, 14, 20, 33, 50, 70, 90)):
        op = STEPS[number % 4]
        tensors, rows = bench.tensors(n), 3 if number % 3 == 0 else None
        sizes = bench.sizes(op, n, rows)
        at = bench.places(sizes)
        before = bench.memory.memory.copy()
        dut.cfg_i.value = CONFIG.pack({NAMES.get(name, name): value for name, value in SETTINGS.items()} | {"clip_log": -100})
        await bench.driver.interrupt(bench.command(op, n, at, EXPS, True, 1, -100 if number & 1 else None, rows), wait, 1 + wait % 3)
        kept = np.ones(WORDS, bool)
        for name in ("w_next", "m_next", "w8"):
            kept[at[name]:at[name] + sizes[name]] = False
        assert np.array_equal(bench.memory.memory[kept], before[kept])
        assert not any(int(getattr(dut, f"{name}_wr_valid_o").value) for name in ("wn", "mn", "vn", "wc"))
        assert not any(int(getattr(dut, f"{name}_rd_valid_o").value) for name in "wgmv")
        await bench.run(op, tensors, EXPS, stochastic=True, rows=rows)
    assert bench.words == 10 * n
