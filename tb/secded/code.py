# SPDX-License-Identifier: Apache-2.0
"""The code of scratchpad words, from docs/architecture.md, "Faults"."""

from functools import cache


@cache
def columns(width: int) -> tuple[int, ...]:
    """Return for each of `width` data bits (64, 128 or 256) the check bits that it enters, as bits of an int.

    With c check bits: the numbers below 2**c with three ones, then those with five. Of each kind, in ascending order, those
    that are the smallest of their rotations within c bits, each followed by its other rotations, one to the left at a time.
    """
    checks = checks_of(width)
    found: list[int] = []
    for ones in (3, 5):
        for number in range(1 << checks):
            turns = [number << i & (1 << checks) - 1 | number >> checks - i for i in range(checks)]
            if number.bit_count() == ones and number == min(turns):
                found += dict.fromkeys(turns)
    return tuple(found[:width])


def checks_of(width: int) -> int:
    """Return the number of check bits of a word of `width` data bits."""
    return {64: 8, 128: 9, 256: 10}[width]


def encode(data: int, width: int) -> int:
    """Return the check bits of a word: the XOR of its ones' columns."""
    check = 0
    for bit, column in enumerate(columns(width)):
        if data >> bit & 1:
            check ^= column
    return check
