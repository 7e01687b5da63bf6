# SPDX-License-Identifier: Apache-2.0
"""Words that nobody can correct, read while a program and a request run beside each other, on the RTL compiled in process."""

import numpy as np
import pytest

from lathe.backends.verilator import VerilatorBackend
from pymodels.csr_map import MEMORIES, REGISTERS
from pymodels.descriptor import Error, encode

pytestmark = pytest.mark.xdist_group("verilated")

LANES, BANKS = 4, 2
TORN = 1001  # a word of the small product's left operand
LONG = {"unit": 1, "m": 16, "n": 16, "k": 32, "t0_addr": 0, "t0_stride": 8, "t0_exp": 1, "t1_addr": 200, "t1_stride": 4, "t1_exp": 2,
        "t2_addr": 500, "t2_stride": 4, "t2_exp": 3}
SMALL = {"unit": 1, "m": 4, "n": 4, "k": 4, "t0_addr": 1000, "t0_stride": 1, "t0_exp": 20, "t1_addr": 1010, "t1_stride": 1, "t1_exp": 21,
         "t2_addr": 1020, "t2_stride": 1, "t2_exp": 22}
COMMIT = {"unit": 3, "op": 1}


class Chip:
    """A chip with a torn word, a program at index 0 and a request at 200."""

    def __init__(self, program: list[dict], request: list[dict], arbiter: int = 0):
        self.backend = VerilatorBackend(LANES, BANKS, np.zeros(1 << 16, np.uint8), 1, 8)
        self.backend.advance(BANKS * 1024)  # the scratchpad is zeroed
        for name, value in (("GROUP_BASE", 1600), ("GROUP_SIZE", 100), ("GROUP_SLOTS", 2), ("GROUP_VERSION", 7), ("CONTROL", 8),
                            ("SCRUB", 0), ("ARBITER", arbiter | 6 << 8), ("REQUEST_PC", 200),
                            ("FAULT_BITS", 3 | 14 << 16 | 1 << 31), ("FAULT_INJECT", TORN)):
            self.write(name, value)
        for first, steps in ((0, program), (200, request)):
            for index, step in enumerate(steps):
                for word, value in enumerate(encode(step | {"last": int(index == len(steps) - 1)})):
                    self.backend.csr_write(MEMORIES["PROGRAM"].offset + 64 * (first + index) + 4 * word, int(value))

    def write(self, name: str, value: int) -> None:
        self.backend.csr_write(REGISTERS[name].offset, value)

    def read(self, name: str) -> dict[str, int]:
        return REGISTERS[name].unpack(self.backend.csr_read(REGISTERS[name].offset))

    def run(self, delay: int) -> tuple[int, int]:
        """Start the request and, so many cycles later, the program; return the error codes of program and request."""
        self.write("CONTROL", 16)
        self.backend.advance(delay)
        self.write("CONTROL", 1)
        for _ in range(200):
            self.backend.advance(50)
            status = self.read("STATUS")
            if not status["busy"] and not status["request_busy"]:
                break
        assert status["done"] or status["error"]
        assert status["request_done"] or status["request_error"]
        found = self.read("ERROR")["code"], self.read("REQUEST_ERROR")["code"]
        self.version = self.read("VERSION")["value"]
        self.backend.close()
        return found


@pytest.mark.parametrize("arbiter", range(4))
def test_whoever_reads_a_torn_word_ends_with_the_error(arbiter):
    for delay in range(0, 700, 50):
        assert Chip([SMALL], [LONG], arbiter).run(delay)[0] == Error.UNCORRECTABLE, delay
        assert Chip([LONG], [SMALL], arbiter).run(delay)[1] == Error.UNCORRECTABLE, delay


@pytest.mark.parametrize("delay", [60, 2000])
def test_a_commit_that_waits_for_a_request_that_reads_a_torn_word_fails(delay):
    chip = Chip([COMMIT], [LONG, SMALL])
    errors = chip.run(delay)
    if delay == 60:
        assert errors == (Error.UNCORRECTABLE, Error.UNCORRECTABLE) and chip.version == 7
    else:  # the request had ended before: a program's start begins anew
        assert errors == (Error.NONE, Error.UNCORRECTABLE) and chip.version == 8
