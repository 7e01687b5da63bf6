# SPDX-License-Identifier: Apache-2.0
"""The whole chip against the golden model: random legal and illegal programs, resets, stalls."""

import logging
import os

import cocotb
import numpy as np
import pyuvm
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles
from pyuvm import ConfigDB, uvm_env, uvm_subscriber, uvm_test

from pymodels import machine
from pymodels.chip import Chip
from pymodels.csr_map import MEMORIES, REGISTERS
from pymodels.numerics import op_key
from pymodels.weights import WeightGroup
from tb.chip.agents import CsrAgent, IrqAgent, MemoryAgent, Pauses
from tb.chip.host import AFTER_ERROR, ERRORS, Access, ChipScoreboard, TwinHost
from tb.chip.programs import ILLEGAL, POLICY, STEPS, Generator, Space, coefficients, independent
from tb.common.actors import Coverage, quiet, rng

LANES = int(os.environ.get("CHIP_LANES", "8"))
BANKS = int(os.environ.get("CHIP_BANKS", "8"))
PROGRAMS = int(os.environ.get("CHIP_PROGRAMS", "4"))
MEMORY = 1 << 18
DUMP_AT = MEMORY - BANKS * 1024 * 2 * LANES
SLOT_WORDS = 200
PLANTED = os.environ.get("CHIP_PLANTED", "")  # an error that the golden model makes


class RegisterCoverage(uvm_subscriber):
    """Which registers and memories were written and read."""

    def build_phase(self):
        self.coverage = Coverage()

    def write(self, access):
        kind, address = access
        names = [name for name, register in REGISTERS.items() if register.offset == address]
        names += [name for name, memory in MEMORIES.items() if memory.offset <= address < memory.offset + 4 * memory.words]
        self.coverage.hit(f"{kind} {names[0] if names else 'nothing'}")


class BurstCoverage(uvm_subscriber):
    """Which kinds of memory bursts were seen."""

    def build_phase(self):
        self.coverage = Coverage()

    def write(self, burst):
        channel, _, beats = burst
        kind = {0: "waits", 1: "one", 64: "full"}.get(beats, "part")
        self.coverage.hit(f"{channel} {kind}")


class ChipEnv(uvm_env):
    """Three agents, a scoreboard, coverage."""

    def build_phase(self):
        self.csr = CsrAgent("csr", self)
        self.memory = MemoryAgent("memory", self)
        self.irq = IrqAgent("irq", self)
        self.scoreboard = ChipScoreboard("scoreboard", self)
        self.bursts = BurstCoverage("bursts", self)
        self.registers = RegisterCoverage("registers", self)

    def connect_phase(self):
        self.memory.monitor.ap.connect(self.bursts.analysis_export)
        self.csr.monitor.ap.connect(self.registers.analysis_export)


def plant(error: str) -> None:
    """Make the golden model wrong: COMMIT gives the number of the version before, or rounding draws other random bits."""
    if error == "version":
        WeightGroup.version = property(lambda self: self.table[self.slot].version - 1)
    else:
        assert error == "random bits"
        machine.op_key = lambda seed, number: op_key(seed, number + 1)


