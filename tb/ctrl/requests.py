# SPDX-License-Identifier: Apache-2.0
"""lathe_ctrl with requests beside programs: pieces, order, operation numbers, exponents, arbitration, errors, reset."""

from itertools import product

import cocotb
from cocotb.triggers import RisingEdge, with_timeout

from pymodels.descriptor import Arbitration, Error
from tb.common.actors import CLOCK_NS, cycle, reset
from tb.ctrl.bench import NO_REQUEST, Bench, start
from tb.ctrl.programs import Program, memory_words, random_program
from tb.desc_check.descriptors import LOAD, legal

REQUEST_AT = 200  # first descriptor of requests; programs lie below
KINDS = ((1, 0), (1, 0), (2, 0), (2, 1), (2, 2), (4, 0), (4, 1))
OWN = (0, 2, 4, 6, 8, 3)  # what tells a descriptor's exponent registers apart
CAN_WAIT = 12     # cycles in which issue has not yet seen that a request runs
DONE = {"request_busy": 0, "request_done": 1, "request_error": 0}


def registers(d: dict, request: bool) -> None:
    """Give operands exponent registers of program or request alone, results different ones."""
    for i in range(6):
        if d[f"t{i}_space"] == 0 and any(d[f"t{i}_{name}"] for name in ("addr", "stride", "exp")):
            d[f"t{i}_exp"] = 16 * (d["unit"] - 1) + (12 + i % 4 if request else (d[f"t{i}_exp"] + OWN[i]) % 12)


def program(bench: Bench, length: int) -> Program:
    made = random_program(bench.generator, bench.limits, length)
    for d in made:
        base = d["t2_exp"]
        for i in range(6):
            if d[f"t{i}_space"] == 0 and any(d[f"t{i}_{name}"] for name in ("addr", "stride", "exp")):
                d[f"t{i}_exp"] = base
        registers(d, False)
    return made


def request(bench: Bench, length: int) -> Program:
    made = []
    for index in range(length):
        kind = KINDS[int(bench.generator.integers(0, len(KINDS)))]
        d = legal(bench.generator, bench.limits, kind, spaces=(0,) if kind == LOAD else (0, 0, 1))
        if d["sequence_words"]:
            d |= {"sequence_words": 0, "t4_addr": 0, "t4_stride": 0, "t4_exp": 0, "t4_space": 0}
        d |= {"wait_mask": 0, "post_mask": 0, "chain": 0, "overlap": 0, "norm": 0, "last": int(index == length - 1)}
        registers(d, True)
        made.append(d)
    return made


class Watch:
    """Sees what issue starts, and when a request runs."""

    def __init__(self, bench: Bench, policy: Arbitration, slice_log2: int):
        self.bench, self.policy, self.slice = bench, policy, slice_log2
        self.starts: list[tuple[int, bool]] = []  # (cycle, of the request)
        self.both = 0
        cocotb.start_soon(self._run())

    async def _run(self) -> None:
        dut, busy, idle, chosen, may, choices = self.bench.dut, 0, 0, 0, 0, 0
        while True:
            await RisingEdge(dut.clk_i)
            busy = busy + 1 if int(dut.request_busy.value) else 0
            idle = 0 if int(dut.busy.value) else idle + 1
            self.both += int(busy > 0 and idle == 0)
            if int(dut.u_issue.chosen_q.value) and not chosen:
                choices = may  # what issue has chosen from
            chosen, may = int(dut.u_issue.chosen_q.value), int(dut.u_issue.may.value)
            if int(dut.issue.value):
                of_request = int(dut.queue.value) == 4
                self.starts.append((self.bench.units.now, of_request))
                if self.policy == Arbitration.ROUND_ROBIN and of_request and len(self.starts) > 1 and self.starts[-2][1]:
                    assert not choices & 15, "two commands of the request in a row, while the program could start something"
                if self.policy == Arbitration.PRIORITY and not of_request:
                    assert busy <= CAN_WAIT, f"the program started something {busy} cycles after a request"
                if self.policy == Arbitration.TIME_SLICE and busy > CAN_WAIT and not idle:
                    position = int(dut.u_arbiter.time_q.value) % (2 << self.slice)
                    owner = position >= 1 << self.slice
                    assert position % (1 << self.slice) <= CAN_WAIT or owner == of_request, "who does not own the slice started something"


