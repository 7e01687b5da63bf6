# SPDX-License-Identifier: Apache-2.0
"""What programs may write: windows of the scratchpad, which the chip holds them to (docs/architecture.md, "Grants")."""

from weakref import WeakKeyDictionary

from pymodels.check import absolute_results
from pymodels.csr_map import REGISTERS
from pymodels.descriptor import Space, Unit, decode

from .backends import Backend
from .program import Program

_WINDOWS = tuple(f"GRANTS_{i}" for i in range(4))
_REQUEST_WINDOWS = tuple(f"REQUEST_GRANTS_{i}" for i in range(2))
_EMPTY = (0xFFFF, 0)


class Grants:
    """Grants each program and request what its descriptors write, before it starts.

    Parameters
    ----------
    backend : Backend
        Its registers are written, each only if its content changes.
    """

    def __init__(self, backend: Backend):
        self._backend = backend
        self._needs: WeakKeyDictionary[Program, tuple[list[tuple[int, int]], bool]] = WeakKeyDictionary()
        self._written: dict[str, int] = {}
        self._install = 0

    def program(self, program: Program) -> None:
        """Grant a program that starts now its results, and the current weights if it loads them."""
        self._grant(program, _WINDOWS)
        self._install = int(self._needs[program][1])
        self._enable()

    def request(self, request: Program) -> None:
        """Grant a request that starts now its results; a program may run."""
        self._grant(request, _REQUEST_WINDOWS)
        self._enable()

    def _enable(self) -> None:
        self._write("GRANT_ENABLE", programs=1, requests=1, install=self._install)

    def _grant(self, program: Program, names: tuple[str, ...]) -> None:
        if program not in self._needs:
            fields = [decode(words) for words in program.descriptors()]
            lanes = program.layout.lanes
            installs = any(d["unit"] == Unit.DMA and d["t2_space"] == Space.CURRENT for d in fields)
            self._needs[program] = (merged([window for d in fields for window in absolute_results(d, lanes)], len(names)), installs)
        windows = self._needs[program][0]
        for name, (first, last) in zip(names, windows + [_EMPTY] * len(names), strict=False):
            self._write(name, first=first, last=last)

    def _write(self, name: str, **fields: int) -> None:
        value = REGISTERS[name].pack(**fields)
        if self._written.get(name) != value:
            self._backend.csr_write(REGISTERS[name].offset, value)
            self._written[name] = value


def merged(windows: list[tuple[int, int]], most: int) -> list[tuple[int, int]]:
    """Return at most `most` windows (first word, last word) that hold all of these, of which the nearest become one.

    Empty ones and words beyond the scratchpad's address space are left out: the chip refuses such a result anyway.
    """
    made: list[tuple[int, int]] = []
    for first, last in sorted((first, min(last, 0xFFFF)) for first, last in windows if first <= last):
        if made and first <= made[-1][1] + 1:
            made[-1] = (made[-1][0], max(made[-1][1], last))
        else:
            made.append((first, last))
    while len(made) > most:
        gap = min(range(1, len(made)), key=lambda i: made[i][0] - made[i - 1][1])
        made[gap - 1:gap + 1] = [(made[gap - 1][0], made[gap][1])]
    return made
