# SPDX-License-Identifier: Apache-2.0
"""Versions of the weights: what the slots hold, and moves between them, which take a cycle whatever the size."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from numbers import Integral
from typing import NamedTuple

from pymodels.descriptor import Error, UpdateOp

from .allocator import ABSOLUTE_EXPONENTS, Layout
from .errors import VersionError
from .interrupts import held_back
from .registers import Registers
from .tensor import Tensor
from .threads import alone

_SLOTS = 4  # registers of the largest chip


class Version(NamedTuple):
    """A version that the chip holds."""

    number: int
    slot: int
    current: bool
    pinned: bool
    bad: bool  #: an uncorrectable memory error was found in it

    def __str__(self) -> str:
        marks = [name for name in ("current", "pinned", "bad") if getattr(self, name)]
        return f"{self.number} ({', '.join(marks)})" if marks else str(self.number)


def _check_number(version: int) -> None:
    if not isinstance(version, Integral):
        raise VersionError(f"a version is a whole number, not {version!r}; Device.versions lists those that the chip holds")


class Versions:
    """What `Device` offers about versions; only while no program runs.

    A version is what a commit made of the weight group: all its tensors and their exponents. Its number never names another one,
    but `Device.load` changes the current version in place.
    """

    registers: Registers
    layout: Layout
    _snapshots: Counter  # version -> snapshots not yet released
    _scaling: dict[int, dict[int, tuple[int, list[int]]]]  # version -> exponent register -> exponent of its next write, history

    @property
    def version(self) -> int:
        """Version of the current weights."""
        return self.registers.value("VERSION")

    @alone
    def versions(self) -> list[Version]:
        """Return the versions that the chip holds, the oldest first."""
        current, flags = self.registers.read("SLOT")["slot"], self.registers.read("SLOTS")
        held = [Version(self.registers.value(f"VERSIONS_{slot}"), slot, slot == current, bool(flags["pinned"] >> slot & 1),
                        bool(flags["bad"] >> slot & 1)) for slot in range(_SLOTS) if flags["valid"] >> slot & 1]
        return sorted(held)

    @alone
    def snapshot(self) -> int:
        """Pin the current version, so that no update writes over it, and return its number.

        It takes a slot of the weight group until as many calls of `release` as of `snapshot` have named it. Two slots must stay
        without a pin: a group of 3 slots keeps one snapshot, one of 4 two.

        Raises
        ------
        VersionError
            Too many versions are pinned, there is no weight group, or an uncorrectable memory error was found in the version, which
            therefore could not be restored.
        """
        self._ready("a version cannot be pinned")
        self._check_whole()
        with held_back():
            return self._pin()

    def _pin(self) -> int:
        if self._move(UpdateOp.PIN) == Error.NO_SLOT:
            raise VersionError(f"version {self.version} cannot be pinned: updates need two slots, and of the others too few are left "
                               f"without a pin; the chip holds {self._list()}. Release one of them, or make the weight group with more "
                               "slots (3 for one snapshot, 4 for two)")
        version = self.version
        if not self._snapshots[version]:  # the first one: what was written since has nothing to do with this version
            self._scaling[version] = {tensor.exponent: (self.registers.read_exponent(self.exponent_index(tensor))[1],
                                                        self.registers.read_history(ABSOLUTE_EXPONENTS + tensor.exponent))
                                      for tensor in self._scaled()}
        self._snapshots[version] += 1
        return version

    @alone
    def restore(self, version: int) -> None:
        """Return to a version that the chip still holds. The one that is left stays too, until updates need its slot.

        Weights and what the optimizer keeps go on from a snapshot with the delayed scaling that they had when it was taken, from a
        version without a snapshot with one bit of room for every tensor. Tensors outside the weight group, gradients and
        activations among them, keep the scaling that followed from what ran since, and random bits go on: the same updates
        give the same weights up to that rounding.

        Raises
        ------
        VersionError
            It is gone, or an uncorrectable memory error was found in it.
        """
        self._ready("the version cannot be changed")
        if self._move(UpdateOp.RESTORE, self._slot(version)) != Error.NONE:
            raise VersionError(f"version {version} cannot be restored: an uncorrectable memory error was found in it; the chip holds "
                               f"{self._list()}")
        self._scale()

    @alone
    def rollback(self, version: int | None = None) -> None:
        """Return to the version from which the current one was made, or to `version`, as `restore` does.

        Without `version` one version is given up that no snapshot holds: the one that is left, or an older one if `restore` had gone
        back before it was made.

        Raises
        ------
        VersionError
            It is gone, or an uncorrectable memory error was found in it.
        """
        if version is not None:
            self.restore(version)
            return
        self._ready("the version cannot be changed")
        if self._move(UpdateOp.ROLLBACK) != Error.NONE:
            raise VersionError(f"the version from which {self.version} was made is gone, or bad; the chip holds {self._list()}. Pin a "
                               "version with Device.snapshot, or make the weight group with more slots: all but two keep older versions")
        self._scale()

    @alone
    def release(self, version: int) -> None:
        """Give up a snapshot; its version stays until updates need its slot.

        Raises
        ------
        VersionError
            There is no such snapshot.
        """
        _check_number(version)
        self._ready("a version cannot be released")
        if not self._snapshots[version]:
            raise VersionError(f"no snapshot holds version {version}; snapshots: {', '.join(map(str, +self._snapshots)) or 'none'}")
        with held_back():
            if self._snapshots[version] == 1:  # the last one
                self._move(UpdateOp.UNPIN, self._slot(version))
                del self._scaling[version]
            self._snapshots[version] -= 1

    @contextmanager
    def adapt(self) -> Iterator[int]:
        """Return to the weights of now at the end of a ``with`` block, whatever was committed in it, also after an error.

        A program that was started in the block and not waited for ends first.

        >>> with device.adapt() as base:        # doctest: +SKIP
        ...     device.run(update)              # commits
        ...     device.run(evaluate)
        """
        base = self.snapshot()
        try:
            yield base
        finally:
            try:
                self._end_program()
            except KeyboardInterrupt:  # the weights can only go back when nothing runs
                self._end_program()
                raise
            finally:
                with held_back():
                    try:
                        self.restore(base)
                    finally:
                        self.release(base)

    def _scaled(self) -> list[Tensor]:
        """Return a tensor of each exponent register of the weight group that follows what is written."""
        return list({tensor.exponent: tensor for tensor in self.layout.tensors
                     if tensor.space == "current" and tensor.exponent is not None and not tensor.static}.values())

    def _scale(self) -> None:
        """Bring the exponents of the next writes to the version that has become current: until now they follow what was left."""
        saved = self._scaling.get(self.version, {})
        for tensor in self._scaled():
            index = self.exponent_index(tensor)
            exponent, following, _ = self.registers.read_exponent(index)
            following, history = saved.get(tensor.exponent, (max(following, min(exponent + 1, 63)), None))
            self.registers.write_exponent(index, exponent, False, following)
            if history is not None:
                self.registers.write_history(ABSOLUTE_EXPONENTS + tensor.exponent, history)

    def _move(self, op: UpdateOp, slot: int = 0) -> Error:
        self.registers.write("WEIGHTS", op=op, slot=slot)
        return Error(self.registers.read("WEIGHTS")["error"])

    def _slot(self, version: int) -> int:
        _check_number(version)
        slot = next((held.slot for held in self.versions() if held.number == version), None)
        if slot is None:
            raise VersionError(f"version {version} is no longer there; the chip holds {self._list()}. Pin a version with Device.snapshot "
                               "before it is updated further")
        return slot

    def _list(self) -> str:
        return f"the version{'s' * (len(self.versions()) > 1)} {', '.join(map(str, self.versions()))}"

    def _check_whole(self) -> None:
        flags = self.registers.read("SLOTS")
        if flags["bad"] >> self.registers.read("SLOT")["slot"] & 1:
            raise VersionError(f"version {self.version} cannot be pinned: an uncorrectable memory error was found in it, so that it could "
                               "not be restored; load its tensors again and run an update, whose version is whole, or restore another one")

    def _check_unpinned(self, refused: str) -> None:
        """Refuse what would write into the current version while a snapshot holds it."""
        if self._snapshots[self.version]:
            raise VersionError(f"{refused}: that would change version {self.version}, which a snapshot holds; release it first, or load "
                               "before the snapshot")

    def exponent_index(self, tensor: Tensor) -> int:
        """Return the physical exponent register that holds a tensor's exponent now."""
        raise NotImplementedError

    def _ready(self, refused: str) -> None:
        """Refuse while a program runs or the device is closed; place what was made last."""
        raise NotImplementedError

    def _end_program(self) -> None:
        """Wait for the program that was started, if any."""
        raise NotImplementedError
