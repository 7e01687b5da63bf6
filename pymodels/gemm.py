# SPDX-License-Identifier: Apache-2.0
"""Matrix product with addend, activation or its derivative, column sums, and rounding (docs/numerics.md, section 6)."""

import numpy as np

from pymodels.descriptor import Act
from pymodels.functions import tanh_q
from pymodels.numerics import Result, Window, align, clamp35, rand16_grid, saturate8, term

MAX_K = 16384  #: keeps the accumulator within 2**44, and every partial sum of a float64 product exact
MAX_K_FLOAT32 = 1024  #: up to it, every partial sum of an int8 product is exact in float32
TANH_EXP, TANH8_EXP = -15, -7  #: exponents of a tanh result, int16 and int8
_ONE = 1 << 16  #: factor 1
_NONE, _RELU, _TANH = int(Act.NONE), int(Act.RELU), int(Act.TANH)


def fixed_exponent(act: int, int8_result: bool) -> int | None:
    """Exponent of a result that does not take the one of its register: that of tanh."""
    return (TANH8_EXP if int8_result else TANH_EXP) if act == _TANH else None


def matmul(
    a: np.ndarray,
    b: np.ndarray,
    e_a: int,
    e_b: int,
    e_c: int,
    *,
    bias: np.ndarray | None = None,
    addend: np.ndarray | None = None,
    e_addend: int = 0,
    act: int = Act.NONE,
    dact: int = Act.NONE,
    y: np.ndarray | None = None,
    int8_result: bool = False,
    stochastic: bool = False,
    key: int = 0,
) -> tuple[np.ndarray, Result]:
    """Multiply ``a @ b`` and round the result to int16 or int8.

    Parameters
    ----------
    a, b : numpy.ndarray
        Both int16 or both int8 (not packed), shapes (M, K) and (K, N), K up to 16384; transposed operands are passed as views.
    e_a, e_b : int
        Exponents of `a` and `b`: value = mantissa * 2**e.
    e_c : int
        Exponent of the result. Not used for ``act = TANH``, see `fixed_exponent`.
    bias : numpy.ndarray, optional
        int16, shape (N,) or (1, N), exponent `e_addend`; added to every row.
    addend : numpy.ndarray, optional
        int16, shape (M, N), exponent `e_addend`. Excludes `bias` and `dact`.
    act : Act
        Activation of the result.
    dact : Act
        Multiply with the derivative of this activation, whose output is `y`. Excludes `act`.
    y : numpy.ndarray, optional
        int16, shape (M, N); needed with `dact`. Its exponent is taken as -15.
    int8_result : bool
        Round to int8 instead of int16. Excludes `addend` and `dact`.
    stochastic : bool
        Round stochastically with the random bits of `key`; no effect with ``act = TANH``.
    key : int
        Key of the operation, see `pymodels.numerics.op_key`.

    Returns
    -------
    c : numpy.ndarray
        int16 or int8 (not packed), shape (M, N).
    result : Result
        `top` and saturations of `c`.

    Notes
    -----
    Terms that `clamp35` cuts count as saturations where the result may be wrong; they raise `top`, so that they fit at later
    writes. With ``act = TANH``, whose exponent is fixed, nothing does: there the sum and the addend should stay within +-8.

    The product runs in float64, where sums below 2**53 are exact (short int8 ones in float32, exact below 2**24). Rounding
    to `e_c` is exact to half a unit, plus 2**-16 units for an addend that was shifted right; tanh is within 2.04 units of
    2**-15, 1.54 of it from `tanh_q` and half a unit from rounding its argument (tests/test_models_gemm.py).
    """
    k = a.shape[1]
    if not 1 <= k <= MAX_K:
        raise ValueError(f"gemm: K = {k} is not in 1..{MAX_K}")
    kind = np.float32 if a.dtype == np.int8 and k <= MAX_K_FLOAT32 else np.float64
    acc = np.matmul(a.astype(kind), b.astype(kind)).astype(np.int64)
    e_to = TANH_EXP if act == _TANH else e_c
    shift, terms = e_to - (e_a + e_b), None
    x = Window.of(acc, shift)
    if bias is not None or addend is not None:
        if bias is not None and addend is not None:
            raise ValueError("gemm: bias and addend exclude each other")
        z = bias if addend is None else addend
        terms = _Terms(acc, shift, x, z, e_addend - e_to + 16) if act != _TANH else None
        x = x.add(term(z, 16, e_addend - e_to + 16, up=31))
    elif dact == _TANH:
        terms = _Terms(acc, shift, x)
    if dact != _NONE:
        if act != _NONE or addend is not None or int8_result:
            raise ValueError("gemm: dact excludes act, an addend and an int8 result")
        if dact == _RELU:
            x = x.mask(y > 0)
        else:
            square = y.astype(np.int64)
            square *= square
            x = x.scale(_ONE - ((square + (1 << 13)) >> 14))
    elif act == _RELU:
        x = x.relu()
    elif act == _TANH:
        t = tanh_q(x.round19())
        if not int8_result:
            return t, Result()
        c, saturations = saturate8((t.astype(np.int64) + 128) >> 8)
        return c, Result(saturations=saturations)
    r = rand16_grid(key, *acc.shape) if stochastic else 0
    largest, cut = (0, None) if terms is None else terms.seen(dact, y)
    if cut is not None and cut.any():
        rounded, ends = x.round(stochastic, r), np.iinfo(np.int8 if int8_result else np.int16)
        c = np.clip(rounded, ends.min, ends.max).astype(ends.dtype)
        saturations = int(np.count_nonzero((rounded != c) | cut))
    else:
        c, saturations = saturate8(x.round(stochastic, r)) if int8_result else x.round16(stochastic, r)
    return c, Result(*x.tracked(e_to, largest >> (11 if int8_result else 3)), saturations)


