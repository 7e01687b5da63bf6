# SPDX-License-Identifier: Apache-2.0
"""Runs the same training on several back ends side by side and compares everything after each program.

`Lockstep` is itself a back end: the trainer does not know that it drives more than one chip.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from pymodels.csr_map import REGISTERS
from pymodels.descriptor import encode

from .algorithms import make_trainer
from .allocator import Layout
from .backends import open_backend, options_of
from .errors import LatheError, MismatchError
from .registers import STATISTICS, UNITS, WATCHER_INDEX, Registers
from .settings import Settings

EXPONENT_REGISTERS = 128
#: Registers whose content depends on time, which the back ends need not share.
_TIMED = {offset.offset for name, offset in REGISTERS.items()
          if name.startswith(("CYCLES", "MAC_STEPS", *(f"{unit.upper()}_" for unit in UNITS)))}
_CONTROL = REGISTERS["CONTROL"]


class Lockstep:
    """Several back ends that get the same writes and must show the same state after each program.

    Compared are outside memory, status, operation number, weight version and slot, saturations, statistics, all exponent
    registers, and the whole scratchpad, which a store program on each chip brings out.

    Parameters
    ----------
    names : list of str or callable
        Back ends, as for `Device`; the host talks to the first.
    lanes, banks, memory, seed
        As for every back end; each other one gets a copy of the memory. All use as much of it as each has.
    options
        Of those back ends that take them.

    Attributes
    ----------
    layout : Layout or None
        Set by the device; differences are named by its tensors.
    programs, words : int
        Programs and scratchpad words compared so far.
    """

    def __init__(self, names: list[str | Callable], lanes: int, banks: int, memory: np.ndarray, seed: int, **options):
        self.names = [name if isinstance(name, str) else f"back end {index}" for index, name in enumerate(names)]
        self.lanes, self.scratchpad_words = lanes, banks * 1024
        self.layout: Layout | None = None
        self.programs = self.words = 0
        self._chips = []
        for index, name in enumerate(names):
            chip = lanes, banks, memory if index == 0 else memory.copy(), seed + index
            self._chips.append(open_backend(name, *chip, **{option: options[option] for option in options_of(name) if option in options})
                               if isinstance(name, str) else name(*chip))
        self._bytes = min(chip.memory.nbytes for chip in self._chips)
        self.memory = self._memory(self._chips[0])
        self._registers = [Registers(chip) for chip in self._chips]
        for registers in self._registers:
            registers.write("IRQ_ENABLE", enable=1)
        self._fill(seed)

    @property
    def cycles(self) -> int:
        return max(chip.cycles for chip in self._chips)

    def csr_write(self, address: int, value: int) -> None:
        if address == _CONTROL.offset and _CONTROL.unpack(value)["request"]:
            raise LatheError("back ends side by side are compared after each program and serve no requests; open one back end alone")
        if address == _CONTROL.offset and _CONTROL.unpack(value)["start"]:
            for chip in self._chips[1:]:
                self._memory(chip)[:] = self.memory
        for chip in self._chips:
            chip.csr_write(address, value)

    def csr_read(self, address: int) -> int:
        values = [chip.csr_read(address) for chip in self._chips]
        if address in _TIMED:
            return max(values)
        for name, value in zip(self.names, values, strict=True):
            if value != values[0]:
                raise MismatchError(f"{self._after()}: register {_register_name(address)} is {values[0]:#x} on {self.names[0]} and "
                                    f"{value:#x} on {name}")
        return values[0]

    def run(self, max_cycles: int) -> None:
        for chip in self._chips:
            chip.run(max_cycles)
        self.programs += 1
        self._compare()

    def close(self) -> None:
        for chip in self._chips:
            chip.close()

    def _memory(self, chip) -> np.ndarray:
        return chip.memory[:self._bytes]

    def _after(self) -> str:
        return f"after program {self.programs}"

    def _fill(self, seed: int) -> None:
        """Give all scratchpads the same random content; they are not reset."""
        content = np.random.default_rng(seed).integers(-1 << 15, 1 << 15, (self.scratchpad_words, self.lanes), np.int16)
        for chip, registers in zip(self._chips, self._registers, strict=True):
            saved = chip.memory.copy()
            for first, words in self._pieces():
                self._staged(chip, words)[:] = content[first:first + words]
                self._move_scratchpad(chip, registers, "load", first, words)
            chip.memory[:] = saved

    def _pieces(self) -> Iterator[tuple[int, int]]:
        """Yield (first word, words) of as many pieces of the scratchpad as fit into memory one at a time."""
        at_a_time = min(self._bytes // (2 * self.lanes), self.scratchpad_words)
        for first in range(0, self.scratchpad_words, at_a_time):
            yield first, min(at_a_time, self.scratchpad_words - first)

    def _staged(self, chip, words: int) -> np.ndarray:
        return chip.memory[:words * 2 * self.lanes].view(np.int16).reshape(words, self.lanes)

    def _move_scratchpad(self, chip, registers: Registers, op: str, first: int, words: int) -> None:
        """Move words of the scratchpad to or from the beginning of a chip's memory; leaves its registers as they were."""
        operand = {"load": 2, "store": 0}[op]
        kept = {name: registers.value(name) for name in ("OPNUM", "START_PC")}
        registers.write_program(WATCHER_INDEX, encode({
            "unit": "dma", "op": op, "last": 1, f"t{operand}_addr": first, f"t{operand}_stride": words, "m": 1, "n": words,
            "mem_stride": words * 2 * self.lanes}))
        registers.set("START_PC", WATCHER_INDEX)
        registers.write("CONTROL", start=1)
        chip.run(100 * self.scratchpad_words)
        status = registers.read("STATUS")
        if not status["done"]:
            raise LatheError(f"the scratchpad cannot be brought out: {status}, {registers.read('ERROR')}")
        for name, value in kept.items():
            registers.set(name, value)

    def _scratchpad(self, chip, registers: Registers) -> np.ndarray:
        saved = chip.memory.copy()
        content = np.empty((self.scratchpad_words, self.lanes), np.int16)
        for first, words in self._pieces():
            self._move_scratchpad(chip, registers, "store", first, words)
            content[first:first + words] = self._staged(chip, words)
        chip.memory[:] = saved
        return content

    def _compare(self) -> None:
        states = [self._state(chip, registers) for chip, registers in zip(self._chips, self._registers, strict=True)]
        first = states[0]
        if first["status"]["error"]:
            for name, state in zip(self.names[1:], states[1:], strict=True):
                for what in ("status", "error", "version", "slot"):
                    self._equal(what, name, first[what], state[what])
            return  # how far the units had come is a matter of timing
        memories = [self._memory(chip) for chip in self._chips]
        dumps = [self._scratchpad(chip, registers) for chip, registers in zip(self._chips, self._registers, strict=True)]
        self.words += self.scratchpad_words
        for index, name in enumerate(self.names[1:], 1):
            for what, value in states[index].items():
                self._equal(what, name, first[what], value)
            different = np.argwhere(dumps[0] != dumps[index])
            if len(different):
                word, lane = map(int, different[0])
                where = self.layout.where(word) if self.layout else "scratchpad"
                raise MismatchError(
                    f"{self._after()}: {where}, lane {lane} (scratchpad word {word}) is {dumps[0][word, lane]} on {self.names[0]} and "
                    f"{dumps[index][word, lane]} on {name}; {len(different)} elements differ in all")
            if not np.array_equal(memories[0], memories[index]):
                at = int(np.argmax(memories[0] != memories[index]))
                raise MismatchError(f"{self._after()}: outside memory at byte {at:#x} is {memories[0][at]} on {self.names[0]} and "
                                    f"{memories[index][at]} on {name}")

    def _state(self, chip, registers: Registers) -> dict:
        return {
            "status": registers.read("STATUS"), "error": registers.read("ERROR"), "version": registers.value("VERSION"),
            "slot": registers.read("SLOT"), "operation number": registers.value("OPNUM"),
            "saturations": registers.value("SATURATIONS"), "statistics": registers.statistics(),
            "exponents": [registers.read_exponent(index) for index in range(EXPONENT_REGISTERS)]}

    def _equal(self, what: str, name: str, expected, value) -> None:
        if expected == value:
            return
        if what == "exponents":
            index = next(i for i, (a, b) in enumerate(zip(expected, value, strict=True)) if a != b)
            owner = self.layout.exponent_owner(index) if self.layout else "?"
            what = f"exponent register {index} (exponent, next, static) of {owner}"
            expected, value = expected[index], value[index]
        elif what == "statistics":
            what = next(key for key in STATISTICS if expected[key] != value[key])
            expected, value, what = expected[what], value[what], f"statistic {what}"
        raise MismatchError(f"{self._after()}: {what} is {expected} on {self.names[0]} and {value} on {name}")


def _register_name(address: int) -> str:
    return next((name for name, register in REGISTERS.items() if register.offset == address), f"{address:#06x}")


@dataclass(frozen=True)
class Verified:
    """What was compared without a difference."""

    programs: int
    updates: int
    words: int
    version: int


def verify(names: list[str], updates: int, settings: Settings, on_update: Callable[[int], None] | None = None) -> Verified:
    """Train for `updates` minibatch updates on all back ends side by side.

    Raises
    ------
    MismatchError
        At the first difference; the message names the tensor, register or statistic.
    """
    chips: list[Lockstep] = []

    def lockstep(lanes: int, banks: int, memory: np.ndarray, seed: int) -> Lockstep:
        chips.append(Lockstep(names, lanes, banks, memory, seed, **settings.backend_options))
        return chips[0]

    with make_trainer(settings, lockstep) as trainer:
        while trainer.progress.updates < updates:
            trainer.iteration(max_updates=updates)
            if on_update:
                on_update(trainer.progress.updates)
        return Verified(chips[0].programs, trainer.progress.updates, chips[0].words, trainer.progress.weight_version)
