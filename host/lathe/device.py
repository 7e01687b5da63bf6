# SPDX-License-Identifier: Apache-2.0
"""The chip as the host sees it: load and store tensors, run programs, read what happened.

>>> with Device(backend="golden", seed=1) as device:           # doctest: +SKIP
...     x = device.layout.tensor("x", 2, 3)
...     device.load(x, [[1, 2, 3], [4, 5, 6]])
...     device.store(x)
"""

import math
import numbers
from collections.abc import Callable

import numpy as np

from pymodels.csr_map import REGISTERS
from pymodels.descriptor import Error

from .allocator import ABSOLUTE_EXPONENTS, BANK_WORDS, LOGICAL_EXPONENTS, Layout
from .backends import Backend, Closed, open_backend
from .errors import BackendError, CapacityError, DeviceError, DeviceTimeout, LatheError, ProgramError, SettingsError
from .matrix import Block
from .program import Program
from .registers import PROGRAM_DESCRIPTORS, STATISTICS, UNITS, Registers
from .tensor import Tensor, dequantize, fitting_exponent, quantize

DEFAULT_MEMORY_BYTES = 1 << 20
IDENTITY = REGISTERS["ID"].fields["value"].reset
LANES = (4, 8, 16)
#: What a unit does in a cycle; one register counts each.
COUNTERS = ("BUSY", "OVERHEAD", "STALL_OPERAND", "STALL_RESULT", "WAIT", "FETCH", "IDLE")
#: Fewest descriptors of a piece of a program that is longer than program memory.
SHORTEST_PIECE = 16

#: The last descriptors of program memory: one for transfers by the device, one for whoever watches it (verify.py).
TRANSFER_INDEX, WATCHER_INDEX = PROGRAM_DESCRIPTORS - 2, PROGRAM_DESCRIPTORS - 1

_START_PC = REGISTERS["START_PC"].offset
_CONTROL, _START = REGISTERS["CONTROL"].offset, REGISTERS["CONTROL"].pack(start=1)
_STATUS, _DONE = REGISTERS["STATUS"].offset, REGISTERS["STATUS"].pack(done=1)


