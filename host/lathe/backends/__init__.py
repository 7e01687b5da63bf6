# SPDX-License-Identifier: Apache-2.0
"""Back ends: whatever executes the chip's programs, all behind one small protocol."""

from importlib import import_module
from typing import Protocol

import numpy as np

from ..errors import BackendError

#: Name of a back end -> (module, class).
BACKENDS = {"golden": ("golden", "GoldenBackend"), "verilator": ("verilator", "VerilatorBackend"),
            "serial": ("serial", "SerialBackend")}


class Backend(Protocol):
    """What a device needs of a back end.

    Attributes
    ----------
    memory : ndarray of uint8
        Outside memory, shared by both sides: what the back end was made with, or the first part of it if there is no more.
    cycles : int
        Clock cycles so far; 0 where there is no clock.
    """

    memory: np.ndarray
    cycles: int

    def csr_read(self, address: int) -> int: ...
    def csr_write(self, address: int, value: int) -> None: ...

    def run(self, max_cycles: int) -> None:
        """Return when the started program is done or failed; raise TimeoutError after `max_cycles`."""

    def close(self) -> None: ...


class Closed:
    """Stands where a back end or its library was before it was closed: every call is an error."""

    def __getattr__(self, name: str):
        return _refuse


def _refuse(*_) -> None:
    raise BackendError("the device is closed; open a new one")


def backend_class(name: str):
    """Return the class of the back end called `name`.

    Raises
    ------
    BackendError
        There is none of that name.
    """
    if name not in BACKENDS:
        raise BackendError(f"unknown back end '{name}'; choose one of: {', '.join(BACKENDS)}")
    module, attribute = BACKENDS[name]
    return getattr(import_module(f".{module}", __name__), attribute)


def options_of(name: str) -> tuple[str, ...]:
    """Return the names of the options that a back end takes."""
    return getattr(backend_class(name), "options", ())


def open_backend(name: str, lanes: int, banks: int, memory: np.ndarray, seed: int, **options) -> Backend:
    """Make a back end; see `backend_class`. Options that are None are left out. Every failure is a BackendError."""
    cls = backend_class(name)
    given, takes = {option: value for option, value in options.items() if value is not None}, options_of(name)
    for option in given:
        if option not in takes:
            raise BackendError(f"{option} is set, but back end '{name}' takes {' and '.join(takes) or 'no options'}; leave it out, or "
                               "choose back end 'serial'")
    try:
        return cls(lanes, banks, memory, seed, **given)
    except (OSError, RuntimeError) as error:
        raise BackendError(f"back end '{name}' cannot be used: {error}") from error
