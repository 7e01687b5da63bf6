# SPDX-License-Identifier: Apache-2.0
"""Order in which a program's and a request's descriptors run: sequencer, queues and semaphores (docs/architecture.md).

The order depends on the program alone, so it is worked out once and then repeated. It is one of the orders that the
semaphores allow; a program without races gives the same result in all of them. A request's descriptors run one by one.
"""

from typing import NamedTuple

import numpy as np

from pymodels.check import Grants, check
from pymodels.descriptor import Error, Unit, decode

QUEUE = 4  #: descriptors a unit's queue holds
SEMAPHORES = 16
MAX_COUNT = 255  #: largest count of a semaphore


class Entry(NamedTuple):
    """A dispatched descriptor: its index in program memory, its number among the dispatched, its fields."""

    pc: int
    number: int
    fields: dict[str, int]


class Plan(NamedTuple):
    """What a program or a request does from its start on.

    Attributes
    ----------
    entries : list of Entry
        Descriptors in the order of execution.
    dispatched : int
        Operation numbers that the program uses up.
    error, unit, pc : int
        How it ends if no command fails: Error.NONE, or the error and the descriptor at fault.
    """

    entries: list[Entry]
    dispatched: int
    error: int
    unit: int
    pc: int


def _bits(mask: int) -> list[int]:
    return [i for i in range(SEMAPHORES) if mask >> i & 1]


def _fetch(program: np.ndarray, pc: int, **limits) -> tuple[dict[str, int], int]:
    """Fields of a descriptor, and the error that it is refused with."""
    fields = decode(program[pc])
    error = check(program[pc], **limits)
    if not error and pc + 1 == len(program) and not fields["last"]:
        error = Error.PROGRAM_OVERRUN
    return fields, error


def plan_request(program: np.ndarray, start: int, **limits: int | Grants) -> Plan:
    """Work out a request: descriptors in order, up to the last or one that is refused; parameters as of `plan`."""
    entries: list[Entry] = []
    for pc in range(start, len(program)):
        fields, error = _fetch(program, pc, request=True, **limits)
        if error:
            return Plan(entries, len(entries), error, fields["unit"], pc)
        entries.append(Entry(pc, len(entries), fields))
        if fields["last"]:
            break
    return Plan(entries, len(entries), Error.NONE, 0, 0)


def plan(program: np.ndarray, start: int, **limits: int | Grants) -> Plan:
    """Work out the order of execution, unit by unit in turn.

    Parameters
    ----------
    program : numpy.ndarray
        uint32, shape (descriptors, 16): program memory.
    start : int
        Index of the first descriptor.
    **limits
        `lanes`, `scratchpad_words`, `slot_words` and, if any, `grants` of `pymodels.check.check`.
    """
    queues: list[list[Entry]] = [[] for _ in Unit]
    counts = [0] * SEMAPHORES
    entries: list[Entry] = []
    pc, number, stopped = start, 0, False
    while True:
        while not stopped:
            fields, error = _fetch(program, pc, **limits)
            if error:
                return Plan(entries, number, error, fields["unit"], pc)
            queue = queues[fields["unit"] - 1]
            if len(queue) == QUEUE:
                break
            queue.append(Entry(pc, number, fields))
            number += 1
            if fields["last"]:
                stopped = True
            else:
                pc += 1
        if stopped and not any(queues):
            return Plan(entries, number, Error.NONE, 0, 0)
        moved = False
        for queue in queues:
            if not queue or not all(counts[i] for i in _bits(queue[0].fields["wait_mask"])):
                continue
            entry = queue.pop(0)
            for i in _bits(entry.fields["wait_mask"]):
                counts[i] -= 1
            entries.append(entry)
            moved = True
            for i in _bits(entry.fields["post_mask"]):
                if counts[i] == MAX_COUNT:
                    return Plan(entries, number, Error.SEMAPHORE_OVERFLOW, entry.fields["unit"], entry.pc)
                counts[i] += 1
        if not moved:
            head = next(queue[0] for queue in queues if queue)
            return Plan(entries, number, Error.DEADLOCK, head.fields["unit"], head.pc)
