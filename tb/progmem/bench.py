# SPDX-License-Identifier: Apache-2.0
"""lathe_progmem against an array: all addresses, both ports at once, data held until the next read."""

import cocotb
import numpy as np
from cocotb.clock import Clock

from tb.common.actors import CLOCK_NS, Coverage, Scoreboard, cycle, rng

WORDS = 4096


class Bench:
    """Drives both ports each cycle and checks what the cycle before asked for."""

    def __init__(self, dut):
        self.dut, self.board, self.seen = dut, Scoreboard("progmem"), Coverage()
        self.mem = np.zeros(WORDS, np.uint32)
        self.host = self.seq = None  # what each port must show now
        self.coming = None  # and the host's in the next cycle

    def row(self, row: int) -> int:
        return sum(int(word) << 32 * i for i, word in enumerate(self.mem[4 * row:4 * row + 4]))

    async def step(self, host: tuple[int, int | None] | None = None, seq: int | None = None) -> None:
        """`host`: (index, data to write or None); `seq`: row to read."""
        dut = self.dut
        dut.host_en_i.value = int(host is not None)
        dut.seq_en_i.value = int(seq is not None)
        if host is not None:
            dut.host_index_i.value, dut.host_write_i.value = host[0], int(host[1] is not None)
            dut.host_wdata_i.value = host[1] if host[1] is not None else 0xDEADBEEF
        if seq is not None:
            dut.seq_row_i.value = seq
        await cycle(dut)
        for port, shown in ((self.host, dut.host_rdata_o), (self.seq, dut.seq_rdata_o)):
            if port is not None:
                self.board.expect(port)
                self.board.observe(int(shown.value))
        if seq is not None:
            raced = host is not None and host[1] is not None and host[0] // 4 == seq
            self.seq = None if raced else self.row(seq)
            self.seen.hit("race", raced)
        self.host = self.coming
        if host is not None:
            if host[1] is None:
                self.coming = int(self.mem[host[0]])
            else:
                self.mem[host[0]] = host[1]


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def test_all_addresses(dut):
    """Every word keeps its own value; a host write leaves the data that was read."""
    Clock(dut.clk_i, CLOCK_NS, "ns").start()
    bench, generator = Bench(dut), rng()
    for index, value in enumerate(generator.integers(0, 2**32, WORDS)):
        await bench.step((index, int(value)))
    for index in range(WORDS):
        await bench.step((index, None), (WORDS - 1 - index) // 4)
    await bench.step()
    bench.board.finish()


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def test_random(dut):
    """Random accesses on both ports, with gaps."""
    Clock(dut.clk_i, CLOCK_NS, "ns").start()
    bench, generator = Bench(dut), rng(1)
    for index in range(64):
        await bench.step((index, index))
    for _ in range(4000):
        host, seq, value = (int(v) for v in generator.integers(0, [64, 16, 2**32]))
        write = generator.random() < 0.5
        await bench.step((host, value if write else None) if generator.random() < 0.7 else None, seq if generator.random() < 0.7 else None)
    bench.seen.require(["race"])
    bench.board.finish()
