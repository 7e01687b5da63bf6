# SPDX-License-Identifier: Apache-2.0
"""lathe_ram against a list: one cycle of latency, old word on a collision, the word stays until the next read."""

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge

from tb.common.actors import Coverage, rng


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def test_random(dut):
    generator, seen = rng(), Coverage()
    words, width = int(dut.Words.value), int(dut.Width.value)
    memory = [None] * words
    Clock(dut.clk_i, 10, "ns").start()
    edge = RisingEdge(dut.clk_i)
    ones = (1 << width) - 1
    plan = [(1, a, (0, ones)[a % 2], 0, 0) for a in range(words)]                # fill,
    plan += [(0, 0, 0, 1, a) for a in range(words)]                              # read all,
    for _ in range(3000):                                                        # then anything
        write, read = generator.random() < 0.5, generator.random() < 0.7
        at = int(generator.integers(words))
        other = at if generator.random() < 0.3 else int(generator.integers(words))
        plan.append((int(write), at, int.from_bytes(generator.bytes(8), "little") & ones, int(read), other))
    shown, compared = None, 0
    for write, at, data, read, other in [*plan, (0, 0, 0, 0, 0)]:
        dut.wr_en_i.value, dut.wr_addr_i.value, dut.wr_data_i.value = write, at, data
        dut.rd_en_i.value, dut.rd_addr_i.value = read, other
        await edge
        if shown is not None:
            got = int(dut.rd_data_o.value)
            assert got == shown, f"{got:#x}, expected {shown:#x}"
            compared += 1
        collision = bool(write and read and at == other)
        seen.hit("collision", collision)
        seen.hit("kept", not read and shown is not None)
        if read:
            shown = memory[other]
        if write:
            memory[at] = data
    seen.require(["collision", "kept"])
    assert compared > 3000
