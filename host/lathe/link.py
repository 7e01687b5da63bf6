# SPDX-License-Identifier: Apache-2.0
"""The host's side of the link to a board (docs/link.md): sessions, and words read and written whatever the line loses."""

import random
import struct
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from .errors import LinkError
from .framing import Decoder, encode

VERSION = 2
BOARD, MEMORY = 0x4000_0000, 0x8000_0000  #: addresses of the board's registers, of outside memory
LAST_FAILURE = BOARD + 0x24
HELLO, READ, WRITE, REFUSAL = 0x01, 0x02, 0x03, 0x7F
ANSWER = 0x80
WRONG_SEQUENCE, WRONG_SESSION, WRONG_FORM = 1, 2, 3
STATUS = {1: "no register or memory at this address", 2: "slave error", 3: "decode error"}

#: Repetitions without progress after which the link is given up, and hellos that open it.
REPETITIONS, HELLOS = 20, 6
#: With each answer frames get longer by this factor, after a loss shorter: where many are lost, two of three arrive then.
LONGER, SHORTER = 1.1, 0.8
#: With each answer so many more frames go out at a time; after a loss half as many do.
MORE_FRAMES = 0.1
_HEAD, _FLAGS_AND_FCS, _STORED = 3, 6, 6  # stored: FCS, and 2 more
_FEWEST_FRAMES, _MOST_FRAMES = 2, 64  # on the way at a time; the board takes 128 sequences for repetitions
_ANSWER_BYTES = 4096  # of answers under way at a time, for the buffers of the operating system


class Channel(Protocol):
    """A line of bytes to a board.

    Attributes
    ----------
    name : str
        For messages.
    seconds_per_byte : float
    """

    name: str
    seconds_per_byte: float

    def write(self, data: bytes) -> None: ...

    def read(self, timeout: float) -> bytes:
        """Return what has come, as soon as something has; nothing after `timeout` seconds."""

    def time(self) -> float:
        """Return the time in seconds, by the clock that `timeout` means."""

    def reopen(self) -> None:
        """Open it again, whatever has happened; what was under way is lost."""

    def close(self) -> None: ...


@dataclass
class Statistics:
    """What a link has done.

    Attributes
    ----------
    sent, repeated : int
        Request frames, and how many of them carried words that had been sent before.
    refused, damaged, timeouts : int
        Refusals, answers with a wrong FCS, and times that the line fell silent.
    written, read : int
        Payload bytes.
    """

    sent: int = 0
    repeated: int = 0
    refused: int = 0
    damaged: int = 0
    timeouts: int = 0
    written: int = 0
    read: int = 0


@dataclass
class _Span:
    """Words from `address` on, at `at` of the words that are moved."""

    address: int
    count: int
    at: int
    tries: int = 0


@dataclass
class _Frame:
    """A request without an answer."""

    sequence: int
    span: _Span
    stored: int    # bytes that it may take in the board's receive buffer
    answer: int    # bytes of the answer
    sent_at: float
    ahead: int     # bytes that were on the way when it had been sent, its own and its answer's among them


