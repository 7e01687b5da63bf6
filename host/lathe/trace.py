# SPDX-License-Identifier: Apache-2.0
"""What every unit does in every cycle of a program: a timeline for Perfetto and a picture of the shares.

>>> timeline = capture(device, [program])                      # doctest: +SKIP
... timeline.write(Path("trace.json"))
"""

import json
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .device import Device
from .errors import BackendError
from .program import Program
from .registers import UNITS

#: What a unit does in a cycle, by code (lathe_pkg::unit_state_e).
STATES = ("idle", "busy", "wait", "stall_operand", "stall_result", "overhead", "fetch")
BUSY = STATES.index("busy")
COLORS = ("#e8e8e8", "#2f7ed8", "#f2c14e", "#d9534f", "#a94fd9", "#8d99ae", "#c9d6df")
UNIT_BITS = 13  # of the trace port: state, start, done, pc
WINDOWS = 200   # samples of the utilization in a program
PID, PROGRAM_TRACK = 1, 0


@dataclass(frozen=True)
class Slice:
    """Cycles `begin` to `end` (not included) of one unit in one state."""

    begin: int
    end: int
    state: int


@dataclass(frozen=True)
class Command:
    """One operation in its unit: `begin` to `end` (not included) is when it was the oldest there, `start` when it came."""

    begin: int
    end: int
    start: int
    pc: int


