# SPDX-License-Identifier: Apache-2.0
"""Optimizers by the names and defaults of torch.optim: what each keeps for a weight, what it records, and its registers.

The step itself is one operation of the chip (docs/numerics.md, section 9). The host only writes a few registers before each
run of a program that holds steps: the learning rate, and for Adam what depends on the number of the step.
"""

import math
import numbers
from abc import ABC, abstractmethod
from dataclasses import replace

import numpy as np

from .allocator import WeightGroup
from .device import Device, encode_rate
from .errors import SettingsError
from .program import Program
from .tensor import Tensor

#: Largest number below 1 that a register of 16 bits holds.
BELOW_ONE = 65535 / 65536
#: beta2 has so few steps that half its logarithm fits, and so many that the chip's tables still see one gradient.
BETA2 = (0.5, 0.9999)
#: Mantissa that stands for a second moment of 0.
NO_MOMENT = -32768
_MAX_RATE = 65536


class Optimizer(ABC):
    """What all optimizers have.

    Attributes
    ----------
    lr : float
        Learning rate of the next step; set it between steps as you like.
    t : int
        Steps taken; belongs to a checkpoint, and after a return to an older version to what is set back.
    """

    def __init__(self, lr: float):
        self.lr, self.t = lr, 0

    @property
    def lr(self) -> float:
        return self._lr

    @lr.setter
    def lr(self, value: float) -> None:
        self._lr = _within("lr", value, 0, _MAX_RATE)

    @abstractmethod
    def moments(self, group: WeightGroup, name: str, w: Tensor, exponent: int) -> Tensor | None:
        """Make what is kept for `w` in its group, with the first exponent given; None if nothing is."""

    def initial(self, moments: Tensor) -> dict[Tensor, np.ndarray]:
        """Return what to load before the first step: tensor -> values."""
        return {moments: np.zeros(moments.shape)}

    @abstractmethod
    def record(self, program: Program, w: Tensor, gradient: Tensor, moments: Tensor | None, stochastic: bool = True,
               copy8: Tensor | None = None) -> None:
        """Record a step of `w` into the next slot; arguments as of `Program.sgd`."""

    def apply(self, device: Device, gradient_scale: float = 1.0, step: int | None = None) -> None:
        """Write the registers of the next step; call it once before every run of a program with steps.

        Parameters
        ----------
        gradient_scale : float
            What the chip's gradients have to be multiplied with: it divides a loss by a power of two in place of the batch.
        step : int, optional
            Number of the step, from 1, in place of the next one: for a run that is not to count.
        """
        if step is None:
            self.t = step = self.t + 1
        self._write(device, gradient_scale, step)

    @abstractmethod
    def _write(self, device: Device, gradient_scale: float, step: int) -> None:
        """Write the registers of step number `step`."""


class SGD(Optimizer):
    """Stochastic gradient descent: ``m' = momentum m + g``, ``w' = w - lr d``.

    ``d`` is g without momentum, m' with it, and ``g + momentum m'`` with `nesterov`.

    Parameters
    ----------
    lr : float
        0 to 65,536.
    momentum : float
        0 to 65535/65536, in steps of 2**-16.
    nesterov : bool

    Raises
    ------
    SettingsError
        Out of range, or what the chip does not do: dampening and weight_decay.
    """

    def __init__(self, lr: float = 1e-3, momentum: float = 0.0, dampening: float = 0.0, weight_decay: float = 0.0, nesterov: bool = False):
        super().__init__(lr)
        self.momentum = _within("momentum", momentum, 0, BELOW_ONE)
        self.nesterov = nesterov
        if weight_decay:
            raise SettingsError("SGD has no weight_decay here; use AdamW, or add the penalty to the loss")
        if dampening:
            raise SettingsError("SGD has no dampening here; leave it 0 and lower lr instead")
        if nesterov and not momentum:
            raise SettingsError("nesterov looks ahead along the momentum; give momentum, 0.9 for example")

    def moments(self, group: WeightGroup, name: str, w: Tensor, exponent: int) -> Tensor | None:
        return group.tensor(name, *w.shape, exponent) if self.momentum else None

    def record(self, program: Program, w: Tensor, gradient: Tensor, moments: Tensor | None, stochastic: bool = True,
               copy8: Tensor | None = None) -> None:
        program.sgd(w, gradient, moments, stochastic, nesterov=self.nesterov, copy8=copy8)

    def _write(self, device: Device, gradient_scale: float, step: int) -> None:
        device.set_optimizer(self.lr * gradient_scale, self.momentum)


