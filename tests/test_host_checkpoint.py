# SPDX-License-Identifier: Apache-2.0
"""Checkpoints: what is taken up goes on bit for bit, and what is damaged or of something else is refused and changes nothing."""

import json
import os
import subprocess
import sys
from dataclasses import asdict, replace

import gymnasium
import numpy as np
import pytest
from safetensors.numpy import save_file

from lathe import CheckpointError, Device, Program, ProgramError, VersionError, WeightGroup, checkpoint, cli, resume
from lathe.algorithms import make_trainer
from lathe.cli import main
from lathe.engines import Server
from lathe.environment_state import STATES, check_environments, environment_state, restore_environments
from lathe.environments import known_environments, make_environments
from lathe.networks import MLP
from lathe.registers import Registers
from lathe.settings import Settings

SMALL = Settings(environments=8, rollout=16, minibatch=64)
RUNS = {
    "ppo": SMALL, "lanes 4": replace(SMALL, lanes=4, slots=2),
    "int8 sampler": replace(SMALL, sampler="int8", publication_lag=2, evaluate_every=2, evaluation_episodes=8),
    "vtrace": replace(SMALL, algorithm="vtrace", sampler="int8", env="Acrobot-v1", normalize=True),
    "mountain car": replace(SMALL, env="MountainCar-v0", activation="relu", slots=4)}
TIMED = ("wall_s", "chip_cycles", "array_utilization")  # weights in another slot lie in other banks: cycles may differ by a few
VERILATED = pytest.mark.xdist_group("verilated")


def state_of(trainer):
    """All that must be the same, as text: progress, episodes, tensors, memory, exponents, histories, numbers."""
    device, registers = trainer.device, trainer.device.registers
    numbers = [registers.value(name) for name in ("VERSION", "OPNUM", "REQUEST_OPNUM", "SEED")]
    parts = [device.read_words(tensor).tobytes() for tensor in device.layout.tensors]
    parts += [device.memory[:device.layout.bytes_used].tobytes(), numbers, trainer.rollout.curve, trainer.rollout.next_x.tobytes()]
    parts += [registers.read_exponent(index) for index in range(64)] + [registers.read_history(index) for index in range(80)]
    registers.set("OPNUM", numbers[1])  # as if nothing had been read
    for progress in trainer.history:
        parts.append({name: value for name, value in asdict(progress).items() if name not in TIMED})
    return repr(parts)


def iterate(trainer, count):
    for _ in range(count):
        trainer.iteration()
    return trainer


def straight(settings, iterations):
    with make_trainer(settings) as trainer:
        return state_of(iterate(trainer, iterations))


def saved(settings, iterations, path):
    """Save a run after so many iterations; returns its state after as many again."""
    with make_trainer(settings) as trainer:
        resume.save(iterate(trainer, iterations), path)
        return state_of(iterate(trainer, iterations))


def resumed(settings, iterations, path):
    with make_trainer(settings) as trainer:
        resume.load(trainer, path)
        return state_of(iterate(trainer, iterations))


# ---- going on

@pytest.mark.parametrize("name", RUNS)
def test_a_resumed_run_is_the_same(name, tmp_path):
    path, settings = tmp_path / "run.safetensors", RUNS[name]
    expected = straight(settings, 6)
    assert saved(settings, 3, path) == expected, "saving has changed the run"
    assert resumed(settings, 3, path) == expected


@pytest.mark.parametrize("what", ["write_history", "set", "memory", "exponents", "rng", "next_x"])
def test_what_is_forgotten_is_noticed(what, tmp_path, monkeypatch):
    """A planted error: the run goes on without one part of its state."""
    path, settings = tmp_path / "run.safetensors", RUNS["int8 sampler"]
    expected = saved(settings, 3, path)
    content = checkpoint.read(path)
    if what == "write_history":
        monkeypatch.setattr(Registers, "write_history", lambda *_: None)
    elif what == "set":
        content.chip["settings"]["OPNUM"]["value"] += 1
    elif what == "rng":
        content.state["rng"]["state"]["state"] += 1
    elif what == "next_x":
        content.state["rollout"]["next_x"] = content.state["rollout"]["next_x"] + 1
    else:
        content.arrays[what] = np.zeros_like(content.arrays[what])
    monkeypatch.setattr(checkpoint, "read", lambda _: content)
    assert resumed(settings, 3, path) != expected


