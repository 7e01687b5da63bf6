# SPDX-License-Identifier: Apache-2.0
"""The board's side of the host link against its golden model, byte for byte: requests of all kinds, everything a line can do to them."""

import os
import struct

import cocotb
import numpy as np

from pymodels.link import BOARD, FCS_BYTES, LONGEST, MEMORY, Decoder, Op, encode
from tb.common.actors import Coverage, cycle, reset, start_clock_and_reset
from tb.link.agents import Bench

BUFFER = 2048
LINK_ERRORS, CYCLES = BOARD + 0x20, BOARD + 0x14
USED = [*range(MEMORY, MEMORY + 0x400, 256), MEMORY + 0x2000]  # blocks of the memory that random requests read
FUZZ = int(os.environ.get("FUZZ_BYTES", "20000"))


class Requests:
    """Makes requests of a host: keeps session and next sequence number."""

    def __init__(self, generator):
        self.rng, self.session, self.sequence, self.size = generator, 0, 1, 0
        self.nonce = bytes(4)

    def hello(self, session=None, nonce=None) -> bytes:
        self.session = int(self.rng.integers(1, 256)) if session is None else session
        self.nonce = self.rng.bytes(4) if nonce is None else nonce
        self.sequence = 1
        return self.frame(Op.HELLO, self.nonce, sequence=0)

    def frame(self, op, body=b"", session=None, sequence=None) -> bytes:
        """One frame; without `sequence` that of the next request."""
        if sequence is None:
            sequence, self.sequence = self.sequence, (self.sequence + 1) % 256
        return encode(bytes([self.session if session is None else session, sequence, op]) + body)

    def read(self, address, words=1, **where) -> bytes:
        return self.frame(Op.READ, struct.pack("<IB", address, words - 1), **where)

    def write(self, address, values, **where) -> bytes:
        return self.frame(Op.WRITE, struct.pack(f"<{1 + len(values)}I", address, *values), **where)

    def address(self, words) -> int:
        """Of every kind; never a reading of what depends on time."""
        rng = self.rng
        kinds = [
            4 * int(rng.integers(0, 0x100)),                                # registers of the chip
            int(rng.choice([0x400, 0x1000, 0x7FFC, 0x8000, 0x3FC, 0xFFC])),  # and where they end
            MEMORY + 4 * int(rng.integers(0, 0xC0)),
            MEMORY + int(rng.choice([0, 0x20FC, 0x2100, 0x7FFFC, 0x80000])),
            BOARD + int(rng.choice([0, 0x18, 0x1C, 0x24, 0x28, 0x28, 0x2C, 0x100, 0x104, 0x1FC, 0xFC, 0x200, 0x10])),
            int(rng.integers(0, 1 << 32)),
            MEMORY + int(rng.integers(0, 64)),
        ]
        address = kinds[int(rng.integers(len(kinds)))]
        return BOARD + 0x1C if BOARD - 4 * words < address <= LINK_ERRORS else address

    def request(self, **where) -> bytes:
        words = int(self.rng.choice([1, 2, 3, 5, 17, 63, 64]))
        if self.rng.random() < 0.5:
            return self.read(self.address(words), words, **where)
        values = self.rng.choice([0, 0x7E7E7E7E, 0x7D5E7D7E, 0xFFFFFFFF, 1, *self.rng.integers(0, 1 << 32, 5).tolist()], words)
        return self.write(self.address(words), values.tolist(), **where)

    def chunk(self, most=12) -> list[bytes]:
        """Requests that fit into the receive buffer together."""
        frames, room = [], BUFFER
        for _ in range(int(self.rng.integers(1, most))):
            frame = self.request()
            if (room := room - len(frame) - 2) < 0:
                self.sequence = (self.sequence - 1) % 256
                break
            frames.append(frame)
        return frames


async def started(dut):
    await start_clock_and_reset(dut)
    bench = Bench(dut)
    requests = Requests(bench.rng)
    await cycle(dut, 20)
    await bench.send(requests.hello())
    await fill(bench, requests)
    return bench, requests


async def fill(bench, requests):
    """Make known what is read of the memory."""
    for address in USED:
        await bench.send(requests.write(address, bench.rng.integers(0, 1 << 32, 64).tolist()))


async def settled(bench, requests):
    """After anything: a new session works, memory is as the golden bridge has it, errors and failures were counted right."""
    await bench.send(requests.read(LINK_ERRORS) + requests.read(BOARD + 0x24))
    await bench.send(b"\x7e" + requests.hello())
    for address in USED:
        await bench.send(requests.read(address, 64))
    await bench.send(requests.read(BOARD, 5) + requests.read(LINK_ERRORS, 2))
    bench.finish()


