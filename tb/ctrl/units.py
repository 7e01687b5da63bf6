# SPDX-License-Identifier: Apache-2.0
"""Actors in the place of the four units, and the model of what they must be given."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import cocotb
from cocotb.triggers import RisingEdge

from pymodels.check import operands
from pymodels.descriptor import Error
from pymodels.exponents import ExponentFile
from pymodels.numerics import Result, mix32
from pymodels.weights import WeightGroup
from tb.common.actors import rng, stalls
from tb.common.structs import struct
from tb.ctrl.programs import COMMIT, ROLLBACK, Program

CMD, DONE = struct("cmd_t"), struct("done_t")
COPIED = ("op", "trans_a", "trans_b", "bias", "act", "dact", "stochastic", "greedy", "gshift", "m", "n", "k", "mem_addr", "mem_stride")
NUM_UNITS = 4


@dataclass
class Unit:
    """A unit's actor: what it runs and how many cycles more."""

    pc: int | None = None  # index into the program
    left: int = 0
    done: dict | None = None
    indices: dict | None = None  # exponent registers of its results, by operand
    ready: bool = False
    busy_cycles: int = 0


@dataclass
class Model:
    """State that commands depend on and change, as the documents say."""

    lanes: int
    exponents: ExponentFile = field(default_factory=ExponentFile)
    weights: WeightGroup = field(default_factory=WeightGroup)
    seed: int = 0
    opnum: int = 0  # of the program's first descriptor
    saturations: int = 0
    posted: list = field(default_factory=lambda: [0] * 16)
    taken: list = field(default_factory=lambda: [0] * 16)

    def index(self, d: dict, operand: int) -> int:
        return ExponentFile.physical(d[f"t{operand}_exp"], d[f"t{operand}_space"], self.weights.slot, self.weights.slot_next)

    def check_command(self, d: dict, number: int, cmd: dict) -> int:
        """Compare a command with its descriptor; returns how many operands were compared."""
        wanted = {name: d[name] for name in COPIED} | {"key": mix32(self.seed ^ mix32((self.opnum + number) & 0xFFFFFFFF))}
        got = {name: cmd[name] for name in wanted}
        assert got == wanted, f"descriptor {number}: command {got}, expected {wanted}"
        used = operands(d, self.lanes)
        for i in used:
            base = (0, self.weights.first_word(self.weights.slot), self.weights.first_word(self.weights.slot_next))[d[f"t{i}_space"]]
            index, result = self.index(d, i), i == 2 or (i == 4 and d["unit"] == 3)
            exp = self.exponents.next_of(index) if result else self.exponents.exp[index]
            wanted = {"addr": base + d[f"t{i}_addr"] & 0xFFFF, "stride": d[f"t{i}_stride"], "exp": exp}
            assert cmd["t"][i] == wanted, f"descriptor {number} operand {i}: {cmd['t'][i]}, expected {wanted}"
        return len(used)

    def take(self, d: dict) -> None:
        for i in range(16):
            if d["wait_mask"] >> i & 1:
                self.taken[i] += 1
                assert self.taken[i] <= self.posted[i], f"semaphore {i} was not posted when a command that waits for it started"

    def complete(self, d: dict, indices: dict[int, int], done: dict) -> None:
        for r, operand in enumerate((2, 4)):
            result = done["result"][r]
            if operand in indices:
                self.exponents.retire(indices[operand], Result(saturations=0, **result))
        self.saturations = (self.saturations + done["saturations"]) & 0xFFFFFFFF
        for i in range(16):
            self.posted[i] += d["post_mask"] >> i & 1


