# SPDX-License-Identifier: Apache-2.0
"""lathe_rr_arb against a list that is searched in order: which request is granted, with and without use of the grant."""

import cocotb
from cocotb.triggers import RisingEdge

from tb.common.actors import Coverage, reset, rng, start_clock_and_reset


class Model:
    def __init__(self, num):
        self.num, self.first = num, 0

    def grant(self, requests, advance):
        for step in range(self.num):
            port = (self.first + step) % self.num
            if requests >> port & 1:
                if advance:
                    self.first = (port + 1) % self.num
                return 1 << port
        return 0


async def play(dut, model, patterns):
    """Drive (requests, advance) one a cycle and compare the grants."""
    seen, edge = Coverage(), RisingEdge(dut.clk_i)
    for requests, advance in patterns:
        dut.req_i.value, dut.advance_i.value = requests, advance
        await edge
        wanted, got = model.grant(requests, advance), int(dut.grant_o.value)
        assert got == wanted, f"requests {requests:#b}: grant {got:#b}, expected {wanted:#b}"
        seen.hit(got)
    return seen


async def settle(dut):
    dut.req_i.value, dut.advance_i.value = 0, 0
    await RisingEdge(dut.clk_i)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def test_corners(dut):
    """None, one and all requests; all requests are granted in turn."""
    await start_clock_and_reset(dut)
    model = Model(num := len(dut.req_i))
    full = (1 << num) - 1
    ones = [(1 << port, 1) for port in range(num)]
    seen = await play(dut, model, [(0, 1), (0, 0), *ones, *reversed(ones), *[(full, 0)] * 3, *[(full, 1)] * (2 * num)])
    seen.require([0, *(1 << port for port in range(num))])


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def test_random(dut):
    await start_clock_and_reset(dut)
    model, generator = Model(num := len(dut.req_i)), rng()
    patterns = []
    for density in (0.1, 0.5, 0.9):
        for _ in range(700):
            requests = sum(1 << port for port in range(num) if generator.random() < density)
            patterns.append((requests, int(generator.random() < 0.8)))
    seen = await play(dut, model, patterns)
    seen.require([0, *(1 << port for port in range(num))])


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def test_reset(dut):
    """After a reset request 0 comes first again."""
    await start_clock_and_reset(dut)
    num = len(dut.req_i)
    full = (1 << num) - 1
    for used in range(1, num + 1):
        await play(dut, Model(num), [(full, 1)] * used)
        await settle(dut)
        await reset(dut, 1)
