# SPDX-License-Identifier: Apache-2.0
"""lathe_num_pkg against formulas written with Python's unbounded integers (numerics.md, sections 2 to 5)."""

import random

import cocotb
from cocotb.triggers import Timer

from tb.common.actors import Coverage

WINDOW = 1 << 18  # results are compared after a clamp to 19 bits, the widest that a unit uses


def clamp(x, limit):
    return min(max(x, -limit), limit - 1)


def shift_round(v, s, stochastic, r):
    s = min(max(s, -16), 62)
    if s <= 0:
        return v << -s
    q, rest = v >> s, v & ((1 << s) - 1)
    if stochastic:
        return q + ((((rest << 16) >> s) + r) >> 16)
    twice = 2 * rest - (1 << s)
    return q + (twice > 0 or (twice == 0 and q & 1))


def mix32(x):
    m = 0xFFFFFFFF
    x = (~x + (x << 15)) & m
    x ^= x >> 12
    x = (x + (x << 2)) & m
    x ^= x >> 4
    x = (x + (x << 3) + (x << 11)) & m
    return x ^ (x >> 16)


def cases(generator, count):
    """(v, s): corners around powers of two, ties and their neighbours at every shift, then any lengths."""
    for bit in range(62):
        for d in (-1, 0, 1):
            for v in ((1 << bit) + d, -(1 << bit) + d):
                yield v, bit - generator.randint(0, 20)
                for low in range(-16, 63, 16):  # the five cases of the coarse shift
                    yield v, low + generator.randint(0, 15)
    for s in (*range(-17, 64), -512, 511):
        half = (1 << s) >> 1 if s > 0 else 0
        for _ in range(12):
            q = generator.choice((1, -1)) * generator.getrandbits(generator.randint(0, 20))
            yield (q << max(s, 0)) + half + generator.choice((-1, 0, 0, 1, (1 << max(s - 17, 0)) - 1)), s
    for _ in range(count):
        v = generator.choice((1, -1)) * generator.getrandbits(generator.randint(1, 61))
        yield v, generator.choice([v.bit_length() - generator.randint(0, 20), generator.randint(-512, 511)])


@cocotb.test()
async def test_functions(dut):
    generator, seen = random.Random(cocotb.RANDOM_SEED), Coverage()
    for v, s in cases(generator, 2500):
        v, s = clamp(v, 1 << 61), clamp(s, 512)
        stochastic, r = generator.getrandbits(1), generator.choice([0, 1, 0x7FFF, 0x8000, 0xFFFF, generator.getrandbits(16)])
        up = generator.choice([15, 28, 31, 0])
        dut.v_i.value, dut.s_i.value, dut.stochastic_i.value, dut.r_i.value, dut.up_i.value = v, s, stochastic, r, up
        await Timer(1, "ns")
        case = f"v={v:#x} s={s} stochastic={stochastic} r={r:#x} up={up}"
        wanted = shift_round(v, s, stochastic, r)
        got = dut.round_o.value.to_signed()
        assert clamp(got, WINDOW) == clamp(wanted, WINDOW), case
        assert dut.clamp_o.value.to_signed() == clamp(wanted, 32768), case
        assert int(dut.clamped_o.value) == (clamp(wanted, 32768) != wanted), case
        seen.hit(("clamped", clamp(wanted, 32768) != wanted))
        seen.hit("exact", -WINDOW <= wanted < WINDOW and s <= 0)
        seen.hit("tie", 0 < s < 62 and v & ((1 << s) - 1) == 1 << (s - 1) and not stochastic)
        t = min(s, up)
        aligned = v << t if t >= 0 else v >> min(-t, 63)
        if abs(aligned) < 1 << 63:
            assert dut.align_o.value.to_signed() == aligned, case
            seen.hit("left", t > 0)
        bits = (v if v >= 0 else -1 - v).bit_length()
        assert int(dut.bits_o.value) == bits, case
        assert dut.top_o.value.to_signed() == min(max(bits + s, -127), 127), case
        assert int(dut.mix_o.value) == mix32(v & 0xFFFFFFFF), case
    seen.require([("clamped", True), ("clamped", False), "exact", "tie", "left"])
