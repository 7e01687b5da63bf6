# SPDX-License-Identifier: Apache-2.0
"""lathe_ctrl with actors for units: random programs in every timing, exponents, versions, counters, latency, reset."""

import os

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge, with_timeout

from pymodels.check import Grants
from pymodels.csr_map import REGISTERS
from pymodels.descriptor import Error
from tb.common.actors import CLOCK_NS, Scoreboard, cycle, reset, rng, start_clock_and_reset
from tb.common.structs import constant
from tb.csr.host import Host
from tb.ctrl.programs import Program, memory_words, random_program
from tb.ctrl.units import STATES, Model, Units, results
from tb.desc_check.descriptors import MOMENTUM, Limits, legal

LANES, BANKS = int(os.environ["LANES"]), int(os.environ["BANKS"])
WORDS = 1024 * BANKS
START_LATENCY = 18  # cycles from START to the first command of a plain program
OPERAND_FIELDS = ("addr", "stride", "exp", "space")
UNIT_NAMES = ("GEMM", "POLICY", "UPDATE", "DMA")
COUNTERS = {f"{unit}_{state}" for unit in UNIT_NAMES for state in STATES}
NO_REQUEST = {"request_busy": 0, "request_done": 0, "request_error": 0, "fault": 0}
CARRIES = 2**32 - 64  # a count that soon needs its high word
COUNTERS |= {"SATURATIONS", "CYCLES_LO", "CYCLES_HI", "MAC_STEPS_LO", "MAC_STEPS_HI"}


class Bench:
    """Host, units and model; runs programs and compares how they end."""

    def __init__(self, dut, longest: int = 40, stall: float = 0.3):
        self.dut, self.generator, self.longest = dut, rng(10), longest
        self.host, self.model, self.board = Host(dut), Model(LANES), Scoreboard("ctrl")
        self.units = Units(dut, self.model, self._duration, stall)
        self.limits = Limits(LANES, WORDS, 0)

    def _duration(self, descriptor: dict) -> int:
        return int(self.generator.integers(1, self.longest + 1))

    def equal(self, what: str, got, expected) -> None:
        self.board.expect((what, expected))
        self.board.observe((what, got))

    async def configure(self, slots: int = 4, size: int = 300, version: int = 0) -> None:
        """Weight group at the end of the scratchpad, random exponents and seed, interrupt on."""
        host, g, base = self.host, self.generator, WORDS - slots * size
        for name, value in (("BASE", base), ("SIZE", size), ("SLOTS", slots), ("VERSION", version)):
            await host.write(f"GROUP_{name}", value)
        await host.write("CONTROL", group_init=1)
        self.model.weights.init(base, size, slots, version)
        self.limits.slot_words, self.limits.grants = size, Grants(group=(base, base + slots * size))
        words = [int(v) for v in g.integers(0, 2**32, 128)]
        words = [word & ~0xFFFF | (int(g.integers(-64, 64)) & 0xFF) * 0x101 for word in words]
        await host.load("EXPONENTS", 0, words)
        for index, word in enumerate(words):
            self.model.exponents.host_write(index, word)
        self.model.seed = int(g.integers(0, 2**32))
        await host.write("SEED", self.model.seed)
        self.model.rates = {name: int(g.integers(0, 2**bits)) for name, bits in (("LEARNING_RATE", 24), ("ADAM_RATE", 24))}
        for name, value in self.model.rates.items():
            await host.write(name, value)
        await host.write("IRQ_ENABLE", 1)

    async def begin(self, program: Program, first: int = 0, fail: dict | None = None) -> None:
        """Load a program and start it."""
        await self.host.load("PROGRAM", 16 * first, memory_words(program))
        await self.host.write("START_PC", first)
        self.units.expect(program, first)
        self.units.fail = fail or {}
        await self.host.write("CONTROL", start=1)

    async def end(self, cycles: int = 40_000) -> tuple[dict, dict]:
        """Wait for the interrupt; returns STATUS and ERROR."""
        if not int(self.dut.irq_o.value):
            await with_timeout(RisingEdge(self.dut.irq_o), cycles * CLOCK_NS, "ns")
        assert self.units.idle(), "the interrupt came while a command ran"
        return await self.host.fields("STATUS"), await self.host.fields("ERROR")

    async def complete(self, program: Program, first: int = 0) -> None:
        """Run a legal program and compare everything that is visible afterwards."""
        await self.begin(program, first)
        status, error = await self.end()
        self.equal("status", (status, error), (NO_REQUEST | {"busy": 0, "done": 1, "error": 0}, {"code": 0, "unit": 0, "pc": 0}))
        self.equal("started", sorted(self.units.started), list(range(len(program))))
        self.model.opnum = (self.model.opnum + len(program)) & 0xFFFFFFFF
        self.equal("OPNUM", await self.host.read("OPNUM"), self.model.opnum)

    async def fails(self, program: Program, code: Error, number: int, first: int = 0, fail: dict | None = None) -> None:
        """Run a program that ends with this error at this descriptor, then see that nothing more starts."""
        await self.begin(program, first, fail)
        status, error = await self.end()
        self.equal("status", status, NO_REQUEST | {"busy": 0, "done": 0, "error": 1})
        expected = {"code": int(code), "unit": program[number]["unit"], "pc": first + number}
        self.equal("error", error, expected)
        started = len(self.units.started)
        await cycle(self.dut, 60)
        self.equal("started after the error", len(self.units.started), started)
        self.model.opnum = await self.host.read("OPNUM")

    async def compare_exponents(self) -> None:
        got = await self.host.dump("EXPONENTS", 0, 128)
        self.equal("exponents", got, [self.model.exponents.host_read(i) for i in range(128)])

    async def compare_weights(self) -> None:
        weights = self.model.weights
        self.equal("VERSION", await self.host.read("VERSION"), weights.version)
        self.equal("SLOT", await self.host.fields("SLOT"), {"slot": weights.slot})

    def finish(self) -> None:
        assert self.units.compared, "no command was compared"
        self.board.finish()


