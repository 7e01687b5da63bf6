# SPDX-License-Identifier: Apache-2.0
"""The host's side of the link against the golden bridge: frames, words over a bad line, sessions, and every way it can go wrong."""

import random

import numpy as np
import pytest

from lathe.errors import LinkError
from lathe.framing import Decoder, encode
from lathe.link import BOARD, MEMORY
from pymodels import link as model
from pymodels.csr_map import REGISTERS
from tb.common.lines import GoldenBoard, Noise, opened, soak

SEED, OPNUM = REGISTERS["SEED"].offset, REGISTERS["OPNUM"].offset


def test_fcs_of_the_standard():
    assert encode(b"123456789")[-5:-1] == bytes.fromhex("2639f4cb")


@pytest.mark.parametrize("seed", range(4))
def test_frames_are_those_of_the_model(seed):
    """Whatever one side frames the other reads, in pieces of any size, with garbage between."""
    rng = random.Random(seed)
    contents = [bytes(rng.choice((0x7E, 0x7D, 0x5E, 0x5D, rng.randrange(256))) for _ in range(rng.randrange(3, 268))) for _ in range(50)]
    frames = [encode(content) for content in contents]
    assert frames == [model.encode(content) for content in contents]
    garbage = [bytes(rng.choice((0x7E, 0x7D, rng.randrange(256))) for _ in range(rng.randrange(600))) for _ in contents]
    stream = b"".join(noise + frame for noise, frame in zip(garbage, frames, strict=True))
    ours, theirs = Decoder(), model.Decoder()
    expected = list(theirs.feed(stream))
    got = []
    while stream:
        size = rng.randrange(1, 400)
        got += ours.feed(stream[:size])
        stream = stream[size:]
    assert got == expected and set(contents) <= set(got)
    assert ours.damaged == theirs.errors


def test_words_and_registers():
    board = GoldenBoard()
    link = opened(board)
    assert link.read(BOARD, 4).tolist() == [model.ID, 2, 25_000_000, 1 << 16]
    words = np.random.default_rng(1).integers(0, 1 << 32, 1000, np.uint32)
    link.write(MEMORY + 256, words)
    assert np.array_equal(link.read(MEMORY + 256, 1000), words)
    assert np.array_equal(board.memory[256:4256].view(np.uint32), words)
    assert np.array_equal(link.read_many([(MEMORY + 260, 3), (SEED, 1), (MEMORY + 256, 1)]), [*words[1:4], 0, words[0]])
    assert link.statistics.repeated == 0 and link.statistics.timeouts == 0
    assert link.statistics.written == 4000


def test_failed_accesses():
    link = opened(GoldenBoard())
    for address, message in ((0x1000_0000, "no register"), (0x0F00, "slave error"), (MEMORY + (1 << 16), "no register")):
        with pytest.raises(OSError, match=message):
            link.read(address)
        with pytest.raises(OSError, match=f"{address:#010x} failed: {message}"):
            link.write(address, 1)
    assert link.read(BOARD)[0] == model.ID


@pytest.mark.parametrize("seed", range(3))
def test_a_bad_line_loses_nothing(seed):
    """A hundredth of the bytes changed, dropped or sent twice: all arrives, each once."""
    line = Noise(GoldenBoard(), 0.01, seed)
    link = soak(line, 20_000, 1 << 13, seed)
    assert line.damaged > 100 and link.statistics.repeated > 20 and link.statistics.refused > 0


@pytest.mark.parametrize("seed", range(3))
def test_what_acts_by_being_written_acts_once(seed):
    """OPNUM counts programs' descriptors: were a start carried out twice, it would count twice."""
    board = GoldenBoard()
    link = opened(Noise(board, 0.03, seed), seed)
    started = []
    board.chip._control = lambda **fields: started.append(fields["start"])
    for _ in range(100):
        link.write(REGISTERS["CONTROL"].offset, REGISTERS["CONTROL"].pack(start=1))
    assert len(started) == 100 and link.statistics.repeated > 10


class Lossy(GoldenBoard):
    """Loses answers: `lose` times all that have come when somebody reads, or the first of them once."""

    lose, lose_first = 0, False

    def read(self, timeout):
        data = super().read(timeout)
        if data and self.lose:
            self.lose -= 1
            return b""
        if data and self.lose_first:
            self.lose_first = False
            return data[data.index(b"~", 1) + 1:]
        return data


def test_the_status_of_a_failed_write_is_told_though_its_answer_was_lost():
    board = Lossy()
    link = opened(board)
    board.lose = 1
    with pytest.raises(OSError, match="slave error"):
        link.write(0x0F00, 1)
    board.lose = 1
    link.write(SEED, 7)  # that failure is not told again
    assert link.read(SEED)[0] == 7


def test_a_failure_is_told_though_only_the_next_write_was_answered():
    board = Lossy()
    link = opened(board)
    board.lose_first = True
    with pytest.raises(OSError, match="slave error"):
        link.write_many([(0x0F00, [1]), (SEED, [7])])
    assert link.read(SEED)[0] == 7


