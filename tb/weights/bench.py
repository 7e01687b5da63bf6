# SPDX-License-Identifier: Apache-2.0
"""lathe_weights: the slots against pymodels.weights, cycle by cycle."""

import os

import cocotb

from pymodels.descriptor import Error, UpdateOp
from pymodels.weights import WeightGroup
from tb.common.actors import Coverage, cycle, reset, rng, start_clock_and_reset
from tb.common.structs import struct

MOST = int(os.environ.get("SLOTS", "4"))
SLOTS = range(2, MOST + 1)
GROUP, WEIGHTS = struct("group_t"), struct("weights_t")
COMMIT, ROLLBACK, RESTORE, PIN, UNPIN = (UpdateOp[name] for name in ("COMMIT", "ROLLBACK", "RESTORE", "PIN", "UNPIN"))


class Bench:
    """Drives inputs for a cycle at a time and compares all outputs in every cycle with what the model shows then."""

    def __init__(self, dut):
        self.dut, self.model, self.seen, self.compared = dut, WeightGroup(MOST), Coverage(), 0
        self.answer = None  # the error that is due in the next cycle
        self.past = self.pointers()
        self.held_version = 0

    async def start(self):
        await start_clock_and_reset(self.dut)
        await self.steps(3)

    def pointers(self):
        return self.model.slot, self.model.slot_next, self.model.held

    async def steps(self, count=1):
        """Let cycles pass and compare each."""
        for _ in range(count):
            await cycle(self.dut)
            self.compare()
            self.past, self.answer = self.pointers(), None

    def compare(self):
        dut, m = self.dut, self.model
        shown = WEIGHTS.unpack(int(dut.weights_o.value))
        got = {"answer": int(dut.move_error_o.value) if int(dut.move_done_o.value) else None, "size": int(dut.size_o.value),
               "bases": (int(dut.base_current_o.value), int(dut.base_next_o.value))} | shown
        want = {"answer": self.answer, "size": m.size,
                "bases": (m.first_word(self.past[0]) & 0xFFFF, m.first_word(self.past[1]) & 0xFFFF),
                "version": m.version, "slot": m.slot, "next": m.slot_next, "valid": m.flags("valid"), "pinned": m.flags("pinned"),
                "bad": m.flags("bad"),
                "versions": [slot.version if slot.valid else shown["versions"][i] for i, slot in enumerate(m.table)]
                + shown["versions"][m.slots:]}
        assert got == want, f"{got}, expected {want}"
        if m.held is not None and self.past[2] is not None:
            held = int(dut.slot_held_o.value), int(dut.version_held_o.value), int(dut.base_held_o.value)
            assert held == (m.held, self.held_version & 0xFFFF, m.first_word(m.held) & 0xFFFF), f"held {held}"
        self.compared += 1

    async def init(self, base, size, slots, version):
        dut = self.dut
        if self.model.held is not None:
            await self.release()
        dut.init_group_i.value = GROUP.pack({"base": base, "size": size, "slots": slots, "version": version})
        dut.init_i.value = 1
        await self.steps()
        dut.init_i.value, dut.init_group_i.value = 0, 0  # only the pulse latches them
        self.model.init(base, size, slots, version)
        await cycle(dut, 6)  # first words are being found
        self.past = self.pointers()

    async def power_on(self):
        self.dut.por_ni.value = self.dut.request_busy_i.value = 0
        await reset(self.dut)
        self.model, self.answer = WeightGroup(MOST), None
        await cycle(self.dut, 2)
        self.past = self.pointers()

    def give(self, op, slot=0):
        self.dut.move_valid_i.value, self.dut.move_op_i.value, self.dut.move_slot_i.value = 1, int(op), slot

    async def move(self, op, slot=0):
        """One move that need not wait: in the second cycle after the pulse everything shows it."""
        m = self.model
        self.seen.hit(("wrap", m.slots), op == COMMIT and m.slot_next == 0)
        self.give(op, slot)
        await self.steps()
        self.dut.move_valid_i.value, self.dut.move_op_i.value = 0, 0  # only the pulse latches them
        await self.steps()
        self.answer = error = m.move(op, slot)
        self.seen.hit((op.name, m.slots, error.name))
        await self.steps()
        await self.steps(int(slot % 2))
        return error

    async def hold(self):
        """A request starts."""
        self.model.hold()
        self.held_version, self.dut.request_start_i.value = self.model.version, 1
        self.past = (*self.past[:2], None)
        await self.steps()
        self.past = (*self.past[:2], None)  # its first word comes a cycle later
        self.dut.request_start_i.value, self.dut.request_busy_i.value = 0, 1

    async def release(self):
        """The request ends."""
        self.dut.request_busy_i.value = 0
        self.model.release()
        await self.steps(2)

    async def waiting_commit(self, end, after):
        """A COMMIT that waits: nothing moves until the request ends, or a reset ends both."""
        dut = self.dut
        assert self.model.must_wait
        self.give(COMMIT)
        await self.steps()
        dut.move_valid_i.value = 0
        await self.steps(after)
        if end == "reset":
            dut.rst_ni.value = dut.request_busy_i.value = 0
            self.model.release()
            await self.steps()
            dut.rst_ni.value = 1
            await self.steps(8)
        elif end == "poison":  # nothing moves
            dut.poisoned_i.value = 1
            await self.steps()
            self.answer = int(Error.UNCORRECTABLE)
            await self.steps(4)
            dut.poisoned_i.value = dut.request_busy_i.value = 0
            self.model.release()
            await self.steps(4)
        else:
            self.dut.request_busy_i.value = 0
            self.model.release()
            await self.steps(2)
            self.answer = self.model.commit()
            await self.steps(4)
        self.seen.hit(("waited", self.model.slots, end))

    async def commit_as_a_request_starts(self, later):
        """A COMMIT or ROLLBACK in the request's first cycles, or in the one before, sees what the request holds, whichever is first."""
        dut, m = self.dut, self.model
        if later < 0:
            self.give(COMMIT)
            await self.steps()
        op = ROLLBACK if later > 0 and m.table[m.slot].parent is not None and not m.table[m.table[m.slot].parent].bad else COMMIT
        m.hold()
        self.held_version = m.version
        for now in range(2):
            dut.request_start_i.value, dut.request_busy_i.value = int(now == 0), int(now == 1)
            dut.move_valid_i.value = 0
            if now == later:
                self.give(op)
            self.past = (*self.past[:2], None)
            await self.steps()
        dut.move_valid_i.value = 0
        if op == COMMIT and m.must_wait:
            await self.steps(5)
            dut.request_busy_i.value = 0
            m.release()
            await self.steps(2)
        else:
            await self.steps()
        self.answer = m.move(op)
        self.seen.hit(("at once", op.name, later))
        await self.steps(2)

    async def fault(self, *addresses):
        """Errors are found, one a cycle; which slots they are in is known three cycles later."""
        for address in addresses:
            self.dut.fault_valid_i.value, self.dut.fault_addr_i.value = 1, address
            await cycle(self.dut)
        self.dut.fault_valid_i.value = 0
        await cycle(self.dut, 2)
        for address in addresses:
            self.model.fault(address)
        self.past = self.pointers()
        await self.steps(2)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def test_corners(dut):
    """Each number of slots: around the ring twice, back as far as it goes and once more; wrapping versions and addresses."""
    bench = Bench(dut)
    await bench.start()
    await bench.move(COMMIT)  # works unconfigured, too
    for slots in SLOTS:
        for base, size, version in ((0, 1, 0), (17, 300, 0xFFFFFFFE), (0xFFFF, 0xFFFF, 1), (4096, 0, 5)):
            await bench.init(base, size, slots, version)
            assert await bench.move(ROLLBACK) == Error.NO_VERSION
            for _ in range(2 * slots + 1):
                await bench.move(COMMIT)
            highest = bench.model.version
            for n in range(slots):
                assert (await bench.move(ROLLBACK) == Error.NONE) == (n < slots - 2)
            await bench.move(COMMIT)
            assert bench.model.version == (highest + 1) & 0xFFFFFFFF, "a number was given twice"
        for wrong in (6, 16, 31, 0):
            bench.give(wrong)
            await bench.steps()
            dut.move_valid_i.value = 0
            await bench.steps()
            bench.answer = Error.BAD_OP
            await bench.steps(3)
    bench.seen.require(("wrap", slots) for slots in SLOTS)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def test_base_and_adaptations(dut):
    """A pinned base and two slots that adaptations take in turn; a slot more keeps two bases."""
    bench = Bench(dut)
    await bench.start()
    for slots in range(3, MOST + 1):
        await bench.init(64, 100, slots, 7)
        for _ in range(slots - 2):
            assert await bench.move(PIN) == Error.NONE
            assert await bench.move(PIN) == Error.NONE  # already
            await bench.move(COMMIT)
        assert await bench.move(PIN) == Error.NO_SLOT
        for round_ in range(12):
            base = round_ % (slots - 2)
            assert await bench.move(RESTORE, base) == Error.NONE and bench.model.version == 7 + base
            for _ in range(1 + round_ % 4):
                await bench.move(COMMIT)
            assert await bench.move(RESTORE, bench.model.slot_next) == Error.NO_VERSION
        await bench.move(RESTORE, 0)
        await bench.move(UNPIN, 0)
        for _ in range(slots):
            await bench.move(COMMIT)
        assert (await bench.move(RESTORE, 0) == Error.NONE) == bench.model.table[0].valid


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def test_slots_outside(dut):
    """A number of slots that cannot be is taken as the nearest that can."""
    bench = Bench(dut)
    await bench.start()
    for slots in (0, 1, 5, 6, 7):
        await bench.init(100, 10, slots, 7)
        for _ in range(5):
            await bench.move(COMMIT)
        await bench.move(ROLLBACK)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def test_poisoned(dut):
    """After a word that nobody can correct every move but COMMIT is as before."""
    bench = Bench(dut)
    await bench.start()
    for slots in SLOTS:
        await bench.init(10, 50, slots, 0)
        await bench.move(COMMIT)
        dut.poisoned_i.value = 1
        for op, slot in ((PIN, 0), (UNPIN, 1), (ROLLBACK, 0), (RESTORE, 0)):
            await bench.move(op, slot)
        dut.poisoned_i.value = 0


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def test_requests(dut):
    """COMMIT waits for a request that holds the only slot, and for nothing else; a reset forgets it."""
    bench = Bench(dut)
    await bench.start()
    for slots in SLOTS:
        for end in ("end", "reset", "poison"):
            for after in (0, 1, 2, 9):
                await bench.init(10, 50, slots, 0)
                for _ in range(slots - 2):  # all but two are pinned
                    await bench.move(PIN)
                    await bench.move(COMMIT)
                await bench.hold()
                await bench.steps(2)
                await bench.waiting_commit(end, after)
                await bench.move(COMMIT)
        for later in (-1, 0, 1, -1, 0, 1):
            await bench.init(10, 50, slots, 0)
            for _ in range(3):
                await bench.move(COMMIT)
                await bench.commit_as_a_request_starts(later)
                if bench.model.held is not None:
                    await bench.release()
    bench.seen.require(("waited", slots, end) for slots in SLOTS for end in ("end", "reset"))
    bench.seen.require([("at once", "COMMIT", -1), ("at once", "COMMIT", 0)])


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def test_faults(dut):
    """The first and last words of every slot, and those beside the group; a bad version is not returned to until it is written anew."""
    bench = Bench(dut)
    await bench.start()
    for slots in SLOTS:
        for base, size in ((100, 10), (0, 1), (65536 - 37 * slots, 37)):
            for slot in range(slots):
                first = base + slot * size
                for address in (first, first + size - 1):
                    await bench.init(base, size, slots, 0)
                    await bench.fault(*(other for other in (base - 1, base + slots * size) if 0 <= other < 65536), address)
                    assert bench.model.flags("bad") == 1 << slot
            await bench.init(base, size, slots, 0)
            await bench.move(COMMIT)
            await bench.fault(base, base + size)
            assert await bench.move(ROLLBACK) == Error.NO_VERSION
            assert await bench.move(RESTORE, 0) == await bench.move(RESTORE, 1) == Error.NO_VERSION
            for _ in range(slots):
                await bench.move(COMMIT)
            assert not bench.model.flags("bad")


