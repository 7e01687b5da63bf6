# SPDX-License-Identifier: Apache-2.0
"""Tensors to the chip and back, through the end of outside memory."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from .allocator import Layout
from .errors import CapacityError
from .matrix import Block
from .program import Program
from .registers import TRANSFER_INDEX, Registers
from .tensor import Tensor, dequantize, fitting_exponent, quantize
from .threads import alone


class Transfers:
    """What `Device` offers about tensors; only while no program runs."""

    registers: Registers
    layout: Layout
    memory: np.ndarray
    _staging: int  # where the end of outside memory begins that is kept for transfers

    @alone
    def load(self, tensor: Tensor, values) -> None:
        """Write a tensor. Weights are installed into the current version.

        Parameters
        ----------
        tensor : Tensor
            Of a part (`Tensor.view`) the whole is read and written again, since they share their exponent.
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
        if tensor.space == "current":
            self._check_unpinned(f"tensor {tensor} cannot be loaded")
        self._prepare()
        values = tensor.check(values)
        if tensor.whole is not None:
            part, tensor = tensor.place, tensor.whole
            parts, values = values, self.store(tensor)
            values[part] = parts
        self._put(tensor, values)

    def _put(self, tensor: Tensor, values: np.ndarray) -> None:
        mantissas = values
        if tensor.exponent is not None:
            exponent = tensor.initial if tensor.static or not np.any(values) else fitting_exponent(values, tensor.bits)
            self.registers.write_exponent(self.exponent_index(tensor), exponent, tensor.static)
            mantissas = quantize(values, exponent, tensor.bits)
        self._move_in(tensor, tensor.pack(mantissas))

    @alone
    def store(self, tensor: Tensor) -> np.ndarray:
        """Read a tensor: float64 values (rows, columns); int16 mantissas of a raw tensor."""
        mantissas, exponent = self.store_mantissas(tensor)
        return mantissas if exponent is None else dequantize(mantissas, exponent)

    @alone
    def store_mantissas(self, tensor: Tensor) -> tuple[np.ndarray, int | None]:
        """Read a tensor as (int16 mantissas (rows, columns), exponent or None)."""
        words = self.read_words(tensor)
        exponent = None if tensor.exponent is None else self.registers.read_exponent(self.exponent_index(tensor))[0]
        return tensor.unpack(words), exponent

    @alone
    def read_words(self, tensor: Tensor) -> np.ndarray:
        """Read a tensor as it is stored: int16 (stored rows, row_words * lanes)."""
        self._check_tensor(tensor)
        self._prepare()
        words = np.empty((tensor.stored[0], tensor.row_words * tensor.lanes), np.int16)
        for part, place in self._staged(tensor):
            program = Program(f"store {tensor.name}", self.layout)
            block = self._staging_block(part)
            program.store(part, block)
            self._transfer(program)
            words[place] = block.data
        return words

    @alone
    def write_words(self, tensor: Tensor, words: np.ndarray) -> None:
        """Write a tensor as it is stored; its exponent register stays as it is."""
        self._check_tensor(tensor)
        self._prepare()
        self._move_in(tensor, words)

    def _move_in(self, tensor: Tensor, words: np.ndarray) -> None:
        for part, place in self._staged(tensor):
            program = Program(f"load {tensor.name}", self.layout)
            block = self._staging_block(part)
            block.data[:] = words[place]
            program.load(part, block)
            self._transfer(program)

    def _staged(self, tensor: Tensor) -> Iterator[tuple[Tensor, slice]]:
        """Yield the tensor, or raw parts of it that fit into what is kept for transfers, each with its place among the rows.

        However many parts there are, they count as one operation: no result depends on the size of outside memory.
        """
        rows, row_bytes = tensor.stored[0], 2 * tensor.lanes * tensor.row_words
        at_a_time = (self.memory.nbytes - self._staging) // row_bytes
        if rows <= at_a_time:
            yield tensor, slice(None)
            return
        if not at_a_time:
            raise CapacityError(f"a row of tensor {tensor} takes {row_bytes} bytes, and a quarter of outside memory is kept for transfers: "
                                f"{self.memory.nbytes - self._staging}; open the device with a larger memory_bytes (--memory-bytes)")
        number = self.registers.value("OPNUM")
        for first in range(0, rows, at_a_time):
            place = slice(first, min(first + at_a_time, rows))
            yield replace(tensor, rows=place.stop - first, columns=tensor.stored[1], address=tensor.address + first * tensor.stride,
                          packed=None, exponent=None), place
        self.registers.set("OPNUM", number + 1 & 0xFFFFFFFF)

    def _staging_block(self, tensor: Tensor) -> Block:
        rows = tensor.stored[0]
        size = rows * tensor.row_words * 2 * tensor.lanes
        data = self.memory[self._staging:self._staging + size].view(np.int16).reshape(rows, -1)
        return Block(f"transfer of {tensor.name}", self._staging, data)

    def _transfer(self, program: Program) -> None:
        self.registers.write_program(TRANSFER_INDEX, program.descriptors())
        self._execute(program, TRANSFER_INDEX)

    def _execute(self, program: Program, first: int) -> None:
        """Run a program that lies at index `first` of program memory."""
        raise NotImplementedError

    def _prepare(self) -> None:
        """Place what was made last."""
        raise NotImplementedError

    def _check_tensor(self, tensor: Tensor) -> None:
        """Refuse what is no tensor of this device."""
        raise NotImplementedError

    def _check_unpinned(self, refused: str) -> None:
        """Refuse a change of a version that a snapshot holds."""
        raise NotImplementedError

    def exponent_index(self, tensor: Tensor) -> int:
        """Return the physical exponent register that holds a tensor's exponent now."""
        raise NotImplementedError
