# SPDX-License-Identifier: Apache-2.0
"""A network's forward, loss and backward programs on the golden back end against plain float64 numpy."""

import re

import numpy as np
import pytest

from lathe import Device, Layout, Program, ProgramError, SettingsError
from lathe.advantages import Advantages
from lathe.corrections import Correction, Lane
from lathe.networks import MLP, orthogonal
from pymodels.descriptor import RatioAction

#: Largest error of any tensor, relative to its largest element (sums over the batch: with all terms taken positive, since
#: they cancel). One rounding to 15 bits with a bit of headroom is 2**-14; the log-probability enters the ratio in steps of
#: 2**-10, an error of up to 2**-11 in every coefficient.
BOUND = 2.0**-10
BATCH, INPUTS, HIDDEN, ACTIONS = 48, 5, (24, 17), 3
CLIP, ENTROPY, VALUE = 300, 655, 32768  # as the registers hold them


def reference(net, weights, x, activation, records, gshift):
    """Return (y, [dh1, .., dy], [(dW, scale), ..], [(db, scale), ..]), float64, of the loss in docs/numerics.md, section 8."""
    outputs = [x]
    for index, (w, b) in enumerate(weights):
        z = outputs[-1] @ w + b
        outputs.append(z if index == len(weights) - 1 else np.tanh(z) if activation == "tanh" else np.maximum(z, 0))
    y = outputs[-1]
    logp = log_softmax(y[:, :-1])
    p, rows = np.exp(logp), np.arange(len(y))
    action, old, advantage, target = records[:, 0], records[:, 1] / 1024, records[:, 2] / 2048, records[:, 3] / 1024
    log_ratio = logp[rows, action] - old
    clipped = ((advantage > 0) & (log_ratio > CLIP / 1024)) | ((advantage < 0) & (log_ratio < -CLIP / 1024))
    c = np.where(clipped, 0, np.exp(log_ratio)) * advantage
    entropy = -(p * logp).sum(axis=1, keepdims=True)
    d_logits = c[:, None] * (p - np.eye(ACTIONS)[action]) + ENTROPY / 65536 * p * (logp + entropy)
    dy = np.hstack([d_logits, VALUE / 65536 * (y[:, -1:] - target[:, None])]) * 2.0**-gshift
    d_outputs, d_weights, d_biases = [dy], [], []
    for index in reversed(range(len(weights))):
        x, dy = outputs[index], d_outputs[0]
        d_weights.insert(0, (x.T @ dy, np.max(np.abs(x).T @ np.abs(dy))))
        d_biases.insert(0, (dy.sum(axis=0, keepdims=True), np.max(np.abs(dy).sum(axis=0))))
        if index:
            h = outputs[index]
            d_outputs.insert(0, d_outputs[0] @ weights[index][0].T * (1 - h**2 if activation == "tanh" else h > 0))
    return y, d_outputs, d_weights, d_biases


def log_softmax(z):
    shifted = z - z.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("lanes", [4, 8, 16])
@pytest.mark.parametrize("seed", [1, 2])
def test_gradient_against_float64(activation, lanes, seed):
    rng = np.random.default_rng(seed)
    gshift = 6
    with Device("golden", lanes=lanes, seed=seed) as device:
        net = MLP(device.layout, INPUTS, HIDDEN, ACTIONS, activation)
        acts, grads = net.activations(BATCH, "batch", -12), net.gradients(BATCH, "batch")
        record_tensor = device.layout.records("records", BATCH)
        for tensor, values in net.initial_values(rng, policy_gain=0.7).items():
            device.load(tensor, values)
        for layer in net.layers:
            device.load(layer.bias, rng.normal(size=layer.bias.shape) * 0.3)
        device.load(acts.x, rng.normal(size=acts.x.shape))
        weights = [(device.store(layer.weight), device.store(layer.bias)) for layer in net.layers]
        x = device.store(acts.x)

        # Log-ratios on both sides of the clip bounds, but not so close that one step of 2**-10 decides.
        records = np.zeros((BATCH, max(lanes, 8)), np.int16)
        records[:, 0] = rng.integers(ACTIONS, size=BATCH)
        y = reference(net, weights, x, activation, records, gshift)[0]
        logp = np.rint(log_softmax(y[:, :-1])[np.arange(BATCH), records[:, 0]] * 1024)
        log_ratio = rng.choice(np.r_[-600:-CLIP - 3, -CLIP + 4:CLIP - 3, CLIP + 4:600], BATCH)
        records[:, 1], records[:, 2], records[:, 3] = logp - log_ratio, rng.normal(size=BATCH) * 2048, rng.normal(size=BATCH) * 1024
        device.load(record_tensor, records)

        Correction(r=Lane(True, RatioAction.SIGN, RatioAction.SIGN, -CLIP, CLIP)).write(device.registers)
        device.registers.set("ENTROPY_COEF", ENTROPY)
        device.registers.set("VALUE_COEF", VALUE)
        program = Program("gradient", device.layout)
        net.forward(program, acts)
        program.loss(acts.y, record_tensor, grads.outputs[-1], gshift)
        net.backward(program, acts, grads)
        for _ in range(8):  # delayed scaling finds its exponents
            device.run(program)
        y, d_outputs, d_weights, d_biases = reference(net, weights, x, activation, records, gshift)
        compared = 0
        whole = [(exact, np.max(np.abs(exact))) for exact in [y, *d_outputs]]
        for tensors, expected in (([acts.y, *grads.outputs], whole), (grads.weights, d_weights), (grads.biases, d_biases)):
            for tensor, (exact, scale) in zip(tensors, expected, strict=True):
                error = np.max(np.abs(device.store(tensor) - exact)) / scale
                assert error < BOUND, f"{tensor}: relative error {error:.2e}, bound {BOUND:.2e}"
                compared += 1
        assert compared == 1 + 3 * len(net.layers)
        assert 0 < device.statistics()["clipped"] < 8 * BATCH


