# SPDX-License-Identifier: Apache-2.0
"""Flipped bits in the scratchpad: single ones change nothing, two in a word stop whoever reads it, and what is written is whole."""

import numpy as np
import pytest

from lathe import Device, DeviceError, Program
from lathe.errors import SettingsError
from lathe.networks import MLP

BACKENDS = ["golden", pytest.param("verilator", marks=pytest.mark.xdist_group("verilated"))]
WORD_BITS = 128 + 9
BATCH = 32


def train(backend: str, updates: int, injections: int) -> tuple[dict[str, np.ndarray], int]:
    """Train a small network on fixed data, with single bits flipped all the time; return weights and faults that were found."""
    rng, flips = np.random.default_rng(3), np.random.default_rng(4)
    with Device(backend) as device:
        net = MLP(device.layout, 4, (16,), 2)
        batch, grads = net.activations(BATCH, "learn", -12), net.gradients(BATCH, "learn")
        records = device.layout.records("records", BATCH)
        update = Program("update", device.layout)
        net.forward(update, batch)
        update.loss(batch.y, records, grads.outputs[-1], 5)
        net.backward(update, batch, grads, update=True)
        update.commit()
        values = net.initial_values(rng)
        for tensor, value in values.items():
            device.load(tensor, value)
        device.load(batch.x, rng.uniform(-1, 1, batch.x.shape))
        contents = np.zeros(records.shape, np.int16)
        contents[:, 0] = rng.integers(0, 2, BATCH)
        contents[:, 1:4] = rng.integers(-700, 700, (BATCH, 3))
        device.load(records, contents)
        device.set_optimizer(0.01, 0.9)
        device.registers.write("SCRUB", interval=1)
        addresses = iter(())
        for _ in range(updates):
            device.start(update)
            for _ in range(injections // updates):
                address = next(addresses, None)
                if address is None:  # no word twice before the scrubber has come by
                    device.backend.advance(16 * 8192)
                    addresses = iter(flips.permutation(8192))
                    address = next(addresses)
                device.inject(int(address), int(flips.integers(WORD_BITS)))
            device.finish()
        found = device.faults()
        assert found.uncorrected == 0 and device.version == updates
        return {tensor.name: device.store(tensor) for tensor in values}, found.corrected


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
        device.backend.advance(16 * 8192)
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
