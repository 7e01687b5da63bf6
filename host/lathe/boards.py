# SPDX-License-Identifier: Apache-2.0
"""The boards that the chip is built for, and what is built for each: one table for bitstreams, simulation and driver."""

from dataclasses import dataclass

from .errors import SettingsError

#: Fastest rate that the boards' USB bridge (FT231X) offers; a receiver needs at least that many clocks of each bit.
_FASTEST, _CLOCKS_PER_BIT = 3_000_000, 4


@dataclass(frozen=True)
class Board:
    """One board and the chip on it.

    Attributes
    ----------
    name : str
    part : str
        The FPGA, as the vendor orders it.
    lanes, banks, slots : int
        Build parameters of the chip.
    memory_bytes : int
        Outside memory.
    update_lanes : int
        Weights that its update unit takes at once: a power of two from 2 to `lanes`.
    clock_hz : int
        The chip's clock.
    fits : bool
        A bitstream of it has been made: it was placed and routed and reaches its clock. Else it can only be simulated.
    """

    name: str
    part: str
    lanes: int
    banks: int
    slots: int
    memory_bytes: int
    update_lanes: int = 4
    clock_hz: int = 25_000_000
    fits: bool = False

    @property
    def baud(self) -> int:
        """Bits a second of the UART: the fastest that the clock can receive."""
        return _FASTEST if self.clock_hz >= _CLOCKS_PER_BIT * _FASTEST else 1_000_000


BOARDS = {board.name: board for board in (
    Board("ulx3s-85f", "LFE5U-85F-6BG381C", lanes=8, banks=8, slots=4, memory_bytes=64 << 10),
    Board("ulx3s-85f-lanes4", "LFE5U-85F-6BG381C", lanes=4, banks=8, slots=4, memory_bytes=64 << 10, clock_hz=60_000_000,
          fits=True),
    Board("ulx3s-25f", "LFE5U-25F-6BG381C", lanes=4, banks=2, slots=2, memory_bytes=8 << 10),
)}


def board(name: str) -> Board:
    """Return the board of that name; SettingsError, which lists them, if there is none."""
    if name not in BOARDS:
        raise SettingsError(f"unknown board '{name}'; choose one of: {', '.join(BOARDS)}")
    return BOARDS[name]
