# SPDX-License-Identifier: Apache-2.0
"""lathe_gemm against pymodels.gemm: shapes, forms, precisions, sequences that overlap, extremes, stalls, reset, cycle counts."""

import os
import random
from collections import deque
from itertools import count, product

import cocotb
import numpy as np
from cocotb.triggers import Event, RisingEdge

from pymodels.descriptor import Act
from pymodels.norm import GradientNorm
from pymodels.numerics import unpack_rows
from tb.common.actors import Coverage, bursts, cycle, merged, reset, rng, stalls, start_clock_and_reset
from tb.common.ports import ScratchpadPorts
from tb.common.structs import struct
from tb.gemm.cases import ACTS, FLAGS, Case, Planned, Planner, alternating, constant, cut, random_case

WORDS = 40_000
IN_FLIGHT = 4
CASES = int(os.environ.get("GEMM_CASES", "60"))


class Commands:
    """Offers commands as fast as they are taken or with pauses; notes when each was taken and done, in order."""

    def __init__(self, dut):
        self._dut, self._command, self._done = dut, struct("cmd_t"), struct("done_t")
        self._queue: deque = deque()
        self.stall = stalls(0)
        self.now = 0
        self.taken: list[int] = []
        self.done: list[int] = []
        self.records: list[dict] = []
        self.most = 0  # commands in flight at once
        self._event = Event()
        dut.cmd_valid_i.value = 0
        cocotb.start_soon(self._drive())

    def give(self, commands: list[dict]) -> None:
        self._queue.extend(self._command.pack(command) for command in commands)

    def forget(self) -> None:
        self._queue.clear()
        for noted in (self.taken, self.done, self.records):
            noted.clear()

    async def finished(self, count: int, timeout: int) -> None:
        """Wait until `count` commands since `forget` are done."""
        start = self.now
        while len(self.done) < count:
            assert self.now - start < timeout, f"{len(self.taken)} of {count} commands taken, {len(self.done)} done in {timeout} cycles"
            self._event.clear()
            await self._event.wait()

    async def _drive(self) -> None:
        dut, edge, offered = self._dut, RisingEdge(self._dut.clk_i), False
        while True:
            await edge
            self.now += 1
            if not self.now % 256:
                self._event.set()
            if not int(dut.rst_ni.value):
                offered = False
                dut.cmd_valid_i.value = 0
                continue
            if int(dut.done_valid_o.value):
                assert len(self.done) < len(self.taken), "done without a running command"
                self.done.append(self.now)
                self.records.append(self._done.unpack(int(dut.done_o.value)))
                self._event.set()
            if offered and int(dut.cmd_ready_o.value):
                self._queue.popleft()
                self.taken.append(self.now)
                self.most = max(self.most, len(self.taken) - len(self.done))
                assert len(self.taken) - len(self.done) <= IN_FLIGHT, "took more commands than it may hold"
                offered = False
                self._event.set()
            if not offered and self._queue and not next(self.stall):
                offered = True
                dut.cmd_i.value = self._queue[0]
                dut.cmd_valid_i.value = 1
            elif not offered:
                dut.cmd_valid_i.value = 0
                dut.cmd_i.value = random.getrandbits(self._command.width)  # a unit must have kept its own copy


