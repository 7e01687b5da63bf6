# SPDX-License-Identifier: Apache-2.0
"""The back end `serial` on a golden board: training is that of `golden`, and whatever can go wrong with a cable is told."""

import errno
import os
import pty
import threading
import tty
from dataclasses import replace

import numpy as np
import pytest

from lathe import Device
from lathe.backends.serial import SerialChannel
from lathe.boards import board
from lathe.cli import main
from lathe.errors import BackendError, CapacityError, LinkError, SettingsError
from lathe.ppo import Trainer
from lathe.program import Program
from lathe.verify import Lockstep
from pymodels.csr_map import REGISTERS
from tb.common.lines import GoldenBoard, Noise
from tb.common.training import SHORT, on, same, trained, weights


def test_training_over_a_golden_board():
    board = GoldenBoard()
    same(trained(3), trained(3, on(board)))
    with Device(on(board)) as device:  # opening makes the chip fresh
        assert device.version == 0 and device.memory.nbytes == 1 << 16 and not device.memory.any() and not board.memory.any()


def test_training_over_a_bad_line():
    line = Noise(GoldenBoard(), 0.001, 1)
    same(trained(1), trained(1, on(line, timeout=0.001)))
    assert line.damaged > 50


def test_programs_are_sent_in_long_frames():
    board = GoldenBoard()
    with Device(on(board)) as device:
        link = device.backend.link
        before = link.statistics.sent
        a = device.layout.tensor("a", 8, 8)
        b = device.layout.tensor("b", 8, 8)
        program = Program("products", device.layout)
        for _ in range(16):
            program.matmul(a, b, device.layout.tensor("c", 8, 8))
        device.install(program)
        device.registers.value("OPNUM")
        assert link.statistics.sent - before < 30  # 16 descriptors of 16 words, exponents and a reading


def test_memory_goes_over_as_far_as_it_changed_and_comes_back_as_far_as_it_was_written():
    board = GoldenBoard()
    with Device(on(board)) as device:
        link, x = device.backend.link, device.layout.tensor("x", 8, 8)
        block, result = device.layout.block_for(x, "in"), device.layout.block_for(x, "out")
        program = Program("copy", device.layout)
        program.load(x, block)
        program.store(x, result)
        for value in (1, 2):
            block.data[:] = value
            device.memory[4096] = value  # which the program does not touch
            written, read = link.statistics.written, link.statistics.read
            device.run(program)
            assert (result.data == value).all() and board.memory[4096] == value
        assert link.statistics.written - written < 300 and link.statistics.read - read < 1024


def test_a_host_change_while_the_program_runs_stays():
    class Slow(GoldenBoard):
        device = None

        def _write(self, address, value):
            if address == REGISTERS["CONTROL"].offset and self.device:
                self.device.memory[2] = 9  # beside what the program stores
            return super()._write(address, value)

    board = Slow()
    with Device(on(board)) as device:
        x = device.layout.tensor("x", 1, 8)
        pad, out = device.layout.block("pad", 1), device.layout.block_for(x, "out")
        device.load(x, np.arange(1.0, 9.0).reshape(1, 8))
        program = Program("store", device.layout)
        program.store(x, out)
        board.device = device
        device.run(program)
        assert pad.data.view(np.uint8)[0, 2] == 9 and out.data.any()


def test_a_tensor_longer_than_the_transfers_place():
    """It goes in parts, which count as one operation."""
    values = np.random.default_rng(1).integers(-99, 99, (300, 24)).astype(float)
    results = []
    for memory_bytes in (1 << 13, None):
        with Device("golden", memory_bytes=memory_bytes) as device:
            x = device.layout.tensor("x", 300, 24)
            device.load(x, values)
            results.append((device.store(x), device.registers.value("OPNUM")))
    assert np.array_equal(results[0][0], values) and np.array_equal(results[1][0], values)
    assert results[0][1] == results[1][1]
    with Device("golden", memory_bytes=4096) as device, pytest.raises(CapacityError, match="a row of tensor .* takes 2048 bytes"):
        device.load(device.layout.tensor("x", 1, 1024), np.zeros((1, 1024)))