@VERILATED
@pytest.mark.parametrize("backends", [("verilator", "verilator"), ("golden", "verilator"), ("verilator", "golden")], ids="-".join)
def test_the_rtl_goes_on_as_well_as_the_golden_model(backends, tmp_path):
    path, settings = tmp_path / "run.safetensors", RUNS["int8 sampler"]
    expected = straight(settings, 4)
    assert saved(replace(settings, backend=backends[0]), 2, path) == expected
    assert resumed(replace(settings, backend=backends[1]), 2, path) == expected


def train(*arguments):
    """One `lathe train` in a process of its own; returns its result.json."""
    out = arguments[arguments.index("--out") + 1]
    subprocess.run([sys.executable, "-m", "lathe.cli", "train", *map(str, arguments)], check=True, stdout=subprocess.PIPE,
                   env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    result = json.loads((out / "result.json").read_text())
    return {name: value for name, value in result.items() if name not in (*TIMED, "train_wall_s")}


def compare_processes(tmp_path, iterations, *options):
    """A run of 2 * iterations of 10 updates, and two of half that in processes of their own: results and checkpoints are the same."""
    options = ("--rollout", 40, *options)
    samples, whole, half = 640, tmp_path / "whole.safetensors", tmp_path / "half.safetensors"
    expected = train(*options, "--steps", 2 * iterations * samples, "--save", whole, "--out", tmp_path / "a")
    train(*options, "--steps", iterations * samples, "--save", half, "--save-every", 1, "--out", tmp_path / "b")
    assert train("--resume", half, "--steps", 2 * iterations * samples, "--save", half, "--out", tmp_path / "c") == expected
    one, other = checkpoint.read(whole), checkpoint.read(half)
    assert one.arrays.keys() == other.arrays.keys() and one.chip == other.chip
    for name, array in one.arrays.items():
        assert np.array_equal(array, other.arrays[name]), name
    return expected


def test_another_process_goes_on(tmp_path):
    assert compare_processes(tmp_path, 1)["updates"] == 20


@pytest.mark.regress
@VERILATED
@pytest.mark.parametrize("backend", ["golden", "verilator"])
def test_a_hundred_updates_and_a_hundred_more(backend, tmp_path):
    assert compare_processes(tmp_path, 10, "--backend", backend)["updates"] == 200


def test_a_device_without_training(tmp_path):
    """Tensors, memory and numbers of requests; state of the caller's own comes back."""
    path, states = tmp_path / "device.safetensors", []
    x = np.random.default_rng(3).integers(-4000, 4000, (8, 5)).astype(np.int16)
    state = {"name": "mine", "list": [1, 2.5, None, {"deep": np.arange(6).reshape(2, 3).T}], "scalar": np.int16(7)}

    def made():
        device = Device(seed=4)
        net = MLP(device.layout, 5, (16,), 3)
        return device, net, Server(device.layout, net, 8, "served", -12)

    device, net, server = made()
    for tensor, values in net.initial_values(np.random.default_rng(1)).items():
        device.load(tensor, values)
    server.start(device)
    server.act(device, x)
    checkpoint.save(device, path, {**state, "publication": server.publication.state()})
    states.append(server.act(device, x))
    device.close()
    device, net, server = made()
    server.start(device)
    back = checkpoint.load(device, path)
    server.publication.restore(back["publication"])
    states.append(server.act(device, x))
    assert np.array_equal(*states)
    assert back["name"] == "mine" and back["scalar"] == 7 and back["list"][:3] == [1, 2.5, None]
    assert np.array_equal(back["list"][3]["deep"], np.arange(6).reshape(2, 3).T)


@pytest.mark.parametrize("state", [
    {"a.b": np.array([1]), "a": {"b": np.array([2]), "b'": np.array([3])}},
    {"a": {"array": 5}, "b": {"array": "state.c"}, "c": np.arange(3)},
    {"a": {"array": {"array": np.arange(2)}}}, {"a": np.arange(3, dtype=">i4"), "b": np.arange(2.0).astype(">f8")}, {"array": [1, None]},
])
def test_state_of_the_caller_comes_back(state, tmp_path):
    with Device() as device:
        checkpoint.save(device, tmp_path / "x.safetensors", state)
        np.testing.assert_equal(checkpoint.load(device, tmp_path / "x.safetensors"), state)


@pytest.mark.parametrize("state,message", [
    ({"a": {1: 2}}, "'state.a' has keys that are no texts"), ({"a": [b"x"]}, "'state.a.0' is of type bytes"),
    ({"a": {1, 2}}, "has|'state.a' is of type set"), ({"a": np.zeros(2, complex)}, "'state.a' is an array of type complex128"),
    ({"a": np.array([None])}, "array of type object"), ({"a": np.array(["x"])}, "array of type <U1"),
])
def test_state_that_would_not_come_back_is_refused(state, message, tmp_path):
    with Device() as device, pytest.raises(CheckpointError, match=message):
        checkpoint.save(device, tmp_path / "x.safetensors", state)
    assert not list(tmp_path.iterdir())


def test_a_load_gives_snapshots_up(tmp_path):
    """Or a version of the same number would be taken for the one that was pinned."""
    with Device() as device:
        group = WeightGroup(device.layout, 4)
        w = group.tensor("w", 2, 8, -10)
        group.place()
        device.load(w, np.ones(w.shape))
        checkpoint.save(device, tmp_path / "x.safetensors")
        base = device.snapshot()
        checkpoint.load(device, tmp_path / "x.safetensors")
        device.load(w, np.zeros(w.shape))
        with pytest.raises(VersionError, match="no snapshot holds version 0"):
            device.release(base)
        device.release(device.snapshot())
        assert [str(version) for version in device.versions()] == ["0 (current)"]


def test_no_checkpoint_of_a_running_program(tmp_path):
    with make_trainer(SMALL) as trainer:
        trainer.device.start(trainer.learner.warmup)
        with pytest.raises(ProgramError, match="was started; call Device.finish first"):
            resume.save(trainer, tmp_path / "run.safetensors")
        trainer.device.finish()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["CartPole-v1", "Acrobot-v1", "MountainCar-v0", "FrozenLake-v1", "CliffWalkingSlippery-v1", "Taxi-v4"])