class Bench:
    def __init__(self, dut):
        self.dut = dut
        self.lanes = len(dut.wr_data_o) // 16
        self.random = rng(7)
        self.ports = ScratchpadPorts(dut, WORDS, self.lanes, reads=("a", "b", "x"), writes=("",),
                                     memory=self.random.integers(-32768, 32768, (WORDS, self.lanes)))
        self.plan = Planner(self.ports.memory, self.random)
        self.commands = Commands(dut)
        self.seen = Coverage()
        self.norm = GradientNorm()
        self.compared = 0
        self.steps = 0
        cocotb.start_soon(self._watch())

    async def _watch(self):
        while True:
            await cycle(self.dut)
            self.steps += int(self.dut.mac_step_o.value)
            self.seen.hit("stall_operand", int(self.dut.stall_operand_o.value))
            self.seen.hit("stall_result", int(self.dut.stall_result_o.value))

    async def run(self, *cases: Case) -> int:
        """Run independent commands; return the cycles from the first one's acceptance to the last one's end."""
        self.plan.begin()
        for case in cases:
            self.plan.add(case)
        return await self.execute()

    async def clear_norm(self) -> None:
        self.dut.norm_clear_i.value = 1
        await cycle(self.dut)
        self.dut.norm_clear_i.value = 0
        self.norm.clear()

    async def execute(self, pieces: int | None = None) -> int:
        """Run what is planned; compare the whole memory, every record, the words read and written, the array's steps.

        `pieces`: in pieces with this `overlap`.
        """
        planned, commands = self.plan.planned, self.commands
        self.ports.written.clear()
        self.ports.read.clear()
        self.steps = 0
        commands.forget()
        given = [[each.command] if pieces is None else cut(each.command, self.lanes, pieces) for each in planned]
        commands.give([command for parts in given for command in parts])
        await commands.finished(sum(map(len, given)), timeout=500_000)
        records = iter(commands.records)
        what = "\n".join(f"{each.case} -> {each.command['t'][2]}" for each in planned)
        for index, (each, parts) in enumerate(zip(planned, given, strict=True)):
            record = merged(next(records) for _ in parts)
            assert record == each.done, f"command {index}: done {record}, expected {each.done}\n{what}"
        if not np.array_equal(self.ports.memory, self.plan.expected):
            word = int(np.flatnonzero((self.ports.memory != self.plan.expected).any(axis=1))[0])
            index = [number for number, each in enumerate(planned) if word in each.written]
            raise AssertionError(f"word {word}, of the results of {index}, is {self.ports.memory[word]}, "
                                 f"expected {self.plan.expected[word]}\n{what}")
        assert sorted(self.ports.written.elements()) == sorted(word for each in planned for word in each.written), what
        assert self.ports.read.keys() <= set().union(*(each.read for each in planned)), f"reads beyond the operands\n{what}"
        assert self.steps == sum(each.case.steps(self.lanes) for each in planned), f"{self.steps} steps\n{what}"
        for each in planned:
            self.norm.sum += each.squares.sum
            self._note(each)
        assert int(self.dut.norm_zero_o.value) == (self.norm.log is None), f"norm {self.norm.log}\n{what}"
        if any(each.case.norm for each in planned):
            expected = -1 << 31 if self.norm.log is None else self.norm.log
            assert int(self.dut.norm_o.value.to_signed()) == expected, f"norm {self.norm.log}\n{what}"
        self.compared += len(planned)
        await cycle(self.dut, int(self.random.integers(1, 4)))
        return commands.done[-1] - commands.taken[0]

    def _note(self, each: Planned) -> None:
        case = each.case
        for name in FLAGS:
            self.seen.hit(f"{name}={getattr(case, name)}")
        self.seen.hit(f"act={case.act.name}")
        self.seen.hit(f"dact={case.dact.name}")
        self.seen.hit(f"overlap={case.overlap}")
        self.seen.hit("odd k in int8", case.int8 and case.k % 2)
        self.seen.hit("odd n in int8 result", case.int8_result and case.n % 2)
        self.seen.hit("int8 tanh", case.int8_result and case.act == Act.TANH)
        self.seen.hit("norm with column sums", case.norm and case.colsum)
        self.seen.hit("saturated", each.done["saturations"] > 0)
        self.seen.hit("not saturated", each.done["saturations"] == 0)
        self.seen.hit("not tracked", each.done["result"][0]["track"] == 0)

    def finish(self, *bins):
        self.seen.require(bins)
        assert self.compared, "compared nothing"


async def start(dut) -> Bench:
    dut.norm_clear_i.value = 0
    await start_clock_and_reset(dut)
    return Bench(dut)


