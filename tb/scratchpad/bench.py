# SPDX-License-Identifier: Apache-2.0
"""lathe_scratchpad against a plain array: contents, latency, one grant per bank, no waiting without need, priorities, fairness."""

from collections import deque

import cocotb
from cocotb.triggers import RisingEdge

from tb.common.actors import Coverage, cycle, rng, stalls, start_clock_and_reset
from tb.common.actors import reset as pull_reset
from tb.common.ports import READ_LATENCY


def bank_of(address, banks):
    bits, bank = banks.bit_length() - 1, 0
    while address:
        bank ^= address % banks
        address >>= bits
    return bank


class Side:
    """The requests of all clients of one kind: at most one a client, held until granted.

    Client c uses port c mod `shared`; the lowest that asks goes first. Ports below `first` go before the others.
    """

    def __init__(self, dut, kind, ports, shared, first, banks):
        self.valid, self.ready, self.addr = (getattr(dut, f"{kind}_{pin}") for pin in ("valid_i", "ready_o", "addr_i"))
        self.kind, self.ports, self.shared, self.first, self.banks = kind, ports, shared, first, banks
        self.queue = [deque() for _ in range(ports)]
        self.now = [None] * ports   # (address, word) on the pins
        self.waited = [0] * ports   # grants to others of its group in its bank
        self.stall = [stalls(0) for _ in range(ports)]
        self.seen_priority = False

    def sample(self, seen):
        """Check the grants of this cycle and return them as {port: request}."""
        ready = int(self.ready.value)
        asking = [port for port, request in enumerate(self.now) if request is not None]
        heads = {port % self.shared: port for port in reversed(asking)}  # the lowest client of each port
        asked, granted = {}, {}
        for port in asking:
            if heads[port % self.shared] != port:
                assert not ready >> port & 1, f"{self.kind} client {port} before {heads[port % self.shared]} of its port"
                continue
            bank = bank_of(self.now[port][0], self.banks)
            asked.setdefault(bank, []).append(port)
            if ready >> port & 1:
                assert bank not in granted, f"{self.kind}: two grants in bank {bank}"
                granted[bank] = port
        assert asked.keys() == granted.keys(), f"{self.kind}: banks {asked} gave grants {granted} only"
        for bank, winner in granted.items():
            group = winner % self.shared < self.first
            for port in asked[bank]:
                head_group = port % self.shared < self.first
                assert group or not head_group, f"{self.kind} client {winner} before {port}"
                self.waited[port] += port != winner and group == head_group
                limit = self.first if group else self.shared - self.first
                assert self.waited[port] < limit, f"{self.kind} client {port} passed over {self.waited[port]} times"
            self.waited[winner % self.shared::self.shared] = [0] * len(self.waited[winner % self.shared::self.shared])
            self.seen_priority |= any((port % self.shared < self.first) != group for port in asked[bank])
        seen.hit(f"{self.kind} conflict", any(len(p) > 1 for p in asked.values()))
        seen.hit(f"{self.kind} all banks", len(granted) == min(self.banks, self.shared))
        seen.hit(f"{self.kind} shared port", len(asking) > len(heads))
        seen.hit(f"{self.kind} priority", self.seen_priority)
        taken = {}
        for port in granted.values():
            taken[port], self.now[port] = self.now[port], None
        return taken

    def offer(self):
        valid = address = 0
        for port, queue in enumerate(self.queue):
            if self.now[port] is None and queue and not next(self.stall[port]):
                self.now[port] = queue.popleft()
            if self.now[port] is not None:
                valid |= 1 << port
                address |= self.now[port][0] << 16 * port
        self.valid.value = valid
        self.addr.value = address

    def busy(self):
        return any(self.queue) or any(request is not None for request in self.now)


