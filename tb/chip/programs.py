# SPDX-License-Identifier: Apache-2.0
"""Random descriptor programs, legal and illegal, for the chip bench.

Order between units is derived here by brute force from explicit sets of the resources each descriptor
touches, independently of the host's program builder.
"""

from dataclasses import dataclass, field

import numpy as np

UNITS = {"gemm": 1, "policy": 2, "update": 3, "dma": 4}
ABSOLUTE, CURRENT, NEXT = 0, 1, 2
POLICY = ("sample", "loss", "evaluate", "measure", "scan")
STEPS = {"momentum": 0, "sgd": 6, "nesterov": 7, "adam": 8}  # of update: operation codes
RECORD = 8  # elements of a record that LOSS and EVALUATE read


def coefficients(draw) -> dict[str, int]:
    """Random contents of the registers that policy and update read; `draw(low, high)` gives an integer below `high`."""
    def bounds() -> int:
        return (draw(-2000, 1) & 0xFFFF) | draw(0, 2000) << 16

    def logarithm(low: int, high: int) -> int:
        return draw(low << 18, high << 18) & 0xFFFFFF

    return {"LEARNING_RATE": draw(0, 65536) | (draw(-24, 0) & 0xFF) << 16, "MOMENTUM": draw(0, 65536), "RATIO_MODE": draw(0, 1 << 23),
            "RATIO_BOUNDS": bounds(), "RHO_BOUNDS": bounds(), "VETO_BOUNDS": bounds(), "RATIO_DUAL": draw(0, 2000),
            "ENTROPY_COEF": draw(0, 1 << 18), "VALUE_COEF": draw(0, 1 << 18), "SCAN_MODE": draw(0, 16),
            "SCAN_GAMMA": draw(50000, 70000), "SCAN_DECAY": draw(50000, 70000), "SCAN_CAPS": draw(0, 1 << 16) | draw(0, 1 << 16) << 16,
            "BETA1": draw(0, 65536), "ADAM_DECAY": draw(-(1 << 17), 1) & 0x3FFFF, "ADAM_GAIN": logarithm(-16, 1),
            "ADAM_RATE": logarithm(-20, 2), "ADAM_EPS": logarithm(-30, 2), "WEIGHT_DECAY": draw(0, 65536) | (draw(-40, -16) & 0xFF) << 16,
            "CLIP_NORM": logarithm(-16, 16)}


@dataclass
class Step:
    """A descriptor's fields with the resources it reads and writes."""

    fields: dict
    label: str
    reads: set = field(default_factory=set)
    writes: set = field(default_factory=set)
    result: set = field(default_factory=set)     # gemm: of `writes` what belongs to operand 2
    unchained: set = field(default_factory=set)  # gemm with `chain`: of `reads` what does not belong to operand 0

    def conflicts(self, other: "Step") -> bool:
        return bool(self.writes & other.writes or self.writes & other.reads or self.reads & other.writes)


@dataclass(frozen=True)
class Space:
    """What a program may touch: scratchpad words below the weight group, the group's slots, outside memory."""

    lanes: int
    words: int          # scratchpad words open to absolute operands
    slot_words: int
    memory_bytes: int   # outside memory open to load and store


class NoPlace(RuntimeError):
    """The operands of one descriptor that have a place leave none for the next one."""


