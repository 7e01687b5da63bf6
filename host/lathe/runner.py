# SPDX-License-Identifier: Apache-2.0
"""Starts programs and requests that lie in program memory, waits for their ends and says what went wrong."""

from typing import TYPE_CHECKING

from pymodels.csr_map import REGISTERS
from pymodels.descriptor import Error

from .errors import DeviceError, DeviceTimeout
from .grants import Grants
from .program import Program
from .requests import FIRST_OPNUM

if TYPE_CHECKING:
    from .device import Device

_START_PC, _REQUEST_PC, _CONTROL, _STATUS = (REGISTERS[name].offset for name in ("START_PC", "REQUEST_PC", "CONTROL", "STATUS"))
_START, _REQUEST = (REGISTERS["CONTROL"].pack(**{name: 1}) for name in ("start", "request"))
_BUSY, _DONE, _ERROR, _REQUEST_BUSY, _REQUEST_DONE, _REQUEST_ERROR, _FAULT = (
    REGISTERS["STATUS"].pack(**{name: 1}) for name in ("busy", "done", "error", "request_busy", "request_done", "request_error", "fault"))
_EVENTS = _DONE | _ERROR | _REQUEST_DONE | _REQUEST_ERROR | _FAULT  # whatever raises the interrupt; a fault is counted elsewhere


class Runner:
    """Runs a program and, beside it, requests; both raise the same interrupt.

    Parameters
    ----------
    device : Device
        Its back end is used; its state is what a time-out reports.
    """

    def __init__(self, device: "Device"):
        self._device = device
        self._grants = Grants(device.backend)
        self.ended = 0  # how the program ended, in bits of STATUS, if that was seen
        self._requested: tuple[Program, int] | None = None  # a request whose end nobody has waited for yet, and its place
        self._request_ended = 0  # how it ended, if that was seen
        self.opnum = FIRST_OPNUM  # of the next request's first descriptor

    def forget(self) -> None:
        """Wait for nothing any more: the chip was reset."""
        self.ended = self._request_ended = 0
        self._requested = None
        self.opnum = self._device.registers.value("REQUEST_OPNUM")

    def start(self, program: Program, first: int) -> None:
        """Start the program at index `first` of program memory; it may write what its descriptors name."""
        self._grants.program(program)
        backend = self._device.backend
        backend.csr_write(_START_PC, first)
        backend.csr_write(_CONTROL, _START)

    @property
    def started(self) -> bool:
        """Whether a program runs, or has ended and nobody has waited for that."""
        return bool(self.ended or self._device.backend.csr_read(_STATUS) & (_BUSY | _DONE | _ERROR))

    def finish(self, program: Program, first: int) -> None:
        """Wait for the end of the program that was started.

        Raises
        ------
        DeviceError
            It ended with an error.
        DeviceTimeout
            It did not end.
        """
        backend = self._device.backend
        while not self.ended:
            self._wait(program, program.cycle_limit)
            status = backend.csr_read(_STATUS) & _EVENTS
            if not status:
                raise self._unended(program)
            self.ended = status & (_DONE | _ERROR)
            self._request_ended |= status & (_REQUEST_DONE | _REQUEST_ERROR)
            if not self.ended:
                backend.csr_write(_STATUS, status)  # of a request whose wait was interrupted
        backend.csr_write(_STATUS, self.ended)  # so that before a start it is clear
        if not self.ended & _DONE:
            raise self._error(program, first, "ERROR")

    def request(self, program: Program, first: int, beside: Program | None) -> None:
        """Start the request at index `first` and wait for its end, whether that of the program `beside` it comes before or not.

        Errors as of `finish`, of the request alone.
        """
        backend = self._device.backend
        self._grants.request(program)
        backend.csr_write(_REQUEST_PC, first)
        self._requested, self._request_ended = (program, first), 0
        backend.csr_write(_CONTROL, _REQUEST)
        self._finish_request(beside)

    def settle(self, beside: Program | None) -> None:
        """Wait for the end of a request whose wait was interrupted; errors as of `finish`."""
        if self._requested and not self._request_ended:
            if not self._device.backend.csr_read(_STATUS) & (_REQUEST_BUSY | _REQUEST_DONE | _REQUEST_ERROR):
                self._requested = None  # the interrupt came before it was started
        if self._requested:
            self._finish_request(beside)

    def _finish_request(self, beside: Program | None) -> None:
        program, first = self._requested
        limit = program.cycle_limit + (beside.cycle_limit if beside else 0)
        try:
            while not self._request_ended:
                self._wait(program, limit)
                status = self._device.backend.csr_read(_STATUS) & _EVENTS
                if not status:
                    raise self._unended(program)
                self.ended |= status & (_DONE | _ERROR)
                self._request_ended = status & (_REQUEST_DONE | _REQUEST_ERROR)
                self._device.backend.csr_write(_STATUS, status)  # takes the interrupt back
        except Exception:
            self._requested = None
            raise
        self._requested = None
        self.opnum = self.opnum + len(program.operations) & 0xFFFFFFFF
        if not self._request_ended & _REQUEST_DONE:
            self._device.registers.set("REQUEST_OPNUM", self.opnum)  # how many were read ahead is a matter of timing
            raise self._error(program, first, "REQUEST_ERROR")

    def _wait(self, program: Program, limit: int) -> None:
        try:
            self._device.backend.run(limit)
        except TimeoutError as error:
            raise DeviceTimeout(f"program '{program.name}' did not end within {limit} cycles ({error}); this is a fault of the chip, "
                                f"close the device and report this state:\n{self._device.status()}") from error

    def _unended(self, program: Program) -> DeviceTimeout:
        return DeviceTimeout(f"program '{program.name}' neither ended nor failed:\n{self._device.status()}")

    def _error(self, program: Program, first: int, register: str) -> DeviceError:
        error = self._device.registers.read(register)
        code, index = error_name(error["code"]), error["pc"] - first
        label, remedy = program.explain(index, code)
        return DeviceError(f"program '{program.name}', descriptor {index} '{label}': {code}: {remedy}", code, index, label)


def error_name(code: int) -> str:
    """Return the name of an error code."""
    return Error(code).name.lower() if code in set(Error) else f"code {code}"
