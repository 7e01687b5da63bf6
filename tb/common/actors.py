# SPDX-License-Identifier: Apache-2.0
"""Actors on the pins of a DUT. Each owns its pins, drives and samples at the rising edge and knows no other actor.

Valid/ready streams are found by prefix: StreamSource(dut, "in") drives in_valid_i and in_data_i and reads in_ready_o;
StreamSink(dut, "out") drives out_ready_i and reads out_valid_o and out_data_o. Names given by keyword replace these:
StreamSource(dut, "in", fields={"row": "in_row_i", "last": "in_last_i"}) sends dicts of these fields.
While rst_ni is low, sources drop what they hold and nothing is collected.
"""

import random
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.handle import Immediate
from cocotb.triggers import Event, RisingEdge
from cocotb_bus.monitors import BusMonitor

from tb.common.structs import struct

CLOCK_NS = 10


def rng(stream: int = 0) -> np.random.Generator:
    """Random generator of this run's seed; `stream` tells several apart."""
    return np.random.default_rng([int(cocotb.RANDOM_SEED) & 0xFFFFFFFF, stream])


def stalls(p: float, generator: np.random.Generator | None = None) -> Iterator[bool]:
    """Endless stall pattern: True (stall) with probability `p`; draws in blocks, so it costs little."""
    if p <= 0:
        while True:
            yield False
    generator = rng() if generator is None else generator
    while True:
        yield from (generator.random(256) < p).tolist()


def bursts(p: float, generator: np.random.Generator | None = None, mean: int = 8) -> Iterator[bool]:
    """Endless stall pattern in runs of about `mean` cycles, True in a share `p` of them."""
    generator = rng() if generator is None else generator
    while True:
        stalled = bool(generator.random() < p)
        for _ in range(int(generator.integers(1, 2 * mean))):
            yield stalled


def stall_rates(source: "StreamSource", sink: "StreamSink", pattern: Callable = stalls) -> Iterator[tuple[float, float]]:
    """Set every combination of stall rates in turn and yield it; `pattern` is `stalls` or `bursts`."""
    for into in (0, 0.5, 0.9):
        for out in (0, 0.5, 0.9):
            source.stall, sink.stall = pattern(into, rng(1)), pattern(out, rng(2))
            yield into, out


def quiet(dut) -> None:
    """Pull clock and resets low at time 0: random inputs would make an edge without reset, and assertions fail at it."""
    for pin in (dut.clk_i, *_resets(dut)):
        pin.value = Immediate(0)


async def start_clock_and_reset(dut, cycles: int = 4) -> None:
    """Set every input to 0, start clk_i and hold rst_ni and por_ni (those that there are) low for `cycles` cycles."""
    quiet(dut)
    for handle in dut:
        if handle._name.endswith("_i"):
            handle.value = 0
    Clock(dut.clk_i, CLOCK_NS, "ns").start(start_high=False)  # inputs are set before the first edge
    await reset(dut, cycles)


async def reset(dut, cycles: int = 4) -> None:
    """Pull rst_ni (por_ni if that is the only one) low for `cycles` cycles; releases por_ni with it if that was low."""
    pins = _resets(dut)
    pins[0].value = 0
    await cycle(dut, cycles)
    for pin in pins:
        pin.value = 1
    await cycle(dut)


def _resets(dut) -> list:
    return [getattr(dut, name) for name in ("rst_ni", "por_ni") if hasattr(dut, name)]


async def cycle(dut, count: int = 1) -> None:
    """Wait for `count` rising edges of clk_i."""
    edge = RisingEdge(dut.clk_i)
    for _ in range(count):
        await edge


class _Stream:
    """Pins of one stream: valid, ready and one or more data fields."""

    def __init__(self, dut, prefix: str, inward: bool, fields: Mapping[str, str] | None, valid: str | None, ready: str | None):
        stem = prefix + "_" if prefix and not prefix.endswith("_") else prefix
        mine, theirs = ("i", "o") if inward else ("o", "i")
        self.prefix = prefix
        self.clock_edge = RisingEdge(dut.clk_i)
        self.reset_n = dut.rst_ni
        self.valid = getattr(dut, valid or f"{stem}valid_{mine}")
        self.ready = getattr(dut, ready or f"{stem}ready_{theirs}")
        self.single = fields is None
        self.data = {name: getattr(dut, pin) for name, pin in (fields or {"data": f"{stem}data_{mine}"}).items()}

    def get(self):
        """The item on the pins: an int, or a dict of ints by field."""
        if self.single:
            return int(self.data["data"].value)
        return {name: int(pin.value) for name, pin in self.data.items()}

    def put(self, item) -> None:
        if self.single:
            self.data["data"].value = item
        else:
            for name, pin in self.data.items():
                pin.value = item[name]


