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
_LIMIT = 1 << 34  #: clamp35 clamps to -_LIMIT.._LIMIT - 1
_BELOW = 26  #: most bits that a Window keeps below 2**-16: its values stay in int64


class Result(NamedTuple):
    """What a completed command reports about one of its results.

    Attributes
    ----------
    track : int
        1 if `top` enters the history of delayed scaling.
    top : int
        All values of the result are below 2**top in magnitude; 0 if not `track`.
    saturations : int
        Values that were clamped to 16 or 8 bits.
    """

    track: int = 0
    top: int = 0
    saturations: int = 0


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


def _saturate(v: np.ndarray, kind: type) -> tuple[np.ndarray, int]:
    low, high = np.iinfo(kind).min, np.iinfo(kind).max
    if int(v.min()) >= low and int(v.max()) <= high:
        return v.astype(kind), 0
    clamped = np.minimum(np.maximum(v, low), high)
    return clamped.astype(kind), int(np.count_nonzero(clamped != v))


def saturate16(v: np.ndarray) -> tuple[np.ndarray, int]:
    """Clamp to -32768..32767; return (int16 array, number of values changed)."""
    return _saturate(v, np.int16)


def saturate8(v: np.ndarray) -> tuple[np.ndarray, int]:
    """Clamp to -128..127; return (int8 array, number of values changed)."""
    return _saturate(v, np.int8)


def clamp35(v: np.ndarray) -> np.ndarray:
    """Clamp to 35 bits signed."""
    return np.minimum(np.maximum(v, -_LIMIT), _LIMIT - 1)


def term(x: np.ndarray, width: int, s: int, up: int) -> np.ndarray:
    """``clamp35(align(x, s, up))`` of integers of `width` bits signed."""
    aligned = align(x.astype(np.int64), s, up)
    return aligned if width + min(s, up) <= 35 else clamp35(aligned)


class Window:
    """Values x in units of 2**-16 of a result's last place, and what was lost below (section 2).

    Attributes
    ----------
    bits : numpy.ndarray
        int64; ``x = bits >> below``, clamped to 35 bits.
    below : int
        Bits of `bits` below x. A value has lost something where one of them is not zero.
    """

    def __init__(self, bits: np.ndarray, below: int = 0):
        low, high, limit = int(bits.min()), int(bits.max()), _LIMIT << below
        if high >= limit or low < -limit:  # what was lost stays lost
            bits = clamp35(bits >> below) << below | bits & (1 << below) - 1
            low, high = int(bits.min()), int(bits.max())
        self.bits, self.below, self._low, self._high = bits, below, low, high

    @classmethod
    def of(cls, v: np.ndarray, s: int) -> "Window":
        """``window(v, s)`` of int64 values, ``|v| <= 2**61``."""
        s = min(max(s, -16), 62)
        if s < 16:
            limit = _LIMIT >> 16 - s
            return cls(np.minimum(np.maximum(v, -limit), limit) << 16 - s)
        extra = max(s - 16 - _BELOW, 0)
        if extra:  # what lies still lower is gathered in the last bit
            v = v >> extra | ((v & (1 << extra) - 1) != 0)
        return cls(v, s - 16 - extra)

    @property
    def x(self) -> np.ndarray:
        """The values in units of 2**-16 of a place, int64."""
        return self.bits >> self.below

    def add(self, z: np.ndarray) -> "Window":
        """Add terms of at most 35 bits that are aligned with x."""
        return Window(self.bits + (z << self.below), self.below)

    def mask(self, keep: np.ndarray) -> "Window":
        """Zero, with nothing lost, where `keep` is False."""
        return Window(self.bits * keep, self.below)

    def relu(self) -> "Window":
        """Zero, with nothing lost, where x is negative."""
        return self if self._low >= 0 else Window(np.maximum(self.bits, 0), self.below)

    def scale(self, d: np.ndarray) -> "Window":
        """Multiply with factors 0..65536, LSB 2**-16."""
        lost = (self.bits & (1 << self.below) - 1) != 0
        return Window((self.bits >> self.below) * d << 1 | lost, 17)

    def round(self, stochastic: bool = False, r: np.ndarray | int = 0) -> np.ndarray:
        """Round to whole places, to even at the half, or stochastically with the uniform 16-bit numbers `r`."""
        if stochastic:
            return ((self.bits >> self.below) + r) >> 16
        return shift_round(self.bits, 16 + self.below)

    def _fits(self, width: int) -> bool:
        """Whether rounding gives no value of more than `width` bits signed."""
        place, limit = 16 + self.below, 1 << width - 1
        return self._low >> place >= -limit and self._high >> place < limit - 1

    def round16(self, stochastic: bool = False, r: np.ndarray | int = 0) -> tuple[np.ndarray, int]:
        """Round and clamp to 16 bits; return (int16 array, number of values changed)."""
        rounded = self.round(stochastic, r)
        return (rounded.astype(np.int16), 0) if self._fits(16) else saturate16(rounded)

    def round19(self) -> np.ndarray:
        """Round to even and clamp to 19 bits."""
        rounded = self.round()
        return rounded if self._fits(19) else np.minimum(np.maximum(rounded, -(1 << 18)), (1 << 18) - 1)

    def tracked(self, e_to: int, terms: int = 0) -> tuple[int, int]:
        """Return (track, top) of a result with exponent `e_to`; `terms` counts as a magnitude, too."""
        bits = max(max(self._high, ~self._low) >> self.below, terms).bit_length()
        if not bits and not (self.below and (self.bits & (1 << self.below) - 1).any()):
            return 0, 0
        return 1, min(max(e_to - 16 + bits, -127), 127)


