# SPDX-License-Identifier: Apache-2.0
"""Tensors on the chip, and the conversion of numbers to and from their int16 or int8 mantissas for transport."""

from dataclasses import dataclass, field, replace

import numpy as np

from .errors import TensorError

PACKINGS = ("rows", "columns")
EXPONENT_MIN, EXPONENT_MAX = -64, 63


def mantissa_range(bits: int) -> tuple[int, int]:
    """Return the smallest and the largest mantissa of that many bits."""
    return -(1 << bits - 1), (1 << bits - 1) - 1


def quantize(values, exponent: int, bits: int = 16) -> np.ndarray:
    """Convert numbers to mantissas: ``round(values / 2**exponent)``, half to even, clamped to `bits` (16 or 8).

    Parameters
    ----------
    values : array_like of float
        Any shape; NaN is refused.
    exponent : int
        Value of the least significant bit is ``2**exponent``.

    Returns
    -------
    ndarray of int16, the same shape.
    """
    scaled = np.rint(np.ldexp(np.asarray(values, np.float64), -exponent))
    if np.isnan(scaled).any():
        raise TensorError("NaN has no mantissa; check the observations or weights that are being loaded")
    return np.clip(scaled, *mantissa_range(bits)).astype(np.int16)


def dequantize(mantissas, exponent: int) -> np.ndarray:
    """Convert mantissas to float64: ``mantissas * 2**exponent``, exact."""
    return np.ldexp(np.asarray(mantissas, np.float64), exponent)


def fitting_exponent(values, bits: int = 16) -> int:
    """Return the smallest exponent at which no value saturates in `bits`."""
    largest = float(np.max(np.abs(values), initial=0.0))
    if largest == 0.0:
        return EXPONENT_MIN
    exponent = int(np.frexp(largest)[1]) - (bits - 1)
    low, high = mantissa_range(bits)
    if largest == np.ldexp(-low, exponent - 1):  # the lowest mantissa has no positive counterpart
        exponent -= 1
    mantissas = np.rint(np.ldexp([float(np.min(values)), float(np.max(values))], -exponent))
    if mantissas[0] < low or mantissas[1] > high:
        exponent += 1
    return min(max(exponent, EXPONENT_MIN), EXPONENT_MAX)