def test_environments_go_on(name):
    one, other = make_environments(name, 3), make_environments(name, 3)
    rng = np.random.default_rng(1)

    def steps(envs, actions):
        seen = []
        for action in actions:
            observations, reward, terminated, truncated, _ = envs.step(action)
            seen += [observations.tolist(), reward.tolist(), terminated.tolist(), truncated.tolist()]
            if (terminated | truncated).any():
                seen.append(envs.reset(options={"reset_mask": terminated | truncated})[0][terminated | truncated].tolist())
        return seen

    actions = rng.integers(0, one.single_action_space.n, (260, 3))
    one.reset(seed=5)
    steps(one, actions[:30])
    state = environment_state(one)
    other.reset(seed=6)
    restore_environments(other, state)
    assert steps(one, actions[30:]) == steps(other, actions[30:])
    one.close(), other.close()


def test_all_environments_that_come_with_gymnasium_are_known():
    kinds = {type(gymnasium.make(name).unwrapped) for name in known_environments()}
    assert kinds == set(STATES)


class Strange(gymnasium.envs.classic_control.CartPoleEnv):
    """An environment with a state of its own."""


def test_other_environments_are_refused(monkeypatch, tmp_path):
    envs = make_environments("CartPole-v1", 1)
    envs.envs = [gymnasium.wrappers.TimeAwareObservation(envs.envs[0])]
    with pytest.raises(CheckpointError, match="TimeAwareObservation is not known"):
        check_environments(envs)
    gymnasium.register("Strange-v0", entry_point=Strange, max_episode_steps=50)
    try:
        with make_trainer(replace(SMALL, env="Strange-v0")) as trainer, pytest.raises(CheckpointError, match="environment Strange is not"):
            resume.Saver(trainer, tmp_path / "run.safetensors")
    finally:
        del gymnasium.registry["Strange-v0"]


# ---- files

