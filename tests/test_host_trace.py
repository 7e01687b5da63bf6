# SPDX-License-Identifier: Apache-2.0
"""lathe trace: the record of the trace port, the timeline made of it, and the command."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from lathe import BackendError, Device
from lathe.cli import main
from lathe.ppo import Trainer
from lathe.registers import UNITS
from lathe.settings import Settings
from lathe.trace import BUSY, STATES, Timeline, capture, decode

IDLE, _, WAIT, OPERAND, _, OVERHEAD, FETCH = range(len(STATES))


def port(*units: tuple) -> int:
    """The port's value from (state, start, done, pc) of some units."""
    return sum((state << 10 | start << 9 | done << 8 | pc) << 13 * unit for unit, (state, start, done, pc) in enumerate(units))


def operation(unit: str, op: str, label: str, **fields):
    return SimpleNamespace(unit=unit, op=op, label=label, fields=fields)


PROGRAM = SimpleNamespace(name="two products", macs=64 * 6, operations=[
    operation("gemm", "matmul", "c = a b", m=8, k=4, n=8), operation("gemm", "matmul", "d = c b", m=8, k=2, n=8),
    operation("policy", "sample", "r = sample(d)", m=8, n=3)])
CHANGES = np.array([  # the program lies at place 40 and takes cycles 102 to 113
    (100, port()),
    (102, port((FETCH, 0, 0, 40), (FETCH, 0, 0, 0), (FETCH, 0, 0, 0), (FETCH, 0, 0, 0))),
    (103, port((FETCH, 1, 0, 40), (WAIT, 0, 0, 42))),
    (104, port((OVERHEAD, 0, 0, 40), (WAIT, 0, 0, 42))),
    (105, port((BUSY, 1, 0, 40), (WAIT, 0, 0, 42))),     # takes the second while the first runs
    (106, port((BUSY, 0, 0, 40), (WAIT, 0, 0, 42))),
    (108, port((BUSY, 0, 1, 40), (WAIT, 0, 0, 42))),
    (109, port((BUSY, 0, 0, 41), (WAIT, 0, 0, 42))),
    (110, port((OPERAND, 0, 1, 41), (WAIT, 0, 0, 42))),
    (111, port((IDLE, 0, 0, 0), (WAIT, 1, 0, 42))),
    (112, port((IDLE, 0, 0, 0), (BUSY, 0, 1, 42))),
    (113, port()),
], np.uint64)


def check_events(events: list[dict]) -> None:
    """The trace event format: each event has what its phase needs, and what is on one track does not overlap."""
    tracks: dict[int, list[tuple[int, int]]] = {}
    names = {}
    for event in events:
        assert event["ph"] in "MXC" and isinstance(event["pid"], int) and isinstance(event["name"], str) and event["name"]
        if event["ph"] == "M":
            if event["name"] == "thread_name":
                names[event["tid"]] = event["args"]["name"]
            continue
        assert isinstance(event["tid"], int) and isinstance(event["ts"], int) and event["ts"] >= 0
        if event["ph"] == "C":
            assert 0 <= event["args"]["share"] <= 1
        else:
            assert isinstance(event["dur"], int) and event["dur"] > 0
            tracks.setdefault(event["tid"], []).append((event["ts"], event["ts"] + event["dur"]))
    assert set(tracks) <= set(names) and len(set(names.values())) == len(names) == 1 + 2 * len(UNITS)
    for spans in tracks.values():
        assert spans == sorted(spans)
        assert all(before[1] <= after[0] for before, after in zip(spans, spans[1:], strict=False))


def check_run(run) -> None:
    """The states of every unit cover the program exactly; commands lie in it, in order."""
    for unit in range(len(UNITS)):
        pieces = run.states[unit]
        assert pieces[0].begin == run.begin and pieces[-1].end == run.end
        assert all(a.end == b.begin and a.state != b.state for a, b in zip(pieces, pieces[1:], strict=False))
        assert run.share(unit).sum() == run.cycles
        assert [command.pc for command in run.commands[unit]] == [
            pc for pc, op in enumerate(run.program.operations) if op.unit == UNITS[unit]]
        assert all(run.begin <= c.start <= c.begin < c.end <= run.end for c in run.commands[unit])