@dataclass(frozen=True, eq=False)
class Tensor:
    """A matrix in the scratchpad: ``rows x columns`` int16 or int8 mantissas with one exponent.

    Attributes
    ----------
    name : str
        Used in every message about it.
    rows, columns : int
        Shape.
    address : int
        Word address of its first row; relative to the slot unless `space` is absolute.
    stride : int
        Words from one stored row to the next.
    lanes : int
        Elements of a word.
    exponent : int or None
        Exponent register (absolute, or logical within the weight group); None for raw words, which have no exponent.
    initial, static : int, bool
        Value the exponent register is set to when the tensor is made, and whether it stays.
    space : str
        ``absolute``, or ``current`` / ``next``: in that slot of the weight group.
    slots : int
        Slots of the weight group that hold it (0 for absolute tensors).
    layout : Layout or None
        The layout that made it, which no other device's program may use.
    packed : str or None
        None: int16. ``rows`` or ``columns``: int8, two neighbors of a row or of a column in each 16-bit lane.
    whole : Tensor or None
        The tensor of which this is a part (`view`).
    """

    name: str
    rows: int
    columns: int
    address: int
    stride: int
    lanes: int
    exponent: int | None = None
    initial: int = 0
    static: bool = False
    space: str = "absolute"
    slots: int = 0
    layout: object | None = field(default=None, repr=False)
    packed: str | None = None
    whole: "Tensor | None" = field(default=None, repr=False)

    @property
    def shape(self) -> tuple[int, int]:
        return self.rows, self.columns

    @property
    def dtype(self) -> str:
        return "int8" if self.packed else "int16"

    @property
    def bits(self) -> int:
        return 8 if self.packed else 16

    @property
    def stored(self) -> tuple[int, int]:
        """Rows and columns of 16-bit lanes in which it is stored."""
        return stored_shape(self.rows, self.columns, self.packed)

    @property
    def row_words(self) -> int:
        """Words that hold one stored row."""
        return -(-self.stored[1] // self.lanes)

    def same_place(self, other: "Tensor") -> bool:
        """Whether both are the same elements in the same words."""
        return all(getattr(self, name) == getattr(other, name) for name in ("space", "address", "stride", "rows", "columns", "packed"))

    @property
    def words(self) -> int:
        """Words from the first of the first row to the last of the last row."""
        return (self.stored[0] - 1) * self.stride + self.row_words

    @property
    def contiguous(self) -> bool:
        """Whether its stored rows follow each other without a gap."""
        return self.stride == self.row_words or self.stored[0] == 1

    @property
    def next(self) -> "Tensor":
        """The same tensor in the slot that an update writes."""
        if self.space == "absolute":
            raise ValueError(f"tensor '{self.name}' is not in the weight group and has no next version")
        return replace(self, space="next", whole=self.whole and replace(self.whole, space="next"))

    def view(self, rows: slice = slice(None), columns: slice = slice(None), name: str | None = None) -> "Tensor":
        """Return a part of this tensor, which shares its words and its exponent register.

        Columns begin at a multiple of `lanes` (int8 packed along rows: twice that), rows of an int8 tensor packed along
        columns at an even number. A part that ends within a word shares that word with what follows: a product that writes
        it puts zeros there, so do not write two parts of one word.

        The exponent register is one for all parts. Unless it is static, each product, loss or step that writes the tensor may
        change it, and what is not written then means something else: so a program that writes a part can touch nothing else of
        the tensor (`Program` refuses that), and no other program should rely on the rest. `Device.load` of a part keeps the rest.

        Raises
        ------
        TensorError
            It would begin within a word, end outside this tensor, hold nothing, or have a step.
        """
        (top, bottom), (left, right) = (self._range(part, size, what) for part, size, what in
                                        ((rows, self.rows, "rows"), (columns, self.columns, "columns")))
        step = self.lanes * (2 if self.packed == "rows" else 1)
        if left % step:
            raise TensorError(f"a view of tensor {self} cannot begin at column {left}: words hold {step} columns; begin at a "
                              "multiple of that, and leave room up to the next multiple between parts")
        if self.packed == "columns" and top % 2:
            raise TensorError(f"a view of tensor {self} cannot begin at row {top}: rows {top - 1} and {top} share their lanes")
        stored_top = top // 2 if self.packed == "columns" else top
        part = (bottom - top, right - left) != self.shape
        return replace(self, name=name or f"{self.name}[{top}:{bottom},{left}:{right}]", rows=bottom - top, columns=right - left,
                       address=self.address + stored_top * self.stride + left // step,
                       whole=(self.whole or self) if part else self.whole)

    @property
    def place(self) -> tuple[slice, slice]:
        """Its rows and columns within `whole`."""
        rows, words = divmod(self.address - self.whole.address, self.stride)
        top, left = rows * (2 if self.packed == "columns" else 1), words * self.lanes * (2 if self.packed == "rows" else 1)
        return slice(top, top + self.rows), slice(left, left + self.columns)

    def _range(self, part: slice, size: int, what: str) -> tuple[int, int]:
        start, stop = 0 if part.start is None else part.start, size if part.stop is None else part.stop
        if part.step not in (None, 1) or not 0 <= start < stop <= size:
            raise TensorError(f"tensor {self} has no {what} {part.start} to {part.stop} in steps of {part.step or 1}; "
                              f"0 <= start < stop <= {size}, step 1")
        return start, stop

    def __str__(self) -> str:
        return f"'{self.name}' {self.rows} x {self.columns}"

    def check(self, values) -> np.ndarray:
        """Return `values` as an array that this tensor can hold: int16 for a raw tensor, float64 for others.

        Raises
        ------
        TensorError
            They are not real, finite numbers of its shape, or do not fit int16 or its static exponent; the message names
            the first such element.
        """
        try:
            array = np.asarray(values)
        except (TypeError, ValueError) as error:
            raise TensorError(f"tensor {self} was given what is no array: {error}") from None
        if array.dtype.kind not in "biuf":
            raise TensorError(f"tensor {self} was given values of type {array.dtype}; it holds real numbers, convert them first")
        if array.shape != self.shape:
            raise TensorError(f"tensor {self} was given an array of shape {array.shape}")
        low, high = mantissa_range(self.bits)
        if self.exponent is None:
            self._refuse(array, (array != np.floor(array)) | (array < low) | (array > high),
                         f"is no integer from {low} to {high}, as a raw tensor holds; round and clip it first")
            return array.astype(np.int16)
        array = array.astype(np.float64)
        self._refuse(array, ~np.isfinite(array), "is not finite; check where it comes from")
        exponent = self.initial if self.static else EXPONENT_MAX
        mantissas = np.rint(np.ldexp(array, -exponent))
        fitting = fitting_exponent(array, self.bits)
        remedy = (f"make the tensor with exponent={fitting} or clip the values" if self.static and fitting < EXPONENT_MAX
                  else "scale the values down")
        self._refuse(array, (mantissas < low) | (mantissas > high),
                     f"does not fit its {'static' if self.static else 'largest'} exponent {exponent}, at which it holds "
                     f"{low * 2.0**exponent:g} to {high * 2.0**exponent:g}; {remedy}")
        return array

    def _refuse(self, array: np.ndarray, wrong: np.ndarray, why: str) -> None:
        if wrong.any():
            row, column = np.argwhere(wrong)[0].tolist()
            raise TensorError(f"tensor {self}: the value {array[row, column]} in row {row}, column {column} {why}")

    def pack(self, mantissas) -> np.ndarray:
        """Return `mantissas` (rows, columns) as they are stored: int16 (stored rows, row_words * lanes), pads zero."""
        mantissas = np.asarray(mantissas)
        if mantissas.shape != self.shape:
            raise TensorError(f"tensor {self} was given an array of shape {mantissas.shape}")
        rows, columns = self.stored
        packed = np.zeros((rows, self.row_words * self.lanes), np.int16)
        if self.packed is None:
            packed[:, :columns] = mantissas
        elif self.packed == "rows":
            packed.view(np.int8)[:, :self.columns] = mantissas
        else:
            even, odd = mantissas[0::2].astype(np.int16), mantissas[1::2].astype(np.int16)
            packed[:, :columns] = even & 0xFF
            packed[:len(odd), :columns] |= odd << 8
        return packed

    def unpack(self, stored: np.ndarray) -> np.ndarray:
        """Return the mantissas, int16 (rows, columns), of what `pack` returns."""
        columns = self.stored[1]
        if self.packed is None:
            return stored[:, :columns].copy()
        if self.packed == "rows":
            return np.ascontiguousarray(stored).view(np.int8)[:, :self.columns].astype(np.int16)
        pairs = np.stack([stored[:, :columns].astype(np.int8), (stored[:, :columns] >> 8).astype(np.int8)], axis=1)
        return pairs.reshape(-1, columns)[:self.rows].astype(np.int16)


def stored_shape(rows: int, columns: int, packed: str | None) -> tuple[int, int]:
    """Return the rows and columns of 16-bit lanes that hold a tensor."""
    return (-(-rows // 2) if packed == "columns" else rows), (-(-columns // 2) if packed == "rows" else columns)
