# SPDX-License-Identifier: Apache-2.0
"""Outside memory: blocks of words, and matrices that need not fit on the chip."""

from dataclasses import dataclass

import numpy as np

from .tensor import Tensor, dequantize, quantize


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
        """Bytes from one row to the next."""
        return self.data.strides[0]

    @property
    def contiguous(self) -> bool:
        """Whether its rows follow each other without a gap."""
        return self.data.flags.c_contiguous

    def part(self, name: str, rows: slice, words: slice, lanes: int) -> "Block":
        """Return the part that has these rows and these words of each."""
        rows, words = (slice(*part.indices(size)) for part, size in ((rows, len(self.data)), (words, self.data.shape[1] // lanes)))
        data = self.data[rows, words.start * lanes:words.stop * lanes]
        return Block(name, self.address + rows.start * self.row_bytes + 2 * lanes * words.start, data)


@dataclass(frozen=True, eq=False)
class Matrix:
    """A matrix in outside memory with a fixed exponent; `Layout.matrix` makes it, `Program.matmul_outside` multiplies it.

    Attributes
    ----------
    form : Tensor
        Its name, shape, exponent and packing; its address counts words from the block's beginning.
    block : Block
        Where it lies.
    """

    form: Tensor
    block: Block

    @property
    def name(self) -> str:
        return self.form.name

    @property
    def shape(self) -> tuple[int, int]:
        return self.form.shape

    @property
    def exponent(self) -> int:
        """Value of the least significant bit is ``2**exponent``."""
        return self.form.initial

    @property
    def packed(self) -> str | None:
        return self.form.packed

    def __str__(self) -> str:
        return f"{self.form} in outside memory"

    def write(self, values) -> None:
        """Put numbers (rows, columns) into it; they are rounded to its exponent and must fit."""
        self.block.data[:] = self.form.pack(quantize(self.form.check(values), self.exponent, self.form.bits))

    def read(self) -> np.ndarray:
        """Return its numbers, float64 (rows, columns)."""
        return dequantize(self.form.unpack(self.block.data), self.exponent)

    def part(self, rows: slice, columns: slice) -> tuple[str, Block]:
        """Return the name and the memory of a part that begins at a word; see `Tensor.view`."""
        view = self.form.view(rows, columns)
        row, word = divmod(view.address, self.form.stride)
        return view.name, self.block.part(view.name, slice(row, row + view.stored[0]), slice(word, word + view.row_words),
                                          self.form.lanes)
