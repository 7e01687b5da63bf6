# SPDX-License-Identifier: Apache-2.0
"""The chip as the host sees it: load and store tensors, run programs, read what happened.

>>> with Device(backend="golden", seed=1) as device:           # doctest: +SKIP
...     x = device.layout.tensor("x", 2, 3)
...     device.load(x, [[1, 2, 3], [4, 5, 6]])
...     device.store(x)
"""

import math
import numbers
from collections import Counter
from collections.abc import Callable

import numpy as np

from pymodels.csr_map import REGISTERS

from .allocator import ABSOLUTE_EXPONENTS, BANK_WORDS, LOGICAL_EXPONENTS, Layout
from .backends import Backend, Closed, open_backend
from .errors import BackendError, CapacityError, ProgramError, SettingsError, VersionError
from .faults import Faults, inject_fault, read_faults
from .matrix import Block
from .program import Program
from .registers import PROGRAM_DESCRIPTORS, STATISTICS, UNITS, Registers
from .requests import FIRST_OPNUM, arbiter_fields, check_apart
from .runner import Runner, error_name
from .tensor import Tensor, dequantize, fitting_exponent, quantize
from .versions import Versions

DEFAULT_MEMORY_BYTES = 1 << 20
IDENTITY = REGISTERS["ID"].fields["value"].reset
LANES = (4, 8, 16)
#: What a unit does in a cycle; one register counts each.
COUNTERS = ("BUSY", "OVERHEAD", "STALL_OPERAND", "STALL_RESULT", "WAIT", "FETCH", "IDLE")
#: Fewest descriptors of a piece of a program that is longer than program memory.
SHORTEST_PIECE = 16

#: The last descriptors of program memory: one for transfers by the device, one for whoever watches it (verify.py).
TRANSFER_INDEX, WATCHER_INDEX = PROGRAM_DESCRIPTORS - 2, PROGRAM_DESCRIPTORS - 1
#: Steps of an optimizer -> register and field that is 0 until somebody sets their rate.
RATES = dict.fromkeys(("sgd", "momentum", "nesterov"), ("LEARNING_RATE", "mant")) | {"adam": ("ADAM_DECAY", "value")}


def encode_rate(rate: float) -> tuple[int, int]:
    """Return (mantissa, exponent), ``mantissa * 2**exponent``, of a rate from 0 to 65,536; what is too small is 0.

    The exponent of 0 is the smallest one: a weight's exponent follows the largest step that the rate allows.
    """
    fraction, exponent = math.frexp(rate)
    mantissa = round(fraction * 65536)
    if mantissa == 65536:
        mantissa, exponent = 32768, exponent + 1
    return (mantissa, exponent - 16) if mantissa and exponent - 16 >= -128 else (0, -128)