@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("checkpoint") / "run.safetensors"
    with make_trainer(SMALL) as trainer:
        resume.save(iterate(trainer, 2), path)
    return path


@pytest.fixture(scope="module")
def trainer():
    with make_trainer(SMALL) as made:
        made.iteration()
        yield made


@pytest.fixture
def untouched(trainer, monkeypatch):
    """A trainer; afterwards nothing may have been written to its chip, memory or history."""
    writes, before = [], state_of(trainer)
    write = trainer.device.backend.csr_write
    monkeypatch.setattr(trainer.device, "registers", Registers(trainer.device.backend))
    monkeypatch.setattr(trainer.device.registers, "_write", lambda *word: (writes.append(word), write(*word)))
    monkeypatch.setattr(trainer.device.backend, "csr_write", lambda *word: (writes.append(word), write(*word)))
    yield trainer
    assert not writes, "the chip has been written"
    monkeypatch.undo()
    assert state_of(trainer) == before


def assert_refused(trainer, path, what):
    try:
        resume.load(trainer, path)
    except CheckpointError as error:
        assert str(path) in str(error)
    else:
        pytest.fail(f"{what} was not noticed")


def test_every_cut_is_noticed(file, untouched, tmp_path):
    data, path = file.read_bytes(), tmp_path / "cut.safetensors"
    lengths = {*range(64), *range(64, len(data), 61), *range(len(data) - 64, len(data))}
    for length in sorted(lengths):
        path.write_bytes(data[:length])
        assert_refused(untouched, path, f"{length} of {len(data)} bytes")
    path.write_bytes(data + b"\0")
    assert_refused(untouched, path, "a byte more")


def test_every_flipped_byte_is_noticed(file, untouched, tmp_path):
    """A quarter of the header, which is text, and a sample of the rest."""
    data, path, rng = file.read_bytes(), tmp_path / "flipped.safetensors", np.random.default_rng(1)
    header = 8 + int.from_bytes(data[:8], "little")
    places = [*range(8), *range(8, header, 4), *rng.integers(header, len(data), 500).tolist()]
    for place in places:
        damaged = bytearray(data)
        damaged[place] ^= int(rng.integers(1, 256)) if rng.random() < 0.5 else 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        assert_refused(untouched, path, f"byte {place} {data[place]:#x} -> {damaged[place]:#x}")


def test_noise_is_refused(untouched, tmp_path):
    path, rng = tmp_path / "noise.safetensors", np.random.default_rng(2)
    for _ in range(300):
        body = rng.integers(0, 256, int(rng.integers(0, 300)), np.uint8).tobytes()
        path.write_bytes(body if rng.random() < 0.5 else len(body).to_bytes(8, "little") + b"{" + body)
        assert_refused(untouched, path, "noise")


def forged(file, path, change):
    """Write a file with a right checksum whose content has been changed."""
    arrays, metadata = checkpoint.read_file(file)
    values = {name: json.loads(metadata[name]) for name in ("chip", "state")}
    change(arrays, values)
    checkpoint.write(path, arrays, {"format": checkpoint.FORMAT, **{name: json.dumps(value) for name, value in values.items()}})
    return path


@pytest.mark.parametrize("change", [
    lambda arrays, values: arrays.pop("memory"),
    lambda arrays, values: arrays.update(histories=arrays["histories"][:79]),
    lambda arrays, values: arrays.update(exponents=arrays["exponents"].astype(np.int16)),
    lambda arrays, values: values["chip"].pop("version"),
    lambda arrays, values: values["chip"].update(version=1 << 32),
    lambda arrays, values: values["chip"]["settings"].pop("SEED"),
    lambda arrays, values: values["chip"]["settings"]["SEED"].update(value="a"),
    lambda arrays, values: values["chip"].update(tensors=[[1]]),
    lambda arrays, values: values["chip"]["tensors"].pop(),
    lambda arrays, values: values["state"].pop("rng"),
    lambda arrays, values: values["state"].update(rng=None),
    lambda arrays, values: values["state"]["settings"].update(unheard_of=1),
    lambda arrays, values: values["state"].pop("settings"),
    lambda arrays, values: values["state"].update(progress=[]),
    lambda arrays, values: values["state"].update(encoder={"array": "nothing"}),
    lambda arrays, values: values["state"].update(history=None),
])
def test_parts_that_are_missing_or_wrong(change, file, untouched, tmp_path):
    path = forged(file, tmp_path / "forged.safetensors", change)
    with pytest.raises(CheckpointError, match="forged.safetensors"):
        resume.load(untouched, path)


