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


def place_of(address, banks):
    """Return row and bank of a word, as clients with a port for themselves hand them over."""
    return address // banks * banks + bank_of(address, banks)


READ_PORTS = (0, 1, 2, 3, 2, 3, 2, 3, 3)  # of each client
WRITE_PORTS = (0, 1, 1, 2, 1, 2, 1)


class Side:
    """The requests of all clients of one kind: at most one a client, held until taken.

    The first `own` ports belong to the clients of their number, who are taken when they are granted. The clients of any other port
    take turns: every cycle the turn goes to the next one around that asks, if there is one. Its register takes two requests.
    """

    def __init__(self, dut, kind, own, port_of):
        self.banks = int(dut.Banks.value)
        self.valid, self.ready, self.addr = (getattr(dut, f"{kind}_{pin}") for pin in ("valid_i", "ready_o", "addr_i"))
        self.kind, self.ports, self.own, self.port_of = kind, len(port_of), own, port_of
        ports, self.shared = self.ports, 1 + max(port_of)
        self.members = [[client for client in range(ports) if port_of[client] == port] for port in range(self.shared)]
        self.queue = [deque() for _ in range(ports)]
        self.stall = [stalls(0) for _ in range(ports)]
        self.reset()

    def reset(self):
        """The turn of each port is at its first client."""
        self.now = [None] * self.ports   # (address, word) on the pins
        self.turn = [members[0] for members in self.members]
        self.taken = [deque() for _ in range(self.shared)]  # (client, request) in a port's register

    def heads(self):
        """Return {port: (client, request)} of the requests that face the banks."""
        heads = {port: (port, self.now[port]) for port in range(self.own) if self.now[port] is not None}
        return heads | {port: taken[0] for port, taken in enumerate(self.taken) if taken}

    def granted(self, port):
        """A port that was granted shows its next request."""
        if port < self.own:
            self.now[port] = None
        else:
            self.taken[port].popleft()

    def take(self, seen):
        """Check who else was taken, before `granted`: whose turn it is, if there is room. Then the turns go on."""
        asking = {client for client, request in enumerate(self.now) if request is not None and self.port_of[client] >= self.own}
        new = []
        for port in range(self.own, self.shared):
            members, turn, ready = self.members[port], self.turn[port], int(self.ready.value)
            expected = {turn} & asking if len(self.taken[port]) < 2 else set()
            got = {client for client in members if client in asking and ready >> client & 1}
            assert got == expected, f"{self.kind} port {port}: turn of {turn}, {len(self.taken[port])} waiting, took {got}"
            new += [(port, client) for client in got]
            seen.hit(f"{self.kind} shared port", len(asking & set(members)) > 1)
            seen.hit(f"{self.kind} port full", len(self.taken[port]) == 2)
            at = members.index(turn)
            self.turn[port] = next((client for client in members[at + 1:] + members[:at] if client in asking), turn)
        return new

    def offer(self):
        valid = address = 0
        for port, queue in enumerate(self.queue):
            if self.now[port] is None and queue and not next(self.stall[port]):
                self.now[port] = queue.popleft()
            if self.now[port] is not None:
                valid |= 1 << port
                request = self.now[port][0]
                address |= (place_of(request, self.banks) if port < self.own else request) << 16 * port
        self.valid.value = valid
        self.addr.value = address

    def busy(self):
        return any(self.queue) or any(self.taken) or any(request is not None for request in self.now)


