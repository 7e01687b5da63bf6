# SPDX-License-Identifier: Apache-2.0
"""Slots and versions of the weight group (docs/numerics.md, section 9). Holds no weights."""


class WeightGroup:
    """Which slot of the scratchpad holds the current weights.

    Attributes
    ----------
    base, size : int
        First word of slot 0 and words of a slot.
    slots : int
        Number of slots, 2 to 4.
    slot : int
        Current slot.
    version : int
        Version of the current weights, 32 bits.
    kept : int
        Older versions that `rollback` can return to.
    """

    def __init__(self) -> None:
        self.init(0, 0, 2, 0)

    def init(self, base: int, size: int, slots: int, version: int) -> None:
        """Take a configuration; slot 0 becomes current and nothing is kept."""
        self.base, self.size, self.slots, self.version = base, size, min(max(slots, 2), 4), version
        self.slot = self.kept = 0

    @property
    def slot_next(self) -> int:
        """Slot that the next update writes."""
        return (self.slot + 1) % self.slots

    def first_word(self, slot: int) -> int:
        """Scratchpad address of the first word of `slot`."""
        return self.base + slot * self.size

    def commit(self) -> None:
        """Make the next slot current."""
        self.slot = (self.slot + 1) % self.slots
        self.version = (self.version + 1) & 0xFFFFFFFF
        self.kept = min(self.kept + 1, self.slots - 2)

    def rollback(self) -> bool:
        """Return to the version before; False if none is kept."""
        if not self.kept:
            return False
        self.slot = (self.slot - 1) % self.slots
        self.version = (self.version - 1) & 0xFFFFFFFF
        self.kept -= 1
        return True
