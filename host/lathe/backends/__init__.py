# SPDX-License-Identifier: Apache-2.0
"""Back ends: whatever executes the chip's programs, all behind one small protocol."""

from importlib import import_module
from typing import Protocol

import numpy as np

from ..errors import BackendError

#: Name of a back end -> (module, class).
BACKENDS = {"golden": ("golden", "GoldenBackend"), "verilator": ("verilator", "VerilatorBackend")}


class Backend(Protocol):
    """What a device needs of a back end.

    Attributes
    ----------
    memory : ndarray of uint8
        Outside memory, shared by both sides.
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


def open_backend(name: str, lanes: int, banks: int, memory: np.ndarray, seed: int) -> Backend:
    """Make a back end; see `backend_class`. Every failure is a BackendError."""
    cls = backend_class(name)
    try:
        return cls(lanes, banks, memory, seed)
    except (OSError, RuntimeError) as error:
        raise BackendError(f"back end '{name}' cannot be used: {error}") from error
