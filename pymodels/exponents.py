# SPDX-License-Identifier: Apache-2.0
"""Exponent registers and delayed scaling (docs/numerics.md, section 5)."""

from collections import deque

from pymodels.descriptor import Space
from pymodels.numerics import Result

ABSOLUTE = 64  #: absolute registers, physical and logical index 0..63
LOGICAL = 16  #: registers of the weight group: logical index 64 + i, physical index 64 + 16 * slot + i
PHYSICAL = ABSOLUTE + 4 * LOGICAL
HISTORY = 16
NO_TOP = -128  #: less than every top: an empty place of a history


def _signed8(value: int) -> int:
    return ((value & 0xFF) ^ 0x80) - 0x80


class ExponentFile:
    """The registers: a stored exponent for each physical index; next, static and history for each logical one.

    Attributes
    ----------
    exp : list of int
        128 exponents of the data now stored.
    next, static : list of int
        80 exponents for the next write, and whether they stay as they are.
    history : list of collections.deque
        80 histories of up to 16 `top` values.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Return to the state after power-on."""
        logical = ABSOLUTE + LOGICAL
        self.exp = [0] * PHYSICAL
        self.next = [0] * logical
        self.static = [0] * logical
        self.history = [deque(maxlen=HISTORY) for _ in range(logical)]

    @staticmethod
    def physical(register: int, space: int, slot_current: int, slot_next: int) -> int:
        """Physical index of an operand's register (0..63, in the slot spaces 0..15)."""
        if space == Space.ABSOLUTE:
            return register
        return ABSOLUTE + LOGICAL * (slot_current if space == Space.CURRENT else slot_next) + register

    @staticmethod
    def logical(index: int) -> int:
        """Logical index of a physical one."""
        return index if index < ABSOLUTE else ABSOLUTE + index % LOGICAL

    def next_of(self, index: int) -> int:
        """Exponent that the next write of physical register `index` uses."""
        return self.next[index if index < ABSOLUTE else ABSOLUTE + index % LOGICAL]

    def begin(self, index: int, fixed: int | None = None) -> int:
        """Give physical register `index` the exponent of the write that starts, and return it."""
        self.exp[index] = self.next_of(index) if fixed is None else fixed
        return self.exp[index]

    def retire(self, index: int, result: Result, int8: bool = False) -> None:
        """Take up what a completed command reports about the tensor of physical register `index`, written as int16 or int8."""
        if result.track:
            logical = index if index < ABSOLUTE else ABSOLUTE + index % LOGICAL
            history = self.history[logical]
            history.append(result.top)
            if not self.static[logical]:
                self.next[logical] = min(max(max(history) - (6 if int8 else 14), -64), 63)

    def host_write(self, index: int, word: int) -> None:
        """Write word `index` of the EXPONENTS window: exp[7:0], next[15:8], static[16]; the history is empty then."""
        logical = self.logical(index)
        self.exp[index], self.next[logical] = _signed8(word), _signed8(word >> 8)
        self.static[logical] = word >> 16 & 1
        self.history[logical].clear()

    def host_read(self, index: int) -> int:
        """Read word `index` of the EXPONENTS window: exp[7:0], next[15:8], static[16]."""
        logical = self.logical(index)
        return self.exp[index] & 0xFF | (self.next[logical] & 0xFF) << 8 | self.static[logical] << 16

    def history_write(self, index: int, word: int) -> None:
        """Write word `index` of the HISTORY window: four tops, the newest of the register in bits 7:0 of its word 0.

        Words that have not been written since the history was empty are undefined on the chip; here they hold no top.
        """
        register, part = divmod(index, HISTORY // 4)
        tops = self._newest_first(register)
        tops[4 * part:4 * part + 4] = [_signed8(word >> shift) for shift in (0, 8, 16, 24)]
        self.history[self.logical(register)].extend(reversed(tops))

    def history_read(self, index: int) -> int:
        """Read word `index` of the HISTORY window."""
        register, part = divmod(index, HISTORY // 4)
        return sum((top & 0xFF) << 8 * i for i, top in enumerate(self._newest_first(register)[4 * part:4 * part + 4]))

    def _newest_first(self, index: int) -> list[int]:
        """All 16 places of a register's history."""
        tops = [*reversed(self.history[self.logical(index)])]
        return tops + [NO_TOP] * (HISTORY - len(tops))
