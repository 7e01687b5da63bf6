# SPDX-License-Identifier: Apache-2.0
"""lathe_scratchpad lends the array's ports: the rate of an update's streams while the array is idle, and that the array gets them back."""

from itertools import product

import cocotb

from tb.common.actors import cycle
from tb.scratchpad.clients import powered

READS, WRITES = (4, 5, 6, 8), (2, 3)  # w, g, m's words in turn; w', m'
COPY = 5                           # w8, every second word
DEPTH = 16                         # words that a stream may be ahead
RATES = {4: 0.89, 8: 0.98, 16: 0.98}  # words a cycle by banks: results meet in one now and then


class Update:
    """An update of `words` words: reads all operands, and a word of each result is written for every word of all operands.

    `moments`: with m and m', else w and g make w'.
    """

    def __init__(self, clients, words, bases, moments=True):
        self.clients, self.words, self.bases = clients, words, bases
        self.reads, self.writes = (READS, WRITES) if moments else (READS[:2], WRITES[:1])
        self.started = {client: 0 for client in self.reads}
        self.done = 0
        self.first = {client: clients.answers[client] for client in self.reads}

    def come(self, client):
        """Return how many words from the first on could be worked on with what has come of a stream."""
        words = self.clients.answers[client] - self.first[client]
        return words if client < 6 else 2 * words + (client == 8)

    def step(self):
        """Call once a cycle."""
        clients = self.clients
        for client in self.reads:
            if client >= 6 and self.started[client] % 2 != (client == 8):
                self.started[client] += 1  # the other stream's word
            if self.started[client] < min(self.words, self.done + DEPTH) and not clients.reads[client]:
                clients.reads[client].append(self.bases[6 if client == 8 else client] + self.started[client])
                self.started[client] += 1
        if self.done < min(self.words, *map(self.come, self.reads)) and \
                all(len(clients.writes[client]) < DEPTH for client in (*self.writes, COPY)):
            for client in self.writes:
                clients.writes[client].append((self.bases[-client] + self.done, clients.word()))
            if self.done % 2:
                clients.writes[COPY].append((self.bases[-COPY] + self.done // 2, clients.word()))
            self.done += 1


def bases(clients, words, shift):
    """Return where each stream begins, {client, or -client of a write: address}; `shift` lies between their first banks."""
    size = words + 2 * clients.banks
    step = -(-size // clients.banks) * clients.banks
    return {client: i * step + i * shift for i, client in enumerate((*READS[:3], *(-w for w in WRITES), -COPY))}


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def test_rate(dut):
    """While the array is idle an update works on nearly a word a cycle, with an int8 copy too, wherever its operands begin."""
    clients = await powered(dut)
    dut.lend_i.value = 1
    words = 120 * clients.banks - 50
    for shift, moments in product(range(min(clients.banks, 6)), (True, False)):
        at = bases(clients, words, shift)
        await clients.fill(at[client] + i for client in READS[:3] for i in range(words))
        update, start = Update(clients, words, at, moments), None
        while update.done < words or any(clients.writes):
            update.step()
            if start is None and update.done:
                start = clients.cycles
            await cycle(dut)
        rate = words / (clients.cycles - start)
        await clients.idle()
        dut._log.info(f"shift {shift}, moments {moments}: {rate:.3f} words a cycle")
        assert rate >= RATES[clients.banks], f"shift {shift}, moments {moments}: {rate:.3f} words a cycle"


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def test_back_and_forth(dut):
    """The array comes and goes at any moment beside an update: nothing is lost, nothing answered wrong, the array hardly waits."""
    clients = await powered(dut)
    words, own = 100 * clients.banks, 800 * clients.banks
    at = bases(clients, words, 1)
    await clients.fill([*(at[client] + i for client in READS[:3] for i in range(words)), *range(own, own + 64)])
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
