# SPDX-License-Identifier: Apache-2.0
"""A scratchpad for benches of single units: memory behind any number of the unit's read and write ports."""

import re
from collections import Counter, deque
from collections.abc import Iterable
from pathlib import Path

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge

from tb.common.actors import rng, stalls

PACKAGE = Path(__file__).resolve().parents[2] / "rtl/ctrl/lathe_pkg.sv"
READ_LATENCY = int(re.search(r"RdLatency = (\d+);", PACKAGE.read_text())[1])


def to_word(row: np.ndarray) -> int:
    """Bits of a word from its int16 elements, element 0 least significant."""
    return int.from_bytes(np.asarray(row, "<i2").tobytes(), "little")


def from_word(bits: int, lanes: int) -> np.ndarray:
    """The int16 elements of a word."""
    return np.frombuffer(int(bits).to_bytes(2 * lanes, "little"), "<i2").copy()


class _Read:
    def __init__(self, dut, prefix: str, stall):
        stem = f"{prefix.rstrip('_')}_" if prefix else ""
        self.name = f"{stem}rd"
        self.valid, self.ready = getattr(dut, f"{stem}rd_valid_o"), getattr(dut, f"{stem}rd_ready_i")
        self.addr = getattr(dut, f"{stem}rd_addr_o")
        self.rvalid, self.rdata = getattr(dut, f"{stem}rd_rvalid_i"), getattr(dut, f"{stem}rd_rdata_i")
        self.stall, self.granting, self.held, self.accepted = stall, False, None, None  # accepted: address, in this cycle
        self.pipe: deque = deque([None] * (READ_LATENCY - 1))  # a word accepted in cycle t is driven in cycle t + READ_LATENCY
        self.driving = False
        self.ready.value = 0
        self.rvalid.value = 0


class _Write:
    def __init__(self, dut, prefix: str, stall):
        stem = f"{prefix.rstrip('_')}_" if prefix else ""
        self.name = f"{stem}wr"
        self.valid, self.ready = getattr(dut, f"{stem}wr_valid_o"), getattr(dut, f"{stem}wr_ready_i")
        self.addr, self.data = getattr(dut, f"{stem}wr_addr_o"), getattr(dut, f"{stem}wr_data_o")
        self.stall, self.granting, self.held = stall, False, None
        self.ready.value = 0


class ScratchpadPorts:
    """Scratchpad model: `memory[word, lane]` int16; reads answer exactly READ_LATENCY cycles after they are accepted.

    `reads`, `writes`: prefixes of the ports ("a" for a_rd_valid_o ..., "" for rd_valid_o ...). `stall`: probability of a
    refused grant, or a function that returns a stall pattern per port. Fails on an address outside `memory` and on a
    request that is withdrawn or changed before it is granted. A read of a word that is written in the same cycle gives
    garbage. `written` counts the writes of each word, `read` the reads.
    """

    def __init__(self, dut, words: int, lanes: int, reads: Iterable[str] = ("",), writes: Iterable[str] = ("",),
                 stall: float = 0.0, memory: np.ndarray | None = None):
        self.memory = np.zeros((words, lanes), "<i2") if memory is None else np.ascontiguousarray(memory, "<i2")
        self.words, self.lanes = self.memory.shape
        self.written: Counter = Counter()
        self.read: Counter = Counter()
        self._dut = dut
        self._reads = [_Read(dut, p, None) for p in reads]
        self._writes = [_Write(dut, p, None) for p in writes]
        self.set_stall(stall)
        self._garbage = rng(99)
        cocotb.start_soon(self._run())

    def set_stall(self, stall) -> None:
        """New probability of refused grants (or a function of the port number giving a pattern)."""
        for number, port in enumerate([*self._reads, *self._writes]):
            port.stall = stall(number) if callable(stall) else stalls(stall, rng(100 + number))

    async def _run(self) -> None:
        edge, reset_n = RisingEdge(self._dut.clk_i), self._dut.rst_ni
        while True:
            await edge
            if not int(reset_n.value):
                for port in self._reads:
                    port.pipe, port.held = deque([None] * (READ_LATENCY - 1)), None
                    port.rvalid.value = 0
                    port.driving = False
                for port in self._writes:
                    port.held = None
            else:
                for port in self._reads:
                    self._serve_read(port)
                for port in self._writes:
                    self._serve_write(port)
            for port in (*self._reads, *self._writes):
                grant = not next(port.stall)
                if grant != port.granting:
                    port.granting = grant
                    port.ready.value = int(grant)

    def _address(self, port) -> int:
        address = int(port.addr.value)
        assert address < self.words, f"{port.name}: address {address} outside {self.words} words"
        return address

    def _any_word(self) -> int:
        return self._garbage.integers(1 << 16).item() * ((1 << 16 * self.lanes) // 0xFFFF)

    def _serve_read(self, port: _Read) -> None:
        due = port.pipe.popleft()
        if due is not None:
            port.rdata.value = due
        elif port.driving:
            port.rdata.value = self._any_word()
        if (due is not None) != port.driving:
            port.driving = due is not None
            port.rvalid.value = int(port.driving)
        word = port.accepted = None
        if int(port.valid.value):
            address = self._address(port)
            assert port.held in (None, address), f"{port.name}: request {port.held} became {address} before its grant"
            port.held = address
            if port.granting:
                port.held, port.accepted = None, address
                self.read[address] += 1
                word = int.from_bytes(self.memory[address].tobytes(), "little")
        else:
            assert port.held is None, f"{port.name}: request {port.held} withdrawn before its grant"
        port.pipe.append(word)

    def _serve_write(self, port: _Write) -> None:
        if not int(port.valid.value):
            assert port.held is None, f"{port.name}: request {port.held} withdrawn before its grant"
            return
        request = self._address(port), int(port.data.value)
        assert port.held in (None, request), f"{port.name}: request {port.held} became {request} before its grant"
        port.held = request
        if port.granting:
            port.held = None
            self.written[request[0]] += 1
            self.memory[request[0]] = from_word(request[1], self.lanes)
            for reader in self._reads:
                if reader.accepted == request[0]:
                    reader.pipe[-1] = self._any_word()