class StreamSource:
    """Sends queued items. While idle or stalled the data pins carry garbage, so that nobody relies on them."""

    def __init__(self, dut, prefix: str, stall: Iterable[bool] | None = None, *, fields: Mapping[str, str] | None = None,
                 valid: str | None = None, ready: str | None = None, garbage: bool = True):
        self._pins = _Stream(dut, prefix, True, fields, valid, ready)
        self.stall = iter(stall) if stall is not None else stalls(0)
        self._queue: deque = deque()
        self._idle = Event()
        self._idle.set()
        self._work = Event()
        self._garbage = random.Random(int(cocotb.RANDOM_SEED)) if garbage else None
        self.sent = 0
        cocotb.start_soon(self._drive())

    def send_nowait(self, item) -> None:
        """Queue an item (an int, or a dict of the fields)."""
        self._queue.append((item, None))
        self._idle.clear()
        self._work.set()

    async def send(self, item) -> None:
        """Queue an item and wait until the DUT has taken it (or a reset has dropped it)."""
        taken = Event()
        self._queue.append((item, taken))
        self._idle.clear()
        self._work.set()
        await taken.wait()

    async def idle(self) -> None:
        """Wait until everything queued has been taken."""
        await self._idle.wait()

    def _scramble(self) -> None:
        if self._garbage:
            for pin in self._pins.data.values():
                pin.value = self._garbage.getrandbits(len(pin))

    def _drop(self) -> None:
        while self._queue:
            taken = self._queue.popleft()[1]
            if taken:
                taken.set()
        self._idle.set()

    async def _drive(self) -> None:
        pins, offered = self._pins, False
        pins.valid.value = 0
        while True:
            if not self._queue and not offered:
                self._work.clear()
                await self._work.wait()
            await pins.clock_edge
            if not int(pins.reset_n.value):
                self._drop()
                if offered:
                    offered = False
                    pins.valid.value = 0
                continue
            if offered:
                if not int(pins.ready.value):
                    continue
                taken = self._queue.popleft()[1]
                self.sent += 1
                if taken:
                    taken.set()
            go = bool(self._queue) and not next(self.stall)
            if go:
                pins.put(self._queue[0][0])
                if not offered:
                    pins.valid.value = 1
            elif offered:
                pins.valid.value = 0
                self._scramble()
            offered = go
            if not self._queue:
                self._idle.set()


class StreamSink:
    """Takes items with random ready; each goes to `callback` or else into the queue `received`."""

    def __init__(self, dut, prefix: str, stall: Iterable[bool] | None = None, callback: Callable | None = None, *,
                 fields: Mapping[str, str] | None = None, valid: str | None = None, ready: str | None = None):
        self._pins = _Stream(dut, prefix, False, fields, valid, ready)
        self.stall = iter(stall) if stall is not None else stalls(0)
        self.received: deque = deque()
        self._callback = callback
        self._arrived = Event()
        self.count = 0
        cocotb.start_soon(self._drive())

    async def receive(self):
        """The next item (waits for one)."""
        while not self.received:
            self._arrived.clear()
            await self._arrived.wait()
        return self.received.popleft()

    async def _drive(self) -> None:
        pins, ready = self._pins, False
        pins.ready.value = 0
        while True:
            await pins.clock_edge
            if ready and int(pins.valid.value) and int(pins.reset_n.value):
                self.count += 1
                if self._callback:
                    self._callback(pins.get())
                else:
                    self.received.append(pins.get())
                    self._arrived.set()
            wanted = not next(self.stall)
            if wanted != ready:
                ready = wanted
                pins.ready.value = int(ready)


class StreamMonitor(BusMonitor):
    """Watches a stream that others drive: reports what was taken and fails when an offer is withdrawn or changed.

    `output`: True for a stream out of the DUT (valid_o), False for one into it (valid_i).
    """

    def __init__(self, dut, prefix: str, callback: Callable | None = None, *, output: bool = True,
                 fields: Mapping[str, str] | None = None, valid: str | None = None, ready: str | None = None):
        self._pins = _Stream(dut, prefix, not output, fields, valid, ready)
        super().__init__(dut, "", dut.clk_i, callback=callback)

    async def _monitor_recv(self) -> None:
        pins, held = self._pins, None
        while True:
            await pins.clock_edge
            if not int(pins.reset_n.value):
                held = None
                continue
            if not int(pins.valid.value):
                assert held is None, f"{pins.prefix}: valid fell before ready took {held!r}"
                continue
            item = pins.get()
            assert held is None or held == item, f"{pins.prefix}: {held!r} became {item!r} while it waited"
            held = item
            if int(pins.ready.value):
                held = None
                self._recv(item)


