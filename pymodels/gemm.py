# SPDX-License-Identifier: Apache-2.0
"""Matrix product with bias, activation or its derivative, and rounding (docs/numerics.md, section 6)."""

import numpy as np

from pymodels.descriptor import Act
from pymodels.functions import tanh_q
from pymodels.numerics import Result, align, shift_round, store

MAX_K = 16384  #: keeps the accumulator within 2**44, and every partial sum of a float64 product exact
_ONE = 1 << 16  #: factor 1
_NONE, _RELU, _TANH = int(Act.NONE), int(Act.RELU), int(Act.TANH)


def matmul(
    a: np.ndarray,
    b: np.ndarray,
    e_a: int,
    e_b: int,
    e_c: int,
    *,
    bias: np.ndarray | None = None,
    e_bias: int = 0,
    act: int = Act.NONE,
    dact: int = Act.NONE,
    y: np.ndarray | None = None,
    stochastic: bool = False,
    key: int = 0,
) -> tuple[np.ndarray, Result]:
    """Multiply ``a @ b`` and round the result to int16.

    Parameters
    ----------
    a, b : numpy.ndarray
        int16, shapes (M, K) and (K, N), K up to 16384; transposed operands are passed as views.
    e_a, e_b : int
        Exponents of `a` and `b`: value = mantissa * 2**e.
    e_c : int
        Exponent of the result. Not used for ``act = TANH``, whose result always has -15.
    bias : numpy.ndarray, optional
        int16, shape (N,) or (1, N), exponent `e_bias`; added to every row.
    act : Act
        Activation of the result.
    dact : Act
        Multiply with the derivative of this activation, whose output is `y`. Excludes `act`.
    y : numpy.ndarray, optional
        int16, shape (M, N); needed with `dact`. Its exponent is taken as -15.
    stochastic : bool
        Round stochastically with the random bits of `key`; no effect with ``act = TANH``.
    key : int
        Key of the operation, see `pymodels.numerics.op_key`.

    Returns
    -------
    c : numpy.ndarray
        int16, shape (M, N).
    result : Result
        Exponent, `top` and saturations of `c`.

    Notes
    -----
    The product runs in float64, where sums below 2**53 are exact. Rounding to `e_c` is exact to half a unit; tanh is
    within 2.04 units of 2**-15, 1.54 of it from `tanh_q` and half a unit from rounding its argument (tests/test_models_gemm.py).
    """
    if not 1 <= a.shape[1] <= MAX_K:
        raise ValueError(f"gemm: K = {a.shape[1]} is not in 1..{MAX_K}")
    acc = np.matmul(a.astype(np.float64), b.astype(np.float64)).astype(np.int64)
    e_acc = e_a + e_b
    if bias is not None:
        acc += align(bias.astype(np.int64), e_bias - e_acc, up=28)
    if dact != _NONE:
        if act != _NONE:
            raise ValueError("gemm: act and dact exclude each other")
        if dact == _RELU:
            acc *= y > 0
            v = acc << 16
        else:
            square = y.astype(np.int64)
            square *= square
            v = acc * (_ONE - ((square + (1 << 13)) >> 14))
    elif act == _RELU:
        v = np.maximum(acc, 0) << 16
    else:
        v = acc << 16
    e_v = e_acc - 16
    if act == _TANH:
        arg = shift_round(v, -15 - e_v)
        arg = np.minimum(np.maximum(arg, -(1 << 18)), (1 << 18) - 1)
        return tanh_q(arg), Result(1, -15, 0, 0, 0)
    return store(v, e_v, e_c, stochastic, key)
