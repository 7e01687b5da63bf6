# SPDX-License-Identifier: Apache-2.0
"""Tensors on the chip, and the conversion of numbers to and from their int16 mantissas for transport."""

from dataclasses import dataclass, field, replace

import numpy as np

from .errors import TensorError

MANTISSA_MIN, MANTISSA_MAX = -32768, 32767
EXPONENT_MIN, EXPONENT_MAX = -64, 63


def quantize(values, exponent: int) -> np.ndarray:
    """Convert numbers to mantissas: ``round(values / 2**exponent)``, half to even, clamped to int16.

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
    return np.clip(scaled, MANTISSA_MIN, MANTISSA_MAX).astype(np.int16)


def dequantize(mantissas, exponent: int) -> np.ndarray:
    """Convert mantissas to float64: ``mantissas * 2**exponent``, exact."""
    return np.ldexp(np.asarray(mantissas, np.float64), exponent)


def fitting_exponent(values) -> int:
    """Return the smallest exponent at which no value saturates."""
    largest = float(np.max(np.abs(values), initial=0.0))
    if largest == 0.0:
        return EXPONENT_MIN
    exponent = int(np.frexp(largest)[1]) - 15
    if np.rint(np.ldexp(largest, -exponent)) > MANTISSA_MAX:
        exponent += 1
    return min(max(exponent, EXPONENT_MIN), EXPONENT_MAX)


@dataclass(frozen=True, eq=False)
class Tensor:
    """A matrix in the scratchpad: ``rows x columns`` int16 mantissas with one exponent.

    Attributes
    ----------
    name : str
        Used in every message about it.
    rows, columns : int
        Shape.
    address : int
        Word address of its first row; relative to the slot unless `space` is absolute.
    stride : int
        Words from one row to the next.
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

    @property
    def shape(self) -> tuple[int, int]:
        return self.rows, self.columns

    @property
    def row_words(self) -> int:
        """Words that hold the elements of one row."""
        return -(-self.columns // self.lanes)

    @property
    def words(self) -> int:
        """Words from the first of the first row to the last of the last row."""
        return (self.rows - 1) * self.stride + self.row_words

    @property
    def next(self) -> "Tensor":
        """The same tensor in the slot that an update writes."""
        if self.space == "absolute":
            raise ValueError(f"tensor '{self.name}' is not in the weight group and has no next version")
        return replace(self, space="next")

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
        if self.exponent is None:
            self._refuse(array, (array != np.floor(array)) | (array < MANTISSA_MIN) | (array > MANTISSA_MAX),
                         f"is no integer from {MANTISSA_MIN} to {MANTISSA_MAX}, as a raw tensor holds; round and clip it first")
            return array.astype(np.int16)
        array = array.astype(np.float64)
        self._refuse(array, ~np.isfinite(array), "is not finite; check where it comes from")
        exponent = self.initial if self.static else EXPONENT_MAX
        mantissas = np.rint(np.ldexp(array, -exponent))
        fitting = fitting_exponent(array)
        remedy = (f"make the tensor with exponent={fitting} or clip the values" if self.static and fitting < EXPONENT_MAX
                  else "scale the values down")
        self._refuse(array, (mantissas < MANTISSA_MIN) | (mantissas > MANTISSA_MAX),
                     f"does not fit its {'static' if self.static else 'largest'} exponent {exponent}, at which it holds "
                     f"{MANTISSA_MIN * 2.0**exponent:g} to {MANTISSA_MAX * 2.0**exponent:g}; {remedy}")
        return array

    def _refuse(self, array: np.ndarray, wrong: np.ndarray, why: str) -> None:
        if wrong.any():
            row, column = np.argwhere(wrong)[0].tolist()
            raise TensorError(f"tensor {self}: the value {array[row, column]} in row {row}, column {column} {why}")

    def pack(self, mantissas) -> np.ndarray:
        """Return int16 (rows, row_words * lanes): `mantissas` (rows, columns) with zero pad lanes."""
        mantissas = np.asarray(mantissas)
        if mantissas.shape != self.shape:
            raise TensorError(f"tensor {self} was given an array of shape {mantissas.shape}")
        packed = np.zeros((self.rows, self.row_words * self.lanes), np.int16)
        packed[:, :self.columns] = mantissas
        return packed