class ChipTest(uvm_test):
    """Common ground: clock, reset, both chips with the same random contents."""

    stall = 0.0

    def build_phase(self):
        logging.getLogger("cocotb.lathe").setLevel(logging.WARNING)  # the bus models tell every transfer
        quiet(cocotb.top)
        self.rng = rng()
        self.pauses = Pauses(0.0)
        self.chip_memory = self.rng.integers(0, 256, MEMORY).astype(np.uint8)
        ConfigDB().set(None, "*", "PAUSES", self.pauses)
        ConfigDB().set(None, "*", "MEMORY", self.chip_memory)
        self.env = ChipEnv("env", self)

    async def reset(self, power_on: bool) -> None:
        top = cocotb.top
        top.rst_ni.value = 0
        top.por_ni.value = 0 if power_on else 1
        await ClockCycles(top.clk_i, 5)
        top.rst_ni.value = 1
        top.por_ni.value = 1
        await ClockCycles(top.clk_i, 2)

    async def run_phase(self):
        self.raise_objection()
        cocotb.start_soon(Clock(cocotb.top.clk_i, 10, unit="ns").start(start_high=False))
        await self.reset(True)
        golden = Chip(lanes=LANES, banks=BANKS, memory=self.chip_memory.copy())
        if PLANTED:
            plant(PLANTED)
        self.host = TwinHost(self.env.csr.sequencer, self.env.irq, golden, self.chip_memory, self.env.scoreboard, self.pauses,
                             LANES, BANKS * 1024)
        await self.fill()
        self.pauses.share = self.stall
        await self.body()
        self.pauses.share = 0.0
        await self.host.compare_everything("at the end", DUMP_AT)
        self.drop_objection()

    async def fill(self) -> None:
        """Random scratchpad, exponents, coefficients; the weight group at the top of the scratchpad."""
        words = BANKS * 1024
        self.space = Space(LANES, words - 4 * SLOT_WORDS, SLOT_WORDS, MEMORY - words * 2 * LANES)
        await self.host.write_registers(SEED=int(self.rng.integers(0, 2**32)), IRQ_ENABLE=1)
        await self.fill_scratchpad()
        await self.host.write_registers(CONTROL=4 | 2)
        await self.configure()
        base, count = MEMORIES["EXPONENTS"].offset, MEMORIES["EXPONENTS"].words
        await self.host.write([(base + 4 * i, (int(self.rng.integers(-20, 3)) & 0xFF) * 0x101 | int(self.rng.random() < 0.2) << 16)
                               for i in range(count)])

    async def fill_scratchpad(self) -> None:
        """Load all of it, then place the weight group at its top: from then on nobody may write there by absolute addresses."""
        await self.host.write_registers(GROUP_SIZE=0, CONTROL=8)
        await self.host.transfer_scratchpad(False, DUMP_AT)
        await self.host.write_registers(GROUP_BASE=BANKS * 1024 - 4 * SLOT_WORDS, GROUP_SIZE=SLOT_WORDS, GROUP_SLOTS=4, GROUP_VERSION=7,
                                        CONTROL=8)

    async def configure(self) -> None:
        await self.host.write_registers(**coefficients(lambda low, high: int(self.rng.integers(low, high))))

    async def body(self) -> None:
        raise NotImplementedError


class RandomPrograms(ChipTest):
    """Random legal programs; everything is compared after each."""

    operations = frozenset()  # that must be met

    @property
    def bursts(self) -> set[str]:
        return {"ar full", "aw full", "ar part", "aw part"} | ({"ar waits", "aw waits"} if self.stall else set())

    def bursts_met(self) -> bool:
        return all(self.env.bursts.coverage.hits[name] for name in self.bursts)

    async def body(self) -> None:
        coverage = Coverage()
        generator = Generator(self.rng, self.space)
        for number in range(6 * PROGRAMS):
            if number >= PROGRAMS and all(coverage.hits[name] for name in self.operations) and self.bursts_met():
                break  # at least PROGRAMS, more until everything was met
            steps = generator.program(int(self.rng.integers(8, 40)))
            await self.configure()
            await self.host.load_program([step.fields for step in steps])
            context = f"program {number} of {len(steps)}: " + "; ".join(step.label for step in steps)
            if number % 3 == 2:  # what the counters of cycles then hold must add up as well
                await self.host.run(clear_after=int(self.rng.integers(1, 400)))
                await self.host.account(f"{context}: counters cleared in the middle")
                await self.host.write_registers(CONTROL=4)
            else:
                await self.host.run()
            for step in steps:
                cover(coverage, step)
            await self.host.compare_registers(["NORM"], context)  # after a stopped program it is a matter of timing
            await self.host.compare_everything(context, DUMP_AT)
        coverage.require(self.operations)
        self.env.bursts.coverage.require(self.bursts)
        self.env.registers.coverage.require({"write PROGRAM", "write EXPONENTS", "read EXPONENTS", "write CONTROL", "read STATUS"})


