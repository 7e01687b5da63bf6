# SPDX-License-Identifier: Apache-2.0
"""Weights in and out under PyTorch's names: what a network computes with them, files, and what does not fit."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from lathe import CheckpointError, Device, Program, TensorError, weights
from lathe.networks import MLP
from lathe.optimizers import Adam

SIZES = (5, 12, 9, 4)


class Foreign:
    """What a PyTorch parameter on an accelerator is to someone who does not import torch."""

    def __init__(self, array, steps=("detach", "cpu", "numpy")):
        self._array, self._steps = array, steps

    def __getattr__(self, name):
        if not self._steps or name != self._steps[0]:
            raise AttributeError(name)
        left = self._steps[1:]
        return lambda: Foreign(self._array, left) if left else self._array


def made_state(names=("0", "2", "4"), scale=0.7, seed=1):
    rng, state = np.random.default_rng(seed), {}
    for name, inputs, outputs in zip(names, SIZES, SIZES[1:], strict=False):
        state[f"{name}.weight"] = (rng.standard_normal((outputs, inputs)) * scale).astype(np.float32)
        state[f"{name}.bias"] = (rng.standard_normal(outputs) * scale).astype(np.float32)
    return state


def network(device, **more):
    return MLP(device.layout, SIZES[0], SIZES[1:-1], SIZES[-1] - 1, **more)


def outputs_of(device, net, x):
    """Logits and value of float observations on the chip; one pass before, by which exponents find their place."""
    acts = net.activations(len(x), "t", -12)
    program = Program("forward", device.layout)
    net.forward(program, acts)
    device.load(acts.x, x)
    for _ in range(2):
        device.run(program)
    return device.store(acts.y)


@pytest.mark.parametrize("names", [("0", "2", "4"), ("net.2", "net.8", "net.10"), ("all.0.linear", "all.1.linear", "all.2.linear")])
def test_a_sequential_of_linear_layers(names):
    state = made_state(names)
    x = np.random.default_rng(2).uniform(-1, 1, (7, SIZES[0]))
    expected = x
    for index, name in enumerate(names):
        expected = expected @ state[f"{name}.weight"].T.astype(np.float64) + state[f"{name}.bias"]
        expected = np.tanh(expected) if index < 2 else expected
    with Device() as device:
        net = network(device)
        shuffled = {name: Foreign(state[name]) for name in sorted(state, reverse=True)}
        net.load_state_dict(device, shuffled)
        assert np.abs(outputs_of(device, net, x) - expected).max() < 2e-3 * np.abs(expected).max()
        for layer in net.layers:
            assert not device.store(layer.weight_momentum).any() and not device.store(layer.bias_momentum).any()


def test_out_and_in_again_is_the_same(tmp_path):
    with Device() as device:
        net = network(device)
        state = made_state()
        state["2.bias"][:2] = -4, 4 - 2**-13  # the ends of the range
        net.load_state_dict(device, state)
        out = net.state_dict(device)
        assert list(out) == [f"{index}.{kind}" for index in (0, 2, 4) for kind in ("weight", "bias")]
        for name, array in out.items():
            assert array.dtype == np.float32 and array.flags.c_contiguous
            assert np.abs(array - state[name]).max() <= 2.0**-14
        weights.save(net, device, tmp_path / "weights.safetensors")
        assert all(np.array_equal(array, out[name]) for name, array in load_file(tmp_path / "weights.safetensors").items())
    with Device(lanes=16) as device:
        net = network(device)
        weights.load(net, device, tmp_path / "weights.safetensors")
        assert all(np.array_equal(array, out[name]) for name, array in net.state_dict(device).items())


def test_a_file_of_someone_else(tmp_path):
    state = {name: array.astype(np.float16) for name, array in made_state().items()}
    save_file(state, tmp_path / "theirs.safetensors")
    with Device() as device:
        net = network(device)
        weights.load(net, device, tmp_path / "theirs.safetensors")
        assert np.abs(net.state_dict(device)["0.weight"] - state["0.weight"]).max() <= 2.0**-14


def changed(**entries):
    state = made_state() | {name.replace("_", "."): value for name, value in entries.items()}
    return {name: value for name, value in state.items() if value is not None}


@pytest.mark.parametrize("state,message", [
    (changed(**{"0_weight": np.zeros((5, 12))}), r"'0\.weight' has shape \(5, 12\) and must have \(12, 5\).*transpose it"),
    (changed(**{"4_weight": np.zeros((3, 9)), "4_bias": np.zeros(3)}), r"'4\.weight' .* must have \(4, 9\); the last layer makes 3 logits"),
    (changed(**{"2_bias": np.zeros((9, 1))}), r"'2\.bias' has shape \(9, 1\) and must have \(9,\)"),
    (changed(**{"2_bias": None}), r"'2\.bias' is missing; give zeros of shape \(9,\)"),
    (changed(**{"2_bias": None, "2_weight": None}), r"2 Linear layers \(0, 4\), but the network 5-12-9-4 has 3"),
    (changed(log_std=np.zeros(3)), "'log.std' is neither weight nor bias"),
    (changed(**{"0_bias": np.full(12, 4.5), "2_bias": np.full(9, -9.0)}),
     r"'2\.bias' has values up to 9 .* exponent -13, at which they hold -4 to 3\.99988; make the network with weight_exponent=-11"),
    (changed(**{"0_bias": np.full(12, np.nan)}), r"'0\.bias' holds values that are not finite"),
    (changed(**{"0_bias": ["a"] * 12}), r"'0\.bias' is no array of real numbers"),
    (changed(**{"0_bias": np.zeros(12, complex)}), r"'0\.bias' is no array of real numbers \(its type is complex128\)"),
    ({}, r"0 Linear layers \(\)"),
])
def test_what_does_not_fit_is_refused_and_changes_nothing(state, message):
    with Device() as device:
        net = network(device)
        net.load_state_dict(device, made_state(seed=5))
        before = net.state_dict(device)
        with pytest.raises(TensorError, match=message):
            net.load_state_dict(device, state)
        assert all(np.array_equal(array, before[name]) for name, array in net.state_dict(device).items())


def test_the_remedy_of_that_message_helps():
    state = changed(**{"2_bias": np.full(9, -9.0)})
    with Device() as device:
        net = network(device, weight_exponent=-11)
        net.load_state_dict(device, state)
        assert np.array_equal(net.state_dict(device)["2.bias"], state["2.bias"])


def test_a_flipped_byte_of_our_file_is_noticed(tmp_path):
    path = tmp_path / "weights.safetensors"
    with Device() as device:
        net = network(device)
        net.load_state_dict(device, made_state())
        weights.save(net, device, path)
        data = bytearray(path.read_bytes())
        data[-3] ^= 4
        path.write_bytes(data)
        with pytest.raises(CheckpointError, match="is damaged"):
            weights.load(net, device, path)


def test_moments_begin_anew_with_the_number_of_the_step():
    with Device() as device:
        net = network(device, optimizer=Adam())
        net.optimizer.t = 500
        net.load_state_dict(device, made_state())
        assert net.optimizer.t == 0


@pytest.mark.parametrize("state", [None, [("0.weight", np.zeros((12, 5)))], {0: np.zeros(3)}, made_state])
def test_what_is_no_state_dict_is_refused(state):
    with Device() as device, pytest.raises(TensorError, match="a mapping of names to arrays is expected"):
        network(device).load_state_dict(device, state)


def test_a_file_of_a_type_that_numpy_lacks(tmp_path):
    header, data = {}, b""
    for name, array in made_state().items():
        part = (array.view(np.uint32) >> 16).astype(np.uint16).tobytes()
        header[name] = {"dtype": "BF16", "shape": array.shape, "data_offsets": [len(data), len(data) + len(part)]}
        data += part
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    (tmp_path / "theirs.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + data)
    with Device() as device, pytest.raises(CheckpointError, match="tensors of type BF16, which numpy lacks; convert them to float32"):
        weights.load(network(device), device, tmp_path / "theirs.safetensors")


@pytest.mark.parametrize("names, backward", [(("input", "body", "out"), False), (("trunk.0", "trunk.2", "head"), False),
                                            (("b8", "b9", "b10"), True)])
def test_layers_come_by_numbers_if_only_these_differ_else_as_they_are_given(names, backward):
    state = made_state(names)
    with Device("golden") as device:
        net = network(device)
        weights.load_state_dict(net, device, dict(reversed(state.items())) if backward else state)
        for name, layer in zip(names, net.layers, strict=True):
            assert np.abs(device.store(layer.weight).T - state[f"{name}.weight"]).max() < 2.0**-10
