# SPDX-License-Identifier: Apache-2.0
"""Lathe: an accelerator that keeps learning while it runs, and the host that drives it."""

import importlib
import pkgutil
from types import ModuleType

from .allocator import Layout, WeightGroup
from .device import Device
from .errors import (
                     BackendError,
                     CapacityError,
                     CheckpointError,
                     DeviceError,
                     DeviceTimeout,
                     LatheError,
                     MismatchError,
                     ProgramError,
                     SettingsError,
                     TensorError,
    VersionError,
)
from .matrix import Block, Matrix
from .program import Program
from .tensor import Tensor

__all__ = ["BackendError", "Block", "CapacityError", "CheckpointError", "Device", "DeviceError", "DeviceTimeout", "LatheError", "Layout",
           "Matrix", "MismatchError", "Program", "ProgramError", "SettingsError", "Tensor", "TensorError", "VersionError", "WeightGroup"]


def __getattr__(name: str) -> ModuleType:
    """Import a module when it is first used: `import lathe` is enough for lathe.weights, lathe.checkpoint and the others."""
    if name in {module.name for module in pkgutil.iter_modules(__path__)}:
        return importlib.import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