class Bench:
    def __init__(self, dut):
        self.dut = dut
        self.banks, self.lanes = int(dut.Banks.value), int(dut.Lanes.value)
        self.words, self.bits = 1024 * self.banks, 16 * self.lanes
        self.reads, self.writes = Side(dut, "rd", 2, READ_PORTS), Side(dut, "wr", 1, WRITE_PORTS)
        self.urgent = 0.0  # share of cycles in which client 0's write is urgent
        self.memory, self.seen, self.generator = {}, Coverage(), rng(1)
        self.compared = self.cycles = 0
        self.reset()
        cocotb.start_soon(self._run())

    def reset(self):
        self.due = deque({} for _ in range(READ_LATENCY))  # answers of the next cycles
        self.late = set()  # shared write ports whose request was refused in the last cycle
        self.order = [*range(self.writes.shared)]  # write ports, the last grant longest ago first
        self.gives_way = 1  # the read port, 0 or 1, that the next urgent write goes before

    def word(self):
        return int.from_bytes(self.generator.bytes(2 * self.lanes), "little")

    def grants(self):
        """Check the grants of this cycle and return {client: request} of reads and of writes.

        A bank serves two accesses: side A reads of ports 0 and 2, side B of 1 and 3, and either of them a write. Ports 0 and 1 go
        before writes, which go before ports 2 and 3 where they leave no room for one of these; of the two 2 goes first. An urgent
        write goes before port 1 or 0, in turn, where both ask. A shared port's write is urgent when it was refused in the cycle
        before. Of several the port granted longest ago goes first.
        """
        urgent = {0} & {int(self.dut.wr_urgent_i.value) - 1} | self.late
        heads, asked, taken = (self.reads.heads(), self.writes.heads()), {}, ({}, {})
        ready = int(self.reads.ready.value), int(self.writes.ready.value)
        for kind in (0, 1):
            for port, (_, request) in heads[kind].items():
                asked.setdefault(bank_of(request[0], self.banks), (set(), set()))[kind].add(port)
        chosen_reads, chosen_writes, gave_way = set(), set(), False
        for bank, (reads, writes) in asked.items():
            case = f"bank {bank}: reads of ports {reads}, writes {writes}, urgent {urgent}"
            hurry = urgent & writes
            full = {0, 1} <= reads
            write = bool(hurry) or bool(writes) and not full
            expected = {0, 1} & reads - ({self.gives_way} if hurry and full else set())
            gave_way |= bool(hurry) and full
            if 2 in reads and 0 not in reads and not (write and 1 in reads):
                expected.add(2)
            if 3 in reads and 1 not in reads and not (write and {0, 2} & reads):
                expected.add(3)
            for port in {0, 1} & reads:
                assert (ready[0] >> port & 1) == (port in expected), case
            chosen = {min(hurry or writes, key=self.order.index)} if write else set()
            assert 0 not in writes or bool(ready[1] & 1) == (0 in chosen), case
            chosen_reads |= expected
            chosen_writes |= chosen
            self.seen.hit("two writes", len(writes) > 1)
            self.seen.hit("two writes, one urgent", len(writes) > len(hurry) > 0)
            self.seen.hit("three writes", len(writes) > 2)
            self.seen.hit("write beside a read", write and len(reads) == 1)
            self.seen.hit("write waits for two reads", bool(writes) and not write)
            self.seen.hit("urgent write before a read", bool(hurry) and full)
            self.seen.hit("reads wait for reads", len(reads) > 2)
            self.seen.hit("read 2 waits for a write", write and reads >= {1, 2} and 0 not in reads)
            self.seen.hit("read 3 waits for a write", write and 3 in reads and 1 not in reads and len(reads) > 1)
        self.seen.hit("all banks", len(asked) == self.banks or len(chosen_reads) == self.reads.shared)
        self.late = heads[1].keys() - chosen_writes - {0}
        self.order.sort(key=lambda port: port in chosen_writes)
        self.gives_way ^= gave_way
        for kind, (side, chosen) in enumerate(((self.reads, chosen_reads), (self.writes, chosen_writes))):
            new = side.take(self.seen)
            for port in chosen:
                client, request = heads[kind][port]
                taken[kind][client] = request
                side.granted(port)
            for port, client in new:
                side.taken[port].append((client, side.now[client]))
                side.now[client] = None
        return taken

    async def _run(self):
        dut, edge, mask = self.dut, RisingEdge(self.dut.clk_i), (1 << self.bits) - 1
        last_writes = set()
        while True:
            await edge
            if not int(dut.rst_ni.value):
                self.reset()
                for side in (self.reads, self.writes):
                    side.valid.value = 0
                    side.reset()
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
            dut.wr_urgent_i.value = int(self.generator.random() < self.urgent)

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


async def powered(dut):
    """Power on and wait until all words are zero: nobody is granted anything before."""
    await start_clock_and_reset(dut)
    for _ in range(1024):
        assert int(dut.rd_ready_o.value) & 3 == 0 and int(dut.wr_ready_o.value) & 0b1010011 == 0, "ready before all words are zero"
        await cycle(dut)
    return Bench(dut)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def test_corners(dut):
    """First and last word, all ones and zero, every bank, then everything read by every port."""
    bench = await powered(dut)
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
    bench = await powered(dut)
    pool = [int(a) for a in bench.generator.integers(bench.words, size=40)]
    pool[1:3] = [a for a in bench.generator.permutation(bench.words).tolist()  # other words of the same bank
                 if a != pool[0] and bank_of(a, bench.banks) == bank_of(pool[0], bench.banks)][:2]
    await bench.fill(pool)
    for p in (0, 0.5, 0.9):
        for side in (bench.reads, bench.writes):
            side.stall = [stalls(p, rng(10 + port)) for port in range(side.ports)]
        few = pool if p else pool[:3]
        bench.urgent = 0.6
        for _ in range(100):
            for ask, side in ((bench.read, bench.reads), (bench.write, bench.writes)):
                for client in range(side.ports):
                    for _ in range(3 if client < side.own else 1):  # their ports last as long as the shared ones
                        ask(client, few[bench.generator.integers(len(few))])
        await bench.idle()
    assert bench.compared == 300 * (bench.reads.ports + 2 * bench.reads.own)
    bench.seen.require(["two writes", "three writes", "two writes, one urgent", "write beside a read", "write waits for two reads",
                        "urgent write before a read", "reads wait for reads", "read 2 waits for a write", "read 3 waits for a write",
                        "rd shared port", "wr shared port", "rd port full", "wr port full", "read one cycle after the write",
                        "read in the cycle of the write"])


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def test_rate(dut):
    """Ports that walk words in order, and ports on rows a power of two apart, never wait once they are spread.

    The first two ports walk at full rate, even in the same bank, whatever the other reads and the writes do.
    """
    bench = await powered(dut)
    ports = min(bench.reads.shared, bench.banks)
    await bench.fill(range(4 * bench.banks))
    start = bench.cycles
    for i in range(100):
        for port in range(ports):
            bench.read(port, (i ^ port) % bench.banks + bench.banks * (i // bench.banks % 4))
    await bench.idle()
    assert bench.cycles - start <= 100 + 5 + READ_LATENCY, f"{bench.cycles - start} cycles for 100 words a port"
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
        assert bench.cycles - start <= 4 + READ_LATENCY, f"rows {1 << shift} words apart share a bank"


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def test_reset(dut):
    """A reset drops requests, also those that a port has taken, and answers, and keeps every word in the banks."""
    bench = await powered(dut)
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
