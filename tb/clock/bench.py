# SPDX-License-Identifier: Apache-2.0
"""lathe_clock and lathe_clock_stop: wires as built for hardware, the clock of each change and its pauses as built in process.

The environment variable IN_PROCESS says which of the two was built.
"""

import os

import cocotb
from cocotb.triggers import Timer

from tb.common.actors import rng

IN_PROCESS = os.environ.get("IN_PROCESS") == "1"
KEEPS = 16  # cycles that a clock goes on after the last one in which it was wanted


class Clock:
    """Drives the clock and counts what the specification gives of edges."""

    def __init__(self, dut):
        self.dut, self.idle, self.core, self.kept = dut, 0, 0, 0

    async def start(self):
        """Take the counters' random values as zero, after enough cycles for the stop to know how long it has idled."""
        self.dut.clk_i.value, self.dut.wanted_i.value = 0, 1
        await Timer(1, "ns")
        for _ in range(4):
            await self.change()
        self.core, self.kept = int(self.dut.core_q.value), int(self.dut.kept_q.value)

    async def change(self):
        self.dut.clk_i.value = 1 - int(self.dut.clk_i.value)
        await Timer(1, "ns")

    async def cycle(self, wanted):
        self.dut.wanted_i.value = wanted
        await Timer(1, "ns")
        self.idle = 0 if wanted else self.idle + 1
        self.core = (self.core + 1) % 2**16
        self.kept = (self.kept + (self.idle < KEEPS or not IN_PROCESS)) % 2**16
        await self.change()
        if not IN_PROCESS:
            assert self.dut.clk_core_o.value == self.dut.clk_kept_o.value == 1
            await self.change()
        assert self.dut.clk_core_o.value == self.dut.clk_kept_o.value == 0
        seen = int(self.dut.core_q.value), int(self.dut.kept_q.value)
        assert seen == (self.core, self.kept), f"{seen} edges, expected {self.core} and {self.kept}, idle for {self.idle}"


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def test_edges(dut):
    """Pauses of every length up to twice the cycles that the clock goes on, wanted for one cycle and for several."""
    clock = Clock(dut)
    await clock.start()
    for pause in rng().permutation(2 * KEEPS + 1):
        for _ in range(int(rng().integers(1, 4))):
            await clock.cycle(1)
        for _ in range(int(pause)):
            await clock.cycle(0)
