# SPDX-License-Identifier: Apache-2.0
"""Global norm of the gradients and the clip factor that follows from it (docs/numerics.md, section 9)."""

import numpy as np

from pymodels.functions import LOG_TABLE

LSB = 128  #: the sum of squares has LSB 2**-128


class GradientNorm:
    """Exact sum of the squares of what gemm commands with `norm` wrote.

    Attributes
    ----------
    sum : int
        In units of 2**-128.
    last : int or None
        `log` when something was added last, cleared or not since.
    """

    def __init__(self):
        self.reset()

    def reset(self) -> None:
        self.sum, self.last = 0, None

    def clear(self) -> None:
        self.sum = 0

    def add(self, mantissas: np.ndarray, exponent: int) -> None:
        """Add the squares of a result: int16 of any shape, with its exponent (-64..63)."""
        squares = int((mantissas.astype(np.int64) ** 2).sum())
        self.sum += squares << 2 * exponent + LSB
        self.last = self.log

    @property
    def log(self) -> int | None:
        """Binary logarithm of the norm, LSB 2**-18; None if it is zero. Within 2**-11 of float64 (tests/test_models_norm.py)."""
        if not self.sum:
            return None
        high = self.sum.bit_length() - 1
        mantissa = self.sum >> high - 16 if high >= 16 else self.sum << 16 - high
        return (high - LSB << 18) + int(LOG_TABLE[(mantissa & 0xFFFF) + 32 >> 6]) >> 1

    def clip(self, largest: int) -> int:
        """Logarithm of the factor that limits the norm to ``2**(largest / 2**18)``: at most 0, at least -2**23; LSB 2**-18."""
        log = self.log
        return 0 if log is None else max(min(0, largest - log), -1 << 23)
