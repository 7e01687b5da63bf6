# SPDX-License-Identifier: Apache-2.0
"""lathe_scratchpad lends the array's ports: the rate of an update's streams while the array is idle, and that the array gets them back."""

import cocotb

from tb.common.actors import cycle
from tb.scratchpad.clients import powered

READS, WRITES = (4, 5, 6), (2, 3)  # w, g, m; w', m'
COPY = 5                           # w8, every second word
DEPTH = 16                         # words that a stream may be ahead
RATES = {4: 0.79, 8: 0.92, 16: 0.94}  # words a cycle by banks: w and m, and two results, meet in one now and then


class Update:
    """An update of `words` words: reads all operands, and a word of each result is written for every word of all operands."""

    def __init__(self, clients, words, bases, copies=True):
        self.clients, self.words, self.bases, self.copies = clients, words, bases, copies
        self.started = {client: 0 for client in READS}
        self.done = 0
        self.first = {client: clients.answers[client] for client in READS}

    def step(self):
        """Call once a cycle."""
        clients = self.clients
        writers = WRITES + (COPY,) * self.copies
        for client in READS:
            if self.started[client] < min(self.words, self.done + DEPTH) and not clients.reads[client]:
                clients.reads[client].append(self.bases[client] + self.started[client])
                self.started[client] += 1
        if self.done < min(clients.answers[client] - self.first[client] for client in READS) and \
                all(len(clients.writes[client]) < DEPTH for client in writers):
            for client in WRITES:
                clients.writes[client].append((self.bases[-client] + self.done, clients.word()))
            if self.copies and self.done % 2:
                clients.writes[COPY].append((self.bases[-COPY] + self.done // 2, clients.word()))
            self.done += 1


def bases(clients, words, shift):
    """Return where each stream begins, {client, or -client of a write: address}; `shift` lies between their first banks."""
    size = words + 2 * clients.banks
    step = -(-size // clients.banks) * clients.banks
    return {client: i * step + i * shift for i, client in enumerate((*READS, *(-w for w in WRITES), -COPY))}


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def test_rate(dut):
    """While the array is idle an update works on nearly a word a cycle, with an int8 copy too, wherever its operands begin."""
    clients = await powered(dut)
    dut.lend_i.value = 1
    words = 120 * clients.banks - 50
    for shift in range(min(clients.banks, 3)):
        at = bases(clients, words, shift)
        await clients.fill(at[client] + i for client in READS for i in range(words))
        update, start = Update(clients, words, at), None
        while update.done < words:
            update.step()
            if start is None and update.done:
                start = clients.cycles
            await cycle(dut)
        took = clients.cycles - start
        await clients.idle()
        dut._log.info(f"shift {shift}: {words / took:.3f} words a cycle")
        assert words / took >= RATES[clients.banks], f"shift {shift}: {words / took:.3f} words a cycle"


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def test_back_and_forth(dut):
    """The array comes and goes at any moment beside an update: nothing is lost, nothing answered wrong, the array hardly waits."""
    clients = await powered(dut)
    words, own = 100 * clients.banks, 800 * clients.banks
    at = bases(clients, words, 1)
    await clients.fill([*(at[client] + i for client in READS for i in range(words)), *range(own, own + 64)])
    update, generator = Update(clients, words, at), clients.generator
    turns = 0
    while update.done < words:
        dut.lend_i.value = 1
        for _ in range(int(generator.integers(60))):
            update.step()
            await cycle(dut)
        dut.lend_i.value = 0
        for _ in range(2):
            update.step()
            await cycle(dut)
        for _ in range(int(generator.integers(30))):
            clients.reads[0].append(own + int(generator.integers(64)))
            clients.reads[1].append(own + int(generator.integers(64)))
            clients.writes[0].append((own + 64 + int(generator.integers(64)), clients.word()))
        while clients.reads[0] or clients.asked[0] or clients.writes[0] or clients.shown[1][0]:
            update.step()
            await cycle(dut)
        turns += 1
    await clients.idle()
    assert turns > 10 and clients.longest[0] <= 4, f"the array waited for {clients.longest[0]} cycles"
    for address in clients.memory:
        clients.reads[1].append(address)
    await clients.idle()
