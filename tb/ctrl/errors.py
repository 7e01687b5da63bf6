# SPDX-License-Identifier: Apache-2.0
"""lathe_ctrl when something is wrong: refused descriptors, errors of units, deadlock, overrun, overflow; and restarting."""

import cocotb

from pymodels.check import absolute_results
from pymodels.descriptor import Error
from pymodels.program import plan
from tb.common.actors import Coverage, cycle, rng
from tb.ctrl.bench import LANES, WORDS, start
from tb.ctrl.programs import lose_posts, memory_words, random_program, spoil
from tb.desc_check.descriptors import legal


@cocotb.test(timeout_time=40, timeout_unit="ms")
async def test_refused(dut):
    """A bad descriptor anywhere in a program: its code, unit and index; neither it nor a later one starts."""
    bench = await start(dut)
    checks = (Error.BAD_UNIT, Error.BAD_OP, Error.BAD_FIELD, Error.BAD_SHAPE, Error.OUT_OF_SCRATCHPAD, Error.MISALIGNED,
              Error.PROTECTED)
    for code in checks * 2:
        length = int(bench.generator.integers(4, 20))
        program = random_program(bench.generator, bench.limits, length)
        if code == Error.MISALIGNED:
            program[-1] = legal(bench.generator, bench.limits, (4, 1)) | {"wait_mask": 0, "post_mask": 0, "last": 1}
        bad = spoil(program, bench.generator, bench.limits, code)
        first = int(bench.generator.integers(0, 257 - length))
        opnum = bench.model.opnum
        await bench.fails(program, code, bad, first)
        bench.equal("OPNUM", bench.model.opnum, opnum + bad)
        assert all(number < bad for number in bench.units.started)
        await bench.complete(random_program(bench.generator, bench.limits, 4))
    await bench.compare_exponents()
    bench.finish()


@cocotb.test(timeout_time=40, timeout_unit="ms")
async def test_grants(dut):
    """A program that was granted its results runs; with a word less the first descriptor that needs it is refused."""
    bench = await start(dut)
    for install in (0, 1):
        program = random_program(bench.generator, bench.limits, 12)
        windows = [window for d in program for window in absolute_results(d, LANES)]
        last = max(last for _, last in windows)
        await bench.host.write("GRANTS_2", first=min(first for first, _ in windows), last=last)
        await bench.host.write("GRANT_ENABLE", programs=1, install=install)
        installs = [i for i, d in enumerate(program) if (d["unit"], d["op"], d["t2_space"]) == (4, 0, 1)]
        if installs and not install:
            await bench.fails(program, Error.PROTECTED, installs[0])
        else:
            await bench.complete(program)
        await bench.host.write("GRANTS_2", first=min(first for first, _ in windows), last=last - 1)
        bad = min([i for i, d in enumerate(program) if any(end == last for _, end in absolute_results(d, LANES))] +
                  installs[:1 - install])
        await bench.fails(program, Error.PROTECTED, bad)
        await bench.host.write("GRANT_ENABLE", requests=1)
        await bench.complete(program)
    bench.finish()


@cocotb.test(timeout_time=40, timeout_unit="ms")
async def test_unit_errors(dut):
    """A command fails: its code, unit and index; the others finish, what was queued is dropped, exponents are taken up."""
    bench = await start(dut)
    seen = Coverage()
    for longest in (1, 10, 300) * 3:
        bench.longest = longest
        program = random_program(bench.generator, bench.limits, 25)
        bad = int(bench.generator.integers(0, 25))
        code = Error.MEMORY if bench.generator.random() < 0.5 else Error.NO_VERSION
        await bench.fails(program, code, bad, fail={bad: code})
        when = bench.units.failed[0][0]
        late = max(bench.units.start_times) - when
        assert late <= 16 + 30, f"a command started {late} cycles after the error"
        seen.hit("dropped", len(bench.units.started) < 25)
        await bench.compare_exponents()
        await bench.complete(random_program(bench.generator, bench.limits, 5))
    seen.require(["dropped"])
    bench.finish()


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def test_two_errors(dut):
    """Several commands fail close together: one of them is reported, once."""
    bench = await start(dut, longest=2, stall=0)
    for _ in range(6):
        program = random_program(bench.generator, bench.limits, 20)
        await bench.begin(program, fail=dict.fromkeys(range(5, 20), Error.MEMORY))
        status, error = await bench.end()
        assert status["error"] and error["code"] == Error.MEMORY
        failed = {number: when for when, number in bench.units.failed}
        assert error["pc"] in failed and failed[error["pc"]] <= min(failed.values()) + 12
        bench.equal("unit", error["unit"], program[error["pc"]]["unit"])
        bench.model.opnum = await bench.host.read("OPNUM")
    bench.finish()


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def test_rollback_without_version(dut):
    """no_version from the update unit when nothing is kept."""
    bench = await start(dut)
    program = [legal(bench.generator, bench.limits, kind) | {"wait_mask": 0, "post_mask": 0, "last": int(i == 2)}
               for i, kind in enumerate(((3, 1), (3, 2), (3, 2)))]
    await bench.fails(program, Error.NO_VERSION, 2, 17)
    await bench.compare_weights()
    bench.finish()


