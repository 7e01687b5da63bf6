# SPDX-License-Identifier: Apache-2.0
"""Actors in the place of the four units, and the model of what they must be given."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import cocotb
from cocotb.triggers import RisingEdge

from pymodels.check import operands
from pymodels.csr_map import REGISTERS
from pymodels.descriptor import Act, Error
from pymodels.exponents import ExponentFile
from pymodels.numerics import Result, mix32
from pymodels.weights import WeightGroup
from tb.common.actors import rng, stalls
from tb.common.pieces import Piece, cuttable, pieces, whole
from tb.common.structs import struct
from tb.ctrl.programs import MOVES, RAW, Program
from tb.desc_check.descriptors import ADAM, NESTEROV, STEPS

CMD, DONE = struct("cmd_t"), struct("done_t")
COPIED = ("op", "trans_a", "trans_b", "bias", "act", "dact", "stochastic", "greedy", "int8", "int8_result", "accumulate", "colsum",
          "chain", "overlap", "sequence_words", "norm", "clip", "gshift", "m", "n", "k", "mem_addr", "mem_stride")
NUM_UNITS = 4
DEPTH = (4, 1, 1, 1)  # commands that a unit takes before it has completed the first
TRACE = struct("unit_trace_t")
STATES = {"IDLE": "UnitIdle", "BUSY": "UnitBusy", "WAIT": "UnitWait", "STALL_OPERAND": "UnitStallOperand",
          "STALL_RESULT": "UnitStallResult", "OVERHEAD": "UnitOverhead", "FETCH": "UnitFetch"}


def results(d: dict, lanes: int) -> list[int]:
    """Operands whose exponent registers a descriptor writes."""
    used = operands(d, lanes)
    return [i for i in (2, 4, 5) if i in used and used[i].result and d["unit"] != 4 and (d["unit"], d["op"]) not in RAW]


@dataclass
class Command:
    """What an actor runs."""

    pc: int              # descriptor's index
    descriptor: dict
    request: bool        # it belongs to the request
    piece: Piece
    end: int             # cycle in which it is done
    done: dict
    indices: dict        # exponent registers of its results, by operand


@dataclass
class Unit:
    """A unit's actor: its commands, the oldest first."""

    commands: list[Command] = field(default_factory=list)
    ready: bool = False
    finishing: bool = False  # a completion is at the port
    counts: dict = field(default_factory=dict)  # cycles with a command inside, by state


