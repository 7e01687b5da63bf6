# SPDX-License-Identifier: Apache-2.0
"""lathe_board_memory: bursts like those of lathe_dma and 32-bit accesses at the same time against an array, dirty bits, reset."""

import cocotb
import numpy as np

from tb.common.actors import Coverage, cycle, quiet, reset, rng, stalls, start_clock_and_reset

PAGE = 4096
OKAY, DECERR = 0, 3


class Axi:
    """A master that makes one burst a time each way; every channel pauses in a share of the cycles."""

    def __init__(self, dut):
        self.dut, self.size, self.pause = dut, 2 * int(dut.Lanes.value), stalls(0)
        for channel in ("ar", "aw"):
            self.pin(f"{channel}size").value = self.size.bit_length() - 1
            self.pin(f"{channel}burst").value = 1
            self.pin(f"{channel}valid").value = 0
        self.pin("wstrb").value = (1 << self.size) - 1
        for name in ("wvalid", "bready", "rready"):
            self.pin(name).value = 0

    def pin(self, name):
        return getattr(self.dut, f"s_axi_{name}")

    async def _take(self, mine: str, theirs: str) -> None:
        """Pause, then hold `mine` high until `theirs` is high at an edge as well."""
        while next(self.pause):
            await cycle(self.dut)
        self.pin(mine).value = 1
        await cycle(self.dut)
        while not int(self.pin(theirs).value):
            await cycle(self.dut)
        self.pin(mine).value = 0

    async def _address(self, channel: str, address: int, beats: int) -> None:
        self.pin(f"{channel}addr").value = address
        self.pin(f"{channel}len").value = beats - 1
        await self._take(f"{channel}valid", f"{channel}ready")

    async def read(self, address: int, beats: int) -> list[tuple[bytes, int]]:
        """Data and response of each beat."""
        await self._address("ar", address, beats)
        result = []
        for beat in range(beats):
            await self._take("rready", "rvalid")
            result.append((int(self.pin("rdata").value).to_bytes(self.size, "little"), int(self.pin("rresp").value)))
            assert int(self.pin("rlast").value) == (beat == beats - 1)
        return result

    async def write(self, address: int, data: bytes) -> int:
        """Write a burst and return the response."""
        beats = len(data) // self.size
        await self._address("aw", address, beats)
        for beat in range(beats):
            self.pin("wdata").value = int.from_bytes(data[beat * self.size:(beat + 1) * self.size], "little")
            self.pin("wlast").value = int(beat == beats - 1)
            await self._take("wvalid", "wready")
            self.pin("wdata").value = rng(beat).integers(1 << 32).item()
        await self._take("bready", "bvalid")
        return int(self.pin("bresp").value)


class Bus:
    """The second port."""

    def __init__(self, dut):
        self.dut = dut
        dut.req_i.value = dut.dirty_req_i.value = 0

    async def access(self, address: int, value: int | None = None, dirty: bool = False, most: int = 400) -> int:
        """Read, or write `value`; an acknowledge must come within `most` cycles."""
        dut = self.dut
        request, ack, data = ((dut.dirty_req_i, dut.dirty_ack_o, dut.dirty_rdata_o) if dirty else (dut.req_i, dut.ack_o, dut.rdata_o))
        dut.write_i.value, dut.addr_i.value, dut.wdata_i.value = int(value is not None), address, value or 0
        request.value = 1
        await cycle(dut)
        request.value = 0
        for _ in range(most):
            await cycle(dut)
            if int(ack.value):
                return int(data.value)
        raise AssertionError(f"no acknowledge within {most} cycles")


