# SPDX-License-Identifier: Apache-2.0
"""A recorded operation, and the words and registers that it touches."""

from dataclasses import dataclass, field

import numpy as np

from .allocator import Layout
from .tensor import Tensor


@dataclass(frozen=True)
class Access:
    """Words of one address space, registers of one kind, or the slot pointer, that an operation touches."""

    resource: str
    where: slice | np.ndarray

    def meets(self, other: "Access") -> bool:
        """Whether both touch a word or register."""
        if self.resource != other.resource:
            return False
        if isinstance(self.where, slice) and isinstance(other.where, slice):
            return max(self.where.start, other.where.start) < min(self.where.stop, other.where.stop)
        return bool(np.isin(self.indices, other.indices).any())

    @property
    def indices(self) -> np.ndarray:
        """The words or registers one by one."""
        return np.arange(self.where.start, self.where.stop) if isinstance(self.where, slice) else self.where


@dataclass
class Operation:
    """One recorded descriptor.

    Attributes
    ----------
    label : str
        What it computes, in terms of tensor names.
    unit, op : str
        Names as in docs/descriptors.md.
    fields : dict
        Descriptor fields except semaphores and `last`.
    operands : dict of int to Tensor
        By operand number.
    results : tuple of int
        Numbers of the operands that are written.
    reads, writes : list of Access
    macs : int
        Multiply-accumulates that the result needs.
    words : int
        Scratchpad words moved, roughly; bounds the time it may take.
    """

    label: str
    unit: str
    op: str
    fields: dict
    operands: dict[int, Tensor] = field(default_factory=dict)
    results: tuple[int, ...] = ()
    reads: list[Access] = field(default_factory=list)
    writes: list[Access] = field(default_factory=list)
    macs: int = 0
    words: int = 0
    wait_mask: int = 0
    post_mask: int = 0


#: The pointer to the current slot of the weight group.
POINTER = Access("pointer", slice(0, 1))
#: The gradient norm. What adds to it counts as reading it, since the order of additions makes no difference.
NORM = Access("norm", slice(0, 1))


def accesses(tensor: Tensor, layout: Layout) -> list[Access]:
    """Return what an operation touches that reads or writes `tensor`: words, exponent register, slot pointer."""
    if tensor.contiguous:
        where = slice(tensor.address, tensor.address + tensor.words)
    else:
        rows = tensor.address + tensor.stride * np.arange(tensor.stored[0])
        where = (rows[:, None] + np.arange(tensor.row_words)).ravel()
    accesses = [Access(tensor.space, where)]
    if tensor.exponent is not None and not tensor.static:
        accesses.append(Access(f"{tensor.space} exponent", slice(tensor.exponent, tensor.exponent + 1)))
    group = layout.group
    if tensor.space == "absolute" and group is not None and group.placed:
        end = group.base + group.slots * group.size
        if tensor.address < end and tensor.address + tensor.words > group.base:
            # Which slot this is depends on the version: it may be any.
            accesses += [Access("current", slice(0, group.size)), Access("next", slice(0, group.size)), POINTER]
    return accesses


def places(tensor: Tensor, layout: Layout) -> list[Access]:
    """Return the words among its `accesses`."""
    return [access for access in accesses(tensor, layout) if access.resource in ("absolute", "current", "next")]


def overlap(first: list[Access], second: list[Access]) -> bool:
    """Whether any of one list meets any of the other."""
    return any(a.meets(b) for a in first for b in second)
