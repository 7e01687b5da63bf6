# SPDX-License-Identifier: Apache-2.0
"""Random programs whose semaphores order units without ever blocking.

Semaphore 4*u + v is posted by unit u and awaited by unit v alone, and a descriptor waits only for what an earlier one
posts. So program order is an order in which everything can run, whatever the timing. Each unit has exponent
registers of its own, so that what a command finds in them does not depend on timing either.
"""

import numpy as np

from pymodels.check import check
from pymodels.descriptor import FIELDS, Error
from tb.desc_check.descriptors import KINDS, MOMENTUM, Limits, legal, number, words

COMMIT, ROLLBACK = (3, 1), (3, 2)
MOVES = [COMMIT, ROLLBACK, (3, 3), (3, 4), (3, 5)]  # of the weight slots
RAW = [(2, 0), (2, 2), (2, 3), (2, 4)]  # policy operations whose results have no exponent
FIXED = [kind for kind in KINDS if kind not in MOVES]  # operations that leave the weight slots alone
Program = list[dict[str, int]]


def semaphore(producer: int, consumer: int) -> int:
    """Bit of the semaphore between two units (codes 1 to 4)."""
    return 1 << 4 * (producer - 1) + consumer - 1


def own_registers(d: dict[str, int], rng: np.random.Generator) -> None:
    """Give every operand an exponent register of the descriptor's unit; results get different ones."""
    draws = {space: rng.permutation(count) for space, count in ((0, 16), (1, 4), (2, 4))}
    for i in range(6):
        space = d[f"t{i}_space"]
        if any(d[f"t{i}_{name}"] for name in ("addr", "stride", "space", "exp")):
            pool = draws[0] if space == 0 else draws[1]
            d[f"t{i}_exp"] = int(pool[i % len(pool)]) + len(pool) * (d["unit"] - 1)


def random_program(rng: np.random.Generator, limits: Limits, length: int, versions: bool = False, kept: int = 0,
                   slots: int = 4, kinds: tuple = tuple(FIXED)) -> Program:
    """A legal program of these operations. With `versions`, update commits and rolls back, and only update uses the slots."""
    program, pending = [], dict.fromkeys(range(16), 0)
    for index in range(length):
        if versions:
            kind = [*FIXED, MOMENTUM, COMMIT, COMMIT, ROLLBACK][int(rng.integers(0, len(FIXED) + 4))]
            if kind == ROLLBACK and not kept:
                kind = COMMIT
            kept = min(kept + 1, slots - 2) if kind == COMMIT else kept - (kind == ROLLBACK)
        else:
            kind = kinds[int(rng.integers(0, len(kinds)))]
        d = legal(rng, limits, kind, spaces=(0,) if versions and kind[0] != 3 else (0, 0, 1, 2))
        own_registers(d, rng)
        d |= {"last": int(index == length - 1), "wait_mask": 0, "post_mask": 0}
        for other in range(1, 5):
            bit = semaphore(other, d["unit"])
            if pending[bit.bit_length() - 1] and rng.random() < 0.5:
                pending[bit.bit_length() - 1] -= 1
                d["wait_mask"] |= bit
        for other in range(1, 5):
            bit = semaphore(d["unit"], other)
            if rng.random() < 0.3:
                pending[bit.bit_length() - 1] += 1
                d["post_mask"] |= bit
        program.append(d)
    return program


def spoil(program: Program, rng: np.random.Generator, limits: Limits, error: Error) -> int:
    """Give a random descriptor of the program this error; returns its index."""
    names = [name for name in FIELDS if name not in ("wait_mask", "post_mask", "last")]
    while True:
        index = int(rng.integers(0, len(program)))
        name = names[int(rng.integers(0, len(names)))]
        changed = program[index] | {name: int(rng.integers(0, 1 << FIELDS[name].width))}
        if check(words(number(changed)), **limits.keywords()) == error:
            program[index] = changed
            return index


def lose_posts(program: Program, rng: np.random.Generator, count: int) -> None:
    """Remove random posts, so that somebody waits for ever (if anybody waited for them)."""
    for _ in range(count):
        posting = [d for d in program if d["post_mask"]]
        d = posting[int(rng.integers(0, len(posting)))]
        bits = [1 << i for i in range(16) if d["post_mask"] >> i & 1]
        d["post_mask"] &= ~bits[int(rng.integers(0, len(bits)))]


def memory_words(program: Program) -> np.ndarray:
    """The program as words of program memory."""
    return np.concatenate([words(number(d)) for d in program])
