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
_MAX_NORM = 2.0**31


class Optimizer(ABC):
    """What all optimizers have.

    Attributes
    ----------
    lr : float
        Learning rate of the next step; set it between steps as you like.
    max_grad_norm : float or None
        Limit of the global norm of the gradients, as of ``clip_grad_norm_``: a gradient above it is scaled down to it. Whether there is
        one is decided before programs are recorded, its value may be set between steps.
    t : int
        Steps taken; belongs to a checkpoint, and after a return to an older version to what is set back.
    """

    def __init__(self, lr: float, max_grad_norm: float | None = None):
        self.lr, self.t = lr, 0
        self._recorded: bool | None = None  # whether steps that were recorded limit their gradient
        self.max_grad_norm = max_grad_norm

    @property
    def lr(self) -> float:
        return self._lr

    @lr.setter
    def lr(self, value: float) -> None:
        self._lr = _within("lr", value, 0, _MAX_RATE)

    @property
    def max_grad_norm(self) -> float | None:
        return self._max_grad_norm

    @max_grad_norm.setter
    def max_grad_norm(self, value: float | None) -> None:
        if self._recorded not in (None, value is not None):
            raise SettingsError(f"max_grad_norm is {value}, but steps were recorded with{'' if self._recorded else 'out'} a limit; "
                                + (f"set {_MAX_NORM:g}, which hardly limits" if self._recorded else
                                   f"make the optimizer with max_grad_norm={_MAX_NORM:g} and set a smaller one between steps"))
        self._max_grad_norm = None if value is None else _within("max_grad_norm", value, 1 / _MAX_NORM, _MAX_NORM)

    def _clip(self) -> bool:
        """Whether a step that is recorded now limits its gradient."""
        self._recorded = self.max_grad_norm is not None
        return self._recorded

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

        Raises
        ------
        SettingsError
            One of them, or `t`, is out of range; `t` does not count on then.
        ProgramError
            A program runs, of which the steps to come would take these registers.
        """
        device.check_idle("the optimizer cannot be set")
        scale = _within("gradient_scale", gradient_scale, 2.0**-64, 2.0**64)
        number = _within("t, the number of steps taken," if step is None else "step", self.t if step is None else step,
                         step is not None, 2**53)
        if number != int(number):
            raise SettingsError(f"the number of a step is {number} and must be an integer")
        if self.max_grad_norm is not None:
            device.registers.set("CLIP_NORM", _log2(self.max_grad_norm / scale))
        self._write(device, scale, int(number) + (step is None))
        if step is None:
            self.t = int(number) + 1

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
    max_grad_norm : float, optional
        2**-31 to 2**31; see `Optimizer`.

    Raises
    ------
    SettingsError
        Out of range, or what the chip does not do: dampening and weight_decay.
    """

    def __init__(self, lr: float = 1e-3, momentum: float = 0.0, dampening: float = 0.0, weight_decay: float = 0.0, nesterov: bool = False,
                 max_grad_norm: float | None = None):
        super().__init__(lr, max_grad_norm)
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
        program.sgd(w, gradient, moments, stochastic, nesterov=self.nesterov, copy8=copy8, clip=self._clip())

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
    max_grad_norm : float, optional
        2**-31 to 2**31; see `Optimizer`.

    Raises
    ------
    SettingsError
        Out of range, or what the chip does not do: weight_decay (use `AdamW`) and amsgrad.
    """

    decay = 0.0  #: weight decay

    def __init__(self, lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8, weight_decay: float = 0.0,
                 amsgrad: bool = False, max_grad_norm: float | None = None):
        super().__init__(lr, max_grad_norm)
        try:
            beta1, beta2 = betas
        except (TypeError, ValueError):
            raise SettingsError(f"betas are {betas} and should be two numbers") from None
        self.betas = _within("beta1", beta1, 0, BELOW_ONE), _within("beta2", beta2, *BETA2)
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
        program.adam(w, gradient, moments, stochastic, copy8=copy8, clip=self._clip())

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
    lr, betas, eps, max_grad_norm
        As of `Adam`.
    weight_decay : float
        0 to 65,536.
    """

    def __init__(self, lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8, weight_decay: float = 1e-2,
                 amsgrad: bool = False, max_grad_norm: float | None = None):
        super().__init__(lr, betas, eps, amsgrad=amsgrad, max_grad_norm=max_grad_norm)
        self.decay = _within("weight_decay", weight_decay, 0, _MAX_RATE)


#: Names of settings and command line.
OPTIMIZERS = {"sgd": SGD, "adam": Adam, "adamw": AdamW}


def split_moments(moments: Tensor) -> tuple[Tensor, Tensor]:
    """Return (first moment, logarithm of the second one's root as a raw tensor), which share the words of Adam's `moments`."""
    rows = moments.rows // 2
    second = moments.view(slice(rows, 2 * rows), name=f"{moments.name}.second")
    first = moments.view(slice(0, rows), name=f"{moments.name}.first")
    return replace(first, whole=None), replace(second, exponent=None, whole=None)  # the exponent is the first one's alone


def _within(name: str, value: float, low: float, high: float) -> float:
    if not isinstance(value, numbers.Real) or not low <= value <= high:
        raise SettingsError(f"{name} is {value} and must be a number between {low:g} and {high:g}")
    return float(value)


def _log2(value: float, fraction: int = 18) -> int:
    """Binary logarithm with that many bits after the point, as a register of 24 bits holds it."""
    low, high = -(1 << 23), (1 << 23) - 1
    return min(max(round(2**fraction * math.log2(value)), low), high) if value else low