OPTIONS = ("bias", "int8", "int8_result", "accumulate", "colsum", "chain", "norm")
OPERATIONS = {"gemm", *(f"policy {kind}" for kind in POLICY), "sequence words", *STEPS, "int8 copy", "clip", "dma load", "dma store",
              "commit", "waits", "free", *(f"gemm {form}" for form in ("NN", "NT", "TN", "TT")),
              *(f"act {act}" for act in range(3)), "dact 1", "dact 2", *OPTIONS,
              "ragged m", "ragged n", "ragged k", "whole m", "stochastic", "nearest"}


def cover(coverage: Coverage, step) -> None:
    """Count the operation, form and shape of one descriptor."""
    words, fields = step.label.split(), step.fields
    coverage.hit(" ".join(words[:2]) if words[0] in ("policy", "dma") else words[0])
    coverage.hit("sequence words", fields.get("sequence_words", 0))
    coverage.hit("waits" if fields.get("wait_mask") else "free")
    coverage.hit("clip", fields.get("clip", 0))
    if words[0] in STEPS:
        coverage.hit("int8 copy", fields["int8_result"])
    if words[0] == "gemm":
        coverage.hit("gemm " + "NT"[fields["trans_a"]] + "NT"[fields["trans_b"]])
        coverage.hit(f"act {fields['act']}")
        coverage.hit(f"dact {fields.get('dact', 0)}")
        for name in OPTIONS:
            coverage.hit(name, fields.get(name, 0))
        coverage.hit("stochastic" if fields["stochastic"] else "nearest")
        for name in "mnk":
            coverage.hit(f"{'ragged' if fields[name] % LANES else 'whole'} {name}")


@pyuvm.test()
class RandomProgramsFreely(RandomPrograms):
    """No stalls."""

    operations = OPERATIONS


@pyuvm.test()
class RandomProgramsStalled(RandomPrograms):
    """Half of the cycles stalled on every bus channel."""

    operations = OPERATIONS
    stall = 0.5


@pyuvm.test()
class RandomProgramsCrawling(RandomPrograms):
    """Nine of ten cycles stalled."""

    stall = 0.9


@pyuvm.test()
class IllegalDescriptors(ChipTest):
    """Each illegal descriptor is refused by name and place; the chip works on, the weights are untouched."""

    async def body(self) -> None:
        generator = Generator(self.rng, self.space)
        for name, (change, code) in ILLEGAL.items():
            steps = independent(generator.program(4))
            bad = generator.gemm()
            bad.fields |= change
            # No waits: the semaphores of a program that is cut short may never be posted.
            fields = [step.fields | {"wait_mask": 0, "post_mask": 0, "last": 0, "chain": 0} for step in steps
                      if step.label not in ("commit", "rollback")]
            generator.kept = 0
            place = int(self.rng.integers(0, len(fields) + 1))
            fields.insert(place, bad.fields)
            fields[-1]["last"] = 1
            await self.host.load_program(fields)
            await self.host.run()
            read = await self.host.compare_registers(AFTER_ERROR, f"illegal: {name}")
            expected = ERRORS[code] | bad.fields["unit"] << 4 | place << 8
            self.env.scoreboard.compare(f"illegal: {name}: error register", read["ERROR"], expected)
            await self.host.account(f"illegal: {name}")
            self.env.scoreboard.require_clean(name)
        await self.synchronize()

    async def synchronize(self) -> None:
        """After stopped programs the scratchpads may differ: fill both again."""
        base, count = MEMORIES["EXPONENTS"].offset, MEMORIES["EXPONENTS"].words
        size = BANKS * 1024 * 2 * LANES
        self.chip_memory[:] = self.rng.integers(0, 256, len(self.chip_memory))
        self.host.golden.memory[:] = self.chip_memory
        assert DUMP_AT + size == MEMORY
        await self.fill_scratchpad()
        await self.host.write([(base + 4 * i, (int(self.rng.integers(-20, 3)) & 0xFF) * 0x101) for i in range(count)])
        await self.host.write_registers(OPNUM=0, CONTROL=2 | 4)
        await self.host.compare_everything("after illegal programs", DUMP_AT)


