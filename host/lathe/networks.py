# SPDX-License-Identifier: Apache-2.0
"""Networks as tensors and recorded operations: forward, backward and update of an MLP with a shared trunk."""

from dataclasses import dataclass, replace

import numpy as np

from .allocator import Layout, WeightGroup
from .errors import ProgramError, SettingsError
from .optimizers import SGD, Optimizer
from .products import TANH_EXPONENT, TANH_EXPONENT_INT8
from .program import MAX_OUTPUTS, Program
from .tensor import Tensor

#: First exponents of tensors whose scale is not known yet; delayed scaling follows the data from the first write on.
RELU_EXPONENT, OUTPUT_EXPONENT, GRADIENT_EXPONENT = -11, -12, -18


def orthogonal(rng: np.random.Generator, rows: int, columns: int, gain: float) -> np.ndarray:
    """Return a random float64 (rows, columns) with orthogonal rows or columns, times `gain`.

    QR decomposition of a normal matrix, signs fixed by the diagonal of R.
    """
    q, r = np.linalg.qr(rng.standard_normal((max(rows, columns), min(rows, columns))))
    q = q * np.sign(np.diag(r))
    return gain * (q if rows >= columns else q.T)


@dataclass(frozen=True)
class Layer:
    """Weights of one layer and what the optimizer keeps for them, all in the weight group.

    Attributes
    ----------
    weight, bias : Tensor
    weight_momentum, bias_momentum : Tensor or None
        What `Optimizer.moments` made.
    copy8 : Tensor or None
        int8 copy of `weight`, packed along columns, that every step makes.
    """

    weight: Tensor
    bias: Tensor
    weight_momentum: Tensor | None
    bias_momentum: Tensor | None
    copy8: Tensor | None = None


@dataclass(frozen=True)
class Activations:
    """Input and outputs of every layer for one batch: ``outputs[-1]`` holds logits and, in its last column, the value."""

    x: Tensor
    outputs: list[Tensor]

    @property
    def y(self) -> Tensor:
        return self.outputs[-1]


@dataclass(frozen=True)
class Gradients:
    """Gradients with respect to every layer's output, weight and bias."""

    outputs: list[Tensor]
    weights: list[Tensor]
    biases: list[Tensor]


