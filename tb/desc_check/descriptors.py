# SPDX-License-Identifier: Apache-2.0
"""Random legal descriptors of every operation, with operands that often end exactly at the limit."""

import numpy as np

from pymodels.check import UNPROTECTED, Grants, operands
from pymodels.descriptor import FIELDS, OPS, Space, decode, encode

LOAD = (4, 0)  # the one operation whose result may be `current`
SCAN = (2, 4)  # the one operation whose rows must lie without gaps
SGD, MOMENTUM, NESTEROV, ADAM = (3, 6), (3, 0), (3, 7), (3, 8)
STEPS = (SGD, MOMENTUM, NESTEROV, ADAM)
SLOT_OPS = ((3, 3), (3, 5))  # they name a slot
KINDS = [(int(unit), int(op)) for unit, ops in OPS.items() for op in ops]


class Limits:
    """What a descriptor is checked against."""

    def __init__(self, lanes: int, scratchpad_words: int, slot_words: int, grants: Grants = UNPROTECTED):
        self.lanes, self.scratchpad_words, self.slot_words, self.grants = lanes, scratchpad_words, slot_words, grants

    def of(self, space: int) -> int:
        return self.scratchpad_words if space == Space.ABSOLUTE else self.slot_words

    def keywords(self) -> dict[str, int]:
        return vars(self)


def _dimension(rng: np.random.Generator, most: int) -> int:
    return int(rng.choice([1, 2, most])) if rng.random() < 0.3 else int(rng.integers(1, most + 1))


def _shape(rng: np.random.Generator, kind: tuple[int, int], limits: Limits) -> dict[str, int]:
    unit, op = kind
    d = {"unit": unit, "op": op}
    if unit == 1:
        fourth = str(rng.choice(["", "", "dact", "accumulate", "colsum"]))  # what operand 4 is
        d |= {"m": _dimension(rng, 40), "n": _dimension(rng, 40), "k": _dimension(rng, 40)}
        d |= {name: int(rng.integers(0, 2)) for name in ("trans_a", "trans_b", "stochastic")}
        if fourth:
            d[fourth] = int(rng.integers(1, 3)) if fourth == "dact" else 1
        if fourth != "dact":
            d["act"] = int(rng.integers(0, 3))
        if fourth != "accumulate":
            d["bias"] = int(rng.integers(0, 2))
        if fourth not in ("dact", "colsum"):
            d["int8"] = int(rng.integers(0, 2))
        d["norm"] = int(rng.integers(0, 2))
        if not fourth and not d["norm"]:
            d["int8_result"] = int(rng.integers(0, 2))
        d["overlap"] = int(rng.integers(0, 4))
        d["chain"] = int(d["overlap"] and not d["trans_a"] and rng.integers(0, 2))
        if rng.random() < 0.1:
            d |= {"m": 1, "n": 1, "k": 16384, "trans_a": 0, "trans_b": 1}
    elif unit == 2:
        d |= {"m": _dimension(rng, 100), "n": int(rng.choice([2, 3, 8, 9, 63, 64]))}
        d |= [{"greedy": int(rng.integers(0, 2))}, {"stochastic": int(rng.integers(0, 2)), "gshift": int(rng.integers(0, 32)),
                                                          "sequence_words": int(rng.integers(0, 2))}, {}, {}, {}][op]
    elif kind in STEPS:
        words = max(1, limits.slot_words // (2 if kind == ADAM else 1))
        d |= {name: int(rng.integers(0, 2)) for name in ("stochastic", "clip", "int8_result")}
        d["m"] = _dimension(rng, min(words, 100)) if d["int8_result"] else 1
        d["n"] = _dimension(rng, max(1, words // d["m"]))
    elif kind in SLOT_OPS:
        d["k"] = int(rng.integers(0, 4))
    elif unit == 4:
        word = 2 * limits.lanes
        d |= {"m": _dimension(rng, 40), "n": _dimension(rng, 40), "mem_addr": int(rng.integers(0, 2**32)) // word * word,
              "mem_stride": int(rng.integers(0, 2**32)) // word * word}
    return d


def legal(rng: np.random.Generator, limits: Limits, kind: tuple[int, int] | None = None,
          spaces: tuple[int, ...] = (0, 0, 1, 2)) -> dict[str, int]:
    """Fields of a descriptor that passes every check, with operands in these address spaces."""
    kind = KINDS[int(rng.integers(0, len(KINDS)))] if kind is None else kind
    while True:
        d = dict.fromkeys(FIELDS, 0) | _shape(rng, kind, limits)
        d |= {"wait_mask": int(rng.integers(0, 2**16)), "post_mask": int(rng.integers(0, 2**16)), "last": int(rng.integers(0, 2))}
        for i, t in operands(d, limits.lanes).items():
            space = int(rng.choice([s for s in spaces if s != Space.CURRENT or not t.result or kind == LOAD]))
            room = limits.of(space) - t.words
            if room < 0:
                break
            stride = t.words + int(rng.integers(0, 3)) * (kind != SCAN) if t.rows > 1 else int(rng.integers(0, 2**16))
            if t.rows > 1 and (t.rows - 1) * stride > room:
                stride = t.words
            room -= (t.rows - 1) * stride
            if room < 0:
                break
            addr = room if rng.random() < 0.4 else int(rng.integers(0, room + 1))
            if t.result and space == 0 and not limits.grants.allows(addr, addr + (t.rows - 1) * stride + t.words - 1):
                break
            d |= {f"t{i}_space": space, f"t{i}_stride": stride, f"t{i}_exp": int(rng.integers(0, 64 if space == 0 else 16)),
                  f"t{i}_addr": addr}
        else:
            return d


def number(fields: dict[str, int]) -> int:
    """The descriptor as one number of 512 bits."""
    return sum(int(word) << 32 * i for i, word in enumerate(encode(fields)))


def words(value: int) -> np.ndarray:
    """The 16 words of such a number."""
    return np.array([value >> 32 * i & 0xFFFFFFFF for i in range(16)], np.uint32)


def unit_of(value: int) -> int:
    return decode(words(value))["unit"]
