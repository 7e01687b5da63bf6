# SPDX-License-Identifier: Apache-2.0
"""A chip on a board, reached through a serial port (docs/link.md)."""

import secrets
import time

import numpy as np

from pymodels.csr_map import MEMORIES, REGISTERS

from ..boards import BOARDS
from ..errors import BackendError, LinkError
from ..link import BOARD, MEMORY, Channel, Link
from . import Closed

BOARD_ID = 0x4548544C
DEFAULT_BAUD = 3_000_000
_RESET, _CYCLES, _OWNER, _DIRTY = BOARD + 0x10, BOARD + 0x14, BOARD + 0x28, BOARD + 0x100
_CHIP, _POWER_ON = 1, 2  # of the register RESET
_BLOCK = 256             # bytes that share a dirty bit
_BRIDGED = 4             # words that did not change and are sent all the same between two that did

_CONTROL, _STATUS = REGISTERS["CONTROL"], REGISTERS["STATUS"].offset
_ENDED = REGISTERS["STATUS"].pack(done=1, error=1, request_done=1, request_error=1)
_NUMBERS = [REGISTERS[name].offset for name in ("OPNUM", "REQUEST_OPNUM")]  # which the chip counts on
_ACTING = {register.offset for register in REGISTERS.values() if register.access in ("wo", "mixed")}
_KEPT = {register.offset for register in REGISTERS.values() if register.access == "rw"} - set(_NUMBERS)
_PROGRAM = range(MEMORIES["PROGRAM"].offset, MEMORIES["PROGRAM"].offset + 4 * MEMORIES["PROGRAM"].words)


class SerialChannel:
    """A serial port, through pyserial, as a `lathe.link.Channel`.

    Parameters
    ----------
    port : str
        A device file, a COM port or one of pyserial's URLs.
    baud : int

    Raises
    ------
    LinkError
        By every method: there is no such port, another program uses it, or it has gone.
    """

    def __init__(self, port: str, baud: int):
        self.name, self.baud, self.seconds_per_byte = port, baud, 10 / baud
        self._port = None
        self.reopen()

    def reopen(self) -> None:
        """Open the port; no other program can use it then."""
        import serial

        self.close()
        try:
            self._port = serial.serial_for_url(self.name, self.baud, timeout=0, write_timeout=5, exclusive=True)
            if hasattr(self._port, "set_low_latency_mode"):
                _try(self._port.set_low_latency_mode, True)  # else a USB bridge waits up to 16 ms for more bytes
            self._port.reset_input_buffer()
        except (OSError, TypeError, ValueError) as error:
            self.close()
            raise LinkError(f"port {self.name} cannot be opened: {error}. Close the program that uses it, look whether you may use it "
                            f"(group dialout), or take another; {available_ports()}") from error

    def write(self, data: bytes) -> None:
        try:
            self._open().write(data)
        except OSError as error:
            raise self._gone(error) from error

    def read(self, timeout: float) -> bytes:
        try:
            port = self._open()
            port.timeout = timeout
            first = port.read(1)
            return first + port.read(port.in_waiting) if first else first
        except OSError as error:
            raise self._gone(error) from error

    def time(self) -> float:
        return time.monotonic()

    def close(self) -> None:
        if self._port is not None:
            _try(self._port.close)
            self._port = None

    def _open(self):
        if self._port is None:
            raise LinkError(f"port {self.name} is not open; call Device.reconnect()")
        return self._port

    def _gone(self, error: OSError) -> LinkError:
        self.close()
        return LinkError(f"port {self.name} has gone ({error}): put the cable back in, then call Device.reconnect()")


def _try(function, *arguments) -> None:
    try:
        function(*arguments)
    except (OSError, NotImplementedError, ValueError):
        pass


def available_ports() -> str:
    """Say which ports there are."""
    from serial.tools import list_ports

    found = [f"{port.device} ({port.description})" for port in list_ports.comports() if port.vid is not None]
    return f"serial ports with a device: {', '.join(found) or 'none'}"


