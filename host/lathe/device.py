# SPDX-License-Identifier: Apache-2.0
"""The chip as the host sees it: load and store tensors, run programs, read what happened.

>>> with Device(backend="golden", seed=1) as device:           # doctest: +SKIP
...     x = device.layout.tensor("x", 2, 3)
...     device.load(x, [[1, 2, 3], [4, 5, 6]])
...     device.store(x)
"""

import math
import numbers
import threading
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from pymodels.csr_map import REGISTERS
from pymodels.descriptor import Space

from .allocator import ABSOLUTE_EXPONENTS, BANK_WORDS, LOGICAL_EXPONENTS, Layout, whole
from .backends import BACKENDS, Backend, Closed, open_backend
from .errors import BackendError, CapacityError, DeviceError, ProgramError, SettingsError, VersionError
from .faults import Faults, inject_fault, read_faults
from .program import Program
from .program_memory import ProgramMemory
from .registers import STATISTICS, TRANSFER_INDEX, UNITS, Registers
from .requests import FIRST_OPNUM, arbiter_fields, check_apart
from .runner import Runner, error_name
from .tensor import Tensor
from .threads import alone
from .transfers import Transfers
from .versions import Versions

DEFAULT_MEMORY_BYTES, LEAST_MEMORY_BYTES = 1 << 20, 1 << 12
IDENTITY = REGISTERS["ID"].fields["value"].reset
LANES = (4, 8, 16)
#: What a unit does in a cycle; one register counts each.
COUNTERS = ("BUSY", "OVERHEAD", "STALL_OPERAND", "STALL_RESULT", "WAIT", "FETCH", "IDLE")

#: Descriptors of a piece of a program that is longer than program memory: one runs while another one is written.
LONGEST_PIECE = TRANSFER_INDEX // 2

_NO_RATE = ("would change no weight in '{}': the learning rate was never set; call Device.set_optimizer(learning_rate, momentum), or "
            "apply(device) of an optimizer, first")
#: Operation -> register and field that is 0 until somebody sets what it needs, and what the refusal says.
NEEDED = dict.fromkeys(("sgd", "momentum", "nesterov"), ("LEARNING_RATE", "mant", _NO_RATE)) | {
    "adam": ("ADAM_DECAY", "value", _NO_RATE),
    "scan": ("SCAN_CAPS", "rho", "has no estimator of advantages for '{}'; write one first: Advantages.gae().write(device.registers)")}


class Piece(NamedTuple):
    """A piece of a program that is longer than program memory."""

    whole: Program
    program: Program
    start: int  #: index of its first descriptor in the whole program
    first: int  #: place of that in program memory


def encode_rate(rate: float) -> tuple[int, int]:
    """Return (mantissa, exponent), ``mantissa * 2**exponent``, of a rate from 0 to 65,536; what is too small is 0.

    The exponent of 0 is the smallest one: a weight's exponent follows the largest step that the rate allows.
    """
    fraction, exponent = math.frexp(rate)
    mantissa = round(fraction * 65536)
    if mantissa == 65536:
        mantissa, exponent = 32768, exponent + 1
    return (mantissa, exponent - 16) if mantissa and exponent - 16 >= -128 else (0, -128)


def _number(name: str, value: int) -> int:
    """Return a number of 32 bits; SettingsError if `value` is none."""
    if not isinstance(value, numbers.Integral) or not 0 <= value < 1 << 32:
        raise SettingsError(f"{name} is {value!r} and must be a whole number from 0 to {(1 << 32) - 1}")
    return int(value)