@pytest.mark.parametrize("change", [
    lambda arrays, values: values["state"].pop("rollout"),
    lambda arrays, values: values["state"]["rollout"].update(environments=[]),
])
def test_a_wrong_part_of_the_host_leaves_the_chip_alone(change, file, tmp_path):
    path = forged(file, tmp_path / "forged.safetensors", change)
    with make_trainer(SMALL) as trainer:
        before = trainer.device.backend.scratchpad.copy()
        with pytest.raises(CheckpointError, match="lacks a part of the training run"):
            resume.load(trainer, path)
        assert np.array_equal(trainer.device.backend.scratchpad, before)


@pytest.mark.parametrize("changes,message", [
    ({"lanes": 4}, "another chip or layout: lanes 8 there and 4 here"), ({"banks": 16}, "banks 8 there and 16 here"),
    ({"slots": 4}, "slots and words of the weight group"), ({"hidden": (16, 32)}, "weight group"),
    ({"minibatch": 32}, "bytes of outside memory in use|'batch"), ({"activation": "relu"}, "tensors: .* there"),
    ({"learning_rate": 0.1}, "saved with learning_rate None, and this run has 0.1"), ({"seed": 2}, "saved with seed 1, and this run has 2"),
    ({"env": "Acrobot-v1"}, "bytes of outside memory|weight group"),
])
def test_another_run_is_refused(changes, message, file):
    with make_trainer(replace(SMALL, **changes)) as trainer:
        before = state_of(trainer)
        with pytest.raises(CheckpointError, match=message):
            resume.load(trainer, file)
        assert state_of(trainer) == before


def test_other_files_are_refused(file, untouched, tmp_path):
    save_file({"a": np.zeros(3)}, tmp_path / "foreign.safetensors")
    with pytest.raises(CheckpointError, match="no checkpoint of this version of lathe: its format is None"):
        resume.load(untouched, tmp_path / "foreign.safetensors")
    for path, message in ((tmp_path / "missing", "No such file"), (tmp_path, "Is a directory"), (__file__, "no whole safetensors file")):
        with pytest.raises(CheckpointError, match=message):
            resume.load(untouched, path)


def test_a_failed_write_leaves_the_last_checkpoint(file, trainer, tmp_path, monkeypatch):
    path = tmp_path / "run.safetensors"
    resume.save(trainer, path)
    before = path.read_bytes()
    for name in ("fsync", "replace"):
        with monkeypatch.context() as patched:
            patched.setattr(os, name, lambda *_: (_ for _ in ()).throw(OSError("disk full")))
            with pytest.raises(CheckpointError, match=f"'{path}' cannot be written: disk full; if there was a file before"):
                resume.save(trainer, path)
        assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


# ---- the command line