class Device(Versions):
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
        self._group_open = False
        self._rates_set: set[str] = set()
        self._runner = Runner(self)
        self._running: Program | None = None  # by `start`
        self._apart: set[tuple[Program, Program]] = set()  # requests and programs that may run beside each other
        self._snapshots = Counter()
        self._closed = False
        self.registers.set("SEED", seed & 0xFFFFFFFF)
        self.registers.set("OPNUM", 0)
        self.registers.set("REQUEST_OPNUM", FIRST_OPNUM)
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
        VersionError
            It is a weight, and a snapshot holds the current version.
        """
        self._check_tensor(tensor)
        self._check_unpinned(tensor)
        self._prepare()
        self._put(tensor, tensor.check(values))

    def _put(self, tensor: Tensor, values: np.ndarray) -> None:
        mantissas = values
        if tensor.exponent is not None:
            exponent = tensor.initial if tensor.static or not np.any(values) else fitting_exponent(values, tensor.bits)
            self.registers.write_exponent(self.exponent_index(tensor), exponent, tensor.static)
            mantissas = quantize(values, exponent, tensor.bits)
        self._move_in(tensor, tensor.pack(mantissas))

    def store(self, tensor: Tensor) -> np.ndarray:
        """Read a tensor: float64 values (rows, columns); int16 mantissas of a raw tensor."""
        mantissas, exponent = self.store_mantissas(tensor)
        return mantissas if exponent is None else dequantize(mantissas, exponent)

    def store_mantissas(self, tensor: Tensor) -> tuple[np.ndarray, int | None]:
        """Read a tensor as (int16 mantissas (rows, columns), exponent or None)."""
        words = self.read_words(tensor)
        exponent = None if tensor.exponent is None else self.registers.read_exponent(self.exponent_index(tensor))[0]
        return tensor.unpack(words), exponent

    def read_words(self, tensor: Tensor) -> np.ndarray:
        """Read a tensor as it is stored: int16 (stored rows, row_words * lanes)."""
        self._check_tensor(tensor)
        self._prepare()
        program = Program(f"store {tensor.name}", self.layout)
        block = self._staging_block(tensor)
        program.store(tensor, block)
        self._transfer(program)
        return block.data.copy()

    def write_words(self, tensor: Tensor, words: np.ndarray) -> None:
        """Write a tensor as it is stored; its exponent register stays as it is."""
        self._check_tensor(tensor)
        self._prepare()
        self._move_in(tensor, words)

    def _move_in(self, tensor: Tensor, words: np.ndarray) -> None:
        program = Program(f"load {tensor.name}", self.layout)
        block = self._staging_block(tensor)
        block.data[:] = words
        program.load(tensor, block)
        self._transfer(program)

    def set_version(self, version: int) -> None:
        """Give the current weights, which must be loaded again afterwards, this version; all others, and snapshots, are gone."""
        self._prepare()
        if self._group_open:
            self._open_group(version)

    def install(self, program: Program) -> None:
        """Write a program into program memory, where it stays. `run`, `start` and `request` do this when needed."""
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
            It holds a step of an optimizer and nobody has set its rate; see `set_optimizer` and optimizers.py.
        DeviceError
            The chip refused or stopped it; the message names the descriptor, its tensors, the limit and the remedy.
            The current weights are unchanged and the device can be used further.
        DeviceTimeout
            It did not end; the message holds the chip's state.
        """
        if program not in self._programs and not program.request and len(program.operations) > TRANSFER_INDEX:
            self._run_in_pieces(program)
        else:
            self.start(program)
            self.finish()

    def start(self, program: Program) -> None:
        """Start a program and return; `finish` waits for its end.

        Until then nothing but `request` can use the chip: neither tensors nor other programs can be moved to it.

        Raises
        ------
        ProgramError
            It is a request, another program runs, or no learning rate is set that it needs.
        CapacityError
            It does not fit into program memory.
        """
        if program.request:
            raise ProgramError(f"program '{program.name}' is a request; run it with Device.request, or record it without request=True")
        self._check_idle(f"program '{program.name}' cannot start")
        self._check_rate(program)
        self.install(program)
        self._runner.start(program, self._programs[program])
        self._running = program

    def finish(self) -> None:
        """Wait for the end of the program that `start` started; errors as of `run`."""
        program, self._running = self._running, None
        if program is None:
            raise ProgramError("no program runs that could be waited for; call Device.start first")
        self._runner.finish(program, self._programs[program])

    def request(self, program: Program) -> None:
        """Run a short program beside the one that was started, if any, and return when it has ended.

        `set_arbiter` says who goes first. Its random bits are of numbers of its own, so neither's results depend on the other,
        but for the weights: it reads the version that is current at its start, to its end, whatever the program commits.

        Raises
        ------
        ProgramError
            It was not recorded with ``request=True``, touches what the running program writes or the reverse, or has not been
            installed before that was started.
        DeviceError, DeviceTimeout
            As of `run`. The program that was started goes on after an error of the request.
        """
        if not program.request:
            raise ProgramError(f"program '{program.name}' is no request; record it with Program(name, layout, request=True)")
        running = self._running
        if running and program not in self._programs:
            raise ProgramError(f"request '{program.name}' is not on the chip and cannot be brought there while '{running.name}' runs; "
                               "call Device.install with it before Device.start")
        self.install(program)
        if running and (program, running) not in self._apart:
            check_apart(program, running)
            self._apart.add((program, running))
        self._runner.request(program, self._programs[program], running)

    def set_arbiter(self, policy: str, slice_cycles: int = 1024) -> None:
        """Say who starts next where both a program and a request could.

        Parameters
        ----------
        policy : str
            ``command`` (after a reset), ``priority``, ``round_robin`` or ``time_slice``; see docs/architecture.md.
        slice_cycles : int
            Length of a slice for ``time_slice``: a power of two from 32 to 2**31.

        Raises
        ------
        SettingsError
            There is no such policy or slice.
        ProgramError
            A program runs.
        """
        fields = arbiter_fields(policy, slice_cycles)
        self._check_idle("the arbiter cannot be set")
        self.registers.write("ARBITER", **fields)

    def _run_in_pieces(self, program: Program) -> None:
        """Run a program that is longer than program memory: while one piece runs, the next is written behind or before it."""
        self._check_program(program)
        self._check_rate(program)
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
            self._runner.start(piece, places[number % 2])
            if number + 1 < len(pieces):
                self.registers.write_program(places[(number + 1) % 2], pieces[number + 1].descriptors())
            self._runner.finish(piece, places[number % 2])

    def set_optimizer(self, learning_rate: float, momentum: float = 0.0) -> None:
        """Set what `Program.sgd` uses from now on: ``m <- momentum m + g; w <- w - learning_rate m``.

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
        ProgramError
            A program runs.
        """
        self._check_idle("the optimizer cannot be set")
        for name, value, high in (("learning_rate", learning_rate, 65536), ("momentum", momentum, 65535 / 65536)):
            if not isinstance(value, numbers.Real) or not 0 <= value <= high:
                raise SettingsError(f"{name} is {value} and must be a number between 0 and {high}")
        mantissa, exponent = encode_rate(learning_rate)
        self.registers.write("LEARNING_RATE", mant=mantissa, exp=exponent)
        self.registers.set("MOMENTUM", round(momentum * 65536))
        self._rates_set.add("LEARNING_RATE")

    # what happened

    def set_request_number(self, number: int) -> None:
        """Set the operation number of the next request's first descriptor."""
        self.registers.set("REQUEST_OPNUM", number)
        self._runner.opnum = number

    def statistics(self) -> dict[str, float]:
        """Return the policy unit's statistics as numbers; sums are divided by 2**(fraction bits), not by the count."""
        return {name: value / (1 << STATISTICS[name]) for name, value in self.registers.statistics().items()}

    def clear_statistics(self) -> None:
        self.registers.write("CONTROL", stats_clear=1)

    @property
    def gradient_norm(self) -> float:
        """Global norm of the gradients recorded with ``norm=True``, in units of the chip's gradients, when the last was written."""
        log = self.registers.read("NORM")["value"]
        return 0.0 if log == -1 << 31 else 2.0 ** (log / (1 << 18))

    @property
    def cycles(self) -> int:
        """Clock cycles during which programs ran; 0 on a back end without a clock."""
        return self.registers.wide("CYCLES")

    @property
    def saturations(self) -> int:
        """Values that were clamped to 16 bits so far."""
        return self.registers.value("SATURATIONS")

    def faults(self) -> Faults:
        """Return what was found in the scratchpad: counts of flipped bits, where the last one was."""
        return read_faults(self)

    def inject(self, address: int, bit: int, second: int | None = None) -> None:
        """Flip one bit of a scratchpad word, or two, as a particle would; see `faults.inject_fault`."""
        inject_fault(self, address, bit, second)

    def exponent_index(self, tensor: Tensor) -> int:
        """Return the physical exponent register that holds a tensor's exponent now."""
        self._check_tensor(tensor)
        if tensor.exponent is None:
            raise ProgramError(f"tensor {tensor} is raw and has no exponent register")
        if tensor.space == "absolute":
            return tensor.exponent
        slot = self.registers.read("SLOT")["slot"] if tensor.space == "current" else self.registers.read("SLOTS")["next"]
        return ABSOLUTE_EXPONENTS + LOGICAL_EXPONENTS * slot + tensor.exponent

    def status(self) -> str:
        """Return the chip's state in a few lines, for people."""
        read = self.registers.read
        errors = (f"{name} {error_name(read(register)['code'])} at descriptor {read(register)['pc']}"
                  for name, register in (("error", "ERROR"), ("error of the request", "REQUEST_ERROR")))
        lines = [f"status {read('STATUS')}  {'  '.join(errors)}",
                 f"operation number {self.registers.value('OPNUM')}  weight version {self.version}  slots {read('SLOTS')}",
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
        self._runner.start(program, TRANSFER_INDEX)
        self._runner.finish(program, TRANSFER_INDEX)

    def _prepare(self) -> None:
        """Set what was placed since the last time: registers of the weight group, exponents, constants."""
        self._check_open("no tensor can be moved")
        self._check_idle("no tensor or program can be moved")
        layout = self.layout
        if layout.group is not None and layout.group.placed and not self._group_open:
            if layout.group.slots > (most := self.registers.read("BUILD")["slots"]):
                raise CapacityError(f"the weight group has {layout.group.slots} slots and this chip was built for {most}")
            self._open_group(0)
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

    def _open_group(self, version: int) -> None:
        group, self._group_open = self.layout.group, True
        for name, value in (("BASE", group.base), ("SIZE", group.size), ("SLOTS", group.slots), ("VERSION", version)):
            self.registers.set(f"GROUP_{name}", value)
        self.registers.write("CONTROL", group_init=1)
        self._snapshots.clear()  # the chip's pins are gone

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
        for op in program.operations:
            register, field = RATES.get(op.op, (None, None))
            if register is None or register in self._rates_set:
                continue
            if not self.registers.read(register)[field]:
                raise ProgramError(f"program '{program.name}' would change no weight in '{op.label}': the learning rate was never set; "
                                   "call Device.set_optimizer(learning_rate, momentum), or apply(device) of an optimizer, first")
            self._rates_set.add(register)

    def _check_open(self, refused: str) -> None:
        if self._closed:
            raise BackendError(f"{refused}: the device is closed; open a new one")

    def _ready(self, refused: str) -> None:
        self._check_idle(refused)
        self._prepare()
        if not self._group_open:
            raise VersionError(f"{refused}: there is no weight group; make one with WeightGroup(layout) and place it")

    def _end_program(self) -> None:
        if self._running:
            self.finish()

    def _check_idle(self, refused: str) -> None:
        if self._running:
            raise ProgramError(f"{refused}: program '{self._running.name}' was started; call Device.finish first")