def pack_rows(m: np.ndarray) -> np.ndarray:
    """Pack an int8 matrix along its rows into the int16 matrix that is stored; a pad byte is 0."""
    rows, cols = m.shape
    stored = np.zeros((rows, -(-cols // 2)), "<i2")
    stored.view(np.int8)[:, :cols] = m
    return stored.astype(np.int16, copy=False)


def unpack_rows(stored: np.ndarray, cols: int) -> np.ndarray:
    """The int8 matrix with `cols` columns that lies packed along its rows in an int16 matrix."""
    return np.ascontiguousarray(stored, "<i2").view(np.int8)[:, :cols]


def pack_cols(m: np.ndarray) -> np.ndarray:
    """Pack an int8 matrix along its columns into the int16 matrix that is stored; a pad byte is 0."""
    rows, cols = m.shape
    stored = np.zeros((-(-rows // 2), cols), "<i2")
    pairs = stored.view(np.int8).reshape(-1, cols, 2)
    pairs[:, :, 0] = m[0::2]
    pairs[: rows // 2, :, 1] = m[1::2]
    return stored.astype(np.int16, copy=False)


def unpack_cols(stored: np.ndarray, rows: int) -> np.ndarray:
    """The int8 matrix with `rows` rows that lies packed along its columns in an int16 matrix."""
    pairs = np.ascontiguousarray(stored, "<i2").view(np.int8).reshape(*stored.shape, 2)
    return pairs.transpose(0, 2, 1).reshape(-1, stored.shape[1])[:rows]


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
    x *= 0x7FFF
    x -= 1
    t = x >> 12
    x ^= t
    x *= 5
    np.right_shift(x, 4, out=t)
    x ^= t
    x *= 0x809
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


@lru_cache(maxsize=16)
def _places(count: int) -> np.ndarray:
    return np.arange(count, dtype=np.uint32)


@lru_cache(maxsize=32)
def _group_index(groups: int) -> np.ndarray:
    """What enters the hash for the first so many groups of four columns."""
    return _places(groups) ^ _places(groups) << 12


def _doubled(y: np.ndarray) -> np.ndarray:
    """Product with a primitive element of GF(2**16)."""
    return (y << 1 & 0xFFFF ^ (y >> 15) * 0x2D).astype(np.uint16)


_DOUBLED = _doubled(np.arange(1 << 16))


def _four(h: np.ndarray) -> np.ndarray:
    """The random 16-bit numbers of the columns that share each `h`, four of each row's: uint16, shape (rows, columns)."""
    rows, groups = h.shape
    halves = h.astype("<u4", copy=False).view("<u2").reshape(rows, groups, 2)
    x, y = halves[..., 0], halves[..., 1]
    four = np.empty((rows, groups, 4), np.uint16)
    four[..., :2] = halves
    np.bitwise_xor(x, y, out=four[..., 2])
    np.bitwise_xor(x, _DOUBLED[y], out=four[..., 3])
    return four.reshape(rows, 4 * groups)


def rand16_grid(key: int, rows: int, cols: int, first: int = 0) -> np.ndarray:
    """Random numbers that round the elements of a matrix whose first row is number `first`: uint16, shape (rows, cols)."""
    keys = mix32_array(_places(rows) + np.uint32(first) ^ np.uint32(key))
    return _four(mix32_array(keys[:, None] ^ _group_index(-(-cols // 4))))[:, :cols]


def rand16_lines(key: int, count: int, firsts: tuple[int, ...]) -> np.ndarray:
    """The same of elements numbered as in update (row = first + (i >> 16), col = i & 0xFFFF): shape (len(firsts), count)."""
    rows, cols = -(-count >> 16), min(count, 1 << 16)
    keys = np.array([mix32(key ^ first + row) for first in firsts for row in range(rows)], np.uint32)
    return _four(mix32_array(keys[:, None] ^ _group_index(-(-cols // 4)))).reshape(len(firsts), -1)[:, :count]


def store(v: np.ndarray, e_v: int, e_to: int, stochastic: bool, key: int) -> tuple[np.ndarray, Result]:
    """Round exact values ``v * 2**e_v`` (int64 matrix) to int16 with exponent `e_to` and report the result."""
    track, result_top = top(v, e_v)
    s = e_to - e_v
    r = rand16_grid(key, *v.shape) if stochastic and s > 0 else 0
    c, saturations = saturate16(shift_round(v, s, stochastic, r))
    return c, Result(track, result_top, saturations)
