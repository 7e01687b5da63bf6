# SPDX-License-Identifier: Apache-2.0
"""docs/numerics.md, sections 2 to 4, sentence by sentence in Python's unbounded integers: slow, for tests of models and RTL."""


def clamp(x: int, bits: int) -> int:
    """Clamp to `bits` bits signed."""
    return min(max(x, -(1 << bits - 1)), (1 << bits - 1) - 1)


def magnitude(x: int) -> int:
    return x if x >= 0 else -1 - x


def window(v: int, s: int) -> tuple[int, bool]:
    """(x, lost)."""
    s = min(max(s, -16), 62)
    if s <= 16:
        return clamp(v << 16 - s, 35), False
    return clamp(v >> s - 16, 35), v % (1 << s - 16) != 0


def round_window(x: int, lost: bool, stochastic: bool, r: int) -> int:
    q, f = x >> 16, x % (1 << 16)
    if stochastic:
        return q + (f + r >> 16)
    return q + (f > 0x8000 or (f == 0x8000 and bool(lost or q % 2)))


def shift_round(v: int, s: int, stochastic: bool, r: int) -> int:
    s = min(max(s, -16), 62)
    if s <= 0:
        return v << -s
    q, f, sticky = v >> s, (v % (1 << s) << 16) >> s, (v % (1 << s) << 16) % (1 << s) != 0
    return round_window(q << 16 | f, sticky, stochastic, r)


def tracked(values: list[tuple[int, bool]], e_to: int) -> tuple[int, int]:
    """(track, top) of a result whose elements are (x, lost)."""
    ones = 0
    for x, _ in values:
        ones |= magnitude(x)
    if not ones and not any(lost for _, lost in values):
        return 0, 0
    return 1, clamp_top(e_to - 16 + ones.bit_length())


def clamp_top(top: int) -> int:
    return min(max(top, -127), 127)


def align(x: int, s: int, up: int) -> int:
    s = min(s, up)
    return x << s if s >= 0 else x >> min(-s, 63)


def mix32(x: int) -> int:
    m = 0xFFFFFFFF
    x = (~x + (x << 15)) & m
    x ^= x >> 12
    x = (x + (x << 2)) & m
    x ^= x >> 4
    x = (x + (x << 3) + (x << 11)) & m
    return x ^ x >> 16


def rand32(key: int, row: int, col: int) -> int:
    return mix32(mix32(key ^ row) ^ col)


def rand16(key: int, row: int, col: int) -> int:
    p = col >> 2
    h = rand32(key, row, p ^ p << 12 & 0xFFFFFFFF)
    x, y = h & 0xFFFF, h >> 16
    return (x, y, x ^ y, x ^ (y << 1 & 0xFFFF) ^ (0x2D if y & 0x8000 else 0))[col & 3]
