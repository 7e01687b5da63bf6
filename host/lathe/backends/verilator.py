# SPDX-License-Identifier: Apache-2.0
"""The RTL, compiled by Verilator into a shared library and run in this process."""

import ctypes
import os

import numpy as np

from . import Closed
from .build import BuildError, build

__all__ = ["BuildError", "VerilatorBackend"]


class VerilatorBackend:
    """The chip itself, simulated cycle by cycle in compiled code.

    Parameters
    ----------
    lanes, banks : int
        Build parameters of the RTL.
    memory : ndarray of uint8
        Outside memory; chip and host share this buffer. Addresses beyond it answer with a decode error.
    seed : int
        Seed of the registers' random initial values; it must not change any result.
    latency : int
        Cycles from a memory request to its first answer.
    """

    name = "verilator"
    library = staticmethod(build)  # lanes, banks -> the compiled chip

    def __init__(self, lanes: int, banks: int, memory: np.ndarray, seed: int = 1, latency: int = 8):
        if memory.dtype != np.uint8 or not memory.flags.c_contiguous:
            raise ValueError("memory must be a contiguous uint8 array")
        self.memory = memory  # keeps the buffer alive as long as the chip
        self._lib = ctypes.CDLL(str(self.library(lanes, banks)))
        self._lib.lathe_sim_new.restype = ctypes.c_void_p
        self._lib.lathe_sim_new.argtypes = [ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint32, ctypes.c_uint32]
        self._lib.lathe_sim_free.argtypes = [ctypes.c_void_p]
        self._lib.lathe_sim_reset.argtypes = [ctypes.c_void_p, ctypes.c_int]
        self._lib.lathe_sim_write.argtypes = [ctypes.c_void_p, ctypes.c_uint32, ctypes.c_uint32]
        self._lib.lathe_sim_read.argtypes = [ctypes.c_void_p, ctypes.c_uint32, ctypes.POINTER(ctypes.c_uint32)]
        self._lib.lathe_sim_run.argtypes = [ctypes.c_void_p, ctypes.c_uint64]
        self._lib.lathe_sim_advance.argtypes = [ctypes.c_void_p, ctypes.c_uint64]
        self._lib.lathe_sim_trace.argtypes = [ctypes.c_void_p, ctypes.c_int]
        self._lib.lathe_sim_trace_size.argtypes = [ctypes.c_void_p]
        self._lib.lathe_sim_trace_size.restype = ctypes.c_uint64
        self._lib.lathe_sim_trace_read.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
        self._lib.lathe_sim_cycles.argtypes = [ctypes.c_void_p]
        self._lib.lathe_sim_cycles.restype = ctypes.c_uint64
        self._sim = self._lib.lathe_sim_new(memory.ctypes.data, memory.nbytes, seed & 0xFFFFFFFF, latency)
        self._word = ctypes.c_uint32()
        self._process = os.getpid()  # the model's threads are here alone

    @property
    def cycles(self) -> int:
        """Clock cycles since the chip was made, register accesses included."""
        return self._lib.lathe_sim_cycles(self._sim)

    def csr_write(self, address: int, value: int) -> None:
        """Write one 32-bit register over AXI4-Lite."""
        code = self._lib.lathe_sim_write(self._sim, address, value & 0xFFFFFFFF)
        if code:
            raise OSError(f"register write at {address:#06x} failed: {_response(code)}")

    def csr_read(self, address: int) -> int:
        """Read one 32-bit register over AXI4-Lite."""
        code = self._lib.lathe_sim_read(self._sim, address, ctypes.byref(self._word))
        if code:
            raise OSError(f"register read at {address:#06x} failed: {_response(code)}")
        return self._word.value

    def run(self, max_cycles: int) -> None:
        """Run until the interrupt; raises TimeoutError when it has not come after `max_cycles` cycles."""
        if self._lib.lathe_sim_run(self._sim, max_cycles):
            raise TimeoutError(f"no interrupt within {max_cycles} cycles")

    def advance(self, cycles: int) -> None:
        """Let that many clock cycles pass."""
        self._lib.lathe_sim_advance(self._sim, cycles)

    def start_trace(self) -> None:
        """Record every change of the chip's trace port from now on."""
        self._lib.lathe_sim_trace(self._sim, 1)

    def stop_trace(self) -> np.ndarray:
        """Return what was recorded, uint64 (changes, 2): a cycle and what the port shows from then on."""
        self._lib.lathe_sim_trace(self._sim, 0)
        changes = np.empty((self._lib.lathe_sim_trace_size(self._sim), 2), np.uint64)
        self._lib.lathe_sim_trace_read(self._sim, changes.ctypes.data)
        return changes

    def reset(self, power_on: bool = False) -> None:
        """Reset the chip; weights, their version and exponents survive unless `power_on`."""
        self._lib.lathe_sim_reset(self._sim, int(power_on))

    def close(self) -> None:
        """Free the simulation; every later call is a BackendError."""
        if self._sim:
            if self._process == os.getpid():
                self._lib.lathe_sim_free(self._sim)
            self._sim, self._lib = None, Closed()


def _response(code: int) -> str:
    return {-1: "no answer within 10,000 cycles", 2: "slave error", 3: "no register at this address"}.get(code, str(code))
