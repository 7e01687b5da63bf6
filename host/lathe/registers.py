# SPDX-License-Identifier: Apache-2.0
"""Registers and memories of the chip by name; offsets and fields come from the generated map."""

import difflib
from collections.abc import Callable
from numbers import Integral

from pymodels.csr_map import MEMORIES, REGISTERS
from pymodels.descriptor import WORDS as DESCRIPTOR_WORDS

from .errors import SettingsError

#: Descriptors that program memory holds.
PROGRAM_DESCRIPTORS = MEMORIES["PROGRAM"].words // DESCRIPTOR_WORDS
#: The last descriptors of program memory: one for transfers by the device, one for whoever watches it (verify.py).
TRANSFER_INDEX, WATCHER_INDEX = PROGRAM_DESCRIPTORS - 2, PROGRAM_DESCRIPTORS - 1

#: Statistics of the policy unit: name -> bits after the binary point.
STATISTICS = {
    "count": 0, "high": 0, "low": 0, "rho_high": 0, "rho_low": 0, "masked": 0, "clipped": 0, "seq_masked": 0, "vetoed": 0,
    "sum_x": 10, "sum_x2": 20, "sum_ratio": 16, "sum_ratio2": 16, "sum_k3": 16, "sum_entropy": 16, "sum_verr2": 16,
    "max_x": 10, "min_x": 10,
}
UNITS = ("gemm", "policy", "update", "dma")
#: What commands of a program read as they start: the correction, the estimator of advantages, the optimizer.
SETTINGS = frozenset(name for name in REGISTERS if name.startswith(("RATIO_", "SCAN_", "ADAM_"))) | {
    "RHO_BOUNDS", "VETO_BOUNDS", "ENTROPY_COEF", "VALUE_COEF", "LEARNING_RATE", "MOMENTUM", "BETA1", "WEIGHT_DECAY", "CLIP_NORM"}


class Registers:
    """Reads and writes registers of a back end by name.

    Parameters
    ----------
    backend : Backend
        Anything with ``csr_read(address)`` and ``csr_write(address, value)``.
    check_idle : callable, optional
        Called with the beginning of a message before one of `SETTINGS` is written; refuses that while a program runs.

    Attributes
    ----------
    sequences : bool
        The correction whose RATIO_MODE was written last works on whole sequences, so that a loss needs theirs.
    """

    def __init__(self, backend, check_idle: Callable[[str], None] | None = None):
        self._read, self._write, self._check_idle = backend.csr_read, backend.csr_write, check_idle
        self.sequences = False

    def read(self, name: str) -> dict[str, int]:
        """Return all fields of a register."""
        register = _register(name)
        return register.unpack(self._read(register.offset))

    def value(self, name: str) -> int:
        """Return the field ``value`` of a register that has only this one."""
        return self.read(name)["value"]

    def wide(self, name: str) -> int:
        """Return a 64-bit counter that is kept in the pair ``name_LO``, ``name_HI``."""
        return self.value(f"{name}_HI") << 32 | self.value(f"{name}_LO")

    def write(self, name: str, **fields: int) -> None:
        """Write a register; fields that are not named become zero.

        Raises
        ------
        SettingsError
            There is no such register or field, or a value is no whole number.
        ValueError
            A value does not fit.
        """
        register = _register(name)
        for field, value in fields.items():
            if field not in register.fields:
                raise SettingsError(f"register {name} has no field {field!r}; its fields: {', '.join(register.fields)}")
            if not isinstance(value, Integral):
                raise SettingsError(f"{name}.{field} is {value!r} and must be a whole number (docs/registers.md has its unit)")
        if self._check_idle and name in SETTINGS:
            self._check_idle(f"register {name} cannot be written")
        self._write(register.offset, register.pack(**fields))
        if name == "RATIO_MODE":
            self.sequences = any(fields.get(field) for field in ("r_aggregate", "rho_aggregate", "veto_below", "veto_above"))

    def set(self, name: str, value: int) -> None:
        """Write the field ``value`` of a register that has only this one."""
        self.write(name, value=value)

    def statistics(self) -> dict[str, int]:
        """Return the raw statistics of the policy unit, keys as in `STATISTICS`."""
        return {name: self.wide(f"STAT_{name.upper()}") if name.startswith("sum_") else self.value(f"STAT_{name.upper()}")
                for name in STATISTICS}

    def read_exponent(self, index: int) -> tuple[int, int, bool]:
        """Return (exponent of the data, exponent of the next write, static) of a physical exponent register."""
        word = self._read(MEMORIES["EXPONENTS"].offset + 4 * index)
        return _signed8(word), _signed8(word >> 8), bool(word >> 16 & 1)

    def write_exponent(self, index: int, exponent: int, static: bool, following: int | None = None) -> None:
        """Set a physical exponent register and empty its history; `following` is for the next write, the same unless given."""
        following = exponent if following is None else following
        self._write(MEMORIES["EXPONENTS"].offset + 4 * index, (exponent & 0xFF) | (following & 0xFF) << 8 | int(static) << 16)

    def read_history(self, index: int) -> list[int]:
        """Return the history of a physical exponent register as four words of four tops, the newest first."""
        base = MEMORIES["HISTORY"].offset + 16 * index
        return [self._read(base + 4 * word) for word in range(4)]

    def write_history(self, index: int, words: list[int]) -> None:
        """Set the history of a physical exponent register to what `read_history` returns."""
        base = MEMORIES["HISTORY"].offset + 16 * index
        for word, value in enumerate(words):
            self._write(base + 4 * word, value)

    def write_program(self, first: int, descriptors) -> None:
        """Write descriptors (uint32, shape (n, 16)) into program memory from index `first` on."""
        base = MEMORIES["PROGRAM"].offset + 4 * DESCRIPTOR_WORDS * first
        for position, word in enumerate(descriptors.ravel().tolist()):
            self._write(base + 4 * position, word)


def _register(name: str):
    if name not in REGISTERS:
        near = difflib.get_close_matches(str(name).upper(), REGISTERS, 3)
        raise SettingsError(f"there is no register {name!r}" + (f"; did you mean {' or '.join(near)}?" if near else " (docs/registers.md)"))
    return REGISTERS[name]


def _signed8(value: int) -> int:
    value &= 0xFF
    return value - 256 if value >= 128 else value