async def start(dut, **options) -> Bench:
    bench = Bench(dut, **options)
    await start_clock_and_reset(dut)
    await bench.configure()
    return bench


@cocotb.test(timeout_time=40, timeout_unit="ms")
async def test_programs(dut):
    """Random programs, units fast and slow: order, operands, keys, exponents, OPNUM."""
    bench = await start(dut)
    for longest, stall in ((1, 0), (1, 0.9), (10, 0.5), (200, 0), (40, 0.3)):
        bench.longest, bench.units.stall = longest, iter(lambda p=stall: bench.generator.random() < p, None)
        for length in (1, 2, 30):
            first = int(bench.generator.integers(0, 257 - length))
            await bench.complete(random_program(bench.generator, bench.limits, length), first)
        await bench.compare_exponents()
    bench.finish()


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def test_versions(dut):
    """Commits and rollbacks between updates; OPNUM wraps."""
    bench = await start(dut)
    for slots in (2, 3, 4):
        await bench.configure(slots, 200, 0xFFFFFFFE)
        bench.model.opnum = 0xFFFFFFF0
        await bench.host.write("OPNUM", bench.model.opnum)
        for _ in range(2):
            await bench.complete(random_program(bench.generator, bench.limits, 30, True, bench.model.weights.kept, slots))
            await bench.compare_weights()
            await bench.compare_exponents()
    bench.finish()


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def test_exponents_travel_with_semaphores(dut):
    """A command that waits for another's semaphore is given the exponent that the other one left."""
    bench = await start(dut, longest=3, stall=0)
    program = []
    for i in range(24):
        unit = 1 + i % 2
        d = legal(bench.generator, bench.limits, (1, 0) if unit == 1 else (2, 1), spaces=(0,))
        d |= {"t0_exp": 7, "t2_exp": 7, "wait_mask": int(i > 0) << i % 2, "post_mask": 2 >> i % 2, "last": int(i == 23)}
        program.append(d)
    await bench.complete(program)
    await bench.compare_exponents()
    bench.finish()


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def test_counters(dut):
    """Every performance counter, before and after clearing."""
    bench = await start(dut)
    for longest in (5, 100):
        bench.longest = longest
        await cycle(dut, 4)
        await bench.host.write("CONTROL", perf_clear=1)
        await cycle(dut, 4)
        for name in COUNTERS:
            bench.equal(name, await bench.host.read(name), 0)
        high = int(longest == 100)
        for word, name in ((7, "CYCLES_LO"), (23, "MAC_STEPS_LO")) if high else ():
            while not await bench.host.read(name):
                dut.u_perf.count_mem[word].value = CARRIES
                await cycle(dut, 40)
        bench.units.clear_counts()
        bench.units.noisy = True
        await bench.complete(random_program(bench.generator, bench.limits, 30))
        bench.units.noisy = False
        await cycle(dut, 8)
        counts = bench.units.counts
        expected = {"SATURATIONS": bench.model.saturations, "CYCLES_LO": counts["busy"] - high * (2**32 - CARRIES),
                    "MAC_STEPS_LO": counts["mac_step"] - high * (2**32 - CARRIES), "CYCLES_HI": high, "MAC_STEPS_HI": high}
        for u, name in enumerate(UNIT_NAMES):
            expected |= {f"{name}_{state}": bench.units.traced[u][constant(code)] for state, code in STATES.items()}
            for state, value in bench.units.units[u].counts.items():
                bench.equal(f"{name} {state}", expected[f"{name}_{state}"], value)
            bench.equal(f"{name}: all states", sum(expected[f"{name}_{state}"] for state in STATES), counts["busy"])
        assert expected.keys() == COUNTERS
        for name, value in expected.items():
            bench.equal(name, await bench.host.read(name), value)
    bench.finish()


