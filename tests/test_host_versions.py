# SPDX-License-Identifier: Apache-2.0
"""Versions of the weights: snapshots and what is left of them, requests beside commits, and a reset in the middle of an update."""

import numpy as np
import pytest

from lathe import CapacityError, Device, DeviceError, Program, ProgramError, SettingsError, VersionError, WeightGroup, checkpoint
from lathe.optimizers import SGD

BOTH = pytest.mark.parametrize("backend", ["golden", "verilator"])


class Net:
    """A weight matrix and its momentum; one update takes 1 from every weight, so that the content says which version it is."""

    def __init__(self, backend="golden", rows=8, slots=3, updates=1, seed=1, **settings):
        self.device = device = Device(backend, seed=seed, **settings)
        layout = device.layout
        group = WeightGroup(layout, slots)
        self.w, self.m = (group.tensor(name, rows, 8, 0, static=True) for name in "wm")
        group.place()
        self.g = layout.tensor("g", rows, 8, 0, static=True)
        self.records = layout.records("records", rows)
        self.out, self.out_records = layout.block_for(self.w), layout.block_for(self.records)
        self.update, self.reader = Program("update", layout), Program("reader", layout, request=True)
        for _ in range(updates):
            self.update.sgd(self.w, self.g, self.m)
            self.update.commit()
        self.reader.store(self.w, self.out)
        self.reader.sample(self.w, self.records)
        self.reader.store(self.records, self.out_records)
        device.load(self.w, np.zeros(self.w.shape))
        device.load(self.m, np.zeros(self.m.shape))
        device.load(self.g, np.ones(self.g.shape))
        device.set_optimizer(1)
        device.install(self.update)
        device.install(self.reader)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.device.close()

    def steps(self):
        """Return how many updates every weight has seen; all of them the same number."""
        values = np.unique(self.device.store(self.w))
        assert len(values) == 1, values
        return -int(values[0])


def test_snapshot_restore_and_rollback():
    with Net(slots=4) as net:
        device = net.device
        device.run(net.update)
        base = device.snapshot()
        assert base == device.version == 1
        device.run(net.update)
        device.run(net.update)
        assert (device.version, net.steps()) == (3, 3)
        device.rollback()
        assert (device.version, net.steps()) == (2, 2)
        device.run(net.update)
        assert (device.version, net.steps()) == (4, 3)  # 3 was another one
        device.restore(base)
        assert (device.version, net.steps()) == (1, 1)
        device.restore(4)
        device.rollback(base)
        for _ in range(5):
            device.run(net.update)
        assert [str(version) for version in device.versions()] == ["1 (pinned)", "8", "9 (current)"]
        device.restore(base)
        device.release(base)
        for _ in range(4):
            device.run(net.update)
        assert [version.number for version in device.versions()] == [11, 12, 13]
        with pytest.raises(VersionError, match=r"version 1 is no longer there; the chip holds the versions 11, 12, 13 \(current\)\. Pin"):
            device.restore(base)


def test_what_cannot_be_kept():
    with Net(slots=3) as net:
        device = net.device
        with pytest.raises(VersionError, match=r"from which 0 was made is gone, or bad; the chip holds the version 0 \(current\)"):
            device.rollback()
        assert device.snapshot() == device.snapshot() == 0
        with pytest.raises(VersionError, match="'w' 8 x 8 cannot be loaded: that would change version 0"):
            device.load(net.w, np.zeros(net.w.shape))
        device.load(net.g, np.ones(net.g.shape))
        device.run(net.update)
        with pytest.raises(VersionError, match=r"version 1 cannot be pinned: .* holds the versions 0 \(pinned\), 1 \(current\)\. Release"):
            device.snapshot()
        with pytest.raises(VersionError, match="no snapshot holds version 1; snapshots: 0"):
            device.release(1)
        device.release(0)
        device.run(net.update)
        device.restore(0)  # held twice
        device.release(0)
        with pytest.raises(VersionError, match="snapshots: none"):
            device.release(0)
        device.load(net.w, np.zeros(net.w.shape))
        device.start(net.update)
        for refused in (device.snapshot, device.rollback, lambda: device.restore(0), lambda: device.release(0)):
            with pytest.raises(ProgramError, match="'update' was started; call Device.finish first"):
                refused()
        device.finish()
    with Device("golden") as device:
        device.backend.weights.most = 3
        group = WeightGroup(device.layout, 4)
        w = group.tensor("w", 8, 8, 0)
        group.place()
        with pytest.raises(CapacityError, match="has 4 slots and this chip was built for 3"):
            device.load(w, np.zeros(w.shape))


