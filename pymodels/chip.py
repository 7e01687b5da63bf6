# SPDX-License-Identifier: Apache-2.0
"""The whole chip as the host sees it: registers, programs, requests, interrupt. A program takes no time.

Of a request and a program that were both started the request runs first. On the chip they overlap; the results are the same,
since neither touches what the other writes, but for the weight version that a request reads, which depends on when it started,
and for the slots that a program's versions take while a request holds one.
After a program that ended with an error only the status, the error and the current weights with their version are
comparable with the chip: it drops what was queued, and how far each unit had come is a matter of timing.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from pymodels.check import Grants, operands
from pymodels.csr_map import MEMORIES, REGISTERS
from pymodels.descriptor import FIELDS, WORDS, Error, Space, Unit, UpdateOp
from pymodels.exponents import PHYSICAL
from pymodels.faults import Faults
from pymodels.machine import Execute, Machine, Settings
from pymodels.program import Plan, plan, plan_request
from pymodels.ratio import Clip, Lane
from pymodels.scan import Scan
from pymodels.update import Optimizer
from pymodels.weights import MOVES

_M32 = 0xFFFFFFFF
_EXPONENTS, _HISTORY, _PROGRAM = MEMORIES["EXPONENTS"], MEMORIES["HISTORY"], MEMORIES["PROGRAM"]
_NAMES = {register.offset: name for name, register in REGISTERS.items()}
#: Registers that keep what software writes: name -> (mask of the bits, value after reset).
_KEPT = {
    name: (sum(((1 << f.width) - 1) << f.lsb for f in register.fields.values()),
           sum((f.reset or 0) << f.lsb for f in register.fields.values()))
    for name, register in REGISTERS.items() if register.access == "rw"
}
_LAST = FIELDS["last"]
_REMEMBERED = 256  #: programs whose plan is kept


class _Prepared(NamedTuple):
    """A plan with its descriptors bound: (bound descriptor, number, unit, index) each."""

    steps: list[tuple[Execute, int, int, int]]
    plan: Plan


@dataclass
class _Job:
    """What registers show of the program or of the request."""

    opnum: int = 0
    busy: bool = False
    done: bool = False
    failed: bool = False
    error: dict[str, int] = field(default_factory=lambda: {"code": 0, "unit": 0, "pc": 0})

    def start(self) -> bool:
        """Start it, unless it runs."""
        if self.busy:
            return False
        self.end(Error.NONE, 0, 0)
        self.busy, self.done = True, False
        return True

    def clear(self, done: int, error: int) -> None:
        self.done, self.failed = self.done and not done, self.failed and not error

    def end(self, error: int, unit: int, pc: int) -> None:
        self.busy, self.done, self.failed = False, not error, bool(error)
        self.error = {"code": int(error), "unit": unit, "pc": pc}


class Chip(Machine):
    """Golden model of ``lathe``.

    Parameters
    ----------
    lanes : int
        Elements of a scratchpad word: 4, 8 or 16.
    banks : int
        Banks of 1,024 words, a power of two.
    memory : numpy.ndarray, optional
        Outside memory, uint8, contiguous; shared, not copied. 1 MiB if left out. Accesses beyond it end with an error.

    Notes
    -----
    Programs are planned and bound once and kept by their content, so starting the same program again costs little.
    """

    name = "golden"

    def __init__(self, lanes: int = 8, banks: int = 8, memory: np.ndarray | None = None):
        super().__init__(lanes, banks, np.zeros(1 << 20, np.uint8) if memory is None else memory)
        self.faults = Faults()
        self.program = np.zeros((_PROGRAM.words // WORDS, WORDS), np.uint32)
        self._prepared: dict[tuple, _Prepared] = {}  # by content
        self._starts: dict[tuple, _Prepared] = {}  # by index and grants, as long as program memory stays as it is
        self.reset()

    # State for comparison with the chip.

    @property
    def exponents(self) -> np.ndarray:
        """The EXPONENTS window: uint32, shape (128,)."""
        return np.array([self.exponent_file.host_read(i) for i in range(PHYSICAL)], np.uint32)

    @property
    def version(self) -> int:
        """Version of the current weights."""
        return self.weights.version

    @property
    def irq(self) -> bool:
        """Level of the interrupt."""
        return bool(self._kept["IRQ_ENABLE"] and (self.faults.pending or any(job.done or job.failed for job in
                                                                             (self._program, self._request))))

    # What a back end of the host offers.

    def reset(self, power_on: bool = False) -> None:
        """Reset the registers, with `power_on` also weight group, exponents and scratchpad; program memory keeps its contents."""
        self._kept = {name: value for name, (_, value) in _KEPT.items()}
        self._configured = False
        self._injected = 0  # address of the last injection
        self._program, self._request = _Job(), _Job()
        self._weights = {"op": 0, "slot": 0, "error": 0}  # of the register
        self.weights.release()
        self.saturations = 0
        self.stats.clear()
        self.norm.reset()
        self.faults.reset()
        if power_on:
            self.faults.flips.clear()
            self.scratchpad[...] = 0
            self.exponent_file.reset()
            self._init_group(0, 0, 2, 0)

    def close(self) -> None:
        """Nothing to free."""

    def advance(self, cycles: int) -> None:
        """Let time pass: request and program that were started end, and the scrubber comes by."""
        self.run(cycles)
        for address in self.faults.scrub():
            self.weights.fault(address)

    def run(self, max_cycles: int | None = None) -> None:
        """Execute the request and the program that were started, to their end or an error; `max_cycles` is ignored."""
        self.run_request()
        self.run_program()

    def run_request(self) -> None:
        """Execute the request that was started, if any."""
        self.serving = True
        self._run(self._request, self._kept["REQUEST_PC"])
        self.serving = False
        self.weights.release()

    end_request = run_request

    def run_program(self) -> None:
        """Execute the program that was started, if any."""
        self._run(self._program, self._kept["START_PC"])

    def _run(self, job: _Job, start: int) -> None:
        if not job.busy:
            return
        if not self._configured:
            self._configure()
        request = job is self._request
        grants = self._grants(request)
        prepared = self._starts.get((request, start, grants)) or self._prepare(request, start, grants)
        first, (_, dispatched, error, unit, pc) = job.opnum, prepared.plan
        for execute, number, its_unit, its_pc in prepared.steps:
            failure = execute((first + number) & _M32)
            if failure:
                error, unit, pc = failure, its_unit, its_pc
                dispatched = number + 1 if request else dispatched
                break
        for address in self.faults.scrub():
            self.weights.fault(address)
        job.opnum = (first + dispatched) & _M32
        job.end(error, unit, pc)

    def csr_write(self, address: int, value: int) -> None:
        """Write the 32-bit register at byte `address`; read-only registers ignore it."""
        value &= _M32
        if (word := _word(address, _PROGRAM)) is not None:
            self.program[divmod(word, WORDS)] = value
            self._starts.clear()
            return
        if (word := _word(address, _EXPONENTS)) is not None:
            self.exponent_file.host_write(word, value)
            return
        if (word := _word(address, _HISTORY)) is not None:
            self.exponent_file.history_write(word, value)
            return
        name = _name(address)
        if name == "CONTROL":
            self._control(**REGISTERS[name].unpack(value))
        elif name == "STATUS":
            clear = REGISTERS[name].unpack(value)
            self._program.clear(clear["done"], clear["error"])
            self._request.clear(clear["request_done"], clear["request_error"])
            self.faults.pending &= not clear["fault"]
        elif name == "WEIGHTS":
            self._move(value)
        elif name == "FAULT_INJECT":
            self._injected = value & 0xFFFF
            bits = REGISTERS["FAULT_BITS"].unpack(self._kept["FAULT_BITS"])
            self.faults.inject(self._injected % len(self.scratchpad), bits["first"], bits["second"] if bits["two"] else None)
        elif name == "OPNUM":
            self._program.opnum = value
        elif name == "REQUEST_OPNUM":
            self._request.opnum = value
        elif name in self._kept:
            self._kept[name] = value & _KEPT[name][0]
            self._configured = False

    def csr_read(self, address: int) -> int:
        """Read the 32-bit register at byte `address`; counters of cycles read 0."""
        if (word := _word(address, _PROGRAM)) is not None:
            return int(self.program[divmod(word, WORDS)])
        if (word := _word(address, _EXPONENTS)) is not None:
            return self.exponent_file.host_read(word)
        if (word := _word(address, _HISTORY)) is not None:
            return self.exponent_file.history_read(word)
        name = _name(address)
        register = REGISTERS[name]
        if name == "STATUS":
            program, request = self._program, self._request
            return register.pack(
                busy=int(program.busy), done=int(program.done), error=int(program.failed),
                request_busy=int(request.busy), request_done=int(request.done), request_error=int(request.failed),
                fault=int(self.faults.pending))
        if name == "OPNUM":
            return self._program.opnum
        if name == "REQUEST_OPNUM":
            return self._request.opnum
        if name in self._kept:
            return self._kept[name]
        if name == "ERROR":
            return register.pack(**self._program.error)
        if name == "REQUEST_ERROR":
            return register.pack(**self._request.error)
        if name == "ID":
            return register.fields["value"].reset
        if name == "BUILD":
            return register.pack(lanes=self.lanes, log2_banks=self.banks.bit_length() - 1, slots=self.weights.most,
                                 version=register.fields["version"].reset)
        if name == "VERSION":
            return self.weights.version
        if name == "SLOT":
            return register.pack(slot=self.weights.slot)
        if name == "NORM":
            return (-1 << 31 if self.norm.last is None else self.norm.last) & _M32
        if name == "WEIGHTS":
            return register.pack(**self._weights)
        if name == "SLOTS":
            flags = {flag: self.weights.flags(flag) for flag in ("valid", "pinned", "bad")}
            return register.pack(**flags, next=self.weights.slot_next)
        if name.startswith("VERSIONS_"):
            slot = int(name.removeprefix("VERSIONS_"))
            return self.weights.table[slot].version if slot < self.weights.slots else 0
        if name == "SATURATIONS":
            return self.saturations
        if name == "FAULT_INJECT":
            return self._injected
        if name == "FAULT_CORRECTED":
            return self.faults.corrected
        if name == "FAULT_UNCORRECTED":
            return self.faults.uncorrected
        if name == "FAULT_ADDRESS":
            address, uncorrectable, scrubber = self.faults.last
            return register.pack(value=address, uncorrectable=int(uncorrectable), scrubber=int(scrubber))
        if name.startswith("STAT_"):
            return self._statistic(name.removeprefix("STAT_").lower())
        return 0

    def _statistic(self, name: str) -> int:
        if name.endswith("_hi"):
            return getattr(self.stats, name.removesuffix("_hi")) >> 32 & _M32
        return getattr(self.stats, name.removesuffix("_lo")) & _M32

    def _control(self, start: int, stats_clear: int, perf_clear: int, group_init: int, request: int) -> None:
        if group_init:
            self._init_group(*(self._kept[f"GROUP_{name}"] for name in ("BASE", "SIZE", "SLOTS", "VERSION")))
        if stats_clear:
            self.stats.clear()
        if perf_clear:
            self.saturations = 0
            self.faults.clear()
        if start:
            if not self._program.busy:
                self.norm.clear()
                self.poisoned = False
            self._program.start()
        if request and self._request.start():
            self.weights.hold()

    def _move(self, value: int) -> None:
        fields = REGISTERS["WEIGHTS"].unpack(value)
        op, self._weights["op"], self._weights["slot"] = fields["op"], fields["op"], fields["slot"]
        if not self._program.busy:
            self._weights["error"] = int(self.weights.move(op, fields["slot"]) if op in MOVES and op != UpdateOp.COMMIT else Error.BAD_OP)

    def _init_group(self, base: int, size: int, slots: int, version: int) -> None:
        if base + size * min(max(slots, 2), 4) > len(self.scratchpad):
            raise ValueError(f"weight group: {slots} slots of {size} words from word {base} on do not fit in the "
                             f"scratchpad of {len(self.scratchpad)} words")
        self.weights.init(base, size, slots, version)
        self._prepared.clear()
        self._starts.clear()

    def _configure(self) -> None:
        def fields(name: str) -> dict[str, int]:
            return REGISTERS[name].unpack(self._kept[name])

        def lane(name: str, bounds: str) -> Lane:
            return Lane(mode[f"{name}_weight"], mode[f"{name}_above"], mode[f"{name}_below"], **fields(bounds),
                        source=mode[f"{name}_source"], aggregate=mode[f"{name}_aggregate"])

        rate, weight_decay, mode, veto = (fields(name) for name in ("LEARNING_RATE", "WEIGHT_DECAY", "RATIO_MODE", "VETO_BOUNDS"))
        vars(self.settings).update(vars(Settings(
            seed=self._kept["SEED"], clip_norm=fields("CLIP_NORM")["value"],
            optimizer=Optimizer(rate["mant"], rate["exp"], self._kept["MOMENTUM"], self._kept["BETA1"],
                                *(fields(f"ADAM_{name}")["value"] for name in ("DECAY", "GAIN", "RATE", "EPS")),
                                weight_decay["mant"], weight_decay["exp"]),
            ratio=Clip(lane("r", "RATIO_BOUNDS"), lane("rho", "RHO_BOUNDS"), mode["r_dual"], fields("RATIO_DUAL")["value"],
                       mode["stats_lane"], mode["veto_below"], mode["veto_above"], veto["lo"], veto["hi"]),
            entropy_coef=self._kept["ENTROPY_COEF"], value_coef=self._kept["VALUE_COEF"],
            scan=Scan(**fields("SCAN_MODE"), gamma=self._kept["SCAN_GAMMA"], decay=self._kept["SCAN_DECAY"],
                      rho_cap=fields("SCAN_CAPS")["rho"], c_cap=fields("SCAN_CAPS")["c"]))))
        self._configured = True

    def _guarded(self, fields: dict[str, int]) -> Execute:
        """Bind a descriptor; with uncorrectable words among its operands it does nothing but fail."""
        execute, used, faults, weights = self.bind(fields), operands(fields, self.lanes), self.faults, self.weights

        def addresses(result: bool) -> list[int]:
            found = []
            for i, extent in used.items():
                if extent.result == result:
                    space = fields[f"t{i}_space"]
                    slot = self.slot if space == Space.CURRENT else weights.slot_next
                    first = fields[f"t{i}_addr"] + (0 if space == Space.ABSOLUTE else weights.first_word(slot))
                    stride = extent.words if fields["unit"] == Unit.UPDATE else fields[f"t{i}_stride"]
                    found += [first + row * stride + word for row in range(extent.rows) for word in range(extent.words)]
            return found

        def execute_guarded(opnum: int) -> int:
            if not faults.flips:
                return execute(opnum)
            if found := faults.read(addresses(False)):
                for address in found:
                    weights.fault(address)
                self.poisoned = True
                return Error.UNCORRECTABLE
            faults.write(addresses(True))
            return execute(opnum)

        return execute_guarded

    def _grants(self, request: bool) -> Grants:
        enable = REGISTERS["GRANT_ENABLE"].unpack(self._kept["GRANT_ENABLE"])
        kept = self._kept
        names = [f"REQUEST_GRANTS_{i}" for i in range(2)] if request else [f"GRANTS_{i}" for i in range(4)]
        windows = None
        if enable["requests" if request else "programs"]:
            windows = tuple((kept[name] & 0xFFFF, kept[name] >> 16) for name in names)
        return Grants(windows, bool(enable["install"]), (self.weights.base, self.weights.first_word(self.weights.slots)))

    def _prepare(self, request: bool, start: int, grants: Grants) -> _Prepared:
        last = self.program[start:, _LAST.word] >> np.uint32(_LAST.lsb) & np.uint32(1)
        count = int(last.argmax()) + 1 if last.any() else len(last)
        content = (request, start, grants, self.program[start : start + count].tobytes())
        prepared = self._prepared.get(content)
        if prepared is None:
            planned = (plan_request if request else plan)(self.program, start, lanes=self.lanes,
                                                          scratchpad_words=len(self.scratchpad), slot_words=self.weights.size,
                                                          grants=grants)
            steps = [(self._guarded(entry.fields), entry.number, entry.fields["unit"], entry.pc) for entry in planned.entries]
            if len(self._prepared) >= _REMEMBERED:
                self._prepared.pop(next(iter(self._prepared)))
            prepared = self._prepared[content] = _Prepared(steps, planned)
        self._starts[request, start, grants] = prepared
        return prepared


def _word(address: int, memory) -> int | None:
    """Word of `memory` at a byte address, None if it lies elsewhere."""
    offset = address - memory.offset
    return offset >> 2 if 0 <= offset < 4 * memory.words else None


def _name(address: int) -> str:
    try:
        return _NAMES[address]
    except KeyError:
        raise OSError(f"no register at address {address:#06x}") from None
