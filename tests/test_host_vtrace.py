# SPDX-License-Identifier: Apache-2.0
"""V-trace: advantages against float64, whose log-probabilities they use, what the host does, learning, the same bits on both back ends."""

import shlex
from collections import Counter
from dataclasses import replace
from pathlib import Path

import gymnasium
import numpy as np
import pytest

from lathe import CapacityError, SettingsError
from lathe.algorithms import make_trainer
from lathe.cli import main
from lathe.metrics import RatioMetrics
from lathe.ppo import Trainer as PPO
from lathe.records import (
    ACTION,
    ADVANTAGE,
    ENVIRONMENT,
    EVALUATED_LOGP,
    EVALUATED_VALUE,
    LOGP,
    OLD_LOGP,
    RETURN,
    SAMPLED_VERSION,
    SAMPLER_LOGP,
    VERSION,
)
from lathe.settings import Settings
from lathe.vtrace import Trainer
from pymodels.descriptor import DmaOp, Unit, decode
from pymodels.scan import scan
from tb.common.scans import scan_of

SMALL = Settings(algorithm="vtrace", environments=8, rollout=16, epochs=2, minibatch=64, steps=512)
STALE = replace(SMALL, sampler="int8", publication_lag=1, learning_rate=0.3, reward_scale=0.2)


class Walk(gymnasium.Env):
    """A random walk that ends at +-3 and is cut after 9 steps; a step to the right is worth 1."""

    observation_space = gymnasium.spaces.Box(-4, 4, (1,))
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at = self.steps = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.at += 2 * int(action) - 1
        self.steps += 1
        return np.full(1, self.at, np.float32), float(action), abs(self.at) == 3, self.steps == 9, {}


@pytest.fixture
def walk():
    name = "LatheWalk-v0"
    gymnasium.register(name, Walk, disable_env_checker=True)
    yield name
    gymnasium.registry.pop(name)


def evaluated(trainer: Trainer) -> np.ndarray:
    """Score the rollout; returns the records as SCAN found them, (steps + 1, environments, elements)."""
    seen, evaluate = [], trainer.evaluate

    def watched(x, records):
        seen.append(evaluate(x, records))
        return seen[-1].copy()

    trainer.evaluate = watched
    trainer.score()
    trainer.evaluate = evaluate
    return seen[0].reshape(trainer.records.shape)


@pytest.mark.parametrize("caps", [{}, {"rho_cap": 1.5, "c_cap": 0.8, "gae_lambda": 0.9}], ids=str)
@pytest.mark.parametrize("lanes", [4, 8, 16])
def test_advantages_and_returns_against_float64(walk, lanes, caps):
    s = replace(STALE, env=walk, lanes=lanes, gae_lambda=1.0, hidden=(8,)) if not caps else replace(
        STALE, env=walk, lanes=lanes, hidden=(8,), **caps)
    with make_trainer(s) as trainer:
        for _ in range(3):
            trainer.iteration()
        trainer.rollout.collect()
        before = evaluated(trainer).astype(float)
        after = trainer.records.astype(float)
        rollout = trainer.rollout
        assert rollout.done.sum() > rollout.cut.sum() > 0
        ratio = np.exp((before[..., EVALUATED_LOGP] - before[..., SAMPLER_LOGP]) / 1024)
        assert ratio[:-1].min() < 0.9 and ratio[:-1].max() > 1.1
        value = before[..., EVALUATED_VALUE] / 1024
        rho, c = np.minimum(ratio, s.rho_cap or 1), np.minimum(ratio, s.c_cap or 1)
        for env in range(s.environments):
            surplus = 0.0  # v - V of the following step
            for t in reversed(range(s.rollout)):
                following = value[t + 1, env]
                if rollout.done[t, env]:
                    following, surplus = rollout.cut[t, env] * rollout.next_values[t, env], 0.0
                target = s.reward_scale * rollout.rewards[t, env] + s.gamma * following
                advantage = target + s.gamma * s.gae_lambda * surplus - value[t, env]
                surplus = rho[t, env] * (target - value[t, env]) + s.gamma * s.gae_lambda * c[t, env] * surplus
                assert abs(after[t, env, ADVANTAGE] / 2048 - advantage) < 2**-7
                assert abs(after[t, env, RETURN] / 1024 - value[t, env] - surplus) < 2**-7


