# SPDX-License-Identifier: Apache-2.0
"""The golden model of the host link: check value and table of docs/link.md, answers to hand-made requests, garbage."""

import struct

import numpy as np
import pytest

from pymodels.link import BOARD, MEMORY, Bridge, Decoder, encode, fcs32


class Host:
    """A bridge and the few words of protocol that a test needs; the chip is a dict of registers, SLVERR elsewhere."""

    def __init__(self, **options):
        self.registers = {0x10: 5, 0x14: 6}
        self.resets = []
        self.bridge = Bridge(lambda a: (0, self.registers[a]) if a in self.registers else (2, 0), self._write,
                             np.zeros(1024, np.uint8), 25_000_000, reset=self.resets.append, **options)

    def _write(self, address, value):
        if address not in self.registers:
            return 3
        self.registers[address] = value
        return 0

    def ask(self, session, sequence, op, body=b""):
        answers = list(Decoder().feed(self.bridge.receive(encode(bytes([session, sequence, op]) + body))))
        assert len(answers) == 1
        return answers[0]

    def hello(self, session=7, nonce=b"abcd"):
        return self.ask(session, 0, 1, nonce)

    def read(self, sequence, address, words=1, session=7):
        return self.ask(session, sequence, 2, struct.pack("<IB", address, words - 1))

    def write(self, sequence, address, *values, session=7):
        return self.ask(session, sequence, 3, struct.pack(f"<{1 + len(values)}I", address, *values))

    def register(self, sequence, offset):
        answer = self.read(sequence, BOARD + offset)
        assert answer[:4] == bytes([7, sequence, 0x82, 0])
        return struct.unpack("<I", answer[4:])[0]


def test_fcs():
    assert fcs32(b"123456789") == 0xCBF43926
    assert encode(b"\x7e") == bytes([0x7E, 0x7D, 0x5E, *encode(b"\x7e")[3:-1], 0x7E])


def test_frames():
    decoder, content = Decoder(), bytes(range(256))
    assert list(decoder.feed(encode(content))) == [content]
    assert list(decoder.feed(encode(b"abc")[:-1] + encode(b"def"))) == [b"abc", b"def"]  # one flag between them
    assert list(decoder.feed(encode(bytes(268)))) == [bytes(268)]
    assert list(decoder.feed(b"\x7e123456\x7e\x7e\x7d\x7e")) == []  # short ones
    assert decoder.errors == 0
    wrong = bytearray(encode(b"abcdef"))
    wrong[3] ^= 1
    for count, frame in enumerate((bytes(wrong), encode(bytes(269)), encode(b"abcdef")[:-1] + b"\x7d\x7e"), 1):
        assert list(decoder.feed(frame)) == []
        assert decoder.errors == count
    assert list(decoder.feed(encode(b"ghi"))) == [b"ghi"]


def test_sessions():
    host = Host()
    assert host.read(1, BOARD) == bytes([7, 1, 0xFF, 0, 2])  # none is open
    assert host.read(0, BOARD, session=0) == bytes([0, 0, 0xFF, 0, 2])
    assert host.hello() == b"\x07\x00\x81abcd\x02\x00\x08\x40"
    assert host.write(1, 0x10, 9, 8) == bytes([7, 1, 0x83, 0])
    assert host.hello() == b"\x07\x00\x81abcd\x02\x00\x08\x40"  # again: changes nothing
    assert host.read(2, 0x10, 2) == bytes([7, 2, 0x82, 0, 9, 0, 0, 0, 8, 0, 0, 0])
    assert host.hello(session=9)[0] == 9
    assert host.read(3, 0x10) == bytes([7, 3, 0xFF, 1, 2])
    assert host.read(1, 0x10, session=9)[:4] == bytes([9, 1, 0x82, 0])


def test_sequence():
    host = Host()
    host.hello()
    for sequence in range(1, 300):
        assert host.write(sequence % 256, 0x10, sequence)[3] == 0
    expected = 300 % 256
    for behind in range(1, 129):
        assert host.write((expected - behind) % 256, 0x10, 1) == bytes([7, (expected - behind) % 256, 0x83, 0])
    assert host.registers[0x10] == 299  # repeated ones were not carried out
    for ahead in range(1, 128):
        assert host.write((expected + ahead) % 256, 0x10, 1)[2:] == bytes([0xFF, expected, 1])
    assert host.read((expected - 5) % 256, 0x10)[4:6] == bytes([299 % 256, 1])


