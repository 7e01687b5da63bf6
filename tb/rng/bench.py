# SPDX-License-Identifier: Apache-2.0
"""lathe_rng against mix32 of the golden models; latency in enabled cycles."""

from collections import deque

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge

from pymodels.numerics import mix32
from tb.common.actors import Coverage, rng, stalls

CORNERS = [0, 1, 0xFFFFFFFF, 0x80000000, 0x7FFFFFFF, 0xFFFF0000, 0x0000FFFF]


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def test_values(dut):
    generator, seen, stages = rng(), Coverage(), int(dut.Stages.value)
    cases = [(key, place) for key in CORNERS for place in CORNERS]
    cases += [tuple(int(v) for v in generator.integers([1 << 32, 1 << 32])) for _ in range(1000)]
    Clock(dut.clk_i, 10, "ns").start()
    edge, pipe, compared, hold = RisingEdge(dut.clk_i), deque([None] * (stages - 1)), 0, stalls(0.3, generator)
    enabled, offered, shown = False, None, None
    for case in [*cases, *[None] * (stages + 1)]:
        while True:
            await edge  # what was driven before takes effect now; outputs are those before the edge
            if shown is not None:
                wanted = mix32(shown[0] ^ shown[1])
                got = int(dut.rand_o.value)
                assert got == wanted, f"key, index = {shown}: {got:#010x}, expected {wanted:#010x}"
                compared += 1
            if enabled:
                pipe.append(offered)
                shown = pipe.popleft()
                enabled = False
            if next(hold):
                dut.en_i.value = 0
                dut.key_i.value = int(generator.integers(1 << 32))  # must not get in
                seen.hit("held", shown is not None)
                continue
            break
        offered, enabled = case, True
        dut.en_i.value = 1
        dut.key_i.value, dut.index_i.value = case or (0, 0)
    seen.require(["held"])
    assert compared >= len(cases)
