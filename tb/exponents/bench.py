# SPDX-License-Identifier: Apache-2.0
"""lathe_exponents: lookups, retired commands and host accesses against pymodels.exponents, in the order of the handshakes."""

import cocotb
from cocotb.triggers import RisingEdge

from pymodels.exponents import ExponentFile
from pymodels.numerics import Result
from tb.common.actors import Coverage, cycle, reset, rng, stalls, start_clock_and_reset
from tb.common.structs import struct

TOPS = struct("tops_t")
CLEAR = 128  # cycles after power-on


def signed8(value):
    return value - 256 if value & 0x80 else value


class Bench:
    def __init__(self, dut, seed=0):
        self.dut, self.model, self.seen = dut, ExponentFile(), Coverage()
        self.edge = RisingEdge(dut.clk_i)
        self.rng = rng(seed)
        self.compared = 0
        self.looked_up = self.wanted = self.assigned = None
        self.share = 0.5           # of the cycles in which something is looked up
        self.busy: set[int] = set()  # logical registers whose history is still to be written

    async def start(self):
        for name in ("lookup", "retire_valid", "host_valid"):
            getattr(self.dut, f"{name}_i").value = 0
        await start_clock_and_reset(self.dut)
        await self.clear()
        cocotb.start_soon(self._watch())

    async def clear(self):
        for _ in range(CLEAR + 1):
            if int(self.dut.ready_o.value):
                return
            await cycle(self.dut)
        raise AssertionError("clearing takes too long")

    async def power_on(self):
        self.share = 0
        await cycle(self.dut, 2)
        await reset(self.dut)
        self.model.reset()
        await self.clear()
        self.share = 0.5

    async def _watch(self):
        """Model of everything: compares the lookup of this cycle, then applies this cycle's handshakes."""
        dut, model = self.dut, self.model
        while True:
            await self.edge
            if not int(dut.por_ni.value):
                self.looked_up = self.wanted = self.assigned = None
                self.busy = set()
                dut.lookup_i.value = 0
                continue
            retiring = [int(dut.retiring_o.value) >> 8 * r & 0xFF for r in range(3)]
            self.busy = {word & 0x7F for word in retiring if word & 0x80}
            for name, value in (self.wanted or {}).items():  # the answers to the cycle before
                got = int(dut.result_static_o.value) if name == "static" else getattr(dut, f"{name}_exp_o").value.to_signed()
                assert got == value, f"lookup, {name}: {got}, expected {value}"
                self.compared += 1
            self.wanted, assigned = None, self.assigned
            self.assigned = None
            if self.looked_up is not None:
                source, result, assign = self.looked_up
                self.wanted = {"source": model.exp[source], "result": model.next_of(result),
                               "static": model.static[model.logical(result)]}
                exp = self.wanted["result"] if self.rng.random() < 0.5 else int(self.rng.integers(-64, 64))
                if assign:
                    self.assigned = (result, exp)
                dut.assign_exp_i.value = exp & 0xFF
                if self.busy:  # issue asks for no result whose history is still to be written
                    del self.wanted["result"]
                self.seen.hit("assigned", assign)
                self.seen.hit("another", assign and exp != model.next_of(result))
                self.seen.hit("in place", assign and source == result)
            if assigned:
                model.begin(*assigned)
            if int(dut.host_valid_i.value) and int(dut.host_ready_o.value):
                index = int(dut.host_index_i.value)
                assert int(dut.host_rdata_o.value) == model.host_read(index), f"host read {index}"
                self.compared += 1
                if int(dut.host_write_i.value):
                    model.host_write(index, int(dut.host_wdata_i.value))
            if int(dut.retire_valid_i.value) and int(dut.retire_ready_o.value):
                tops = TOPS.unpack(int(dut.retire_i.value))
                for r, (ref, top) in enumerate(zip(tops["result"], (*tops["top"], tops["top"][0]), strict=True)):
                    if not ref["write"]:
                        continue
                    self.busy.add(ref["index"])
                    model.retire(ref["index"], Result(track=1, top=signed8(top)), r == 2 or (bool(tops["int8"]) and r == 0))
                    logical = ref["index"]
                    self.seen.hit("window full", len(model.history[logical]) == 16)
                    self.seen.hit("static tracked", bool(model.static[logical]))
                    self.seen.hit("lowest", model.next[logical] == -64)
                    self.seen.hit("highest", model.next[logical] == 63)
                    self.seen.hit("int8", bool(tops["int8"]) and r == 0)
                self.seen.hit(tuple(ref["write"] for ref in tops["result"]))
            self.look_up()

    def look_up(self):
        """Ask for random registers in the next cycle; assign a result only if no history is still to be written."""
        dut, generator = self.dut, self.rng
        self.looked_up = None
        source, result = (int(x) for x in generator.integers(128, size=2))
        if generator.random() < 0.2:
            source = result
        assign = int(generator.integers(2))
        if self.busy or int(dut.retire_valid_i.value):
            assign = 0
        dut.source_i.value, dut.result_i.value, dut.assign_i.value = source, result, assign
        dut.lookup_i.value = 0
        if generator.random() < self.share:
            dut.lookup_i.value = 1
            self.looked_up = (source, result, assign)

    async def retire(self, index, top=0, int8=0, second=None, copy=None):
        """Tops of logical register `index` and of a second result, (index, top); `copy`: register of an int8 copy of the first."""
        dut = self.dut
        other, other_top = second or (0, 0)
        dut.retire_i.value = TOPS.pack({"int8": int8, "top": [top & 0xFF, other_top & 0xFF],
                                        "result": [{"write": 1, "index": index}, {"write": int(second is not None), "index": other},
                                                   {"write": int(copy is not None), "index": copy or 0}]})
        dut.retire_valid_i.value = 1
        for _ in range(600):
            await self.edge
            if int(dut.retire_valid_i.value) and int(dut.retire_ready_o.value):
                break
        else:
            raise AssertionError("retire takes too long")
        dut.retire_valid_i.value = 0

    async def host(self, index, data=None):
        dut = self.dut
        dut.host_index_i.value, dut.host_write_i.value = index, int(data is not None)
        dut.host_wdata_i.value = data or 0
        dut.host_valid_i.value = 1
        for _ in range(1000):
            await self.edge
            if int(dut.host_valid_i.value) and int(dut.host_ready_o.value):
                break
        else:
            raise AssertionError("host access takes too long")
        dut.host_valid_i.value = 0
        return signed8(int(dut.host_rdata_o.value) >> 8 & 0xFF)

    async def read_all(self):
        for index in range(128):
            await self.host(index)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def test_power_on(dut):
    """All zero after power-on, whatever was there."""
    bench = Bench(dut)
    await bench.start()
    await bench.read_all()
    for index in (0, 63, 64, 127):
        await bench.host(index, 0x1_00C0 | index)
        await bench.retire(bench.model.logical(index), 20)
    await bench.power_on()
    await bench.read_all()
    await bench.retire(0, -20)  # the history is empty again: nothing else in the maximum
    assert await bench.host(0) == -34
    assert bench.compared > 256


