# SPDX-License-Identifier: Apache-2.0
"""lathe_weights: the slot ring against pymodels.weights, cycle by cycle."""

import cocotb

from pymodels.weights import WeightGroup
from tb.common.actors import Coverage, cycle, reset, rng, start_clock_and_reset

SLOTS = (2, 3, 4)


class Bench:
    """Gives one pulse per `step` and compares all outputs two cycles later."""

    def __init__(self, dut):
        self.dut, self.model, self.seen = dut, WeightGroup(), Coverage()
        self.compared = 0

    async def start(self):
        await start_clock_and_reset(self.dut)
        self.compare("power-on")

    async def power_on(self):
        await reset(self.dut)
        self.model = WeightGroup()
        self.compare("power-on")

    async def init(self, base, size, slots, version):
        dut = self.dut
        dut.init_base_i.value, dut.init_size_i.value = base, size
        dut.init_slots_i.value, dut.init_version_i.value = slots, version
        self.model.init(base, size, min(max(slots, 2), 4), version)
        await self.step("init_i")
        dut.init_base_i.value = dut.init_size_i.value = 0x5A5A  # only the pulse latches them

    async def commit(self):
        self.seen.hit(("wrap", self.model.slots), self.model.slot_next == 0)
        self.seen.hit(("full", self.model.slots), self.model.kept == self.model.slots - 2)
        self.model.commit()
        await self.step("commit_i")

    async def rollback(self):
        self.seen.hit(("back over slot 0", self.model.slots), self.model.kept and self.model.slot == 0)
        done = self.model.rollback()
        self.seen.hit(("rollback", self.model.slots, done))
        await self.step("rollback_i")

    async def step(self, pulse):
        getattr(self.dut, pulse).value = 1
        await cycle(self.dut)
        getattr(self.dut, pulse).value = 0
        await cycle(self.dut, 2)
        self.compare(pulse)

    def compare(self, what):
        dut, m = self.dut, self.model
        got = {name: int(getattr(dut, f"{name}_o").value) for name in
               ("base_current", "base_next", "size", "slot_current", "slot_next", "version", "kept")}
        want = {"base_current": m.first_word(m.slot) & 0xFFFF, "base_next": m.first_word(m.slot_next) & 0xFFFF,
                "size": m.size, "slot_current": m.slot, "slot_next": m.slot_next, "version": m.version, "kept": m.kept}
        assert got == want, f"after {what}: {got}, expected {want}"
        self.compared += 1


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def test_corners(dut):
    """Each number of slots: around the ring twice, back as far as it goes and once more; wrapping versions and addresses."""
    bench = Bench(dut)
    await bench.start()
    await bench.commit()  # works unconfigured, too
    for slots in SLOTS:
        for base, size, version in ((0, 1, 0), (17, 300, 0xFFFFFFFE), (0xFFFF, 0xFFFF, 1), (4096, 0, 5)):
            await bench.init(base, size, slots, version)
            await bench.rollback()
            for _ in range(2 * slots + 1):
                await bench.commit()
            for _ in range(slots):
                await bench.rollback()
            await bench.commit()
    bench.seen.require((name, slots) for name in ("wrap", "full") for slots in SLOTS)
    bench.seen.require(("rollback", slots, False) for slots in SLOTS)
    bench.seen.require([("rollback", 3, True), ("rollback", 4, True)])


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def test_slots_outside(dut):
    """A number of slots that cannot be is taken as the nearest that can."""
    bench = Bench(dut)
    await bench.start()
    for slots in (0, 1, 5, 6, 7):
        await bench.init(100, 10, slots, 7)
        for _ in range(5):
            await bench.commit()
        await bench.rollback()


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def test_random(dut):
    """Random walks; power-on in between forgets everything."""
    bench, generator = Bench(dut), rng()
    await bench.start()
    for _ in range(1500):
        kind = generator.random()
        if kind < 0.03:
            await bench.init(int(generator.integers(1 << 16)), int(generator.integers(1 << 14)),
                             int(generator.integers(2, 5)), int(generator.integers(1 << 32)))
        elif kind < 0.035:
            await bench.power_on()
        elif kind < 0.6:
            await bench.commit()
        else:
            await bench.rollback()
    bench.seen.require([("back over slot 0", 3), ("back over slot 0", 4)])
    assert bench.compared >= 1500
