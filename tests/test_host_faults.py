# SPDX-License-Identifier: Apache-2.0
"""Flipped bits in the scratchpad: single ones change nothing, two in a word stop whoever reads it, and what is written is whole."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from lathe import Device, DeviceError, Program, checkpoint
from lathe.errors import SettingsError, VersionError
from lathe.networks import MLP

BACKENDS = ["golden", pytest.param("verilator", marks=pytest.mark.xdist_group("verilated"))]
WORD_BITS = 128 + 9
WORDS = 8192
BATCH = 32


class Learner:
    """A device with a small network, fixed data and the program of an update."""

    def __init__(self, device: Device, hidden: tuple[int, ...]):
        self.device, rng = device, np.random.default_rng(3)
        self.net = net = MLP(device.layout, 4, hidden, 2)
        batch, grads = net.activations(BATCH, "learn", -12), net.gradients(BATCH, "learn")
        records = device.layout.records("records", BATCH)
        self.update = update = Program("update", device.layout)
        net.forward(update, batch)
        update.loss(batch.y, records, grads.outputs[-1], 5)
        net.backward(update, batch, grads, update=True)
        update.commit()
        for tensor, value in net.initial_values(rng).items():
            device.load(tensor, value)
        contents = np.zeros(records.shape, np.int16)
        contents[:, 0] = rng.integers(0, 2, BATCH)
        contents[:, 1:4] = rng.integers(-700, 700, (BATCH, 3))
        self.inputs = {batch.x: rng.uniform(-1, 1, batch.x.shape), records: contents}
        self.load()
        device.set_optimizer(0.01, 0.9)
        device.registers.write("SCRUB", interval=1)

    def load(self) -> None:
        for tensor, value in self.inputs.items():
            self.device.load(tensor, value)

    def weights(self) -> dict[str, np.ndarray]:
        """Weights and momentum of the current version."""
        return {tensor.name: self.device.store(tensor) for tensor in self.device.layout.tensors if tensor.space == "current"}


def train(backend: str, updates: int, injections: int) -> tuple[dict[str, np.ndarray], int]:
    """Train with single bits flipped all the time; return weights and faults that were found."""
    flips = np.random.default_rng(4)
    with Device(backend) as device:
        learner = Learner(device, (16,))
        addresses = iter(())
        for _ in range(updates):
            device.start(learner.update)
            for _ in range(injections // updates):
                address = next(addresses, None)
                if address is None:  # no word twice before the scrubber has come by
                    device.backend.advance(16 * WORDS)
                    addresses = iter(flips.permutation(WORDS))
                    address = next(addresses)
                device.inject(int(address), int(flips.integers(WORD_BITS)))
            device.finish()
        found = device.faults()
        assert found.uncorrected == 0 and device.version == updates
        return learner.weights(), found.corrected


def check_training(backend: str, updates: int, injections: int) -> None:
    clean, none = train(backend, updates, 0)
    flipped, corrected = train(backend, updates, injections)
    assert none == 0 and corrected >= injections // 4
    for name, values in clean.items():
        np.testing.assert_array_equal(values, flipped[name], name)


@pytest.mark.parametrize("backend", BACKENDS)
def test_single_flips_change_no_weight(backend):
    check_training(backend, 20, 300)


@pytest.mark.regress
@pytest.mark.xdist_group("verilated")
def test_ten_thousand_flips_change_no_weight():
    check_training("verilator", 100, 10_000)


class Flips:
    """Flips of random words: single ones, and for one in eight two in a word."""

    def __init__(self, device: Device):
        self.device, self.rng, self.addresses, self.torn = device, np.random.default_rng(5), iter(()), set()

    def flip(self, count: int) -> None:
        for _ in range(count):
            address = next(self.addresses, None)
            if address is None:  # no word twice before the scrubber has come by, and none that has two flips
                self.device.backend.advance(16 * WORDS)
                self.addresses = iter(address for address in self.rng.permutation(WORDS).tolist() if address not in self.torn)
                address = next(self.addresses)
            two = self.rng.random() < 1 / 8
            if two:
                self.torn.add(address)
            self.device.inject(address, *self.rng.choice(WORD_BITS, 1 + two, replace=False).tolist())


def recover(learner: Learner, path: Path, contents: dict) -> str:
    """Write all tensors outside the weights anew and return to a version that can be read; returns how."""
    device = learner.device
    for tensor in device.layout.tensors:
        if tensor.space == "absolute":
            device.write_words(tensor, np.zeros((tensor.stored[0], tensor.row_words * tensor.lanes), np.int16))
    learner.load()
    how = "kept"
    while True:
        try:
            found = learner.weights()
            break
        except DeviceError as error:
            assert error.code == "uncorrectable" and any(held.current and held.bad for held in device.versions())
            try:
                device.rollback()
                how = "rolled back"
            except VersionError:
                checkpoint.load(device, path)
                how = "reloaded"
    assert_same(found, contents[device.version])
    return how


def assert_same(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values, name)


def check_recovery(backend: str, path: Path, updates: int, injections: int) -> None:
    """What can be read of a committed version is what a chip without faults makes of the one before. Everything else is reported,
    and then the version before is there, or, if that has two flips too, the host's checkpoint of it."""
    ways, committed = Counter(), 0
    with Device(backend) as device, Device("golden") as twin:
        learner, reference, flips = Learner(device, (64, 64)), Learner(twin, (64, 64)), Flips(device)
        contents = {device.version: learner.weights()}
        checkpoint.save(device, path)
        for _ in range(updates):
            checkpoint.load(twin, path)
            twin.run(reference.update)
            expected = reference.weights()
            flips.flip(injections // updates // 2)
            try:
                device.start(learner.update)
                flips.flip(injections // updates - injections // updates // 2)
                device.finish()
                found = learner.weights()
            except DeviceError as error:
                assert error.code == "uncorrectable"
                ways[recover(learner, path, contents)] += 1
            else:
                assert_same(found, expected)
                contents[device.version] = found
                committed += 1
            while True:
                try:
                    checkpoint.save(device, path)
                    break
                except DeviceError as error:  # in a tensor that the update did not read
                    assert error.code == "uncorrectable"
                    ways[recover(learner, path, contents)] += 1
        found = device.faults()
    print(f"{updates} updates, {committed} committed; {ways}; {found}")
    assert committed and ways["rolled back"] and found.uncorrected >= ways.total() and found.corrected


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_cannot_be_corrected_is_rolled_back(backend, tmp_path):
    check_recovery(backend, tmp_path / "base.safetensors", 40, 400)


@pytest.mark.regress
@pytest.mark.xdist_group("verilated")
def test_ten_thousand_faults_lose_nothing(tmp_path):
    check_recovery("verilator", tmp_path / "base.safetensors", 1000, 10_000)


@pytest.mark.parametrize("backend", BACKENDS)
def test_two_flips_stop_a_program(backend):
    """Before its commit, with the tensor's name; once that is loaded again all is well."""
    with Device(backend) as device:
        net = MLP(device.layout, 4, (), 2)
        batch = net.activations(8, "x", -12)
        program = Program("forward and commit", device.layout)
        net.forward(program, batch)
        program.commit(partial=True)
        x = np.random.default_rng(1).uniform(-1, 1, batch.x.shape)
        for tensor, value in net.initial_values(np.random.default_rng(1)).items():
            device.load(tensor, value)
        device.load(batch.x, x)
        address = batch.x.address + 3
        for first, second in ((0, 1), (17, WORD_BITS - 1), (WORD_BITS - 2, WORD_BITS - 1)):
            device.registers.write("CONTROL", perf_clear=1)
            version = device.version
            device.inject(address, first, second)
            with pytest.raises(DeviceError, match="uncorrectable: a scratchpad word with two flipped bits") as caught:
                device.run(program)
            assert caught.value.code == "uncorrectable" and device.version == version
            found = device.faults()
            assert found.uncorrected >= 1 and found.address == address and found.uncorrectable and "x.x" in found.where
            with pytest.raises(DeviceError):
                device.run(program)
            device.load(batch.x, x)
            device.run(program)
            assert device.version == version + 1


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_flip_is_found_and_repaired(backend):
    with Device(backend) as device:
        tensor = device.layout.tensor("t", 8, 8, -10)
        device.load(tensor, np.ones((8, 8)))
        assert device.faults() == (0, 0, None, False, "nothing was found")
        device.inject(tensor.address, 3)
        np.testing.assert_array_equal(device.store(tensor), np.ones((8, 8)))
        device.registers.write("SCRUB", interval=1)
        device.backend.advance(16 * WORDS)
        before = device.faults()
        assert before.corrected >= 1 and before.address == tensor.address and "t" in before.where and not before.uncorrectable
        np.testing.assert_array_equal(device.store(tensor), np.ones((8, 8)))
        assert device.faults() == before
        with pytest.raises(SettingsError, match="bits 0 to 136"):
            device.inject(0, 137)
        with pytest.raises(SettingsError, match="words 0 to 8191"):
            device.inject(8192, 0)
        with pytest.raises(SettingsError, match="twice"):
            device.inject(0, 5, 5)