async def load(bench: Bench, lengths: tuple[int, ...]) -> list[tuple[int, Program]]:
    """Write requests of these lengths into program memory; returns where they are."""
    made, at = [], REQUEST_AT
    for length in lengths:
        made.append((at, request(bench, length)))
        await bench.host.load("PROGRAM", 16 * at, memory_words(made[-1][1]))
        at += length
    return made


async def serve(bench: Bench, at: int, made: Program) -> None:
    """Start a request that is loaded, wait for its end, compare."""
    length = len(made)
    bench.units.expect_request(made, at)
    await bench.host.write("REQUEST_PC", at)
    await bench.host.write("CONTROL", request=1)
    for _ in range(4000):
        status = await bench.host.fields("STATUS")
        if not status["request_busy"]:
            break
    bench.equal("request", {name: status[name] for name in DONE}, DONE)
    bench.equal("REQUEST_ERROR", await bench.host.read("REQUEST_ERROR"), 0)
    bench.equal("commands of the request", bench.units.requested, length)
    bench.model.request_opnum = (bench.model.request_opnum + length) & 0xFFFFFFFF
    bench.equal("REQUEST_OPNUM", await bench.host.read("REQUEST_OPNUM"), bench.model.request_opnum)


async def prepared(dut, policy: Arbitration, slice_log2: int = 6, **options) -> tuple[Bench, Watch]:
    bench = await start(dut, **options)
    bench.units.cutting = policy != Arbitration.COMMAND
    await bench.host.write("ARBITER", policy=int(policy), slice=slice_log2)
    await bench.host.write("REQUEST_PC", REQUEST_AT)
    bench.model.request_opnum = 0x80000000
    await bench.host.write("REQUEST_OPNUM", bench.model.request_opnum)
    return bench, Watch(bench, policy, slice_log2)


async def beside(dut, policy: Arbitration) -> None:
    """Requests alone, then beside random programs in every timing."""
    bench, watch = await prepared(dut, policy)
    for loaded in await load(bench, (1, 3, 9)):
        await serve(bench, *loaded)
    await bench.host.write("STATUS", request_done=1)  # its interrupt would be taken for the program's
    for longest, stall in ((1, 0), (8, 0.5), (40, 0), (150, 0.3)):
        bench.longest = longest
        bench.units.stall = iter(lambda p=stall: bench.generator.random() < p, None)
        made, loaded = program(bench, 60), await load(bench, (1, 2, 4, 6, 9, 11))
        await bench.begin(made)
        while not int(dut.irq_o.value):
            await serve(bench, *loaded[int(bench.generator.integers(0, len(loaded)))])
            await bench.host.write("STATUS", request_done=1)
            await cycle(dut, int(bench.generator.integers(1, 40)))
        await bench.end()
        bench.equal("started", sorted(bench.units.started), list(range(60)))
        bench.model.opnum = (bench.model.opnum + 60) & 0xFFFFFFFF
        bench.equal("OPNUM", await bench.host.read("OPNUM"), bench.model.opnum)
        bench.equal("SATURATIONS", await bench.host.read("SATURATIONS"), bench.model.saturations)
        await bench.compare_exponents()
    assert watch.both > 1000, "program and request hardly ran at the same time"
    assert any(of for _, of in watch.starts) and any(not of for _, of in watch.starts)
    bench.finish()


@cocotb.test(timeout_time=40, timeout_unit="ms")
async def test_command(dut):
    await beside(dut, Arbitration.COMMAND)


@cocotb.test(timeout_time=40, timeout_unit="ms")
async def test_priority(dut):
    await beside(dut, Arbitration.PRIORITY)


@cocotb.test(timeout_time=40, timeout_unit="ms")
async def test_round_robin(dut):
    await beside(dut, Arbitration.ROUND_ROBIN)


@cocotb.test(timeout_time=40, timeout_unit="ms")
async def test_time_slice(dut):
    await beside(dut, Arbitration.TIME_SLICE)


