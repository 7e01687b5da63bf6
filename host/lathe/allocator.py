# SPDX-License-Identifier: Apache-2.0
"""Places things: tensors in the scratchpad, exponent registers, the weight group, blocks of outside memory."""

from dataclasses import dataclass

import numpy as np

from .errors import CapacityError, ProgramError
from .tensor import EXPONENT_MAX, EXPONENT_MIN, Tensor

ABSOLUTE_EXPONENTS = 64
LOGICAL_EXPONENTS = 16
BANK_WORDS = 1024
MAX_DIMENSION = 65535
#: First exponent of a tensor whose scale nobody named.
RESULT_EXPONENT = -10


@dataclass(frozen=True, eq=False)
class Block:
    """A piece of outside memory that one side writes and the other reads.

    Attributes
    ----------
    name : str
    address : int
        Byte address.
    data : ndarray of int16
        View of that memory, shape (rows, words of a row * lanes); a row is stored as in the scratchpad.
    """

    name: str
    address: int
    data: np.ndarray

    @property
    def row_bytes(self) -> int:
        return 2 * self.data.shape[1]


class Layout:
    """What lies where on one chip.

    Parameters
    ----------
    lanes, banks : int
        Parameters of the chip.
    memory : ndarray of uint8
        Outside memory; its end may be reserved by lowering `memory_limit`.
    """

    def __init__(self, lanes: int, banks: int, memory: np.ndarray):
        self.lanes, self.banks = lanes, banks
        self.scratchpad_words = banks * BANK_WORDS
        self.memory = memory
        self.memory_limit = memory.nbytes
        self.tensors: list[Tensor] = []
        self.group: WeightGroup | None = None
        self._words_used = 0
        self._exponents_used = 0
        self._bytes_used = 0

    # scratchpad

    @property
    def words_free(self) -> int:
        return self.scratchpad_words - self._words_used

    def tensor(self, name: str, rows: int, columns: int, exponent: int | None = None, static: bool = False,
               raw: bool = False) -> Tensor:
        """Reserve room for a tensor and an exponent register for it.

        Scaling is delayed: a program's write uses the exponent that follows from the last writes of that tensor, not from
        the data at hand. The first write has none before it and uses `exponent`; where that is a bad guess, small values
        round away to 0 or large ones are clamped (`Device.saturations` counts those). Either give an exponent of about
        log2(largest expected magnitude) - 14, or run the program once or twice before its result counts.

        Parameters
        ----------
        exponent : int, optional
            First content of its exponent register: -10 (values of +-32 in steps of 0.001) unless given, 0 if `static`.
        static : bool
            Keep that exponent instead of following the data.
        raw : bool
            Words without an exponent, such as records.

        Raises
        ------
        CapacityError
            It does not fit; the message says what is needed and free.
        """
        if exponent is None:
            exponent = 0 if static or raw else RESULT_EXPONENT
        self._check_shape(name, rows, columns, exponent)
        stride = -(-columns // self.lanes)
        address = self._take_words(f"tensor '{name}' {rows} x {columns}", rows * stride)
        register = None
        if not raw:
            if self._exponents_used == ABSOLUTE_EXPONENTS:
                raise CapacityError(f"no exponent register is left for tensor '{name}': the chip has {ABSOLUTE_EXPONENTS} "
                                    "outside the weight group; use fewer layers or share tensors between programs")
            register = self._exponents_used
            self._exponents_used += 1
        tensor = Tensor(name, rows, columns, address, stride, self.lanes, register, exponent, static, layout=self)
        self.tensors.append(tensor)
        return tensor

    def records(self, name: str, rows: int) -> Tensor:
        """Reserve one raw word for each of `rows` samples."""
        return self.tensor(name, rows, self.lanes, raw=True)

    def _check_shape(self, name: str, rows: int, columns: int, exponent: int) -> None:
        if not (1 <= rows <= MAX_DIMENSION and 1 <= columns <= MAX_DIMENSION):
            raise CapacityError(f"tensor '{name}' is {rows} x {columns}; both dimensions must be 1 to {MAX_DIMENSION}")
        if not EXPONENT_MIN <= exponent <= EXPONENT_MAX:
            raise CapacityError(f"tensor '{name}': exponent {exponent} is outside {EXPONENT_MIN} to {EXPONENT_MAX}")

    def _take_words(self, what: str, words: int) -> int:
        if words > self.words_free:
            largest = sorted(self.tensors, key=lambda t: -t.words * max(t.slots, 1))[:3]
            holders = ", ".join(f"{t} {t.words * max(t.slots, 1)}" for t in largest)
            raise CapacityError(
                f"{what} needs {words} scratchpad words and {self.words_free} of {self.scratchpad_words} are free"
                + (f" (largest: {holders})" if holders else "")
                + "; use smaller layers or a smaller minibatch, or a chip with more banks (--banks, up to 64)")
        address = self._words_used
        self._words_used += words
        return address

    def where(self, address: int) -> str:
        """Name what lies at a scratchpad word, for messages."""
        for tensor in self.tensors:
            if tensor.space == "absolute" and tensor.address <= address < tensor.address + tensor.words:
                return f"{tensor}, row {(address - tensor.address) // tensor.stride}"
        group = self.group
        if group is not None and group.placed and group.base <= address < group.base + group.slots * group.size:
            slot, offset = divmod(address - group.base, group.size)
            for tensor in group.tensors:
                if tensor.address <= offset < tensor.address + tensor.words:
                    return f"{tensor} in slot {slot}, row {(offset - tensor.address) // tensor.stride}"
        return "a word of no tensor"

    def exponent_owner(self, index: int) -> str:
        """Name the tensors behind a physical exponent register, for messages."""
        if index < ABSOLUTE_EXPONENTS:
            owners = [str(t) for t in self.tensors if t.space == "absolute" and t.exponent == index]
            return ", ".join(owners) or "no tensor"
        slot, logical = divmod(index - ABSOLUTE_EXPONENTS, LOGICAL_EXPONENTS)
        owners = [str(t) for t in (self.group.tensors if self.group else []) if t.exponent == logical]
        return f"{', '.join(owners) or 'no tensor'} in slot {slot}"

    # outside memory

    def block(self, name: str, rows: int, row_words: int = 1) -> Block:
        """Reserve outside memory for `rows` rows of `row_words` words."""
        word_bytes = 2 * self.lanes
        size = rows * row_words * word_bytes
        if self._bytes_used + size > self.memory_limit:
            raise CapacityError(f"block '{name}' needs {size} bytes of outside memory and {self.memory_limit - self._bytes_used} "
                                f"are free; open the device with a larger memory_bytes (--memory-bytes, now {self.memory.nbytes})")
        address = self._bytes_used
        self._bytes_used += size
        data = self.memory[address:address + size].view(np.int16).reshape(rows, row_words * self.lanes)
        return Block(name, address, data)

    def block_for(self, tensor: Tensor, name: str | None = None) -> Block:
        """Reserve outside memory of a tensor's size."""
        return self.block(name or tensor.name, tensor.rows, tensor.row_words)


class WeightGroup:
    """The tensors that an update changes together; every slot holds one version of all of them.

    Parameters
    ----------
    layout : Layout
    slots : int
        2 to 4: the current version, the one being written, and versions that rollback can return to.
    """

    def __init__(self, layout: Layout, slots: int = 3):
        if not 2 <= slots <= 4:
            raise CapacityError(f"a weight group has 2 to 4 slots, not {slots}")
        if layout.group is not None:
            raise ProgramError("the chip has one weight group and it is already taken")
        layout.group = self
        self.layout, self.slots = layout, slots
        self.tensors: list[Tensor] = []
        self.size = 0
        self.base = 0
        self.placed = False
        self._registers = 0
        self._shared: dict[tuple[int, bool], int] = {}

    def tensor(self, name: str, rows: int, columns: int, exponent: int, static: bool = False) -> Tensor:
        """Reserve room in every slot. Tensors of the same static exponent share one exponent register."""
        if self.placed:
            raise ProgramError(f"tensor '{name}' comes too late: the weight group is already placed")
        self.layout._check_shape(name, rows, columns, exponent)
        key = (exponent, static)
        if static and key in self._shared:
            register = self._shared[key]
        else:
            if self._registers == LOGICAL_EXPONENTS:
                raise CapacityError(f"no exponent register is left for '{name}': the weight group has {LOGICAL_EXPONENTS}; "
                                    "use fewer layers")
            register = self._registers
            self._registers += 1
            if static:
                self._shared[key] = register
        stride = -(-columns // self.layout.lanes)
        tensor = Tensor(name, rows, columns, self.size, stride, self.layout.lanes, register, exponent, static, "current",
                        self.slots, self.layout)
        self.tensors.append(tensor)
        self.size += rows * stride
        return tensor

    def place(self) -> None:
        """Give the group its scratchpad words; no tensor can be added afterwards."""
        if self.size == 0:
            raise ProgramError("the weight group holds no tensor")
        self.base = self.layout._take_words(f"the weight group ({self.slots} slots of {self.size} words)", self.slots * self.size)
        self.layout.tensors.extend(self.tensors)
        self.placed = True
