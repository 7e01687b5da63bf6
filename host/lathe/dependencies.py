# SPDX-License-Identifier: Apache-2.0
"""Which descriptor must wait for which, from what they read and write: semaphores between units, overlap within gemm."""

import numpy as np

from .allocator import ABSOLUTE_EXPONENTS, LOGICAL_EXPONENTS, Layout
from .errors import ProgramError
from .operation import Operation, overlap, places
from .registers import UNITS

SEMAPHORES = 16
SEMAPHORE_MAX = 255
MAX_OVERLAP = 3


def edges(operations: list[Operation], layout: Layout) -> list[tuple[int, int]]:
    """Return the pairs (producer, consumer) of descriptors of different units that need a semaphore.

    A descriptor must start after the end of everything earlier that wrote what it reads or writes, or read what it
    writes. Units work in order, so of each unit only the last such descriptor counts, and an edge that follows
    from others is left out. gemm works on several commands at a time, but ends them in order, and a wait is taken before
    the command is handed to the unit: who waits for its last command has waited for all before it, and what a command
    waited for has ended for all after it. So order within gemm counts here as if one command ended before the next began.
    """
    history = _History(layout)
    known: list[np.ndarray] = []  # for each descriptor, the last descriptor of each unit that ended before it starts
    last = np.full(len(UNITS), -1)  # the last descriptor of each unit so far
    found = []
    for index, op in enumerate(operations):
        if op.unit not in UNITS:  # a raw descriptor for no unit
            known.append(np.full(len(UNITS), -1))
            continue
        unit = UNITS.index(op.unit)
        needed = history.conflicts(op)
        clock = np.full(len(UNITS), -1)
        if last[unit] >= 0:
            clock = known[last[unit]].copy()
            clock[unit] = last[unit]
        wanted = [v for v in range(len(UNITS)) if v != unit and needed[v] > clock[v]]
        kept = [v for v in wanted
                if not any(known[needed[other]][v] >= needed[v] for other in wanted if other != v)]
        for v in kept:
            found.append((int(needed[v]), index))
            clock = np.maximum(clock, known[needed[v]])
            clock[v] = max(clock[v], needed[v])
        known.append(clock)
        last[unit] = index
        history.record(op, unit, index)
    return found


def place_semaphores(name: str, operations: list[Operation], layout: Layout) -> None:
    """Set the masks of all operations of the program called `name`.

    Raises
    ------
    ProgramError
        It needs more semaphores, or more posts of one, than there are.
    """
    for op in operations:
        op.wait_mask = op.post_mask = 0
    taken: dict[tuple[str, str], int] = {}
    counts: dict[int, int] = {}
    for producer, consumer in edges(operations, layout):
        source, sink = operations[producer], operations[consumer]
        semaphore = taken.setdefault((source.unit, sink.unit), len(taken))
        counts[semaphore] = counts.get(semaphore, 0) + 1
        if semaphore >= SEMAPHORES or counts[semaphore] > SEMAPHORE_MAX:
            raise ProgramError(f"program '{name}' needs more than {SEMAPHORES} semaphores or more than {SEMAPHORE_MAX} "
                               f"posts of one, at '{sink.label}'; split it")
        source.post_mask |= 1 << semaphore
        sink.wait_mask |= 1 << semaphore


def place_overlap(operations: list[Operation], layout: Layout) -> None:
    """Set `overlap` and `chain` of the gemm operations.

    `overlap` is how many of the gemm descriptors just before may be unfinished when this one starts to read: as many (up to
    3) as write no word that this one reads. `chain`: the left operand is exactly the result of the one just before, and is
    read as it is written. gemm reads, multiplies and writes in order, so that writing what an earlier one reads or writes
    needs no care.
    """
    before: list[Operation] = []  # newest first
    for op in operations:
        if op.unit != "gemm":
            continue
        if op.op == "matmul":
            chain = bool(before) and _chains(before[0], op)
            reads = [place for number, tensor in op.operands.items() if number not in op.results and not (chain and number == 0)
                     for place in places(tensor, layout)]
            depth = 0
            while depth < len(before) and before[depth].op == "matmul" and not overlap(
                    reads, [place for number in before[depth].results for place in places(before[depth].operands[number], layout)]):
                depth += 1
            op.fields |= {"overlap": depth, "chain": int(chain and depth > 0)}
        before = [op, *before][:MAX_OVERLAP]


def _chains(producer: Operation, op: Operation) -> bool:
    """Whether the left operand of `op` is what `producer` writes, stored in the same way."""
    if producer.op != "matmul" or op.fields["trans_a"]:
        return False
    return producer.operands[2].same_place(op.operands[0])


class _History:
    """For every word and register, the last descriptor of each unit that wrote and that read it."""

    def __init__(self, layout: Layout):
        slot = layout.group.size if layout.group else 0
        sizes = {"absolute": layout.scratchpad_words, "current": slot, "next": slot, "pointer": 1, "norm": 1,
                 "absolute exponent": ABSOLUTE_EXPONENTS, "current exponent": LOGICAL_EXPONENTS,
                 "next exponent": LOGICAL_EXPONENTS}
        self._wrote = {name: np.full((len(UNITS), size), -1) for name, size in sizes.items()}
        self._read = {name: np.full((len(UNITS), size), -1) for name, size in sizes.items()}

    def conflicts(self, op: Operation) -> np.ndarray:
        """Return, for each unit, the last descriptor that `op` must come after (-1: none)."""
        latest = np.full(len(UNITS), -1)
        for access in [*op.reads, *op.writes]:
            latest = np.maximum(latest, self._wrote[access.resource][:, access.where].max(axis=1, initial=-1))
        for access in op.writes:
            latest = np.maximum(latest, self._read[access.resource][:, access.where].max(axis=1, initial=-1))
        return latest

    def record(self, op: Operation, unit: int, index: int) -> None:
        for access in op.reads:
            self._read[access.resource][unit, access.where] = index
        for access in op.writes:
            self._wrote[access.resource][unit, access.where] = index