@BOTH
def test_moves_in_a_program(backend):
    with Net(backend, slots=4) as net:
        device = net.device
        for _ in range(2):
            device.run(net.update)
        back = Program("back", device.layout)
        back.restore(next(version.slot for version in device.versions() if version.number == 0))
        for move in (None, None, back.rollback):
            if move:
                move()
            back.sgd(net.w, net.g, net.m)
            back.commit()
        device.run(back)
        assert (device.version, net.steps()) == (5, 2)  # 0, 3, 4, back to 3, 5
        nowhere = Program("nowhere", device.layout)
        nowhere.restore(device.registers.read("SLOTS")["next"])
        with pytest.raises(DeviceError, match="no_version: no older version is kept"):
            device.run(nowhere)
        assert (device.version, net.steps()) == (5, 2)


def adapt_and_return(backend, rounds):
    """Adaptations of random weights by up to three updates, of which nothing is left."""
    generator = np.random.default_rng(3)
    with Net(backend) as net:
        device, w, m = net.device, net.w, net.m
        device.load(w, generator.integers(-30000, 30000, w.shape))
        device.load(net.g, generator.integers(-100, 100, net.g.shape))
        device.set_optimizer(0.37, 0.9)
        before = [device.store_mantissas(tensor) for tensor in (w, m)]
        for number in range(rounds):
            with device.adapt() as base:
                for _ in range(1 + number % 3):
                    device.run(net.update)
                assert device.version != base
                if number % 50 == 0:
                    assert not np.array_equal(device.store_mantissas(w)[0], before[0][0])
            assert device.version == base == 0
            for tensor, (mantissas, exponent) in zip((w, m), before, strict=True):
                now = device.store_mantissas(tensor)
                assert now[1] == exponent and np.array_equal(now[0], mantissas)
        with pytest.raises(ZeroDivisionError):
            with device.adapt():
                device.run(net.update)
                raise ZeroDivisionError
        assert (device.version, len(device.versions())) == (0, 2)


@BOTH
def test_adaptations_leave_nothing(backend):
    adapt_and_return(backend, 1000)


def whole_versions(slots, updates, policy="command"):
    """Requests that read the weights all the time, at random moments of a program that replaces them as often as it can."""
    generator = np.random.default_rng(slots)
    with Net("verilator", rows=16, slots=slots, updates=20, seed=slots) as net:
        device, backend, seen, passed = net.device, net.device.backend, set(), 0
        device.set_arbiter(policy, 64)
        for first in range(0, updates, 20):
            device.start(net.update)
            while device.registers.read("STATUS")["busy"]:
                backend.advance(int(generator.integers(0, 60)))
                before = device.version
                device.request(net.reader)
                after = device.version
                versions = np.unique(-net.out.data)
                assert len(versions) == 1, f"weights of versions {versions} at once"
                assert before <= versions[0] <= after  # whatever was current at its start
                assert (net.out_records.data[:, 3] == versions[0]).all(), "the records' version is not that of the weights"
                seen.add(int(versions[0]))
                passed += after - before
            device.finish()
            assert device.version == first + 20 == net.steps()
        return len(seen), passed


@pytest.mark.parametrize("slots", [2, 3, 4])
def test_requests_see_whole_versions(slots):
    seen, passed = whole_versions(slots, 1000)
    assert seen > 100
    print(f"{slots} slots: 1,000 commits, {seen} versions seen by requests, {passed} commits while one read")
    if slots > 2:
        assert passed > seen // 2  # commits that no request kept waiting


