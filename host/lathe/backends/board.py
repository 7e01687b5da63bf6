# SPDX-License-Identifier: Apache-2.0
"""The board without the board: its RTL, compiled by Verilator, as a channel in this process or behind a pseudo-terminal."""

import ctypes
import os
import select
import tty
from collections.abc import Callable

from ..boards import Board
from ..errors import BackendError
from . import Closed
from .build import BuildError, build_top

#: Fewest clock cycles of a bit.
FEWEST_CLOCKS = 4
LEAST_BAUD = 300
_ROOM = 4096
_SLICE = 20_000  # cycles between looks at the terminal


class SimulatedBoard:
    """The Verilated board, a `lathe.link.Channel` whose time is that of the board's clock: the same run takes the same cycles.

    Parameters
    ----------
    board : Board
    clocks_per_bit : int, optional
        Of the UART, in place of the board's baud rate; 4 or more.
    seed : int
        Of the registers' random initial values; it must not change any result.

    Raises
    ------
    BackendError
        The RTL cannot be compiled, or there are too few clocks per bit.
    """

    def __init__(self, board: Board, clocks_per_bit: int | None = None, seed: int = 1):
        if clocks_per_bit is not None and clocks_per_bit < FEWEST_CLOCKS:
            raise BackendError(f"clocks per bit are {clocks_per_bit}; the receiver needs at least {FEWEST_CLOCKS}")
        if clocks_per_bit is not None and clocks_per_bit > board.clock_hz // LEAST_BAUD:
            raise BackendError(f"clocks per bit are {clocks_per_bit}; at most {board.clock_hz // LEAST_BAUD} make {LEAST_BAUD} baud")
        self.name = f"the simulated {board.name}"
        self.board, self.baud = board, board.baud if clocks_per_bit is None else board.clock_hz // clocks_per_bit
        self.seconds_per_byte = 10 / self.baud
        folder = (f"board_lanes{board.lanes}_update{board.update_lanes}_banks{board.banks}_slots{board.slots}_"
                  f"memory{board.memory_bytes}_{board.clock_hz}_{self.baud}")
        try:
            library = build_top("lathe_board", "board.cpp", folder, f"the board {board.name} at {self.baud} baud", Lanes=board.lanes,
                                Banks=board.banks, Slots=board.slots, UpdateLanes=board.update_lanes,
                                MemoryBytes=board.memory_bytes, ClockHz=board.clock_hz, Baud=self.baud)
        except BuildError as error:
            raise BackendError(f"the board cannot be simulated: {error}") from error
        self._lib = lib = ctypes.CDLL(str(library))
        lib.lathe_board_new.restype = ctypes.c_void_p
        lib.lathe_board_new.argtypes = [ctypes.c_uint32, ctypes.c_uint32, ctypes.c_uint32]
        for name in ("free", "power_on", "cycles", "leds", "busy"):
            getattr(lib, f"lathe_board_{name}").argtypes = [ctypes.c_void_p]
        lib.lathe_board_write.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_uint64]
        lib.lathe_board_read.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_uint64, ctypes.c_uint64]
        lib.lathe_board_read.restype = lib.lathe_board_cycles.restype = ctypes.c_uint64
        self._board = lib.lathe_board_new(board.clock_hz, self.baud, seed & 0xFFFFFFFF)
        self._buffer = ctypes.create_string_buffer(_ROOM)

    @property
    def cycles(self) -> int:
        """Clock cycles since the board was made."""
        return self._lib.lathe_board_cycles(self._board)

    @property
    def leds(self) -> int:
        """The board's LEDs, lowest first."""
        return self._lib.lathe_board_leds(self._board)

    @property
    def busy(self) -> bool:
        """Whether a program runs, or a byte is on its way or was lately."""
        return bool(self._lib.lathe_board_busy(self._board))

    def power_on(self) -> None:
        """Give the board a power-on reset."""
        self._lib.lathe_board_power_on(self._board)

    def advance(self, cycles: int) -> bytes:
        """Let clock cycles pass, fewer if the board sends a flag; returns what it has sent."""
        count = self._lib.lathe_board_read(self._board, self._buffer, _ROOM, cycles)
        return self._buffer.raw[:count]

    # the channel

    def write(self, data: bytes) -> None:
        """Send bytes; they take their time while somebody reads."""
        self._lib.lathe_board_write(self._board, data, len(data))

    def read(self, timeout: float) -> bytes:
        """Run until a flag has come or the time is over."""
        return self.advance(max(int(timeout * self.board.clock_hz), 1))

    def time(self) -> float:
        """Return the board's time in seconds."""
        return self.cycles / self.board.clock_hz

    def reopen(self) -> None:
        """Drop what the board has sent."""
        while self.advance(50 * FEWEST_CLOCKS * 10):
            pass

    def close(self) -> None:
        """Free the simulation."""
        if self._board:
            self._lib.lathe_board_free(self._board)
            self._board, self._lib = None, Closed()


def serve(simulated: SimulatedBoard, ready: Callable[[str], None]) -> None:
    """Put a simulated board's UART on a pseudo-terminal until interrupted; while nothing runs and no byte moves it sleeps.

    Parameters
    ----------
    simulated : SimulatedBoard
    ready : callable
        Called once with the name of the port.
    """
    ours, theirs = os.openpty()
    try:
        tty.setraw(theirs)  # which stays open, so that hosts may come and go
        os.set_blocking(ours, False)
        ready(os.ttyname(theirs))
        while True:
            arrived, _, _ = select.select([ours], [], [], 0 if simulated.busy else 1.0)
            if arrived:
                simulated.write(os.read(ours, _ROOM))
            sent = simulated.advance(_SLICE) if simulated.busy else b""
            while sent:
                _, room, _ = select.select([], [ours], [], 1.0)
                if not room:
                    break  # nobody reads: bytes are lost, as on a cable
                sent = sent[os.write(ours, sent):]
    finally:
        os.close(ours)
        os.close(theirs)