@cocotb.test(timeout_time=4, timeout_unit="ms")
async def test_counters_while_running(dut):
    """Counters that are read in the middle of a program are right at the time of the answer."""
    bench = await start(dut, longest=60)
    await bench.host.write("CONTROL", perf_clear=1)
    await cycle(dut, 4)
    bench.units.clear_counts()
    await bench.begin(random_program(bench.generator, bench.limits, 30))
    reads = 0
    while not int(dut.irq_o.value):
        u, (state, code) = int(bench.generator.integers(0, 4)), list(STATES.items())[int(bench.generator.integers(0, 7))]
        low = bench.units.traced[u][constant(code)]
        got = await bench.host.read(f"{UNIT_NAMES[u]}_{state}")
        assert low - 6 <= got <= bench.units.traced[u][constant(code)], f"{UNIT_NAMES[u]}_{state}: {got}"
        reads += 1
    assert reads > 10
    await bench.end()


@cocotb.test(timeout_time=4, timeout_unit="ms")
async def test_wait_counter(dut):
    """A unit whose head waits for a semaphore counts, in none of the others."""
    bench = await start(dut, stall=0)
    long = 500
    bench._duration = bench.units.duration = lambda d: long if d["unit"] == 1 else 1
    await bench.host.write("CONTROL", perf_clear=1)
    program = [legal(bench.generator, bench.limits, kind) | {"wait_mask": 0, "post_mask": 0, "last": 0}
               for kind in ((1, 0), (2, 0), (4, 0))]
    program[0]["post_mask"] = 1
    program[1]["wait_mask"] = 1
    program[2]["last"] = 1
    await bench.complete(program)
    waited = {name: await bench.host.read(f"{name}_WAIT") for name in UNIT_NAMES}
    assert long - 40 <= waited.pop("POLICY") <= long + 20 and not any(waited.values()), waited
    bench.finish()


