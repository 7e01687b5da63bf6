# SPDX-License-Identifier: Apache-2.0
"""lathe_scratchpad with flipped bits: corrected at every port, reported, repaired by the scrubber; what is written meanwhile stays."""

import cocotb

from tb.common.actors import cycle
from tb.scratchpad.bench import READ_PORTS, WRITE_PORTS, place_of
from tb.scratchpad.clients import powered

TAKES = 40  # cycles of an injection while nobody else asks


async def inject(clients, address, first, second=None):
    """Flip one or two bits of a word; does not wait for it."""
    order = address | first << 16 | (0 if second is None else second << 25 | 1 << 34)
    clients.dut.inject_i.value = order
    clients.dut.inject_valid_i.value = 1
    await cycle(clients.dut)
    clients.dut.inject_valid_i.value = 0
    if second is not None:
        clients.bad.add(address)


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def test_every_bit(dut):
    """A flip of any bit of a word is corrected for every client and reported with its address."""
    clients = await powered(dut)
    addresses = [int(a) for a in clients.generator.choice(clients.words, size=clients.bits + clients.checks, replace=False)]
    await clients.fill(addresses)
    for bit, address in enumerate(addresses):
        await inject(clients, address, bit)
        await cycle(dut, TAKES)
        client = bit % len(READ_PORTS)
        clients.faults.clear()
        clients.reads[client].append(address)
        await clients.idle()
        assert clients.faults == [(address, 0, 0)], f"bit {bit}: {clients.faults}"
    for lent in (0, 1):
        dut.lend_i.value = lent
        await cycle(dut, 30)
        clients.faults.clear()
        for address in addresses:
            clients.reads[6].append(address)
        await clients.idle()
        assert len(clients.faults) == len(addresses) and {fault[0] for fault in clients.faults} == set(addresses)


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def test_two_bits(dut):
    """A word with two flips is marked for whoever reads it, reported, and whole again when it has been written."""
    clients = await powered(dut)
    for turn in range(4 * len(READ_PORTS)):
        address = int(clients.generator.integers(clients.words))
        await clients.fill([address])
        first, second = (int(b) for b in clients.generator.choice(clients.bits + clients.checks, size=2, replace=False))
        await inject(clients, address, first, second)
        await cycle(dut, TAKES)
        clients.faults.clear()
        clients.reads[turn % len(READ_PORTS)].append(address)
        await clients.idle()
        assert clients.faults == [(address, 1, 0)]
        await clients.fill([address])
        clients.reads[0].append(address)
        await clients.idle()
        assert len(clients.faults) == 1


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def test_scrubber(dut):
    """The scrubber finds and repairs flips that nobody reads, at its interval; those it cannot repair it reports."""
    clients = await powered(dut)
    addresses = [int(a) for a in clients.generator.choice(clients.words, size=12, replace=False)]
    await clients.fill(addresses)
    for address in addresses:
        await inject(clients, address, int(clients.generator.integers(clients.bits)))
        await cycle(dut, TAKES)
    await clients.fill(addresses[:2])
    await inject(clients, addresses[1], 0, clients.bits)
    await cycle(dut, TAKES)
    clients.faults.clear()
    dut.scrub_interval_i.value = 4
    start = clients.cycles
    while len(clients.faults) < 11:
        await cycle(dut)
    assert clients.cycles - start <= 16 * clients.words + 100
    dut.scrub_interval_i.value = 0
    await cycle(dut, TAKES)
    assert {fault[0] for fault in clients.faults} == set(addresses[1:]) and all(fault[2] for fault in clients.faults)
    assert [fault for fault in clients.faults if fault[1]] == [(addresses[1], 1, 1)]
    clients.faults.clear()
    for address in addresses[2:]:
        clients.reads[0].append(address)
    await clients.idle()
    assert not clients.faults, "a word was not repaired"


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def test_beside_writes(dut):
    """Injections beside writes of the same words, at any moment: no word that was written is lost."""
    clients = await powered(dut)
    generator = clients.generator
    pool = [int(a) for a in generator.choice(clients.words, size=len(WRITE_PORTS), replace=False)]
    for _ in range(60):
        await clients.fill(pool)
        clients.faults.clear()
        for number in generator.permutation(len(pool)):
            await inject(clients, pool[number], int(generator.integers(clients.bits + clients.checks)))
            for _ in range(int(generator.integers(20))):
                client = int(number if generator.random() < 0.7 else generator.integers(len(pool)))
                clients.writes[client].append((pool[client], clients.word()))
                await cycle(dut)
            await cycle(dut, TAKES)
        await clients.idle()
        for address in pool:
            clients.reads[int(generator.integers(len(READ_PORTS)))].append(address)
        await clients.idle()
        assert not [fault for fault in clients.faults if fault[1]]


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def test_injection_behind_a_write(dut):
    """An injection whose word is written before it is done begins anew: the flip is there whenever the write went first."""
    clients = await powered(dut)
    address = int(clients.generator.integers(clients.words))
    await clients.fill([address])
    await inject(clients, address, 0)
    alone = 0
    while alone < 2 or int(dut.inject_busy_o.value):
        await cycle(dut)
        alone += 1
    assert alone > 8, alone
    for delay in range(alone - 4):  # the write is in the bank before the injection would be
        await clients.fill([address])
        await inject(clients, address, int(clients.generator.integers(clients.bits)))
        await cycle(dut, delay)
        clients.faults.clear()
        clients.writes[0].append((address, clients.word()))
        await clients.idle()
        await cycle(dut, TAKES)
        clients.reads[1].append(address)
        await clients.idle()
        assert clients.faults == [(address, 0, 0)], f"write {delay} of {alone} cycles behind the injection's start: {clients.faults}"


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def test_repair_beside_writes(dut):
    """A word that is written while the scrubber repairs it keeps what was written."""
    clients = await powered(dut)
    generator, repaired = clients.generator, 0
    dut.scrub_interval_i.value = 1
    for _ in range(150):
        target = (place_of(int(dut.scrub_place.value), clients.banks) + 15) % clients.words  # place_of is its own inverse
        await clients.fill([target])
        await inject(clients, target, int(generator.integers(clients.bits)))
        await cycle(dut, TAKES)
        clients.faults.clear()
        while place_of(int(dut.scrub_place.value), clients.banks) != target:
            await cycle(dut)
        await cycle(dut, int(generator.integers(14)))
        clients.writes[int(generator.integers(len(WRITE_PORTS)))].append((target, clients.word()))
        await clients.idle()
        repaired += clients.faults == [(target, 0, 1)]
        clients.faults.clear()
        clients.reads[1].append(target)
        await clients.idle()
        assert not clients.faults
    assert repaired > 30
