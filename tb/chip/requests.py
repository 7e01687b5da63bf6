# SPDX-License-Identifier: Apache-2.0
"""The whole chip with requests beside random programs: whatever runs when, all bits are the golden model's."""

import cocotb
import pyuvm

from pymodels.descriptor import Arbitration
from tb.chip.bench import DUMP_AT, PROGRAMS, ChipTest
from tb.chip.programs import ABSOLUTE, Generator, Space, Step
from tb.common.actors import Coverage

REQUEST_AT = 200     # first descriptor of requests
PROGRAM_SHARE = 0.75  # of scratchpad, exponent registers and outside memory


class RequestGenerator(Generator):
    """Draws requests: absolute operands alone, in the part of everything that programs leave alone."""

    registers = 16

    def __init__(self, rng, space: Space, words: int, memory_bytes: int):
        super().__init__(rng, space)
        self.first_word, self.first_byte = words, memory_bytes

    def _operand(self, step, index, rows, words, write, spaces=(ABSOLUTE,), exponent=True) -> None:
        super()._operand(step, index, rows, words, write, (ABSOLUTE,), exponent)

    def request(self, length: int) -> list[Step]:
        steps: list[Step] = []
        while len(steps) < length:
            step = (self.gemm, self.gemm, self.policy, self.dma)[int(self.rng.integers(0, 4))]()
            fields = step.fields
            if fields["unit"] == 2 and (fields["op"] not in (1, 2) or fields.get("sequence_words")):
                continue  # a sample carries the version, which may change at any time
            for i in range(5):
                if any(fields.get(f"t{i}_{name}") for name in ("stride", "exp")) or f"t{i}_addr" in fields:
                    fields[f"t{i}_addr"] = fields.get(f"t{i}_addr", 0) + self.first_word * (f"t{i}_addr" in fields)
                    if f"t{i}_exp" in fields and f"t{i}_addr" in fields:
                        fields[f"t{i}_exp"] += 48 * (i != 4 or not fields.get("dact"))
            if fields["unit"] == 4:
                fields["mem_addr"] += self.first_byte
            fields.pop("norm", 0)  # only a program adds to the norm
            steps.append(step)
        steps[-1].fields["last"] = 1
        return steps


class ProgramGenerator(Generator):
    """Draws programs of at most one commit: which slots further versions take depends on when a request holds one."""

    def program(self, length: int) -> list[Step]:
        self.committed = False
        return super().program(length)

    def update(self) -> Step:
        step = super().update()
        while step.label == "rollback" or (step.label == "commit" and self.committed):
            step = super().update()
        self.committed |= step.label == "commit"
        return step


class Beside(ChipTest):
    """Requests beside random programs under every arbitration; everything is compared after each."""

    async def body(self) -> None:
        whole = self.space
        words, memory = int(whole.words * PROGRAM_SHARE), int(whole.memory_bytes * PROGRAM_SHARE) // 64 * 64
        programs = ProgramGenerator(self.rng, Space(whole.lanes, words, whole.slot_words, memory))
        programs.registers = 48
        requests = RequestGenerator(self.rng, Space(whole.lanes, whole.words - words, 0, whole.memory_bytes - memory), words, memory)
        coverage, beside = Coverage(), dict.fromkeys(Arbitration, 0)
        for number in range(PROGRAMS):
            policy = Arbitration(number % len(Arbitration))
            await self.configure()
            await self.host.write_registers(ARBITER=int(policy) | int(self.rng.integers(5, 10)) << 8,
                                            REQUEST_OPNUM=int(self.rng.integers(0, 2**32)))
            steps, firsts, at = programs.program(int(self.rng.integers(8, 40))), [], REQUEST_AT
            await self.host.load_program([step.fields for step in steps])
            labels = []
            for length in (1, 3, 6, 9):
                made = requests.request(length)
                await self.host.load_program([step.fields for step in made], at)
                labels.append("; ".join(step.label for step in made))
                firsts.append(at)
                at += length
            beside[policy] += await self.host.run_beside(firsts, lambda: int(self.rng.integers(1, 60)))
            coverage.hit(policy.name)
            context = f"program {number}, {policy.name}: " + "; ".join(step.label for step in steps) + " | " + " | ".join(labels)
            await self.host.compare_registers(["NORM"], context)
            await self.host.compare_everything(context, DUMP_AT)
        coverage.require([policy.name for policy in Arbitration])
        assert all(beside.values()), f"requests that ended before their program: {beside}"
        await self.host.write_registers(ARBITER=0)
        cocotb.log.info("requests beside programs: %s", beside)


@pyuvm.test()
class BesideFreely(Beside):
    """No stalls."""


@pyuvm.test()
class BesideStalled(Beside):
    """Half of the cycles stalled on every bus channel."""

    stall = 0.5
