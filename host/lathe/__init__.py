# SPDX-License-Identifier: Apache-2.0
"""Lathe: an accelerator that keeps learning while it runs, and the host that drives it."""

from .allocator import Layout, WeightGroup
from .device import Device
from .errors import (
                     BackendError,
                     CapacityError,
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

__all__ = ["BackendError", "Block", "CapacityError", "Device", "DeviceError", "DeviceTimeout", "LatheError", "Layout",
           "Matrix", "MismatchError", "Program", "ProgramError", "SettingsError", "Tensor", "TensorError", "VersionError", "WeightGroup"]
