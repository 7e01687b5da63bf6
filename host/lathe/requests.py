# SPDX-License-Identifier: Apache-2.0
"""Requests, short programs that run beside the one that was started: what they may hold, and who goes first."""

from numbers import Integral

from pymodels.descriptor import Arbitration

from .errors import ProgramError, SettingsError
from .operation import POINTER, Access, Operation, overlap

#: Who may go first where both could start something (docs/architecture.md).
POLICIES = tuple(policy.name.lower() for policy in Arbitration)
#: Cycles of a time slice -> what the register holds.
SLICES = {1 << exponent: exponent for exponent in range(5, 32)}
#: First operation number of requests; a program does not come so far, so its random bits are others.
FIRST_OPNUM = 1 << 31

_OPERATIONS = {"gemm": ("matmul",), "policy": ("sample", "evaluate", "loss"), "dma": ("load", "store")}


def check_operation(op: Operation) -> None:
    """Refuse an operation that no request may hold; a raw descriptor is left to the chip.

    Raises
    ------
    ProgramError
        It is none of gemm, sample, evaluate, loss, load and store, or writes into the weight group or reads its next slot.
    """
    if op.op == "raw":
        return
    if op.op not in _OPERATIONS.get(op.unit, ()):
        raise ProgramError(f"'{op.label}': a request has no {op.unit} {op.op}; record it in a program of its own, without request=True")
    for number, tensor in op.operands.items():
        if tensor.space == "next" or (tensor.space == "current" and number in op.results):
            raise ProgramError(f"'{op.label}': tensor {tensor} lies in the {tensor.space} slot of the weight group; of the group a request "
                               "can only read the current weights, let it write a tensor outside the group")


def check_apart(request, program) -> None:
    """Refuse a request that touches words or exponent registers that a program beside it writes, or the reverse.

    Outside memory is not compared. The request may read the current weights that the program replaces: it holds those of its start.

    Parameters
    ----------
    request, program : Program

    Raises
    ------
    ProgramError
        The message names both operations.
    """
    for mine in request.operations:
        reads, writes = _but_the_pointer(mine.reads), mine.writes
        for other in program.operations:
            if overlap([*reads, *writes], other.writes) or overlap(writes, other.reads):
                raise ProgramError(f"'{mine.label}' of request '{request.name}' and '{other.label}' of program '{program.name}' touch the "
                                   "same tensor or exponent, and one of them writes it; give the request tensors of its own")


def _but_the_pointer(accesses: list[Access]) -> list[Access]:
    return [access for access in accesses if access.resource != POINTER.resource]


def arbiter_fields(policy: str, slice_cycles: int) -> dict[str, int]:
    """Return the fields of ARBITER.

    Raises
    ------
    SettingsError
        There is no such policy, or the slice is no power of two from 32 to 2**31.
    """
    if policy not in POLICIES:
        raise SettingsError(f"arbiter policy '{policy}' is none of: {', '.join(POLICIES)}")
    if not isinstance(slice_cycles, Integral) or slice_cycles not in SLICES:
        raise SettingsError(f"slice_cycles is {slice_cycles} and must be a power of two from {min(SLICES)} to {max(SLICES)}")
    return {"policy": POLICIES.index(policy), "slice": SLICES[slice_cycles]}