@pytest.mark.parametrize("rows,columns", [(4, 32), (32, 4), (7, 7), (32, 1)])
def test_orthogonal(rows, columns):
    w = orthogonal(np.random.default_rng(1), rows, columns, 2.0)
    gram = w @ w.T if rows <= columns else w.T @ w
    assert np.allclose(gram, 4 * np.eye(min(rows, columns)))


def test_limits():
    layout = Layout(8, 8, np.zeros(1 << 20, np.uint8))
    with pytest.raises(SettingsError, match="64 actions: the policy unit takes 1 to 63"):
        MLP(layout, 4, (8,), 64)
    with pytest.raises(SettingsError, match="activation 'gelu' is none of: tanh, relu"):
        MLP(layout, 4, (8,), 2, "gelu")


@pytest.mark.parametrize(("make", "message"), [
    (lambda: Correction.dual_clip(0.5), "c is 0.5 and must be a ratio of at least 1"),
    (lambda: Correction.tis(0), "cap is 0 and must be a ratio above 0"),
    (lambda: Correction.vtrace(cap=0.0), "cap is 0.0 and must be a ratio above 0"),
    (lambda: Correction.tis("2"), "cap is '2' and must be a ratio above 0"),
    (lambda: Correction.clamp("0", 2), "lo is '0' and must be a ratio of at least 0"),
    (lambda: Correction.token_mask(lo=2), "lo is 2 and must be at most 1 where hi"),
    (lambda: Correction.token_mask(hi=0.5), "hi is 0.5 and must be at least 1 where lo"),
    (lambda: Correction(stats_lane="mu"), "stats_lane is 'mu' and must be 'r' or 'rho'"),
    (lambda: Advantages.gae("1"), "gamma is '1' and must be from 0 to 1"),
    (lambda: Advantages(0.9, 0.9, rho_cap=70000), "rho_cap is 70000 and must be a whole number of 2"),
])
def test_corrections_that_are_none(make, message):
    with pytest.raises(SettingsError, match=re.escape(message)):
        make()


def test_caps_at_the_ends_of_their_range():
    assert Advantages.vtrace(rho_cap=1.99999, c_cap=1e-6).registers()["SCAN_CAPS"] == {"rho": 65535, "c": 1}


@pytest.mark.parametrize("made", [Correction.gspo(), Correction.tis().with_veto(), Correction.sequence_mask()])
def test_a_loss_without_sequences_under_a_correction_of_sequences(made):
    with Device() as device:
        layout = device.layout
        y, gradient, records = layout.tensor("y", 4, 3), layout.tensor("dy", 4, 3), layout.records("records", 4)
        loss = Program("loss", layout)
        loss.loss(y, records, gradient, 0)
        made.write(device.registers)
        with pytest.raises(ProgramError, match="program 'loss': '.*' has no sequences, but the correction in force works on whole ones"):
            device.run(loss)
        mode = device.registers.read("RATIO_MODE")
        Correction.tis().write(device.registers)
        device.run(loss)
        device.registers.write("RATIO_MODE", **mode)  # as a checkpoint brings it back
        with pytest.raises(ProgramError, match="has no sequences"):
            device.run(loss)
