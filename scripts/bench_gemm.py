# SPDX-License-Identifier: Apache-2.0
"""Cycles of matrix products and of networks on the simulated chip, into build/bench/gemm.json and a roofline plot.

Every product is checked against float64 before its cycles count.
"""

import json
import math
from pathlib import Path

import numpy as np

FORMS = {"X W": (False, False), "dY W^T": (False, True), "X^T dY": (True, False)}
# M x K x N, and the cycles that it may take at 8 lanes.
INT16 = {(64, 64, 64): 4143, (96, 96, 96): 13871, (8, 64, 64): 559, (64, 16, 64): 1071, (256, 4, 64): 2100}
INT8 = {(64, 64, 64): 2095, (96, 96, 96): 6960}
# The share of the ideal that must be reached.
OUTSIDE = {(256, 256, 256): 0.95, (1024, 64, 1024): 0.95}
FORWARD, UPDATE = 0.65, 0.80
NETWORK, ACT_BATCH, LEARN_BATCH = (4, (64, 64), 2), 8, 256
EXPONENT = {"int16": -15, "int8": -7}


def scale_sim(m: int, k: int, n: int, side: int) -> int:
    """Cycles of SCALE-Sim 3.0's output-stationary array of side x side for an M x K x N product."""
    return math.ceil(m / side) * math.ceil(n / side) * (k + 2 * side - 2) - 1


class Shape:
    """What limits an M x K x N product on an array of side x side that takes `rate` k-steps a cycle."""

    def __init__(self, m: int, k: int, n: int, side: int, rate: int):
        self.m, self.k, self.n, self.side, self.rate = m, k, n, side, rate
        self.tiles = math.ceil(m / side) * math.ceil(n / side)
        self.ideal = m * n * k / side**2 / rate
        self.steps = math.ceil(k / rate / side) * side  # operands come in groups of `side`

    def bound(self, cycles: int) -> str:
        """Say what bounds it, in words and cycles."""
        held = self.tiles * self.steps
        if self.k / self.rate < self.side:
            reason = f"drain: {self.m} x {math.ceil(self.n / self.side)} result words, one a cycle"
        elif held > self.ideal:
            reason = f"array, with {1 - self.ideal / held:.0%} of it on ragged edges"
        else:
            reason = "array: one k-step a cycle"
        return f"{reason} = {held:,} cycles; {cycles - held:,} more to fetch the first operands, fill, and drain the last tile"


def in_command(device) -> int:
    """Cycles during which a command was in the gemm unit."""
    return sum(device.registers.value(f"GEMM_{what}") for what in ("BUSY", "STALL_OPERAND", "STALL_RESULT", "OVERHEAD"))


def _row(name: str, precision: str, form: str, sizes, lanes: int, cycles: int, ideal: float, bound: str, limit: float | None = None,
         **more) -> dict:
    m, k, n = sizes or (None, None, None)
    simulated = scale_sim(m, k, n, lanes) if sizes and precision == "int16" else None
    return {"name": name, "precision": precision, "form": form, "m": m, "k": k, "n": n, "lanes": lanes, "cycles": cycles,
            "ideal_cycles": ideal, "utilization": ideal / cycles, "limit_cycles": limit if lanes == 8 else None,
            "scale_sim_cycles": simulated, "bound": bound, **more}


def _values(rng, shape, transposed: bool) -> np.ndarray:
    return rng.uniform(-0.99, 0.99, shape[::-1] if transposed else shape)


def _check(what: str, result: np.ndarray, exact: np.ndarray, exponent: int) -> None:
    error = np.abs(result - exact).max()
    if error > 2.0**exponent / 2:
        raise SystemExit(f"bench: {what} is wrong by {error}, more than one rounding")


def on_chip(open_device, lanes: int, precision: str, form: str, sizes: tuple[int, int, int]) -> dict:
    """Measure one product whose operands lie in the scratchpad."""
    from lathe import Program

    m, k, n = sizes
    trans_a, trans_b = FORMS[form]
    rng = np.random.default_rng(m + k + n)
    packed = ("columns" if trans_a else "rows", "rows" if trans_b else "columns") if precision == "int8" else (None, None)
    with open_device(8) as device:
        operands = []
        for name, shape, transposed, along in (("a", (m, k), trans_a, packed[0]), ("b", (k, n), trans_b, packed[1])):
            values = _values(rng, shape, transposed)
            tensor = device.layout.tensor(name, *values.shape, EXPONENT[precision], True, dtype=precision, packed=along)
            device.load(tensor, values)
            operands.append(tensor)
        c = device.layout.tensor("c", m, n, -9, True)
        program = Program(form, device.layout)
        program.matmul(*operands, c, trans_a=trans_a, trans_b=trans_b)
        device.registers.write("CONTROL", perf_clear=1)
        device.run(program)
        cycles = in_command(device)
        a, b = (device.store(tensor) for tensor in operands)
        _check(f"{form} {sizes} {precision}", device.store(c), (a.T if trans_a else a) @ (b.T if trans_b else b), -9)
    shape = Shape(m, k, n, lanes, 2 if precision == "int8" else 1)
    limit = (INT8 if precision == "int8" else INT16).get(sizes)
    return _row(f"{form} {m}x{k}x{n}", precision, form, sizes, lanes, cycles, shape.ideal, shape.bound(cycles), limit,
                macs_per_word=m * n * k / (m * math.ceil(n / lanes)))


