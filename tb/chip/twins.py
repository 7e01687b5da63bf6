# SPDX-License-Identifier: Apache-2.0
"""A chip compiled into this process and its golden model, under the same random programs."""

import numpy as np

from lathe.backends.verilator import VerilatorBackend
from pymodels.chip import Chip
from pymodels.csr_map import MEMORIES, REGISTERS
from pymodels.descriptor import encode
from tb.chip.programs import Generator, Space, coefficients

MEMORY_BYTES = 1 << 18
SLOT_WORDS = 200
COMPARED = ["STATUS", "ERROR", "OPNUM", "VERSION", "SLOT", "SATURATIONS", *(name for name in REGISTERS if name.startswith("STAT_"))]


class Twins:
    """The chip and its golden model under the same register accesses; how far away outside memory is goes by the seed."""

    def __init__(self, lanes: int, banks: int, seed: int, backend: type[VerilatorBackend] = VerilatorBackend):
        self.rng = np.random.default_rng(seed)
        self.lanes, self.words = lanes, banks * 1024
        self.memory = self.rng.integers(0, 256, MEMORY_BYTES).astype(np.uint8)
        self.golden = Chip(lanes=lanes, banks=banks, memory=self.memory.copy())
        self.chip = backend(lanes, banks, self.memory, seed, self.draw(0, 80))
        self.dump = MEMORY_BYTES - self.words * 2 * lanes
        base = self.words - 4 * SLOT_WORDS
        self.set(IRQ_ENABLE=1)
        self.transfer("t2", 0)  # before the weight group is placed, which nobody may write by absolute addresses then
        self.set(SEED=self.draw(0, 1 << 32), OPNUM=0, GROUP_BASE=base, GROUP_SIZE=SLOT_WORDS, GROUP_SLOTS=4, GROUP_VERSION=3,
                 CONTROL=14)
        for i in range(MEMORIES["EXPONENTS"].words):
            self.write(MEMORIES["EXPONENTS"].offset + 4 * i, (self.draw(-20, 3) & 0xFF) * 0x101 | int(self.rng.random() < 0.2) << 16)
        self.generator = Generator(self.rng, Space(lanes, base, SLOT_WORDS, self.dump))

    def draw(self, low: int, high: int) -> int:
        return int(self.rng.integers(low, high))

    def write(self, address: int, value: int) -> None:
        self.golden.csr_write(address, value)
        self.chip.csr_write(address, value)

    def set(self, **values: int) -> None:
        for name, value in values.items():
            self.write(REGISTERS[name].offset, value)

    def run(self, descriptors: list[dict], first: int = 0) -> None:
        for d, fields in enumerate(descriptors):
            for w, word in enumerate(encode(fields)):
                self.write(MEMORIES["PROGRAM"].offset + 64 * (first + d) + 4 * w, int(word))
        self.set(START_PC=first, CONTROL=1)
        self.chip.run(400_000)
        self.golden.run(400_000)

    def transfer(self, operand: str, op: int) -> None:
        """Move the whole scratchpad from (op 0) or to (op 1) outside memory."""
        rows = 512
        steps = [{"unit": 4, "op": op, "m": 1, "n": rows, f"{operand}_addr": start, f"{operand}_stride": rows,
                  "mem_addr": self.dump + start * 2 * self.lanes} for start in range(0, self.words, rows)]
        steps[-1]["last"] = 1
        self.run(steps, 256 - len(steps))

    def random_program(self, length: int) -> list:
        self.set(**coefficients(self.draw))
        steps = self.generator.program(length)
        self.run([step.fields for step in steps])
        return steps

    def differences(self) -> list[str]:
        read = [(name, REGISTERS[name].offset) for name in COMPARED]
        read += [(f"exponent {i}", MEMORIES["EXPONENTS"].offset + 4 * i) for i in range(MEMORIES["EXPONENTS"].words)]
        found = [f"{name}: chip {got:#x}, golden {want:#x}" for name, address in read
                 if (got := self.chip.csr_read(address)) != (want := self.golden.csr_read(address))]
        self.transfer("t0", 1)
        wrong = np.flatnonzero(self.memory != self.golden.memory) // (2 * self.lanes)
        first = self.dump // (2 * self.lanes)
        return found + [f"word {w} of outside memory" if w < first else f"scratchpad word {w - first}" for w in np.unique(wrong)]


def compare_programs(lanes: int, banks: int, seed: int, programs: int, backend: type[VerilatorBackend] = VerilatorBackend) -> Twins:
    """Run random programs on both; AssertionError at the first that leaves a difference."""
    twins = Twins(lanes, banks, seed, backend)
    for number in range(programs):
        steps = twins.random_program(int(twins.rng.integers(1, 41)))
        found = twins.differences()
        assert not found, "\n".join([f"seed {seed}, program {number}:", *found[:20], *(f"{s.label} {s.fields}" for s in steps)])
    return twins
