# SPDX-License-Identifier: Apache-2.0
"""Commands for the gemm bench: random ones in every form, their operands in memory and what must come of them. Knows no pins."""

from dataclasses import dataclass, field

import numpy as np

from pymodels.descriptor import Act, Unit
from pymodels.gemm import column_sums, fixed_exponent, matmul
from pymodels.norm import GradientNorm
from pymodels.numerics import pack_cols, pack_rows
from tb.common.pieces import pieces

ACTS = [(Act.NONE, Act.NONE), (Act.RELU, Act.NONE), (Act.TANH, Act.NONE), (Act.NONE, Act.RELU), (Act.NONE, Act.TANH)]
FLAGS = ("trans_a", "trans_b", "bias", "stochastic", "int8", "int8_result", "accumulate", "colsum", "norm", "chain")


@dataclass
class Case:
    """One command; `fill(shape, kind)` makes a matrix of kind int16 or int8."""

    m: int
    n: int
    k: int
    trans_a: bool = False
    trans_b: bool = False
    bias: bool = False
    act: Act = Act.NONE
    dact: Act = Act.NONE
    stochastic: bool = False
    int8: bool = False
    int8_result: bool = False
    accumulate: bool = False
    colsum: bool = False
    norm: bool = False
    chain: bool = False
    overlap: int = 0
    e_a: int = 0
    e_b: int = 0
    e_c: int = 0
    e_bias: int = 0
    e_4: int = 0  # addend or column sums
    key: int = 0
    fill: object = field(default=None, repr=False)

    def steps(self, lanes: int) -> int:
        """k-steps of the array."""
        return -(-self.m // lanes) * -(-self.n // lanes) * (-(-self.k // 2) if self.int8 else self.k)


def cut(command: dict, lanes: int, overlap: int) -> list[dict]:
    """Pieces of a command as commands, in their order."""
    rows = command["t"]
    flat = command | {"unit": Unit.GEMM} | {f"t{i}_stride": operand["stride"] for i, operand in enumerate(rows)}
    return [{**command, **piece.fields, "chain": 0, "overlap": overlap,
             "t": [dict(operand, addr=operand["addr"] + piece.offsets[i]) for i, operand in enumerate(rows)]}
            for piece in pieces(flat, lanes)]


def full_range(generator):
    """Matrices over the whole of their type, some elements at its ends or near zero."""
    def fill(shape, kind):
        low, high = np.iinfo(kind).min, np.iinfo(kind).max
        values = generator.integers(low, high + 1, shape)
        corners = generator.choice([low, high, 0, -1, 1], shape)
        return np.where(generator.random(shape) < 0.2, corners, values).astype(kind)
    return fill


def constant(value: int):
    return lambda shape, kind: np.full(shape, np.clip(value, np.iinfo(kind).min, np.iinfo(kind).max), kind)


def alternating(shape, kind):
    """The ends of the type in turn."""
    return np.where(np.indices(shape).sum(axis=0) % 2, np.iinfo(kind).min, np.iinfo(kind).max).astype(kind)


def random_case(generator, m: int, n: int, k: int, **options) -> Case:
    """A case with random options, of which some are given; its result exponent suits the sums more often than not."""
    flip = lambda p=0.5: bool(generator.random() < p)  # noqa: E731
    chosen = {name: flip() for name in ("trans_a", "trans_b", "bias", "stochastic", "int8", "int8_result")}
    chosen["act"], chosen["dact"] = ACTS[generator.integers(len(ACTS))]
    chosen |= {"accumulate": flip(0.25), "colsum": flip(0.4), "norm": False} | options
    # Options that were not given yield to those that were.
    def give_up(name, value=False):
        if name not in options:
            chosen[name] = value
    if chosen["act"] and chosen["dact"]:
        give_up("dact", Act.NONE)
        give_up("act", Act.NONE)
    for asked in (True, False):  # first those that were asked for
        for name, others in (("int8", ("dact", "colsum")), ("dact", ("accumulate", "colsum", "int8", "int8_result")),
                             ("accumulate", ("colsum", "bias", "dact", "int8_result")),
                             ("colsum", ("dact", "accumulate", "int8", "int8_result")), ("bias", ("accumulate",)),
                             ("int8_result", ("dact", "accumulate", "colsum")), ("norm", ("int8_result",))):
            if chosen[name] and (name in options) == asked:
                for other in others:
                    give_up(other, Act.NONE if other == "dact" else False)
    width, result_bits = (7, 15)[not chosen["int8"]], (7, 15)[not chosen["int8_result"]]
    bits = 2 * width + k.bit_length() // 2
    e_a, e_b = (int(generator.integers(-20, 4)) for _ in range(2))
    if chosen["act"] == Act.TANH:  # sums within tanh's range
        e_a = -bits + int(generator.integers(-1, 4)) - e_b
    e_a, e_b = options.get("e_a", e_a), options.get("e_b", e_b)
    e_acc = e_a + e_b
    near = lambda exp: int(np.clip(exp, -64, 63))  # noqa: E731
    exps = {"e_a": near(e_a), "e_b": e_b, "e_c": near(e_acc + bits - result_bits + 1 + generator.integers(-3, 4)),
            "e_bias": near(e_acc + bits - 15 + generator.integers(-18, 10)),
            "e_4": near((e_b + k.bit_length() // 2 if chosen["colsum"] else e_acc + bits - 15) + generator.integers(-3, 4))}
    key = int(generator.integers(1 << 32))
    chosen["norm"] = options.get("norm", key % 4 == 0 and not chosen["int8_result"])
    return Case(m, n, k, **{"key": key, "fill": full_range(generator), **exps, **chosen})


@dataclass
class Planned:
    """A command with its operands in memory. `values`: C as numbers; `read`: words that it may read."""

    case: Case
    command: dict
    done: dict
    values: np.ndarray
    squares: GradientNorm  # what it adds to the norm
    written: list[int]  # addresses
    read: set[int]


class Planner:
    """Puts sequences of commands into a memory and works out what it will hold after them."""

    def __init__(self, memory: np.ndarray, generator: np.random.Generator):
        self.memory, self._random = memory, generator
        self.words, self.lanes = memory.shape
        self.begin()

    def begin(self) -> None:
        """Start a sequence: memory is as it is, all of it is free."""
        self.expected = self.memory.copy()
        self.planned: list[Planned] = []
        self._at = 0

    def _place(self, rows: int, columns: int) -> dict:
        words = -(-columns // self.lanes)
        roomy = rows * words * 8 < self.words - self._at
        stride = words + int(self._random.integers(3)) * roomy
        addr = self._at + int(self._random.integers(3)) * roomy
        self._at = addr + (rows - 1) * stride + words
        assert self._at <= self.words, "the bench's memory is too small"
        return {"addr": addr, "stride": stride}

    def _write(self, memory: np.ndarray, where: dict, stored: np.ndarray, padded: bool = False) -> list[int]:
        """Write a stored matrix; pad lanes keep what they hold or, `padded`, become zero. Return the words' addresses."""
        words, flat = -(-stored.shape[1] // self.lanes), memory.reshape(-1)
        written = []
        for row, values in enumerate(stored):
            start = where["addr"] + row * where["stride"]
            flat[start * self.lanes:start * self.lanes + len(values)] = values
            if padded:
                flat[start * self.lanes + len(values):(start + words) * self.lanes] = 0
            written += range(start, start + words)
        return written

    def _operand(self, stored: np.ndarray, exp: int) -> dict:
        where = self._place(*stored.shape)
        self._write(self.memory, where, stored)
        self._read.update(self._write(self.expected, where, stored))
        return {**where, "exp": exp}

    def _store_int8(self, m: np.ndarray, rows: bool) -> np.ndarray:
        """Pack along the rows or the columns, with garbage in pad bytes."""
        stored = pack_rows(m) if rows else pack_cols(m)
        if m.shape[1 if rows else 0] % 2:
            odd = stored[:, -1] if rows else stored[-1]
            odd |= (self._random.integers(0, 256, odd.shape) << 8).astype(np.uint16).view(np.int16)
        return stored

    def add(self, case: Case, earlier: Planned | None = None) -> Planned:
        """Plan one command; A, or if `case.accumulate` and not `case.chain` the addend, is the result of `earlier`."""
        m, n, k = case.m, case.n, case.k
        kind = np.int8 if case.int8 else np.int16
        from_a = earlier is not None and (case.chain or not case.accumulate)
        self._read = set(earlier.written) if earlier else set()
        b = case.fill((k, n), kind)
        if from_a:
            a, operand_a = earlier.values, earlier.command["t"][2]
            assert a.shape == (m, k) and a.dtype == kind and not case.trans_a
        else:
            a = case.fill((m, k), kind)
            stored = a.T if case.trans_a else a
            operand_a = self._operand(self._store_int8(stored, not case.trans_a) if case.int8 else stored, case.e_a)
        e_a = operand_a["exp"]
        stored = b.T if case.trans_b else b
        t = [operand_a, self._operand(self._store_int8(stored, case.trans_b) if case.int8 else stored, case.e_b)]
        t.append({**self._place(m, -(-n // 2) if case.int8_result else n), "exp": case.e_c})
        options, unused = {}, {"addr": 0, "stride": 0, "exp": 0}
        if case.bias:
            options["bias"] = case.fill((1, n), np.int16)
            t.append(self._operand(options["bias"], case.e_bias))
        else:
            t.append(unused)
        if case.dact:
            options["y"] = case.fill((m, n), np.int16)
            t.append(self._operand(options["y"], int(self._random.integers(-64, 64))))
        elif case.accumulate and earlier is not None and not from_a:
            options["addend"] = earlier.values
            t.append(earlier.command["t"][2])
        elif case.accumulate:
            options["addend"] = case.fill((m, n), np.int16)
            t.append(self._operand(options["addend"], case.e_4))
        elif case.colsum:
            t.append({**self._place(1, n), "exp": case.e_4})
        else:
            t.append(unused)
        values, *results = matmul(
            a, b, e_a, case.e_b, case.e_c, act=case.act, dact=case.dact, int8_result=case.int8_result, key=case.key,
            e_addend=t[4]["exp"] if case.accumulate else case.e_bias, stochastic=case.stochastic, **options)
        written = self._write(self.expected, t[2], pack_rows(values) if case.int8_result else values, padded=True)
        if case.colsum:
            sums, result = column_sums(b, case.e_b, case.e_4, stochastic=case.stochastic, key=case.key, row=m)
            written += self._write(self.expected, t[4], sums[None], padded=True)
            results.append(result)
        command = {name: int(getattr(case, name)) for name in (*FLAGS, "act", "dact", "overlap", "m", "n", "k", "key")} | {"all_rows": m}
        done = {"error": 0, "saturations": sum(result.saturations for result in results),
                "result": [{"track": r.track, "top": r.top} for r in results] + [{"track": 0, "top": 0}] * (2 - len(results))}
        fixed = fixed_exponent(case.act, case.int8_result)
        squares = GradientNorm()
        if case.norm:
            squares.add(values, case.e_c if fixed is None else fixed)
            if case.colsum:
                squares.add(sums, case.e_4)
        after = dict(t[2], exp=case.e_c if fixed is None else fixed)  # as whoever reads the result is told
        planned = Planned(case, {**command, "t": [*t[:2], after, *t[3:]]}, done, values, squares, written, self._read)
        self.planned.append(planned)
        return planned

    def sequence(self, length: int, size) -> list[Planned]:
        """Plan random commands that may overlap; `size()` draws a dimension. Some read what others have made."""
        random = self._random
        self.begin()
        for index in range(length):
            m, n, k = size(), size(), size()
            overlap, distance, wanted = int(random.integers(4)), None, random.random()
            if index and wanted < 0.3:  # A is the result just before, read while it is written
                last = self.planned[-1]
                self.add(random_case(random, last.case.m, n, last.case.n, trans_a=False, int8=last.case.int8_result, chain=True,
                                     overlap=max(overlap, 1), e_a=last.command["t"][2]["exp"]), last)
                continue
            if index and wanted < 0.6:  # A or the addend is an earlier result, which must be finished
                distance = int(random.integers(1, min(index, 4) + 1))
                source, overlap = self.planned[-distance], min(overlap, distance - 1)
                if wanted < 0.45 and not source.case.int8_result:
                    self.add(random_case(random, source.case.m, source.case.n, k, accumulate=True, overlap=overlap), source)
                else:
                    self.add(random_case(random, source.case.m, n, source.case.n, trans_a=False, int8=source.case.int8_result,
                                         accumulate=False, overlap=overlap, e_a=source.command["t"][2]["exp"]), source)
                continue
            self.add(random_case(random, m, n, k, overlap=overlap))
        return self.planned
