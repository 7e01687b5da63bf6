# SPDX-License-Identifier: Apache-2.0
"""Operations as descriptors, as a list for people, and what to say when the chip refuses one."""

import numpy as np

from pymodels.descriptor import WORDS, encode

from .allocator import Layout
from .dependencies import SEMAPHORES
from .errors import ProgramError
from .operation import Operation

_REMEDIES = {
    "bad_unit": "no unit has this number: {fields}",
    "bad_op": "the unit has no such operation: {fields}",
    "bad_field": "two fields contradict each other or an unused one is set: {fields}",
    "bad_shape": "a dimension is zero or above its limit (gemm k 16384, policy n 2 to 64), a stride is shorter than a row, or the "
                 "records of a scan have gaps: {fields}",
    "out_of_scratchpad": "the scratchpad has {words} words, a slot of the weight group {slot}; an operand ends beyond: {fields}",
    "misaligned": "memory addresses and strides must be multiples of {word_bytes} bytes: {fields}",
    "program_overrun": "no descriptor up to the end of program memory is marked last",
    "deadlock": "it waits for semaphore {wait}, which nobody will post; record it with the builder's methods, which pair waits and posts",
    "memory": "outside memory has {memory} bytes and answered with an error; check the block's address: {fields}",
    "semaphore_overflow": "a semaphore was posted more than 255 times without a wait",
    "protected": "the descriptor on the chip writes words that the program was not granted, or the weight group by an absolute address; it "
                 "should write {results}: install the program anew",
    "no_version": "no older version is kept, or an uncorrectable memory error was found in it: roll back at most (slots - 2) times after "
                  "as many commits (a group of 2 slots keeps none); restore a slot that holds a version, see Device.versions",
    "no_slot": "two slots must stay without a pin; unpin one, or make the weight group with more slots (3 for one pin, 4 for two)",
}


def _show(fields: dict) -> str:
    return ", ".join(f"{name}={value}" for name, value in fields.items() if value not in (0, "none", "absolute"))


def _bits(mask: int) -> str:
    return ",".join(str(bit) for bit in range(SEMAPHORES) if mask >> bit & 1)


def encode_operations(name: str, operations: list[Operation]) -> np.ndarray:
    """Return the operations of the program called `name` as uint32 (descriptors, 16), the last one marked."""
    words = np.zeros((len(operations), WORDS), np.uint32)
    for index, op in enumerate(operations):
        fields = dict(op.fields)
        fields["wait_mask"] = fields.get("wait_mask", 0) | op.wait_mask
        fields["post_mask"] = fields.get("post_mask", 0) | op.post_mask
        fields.setdefault("last", int(index == len(operations) - 1))
        try:
            words[index] = encode(fields)
        except ValueError as error:
            raise ProgramError(f"descriptor {index} of program '{name}', '{op.label}': {error}") from None
    return words


def explain(operations: list[Operation], layout: Layout, index: int, code: str) -> tuple[str, str]:
    """Return (label, what to say) for an error `code` that the chip reported at descriptor `index`."""
    if index >= len(operations):
        label = f"descriptor {index}, beyond the program's last"
        return label, "the program lacks a descriptor marked last"
    op = operations[index]
    shapes = "; ".join(f"operand {n} {t} at word {t.address} ({t.space}), ends at {t.address + t.words}"
                       for n, t in sorted(op.operands.items()))
    return op.label, _REMEDIES.get(code, "see docs/architecture.md").format(
        words=layout.scratchpad_words, slot=layout.group.size if layout.group else 0,
        results=", ".join(f"{op.operands[n]} at word {op.operands[n].address} ({op.operands[n].space})" for n in op.results) or "nothing",
        word_bytes=2 * layout.lanes, memory=layout.memory.nbytes, fields=_show(op.fields),
        wait=_bits(int(op.fields.get("wait_mask", 0)) | op.wait_mask)) + (f" [{shapes}]" if shapes else "")


def table(operations: list[Operation]) -> str:
    """Return a line for each operation: index, unit, waits, posts, what gemm overlaps (`chain` or a number), label."""
    lines = []
    for index, op in enumerate(operations):
        waits, posts = (f"{what} {_bits(mask)}" if mask else "" for what, mask in (("wait", op.wait_mask), ("post", op.post_mask)))
        lines.append(f"{index:4d} {op.unit:7s}{waits:12s}{posts:12s}{_flow(op):9s}{op.label}")
    return "\n".join(lines)


def _flow(op: Operation) -> str:
    """How a gemm operation follows those before it."""
    return "chain" if op.fields.get("chain") else f"over {op.fields['overlap']}" if op.fields.get("overlap") else ""
