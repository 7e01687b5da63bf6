# SPDX-License-Identifier: Apache-2.0
"""lathe_policy: SAMPLE, EVALUATE, MEASURE and LOSS against pymodels.policy, whole operations through a scratchpad model."""

from dataclasses import asdict, dataclass, replace
from itertools import product

import cocotb
import numpy as np

from pymodels import policy
from pymodels.descriptor import record_words
from pymodels.numerics import mix32_array
from pymodels.policy import Stats
from pymodels.ratio import UNCORRECTED, Clip, Lane
from pymodels.scan import scan
from tb.common import scans
from tb.common.actors import CommandDriver, Coverage, Scoreboard, cycle, merged, rng, stalls, start_clock_and_reset
from tb.common.ports import ScratchpadPorts
from tb.common.ratios import any_clip, named
from tb.common.structs import constant, struct

METHODS = named()
PIECE = 32  # samples of a piece of a command
CFG = {"ratio": METHODS["decoupled_ppo"], "entropy_coef": 655, "value_coef": 32768, "version": 7}


@dataclass
class Case:
    """One operation: logits and values, their exponents, and the fields of the command."""

    y: np.ndarray
    e_y: int = -12
    e_dy: int = -20
    gshift: int = 6
    stochastic: bool = False
    greedy: bool = False
    key: int = 1
    gap: int = 0  # words between rows