@cocotb.test(timeout_time=40, timeout_unit="ms")
async def test_turns(dut):
    """Round robin: commands of the request and of the program in turn, as long as both can start."""
    bench, watch = await prepared(dut, Arbitration.ROUND_ROBIN, longest=1, stall=0)
    made = [legal(bench.generator, bench.limits, (4, 0), spaces=(0,)) | {"wait_mask": 0, "post_mask": 0, "last": 0} for _ in range(180)]
    made[-1]["last"] = 1
    gemms = request(bench, 1)
    while gemms[0]["unit"] != 1:
        gemms = request(bench, 1)
    many = [gemms[0] | {"last": int(i == 9)} for i in range(10)]
    await bench.host.load("PROGRAM", 16 * REQUEST_AT, memory_words(many))
    bench.units.expect_request(many, REQUEST_AT)
    await bench.begin(made)
    await bench.host.write("CONTROL", request=1)
    await bench.end()
    order = "".join("pr"[of] for _, of in watch.starts)
    bench.equal("turns", "prprpr" in order, True)
    bench.finish()


@cocotb.test(timeout_time=40, timeout_unit="ms")
async def test_errors(dut):
    """An error ends the request alone."""
    bench, _ = await prepared(dut, Arbitration.PRIORITY)
    refused = (({"unit": 3}, Error.BAD_UNIT), ({"wait_mask": 4}, Error.BAD_FIELD), ({"t0_space": 2}, Error.BAD_FIELD),
               ({"m": 0}, Error.BAD_SHAPE), ({}, Error.PROTECTED))
    for change, code in refused:
        made, bad = program(bench, 30), request(bench, 4)
        while bad[2]["unit"] != 1:
            bad = request(bench, 4)
        bad[2] |= change
        await bench.host.write("REQUEST_GRANTS_1", first=bad[2]["t2_addr"] + 1, last=0xFFFF)
        await bench.host.write("REQUEST_GRANTS_0", first=0, last=0xFFFF if change else bad[2]["t2_addr"] - 1)
        if not change:  # its results lie in both windows, in neither wholly
            for d in bad[:2]:
                d |= legal(bench.generator, bench.limits, (4, 1), spaces=(0,)) | {"wait_mask": 0, "post_mask": 0, "last": 0}
        await bench.host.write("GRANT_ENABLE", requests=1)
        await bench.host.load("PROGRAM", 16 * REQUEST_AT, memory_words(bad))
        bench.units.expect_request(bad, REQUEST_AT)
        await bench.begin(made)
        await cycle(dut, int(bench.generator.integers(1, 200)))
        await bench.host.write("CONTROL", request=1)
        while (await bench.host.fields("STATUS"))["request_busy"]:
            pass
        bench.equal("REQUEST_ERROR", await bench.host.fields("REQUEST_ERROR"),
                    {"code": int(code), "unit": bad[2]["unit"], "pc": REQUEST_AT + 2})
        await bench.host.write("STATUS", request_error=1)
        await cycle(dut, 3)
        await bench.end()
        bench.equal("started", sorted(bench.units.started), list(range(30)))
        bench.equal("commands before the one that was refused", bench.units.requested, 2)
        bench.model.opnum = (bench.model.opnum + 30) & 0xFFFFFFFF
        bench.model.request_opnum = await bench.host.read("REQUEST_OPNUM")
    bench.finish()


@cocotb.test(timeout_time=40, timeout_unit="ms")
async def test_errors_of_the_program(dut):
    """They leave the request running, whose commands wait in the queue behind those of the program."""
    bench, _ = await prepared(dut, Arbitration.COMMAND)
    for _ in range(8):
        made = program(bench, 30)
        place = int(bench.generator.integers(3, 30))
        made[place] |= {"m": 0}
        good = request(bench, 8)
        await bench.host.load("PROGRAM", 16 * REQUEST_AT, memory_words(good))
        bench.units.expect_request(good, REQUEST_AT)
        await bench.begin(made)
        await bench.host.write("CONTROL", request=1)
        while (status := await bench.host.fields("STATUS"))["request_busy"] or status["busy"]:
            pass
        bench.equal("status", status, NO_REQUEST | {"busy": 0, "done": 0, "error": 1} | DONE)
        bench.equal("commands of the request", bench.units.requested, 8)
        bench.model.opnum, bench.model.request_opnum = await bench.host.read("OPNUM"), await bench.host.read("REQUEST_OPNUM")
        await bench.host.write("STATUS", request_done=1)
    fine = program(bench, 10)
    await bench.complete(fine)
    bench.finish()