@pytest.mark.parametrize(("op", "body"), [(1, b"abc"), (1, b"abcde"), (2, bytes(4)), (2, bytes(6)), (2, b"\0\0\0\0\x40"), (3, bytes(4)),
                                          (3, bytes(9)), (3, bytes(264)), (0, b""), (4, b""), (0x7F, b""), (0x83, bytes(8))])
def test_form(op, body):
    host = Host()
    host.hello()
    assert host.ask(7, 1, op, body) == bytes([7, 1, 0xFF, 1, 3])
    assert host.ask(0, 0, 1, b"abcd") == bytes([0, 0, 0xFF, 1, 3])
    assert host.register(1, 0x04) == 2


def test_registers():
    host = Host(cycles=lambda: 0x1_2345_6789, irq=lambda: True)
    host.hello()
    values = {0: 0x4548544C, 4: 2, 8: 25_000_000, 0xC: 1024, 0x10: 0, 0x14: 0x23456789, 0x18: 1, 0x1C: 1, 0x20: 0, 0x24: 0, 0x28: 0,
              0x100: 0, 0x1FC: 0}
    for sequence, (offset, value) in enumerate(values.items(), 1):
        assert host.register(sequence, offset) == value
    sequence = len(values) + 1
    for step, (offset, status) in enumerate([(0x2C, 1), (0xFC, 1), (0x200, 1), (2, 1), (0, 0)]):
        assert host.read(sequence + step, BOARD + offset)[3] == status
    host.hello(nonce=b"next")
    for sequence, value in enumerate((1, 2, 0, 4), 1):
        assert host.write(sequence, BOARD + 0x10, value)[3] == 0
    assert host.resets == [False, True]
    host.bridge.receive(b"\x7e1234567\x7e")
    assert host.register(5, 0x20) == 1


def test_owner():
    host = Host()
    host.hello()
    steps = [(0x28, 0xDEADBEEF, 0xDEADBEEF), (0x10, 1, 0xDEADBEEF), (0x10, 2, 0), (0x28, 7, 7), (0x10, 3, 0)]
    for sequence, (offset, value, owner) in enumerate(steps):
        assert host.write(2 * sequence + 1, BOARD + offset, value)[3] == 0
        assert host.register(2 * sequence + 2, 0x28) == owner


def test_failures():
    host = Host()
    host.hello()
    assert host.read(1, 0x10, 3) == bytes([7, 1, 0x82, 2])
    assert host.read(2, 0x8000)[3:] == b"\1"
    assert host.read(3, MEMORY + 1020, 2)[3:] == b"\1"
    assert host.write(4, 0x14, 1, 2, 3)[3] == 3
    assert host.registers == {0x10: 5, 0x14: 1}
    assert host.write(4, 0x14, 1, 2, 3)[3] == 0  # told once
    assert host.register(5, 0x24) == 1 << 16 | 4 << 8 | 3
    assert host.write(6, MEMORY + 1022, 1)[3] == 1
    assert host.write(7, MEMORY + 1020, 1, 2)[3] == 1
    assert host.register(8, 0x24) == 1 << 16 | 7 << 8 | 1
    assert host.bridge.memory[1020] == 1


def test_memory_and_dirty():
    host = Host()
    host.hello()
    host.write(1, MEMORY + 8, 0x04030201, 0x08070605)
    assert host.bridge.memory[8:16].tolist() == [1, 2, 3, 4, 5, 6, 7, 8]
    assert host.read(2, MEMORY + 12) == bytes([7, 2, 0x82, 0, 5, 6, 7, 8])
    assert host.register(3, 0x100) == 0  # the host's own writes
    host.bridge.chip_wrote(255, 2)
    host.bridge.chip_wrote(1000, 600)
    host.bridge.chip_wrote(512, 0)
    assert host.register(4, 0x100) == 0b1011
    host.write(5, BOARD + 0x100, 0b0010)
    assert host.register(6, 0x100) == 0b1001


def test_fuzz():
    host, generator = Host(), np.random.default_rng(1)
    host.bridge.receive(generator.choice(np.array([0x7E, 0x7D, 1, 2, 3, 7, *range(256)], np.uint8), 20_000).tobytes())
    host.bridge.receive(b"\x7e")
    host.hello()
    host.write(1, 0x10, 77)
    assert host.read(2, 0x10)[4] == 77


@pytest.mark.parametrize("memory", [np.zeros(100, np.uint8), np.zeros(256, np.int8), np.zeros(1 << 20, np.uint8), np.zeros(0, np.uint8)])
def test_memory_size(memory):
    with pytest.raises(ValueError, match="multiple of 256"):
        Bridge(lambda a: (0, 0), lambda a, v: 0, memory, 1)