class Units:
    """The four actors. `duration(d)` draws a command's cycles; `fail` maps a descriptor's index to the error of its command."""

    def __init__(self, dut, model: Model, duration: Callable[[dict], int], stall: float = 0.0):
        self.dut, self.model, self.duration, self.generator = dut, model, duration, rng(20)
        self.stall: Iterator[bool] = stalls(stall, rng(21))
        self.noise = rng(22)
        self.results = True       # whether commands report random results
        self.compared = self.now = 0
        self.noisy, self.levels = False, (0, 0, 0)
        self.expect([], 0)
        self.units = [Unit() for _ in range(NUM_UNITS)]
        self.clear_counts()
        self.ended: list[tuple[int, int]] = []  # (cycle, exponent register) of recent completions
        cocotb.start_soon(self._run())

    def expect(self, program: Program, first: int) -> None:
        """From now on commands belong to this program, which starts at index `first`; semaphores start at zero."""
        self.program, self.first, self.fail = program, first, {}
        self.orders = [[i for i, d in enumerate(program) if d["unit"] == u + 1] for u in range(NUM_UNITS)]
        self.started: list[int] = []
        self.start_times: list[int] = []
        self.failed: list[tuple[int, int]] = []  # (cycle, index)
        self.model.posted, self.model.taken = [0] * 16, [0] * 16

    def idle(self) -> bool:
        return all(unit.pc is None for unit in self.units)

    def _accept(self, u: int, cmd: dict) -> None:
        unit, model = self.units[u], self.model
        assert self.orders[u], f"unit {u + 1} was started more often than the program says: {cmd}"
        number = self.orders[u].pop(0)
        d = self.program[number]
        model.take(d)
        self.compared += 1 + model.check_command(d, number, cmd)
        self.started.append(number)
        self.start_times.append(self.now)
        unit.pc, unit.left = number, self.duration(d)
        unit.done = self._record(d, number)
        unit.indices = {i: model.index(d, i) for i in (2, 4) if i in operands(d, model.lanes) and (i == 2 or d["unit"] == 3)}

    def _record(self, d: dict, number: int) -> dict:
        g = self.generator
        error = self.fail.get(number, Error.NONE)
        done = {"error": int(error), "saturations": 0, "result": [{"write": 0, "exp": 0, "track": 0, "top": 0} for _ in range(2)]}
        if self.results and d["unit"] != 4 and (d["unit"], d["op"]) not in (COMMIT, ROLLBACK):
            done["saturations"] = int(g.integers(0, 2**32)) if g.random() < 0.2 else 0
            for r in range(2 if d["unit"] == 3 else 1):
                write, track = (int(v) for v in g.random(2) < 0.8)
                done["result"][r] = {"write": write, "exp": int(g.integers(-64, 64)), "track": track, "top": int(g.integers(-127, 128))}
        return done

    def _finish(self, u: int) -> int:
        unit, model, d = self.units[u], self.model, self.program[self.units[u].pc]
        if unit.done["error"]:
            self.failed.append((self.now, unit.pc))
        model.complete(d, unit.indices, unit.done)
        self.ended += [(self.now, index) for index in unit.indices.values()]
        unit.pc = None
        return DONE.pack(unit.done)

    async def _run(self) -> None:
        dut, model, edge = self.dut, self.model, RisingEdge(self.dut.clk_i)
        for name in ("cmd_ready", "done_valid", "commit", "rollback", "stall_operand", "stall_result", "mac_step"):
            getattr(dut, f"{name}_i").value = 0
        while True:
            await edge
            self.now += 1
            if not int(dut.rst_ni.value):
                for unit in self.units:
                    unit.pc, unit.ready = None, False
                dut.cmd_ready_i.value = dut.done_valid_i.value = dut.commit_i.value = dut.rollback_i.value = 0
                continue
            self.counts["busy"] += int(dut.busy.value)
            valid, done_valid, records, commit, rollback = int(dut.cmd_valid_o.value), 0, 0, 0, 0
            ready = 0
            for u, unit in enumerate(self.units):
                if unit.pc is None:
                    if valid >> u & 1 and unit.ready:
                        self._accept(u, CMD.unpack(int(dut.cmd_o.value) >> u * CMD.width & (1 << CMD.width) - 1))
                        unit.busy_cycles += 1
                        unit.ready = False
                    else:
                        unit.ready = not next(self.stall)
                elif unit.left > 1:
                    unit.left -= 1
                    unit.busy_cycles += 1
                    kind = (self.program[unit.pc]["unit"], self.program[unit.pc]["op"])
                    if unit.left == 1 and kind == COMMIT:
                        commit = 1
                    if unit.left == 1 and kind == ROLLBACK:
                        assert int(dut.rollback_ok_o.value) == int(model.weights.kept > 0)
                        rollback = int(dut.rollback_ok_o.value)
                        if not rollback:
                            unit.done["error"] = int(Error.NO_VERSION)
                else:
                    unit.busy_cycles += 1
                    done_valid |= 1 << u
                    records |= self._finish(u) << u * DONE.width
                ready |= unit.ready << u
            dut.cmd_ready_i.value, dut.done_valid_i.value = ready, done_valid
            dut.commit_i.value, dut.rollback_i.value = commit, rollback
            if commit:
                model.weights.commit()
            if rollback:
                model.weights.rollback()
            if done_valid:
                dut.done_i.value = records
            self._noise()

    def _noise(self) -> None:
        """Random stall signals and array steps, counted; all quiet while not `noisy`."""
        dut = self.dut
        if self.now % 4 == 0 or not self.noisy:
            self.levels = tuple(int(v) for v in self.noise.integers(0, [16, 16, 2])) if self.noisy else (0, 0, 0)
            dut.stall_operand_i.value, dut.stall_result_i.value, dut.mac_step_i.value = self.levels
        operand, result, mac = self.levels
        for u in range(NUM_UNITS):
            self.counts["stall_operand"][u] += operand >> u & 1
            self.counts["stall_result"][u] += result >> u & 1
        self.counts["mac_step"] += mac

    def clear_counts(self) -> None:
        """Count from here on."""
        self.model.saturations = 0
        self.counts = {"stall_operand": [0] * NUM_UNITS, "stall_result": [0] * NUM_UNITS, "mac_step": 0, "busy": 0}
        for unit in self.units:
            unit.busy_cycles = 0
