# SPDX-License-Identifier: Apache-2.0
"""lathe_exp_q and lathe_ln_q: every argument of the ranges that matter, the rest in steps and at random."""

import cocotb
import numpy as np

from pymodels.functions import exp_q, ln_q
from tb.common.actors import cycle, rng, stalls, start_clock_and_reset
from tb.common.actors import reset as pull_reset

LANES = 16


def pack(values: np.ndarray) -> int:
    return int.from_bytes(values.astype("<i4").tobytes(), "little")


def unpack(bits: int) -> np.ndarray:
    return np.frombuffer(bits.to_bytes(4 * LANES, "little"), "<u4")


async def sweep(dut, arguments: np.ndarray, gaps: float = 0.0) -> None:
    """Send all arguments, with gaps of probability `gaps`; compare every result and tag, in order."""
    function, latency = (ln_q, 7) if int(dut.Ln.value) else (exp_q, 9)
    arguments = np.concatenate([arguments, np.repeat(arguments[-1], -len(arguments) % LANES)]).astype(np.int64)
    groups = arguments.reshape(-1, LANES)
    results, tags, sent, stall = [], [], 0, stalls(gaps, rng(7))
    pending = []  # cycles at which something was sent
    now = 0
    dut.valid_i.value = 0
    while len(results) < len(groups):
        assert now < 20 * len(groups) + 100, "results are missing"
        go = sent < len(groups) and not next(stall)
        dut.valid_i.value = int(go)
        if go:
            dut.x_i.value = pack(groups[sent])
            pending.append(now)
            sent += 1
        else:
            dut.x_i.value = int.from_bytes(b"\x5a\x00\x5a\x01" * LANES, "little")  # valid, and not what is expected
        await cycle(dut)
        valid = int(dut.valid_o.value)
        if valid:
            assert valid == 0xFFFF
            assert pending and now - pending.pop(0) == latency, "wrong latency"
            results.append(int(dut.y_o.value))
            tags.append(int(dut.tag_o.value))
        now += 1
    dut.valid_i.value = 0
    got = np.concatenate([unpack(bits) for bits in results]).astype(np.int64)
    tag = np.concatenate([unpack(bits) for bits in tags]).astype("<u4").view("<i4")
    expected = function(arguments)
    wrong = np.flatnonzero(got != expected)
    assert not len(wrong), f"{len(wrong)} wrong, first f({arguments[wrong[0]]}) = {got[wrong[0]]}, not {expected[wrong[0]]}"
    assert np.array_equal(tag, arguments), "a tag does not belong to its result"


def corners(dut) -> np.ndarray:
    if int(dut.Ln.value):
        powers = 1 << np.arange(16, 23)
        return np.unique(np.clip(np.concatenate([powers, powers - 1, powers + 1, [(1 << 23) - 1]]), 1 << 16, (1 << 23) - 1))
    edges = np.rint(np.arange(-20, 8) * 65536 * np.log(2)).astype(np.int64)  # where the shift changes
    around = (edges[:, None] + np.arange(-3, 4)).ravel()
    return np.concatenate([[0, -1, 1, -(1 << 25), (1 << 25) - 1], around])


@cocotb.test(timeout_time=100, timeout_unit="ms")
async def test_corners(dut):
    """Ends of the range and every change of exponent, with gaps from none to many."""
    await start_clock_and_reset(dut)
    if not int(dut.Ln.value):
        assert exp_q(np.array([0]))[0] == 65536
    for gaps in (0.0, 0.5, 0.9):
        await sweep(dut, corners(dut), gaps)


@cocotb.test(timeout_time=100, timeout_unit="ms")
async def test_dense(dut):
    """exp_q: every argument that gives neither 0 nor the limit; ln_q: every argument up to 4, every 23rd above."""
    await start_clock_and_reset(dut)
    if int(dut.Ln.value):
        await sweep(dut, np.concatenate([np.arange(1 << 16, 1 << 18), np.arange(1 << 18, 1 << 22, 23)]))
    else:
        await sweep(dut, np.arange(-13 * 65536, 4 * 65536))


@cocotb.test(timeout_time=100, timeout_unit="ms")
async def test_random(dut):
    """The whole range of arguments at random."""
    await start_clock_and_reset(dut)
    low, high = (1 << 16, 1 << 23) if int(dut.Ln.value) else (-(1 << 25), 1 << 25)
    await sweep(dut, rng().integers(low, high, 30000), 0.2)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def test_reset(dut):
    """A reset drops what is inside."""
    await start_clock_and_reset(dut)
    dut.valid_i.value = 1
    dut.x_i.value = pack(np.full(LANES, 70000))
    await cycle(dut, 4)
    dut.valid_i.value = 0
    await pull_reset(dut, 1)
    for _ in range(12):
        assert int(dut.valid_o.value) == 0
        await cycle(dut)
    await sweep(dut, corners(dut))