@cocotb.test(timeout_time=4, timeout_unit="ms")
async def test_latency(dut):
    """Cycles from START to the first command, from a free unit to the next command, and from descriptor to descriptor."""
    bench = await start(dut, longest=1, stall=0)
    bench.units.results = False
    for kind, resolve, gap in ((MOMENTUM, 4, 13), ((2, 0), 2, 11), ((4, 0), 2, 11), ((1, 0), 2, 8)):
        program = [legal(bench.generator, bench.limits, kind) | {"wait_mask": 0, "post_mask": 0, "last": int(i == 19)} for i in range(20)]
        for i, d in enumerate(program):
            if kind == MOMENTUM:
                d |= {name: 0 for name in ("int8_result", *(f"t5_{f}" for f in OPERAND_FIELDS))} | {"m": 1}
            if kind == (1, 0):
                d |= {name: 0 for name in ("bias", "dact", "accumulate", "colsum", *(f"t{t}_{f}" for t in (3, 4) for f in OPERAND_FIELDS))}
                d |= {"t2_space": 0, "t2_exp": i}
        task = cocotb.start_soon(bench.complete(program))
        popped, delays, begun, now = None, [], None, 0
        while not task.done():
            await cycle(dut)
            now += 1
            if int(dut.start.value):
                begun = now
            if begun and int(dut.cmd_valid_o.value):
                assert now - begun <= START_LATENCY, f"{now - begun} cycles from START to the first command"
                begun = None
            if popped is not None:
                popped += 1
                if int(dut.cmd_valid_o.value):
                    delays.append(popped)
                    popped = None
            if int(dut.pop.value):
                popped = 0
        await task
        bench.equal("cycles from start to offer", delays, [resolve] * 20)
        gaps = np.diff(bench.units.start_times)
        assert gaps.max() <= gap, f"cycles from command to command: {gaps}"
    bench.finish()


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def test_commands_in_flight(dut):
    """gemm takes four commands at once; nothing starts that writes an exponent register of a command that runs."""
    bench = await start(dut, longest=150, stall=0)
    for registers in (16, 3, 1):
        program = random_program(bench.generator, bench.limits, 30, kinds=((1, 0), (1, 0), (1, 0), (2, 1), MOMENTUM))
        for d in program:
            for i in range(6):
                d[f"t{i}_exp"] %= registers
            d["wait_mask"] = d["post_mask"] = 0
        bench.units.most = 0
        await bench.complete(program)
        await bench.compare_exponents()
        bench.equal("gemm commands at once", bench.units.most, {16: 4}.get(registers, bench.units.most))
    bench.finish()


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def test_start_while_busy(dut):
    """A start while a program runs is ignored."""
    bench = await start(dut)
    program = random_program(bench.generator, bench.limits, 20)
    await bench.begin(program)
    for _ in range(5):
        await bench.host.write("CONTROL", start=1)
    status, _ = await bench.end()
    assert status["done"] and sorted(bench.units.started) == list(range(20))
    bench.equal("OPNUM", await bench.host.read("OPNUM"), 20)
    bench.finish()


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def test_reset(dut):
    """A reset in the middle: registers, queues and semaphores are cleared, weight group and exponents stay."""
    bench = await start(dut)
    for wait in (3, 20, 37, 60, 100, 200, 333):
        await bench.begin(random_program(bench.generator, bench.limits, 30))
        await cycle(dut, wait)
        stopped = bench.units.now
        await reset(dut, 3)
        assert bench.units.idle()
        for name, register in REGISTERS.items():
            if register.access == "rw" or name in COUNTERS:
                reset_value = sum((f.reset or 0) << f.lsb for f in register.fields.values())
                bench.equal(name, await bench.host.read(name), reset_value)
        bench.equal("STATUS", await bench.host.read("STATUS"), 0)
        await bench.compare_weights()
        got = await bench.host.dump("EXPONENTS", 0, 128)
        late = {index for when, index in bench.units.ended if when > stopped - 200}  # may not have been retired
        for order in bench.units.orders:  # may have been given its exponent, but not to its unit
            late |= {bench.model.index(bench.units.program[number], i) for number in order[:1]
                     for i in results(bench.units.program[number], LANES)}
        for index in set(range(128)) - late - {64 + 16 * s + i % 16 for i in late if i >= 64 for s in range(4)}:
            bench.equal(f"exponent {index}", got[index], bench.model.exponents.host_read(index))
        bench.model.opnum = 0
        await bench.configure()
        await bench.complete(random_program(bench.generator, bench.limits, 12))
        await bench.compare_exponents()
    bench.finish()


@cocotb.test(timeout_time=4, timeout_unit="ms")
async def test_power_on(dut):
    """por_ni clears also weight group and exponents."""
    bench = await start(dut)
    await bench.complete(random_program(bench.generator, bench.limits, 20, True, 0, 4))
    dut.por_ni.value = 0
    await reset(dut)
    bench.equal("exponents", await bench.host.dump("EXPONENTS", 0, 128), [0] * 128)
    bench.equal("weights", [await bench.host.read(name) for name in ("VERSION", "SLOT", "STATUS", "OPNUM")], [0] * 4)
    bench.finish()
