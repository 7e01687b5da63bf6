# SPDX-License-Identifier: Apache-2.0
"""Cycle counts of products, networks and the demonstration's programs, and the speed of the simulation, into build/bench.

Cycles are exact and repeatable; wall-clock enters only as a ratio of two measurements of this one run.
"""

import argparse
import json
import math
import os
import platform
import sys
import time
from pathlib import Path

import bench_engines
import bench_gemm
import bench_ratio
import bench_torch
import bench_training
import bench_update
import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "host")]
OUT = ROOT / "build/bench"
UNITS = ("GEMM", "POLICY", "UPDATE", "DMA")
REASONS = ("IDLE", "BUSY", "WAIT", "STALL_OPERAND", "STALL_RESULT", "OVERHEAD", "FETCH")
REPEATS = 10


class RecordingBackend:
    """The in-process back end; keeps every register write and every run for the replay under cocotb."""

    name = "verilator"

    def __init__(self, lanes, banks, memory, seed):
        from lathe.backends.verilator import VerilatorBackend

        self.inner = VerilatorBackend(lanes, banks, memory, seed)
        self.memory, self.accesses = memory, []

    def csr_write(self, address, value):
        self.accesses.append((address, value & 0xFFFFFFFF))
        self.inner.csr_write(address, value)

    def csr_read(self, address):
        return self.inner.csr_read(address)

    def run(self, max_cycles):
        self.accesses.append((-1, 0))
        self.inner.run(max_cycles)

    @property
    def cycles(self):
        return self.inner.cycles

    def close(self):
        self.inner.close()


def measure(device, program, name: str, lanes: int) -> dict:
    """Run a program once and return its row."""
    device.registers.write("CONTROL", perf_clear=1)
    device.run(program)
    cycles = device.cycles
    ideal = program.macs / lanes**2
    row = {"name": name, "precision": "int16", "lanes": lanes, "cycles": cycles, "ideal_cycles": ideal, "utilization": ideal / cycles,
           "array_steps": device.registers.wide("MAC_STEPS")}
    for unit in UNITS:
        for reason in REASONS:
            row[f"{unit.lower()}_{reason.lower()}"] = device.registers.value(f"{unit}_{reason}")
    return row


def record_runs(device, program, repeats: int, record: Path) -> None:
    """Run a program once, so that it is installed, then `repeats` times; write all register accesses since the device was
    opened for tb/chip/replay.py."""
    memory, accesses = device.memory.copy(), device.backend.accesses
    device.run(program)
    before = len(accesses)
    for _ in range(repeats):
        device.run(program)
    timed, rest = divmod(len(accesses) - before, repeats)
    assert not rest, "the runs differ"
    np.savez(record, memory=memory, accesses=np.array(accesses, np.int64), timed=timed, repeats=repeats)