class Bench:
    def __init__(self, dut, stall=0.0, scale=1):
        self.dut = dut
        self.lanes = int(dut.Lanes.value)
        self.pad = ScratchpadPorts(dut, 4096 * scale, self.lanes, stall=stall)
        self.source_at, self.records_at, self.result_at, self.sequences_at = (
            at * scale for at in (0, 1400, 2000, 3700))  # where operands lie
        self.commands = CommandDriver(dut, config=[dut.cfg_i])
        self.board, self.seen, self.stats = Scoreboard("policy"), Coverage(), Stats()
        self.generator = rng()
        self.cfg = CFG
        self.stalled_operand = self.stalled_result = 0  # cycles of the last operation
        self.pieces = False  # run commands in pieces
        cocotb.start_soon(self._watch())

    async def _watch(self):
        while True:
            await cycle(self.dut)
            if self.commands.running:
                self.stalled_operand += int(self.dut.stall_operand_o.value)
                self.stalled_result += int(self.dut.stall_result_o.value)

    def configure(self, cfg):
        self.cfg = {**CFG, **cfg}

    async def run(self, command):
        plain = {name: value for name, value in self.cfg.items() if name != "ratio"}
        cfg = struct("policy_cfg_t").pack(asdict(self.cfg["ratio"]) | plain)
        self.stalled_operand = self.stalled_result = 0
        done = []
        for piece in self._cut(command) if self.pieces else [command]:
            self.dut.cfg_i.value = cfg
            done.append(await self.commands.run(piece))
        return merged(done)

    def _cut(self, command):
        """Pieces of a command, in their order (docs/architecture.md, "Requests beside a program")."""
        for row in range(0, command["m"], PIECE):
            yield {**command, "m": min(PIECE, command["m"] - row), "first_row": row,
                   "t": {i: dict(each, addr=each["addr"] + row * each["stride"]) for i, each in command["t"].items()}}

    def _place(self, y, gap):
        """Write rows of y, with garbage in pad lanes and everywhere else; return the stride."""
        m, n = y.shape
        words = -(-n // self.lanes)
        stride = words + gap
        self.pad.memory[:] = self.generator.integers(-32768, 32768, self.pad.memory.shape)
        assert m * stride < self.records_at
        for row in range(m):
            flat = self.pad.memory[self.source_at + row * stride:self.source_at + row * stride + words].reshape(-1)
            flat[:n] = y[row]
        return stride, words

    async def sample(self, case):
        """Run SAMPLE, compare every record and every untouched word; return the records."""
        m, n = case.y.shape
        stride, _ = self._place(case.y, case.gap)
        before = self.pad.memory.copy()
        expected, _ = policy.sample(case.y, case.e_y, greedy=case.greedy, key=case.key,
                                    version=self.cfg["version"], lanes=self.lanes)
        done = await self.run({
            "op": constant("PolicySample"), "greedy": case.greedy, "m": m, "n": n, "key": case.key,
            "t": {0: {"addr": self.source_at, "stride": stride, "exp": case.e_y}, 2: {"addr": self.result_at, "stride": 1 + case.gap}}})
        rows = self.result_at + np.arange(m) * (1 + case.gap)
        before[rows] = expected
        self.board.expect(before)
        self.board.observe(self.pad.memory)
        assert done["error"] == 0 and done["saturations"] == 0
        assert not any(r["track"] for r in done["result"])
        self.seen.hit("last action", bool((expected[:, 0] == n - 2).any()) and n > 2)
        return expected

    def _record_rows(self, at, m, stride):
        """Word addresses of records, one row each."""
        return at + np.arange(m)[:, None] * stride + np.arange(record_words(self.lanes))

    def _place_records(self, records, stride):
        rows = self._record_rows(self.records_at, len(records), stride)
        whole = self.pad.memory[rows].reshape(len(records), -1)  # with garbage in pad lanes
        whole[:, :8] = records
        self.pad.memory[rows] = whole.reshape(*rows.shape, self.lanes)

    async def evaluate(self, case, records, in_place=False):
        """Run EVALUATE, compare every record and every untouched word; return the records."""
        m, n = case.y.shape
        stride, _ = self._place(case.y, case.gap)
        rec_stride = record_words(self.lanes) + case.gap
        out_stride = rec_stride if in_place else rec_stride + case.gap
        out = self.records_at if in_place else self.result_at
        self._place_records(records, rec_stride)
        before = self.pad.memory.copy()
        rows = self._record_rows(out, m, out_stride)
        given = before[self._record_rows(self.records_at, m, rec_stride)].reshape(m, -1)
        expected, _ = policy.evaluate(case.y, given, case.e_y)
        before[rows] = expected.reshape(*rows.shape, self.lanes)
        done = await self.run({
            "op": constant("PolicyEvaluate"), "m": m, "n": n,
            "t": {0: {"addr": self.source_at, "stride": stride, "exp": case.e_y}, 1: {"addr": self.records_at, "stride": rec_stride},
                  2: {"addr": out, "stride": out_stride}}})
        self.board.expect(before)
        self.board.observe(self.pad.memory)
        assert done["error"] == 0 and done["saturations"] == 0 and not any(r["track"] for r in done["result"])
        self.check_stats()
        return expected

    async def measure(self, case, records):
        """Run MEASURE, compare every word of a sequence and every untouched word; return the words."""
        m, n = case.y.shape
        stride, _ = self._place(case.y, case.gap)
        rec_stride = record_words(self.lanes) + case.gap
        self._place_records(records, rec_stride)
        before = self.pad.memory.copy()
        expected, _ = policy.measure(case.y, records, case.e_y, ratio=self.cfg["ratio"], lanes=self.lanes)
        before[self.result_at + np.arange(len(expected)) * (1 + case.gap)] = expected
        done = await self.run({
            "op": constant("PolicyMeasure"), "m": m, "n": n,
            "t": {0: {"addr": self.source_at, "stride": stride, "exp": case.e_y}, 1: {"addr": self.records_at, "stride": rec_stride},
                  2: {"addr": self.result_at, "stride": 1 + case.gap}}})
        self.board.expect(before)
        self.board.observe(self.pad.memory)
        assert done["error"] == 0 and done["saturations"] == 0 and not any(r["track"] for r in done["result"])
        self.check_stats()
        return expected

    async def scan(self, records, environments, registers, in_place=False):
        """Run SCAN, compare every record and every untouched word, saturations and statistics; return the cycles that it took."""
        self.pad.memory[:] = self.generator.integers(-32768, 32768, self.pad.memory.shape)
        m, words = len(records), record_words(self.lanes)
        out = self.records_at if in_place else self.result_at
        self._place_records(records, words)
        before = self.pad.memory.copy()
        given = before[self._record_rows(self.records_at, m, words)].reshape(m, -1)
        expected, result = scan(given, environments, registers)
        rows = self._record_rows(out, m, words)[:len(expected)]
        before[rows] = expected.reshape(*rows.shape, self.lanes)
        self.configure({"scan": asdict(registers), "ratio": any_clip(self.generator)})  # which is not used
        done = await self.run({
            "op": constant("PolicyScan"), "m": m, "n": environments + 1,
            "t": {1: {"addr": self.records_at, "stride": words}, 2: {"addr": out, "stride": words}}})
        self.board.expect(before)
        self.board.observe(self.pad.memory)
        assert (done["error"], done["saturations"]) == (0, result.saturations)
        assert not any(r["track"] for r in done["result"])
        self.seen.hit("saturated", result.saturations > 0)
        self.check_stats()
        return self.commands.cycles

    async def loss(self, case, records, sequences=None):
        """Run LOSS, compare the gradient, the completion record and the statistics; `sequences`: with these words."""
        m, n = case.y.shape
        stride, words = self._place(case.y, case.gap)
        rec_words = record_words(self.lanes)
        rec_stride, out_stride = rec_words + case.gap, words + 2 * case.gap
        assert self.records_at + m * rec_stride < self.result_at
        self._place_records(records, rec_stride)
        if sequences is not None:
            assert self.result_at + m * out_stride <= self.sequences_at
            self.pad.memory[self.sequences_at + np.arange(len(sequences)) * (1 + case.gap)] = sequences
        before = self.pad.memory.copy()
        names = ("ratio", "entropy_coef", "value_coef")
        expected, result = policy.loss(case.y, records, case.e_y, case.e_dy, gshift=case.gshift,
                                       stochastic=case.stochastic, key=case.key, stats=self.stats, sequences=sequences,
                                       **{name: self.cfg[name] for name in names})
        done = await self.run({
            "op": constant("PolicyLoss"), "m": m, "n": n, "gshift": case.gshift, "stochastic": case.stochastic,
            "key": case.key, "sequence_words": sequences is not None,
            "t": {0: {"addr": self.source_at, "stride": stride, "exp": case.e_y}, 1: {"addr": self.records_at, "stride": rec_stride},
                  2: {"addr": self.result_at, "stride": out_stride, "exp": case.e_dy},
                  4: {"addr": self.sequences_at, "stride": 1 + case.gap}}})
        padded = np.zeros((m, words * self.lanes), np.int16)
        padded[:, :n] = expected
        for row in range(m):
            start = self.result_at + row * out_stride
            before[start:start + words] = padded[row].reshape(words, self.lanes)
        self.board.expect(before)
        self.board.observe(self.pad.memory)
        got = done["result"][0]
        assert (done["error"], done["saturations"]) == (0, result.saturations)
        assert got["track"] == result.track
        assert not result.track or got["top"] == result.top
        assert not done["result"][1]["track"]
        self.check_stats()
        self.seen.hit("saturated", result.saturations > 0)
        self.seen.hit("not tracked", not result.track)
        return expected

    def check_stats(self):
        assert struct("policy_stats_t").unpack(int(self.dut.stats_o.value)) == asdict(self.stats)

    def logits(self, m, actions, spread=4096):
        y = np.rint(self.generator.normal(0, spread, (m, actions + 1)))
        return np.clip(y, -32768, 32767).astype(np.int16)

    def records(self, m, actions, near=None):
        """Random records; with `near` (records of SAMPLE) the log-probabilities are close to the present one."""
        generator = self.generator
        records = generator.integers(-32768, 32768, (m, 8)).astype(np.int16)
        records[:, 0] = generator.integers(0, actions, m)
        records[:, 1] = generator.integers(-5000, 1, m)
        records[:, 4] = generator.integers(-5000, 1, m)
        if near is not None:
            records[:, 0] = near[:, 0]
            records[:, 1] = np.clip(near[:, 1] + generator.integers(-300, 300, m), -32768, 32767)
            records[:, 4] = np.clip(records[:, 1] + generator.integers(-800, 800, m), -32768, 32767)
        records[:, 2] = generator.integers(-32768, 32768, m) >> generator.integers(0, 6, m)
        records[:, 3] = generator.integers(-8000, 8000, m)
        return records


def ends(generator, records, length):
    """Set the flags of `records` so that a sequence has about this many samples; 1: each is one."""
    records[:, 5] = generator.integers(-32768, 32768, len(records)) & ~1 | (generator.random(len(records)) < 1 / length)


async def begin(dut, stall=0.0, scale=1):
    await start_clock_and_reset(dut)
    bench = Bench(dut, stall, scale)
    await cycle(dut)
    return bench


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def test_shapes(dut):
    """1, 2, 3, all numbers around whole words and 63 actions, 1 sample and more than fit in flight; both operations."""
    bench = await begin(dut)
    lanes = bench.lanes
    for actions in sorted({1, 2, 3, lanes - 2, lanes - 1, lanes, lanes + 1, 2 * lanes - 1, 2 * lanes, 31, 62, 63}):
        for m in (1, 5) if actions > 3 else (1, 5, 70):
            case = Case(bench.logits(m, actions), gap=m % 3, key=actions * 1000 + m)
            sampled = await bench.sample(case)
            records = bench.records(m, actions, sampled)
            evaluated = await bench.evaluate(case, records, in_place=bool(m % 3))
            assert np.array_equal(evaluated[:, [1, 3]], sampled[:, [1, 2]])  # the same policy
            await bench.loss(case, records)
    bench.seen.require(["last action"])
    bench.board.finish()


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def test_pieces(dut):
    """Operations in pieces give the whole's bits, saturations, tops and statistics."""
    bench = await begin(dut)
    bench.pieces = True
    for number, m in enumerate((1, 31, 32, 33, 64, 90, 100)):
        bench.pad.set_stall((0.0, 0.4)[number % 2])
        for stochastic in (False, True):
            case = Case(bench.logits(m, (1, 3, 6)[number % 3]), stochastic=stochastic, greedy=m == 64 and not stochastic,
                        gshift=int(bench.generator.integers(0, 12)), key=number, gap=number % 2)
            sampled = await bench.sample(case)
            records = bench.records(m, case.y.shape[1] - 1, sampled)
            await bench.evaluate(case, records, in_place=stochastic)
            await bench.loss(case, records)
    bench.seen.require(["saturated"])
    bench.board.finish()


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def test_corrections(dut):
    """Every correction, rounding and greedy or not, with records near the present policy and far from it."""
    bench = await begin(dut, 0.2)
    for number, (name, stochastic) in enumerate(product(METHODS, (False, True))):
        bench.configure({"ratio": METHODS[name]})
        case = Case(bench.logits(20, 4), stochastic=stochastic, greedy=stochastic, key=77 + number)
        sampled = await bench.sample(case)
        await bench.loss(case, bench.records(20, 4, sampled))
        await bench.loss(case, bench.records(20, 4))
    stats = bench.stats
    assert stats.clipped and stats.masked and stats.high and stats.low and stats.rho_high and stats.rho_low
    bench.board.finish()


@cocotb.test(timeout_time=40, timeout_unit="ms")
async def test_sequences(dut):
    """Both passes of every aggregate, source and veto, with sequences of one sample to more than fit in flight."""
    bench = await begin(dut)
    generator = bench.generator
    for number, length in enumerate((1, 1, 2, 2, 3, 5, 8, 20, 60, 1000) * 3):
        bench.pad.set_stall((0.0, 0.3, 0.8)[number // 10])
        actions, m = int(generator.choice([1, 2, 3, 4, 7])), int(generator.choice([1, 2, 33, 80, 100]))
        ratio = any_clip(generator, 300)
        bench.configure({"ratio": ratio if number % 3 == 0 else replace(ratio, veto_below=0, veto_above=0)})
        case = Case(bench.logits(m, actions), gap=number % 2, stochastic=bool(number & 1), key=number)
        sampled = await bench.sample(case)
        records = bench.records(m, actions, sampled if number % 4 else None)
        ends(generator, records, length)
        words = await bench.measure(case, records)
        await bench.loss(case, records, words)
        assert words[:, 3].sum() == m
        bench.seen.hit("one", int(len(words) == m > 1))
        bench.seen.hit("whole", int(len(words) == 1 < m))
    stats = bench.stats
    assert stats.seq_masked and 0 < stats.vetoed < stats.count
    bench.seen.require(["one", "whole"])
    bench.board.finish()


@cocotb.test(timeout_time=40, timeout_unit="ms")
async def test_long_sequence(dut):
    """A sequence of 4,096 samples among short ones; no pass is slower for it."""
    bench = await begin(dut, scale=16)
    m = 4500
    bench.configure({"ratio": Clip(Lane(1, source=1, aggregate=1), Lane(1, source=2, aggregate=2), 1, 100, 1)})
    case = Case(bench.logits(m, 1))
    records = bench.records(m, 1, await bench.sample(case))
    records[:, 5] = 0
    records[[0, 2, 4098, 4300], 5] = 1
    words = await bench.measure(case, records)
    assert words[:, 3].tolist() == [1, 2, 4096, 202, 199] and bench.commands.cycles <= 3 * m + 300
    await bench.loss(case, records, words)
    assert bench.commands.cycles <= 3 * m + 300
    bench.board.finish()


@cocotb.test(timeout_time=40, timeout_unit="ms")
async def test_aggregates(dut):
    """Means that round up, down and to even on either side of 0, sums and means that saturate, in sequences of any length."""
    bench = await begin(dut)
    generator = bench.generator
    y = np.zeros((90, 2), np.int16)  # one action: its log-probability is 0
    for number in range(12):
        aggregates = (2, (2, 3, 1)[number % 3])
        bench.configure({"ratio": Clip(Lane(1, source=1, aggregate=aggregates[0]), Lane(1, source=3, aggregate=aggregates[1]))})
        records = generator.integers(*((-3, 4), (-32768, 32768), (-32768, -32760), (-40, 3))[number % 4], (90, 8)).astype(np.int16)
        ends(generator, records, (1, 2, 4, 30)[number // 3])
        words = await bench.measure(Case(y), records)
        bench.seen.hit("high", int((words[:, :2] == 32767).any()))
        bench.seen.hit("low", int((words[:, :2] == -32768).any()))
        await bench.loss(Case(y), records, words)
    bench.seen.require(["high", "low"])
    bench.board.finish()


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def test_on_policy(dut):
    """A record that SAMPLE wrote, used on the same logits, has log-ratios 0 and coefficient 1 with every correction."""
    bench = await begin(dut)
    sizes = [(2, -12), (5, -10), (17, -13), (63, -11)]
    gradients = {}
    for number, name in enumerate(METHODS):
        actions, e_y = sizes[number % len(sizes)]
        bench.configure({"ratio": METHODS[name]})
        generator = np.random.default_rng(actions)
        y = np.rint(generator.normal(0, 4096, (30, actions + 1))).astype(np.int16)
        case = Case(y, e_y=e_y, key=actions)
        sampled = await bench.sample(case)
        records = np.zeros((30, 8), np.int16)
        records[:, :2], records[:, 4] = sampled[:, :2], sampled[:, 1]
        records[:, 2] = generator.integers(-32768, 32768, 30)
        gradient = await bench.loss(case, records)
        assert np.array_equal(gradients.setdefault(actions, gradient), gradient)
        ends(generator, records, 4)
        gradient = await bench.loss(case, records, await bench.measure(case, records))
        assert np.array_equal(gradients[actions], gradient)
    hardware = struct("policy_stats_t").unpack(int(dut.stats_o.value))
    count = 2 * 30 * len(METHODS)
    assert hardware["count"] == count
    assert (hardware["min_x"], hardware["max_x"], hardware["sum_x"]) == (0, 0, 0)
    assert hardware["sum_ratio"] == count * 65536 and hardware["sum_k3"] == 0
    assert not any(hardware[name] for name in ("high", "low", "rho_high", "rho_low", "masked", "clipped", "seq_masked", "vetoed", "sum_x2"))
    bench.board.finish()


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def test_extremes(dut):
    """Ends of every range: logits, exponents, records, action codes, coefficients, shifts."""
    bench = await begin(dut)
    generator = bench.generator
    ends = np.array([-32768, 32767, 0, -1, 1], np.int16)
    for number, e_y in enumerate((-64, -33, -32, -31, -17, -16, -15, -9, -8, 0, 15, 16, 63)):
        actions = (1, 2, 3, 9)[number % 4]
        m = 8
        case = Case(generator.choice(ends, (m, actions + 1)), e_y=e_y, e_dy=(-64, -40, -24, -16, -8, 0, 63)[number % 7],
                    gshift=(0, 31, 5)[number % 3], stochastic=bool(number & 1), greedy=bool(number & 2), key=0xFFFFFFFF)
        bench.configure({"ratio": any_clip(generator, 32768), "entropy_coef": (0, (1 << 18) - 1, 1)[number % 3],
                         "value_coef": ((1 << 18) - 1, 0, 1 << 17)[number % 3], "version": 0xFFFF - number})
        await bench.sample(case)
        records = generator.choice(ends, (m, 8))
        records[:, 0] = [-1, -32768, actions - 1, actions, 0, 32767, 64, 256]
        await bench.evaluate(case, records)
        await bench.loss(case, records)
    bench.seen.require(["saturated"])
    bench.board.finish()


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def test_ties_and_zeros(dut):
    """Equal logits: greedy takes the first; no gradient at all: nothing is tracked."""
    bench = await begin(dut)
    bench.configure({"value_coef": 0, "entropy_coef": 0})
    flat = np.full((6, 9), 5, np.int16)
    records = await bench.sample(Case(flat, greedy=True))
    assert not records[:, 0].any()
    late = flat.copy()
    late[:, 3] = late[:, 7] = 6
    assert ((await bench.sample(Case(late, greedy=True)))[:, 0] == 3).all()
    await bench.loss(Case(flat), np.zeros((6, 8), np.int16))
    bench.seen.require(["not tracked"])
    bench.board.finish()


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def test_small_gradients(dut):
    """The top of gradients of every size down to none: a sure policy and the smallest advantages."""
    bench = await begin(dut)
    bench.configure({"ratio": UNCORRECTED, "value_coef": 0, "entropy_coef": 0})
    for lead in range(0, 56000, 1000):  # of action 0 before the other; e_y below: LSB 2**-12
        for advantage in (1, 64):
            y = np.zeros((2, 3), np.int16)
            y[:, 0], y[:, 1] = lead // 2, -(lead // 2)
            records = np.zeros((2, 8), np.int16)
            records[:, 2] = advantage
            await bench.loss(Case(y, gshift=0), records)
    bench.board.finish()


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def test_thresholds(dut):
    """Random numbers that fall exactly on the border between two actions, one below it, and near both ends."""
    bench = await begin(dut)
    keys = np.arange(1 << 20, dtype=np.uint32)
    u = (mix32_array(mix32_array(keys.copy())) >> np.uint32(8)).astype(np.int64)  # the number of sample 0
    for actions in (2, 3, 63):
        y = np.full((1, actions + 1), 100, np.int16)  # every exponential is 65536
        threshold = (u * actions * 65536) >> 24
        inside = threshold > 0
        for border in (inside & (threshold % 65536 == 0), inside & (threshold % 65536 == 65535),
                       threshold == threshold.max(), threshold == 0):
            for key in keys[border][:2]:
                await bench.sample(Case(y, key=int(key)))
                bench.seen.hit("border")
    assert bench.seen.hits["border"] >= 20
    bench.board.finish()


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def test_backlog(dut):
    """Results can hardly be written: as many samples as possible are in flight, and none is lost."""
    bench = await begin(dut)
    for actions in (1, 2, 40):
        bench.pad.set_stall(lambda port: stalls(0.0 if port == 0 else 0.97, rng(port)))
        case = Case(bench.logits(90 if actions < 10 else 12, actions))
        sampled = await bench.sample(case)
        await bench.evaluate(case, bench.records(len(case.y), actions))
        await bench.loss(case, bench.records(len(case.y), actions, sampled))
        bench.seen.hit("stall_result", bench.stalled_result)
        bench.pad.set_stall(lambda port: stalls(0.97 if port == 0 else 0.0, rng(port)))
        await bench.loss(case, bench.records(len(case.y), actions, sampled))
        bench.seen.hit("stall_operand", bench.stalled_operand)
    bench.seen.require(["stall_result", "stall_operand"])
    bench.board.finish()


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def test_random(dut):
    """Random operations back to back under stalls from none to 90 %."""
    bench = await begin(dut)
    generator = bench.generator
    for stall in (0.0, 0.3, 0.6, 0.9):
        bench.pad.set_stall(stall)
        for _ in range(6):
            actions = int(generator.choice([1, 2, 3, 4, 6, 18, 40]))
            m = int(generator.integers(1, 25))
            bench.configure({"ratio": any_clip(generator), "entropy_coef": int(generator.integers(0, 4000)),
                             "version": int(generator.integers(0, 1 << 16))})
            case = Case(bench.logits(m, actions, int(generator.choice([100, 3000, 20000]))), e_y=int(generator.integers(-15, -8)),
                        e_dy=int(generator.integers(-30, -12)), gshift=int(generator.integers(0, 12)),
                        stochastic=bool(generator.integers(2)), greedy=bool(generator.integers(2)),
                        key=int(generator.integers(1 << 32)), gap=int(generator.integers(3)))
            sampled = await bench.sample(case)
            records = bench.records(m, actions, sampled if generator.integers(2) else None)
            await bench.evaluate(case, records, in_place=bool(generator.integers(2)))
            await bench.loss(case, records)
    bench.board.finish()


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def test_scan(dut):
    """Every estimator and any registers, in place or not, from none to 90 % stalls, between operations of the other kinds."""
    bench = await begin(dut)
    generator, most = bench.generator, (bench.result_at - bench.records_at) // record_words(bench.lanes)
    case = Case(bench.logits(9, 3))
    estimators = [*scans.named().values()]
    for number, stall in enumerate((0.0, 0.3, 0.6, 0.9)):
        bench.pad.set_stall(stall)
        for environments in (1, 2, 7, 8, 63):
            for registers in (estimators[number % len(estimators)], scans.any_scan(generator)):
                steps = int(generator.integers(1, min(8, most // environments)))
                records = scans.episodes(generator, steps, environments, 0.2)
                await bench.scan(records, environments, registers, in_place=bool(generator.integers(2)))
        records = generator.integers(-32768, 32768, (int(generator.integers(1, 90)), 8)).astype(np.int16)
        await bench.scan(records, 11, scans.any_scan(generator), in_place=True)
        await bench.loss(case, bench.records(9, 3, await bench.sample(case)))
    await bench.scan(scans.episodes(generator, 0, 5), 5, estimators[0])  # all without follower
    bench.seen.require(["saturated"])
    bench.board.finish()


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def test_scan_rate(dut):
    """Cycles a record without stalls, from 1 environment to many."""
    bench = await begin(dut)
    most = (bench.result_at - bench.records_at) // record_words(bench.lanes)
    for environments in (1, 2, 4, 8, 16, 63):
        records = scans.episodes(bench.generator, most // environments - 1, environments)
        cycles = await bench.scan(records, environments, scans.named()["gae"])
        dut._log.info("%d environments, Lanes %d: %.2f cycles a record", environments, bench.lanes, cycles / len(records))
        assert cycles < 60 + len(records) * max(7 / environments, 1.02 * record_words(bench.lanes))
        assert bench.stalled_result == 0
    bench.board.finish()


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def test_rate(dut):
    """In steady state a sample takes at most A + 3 cycles without stalls, and never less than one per element."""
    bench = await begin(dut)
    for actions in (1, 2, 4, 6, 18, 63):
        m = 100 if actions < 10 else 20
        case = Case(bench.logits(m, actions))
        await bench.sample(case)
        sample_cycles = bench.commands.cycles
        records = bench.records(m, actions)
        await bench.evaluate(case, records, in_place=True)
        evaluate_cycles = bench.commands.cycles
        bench.configure({"ratio": METHODS["decoupled_ppo"]})
        ends(bench.generator, records, 1)
        words = await bench.measure(case, records)  # sums: nothing to divide
        measure_cycles = bench.commands.cycles
        await bench.loss(case, records, words)
        sequence_cycles = bench.commands.cycles
        await bench.loss(case, records)
        fill = 90 + 5 * (actions + 1)  # a row through all passes
        dut._log.info("A=%d: %d samples, SAMPLE %d cycles, EVALUATE %d cycles, MEASURE %d cycles, LOSS with sequences %d cycles, "
                      "LOSS %d cycles", actions, m, sample_cycles, evaluate_cycles, measure_cycles, sequence_cycles, bench.commands.cycles)
        assert bench.stalled_result == 0
        for cycles in (sample_cycles, evaluate_cycles, measure_cycles, sequence_cycles, bench.commands.cycles):
            assert m * (actions + 1) < cycles <= m * (actions + 3) + fill
    bench.board.finish()


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def test_reset(dut):
    """A reset in the middle of any operation leaves nothing behind; statistics can be cleared without one."""
    bench = await begin(dut, 0.1)
    case = Case(bench.logits(40, 3))
    for wait, op in ((3, "PolicyLoss"), (40, "PolicyLoss"), (150, "PolicyLoss"), (60, "PolicySample"), (120, "PolicyEvaluate"),
                     (90, "PolicyMeasure")):
        await bench.commands.interrupt({
            "op": constant(op), "m": 40, "n": 4,
            "t": {0: {"stride": 1}, 1: {"stride": 1}, 2: {"addr": bench.result_at, "stride": 1}}}, wait, 1)
        bench.stats.clear()
        bench.check_stats()
        sampled = await bench.sample(case)
        await bench.evaluate(case, bench.records(40, 3))
        records = bench.records(40, 3, sampled)
        await bench.loss(case, records, await bench.measure(case, records))
    dut.stats_clear_i.value = 1
    await cycle(dut)
    dut.stats_clear_i.value = 0
    await cycle(dut)
    bench.stats.clear()
    bench.check_stats()
    await bench.loss(case, bench.records(40, 3))
    bench.board.finish()
