# SPDX-License-Identifier: Apache-2.0
"""Clients of lathe_scratchpad that only read and write: what comes back is compared, when and in which order is not."""

from collections import deque

import cocotb
from cocotb.triggers import RisingEdge

from tb.common.actors import cycle, rng, start_clock_and_reset
from tb.scratchpad.bench import READ_PORTS, WRITE_PORTS, place_of

ZEROING = 1024  # cycles


class Clients:
    """All clients: queues of requests, each held until taken; answers are kept in the order in which they come.

    `memory` is what was written, {address: word}, with the last word of each address as it was taken; nobody may read a word
    while someone writes it. `answers[client]`: the words that came, all compared unless in `wrong` the address says otherwise.
    """

    def __init__(self, dut):
        self.dut, self.banks = dut, int(dut.Banks.value)
        self.lanes = int(dut.Lanes.value)
        self.words, self.bits = 1024 * self.banks, 16 * self.lanes
        self.checks = self.bits.bit_length() + 1
        self.memory, self.generator = {}, rng(1)
        self.reads = [deque() for _ in READ_PORTS]   # addresses
        self.writes = [deque() for _ in WRITE_PORTS]  # address, word
        self.asked = [deque() for _ in READ_PORTS]   # addresses taken, not yet answered
        self.answers = [0] * len(READ_PORTS)
        self.waited = [0] * len(READ_PORTS)  # cycles of the request that is shown
        self.longest = [0] * len(READ_PORTS)
        self.bad = set()      # addresses whose word is known to be uncorrectable
        self.faults = []      # (address, uncorrectable, by the scrubber)
        self.cycles = 0
        cocotb.start_soon(self._run())

    def word(self):
        return int.from_bytes(self.generator.bytes(2 * self.lanes), "little")

    async def _run(self):
        dut, edge, mask = self.dut, RisingEdge(self.dut.clk_i), (1 << self.bits) - 1
        shown = [[None] * len(READ_PORTS), [None] * len(WRITE_PORTS)]
        while True:
            await edge
            self.cycles += 1
            came, bad = int(dut.rd_rvalid_o.value), int(dut.rd_bad_o.value)
            if came:
                data = int(dut.rd_rdata_o.value)
                for client in range(len(READ_PORTS)):
                    if came >> client & 1:
                        address = self.asked[client].popleft()
                        assert (bad >> client & 1) == (address in self.bad), f"client {client}, address {address}: bad {bad:#x}"
                        got = data >> client * self.bits & mask
                        assert address in self.bad or got == self.memory.get(address, 0), f"client {client}, address {address}: {got:#x}"
                        self.answers[client] += 1
            if int(dut.fault_valid_o.value):
                fault = int(dut.fault_o.value)
                self.faults.append((fault & 0xFFFF, fault >> 16 & 1, fault >> 17))
            ready = int(dut.rd_ready_o.value), int(dut.wr_ready_o.value)
            for client, address in enumerate(shown[0]):
                self.waited[client] = 0 if address is None else self.waited[client] + 1
                if address is not None and ready[0] >> client & 1:
                    self.asked[client].append(address)
                    self.longest[client] = max(self.longest[client], self.waited[client])
                    shown[0][client], self.waited[client] = None, 0
            for client, request in enumerate(shown[1]):
                if request is not None and ready[1] >> client & 1:
                    self.memory[request[0]] = request[1]
                    self.bad.discard(request[0])
                    shown[1][client] = None
            for now, queues in zip(shown, (self.reads, self.writes), strict=True):
                for client, queue in enumerate(queues):
                    if now[client] is None and queue:
                        now[client] = queue.popleft()
            self.shown = shown
            self._drive("rd", shown[0], 2)
            self._drive("wr", [request and request[0] for request in shown[1]], 1)
            dut.wr_data_i.value = sum(request[1] << client * self.bits for client, request in enumerate(shown[1]) if request)

    def _drive(self, kind, addresses, own):
        valid = bits = 0
        for client, address in enumerate(addresses):
            if address is not None:
                valid |= 1 << client
                bits |= (place_of(address, self.banks) if client < own else address) << 16 * client
        getattr(self.dut, f"{kind}_valid_i").value = valid
        getattr(self.dut, f"{kind}_addr_i").value = bits

    def busy(self):
        return any(map(len, (*self.reads, *self.writes, *self.asked))) or any(x is not None for side in self.shown for x in side)

    async def idle(self):
        await cycle(self.dut, 2)
        while self.busy():
            await cycle(self.dut)
        await cycle(self.dut, 10)  # the last writes are in the banks

    async def fill(self, addresses):
        """Write a random word to each address."""
        for address in addresses:
            self.writes[1].append((address, self.word()))
        await self.idle()


async def powered(dut) -> Clients:
    """Power on and wait until all words are zero."""
    await start_clock_and_reset(dut)
    clients = Clients(dut)
    await cycle(dut, ZEROING)
    return clients