class MLP:
    """Shared trunk of hidden layers and one output layer of `actions` logits and one value.

    Parameters
    ----------
    layout : Layout
        Its weight group is taken by this network.
    inputs : int
        Observation elements.
    hidden : sequence of int
        Widths of the hidden layers.
    actions : int
        Number of discrete actions, at most 63.
    activation : str
        tanh or relu.
    weight_exponent, momentum_exponent : int
        Static exponent of weights and biases; first exponent of the momentum, which follows its data.
    slots : int
        Slots of the weight group.
    optimizer : Optimizer, optional
        What trains it, SGD with momentum unless given: it says what the weight group holds besides the weights.
    int8_copies : bool
        Let every step also round its weight matrix to int8, for a `CurrentSampler`.
    """

    observations = "int16"

    def __init__(self, layout: Layout, inputs: int, hidden: tuple[int, ...], actions: int, activation: str = "tanh",
                 weight_exponent: int = -13, momentum_exponent: int = -16, slots: int = 3, optimizer: Optimizer | None = None,
                 int8_copies: bool = False):
        if activation not in ("tanh", "relu"):
            raise SettingsError(f"activation '{activation}' is none of: tanh, relu")
        if not 1 <= actions <= MAX_OUTPUTS - 1:
            raise SettingsError(f"{actions} actions: the policy unit takes 1 to {MAX_OUTPUTS - 1} (and one value)")
        self.layout, self.activation = layout, activation
        self.optimizer = optimizer or SGD(momentum=0.9)
        self.inputs, self.outputs = inputs, actions + 1
        self.sizes = (inputs, *hidden, self.outputs)
        self.group = WeightGroup(layout, slots)
        self.layers = []
        for number, (rows, columns) in enumerate(zip(self.sizes, self.sizes[1:], strict=False), 1):
            weight = self.group.tensor(f"W{number}", rows, columns, weight_exponent, static=True)
            bias = self.group.tensor(f"b{number}", 1, columns, weight_exponent, static=True)
            moments = [self.optimizer.moments(self.group, f"m{tensor.name}", tensor, momentum_exponent) for tensor in (weight, bias)]
            copy8 = self._copy8(weight) if int8_copies else None
            self.layers.append(Layer(weight, bias, *moments, copy8))
        self.group.place()

    def _copy8(self, weight: Tensor) -> Tensor:
        return self.group.tensor(f"{weight.name}.int8", *weight.shape, weight.initial + 8, dtype="int8", packed="columns")

    def initial_values(self, rng: np.random.Generator, hidden_gain: float = 2**0.5, policy_gain: float = 0.01,
                       value_gain: float = 1.0) -> dict[Tensor, np.ndarray]:
        """Return first values of every tensor of the group: orthogonal weights, zero biases, the optimizer's own."""
        values = {}
        for number, layer in enumerate(self.layers, 1):
            values[layer.bias] = np.zeros(layer.bias.shape)
            for moments in (layer.weight_momentum, layer.bias_momentum):
                values |= self.optimizer.initial(moments) if moments else {}
            rows, columns = layer.weight.shape
            if number < len(self.layers):
                values[layer.weight] = orthogonal(rng, rows, columns, hidden_gain)
            else:
                values[layer.weight] = np.hstack([orthogonal(rng, rows, columns - 1, policy_gain),
                                                  orthogonal(rng, rows, 1, value_gain)])
            if layer.copy8:
                values[layer.copy8] = values[layer.weight]
        return values

    def activations(self, batch: int, prefix: str, input_exponent: int) -> Activations:
        """Make the tensors that a forward pass of `batch` rows needs."""
        make = self.layout.tensor
        x = make(f"{prefix}.x", batch, self.inputs, input_exponent, static=True)
        outputs = []
        for number, width in enumerate(self.sizes[1:-1], 1):
            if self.activation == "tanh":
                outputs.append(make(f"{prefix}.h{number}", batch, width, TANH_EXPONENT, static=True))
            else:
                outputs.append(make(f"{prefix}.h{number}", batch, width, RELU_EXPONENT))
        outputs.append(make(f"{prefix}.y", batch, self.outputs, OUTPUT_EXPONENT))
        return Activations(x, outputs)

    def gradients(self, batch: int, prefix: str) -> Gradients:
        """Make the tensors that a backward pass of `batch` rows needs."""
        make = self.layout.tensor
        count = len(self.layers)
        names = [f"dh{number}" for number in range(1, count)] + ["dy"]
        return Gradients(
            [make(f"{prefix}.{name}", batch, layer.weight.columns, GRADIENT_EXPONENT)
             for name, layer in zip(names, self.layers, strict=True)],
            [make(f"{prefix}.d{layer.weight.name}", *layer.weight.shape, GRADIENT_EXPONENT) for layer in self.layers],
            [make(f"{prefix}.d{layer.bias.name}", *layer.bias.shape, GRADIENT_EXPONENT) for layer in self.layers])

    def forward(self, program: Program, acts: Activations) -> None:
        """Record all layers from ``acts.x`` to ``acts.y`` with the current weights."""
        x = acts.x
        for number, (layer, out) in enumerate(zip(self.layers, acts.outputs, strict=True), 1):
            last = number == len(self.layers)
            program.linear(x, layer.weight, out, bias=layer.bias, activation="none" if last else self.activation)
            x = out

    def backward(self, program: Program, acts: Activations, grads: Gradients, update: bool = False,
                 stochastic: bool = True) -> None:
        """Record the gradients of all weights from ``grads.outputs[-1]``, the gradient of the loss with respect to ``acts.y``.

        Each layer hands its gradient down before its weights' gradient is made, so that the array has work in between.

        Parameters
        ----------
        update : bool
            Also record every tensor's step into the next slot, as soon as its gradient is there, so that the update unit
            works while the array goes on to the layer below. The caller commits, and calls the optimizer's `apply` before runs.
        stochastic : bool
            Round weights and momentum stochastically.
        """
        if acts.y.rows != grads.outputs[-1].rows:
            raise ProgramError(f"activations {acts.y} and gradients {grads.outputs[-1]} belong to different batches")
        for index in reversed(range(len(self.layers))):
            layer, dy = self.layers[index], grads.outputs[index]
            x = acts.outputs[index - 1] if index else acts.x
            if index:
                program.matmul(dy, layer.weight, grads.outputs[index - 1], trans_b=True, derivative=self.activation, y=x)
            program.matmul(x, dy, grads.weights[index], trans_a=True, colsum=grads.biases[index])
            if update:
                step = self.optimizer.record
                step(program, layer.weight, grads.weights[index], layer.weight_momentum, stochastic, layer.copy8)
                step(program, layer.bias, grads.biases[index], layer.bias_momentum, stochastic)


