# SPDX-License-Identifier: Apache-2.0
"""Replays recorded register accesses on the chip under cocotb and says how long the fastest of the last runs took.

scripts/bench.py records them on the in-process back end and compares the speeds; not a check of results.
"""

import json
import os
import time

import cocotb
import numpy as np
import pyuvm
from cocotb.clock import Clock
from cocotb.utils import get_sim_time
from pyuvm import ConfigDB

from tb.chip.agents import Pauses
from tb.chip.bench import ChipEnv, ChipTest
from tb.chip.host import Access
from tb.common.actors import quiet

PERIOD = 10


@pyuvm.test()
class Replay(ChipTest):
    """Environment REPLAY names an .npz with `memory`, `accesses` (address, data; address -1: wait for the interrupt) and
    `timed` (how many accesses each of the last `repeats` runs consists of); REPLAY_OUT the JSON file to write."""

    def build_phase(self):
        quiet(cocotb.top)
        self.record = np.load(os.environ["REPLAY"])
        self.chip_memory = self.record["memory"].copy()
        self.pauses = Pauses(0.0)
        ConfigDB().set(None, "*", "PAUSES", self.pauses)
        ConfigDB().set(None, "*", "MEMORY", self.chip_memory)
        self.env = ChipEnv("env", self)

    async def run_phase(self):
        self.raise_objection()
        cocotb.start_soon(Clock(cocotb.top.clk_i, PERIOD, unit="ns").start(start_high=False))
        await self.reset(True)
        accesses = [tuple(map(int, access)) for access in self.record["accesses"]]
        timed, repeats = int(self.record["timed"]), int(self.record["repeats"])
        await self.replay(accesses[:-timed * repeats])
        runs = []
        for last in range(repeats, 0, -1):
            begin, started = get_sim_time("ns"), time.perf_counter()
            await self.replay(accesses[len(accesses) - timed * last:][:timed])
            runs.append({"cycles": (get_sim_time("ns") - begin) / PERIOD, "wall_s": time.perf_counter() - started})
        with open(os.environ["REPLAY_OUT"], "w") as out:
            json.dump(max(runs, key=lambda run: run["cycles"] / run["wall_s"]), out)
        self.env.scoreboard.compare("interrupts that nobody has taken back", int(cocotb.top.irq_o.value), 0)
        self.drop_objection()

    async def replay(self, accesses) -> None:
        for address, data in accesses:
            if address < 0:
                assert await self.env.irq.wait(1_000_000), "no interrupt"
            else:
                await Access([(address, data)]).start(self.env.csr.sequencer)