def test_side_by_side_with_golden():
    """Also where the scratchpad does not fit into the board's memory."""
    chips = []

    def lockstep(*chip):
        chips.append(Lockstep(["golden", on(GoldenBoard(4, 2, 8192))], *chip))
        return chips[0]

    with Trainer(replace(SHORT, lanes=4, banks=2, slots=2, environments=4, rollout=4, minibatch=16, warmup=1), lockstep) as trainer:
        trainer.iteration(max_updates=1)
        assert chips[0].words == chips[0].programs * 2048 > 0 and trainer.device.memory.nbytes == 8192


# what can go wrong

def test_a_cable_pulled_in_an_update():
    """The error says what to do, the weights are those of the last commit, and after reconnecting training goes on."""
    board = GoldenBoard()
    with Trainer(SHORT, on(board)) as trainer:
        device = trainer.device
        trainer.iteration(max_updates=2)
        pulled = 0
        for left in (0, 40, 200, 400, 700):
            before, version = weights(trainer), device.version
            board.pulled = left
            with pytest.raises(LinkError, match="pulled"):
                for _ in range(20):
                    device.run(trainer.learner.update)
            device.reconnect()
            committed = device.version - version
            assert 0 <= committed <= 20
            if not committed:
                group = [tensor.space == "current" for tensor in device.layout.tensors]
                assert all(np.array_equal(a, b) for a, b, of in zip(before, weights(trainer), group, strict=True) if of)
                pulled += 1
            device.run(trainer.learner.update)
            assert device.version == version + committed + 1
        assert pulled > 0
        version = device.version
        trainer.iteration()
        assert device.version > version


def test_writes_that_did_not_go_over_go_over_after_reconnecting():
    board = GoldenBoard()
    with Device(on(board), seed=5) as device:
        device.set_optimizer(0.5)
        device.registers.write_exponent(3, -7, True)
        board.pulled = 10
        with pytest.raises(LinkError):
            device.registers.value("SEED")
        device.reconnect()
        assert device.registers.value("SEED") == 5 and device.registers.read("LEARNING_RATE")["mant"] == 32768
        assert device.registers.read_exponent(3) == (-7, -7, True)


def test_a_refused_write_is_told_once():
    with Device(on(GoldenBoard()), seed=5) as device:
        device.backend.csr_write(0x0F00, 1)
        with pytest.raises(OSError, match="write at 0x00000f00 failed: slave error"):
            device.registers.value("SEED")
        assert device.registers.value("SEED") == 5


def test_a_board_that_lost_its_power():
    board = GoldenBoard()
    with Device(on(board)) as device:
        assert device.backend.cycles > 0
        board.power_on()
        with pytest.raises(LinkError, match="switched off and on"):
            device.registers.value("ID")
        for _ in range(2):
            with pytest.raises(LinkError, match="its weights are gone: open a new device"):
                device.reconnect()


def test_a_board_that_another_host_has_used_since():
    board = GoldenBoard()
    with Device(on(board)) as first:
        with Device(on(board)):
            pass
        for _ in range(2):
            with pytest.raises(LinkError, match="opened by another host since, its weights are gone"):
                first.reconnect()


def test_another_host_takes_over():
    board = GoldenBoard()
    with Device(on(board)) as first, Device(on(board)) as second:
        with pytest.raises(LinkError, match="another host has opened the board"):
            first.registers.value("ID")
        assert second.registers.value("VERSION") == 0


@pytest.mark.parametrize("there, options, message", [
    ({"lanes": 4, "banks": 2}, {}, r"has 4 lanes and 2 banks, not 8 and 8: open it with lanes=4.*none has been made"),
    ({"banks": 16}, {"lanes": 4, "banks": 8}, "has 8 lanes and 16 banks, not 4 and 8: .*program BOARD=ulx3s-85f-lanes4"),
    ({"version": 4}, {}, "register map 4, and this driver is for 0x4c415448 and 5: load a bitstream"),
    ({}, {"memory_bytes": 1 << 17}, "memory_bytes is 131072, but the board has 65536 bytes"),
])
def test_another_bitstream(there, options, message):
    with pytest.raises((BackendError, CapacityError), match=message):
        Device(on(GoldenBoard(**there)), **options)