@pytest.mark.parametrize("arguments,message", [
    (["train", "--save-every", "2"], "give --save, too"),
    (["train", "--save", "x", "--save-every", "-1"], "save_every is -1 and must be at least 0"),
    (["train", "--save", "x", "--environment-workers", "2", "--environments", "2"], "cannot be saved, and such runs are not repeatable"),
    (["train", "--resume", "nothing"], "'nothing' cannot be read: No such file"),
    (["train", "--resume", "FILE", "--seed", "9"], "seed is 9, but the run in 'FILE' has 1; leave it out"),
    (["train", "--resume", "FILE", "--seed", "1", "--lanes", "4"], "lanes is 4, but the run in 'FILE' has 8"),
    (["train", "--resume", "FILE", "--backend", "gold"], "unknown back end 'gold'"),
    (["train", "--resume", "FILE", "--steps", "3"], "steps is 3, fewer than one rollout"),
    (["train", "--save", "."], "'.' is a folder; name a file in it to save to"),
    (["train", "--save", "FOLDER"], "is a folder; name a file in it to save to"),
    (["train", "--learning-rate", "-1"], "learning_rate is -1.0 and must lie between 0 and 1000"),
    (["info", "nothing"], "'nothing' cannot be read"),
])
def test_mistakes_end_with_one_line(arguments, message, file, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main([{"FILE": str(file), "FOLDER": str(file.parent)}.get(part, part) for part in arguments]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and error.startswith("lathe: error: ") and message.replace("FILE", str(file)) in error
    assert not list(tmp_path.iterdir())


def test_a_pipe_stays_a_pipe(file, trainer, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(CheckpointError, match="is a device or a pipe, which a checkpoint would take the place of"):
        checkpoint.check_file(tmp_path / "pipe")


def test_a_link_stays_a_link(trainer, tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk" / "run")
    resume.save(trainer, tmp_path / "link")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "disk" / "run").is_file() and len(list(tmp_path.iterdir())) == 2


def test_info_lists_a_checkpoint(file, capsys):
    assert main(["info", str(file)]) == 0
    text = capsys.readouterr().out
    assert "8 lanes, 8 banks" in text and "weight version 8" in text
    assert "ppo in CartPole-v1, seed 1, 256 environment steps, 8 updates" in text
    assert "mW2                          32 x 32     int16 current" in text


def test_a_run_of_a_board_goes_on_elsewhere(tmp_path, monkeypatch):
    """Port and speed belong to the board: another back end does not want them, the same one does."""
    path, read = tmp_path / "run.safetensors", checkpoint.read
    saved(SMALL, 1, path)

    def of_a_board(file):
        content = read(file)
        content.state["settings"].update(backend="serial", port="/dev/board", baud=115200)
        return content

    monkeypatch.setattr(checkpoint, "read", of_a_board)
    for given, expected in ((("--backend", "golden"), ("golden", None, None)), ((), ("serial", "/dev/board", 115200)),
                            (("--port", "/dev/other"), ("serial", "/dev/other", 115200))):
        argv = ["train", "--resume", str(path), *given]
        arguments = cli._parser().parse_args(argv)
        arguments.argv = argv
        settings = cli._resumed(arguments)
        assert (settings.backend, settings.port, settings.baud) == expected


def test_products_of_outside_matrices_recorded_after_saving_or_in_another_order(tmp_path):
    rng, path = np.random.default_rng(1), tmp_path / "x.safetensors"

    def made(c_exponent=-9):
        device = Device("golden")
        exponents = {"a": -15, "b": -12, "c": c_exponent, "d": -8}
        matrices = [device.layout.matrix(name, 16, 16, exponent) for name, exponent in exponents.items()]
        device.load(device.layout.tensor("t", 4, 4), np.ones((4, 4)))
        return device, *matrices

    def run(device, a, b, c):
        program = Program("product", device.layout)
        program.matmul_outside(a, b, c)
        c.block.data[:] = 0
        device.run(program)
        assert np.abs(c.read() - a.read() @ b.read()).max() <= 2.0 ** (c.exponent - 1)
        return program

    device, a, b, c, d = made()
    with device:
        a.write(rng.uniform(-0.9, 0.9, (16, 16)))
        b.write(rng.uniform(-5, 5, (16, 16)))
        run(device, a, b, d)
        checkpoint.save(device, path)
        program = run(device, a, b, c)
        checkpoint.load(device, path)
        c.block.data[:] = 0
        device.run(program)
        assert np.abs(c.read() - a.read() @ b.read()).max() <= 2.0**-10
        device.start(program)
        before = device.memory.copy()
        with pytest.raises(ProgramError, match="no checkpoint can be loaded: program 'product' was started"):
            checkpoint.load(device, path)
        assert np.array_equal(device.memory, before)
        device.finish()
    device, a, b, c, d = made()
    with device:
        a.write(rng.uniform(-0.9, 0.9, (16, 16)))
        for out in (c, d):
            run(device, a, b, out)
        checkpoint.load(device, path)
        for out in (c, d):
            run(device, a, b, out)
    device, *_ = made(c_exponent=-10)
    with device, pytest.raises(CheckpointError, match=r"other matrices in outside memory .*'c', 16, 16, None, -9, .*None, -10"):
        checkpoint.load(device, path)
