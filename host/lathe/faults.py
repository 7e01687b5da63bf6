# SPDX-License-Identifier: Apache-2.0
"""Flipped bits in the scratchpad: what the chip found, and flipping them on purpose."""

from operator import index
from typing import TYPE_CHECKING, NamedTuple

from .errors import SettingsError

if TYPE_CHECKING:
    from .device import Device


class Faults(NamedTuple):
    """What was found in the scratchpad since the counters were last cleared (CONTROL.perf_clear).

    Attributes
    ----------
    corrected, uncorrected : int
        Times that a word with one flipped bit, with two was found, by units and scrubber.
    address : int or None
        The last one's word address; None if there was none since reset.
    uncorrectable : bool
        It had two.
    where : str
        What lies there.
    """

    corrected: int
    uncorrected: int
    address: int | None
    uncorrectable: bool
    where: str


def read_faults(device: "Device") -> Faults:
    """Read what was found."""
    counts = (device.registers.value(f"FAULT_{what}") for what in ("CORRECTED", "UNCORRECTED"))
    last = device.registers.read("FAULT_ADDRESS")
    found = any(last.values()) or device.registers.value("FAULT_CORRECTED") > 0
    where = device.layout.where(last["value"]) if found else "nothing was found"
    return Faults(*counts, last["value"] if found else None, bool(last["uncorrectable"]), where)


def inject_fault(device: "Device", address: int, bit: int, second: int | None = None) -> None:
    """Flip one bit of a scratchpad word, or two; return when it is done.

    Parameters
    ----------
    address : int
        Word address.
    bit, second : int
        Data bits from 0 on (element 0 lowest), above them the check bits: 8, 9 or 10 of them at 4, 8 or 16 lanes.

    Raises
    ------
    SettingsError
        There is no such word or bit, or both bits are the same.
    """
    lanes, banks = device.layout.lanes, device.layout.banks
    words, bits = 1024 * banks, {4: 72, 8: 137, 16: 266}[lanes]
    try:
        address = index(address)
    except TypeError:
        raise SettingsError(f"{address!r} is no word address; a tensor outside the weight group has that of its first word as "
                            "tensor.address") from None
    if not 0 <= address < words:
        raise SettingsError(f"address {address}: the scratchpad has words 0 to {words - 1}")
    for flip in (bit, *(() if second is None else (second,))):
        if not 0 <= flip < bits:
            raise SettingsError(f"bit {flip}: a word has bits 0 to {bits - 1}, check bits included")
    if bit == second:
        raise SettingsError(f"bit {bit} twice would flip nothing; name two bits or leave the second out")
    device.registers.write("FAULT_BITS", first=bit, second=second or 0, two=int(second is not None))
    device.registers.write("FAULT_INJECT", value=address)
    while device.registers.read("FAULT_INJECT")["busy"]:
        pass