def test_bad_ports(tmp_path):
    with pytest.raises(BackendError, match="needs a port .*serial ports with a device: "):
        Device("serial")
    with pytest.raises(LinkError, match="cannot be opened: .*look whether you may use it"):
        Device("serial", port=str(tmp_path / "ttyUSB0"))
    with pytest.raises(BackendError, match="port is set, but back end 'golden' takes no options; leave it out"):
        Device("golden", port="/dev/ttyUSB0")
    with pytest.raises(SettingsError, match="unknown board 'ulx4'; choose one of: ulx3s-85f, "):
        board("ulx4")


def test_bad_ports_on_the_command_line(capsys):
    assert main(["train", "--backend", "serial", "--port", "/dev/nothing"]) == 2
    assert "port /dev/nothing cannot be opened" in capsys.readouterr().err
    assert main(["board-sim", "ulx4"]) == 2
    assert "unknown board 'ulx4'" in capsys.readouterr().err


class Terminal:
    """A golden board behind a pseudo-terminal."""

    def __init__(self, board: GoldenBoard):
        self.board = board
        self.ours, self.theirs = pty.openpty()
        tty.setraw(self.theirs)
        self.port = os.ttyname(self.theirs)
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self):
        try:
            while data := os.read(self.ours, 4096):
                self.board.write(data)
                os.write(self.ours, self.board.read(0))
        except OSError as error:
            assert error.errno in (errno.EIO, errno.EBADF)

    def pull(self):
        os.close(self.theirs)
        os.close(self.ours)


def test_a_real_port():
    """Through pyserial: works, is held by one host at a time, and says so when it goes away."""
    terminal = Terminal(GoldenBoard())
    with Device("serial", port=terminal.port, memory_bytes=8192) as device:
        x = device.layout.tensor("x", 4, 4)
        device.load(x, np.eye(4))
        assert np.array_equal(device.store(x), np.eye(4))
        with pytest.raises(LinkError, match="Close the program that uses it"):
            SerialChannel(terminal.port, 1_000_000)
        terminal.pull()
        with pytest.raises(LinkError, match=r"has gone|does not answer any more"):
            device.registers.value("ID")
        with pytest.raises(LinkError, match="cannot be opened"):
            device.reconnect()


class Interrupting:
    """A channel in whose calls Ctrl-C comes now and then."""

    def __init__(self, channel, seed: int):
        self.channel, self.random, self.armed = channel, np.random.default_rng(seed), False

    def __getattr__(self, name):
        return getattr(self.channel, name)

    def _perhaps(self):
        if self.armed and self.random.random() < 0.04:
            self.armed = False
            raise KeyboardInterrupt

    def write(self, data):
        self._perhaps()
        self.channel.write(data)
        self._perhaps()

    def read(self, timeout):
        self._perhaps()
        data = self.channel.read(timeout)
        self._perhaps()
        return data


@pytest.mark.parametrize("seed", range(6))
def test_after_an_interrupt_at_any_time_nothing_is_lost(seed):
    line = Interrupting(GoldenBoard(), seed)
    with Device(on(line)) as device:
        x, w, y = (device.layout.tensor(name, 16, 16) for name in "xwy")
        given, result = device.layout.block_for(x, "in"), device.layout.block_for(y, "out")
        program = Program("p", device.layout)
        program.matmul(x, w, y)
        program.store(y, result)
        program.load(x, given)
        device.load(w, np.eye(16))
        interrupts = 0
        for step in range(30):
            values = np.full((16, 16), step + 1)

            def run(values=values, step=step):
                device.load(x, values)
                given.data[:] = step
                device.run(program)
                return device.store(y), device.store_mantissas(x)[0]

            line.armed = True
            try:
                run()
            except KeyboardInterrupt:
                interrupts += 1
            line.armed = False
            run()
            out, loaded = run()
            assert np.array_equal(out, values) and (loaded == step).all()
            assert np.array_equal(result.data, y.pack(device.store_mantissas(y)[0]))
        assert interrupts > 15