class SerialBackend:
    """A chip on a board. Opening gives it a power-on reset.

    Writes to registers wait until something is read or started, so that many go over together; what is wrong with one is told then.
    Outside memory is kept on both sides: what the host has changed goes over before a program starts, and what the chip has
    written comes back when it has ended.

    Parameters
    ----------
    lanes, banks : int
        What the bitstream was built for.
    memory : ndarray of uint8
        Outside memory of the host. If the board has less, `memory` is the part of it that it has.
    seed : int
        Not used.
    port : str
        Where the board is.
    baud : int
        What its bitstream was built for.
    channel : Channel, optional
        In place of the port.

    Raises
    ------
    LinkError
        The board cannot be reached; by every method, when it cannot be reached any more.
    BackendError
        No port was named, or the chip there is another one.
    """

    name = "serial"
    options = ("port", "baud")

    def __init__(self, lanes: int, banks: int, memory: np.ndarray, seed: int = 1, port: str | None = None, baud: int | None = None,
                 channel: Channel | None = None, timeout: float = 0.1):
        if channel is None:
            if port is None:
                raise BackendError(f"back end 'serial' needs a port (port=..., --port); {available_ports()}")
            channel = SerialChannel(port, baud or DEFAULT_BAUD)
        self._channel, self._wanted = channel, (lanes, banks)
        self.link = Link(channel, timeout)
        try:
            self.link.open()
            self.memory = memory[:self._identify()]
            self._words = self.memory.view("<u4")
            self.reset(power_on=True)
            self._send_memory()
        except BaseException:
            channel.close()
            raise

    def _forget(self) -> None:
        self._pending: list[tuple[int, list[int]]] = []  # runs of words that were written and have not been sent
        self._kept: dict[int, int] = {}                  # what was written where a reset or nothing changes it

    def _identify(self) -> int:
        """Return the bytes of outside memory on the board; BackendError if it carries another chip."""
        board_id, _, _, memory_bytes = self.link.read(BOARD, 4).tolist()
        if board_id != BOARD_ID:
            raise LinkError(f"{self._channel.name} answers with ID {board_id:#010x} instead of {BOARD_ID:#010x}: this is no board of "
                            "Lathe's")
        identity, build = (int(self.link.read(REGISTERS[name].offset)[0]) for name in ("ID", "BUILD"))
        fields, expected = REGISTERS["BUILD"].unpack(build), REGISTERS["BUILD"].fields["version"].reset
        found, (lanes, banks) = (fields["lanes"], 1 << fields["log2_banks"]), self._wanted
        if identity != REGISTERS["ID"].fields["value"].reset or fields["version"] != expected:
            raise BackendError(f"the chip at {self._channel.name} has ID {identity:#010x} and register map {fields['version']}, "
                               f"and this driver is for {REGISTERS['ID'].fields['value'].reset:#010x} and {expected}: load a bitstream "
                               "made from this version of Lathe (make bitstream, make program)")
        if found != (lanes, banks):
            raise BackendError(f"the chip at {self._channel.name} has {found[0]} lanes and {found[1]} banks, not {lanes} and {banks}: open "
                               f"it with lanes={found[0]}, banks={found[1]} (--lanes {found[0]} --banks {found[1]}), or load a bitstream "
                               f"with {lanes} and {banks} ({_boards_with(lanes, banks)})")
        return memory_bytes

    # registers

    def csr_write(self, address: int, value: int) -> None:
        value &= 0xFFFFFFFF
        if address in _ACTING:
            self._flush()
            if address == _CONTROL.offset:
                fields = _CONTROL.unpack(value)
                if fields["start"] or fields["request"]:
                    self._push(0 if fields["request"] else _BRIDGED)
            self._write(address, value)
            return
        if address in _KEPT or address in _PROGRAM:
            self._kept[address] = value
        if self._pending and self._pending[-1][0] + 4 * len(self._pending[-1][1]) == address:
            self._pending[-1][1].append(value)
        else:
            self._pending.append((address, [value]))

    def csr_read(self, address: int) -> int:
        self._flush()
        value = int(self.link.read(address)[0])
        if address == _STATUS and value & _ENDED:
            self._pull()
        return value

    def _write(self, address: int, *values: int) -> None:
        self.link.write(address, values)

    def _flush(self) -> None:
        if self._pending:
            try:
                self.link.write_many(self._pending)
            except OSError:  # all others were carried out; told once, as by the other back ends
                self._pending = []
                raise
            self._pending = []

    # time

    @property
    def cycles(self) -> int:
        """Clock cycles since power-on."""
        return self._look()[0]

    def _look(self) -> tuple[int, bool]:
        """Return (cycles, whether the interrupt is high)."""
        low, high, irq = self.link.read(_CYCLES, 3).tolist()
        return high << 32 | low, bool(irq & 1)

    def run(self, max_cycles: int) -> None:
        """Wait for the interrupt; raises TimeoutError when it has not come after `max_cycles` cycles."""
        self._flush()
        first, irq = self._look()
        while not irq:
            now, irq = self._look()
            if now - first > max_cycles and not irq:
                raise TimeoutError(f"no interrupt within {max_cycles} cycles")
        self._pull()

    def advance(self, cycles: int) -> None:
        """Wait until that many clock cycles have passed."""
        self._flush()
        end = self.cycles + cycles
        while self.cycles < end:
            pass

    def reset(self, power_on: bool = False) -> None:
        """Reset the chip; weights, their version and exponents survive unless `power_on`."""
        self._forget()
        self._write(_RESET, _CHIP | _POWER_ON if power_on else _CHIP)
        if power_on:
            self._owner = secrets.randbits(31) + 1
            self._write(_OWNER, self._owner)

    # outside memory

    def _send_memory(self) -> None:
        """Write all of the host's memory; what the chip has written is forgotten."""
        self._write(_DIRTY, *[0xFFFFFFFF] * self._dirty_words)
        self.link.write(MEMORY, self._words)
        self._shadow = self._words.copy()
        self._owed = np.zeros(-(-self.memory.nbytes // _BLOCK), bool)  # blocks that were marked and have not come yet

    @property
    def _dirty_words(self) -> int:
        return -(-self.memory.nbytes // (32 * _BLOCK))

    def _push(self, bridged: int) -> None:
        """Send the words that the host has changed, and up to `bridged` between two of them; those must not be the running program's."""
        changed = np.flatnonzero(self._words != self._shadow)
        if not len(changed):
            return
        breaks = np.flatnonzero(np.diff(changed) > bridged + 1)
        firsts, lasts = changed[np.append(0, breaks + 1)], changed[np.append(breaks, len(changed) - 1)]
        self.link.write_many((MEMORY + 4 * int(first), self._words[first:last + 1]) for first, last in zip(firsts, lasts, strict=True))
        self._shadow[changed] = self._words[changed]

    def _pull(self) -> None:
        """Fetch the blocks that the chip has written; words of them that the host has changed since stay."""
        dirty = self.link.read(_DIRTY, self._dirty_words)
        self._owed |= np.unpackbits(dirty.view(np.uint8), bitorder="little")[:len(self._owed)].astype(bool)
        blocks = np.flatnonzero(self._owed)
        if not len(blocks):
            return
        self._write(_DIRTY, *dirty.tolist())  # before they are read: what is written meanwhile is marked again
        ranges = [slice(first := int(block) * _BLOCK // 4, min(first + _BLOCK // 4, len(self._words))) for block in blocks]
        fetched = self.link.read_many((MEMORY + 4 * each.start, each.stop - each.start) for each in ranges)
        at = 0
        for each in ranges:
            words = fetched[at:at + each.stop - each.start]
            at += len(words)
            changed = self._words[each] != self._shadow[each]
            self._words[each] = np.where(changed, self._words[each], words)
            self._shadow[each] = words
        self._owed[:] = False

    # the end, and beginning anew

    def reconnect(self) -> None:
        """Open port and session again and reset the chip, which keeps its current weights, their version and the exponents.

        Registers, program memory and outside memory are written again as the host knows them.

        Raises
        ------
        LinkError
            The board cannot be reached, or has lost its power and the weights with it, or another host has opened it.
        """
        self._channel.reopen()
        self.link.open()
        self._identify()
        if int(self.link.read(_OWNER)[0]) != self._owner:
            self._channel.close()
            raise LinkError(f"the board at {self._channel.name} was switched off, loaded or opened by another host since, its weights are "
                            "gone: open a new device and resume from a checkpoint (lathe train --resume)")
        numbers = [int(self.link.read(address)[0]) for address in _NUMBERS]  # random bits are not used twice
        self._write(_RESET, _CHIP)
        self._send_memory()
        pending, self._pending = self._pending, []
        for address, value in [*sorted(self._kept.items()), *zip(_NUMBERS, numbers, strict=True)]:
            self.csr_write(address, value)
        self._pending += pending
        self._flush()

    def close(self) -> None:
        """Close the port; every later call is a BackendError."""
        self._channel.close()
        self.link = Closed()


def _boards_with(lanes: int, banks: int) -> str:
    names = [board.name for board in BOARDS.values() if (board.lanes, board.banks) == (lanes, banks) and board.fits]
    return f"make bitstream program BOARD={names[0]}" if names else "none has been made so far: docs/fpga.md"
