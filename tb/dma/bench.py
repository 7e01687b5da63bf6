# SPDX-License-Identifier: Apache-2.0
"""lathe_dma between a scratchpad and an AXI memory: every word, every burst, errors, reset."""

import cocotb
import numpy as np

from tb.common.actors import CommandDriver, ScratchpadPorts, cycle, rng, start_clock_and_reset
from tb.common.ports import to_word
from tb.common.structs import constant
from tb.dma.axi_memory import PAGE, AxiMemory

WORDS = 2048
BASE = 0x8000_0000


class Bench:
    def __init__(self, dut, stall=0.0, latency=0):
        self.dut, self.lanes = dut, int(dut.Lanes.value)
        self.bytes = 2 * self.lanes
        self.rng = rng()
        self.pad = ScratchpadPorts(dut, WORDS, self.lanes, stall=stall)
        self.pad.memory[:] = self.rng.integers(-32768, 32768, self.pad.memory.shape)
        self.axi = AxiMemory(dut, self.lanes, stall=stall, latency=latency)
        self.driver = CommandDriver(dut)
        self.moved = 0

    def set_stall(self, p):
        self.pad.set_stall(p)
        self.axi.set_stall(p)

    def command(self, op, m, n, addr, stride, mem_addr, mem_stride):
        operand = 2 if op == "Load" else 0
        return {"op": constant(f"Dma{op}"), "m": m, "n": n, "t": {operand: {"addr": addr, "stride": stride}},
                "mem_addr": mem_addr, "mem_stride": mem_stride % (1 << 32)}

    def places(self, m, n, addr, stride, mem_addr, mem_stride):
        """(scratchpad word, memory word) of every word in order."""
        return [(addr + row * stride + i, (mem_addr + row * mem_stride) % (1 << 32) // self.bytes + i)
                for row in range(m) for i in range(n)]

    def bursts(self, kind, m, n, mem_addr, mem_stride):
        """As long as the rules allow."""
        result = []
        for row in range(m):
            address, left = (mem_addr + row * mem_stride) % (1 << 32), n
            while left:
                beats = min(64, left, (PAGE - address % PAGE) // self.bytes)
                result.append((kind, address, beats))
                address, left = address + beats * self.bytes, left - beats
        return result

    async def load(self, *shape):
        """Run a load, compare the whole scratchpad; returns done_t. Words from a failing beat on must not be written."""
        expected, failed = self.pad.memory.copy(), False
        good = 0
        for pad, word in self.places(*shape):
            failed = failed or self.axi.response(word) != 0
            if failed:
                break
            expected[pad] = np.frombuffer(self.axi.read(word).to_bytes(self.bytes, "little"), "<i2")
            good += 1
        self.pad.written.clear()
        self.axi.bursts.clear()
        done = await self.driver.run(self.command("Load", *shape))
        assert np.array_equal(self.pad.memory, expected), f"load {shape}"
        assert sum(self.pad.written.values()) == good
        self.finish("read", done, failed, shape)
        return done

    async def store(self, *shape):
        """Run a store, compare all memory (if it does not fail)."""
        expected = dict(self.axi.words)
        failed = any(self.axi.response(word) for _, word in self.places(*shape))
        expected.update((word, to_word(self.pad.memory[pad])) for pad, word in self.places(*shape))
        before = self.pad.memory.copy()
        self.pad.written.clear()
        self.axi.bursts.clear()
        done = await self.driver.run(self.command("Store", *shape))
        if not failed:
            assert self.axi.words == expected, f"store {shape}"
        else:
            wrong = {w for w, data in self.axi.words.items() if data != expected[w]}
            assert not wrong or not wrong - {w for _, w in self.places(*shape)}
        assert np.array_equal(self.pad.memory, before) and not self.pad.written
        self.finish("write", done, failed, shape)
        return done

    def finish(self, kind, done, failed, shape):
        assert done["error"] == (constant("ErrMemory") if failed else 0), f"{kind} {shape}: error {done['error']}"
        assert not done["saturations"] and not any(any(r.values()) for r in done["result"])
        assert not self.axi.reads and not self.axi.writes and not self.axi.data and not self.axi.answers, "responses outstanding"
        m, n, _, _, mem_addr, mem_stride = shape
        wanted = self.bursts(kind, m, n, mem_addr, mem_stride)
        assert self.axi.bursts == (wanted[: len(self.axi.bursts)] if failed else wanted), f"{kind} {shape}"
        self.moved += m * n


async def started(dut, stall=0.0, latency=0):
    await start_clock_and_reset(dut)
    return Bench(dut, stall, latency)


@cocotb.test(timeout_time=4, timeout_unit="ms")
async def test_corners(dut):
    """Lengths around a burst and a page, addresses around 4 KiB and at both ends, strides of every kind."""
    bench = await started(dut)
    size = bench.bytes
    page = PAGE // size
    for kind in (bench.load, bench.store):
        for n in (1, 2, 3, 63, 64, 65, 127, 128, 129, page - 1, page, page + 1):
            for offset in (0, PAGE - size, PAGE - 3 * size, size):
                await kind(1, n, 5, n, BASE + offset, 0)
        row = 9
        for stride in (row * size, row * size + size, PAGE, PAGE - size, 0x1000_0000, -PAGE, -row * size):
            await kind(7, row, 100, row + 3, BASE + 5 * size, stride)
        await kind(40, 1, 3, 1, BASE, PAGE + size)
        await kind(40, 1, 3, 7, BASE, size)
        await kind(1, 20, 0, 0, 0, 0)
        await kind(1, 20, WORDS - 20, 20, (1 << 32) - 20 * size, 0)
    await bench.load(5, 9, 700, 9, BASE, 0)  # one row of memory over and over
    bench.axi.seen.require([(kind, what) for kind in ("read", "write") for what in ("longest", "to the page's end")])


@cocotb.test(timeout_time=4, timeout_unit="ms")
async def test_random(dut):
    """Random shapes and places; pauses in 0 to 90 percent of the cycles on every channel; slow memory, also one
    that takes a write's address only when its data are offered."""
    bench = await started(dut)
    for number in range(48):
        bench.set_stall((0.0, 0.3, 0.6, 0.9)[number % 4])
        bench.axi.latency = int(bench.rng.choice([0, 0, 5, 40]))
        bench.axi.data_first = number % 5 == 1
        m = int(bench.rng.integers(1, 8))
        n = int(bench.rng.choice([1, 2, 5, 17, 64, 90])) if number % 4 < 3 else int(bench.rng.integers(1, 12))
        gap = int(bench.rng.integers(0, 5))
        shape = (m, n, int(bench.rng.integers(WORDS - m * (n + gap))), n + gap,
                 BASE + bench.bytes * int(bench.rng.integers(1 << 16)), bench.bytes * int(bench.rng.integers(n, 4 * n + 400)))
        await (bench.load if bench.rng.random() < 0.5 else bench.store)(*shape)
    bench.axi.seen.require([("under way", "read"), ("under way", "write"), ("data", "before its address")])
    assert bench.moved > 1000


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def test_rate(dut):
    """One word per cycle when memory gives it, also from a memory that answers late; counters of waiting."""
    bench = await started(dut)
    counts = {"operand": 0, "result": 0}

    async def count():
        while True:
            await cycle(dut)
            for name in counts:
                counts[name] += int(getattr(dut, f"stall_{name}_o").value)

    cocotb.start_soon(count())
    for latency in (0, 30):
        bench.axi.latency = latency
        for kind in (bench.load, bench.store):
            await kind(2, 512, 7, 513, BASE, 512 * bench.bytes)
            assert bench.driver.cycles <= 1024 + 2 * latency + 40, f"{kind.__name__}: {bench.driver.cycles} cycles"
    bench.axi.latency = 8
    for kind in (bench.load, bench.store):  # a command alone, its start and end included
        for rows in (1, 64):
            await kind(rows, 512 // rows, 7, 512 // rows, BASE, 1024 * bench.bytes)
            assert bench.driver.cycles <= 512 / 0.96, f"{kind.__name__} of {rows} rows: {bench.driver.cycles} cycles"
    bench.axi.latency = 0
    for channel, kind, name in (("r", bench.load, "operand"), ("w", bench.store, "result")):
        bench.axi.set_stall({channel: 0.8})
        counts.update(operand=0, result=0)
        await kind(1, 128, 0, 128, BASE, 0)
        assert counts[name] > 300 and counts["operand" if name == "result" else "result"] < 20, f"{kind.__name__}: {counts}"
    bench.axi.set_stall(0)
    bench.pad.set_stall(0.8)
    for kind, name in ((bench.load, "result"), (bench.store, "operand")):
        counts.update(operand=0, result=0)
        await kind(1, 128, 0, 128, BASE, 0)
        assert counts[name] > 300 and counts["operand" if name == "result" else "result"] < 20, f"{kind.__name__}: {counts}"
    before = dict(counts)
    await cycle(dut, 20)
    assert counts == before, "an idle unit does not stall"


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def test_errors(dut):
    """DECERR behind the end of memory and SLVERR at single words: error `memory`, then the next command is right."""
    bench = await started(dut)
    size = bench.bytes
    first = BASE // size
    for stall in (0.0, 0.5):
        bench.set_stall(stall)
        for latency in (0, 20):
            bench.axi.latency = latency
            for n, at in ((1, 0), (64, 0), (64, 63), (65, 64), (300, 0), (300, 1), (300, 100), (300, 299)):
                bench.axi.broken = {first + at}
                for kind in (bench.load, bench.store):
                    assert (await kind(2, n, 11, n, BASE, n * size))["error"]
                bench.axi.broken = {first + at, first + at + 1, first + n}
                assert (await bench.load(2, n, 11, n, BASE, n * size))["error"]
                bench.axi.broken = set()
                for kind in (bench.load, bench.store):
                    assert not (await kind(1, 7, 40, 7, BASE, 0))["error"]
    bench.axi.limit = BASE + 10 * size
    for kind in (bench.load, bench.store):
        assert not (await kind(1, 10, 0, 10, BASE, 0))["error"]
        assert (await kind(1, 11, 0, 11, BASE, 0))["error"]
        assert (await kind(3, 4, 0, 4, BASE, 0x1000_0000))["error"]
        assert (await kind(1, 1, 0, 1, 0xFFFF_FFE0, 0))["error"]
        assert not (await kind(1, 1, 0, 1, BASE + 9 * size, 0))["error"]


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def test_reset(dut):
    """A reset in the middle ends the command; the next one is right."""
    bench = await started(dut, 0.3, latency=5)
    for wait in (1, 2, 4, 9, 17, 40, 80):
        for op in ("Load", "Store"):
            shape = (3, 70, 20, 80, BASE + 40 * bench.bytes, 0x2000)
            await bench.driver.interrupt(bench.command(op, *shape), wait, 1 + wait % 3)
            for name in ("m_axi_arvalid", "m_axi_awvalid", "m_axi_wvalid", "rd_valid_o", "wr_valid_o"):
                assert not int(getattr(dut, name).value), name
            await (bench.load if op == "Store" else bench.store)(*shape)
    assert bench.moved
