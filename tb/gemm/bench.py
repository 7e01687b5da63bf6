# SPDX-License-Identifier: Apache-2.0
"""lathe_gemm against pymodels.gemm: shapes, stored forms, activations, rounding, extremes, stalls, reset, cycle counts."""

from dataclasses import dataclass, field
from itertools import product

import cocotb
import numpy as np

from pymodels.descriptor import Act
from pymodels.gemm import matmul
from tb.common.actors import CommandDriver, Coverage, cycle, rng, stalls, start_clock_and_reset
from tb.common.ports import ScratchpadPorts

WORDS = 12288
ACTS = [(Act.NONE, Act.NONE), (Act.RELU, Act.NONE), (Act.TANH, Act.NONE), (Act.NONE, Act.RELU), (Act.NONE, Act.TANH)]


@dataclass
class Case:
    """One command; `fill` makes an int16 matrix of a shape."""

    m: int
    n: int
    k: int
    trans_a: bool = False
    trans_b: bool = False
    bias: bool = False
    act: Act = Act.NONE
    dact: Act = Act.NONE
    stochastic: bool = False
    e_a: int = 0
    e_b: int = 0
    e_c: int = 0
    e_bias: int = 0
    key: int = 0
    fill: object = field(default=None, repr=False)


def full_range(generator):
    """Matrices over the whole of int16, some elements at its ends or near zero."""
    def fill(shape):
        values = generator.integers(-32768, 32768, shape)
        corners = generator.choice([-32768, 32767, 0, -1, 1], shape)
        return np.where(generator.random(shape) < 0.2, corners, values)
    return fill


def random_case(generator, m, n, k, **options) -> Case:
    """A case with random options, whose result exponent suits the sums more often than not."""
    flip = lambda: bool(generator.integers(2))  # noqa: E731
    act, dact = ACTS[generator.integers(len(ACTS))]
    e_a, e_b = (int(generator.integers(-20, 4)) for _ in range(2))
    bits = 30 + k.bit_length() // 2
    chosen = {
        "trans_a": flip(), "trans_b": flip(), "bias": flip(), "act": act, "dact": dact, "stochastic": flip(),
        "e_a": e_a, "e_b": e_b, "e_c": int(np.clip(e_a + e_b + bits - 14 + generator.integers(-3, 4), -64, 63)),
        "e_bias": int(np.clip(e_a + e_b + generator.integers(-18, 32), -64, 63)),
        "key": int(generator.integers(1 << 32)), "fill": full_range(generator), **options}
    if chosen["act"] == Act.TANH and "e_a" not in options:  # sums within tanh's range
        chosen["e_a"] = -bits + int(generator.integers(-1, 4)) - e_b
    return Case(m, n, k, **chosen)