def test_whose_log_probabilities_and_values_the_records_hold():
    """The learner's current ones beside the sampler's, in the order of SCAN, the last observations behind the rollout."""
    with make_trainer(STALE) as trainer:
        for _ in range(2):
            trainer.iteration()
        trainer.rollout.collect()
        records, rollout = evaluated(trainer).reshape(136, -1), trainer.rollout
        h = np.concatenate([rollout.x.reshape(128, -1), rollout.next_x]) * 2.0**trainer.encoder.exponent
        for layer in trainer.net.layers:
            out = h @ trainer.device.store(layer.weight) + trainer.device.store(layer.bias)
            h = np.tanh(out)
        logits = out[:, :-1]
        logp = (logits - np.log(np.exp(logits).sum(axis=1, keepdims=True)))[np.arange(136), records[:, ACTION]]
        assert np.abs(records[:, EVALUATED_LOGP] / 1024 - logp).max() < 0.01
        assert np.abs(records[:, EVALUATED_VALUE] / 1024 - out[:, -1]).max() < 0.01
        sampled = rollout.records.reshape(128, -1)
        assert np.array_equal(records[:128, [ACTION, SAMPLER_LOGP, VERSION]], sampled[:, [ACTION, LOGP, SAMPLED_VERSION]])
        assert np.array_equal(records[:128, ENVIRONMENT], np.tile(np.arange(8), 16))
        assert np.abs(records[:128, EVALUATED_LOGP] - records[:128, SAMPLER_LOGP]).max() > 50


def test_what_the_host_does():
    """It runs the programs in their order and moves records as they are; every pass begins with the learner's present weights."""
    calls = []
    with make_trainer(STALE) as trainer:
        trainer.iteration()
        names = {"rollout.x", "rollout.records", "batch.x", "batch.records", "scan.records"}
        for program in (trainer.actor.program, *trainer.learner.programs, trainer.scan):
            for op, words in zip(program.operations, program.descriptors(), strict=True):
                fields = decode(words)
                if fields["unit"] == Unit.DMA:
                    assert op.operands[{DmaOp.LOAD: 2, DmaOp.STORE: 0}[fields["op"]]].name in names
        trainer.device.load = trainer.device.store = None  # weights can be neither read nor written from here on
        run = trainer.device.run

        def watched(program):
            calls.append(program.name)
            if program is trainer.learner.update:
                scanned = Counter(map(tuple, trainer.records[:-1].reshape(128, -1).tolist()))
                assert not Counter(map(tuple, trainer.learner.records.data.tolist())) - scanned
            run(program)
            if program is trainer.scan:
                passes.append(trainer.scanned.data[:128, OLD_LOGP].copy())

        passes = []
        trainer.device.run = watched
        trainer.iteration()
    assert Counter(calls[:16]) == {"rollout step": 16}
    assert calls[16:28] == (["evaluate"] * 3 + ["scan"] + ["minibatch update"] * 2) * 2
    assert not np.array_equal(*passes)


def test_on_policy_all_ratios_are_exactly_1():
    with make_trainer(replace(SMALL, epochs=1, minibatch=128)) as trainer:
        for tensor in trainer.device.layout.tensors:
            if tensor.name.endswith(".y"):
                trainer.device.registers.write_exponent(trainer.device.exponent_index(tensor), -12, True)
        assert trainer.iteration().ratio == RatioMetrics(1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0)
        assert trainer.progress.mismatch is None


@pytest.mark.parametrize("settings", [
    {"sampler": "learner", "publication_lag": 0}, {"env": "Acrobot-v1", "normalize": True}, {"lanes": 4}, {"lanes": 16},
    {"activation": "relu"}, {"cap": 2.0, "rho_cap": 1.9}, {"evaluate_every": 1}, {"epochs": 1, "minibatch": 128},
    {"environments": 1, "rollout": 64}, {"environments": 63, "rollout": 4, "minibatch": 63},
    {"environments": 71, "rollout": 2, "minibatch": 71}, {"environment_workers": 2},
], ids=str)
def test_settings_run(settings):
    with make_trainer(replace(STALE, **settings)) as trainer:
        for _ in range(2):
            progress = trainer.iteration()
        assert progress.weight_version == progress.updates > 0
        assert trainer.device.statistics()["count"] == 0
        assert progress.mismatch is (None if trainer.publication is None else progress.ratio)


def test_runs_repeat():
    curves = []
    for seed in (1, 1, 2):
        with make_trainer(replace(STALE, seed=seed)) as trainer:
            trainer.train()
            curves.append((trainer.rollout.curve, trainer.records.tobytes(), trainer.progress.weight_version))
    assert curves[0] == curves[1] != curves[2] and curves[0][2] == 16