def test_decode():
    run = decode(PROGRAM, 40, CHANGES, 12)
    check_run(run)
    assert (run.begin, run.end) == (102, 114)
    assert [(p.begin, p.end, p.state) for p in run.states[0]] == [
        (102, 104, FETCH), (104, 105, OVERHEAD), (105, 110, BUSY), (110, 111, OPERAND), (111, 114, IDLE)]
    assert [(c.start, c.begin, c.end, c.pc) for c in run.commands[0]] == [(103, 103, 109, 0), (105, 109, 111, 1)]
    assert [(c.begin, c.end, c.pc) for c in run.commands[1]] == [(111, 113, 2)]
    assert run.share(0).tolist() == [3, 5, 0, 1, 0, 1, 2] and run.share(3).tolist() == [11, 0, 0, 0, 0, 0, 1]
    assert run.utilization(windows=4) == [(102, 0.0), (105, 1.0), (108, 2 / 3), (111, 0.0)]


def test_events_and_files(tmp_path):
    timeline = Timeline([decode(PROGRAM, 40, CHANGES, 12)], 8)
    timeline.write(tmp_path / "new/trace.json")
    document = json.loads((tmp_path / "new/trace.json").read_text())
    assert document["otherData"]["time unit"] == "1 us is one clock cycle"
    events = document["traceEvents"]
    check_events(events)
    found = {event["name"]: event for event in events if event["ph"] == "X"}
    assert found["matmul 8x4x8 (c = a b)"] == {"ph": "X", "pid": 1, "tid": 1, "name": "matmul 8x4x8 (c = a b)", "ts": 1, "dur": 6,
                                               "args": {"pc": 0, "m": 8, "k": 4, "n": 8, "taken": 1}}
    assert found["two products"]["dur"] == 12 and found["two products"]["args"]["utilization"] == 0.5
    timeline.draw(tmp_path / "picture.png")
    assert (tmp_path / "picture.png").read_bytes()[:4] == b"\x89PNG"
    assert "two products: 12 cycles, 50.0% of the array's peak" in timeline.summary()


def test_a_port_that_shows_nothing():
    with pytest.raises(BackendError, match="showed nothing while program 'two products'"):
        decode(PROGRAM, 40, CHANGES[:1], 12)


def test_the_golden_model_has_no_trace(capsys):
    with Device("golden") as device, pytest.raises(BackendError, match="say --backend verilator"):
        capture(device, [])
    assert main(["trace", "--backend", "golden"]) == 2
    assert capsys.readouterr().err.startswith("lathe: error: back end 'golden' has no clock")


@pytest.mark.xdist_group("verilated")
def test_training_on_the_chip(tmp_path, capsys):
    assert main(["trace", "--seed", "3", "--out", str(tmp_path / "trace.json")]) == 0
    check_events(json.loads((tmp_path / "trace.json").read_text())["traceEvents"])
    assert (tmp_path / "trace.png").stat().st_size > 5000
    text = capsys.readouterr().out
    assert "rollout step: " in text and "minibatch update: " in text
    assert main(["trace", "--seed", "3", "--program", "rollout", "--out", str(tmp_path / "one.json")]) == 0
    assert "minibatch update" not in (tmp_path / "one.json").read_text()


@pytest.mark.xdist_group("verilated")
def test_the_trace_agrees_with_the_counters():
    with Trainer(Settings(backend="verilator", seed=4, rollout=16)) as trainer:
        trainer.iteration(max_updates=1)
        device = trainer.device
        for program in (trainer.actor.program, trainer.learner.update):
            device.registers.write("CONTROL", perf_clear=1)
            run = capture(device, [program]).runs[0]
            check_run(run)
            assert run.cycles == device.cycles
            for unit, name in enumerate(UNITS):
                counters = [device.registers.value(f"{name}_{state}".upper()) for state in STATES]
                assert run.share(unit).tolist() == counters
                assert sum(counters) == device.cycles  # each cycle of the program is accounted for
            recorded = len(device.backend.stop_trace())
            device.run(program)
            assert len(device.backend.stop_trace()) == recorded > 10
