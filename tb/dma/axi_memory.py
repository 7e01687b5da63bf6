# SPDX-License-Identifier: Apache-2.0
"""An AXI4 memory for one master with one identifier: random pauses on every channel, errors where asked, rules checked."""

from collections import deque

import cocotb
from cocotb.triggers import RisingEdge

from tb.common.actors import Coverage, rng, stalls

OKAY, SLVERR, DECERR = 0, 2, 3
PAGE = 4096


class AxiMemory:
    """Words by number (`address // word bytes`) in the dict `words`; a word never written reads as its number.

    `limit`: first byte address that answers DECERR; `broken`: word numbers that answer SLVERR. `bursts` lists what was
    asked, (kind, address, beats). Checks: INCR of whole words, at most `max_beats`, never across 4 KiB, offers that hold,
    write data neither more nor less than asked for. `data_first`: no write's address is taken before its data are offered.
    """

    def __init__(self, dut, lanes, *, stall=0.0, latency=0, max_beats=64):
        self.dut, self.bytes, self.max_beats = dut, 2 * lanes, max_beats
        self.words: dict[int, int] = {}
        self.limit, self.broken = 1 << 32, set()
        self.bursts: list[tuple[str, int, int]] = []
        self.latency, self.seen = latency, Coverage()
        self.reads: deque = deque()    # [word, beats left, cycles to wait]
        self.writes: deque = deque()   # [word, beats left, response]
        self.data: deque = deque()     # (data, last, strobes) whose write's address perhaps has not come
        self.answers: deque = deque()  # [response, cycles to wait]
        self.data_first = False
        self.held: dict[str, tuple] = {}
        self.on = {"ar": False, "aw": False, "w": False, "r": False, "b": False}
        for name in ("arready", "awready", "wready", "rvalid", "bvalid"):
            self.pin(name).value = 0
        self.set_stall(stall)
        cocotb.start_soon(self._run())

    def pin(self, name):
        return getattr(self.dut, f"m_axi_{name}")

    def set_stall(self, p):
        """Probability of a pause in each cycle, one for all channels or a dict by channel."""
        p = p if isinstance(p, dict) else dict.fromkeys(self.on, p)
        self.pause = {name: stalls(p.get(name, 0.0), rng(700 + i)) for i, name in enumerate(self.on)}

    def read(self, word):
        return self.words.get(word, word * 0x9E3779B97F4A7C15 & (1 << 8 * self.bytes) - 1)

    def response(self, word):
        if word * self.bytes >= self.limit:
            return DECERR
        return SLVERR if word in self.broken else OKAY

    async def _run(self):
        edge = RisingEdge(self.dut.clk_i)
        while True:
            await edge
            if not int(self.dut.rst_ni.value):
                for queue in (self.reads, self.writes, self.data, self.answers):
                    queue.clear()
                self.held.clear()
                self._drive({name: False for name in self.on})
                continue
            self._take()
            wish = {name: not next(self.pause[name]) for name in self.on}
            wish["aw"] &= not self.data_first or bool(self.data) or bool(int(self.pin("wvalid").value))
            wish["r"] = self._offered("r", self.reads, wish["r"])
            wish["b"] = self._offered("b", self.answers, wish["b"])
            self._drive(wish)

    def _offered(self, name, queue, wish):
        """Whether the head of `queue` stands on the pins in the next cycle; an offer holds until it is taken."""
        for entry in queue:
            entry[-1] -= entry[-1] > 0
        return bool(queue) and (self.on[name] or (wish and queue[0][-1] == 0))

    def _drive(self, wish):
        if wish["r"] and self.reads:
            word, beats, _ = self.reads[0]
            response = self.response(word)
            self.pin("rdata").value = self.read(word)  # garbage if it fails: nobody may keep it
            self.pin("rresp").value, self.pin("rlast").value = response, int(beats == 1)
        if wish["b"] and self.answers:
            self.pin("bresp").value = self.answers[0][0]
        for name, channel in (("arready", "ar"), ("awready", "aw"), ("wready", "w"), ("rvalid", "r"), ("bvalid", "b")):
            if wish[channel] != self.on[channel]:
                self.pin(name).value = int(wish[channel])
                self.on[channel] = wish[channel]

    def _take(self):
        """What the last cycle's handshakes moved."""
        if self.on["r"] and int(self.pin("rready").value):
            self.reads[0][0] += 1
            self.reads[0][1] -= 1
            if not self.reads[0][1]:
                self.reads.popleft()
            self.on["r"] = False
            self.pin("rvalid").value = 0
        if self.on["b"] and int(self.pin("bready").value):
            self.answers.popleft()
            self.on["b"] = False
            self.pin("bvalid").value = 0
        if word := self._shaken("w", ("wdata", "wlast", "wstrb")):
            self.seen.hit(("data", "before its address"), not self.writes)
            self.data.append(word)
        for channel, kind, queue in (("ar", "read", self.reads), ("aw", "write", self.writes)):
            fields = self._shaken(channel, [f"{channel}{name}" for name in ("addr", "len", "size", "burst", "id")])
            if fields:
                queue.append([*self._burst(kind, *fields), self.latency if kind == "read" else OKAY])
                self.seen.hit(("under way", kind), len(self.reads) + len(self.writes) + len(self.answers) > 1)
        while self.data and self.writes:
            self._write(*self.data.popleft())

    def _shaken(self, channel, names):
        """The fields of a handshake on a channel that the DUT offers, else None; checks that an offer holds."""
        if not int(self.pin(f"{channel}valid").value):
            assert channel not in self.held, f"{channel}: offer withdrawn"
            return None
        fields = tuple(int(self.pin(name).value) for name in names)
        assert self.held.get(channel, fields) == fields, f"{channel}: {self.held[channel]} became {fields}"
        self.held[channel] = fields
        return self.held.pop(channel) if self.on[channel] else None

    def _burst(self, kind, address, length, size, burst, ident):
        beats = length + 1
        assert 1 << size == self.bytes and burst == 1 and ident == 0
        assert address % self.bytes == 0, f"{kind} of {address:#x}: not a whole word"
        assert beats <= self.max_beats, f"{kind} of {beats} beats"
        assert address % PAGE + beats * self.bytes <= PAGE, f"{kind} of {beats} beats at {address:#x} crosses 4 KiB"
        self.bursts.append((kind, address, beats))
        self.seen.hit((kind, "to the page's end"), (address + beats * self.bytes) % PAGE == 0)
        self.seen.hit((kind, "longest"), beats == self.max_beats)
        return address // self.bytes, beats

    def _write(self, data, last, strobes):
        assert strobes == (1 << self.bytes) - 1
        head = self.writes[0]
        word, left, _ = head
        assert last == (left == 1), "wlast"
        response = self.response(word)
        head[0], head[1], head[2] = word + 1, left - 1, max(head[2], response)
        if response == OKAY:
            self.words[word] = data
        if last:
            self.writes.popleft()
            self.answers.append([head[2], self.latency])
