# SPDX-License-Identifier: Apache-2.0
"""Compares the chip's optimizers with float64 ones on three problems and writes docs/optimizers.md and its picture.

The float64 optimizers are written from the papers. Chip and float64 start from the same weights and see the same noise and
minibatches, but each its own gradients, those of its own weights. The chip is the golden model with stochastic rounding.
"""

import argparse
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lathe.allocator import WeightGroup
from lathe.corrections import correction
from lathe.device import Device
from lathe.networks import MLP
from lathe.optimizers import SGD, Adam, AdamW, Optimizer, split_moments
from lathe.program import Program
from lathe.tensor import dequantize, quantize
from pymodels.functions import pow2_q
from pymodels.update import denominator

STEPS = 2000
EVERY = 20  #: steps between evaluations of the loss
TAIL = 0.1  #: share of the evaluations, the last ones, whose mean is the final loss
WEIGHT_EXPONENT = -13
SEED = 7
VANISHED = 1e-6  #: a loss below which a comparison in percent says nothing
NAMES = ("sgd", "momentum", "nesterov", "adam", "adamw")
COLORS = ("tab:red", "tab:blue", "tab:cyan", "tab:orange", "tab:green")
NETWORK = "demonstration network"


# float64 optimizers


class Reference:
    """A float64 optimizer of a list of arrays; `step` returns the new ones."""

    def __init__(self, optimizer: Optimizer):
        self._o, self._t = optimizer, 0
        self._first: list[np.ndarray] = []
        self._second: list[np.ndarray] = []

    def step(self, weights: list[np.ndarray], gradients: list[np.ndarray]) -> list[np.ndarray]:
        if self._t == 0:
            self._first = [np.zeros_like(w) for w in weights]
            self._second = [np.zeros_like(w) for w in weights]
        self._t += 1
        return [self._one(i, w, g) for i, (w, g) in enumerate(zip(weights, gradients, strict=True))]

    def _one(self, i: int, w: np.ndarray, g: np.ndarray) -> np.ndarray:
        o, t = self._o, self._t
        if isinstance(o, SGD):  # torch.optim.SGD; Sutskever et al. 2013 with the learning rate outside the momentum
            self._first[i] = b = o.momentum * self._first[i] + g
            return w - o.lr * (g + o.momentum * b if o.nesterov else b)
        beta1, beta2 = o.betas  # arXiv:1412.6980, algorithm 1; arXiv:1711.05101, algorithm 2 with the rate in the decay, as torch has it
        self._first[i] = m = beta1 * self._first[i] + (1 - beta1) * g
        self._second[i] = v = beta2 * self._second[i] + (1 - beta2) * g * g
        step = o.lr * (m / (1 - beta1**t)) / (np.sqrt(v / (1 - beta2**t)) + o.eps)
        return w - o.lr * o.decay * w - step


# problems


@dataclass
class Problem:
    """What is minimized.

    Attributes
    ----------
    name : str
    start : list of ndarray
        First weights.
    gradients : callable
        (weights, number of the step) -> gradients, float64.
    loss : callable
        weights -> loss.
    optimizers : dict
        Name -> makes the optimizer.
    """

    name: str
    start: list[np.ndarray]
    gradients: Callable[[list[np.ndarray], int], list[np.ndarray]]
    loss: Callable[[list[np.ndarray]], float]
    optimizers: dict[str, Callable[[], Optimizer]]


def optimizers(sgd: float, momentum: float, adam: float) -> dict[str, Callable[[], Optimizer]]:
    """The five that are compared, with the learning rates given."""
    return {"sgd": lambda: SGD(sgd), "momentum": lambda: SGD(momentum, momentum=0.9),
            "nesterov": lambda: SGD(momentum, momentum=0.9, nesterov=True), "adam": lambda: Adam(adam), "adamw": lambda: AdamW(adam)}


def bowl(noise: float = 0.3) -> Problem:
    """``sum(h (w - c)**2) / 2`` with curvatures from 0.01 to 1; every gradient is disturbed by `noise`."""
    rng = np.random.default_rng(SEED)
    h = np.geomspace(0.01, 1, 256).reshape(32, 8)
    goal = rng.uniform(-2, 2, h.shape)
    disturbances = noise * np.random.default_rng(SEED + 1).standard_normal((STEPS, *h.shape))
    return Problem("quadratic bowl", [np.zeros(h.shape)], lambda w, t: [h * (w[0] - goal) + disturbances[t]],
                   lambda w: float(np.sum(h * (w[0] - goal) ** 2) / 2), optimizers(0.05, 0.005, 2e-3))


