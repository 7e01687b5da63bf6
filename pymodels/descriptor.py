# SPDX-License-Identifier: Apache-2.0
"""Descriptor layout, codes, and the conversion between named fields and the 16 words of a descriptor.

Everything comes from ``rtl/ctrl/descriptor.toml``, the one source of the layout. Does not check whether a descriptor
makes sense; that is :mod:`pymodels.check`.
"""

import tomllib
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

import numpy as np

_SPEC = tomllib.loads((Path(__file__).resolve().parent.parent / "rtl/ctrl/descriptor.toml").read_text())


class Field(NamedTuple):
    """Place of a field: bits ``lsb`` to ``lsb + width - 1`` of 32-bit word ``word``."""

    word: int
    lsb: int
    width: int
    doc: str


def _enum(name: str, codes: dict[str, int]) -> type[IntEnum]:
    return IntEnum(name, {key.upper(): value for key, value in codes.items()}, module=__name__)


WORDS: int = _SPEC["words"]
FIELDS: dict[str, Field] = {name: Field(*place) for name, place in _SPEC["fields"].items()}

Unit = _enum("Unit", _SPEC["unit"])
GemmOp = _enum("GemmOp", _SPEC["op"]["gemm"])
PolicyOp = _enum("PolicyOp", _SPEC["op"]["policy"])
UpdateOp = _enum("UpdateOp", _SPEC["op"]["update"])
DmaOp = _enum("DmaOp", _SPEC["op"]["dma"])
Act = _enum("Act", _SPEC["act"])
Space = _enum("Space", _SPEC["space"])
RatioAction = _enum("RatioAction", _SPEC["ratio_action"])
RatioSource = _enum("RatioSource", _SPEC["ratio_source"])
RatioAggregate = _enum("RatioAggregate", _SPEC["ratio_aggregate"])
Arbitration = _enum("Arbitration", _SPEC["arbitration"])
Error = _enum("Error", _SPEC["error"])

#: Operations of each unit.
OPS: dict[int, type[IntEnum]] = {Unit[name.upper()]: enum for name, enum in
                                 (("gemm", GemmOp), ("policy", PolicyOp), ("update", UpdateOp), ("dma", DmaOp))}
#: Fields that hold a code rather than a number (``op`` depends on the unit, see OPS).
ENUMS: dict[str, type[IntEnum]] = {"unit": Unit, "act": Act, "dact": Act} | {f"t{i}_space": Space for i in range(6)}

_PLACES = [(name, field.word, field.lsb, (1 << field.width) - 1) for name, field in FIELDS.items()]

#: Ones where a bit of a word belongs to no field and must be zero.
RESERVED: tuple[int, ...] = tuple(
    0xFFFFFFFF & ~sum(mask << lsb for _, w, lsb, mask in _PLACES if w == word) for word in range(WORDS))


def record_words(lanes: int) -> int:
    """Return the words of a row of the records that LOSS, EVALUATE and MEASURE read: 8 elements."""
    return max(1, 8 // lanes)


def _code(name: str, value: int | str, unit: int | str | None) -> int:
    """Translate the name of a code ("tanh", "gemm", ...) into its number."""
    if not isinstance(value, str):
        return int(value)
    enum = OPS.get(_code("unit", unit, None)) if name == "op" and unit is not None else ENUMS.get(name)
    if enum is None:
        raise ValueError(f"descriptor field {name} holds a number, not the name {value!r}")
    try:
        return int(enum[value.upper()])
    except KeyError:
        names = ", ".join(member.name.lower() for member in enum)
        raise ValueError(f"descriptor field {name}: {value!r} is none of {names}") from None


def encode(fields: dict[str, int | str]) -> np.ndarray:
    """Pack named fields into a descriptor.

    Parameters
    ----------
    fields : dict
        Values by field name; a field that is left out is 0. Fields that hold a code also take its name
        (``{"unit": "gemm", "op": "matmul", "act": "tanh"}``).

    Returns
    -------
    numpy.ndarray
        uint32, shape (16,).

    Raises
    ------
    ValueError
        A name that is no field, a code that does not exist, or a value that does not fit in its field.
    """
    words = [0] * WORDS
    for name, value in fields.items():
        field = FIELDS.get(name)
        if field is None:
            raise ValueError(f"a descriptor has no field {name!r}; see docs/descriptors.md")
        code = _code(name, value, fields.get("unit"))
        if not 0 <= code < 1 << field.width:
            raise ValueError(f"descriptor field {name} = {code} does not fit in {field.width} unsigned bits")
        words[field.word] |= code << field.lsb
    return np.array(words, np.uint32)


def decode(words: np.ndarray) -> dict[str, int]:
    """Unpack a descriptor (16 words) into the values of all fields; reserved bits are ignored.

    Raises
    ------
    ValueError
        If `words` are not 16.
    """
    raw = [int(word) & 0xFFFFFFFF for word in words]
    if len(raw) != WORDS:
        raise ValueError(f"a descriptor has {WORDS} words, not {len(raw)}")
    return {name: raw[word] >> lsb & mask for name, word, lsb, mask in _PLACES}


def reserved_bits(words: np.ndarray) -> bool:
    """Whether a bit that no field names is set."""
    return any(int(word) & mask for word, mask in zip(words, RESERVED, strict=True))