class Bench:
    def __init__(self, dut):
        self.dut = dut
        self.lanes = len(dut.wr_data_o) // 16
        self.random = rng(7)
        self.ports = ScratchpadPorts(dut, WORDS, self.lanes, reads=("a", "b", "x"), writes=("",),
                                     memory=self.random.integers(-32768, 32768, (WORDS, self.lanes)))
        self.driver = CommandDriver(dut)
        self.seen = Coverage()
        self.compared = 0
        self.steps = 0
        cocotb.start_soon(self._watch())

    async def _watch(self):
        while True:
            await cycle(self.dut)
            self.steps += int(self.dut.mac_step_o.value)
            self.seen.hit("stall_operand", int(self.dut.stall_operand_o.value))
            self.seen.hit("stall_result", int(self.dut.stall_result_o.value))

    def place(self, at: int, rows: int, columns: int) -> tuple[dict, int]:
        """Address and stride of a new tensor behind `at`, and the end of it."""
        words = -(-columns // self.lanes)
        stride = words + int(self.random.integers(3)) * (rows * words * 2 < WORDS // 8)
        addr = at + int(self.random.integers(3))
        end = addr + (rows - 1) * stride + words
        assert end <= WORDS, "the bench's memory is too small"
        return {"addr": addr, "stride": stride}, end

    def store(self, where: dict, matrix: np.ndarray) -> None:
        """Write a matrix; pad lanes keep the garbage of before."""
        for row, values in enumerate(matrix):
            start = (where["addr"] + row * where["stride"]) * self.lanes
            self.ports.memory.reshape(-1)[start:start + len(values)] = values

    def prepare(self, case: Case):
        """Put the operands into memory; return the command, the expected memory and the expected completion record."""
        m, n, k = case.m, case.n, case.k
        a, b = case.fill((m, k)).astype(np.int16), case.fill((k, n)).astype(np.int16)
        bias, y = case.fill((1, n)).astype(np.int16), case.fill((m, n)).astype(np.int16)
        stored = [a.T if case.trans_a else a, b.T if case.trans_b else b, np.zeros((m, n)), bias, y]
        exps = [case.e_a, case.e_b, case.e_c, case.e_bias, int(self.random.integers(-64, 64))]
        operands, at = [], 0
        for matrix, exp in zip(stored, exps, strict=True):
            where, at = self.place(at, *matrix.shape)
            operands.append({**where, "exp": exp})
        for index in (0, 1, 3, 4):
            self.store(operands[index], stored[index])
        c, result = matmul(a, b, case.e_a, case.e_b, case.e_c, bias=bias[0] if case.bias else None, e_bias=case.e_bias,
                           act=case.act, dact=case.dact, y=y if case.dact else None, stochastic=case.stochastic,
                           key=case.key)
        command = {"trans_a": case.trans_a, "trans_b": case.trans_b, "bias": case.bias, "act": int(case.act),
                   "dact": int(case.dact), "stochastic": case.stochastic, "t": operands, "m": m, "n": n, "k": k,
                   "key": case.key}
        memory = self.ports.memory.copy()
        padded = np.zeros((m, -(-n // self.lanes) * self.lanes), np.int16)
        padded[:, :n] = c
        where = operands[2]
        for row in range(m):
            start = where["addr"] + row * where["stride"]
            memory[start:start + padded.shape[1] // self.lanes] = padded[row].reshape(-1, self.lanes)
        none = {"write": 0, "exp": 0, "track": 0, "top": 0}
        done = {"error": 0, "saturations": result.saturations,
                "result": [{name: getattr(result, name) for name in none}, none]}
        return command, memory, done

    async def run(self, case: Case) -> int:
        """Run one command, compare the whole memory and the record; return the cycles it took."""
        command, memory, done = self.prepare(case)
        self.ports.written.clear()
        self.steps = 0
        record = await self.driver.run(command, timeout=400_000)
        assert record == done, f"{case}: done {record}, expected {done}"
        if not np.array_equal(self.ports.memory, memory):
            word = int(np.flatnonzero((self.ports.memory != memory).any(axis=1))[0])
            raise AssertionError(f"{case}: word {word} (result at {command['t'][2]}) is {self.ports.memory[word]}, "
                                 f"expected {memory[word]}")
        words = case.m * -(-case.n // self.lanes)
        assert set(self.ports.written.values()) == {1} and len(self.ports.written) == words
        tiles = -(-case.m // self.lanes) * -(-case.n // self.lanes)
        assert self.steps == tiles * case.k, f"{case}: {self.steps} steps"
        self.compared += 1
        for name in ("trans_a", "trans_b", "bias", "stochastic"):
            self.seen.hit(f"{name}={getattr(case, name)}")
        self.seen.hit(f"act={case.act.name}")
        self.seen.hit(f"dact={case.dact.name}")
        self.seen.hit("saturated", record["saturations"] > 0)
        self.seen.hit("not saturated", record["saturations"] == 0)
        self.seen.hit("not tracked", record["result"][0]["track"] == 0)
        return self.driver.cycles

    def finish(self, *bins):
        self.seen.require(bins)
        assert self.compared, "compared nothing"


async def start(dut) -> Bench:
    await start_clock_and_reset(dut)
    return Bench(dut)


ALL_BINS = [f"{name}={value}" for name in ("trans_a", "trans_b", "bias", "stochastic") for value in (False, True)]
ALL_BINS += [f"act={act}" for act in ("NONE", "RELU", "TANH")] + [f"dact={act}" for act in ("NONE", "RELU", "TANH")]


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def test_shapes(dut):
    """Every combination of sizes around one and two blocks, in random forms."""
    bench = await start(dut)
    lanes = bench.lanes
    sizes = [1, lanes - 1, lanes, lanes + 1, 2 * lanes + 1] if lanes < 16 else [1, lanes, lanes + 1]
    for m, n, k in product(sizes, repeat=3):
        await bench.run(random_case(bench.random, m, n, k))
    bench.finish(*ALL_BINS, "saturated", "not saturated")


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def test_options(dut):
    """Every combination of stored forms, bias, activation and rounding, on a ragged shape."""
    bench = await start(dut)
    lanes = bench.lanes
    for trans_a, trans_b, bias, stochastic, (act, dact) in product(*[(False, True)] * 4, ACTS):
        await bench.run(random_case(bench.random, lanes + 2, lanes + 3, lanes - 1 + 2 * bench.compared % 5,
                                    trans_a=trans_a, trans_b=trans_b, bias=bias, stochastic=stochastic, act=act, dact=dact))
    bench.finish(*ALL_BINS)


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def test_extremes(dut):
    """Exponents and operands at their ends, the longest K, sums that are all zero or -1."""
    bench = await start(dut)
    lanes = bench.lanes
    ends = {"lowest": -32768, "highest": 32767, "zero": 0, "minus one": -1, "one": 1}
    constant = lambda value: lambda shape: np.full(shape, value)  # noqa: E731
    for (name, value), (act, dact), bias in product(ends.items(), ACTS, (False, True)):
        exps = bench.random.choice([-64, -16, -1, 0, 15, 63], 4)
        case = random_case(bench.random, lanes + 1, 3, 2 * lanes + 1, act=act, dact=dact, bias=bias, fill=constant(value),
                           **dict(zip(("e_a", "e_b", "e_c", "e_bias"), map(int, exps), strict=True)))
        await bench.run(case)
        bench.seen.hit(name)
    for e_a, e_b, e_c, e_bias in product((-64, 63), (-64, 63), (-64, 63), (-64, 63)):
        act, dact = ACTS[bench.compared % len(ACTS)]
        await bench.run(random_case(bench.random, 2, lanes + 1, 3, e_a=e_a, e_b=e_b, e_c=e_c, e_bias=e_bias, bias=True,
                                    act=act, dact=dact))
    for shift in range(-18, 66, 1):  # every shift, ties included: the sums have few bits
        await bench.run(random_case(bench.random, 3, lanes, 1, e_a=-20, e_b=0, e_c=int(np.clip(shift - 36, -64, 63)),
                                    act=Act.NONE, fill=lambda shape: 1 << bench.random.integers(0, 15, shape)))
    k_longest = 16384
    for value, (act, dact) in ((-32768, ACTS[0]), (-32768, ACTS[4])):
        await bench.run(random_case(bench.random, 1, 1, k_longest, trans_a=False, trans_b=True, bias=True, act=act,
                                    dact=dact, e_a=0, e_b=0, e_c=31, e_bias=63, stochastic=False, fill=constant(value)))
    bench.finish("saturated", "not saturated", "not tracked", *ends)


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def test_stalls(dut):
    """Random commands, one after the other, while every port stalls at its own rate."""
    bench = await start(dut)
    lanes = bench.lanes
    rates = [(0, 0, 0, 0.9), (0.5, 0, 0, 0), (0, 0.5, 0, 0), (0, 0, 0.9, 0), (0.9, 0.9, 0.9, 0.9), (0.5, 0.5, 0.5, 0.5)]
    rates += [tuple(bench.random.choice([0, 0.2, 0.5, 0.9], 4)) for _ in range(12 if lanes < 16 else 4)]
    for rate in rates:
        bench.ports.set_stall(lambda port, rate=rate: stalls(rate[port], rng(20 + port)))
        for _ in range(2):
            m, n, k = (int(x) for x in bench.random.integers(1, 4 * lanes, 3))
            if rate is rates[0]:  # long enough to fill everything between array and scratchpad
                m, n, k = 6 * lanes, 6 * lanes, 1
            await bench.run(random_case(bench.random, m, n, min(k, 2 * lanes)))
    bench.finish("stall_operand", "stall_result", "saturated", "not saturated")


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def test_reset(dut):
    """A reset at any time of a command leaves nothing behind."""
    bench = await start(dut)
    lanes = bench.lanes
    for moment in [*range(1, 12), *bench.random.uniform(0.05, 1, 15)]:  # in cycles, then in shares of the command
        case = random_case(bench.random, 2 * lanes, 2 * lanes, lanes + 3)
        bench.ports.set_stall(0)
        taken = await bench.run(case)
        bench.ports.set_stall(float(bench.random.choice([0, 0.5])))
        await bench.driver.interrupt(bench.prepare(case)[0], moment if moment >= 1 else int(moment * taken))
        await bench.run(random_case(bench.random, lanes + 1, lanes + 1, 5))
    bench.finish()


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def test_rate(dut):
    """Without stalls a tile takes max(K, Lanes) cycles, drain and reading included; only the start and the end add to it."""
    bench = await start(dut)
    lanes = bench.lanes
    for trans_a, trans_b in product((False, True), repeat=2):
        size = 8 * lanes
        for act, dact, bias in ((Act.NONE, Act.NONE, False), (Act.TANH, Act.NONE, True), (Act.NONE, Act.RELU, False)):
            if lanes == 16 and act != Act.TANH:
                continue
            taken = await bench.run(random_case(bench.random, size, size, size, trans_a=trans_a, trans_b=trans_b,
                                                act=act, dact=dact, bias=bias))
            ideal = size**3 // lanes**2
            dut._log.info(f"{size}x{size}x{size} trans_a={trans_a} trans_b={trans_b} {act.name} {dact.name}: "
                          f"{taken} cycles, ideal {ideal}")
            assert taken <= ideal + 6 * lanes + 32, f"{taken} cycles, ideal {ideal}"
    for k, per_tile in ((1, lanes), (lanes, lanes), (lanes + 1, lanes + 1)):
        taken = await bench.run(random_case(bench.random, 4 * lanes, 8 * lanes, k, trans_a=True, trans_b=False, dact=Act.NONE,
                                            act=Act.TANH, bias=True))
        dut._log.info(f"{4 * lanes}x{8 * lanes}x{k}: {taken} cycles, ideal {32 * per_tile}")
        assert taken <= 32 * per_tile + 6 * lanes + 32, f"K = {k}: {taken} cycles, ideal {32 * per_tile}"
    for k in (lanes + 1, 3 * lanes - 1):
        per_tile = -(-k // lanes) * lanes
        taken = await bench.run(random_case(bench.random, 4 * lanes, 4 * lanes, k, trans_a=False, trans_b=True,
                                            act=Act.RELU, dact=Act.NONE))
        assert taken <= 16 * per_tile + 6 * lanes + 32, f"K = {k}: {taken} cycles, ideal {16 * per_tile}"
    bench.finish()
