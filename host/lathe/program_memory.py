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

    def free(self, descriptors: int) -> int:
        """Return where so many are free in a row, after `make_room`."""
        return self._gaps(descriptors)[0].start

    def add(self, program: Program, first: int) -> None:
        """Note that a program was written there."""
        self._places[program] = range(first, first + len(program.operations))

    def make_room(self, descriptors: int) -> list[Program]:
        """Let programs give up their places until so many descriptors, at most `size`, are free in a row.

        Where requests lie in between, all give up theirs; returns those to be added again, for which there is room beside.
        """
        while not self._gaps(descriptors):
            oldest = next((program for program in self._places if not program.request), None)
            if oldest is None:
                return self._displace(self.size - descriptors)
            del self._places[oldest]
        return []

    def clear(self) -> list[Program]:
        """Let all give up their places; returns the requests among them."""
        return [program for program in self._displace(self.size) if program.request]

    def _displace(self, free: int) -> list[Program]:
        """Let all give up their places; returns those used last that fit into `free` descriptors, the one used longest ago first."""
        kept = []
        for program in reversed(self._places):
            if len(program.operations) <= free:
                kept.append(program)
                free -= len(program.operations)
        self._places.clear()
        return kept[::-1]

    def _gaps(self, descriptors: int) -> list[range]:
        """Return where so many are free in a row."""
        taken = sorted(self._places.values(), key=lambda place: place.start)
        gaps = (range(before.stop, after.start) for before, after in pairwise([range(0), *taken, range(self.size, self.size)]))
        return [gap for gap in gaps if len(gap) >= descriptors]
