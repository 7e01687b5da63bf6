# SPDX-License-Identifier: Apache-2.0
"""Flipped bits of scratchpad words (docs/architecture.md, "Faults"), which change no value: one is corrected, two stop a command.

On the chip it is a matter of timing who finds a flipped bit first and how often. Here a command finds those in the words that
it reads, and a scrubber looks at all words at the end of each program and request, once. Three and more flips in a word are not
modelled: they count as two.
"""

from collections.abc import Iterable

_MOST = 0xFFFFFFFF


class Faults:
    """Flips that were injected and not yet repaired, and what was found.

    Attributes
    ----------
    flips : dict of int to int
        Flipped bits (bit i: data bit i, above them the check bits) of each word that has any, by its address.
    corrected, uncorrected : int
        Times that a word with one, with two flips was found; they stay at 2**32 - 1.
    last : tuple of (int, bool, bool)
        The last one: address, uncorrectable, found by the scrubber.
    pending : bool
        One with two flips was found since this was last cleared.
    """

    def __init__(self) -> None:
        self.flips: dict[int, int] = {}
        self.reset()

    def reset(self) -> None:
        """Forget what was found; flips stay."""
        self.clear()
        self.last, self.pending = (0, False, False), False

    def clear(self) -> None:
        """Clear the counts."""
        self.corrected = self.uncorrected = 0

    def inject(self, address: int, first: int, second: int | None) -> None:
        """Flip one or two bits of a word."""
        flips = self.flips.get(address, 0) ^ 1 << first
        if second is not None:
            flips ^= 1 << second
        self.flips[address] = flips
        if not flips:
            del self.flips[address]

    def read(self, addresses: Iterable[int]) -> list[int]:
        """Read words; return the addresses of those that cannot be corrected."""
        return [address for address in addresses if address in self.flips and self._find(address, False)]

    def write(self, addresses: Iterable[int]) -> None:
        """Write words: they are whole again."""
        for address in addresses:
            self.flips.pop(address, None)

    def scrub(self) -> list[int]:
        """Look at all words and repair those with one flip; return the addresses of those with two."""
        bad = [address for address in self.flips if self._find(address, True)]
        self.flips = {address: self.flips[address] for address in bad}
        return bad

    def _find(self, address: int, scrubber: bool) -> bool:
        severe = self.flips[address].bit_count() > 1
        if severe:
            self.uncorrected = min(self.uncorrected + 1, _MOST)
            self.pending = True
        else:
            self.corrected = min(self.corrected + 1, _MOST)
        self.last = address, severe, scrubber
        return severe
