# SPDX-License-Identifier: Apache-2.0
"""lathe_exponents: lookups, retired commands and host accesses against pymodels.exponents, in the order of the handshakes."""

import cocotb
from cocotb.triggers import RisingEdge

from pymodels.exponents import ExponentFile
from pymodels.numerics import Result
from tb.common.actors import Coverage, cycle, reset, rng, stalls, start_clock_and_reset
from tb.common.structs import struct

RESULT = struct("result_t")


def signed8(value):
    return value - 256 if value & 0x80 else value


class Bench:
    def __init__(self, dut, seed=0):
        self.dut, self.model, self.seen = dut, ExponentFile(), Coverage()
        self.edge = RisingEdge(dut.clk_i)
        self.rng = rng(seed)
        self.compared = 0
        self.looked_up = None

    async def start(self):
        await start_clock_and_reset(self.dut)
        cocotb.start_soon(self._watch())

    async def power_on(self):
        await reset(self.dut)
        self.model.reset()

    async def _watch(self):
        """Model of everything: compares the lookup of this cycle, then applies this cycle's handshakes."""
        dut, model = self.dut, self.model
        while True:
            await self.edge
            if not int(dut.por_ni.value):
                self.looked_up = None
                continue
            if self.looked_up is not None:
                index = model.physical(*self.looked_up)
                got = dut.exp_o.value.to_signed(), dut.next_o.value.to_signed(), int(dut.ref_index_o.value)
                want = model.exp[index], model.next_of(index), index
                assert got == want, f"lookup {self.looked_up}: {got}, expected {want}"
                self.compared += 1
            if int(dut.retire_valid_i.value) and int(dut.retire_ready_o.value):
                result = RESULT.unpack(int(dut.retire_i.value))
                index = int(dut.retire_ref_i.value)
                logical = model.logical(index)
                model.retire(index, Result(**result, saturations=0))
                self.seen.hit("window full", len(model.history[logical]) == 16 and bool(result["track"]))
                self.seen.hit("static tracked", bool(model.static[logical] and result["track"]))
                self.seen.hit("lowest", model.next[logical] == -64)
                self.seen.hit("highest", model.next[logical] == 63)
                self.seen.hit("untracked", bool(result["write"]) and not result["track"])
            if int(dut.host_valid_i.value) and int(dut.host_ready_o.value):
                index = int(dut.host_index_i.value)
                assert int(dut.host_rdata_o.value) == model.host_read(index), f"host read {index}"
                self.compared += 1
                if int(dut.host_write_i.value):
                    model.host_write(index, int(dut.host_wdata_i.value))
            self.look_up()

    def look_up(self):
        """Ask for a random register in the next cycle."""
        space = int(self.rng.integers(3))
        register = int(self.rng.integers(64 if space == 0 else 16))
        current, following = (int(x) for x in self.rng.integers(4, size=2))
        self.dut.ref_exp_i.value, self.dut.ref_space_i.value = register, space
        self.dut.slot_current_i.value, self.dut.slot_next_i.value = current, following
        self.looked_up = (register, space, current, following)

    async def retire(self, index, write=1, exp=0, track=1, top=0):
        dut = self.dut
        dut.retire_ref_i.value = index
        dut.retire_i.value = RESULT.pack({"write": write, "exp": exp, "track": track, "top": top})
        dut.retire_valid_i.value = 1
        for _ in range(8):
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
        for _ in range(100):
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
        await bench.retire(index, exp=5, top=20)
    await bench.power_on()
    await bench.read_all()
    await bench.retire(0, exp=1, top=-20)  # the history is empty again: nothing else in the maximum
    assert await bench.host(0) == -34
    assert bench.compared > 256


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def test_corners(dut):
    """Window of 16 tops, both clamps, a static register, emptying, a result that is not tracked."""
    bench = Bench(dut)
    await bench.start()
    for index in (0, 63, 64, 79, 95, 127):
        for step, top in enumerate((-127, 127, *([-127] * 16), 77, 78, *([-50] * 16), *([-51] * 17))):
            await bench.retire(index, exp=-64 if step & 1 else 63, top=top)
            assert await bench.host(index) == bench.model.next_of(index)
        await bench.host(index, 0x1_0000 | 0xF6)      # static -10
        await bench.retire(index, exp=-10, top=40)
        assert await bench.host(index) == -10
        await bench.host(index, 0x07)                 # not static, history empty
        await bench.retire(index, exp=7, track=0, top=99)
        assert await bench.host(index) == 7
        await bench.retire(index, write=0, track=0, exp=1, top=99)
        await bench.retire(index, exp=7, top=3)
        assert await bench.host(index) == -11
    # A slot's copy keeps its exponent; next, static and history belong to all copies
    await bench.retire(64 + 3, exp=11, top=20)
    await bench.retire(80 + 3, exp=12, top=10)
    assert await bench.host(112 + 3) == 6
    bench.seen.require(["window full", "static tracked", "lowest", "highest", "untracked"])
    await bench.read_all()


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def test_random(dut):
    """Commands retire while the host reads and writes, both with pauses."""
    bench = Bench(dut, 1)
    await bench.start()
    few = [int(i) for i in bench.rng.choice(128, 8, replace=False)] + [64, 80]
    for pause in (0.0, 0.5, 0.9):

        async def host_traffic(generator, pause=pause):
            wait = stalls(pause, generator)
            while True:
                while next(wait):
                    await bench.edge
                index = int(generator.choice(few)) if generator.random() < 0.8 else int(generator.integers(128))
                data = int(generator.integers(1 << 17)) if generator.random() < 0.1 else None
                if data is not None:
                    data &= 0x0_FFFF if generator.random() < 0.7 else 0x1_FFFF
                await bench.host(index, data)

        traffic = cocotb.start_soon(host_traffic(rng(5)))
        wait, generator = stalls(pause, rng(6)), rng(7)
        for _ in range(500):
            while next(wait):
                await bench.edge
            await bench.retire(int(generator.choice(few)), int(generator.random() < 0.9), int(generator.integers(-64, 64)),
                               int(generator.random() < 0.8), int(generator.integers(-127, 128)))
            if pause == 0.0:
                await bench.edge  # else the host would never have its turn
        traffic.cancel()
        dut.host_valid_i.value = 0
        await bench.edge
    await bench.read_all()
    bench.seen.require(["window full", "static tracked", "untracked"])
    assert bench.compared > 2000


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def test_withdrawn(dut):
    """A retirement that a reset withdraws before ready changes nothing."""
    bench = Bench(dut)
    await bench.start()
    await bench.retire(70, exp=3, top=9)
    for cycles in (1, 2, 3):
        dut.retire_ref_i.value = 70
        dut.retire_i.value = RESULT.pack({"write": 1, "exp": 30, "track": 1, "top": 100})
        dut.retire_valid_i.value = 1
        await cycle(dut, cycles)
        assert not int(dut.retire_ready_o.value)
        dut.retire_valid_i.value = 0
        await cycle(dut)
        assert await bench.host(70) == -5
    await bench.retire(70, exp=4, top=12)
    assert await bench.host(70) == -2
    await bench.read_all()