@cocotb.test(timeout_time=100, timeout_unit="ms")
async def test_requests(dut):
    """All ops at all kinds of addresses, several in flight, a slow chip."""
    bench, requests = await started(dut)
    for number in range(40):
        bench.slave.stall = (0, 3, 40)[number % 3]
        dut.irq_i.value = number % 2
        await cycle(dut, 2)
        await bench.send(b"".join(requests.chunk()))
        if number % 10 == 9:
            await bench.send(requests.hello())
    await settled(bench, requests)


@cocotb.test(timeout_time=100, timeout_unit="ms")
async def test_lost_and_repeated(dut):
    """Gaps, repeated and early requests, other sessions, wrong forms, repeated hellos."""
    bench, requests = await started(dut)
    for _ in range(50):
        frames = requests.chunk(8)
        at = int(bench.rng.integers(len(frames) + 1))
        match int(bench.rng.integers(7)):
            case 0:
                frames = frames[:at] + frames[at + 1:]  # one is lost
            case 1:
                frames = frames[:at] + frames[:at]
            case 2:
                frames.insert(at, requests.request(session=int(bench.rng.integers(0, 256)), sequence=requests.sequence))
            case 3:
                frames.insert(at, requests.request(sequence=int(bench.rng.integers(0, 256))))
            case 4:
                op, size = int(bench.rng.choice([0, 1, 2, 3, 4, 0x7F, 0x82, 0xFF])), int(bench.rng.choice([0, 1, 4, 5, 7, 8, 9, 264]))
                frames.insert(at, requests.frame(op, bench.rng.bytes(size), sequence=requests.sequence))
            case 5:
                frames.append(requests.hello(requests.session, requests.nonce))
                requests.sequence = bench.bridge._expected
            case 6:
                frames.append(requests.hello(int(bench.rng.choice([0, requests.session]))))  # another nonce
                if requests.session == 0:
                    frames.append(requests.hello())
                frames.append(requests.write(BOARD + 0x2C, [0]))  # the first of the new session fails; a repeated one would not
        await bench.send(b"".join(frames[-8:])[-BUFFER:])
        await bench.send(b"\x7e" + requests.hello())
    for behind in (0, 1, 2, 127, 128, 129, 130, 255):
        for request in (requests.write(MEMORY, [behind], sequence=(1 - behind) % 256), requests.read(MEMORY, sequence=(2 - behind) % 256)):
            await bench.send(request)
    await bench.send(requests.hello())
    await settled(bench, requests)


@cocotb.test(timeout_time=100, timeout_unit="ms")
async def test_disturbed(dut):
    """Wrong checksums, flipped, lost and inserted bytes, aborted and over-long frames; LINK_ERRORS counts them."""
    bench, requests = await started(dut)
    for kind in range(44):
        frame = bytearray(requests.request())
        at = int(bench.rng.integers(1, len(frame) - 1))
        match kind % 11:
            case 0:
                frame[at] ^= 1 << int(bench.rng.integers(8))
            case 1:
                del frame[at]
            case 2:
                frame.insert(at, int(bench.rng.integers(256)))
            case 3:
                frame[-1:] = b"\x7d\x7e"
            case 4:
                frame = bytearray(b"\x7d\x7e\x7e12\x7d\x7e123456\x7e")  # all too short to count
            case 5 | 6:
                frame = bytearray(encode(bench.rng.bytes(LONGEST - FCS_BYTES + kind % 11 - 5)))  # the longest, one longer
            case 7:
                frame = bytearray(encode(bench.rng.bytes(int(bench.rng.integers(500, 3000)))))
            case 8:
                frame = frame[:at]  # the next flag ends it
            case 9:
                frame[at:at] = b"\x7d"
            case 10:
                frame = bytearray(encode(bytes([requests.session, requests.sequence])))  # too short for a request
        await bench.send(bytes(frame))
        requests.sequence = bench.bridge._expected
        await bench.send(b"\x7e" + requests.read(LINK_ERRORS))
    await settled(bench, requests)


@cocotb.test(timeout_time=1, timeout_unit="sec")
async def test_fuzz(dut):
    """Bytes of any kind with many flags, escapes, half-right and right frames; then a hello and a write and read still work."""
    bench, requests = await started(dut)
    sent = 0
    while sent < FUZZ:
        if bench.rng.random() < 0.5:
            data = bytearray(b"".join(requests.chunk(4)))
            for _ in range(int(bench.rng.integers(3))):
                data[int(bench.rng.integers(len(data)))] = int(bench.rng.choice([0x7E, 0x7D, int(bench.rng.integers(256))]))
        else:
            data = bench.rng.choice(np.array([0x7E, 0x7D, 0x5E, 0x5D, requests.session, 1, 2, 3, *range(256)]),
                                    int(bench.rng.integers(1, 300))).astype(np.uint8).tobytes()
        await bench.send(bytes(data))
        requests.sequence = bench.bridge._expected
        sent += len(data)
    await bench.send(b"\x7e")
    await bench.quiet()
    await settled(bench, requests)