class Device(Versions, Transfers):
    """One chip and its outside memory; a context manager.

    One thread at a time may use it: what another one asks of it meanwhile is a ProgramError. It can be neither copied nor pickled;
    a process that was forked can use none that its parent opened.

    Parameters
    ----------
    backend : str or callable
        ``golden``, ``verilator``, ``serial``, or a callable (lanes, banks, memory, seed) that returns a back end.
    lanes, banks : int
        Parameters of the chip.
    memory_bytes : int, optional
        Size of outside memory, unless set 1 MiB, or what the board has if that is less. Its end, as large as the scratchpad or a
        quarter of it, is kept for `load` and `store`.
    seed : int
        Seed of all random bits on the chip.
    options
        Of the back end; ``serial`` takes `port` and `baud`.

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
                 memory_bytes: int | None = None, seed: int = 1, **options):
        lanes, banks, seed = (whole(*each) for each in (("lanes", lanes), ("banks", banks), ("seed", seed)))
        memory_bytes = None if memory_bytes is None else whole("memory_bytes", memory_bytes)
        if lanes not in LANES:
            raise CapacityError(f"a chip has 4, 8 or 16 lanes, not {lanes}")
        if not 2 <= banks <= 64 or banks & (banks - 1):
            raise CapacityError(f"the number of banks is a power of two from 2 to 64, not {banks}")
        if memory_bytes is not None and (not LEAST_MEMORY_BYTES <= memory_bytes <= 1 << 32 or memory_bytes % 256):
            raise CapacityError(f"memory_bytes is {memory_bytes}; it must be a multiple of 256 from {LEAST_MEMORY_BYTES} to 2**32 "
                                "(--memory-bytes)")
        try:
            memory = np.zeros(memory_bytes or DEFAULT_MEMORY_BYTES, np.uint8)
        except MemoryError:
            raise CapacityError(f"memory_bytes is {memory_bytes}, more than this computer has; choose less (--memory-bytes)") from None
        if not isinstance(backend, str) and not callable(backend):
            raise BackendError(f"a back end is a name ({', '.join(BACKENDS)}) or something that makes one, not {backend!r}")
        self._lock = threading.RLock()
        self.name = backend if isinstance(backend, str) else getattr(backend, "name", "custom")
        self.backend = (open_backend(backend, lanes, banks, memory, seed, **options) if isinstance(backend, str)
                        else backend(lanes, banks, memory, seed))
        self.memory = self.backend.memory
        if memory_bytes is not None and self.memory.nbytes < memory_bytes:
            self.backend.close()
            raise CapacityError(f"memory_bytes is {memory_bytes}, but the board has {self.memory.nbytes} bytes of outside memory; leave it "
                                "out (--memory-bytes) or use a board with more")
        self.registers = Registers(self.backend, self.check_idle)
        identity, build, version = self.registers.value("ID"), self.registers.read("BUILD"), REGISTERS["BUILD"].fields["version"].reset
        if (identity, build["lanes"], 1 << build["log2_banks"], build["version"]) != (IDENTITY, lanes, banks, version):
            raise BackendError(f"back end '{self.name}' answers with ID {identity:#010x}, {build['lanes']} lanes, "
                               f"{1 << build['log2_banks']} banks and register map {build['version']}; expected {IDENTITY:#010x}, {lanes}, "
                               f"{banks} and {version}")
        self.layout = Layout(lanes, banks, self.memory)
        staging = min(banks * BANK_WORDS * 2 * lanes, self.memory.nbytes // 4)
        self.layout.memory_limit = self._staging = self.memory.nbytes - staging
        if hasattr(self.backend, "layout"):  # a back end that names tensors in its messages
            self.backend.layout = self.layout
        self._programs = ProgramMemory(TRANSFER_INDEX)
        self._prepared = self._constants = self._static_exponents = 0
        self._group_open = False
        self._known_set: set[str] = set()
        self._runner = Runner(self)
        self._running: Program | None = None
        self._running_at = 0      # its place in program memory
        self._starting = False    # an interrupt came while it was started: perhaps it was not
        self._ours = False        # no `start` began it: if it still runs, an interrupt (Ctrl-C) came while it was waited for
        self._rest: list[Piece] = []  # of a program that runs in pieces: those that have not ended
        self._apart: set[tuple[Program, Program]] = set()  # requests and programs that may run beside each other
        self._snapshots = Counter()
        self._scaling = {}
        self._closed = False
        self._norm_in_pieces = ""  # the program whose gradient norm no piece has as a whole
        self.registers.set("SEED", seed & 0xFFFFFFFF)
        self.registers.set("OPNUM", 0)
        self.registers.set("REQUEST_OPNUM", FIRST_OPNUM)
        self.registers.write("IRQ_ENABLE", enable=1)

    def __reduce_ex__(self, _):
        raise BackendError("a device can be neither copied nor pickled; open another one, and take the weights over with a checkpoint "
                           "(lathe.checkpoint) if wanted")

    def __enter__(self) -> "Device":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    @alone
    def close(self) -> None:
        """Free the back end; may be called again. Whatever else is asked of the device afterwards is a BackendError."""
        if not self._closed:
            self._closed = True
            self.backend.close()
            self.backend = Closed()
            self.registers = Registers(self.backend)

    @alone
    def reconnect(self) -> None:
        """Go on after a LinkError: open the connection again and reset the chip.

        The current weights, their version and the exponents are those of the last commit, and programs stay installed. What ran
        has been ended; tensors outside the weight group hold anything.

        Raises
        ------
        LinkError
            The board cannot be reached, or has lost its power and the weights with it.
        BackendError
            The back end has no connection that could be lost.
        """
        self._check_open("the device cannot be connected again")
        if not hasattr(self.backend, "reconnect"):
            raise BackendError(f"back end '{self.name}' has no connection that could be lost")
        self.backend.reconnect()
        self._running, self._rest = None, []
        self._runner.forget()

    # programs (tensors: transfers.py)

    @alone
    def set_version(self, version: int) -> None:
        """Give the current weights, which must be loaded again afterwards, this version; all others, and snapshots, are gone."""
        number = _number("version", version)
        self._prepare()
        if not self._group_open:
            raise VersionError("the version cannot be set: there is no weight group; make one with WeightGroup(layout) and place it")
        self._open_group(number)

    @alone
    def install(self, program: Program) -> None:
        """Write a program into program memory. `run`, `start` and `request` do this when needed.

        It stays there until another one needs its place: what was used longest ago goes first, requests last.

        Raises
        ------
        CapacityError
            It is longer than program memory.
        ProgramError
            A program runs.
        """
        self._check_program(program)
        if program in self._programs:
            self._programs.use(program)
            return
        self._prepare()
        length = len(program.operations)
        if length > TRANSFER_INDEX:
            raise CapacityError(f"program '{program.name}' has {length} descriptors and program memory takes {TRANSFER_INDEX}; split it"
                                + ("" if program.request else ", or use Device.run, which runs it in pieces"))
        descriptors = program.descriptors()
        for displaced in self._programs.make_room(length):
            self.install(displaced)
        first = self._programs.free(length)
        self.registers.write_program(first, descriptors)
        program.frozen = True
        self._programs.add(program, first)

    @alone
    def run(self, program: Program) -> None:
        """Run a program to its end. Interrupted (Ctrl-C) it goes on, and whatever uses the chip next waits for its end.

        One longer than program memory runs in pieces, which take all of it; of those, too, the rest runs then.

        Scaling is delayed: each result is written with the exponent that follows from the last writes of its tensor, the
        first one with the exponent that the tensor was made with. So the first run of a program may round results away or
        clamp them; make the tensors with a sensible `exponent`, or run the program until `saturations` stands still before its
        result counts. An exponent that is too small grows by four powers of two a run at most, in each layer in turn; results
        more than 2**26 times smaller than expected read as 0, and only the 17th run after such a one follows them.

        Raises
        ------
        ProgramError
            It holds a step of an optimizer and nobody has set its rate (`set_optimizer`, optimizers.py), or a scan and nobody has
            written an estimator (advantages.py).
        DeviceError
            The chip refused or stopped it; the message names the descriptor, its tensors, the limit and the remedy.
            The current weights are unchanged and the device can be used further.
        DeviceTimeout
            It did not end; the message holds the chip's state.
        """
        self._check_program(program)
        if program not in self._programs and not program.request and len(program.operations) > TRANSFER_INDEX:
            self._run_in_pieces(program)
        else:
            self._check_start(program)
            self._execute(program, self._programs.use(program))

    @alone
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
        self._check_start(program)
        self._begin(program, self._programs.use(program))

    @alone
    def finish(self) -> None:
        """Wait for the end of the program that `start` started; errors as of `run`. Interrupted (Ctrl-C) it can be called again."""
        self._forget_unstarted()
        if self._running is None:
            raise ProgramError("no program runs that could be waited for; call Device.start first")
        self._go_on()

    def _check_start(self, program: Program) -> None:
        self._check_program(program)
        if program.request:
            raise ProgramError(f"program '{program.name}' is a request; run it with Device.request, or record it without request=True")
        self.check_idle(f"program '{program.name}' cannot start")
        self._check_needed(program)
        self._check_operations(program)
        self.install(program)

    def _begin(self, program: Program, first: int, ours: bool = False) -> None:
        if self._norm_in_pieces and any(op.fields.get("norm") for op in program.operations):
            self._norm_in_pieces = ""
        self._runner.ended = 0
        self._starting = True
        self._running, self._running_at, self._ours = program, first, ours
        try:
            self._runner.start(program, first)
        except Exception:
            self._running, self._rest = None, []
            raise
        self._starting = False

    def _await_end(self) -> None:
        """Wait for the end of what runs; it is forgotten when it has ended or failed, not when the wait is interrupted."""
        try:
            self._runner.finish(self._running, self._running_at)
        except Exception as error:
            if self._rest and isinstance(error, DeviceError):
                error.index += self._rest[0].start
            self._running, self._rest = None, []
            raise
        if self._rest and self._rest[0].program is self._running:
            whole, self._rest = self._rest[0].whole, self._rest[1:]
            if not self._rest and whole.splits_norm(LONGEST_PIECE):
                self._norm_in_pieces = whole.name
        self._running = None

    def _execute(self, program: Program, first: int) -> None:
        self._begin(program, first, ours=True)
        self._await_end()

    def _settle(self) -> None:
        """Wait for the end of what an interrupt left running; errors of a request or program that was left so appear here."""
        self._runner.settle(self._running)
        self._forget_unstarted()
        if self._ours:
            self._go_on()

    def _forget_unstarted(self) -> None:
        """Forget a program if an interrupt came before it was started."""
        if self._running and self._starting and not self._runner.started:
            self._running = None
        self._starting = False

    @alone
    def request(self, program: Program) -> None:
        """Run a short program beside the one that was started, if any, and return when it has ended.

        `set_arbiter` says who goes first. Its random bits are of numbers of its own, so neither's results depend on the other,
        but for the weights: it reads the version that is current at its start, to its end, whatever the program commits.
        Interrupted (Ctrl-C) it goes on, and whatever uses the chip next waits for its end.

        Raises
        ------
        ProgramError
            It was not recorded with ``request=True``, touches what the running program writes or the reverse, or has not been
            installed before that was started.
        DeviceError, DeviceTimeout
            As of `run`. The program that was started goes on after an error of the request.
        """
        self._check_program(program)
        if not program.request:
            raise ProgramError(f"program '{program.name}' is no request; record it with Program(name, layout, request=True)")
        self._settle()
        running = self._running
        if running and program not in self._programs:
            raise ProgramError(f"request '{program.name}' is not on the chip and cannot be brought there while '{running.name}' runs; call "
                               f"Device.install with it before Device.start (program memory takes {TRANSFER_INDEX} descriptors, these are "
                               f"{len(program.operations)} and {len(running.operations)})")
        self.install(program)
        if running and (program, running) not in self._apart:
            check_apart(program, running)
            self._apart.add((program, running))
        self._runner.request(program, self._programs.use(program), running)

    @alone
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
        self.check_idle("the arbiter cannot be set")
        self.registers.write("ARBITER", **fields)

    def _run_in_pieces(self, program: Program) -> None:
        """Run a program that is longer than program memory, which its pieces take as a whole."""
        self._check_needed(program)
        self._check_operations(program)
        self._prepare()
        rest = [Piece(program, piece, start, index % 2 * LONGEST_PIECE)
                for index, (piece, start) in enumerate(program.pieces(LONGEST_PIECE))]
        for piece in rest:  # what cannot be compiled is refused before any of it runs
            piece.program.descriptors()
        program.frozen = True
        requests = self._programs.clear()
        self._write_piece(rest[0])
        self._rest, self._ours = rest, True
        self._go_on()
        for request in requests:
            self.install(request)

    def _go_on(self) -> None:
        """Wait for the end of what runs, and run the pieces that are left: while one runs, the next is written behind or before it."""
        if self._running and not (self._rest and self._rest[0].program is self._running):
            self._await_end()
        while self._rest:
            piece = self._rest[0]
            if self._running is None:
                self._begin(piece.program, piece.first, ours=True)
            if len(self._rest) > 1:
                self._write_piece(self._rest[1])
            self._await_end()

    def _write_piece(self, piece: Piece) -> None:
        self.registers.write_program(piece.first, piece.program.descriptors())

    @alone
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
        self.check_idle("the optimizer cannot be set")
        for name, value, high in (("learning_rate", learning_rate, 65536), ("momentum", momentum, 65535 / 65536)):
            if not isinstance(value, numbers.Real) or not 0 <= value <= high:
                raise SettingsError(f"{name} is {value} and must be a number between 0 and {high}")
        mantissa, exponent = encode_rate(learning_rate)
        self.registers.write("LEARNING_RATE", mant=mantissa, exp=exponent)
        self.registers.set("MOMENTUM", round(momentum * 65536))
        self._known_set.add("LEARNING_RATE")

    def check_idle(self, refused: str) -> None:
        """Refuse what cannot be done while a program runs; waits for what an interrupt (Ctrl-C) left running.

        Raises
        ------
        ProgramError
            `start` began a program that nobody has waited for; the message begins with `refused`.
        DeviceError
            What an interrupt had left running has failed.
        """
        self._settle()
        if self._running:
            raise ProgramError(f"{refused}: program '{self._running.name}' was started; call Device.finish first")

    # what happened

    def set_request_number(self, number: int) -> None:
        """Set the operation number of the next request's first descriptor."""
        number = _number("number", number)
        self.check_idle("the number of requests cannot be set")
        self.registers.set("REQUEST_OPNUM", number)
        self._runner.opnum = number

    @alone
    def statistics(self) -> dict[str, float]:
        """Return the policy unit's statistics as numbers; sums are divided by 2**(fraction bits), not by the count."""
        return {name: value / (1 << STATISTICS[name]) for name, value in self.registers.statistics().items()}

    def clear_statistics(self) -> None:
        self.registers.write("CONTROL", stats_clear=1)

    @property
    @alone
    def gradient_norm(self) -> float:
        """Global norm of the gradients recorded with ``norm=True``, in units of the chip's gradients, when the last was written.

        Of the program that ran last, since its last commit.

        Raises
        ------
        ProgramError
            That ran in pieces, of which several hold such gradients: each has a norm of its own.
        """
        if self._norm_in_pieces:
            raise ProgramError(f"program '{self._norm_in_pieces}' ran in pieces, and gradients of its norm lie in several of them; record "
                               "the gradients as a program that fits into program memory")
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

    @alone
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

    @alone
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

    def _prepare(self) -> None:
        """Set what was placed since the last time: registers of the weight group, exponents, constants."""
        self._check_open("no tensor can be moved")
        self.check_idle("no tensor or program can be moved")
        layout = self.layout
        if layout.group is not None and layout.group.placed and not self._group_open:
            if layout.group.slots > (most := self.registers.read("BUILD")["slots"]):
                raise CapacityError(f"the weight group has {layout.group.slots} slots and this chip was built for {most}: "
                                    f"choose at most {most} (--slots {most})")
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
            self._put(tensor, values)
            self._constants += 1

    def _open_group(self, version: int) -> None:
        group = self.layout.group
        for name, value in (("BASE", group.base), ("SIZE", group.size), ("SLOTS", group.slots), ("VERSION", version)):
            self.registers.set(f"GROUP_{name}", value)
        self.registers.write("CONTROL", group_init=1)
        self._group_open = True
        self._snapshots.clear()  # the chip's pins are gone
        self._scaling.clear()

    def _check_tensor(self, tensor: Tensor) -> None:
        if not isinstance(tensor, Tensor):
            raise ProgramError(f"a tensor is expected, not {type(tensor).__name__!r}; make one with device.layout.tensor")
        if tensor.layout is not None and tensor.layout is not self.layout:
            raise ProgramError(f"tensor {tensor} belongs to the layout of another device; make it with this device's layout")

    def _check_program(self, program: Program) -> None:
        if not isinstance(program, Program):
            raise ProgramError(f"a program is expected, not {type(program).__name__!r}; record one with Program(name, device.layout)")
        self._check_open(f"program '{program.name}' cannot be installed")
        if program.layout is not self.layout:
            raise ProgramError(f"program '{program.name}' was recorded for the layout of another device")

    def _check_needed(self, program: Program) -> None:
        for op in program.operations:
            register, field, refusal = NEEDED.get(op.op, (None, None, None))
            if register is None or register in self._known_set:
                continue
            if not self.registers.read(register)[field]:
                raise ProgramError(f"program '{program.name}' {refusal.format(op.label)}")
            self._known_set.add(register)

    def _check_operations(self, program: Program) -> None:
        """Refuse what the chip would do, but nobody can want."""
        for op in program.operations:
            if op.op == "loss" and self.registers.sequences and not op.fields["sequence_words"]:
                raise ProgramError(f"program '{program.name}': '{op.label}' has no sequences, but the correction in force works on whole "
                                   "ones; give it what Program.measure makes as `sequences`, or write a correction of samples")
            if (op.unit, op.op) == ("dma", "load") and op.fields.get("t2_space") in ("current", Space.CURRENT):
                self._check_unpinned(f"program '{program.name}' cannot start with '{op.label}'")

    def forget_rates(self) -> None:
        """Look again whether the optimizer's rates are set: its registers were written."""
        self._known_set.clear()

    def _check_open(self, refused: str) -> None:
        if self._closed:
            raise BackendError(f"{refused}: the device is closed; open a new one")

    def _ready(self, refused: str) -> None:
        self.check_idle(refused)
        self._prepare()
        if not self._group_open:
            raise VersionError(f"{refused}: there is no weight group; make one with WeightGroup(layout) and place it")

    def _end_program(self) -> None:
        self._settle()
        if self._running:
            self.finish()