@pytest.mark.parametrize("policy", ["priority", "round_robin", "time_slice"])
def test_requests_see_whole_versions_under_every_arbiter(policy):
    seen, _ = whole_versions(3, 200, policy)
    assert seen > 20


def crash(net, version, cycles):
    """Reset `cycles` after the start of the update; returns the version then, whose content must be whole."""
    device = net.device
    device.registers.set("START_PC", device._programs.use(net.update))
    device.registers.write("CONTROL", start=1)
    device.backend.advance(cycles)
    device.backend.reset()
    device.registers.write("IRQ_ENABLE", enable=1)
    device.set_optimizer(1)
    assert device.version in (version, version + 1)
    steps = net.steps()
    assert [held.number for held in device.versions() if held.current] == [device.version]
    return device.version, steps


def test_a_reset_in_any_cycle_leaves_whole_weights():
    """Every cycle of a small update; the chip goes on with what was current."""
    with Net("verilator", rows=4) as net:
        device, cycles, committed = net.device, 0, 0
        steps = {0: 0}  # version -> updates
        while committed < 12:  # well behind the end
            assert cycles < 500, "no commit"
            version, before = device.version, steps[device.version]
            after, content = crash(net, version, cycles)
            steps.setdefault(after, before + 1)
            assert content == steps[after]
            committed += after != version
            assert committed == 0 or after != version, "a commit is undone by a later reset"
            cycles += 1
            if cycles % 10 == 0:  # it is usable
                version = device.version
                device.run(net.update)
                assert (device.version, net.steps()) == (version + 1, steps[version] + 1)
                steps[version + 1] = steps[version] + 1
        assert cycles > 40
        print(f"reset in each of {cycles} cycles of an update")


def test_a_reset_in_a_larger_update_leaves_whole_weights():
    generator = np.random.default_rng(4)
    with Net("verilator", rows=64) as net:
        device, outcomes = net.device, []
        steps = {0: 0}
        for _ in range(60):
            version = device.version
            after, content = crash(net, version, int(generator.integers(0, 400)))
            steps.setdefault(after, steps[version] + 1)
            assert content == steps[after]
            outcomes.append(after != version)
        assert 5 < sum(outcomes) < 55
        device.run(net.update)
        assert net.steps() == steps[after] + 1


def test_without_weights_there_are_no_versions():
    with Device("golden") as device:
        for move in (device.snapshot, device.rollback, lambda: device.restore(0), lambda: device.release(0)):
            with pytest.raises(VersionError, match="there is no weight group; make one with WeightGroup"):
                move()


@BOTH
def test_a_bad_version_is_no_base(backend):
    """Loading it again does not clear the mark; it is refused before an adaptation, not after it."""
    with Net(backend) as net:
        device = net.device
        device.inject(device.layout.group.base, 3, 77)
        with pytest.raises(DeviceError, match="uncorrectable"):
            device.run(net.update)
        for tensor in (net.w, net.m):
            device.load(tensor, np.zeros(tensor.shape))
        with pytest.raises(VersionError, match="version 0 cannot be pinned: an uncorrectable memory error .* run an update"):
            with device.adapt():
                raise AssertionError("entered")
        device.run(net.update)
        with device.adapt():
            device.run(net.update)
        assert (device.version, net.steps()) == (1, 1)


def test_an_adaptation_that_cannot_return_keeps_no_pin():
    with Net() as net:
        device = net.device
        with pytest.raises(VersionError, match="version 0 cannot be restored"), device.adapt():
            device.run(net.update)
            device.backend.weights.fault(device.layout.group.base)  # as the scrubber would
        assert not any(version.pinned for version in device.versions())
        with device.adapt():
            device.run(net.update)


