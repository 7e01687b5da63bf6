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

    Client c uses port c mod `shared`; the lowest that asks goes first.
    """

    def __init__(self, dut, kind, ports, shared):
        self.valid, self.ready, self.addr = (getattr(dut, f"{kind}_{pin}") for pin in ("valid_i", "ready_o", "addr_i"))
        self.kind, self.ports, self.shared = kind, ports, shared
        self.queue = [deque() for _ in range(ports)]
        self.now = [None] * ports   # (address, word) on the pins
        self.stall = [stalls(0) for _ in range(ports)]

    def heads(self, seen):
        """Return {port: client that asks through it}; the others must not be granted."""
        asking = [client for client, request in enumerate(self.now) if request is not None]
        heads = {client % self.shared: client for client in reversed(asking)}
        for client in set(asking) - set(heads.values()):
            assert not self.granted(client), f"{self.kind} client {client} before {heads[client % self.shared]} of its port"
        seen.hit(f"{self.kind} shared port", len(asking) > len(heads))
        return heads

    def granted(self, client):
        return int(self.ready.value) >> client & 1

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
        self.reads = Side(dut, "rd", int(dut.NumRd.value), 4)
        self.writes = Side(dut, "wr", int(dut.NumWr.value), 2)
        self.waited = [0] * self.writes.shared  # grants to other writes in a write port's bank
        self.urgent = 0.0  # share of cycles in which a client's writes are urgent
        self.memory, self.seen, self.generator = {}, Coverage(), rng(1)
        self.due = deque({} for _ in range(READ_LATENCY))  # answers of the next cycles
        self.compared = self.cycles = 0
        cocotb.start_soon(self._run())

    def word(self):
        return int.from_bytes(self.generator.bytes(2 * self.lanes), "little")

    def grants(self):
        """Check the grants of this cycle and return {client: request} of reads and of writes.

        A bank serves two accesses: side A reads of ports 0 and 2, side B of 1 and 3, and either of them a write. Ports 0 and 1 go
        before writes, which go before ports 2 and 3; an urgent write goes before port 1 where both 0 and 1 ask.
        """
        urgent, asked, taken = int(self.dut.wr_urgent_i.value), {}, ({}, {})
        for kind, side in enumerate((self.reads, self.writes)):
            for port, client in side.heads(self.seen).items():
                bank = bank_of(side.now[client][0], self.banks)
                asked.setdefault(bank, ({}, {}))[kind][port] = client
                if side.granted(client):
                    taken[kind][client] = side.now[client]
        for bank, (reads, writes) in asked.items():
            hurry = {port for port, client in writes.items() if urgent >> client & 1}
            full = 0 in reads and 1 in reads
            write = bool(hurry) or bool(writes) and not full
            expected = {0, 1} & reads.keys() - ({1} if hurry and full else set())
            if 2 in reads and 0 not in reads and not (write and 1 in reads):
                expected.add(2)
            if 3 in reads and 1 not in reads and not write:
                expected.add(3)
            assert {port for port, client in reads.items() if client in taken[0]} == expected, \
                f"bank {bank}: reads {reads}, writes {writes}, urgent {hurry}: granted {taken}"
            chosen = {port for port, client in writes.items() if client in taken[1]}
            assert len(chosen) == write and chosen <= (hurry or writes.keys()), \
                f"bank {bank}: reads {reads}, writes {writes}, urgent {hurry}: granted {taken}"
            for port in hurry or writes:
                self.waited[port] = 0 if port in chosen else self.waited[port] + bool(chosen)
                assert self.waited[port] < self.writes.shared, f"write port {port} passed over"
            self.seen.hit("two writes", len(writes) > 1)
            self.seen.hit("two writes, one urgent", len(writes) > len(hurry) > 0)
            self.seen.hit("write beside a read", write and len(reads) == 1)
            self.seen.hit("write waits for two reads", bool(writes) and not write)
            self.seen.hit("urgent write before a read", bool(hurry) and full)
            self.seen.hit("reads wait for reads", len(reads) > 2)
            self.seen.hit("read 2 waits for a write", write and reads.keys() >= {1, 2} and 0 not in reads)
            self.seen.hit("read 3 waits for a write", write and reads.keys() >= {3} and 1 not in reads)
        self.seen.hit("all banks", len(asked) == self.banks or len(taken[0]) == self.reads.shared)
        for kind, side in enumerate((self.reads, self.writes)):
            for client in taken[kind]:
                side.now[client] = None
        return taken

    async def _run(self):
        dut, edge, mask = self.dut, RisingEdge(self.dut.clk_i), (1 << self.bits) - 1
        last_writes = set()
        while True:
            await edge
            if not int(dut.rst_ni.value):
                self.due = deque({} for _ in range(READ_LATENCY))
                for side in (self.reads, self.writes):
                    side.now = [None] * side.ports
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
            taken, written = self.grants()
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
            dut.wr_urgent_i.value = sum((self.generator.random() < self.urgent) << port for port in range(self.writes.ports))

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
        bench.urgent = 0.3
        for _ in range(100):
            for port in range(bench.reads.ports):
                bench.read(port, few[bench.generator.integers(len(few))])
            for port in range(bench.writes.ports):
                bench.write(port, few[bench.generator.integers(len(few))])
        await bench.idle()
    assert bench.compared == 300 * bench.reads.ports
    bench.seen.require(["two writes", "two writes, one urgent", "write beside a read", "write waits for two reads",
                        "urgent write before a read", "reads wait for reads", "read 2 waits for a write", "read 3 waits for a write",
                        "rd shared port", "wr shared port", "read one cycle after the write", "read in the cycle of the write"])


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def test_rate(dut):
    """Ports that walk words in order, and ports on rows a power of two apart, never wait once they are spread.

    The first two ports walk at full rate, even in the same bank, whatever the other reads and the writes do.
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
    bench.seen.require(["all banks"])
    for i in range(100):
        for port in range(bench.reads.ports):
            bench.read(port, i % bench.banks if port < 2 else int(bench.generator.integers(4 * bench.banks)))
        for port in range(bench.writes.ports):
            bench.write(port, int(bench.generator.integers(4 * bench.banks)))
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
