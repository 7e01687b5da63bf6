# SPDX-License-Identifier: Apache-2.0
"""The scratchpad's code: every single flip is corrected, every pair of flips detected, for random words."""

from itertools import combinations

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge

from tb.common.actors import CLOCK_NS, rng
from tb.secded.code import checks_of, columns, encode


def words(width, count):
    """Zero, all ones and random words."""
    generator = rng()
    return [0, (1 << width) - 1, *(int.from_bytes(generator.bytes(width // 8), "little") for _ in range(count))]


async def push(dut, cases):
    """Send (data, flips) one a cycle; yield (data, flips, word, corrected, uncorrectable) two cycles later."""
    Clock(dut.clk_i, CLOCK_NS, "ns").start(start_high=False)
    edge, flying = RisingEdge(dut.clk_i), []
    dut.valid_i.value = 0
    await edge
    for case in [*cases, None, None, None]:
        dut.valid_i.value = int(case is not None)
        if case:
            dut.data_i.value, dut.flips_i.value = case
        await edge
        flying.append(case)
        if len(flying) == 3:
            then = flying.pop(0)
            if then:
                yield *then, int(dut.word_o.value), int(dut.corrected_o.value), int(dut.uncorrectable_o.value)
    assert not int(dut.corrected_o.value) and not int(dut.uncorrectable_o.value), "a fault without a word"


def whole(data, width):
    return encode(data, width) << width | data


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def test_single(dut):
    """No flip and every single flip: the word comes out as it was, and a flip is reported as corrected."""
    width = len(dut.data_i)
    flips = [0, *(1 << i for i in range(width + checks_of(width)))]
    async for data, flip, word, corrected, uncorrectable in push(dut, [(data, flip) for data in words(width, 4) for flip in flips]):
        assert word == whole(data, width), f"{data:#x} with {flip:#x} flipped: {word:#x}"
        assert (corrected, uncorrectable) == (flip != 0, 0), f"{flip:#x}: {corrected}, {uncorrectable}"


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def test_double(dut):
    """Every pair of flips is reported as uncorrectable."""
    width = len(dut.data_i)
    pairs = [1 << i | 1 << j for i, j in combinations(range(width + checks_of(width)), 2)]
    async for _, flip, _, corrected, uncorrectable in push(dut, [(data, flip) for data in words(width, 0)[1:] for flip in pairs]):
        assert (corrected, uncorrectable) == (0, 1), f"{flip:#x}: {corrected}, {uncorrectable}"


@cocotb.test()
async def test_columns(dut):
    """The parities have nearly the same number of inputs."""
    width = len(dut.data_i)
    code = columns(width)
    assert len(set(code)) == width and all(column.bit_count() in (3, 5) for column in code)
    inputs = [sum(column >> j & 1 for column in code) for j in range(checks_of(width))]
    assert max(inputs) - min(inputs) <= 5, inputs