class Bench:
    def __init__(self, dut):
        self.dut, self.rng, self.axi, self.bus = dut, rng(), Axi(dut), Bus(dut)
        self.bytes = int(dut.Bytes.value)
        self.memory = np.zeros(self.bytes, np.uint8)
        self.dirty = np.zeros(2048, bool)
        self.compared, self.seen = 0, Coverage()

    def burst(self) -> tuple[int, int]:
        """Address and beats of a burst as the DMA unit makes them, some outside or across the memory's end."""
        size = self.axi.size
        beats = int(self.rng.choice([1, 2, 3, 7, 16, 64]))
        kind = int(self.rng.integers(6))
        at = (int(self.rng.integers(self.bytes)), self.bytes - size * int(self.rng.integers(0, 4)), self.bytes,
              int(self.rng.integers(1 << 32)), int(self.rng.integers(256)), int(self.rng.integers(self.bytes)))[kind]
        at &= -size & 0xFFFFFFFF
        return at, min(beats, (PAGE - at % PAGE) // size)

    async def fill(self):
        for at in range(0, self.bytes, 4):
            value = int(self.rng.integers(1 << 32))
            await self.bus.access(at, value)
            self.put(at, value.to_bytes(4, "little"))

    def put(self, at: int, data: bytes, chip: bool = False):
        """Bytes into the array, as far as they are in it."""
        data = np.frombuffer(data, np.uint8)[:max(0, self.bytes - at)]
        self.memory[at:at + data.size] = data
        if chip and data.size:
            self.dirty[at // 256:(at + data.size - 1) // 256 + 1] = True

    async def write(self, at, beats):
        data = self.rng.bytes(beats * self.axi.size)
        self.put(at, data, chip=True)  # nobody looks at it before the response
        response = await self.axi.write(at, data)
        assert response == (DECERR if at + len(data) > self.bytes else OKAY), f"write at {at:#x}, {beats} beats: response {response}"
        self.seen.hit(("write", response))

    async def read(self, at, beats):
        for beat, (data, response) in enumerate(await self.axi.read(at, beats)):
            here = at + beat * self.axi.size
            assert response == (DECERR if here >= self.bytes else OKAY), f"read at {here:#x}: response {response}"
            self.seen.hit(("read", response))
            if response == OKAY:
                assert data == self.memory[here:here + len(data)].tobytes(), f"read at {here:#x}"
            self.compared += 1

    async def compare(self):
        """All of it by the second port, and the dirty bits."""
        words = [await self.bus.access(at) for at in range(0, self.bytes, 4)]
        assert np.array_equal(np.array(words, "<u4").view(np.uint8), self.memory)
        bits = [await self.bus.access(4 * i, dirty=True) for i in range(64)]
        assert np.array_equal(np.unpackbits(np.array(bits, "<u4").view(np.uint8), bitorder="little"), self.dirty)
        self.compared += self.bytes


async def started(dut):
    quiet(dut)
    bench = Bench(dut)  # the AXI pins have their values before the first edge
    await start_clock_and_reset(dut)
    assert await bench.bus.access(0, dirty=True, most=2200) == 0  # it waits until all bits are cleared
    await bench.fill()
    return bench


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def test_bursts(dut):
    """Bursts inside, outside and across the end, with pauses on every channel; nothing outside is written."""
    bench = await started(dut)
    for number in range(120):
        bench.axi.pause = stalls((0, 0.5, 0.9)[number % 3], rng(number))
        await (bench.write if number % 2 else bench.read)(*bench.burst())
        if number % 2:
            at, beats = bench.burst()
            await bench.read(at, beats)
    await bench.compare()
    bench.seen.require([(kind, response) for kind in ("read", "write") for response in (OKAY, DECERR)])


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def test_both_ports(dut):
    """32-bit accesses between bursts both ways; each touches blocks of its own, dirty bits are read and cleared meanwhile."""
    bench = await started(dut)
    half = bench.bytes // 512 * 256  # the bursts write below, the second port above
    running = [True]

    async def bursts(write: bool):
        generator = rng(10 + write)
        while running[0]:
            beats = int(generator.choice([1, 5, 64]))
            at = int(generator.integers(half)) & -bench.axi.size
            beats = min(beats, (half - at) // bench.axi.size, (PAGE - at % PAGE) // bench.axi.size)
            if write:
                await bench.write(at, beats)
            else:  # the writes change it meanwhile
                assert all(response == OKAY for _, response in await bench.axi.read(at, beats))

    tasks = [cocotb.start_soon(bursts(False)), cocotb.start_soon(bursts(True))]
    for number in range(300):
        if number == 150:
            bench.axi.pause = stalls(0.5, rng(2))
        at = half + 4 * int(bench.rng.integers((bench.bytes - half) // 4))
        if bench.rng.random() < 0.5:
            value = int(bench.rng.integers(1 << 32))
            bench.put(at, value.to_bytes(4, "little"))
            await bench.bus.access(at, value)
        else:
            assert await bench.bus.access(at) == int.from_bytes(bench.memory[at:at + 4].tobytes(), "little")
        if number % 30 == 0:
            first = await bench.bus.access(0, dirty=True)
            assert not first >> (half // 256), "a write of the second port left a mark"
    running[0] = False
    for task in tasks:
        await task
    await bench.compare()


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def test_rate(dut):
    """One word a cycle both ways at the same time."""
    bench = await started(dut)
    axi = bench.axi
    at, beats = 0, min(64, bench.bytes // axi.size)
    for channel, ready in (("ar", "rready"), ("aw", "wvalid")):
        axi.pin(f"{channel}addr").value, axi.pin(f"{channel}len").value, axi.pin(f"{channel}valid").value = at, beats - 1, 1
        axi.pin(ready).value = 1
    axi.pin("wlast").value = 0
    moved = {"r": 0, "w": 0}
    for count in range(beats + 6):
        await cycle(dut)
        if count == 0:
            axi.pin("arvalid").value = axi.pin("awvalid").value = 0
        for channel in moved:
            if int(axi.pin(f"{channel}valid").value) and int(axi.pin(f"{channel}ready").value):
                moved[channel] += 1
        axi.pin("wlast").value = int(moved["w"] == beats - 1)
        if moved["w"] == beats:
            axi.pin("wvalid").value = 0
    assert moved == {"r": beats, "w": beats}, moved


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def test_dirty(dut):
    """Clearing takes what the mask names, and never a mark of the same time; blocks at both ends."""
    bench = await started(dut)
    blocks = bench.bytes // 256
    for number in range(30):
        for block in (0, blocks - 1, int(bench.rng.integers(blocks))):
            await bench.write(256 * block, 1)
        word, mask = int(bench.rng.integers(3)), int(bench.rng.integers(1 << 32))
        bench.dirty[32 * word:32 * word + 32] &= ~np.array([mask >> i & 1 for i in range(32)], bool)
        await bench.bus.access(4 * word, mask, dirty=True)
        got = await bench.bus.access(4 * word, dirty=True)
        assert got == sum(int(bit) << i for i, bit in enumerate(bench.dirty[32 * word:32 * word + 32])), number
    for _ in range(20):  # all marks but one are cleared while the chip writes that block
        for block in range(min(blocks, 32)):
            await bench.write(256 * block, 1)
        block = int(bench.rng.integers(min(blocks, 32)))
        clearing = cocotb.start_soon(bench.bus.access(0, 0xFFFFFFFF & ~(1 << block), dirty=True))
        await cycle(dut, int(bench.rng.integers(1, 8)))
        await bench.write(256 * block, 8)
        await clearing
        assert await bench.bus.access(0, dirty=True) == 1 << block
        bench.dirty[:32] = False
        bench.dirty[block] = True
    await bench.compare()


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def test_reset(dut):
    """A reset of the master in the middle of bursts: the port is idle again, memory and marks stay, the second port goes on."""
    bench = await started(dut)
    beats = 256 // bench.axi.size
    for number in range(12):
        bench.axi.pause = stalls(0.3, rng(number))
        at = 256 * int(bench.rng.integers(bench.bytes // 256 - 1))
        kept = bench.memory.copy()
        task = cocotb.start_soon(bench.axi.read(at, beats) if number % 2 else bench.write(at, beats))
        await cycle(dut, int(bench.rng.integers(3, 25)))
        task.cancel()
        dut.rst_ni.value = 0
        access = cocotb.start_soon(bench.bus.access(bench.bytes - 4))
        for name in ("arvalid", "awvalid", "wvalid", "bready", "rready"):
            bench.axi.pin(name).value = 0
        await cycle(dut, 3)
        dut.rst_ni.value = 1
        assert await access == int.from_bytes(kept[-4:].tobytes(), "little")
        if not number % 2:  # as far as it came
            words = [await bench.bus.access(a) for a in range(at, at + 256, 4)]
            got = np.array(words, "<u4").view(np.uint8)
            assert ((got == bench.memory[at:at + 256]) | (got == kept[at:at + 256])).all()
            bench.memory[at:at + 256] = got
            await bench.write(at, beats)
        await bench.read(at, beats)
    await bench.compare()
    await reset(dut)  # with power-on: marks are gone, memory is as it was
    dut.por_ni.value = 0
    await cycle(dut, 2)
    dut.por_ni.value = 1
    await cycle(dut)
    bench.dirty[:] = False
    await bench.bus.access(0, dirty=True, most=2200)
    await bench.compare()
