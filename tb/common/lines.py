# SPDX-License-Identifier: Apache-2.0
"""Lines to a board for tests of the host's side: a golden board at the end of one, and one that flips, drops and repeats bytes."""

import random

import numpy as np

from lathe.errors import LinkError
from lathe.link import MEMORY, Link
from pymodels.chip import Chip
from pymodels.csr_map import REGISTERS
from pymodels.link import Bridge

_DIRTY_BLOCK = 256
_CONTROL = REGISTERS["CONTROL"].offset


class GoldenBoard:
    """The golden model of chip and bridge as a `lathe.link.Channel`; each byte takes ten bit times, a program none.

    Parameters
    ----------
    lanes, banks, memory_bytes : int
    version : int, optional
        Register map's version that BUILD shows, if not the right one.

    Attributes
    ----------
    pulled : int or None
        So many bytes go over before the cable is pulled.
    """

    name = "the golden board"
    seconds_per_byte = 1e-5

    def __init__(self, lanes: int = 8, banks: int = 8, memory_bytes: int = 1 << 16, version: int | None = None):
        self.memory = np.random.default_rng(1).integers(0, 256, memory_bytes, np.uint8)  # whatever lies there
        self.chip = Chip(lanes, banks, self.memory)
        self.version = version
        self.pulled: int | None = None
        self.bytes = [0, 0]  # to the board, from the board
        self._now = 0.0
        self._received = b""
        self.power_on()

    def power_on(self) -> None:
        self.chip.reset(power_on=True)
        self._since = self._now
        self.bridge = Bridge(self._read, self._write, self.memory, 25_000_000, reset=self.chip.reset, irq=lambda: self.chip.irq,
                             cycles=lambda: int((self._now - self._since) * 25_000_000))

    def _read(self, address: int) -> tuple[int, int]:
        try:
            value = self.chip.csr_read(address)
        except OSError:
            return 2, 0
        if address == REGISTERS["BUILD"].offset and self.version is not None:
            value = value & 0xFFFF | self.version << 16
        return 0, value

    def _write(self, address: int, value: int) -> int:
        try:
            self.chip.csr_write(address, value)
        except OSError:
            return 2
        if address == _CONTROL:
            before = self.memory.copy()
            self.chip.run(0)
            for block in np.unique(np.flatnonzero(before != self.memory) // _DIRTY_BLOCK):
                self.bridge.chip_wrote(int(block) * _DIRTY_BLOCK, _DIRTY_BLOCK)
        return 0

    def write(self, data: bytes) -> None:
        if self.pulled is not None:
            data, self.pulled = data[:self.pulled], max(self.pulled - len(data), 0)
        answer = self.bridge.receive(data)
        if self.pulled == 0:
            raise LinkError("the cable was pulled")
        self.bytes[0] += len(data)
        self.bytes[1] += len(answer)
        self._now += (len(data) + len(answer)) * self.seconds_per_byte
        self._received += answer

    def read(self, timeout: float) -> bytes:
        if not self._received:
            self._now += timeout
        data, self._received = self._received, b""
        return data

    def time(self) -> float:
        return self._now

    def reopen(self) -> None:
        self.pulled, self._received = None, b""

    def close(self) -> None:
        pass


class Noise:
    """A channel between the host and another one that damages bytes both ways.

    Parameters
    ----------
    channel : Channel
    rate : float
        Of the bytes that are changed, dropped or sent twice, each as often.
    """

    def __init__(self, channel, rate: float, seed: int):
        self.channel, self.rate, self.damaged = channel, rate, 0
        self._random = random.Random(seed)

    def __getattr__(self, name: str):
        return getattr(self.channel, name)

    def _damage(self, data: bytes) -> bytes:
        out = bytearray()
        for byte in data:
            if self._random.random() >= self.rate:
                out.append(byte)
                continue
            self.damaged += 1
            out.extend(([byte ^ 1 << self._random.randrange(8)], [], [byte, byte])[self._random.randrange(3)])
        return bytes(out)

    def write(self, data: bytes) -> None:
        self.channel.write(self._damage(data))

    def read(self, timeout: float) -> bytes:
        end = self.time() + timeout
        while True:
            data = self.channel.read(max(end - self.time(), 0.0))
            if not data or (damaged := self._damage(data)):
                return data and damaged


def opened(channel, seed: int = 1, timeout: float = 0.1) -> Link:
    """Return a session on a channel."""
    link = Link(channel, timeout, seed)
    link.open()
    return link


def soak(channel, total: int, span: int, seed: int, timeout: float = 0.1) -> Link:
    """Write `total` bytes or more to random places of `span` bytes of memory and read each back; returns the session."""
    link, rng, moved = opened(channel, seed, timeout), np.random.default_rng(seed), 0
    shadow = np.zeros(span // 4, np.uint32)
    link.write(MEMORY, shadow)
    while moved < total:
        count = int(rng.integers(1, 1024))
        first = int(rng.integers(0, span // 4 - count))
        shadow[first:first + count] = rng.integers(0, 1 << 32, count, np.uint32)
        link.write(MEMORY + 4 * first, shadow[first:first + count])
        assert np.array_equal(link.read(MEMORY + 4 * first, count), shadow[first:first + count])
        moved += 4 * count
    assert np.array_equal(link.read(MEMORY, span // 4), shadow)
    return link