@BOTH
def test_an_adaptation_that_is_left_while_a_program_runs_returns(backend):
    with Net(backend) as net:
        device = net.device
        with pytest.raises(ValueError, match="mine"), device.adapt():
            device.start(net.update)
            raise ValueError("mine")
        assert (device.version, net.steps()) == (0, 0) and not device.versions()[0].pinned
        with pytest.raises(ProgramError, match="no program runs"):
            device.finish()


class Scaled:
    """Weights and momentum with delayed scaling, whose gradients are loaded; one step a run."""

    def __init__(self, backend: str):
        self.device = device = Device(backend)
        layout = device.layout
        group = WeightGroup(layout, 4)
        self.w, self.m = (group.tensor(name, 2, 8, -13) for name in "wm")
        group.place()
        self.g = layout.tensor("g", 2, 8, -20)
        self.step = Program("step", layout)
        self.step.sgd(self.w, self.g, self.m, stochastic=False)
        self.step.commit()
        device.load(self.w, np.linspace(-3.9, 3.9, 16).reshape(2, 8))
        device.load(self.m, np.zeros((2, 8)))

    def steps(self, number: int, gradient: float, rate: float = 1e-3) -> None:
        self.device.set_optimizer(rate, 0.5)
        self.device.load(self.g, np.full((2, 8), gradient))
        for _ in range(number):
            self.device.run(self.step)

    def shrink(self) -> None:
        """Twenty steps in which weights and momentum become small."""
        self.device.set_optimizer(1, 0)
        self.device.load(self.g, 0.97 * self.device.store(self.w))
        self.device.run(self.step)
        self.steps(20, 1e-5)

    @property
    def state(self) -> list:
        return [self.device.read_words(tensor).tolist() for tensor in (self.w, self.m)] + [
            self.device.registers.read_exponent(self.device.exponent_index(tensor)) for tensor in (self.w, self.m)]


@BOTH
@pytest.mark.parametrize("back", ["adapt", "restore", "rollback to it"])
def test_updates_after_a_snapshot_are_what_they_would_have_been(backend, back):
    plain, adapted = Scaled(backend), Scaled(backend)
    with plain.device, adapted.device:
        for each in (plain, adapted):
            each.steps(3, 1.5)
        if back == "adapt":
            with adapted.device.adapt():
                adapted.shrink()
        else:
            version = adapted.device.snapshot()
            adapted.shrink()
            back_there = Program("back", adapted.device.layout)
            back_there.restore(next(held.slot for held in adapted.device.versions() if held.number == version))
            adapted.device.run(back_there)  # without its scaling, which the second snapshot of the version must not take for it
            assert adapted.device.snapshot() == version
            adapted.device.release(version)
            adapted.device.restore(version) if back == "restore" else adapted.device.rollback(version)
        for each in (plain, adapted):
            each.steps(3, 1.5)
        assert adapted.state == plain.state
        assert adapted.device.saturations == plain.device.saturations


@BOTH
@pytest.mark.parametrize("back", ["restore", "rollback"])
def test_updates_after_a_version_without_snapshot_have_room(backend, back):
    made = Scaled(backend)
    with made.device as device:
        made.steps(3, 1.5)
        version, weights, momentum = device.version, device.store(made.w), device.store(made.m)
        made.device.set_optimizer(1, 0)
        device.load(made.g, 0.97 * weights)
        device.run(made.step)
        for _ in range(20):
            made.steps(1, 1e-5)
            device.rollback()  # so that the slot of the first version is not needed
        device.restore(version) if back == "restore" else device.rollback()
        assert device.version == version
        saturations = device.saturations
        made.steps(1, 0, rate=0)
        np.testing.assert_allclose(device.store(made.w), weights, atol=2.0**-8)
        np.testing.assert_allclose(device.store(made.m), momentum / 2, atol=2.0**-8)
        assert device.saturations == saturations


@BOTH
def test_a_program_does_not_load_into_a_version_with_a_snapshot(backend):
    with Net(backend) as net:
        device = net.device
        load = Program("load", device.layout)
        load.load(net.w, net.out)
        with device.adapt(), pytest.raises(VersionError, match="program 'load' cannot start with '.*': that would change version 0"):
            device.run(load)
        device.run(load)


