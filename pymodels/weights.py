# SPDX-License-Identifier: Apache-2.0
"""Slots and versions of the weight group (docs/architecture.md, "Versions"). Holds no weights."""

from copy import deepcopy
from dataclasses import dataclass

from pymodels.descriptor import Error, UpdateOp

#: Operations of the update unit that move between versions.
MOVES = (UpdateOp.COMMIT, UpdateOp.ROLLBACK, UpdateOp.RESTORE, UpdateOp.PIN, UpdateOp.UNPIN)


@dataclass
class Slot:
    """What one slot holds."""

    version: int = 0
    valid: bool = False
    pinned: bool = False
    bad: bool = False
    parent: int | None = None  #: slot of the version that was current when this one was committed, None if that is gone


class WeightGroup:
    """Which slot of the scratchpad holds which version of the weights.

    Attributes
    ----------
    base, size : int
        First word of slot 0 and words of a slot.
    table : list of Slot
        One for each of the 2 to `most` slots.
    slot, slot_next : int
        Current slot; slot that the next update writes.
    held : int or None
        Slot that a request holds.

    Parameters
    ----------
    most : int
        Most slots that the chip was built for, 2 to 4.
    """

    def __init__(self, most: int = 4) -> None:
        self.most = most
        self.held: int | None = None
        self.init(0, 0, 2, 0)

    def init(self, base: int, size: int, slots: int, version: int) -> None:
        """Take a configuration; slot 0 becomes current and holds `version`, the others nothing."""
        self.base, self.size = base, size
        self.table = [Slot() for _ in range(min(max(slots, 2), self.most))]
        self.table[0].version, self.table[0].valid = version, True
        self.slot, self.slot_next, self._highest = 0, 1, version

    @property
    def slots(self) -> int:
        """Number of slots."""
        return len(self.table)

    @property
    def version(self) -> int:
        """Version of the current weights, 32 bits."""
        return self.table[self.slot].version

    @property
    def kept(self) -> int:
        """Older versions that rollbacks in a row can return to."""
        walk, count = deepcopy(self), 0
        while walk.rollback() == Error.NONE:
            count += 1
        return count

    def first_word(self, slot: int) -> int:
        """Scratchpad address of the first word of `slot`."""
        return self.base + slot * self.size

    def flags(self, name: str) -> int:
        """Return a flag of all slots as bits, slot 0 least significant."""
        return sum(getattr(slot, name) << number for number, slot in enumerate(self.table))

    def hold(self) -> None:
        """Let a request hold the current slot."""
        self.held = self.slot

    def release(self) -> None:
        """The request has ended."""
        self.held = None

    def fault(self, address: int) -> None:
        """Mark the slot in which an uncorrectable word lies, if it lies in one, as bad."""
        slot = (address - self.base) // self.size if self.size else -1
        if 0 <= slot < self.slots:
            self.table[slot].bad = True

    # Moves, each of which returns an error.

    def move(self, op: int, slot: int = 0) -> Error:
        """Do one of the update unit's operations on versions; COMMIT must not have to wait."""
        return {UpdateOp.COMMIT: self.commit, UpdateOp.ROLLBACK: self.rollback, UpdateOp.RESTORE: lambda: self.restore(slot),
                UpdateOp.PIN: self.pin, UpdateOp.UNPIN: lambda: self.unpin(slot)}[UpdateOp(op)]()

    @property
    def must_wait(self) -> bool:
        """Whether COMMIT has to wait for the request's end: it holds the only slot that could be written next."""
        return self._after(self.slot_next) is None

    def commit(self) -> Error:
        """Make the next slot current, with a new number."""
        self._highest = (self._highest + 1) & 0xFFFFFFFF
        self.table[self.slot_next] = Slot(self._highest, valid=True, parent=self.slot)
        self.slot = self.slot_next
        self._choose()
        return Error.NONE

    def rollback(self) -> Error:
        """Return to the version from which the current one was made."""
        parent = self.table[self.slot].parent
        if parent is None or self.table[parent].bad:
            return Error.NO_VERSION
        self.slot = parent
        self._choose()
        return Error.NONE

    def restore(self, slot: int) -> Error:
        """Return to the version in `slot`."""
        if slot >= self.slots or not self.table[slot].valid or self.table[slot].bad:
            return Error.NO_VERSION
        self.slot = slot
        return Error.NONE

    def pin(self) -> Error:
        """Keep the current slot from being written."""
        if not self.table[self.slot].pinned and sum(not slot.pinned for slot in self.table) <= 2:
            return Error.NO_SLOT
        self.table[self.slot].pinned = True
        return Error.NONE

    def unpin(self, slot: int) -> Error:
        """Let `slot` be written again."""
        if slot < self.slots:
            self.table[slot].pinned = False
        return Error.NONE

    def _after(self, slot: int) -> int | None:
        """Return the slot to be written next if `slot` is current, None if the request holds the only one."""
        ring = [(slot + step) % self.slots for step in range(1, self.slots)]
        return next((other for other in ring if not self.table[other].pinned and other != self.held), None)

    def _choose(self) -> None:
        self.slot_next = self._after(self.slot)
        self.table[self.slot_next].valid = False
        for slot in self.table:
            if slot.parent == self.slot_next:
                slot.parent = None