@pyuvm.test()
class Deadlock(IllegalDescriptors):
    """A semaphore that nobody posts, and memory that does not exist."""

    async def body(self) -> None:
        steps = [step.fields for step in (Generator(self.rng, self.space).gemm() for _ in range(3))]
        for step, extra in zip(steps, ({"post_mask": 1}, {"wait_mask": 1}, {"wait_mask": 2, "last": 1}), strict=True):
            step |= extra
        await self.host.load_program(steps)
        await self.host.run()
        read = await self.host.compare_registers(AFTER_ERROR, "deadlock")
        self.env.scoreboard.compare("deadlock: error", read["ERROR"], ERRORS["deadlock"] | 1 << 4 | 2 << 8)
        await self.host.account("deadlock")
        for op, operand in ((0, "t2"), (1, "t0")):
            await self.host.load_program([{"unit": 4, "op": op, "m": 1, "n": 4, f"{operand}_stride": 4, "mem_addr": MEMORY,
                                           "mem_stride": 64, "last": 1}])
            await self.host.run()
            read = await self.host.compare_registers(AFTER_ERROR, "outside memory")
            self.env.scoreboard.compare("outside memory: error", read["ERROR"], ERRORS["memory"] | 4 << 4)
            await self.host.account("outside memory")
        await self.synchronize()


@pyuvm.test()
class ResetInTheMiddle(IllegalDescriptors):
    """A reset at a random moment of an update leaves version, slot, current weights and exponents whole."""

    async def body(self) -> None:
        generator = Generator(self.rng, self.space)
        for _ in range(4):
            step = generator.update()
            while step.label in ("commit", "rollback"):
                step = generator.update()
            await self.host.load_program([step.fields, step.fields | {"last": 1}])
            await self.host.write_registers(START_PC=0)
            await self.host.sequencer_write("CONTROL", 1)
            await ClockCycles(cocotb.top.clk_i, int(self.rng.integers(1, 150)))
            await self.reset(False)
            self.host.golden.reset()
            await self.host.compare_registers(["VERSION", "SLOT", "STATUS"], "after a reset")
            counts = await self.host.account("after a reset")
            self.env.scoreboard.compare("after a reset: cycles", counts["CYCLES_LO"], 0)
            await self.host.write_registers(IRQ_ENABLE=1)
            await self.compare_current_slot()
        await self.fill_registers()
        await self.synchronize()

    async def compare_current_slot(self) -> None:
        """The slot that serves holds what it held, mantissas and exponents."""
        host, size = self.host, SLOT_WORDS * 2 * LANES
        await host.transfer_scratchpad(True, DUMP_AT)
        start = DUMP_AT + self.space.words * 2 * LANES
        self.env.scoreboard.compare_array("current slot after a reset", host.memory[start:start + size],
                                          host.golden.memory[start:start + size])
        first = MEMORIES["EXPONENTS"].offset + 4 * 64
        access = Access([(first + 4 * i, None) for i in range(16)])
        await access.start(host.sequencer)
        expected = [host.golden.csr_read(first + 4 * i) & 0xFF for i in range(16)]
        self.env.scoreboard.compare_array("exponents of the current slot after a reset",
                                          np.array(access.results) & 0xFF, np.array(expected))

    async def fill_registers(self) -> None:
        await self.host.write_registers(SEED=5, OPNUM=0, GROUP_BASE=self.space.words, GROUP_SIZE=SLOT_WORDS, GROUP_SLOTS=4)
        await self.configure()
