# SPDX-License-Identifier: Apache-2.0
"""lathe_num_pkg against formulas written with Python's unbounded integers (numerics.md, sections 2 to 5)."""

import random

import cocotb
from cocotb.triggers import Timer

from tb.common import spec
from tb.common.actors import Coverage

WINDOW = 1 << 18  # results are compared after a clamp to 19 bits, the widest that a unit uses


def clamp(x, limit):
    return min(max(x, -limit), limit - 1)


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
        wanted = spec.shift_round(v, s, stochastic, r)
        got = dut.round_o.value.to_signed()
        assert clamp(got, WINDOW) == clamp(wanted, WINDOW), case
        assert dut.clamp_o.value.to_signed() == clamp(wanted, 32768), case
        assert int(dut.clamped_o.value) == (clamp(wanted, 32768) != wanted), case
        seen.hit(("clamped", clamp(wanted, 32768) != wanted))
        seen.hit("exact", -WINDOW <= wanted < WINDOW and s <= 0)
        seen.hit("tie", 0 < s < 62 and v & ((1 << s) - 1) == 1 << (s - 1) and not stochastic)
        aligned = spec.align(v, s, up)
        if abs(aligned) < 1 << 63:
            assert dut.align_o.value.to_signed() == aligned, case
            seen.hit("left", min(s, up) > 0)
        low = (v + (1 << 45)) % (1 << 46) - (1 << 45)
        x, lost = spec.window(low, s)
        assert (dut.window_o.value.to_signed(), bool(dut.lost_o.value)) == (x, lost), case
        assert dut.window_round_o.value.to_signed() == spec.round_window(x, lost, stochastic, r), case
        assert dut.clamp35_o.value.to_signed() == spec.clamp(v, 35), case
        half = x & 0xFFFF == 0x8000 and not stochastic
        for name, when in (("window clamped", abs(x) >= (1 << 34) - 1), ("lost above half", half and lost), ("even", half and not lost),
                           ("clamp35", abs(v) > 1 << 34)):
            seen.hit(name, when)
        h = v & 0xFFFFFFFF
        assert int(dut.group_index_o.value) == v & 0xFFFF ^ (v & 0xFFFF) << 12, case
        words = int(dut.rand16_o.value)
        for column in range(4):
            wanted16 = (h & 0xFFFF, h >> 16, (h ^ h >> 16) & 0xFFFF, (h ^ h >> 15 & 0xFFFE ^ (0x2D if h >> 31 else 0)) & 0xFFFF)[column]
            assert words >> 16 * column & 0xFFFF == wanted16, f"{case} column {column}"
        bits = spec.magnitude(v).bit_length()
        assert int(dut.bits_o.value) == bits, case
        assert dut.top_o.value.to_signed() == min(max(bits + s, -127), 127), case
        assert int(dut.mix_o.value) == spec.mix32(v & 0xFFFFFFFF), case
    seen.require([("clamped", True), ("clamped", False), "exact", "tie", "left", "window clamped", "lost above half", "even", "clamp35"])
