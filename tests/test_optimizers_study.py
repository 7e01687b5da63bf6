# SPDX-License-Identifier: Apache-2.0
"""The chip's optimizers converge like float64 ones (scripts/optimizers.py), and those are the ones of the papers and of torch."""

import numpy as np
import optimizers as study
import pytest

from lathe.optimizers import SGD, Adam, AdamW
from pymodels import update

SHORT = 200
MAKERS = study.optimizers(0.05, 0.02, 0.01)


def check(pairs, bound=0.01, clamped=0):
    for name, (reference, chip) in pairs.items():
        assert abs(chip.final / reference.final - 1) < bound, (name, reference.final, chip.final)
        assert reference.final < 0.95 * reference.losses[0], name  # it has learned
        if chip.errors is not None:
            assert abs(chip.score) < 4.5 and 0 < chip.errors.std() < 0.6, (name, chip.score)
            assert chip.saturations <= clamped, name


@pytest.mark.parametrize("name", study.NAMES)
def test_a_short_run_ends_where_float64_does(name):
    check(study.compare(study.bowl(), SHORT, (name,)))


@pytest.mark.parametrize("name", ["nesterov", "adamw"])
def test_a_short_training_ends_where_float64_does(name):
    check(study.compare_network(SHORT, (name,)))


@pytest.mark.regress
def test_2000_steps_end_within_a_percent_of_float64():
    for problem in (study.bowl(), study.logistic()):
        check(study.compare(problem))
    check(study.compare_network(), clamped=10)  # of 2,630,000 weights written and more gradients: terms of results that had become small


@pytest.mark.parametrize("name, plant", [
    ("nesterov", lambda patch: patch.setattr(SGD, "record", lambda self, program, w, g, m, *_: program.sgd(w, g, m))),
    ("adam", lambda patch: patch.setattr(Adam, "apply", lambda self, device, scale=1.0, step=None: self._write(device, scale, 2000))),
    ("adamw", lambda patch: patch.setattr(AdamW, "decay", property(lambda self: 0.3, lambda self, value: None))),
    ("sgd", lambda patch: patch.setattr(update.Window, "round16", _floor))])
def test_a_wrong_optimizer_would_be_noticed(monkeypatch, name, plant):
    """A missing look ahead, no bias correction, another weight decay, rounding down."""
    problem = study.bowl()
    reference = study.float64(problem, problem.optimizers[name](), SHORT)
    plant(monkeypatch)
    chip = study.on_chip(problem, problem.optimizers[name](), SHORT)
    with pytest.raises(AssertionError):
        check({name: (reference, chip)}, 0.01 if name != "nesterov" else 0.001)


def _floor(self, stochastic=False, r=0):
    return (self.bits >> 16).astype(np.int16), 0


def test_references_take_the_steps_of_the_papers():
    """Two steps by hand."""
    g = [np.array([2.0]), np.array([-1.0])]
    for optimizer, expected in (
            (SGD(0.1), [0.8, 0.9]), (SGD(0.1, momentum=0.5), [0.8, 0.8]), (SGD(0.1, momentum=0.5, nesterov=True), [0.7, 0.8]),
            (Adam(0.1, (0.5, 0.75), 1e-12), [0.9, 0.9]), (AdamW(0.1, (0.5, 0.75), 1e-12, 0.5), [0.85, 0.8075])):
        reference, w, seen = study.Reference(optimizer), [np.array([1.0])], []
        for gradient in g:
            w = reference.step(w, [gradient])
            seen.append(float(w[0][0]))
        # Adam, second step: m = 0.5 * 1 - 0.5 = 0, so only the decay moves the weight
        assert seen == pytest.approx(expected, abs=1e-9), optimizer


@pytest.mark.parametrize("name", study.NAMES)
def test_references_are_those_of_torch(name):
    torch = pytest.importorskip("torch")
    made = {"sgd": lambda p: torch.optim.SGD(p, 0.05), "momentum": lambda p: torch.optim.SGD(p, 0.02, momentum=0.9),
            "nesterov": lambda p: torch.optim.SGD(p, 0.02, momentum=0.9, nesterov=True), "adam": lambda p: torch.optim.Adam(p, 0.01),
            "adamw": lambda p: torch.optim.AdamW(p, 0.01, weight_decay=1e-2)}
    rng = np.random.default_rng(1)
    w = rng.standard_normal((4, 3))
    parameter = torch.nn.Parameter(torch.tensor(w))
    theirs, ours = made[name]([parameter]), study.Reference(MAKERS[name]())
    for g in rng.standard_normal((50, 4, 3)):
        parameter.grad = torch.tensor(g)
        theirs.step()
        (w,) = ours.step([w], [g])
        assert np.allclose(parameter.detach().numpy(), w, rtol=1e-10, atol=1e-12)