class _Terms:
    """The terms of results that have an addend or a derivative's factor: they must fit clamp35, too (section 6).

    Parameters
    ----------
    acc : numpy.ndarray
        int64, the products' sums.
    shift : int
        What `Window.of` shifts them by.
    x : Window
        That window.
    z : numpy.ndarray, optional
        int16, the addend, which `align` shifts by `z_shift`.
    """

    def __init__(self, acc: np.ndarray, shift: int, x: Window, z: np.ndarray | None = None, z_shift: int = 0):
        self._window, place = x, 18 + min(max(shift, -16), 62)
        self._cut = np.zeros(acc.shape, bool) if place > 61 else (acc >= 1 << place) | (acc < -1 << place)
        aligned = np.zeros((1, 1), np.int64) if z is None else align(z.astype(np.int64), z_shift, 31)
        self._addend = clamp35(aligned)
        self._cut = self._cut | (self._addend != aligned)

    def seen(self, dact: int, y: np.ndarray | None) -> tuple[int, np.ndarray]:
        """Return (their largest magnitude, which results count as saturated because of them)."""
        x, z = self._window.x, self._addend
        magnitude = np.maximum(np.maximum(x, ~x), np.maximum(z, ~z))
        if dact == _TANH:
            cut = self._cut | (clamp35(x + z) != x + z)
        else:
            cut = self._cut & ((x < 0) != (z < 0))
        if dact == _RELU:
            magnitude, cut = magnitude * (y > 0), cut & (y > 0)
        return int(magnitude.max()), cut


def column_sums(
    b: np.ndarray, e_b: int, e_to: int, *, stochastic: bool = False, key: int = 0, row: int = 0
) -> tuple[np.ndarray, Result]:
    """Sum up the columns of `b` (int16, shape (K, N)) and round to int16, shape (N,); `row` is M, which numbers the random bits."""
    x = Window.of(b.sum(axis=0, dtype=np.int64), e_to - e_b)
    r = rand16_grid(key, 1, b.shape[1], row)[0] if stochastic else 0
    sums, saturations = x.round16(stochastic, r)
    return sums, Result(*x.tracked(e_to), saturations)