class Adam(Optimizer):
    """Adam (Kingma and Ba, arXiv:1412.6980): means of the gradient and of its square, without their bias.

    Parameters
    ----------
    lr : float
        0 to 65,536. The chip keeps binary logarithms from -32 to 32: smaller step sizes, and `eps`, count as 2**-32.
    betas : (float, float)
        beta1 0 to 65535/65536; beta2 0.5 to 0.9999. With beta1 <= 0.9 and beta2 >= 0.99 no weight with an exponent of its own can
        saturate.
    eps : float
        Positive.

    Raises
    ------
    SettingsError
        Out of range, or what the chip does not do: weight_decay (use `AdamW`) and amsgrad.
    """

    decay = 0.0  #: weight decay

    def __init__(self, lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8, weight_decay: float = 0.0,
                 amsgrad: bool = False):
        super().__init__(lr)
        if len(betas) != 2:
            raise SettingsError(f"betas are {betas} and should be two numbers")
        self.betas = _within("beta1", betas[0], 0, BELOW_ONE), _within("beta2", betas[1], *BETA2)
        self.eps = _within("eps", eps, 2.0**-64, _MAX_RATE)
        if amsgrad:
            raise SettingsError("Adam has no amsgrad here; leave it out")
        if weight_decay:
            raise SettingsError("Adam has no weight_decay in its gradient here; use AdamW, whose weight decay is its own term")

    def moments(self, group: WeightGroup, name: str, w: Tensor, exponent: int) -> Tensor | None:
        return group.moments(name, w, exponent)

    def initial(self, moments: Tensor) -> dict[Tensor, np.ndarray]:
        first, second = split_moments(moments)
        return {first: np.zeros(first.shape), second: np.full(second.shape, NO_MOMENT)}

    def record(self, program: Program, w: Tensor, gradient: Tensor, moments: Tensor | None, stochastic: bool = True,
               copy8: Tensor | None = None) -> None:
        program.adam(w, gradient, moments, stochastic, copy8=copy8)

    def _write(self, device: Device, gradient_scale: float, step: int) -> None:
        registers = device.registers
        beta1 = round(self.betas[0] * 65536)
        decay = round(2**17 * math.log2(self.betas[1]))
        forget1, forget2 = (-math.expm1(step * math.log(beta)) if beta else 1.0 for beta in (beta1 / 65536, 2.0 ** (decay / 2**17)))
        bias2 = math.sqrt(forget2)
        registers.set("BETA1", beta1)
        registers.set("ADAM_DECAY", decay)
        registers.set("ADAM_GAIN", _log2(-math.expm1(decay / 2**17 * math.log(2)), 17))
        registers.set("ADAM_RATE", _log2(self.lr * bias2 / forget1))
        registers.set("ADAM_EPS", _log2(self.eps * bias2 / gradient_scale))
        mantissa, exponent = encode_rate(self.lr * self.decay)
        registers.write("WEIGHT_DECAY", mant=mantissa, exp=exponent)


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter, arXiv:1711.05101): ``w' = w - lr weight_decay w - step``.

    Parameters
    ----------
    lr, betas, eps
        As of `Adam`.
    weight_decay : float
        0 to 65,536.
    """

    def __init__(self, lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8, weight_decay: float = 1e-2,
                 amsgrad: bool = False):
        super().__init__(lr, betas, eps, amsgrad=amsgrad)
        self.decay = _within("weight_decay", weight_decay, 0, _MAX_RATE)


#: Names of settings and command line.
OPTIMIZERS = {"sgd": SGD, "adam": Adam, "adamw": AdamW}


def split_moments(moments: Tensor) -> tuple[Tensor, Tensor]:
    """Return (first moment, logarithm of the second one's root as a raw tensor), which share the words of Adam's `moments`."""
    rows = moments.rows // 2
    second = moments.view(slice(rows, 2 * rows), name=f"{moments.name}.second")
    return moments.view(slice(0, rows), name=f"{moments.name}.first"), replace(second, exponent=None)


def _within(name: str, value: float, low: float, high: float) -> float:
    if not isinstance(value, numbers.Real) or not low <= value <= high:
        raise SettingsError(f"{name} is {value} and must be a number between {low:g} and {high:g}")
    return float(value)


def _log2(value: float, fraction: int = 18) -> int:
    """Binary logarithm with that many bits after the point, as a register of 24 bits holds it."""
    low, high = -(1 << 23), (1 << 23) - 1
    return min(max(round(2**fraction * math.log2(value)), low), high) if value else low