@pytest.mark.parametrize("change,message", [
    ({"algorithm": "a2c"}, "algorithm 'a2c' is none of: ppo, vtrace"),
    ({"correction": "ppo"}, "correction is 'ppo', but algorithm 'vtrace' weights the policy gradient by its own"),
    ({"rho_cap": 2.0}, "rho_cap is 2.0 and must be above 0 and below 2"), ({"c_cap": 0.0}, "c_cap is 0.0 and must be"),
    ({"algorithm": "ppo", "c_cap": 1.0}, "c_cap is set, but algorithm 'ppo' does not take it; set algorithm to vtrace"),
    ({"threshold": 1.0}, "threshold is set, but correction 'vtrace' takes: cap"),
])
def test_bad_settings(change, message):
    with pytest.raises(SettingsError, match=message):
        make_trainer(replace(SMALL, **change))


def test_a_trainer_of_another_algorithm():
    with pytest.raises(SettingsError, match="algorithm is 'vtrace', but this trains with 'ppo'; algorithms.make_trainer takes either"):
        PPO(SMALL)


def test_a_rollout_that_does_not_fit():
    with pytest.raises(CapacityError, match=r"rollout \+ 1 = 8001 records need 8001 scratchpad words and \d+ are free; use a shorter"):
        make_trainer(replace(SMALL, rollout=8000, steps=64000))


@pytest.mark.parametrize("rollout,count", [(16, 8), (1024, 4), (4500, 1)])
def test_scans_of_a_part_of_the_environments_give_the_same(rollout, count):
    """As many environments at a time as the scratchpad has room for, a divisor of all; the same records as one scan of all."""
    with make_trainer(replace(SMALL, rollout=rollout, steps=8 * rollout, hidden=(8,), minibatch=8)) as trainer:
        assert trainer.scanned_environments == count
        rng = np.random.default_rng(rollout)
        trainer.rollout.rewards[:] = rng.normal(size=trainer.rollout.rewards.shape)
        trainer.rollout.done[:] = rng.random(trainer.rollout.done.shape) < 0.05
        evaluated_records = rng.integers(-1000, 1000, (rollout + 1, 8, 8), np.int16)
        evaluated_records[..., 5] &= 3
        trainer.evaluate = lambda x, records: evaluated_records.reshape(-1, 8).copy()
        trainer.score()
        expected, _ = scan(evaluated_records.reshape(-1, 8), 8, scan_of(trainer.settings.made_advantages()))
        assert np.array_equal(trainer.records[:-1].reshape(-1, 8), expected)


@pytest.mark.parametrize("lag", ["0", "1"])
def test_both_back_ends_give_the_same_bits(lag, capsys):
    """Three iterations, the second and third of a stale sampler; EVALUATE in pieces, SCAN over all of a rollout, updates."""
    assert main(["verify", "--algorithm", "vtrace", "--updates", "6", "--seed", "4", "--env", "Acrobot-v1", "--environments", "7",
                 "--minibatch", "56", "--epochs", "1", "--sampler", "int8", "--publication-lag", lag]) == 0
    assert "agree in every bit, seed 4: 6 updates" in capsys.readouterr().out


def commands(name: str) -> list[list[str]]:
    """Return the arguments of the command lines for an environment in docs/algorithms.md."""
    text = (Path(__file__).resolve().parents[1] / "docs/algorithms.md").read_text().replace("\\\n", "")
    return [shlex.split(line)[1:] for line in text.splitlines() if line.startswith(f"lathe train --env {name} ")]


def test_it_learns():
    with make_trainer(Settings(algorithm="vtrace", sampler="int8", rollout=32, epochs=1, learning_rate=0.02, value_weight=1.0, steps=30_000,
                               target=100)) as trainer:
        progress = trainer.train()
        assert trainer.solved, f"mean return {progress.mean_return_100} after {progress.env_steps} steps"


@pytest.mark.regress
@pytest.mark.parametrize("number", [0, 1])
def test_acrobot_is_learned(number, tmp_path):
    """The command lines of the documents, V-trace and PPO with a correction, reach -100; main returns 1 if they do not."""
    arguments = commands("Acrobot-v1")[number]
    assert ("vtrace" in arguments) == (number == 0)
    assert main([*arguments, "--target", "-100", "--out", str(tmp_path)]) == 0
