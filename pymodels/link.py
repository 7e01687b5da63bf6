# SPDX-License-Identifier: Apache-2.0
"""The board's side of the host link (docs/link.md): frames, sessions, requests, the registers of the board. It takes no time.

Bytes of the line go in, bytes of the answers come out. What depends on time is not here: the receive buffer never overflows, a reset
is over when its write is answered.
"""

import struct
from collections.abc import Callable, Iterator
from enum import IntEnum

import numpy as np

FLAG, ESCAPE, FLIP = 0x7E, 0x7D, 0x20
SHORTEST, LONGEST = 7, 272  #: bytes of a frame, unescaped, FCS included
FCS_BYTES = 4
GOOD_FCS = 0xDEBB20E3       #: of a whole frame, before the complement
MOST_WORDS = 64
VERSION = 2
ID = 0x4548544C
CHIP_BYTES = 0x8000
BOARD, MEMORY = 0x4000_0000, 0x8000_0000
BLOCK = 256                 #: bytes that share a dirty bit
DIRTY, DIRTY_WORDS = 0x100, 64
_M32 = 0xFFFFFFFF


class Op(IntEnum):
    """Operations of a request; an answer has bit 7 set as well."""

    HELLO = 1
    READ = 2
    WRITE = 3
    REFUSAL = 0x7F


class Status(IntEnum):
    """How an access ended."""

    DONE = 0
    NOTHING = 1
    SLVERR = 2
    DECERR = 3


class Reason(IntEnum):
    """Why a request is refused."""

    SEQUENCE = 1
    SESSION = 2
    FORM = 3


def _fcs(data: bytes) -> int:
    fcs = 0xFFFFFFFF
    for byte in data:
        fcs ^= byte
        for _ in range(8):
            fcs = fcs >> 1 ^ (0xEDB88320 if fcs & 1 else 0)
    return fcs


def fcs32(data: bytes) -> int:
    """Return the FCS-32 of RFC 1662 of `data`: complemented, as it is sent (low byte first)."""
    return _fcs(data) ^ _M32


def encode(content: bytes) -> bytes:
    """Return the frame of `content` as it is sent: flag, content and FCS escaped, flag."""
    frame = bytearray([FLAG])
    for byte in content + fcs32(content).to_bytes(FCS_BYTES, "little"):
        frame += bytes([ESCAPE, byte ^ FLIP]) if byte in (FLAG, ESCAPE) else bytes([byte])
    frame.append(FLAG)
    return bytes(frame)


