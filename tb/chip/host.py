# SPDX-License-Identifier: Apache-2.0
"""Drives the chip and the golden model with the same register accesses and hands both answers to the scoreboard."""

from collections.abc import Callable

import cocotb
import numpy as np
from cocotb.triggers import ClockCycles
from pyuvm import uvm_scoreboard, uvm_sequence

from pymodels.csr_map import MEMORIES, REGISTERS
from pymodels.descriptor import Error, encode
from tb.chip.agents import CsrItem

STATISTICS = [name for name in REGISTERS if name.startswith("STAT_")]
COMPARED = ["STATUS", "OPNUM", "REQUEST_OPNUM", "REQUEST_ERROR", "VERSION", "SLOT", "SATURATIONS", *STATISTICS]
CYCLES = ["CYCLES_LO", "CYCLES_HI", "MAC_STEPS_LO", "MAC_STEPS_HI"]
STATES = {unit: [name for name in REGISTERS if name.startswith(f"{unit}_")] for unit in ("GEMM", "POLICY", "UPDATE", "DMA")}
AFTER_ERROR = ["STATUS", "ERROR", "VERSION", "SLOT"]  # what is defined when a program was stopped
ERRORS = {error.name.lower(): int(error) for error in Error}


class Access(uvm_sequence):
    """A list of (register address, data to write or None to read); `results` holds what was read."""

    def __init__(self, accesses: list[tuple[int, int | None]]):
        super().__init__("access")
        self.accesses, self.results = accesses, []

    async def body(self):
        for address, data in self.accesses:
            item = CsrItem(address, data)
            await self.start_item(item)
            await self.finish_item(item)
            assert item.response == 0, f"bus error at register {address:#06x}"
            if data is None:
                self.results.append(item.data)


class ChipScoreboard(uvm_scoreboard):
    """Compares what the chip and the golden model answered; refuses to pass when it compared nothing."""

    def build_phase(self):
        self.compared, self.failures = 0, []

    def compare(self, what: str, got: int, expected: int) -> None:
        self.compared += 1
        if got != expected:
            self.failures.append(f"{what}: chip {got:#x}, golden model {expected:#x}")

    def compare_array(self, what: str, got: np.ndarray, expected: np.ndarray) -> None:
        self.compared += got.size
        wrong = np.flatnonzero(got != expected)
        if len(wrong):
            first = wrong[0]
            self.failures.append(f"{what}: {len(wrong)} of {got.size} differ, first at {first}: "
                                 f"chip {got[first]}, golden model {expected[first]}")

    def require_clean(self, context: str) -> None:
        assert not self.failures, f"{context}:\n" + "\n".join(self.failures[:20])

    def check_phase(self):
        assert self.compared > 0, "the scoreboard compared nothing"
        self.require_clean("at the end")