@cocotb.test(timeout_time=40, timeout_unit="ms")
async def test_errors_alone(dut):
    """With no program beside it, too, a refused descriptor ends a request behind commands that still run, and nothing after it starts."""
    bench, _ = await prepared(dut, Arbitration.COMMAND, longest=40, stall=0)
    for change, code in (({"m": 0}, Error.BAD_SHAPE), ({"t0_addr": 65535}, Error.OUT_OF_SCRATCHPAD), ({"wait_mask": 4}, Error.BAD_FIELD)):
        for place, behind in product(range(5), (0, 1, 4)):
            bad = request(bench, place + 1 + behind)
            while bad[place]["unit"] != 1:
                bad = request(bench, place + 1 + behind)
            bad[place] |= change
            await bench.host.load("PROGRAM", 16 * REQUEST_AT, memory_words(bad))
            bench.units.expect_request(bad, REQUEST_AT)
            await bench.host.write("CONTROL", request=1)
            while (status := await bench.host.fields("STATUS"))["request_busy"]:
                pass
            bench.equal("error", (status["request_error"], status["request_done"]), (1, 0))
            bench.equal("REQUEST_ERROR", await bench.host.fields("REQUEST_ERROR"), {"code": int(code), "unit": 1, "pc": REQUEST_AT + place})
            bench.equal("commands before the one that was refused", bench.units.requested, place)
            bench.model.request_opnum = await bench.host.read("REQUEST_OPNUM")
            await bench.host.write("STATUS", request_error=1)
            await cycle(dut, 60)
    bench.finish()


@cocotb.test(timeout_time=40, timeout_unit="ms")
async def test_request_interrupts(dut):
    """The end of a request raises the interrupt, a new one lowers it; a request while one runs is ignored."""
    bench, _ = await prepared(dut, Arbitration.COMMAND, longest=30, stall=0)
    for length in (1, 4):
        made = request(bench, length)
        await bench.host.load("PROGRAM", 16 * REQUEST_AT, memory_words(made))
        bench.units.expect_request(made, REQUEST_AT)
        await bench.host.write("CONTROL", request=1)
        assert not int(dut.irq_o.value)
        await bench.host.write("CONTROL", request=1)
        if not int(dut.irq_o.value):
            await with_timeout(RisingEdge(dut.irq_o), 20_000 * CLOCK_NS, "ns")
        bench.equal("status", await bench.host.fields("STATUS"), NO_REQUEST | {"busy": 0, "done": 0, "error": 0} | DONE)
        bench.model.request_opnum = (bench.model.request_opnum + length) & 0xFFFFFFFF
        bench.equal("REQUEST_OPNUM", await bench.host.read("REQUEST_OPNUM"), bench.model.request_opnum)
    bench.finish()


@cocotb.test(timeout_time=40, timeout_unit="ms")
async def test_reset_beside(dut):
    """A reset while both run: afterwards both work."""
    bench, _ = await prepared(dut, Arbitration.PRIORITY)
    for wait in (5, 30, 77, 150, 300):
        made, other = program(bench, 20), request(bench, 6)
        await bench.host.load("PROGRAM", 16 * REQUEST_AT, memory_words(other))
        bench.units.expect_request(other, REQUEST_AT)
        await bench.begin(made)
        await bench.host.write("CONTROL", request=1)
        await cycle(dut, wait)
        await reset(dut, 3)
        bench.equal("STATUS", await bench.host.read("STATUS"), 0)
        bench.model.opnum = bench.model.request_opnum = 0
        await bench.configure()
        await bench.host.write("ARBITER", policy=int(Arbitration.PRIORITY))
        await bench.host.write("REQUEST_PC", REQUEST_AT)
        bench.units.expect_request([], 0)
        await serve(bench, *(await load(bench, (5,)))[0])
        await bench.host.write("STATUS", request_done=1)
        done = await bench.host.fields("STATUS")
        bench.equal("idle", done, NO_REQUEST | {"busy": 0, "done": 0, "error": 0})
        await bench.complete(program(bench, 8))
    bench.finish()