@cocotb.test(timeout_time=4, timeout_unit="ms")
async def test_random(dut):
    """Random moves, requests, errors and resets; power-on in between forgets everything."""
    bench, generator = Bench(dut), rng()
    await bench.start()
    for _ in range(4000):
        kind, m = generator.random(), bench.model
        if kind < 0.02:
            slots, size = int(generator.choice(SLOTS)), int(generator.integers(1 << 14))
            await bench.init(int(generator.integers((1 << 16) - slots * size + 1)), size, slots, int(generator.integers(1 << 32)))
        elif kind < 0.023:
            await bench.power_on()
        elif kind < 0.04:
            dut.rst_ni.value = dut.request_busy_i.value = 0
            m.release()
            await bench.steps(int(generator.integers(1, 4)))
            dut.rst_ni.value = 1
            await bench.steps(2)
        elif kind < 0.12 and m.held is None:
            await bench.hold()
            await bench.steps(2)
        elif kind < 0.16 and m.held is None:
            await bench.commit_as_a_request_starts(int(generator.integers(-1, 2)))
        elif kind < 0.24 and m.held is not None:
            await bench.release()
        elif kind < 0.28:
            await bench.fault(int(generator.integers(1 << 16)))
        else:
            op = (COMMIT, COMMIT, ROLLBACK, RESTORE, PIN, UNPIN)[int(generator.integers(6))]
            if op == COMMIT and m.must_wait:
                end = ("end", "end", "reset", "poison")[int(generator.integers(4))]
                await bench.waiting_commit(end, int(generator.integers(6)))
            else:
                await bench.move(op, int(generator.integers(4)))
    bench.seen.require((op.name, slots, error) for op in (ROLLBACK, RESTORE) for slots in SLOTS for error in ("NONE", "NO_VERSION")
                       if (op, slots, error) != (ROLLBACK, 2, "NONE"))
    bench.seen.require(("PIN", slots, "NO_SLOT") for slots in SLOTS)
    bench.seen.require(("waited", slots, end) for slots in SLOTS for end in ("end", "reset"))
    bench.seen.require([("at once", "COMMIT", later) for later in (-1, 0, 1)] + [("at once", "ROLLBACK", 1)] * (MOST > 2))
    dut._log.info(f"{bench.compared} cycles compared; every move showed in the second cycle after its pulse")