def from_outside(open_device, lanes: int, sizes: tuple[int, int, int]) -> dict:
    """Measure one product whose operands and result lie in outside memory, from the first START to the last done.

    If it runs in several pieces, what lies between them counts too.
    """
    from lathe import Program

    m, k, n = sizes
    rng = np.random.default_rng(m + k + n)
    with open_device(8, memory_bytes=1 << 23) as device:
        a, b, c = (device.layout.matrix(name, *shape, exponent)
                   for name, shape, exponent in (("a", (m, k), -15), ("b", (k, n), -15), ("c", (m, n), -9)))
        for matrix in (a, b):
            matrix.write(rng.uniform(-0.99, 0.99, matrix.shape))
        program = Program("outside", device.layout)
        plan = program.matmul_outside(a, b, c)
        started, start = [], device._runner.start
        device._runner.start = lambda *piece: (started.append(device.backend.cycles), start(*piece))
        device.run(program)
        cycles = device.backend.cycles - started[0]
        words = sum(op.fields["m"] * op.fields["n"] for op in program.operations if op.unit == "dma")
        _check(f"outside {sizes}", c.read(), a.read() @ b.read(), -9)
    ideal = m * n * k / lanes**2
    first = math.ceil(plan.m * math.ceil(k / lanes) + k * math.ceil(plan.n / lanes))
    bound = (f"array: blocks of {plan.m} x {plan.n}, {len(program.operations)} descriptors in {len(started)} program(s), "
             f"{words:,} words moved meanwhile; the first two blocks take {first:,} cycles to come, "
             f"the last one {plan.m * math.ceil(plan.n / lanes):,} to leave")
    return _row(f"{m}x{k}x{n} from outside memory", "int16", "X W", sizes, lanes, cycles, ideal, bound, int(ideal / OUTSIDE[sizes]),
                macs_per_word=m * n * k / words)


def networks(open_device, lanes: int) -> list[dict]:
    """Measure a rollout step and a minibatch update, from START to done."""
    from lathe import Program
    from lathe.networks import MLP

    rng = np.random.default_rng(1)
    inputs, hidden, actions = NETWORK
    name = "-".join(map(str, (inputs, *hidden, actions + 1)))
    rows = []
    with open_device(16) as device:
        layout = device.layout
        net = MLP(layout, inputs, hidden, actions)
        acts, records = net.activations(ACT_BATCH, "act", -12), layout.records("act.records", ACT_BATCH)
        forward, step = Program("forward", layout), Program("rollout step", layout)
        net.forward(forward, acts)
        step.load(acts.x, layout.block_for(acts.x))
        net.forward(step, acts)
        step.sample(acts.y, records)
        step.store(records, layout.block_for(records))
        batch, grads = net.activations(LEARN_BATCH, "learn", -12), net.gradients(LEARN_BATCH, "learn")
        samples = layout.records("learn.records", LEARN_BATCH)
        x_block, record_block = layout.block_for(batch.x), layout.block_for(samples)
        update = Program("minibatch update", layout)
        update.load(batch.x, x_block)
        update.load(samples, record_block)
        net.forward(update, batch)
        update.loss(batch.y, samples, grads.outputs[-1], 8)
        net.backward(update, batch, grads, update=True)
        update.commit()
        for tensor, values in net.initial_values(rng).items():
            device.load(tensor, values)
        device.load(acts.x, rng.uniform(-1, 1, acts.x.shape))
        x_block.data[:, :inputs] = rng.integers(-4000, 4000, (LEARN_BATCH, inputs))
        record_block.data[:, 0] = rng.integers(0, actions, LEARN_BATCH)
        record_block.data[:, 1:4] = rng.integers(-700, 700, (LEARN_BATCH, 3))
        device.set_optimizer(0.01, 0.9)
        for program, share, title in (
                (forward, FORWARD, f"forward of {name}, batch {ACT_BATCH}"),
                (step, None, f"rollout step of {name}, batch {ACT_BATCH}: load, forward, sample, store"),
                (update, UPDATE, f"minibatch update of {name}, batch {LEARN_BATCH}: load, forward, policy, backward, update")):
            for _ in range(3):  # delayed scaling settles
                device.run(program)
            device.registers.write("CONTROL", perf_clear=1)
            device.run(program)
            held = sum(Shape(op.fields["m"], op.fields["k"], op.fields["n"], lanes, 1).tiles
                       * Shape(op.fields["m"], op.fields["k"], op.fields["n"], lanes, 1).steps
                       for op in program.operations if op.unit == "gemm")
            steps, wait = device.registers.wide("MAC_STEPS"), device.registers.value("GEMM_WAIT")
            bound = (f"layers of {inputs} inputs and {actions + 1} outputs fill a part of the array: {held:,} cycles of tiles at best; the "
                     f"array stood {device.cycles - steps:,} cycles, {wait:,} of them waiting for other units" +
                     ("; needs 16 banks (--banks 16)" if program is update else ""))
            ideal = program.macs / lanes**2
            rows.append(_row(title, "int16", "program", None, lanes, device.cycles, ideal, bound, int(ideal / share) if share else None,
                             array_steps=steps))
    return rows


