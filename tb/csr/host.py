# SPDX-License-Identifier: Apache-2.0
"""The host on the AXI4-Lite port: registers by name, memories by index, with random pauses on all five channels."""

import logging
from collections.abc import Sequence

import numpy as np
from cocotbext.axi import AxiLiteBus, AxiLiteMaster, AxiResp

from pymodels.csr_map import MEMORIES, REGISTERS
from tb.common.actors import rng, stalls


class Host:
    """Register accesses as awaitable calls; every response must be OKAY unless another is asked for."""

    def __init__(self, dut, pause: float = 0.0):
        logging.getLogger(f"cocotb.{dut._name}.s_axil").setLevel(logging.ERROR)
        self.master = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axil"), dut.clk_i, dut.rst_ni, reset_active_level=False)
        self.pause(pause)

    def pause(self, share: float) -> None:
        """Pause each channel in a share of the cycles."""
        write, read = self.master.write_if, self.master.read_if
        for i, channel in enumerate((write.aw_channel, write.w_channel, write.b_channel, read.ar_channel, read.r_channel)):
            if share:
                channel.set_pause_generator(stalls(share, rng(100 + i)))
            else:
                channel.clear_pause_generator()
                channel.pause = False

    async def write_at(self, address: int, value: int, response: AxiResp = AxiResp.OKAY) -> None:
        answer = await self.master.write(address, int(value).to_bytes(4, "little"))
        assert answer.resp == response, f"write to {address:#06x}: {answer.resp!r}"

    async def read_at(self, address: int, response: AxiResp = AxiResp.OKAY) -> int:
        answer = await self.master.read(address, 4)
        assert answer.resp == response, f"read of {address:#06x}: {answer.resp!r}"
        return int.from_bytes(answer.data, "little")

    async def write(self, name: str, value: int | None = None, **fields: int) -> None:
        """Write a register, as a word or by fields (those not named become 0)."""
        register = REGISTERS[name]
        await self.write_at(register.offset, register.pack(**fields) if value is None else value)

    async def read(self, name: str) -> int:
        return await self.read_at(REGISTERS[name].offset)

    async def fields(self, name: str) -> dict[str, int]:
        return REGISTERS[name].unpack(await self.read(name))

    async def load(self, memory: str, index: int, words: Sequence[int]) -> None:
        """Write consecutive words of a memory."""
        data = np.asarray(words, np.uint32).tobytes()
        answer = await self.master.write(MEMORIES[memory].offset + 4 * index, data)
        assert answer.resp == AxiResp.OKAY

    async def dump(self, memory: str, index: int, count: int) -> list[int]:
        """Read consecutive words of a memory."""
        answer = await self.master.read(MEMORIES[memory].offset + 4 * index, 4 * count)
        assert answer.resp == AxiResp.OKAY
        return np.frombuffer(bytes(answer.data), np.uint32).tolist()
