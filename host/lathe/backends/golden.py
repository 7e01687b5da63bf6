# SPDX-License-Identifier: Apache-2.0
"""The golden model as a back end: bit-exact, without a clock, needs no compiler."""

import numpy as np

from pymodels.chip import Chip

from ..interrupts import held_back


class GoldenBackend(Chip):
    """The numpy model of the chip behind the back-end protocol.

    Parameters
    ----------
    lanes, banks : int
    memory : ndarray of uint8
        Outside memory, shared with the host.
    seed : int
        Not used: the model has no undefined initial state.
    """

    name = "golden"
    cycles = 0

    def __init__(self, lanes: int, banks: int, memory: np.ndarray, seed: int = 1):
        super().__init__(lanes, banks, memory)

    def run(self, max_cycles: int | None = None) -> None:
        """Execute what was started, to its end: Ctrl-C waits, since a descriptor that it cut off could not go on."""
        with held_back():
            super().run(max_cycles)