FORMS = [f"{name}={value}" for name in FLAGS if name != "chain" for value in (False, True)]
FORMS += [f"act={act}" for act in ("NONE", "RELU", "TANH")] + [f"dact={act}" for act in ("NONE", "RELU", "TANH")]
ODD = ["norm with column sums", "odd k in int8", "odd n in int8 result", "int8 tanh"]


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def test_shapes(dut):
    """Every combination of sizes around one and two blocks, in random forms."""
    bench = await start(dut)
    lanes = bench.lanes
    sizes = [1, lanes - 1, lanes, lanes + 1, 2 * lanes + 1] if lanes < 16 else [1, lanes, lanes + 1]
    for m, n, k in product(sizes, repeat=3):
        await bench.run(random_case(bench.random, m, n, k))
    bench.finish(*FORMS, "saturated", "not saturated")


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def test_options(dut):
    """Every allowed combination of stored forms, precisions, addend, activation and rounding, on ragged shapes."""
    bench = await start(dut)
    lanes = bench.lanes
    for form, fourth, bias, (act, dact) in product(range(8), ("", "accumulate", "colsum"), (False, True), ACTS):
        int8, trans_a, trans_b = bool(form & 4), bool(form & 2), bool(form & 1)
        if (bias and fourth == "accumulate") or (dact and (fourth or int8)) or (int8 and fourth == "colsum"):
            continue
        options = {"accumulate": fourth == "accumulate", "colsum": fourth == "colsum"}
        if fourth or dact:
            options["int8_result"] = False
        await bench.run(random_case(bench.random, lanes + 2, lanes + 3, lanes - 1 + 2 * bench.compared % 5, trans_a=trans_a,
                                    trans_b=trans_b, bias=bias, act=act, dact=dact, int8=int8, **options))
    bench.finish(*FORMS, *ODD)


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def test_exponents(dut):
    """Exponents and operands at their ends, every shift of the window, sums that are all zero or -1."""
    bench = await start(dut)
    lanes, ends = bench.lanes, {"lowest": -32768, "highest": 32767, "zero": 0, "minus one": -1, "one": 1}
    names = ("e_a", "e_b", "e_c", "e_bias", "e_4")
    for (name, value), (act, dact), bias in product(ends.items(), ACTS, (False, True)):
        exps = bench.random.choice([-64, -16, -1, 0, 15, 63], 5)
        await bench.run(random_case(bench.random, lanes + 1, 3, 2 * lanes + 1, act=act, dact=dact, bias=bias, fill=constant(value),
                                    **dict(zip(names, map(int, exps), strict=True))))
        bench.seen.hit(name)
    for e_a, e_b, e_c, e_addend in product((-64, 63), (-64, 63), (-64, 63), (-64, 63)):
        act, dact = ACTS[bench.compared % len(ACTS)]
        for use in ({"bias": True}, {"accumulate": True}, {"colsum": True}):
            kind = {} if "bias" in use else {"act": act, "dact": Act.NONE} if "accumulate" in use else {"dact": Act.NONE}
            await bench.run(random_case(bench.random, 2, lanes + 1, 3, e_a=e_a, e_b=e_b, e_c=e_c, e_bias=e_addend, e_4=e_addend,
                                        **({"act": act, "dact": dact} if "bias" in use else {}), **kind, **use))
    few_bits = lambda shape, kind: (1 << bench.random.integers(0, np.iinfo(kind).bits - 1, shape)).astype(kind)  # noqa: E731
    for shift in range(-18, 66):  # ties included: the sums have few bits
        e_b = int(np.clip(44 - shift, -64, 63))
        await bench.run(random_case(bench.random, 3, lanes, 1 + shift % 3, e_a=-20, e_b=e_b, e_c=e_b - 20 + shift,
                                    e_4=int(np.clip(e_b + shift // 3, -64, 63)), act=Act.NONE, fill=few_bits,
                                    **({"colsum": True} if shift % 2 else {})))
    values = iter([257, 255, 23170])  # B, A, y: x = 2**16 - 1, derivative 2**-1 + 2**-16: above one half by what the product loses
    await bench.run(random_case(bench.random, 1, 1, 1, dact=Act.TANH, bias=False, stochastic=False, e_a=0, e_b=-1, e_c=15,
                                fill=lambda shape, kind: np.full(shape, next(values), kind)))
    assert bench.plan.planned[0].values[0, 0] == 1
    operands = iter([[1024, 1], [-2560, 1, 2560, 1, -2560, 0, 2560, 0]])  # B, A: -2.5 and 2.5 places, twice with a little more
    await bench.run(random_case(bench.random, 4, 1, 2, act=Act.TANH, bias=False, accumulate=False, colsum=False,
                                int8=False, int8_result=False, e_a=-20, e_b=-15,
                                fill=lambda shape, kind: np.array(next(operands), kind).reshape(shape)))
    assert bench.plan.planned[0].values.ravel().tolist() == [-2, 3, -2, 2]
    bench.finish("saturated", "not saturated", "not tracked", *ends)


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def test_terms(dut):
    """Small results of large terms, from where all fits to where every term is cut: what they report."""
    bench = await start(dut)
    lanes, random = bench.lanes, bench.random

    def around(middle, by):
        return lambda shape, kind: random.integers(middle - by, middle + by, shape).astype(kind)

    def fills(*of):  # B, A, bias, operand 4
        each = iter(of)
        return lambda shape, kind: next(each)(shape, kind)

    signs = lambda shape, kind: random.choice([-32700, -5, 0, 5, 32700], shape).astype(kind)  # noqa: E731
    saturated = lambda shape, kind: random.choice([-32700, 32700], shape).astype(kind)  # noqa: E731
    unequal = lambda shape, kind: random.choice([1 << 14, 1 << 9, 1 << 4], shape).astype(kind)  # noqa: E731
    uses = {"bias": ({"bias": True}, ()), "relu": ({"bias": True, "act": Act.RELU}, ()), "int8": ({"bias": True, "int8_result": True}, ()),
            "addend": ({"accumulate": True}, ()), "relu'": ({"bias": True, "dact": Act.RELU}, (signs,)),
            "tanh'": ({"dact": Act.TANH}, ()), "tanh' and bias": ({"dact": Act.TANH, "bias": True}, (saturated,))}
    # Sum and addend with their exponents, places behind the point: from where both fit to where both are cut, then one of them, then
    # of one sign, where only their sum is cut or both are.
    sizes = [(25600, 0, -25600, 0, places) for places in range(-2, 23, 3 if lanes < 16 else 6)]
    sizes += [(32700, 0, -16450, 1, 3), (16450, 1, -32700, 0, 3), (25600, 0, 25600, 0, 3), (25600, 0, 25600, 0, 4)]
    for (name, (use, behind)), sign, (total, e_total, addend, e_addend, places) in product(uses.items(), (-1, 1), sizes):
        by = 1 if name == "int8" else 60  # an int8 result may be smaller before its terms cost it a bit
        case = random_case(random, lanes + 1, lanes + 2, 1, e_a=e_total, e_b=-14, e_c=(7 if name == "int8" else 0) - places,
                           e_bias=e_addend, e_4=e_addend,
                           fill=fills(unequal if name == "tanh'" else constant(1 << 14), around(sign * total, by),
                                      saturated if name == "tanh'" else around(sign * addend, by), *behind),
                           **{"bias": False, "act": Act.NONE, "dact": Act.NONE, "int8": False, "accumulate": False, "colsum": False,
                              "int8_result": False} | use)
        await bench.run(case)
        [each] = bench.plan.planned
        clamped = np.isin(each.values, [np.iinfo(each.values.dtype).min, np.iinfo(each.values.dtype).max]).sum()
        bench.seen.hit((name, "counts what was cut"), each.done["saturations"] > clamped)
        largest = np.abs(each.values.astype(int)).max() * 2.0**case.e_c
        bench.seen.hit((name, "keeps room"), each.done["result"][0]["top"] > np.log2(max(largest, 2.0**-60)) + 2)
    bench.finish(*product(uses, ("counts what was cut", "keeps room")))


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def test_longest(dut):
    """The longest K with operands at their ends in every cell: all the lowest, all the highest, alternating; the largest column sums."""
    bench = await start(dut)
    lanes = bench.lanes
    fills = {"lowest": constant(-32768), "highest": constant(32767), "alternating": alternating}
    if lanes != 8:  # the width of a sum does not depend on Lanes
        del fills["lowest"], fills["highest"]
    forms = [{"int8": False, "e_c": 31, "bias": True}, {"int8": False, "e_c": 14, "colsum": True},
             {"int8": True, "e_c": 15, "int8_result": False}]
    for (name, fill), form in product(fills.items(), forms):
        await bench.run(random_case(bench.random, lanes, lanes, 16384, trans_a=False, trans_b=True, act=Act.NONE, dact=Act.NONE, e_a=0,
                                    e_b=0, e_bias=15, e_4=12, fill=fill, **form))
        bench.seen.hit(name)
    bench.finish(*fills, "int8=True", "int8=False", "colsum=True")


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


@cocotb.test(timeout_time=40, timeout_unit="ms")
async def test_sequences(dut):
    """Up to 8 commands at once, overlapped and chained, some on the results of others, under stalls of every kind; CASES in all."""
    bench = await start(dut)
    generator, lanes = bench.random, bench.lanes
    rates = (0, 0, 0.2, 0.5, 0.9)
    while bench.compared < CASES:
        pattern = [stalls, bursts][generator.integers(2)]
        chosen = [float(generator.choice(rates)) for _ in range(5)] if generator.random() < 0.7 else [0.0] * 5
        bench.ports.set_stall(lambda port, pattern=pattern, chosen=chosen: pattern(chosen[port], rng(40 + port)))
        bench.commands.stall = stalls(chosen[4], rng(50))
        largest = int(generator.choice([3, 20, 3 * lanes + 1]))
        bench.plan.sequence(int(generator.integers(1, 9)), lambda largest=largest: int(generator.integers(1, largest + 1)))
        await bench.execute()
    assert bench.commands.most == IN_FLIGHT, f"at most {bench.commands.most} commands in flight"
    bench.finish(*FORMS, "chain=True", *(f"overlap={n}" for n in range(4)), "saturated", "not saturated", "stall_operand")


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def test_chain(dut):
    """Chains of several links: each reads what the one before is still writing."""
    bench = await start(dut)
    lanes, generator = bench.lanes, bench.random
    for trial in range(12):
        bench.ports.set_stall([0, 0.5][trial % 2])
        bench.plan.begin()
        m, n = (int(x) for x in generator.integers(1, 4 * lanes, 2))
        last = bench.plan.add(random_case(generator, m, n, 2 * lanes))
        for link in range(1, 5):
            n = int(generator.integers(1, 2 * lanes + 2))
            last = bench.plan.add(random_case(generator, m, n, last.case.n, trans_a=False, int8=last.case.int8_result, chain=True,
                                              overlap=1 + (trial + link) % 3, e_a=last.command["t"][2]["exp"]), last)
        await bench.execute()
    bench.finish("chain=True", "int8=True", "int8=False")


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def test_pieces(dut):
    """Commands in pieces, one after the other or overlapped, give the whole's bits, saturations and tops; CASES in all."""
    bench = await start(dut)
    lanes, generator = bench.lanes, bench.random
    fourth = [{"colsum": True}, {"accumulate": True}, {"dact": Act.RELU}, {"dact": Act.TANH}, {}, {}, {}]
    for trial in count():
        if bench.compared >= CASES:
            break
        bench.ports.set_stall([0, 0, 0.3][trial % 3])
        bench.plan.begin()
        for _ in range(1 + trial % 3):
            number = bench.compared + len(bench.plan.planned)
            k, columns = [(1, 17), (16, 11), (17, 5), (33, 4), (64, 3), (129, 3)][number % 6]  # blocks of columns
            m, n = (int(generator.integers(1, blocks * lanes + 1)) for blocks in (3, columns))
            case = random_case(generator, m, n, k + int(generator.integers(2)), stochastic=number % 5 > 0,
                               **fourth[number % 7])
            parts = cut(bench.plan.add(case).command, lanes, 0)
            bench.seen.hit("many rows and columns", parts[-1]["first_row"] and parts[-1]["first_col"])
            bench.seen.hit("wide", parts[-1]["first_col"] and parts[0]["n"] == 8 * lanes)
            bench.seen.hit("narrow", len(parts) > 1 and parts[0]["n"] == lanes)
            bench.seen.hit("random column sums", case.colsum and case.stochastic and m > lanes)
        await bench.execute(pieces=3 if trial % 2 else 0)
    assert bench.commands.most == IN_FLIGHT, f"at most {bench.commands.most} commands in flight"
    bench.finish(*FORMS, "saturated", "not saturated", "many rows and columns", "wide", "narrow", "random column sums")


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def test_norm(dut):
    """The gradient norm over commands of every exponent, of extreme and of zero elements, between clears."""
    bench = await start(dut)
    lanes, generator = bench.lanes, bench.random
    fills = {"lowest": constant(-32768), "highest": constant(32767), "zero": constant(0), "one": constant(1), "any": None}
    for trial in range(40):
        name = list(fills)[trial % len(fills)]
        e_c, e_4 = generator.choice([-64, -63, -1, 0, 1, 62, 63], 2).tolist() if trial % 2 else generator.integers(-20, 3, 2).tolist()
        fill = {} if fills[name] is None else {"fill": fills[name]}
        plain = {"act": Act.NONE, "dact": Act.NONE, "bias": False, "accumulate": False, "int8": False, "norm": True}
        m, n, colsum = *generator.integers(1, 2 * lanes, 2).tolist(), bool(generator.integers(2))
        await bench.run(random_case(generator, m, n, 1, e_a=0, e_b=e_c, e_c=e_c, e_4=e_4, colsum=colsum, **plain, **fill))
        bench.seen.hit(name)
        bench.seen.hit("zero norm", bench.norm.log is None)
        if trial % 5 == 1:
            await bench.clear_norm()
    # One after the other: each holds the next one's words back.
    await bench.run(*(random_case(generator, 3 * lanes, lanes, lanes, norm=True, overlap=3, dact=Act.NONE) for _ in range(4)))
    bench.finish(*fills, "zero norm", "norm=True")


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def test_reset(dut):
    """A reset at any time of one command or of several leaves nothing behind."""
    bench = await start(dut)
    lanes = bench.lanes
    for moment in [*range(1, 12), *bench.random.uniform(0.05, 1, 15)]:  # in cycles, then in shares of the time they take
        cases = [random_case(bench.random, 2 * lanes, 2 * lanes, lanes + 3, overlap=3) for _ in range(1 + bench.compared % 3)]
        bench.ports.set_stall(0)
        taken = await bench.run(*cases)
        bench.ports.set_stall(float(bench.random.choice([0, 0.5])))
        bench.plan.begin()
        for case in cases:
            bench.plan.add(case)
        bench.commands.forget()
        bench.commands.give([each.command for each in bench.plan.planned])
        while not bench.commands.taken:
            await cycle(dut)
        await cycle(dut, moment if moment >= 1 else int(moment * taken))
        bench.commands.forget()
        await reset(dut, 2)
        bench.norm.clear()
        bench.commands.forget()
        assert int(dut.cmd_ready_o.value), "not ready after a reset"
        await bench.run(random_case(bench.random, lanes + 1, lanes + 1, 5))
    bench.finish()


FORM = {"X W": (False, False), "dY W^T": (False, True), "X^T dY": (True, False)}
#: Most cycles from acceptance to `done` at Lanes = 8: (m, k, n), int8, cycles.
LIMITS = [((64, 64, 64), False, 4143), ((96, 96, 96), False, 13871), ((8, 64, 64), False, 559), ((64, 16, 64), False, 1071),
          ((256, 4, 64), False, 2100), ((64, 64, 64), True, 2095), ((96, 96, 96), True, 6960)]


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def test_rate(dut):
    """Cycles of a command, and what a second one adds; for every stored form and every kind of drain."""
    bench = await start(dut)
    lanes, slow = bench.lanes, []
    plain = {"act": Act.NONE, "dact": Act.NONE, "bias": False, "accumulate": False, "colsum": False, "norm": False}

    async def measure(name: str, limit: int, *cases: Case) -> None:
        taken = await bench.run(*cases)
        dut._log.info(f"cycles: {name}: {taken}, limit {limit}")
        if taken > limit:
            slow.append(f"{name}: {taken} cycles, limit {limit}")

    for (m, k, n), int8, limit in LIMITS if lanes == 8 else []:
        for form, (trans_a, trans_b) in FORM.items():
            await measure(f"{m}x{k}x{n} {form} {'int8' if int8 else 'int16'}", limit, random_case(
                bench.random, m, n, k, trans_a=trans_a, trans_b=trans_b, int8=int8, int8_result=False, **plain))
    size = 8 * lanes if lanes < 16 else 4 * lanes
    ideal, margin = size**3 // lanes**2, 6 * lanes + 32
    for act, dact, extra in ((Act.TANH, Act.NONE, {"bias": True}), (Act.NONE, Act.TANH, {}), (Act.RELU, Act.NONE, {"accumulate": True}),
                             (Act.NONE, Act.NONE, {"colsum": True, "trans_a": True})):
        case = random_case(bench.random, size, size, size, **{**plain, "int8": False, "act": act, "dact": dact, **extra})
        await measure(f"{size}^3 act={act.name} dact={dact.name} {extra}", ideal + margin, case)
    for int8 in (False, True):
        cases = [random_case(bench.random, size, size, size, trans_a=trans_a, trans_b=trans_b, int8=int8, int8_result=False,
                             overlap=3, **plain) for trans_a, trans_b in FORM.values()]
        await bench.run(*cases)
        for index, form in ((1, "dY W^T"), (2, "X^T dY")):
            added, limit = bench.commands.done[index] - bench.commands.done[index - 1], (ideal >> int8) + 2
            dut._log.info(f"cycles: {form} {'int8' if int8 else 'int16'} adds {added}, limit {limit}")
            if added > limit:
                slow.append(f"{form} after another: {added} cycles, limit {limit}")
    for k, per_tile in ((1, lanes), (lanes, lanes), (lanes + 1, lanes + 1)):
        case = random_case(bench.random, 4 * lanes, 8 * lanes, k, **{**plain, "trans_a": True, "trans_b": False, "act": Act.TANH,
                                                                    "bias": True, "int8": False, "int8_result": False})
        await measure(f"{4 * lanes}x{k}x{8 * lanes} tanh", 32 * per_tile + margin, case)
    assert not slow, "\n".join(slow)
    bench.finish()


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def test_memory_reads(dut):
    """Packed results can be read as int8: the value of a stored result is what the planner says (checks the bench itself)."""
    bench = await start(dut)
    for n in (1, bench.lanes, 2 * bench.lanes + 3):
        await bench.run(random_case(bench.random, 5, n, 4, int8_result=True))
        each = bench.plan.planned[0]
        where = each.command["t"][2]
        for row in range(5):
            start_word = where["addr"] + row * where["stride"]
            stored = bench.ports.memory[start_word:].reshape(-1)[:(n + 1) // 2]
            assert unpack_rows(stored[None], n)[0].tolist() == each.values[row].tolist()
    bench.finish()