def test_a_repetition_does_not_overtake_what_was_carried_out():
    """All answers to many frames are lost several times: the parts of them that follow do not pass what has been carried out."""
    board = Lossy()
    link = opened(board)
    link._words, board.lose = 10.0, 4
    words = np.arange(1, 1001, dtype=np.uint32)
    link.write(MEMORY, words)
    assert link.statistics.timeouts == 4 and np.array_equal(board.memory[:4000].view(np.uint32), words)


class Late:
    """A line on which one request is damaged, and whose answers from then on come late: `late` seconds once, in order."""

    def __init__(self, board: GoldenBoard, damaged: int, late: float):
        self.board, self.left, self.late, self.now, self.free = board, damaged, late, 0.0, 0.0
        self.coming: list[tuple[float, bytes]] = []

    def __getattr__(self, name: str):
        return getattr(self.board, name)

    def write(self, data: bytes) -> None:
        self.left -= 1
        if self.left == 0:
            data, self.free = data[:9] + bytes([data[9] ^ 1]) + data[10:], self.now + self.late
        self.board.write(data)
        if answer := self.board.read(0.0):
            self.free = max(self.free, self.now + 1e-3)
            self.coming.append((self.free, answer))

    def read(self, timeout: float) -> bytes:
        if self.coming and self.coming[0][0] <= self.now + timeout:
            at, data = self.coming.pop(0)
            self.now = max(self.now, at)
            return data
        self.now += timeout
        return b""

    def time(self) -> float:
        return self.now


@pytest.mark.parametrize("late", [0.2, 0.3, 0.5, 0.8, 1.5, 3.0])
def test_answers_that_come_late_are_not_taken_for_others(late):
    """Silence does not mean that nothing is on the way any more: an operating system may hold bytes back for long."""
    words = np.arange(1, 2049, dtype=np.uint32)
    for damaged in range(3, 25):
        line = Late(GoldenBoard(), -1, late)
        link = opened(line)
        line.left = damaged
        link.write(MEMORY, words)
        assert np.array_equal(line.memory[:8192].view(np.uint32), words), f"write, request {damaged}"
        line.left = damaged
        assert np.array_equal(link.read(MEMORY, 2048), words), f"read, request {damaged}"
        assert link.statistics.timeouts and link.statistics.repeated


def test_no_words_are_no_frame():
    link = opened(GoldenBoard())
    sent = link.statistics.sent
    link.write_many([(MEMORY, []), (MEMORY, [])])
    assert len(link.read_many([(MEMORY, 0), (BOARD, 1), (MEMORY, 0)])) == 1 and len(link.read(MEMORY, 0)) == 0
    assert link.statistics.sent == sent + 1


def test_frames_get_shorter_and_longer_again():
    line = Noise(GoldenBoard(), 0.03, 1)
    link = soak(line, 4_000, 1 << 13, 1)
    assert link._words < 16
    line.rate = 0.0
    link.write(MEMORY, np.zeros(8192 // 4, np.uint32))
    assert link._words == 64


class Silent(GoldenBoard):
    """Nobody at the end, or somebody else, who sends `noise`."""

    noise = b""

    def write(self, data):
        self._received += self.noise


def test_no_answer():
    with pytest.raises(LinkError, match=r"no answer from the golden board at 1000000 baud: check that the board has power.*--baud"):
        opened(Silent())


def test_garbage_instead_of_an_answer():
    silent = Silent()
    silent.noise = b"login: "
    with pytest.raises(LinkError, match=r"42 bytes came from the golden board, but no answer of a board"):
        opened(silent)


def test_garbage_before_an_answer():
    board = GoldenBoard()
    board._received = b"U-Boot 2026 \x7e\x7d rubbish \x7e"
    assert opened(board).read(BOARD)[0] == model.ID


def test_another_version_of_the_protocol(monkeypatch):
    monkeypatch.setattr(model, "VERSION", 3)
    with pytest.raises(LinkError, match="speaks version 3 of the link and this host version 2: load a bitstream"):
        opened(GoldenBoard())


def test_two_hosts_at_once():
    board = GoldenBoard()
    first = opened(board, 1)
    first.write(SEED, 5)
    second = opened(board, 2)
    with pytest.raises(LinkError, match="another host has opened the board"):
        first.write(SEED, 6)
    assert second.read(SEED)[0] == 5
    first.open()
    with pytest.raises(LinkError, match="session on the golden board is over"):
        second.read(SEED)


def test_power_lost():
    board = GoldenBoard()
    link = opened(board)
    board.power_on()
    with pytest.raises(LinkError, match="switched off and on"):
        link.read(SEED)


def test_a_board_that_falls_silent():
    board = GoldenBoard()
    link = opened(board)
    board.bridge.receive = lambda data: b""
    with pytest.raises(LinkError, match="does not answer any more, after 20 repetitions"):
        link.read(SEED)
    assert link.statistics.timeouts == 21


def test_fuzz_does_not_wedge():
    """Random bytes, many of them flags, escapes and beginnings of frames: the next session works."""
    board, rng = GoldenBoard(), random.Random(3)
    link = opened(board)
    for _ in range(40):
        data = bytes(rng.choice((0x7E, 0x7D, rng.randrange(256))) for _ in range(500))
        board.write(data + encode(bytes([rng.randrange(256) for _ in range(20)]))[:rng.randrange(30)])
        link.open()
        link.write(SEED, 77)
        assert link.read(SEED)[0] == 77