class Decoder:
    """Finds frames in what comes from the line.

    Attributes
    ----------
    errors : int
        Frames that were dropped, not saturating. Whoever reads it may set it.
    """

    def __init__(self) -> None:
        self.errors = 0
        self._frame = bytearray()
        self._escaped = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield the content (without FCS) of each right frame that `data` completes."""
        for byte in data:
            if byte == FLAG:
                frame, aborted = bytes(self._frame), self._escaped
                self._frame.clear()
                self._escaped = False
                if len(frame) < SHORTEST:
                    continue
                if aborted or len(frame) > LONGEST or _fcs(frame) != GOOD_FCS:
                    self.errors += 1
                else:
                    yield frame[:-FCS_BYTES]
            elif byte == ESCAPE and not self._escaped:
                self._escaped = True
            else:
                if len(self._frame) <= LONGEST:
                    self._frame.append(byte ^ FLIP if self._escaped else byte)
                self._escaped = False


class Bridge:
    """Golden model of the board between its UART and the chip.

    Parameters
    ----------
    axil_read : callable
        (address) -> (AXI response, value): a read of the chip's AXI4-Lite space.
    axil_write : callable
        (address, value) -> AXI response.
    memory : numpy.ndarray
        Outside memory, uint8, a multiple of 256 bytes, at most 512 KiB; shared, not copied.
    clock_hz : int
        What CLOCK_HZ reads.
    reset : callable, optional
        (power_on: bool) resets the chip.
    irq, cycles : callable, optional
        () -> the level of the chip's interrupt; () -> clock cycles since power-on.
    buffer_bytes : int
        Receive buffer that hello announces.

    Raises
    ------
    ValueError
        If the memory's size is not one that the board can have.
    """

    def __init__(self, axil_read: Callable[[int], tuple[int, int]], axil_write: Callable[[int, int], int], memory: np.ndarray,
                 clock_hz: int, reset: Callable[[bool], None] = lambda power_on: None, irq: Callable[[], int] = lambda: 0,
                 cycles: Callable[[], int] = lambda: 0, buffer_bytes: int = 2048):
        if memory.dtype != np.uint8 or memory.size % BLOCK or not 0 < memory.size <= BLOCK * 32 * DIRTY_WORDS:
            raise ValueError(f"memory must be uint8, a multiple of 256 and at most 512 KiB, not {memory.dtype} of {memory.size}")
        self.memory, self.clock_hz, self.buffer_bytes = memory, clock_hz, buffer_bytes
        self._axil_read, self._axil_write, self._reset, self._irq, self._cycles = axil_read, axil_write, reset, irq, cycles
        self.dirty = np.zeros(32 * DIRTY_WORDS, bool)
        self._decoder = Decoder()
        self._session, self._nonce = 0, bytes(4)  # session 0: none
        self._expected = 0
        self._last_failure = 0
        self._cycles_hi = 0
        self.owner = 0

    def chip_wrote(self, address: int, count: int) -> None:
        """Note that the chip has written `count` bytes of outside memory from `address` on; those beyond it are not there."""
        if count > 0:
            self.dirty[address // BLOCK:min(-(-(address + count) // BLOCK), self.memory.size // BLOCK)] = True

    def receive(self, data: bytes) -> bytes:
        """Take bytes from the line and return the frames that answer them."""
        return b"".join(encode(self._answer(content)) for content in self._decoder.feed(data))

    def _answer(self, content: bytes) -> bytes:
        session, sequence, op, body = *content[:3], content[3:]
        if not _well_formed(session, op, body):
            return self._refuse(session, sequence, Reason.FORM)
        head = bytes([session, sequence, op | 0x80])
        if op == Op.HELLO:
            if (session, body) != (self._session, self._nonce):
                self._session, self._nonce, self._expected = session, body, 1
                self._decoder.errors = self._last_failure = 0
            return head + struct.pack("<4sBHB", body, VERSION, self.buffer_bytes, MOST_WORDS)
        if not self._session or session != self._session:
            return self._refuse(session, sequence, Reason.SESSION)
        behind = (self._expected - sequence) % 256
        if behind > 128:
            return self._refuse(session, sequence, Reason.SEQUENCE)
        if not behind:
            self._expected = (self._expected + 1) % 256
        if op == Op.READ:
            status, values = self._read(*struct.unpack("<IB", body))
            return head + bytes([status]) + struct.pack(f"<{len(values)}I", *values)
        status = Status.DONE if behind else self._write(*struct.unpack(f"<{len(body) // 4}I", body))
        if status:
            self._last_failure = 1 << 16 | sequence << 8 | status
        return head + bytes([status])

    def _refuse(self, session: int, sequence: int, reason: Reason) -> bytes:
        return bytes([session, sequence, Op.REFUSAL | 0x80, self._expected, reason])

    def _read(self, address: int, last: int) -> tuple[int, list[int]]:
        values = []
        for i in range(last + 1):
            status, value = self._read_word((address + 4 * i) & _M32)
            if status:
                return status, []
            values.append(value)
        return Status.DONE, values

    def _write(self, address: int, *values: int) -> int:
        for i, value in enumerate(values):
            status = self._write_word((address + 4 * i) & _M32, value)
            if status:
                return status
        return Status.DONE

    # Single words: status and value, as the word bus of the board has them.

    def _read_word(self, address: int) -> tuple[int, int]:
        if address % 4:
            return Status.NOTHING, 0
        if address < CHIP_BYTES:
            response, value = self._axil_read(address)
            return _status(response), value
        if MEMORY <= address < MEMORY + self.memory.size:
            offset = address - MEMORY
            return Status.DONE, int.from_bytes(self.memory[offset:offset + 4].tobytes(), "little")
        return self._read_register(address - BOARD)

    def _write_word(self, address: int, value: int) -> int:
        if address % 4:
            return Status.NOTHING
        if address < CHIP_BYTES:
            return _status(self._axil_write(address, value))
        if MEMORY <= address < MEMORY + self.memory.size:
            offset = address - MEMORY
            self.memory[offset:offset + 4] = np.frombuffer(value.to_bytes(4, "little"), np.uint8)
            return Status.DONE
        return self._write_register(address - BOARD, value)

    def _read_register(self, offset: int) -> tuple[int, int]:
        if (word := _dirty_word(offset)) is not None:
            return Status.DONE, int.from_bytes(np.packbits(self.dirty[word], bitorder="little").tobytes(), "little")
        registers = {
            0x00: lambda: ID,
            0x04: lambda: VERSION,
            0x08: lambda: self.clock_hz,
            0x0C: lambda: self.memory.size,
            0x10: lambda: 0,
            0x14: self._latch_cycles,
            0x18: lambda: self._cycles_hi,
            0x1C: lambda: int(self._irq()),
            0x20: lambda: min(self._decoder.errors, 0xFFFF),
            0x24: lambda: self._last_failure,
            0x28: lambda: self.owner,
        }
        if offset not in registers:
            return Status.NOTHING, 0
        return Status.DONE, registers[offset]()

    def _latch_cycles(self) -> int:
        cycles = self._cycles()
        self._cycles_hi = cycles >> 32 & _M32
        return cycles & _M32

    def _write_register(self, offset: int, value: int) -> int:
        if (word := _dirty_word(offset)) is not None:
            self.dirty[word] &= ~np.unpackbits(np.frombuffer(value.to_bytes(4, "little"), np.uint8), bitorder="little").astype(bool)
        elif offset == 0x10:
            if value & 2:
                self.owner = 0
            if value & 3:
                self._reset(bool(value & 2))
        elif offset == 0x28:
            self.owner = value
        elif offset not in range(0, 0x28, 4):  # the others are read only
            return Status.NOTHING
        return Status.DONE


def _well_formed(session: int, op: int, body: bytes) -> bool:
    if op == Op.HELLO:
        return len(body) == 4 and session != 0
    if op == Op.READ:
        return len(body) == 5 and body[4] < MOST_WORDS
    return op == Op.WRITE and len(body) % 4 == 0 and 8 <= len(body) <= 4 + 4 * MOST_WORDS


def _dirty_word(offset: int) -> slice | None:
    if not DIRTY <= offset < DIRTY + 4 * DIRTY_WORDS:
        return None
    first = (offset - DIRTY) * 8
    return slice(first, first + 32)


def _status(response: int) -> Status:
    return Status(response) if response >= 2 else Status.DONE