class Scoreboard:
    """Compares what comes with what is expected, in order; `finish` fails if nothing was compared or something is left."""

    def __init__(self, name: str = "scoreboard"):
        self.name = name
        self.expected: deque = deque()
        self.compared = 0
        self._done = Event()

    def expect(self, item) -> None:
        self.expected.append(item)
        self._done.clear()

    def observe(self, item) -> None:
        assert self.expected, f"{self.name}: extra output {_show(item)} after {self.compared} right ones"
        wanted = self.expected.popleft()
        assert _same(wanted, item), (
            f"{self.name}: item {self.compared} is {_show(item)}, expected {_show(wanted)}")
        self.compared += 1
        if not self.expected:
            self._done.set()

    def clear(self) -> None:
        """Forget what is expected (after a reset)."""
        self.expected.clear()
        self._done.set()

    async def drained(self) -> None:
        """Wait until every expected item has come."""
        if self.expected:
            await self._done.wait()

    def finish(self) -> None:
        assert not self.expected, f"{self.name}: {len(self.expected)} expected items never came, next {_show(self.expected[0])}"
        assert self.compared, f"{self.name}: compared nothing"


def _same(a, b) -> bool:
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return np.array_equal(a, b)
    return bool(a == b)


def _show(item) -> str:
    return f"{item} ({item:#x})" if isinstance(item, int) else str(item)


class Coverage:
    """Counts named situations; `require` fails when one was never met."""

    def __init__(self):
        self.hits: Counter = Counter()

    def hit(self, name, when: bool = True) -> None:
        if when:
            self.hits[name] += 1

    def require(self, names: Iterable) -> None:
        missing = [str(name) for name in names if not self.hits[name]]
        assert not missing, f"never met: {', '.join(missing)}"


def merged(records: Iterable[Mapping]) -> dict:
    """What done_t records of the pieces of a command say together: the sum of the saturations, the largest `top` of each result."""
    records = list(records)
    return {"error": max(record["error"] for record in records), "saturations": sum(record["saturations"] for record in records),
            "result": [{"track": max(part["track"] for part in parts),
                        "top": max((part["top"] for part in parts if part["track"]), default=0)}
                       for parts in zip(*(record["result"] for record in records), strict=True)]}


class CommandDriver:
    """Gives a unit its commands and awaits its completion records; watches that `done` comes once per command.

    `config`: pins that a unit takes with the command. They, like cmd_i, carry garbage from then on.
    """

    def __init__(self, dut, config: Iterable = (), stall: Iterable[bool] | None = None):
        self._dut, self._command, self._done = dut, struct("cmd_t"), struct("done_t")
        self._edge = RisingEdge(dut.clk_i)
        self._taken_along = [dut.cmd_i, *config]
        self.stall = iter(stall) if stall is not None else stalls(0)
        self.running = False
        self.cycles = 0  # of the last command, from the accepting cycle to `done`
        dut.cmd_valid_i.value = 0
        cocotb.start_soon(self._watch())

    async def _watch(self) -> None:
        dut = self._dut
        while True:
            await self._edge
            if int(dut.rst_ni.value) and int(dut.done_valid_o.value):
                assert self.running, "done_valid_o without a running command"

    async def _until(self, pin, timeout: int, problem: str) -> int:
        """Wait for an edge at which `pin` is high; return the number of edges."""
        for count in range(1, timeout + 1):
            await self._edge
            if int(pin.value):
                return count
        raise AssertionError(f"{problem} within {timeout} cycles")

    async def give(self, command: Mapping, timeout: int = 100_000) -> None:
        """Give one command (members of cmd_t by name, others 0) and return when it is taken."""
        dut = self._dut
        while next(self.stall):
            await self._edge
        dut.cmd_i.value = self._command.pack(command)
        dut.cmd_valid_i.value = 1
        await self._until(dut.cmd_ready_o, timeout, "command not accepted")
        self.running = True
        dut.cmd_valid_i.value = 0
        for pin in self._taken_along:  # a unit must have kept its own copy
            pin.value = random.getrandbits(len(pin))

    async def run(self, command: Mapping, timeout: int = 100_000) -> dict:
        """Run one command and return done_t as a dict."""
        await self.give(command, timeout)
        self.cycles = await self._until(self._dut.done_valid_o, timeout, "no done_valid_o after the command")
        record = self._done.unpack(int(self._dut.done_o.value))
        await self._edge
        self.running = False
        assert not int(self._dut.done_valid_o.value), "done_valid_o longer than one cycle"
        return record

    async def interrupt(self, command: Mapping, after: int, cycles: int = 2) -> None:
        """Reset the unit for `cycles` cycles, `after` cycles into a command that takes longer; it must be ready again."""
        await self.give(command)
        await cycle(self._dut, after)
        assert not int(self._dut.cmd_ready_o.value), f"the command ended within {after} cycles"
        await reset(self._dut, cycles)
        self.running = False
        assert int(self._dut.cmd_ready_o.value), "not ready after a reset"


def __getattr__(name: str):
    """ScratchpadPorts, to_word and from_word live in tb.common.ports and are found here as well."""
    if name in ("ScratchpadPorts", "to_word", "from_word"):
        from tb.common import ports

        return getattr(ports, name)
    raise AttributeError(name)