@cocotb.test(timeout_time=4, timeout_unit="ms")
async def test_corners(dut):
    """Window of 16 tops, both clamps, int8, a static register, emptying, both results in one register."""
    bench = Bench(dut)
    await bench.start()
    for index in (0, 63, 64, 79, 95, 127):
        logical = bench.model.logical(index)
        for top in (-127, 127, *([-127] * 16), 77, 78, *([-50] * 16), *([-51] * 17)):
            await bench.retire(logical, top)
            assert await bench.host(index) == bench.model.next_of(index)
        await bench.host(index, 0x1_0000 | 0xF6)      # static -10
        await bench.retire(logical, 40)
        assert await bench.host(index) == -10
        await bench.host(index, 0x07)                 # not static, history empty
        assert await bench.host(index) == 7
        await bench.retire(logical, 3)
        assert await bench.host(index) == -11
        await bench.retire(logical, 3, int8=1)
        assert await bench.host(index) == -3
        for top in (-58, -57, 68, 69, 70, 127):
            await bench.host(index, 0)
            await bench.retire(logical, top, int8=1, second=(5, top))
            assert await bench.host(index) == min(max(top - 6, -64), 63)
        await bench.host(index, 0)
        await bench.retire(logical, 9, int8=1, second=(logical, 8))
        assert await bench.host(index) == -5
        await bench.host(index, 0)
        await bench.retire(logical, 9, second=(6, 30), copy=7)
        assert await bench.host(7) == 3
        await bench.retire(6, 3, copy=logical)
        await bench.host(7, 0)
        assert await bench.host(index) == 3
    # A slot's copy keeps its exponent; next, static and history belong to all copies
    await bench.host(112 + 3, 0)
    await bench.retire(64 + 3, 20)
    await bench.retire(64 + 3, 10)
    assert await bench.host(112 + 3) == 6
    bench.seen.require(["window full", "static tracked", "lowest", "highest", "int8", (1, 1, 0), (1, 1, 1), (1, 0, 1), "assigned",
                        "another", "in place"])
    await bench.read_all()


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def test_random(dut):
    """Commands retire while others look up and the host reads and writes, with pauses."""
    bench = Bench(dut, 1)
    await bench.start()
    few = [int(i) for i in bench.rng.choice(128, 8, replace=False)] + [64, 80]
    for pause, bench.share in ((0.95, 0.7), (0.9, 0.1), (0.97, 0.5)):

        async def host_traffic(generator, pause=pause):
            wait = stalls(pause, generator)
            while True:
                while next(wait):
                    await bench.edge
                index = int(generator.choice(few)) if generator.random() < 0.8 else int(generator.integers(128))
                data = int(generator.integers(1 << 17)) if generator.random() < 0.1 else None
                if data is not None:
                    data &= 0x0_FFFF if generator.random() < 0.5 else 0x1_FFFF
                await bench.host(index, data)

        traffic = cocotb.start_soon(host_traffic(rng(5)))
        wait, generator = stalls(pause, rng(6)), rng(7)
        for _ in range(300):
            while next(wait):
                await bench.edge
            first, other = (bench.model.logical(int(i)) for i in generator.choice(few, 2))
            second = (other, int(generator.integers(-127, 128))) if generator.random() < 0.4 else None
            copy = bench.model.logical(int(generator.choice(few))) if generator.random() < 0.3 else None
            await bench.retire(first, int(generator.integers(-127, 128)), int(generator.random() < 0.2), second, copy)
            await bench.edge
        traffic.cancel()
        dut.host_valid_i.value = 0
        await bench.edge
    await bench.read_all()
    bench.seen.require(["window full", "static tracked", (1, 1, 0), (1, 1, 1), (1, 0, 1), "int8", "assigned", "another", "in place"])
    assert bench.compared > 2000


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def test_rates(dut):
    """A top takes ten cycles when nothing is looked up; the registers are named meanwhile."""
    bench = Bench(dut)
    bench.share = 0
    await bench.start()
    await bench.retire(70, 3, second=(9, 4), copy=11)
    named = []
    for _ in range(32):
        await bench.edge
        named.append([int(dut.retiring_o.value) >> 8 * r & 0xFF for r in range(3) if int(dut.retiring_o.value) >> 8 * r & 0x80])
        assert int(dut.retire_ready_o.value) == (not named[-1])
    assert named == [[0x80 | 70, 0x80 | 9, 0x80 | 11]] * 10 + [[0x80 | 9, 0x80 | 11]] * 10 + [[0x80 | 11]] * 10 + [[], []], named
    assert await bench.host(70) == -11 and await bench.host(9) == -10 and await bench.host(11) == -3