class Device:
    """One chip and its outside memory; a context manager.

    Parameters
    ----------
    backend : str or callable
        ``golden``, ``verilator``, or a callable (lanes, banks, memory, seed) that returns a back end.
    lanes, banks : int
        Parameters of the chip.
    memory_bytes : int
        Size of outside memory; its end, as large as the scratchpad, is kept for `load` and `store`.
    seed : int
        Seed of all random bits on the chip.

    Attributes
    ----------
    layout : Layout
        Where tensors are made.
    registers : Registers
        All registers by name.

    Raises
    ------
    BackendError
        The back end does not exist, cannot be built or is no such chip.
    """

    def __init__(self, backend: str | Callable[..., Backend] = "golden", lanes: int = 8, banks: int = 8,
                 memory_bytes: int = DEFAULT_MEMORY_BYTES, seed: int = 1):
        if lanes not in LANES:
            raise CapacityError(f"a chip has 4, 8 or 16 lanes, not {lanes}")
        if not 2 <= banks <= 64 or banks & (banks - 1):
            raise CapacityError(f"the number of banks is a power of two from 2 to 64, not {banks}")
        staging = banks * BANK_WORDS * 2 * lanes
        if memory_bytes < 2 * staging or memory_bytes % (2 * lanes):
            raise CapacityError(f"memory_bytes is {memory_bytes}; this chip needs a multiple of {2 * lanes} and at least {2 * staging} "
                                "(--memory-bytes)")
        self.memory = np.zeros(memory_bytes, np.uint8)
        self.name = backend if isinstance(backend, str) else getattr(backend, "name", "custom")
        self.backend = (open_backend(backend, lanes, banks, self.memory, seed) if isinstance(backend, str)
                        else backend(lanes, banks, self.memory, seed))
        self.registers = Registers(self.backend)
        identity, build = self.registers.value("ID"), self.registers.read("BUILD")
        if identity != IDENTITY or build["lanes"] != lanes or 1 << build["log2_banks"] != banks:
            raise BackendError(f"back end '{self.name}' answers with ID {identity:#010x}, {build['lanes']} lanes and "
                               f"{1 << build['log2_banks']} banks; expected {IDENTITY:#010x}, {lanes} and {banks}")
        self.layout = Layout(lanes, banks, self.memory)
        self.layout.memory_limit = self._staging = memory_bytes - staging
        if hasattr(self.backend, "layout"):  # a back end that names tensors in its messages
            self.backend.layout = self.layout
        self._programs: dict[Program, int] = {}
        self._program_end = 0
        self._prepared = self._constants = self._static_exponents = 0
        self._group_open = self._rate_set = False
        self._start_pc: int | None = None
        self._closed = False
        self.registers.set("SEED", seed & 0xFFFFFFFF)
        self.registers.set("OPNUM", 0)
        self.registers.write("IRQ_ENABLE", enable=1)

    def __enter__(self) -> "Device":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        """Free the back end; may be called again. Whatever else is asked of the device afterwards is a BackendError."""
        if not self._closed:
            self._closed = True
            self.backend.close()
            self.backend = Closed()
            self.registers = Registers(self.backend)

    # the four verbs

    def load(self, tensor: Tensor, values) -> None:
        """Write a tensor. Weights are installed into the current version.

        Parameters
        ----------
        tensor : Tensor
        values : array_like, shape (rows, columns)
            Numbers, which are rounded to the tensor's static exponent or else to the smallest exponent that holds them (its
            initial one if all are 0); int16 mantissas for a raw tensor.

        Raises
        ------
        TensorError
            They are not real, finite numbers of that shape, or do not fit the static exponent, or int16 if raw.
        """
        self._check_tensor(tensor)
        self._prepare()
        self._put(tensor, tensor.check(values))

    def _put(self, tensor: Tensor, values: np.ndarray) -> None:
        mantissas = values
        if tensor.exponent is not None:
            exponent = tensor.initial if tensor.static or not np.any(values) else fitting_exponent(values, tensor.bits)
            self.registers.write_exponent(self.exponent_index(tensor), exponent, tensor.static)
            mantissas = quantize(values, exponent, tensor.bits)
        program = Program(f"load {tensor.name}", self.layout)
        block = self._staging_block(tensor)
        block.data[:] = tensor.pack(mantissas)
        program.load(tensor, block)
        self._transfer(program)

    def store(self, tensor: Tensor) -> np.ndarray:
        """Read a tensor: float64 values (rows, columns); int16 mantissas of a raw tensor."""
        mantissas, exponent = self.store_mantissas(tensor)
        return mantissas if exponent is None else dequantize(mantissas, exponent)

    def store_mantissas(self, tensor: Tensor) -> tuple[np.ndarray, int | None]:
        """Read a tensor as (int16 mantissas (rows, columns), exponent or None)."""
        self._check_tensor(tensor)
        self._prepare()
        program = Program(f"store {tensor.name}", self.layout)
        block = self._staging_block(tensor)
        program.store(tensor, block)
        self._transfer(program)
        exponent = None if tensor.exponent is None else self.registers.read_exponent(self.exponent_index(tensor))[0]
        return tensor.unpack(block.data), exponent

    def install(self, program: Program) -> None:
        """Write a program into program memory, where it stays. `run` does this when needed."""
        self._check_program(program)
        if program in self._programs:
            return
        self._prepare()
        descriptors = program.descriptors()
        free = TRANSFER_INDEX - self._program_end
        if len(descriptors) > free:
            holders = ", ".join(f"'{p.name}' {len(p.operations)}" for p in self._programs)
            raise CapacityError(f"program '{program.name}' has {len(descriptors)} descriptors and {free} of {TRANSFER_INDEX} are "
                                f"free in program memory ({holders or 'empty'}); split it or use fewer programs")
        self.registers.write_program(self._program_end, descriptors)
        program.frozen = True
        self._programs[program] = self._program_end
        self._program_end += len(descriptors)

    def run(self, program: Program) -> None:
        """Run a program to its end.

        Scaling is delayed: each result is written with the exponent that follows from the last writes of its tensor, the
        first one with the exponent that the tensor was made with. So the first run of a program may round results away or
        clamp them; make the tensors with a sensible `exponent`, or run the program once or twice before its result counts.

        Raises
        ------
        ProgramError
            It holds an sgd step and nobody has set the learning rate; see `set_optimizer`.
        DeviceError
            The chip refused or stopped it; the message names the descriptor, its tensors, the limit and the remedy.
            The current weights are unchanged and the device can be used further.
        DeviceTimeout
            It did not end; the message holds the chip's state.
        """
        first = self._programs.get(program)
        if not self._rate_set:
            self._check_rate(program)
        if first is None and len(program.operations) > TRANSFER_INDEX:
            self._run_in_pieces(program)
            return
        if first is None:
            self.install(program)
            first = self._programs[program]
        self._execute(program, first)

    def _run_in_pieces(self, program: Program) -> None:
        """Run a program that is longer than program memory: while one piece runs, the next is written behind or before it."""
        self._check_program(program)
        free = TRANSFER_INDEX - self._program_end
        if free < 2 * SHORTEST_PIECE:
            raise CapacityError(f"program '{program.name}' has {len(program.operations)} descriptors and runs in pieces; {free} of "
                                f"{TRANSFER_INDEX} descriptors are free in program memory, which takes at least {2 * SHORTEST_PIECE}")
        self._prepare()
        program.frozen = True
        places = (self._program_end, self._program_end + free // 2)
        pieces = program.pieces(free // 2)
        self.registers.write_program(places[0], pieces[0].descriptors())
        for number, piece in enumerate(pieces):
            self._start(piece, places[number % 2])
            if number + 1 < len(pieces):
                self.registers.write_program(places[(number + 1) % 2], pieces[number + 1].descriptors())
            self._finish(piece, places[number % 2])

    def set_optimizer(self, learning_rate: float, momentum: float = 0.0) -> None:
        """Set what sgd steps use from now on: ``m <- momentum m + g; w <- w - learning_rate m``.

        Parameters
        ----------
        learning_rate : float
            0 to 65,536; the chip keeps 16 bits of it and an exponent.
        momentum : float
            0 to 65535/65536, in steps of 1/65536.

        Raises
        ------
        SettingsError
            One of them lies outside its range.
        """
        for name, value, high in (("learning_rate", learning_rate, 65536), ("momentum", momentum, 65535 / 65536)):
            if not isinstance(value, numbers.Real) or not 0 <= value <= high:
                raise SettingsError(f"{name} is {value} and must be a number between 0 and {high}")
        fraction, exponent = math.frexp(learning_rate)
        mantissa = round(fraction * 65536)
        if mantissa == 65536:
            mantissa, exponent = 32768, exponent + 1
        if exponent - 16 < -128:  # too small for the chip
            mantissa = 0
        self.registers.write("LEARNING_RATE", mant=mantissa, exp=exponent - 16 if mantissa else 0)
        self.registers.set("MOMENTUM", round(momentum * 65536))
        self._rate_set = True

    # what happened

    def statistics(self) -> dict[str, float]:
        """Return the policy unit's statistics as numbers; sums are divided by 2**(fraction bits), not by the count."""
        return {name: value / (1 << STATISTICS[name]) for name, value in self.registers.statistics().items()}

    def clear_statistics(self) -> None:
        self.registers.write("CONTROL", stats_clear=1)

    @property
    def cycles(self) -> int:
        """Clock cycles during which programs ran; 0 on a back end without a clock."""
        return self.registers.wide("CYCLES")

    @property
    def saturations(self) -> int:
        """Values that were clamped to 16 bits so far."""
        return self.registers.value("SATURATIONS")

    @property
    def version(self) -> int:
        """Version of the current weights."""
        return self.registers.value("VERSION")

    def exponent_index(self, tensor: Tensor) -> int:
        """Return the physical exponent register that holds a tensor's exponent now."""
        self._check_tensor(tensor)
        if tensor.exponent is None:
            raise ProgramError(f"tensor {tensor} is raw and has no exponent register")
        if tensor.space == "absolute":
            return tensor.exponent
        slot = self.registers.read("SLOT")["slot"]
        if tensor.space == "next":
            slot = (slot + 1) % tensor.slots
        return ABSOLUTE_EXPONENTS + LOGICAL_EXPONENTS * slot + tensor.exponent

    def status(self) -> str:
        """Return the chip's state in a few lines, for people."""
        read = self.registers.read
        error = read("ERROR")
        lines = [f"status {read('STATUS')}  error {_error_name(error['code'])} at descriptor {error['pc']}",
                 f"operation number {self.registers.value('OPNUM')}  weight version {self.version}  slot {read('SLOT')}",
                 f"cycles {self.cycles}  array steps {self.registers.wide('MAC_STEPS')}  saturations {self.saturations}"]
        for unit in UNITS:
            counters = ", ".join(f"{what.lower().replace('_', ' ')} {self.registers.value(f'{unit.upper()}_{what}')}"
                                 for what in COUNTERS)
            lines.append(f"{unit}: {counters}")
        return "\n".join(lines)

    # inside

    def _staging_block(self, tensor: Tensor) -> Block:
        rows = tensor.stored[0]
        size = rows * tensor.row_words * 2 * tensor.lanes
        data = self.memory[self._staging:self._staging + size].view(np.int16).reshape(rows, -1)
        return Block(f"transfer of {tensor.name}", self._staging, data)

    def _transfer(self, program: Program) -> None:
        self.registers.write_program(TRANSFER_INDEX, program.descriptors())
        self._execute(program, TRANSFER_INDEX)

    def _prepare(self) -> None:
        """Set what was placed since the last time: registers of the weight group, exponents, constants."""
        self._check_open("no tensor can be moved")
        layout = self.layout
        if layout.group is not None and layout.group.placed and not self._group_open:
            self._group_open = True
            self.registers.set("GROUP_BASE", layout.group.base)
            self.registers.set("GROUP_SIZE", layout.group.size)
            self.registers.set("GROUP_SLOTS", layout.group.slots)
            self.registers.set("GROUP_VERSION", 0)
            self.registers.write("CONTROL", group_init=1)
        for tensor in layout.tensors[self._prepared:]:
            if tensor.exponent is None:
                continue
            indices = [tensor.exponent] if tensor.space == "absolute" else [
                ABSOLUTE_EXPONENTS + LOGICAL_EXPONENTS * slot + tensor.exponent for slot in range(tensor.slots)]
            for index in indices:
                self.registers.write_exponent(index, tensor.initial, tensor.static)
        self._prepared = len(layout.tensors)
        for (exponent, _), index in list(layout.static_exponents.items())[self._static_exponents:]:
            self._static_exponents += 1
            self.registers.write_exponent(index, exponent, True)
        for tensor, values in list(layout.constants.items())[self._constants:]:
            self._constants += 1
            self._put(tensor, values)

    def _check_tensor(self, tensor: Tensor) -> None:
        if not isinstance(tensor, Tensor):
            raise ProgramError(f"a tensor is expected, not {type(tensor).__name__!r}; make one with device.layout.tensor")
        if tensor.layout is not None and tensor.layout is not self.layout:
            raise ProgramError(f"tensor {tensor} belongs to the layout of another device; make it with this device's layout")

    def _check_program(self, program: Program) -> None:
        self._check_open(f"program '{program.name}' cannot be installed")
        if program.layout is not self.layout:
            raise ProgramError(f"program '{program.name}' was recorded for the layout of another device")

    def _check_rate(self, program: Program) -> None:
        step = next((op.label for op in program.operations if op.op == "sgd"), None)
        if step is None:
            return
        if not self.registers.read("LEARNING_RATE")["mant"]:
            raise ProgramError(f"program '{program.name}' would change no weight in '{step}': the learning rate was never set; "
                               "call Device.set_optimizer(learning_rate, momentum) first")
        self._rate_set = True  # by its register

    def _check_open(self, refused: str) -> None:
        if self._closed:
            raise BackendError(f"{refused}: the device is closed; open a new one")

    def _execute(self, program: Program, first: int) -> None:
        self._start(program, first)
        self._finish(program, first)

    def _start(self, program: Program, first: int) -> None:
        self._check_open(f"program '{program.name}' cannot run")
        backend = self.backend
        if first != self._start_pc:
            backend.csr_write(_START_PC, first)
            self._start_pc = first
        backend.csr_write(_CONTROL, _START)

    def _finish(self, program: Program, first: int) -> None:
        backend = self.backend
        try:
            backend.run(program.cycle_limit)
        except TimeoutError as error:
            raise DeviceTimeout(f"program '{program.name}' did not end within {program.cycle_limit} cycles ({error}); this is a "
                                f"fault of the chip, close the device and report this state:\n{self.status()}") from error
        if not backend.csr_read(_STATUS) & _DONE:
            raise self._error(program, first)

    def _error(self, program: Program, first: int) -> LatheError:
        status, error = self.registers.read("STATUS"), self.registers.read("ERROR")
        if not status["error"]:
            return DeviceTimeout(f"program '{program.name}' neither ended nor failed:\n{self.status()}")
        code, index = _error_name(error["code"]), error["pc"] - first
        label, remedy = program.explain(index, code)
        return DeviceError(f"program '{program.name}', descriptor {index} '{label}': {code}: {remedy}", code, index, label)


def _error_name(code: int) -> str:
    return Error(code).name.lower() if code in set(Error) else f"code {code}"
