# SPDX-License-Identifier: Apache-2.0
"""Gradients limited by their global norm, on the chip, against float64 and on both back ends."""

import numpy as np
import pytest

from lathe import Device, Program, ProgramError, SettingsError, WeightGroup
from lathe.optimizers import SGD, Adam

OPTIMIZERS = {
    "sgd": lambda limit: SGD(lr=0.5, max_grad_norm=limit),
    "momentum": lambda limit: SGD(lr=0.5, momentum=0.5, max_grad_norm=limit),
    "nesterov": lambda limit: SGD(lr=0.5, momentum=0.5, nesterov=True, max_grad_norm=limit),
    "adam": lambda limit: Adam(lr=0.5, betas=(0.5, 0.99), eps=4.0, max_grad_norm=limit),
}


def train(device: Device, optimizer, commits: int = 2) -> tuple[np.ndarray, list[float], list[float]]:
    """Two tensors' updates in one program, as often as asked; return weights, the chip's norms and float64's."""
    group = WeightGroup(device.layout, 3)
    make, rng = device.layout.tensor, np.random.default_rng(3)
    weights = [group.tensor(f"w{i}", *shape, -13, static=True) for i, shape in enumerate(((5, 9), (1, 9)))]
    moments = [optimizer.moments(group, f"m{w.name}", w, -12) for w in weights]
    group.place()
    x, dy = make("x", 16, 5, -12), make("dy", 16, 9, -12)
    gradients = make("gw", 5, 9, -9), make("gb", 1, 9, -9)
    program = Program("update", device.layout)
    for _ in range(commits):
        program.matmul(x, dy, gradients[0], trans_a=True, colsum=gradients[1], norm=True)
        for w, gradient, moment in zip(weights, gradients, moments, strict=True):
            optimizer.record(program, w, gradient, moment, stochastic=False)
        program.commit()
    for w, moment in zip(weights, moments, strict=True):
        device.load(w, np.zeros(w.shape))
        for tensor, values in (optimizer.initial(moment) if moment else {}).items():
            device.load(tensor, values)
    norms, exact = [], []
    for scale in (1.0, 0.25):
        factors = rng.normal(size=(16, 5)), scale * rng.normal(size=(16, 9))
        device.load(x, factors[0]), device.load(dy, factors[1])
        optimizer.apply(device)
        device.run(program)
        norms.append(device.gradient_norm)
        exact.append(np.sqrt(((factors[0].T @ factors[1]) ** 2).sum() + (factors[1].sum(0) ** 2).sum()))
    return np.vstack([device.store(w) for w in weights]), norms, exact


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_large_gradient_is_scaled_to_the_limit(name):
    made = {}
    for limit in (2.0, 2.0**30, None):
        with Device("golden") as device:
            made[limit], norms, exact = train(device, OPTIMIZERS[name](limit), commits=1)
        assert norms == pytest.approx(exact, rel=2e-3)
    assert np.array_equal(made[2.0**30], made[None])  # a limit that nothing reaches changes no bit
    if name != "adam":  # each step is a limit's length along its gradient, or the momentum's sum of them
        steps = np.linalg.norm(made[2.0])
        assert 0.5 * 2.0 * 0.9 < steps < 0.5 * 2.0 * 2.7
    assert np.linalg.norm(made[2.0]) < 0.8 * np.linalg.norm(made[None])


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_rtl_clips_as_the_golden_model_does(name):
    made = []
    for backend in ("golden", "verilator"):
        with Device(backend) as device:
            made.append(train(device, OPTIMIZERS[name](2.0))[:2])
    assert np.array_equal(made[0][0], made[1][0]) and made[0][1] == made[1][1]


def test_bad_limits_are_refused():
    with pytest.raises(SettingsError, match="max_grad_norm is 0"):
        SGD(max_grad_norm=0)
    with Device("golden") as device:
        make = device.layout.tensor
        with pytest.raises(ProgramError, match="request cannot add to the gradient norm"):
            Program("r", device.layout, request=True).matmul(make("a", 4, 4), make("b", 4, 4), make("c", 4, 4), norm=True)


def test_a_limit_between_steps_is_checked():
    """Whether there is a limit cannot change once steps are recorded: they would go on without, or with the last one."""
    for limit in (1.0, None):
        optimizer = SGD(max_grad_norm=limit)
        for value in (0, -1.0, np.nan, np.inf, "1"):
            with pytest.raises(SettingsError, match="max_grad_norm is"):
                optimizer.max_grad_norm = value
        optimizer.max_grad_norm = None if limit else 1.0  # nothing is recorded yet
        optimizer.max_grad_norm = limit
        with Device("golden") as device:
            train(device, optimizer, commits=1)
            with pytest.raises(SettingsError, match="were recorded with a limit; set 2.14748e.09" if limit else "recorded without a limit"):
                optimizer.max_grad_norm = None if limit else 1.0
            assert optimizer.max_grad_norm == limit


@pytest.mark.parametrize("commit_between", [False, True])
def test_a_step_without_a_norm_is_not_clipped(commit_between):
    with Device() as device:
        layout = device.layout
        group = WeightGroup(layout, 2)
        w = group.tensor("w", 1, 8, -10, static=True)
        group.place()
        g, x = (layout.tensor(name, 1, 8, -10, static=True) for name in "gx")
        program = Program("step", layout)
        program.matmul(x, layout.identity(8), g, norm=commit_between)
        for _ in range(1 + commit_between):
            program.sgd(w, g, clip=True)
            program.commit()
        device.set_optimizer(1)
        with pytest.raises(ProgramError, match="program 'step': '.*' is to be clipped, but no gradient before it in this program is part"):
            device.run(program)
