# SPDX-License-Identifier: Apache-2.0
"""Words a cycle of the optimizers' steps on the simulated chip, and cycles of the moves between versions, into update.json."""

import json
from pathlib import Path

import numpy as np

ROWS, COLUMNS = 64, 64  # 4,096 weights
PLACES = 8              # where the tensors lie: each time another bank is first


def optimizers() -> dict:
    from lathe.optimizers import SGD, Adam, AdamW

    plain = {"sgd": (SGD, {}), "momentum": (SGD, {"momentum": 0.9}), "nesterov": (SGD, {"momentum": 0.9, "nesterov": True}),
             "adam": (Adam, {}), "adamw": (AdamW, {})}
    return {name: kind(lr=0.01, **settings) for name, (kind, settings) in plain.items()} | {
        f"{name}, clipped": kind(lr=0.01, max_grad_norm=1.0, **settings) for name, (kind, settings) in plain.items()}


def cycles_of(device, program) -> int:
    """Run a program that holds one command of the update unit; return the cycles that it was in the unit."""
    device.registers.write("CONTROL", perf_clear=1)
    device.run(program)
    return sum(device.registers.value(f"UPDATE_{what}") for what in ("BUSY", "STALL_OPERAND", "STALL_RESULT"))


def step_cycles(lanes: int, optimizer, rows: int, columns: int, place: int) -> int:
    """Cycles of one step of a rows x columns tensor with its int8 copy; `place` words of nobody lie before each tensor."""
    from lathe import Device, Program, WeightGroup

    rng = np.random.default_rng(place)
    with Device(backend="verilator", lanes=lanes) as device:
        layout = device.layout
        group = WeightGroup(layout, 2)

        def gap(name: str, make) -> None:
            if words := int(rng.integers(PLACES)) if place else 0:
                make(name, words, lanes)

        w = group.tensor("w", rows, columns, -13, static=True)
        gap("gap 1", lambda name, *shape: group.tensor(name, *shape, 0, static=True))
        moments = optimizer.moments(group, "m", w, -16)
        gap("gap 2", lambda name, *shape: group.tensor(name, *shape, 0, static=True))
        copy = group.tensor("w8", rows, columns, -5, dtype="int8", packed="columns")
        group.place()
        gap("gap 3", lambda name, *shape: layout.tensor(name, *shape, raw=True))
        gradient = layout.tensor("g", rows, columns, -14)
        program = Program("step", layout)
        if optimizer.max_grad_norm is not None:  # some norm to clip by
            unit = layout.identity(lanes)
            program.matmul(unit, unit, layout.tensor("another gradient", lanes, lanes, -14), norm=True)
        optimizer.record(program, w, gradient, moments, copy8=copy)
        device.load(w, rng.uniform(-1, 1, w.shape))
        device.load(gradient, rng.uniform(-1, 1, w.shape))
        for tensor, values in (optimizer.initial(moments) if moments else {}).items():
            device.load(tensor, values)
        optimizer.apply(device)
        return cycles_of(device, program)


def move_cycles(lanes: int, rows: int) -> dict[str, int]:
    """Cycles of COMMIT and ROLLBACK as commands of the update unit, which is idle again after them."""
    from lathe import Device, Program, WeightGroup

    with Device(backend="verilator", lanes=lanes) as device:
        group = WeightGroup(device.layout, 3)
        w = group.tensor("w", rows, COLUMNS, -13, static=True)
        group.place()
        commit, rollback = Program("commit", device.layout), Program("rollback", device.layout)
        commit.commit(partial=True)
        rollback.rollback()
        device.load(w, np.zeros(w.shape))
        return {"commit": cycles_of(device, commit), "rollback": cycles_of(device, rollback)}


def steps(lanes: int) -> list[dict]:
    """Return a row for each optimizer.

    `words_per_cycle` is sustained: the words of a large tensor less those of a small one, by the cycles that they take more; the
    worst of PLACES arrangements in the scratchpad.
    """
    rows, words = [], ROWS * COLUMNS // lanes
    for name, optimizer in optimizers().items():
        small = step_cycles(lanes, optimizer, 2, lanes, 0)
        large = [step_cycles(lanes, optimizer, ROWS, COLUMNS, place) for place in range(PLACES)]
        rates = [(words - 2) / (cycles - small) for cycles in large]
        rows.append({"name": name, "lanes": lanes, "weights": ROWS * COLUMNS, "words_per_cycle": min(rates),
                     "mean_words_per_cycle": sum(rates) / len(rates), "limit_words_per_cycle": 1.0 if name in ("sgd", "momentum") else 0.5,
                     "cycles": max(large), "start_and_end_cycles": small, "int8_copy": True})
    return rows


def moves(lanes: int) -> list[dict]:
    """Return a row for each move between versions, with its command's cycles by the size of the group."""
    sizes = {f"{rows * COLUMNS} weights": move_cycles(lanes, rows) for rows in (1, ROWS)}
    return [{"name": name, "lanes": lanes, "command_cycles": {size: moved[name] for size, moved in sizes.items()}}
            for name in ("commit", "rollback")]


def measure(lanes: int, out: Path) -> list[dict]:
    """Measure optimizers and moves; write update.json and return its rows."""
    rows = steps(lanes) + moves(lanes)
    meta = {"words_per_cycle": "sustained, with the int8 copy; worst of several arrangements in the scratchpad",
            "limit": "each multiplier of a lane is used twice a word, but for sgd and momentum without clip",
            "command_cycles": "the whole command; the pointers themselves move in one cycle, which tb/weights asserts in every cycle"}
    (out / "update.json").write_text(json.dumps({"meta": meta, "rows": rows}, indent=1) + "\n")
    return rows