@cocotb.test(timeout_time=60, timeout_unit="ms")
async def test_deadlock(dut):
    """Programs that lose some posts end as the model says, deadlocked or not, whatever the timing."""
    bench = await start(dut)
    seen = Coverage()
    for longest in (1, 1, 10, 100) * 4:
        bench.longest = longest
        program = random_program(bench.generator, bench.limits, 25)
        lose_posts(program, bench.generator, 3)
        ending = plan(memory_words(program).reshape(-1, 16), 0, lanes=LANES, scratchpad_words=WORDS, slot_words=bench.limits.slot_words,
                      grants=bench.limits.grants)
        seen.hit(Error(ending.error).name)
        if ending.error:
            await bench.fails(program, Error.DEADLOCK, ending.pc)
        else:
            await bench.complete(program)
        bench.equal("started", sorted(bench.units.started), sorted(entry.pc for entry in ending.entries))
    seen.require(["DEADLOCK", "NONE"])
    bench.finish()


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def test_deadlock_of_a_full_queue(dut):
    """The sequencer is blocked by a full queue, behind which stands what the queue's head waits for."""
    bench = await start(dut, longest=1)
    for queued in (4, 5, 6):
        program = [legal(bench.generator, bench.limits, (1, 0)) | {"wait_mask": 0x8000, "post_mask": 0, "last": 0} for _ in range(queued)]
        program.append(legal(bench.generator, bench.limits, (4, 0)) | {"wait_mask": 0, "post_mask": 0x8000, "last": 1})
        await bench.fails(program, Error.DEADLOCK, 0 if queued > 4 else 1)
        bench.equal("started", len(bench.units.started), 0 if queued > 4 else 2)
    bench.finish()


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def test_overrun(dut):
    """Program memory ends before the program does: the descriptor with index 255 is refused."""
    bench = await start(dut)
    for length in (1, 7):
        program = random_program(bench.generator, bench.limits, length)
        program[-1]["last"] = 0
        await bench.fails(program, Error.PROGRAM_OVERRUN, length - 1, 256 - length)
        assert length - 1 not in bench.units.started
        program[-1]["last"] = 1
        await bench.complete(program, 256 - length)
    bench.finish()


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def test_overflow(dut):
    """The 256th post of a semaphore that nobody takes; the next start has cleared it."""
    bench = await start(dut, longest=1, stall=0)
    program = [legal(bench.generator, bench.limits, (4, i % 2)) | {"wait_mask": 0, "post_mask": 0x20, "last": int(i == 255)}
               for i in range(256)]
    await bench.fails(program, Error.SEMAPHORE_OVERFLOW, 255)
    bench.equal("started", len(bench.units.started), 256)
    program = [legal(bench.generator, bench.limits, (2, 0)) | {"wait_mask": 0x20, "post_mask": 0, "last": 1}]
    await bench.fails(program, Error.DEADLOCK, 0)
    bench.finish()


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def test_reset_while_stopping(dut):
    """A reset between an error and the end of the last command."""
    bench = await start(dut, stall=0)
    bench.units.duration = lambda d: 400 if d["unit"] == 1 else 20
    program = [legal(bench.generator, bench.limits, kind) | {"wait_mask": 0, "post_mask": 0, "last": int(i == 1)}
               for i, kind in enumerate(((1, 0), (2, 0)))]
    await bench.begin(program, fail={1: Error.MEMORY})
    await cycle(dut, 150)
    assert len(bench.units.failed) == 1 and not bench.units.idle()
    dut.rst_ni.value = 0
    await cycle(dut, 2)
    dut.rst_ni.value = 1
    await cycle(dut, 2)
    bench.equal("status", [await bench.host.read(name) for name in ("STATUS", "ERROR")], [0, 0])
    bench.model.opnum = 0
    await bench.configure()
    await bench.complete(random_program(rng(30), bench.limits, 6))
    bench.finish()