def measure(lanes: int, out: Path) -> list[dict]:
    """Measure everything; write gemm.json and the roofline plot into the folder `out`."""
    from lathe import Device

    def open_device(banks: int, **settings) -> Device:
        return Device("verilator", lanes, banks, **settings)

    rows = [on_chip(open_device, lanes, "int16", form, sizes) for sizes in INT16 for form in FORMS]
    rows += [on_chip(open_device, lanes, "int8", form, sizes) for sizes in INT8 for form in FORMS]
    rows += [from_outside(open_device, lanes, sizes) for sizes in OUTSIDE]
    rows += networks(open_device, lanes)
    meta = {"shapes": "M x K x N", "lanes": lanes,
            "cycles": "products on chip: with a command in the gemm unit, to the last result written; all others: from START to done",
            "ideal_cycles": "multiply-accumulates / lanes**2, int8 / (2 lanes**2)",
            "limit_cycles": "what it may take (tests/test_bench.py)",
            "scale_sim_cycles": "SCALE-Sim 3.0, output-stationary, R = C = lanes: ceil(M/R) ceil(N/C) (K + R + C - 2) - 1"}
    (out / "gemm.json").write_text(json.dumps({"meta": meta, "rows": rows}, indent=1) + "\n")
    roofline(rows, lanes, out)
    return rows


def roofline(rows: list[dict], lanes: int, out: Path) -> None:
    """Draw multiply-accumulates a cycle over those a word of the narrowest way, which carries one word a cycle."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axis = pyplot.subplots(figsize=(8, 5), layout="constrained")
    reach = np.geomspace(lanes, 4 * lanes**3, 200)
    for rate, name in ((1, "int16"), (2, "int8")):
        axis.plot(reach, np.minimum(reach, rate * lanes**2), color="#444444", linewidth=1)
        axis.annotate(f"{name}: {rate * lanes**2} a cycle", (reach[-1], rate * lanes**2), ha="right", va="bottom", fontsize=8)
    axis.annotate("one word a cycle", (lanes * 1.2, lanes * 1.3), rotation=35, fontsize=8)
    groups: dict[tuple[str, str], list] = {}
    for row in rows:
        if row.get("macs_per_word"):
            kind = "operands in outside memory" if "outside" in row["name"] else f"operands on chip, {row['precision']}"
            groups.setdefault((kind, row["precision"]), []).append(
                (row["macs_per_word"], row["m"] * row["k"] * row["n"] / row["cycles"], f"{row['m']}x{row['k']}x{row['n']}"))
    for (kind, _), points in groups.items():
        axis.scatter([p[0] for p in points], [p[1] for p in points], label=kind, s=22, zorder=3)
        for label in {p[2] for p in points}:
            x, y = next((p[0], p[1]) for p in points if p[2] == label)
            axis.annotate(label, (x, y), textcoords="offset points", xytext=(4, -10), fontsize=7)
    axis.set(xscale="log", yscale="log", ylabel="multiply-accumulates a cycle",
             xlabel="multiply-accumulates a word (on chip: of the result; outside: moved to and from memory)")
    axis.set_title(f"Matrix products, Lanes = {lanes}", fontsize=10)
    axis.legend(fontsize=8, loc="upper left")
    axis.grid(True, which="both", linewidth=0.3)
    for kind in ("svg", "png"):
        figure.savefig(out / f"roofline.{kind}", dpi=120)
    pyplot.close(figure)