class Link:
    """A session with a board.

    Parameters
    ----------
    channel : Channel
    timeout : float
        Seconds of silence, besides the time that the bytes on the way need, after which they count as lost.
    seed : int, optional
        Of session and nonce, for repeatable tests.

    Raises
    ------
    LinkError
        By every method: the board does not answer, or not to this session, or the line is too bad.
    """

    def __init__(self, channel: Channel, timeout: float = 0.1, seed: int | None = None):
        self.channel, self.timeout = channel, timeout
        self.statistics = Statistics()
        self._random = random.SystemRandom() if seed is None else random.Random(seed)
        self._session = self._next = 0
        self._decoder, self._answers = Decoder(), deque()
        self._words = self._most_words = 1.0  # of a frame
        self._frames = float(_MOST_FRAMES)    # on the way
        self._buffer = 0
        self._pace, self._patience = channel.seconds_per_byte, 1
        self._last_failure = 0
        self._torn = False  # an exchange was interrupted (Ctrl-C) or given up: nobody knows what of it was carried out

    # a session

    def open(self) -> None:
        """Open a new session; any other host's ends."""
        self._session = self._random.choice([number for number in range(1, 256) if number != self._session])
        nonce = bytes(self._random.randrange(256) for _ in range(4))
        self._decoder, self._answers = Decoder(), deque()
        hello, bytes_seen = encode(bytes([self._session, 0, HELLO]) + nonce), 0
        for attempt in range(HELLOS):
            start = self.channel.time()
            self.channel.write(hello)
            while (left := start + self.timeout * (2 << attempt) - self.channel.time()) > 0:
                data = self.channel.read(left)
                bytes_seen += len(data)
                for answer in self._decoder.feed(data):
                    if answer[:3] == bytes([self._session, 0, HELLO | ANSWER]) and answer[3:7] == nonce and len(answer) >= 8:
                        self._opened(answer, self.channel.time() - start)
                        return
        raise LinkError(self._silence(bytes_seen))

    def _opened(self, answer: bytes, seconds: float) -> None:
        if answer[7] != VERSION or len(answer) != 11:
            raise LinkError(f"the board at {self.channel.name} speaks version {answer[7]} of the link and this host version {VERSION}: "
                            "load a bitstream made from this version of Lathe, or install the version that the bitstream was made from")
        self._buffer, self._most_words = struct.unpack("<HB", answer[8:])
        self._words, self._frames, self._next, self._last_failure = self._most_words, _MOST_FRAMES, 1, 0
        self._torn = False
        self._pace, self._patience = max(self.channel.seconds_per_byte, seconds / 32), 1  # both frames are about that long

    def _silence(self, bytes_seen: int) -> str:
        baud = round(10 / self.channel.seconds_per_byte)
        if bytes_seen:
            return (f"{bytes_seen} bytes came from {self.channel.name}, but no answer of a board: check that this is the board's port, and "
                    f"that its bitstream was built for {baud} baud (--baud)")
        return (f"no answer from {self.channel.name} at {baud} baud: check that the board has power and its bitstream is loaded (make "
                "program BOARD=...), that the cable is in, that this is the board's port, and that the bitstream was built for this baud "
                "(--baud)")

    # words

    def read(self, address: int, count: int = 1) -> np.ndarray:
        """Return `count` words (uint32) from `address` on."""
        return self.read_many([(address, count)])

    def read_many(self, places: Iterable[tuple[int, int]]) -> np.ndarray:
        """Return the words (uint32) of several (address, count), one behind the other."""
        spans, end = deque(), 0
        for address, count in places:
            if count:
                spans.append(_Span(address, count, end))
                end += count
        words = np.zeros(end, "<u4")
        self._exchange(READ, spans, words)
        self.statistics.read += 4 * end
        return words

    def write(self, address: int, words) -> None:
        """Write words (uint32) from `address` on.

        More than one word may be written twice, in the same order, when the line is bad: what acts by being written is
        written alone.
        """
        self.write_many([(address, words)])

    def write_many(self, pieces: Iterable[tuple[int, np.ndarray]]) -> None:
        """Write several (address, words), one behind the other; as `write`."""
        spans, arrays, end = deque(), [], 0
        for address, words in pieces:
            arrays.append(np.atleast_1d(np.asarray(words, "<u4")))
            if len(arrays[-1]):
                spans.append(_Span(address, len(arrays[-1]), end))
                end += len(arrays[-1])
        if not spans:
            return
        doubtful = self._exchange(WRITE, spans, np.concatenate(arrays))
        self.statistics.written += 4 * end
        if doubtful:  # the status of a write went with its answer
            failure = int(self.read(LAST_FAILURE)[0])
            if failure != self._last_failure:
                self._last_failure = failure
                raise OSError(f"a write failed: {STATUS.get(failure & 0xFF, failure & 0xFF)}")

    # the exchange of frames

    def _exchange(self, op: int, queue: deque[_Span], words: np.ndarray) -> bool:
        """Move words until all of `queue` has been answered; returns whether the status of a write was lost."""
        if self._torn:
            self._next = self._expected()
        self._torn = True
        try:
            doubtful = self._move(op, queue, words)
        except LinkError:  # answers may still come
            raise
        except Exception:
            self._torn = False
            raise
        self._torn = False
        return doubtful

    def _expected(self) -> int:
        """Return the sequence that the board expects, when nothing of earlier requests is on the way any more.

        It comes with the refusal of a request too far ahead; since neither side overtakes, every earlier answer has come or is lost
        by then, however long the line has been silent.
        """
        self._patience = 1
        for attempt in range(REPETITIONS):
            ahead = (self._next + _MOST_FRAMES // 2 + attempt) % 256  # another one each time: the refusal of the last is waited for
            self.channel.write(encode(bytes([self._session, ahead, READ]) + bytes(5)))
            while (answer := self._receive(deque())) is not None:
                sequence, code, body = answer
                if sequence == ahead and code == REFUSAL | ANSWER and len(body) == 2:
                    self._check_refusal(body[1])
                    self._patience = 1
                    return body[0]
        raise self._gone()

    def _move(self, op: int, queue: deque[_Span], words: np.ndarray) -> bool:
        flight: deque[_Frame] = deque()
        again: list[_Span] = []         # lost, in order; sent again when nothing is on the way any more
        refused_at: int | None = None
        failure = None
        doubtful, idle = False, 0
        while queue or flight:
            while queue and not again and refused_at is None and self._room(op, flight, queue[0]):
                self._send(op, flight, queue, words)
            answer = self._receive(flight)
            if answer is None:
                idle += 1
                if idle > REPETITIONS:
                    raise self._gone()
                refused_at = self._expected()
                done = (refused_at - flight[0].sequence) % 256
                carried = done if op == WRITE and done <= len(flight) else 0
                again += [frame.span for frame in list(flight)[carried:]]
                doubtful = True
                idle = 0 if carried else idle
                flight.clear()
            else:
                sequence, code, body = answer
                place = (sequence - flight[0].sequence) % 256
                if place >= len(flight) or not self._fits(op, flight[place], code, body):
                    continue
                if code == REFUSAL | ANSWER:
                    self.statistics.refused += 1
                    done = 0 if body[0] == refused_at else (body[0] - flight[0].sequence) % 256
                    if done > place:
                        continue
                    refused_at = body[0]
                else:
                    done = place
                carried, lost = [flight.popleft() for _ in range(done)], [flight.popleft() for _ in range(place - done)]
                doubtful |= bool(carried)
                if op == READ:
                    lost = carried + lost
                again += [frame.span for frame in lost]
                last = flight.popleft()
                if code == REFUSAL | ANSWER:
                    again.append(last.span)
                    idle = 0 if carried else idle
                else:
                    idle = 0
                    failure = failure or self._take(op, last, body, words)
            if (again or refused_at is not None) and not flight:
                if refused_at is not None:
                    self._next, refused_at = refused_at, None
                self._words, self._frames = max(self._words * SHORTER, 1), max(self._frames / 2, _FEWEST_FRAMES)
                queue.extendleft(reversed(again))
                again.clear()
        if failure:
            address, status = failure
            raise OSError(f"{'read' if op == READ else 'write'} at {address:#010x} failed: {STATUS.get(status, status)}")
        return doubtful and op == WRITE

    def _room(self, op: int, flight: deque[_Frame], span: _Span) -> bool:
        if not flight:
            return True
        count = min(span.count, int(self._words))
        waiting = sum(frame.stored for frame in flight) + (8 if op == READ else 7 + 4 * count) + _STORED
        answers = sum(frame.answer for frame in flight) + (4 * count if op == READ else 0)
        return waiting <= self._buffer and answers <= _ANSWER_BYTES and len(flight) < self._frames

    def _send(self, op: int, flight: deque[_Frame], queue: deque[_Span], words: np.ndarray) -> None:
        """Send the next span, or the first of several equal parts of it; what was sent is never put together with others again."""
        span = queue.popleft()
        count = -(-span.count // -(-span.count // int(self._words)))
        if count < span.count:
            queue.appendleft(_Span(span.address + 4 * count, span.count - count, span.at + count, span.tries))
            span = _Span(span.address, count, span.at, span.tries)
        content = bytes([self._session, self._next, op]) + struct.pack("<I", span.address)
        content += bytes([count - 1]) if op == READ else words[span.at:span.at + count].tobytes()
        frame = encode(content)
        answer = _HEAD + 1 + _FLAGS_AND_FCS + (4 * count if op == READ else 0)
        ahead = len(frame) + answer + sum(other.stored + other.answer for other in flight)
        self.channel.write(frame)
        flight.append(_Frame(self._next, span, len(content) + _STORED, answer, self.channel.time(), ahead))
        self._next = (self._next + 1) % 256
        self.statistics.sent += 1
        self.statistics.repeated += span.tries > 0
        span.tries += 1

    def _receive(self, flight: deque[_Frame]) -> tuple[int, int, bytes] | None:
        """Return (sequence, code, rest) of the next answer to this session; None after silence, or nothing but noise."""
        on_the_way = sum(frame.stored + frame.answer for frame in flight)
        patience = (self.timeout + 2 * self._pace * on_the_way) * self._patience
        start = self.channel.time()
        while True:
            while self._answers:
                answer = self._answers.popleft()
                if answer[0] == self._session:
                    return answer[1], answer[2], answer[3:]
            data = self.channel.read(patience)
            if not data or self.channel.time() - start > 10 * patience:
                self.statistics.timeouts += 1
                self._patience = min(2 * self._patience, 4)
                return None
            damaged = self._decoder.damaged
            self._answers.extend(self._decoder.feed(data))
            self.statistics.damaged += self._decoder.damaged - damaged

    def _fits(self, op: int, frame: _Frame, code: int, body: bytes) -> bool:
        """Whether this can be the answer to a frame; LinkError if it tells the end of the session."""
        if code != REFUSAL | ANSWER:
            words = frame.span.count if op == READ and body[:1] == b"\0" else 0
            return code == op | ANSWER and len(body) == 1 + 4 * words
        if len(body) != 2:
            return False
        self._check_refusal(body[1])
        return True

    def _check_refusal(self, reason: int) -> None:
        if reason == WRONG_SESSION:
            raise LinkError(f"the session on {self.channel.name} is over: another host has opened the board, or it was switched off and "
                            "on; close the other one and call Device.reconnect()")
        if reason != WRONG_SEQUENCE:
            raise LinkError(f"the board at {self.channel.name} does not know a request (reason {reason}): load a bitstream made from this "
                            "version of Lathe")

    def _gone(self) -> LinkError:
        return LinkError(f"{self.channel.name} does not answer any more, after {REPETITIONS} repetitions: check cable and power, then call "
                         "Device.reconnect()")

    def _take(self, op: int, frame: _Frame, body: bytes, words: np.ndarray) -> tuple[int, int] | None:
        """Take the answer to a frame; returns (address, status) of a failure."""
        span = frame.span
        if span.tries == 1:
            measured = (self.channel.time() - frame.sent_at) / frame.ahead
            self._pace = max(self.channel.seconds_per_byte, self._pace + (measured - self._pace) / 8)
        self._patience = 1
        self._words, self._frames = min(LONGER * self._words, self._most_words), min(self._frames + MORE_FRAMES, _MOST_FRAMES)
        if body[0]:
            if op == WRITE:
                self._last_failure = 1 << 16 | frame.sequence << 8 | body[0]
            return span.address, body[0]
        if op == READ:
            words[span.at:span.at + span.count] = np.frombuffer(body[1:], "<u4")
        return None