class Generator:
    """Draws programs from one seeded generator; keeps track of how many versions a rollback can undo."""

    registers = 64  # absolute exponent registers, the first ones

    def __init__(self, rng: np.random.Generator, space: Space, kept: int = 0, slots: int = 4):
        self.rng, self.space, self.kept, self.slots = rng, space, kept, slots

    # -- operands ---------------------------------------------------------------------------------------------
    def _operand(self, step: Step, index: int, rows: int, words: int, write: bool, spaces=(ABSOLUTE,), exponent=True) -> None:
        rng, where = self.rng, int(self.rng.choice(spaces))
        limit = self.space.words if where == ABSOLUTE else self.space.slot_words
        stride = words + int(rng.integers(0, 4)) if rng.random() < 0.5 else words
        if (rows - 1) * stride + words > limit:
            stride = words
        if rows * words > limit:
            where, limit = ABSOLUTE, self.space.words
        for attempt in range(2000):
            if attempt == 1000:  # a slot may be full of the descriptor's other operands
                where, limit = ABSOLUTE, self.space.words
            address = int(rng.integers(0, limit - ((rows - 1) * stride + words) + 1))
            if rng.random() < 0.2:
                address = limit - ((rows - 1) * stride + words)
            touched = {(where, address + r * stride + w) for r in range(rows) for w in range(words)}
            if not (touched & step.writes or (write and touched & step.reads)):
                break
        else:
            raise NoPlace("no place for an operand; the random shapes are too large for the space")
        register = int(rng.integers(0, self.registers if where == ABSOLUTE else 16))
        step.fields |= {f"t{index}_addr": address, f"t{index}_stride": stride, f"t{index}_space": where}
        touched_exp = set()
        if exponent:
            # A versioned register's next exponent and history are shared by its slots.
            touched_exp = {("exp", where, register)} | ({("next", register)} if write and where == NEXT else set())
            step.fields[f"t{index}_exp"] = register
            if write and touched_exp & step.writes:
                self._fresh_register(step, index, where, touched_exp)
        if where != ABSOLUTE:
            step.reads.add("pointer")
        (step.writes if write else step.reads).update(touched | touched_exp)

    def _fresh_register(self, step: Step, index: int, where: int, touched: set) -> None:
        """Two results of one descriptor need two registers."""
        register = step.fields[f"t{index}_exp"]
        while touched & step.writes:
            register = (register + 1) % 16
            touched.clear()
            touched.update({("exp", where, register)} | ({("next", register)} if where == NEXT else set()))
        step.fields[f"t{index}_exp"] = register

    def _words(self, columns: int) -> int:
        return -(-columns // self.space.lanes)

    def _dimension(self, most: int) -> int:
        lanes = self.space.lanes
        corner = [1, 2, lanes - 1, lanes, lanes + 1, 2 * lanes]
        value = int(self.rng.choice(corner)) if self.rng.random() < 0.4 else int(self.rng.integers(1, most + 1))
        return min(value, most)

    # -- one generator for each operation ----------------------------------------------------------------------
    def gemm(self, before: Step | None = None) -> Step:
        """A product; `before` is the gemm step just before, onto whose result it may be chained."""
        rng = self.rng
        flip = lambda p=0.5: int(rng.random() < p)  # noqa: E731
        m, n, k = (self._dimension(40 if self.space.words > 4000 else 20) for _ in range(3))
        ta, tb, int8, bias = flip(), flip(), flip(0.4), flip()
        chain = before is not None and before.fields["t2_space"] == ABSOLUTE and flip(0.4)
        if chain:
            ta, m, k, int8 = 0, before.fields["m"], before.fields["n"], before.fields.get("int8_result", 0)
        act, fourth = int(rng.integers(0, 3)), rng.choice(["", "dact", "accumulate", "colsum", "int8_result"])
        if fourth == "dact":
            act = 0
        if fourth == "accumulate":
            bias = 0
        if int8 and fourth in ("dact", "colsum"):
            fourth = "int8_result"
        step = Step({"unit": 1, "op": 0, "m": m, "n": n, "k": k, "trans_a": ta, "trans_b": tb, "act": act, "bias": bias, "int8": int8,
                     "stochastic": flip()}, f"gemm {m}x{k}x{n} {fourth}{' chained' if chain else ''}")
        if fourth:
            step.fields[fourth] = int(rng.choice([1, 2])) if fourth == "dact" else 1
        anywhere = (ABSOLUTE, ABSOLUTE, CURRENT, NEXT)
        inner = -(-k // 2) if int8 else k
        self._operand(step, 1, *((n, self._words(inner)) if tb else (inner, self._words(n))), write=False, spaces=anywhere)
        if bias:
            self._operand(step, 3, 1, self._words(n), write=False, spaces=anywhere)
        if fourth == "dact":
            self._operand(step, 4, m, self._words(n), write=False, exponent=False)  # its exponent is taken as given
            step.fields["t4_exp"] = int(rng.integers(0, 16))
        elif fourth == "accumulate":
            self._operand(step, 4, m, self._words(n), write=False, spaces=anywhere)
        if chain:
            step.fields |= {"chain": 1} | {f"t0_{name}": before.fields[f"t2_{name}"] for name in ("addr", "stride", "exp", "space")}
            step.unchained = set(step.reads)
            step.reads |= before.result
        else:
            self._operand(step, 0, *((inner, self._words(m)) if ta else (m, self._words(inner))), write=False)
        results = (ABSOLUTE, ABSOLUTE, ABSOLUTE, NEXT)
        self._operand(step, 2, m, self._words(-(-n // 2) if fourth == "int8_result" else n), write=True, spaces=results)
        step.result = set(step.writes)
        if fourth == "colsum":
            self._operand(step, 4, 1, self._words(n), write=True, spaces=results)
        if fourth != "int8_result" and flip(0.4):
            step.fields["norm"] = 1
            step.reads.add("norm")  # additions commute: they need no order among each other, but with what takes or clears the sum
        return step

    def policy(self) -> Step:
        rng = self.rng
        m = self._dimension(24)
        n = int(rng.integers(2, 65)) if rng.random() < 0.2 else int(rng.integers(2, 9))
        kind = str(rng.choice(POLICY, p=[0.2, 0.35, 0.15, 0.15, 0.15]))
        step = Step({"unit": 2, "op": POLICY.index(kind), "m": m, "n": n}, f"policy {kind} {m}x{n}")
        words = self._words(RECORD)
        if kind == "scan":
            self._operand(step, 1, 1, m * words, write=False, exponent=False)
            if rng.random() < 0.5:
                self._operand(step, 2, 1, m * words, write=True, exponent=False)
            else:  # in place
                step.fields |= {f"t2_{name}": step.fields[f"t1_{name}"] for name in ("addr", "space")}
                step.writes |= {(ABSOLUTE, step.fields["t1_addr"] + word) for word in range(m * words)}
            step.fields |= {"t1_stride": words, "t2_stride": words}
            return step
        self._operand(step, 0, m, self._words(n), write=False)
        if kind == "evaluate":
            logits = set(step.reads)
            self._operand(step, 1, m, words, write=False, exponent=False)
            first, stride = step.fields["t1_addr"], step.fields["t1_stride"]
            records = {(ABSOLUTE, first + row * stride + word) for row in range(m) for word in range(words)}
            if rng.random() < 0.5 or records & logits:  # these are read until the last row
                self._operand(step, 2, m, words, write=True, exponent=False)
            else:  # in place
                step.fields |= {f"t2_{name}": step.fields[f"t1_{name}"] for name in ("addr", "stride", "space")}
                step.writes |= records
        elif kind == "loss":
            step.fields |= {"stochastic": int(rng.integers(0, 2)), "gshift": int(rng.integers(0, 32))}
            self._operand(step, 1, m, self._words(RECORD), write=False, exponent=False)
            if rng.random() < 0.5:
                step.fields["sequence_words"] = 1
                self._operand(step, 4, m, 1, write=False, exponent=False)
            self._operand(step, 2, m, self._words(n), write=True)
        elif kind == "measure":
            self._operand(step, 1, m, self._words(RECORD), write=False, exponent=False)
            self._operand(step, 2, m, 1, write=True, exponent=False)
        else:
            step.fields["greedy"] = int(rng.integers(0, 2))
            self._operand(step, 2, m, 1, write=True, exponent=False)
            step.reads.add("pointer")  # the record carries the version
        return step

    def update(self) -> Step:
        rng = self.rng
        kind = str(rng.choice([*STEPS, *STEPS, "commit", "rollback"]))
        if kind == "commit":
            self.kept = min(self.kept + 1, self.slots - 2)
            return Step({"unit": 3, "op": 1}, "commit", writes={"pointer", "norm"})
        if kind == "rollback":
            if self.kept:
                self.kept -= 1
                return Step({"unit": 3, "op": 2}, "rollback", writes={"pointer"})
            kind = "momentum"
        rows, copies = (self._dimension(6), 1) if rng.random() < 0.4 else (1, 0)
        words = self._dimension(40) if rows == 1 else self._dimension(8)
        count, clips = rows * words, int(rng.random() < 0.4)
        step = Step({"unit": 3, "op": STEPS[kind], "m": rows, "n": words, "stochastic": int(rng.integers(0, 2)), "clip": clips,
                     "int8_result": copies}, f"{kind} {rows}x{words} words{' with int8' * copies}{' clipped' * clips}")
        if clips:
            step.writes.add("norm")
        moments = {"sgd": 0, "adam": 2 * count}.get(kind, count)
        for index, size, write, spaces in ((0, count, False, (ABSOLUTE, CURRENT)), (1, count, False, (ABSOLUTE,)),
                                           (3, moments, False, (ABSOLUTE, CURRENT)), (2, count, True, (ABSOLUTE, NEXT)),
                                           (4, moments, True, (ABSOLUTE, NEXT)),
                                           (5, copies * -(-rows // 2) * words, True, (ABSOLUTE, NEXT))):
            if size:
                self._operand(step, index, 1, size, write, spaces)
        return step

    def dma(self) -> Step:
        rng, word = self.rng, 2 * self.space.lanes
        load = rng.random() < 0.5
        rows, words = self._dimension(8), int(rng.integers(1, 30))
        stride = words * word + word * int(rng.integers(0, 6))
        if rng.random() < 0.2:
            rows, words, stride = 2, 90, 100 * word  # longer than a burst, across 4 KiB
        address = int(rng.integers(0, (self.space.memory_bytes - rows * stride) // word)) * word
        step = Step({"unit": 4, "op": 0 if load else 1, "m": rows, "n": words, "mem_addr": address, "mem_stride": stride},
                    f"dma {'load' if load else 'store'} {rows}x{words}")
        spaces = (ABSOLUTE, ABSOLUTE, CURRENT, NEXT)
        self._operand(step, 2 if load else 0, rows, words, load, spaces, exponent=False)
        return step

    # -- whole programs -----------------------------------------------------------------------------------------
    def program(self, length: int) -> list[Step]:
        """Return `length` descriptors, ordered by semaphores where they must be, the last one marked."""
        makers = (self.gemm, self.gemm, self.policy, self.update, self.dma)
        steps: list[Step] = []
        while len(steps) < length:
            make = makers[int(self.rng.integers(0, len(makers)))]
            gemms = [step for step in steps if step.fields["unit"] == UNITS["gemm"]]
            try:
                steps.append(make(gemms[-1]) if make == self.gemm and gemms else make())
            except NoPlace:  # in a small scratchpad large operands may do that: another step instead
                continue
        order(steps)
        overlap(steps, self.rng)
        steps[-1].fields["last"] = 1
        return steps


def order(steps: list[Step]) -> None:
    """Set wait and post masks: semaphore 4*producer + consumer joins two units, one token for each needed order."""
    aliases = [_aliased(step, step.reads) for step in steps]
    synced: dict[tuple[int, int], int] = {}
    for later, step in enumerate(steps):
        consumer = step.fields["unit"]
        for producer in UNITS.values():
            if producer == consumer:
                continue
            earlier = [i for i in range(later) if steps[i].fields["unit"] == producer
                       and _conflict(aliases[i], aliases[later])]
            if earlier and earlier[-1] > synced.get((producer, consumer), -1):
                synced[producer, consumer] = earlier[-1]
                bit = 1 << (4 * (producer - 1) + consumer - 1)
                steps[earlier[-1]].fields["post_mask"] = steps[earlier[-1]].fields.get("post_mask", 0) | bit
                step.fields["wait_mask"] = step.fields.get("wait_mask", 0) | bit


def independent(steps: list[Step]) -> list[Step]:
    """Those of the steps that need no order among each other, whichever of two comes first in `steps`."""
    kept: list[Step] = []
    for step in steps:
        touched = _aliased(step, step.reads)
        if not any(_conflict(_aliased(other, other.reads), touched) for other in kept):
            kept.append(step)
    return kept


def overlap(steps: list[Step], rng: np.random.Generator) -> None:
    """Let gemm steps overlap those before them of which they need nothing; a chained one needs its operand 0 block by block."""
    gemms = [step for step in steps if step.fields["unit"] == UNITS["gemm"]]
    for index, step in enumerate(gemms):
        most = 0
        for earlier in reversed(gemms[max(index - 3, 0):index]):
            chained = step.fields.get("chain") and not most
            if _conflict(_aliased(earlier, earlier.reads), _aliased(step, step.unchained if chained else step.reads)):
                if chained:
                    del step.fields["chain"]
                break
            most += 1
        step.fields["overlap"] = int(rng.integers(1 if step.fields.get("chain") else 0, most + 1))


def _aliased(step: Step, reads: set) -> tuple[set, set]:
    """`reads` and what a step writes; slot-relative resources are named so that current and next of any slot are one.

    Which slot is meant depends on the commits before, so every slot-relative word with the same offset is
    treated as the same word; this orders a little more than needed and never less.
    """
    def rename(resources: set) -> set:
        renamed = set()
        for item in resources:
            if isinstance(item, tuple) and item[0] in (CURRENT, NEXT):
                renamed.add(("slot", item[1]))
            elif isinstance(item, tuple) and item[0] == "exp" and item[1] != ABSOLUTE:
                renamed.add(("slot exp", item[2]))
            else:
                renamed.add(item)
        return renamed

    return rename(reads), rename(step.writes)


def _conflict(a: tuple[set, set], b: tuple[set, set]) -> bool:
    return bool(a[1] & b[1] or a[1] & b[0] or a[0] & b[1])


ILLEGAL = {
    # name: (changes to a legal gemm descriptor, expected error)
    "no unit": ({"unit": 0}, "bad_unit"),
    "unit 7": ({"unit": 7}, "bad_unit"),
    "no operation": ({"op": 9}, "bad_op"),
    "act and dact": ({"act": 1, "dact": 1}, "bad_field"),
    "act 3": ({"act": 3}, "bad_field"),
    "two uses of operand 4": ({"accumulate": 1, "colsum": 1}, "bad_field"),
    "int8 with a derivative": ({"int8": 1, "dact": 1}, "bad_field"),
    "chain without overlap": ({"chain": 1}, "bad_field"),
    "greedy gemm": ({"greedy": 1}, "bad_field"),
    "memory address in gemm": ({"mem_addr": 64}, "bad_field"),
    "result in the current slot": ({"t2_space": 1}, "bad_field"),
    "space 3": ({"t1_space": 3}, "bad_field"),
    "m = 0": ({"m": 0}, "bad_shape"),
    "n = 0": ({"n": 0}, "bad_shape"),
    "k = 0": ({"k": 0}, "bad_shape"),
    "k too large": ({"k": 16385}, "bad_shape"),
    "short stride": ({"t0_stride": 0, "trans_a": 0, "m": 5}, "bad_shape"),
    "beyond the scratchpad": ({"t1_addr": 0xFFFF}, "out_of_scratchpad"),
    "beyond the slot": ({"t1_space": 1, "t1_exp": 0, "t1_addr": 0xFFF0}, "out_of_scratchpad"),
}
