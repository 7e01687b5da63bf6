# SPDX-License-Identifier: Apache-2.0
"""Moves that the host asks for, from the AXI write of WEIGHTS to the new version in VERSION; what programs and requests leave of them."""

import cocotb
from cocotb.triggers import RisingEdge

from pymodels.descriptor import FIELDS, Error, UpdateOp
from tb.common.actors import cycle
from tb.common.structs import struct
from tb.ctrl.bench import Bench, start
from tb.ctrl.programs import Program

LIMIT = 10  # cycles from the write's acceptance to the new version
WEIGHTS = struct("weights_t")


def commits(count: int) -> Program:
    """A program of commits."""
    return [dict.fromkeys(FIELDS, 0) | {"unit": 3, "op": int(UpdateOp.COMMIT), "last": int(i == count - 1)} for i in range(count)]


async def prepared(dut, count: int) -> Bench:
    """A group of 4 slots after that many commits."""
    bench = await start(dut, longest=5, stall=0)
    await bench.configure(slots=4, size=16, version=40)
    await bench.complete(commits(count))
    return bench


async def move(bench: Bench, op: UpdateOp, slot: int = 0) -> None:
    """Write WEIGHTS and compare outcome and slots."""
    await bench.host.write("WEIGHTS", op=int(op), slot=slot)
    error = bench.model.weights.move(op, slot)
    bench.equal("WEIGHTS", await bench.host.fields("WEIGHTS"), {"op": op, "slot": slot, "error": error})
    await compare(bench)


async def compare(bench: Bench) -> None:
    weights = bench.model.weights
    await bench.compare_weights()
    bench.equal("SLOTS", await bench.host.fields("SLOTS"),
                {name: weights.flags(name) for name in ("valid", "pinned", "bad")} | {"next": weights.slot_next})
    for number, slot in enumerate(weights.table):
        if slot.valid:
            bench.equal(f"VERSIONS_{number}", await bench.host.read(f"VERSIONS_{number}"), slot.version)


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def test_latency(dut):
    """RESTORE and ROLLBACK show in VERSION at most 10 cycles after the write was accepted, at whatever moment it comes."""
    bench = await prepared(dut, 2)
    taken = set()
    for pause in range(12):
        target = pause % 2
        seen: dict[str, int] = {}
        watch = cocotb.start_soon(follow(dut, seen))
        await cycle(dut, pause)
        await bench.host.write("WEIGHTS", op=int(UpdateOp.RESTORE), slot=target)
        await cycle(dut, LIMIT)
        watch.cancel()
        bench.model.weights.move(UpdateOp.RESTORE, target)
        taken.add(seen["changed"] - seen["accepted"])
        await compare(bench)
    assert max(taken) <= LIMIT, taken
    dut._log.info(f"RESTORE: from the write's acceptance to the new version {min(taken)} to {max(taken)} cycles")
    bench.board.finish()


async def follow(dut, seen: dict) -> None:
    """Note the cycle in which the last of address and data was accepted, and the one from which the version is another."""
    now, before = 0, None
    while True:
        await RisingEdge(dut.clk_i)
        now += 1
        version = WEIGHTS.unpack(int(dut.weights.value))["version"]
        if before not in (None, version):
            seen["changed"] = now
        before = version
        if "changed" not in seen and any(int(getattr(dut, f"s_axil_{ch}valid").value) and int(getattr(dut, f"s_axil_{ch}ready").value)
                                         for ch in ("aw", "w")):
            seen["accepted"] = now


@cocotb.test(timeout_time=4, timeout_unit="ms")
async def test_moves(dut):
    """All of them between programs, also those that are refused; none while a program runs."""
    bench = await prepared(dut, 2)
    for op, slot in ((UpdateOp.PIN, 0), (UpdateOp.RESTORE, 0), (UpdateOp.PIN, 0), (UpdateOp.RESTORE, 3), (UpdateOp.RESTORE, 1),
                     (UpdateOp.PIN, 0), (UpdateOp.UNPIN, 0), (UpdateOp.ROLLBACK, 0), (UpdateOp.ROLLBACK, 0), (UpdateOp.UNPIN, 2)):
        await move(bench, op, slot)
    for op in (UpdateOp.COMMIT, UpdateOp.SGD, 0, 31):
        await bench.host.write("WEIGHTS", op=int(op))
        bench.equal("error", (await bench.host.fields("WEIGHTS"))["error"], Error.BAD_OP)
    await compare(bench)
    before = await bench.host.read("SLOTS")
    bench.units.duration = lambda d: 200
    await bench.begin(commits(1))
    await bench.host.write("WEIGHTS", op=int(UpdateOp.PIN))
    assert (await bench.host.fields("STATUS"))["busy"] and await bench.host.read("SLOTS") == before, "moved while a program ran"
    await bench.end()
    await compare(bench)
    bench.board.finish()


@cocotb.test(timeout_time=4, timeout_unit="ms")
async def test_a_fault_marks_a_slot(dut):
    """An uncorrectable word in a slot: the version cannot be returned to; all of it survives a reset."""
    bench = await prepared(dut, 1)
    dut.fault_addr_i.value = bench.model.weights.first_word(0) + 5
    dut.fault_valid_i.value = 1
    await cycle(dut)
    dut.fault_valid_i.value = 0
    bench.model.weights.fault(bench.model.weights.first_word(0) + 5)
    await move(bench, UpdateOp.RESTORE, 0)
    await move(bench, UpdateOp.ROLLBACK)
    dut.rst_ni.value = 0
    await cycle(dut, 3)
    dut.rst_ni.value = 1
    await cycle(dut, 2)
    bench.equal("WEIGHTS after a reset", await bench.host.read("WEIGHTS"), 0)
    await compare(bench)
    bench.board.finish()
