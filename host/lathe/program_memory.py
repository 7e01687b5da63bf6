# SPDX-License-Identifier: Apache-2.0
"""Which programs lie where in the chip's program memory."""

from itertools import pairwise

from .program import Program


class ProgramMemory:
    """The places of programs; when room is needed, the one used longest ago gives up its place, requests last.

    (A request that is not on the chip cannot be brought there while a program runs.)

    Parameters
    ----------
    size : int
        Descriptors that it holds.
    """

    def __init__(self, size: int):
        self.size = size
        self._places: dict[Program, range] = {}  # used longest ago first

    def __contains__(self, program: Program) -> bool:
        return program in self._places

    def use(self, program: Program) -> int:
        """Return the index of its first descriptor; from now on it is the one used last."""
        place = self._places[program] = self._places.pop(program)
        return place.start

    def add(self, program: Program, place: range) -> None:
        """Note that a program was written there."""
        self._places[program] = place

    def make_room(self, descriptors: int) -> range:
        """Return the first free stretch of so many descriptors or more, at most `size`; programs give up their places as needed."""
        while not (fitting := [gap for gap in self._gaps() if len(gap) >= descriptors]):
            del self._places[min(self._places, key=lambda program: program.request)]
        return fitting[0]

    def _gaps(self) -> list[range]:
        taken = sorted(self._places.values(), key=lambda place: place.start)
        return [range(before.stop, after.start) for before, after in pairwise([range(0), *taken, range(self.size, self.size)])]