@dataclass(frozen=True)
class Run:
    """One run of a program: its cycles on the chip and, by unit, states and commands."""

    program: Program
    begin: int
    end: int
    states: list[list[Slice]]
    commands: list[list[Command]]

    @property
    def cycles(self) -> int:
        return self.end - self.begin

    def share(self, unit: int) -> np.ndarray:
        """Return how many cycles the unit spent in each state; they sum to the cycles of the program."""
        counts = np.zeros(len(STATES), int)
        for piece in self.states[unit]:
            counts[piece.state] += piece.end - piece.begin
        return counts

    def utilization(self, windows: int = WINDOWS) -> list[tuple[int, float]]:
        """Return (cycle, share of the following window in which the array takes a step)."""
        width = max(1, -(-self.cycles // windows))
        busy = np.zeros(self.cycles, bool)
        for piece in self.states[UNITS.index("gemm")]:
            busy[piece.begin - self.begin:piece.end - self.begin] = piece.state == BUSY
        return [(self.begin + at, float(busy[at:at + width].mean())) for at in range(0, self.cycles, width)]


def decode(program: Program, first: int, changes: np.ndarray, cycles: int) -> Run:
    """Cut what the trace port showed into states and commands.

    Parameters
    ----------
    program : Program
    first : int
        Where it lies in program memory.
    changes : ndarray of uint64, shape (changes, 2)
        A cycle, and what the port shows from then on.
    cycles : int
        How many cycles the program took, by the chip's counter.
    """
    at, value = changes[:, 0].astype(np.int64), changes[:, 1]
    fields = [value >> np.uint64(UNIT_BITS * unit) for unit in range(len(UNITS))]
    state, begins, ends, pc = (np.array([f >> np.uint64(low) & np.uint64(mask) for f in fields], np.int64)
                               for low, mask in ((10, 7), (9, 1), (8, 1), (0, 255)))
    active = np.flatnonzero(state.any(axis=0))
    if not len(active):
        raise BackendError(f"the chip's trace port showed nothing while program '{program.name}' ran")
    begin = int(at[active[0]])
    end = begin + cycles
    states, commands = [], []
    for unit in range(len(UNITS)):
        pieces: list[Slice] = []
        for index in np.flatnonzero((at >= begin) & (at < end)):
            code, until = int(state[unit, index]), int(at[index + 1]) if index + 1 < len(at) else end
            if pieces and pieces[-1].state == code:
                pieces[-1] = Slice(pieces[-1].begin, min(until, end), code)
            else:
                pieces.append(Slice(int(at[index]), min(until, end), code))
        states.append(pieces)
        waiting: deque[int] = deque()
        done: list[Command] = []
        for index in np.flatnonzero(begins[unit] | ends[unit]):
            cycle = int(at[index])
            if begins[unit, index]:
                waiting.append(cycle)
            if ends[unit, index] and waiting:
                start = waiting.popleft()
                done.append(Command(max(start, done[-1].end if done else start), cycle + 1, start, int(pc[unit, index]) - first))
        commands.append(done)
    return Run(program, begin, end, states, commands)


def capture(device: Device, programs: Iterable[Program]) -> "Timeline":
    """Run programs one after the other and record what the units do.

    Raises
    ------
    BackendError
        The back end has no clock and so no trace.
    """
    backend = device.backend
    if not hasattr(backend, "start_trace"):
        raise BackendError(f"back end '{device.name}' has no clock, so there is nothing to trace; say --backend verilator")
    runs = []
    for program in programs:
        device.install(program)
        before = device.cycles
        backend.start_trace()
        try:
            device.run(program)
        finally:
            changes = backend.stop_trace()
        runs.append(decode(program, device.registers.value("START_PC"), changes, device.cycles - before))
    return Timeline(runs, device.layout.lanes)


@dataclass
class Timeline:
    """Runs of programs on one chip."""

    runs: list[Run]
    lanes: int

    def peak(self, run: Run) -> float:
        """Return the multiply-accumulates of a run over what the array could have done in its cycles."""
        return run.program.macs / self.lanes**2 / run.cycles

    def events(self) -> list[dict]:
        """Return the timeline as events of the Chrome trace format; a microsecond is a clock cycle."""
        tracks = {PROGRAM_TRACK: "program"}
        for unit, name in enumerate(UNITS):
            tracks |= {2 * unit + 1: name, 2 * unit + 2: f"{name} state"}
        events = [{"ph": "M", "pid": PID, "name": "process_name", "args": {"name": f"lathe, {self.lanes} lanes"}}]
        for track, name in tracks.items():
            events += [{"ph": "M", "pid": PID, "tid": track, "name": "thread_name", "args": {"name": name}},
                       {"ph": "M", "pid": PID, "tid": track, "name": "thread_sort_index", "args": {"sort_index": track}}]
        zero = self.runs[0].begin if self.runs else 0
        for run in self.runs:
            events.append(_slice(run.program.name, PROGRAM_TRACK, run, zero, cycles=run.cycles, macs=run.program.macs,
                                 utilization=round(self.peak(run), 4)))
            for unit in range(len(UNITS)):
                for command in run.commands[unit]:
                    op = run.program.operations[command.pc]
                    sizes = {name: op.fields[name] for name in ("m", "k", "n") if name in op.fields}
                    size = f" {'x'.join(map(str, sizes.values()))}" if sizes else ""
                    events.append(_slice(f"{op.op}{size} ({op.label})", 2 * unit + 1, command, zero, pc=command.pc, **sizes,
                                         taken=command.start - zero))
                events += [_slice(STATES[piece.state], 2 * unit + 2, piece, zero) for piece in run.states[unit]]
            samples = [*run.utilization(), (run.end, 0.0)]
            events += [{"ph": "C", "pid": PID, "tid": 0, "ts": cycle - zero, "name": "array utilization",
                        "args": {"share": round(share, 4)}} for cycle, share in samples]
        return events

    def write(self, path: Path) -> None:
        """Write the timeline as JSON that Perfetto (ui.perfetto.dev) and chrome://tracing open."""
        document = {
            "displayTimeUnit": "ms",
            "otherData": {"time unit": "1 us is one clock cycle", "lanes": self.lanes,
                          "array utilization": "share of a window's cycles in which the gemm array takes a step"},
            "traceEvents": self.events(),
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(document, indent=0) + "\n")

    def draw(self, path: Path) -> None:
        """Draw, for each program and unit, the shares of the states."""
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot

        path.parent.mkdir(parents=True, exist_ok=True)
        count = len(self.runs)
        figure, axes = pyplot.subplots(count, 1, figsize=(8, 0.9 + 1.7 * count), layout="constrained", squeeze=False)
        for axis, run in zip(axes[:, 0], self.runs, strict=True):
            left = np.zeros(len(UNITS))
            shares = np.array([run.share(unit) for unit in range(len(UNITS))]) / run.cycles
            for code, name in enumerate(STATES):
                axis.barh(UNITS, shares[:, code], left=left, color=COLORS[code], label=name.replace("_", " "), height=0.7)
                left += shares[:, code]
            axis.invert_yaxis()
            axis.set_xlim(0, 1)
            axis.xaxis.set_major_formatter("{x:.0%}")
            axis.set_title(f"{run.program.name}: {run.cycles:,} cycles, {self.peak(run):.1%} of the array's peak", fontsize=10)
        figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=len(STATES), fontsize=8)
        figure.savefig(path, dpi=120)
        pyplot.close(figure)

    def summary(self) -> str:
        """Return a table: program, unit, share of each state."""
        lines = []
        for run in self.runs:
            lines.append(f"{run.program.name}: {run.cycles:,} cycles, {self.peak(run):.1%} of the array's peak")
            for unit, name in enumerate(UNITS):
                shares = ", ".join(f"{STATES[code].replace('_', ' ')} {count / run.cycles:.1%}"
                                   for code, count in enumerate(run.share(unit)) if count)
                lines.append(f"  {name:7s}{shares}")
        return "\n".join(lines)


def _slice(name: str, track: int, piece: Run | Slice | Command, zero: int, **args) -> dict:
    return {"ph": "X", "pid": PID, "tid": track, "name": name, "ts": piece.begin - zero, "dur": piece.end - piece.begin,
            "args": args}
