# SPDX-License-Identifier: Apache-2.0
"""Ctrl-C at moments at which something could be cut in two."""

import signal

import numpy as np
import pytest

from lathe import Device, DeviceError, Program, ProgramError, WeightGroup
from lathe.backends.golden import GoldenBackend
from pymodels.csr_map import REGISTERS


@pytest.fixture(autouse=True)
def keyboard():
    """The processes of pytest-xdist ignore Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


class Interrupted(GoldenBackend):
    """Ctrl-C comes before or behind the next access to a register, or at the next wait, that `when` is true of."""

    when = None

    def _tick(self, *access):
        if self.when and self.when(*access):
            self.when = None
            signal.raise_signal(signal.SIGINT)

    def csr_write(self, address, value):
        self._tick("write", address, value)
        super().csr_write(address, value)
        self._tick("written", address, value)

    def run(self, max_cycles=None):
        self._tick("run", 0, 0)
        super().run(max_cycles)


class Updated:
    """A device whose program `step` adds -1/16 to all weights and commits."""

    def __init__(self, steps=1):
        self.device = device = Device(Interrupted)
        group = WeightGroup(device.layout, 3)
        self.w, g = group.tensor("w", 8, 8, -10, static=True), device.layout.tensor("g", 8, 8, -10, static=True)
        group.place()
        device.load(self.w, np.zeros((8, 8)))
        device.load(g, np.ones((8, 8)))
        device.set_optimizer(1 / 16)
        self.step = Program("step", device.layout)
        for _ in range(steps):
            self.step.sgd(self.w, g, stochastic=False)
            self.step.commit()

    def check(self, steps):
        assert self.device.version == steps and (self.device.store(self.w) == -steps / 16).all()


def after(count, kind, address=None):
    """The access that comes after `count` others of that kind."""
    seen = []

    def when(what, where, _):
        seen.append(1) if what == kind and address in (None, where) else None
        return len(seen) > count
    return when


def test_a_program_on_the_golden_model_is_not_cut_in_two(monkeypatch):
    case, count = Updated(100), []
    bind = case.device.backend.bind

    def bound(fields):
        execute = bind(fields)

        def interrupted(opnum):
            count.append(1)
            if len(count) == 81:
                signal.raise_signal(signal.SIGINT)
            return execute(opnum)
        return interrupted

    monkeypatch.setattr(case.device.backend, "bind", bound)
    with pytest.raises(KeyboardInterrupt):
        case.device.run(case.step)
    case.check(100)


@pytest.mark.parametrize("count", range(4))
def test_all_pieces_of_a_long_program_run(count):
    rng = np.random.default_rng(1)
    with Device(Interrupted, memory_bytes=1 << 21) as device:
        a, b, c = (device.layout.matrix(name, 160, 160, exponent) for name, exponent in (("a", -15), ("b", -15), ("c", -10)))
        for matrix in (a, b):
            matrix.write(rng.uniform(-0.99, 0.99, (160, 160)))
        program, t = Program("long", device.layout), device.layout.tensor("t", 1, 1)
        program.matmul_outside(a, b, c, words=80)
        assert len(program.operations) > 3 * 256
        device.run(program)
        whole = c.read()
        for kind, address in (("run", None), ("write", REGISTERS["CONTROL"].offset), ("written", REGISTERS["CONTROL"].offset),
                              ("written", REGISTERS["STATUS"].offset)):
            c.block.data[:] = 0
            device.backend.when = after(count, kind, address)
            with pytest.raises(KeyboardInterrupt):
                device.run(program)
            device.store(t)
            if (kind, count) != ("write", 0):  # else it was never started
                assert np.array_equal(c.read(), whole)


def test_adapt_restores_when_the_wait_at_its_end_is_interrupted():
    case = Updated()
    device = case.device
    with pytest.raises(KeyboardInterrupt), device.adapt():
        device.run(case.step)
        device.start(case.step)
        device.backend.when = after(0, "run")
    case.check(0)
    assert not any(version.pinned for version in device.versions())


@pytest.mark.parametrize("kind", ["write", "written"])
@pytest.mark.parametrize("count", range(3))
def test_a_pin_is_counted(kind, count):
    case = Updated()
    device = case.device
    device.backend.when = after(count, kind, REGISTERS["WEIGHTS"].offset)  # pin, restore, unpin
    with pytest.raises(KeyboardInterrupt), device.adapt():
        device.run(case.step)
    for version in [version for version, held in device._snapshots.items() if held]:
        device.release(version)
    assert not any(version.pinned for version in device.versions())
    assert device.version == 0


def test_what_was_not_started_is_not_taken_for_ended():
    case = Updated()
    device, bad = case.device, Program("bad", case.device.layout)
    for _ in range(3):
        bad.rollback()
    device.install(case.step)
    for use in (device.run, device.start):
        with pytest.raises(DeviceError, match="descriptor 0"):
            device.run(bad)
        device.backend.when = after(0, "write", REGISTERS["START_PC"].offset)
        with pytest.raises(KeyboardInterrupt):
            use(case.step)
        with pytest.raises(ProgramError, match="no program runs that could be waited for; call Device.start first"):
            device.finish()
        case.check(0)
    device.run(case.step)
    case.check(1)
