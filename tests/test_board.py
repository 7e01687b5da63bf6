# SPDX-License-Identifier: Apache-2.0
"""The board's RTL, Verilated in this process, under the host's driver: throughput, a bad line, garbage, training bit by bit."""

import random
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from lathe import Device
from lathe.allocator import WeightGroup
from lathe.backends.board import SimulatedBoard
from lathe.boards import BOARDS
from lathe.cli import main
from lathe.errors import BackendError
from lathe.framing import encode
from lathe.link import BOARD, MEMORY
from lathe.program import Program
from lathe.settings import Settings
from lathe.verify import Lockstep
from pymodels.csr_map import REGISTERS
from tb.common.lines import Noise, opened, soak
from tb.common.training import SHORT, on, same, trained

SMALL = BOARDS["ulx3s-25f"]
TIMEOUT = 3e-5  # seconds of the board's time
CHIP = {"lanes": SMALL.lanes, "banks": SMALL.banks, "slots": SMALL.slots}

pytestmark = pytest.mark.xdist_group("board")  # one worker builds, all tests use it


@pytest.fixture
def simulated():
    made = SimulatedBoard(SMALL, clocks_per_bit=4)
    yield made
    made.close()


def test_throughput(simulated):
    """At least 70 % of the bytes of the line are payload, both ways."""
    link = opened(simulated, timeout=TIMEOUT)
    words = np.random.default_rng(1).integers(0, 1 << 32, SMALL.memory_bytes // 4, np.uint32)
    shares = {}
    for what, act in (("written", lambda: link.write(MEMORY, words)), ("read", lambda: link.read(MEMORY, len(words)))):
        before = simulated.cycles
        result = act()
        shares[what] = words.nbytes / ((simulated.cycles - before) / 40)
    print({what: f"{share:.1%}" for what, share in shares.items()})
    assert np.array_equal(result, words) and min(shares.values()) > 0.7
    assert link.statistics.repeated == 0


def check_soak(simulated, total: int) -> None:
    line = Noise(simulated, 0.01, 1)
    link = soak(line, total, SMALL.memory_bytes, 1, TIMEOUT)
    print(f"{line.damaged} bytes damaged in {simulated.cycles} cycles, {link.statistics}")
    assert line.damaged > total / 40 and link.statistics.written > total and link.statistics.read > total


def test_soak(simulated):
    check_soak(simulated, 20_000)


@pytest.mark.regress
def test_long_soak(simulated):
    check_soak(simulated, 1_000_000)


def check_fuzz(simulated, total: int) -> None:
    """Random bytes, many of them flags, escapes, and frames whole and cut off: sessions can be opened and work all the same."""
    rng, sent = random.Random(1), 0
    seed = REGISTERS["SEED"].offset
    while sent < total:
        data = b""
        while len(data) < 5_000:
            frame = encode(rng.randbytes(rng.randrange(1, 300)))
            data += rng.choice((frame, frame[:rng.randrange(len(frame))], rng.randbytes(rng.randrange(40)), b"~}", 9 * b"~", b"}"))
        simulated.write(data)
        while simulated.busy:
            simulated.advance(1_000_000)
        sent += len(data)
        link = opened(simulated, sent, TIMEOUT)
        link.write(seed, sent)
        link.write(MEMORY, [sent, 5])
        assert link.read(seed)[0] == sent and link.read(MEMORY, 2).tolist() == [sent, 5]


def test_fuzz(simulated):
    check_fuzz(simulated, 20_000)


@pytest.mark.regress
def test_long_fuzz(simulated):
    check_fuzz(simulated, 1_000_000)


def test_registers(simulated):
    link = opened(simulated, timeout=TIMEOUT)
    assert link.read(BOARD, 4).tolist() == [0x4548544C, 2, SMALL.clock_hz, SMALL.memory_bytes]
    first, second = (int(link.read(BOARD + 0x14, 2)[0]) for _ in range(2))
    assert 0 < first < second <= simulated.cycles
    with pytest.raises(OSError, match="slave error"):
        link.read(0x0F00)


@pytest.mark.parametrize("seed", [1, 2])
def test_training(simulated, seed):
    settings = replace(SHORT, **CHIP, environments=4, rollout=8, minibatch=16, warmup=1, seed=seed)
    same(trained(2, settings=settings), trained(2, on(simulated, timeout=TIMEOUT), settings))


def test_reconnecting_in_a_program(simulated):
    """The chip is reset in the middle of a program of many commits: the weights are those of one of them, and whole."""
    with Device(on(simulated, timeout=TIMEOUT), SMALL.lanes, SMALL.banks) as device:
        group = WeightGroup(device.layout, 2)
        w, m = (group.tensor(name, 32, 16, 0, static=True) for name in "wm")
        group.place()
        g = device.layout.tensor("g", 32, 16, 0, static=True)
        update = Program("update", device.layout)
        for _ in range(60):
            update.sgd(w, g, m)
            update.commit()
        for tensor, value in ((w, 0.0), (m, 0.0), (g, 1.0)):
            device.load(tensor, np.full(tensor.shape, value))
        device.set_optimizer(1)
        device.start(update)
        device.reconnect()
        version = device.version
        assert 0 < version < 60 and not device.registers.read("STATUS")["busy"]
        assert (device.store(w) == -version).all()
        device.load(g, np.ones(g.shape))
        device.run(update)
        assert device.version == version + 60 and (device.store(w) == -version - 60).all()


def test_too_few_clocks_per_bit():
    with pytest.raises(BackendError, match="clocks per bit are 3; the receiver needs at least 4"):
        SimulatedBoard(SMALL, clocks_per_bit=3)


@pytest.mark.regress
def test_side_by_side(simulated):
    chips = []

    def lockstep(*chip):
        chips.append(Lockstep(["golden", on(simulated, timeout=TIMEOUT)], *chip))
        return chips[0]

    trained(1, lockstep, replace(SHORT, **CHIP, environments=4, rollout=8, minibatch=16, warmup=1))
    assert chips[0].words == chips[0].programs * 1024 * SMALL.banks > 0


@pytest.fixture
def port():
    """The port of `lathe board-sim` in a process of its own."""
    process = subprocess.Popen([sys.executable, "-m", "lathe.cli", "board-sim", "ulx3s-85f", "--clocks-per-bit", "4"],
                               stdout=subprocess.PIPE, text=True)
    yield process.stdout.readline().strip()
    process.terminate()
    process.wait()


@pytest.mark.regress
def test_cartpole_through_a_pseudo_terminal(port, capsys):
    """Five updates of the demonstration's network on the whole board give the weights of `golden`; so does `lathe verify`."""
    settings = Settings(rollout=16, steps=1000)
    same(trained(5, settings=settings), trained(5, settings=replace(settings, backend="serial", port=port)))
    assert main(["verify", "--backends", "golden,serial", "--port", port, "--updates", "1", "--environments", "4", "--rollout", "4",
                 "--minibatch", "16", "--warmup", "1"]) == 0
    assert "golden and serial agree in every bit" in capsys.readouterr().out