class Sampler:
    """An int8 copy of a network, to act with: weights and activations int8, biases and the last layer's outputs int16.

    Parameters
    ----------
    net : MLP
        The network that is copied, whenever a program recorded with `publish` runs.
    observations : str
        ``int8`` or ``int16``: the operands of the first layer. One exponent of 8 bits for all elements of an observation loses the
        small ones where their ranges differ (CartPole: an angle of +-0.2 beside a velocity of +-4), hence int16 unless given.

    The int8 weights lie transposed, packed along the inner dimension. Their exponents follow the data from the second
    publication on; at the first, one step is 2**8 of the network's.
    """

    def __init__(self, net: MLP, observations: str = "int16"):
        self.net, self.observations, make = net, _checked(observations), net.layout.tensor
        self.weights = [make(f"{w.name}.int8", w.columns, w.rows, w.initial + 8, dtype="int8") for w, _ in self._pairs()[self._wide:]]
        if self._wide:
            first = net.layers[0].weight
            self.weights.insert(0, make(f"{first.name}.copy", *first.shape, first.initial, static=True))
        self.biases = [make(f"{b.name}.copy", 1, b.columns, b.initial, static=True) for _, b in self._pairs()]

    @property
    def _wide(self) -> int:
        """Layers whose operands are int16."""
        return int(self.observations == "int16")

    def _pairs(self) -> list[tuple[Tensor, Tensor]]:
        return [(layer.weight, layer.bias) for layer in self.net.layers]

    def publish(self, program: Program, slot: Tensor | None = None) -> None:
        """Record the copy of the weights; the identity matrices take up to the widest layer's width squared.

        Parameters
        ----------
        slot : Tensor, optional
            Raw words that hold an older `WeightGroup.slot`; the current weights unless given.
        """
        pairs = self._pairs() if slot is None else [tuple(self._in(slot, tensor) for tensor in pair) for pair in self._pairs()]
        for (weight, bias), weight8, copy in zip(pairs, self.weights, self.biases, strict=True):
            if weight8.packed:
                program.quantize(weight, weight8, transpose=True)
            else:
                program.copy(weight, weight8)
            program.copy(bias, copy)

    @staticmethod
    def _in(slot: Tensor, tensor: Tensor) -> Tensor:
        """Return a tensor of the weight group as it lies in a copy of a slot."""
        return replace(tensor, name=f"{slot.name}.{tensor.name}", space="absolute", slots=0, address=slot.address + tensor.address,
                       exponent=tensor.layout.static_exponent(tensor.initial))

    def activations(self, batch: int, prefix: str, input_exponent: int) -> Activations:
        """Make the tensors that a forward pass of `batch` rows needs; `input_exponent` is that of `observations`."""
        make, net = self.net.layout.tensor, self.net
        tanh = net.activation == "tanh"
        hidden = [make(f"{prefix}.h{number}", batch, width, TANH_EXPONENT_INT8 if tanh else RELU_EXPONENT + 8, static=tanh, dtype="int8")
                  for number, width in enumerate(net.sizes[1:-1], 1)]
        return Activations(make(f"{prefix}.x", batch, net.inputs, input_exponent, static=True, dtype=self.observations),
                           [*hidden, make(f"{prefix}.y", batch, net.outputs, OUTPUT_EXPONENT)])

    def forward(self, program: Program, acts: Activations) -> None:
        """Record all layers with the weights last published."""
        x = acts.x
        for weight, bias, out in zip(self.weights, self.biases, acts.outputs, strict=True):
            program.matmul(x, weight, out, trans_b=weight.packed == "rows", bias=bias,
                           activation="none" if out is acts.y else self.net.activation)
            x = out


class CurrentSampler(Sampler):
    """The network with the int8 copies that its own updates make, to act with: always the current version, never published.

    Parameters
    ----------
    net : MLP
        Made with `int8_copies`.
    observations : str
        As of `Sampler`.

    Raises
    ------
    SettingsError
        The network keeps no int8 copies.
    """

    def __init__(self, net: MLP, observations: str = "int16"):
        if any(layer.copy8 is None for layer in net.layers):
            raise SettingsError("a CurrentSampler acts with int8 copies that updates make; make the network with int8_copies=True")
        self.net, self.observations = net, _checked(observations)
        self.weights = [layer.weight if number < self._wide else layer.copy8 for number, layer in enumerate(net.layers)]
        self.biases = [layer.bias for layer in net.layers]

    def publish(self, program: Program, slot: Tensor | None = None) -> None:
        """Refused: a commit publishes."""
        raise ProgramError("a CurrentSampler has nothing to publish: its weights are current with each commit")


def _checked(observations: str) -> str:
    if observations not in ("int8", "int16"):
        raise SettingsError(f"observations '{observations}' are none of: int8, int16")
    return observations
