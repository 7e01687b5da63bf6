# SPDX-License-Identifier: Apache-2.0
"""Everything that can go wrong, as exceptions whose message names the thing, the limit and the remedy."""


class LatheError(Exception):
    """Base of all errors that this package raises on purpose."""


class BackendError(LatheError):
    """The back end does not exist, could not be built, or does not answer."""


class LinkError(BackendError):
    """The board cannot be reached, or not any more; the chip keeps its current weights (`Device.reconnect`)."""


class CapacityError(LatheError):
    """Something does not fit on the chip or in outside memory."""


class ProgramError(LatheError):
    """A program was recorded that the chip would refuse, or that makes no sense."""


class SettingsError(LatheError):
    """A setting or an environment that this algorithm cannot run."""


class TensorError(LatheError, ValueError):
    """Values that a tensor cannot hold: not numbers, not finite, of another shape or out of range."""


class CheckpointError(LatheError):
    """A file that is no checkpoint, is damaged, or was saved from something else; nothing has been changed."""


class DeviceError(LatheError):
    """The chip ended a program with an error.

    Attributes
    ----------
    code : str
        Name of the error code, as in docs/descriptors.md.
    index : int
        Index of the descriptor within the program.
    label : str
        What the program builder called that descriptor.
    """

    def __init__(self, message: str, code: str, index: int, label: str):
        super().__init__(message)
        self.code, self.index, self.label = code, index, label


class VersionError(LatheError):
    """A version of the weights that is not there, or cannot be kept."""


class DeviceTimeout(LatheError):
    """A program did not end in time; the message holds the chip's state."""


class MismatchError(LatheError):
    """Two back ends disagree; the message names the first difference."""