@BOTH
def test_a_request_that_reads_an_uncorrectable_word_keeps_the_program_from_its_commit(backend):
    with Net(backend) as net:
        device = net.device
        reader = Program("reads x", device.layout, request=True)
        x = device.layout.tensor("x", 8, 8, 0, static=True)
        a, b, y = (device.layout.tensor(name, 64, 64, -8, static=True) for name in "aby")
        for tensor in (x, a, b):
            device.load(tensor, np.ones(tensor.shape))
        reader.store(x, device.layout.block_for(x))
        late = Program("late", device.layout)
        late.raw("long", unit="gemm", op="matmul", m=64, n=64, k=64, post_mask=1, t0_addr=a.address, t0_stride=a.stride,
                 t1_addr=b.address, t1_stride=b.stride, t2_addr=y.address, t2_stride=y.stride, t0_exp=a.exponent, t1_exp=b.exponent,
                 t2_exp=y.exponent)
        late.raw("commit", unit="update", op="commit", wait_mask=1)
        device.install(reader)
        device.install(late)
        device.registers.write("SCRUB", interval=0)
        device.start(late)
        device.inject(x.address, 3, 5)
        with pytest.raises(DeviceError, match="program 'reads x'.*uncorrectable"):
            device.request(reader)
        with pytest.raises(DeviceError, match="program 'late', descriptor 1 'commit': uncorrectable"):
            device.finish()
        assert device.version == 0
        device.run(net.update)
        assert device.version == 1


@BOTH
def test_what_cannot_be_set_while_a_program_runs(backend):
    with Net(backend) as net:
        device = net.device
        device.start(net.update)
        for use, refused in ((lambda: SGD(0.1).apply(device), "the optimizer"),
                             (lambda: checkpoint.save(device, "nowhere"), "no checkpoint"),
                             (lambda: device.set_request_number(3), "the number of requests")):
            with pytest.raises(ProgramError, match=f"{refused}.*'update' was started; call Device.finish first"):
                use()
        device.finish()


@pytest.mark.parametrize("use", ["run", "start", "install", "request"])
@pytest.mark.parametrize("what", [None, "x", 3])
def test_what_is_no_program(use, what):
    with Device() as device, pytest.raises(ProgramError, match="a program is expected, not '(NoneType|str|int)'; record one with Program"):
        getattr(device, use)(what)


def test_numbers_that_are_none():
    with Net() as net:
        for number in (-1, 1 << 32, 1.5, "x"):
            with pytest.raises(SettingsError, match="version is .* and must be a whole number from 0 to 4294967295"):
                net.device.set_version(number)
            with pytest.raises(SettingsError, match="number is .* and must be a whole number"):
                net.device.set_request_number(number)
    with Device() as device, pytest.raises(VersionError, match="there is no weight group"):
        device.set_version(5)


@pytest.mark.parametrize("use", ["restore", "rollback", "release"])
@pytest.mark.parametrize("version", ["3", 1.5, [3]])
def test_what_is_no_version(use, version):
    with Net() as net, pytest.raises(VersionError, match="a version is a whole number, not "):
        getattr(net.device, use)(version)


@pytest.mark.parametrize("slot", [-1, 4, 1.5, "0"])
def test_what_is_no_slot(slot):
    with pytest.raises(ProgramError, match="slot is .* and must be a whole number from 0 to 3"):
        Program("program", Device().layout).restore(slot)


@BOTH
@pytest.mark.parametrize(("following", "expected"), [(-20, -12), (-13, -12), (-9, -9)])
def test_what_has_no_scaling_gets_one_bit_of_room_and_keeps_more(backend, following, expected):
    made = Scaled(backend)
    with made.device as device:
        first = device.version
        made.steps(1, 0)
        device.registers.write_exponent(device.exponent_index(made.w), -13, False, following)
        device.restore(first)
        assert device.registers.read_exponent(device.exponent_index(made.w)) == (-13, expected, False)