@dataclass
class Model:
    """State that commands depend on and change, as the documents say."""

    lanes: int
    exponents: ExponentFile = field(default_factory=ExponentFile)
    weights: WeightGroup = field(default_factory=WeightGroup)
    seed: int = 0
    opnum: int = 0  # of the program's first descriptor
    request_opnum: int = 0  # of the request's
    saturations: int = 0
    rates: dict = field(default_factory=dict)  # registers that a step's exponents depend on
    given: dict = field(default_factory=dict)  # unit, operand -> exponent of the first piece
    posted: list = field(default_factory=lambda: [0] * 16)
    taken: list = field(default_factory=lambda: [0] * 16)

    def index(self, d: dict, operand: int) -> int:
        return ExponentFile.physical(d[f"t{operand}_exp"], d[f"t{operand}_space"], self.weights.slot, self.weights.slot_next)

    def key(self, opnum: int) -> int:
        return mix32(self.seed ^ mix32(opnum & 0xFFFFFFFF))

    def check_command(self, d: dict, number: int, cmd: dict, piece: Piece, key: int, alone: bool) -> int:
        """Compare a command with its descriptor; returns how many operands were compared. `alone`: nothing before it matters."""
        wanted = {name: d[name] for name in COPIED} | piece.fields | {"key": key}
        if alone:
            wanted |= {"chain": 0, "overlap": 3}
        got = {name: cmd[name] for name in wanted}
        assert got == wanted, f"descriptor {number}: command {got}, expected {wanted}"
        used, new = operands(d, self.lanes), self.result_exponents(d)
        if d["colsum"] and not wanted["colsum"]:
            used = {i: t for i, t in used.items() if i != 4}
        for i in used:
            base = (0, self.weights.first_word(self.weights.slot), self.weights.first_word(self.weights.slot_next))[d[f"t{i}_space"]]
            index, result = self.index(d, i), used[i].result
            exp = new[i] if result and i in new else self.exponents.exp[index]
            if not piece.first:
                exp = self.given[d["unit"], i]  # its result may have changed it
            elif not piece.last:
                self.given[d["unit"], i] = exp
            got = cmd["t5"] if i == 5 else cmd["t"][i]
            if result and i not in new:
                exp = got["exp"]  # of no meaning
            wanted = {"addr": base + d[f"t{i}_addr"] + piece.offsets.get(i, 0) & 0xFFFF, "stride": d[f"t{i}_stride"], "exp": exp}
            assert got == wanted, f"descriptor {number} operand {i}: {got}, expected {wanted}"
        for i, exp in new.items() if piece.first else ():
            tanh = d["unit"] == 1 and i == 2 and d["act"] == Act.TANH
            self.exponents.begin(self.index(d, i), (-7 if d["int8_result"] else -15) if tanh else exp)
        return len(used)

    def result_exponents(self, d: dict) -> dict[int, int]:
        """Exponents that the results are written with, tanh apart: a step's are large enough for the largest sum of its terms."""
        new = {i: self.exponents.next_of(self.index(d, i)) for i in results(d, self.lanes)}
        if (d["unit"], d["op"]) not in STEPS:
            return new

        def grow(i: int, least: int) -> None:
            if not self.exponents.static[ExponentFile.logical(self.index(d, i))]:
                new[i] = min(max(new[i], least, -64), 63)

        if 4 in new:
            grow(4, self.exponents.next_of(self.index(d, 1)) + ((d["unit"], d["op"]) == NESTEROV))
        step = new.get(4, self.exponents.exp[self.index(d, 1)])
        rate = REGISTERS["LEARNING_RATE"].unpack(self.rates["LEARNING_RATE"])
        grow(2, (REGISTERS["ADAM_RATE"].unpack(self.rates["ADAM_RATE"])["value"] >> 18) - 10 if (d["unit"], d["op"]) == ADAM
             else step + rate["mant"].bit_length() + rate["exp"] + 1)
        return new

    def take(self, d: dict) -> None:
        for i in range(16):
            if d["wait_mask"] >> i & 1:
                self.taken[i] += 1
                assert self.taken[i] <= self.posted[i], f"semaphore {i} was not posted when a command that waits for it started"

    def complete(self, d: dict, indices: dict[int, int], done: dict) -> None:
        for operand, r in ((2, 0), (4, 1), (5, 0)):
            result = done["result"][r]
            if operand in indices:
                int8 = operand == 5 or (operand == 2 and d["unit"] == 1 and d["int8_result"])
                self.exponents.retire(indices[operand], Result(saturations=0, **result), bool(int8))
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
        self.compared = self.now = self.most = 0
        self.accepted: list[list] = [[] for _ in range(NUM_UNITS)]   # (cycle, index) that the trace has still to show
        self.completed: list[list] = [[] for _ in range(NUM_UNITS)]
        self.noisy, self.levels = False, (0, 0, 0)
        self.cutting = False      # the program's commands come in pieces
        self.gemm_taken = self.gemm_frees = self.now  # cycles of gemm's last start, and from which it would begin with another command
        self.expect([], 0)
        self.expect_request([], 0)
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
        self.pieces: list[list[Piece]] = [[] for _ in range(NUM_UNITS)]  # still to come of a command that has begun
        self.seen: list[dict] = [{} for _ in range(NUM_UNITS)]  # results of pieces that are done, by operand

    def expect_request(self, request: Program, first: int) -> None:
        """From now on commands with the request's keys belong to this request."""
        self.request, self.request_first, self.requested = request, first, 0

    def idle(self) -> bool:
        return not any(unit.commands for unit in self.units)

    def _accept(self, u: int, cmd: dict) -> None:
        unit, model = self.units[u], self.model
        key = model.key(model.request_opnum + self.requested)
        request = self.requested < len(self.request) and cmd["key"] == key
        if request:
            number, d = self.requested, self.request[self.requested]
            assert not any(c.request for other in self.units for c in other.commands), "two commands of a request at once"
            assert d["unit"] == u + 1, f"descriptor {number} of the request went to unit {u + 1}"
            piece, alone = whole(d)[0], True
            self.requested += 1
        else:
            assert self.orders[u], f"unit {u + 1} was started more often than the program says: {cmd}"
            number = self.orders[u][0]
            d, key = self.program[number], model.key(model.opnum + number)
            mine = [c for c in unit.commands if not c.request]
            self.pieces[u] = self.pieces[u] or (pieces(d, model.lanes) if self.cutting else whole(d))
            piece = self.pieces[u].pop(0)
            alone = self.cutting and cuttable(d)
            if piece.first:
                assert not (self.cutting and mine), "a command in pieces began before the one before it had ended"
                model.take(d)
            if piece.last:
                self.orders[u].pop(0)
        indices = {i: model.index(d, i) for i in results(d, model.lanes)}
        written = {model.exponents.logical(index) for other in self.units for c in other.commands for index in c.indices.values()}
        if piece.first:
            mine = {model.exponents.logical(index) for index in indices.values()}
            if (d["unit"], d["op"]) in STEPS:
                mine.add(model.exponents.logical(model.index(d, 1)))  # whose next exponent it takes
            assert not written & mine, f"descriptor {number} writes what is written"
        self.compared += 1 + model.check_command(d, number, cmd, piece, key, alone)
        if not request:
            if piece.last:
                self.started.append(number)
            self.start_times.append(self.now)
        if u == 0:
            if not request and self.cutting and unit.commands:
                assert self.now >= self.gemm_frees, "a piece started before gemm was about to end the one before"
            self.gemm_taken, self.gemm_frees = self.now, self.now + int(self.generator.integers(2, 12))
        end = max([self.now + self.duration(d), *(c.end + 1 for c in unit.commands)])
        fails = None if request or not piece.last else number
        unit.commands.append(Command((self.request_first if request else self.first) + number, d, request, piece, end,
                                     self._record(d, fails), indices))
        self.most = max(self.most, len(unit.commands))

    def _record(self, d: dict, number: int | None) -> dict:
        g = self.generator
        error = self.fail.get(number, Error.NONE)
        done = {"error": int(error), "saturations": 0, "result": [{"track": 0, "top": 0} for _ in range(2)]}
        if self.results and d["unit"] != 4 and (d["unit"], d["op"]) not in MOVES:
            done["saturations"] = int(g.integers(0, 2**32)) if g.random() < 0.2 else 0
            for r, operand in enumerate((2, 4)):
                if operand in results(d, self.model.lanes):
                    done["result"][r] = {"track": int(g.random() < 0.8), "top": int(g.integers(-127, 128))}
        return done

    def _finish(self, u: int) -> int:
        command = self.units[u].commands.pop(0)
        if command.done["error"]:
            self.failed.append((self.now, command.pc - self.first))
        self._complete(u, command)
        self.ended += [(self.now, index) for index in command.indices.values()]
        self.completed[u].append((self.now + 1, command.pc))
        return DONE.pack(command.done)

    def _complete(self, u: int, command: Command) -> None:
        """Tell the model: the largest tops of all pieces with the last one, saturations at once."""
        done, d = command.done, command.descriptor
        if command.request or (command.piece.first and command.piece.last):
            self.model.complete(d, command.indices, done)
            return
        merged = [max((r for r in results if r["track"]), key=lambda r: r["top"], default={"track": 0, "top": 0})
                  for results in zip(done["result"], self.seen[u].get("result", done["result"]), strict=True)]
        self.seen[u] = {} if command.piece.last else {"result": merged}
        if command.piece.last:
            self.model.complete(d, command.indices, done | {"result": merged})
        else:
            self.model.saturations = (self.model.saturations + done["saturations"]) & 0xFFFFFFFF

    async def _run(self) -> None:
        dut, model, edge = self.dut, self.model, RisingEdge(self.dut.clk_i)
        held, stands = 0, False  # gemm's record stands for two cycles
        dut.gemm_free_i.value = 1
        for name in ("cmd_ready", "done_valid", "move_valid", "move_op", "move_slot", "fault_valid", "fault", "bad", "inject_busy", "norm",
                     "norm_zero", "stall_operand", "stall_result", "mac_step"):
            getattr(dut, f"{name}_i").value = 0
        while True:
            await edge
            self.now += 1
            if not int(dut.rst_ni.value):
                for unit in self.units:
                    unit.commands, unit.ready = [], False
                self.completed = [[] for _ in range(NUM_UNITS)]
                self.accepted = [[] for _ in range(NUM_UNITS)]
                dut.cmd_ready_i.value = dut.done_valid_i.value = dut.move_valid_i.value = 0
                continue
            self.counts["busy"] += int(dut.busy.value)
            self._watch_trace()
            valid, done_valid, records, move = int(dut.cmd_valid_o.value), 0, 0, None
            ready = 0
            for u, unit in enumerate(self.units):
                unit.finishing = False
                if valid >> u & 1 and unit.ready:
                    self._accept(u, CMD.unpack(int(dut.cmd_o.value) >> u * CMD.width & (1 << CMD.width) - 1))
                    self.accepted[u].append((self.now, unit.commands[-1].pc))
                    unit.ready = False
                if unit.commands and unit.commands[0].end == self.now + 1:
                    command = unit.commands[0]
                    if (command.descriptor["unit"], command.descriptor["op"]) in MOVES:
                        move = command.descriptor
                        command.done["error"] = int(model.weights.move(move["op"], move["k"]))
                elif unit.commands and unit.commands[0].end <= self.now and not (u == 0 and stands):
                    done_valid |= 1 << u
                    records |= self._finish(u) << u * DONE.width
                    unit.finishing = True
                if len(unit.commands) < DEPTH[u] and not unit.finishing:
                    unit.ready = unit.ready or not next(self.stall)
                ready |= unit.ready << u
            dut.cmd_ready_i.value, dut.done_valid_i.value = ready, done_valid
            reads = self.now < self.gemm_frees and (self.units[0].commands or self.now == self.gemm_taken)
            dut.gemm_free_i.value = int(not reads)
            dut.move_valid_i.value = int(move is not None)
            if move:
                dut.move_op_i.value, dut.move_slot_i.value = move["op"], move["k"]
            if done_valid:
                dut.done_i.value = records | held
            stands = bool(done_valid & 1)
            held = records & ((1 << DONE.width) - 1) if done_valid & 1 else 0
            self._noise()

    def _watch_trace(self) -> None:
        """Count the states that the trace shows, and compare its starts and ends with what the actors did."""
        raw = int(self.dut.trace_o.value)
        counting = int(self.dut.counting.value)
        for u in range(NUM_UNITS):
            trace = TRACE.unpack(raw >> u * TRACE.width & (1 << TRACE.width) - 1)
            self.traced[u][trace["state"]] += counting
            started = bool(self.accepted[u]) and self.accepted[u][0][0] == self.now - 1
            assert trace["start"] == started, f"unit {u + 1}: start in the trace"
            ended = bool(self.completed[u]) and self.completed[u][0][0] == self.now - 1
            assert trace["done"] == ended, f"unit {u + 1}: done in the trace"
            if started:
                self.accepted[u].pop(0)
            if ended:
                pc = self.completed[u].pop(0)[1]
                assert trace["pc"] == pc, f"unit {u + 1}: {trace}, but descriptor {pc} ended"

    def _noise(self) -> None:
        """Random stall signals and array steps, counted; all quiet while not `noisy`."""
        dut = self.dut
        if self.now % 4 == 0 or not self.noisy:
            self.levels = tuple(int(v) for v in self.noise.integers(0, [16, 16, 2])) if self.noisy else (0, 0, 0)
            dut.stall_operand_i.value, dut.stall_result_i.value, dut.mac_step_i.value = self.levels
        operand, result, mac = self.levels
        self.counts["mac_step"] += mac
        for u, unit in enumerate(self.units):
            if unit.commands or unit.finishing:
                state = ("STALL_OPERAND" if operand >> u & 1 else "STALL_RESULT" if result >> u & 1 else
                         "BUSY" if u or mac else "OVERHEAD")
                unit.counts[state] += 1

    def clear_counts(self) -> None:
        """Count from here on."""
        self.model.saturations = 0
        self.counts = {"mac_step": 0, "busy": 0}
        self.traced = [dict.fromkeys(range(8), 0) for _ in range(NUM_UNITS)]
        for unit in self.units:
            unit.counts = dict.fromkeys(("BUSY", "STALL_OPERAND", "STALL_RESULT", "OVERHEAD"), 0)