def replay(record: Path, lanes: int, banks: int) -> dict:
    """Run the recorded accesses through the cocotb chip bench; return its cycles and seconds."""
    from tb.common.runner import run

    out = record.with_suffix(".json")
    out.unlink(missing_ok=True)
    run("lathe", "tb.chip.replay", parameters={"Lanes": lanes, "Banks": banks}, testcase="Replay",
        extra_env={"REPLAY": record, "REPLAY_OUT": out, "CHIP_LANES": lanes, "CHIP_BANKS": banks})
    return json.loads(out.read_text())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lanes", type=int, default=8, choices=(4, 8, 16))
    parser.add_argument("--against", metavar="COMMIT", help="also train the demonstration with this commit's sources and compare the time")
    arguments = parser.parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    rows = bench_gemm.measure(arguments.lanes, OUT) + chip(arguments.lanes)
    for row in rows:
        if "cycles" in row:
            over = row["cycles"] > (row.get("limit_cycles") or math.inf)
            print(f"{row['name']:60} {row['precision']} {row['cycles']:9,} cycles, ideal {row['ideal_cycles']:11,.1f}, "
                  f"utilization {row['utilization']:6.1%}{', OVER ITS LIMIT' if over else ''}")
        else:
            print(f"{row['name']:60} {row['cycles_per_second']:,.0f} cycles/s, {row['ratio_to_cocotb']:.0f} times the cocotb bench")
    for row in bench_torch.compare(programs, OUT):
        print(f"{row['name']:60} {row['cycles']:9,} cycles of {row['lanes']} lanes, {row['us']:,.1f} us at the {row['clock_mhz']:g} MHz of "
              f"{row['board']}, PyTorch {row['torch_us']:,.0f} us on this processor")
    for row in bench_ratio.measure(arguments.lanes, OUT):
        print(f"{row['name']:60} {row['cycles']:9,} cycles for {row['samples']} samples in {row['passes']} pass(es), "
              f"{row['samples_per_cycle']:.2f} samples a cycle")
    for row in bench_update.measure(arguments.lanes, OUT):
        if "words_per_cycle" in row:
            print(f"{row['name']:60} {row['words_per_cycle']:.3f} words a cycle (mean {row['mean_words_per_cycle']:.3f}, limit "
                  f"{row['limit_words_per_cycle']:.1f}); {row['weights']} weights {row['cycles']} cycles at most")
        else:
            print(f"{row['name']:60} {row['command_cycles']} cycles")
    for row in bench_engines.measure(arguments.lanes, OUT):
        late = row["policy"] == "priority" and not row["within_bound"]
        print(f"{row['name']:60} p50 {row['p50_cycles']:,}, p99 {row['p99_cycles']:,}, max {row['max_cycles']:,} cycles, alone "
              f"{row['own_cycles']:,}, bound {row['bound_cycles']:,}; the update takes {row['cycles_a_request_costs']:,.0f} cycles more a "
              f"request, {row['cutting_cycles']:,} more if cut{', P99 BEYOND THE BOUND' if late else ''}")
    if arguments.against:
        row = bench_training.compare(arguments.against, OUT)
        print(f"training: {row['ratio']:.2f} of the time that {row['commit'][:12]} takes")
    return 0


def fastest(device, program, repeats: int) -> float:
    """Return the cycles a second of the fastest of `repeats` times 40 runs of a program in process."""
    speeds = []
    for _ in range(repeats):
        begin, started = device.backend.cycles, time.perf_counter()
        for _ in range(40):
            device.run(program)
        speeds.append((device.backend.cycles - begin) / (time.perf_counter() - started))
    return max(speeds)


def measure_both(trainer) -> list[dict]:
    """Return the rows of a trainer's rollout step and of its minibatch update."""
    settings = trainer.settings
    return [measure(trainer.device, program, name, settings.lanes) for program, name in (
        (trainer.actor.program, f"forward, sample and transfers of {settings.environments} environments"),
        (trainer.learner.update, f"minibatch update of {settings.minibatch} samples"))]


def programs(settings) -> list[dict]:
    """Return the rows of the demonstration's programs on a chip of these settings."""
    from lathe.ppo import Trainer

    with Trainer(settings) as trainer:
        trainer.iteration(max_updates=1)
        return measure_both(trainer)


def chip(lanes: int) -> list[dict]:
    """Measure the demonstration's programs and the speed of the simulation; write chip.json."""
    from lathe.ppo import Trainer
    from lathe.settings import Settings

    settings = Settings(backend="verilator", lanes=lanes, seed=1)
    with Trainer(settings, backend=RecordingBackend) as trainer:
        device = trainer.device
        trainer.iteration(max_updates=1)
        rows = measure_both(trainer)
        record = OUT / "replay.npz"
        record_runs(device, trainer.learner.update, REPEATS, record)
        # The fastest of several times, half of them before the replay and half after it, and of as many in the replay: what
        # else runs on the machine only slows.
        speed = fastest(device, trainer.learner.update, REPEATS // 2)
        slow = replay(record, lanes, settings.banks)
        speed = max(speed, fastest(device, trainer.learner.update, REPEATS - REPEATS // 2))
    cocotb_speed = slow["cycles"] / slow["wall_s"]
    rows.append({"name": "simulation speed, in process", "lanes": lanes, "cycles_per_second": speed,
                 "cocotb_cycles_per_second": cocotb_speed, "ratio_to_cocotb": speed / cocotb_speed})
    meta = {"machine": platform.machine(), "cores": os.cpu_count(), "python": platform.python_version(),
            "limit": "one k-step of the Lanes x Lanes array a cycle", "cycles": "from START to the interrupt, transfers included",
            "speed": f"each the fastest of {REPEATS}"}
    (OUT / "chip.json").write_text(json.dumps({"meta": meta, "rows": rows}, indent=1) + "\n")
    return rows


if __name__ == "__main__":
    sys.exit(main())
