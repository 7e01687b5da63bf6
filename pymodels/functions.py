# SPDX-License-Identifier: Apache-2.0
"""Elementary functions by table (docs/numerics.md, sections 6, 7 and 9). Arrays are int64 unless stated."""

import numpy as np

#: 2**15 * tanh(i / 64), i in 0..512.
TANH_TABLE = np.minimum(np.rint(2.0**15 * np.tanh(np.arange(513) / 64)), 32767).astype(np.int64)
#: 2**16 * 2**(i / 256), i in 0..256.
EXP_TABLE = np.rint(2.0**16 * np.exp2(np.arange(257) / 256)).astype(np.int64)
#: 2**16 * ln(1 + i / 256), i in 0..256.
LN_TABLE = np.rint(2.0**16 * np.log1p(np.arange(257) / 256)).astype(np.int64)

_INDEX = np.arange(1024)
#: 2**18 * log2(1 + i / 1024), i in 0..1024: behind the documented table's end lies what `log2_q` gives for i = 1024.
LOG_TABLE = np.rint(2.0**18 * np.log2(1 + np.arange(1025) / 1024)).astype(np.int64)
#: 2**17 * log2(1 + 2**(-(2 * i + 1) / 128)): half the logarithm of a sum of squares over the larger one.
HALF_TABLE = np.rint(2.0**17 * np.log1p(np.exp2(-(2 * _INDEX + 1) / 128)) / np.log(2)).astype(np.int64)
#: 2**18 * log2(1 + 2**(-(2 * i + 1) / 128)): the logarithm of a sum over the larger one.
SUM_TABLE = np.rint(2.0**18 * np.log1p(np.exp2(-(2 * _INDEX + 1) / 128)) / np.log(2)).astype(np.int64)
#: 2**15 * 2**((2 * i + 1) / 2048).
POW_TABLE = np.rint(2.0**15 * np.exp2((2 * _INDEX + 1) / 2048)).astype(np.int64)

_TANH_STEP = np.diff(TANH_TABLE)
_EXP_STEP = np.diff(EXP_TABLE)
_LN_STEP = np.diff(LN_TABLE)


def _tanh_interpolated(a: np.ndarray) -> np.ndarray:
    """The interpolation of section 6 for arguments 0..2**18 - 1."""
    i = a >> 9
    return TANH_TABLE[i] + ((_TANH_STEP[i] * (a & 511) + 256) >> 9)


#: Results for all arguments, the negative ones (index from the end) last: one look-up instead of an interpolation.
_TANH = _tanh_interpolated(np.arange(1 << 18)).astype(np.int16)
_TANH = np.concatenate([_TANH, -_TANH[-1:], -_TANH[:0:-1]])


def tanh_q(arg: np.ndarray) -> np.ndarray:
    """Hyperbolic tangent; argument (19 bits signed) and result (int16) at LSB 2**-15.

    Monotonic; worst error 1.54 units, found by exhaustion in tests/test_models_numerics.py.
    """
    return _TANH[arg]


def exp_q(x: np.ndarray) -> np.ndarray:
    """Exponential; argument (26 bits signed) and result (21 bits unsigned, saturated) at LSB 2**-16.

    Monotonic; worst error 1.35 units for x <= 0 and a relative 3.2e-5 above, found in tests/test_models_numerics.py
    (every argument from -16 on, every 61st below).
    """
    t = (x * 94548 + (1 << 15)) >> 16  # 94548 = 2**16 / ln 2
    i = t >> 8 & 255
    m = EXP_TABLE[i] + ((_EXP_STEP[i] * (t & 255) + 128) >> 8)
    # m * 2**n as a right shift of m * 2**5 with rounding; it adds nothing where n >= 0 because the bits are 0.
    s = np.minimum(np.maximum(5 - (t >> 16), 0), 24)
    return np.minimum(((m << 5) + ((1 << s) >> 1)) >> s, (1 << 21) - 1)


def ln_q(s: np.ndarray) -> np.ndarray:
    """Natural logarithm; argument ``65536 <= s < 2**23`` and result at LSB 2**-16.

    Monotonic; worst error 1.6 units, found by exhaustion in tests/test_models_numerics.py.
    """
    k = np.frexp(s.astype(np.float64))[1].astype(np.int64) - 17
    f = (s << 6 - k) - (1 << 22)
    i = f >> 14
    return k * 45426 + LN_TABLE[i] + ((_LN_STEP[i] * (f & 0x3FFF) + (1 << 13)) >> 14)


def log2_q(a: np.ndarray) -> np.ndarray:
    """Binary logarithm of ``0 < a <= 32768``, LSB 2**-18.

    Monotonic; worst error 185 units (0.0007), found by exhaustion in tests/test_models_update.py.
    """
    n = np.frexp(a.astype(np.float64))[1].astype(np.int64) - 1
    return (n << 18) + LOG_TABLE[((a << 16 - n & 0xFFFF) + 32) >> 6]


def pow2_q(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Power of 2 of `x`, LSB 2**-18: mantissa (16 bits unsigned, LSB 2**-15) and exponent.

    Monotonic; worst relative error 3.6e-4, found by exhaustion in tests/test_models_update.py.
    """
    return POW_TABLE[x >> 8 & 1023], x >> 18