class Bench:
    def __init__(self, dut):
        self.dut = dut
        self.banks, self.lanes = int(dut.Banks.value), int(dut.Lanes.value)
        self.words, self.bits = 1024 * self.banks, 16 * self.lanes
        self.reads = Side(dut, "rd", int(dut.NumRd.value), int(dut.RdPorts.value), 2, self.banks)
        self.writes = Side(dut, "wr", int(dut.NumWr.value), int(dut.WrPorts.value), 0, self.banks)
        self.memory, self.seen, self.generator = {}, Coverage(), rng(1)
        self.due = deque({} for _ in range(READ_LATENCY))  # answers of the next cycles
        self.compared = self.cycles = 0
        cocotb.start_soon(self._run())

    def word(self):
        return int.from_bytes(self.generator.bytes(2 * self.lanes), "little")

    async def _run(self):
        dut, edge, mask = self.dut, RisingEdge(self.dut.clk_i), (1 << self.bits) - 1
        last_writes = set()
        while True:
            await edge
            if not int(dut.rst_ni.value):
                self.due = deque({} for _ in range(READ_LATENCY))
                for side in (self.reads, self.writes):
                    side.now, side.waited = [None] * side.ports, [0] * side.ports
                    side.valid.value = 0
                continue
            self.cycles += 1
            expected = self.due.popleft()
            assert int(dut.rd_rvalid_o.value) == sum(1 << port for port in expected), "answers of the wrong ports"
            if expected:
                data = int(dut.rd_rdata_o.value)
                for port, (address, word) in expected.items():
                    got = data >> port * self.bits & mask
                    assert word in (None, got), f"port {port}, address {address:#x}: {got:#x}, expected {word:#x}"
                    self.compared += 1
            taken = self.reads.sample(self.seen)
            written = self.writes.sample(self.seen)
            read_now = {request[0] for request in taken.values()}
            self.seen.hit("read one cycle after the write", bool(read_now & last_writes))
            last_writes = {request[0] for request in written.values()}
            self.seen.hit("read in the cycle of the write", bool(read_now & last_writes))
            # what a read in the cycle of the write gives is not defined
            self.due.append({port: (request[0], None if request[0] in last_writes else self.memory[request[0]])
                             for port, request in taken.items()})
            for address, word in written.values():
                self.memory[address] = word
            self.reads.offer()
            self.writes.offer()
            data = 0
            for port, request in enumerate(self.writes.now):
                if request is not None:
                    data |= request[1] << port * self.bits
            dut.wr_data_i.value = data

    def write(self, port, address, word=None):
        self.writes.queue[port].append((address, self.word() if word is None else word))

    def read(self, port, address):
        self.reads.queue[port].append((address, None))

    async def idle(self):
        while self.reads.busy() or self.writes.busy() or any(self.due):
            await cycle(self.dut)

    async def fill(self, addresses):
        for number, address in enumerate(addresses):
            self.write(number % self.writes.ports, address)
        await self.idle()


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def test_corners(dut):
    """First and last word, all ones and zero, every bank, then everything read by every port."""
    await start_clock_and_reset(dut)
    bench = Bench(dut)
    addresses = [*range(2 * bench.banks), bench.words - 1, *(1 << i for i in range(bench.words.bit_length() - 1))]
    bench.write(0, 0, 0)
    bench.write(0, bench.words - 1, (1 << bench.bits) - 1)
    await bench.idle()
    await bench.fill(dict.fromkeys(addresses[1:]).keys() - {bench.words - 1})
    for port in range(bench.reads.ports):
        for address in addresses:
            bench.read(port, address)
    await bench.idle()
    assert bench.compared == bench.reads.ports * len(addresses)


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def test_random(dut):
    """Reads and writes of a few addresses, so that they meet, at all loads."""
    await start_clock_and_reset(dut)
    bench = Bench(dut)
    pool = [int(a) for a in bench.generator.integers(bench.words, size=40)]
    await bench.fill(pool)
    for p in (0, 0.5, 0.9):
        for side in (bench.reads, bench.writes):
            side.stall = [stalls(p, rng(10 + port)) for port in range(side.ports)]
        few = pool if p else pool[:6]
        for _ in range(100):
            for port in range(bench.reads.ports):
                bench.read(port, few[bench.generator.integers(len(few))])
            for port in range(bench.writes.ports):
                bench.write(port, few[bench.generator.integers(len(few))])
        await bench.idle()
    assert bench.compared == 300 * bench.reads.ports
    bench.seen.require(["rd conflict", "wr conflict", "rd shared port", "wr shared port", "rd priority",
                        "read one cycle after the write", "read in the cycle of the write"])


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def test_rate(dut):
    """Ports that walk words in order, and ports on rows a power of two apart, never wait once they are spread.

    The first two ports walk at full rate whatever the others do.
    """
    await start_clock_and_reset(dut)
    bench = Bench(dut)
    ports = min(bench.reads.shared, bench.banks)
    await bench.fill(range(4 * bench.banks))
    start = bench.cycles
    for i in range(100):
        for port in range(ports):
            bench.read(port, (i ^ port) % bench.banks + bench.banks * (i // bench.banks % 4))
    await bench.idle()
    assert bench.cycles - start <= 100 + 3 + READ_LATENCY, f"{bench.cycles - start} cycles for 100 words a port"
    bench.seen.require(["rd all banks"])
    for i in range(100):
        for port in range(bench.reads.ports):
            bench.read(port, (i ^ port) % bench.banks if port < 2 else int(bench.generator.integers(4 * bench.banks)))
    start = bench.cycles
    while bench.reads.queue[0] or bench.reads.queue[1]:
        await cycle(dut)
    assert bench.cycles - start <= 100 + 2, f"{bench.cycles - start} cycles for 100 words of the first ports"
    await bench.idle()
    for shift in range(1, (bench.words // bench.banks).bit_length()):
        rows = [port << shift for port in range(ports)]
        await bench.fill(row for row in rows if row not in bench.memory)
        start = bench.cycles
        for port, row in enumerate(rows):
            bench.read(port, row)
        await bench.idle()
        assert bench.cycles - start <= 3 + READ_LATENCY, f"rows {1 << shift} words apart share a bank"


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def test_reset(dut):
    """A reset drops requests and answers, and keeps every word accepted before it."""
    await start_clock_and_reset(dut)
    bench = Bench(dut)
    pool = [int(a) for a in bench.generator.integers(bench.words, size=30)]
    await bench.fill(pool)
    for moment in range(8):
        for address in pool:
            bench.read(int(bench.generator.integers(bench.reads.ports)), address)
            bench.write(int(bench.generator.integers(bench.writes.ports)), address)
        await cycle(dut, 2 + moment)
        for side in (bench.reads, bench.writes):
            for queue in side.queue:
                queue.clear()
        await pull_reset(dut, 1 + moment % 3)
        assert int(dut.rd_rvalid_o.value) == 0
        for address in pool:
            bench.read(0, address)
        await bench.idle()
    assert bench.compared >= 8 * len(pool)
