# SPDX-License-Identifier: Apache-2.0
"""Places things: tensors in the scratchpad, exponent registers, the weight group, blocks of outside memory."""

import operator
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from pymodels.descriptor import record_words

from .errors import CapacityError, ProgramError
from .matrix import Block, Matrix
from .tensor import EXPONENT_MAX, EXPONENT_MIN, PACKINGS, Tensor, stored_shape

ABSOLUTE_EXPONENTS = 64
LOGICAL_EXPONENTS = 16
BANK_WORDS = 1024
MAX_DIMENSION = 65535
#: First exponent of an int16 tensor whose scale nobody named; int8 has 8 bits less.
RESULT_EXPONENT = -10


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
        self.matrices: list[Matrix] = []
        self.group: WeightGroup | None = None
        self.constants: dict[Tensor, np.ndarray] = {}  # what the device loads before the next program
        self.static_exponents: dict[tuple[int, int], int] = {}  # (exponent, copy) -> register
        self._words_used = 0
        self._workspaces = {False: (0, 0), True: (0, 0)}  # of programs and of requests: address and words
        self._exponents_used = 0
        self._bytes_used = 0

    # scratchpad

    @property
    def words_free(self) -> int:
        return self.scratchpad_words - self._words_used

    def tensor(self, name: str, rows: int, columns: int, exponent: int | None = None, static: bool = False,
               raw: bool = False, dtype: str = "int16", packed: str | None = None) -> Tensor:
        """Reserve room for a tensor and an exponent register for it.

        Scaling is delayed: a program's write uses the exponent that follows from the last writes of that tensor, not from
        the data at hand. The first write has none before it and uses `exponent`; where that is a bad guess, small values
        round away to 0 or large ones are clamped (`Device.saturations` counts those). Either give an exponent of about
        log2(largest expected magnitude) - 14, or run the program once or twice before its result counts.

        Parameters
        ----------
        exponent : int, optional
            First content of its exponent register: -10 (values of +-32 in steps of 0.001; int8: -2) unless given, 0 if `static`.
        static : bool
            Keep that exponent instead of following the data.
        raw : bool
            Words without an exponent, such as records.
        dtype : str
            ``int16`` or ``int8``. Only matmul takes and makes int8.
        packed : str
            For int8: ``rows`` (unless given) or ``columns``, the direction in which two elements share a lane. A product sums
            along it: a left operand and a `trans_b` one are packed along rows, a right and a `trans_a` one along columns.

        Raises
        ------
        CapacityError
            It does not fit; the message says what is needed and free.
        """
        packed = self._check_packing(name, dtype, packed, raw)
        if exponent is None:
            exponent = 0 if static or raw else RESULT_EXPONENT + 8 * (dtype == "int8")
        rows, columns, exponent = self._check_shape(name, rows, columns, exponent)
        stored_rows, stored_columns = stored_shape(rows, columns, packed)
        stride = -(-stored_columns // self.lanes)
        address = self._take_words(f"tensor '{name}' {rows} x {columns}", stored_rows * stride)
        try:
            register = None if raw else self._take_exponent(f"tensor '{name}'")
        except CapacityError:
            self._words_used = address
            raise
        tensor = Tensor(name, rows, columns, address, stride, self.lanes, register, exponent, static, layout=self,
                        packed=packed)
        self.tensors.append(tensor)
        return tensor

    def records(self, name: str, rows: int) -> Tensor:
        """Reserve a raw row of 8 elements or, with more lanes, one word for each of `rows` samples.

        SAMPLE and MEASURE write the first word of each row.
        """
        return self.tensor(name, rows, record_words(self.lanes) * self.lanes, raw=True)

    @contextmanager
    def unless_refused(self) -> Iterator[None]:
        """If the block ends with an error, give back what it took for a constant."""
        before = len(self.constants)
        try:
            yield
        except BaseException:
            if len(self.constants) > before:
                tensor, _ = self.constants.popitem()
                self.tensors.remove(tensor)
                self._words_used, self._exponents_used = tensor.address, self._exponents_used - 1
            raise

    def identity(self, size: int) -> Tensor:
        """Return the identity matrix of that size, int16 with exponent 0; one is kept for all who ask."""
        whole = next((tensor for tensor in self.constants if tensor.rows >= size), None)
        if whole is None:
            whole = self.tensor(f"identity of {size}", size, size, 0, static=True)
            self.constants[whole] = np.eye(size)
        return whole.view(slice(0, size), slice(0, size), f"identity {size}")

    @staticmethod
    def _check_packing(name: str, dtype: str, packed: str | None, raw: bool) -> str | None:
        if dtype not in ("int16", "int8") or packed not in (None, *PACKINGS) or (packed and dtype == "int16") or (raw and dtype == "int8"):
            raise ProgramError(f"tensor '{name}': dtype {dtype!r}, packed {packed!r}, raw {raw}; int16 and raw tensors take no packed, "
                               "int8 ones packed='rows' or 'columns'")
        return packed or "rows" if dtype == "int8" else None

    def _take_exponent(self, what: str) -> int:
        if self._exponents_used == ABSOLUTE_EXPONENTS:
            raise CapacityError(f"no exponent register is left for {what}: the chip has {ABSOLUTE_EXPONENTS} "
                                "outside the weight group; use fewer layers or share tensors between programs")
        self._exponents_used += 1
        return self._exponents_used - 1

    def static_exponent(self, exponent: int, copy: int = 0) -> int:
        """Return a register that always holds `exponent`, the same for all who ask.

        An operation waits until no other one under way writes the same register; results that are to follow each other
        without a gap take different copies.
        """
        if (exponent, copy) not in self.static_exponents:
            self.static_exponents[exponent, copy] = self._take_exponent(f"the exponent {exponent} of a matrix in outside memory")
        return self.static_exponents[exponent, copy]

    @property
    def bytes_used(self) -> int:
        """Bytes of outside memory, from its first, that blocks and matrices take."""
        return self._bytes_used

    def workspace_free(self, request: bool) -> int:
        """Words that `workspace` can give."""
        address, words = self._workspaces[request]
        return self.words_free + words if address + words == self._words_used else max(self.words_free, words)

    def workspace(self, words: int, request: bool) -> int:
        """Return the address of that many words that all products of outside matrices share, those of requests among themselves."""
        address, held = self._workspaces[request]
        if words > held:
            grows = address + held == self._words_used  # nothing lies behind it
            taken = self._take_words("the workspace of products of outside matrices", words - held if grows else words)
            self._workspaces[request] = address if grows else taken, words
        return self._workspaces[request][0]

    @staticmethod
    def _check_shape(name: str, rows: int, columns: int, exponent: int, limit: int = MAX_DIMENSION) -> tuple[int, int, int]:
        """Return rows, columns and exponent as plain integers."""
        rows, columns, exponent = (whole(f"tensor '{name}': {what}", value) for what, value in
                                   (("rows", rows), ("columns", columns), ("exponent", exponent)))
        if not (1 <= rows <= limit and 1 <= columns <= limit):
            raise CapacityError(f"tensor '{name}' is {rows} x {columns}; both dimensions must be 1 to {limit}")
        if not EXPONENT_MIN <= exponent <= EXPONENT_MAX:
            raise CapacityError(f"tensor '{name}': exponent {exponent} is outside {EXPONENT_MIN} to {EXPONENT_MAX}")
        return rows, columns, exponent

    def _take_words(self, what: str, words: int) -> int:
        if words > self.words_free:
            held = [(t.words * max(t.slots, 1), str(t)) for t in self.tensors]
            held += [(taken, "blocks of matmul_outside, which takes all free words unless given `words`")
                     for _, taken in self._workspaces.values() if taken]
            holders = ", ".join(f"{name} {taken}" for taken, name in sorted(held, key=lambda holder: -holder[0])[:3])
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
        rows, row_words = (whole(f"block '{name}': {what}", value) for what, value in (("rows", rows), ("row_words", row_words)))
        if rows < 1 or row_words < 1:
            raise CapacityError(f"block '{name}' is {rows} rows of {row_words} words; both must be at least 1")
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
        return self.block(name or tensor.name, tensor.stored[0], tensor.row_words)

    def matrix(self, name: str, rows: int, columns: int, exponent: int, dtype: str = "int16", packed: str | None = None) -> Matrix:
        """Reserve outside memory for a matrix of any size with a fixed exponent; `dtype` and `packed` as of `tensor`."""
        packed = self._check_packing(name, dtype, packed, raw=False)
        rows, columns, exponent = self._check_shape(name, rows, columns, exponent, 1 << 31)
        stored_rows, stored_columns = stored_shape(rows, columns, packed)
        row_words = -(-stored_columns // self.lanes)
        form = Tensor(name, rows, columns, 0, row_words, self.lanes, 0, exponent, True, packed=packed)
        self.matrices.append(Matrix(form, self.block(name, stored_rows, row_words)))
        return self.matrices[-1]


def whole(what: str, value: int) -> int:
    """Return a whole number of any type as an int."""
    try:
        return operator.index(value)
    except TypeError:
        raise CapacityError(f"{what} {value!r} is no whole number; convert it with int()") from None


class WeightGroup:
    """The tensors that an update changes together; every slot holds one version of all of them.

    Parameters
    ----------
    layout : Layout
    slots : int
        2 to 4: the current version, the one being written, and versions that rollback can return to.
    """

    def __init__(self, layout: Layout, slots: int = 3):
        if not isinstance(layout, Layout):
            raise ProgramError(f"a weight group is made of a layout, not of {type(layout).__name__!r}: WeightGroup(device.layout)")
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

    def tensor(self, name: str, rows: int, columns: int, exponent: int, static: bool = False, dtype: str = "int16",
               packed: str | None = None) -> Tensor:
        """Reserve room in every slot; `dtype` and `packed` as of `Layout.tensor`.

        Tensors of the same static exponent share one exponent register.
        """
        if self.placed:
            raise ProgramError(f"tensor '{name}' comes too late: the weight group is already placed")
        packed = self.layout._check_packing(name, dtype, packed, raw=False)
        rows, columns, exponent = self.layout._check_shape(name, rows, columns, exponent)
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
        stored_rows, stored_columns = stored_shape(rows, columns, packed)
        stride = -(-stored_columns // self.layout.lanes)
        tensor = Tensor(name, rows, columns, self.size, stride, self.layout.lanes, register, exponent, static, "current",
                        self.slots, self.layout, packed)
        self.tensors.append(tensor)
        self.size += stored_rows * stride
        return tensor

    def moments(self, name: str, w: Tensor, exponent: int) -> Tensor:
        """Reserve room for both moments of a weight tensor `w`, as `Program.adam` takes them.

        The first w.rows rows hold the first moment, with `exponent` at the start; the others the logarithm of the second
        one's root, LSB 2**-10 whatever the exponent. `optimizers.Adam.initial` has their first values.
        """
        return self.tensor(name, 2 * w.rows, w.columns, exponent)

    def place(self) -> None:
        """Give the group its scratchpad words; no tensor can be added afterwards. If it does not fit, another one can be made."""
        if self.size == 0:
            raise ProgramError("the weight group holds no tensor")
        try:
            self.base = self.layout._take_words(f"the weight group ({self.slots} slots of {self.size} words)", self.slots * self.size)
        except CapacityError:
            self.layout.group = None
            raise
        self.layout.tensors.extend(self.tensors)
        self.placed = True

    @property
    def slot(self) -> Tensor:
        """The current slot as raw words, one a row: all tensors of one version, for transfers."""
        return Tensor("current slot", self.size, self.layout.lanes, 0, 1, self.layout.lanes, space="current", slots=self.slots,
                      layout=self.layout)