@cocotb.test(timeout_time=100, timeout_unit="ms")
async def test_overrun(dut):
    """Requests that do not fit while a slow one is carried out are dropped and counted; those before them are answered."""
    bench, requests = await started(dut)
    slow = requests.read(0, 64)
    frames = [requests.write(MEMORY + 256 * i, [i] * 64) for i in range(10)]
    bench.slave.stall = 2400
    answers = await bench.ask(slow + b"".join(frames))
    done = [a[1] for a in answers if a[2] == 0x83]
    assert answers[0][1:4] == bytes([slow[2], 0x82, 0]) and len(answers[0]) == 260
    first = slow[2] + 1
    assert done == list(range(first, first + len(done))) and 7 <= len(done) < 10, done  # 264 entries each, so 7 fit into 2,048
    bench.slave.stall = 0
    lost = 10 - len(done)
    requests.sequence = first + len(done)
    assert (await bench.ask(requests.read(LINK_ERRORS)))[0][4:] == struct.pack("<I", lost)
    for i in range(len(done), 10):
        assert (await bench.ask(requests.write(MEMORY + 256 * i, [i] * 64)))[0][3] == 0
    for i in range(10):
        assert (await bench.ask(requests.read(MEMORY + 256 * i, 64)))[0][4:] == struct.pack("<I", i) * 64


@cocotb.test(timeout_time=100, timeout_unit="ms")
async def test_reset(dut):
    """A reset in the middle of bytes, accesses and answers: after it there is no session, and a hello opens one."""
    bench, requests = await started(dut)
    for _ in range(4):
        bench.slave.stall = 0
        sender = cocotb.start_soon(bench.put(b"".join(requests.chunk(5))))
        bench.decoder = Decoder()
        await cycle(dut, int(bench.rng.integers(100, 6000)))
        sender.cancel()
        dut.tx_valid_i.value = 0
        await reset(dut)
        await cycle(dut, 40)
        bench.decoder = None
        bench.fresh()
        await bench.send(requests.read(BOARD, 1))
        await bench.send(requests.hello())
        await bench.send(requests.read(LINK_ERRORS) + requests.read(BOARD + 0x24))
        await fill(bench, requests)
        await bench.send(b"".join(requests.chunk()))
    await settled(bench, requests)


@cocotb.test(timeout_time=100, timeout_unit="ms")
async def test_board(dut):
    """Resets of the chip, its owner, the interrupt, cycles of one reading, dirty bits."""
    bench, requests = await started(dut)
    for value in (1, 2, 0, 3, 0xFFFFFFFC, 1):
        await bench.send(requests.write(BOARD + 0x28, [0x12345678]) + requests.write(BOARD + 0x10, [value]) + requests.read(BOARD + 0x28))
    assert bench.resets == [False, True, True, False]
    for irq in (1, 0):
        dut.irq_i.value = irq
        await cycle(dut, 2)
        await bench.send(requests.read(BOARD + 0x1C))
    seen, addresses = Coverage(), [0, 255, 256, 0x2000, 0x20F8, 0x2100, 0x4000, 0x10000, 0x80000, 0xFFFFFFF8]
    for number in range(40):
        address = int(addresses[number % 10] if number < 20 else bench.rng.integers(0, bench.memory.size)) & ~7
        await bench.store(address, int(bench.rng.integers(1 << 32)))
        await bench.send(requests.read(BOARD + 0x100, 64))
        if number % 3 == 0:
            await bench.send(requests.write(BOARD + 0x100, bench.rng.integers(0, 1 << 32, 64).tolist()) + requests.read(BOARD + 0x100, 2))
        seen.hit("dirty", bool(bench.bridge.dirty.any()))
        seen.hit("clean", not bench.bridge.dirty.any())
    seen.require(["dirty"])
    before = int(dut.cycles_o.value)
    answer, = await bench.ask(requests.read(CYCLES, 2))
    assert before < struct.unpack("<Q", answer[4:])[0] < int(dut.cycles_o.value)
    requests.sequence = (requests.sequence - 1) % 256  # the golden bridge has not seen that one
    await bench.send(requests.hello())
    await settled(bench, requests)