def logistic() -> Problem:
    """Logistic regression on 512 noisy samples of 20 features and a constant; minibatches of 64."""
    rng = np.random.default_rng(SEED)
    x = np.hstack([rng.standard_normal((512, 20)) * rng.uniform(0.3, 2, 20), np.ones((512, 1))])
    truth = rng.standard_normal((21, 1)) * 0.7
    label = (rng.random((512, 1)) < 1 / (1 + np.exp(-x @ truth))).astype(float)
    batches = rng.integers(0, 512, (STEPS, 64))

    def gradients(w: list[np.ndarray], t: int) -> list[np.ndarray]:
        rows = x[batches[t]]
        return [rows.T @ (1 / (1 + np.exp(-rows @ w[0])) - label[batches[t]]) / 64]

    return Problem("logistic regression", [np.zeros((21, 1))], gradients,
                   lambda w: float(np.mean(np.logaddexp(0, x @ w[0]) - label * (x @ w[0]))), optimizers(0.05, 0.005, 2e-3))


class Demonstration:
    """The demonstration network, 4-32-32 tanh and 2 actions with a value, and a data set it can learn without acting.

    An action's loss is ``-log pi(action)``, the policy gradient with advantage 1; to it come half the squared value error and the
    entropy bonus.
    """

    batch, samples, entropy, value_weight = 64, 1024, 0.005, 0.5

    def __init__(self):
        rng = np.random.default_rng(SEED)
        self.x = dequantize(quantize(rng.standard_normal((self.samples, 4)) * (1.0, 1.0, 0.1, 1.0), -12), -12)
        score = 3 * self.x[:, 1] + 20 * self.x[:, 2] * self.x[:, 0] + 2 * self.x[:, 3]
        self.action = (rng.random(self.samples) < 1 / (1 + np.exp(-score))).astype(int)
        self.target = np.rint(1024 * (np.sin(self.x[:, 0]) + 0.5 * self.x[:, 3] ** 2 + 0.2 * rng.standard_normal(self.samples))) / 1024
        self.batches = rng.integers(0, self.samples, (STEPS, self.batch))
        self.rng = rng

    def _forward(self, w: list[np.ndarray], x: np.ndarray) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
        outputs = [x]
        for weight, bias in zip(w[0::2], w[1::2], strict=True):
            z = outputs[-1] @ weight + bias
            outputs.append(z if weight is w[-2] else np.tanh(z))
        logits = outputs[-1][:, :-1]
        shifted = logits - logits.max(axis=1, keepdims=True)
        logp = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        return outputs, logp, outputs[-1][:, -1]

    def gradients(self, w: list[np.ndarray], t: int) -> list[np.ndarray]:
        rows = self.batches[t]
        outputs, logp, value = self._forward(w, self.x[rows])
        p = np.exp(logp)
        h = -(p * logp).sum(axis=1, keepdims=True)
        d = np.hstack([p - np.eye(2)[self.action[rows]] + self.entropy * p * (logp + h),
                       self.value_weight * (value - self.target[rows])[:, None]]) / self.batch
        found: list[np.ndarray] = []
        for index in reversed(range(len(w) // 2)):
            found = [outputs[index].T @ d, d.sum(axis=0, keepdims=True), *found]
            d = d @ w[2 * index].T * (1 - outputs[index] ** 2)
        return found

    def loss(self, w: list[np.ndarray]) -> float:
        _, logp, value = self._forward(w, self.x)
        taken = logp[np.arange(self.samples), self.action]
        entropy = -(np.exp(logp) * logp).sum(axis=1)
        return float(np.mean(-taken - self.entropy * entropy + self.value_weight / 2 * (value - self.target) ** 2))


# runs


@dataclass
class Curve:
    """Losses every EVERY steps; of the chip also the rounding errors of w' in units of its last place, and what was clamped."""

    losses: list[float]
    errors: np.ndarray | None = None
    saturations: int = 0

    @property
    def final(self) -> float:
        count = max(1, round(TAIL * len(self.losses)))
        return float(np.mean(self.losses[-count:]))

    @property
    def score(self) -> float:
        """Mean rounding error over its standard error."""
        return float(self.errors.mean() / (self.errors.std() / math.sqrt(self.errors.size)))


def float64(problem: Problem, optimizer: Optimizer, steps: int) -> Curve:
    """Minimize with the float64 optimizer."""
    weights, reference, losses = problem.start, Reference(optimizer), []
    for t in range(steps):
        weights = reference.step(weights, problem.gradients(weights, t))
        if (t + 1) % EVERY == 0:
            losses.append(problem.loss(weights))
    return Curve(losses)


def on_chip(problem: Problem, optimizer: Optimizer, steps: int, seed: int = SEED) -> Curve:
    """Minimize with the chip's steps; the host computes the gradients of the chip's weights."""
    with Device("golden", seed=seed) as device:
        group = WeightGroup(device.layout)
        tensors = [group.tensor(f"w{i}", *w.shape, WEIGHT_EXPONENT, static=True) for i, w in enumerate(problem.start)]
        moments = [optimizer.moments(group, f"m{i}", w, -16) for i, w in enumerate(tensors)]
        group.place()
        gradients = [device.layout.tensor(f"g{i}", *w.shape) for i, w in enumerate(problem.start)]
        program = Program("step", device.layout)
        for w, g, m in zip(tensors, gradients, moments, strict=True):
            optimizer.record(program, w, g, m)
        program.commit()
        for w, m, values in zip(tensors, moments, problem.start, strict=True):
            device.load(w, values)
            for tensor, first in (optimizer.initial(m) if m else {}).items():
                device.load(tensor, first)
        losses, errors, weights = [], [], [device.store(w) for w in tensors]
        for t in range(steps):
            for tensor, values in zip(gradients, problem.gradients(weights, t), strict=True):
                device.load(tensor, values)
            optimizer.apply(device)
            device.run(program)
            before, weights = weights, [device.store(w) for w in tensors]
            errors += rounding(device, optimizer, before, weights, gradients, moments)
            if (t + 1) % EVERY == 0:
                losses.append(problem.loss(weights))
        return Curve(losses, np.concatenate(errors), device.saturations)


def rounding(device: Device, optimizer: Optimizer, before: list[np.ndarray], after: list[np.ndarray], gradients: list, moments: list):
    """Return the rounding errors of the step just made, in units of the weights' last place: one array a tensor."""
    return [(w - (old - change(device, optimizer, old, device.store(g), m))).ravel() * 2.0**-WEIGHT_EXPONENT
            for w, old, g, m in zip(after, before, gradients, moments, strict=True)]


def change(device: Device, optimizer: Optimizer, w: np.ndarray, g: np.ndarray, moments) -> np.ndarray:
    """What the step just made takes off the weights before it rounds: from moments as stored and registers, without an alignment."""
    read = device.registers.read
    if isinstance(optimizer, SGD):
        rate = read("LEARNING_RATE")["mant"] * 2.0 ** read("LEARNING_RATE")["exp"]
        if moments is None:
            return rate * g
        m = device.store(moments)
        if not optimizer.nesterov:
            return rate * m
        _, exponent = device.store_mantissas(moments)
        return rate * dequantize(np.rint(np.ldexp(device.registers.value("MOMENTUM") / 65536 * m + g, -exponent)), exponent)
    first, second = split_moments(moments)
    logs = device.store(second).astype(np.int64)
    mantissa, exponent = pow2_q(read("ADAM_RATE")["value"] - denominator(logs, read("ADAM_EPS")["value"]))
    decay = read("WEIGHT_DECAY")["mant"] * 2.0 ** read("WEIGHT_DECAY")["exp"]
    return decay * w + np.ldexp(mantissa.astype(float), exponent - 15) * device.store(first)


def network_on_chip(demonstration: Demonstration, start: list[np.ndarray], optimizer: Optimizer, steps: int) -> Curve:
    """Train the demonstration network: forward pass, loss, gradients and steps are programs of the chip."""
    with Device("golden", seed=SEED) as device:
        net = MLP(device.layout, 4, (32, 32), 2, optimizer=optimizer, weight_exponent=WEIGHT_EXPONENT)
        acts, grads = net.activations(demonstration.batch, "batch", -12), net.gradients(demonstration.batch, "batch")
        records = device.layout.records("records", demonstration.batch)
        x_block, records_block = device.layout.block_for(acts.x), device.layout.block_for(records)
        update, warmup = Program("update", device.layout), Program("warm-up", device.layout)
        for program in (update, warmup):
            program.load(acts.x, x_block)
            program.load(records, records_block)
            net.forward(program, acts)
            program.loss(acts.y, records, grads.outputs[-1], demonstration.batch.bit_length() - 1)
            net.backward(program, acts, grads, update=True)
        update.commit()
        tensors = [tensor for layer in net.layers for tensor in (layer.weight, layer.bias)]
        moments = [tensor for layer in net.layers for tensor in (layer.weight_momentum, layer.bias_momentum)]
        gradients = [tensor for pair in zip(grads.weights, grads.biases, strict=True) for tensor in pair]
        for tensor, values in (net.initial_values(demonstration.rng) | dict(zip(tensors, start, strict=True))).items():
            device.load(tensor, values)
        correction("none").write(device.registers)
        device.registers.set("ENTROPY_COEF", round(65536 * demonstration.entropy))
        device.registers.set("VALUE_COEF", round(65536 * demonstration.value_weight))
        losses, errors, weights = [], [], [device.store(tensor) for tensor in tensors]
        for t in range(steps):
            rows = demonstration.batches[t]
            x_block.data[:, :4] = quantize(demonstration.x[rows], -12)
            records_block.data[:, 0] = demonstration.action[rows]
            records_block.data[:, 2] = 2048
            records_block.data[:, 3] = demonstration.target[rows] * 1024
            if t == 0:
                optimizer.apply(device, step=1)
                for _ in range(8):
                    device.run(warmup)
                device.registers.write("CONTROL", perf_clear=1)
            optimizer.apply(device)
            device.run(update)
            before, weights = weights, [device.store(tensor) for tensor in tensors]
            errors += rounding(device, optimizer, before, weights, gradients, moments)
            if (t + 1) % EVERY == 0:
                losses.append(demonstration.loss(weights))
        return Curve(losses, np.concatenate(errors), device.saturations)


def network_start(demonstration: Demonstration) -> list[np.ndarray]:
    """First weights of the demonstration network as the chip rounds them: W1, b1, W2, ..."""
    with Device("golden") as device:
        net = MLP(device.layout, 4, (32, 32), 2)
        values = net.initial_values(demonstration.rng)
        return [dequantize(quantize(values[tensor], WEIGHT_EXPONENT), WEIGHT_EXPONENT)
                for layer in net.layers for tensor in (layer.weight, layer.bias)]


Pairs = dict[str, tuple[Curve, Curve]]  #: optimizer -> (float64, chip)


def compare(problem: Problem, steps: int = STEPS, names: tuple[str, ...] = NAMES) -> Pairs:
    """Minimize a problem with each of these optimizers in float64 and on the chip."""
    return {name: (float64(problem, problem.optimizers[name](), steps),
                   on_chip(problem, problem.optimizers[name](), steps, SEED + NAMES.index(name))) for name in names}


def compare_network(steps: int = STEPS, names: tuple[str, ...] = NAMES) -> Pairs:
    """The same for the demonstration network."""
    demonstration = Demonstration()
    start = network_start(demonstration)
    problem = Problem(NETWORK, start, demonstration.gradients, demonstration.loss, optimizers(0.1, 0.02, 2e-3))
    return {name: (float64(problem, problem.optimizers[name](), steps),
                   network_on_chip(demonstration, start, problem.optimizers[name](), steps)) for name in names}


# what is written


def table(results: dict[str, Pairs]) -> list[str]:
    """Return the lines of a Markdown table."""
    lines = ["| problem | optimizer | final loss, float64 | chip | difference | mean rounding error (standard errors) |",
             "| --- | --- | --- | --- | --- | --- |"]
    for problem, pairs in results.items():
        for name, (reference, chip) in pairs.items():
            error = "-" if chip.errors is None else f"{chip.errors.mean():+.5f} ({chip.score:+.1f})"
            difference = "-" if reference.final < VANISHED else f"{100 * (chip.final / reference.final - 1):+.3f} %"
            lines.append(f"| {problem} | {name} | {reference.final:.5g} | {chip.final:.5g} | {difference} | {error} |")
    return lines


def draw(results: dict[str, Pairs], path: Path) -> None:
    """Draw a panel for every problem: the chip's losses in color, those of float64 dotted upon them."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    matplotlib.rcParams["svg.hashsalt"] = path.name
    figure, axes = pyplot.subplots(1, len(results), figsize=(3.4 * len(results), 3.4), layout="constrained")
    for ax, (problem, pairs) in zip(axes, results.items(), strict=True):
        for (name, (reference, chip)), color in zip(pairs.items(), COLORS, strict=True):
            steps = EVERY * np.arange(1, len(chip.losses) + 1)
            ax.plot(steps, chip.losses, color=color, label=name, linewidth=2, alpha=0.6)
            ax.plot(steps, reference.losses, ":", color="black", linewidth=1)
        ax.set(title=problem, xlabel="steps", yscale="log")
        ax.grid(alpha=0.3)
    axes[0].set_ylabel("loss")
    axes[0].legend(fontsize="small")
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description="compare the chip's optimizers with float64 ones")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--docs", type=Path, default=Path("docs"), help="folder of optimizers.md, between whose marks the tables go")
    arguments = parser.parse_args()
    still = Problem(**(vars(bowl(0.0)) | {"name": "bowl without noise", "optimizers": optimizers(0.5, 0.05, 2e-3)}))
    results = {problem.name: compare(problem, arguments.steps) for problem in (bowl(), logistic())}
    results[NETWORK] = compare_network(arguments.steps)
    bottom = {still.name: compare(still, arguments.steps)}
    page = arguments.docs / "optimizers.md"
    text = page.read_text()
    for mark, part in (("comparison", results), ("bottom", bottom)):
        begin, end = f"<!-- {mark}: begin -->", f"<!-- {mark}: end -->"
        text = text.split(begin)[0] + "\n".join([begin, *table(part), end]) + text.split(end)[1]
    page.write_text(text)
    draw(results | bottom, arguments.docs / "optimizers.svg")
    print("\n".join([*table(results), *table(bottom)[2:]]))


if __name__ == "__main__":
    main()