class TwinHost:
    """One host for two chips: every write goes to both, every comparison reads both."""

    def __init__(self, sequencer, irq, golden, memory: np.ndarray, scoreboard: ChipScoreboard, pauses, lanes: int, words: int):
        self.sequencer, self.irq, self.golden, self.memory = sequencer, irq, golden, memory
        self.scoreboard, self.pauses, self.lanes, self.words = scoreboard, pauses, lanes, words

    async def write(self, accesses: list[tuple[int, int]]) -> None:
        await Access(accesses).start(self.sequencer)
        for address, data in accesses:
            self.golden.csr_write(address, data)

    async def write_registers(self, **values: int) -> None:
        await self.write([(REGISTERS[name].offset, value) for name, value in values.items()])

    async def sequencer_write(self, name: str, value: int) -> None:
        """Write a register of the chip alone."""
        await Access([(REGISTERS[name].offset, value)]).start(self.sequencer)

    async def compare_registers(self, names: list[str], context: str) -> dict[str, int]:
        access = Access([(REGISTERS[name].offset, None) for name in names])
        await access.start(self.sequencer)
        for name, got in zip(names, access.results, strict=True):
            self.scoreboard.compare(f"{context}: {name}", got, self.golden.csr_read(REGISTERS[name].offset))
        return dict(zip(names, access.results, strict=True))

    async def account(self, context: str) -> dict[str, int]:
        """Read the chip's counters of cycles: the states of each unit must sum to all the cycles, gemm is busy in its steps."""
        names = [*CYCLES, *(name for states in STATES.values() for name in states)]
        access = Access([(REGISTERS[name].offset, None) for name in names])
        await access.start(self.sequencer)
        counts = dict(zip(names, access.results, strict=True))
        total, steps = (counts[f"{name}_LO"] | counts[f"{name}_HI"] << 32 for name in ("CYCLES", "MAC_STEPS"))
        for unit, states in STATES.items():
            self.scoreboard.compare(f"{context}: cycles in the {len(states)} states of {unit}, and all the cycles",
                                    sum(counts[name] for name in states), total)
        self.scoreboard.compare(f"{context}: busy cycles of GEMM, and its steps", counts["GEMM_BUSY"], steps)
        return counts

    async def compare_exponents(self, context: str) -> None:
        base, count = MEMORIES["EXPONENTS"].offset, MEMORIES["EXPONENTS"].words
        access = Access([(base + 4 * i, None) for i in range(count)])
        await access.start(self.sequencer)
        expected = [self.golden.csr_read(base + 4 * i) for i in range(count)]
        self.scoreboard.compare_array(f"{context}: exponents", np.array(access.results), np.array(expected))

    async def load_program(self, descriptors: list[dict], first: int = 0) -> None:
        base = MEMORIES["PROGRAM"].offset
        await self.write([(base + 64 * (first + d) + 4 * w, int(word))
                          for d, fields in enumerate(descriptors) for w, word in enumerate(encode(fields))])

    async def run(self, first: int = 0, cycles: int = 200_000, clear_after: int | None = None) -> None:
        """Start both, wait for the interrupt; `clear_after`: clear the chip's counters that many cycles after the start."""
        await self.write_registers(START_PC=first, CONTROL=1)
        if clear_after is not None:
            await ClockCycles(cocotb.top.clk_i, clear_after)
            await self.sequencer_write("CONTROL", 4)
        assert await self.irq.wait(cycles), f"no interrupt within {cycles} cycles"
        self.golden.run(cycles)

    async def run_beside(self, firsts: list[int], pause: Callable[[], int], first: int = 0) -> int:
        """Run a program and, as long as it runs, these requests again and again; returns how many ended before it."""
        ended, status = 0, REGISTERS["STATUS"]
        await self.write_registers(START_PC=first, CONTROL=1)
        while True:
            await self.write_registers(REQUEST_PC=firsts[ended % len(firsts)], CONTROL=REGISTERS["CONTROL"].pack(request=1))
            self.golden.run()
            for _ in range(20_000):
                access = Access([(status.offset, None)])
                await access.start(self.sequencer)
                found = status.unpack(access.results[0])
                if not found["request_busy"]:
                    break
            self.scoreboard.compare("a request's end", found["request_done"], 1)
            await self.write_registers(STATUS=status.pack(request_done=1))
            if not found["busy"]:
                return ended
            ended += 1
            await ClockCycles(cocotb.top.clk_i, pause())

    async def transfer_scratchpad(self, store: bool, address: int) -> None:
        """Move the whole scratchpad to or from outside memory, by the chip's own DMA."""
        word, rows, operand = 2 * self.lanes, 512, "t0" if store else "t2"
        steps = [{"unit": 4, "op": int(store), "m": 1, "n": min(rows, self.words - start), f"{operand}_addr": start,
                  f"{operand}_stride": min(rows, self.words - start), "mem_addr": address + start * word, "mem_stride": word * rows}
                 for start in range(0, self.words, rows)]
        steps[-1]["last"] = 1
        share, self.pauses.share = self.pauses.share, 0.0
        await self.load_program(steps, 256 - len(steps))
        await self.run(256 - len(steps))
        self.pauses.share = share

    async def compare_everything(self, context: str, dump_at: int) -> None:
        """Compare status, statistics, exponents, the whole scratchpad and all of outside memory."""
        await self.compare_registers(COMPARED, context)
        await self.account(context)
        await self.compare_exponents(context)
        await self.transfer_scratchpad(True, dump_at)
        size = self.words * 2 * self.lanes
        self.scoreboard.compare_array(f"{context}: scratchpad", self.memory[dump_at:dump_at + size].view(np.int16),
                                      self.golden.memory[dump_at:dump_at + size].view(np.int16))
        self.scoreboard.compare_array(f"{context}: outside memory", self.memory, self.golden.memory)
        self.scoreboard.require_clean(context)
