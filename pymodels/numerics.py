# SPDX-License-Identifier: Apache-2.0
"""Rounding, saturation, alignment and random bits (docs/numerics.md, sections 2 to 5).

All arrays are int64 unless stated otherwise. Functions have the names of their twins in the RTL.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np

_M32 = 0xFFFFFFFF
#: A value is limited to this magnitude before it is shifted left by up to 16, so that it stays in int64.
_WIDE = 1 << 46


class Result(NamedTuple):
    """What a completed command reports about one of its results.

    Attributes
    ----------
    write : int
        1 if the exponent register takes `exp`.
    exp : int
        Exponent with which the result was stored.
    track : int
        1 if `top` enters the history of delayed scaling.
    top : int
        All values of the result are below 2**top in magnitude; 0 if not `track`.
    saturations : int
        Values that were clamped to 16 bits.
    """

    write: int
    exp: int
    track: int
    top: int
    saturations: int


def bitlen(value: int) -> int:
    """Bits of a signed integer without its sign bit: ``bitlen(0) == bitlen(-1) == 0``, ``bitlen(255) == 8``."""
    value = int(value)
    return (value if value >= 0 else ~value).bit_length()


def top(v: np.ndarray, e_v: int) -> tuple[int, int]:
    """Return (track, top) of exact values ``v * 2**e_v`` (section 5)."""
    bits = max(int(v.max()), ~int(v.min())).bit_length()
    return (1, min(max(bits + e_v, -127), 127)) if bits else (0, 0)


def shift_round(v: np.ndarray, s: int, stochastic: bool = False, r: np.ndarray | int = 0) -> np.ndarray:
    """Divide by ``2**s`` and round half to even, or stochastically with the uniform 16-bit numbers `r`.

    Parameters
    ----------
    v : numpy.ndarray
        int64, ``|v| <= 2**61``.
    s : int
        Shift, clamped to -16..62. Where it is negative the result is exact up to a magnitude of 2**46 * 2**-s
        and limited to that (every use saturates to far fewer bits).
    stochastic : bool
        Round up with a probability that is the fraction's first 16 bits.
    r : numpy.ndarray
        Integers 0..65535, broadcast against `v`.

    Returns
    -------
    numpy.ndarray
        int64, same shape.

    Notes
    -----
    Worst error half a unit (to even at the tie), stochastic below one unit with a mean error in
    [-2**-16, 0] units, because the fraction is cut to 16 bits (shown in tests/test_models_numerics.py).
    """
    s = min(max(s, -16), 62)
    if s <= 0:
        return np.minimum(np.maximum(v, -_WIDE), _WIDE) << -s
    if not stochastic:
        q = v >> s  # (v + half - 1 + odd) >> s, without temporaries
        q &= 1
        q += (1 << s - 1) - 1
        q += v
        q >>= s
        return q
    if s >= 16:
        return ((v >> s - 16) + r) >> 16
    return (v >> s) + ((((v & (1 << s) - 1) << 16 - s) + r) >> 16)


def saturate16(v: np.ndarray) -> tuple[np.ndarray, int]:
    """Clamp to -32768..32767; return (int16 array, number of values changed)."""
    low, high = int(v.min()), int(v.max())
    if low >= -32768 and high <= 32767:
        return v.astype(np.int16), 0
    clamped = np.minimum(np.maximum(v, -32768), 32767)
    return clamped.astype(np.int16), int(np.count_nonzero(clamped != v))


def align(x: np.ndarray, s: int, up: int) -> np.ndarray:
    """Bring int64 values to another exponent: shift left by s, at most `up`, or right (floor) by -s, at most 63."""
    s = min(s, up)
    return x << s if s >= 0 else x >> min(-s, 63)


def mix32(x: int) -> int:
    """Hash 32 bits to 32 bits (integer hash of Thomas Wang, 2007)."""
    x = (~x + (x << 15)) & _M32
    x ^= x >> 12
    x = (x + (x << 2)) & _M32
    x ^= x >> 4
    x = (x + (x << 3) + (x << 11)) & _M32
    return x ^ x >> 16


def mix32_array(x: np.ndarray) -> np.ndarray:
    """`mix32` of every element of a uint32 array; `x` is overwritten and returned."""
    t = x << 15
    np.invert(x, out=x)
    x += t
    np.right_shift(x, 12, out=t)
    x ^= t
    np.left_shift(x, 2, out=t)
    x += t
    np.right_shift(x, 4, out=t)
    x ^= t
    np.left_shift(x, 3, out=t)
    y = x << 11
    x += t
    x += y
    np.right_shift(x, 16, out=t)
    x ^= t
    return x


def op_key(seed: int, opnum: int) -> int:
    """Key of the random bits of operation number `opnum`."""
    return mix32((seed ^ mix32(opnum & _M32)) & _M32)


def rand32(key: int, row: np.ndarray | int, col: np.ndarray | int) -> np.ndarray:
    """Random uint32 of the elements (row, col), 0..65535 each and broadcast against each other."""
    rows = mix32_array(np.atleast_1d(np.asarray(row, np.uint32) ^ np.uint32(key)))
    place = np.asarray(row, np.uint32) ^ np.asarray(col, np.uint32)  # only for its shape
    cols = np.atleast_1d(np.asarray(col, np.uint32))
    return mix32_array(rows ^ cols).reshape(place.shape)


def rand32_grid(key: int, rows: int, cols: int) -> np.ndarray:
    """`rand32` of all elements of a matrix: uint32, shape (rows, cols)."""
    return mix32_array(mix32_array(_places(rows) ^ np.uint32(key))[:, None] ^ _places(cols))


@lru_cache(maxsize=16)
def _places(count: int) -> np.ndarray:
    return np.arange(count, dtype=np.uint32)


def rand32_line(key: int, count: int) -> np.ndarray:
    """`rand32` of elements 0..count-1 numbered as in update (row = i >> 16, col = i & 0xFFFF): uint32, shape (count,)."""
    places = _places(count)
    rows = mix32_array(_places((count >> 16) + 1) ^ np.uint32(key))
    return mix32_array((rows[0] if count <= 1 << 16 else rows[places >> 16]) ^ (places & np.uint32(0xFFFF)))


def store(v: np.ndarray, e_v: int, e_to: int, stochastic: bool, key: int) -> tuple[np.ndarray, Result]:
    """Round exact values ``v * 2**e_v`` (int64 matrix) to int16 with exponent `e_to` and report the result."""
    track, result_top = top(v, e_v)
    s = e_to - e_v
    r = rand32_grid(key, *v.shape) & 0xFFFF if stochastic and s > 0 else 0
    c, saturations = saturate16(shift_round(v, s, stochastic, r))
    return c, Result(1, e_to, track, result_top, saturations)
