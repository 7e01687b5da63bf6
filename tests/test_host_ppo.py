# SPDX-License-Identifier: Apache-2.0
"""PPO on the golden back end: determinism, advantages, what the host computes and what leaves the chip."""

import hashlib
import json
import re
import sys
from collections import Counter
from dataclasses import asdict, replace

import gymnasium
import numpy as np
import pytest

from lathe import SettingsError
from lathe.allocator import Block
from lathe.environments import ObservationEncoder, make_environments
from lathe.ppo import Trainer
from lathe.records import ACTION, LOGP, OLD_ACTION, OLD_LOGP, SAMPLED_VERSION, SAMPLER_LOGP, VALUE, VERSION
from lathe.settings import Settings
from pymodels.descriptor import DmaOp, Unit, decode

SMALL = Settings(environments=8, rollout=16, epochs=2, minibatch=64, steps=256)


def digest(trainer: Trainer) -> str:
    chip = trainer.device.backend
    state = hashlib.sha256()
    for part in (chip.scratchpad, chip.exponents, trainer.device.memory, np.array(trainer.rollout.curve)):
        state.update(np.ascontiguousarray(part).tobytes())
    state.update(repr((trainer.device.registers.statistics(), trainer.device.version, trainer.device.saturations)).encode())
    return state.hexdigest()


@pytest.mark.parametrize("lanes", [4, 8, 16])
def test_two_iterations_are_deterministic(lanes):
    digests = []
    for seed in (1, 1, 2):
        with Trainer(replace(SMALL, lanes=lanes, seed=seed)) as trainer:
            trainer.train()
            assert trainer.progress.env_steps == 256 and trainer.progress.weight_version == 8
            digests.append(digest(trainer))
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize("settings", [
    {"activation": "relu"}, {"hidden": (64,)}, {"hidden": (16, 16, 16)}, {"minibatch": 48, "rollout": 12}, {"normalize": True},
    {"env": "Acrobot-v1", "hidden": (16,)}, {"env": "FrozenLake-v1", "hidden": (16,)}, {"env": "Taxi-v4", "hidden": (8,), "minibatch": 16},
    {"correction": "cispo", "ratio_high": 2.0}, {"correction": "none"}, {"correction": "decoupled_ppo", "cap": 3.0},
    {"correction": "bypass_ppo"},
    {"correction": "token_mask", "ratio_low": 0.5}, {"correction": "reject_k3", "threshold": 0.01}, {"stochastic": False}, {"slots": 2},
], ids=str)
def test_settings_run(settings):
    with Trainer(replace(SMALL, **settings)) as trainer:
        progress = trainer.iteration()
        assert progress.weight_version == progress.updates > 0
        assert 0 <= progress.clip_fraction < 1 and progress.entropy > 0


def test_it_learns():
    with Trainer(Settings(steps=25_000, target=100)) as trainer:
        progress = trainer.train()
        assert trainer.solved, f"mean return {progress.mean_return_100} after {progress.env_steps} steps"
        assert progress.saturations < 200


class Scripted(gymnasium.Env):
    """Observation and reward: the step number; ends or is cut off on the schedule of its number, which follows from its seed."""

    observation_space = gymnasium.spaces.Box(-100, 100, (1,))
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        if seed is not None:
            self.index = seed - 1
        self.step_number = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.step_number += 1
        terminated = self.index in (0, 1) and self.step_number == 3
        truncated = self.index in (1, 2) and self.step_number == 3 + self.index
        return np.full(1, self.step_number, np.float32), float(self.step_number), terminated, truncated, {}


@pytest.fixture
def scripted():
    name = "LatheScripted-v0"
    gymnasium.register(name, Scripted, disable_env_checker=True)
    yield name
    gymnasium.registry.pop(name)


@pytest.mark.parametrize("collecting", [{}, {"environment_workers": 4}, {"environment_workers": 3, "inference_batch": 3}], ids=str)
def test_advantages_against_a_plain_recursion(scripted, collecting):
    settings = Settings(env=scripted, environments=4, rollout=16, minibatch=64, gamma=0.9, gae_lambda=0.8, hidden=(8,), **collecting)
    with Trainer(settings) as trainer:
        seen = []
        act = trainer.act
        trainer.act = lambda x: seen.append((x.copy(), act(x))) or seen[-1][1]
        trainer.rollout.collect()
        trainer.score()
        advantages, returns = trainer.advantages()

        values = {}
        for shown, records in seen:
            for x, record in zip(shown[:, 0], records, strict=True):
                assert values.setdefault(int(x), int(record[VALUE])) == record[VALUE]
        step = trainer.encoder(np.arange(20.0)[:, None])[:, 0]
        v = [values.get(int(x), 0) / 1024 for x in step]
        ends = {0: [(3, True)], 1: [(3, True)], 2: [(5, False)], 3: []}
        for env in range(4):
            length = ends[env][0][0] if ends[env] else 10**9
            terminal = ends[env][0][1] if ends[env] else False
            expected = np.zeros(16)
            running = 0.0
            for t in reversed(range(16)):
                number = t % length  # observation before the step
                last = number + 1 == length
                following = 0.0 if last and terminal else v[number + 1]
                delta = settings.reward_scale * (number + 1) + 0.9 * following - v[number]
                running = delta + 0.9 * 0.8 * (0.0 if last else running)
                expected[t] = running
            assert np.allclose(advantages[:, env], expected), f"environment {env}"
        assert np.allclose(returns - advantages, np.ldexp(trainer.rollout.records[:, :, VALUE].astype(float), -10))
        assert trainer.rollout.cut.sum() == 3 and trainer.rollout.done.sum() == 3 + 2 * 5
        assert [r for _, r in trainer.rollout.curve].count(6.0) == 10 and [r for _, r in trainer.rollout.curve].count(15.0) == 3


@pytest.mark.parametrize("observation,reward,message", [
    (np.nan, 0.0, "gave an observation whose element 0 is nan"), (np.inf, 0.0, "gave an observation whose element 0 is inf"),
    (1.0, np.nan, "gave the reward nan"), (1.0, -np.inf, "gave the reward -inf"),
])
@pytest.mark.parametrize("workers", [0, 2])
def test_environments_must_give_finite_numbers(scripted, monkeypatch, workers, observation, reward, message):
    monkeypatch.setattr(Scripted, "step", lambda self, action: (np.full(1, observation, np.float32), reward, False, False, {}))
    with Trainer(replace(SMALL, env=scripted, environment_workers=workers)) as trainer, pytest.raises(SettingsError, match=message):
        trainer.iteration()


# what the host does


class FromChip(np.ndarray):
    """An array whose content came from the chip: counts every arithmetic operation on it by the function that asked for it."""

    count: Counter = Counter()

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **kwargs):
        frame = sys._getframe(1)
        while "/lathe/" not in frame.f_code.co_filename:
            frame = frame.f_back
        FromChip.count[frame.f_code.co_name, ufunc.__name__] += 1

        def plain(values):
            return tuple(v.view(np.ndarray) if isinstance(v, FromChip) else v for v in values)

        result = getattr(ufunc, method)(*plain(inputs), **kwargs, **({"out": plain(out)} if out else {}))
        return result.view(FromChip) if isinstance(result, np.ndarray) else result


#: Functions of the host that may compute with numbers from the chip, and what they are for.
ALLOWED = {"as_values": "scale of the value estimates", "advantages": "generalized advantage estimation",
           "minibatches": "normalization of advantages", "quantize": "conversion to int16 for transport",
           "collect": "environment steps: the action's offset"}


def test_the_host_computes_nothing_of_the_network():
    """One training iteration: counts what the host executes with numbers from the chip, and what crosses the border."""
    FromChip.count = Counter()
    calls = Counter()
    with Trainer(SMALL) as trainer:
        # The only tensors that programs bring out of the chip are the records of SAMPLE; in go observations and records.
        for program in (trainer.actor.program, trainer.learner.update, trainer.learner.warmup):
            for op, words in zip(program.operations, program.descriptors(), strict=True):
                fields = decode(words)
                if fields["unit"] == Unit.DMA:
                    assert (fields["op"], op.operands[{DmaOp.LOAD: 2, DmaOp.STORE: 0}[fields["op"]]].name) in {
                        (DmaOp.LOAD, "rollout.x"), (DmaOp.STORE, "rollout.records"),
                        (DmaOp.LOAD, "batch.x"), (DmaOp.LOAD, "batch.records")}
        trainer.device.load = trainer.device.store = None  # weights can be neither read nor written from here on

        step = trainer.actor.records
        trainer.actor.records = Block(step.name, step.address, step.data.view(FromChip))
        trainer.rollout.records = trainer.rollout.records.view(FromChip)
        assert trainer.settings.environments * trainer.settings.rollout == 128

        during_update = []
        run = trainer.device.run

        def counted_run(program):
            calls[program.name] += 1
            before = FromChip.count.total()
            run(program)
            during_update.append(FromChip.count.total() - before)
            if program is trainer.learner.update:  # old log-probabilities go back as they came
                records, batch = trainer.rollout.records.reshape(128, -1), trainer.learner.records.data
                came = Counter(map(tuple, records[:, [ACTION, LOGP, LOGP, SAMPLED_VERSION]].tolist()))
                assert not Counter(map(tuple, batch[:, [OLD_ACTION, OLD_LOGP, SAMPLER_LOGP, VERSION]].tolist())) - came

        trainer.device.run = counted_run
        env_step = trainer.envs.step

        def counted_step(actions):
            calls["environment step"] += 1
            assert np.array_equal(actions, trainer.rollout.records[calls["environment step"] - 1, :, ACTION])
            return env_step(actions)

        trainer.envs.step = counted_step
        trainer.iteration()
    assert calls == {"environment step": 16, "rollout step": 16 + 1, "warm-up": 8, "minibatch update": 4}
    assert not any(during_update)
    functions = {function for function, _ in FromChip.count}
    assert functions <= ALLOWED.keys(), f"the host computes with numbers from the chip in {functions - ALLOWED.keys()}"
    assert {"as_values", "advantages"} <= functions
    banned = {"matmul", "exp", "log", "tanh", "exp2", "log2", "expm1", "log1p"}
    assert not banned & {operation for _, operation in FromChip.count}


# environments and observations


@pytest.mark.parametrize("name,message", [
    ("CartPol-v1", "unknown environment 'CartPol-v1'; did you mean 'CartPole-v1'"),
    ("Pendulum-v1", "continuous or composite actions cannot be learned"),
    ("Blackjack-v1", "only Box and Discrete observations"),
])
def test_refused_environments(name, message):
    with pytest.raises(SettingsError, match=message):
        make_environments(name, 2)


def test_too_many_actions():
    class Many(Scripted):
        action_space = gymnasium.spaces.Discrete(64)

    gymnasium.register("LatheMany-v0", Many, disable_env_checker=True)
    try:
        with pytest.raises(SettingsError, match="has 64 actions; the policy unit takes at most 63"):
            make_environments("LatheMany-v0", 2)
    finally:
        gymnasium.registry.pop("LatheMany-v0")


def test_observation_encoding():
    box = gymnasium.spaces.Box(np.array([-4.8, -np.inf]), np.array([4.8, np.inf]), dtype=np.float64)
    encoder = ObservationEncoder(box)
    assert encoder.exponent == -12
    assert encoder(np.array([[1.0, 100.0], [-0.5, -100.0]])).tolist() == [[4096, 32767], [-2048, -32768]]
    one_hot = ObservationEncoder(gymnasium.spaces.Discrete(3, start=5))
    assert one_hot(np.array([5, 7])).tolist() == [[1 << -one_hot.exponent, 0, 0], [0, 0, 1 << -one_hot.exponent]]
    normal = ObservationEncoder(box, normalize=True)
    rng = np.random.default_rng(1)
    for _ in range(200):
        encoded = normal(rng.normal(50, 20, (64, 2)))
    assert abs(np.mean(encoded) * 2.0**normal.exponent) < 0.3
    assert 0.7 < np.std(encoded) * 2.0**normal.exponent < 1.3


@pytest.mark.parametrize("change,message", [
    ({"minibatch": 100}, "minibatch = 100 does not divide"), ({"gamma": 1.5}, "gamma is 1.5 and must lie between 0 and 1"),
    ({"inference_batch": 9}, "inference_batch is 9 and must lie between 1 and environments = 8"),
    ({"inference_timeout": -1.0}, "inference_timeout is -1.0 and must be at least 0"),
    ({"environment_workers": -1}, "environment_workers is -1"),
    ({"epochs": 0}, "epochs is 0 and must be at least 1"), ({"correction": "x"}, "is none of: none, importance_sampling, tis, "),
    ({"cap": 2.0}, "cap is set, but correction 'ppo' takes: clip, clip_high"), ({"correction": "reject_k1"}, "'reject_k1' needs threshold"),
    ({"correction": "gspo"}, "correction 'gspo' works on whole sequences, but minibatches are drawn sample by sample; choose"),
    ({"correction": "none", "threshold": 1.0}, "threshold is set, but correction 'none' takes: nothing"),
    ({"correction": "clamp", "ratio_low": 3.0}, "lo must not be above hi .lo is the setting ratio_low, hi"),
    ({"correction": "tis", "cap": -1.0}, "cap is -1.0 and must be a ratio"),
    ({"hidden": (0,)}, "at least one unit"), ({"reward_scale": float("inf")}, "reward_scale is inf and must be a finite number"),
    ({"target": float("nan")}, "target is nan and must be a finite number"),
])
def test_bad_settings(change, message):
    with pytest.raises(SettingsError, match=message):
        Trainer(replace(SMALL, **change))


@pytest.mark.parametrize(("given", "message"), [
    ({"environments": 8.0}, "environments is 8.0 and must be a whole number"),
    ({"environments": True}, "environments is True and must be a whole number"),
    ({"gamma": "0.9"}, "gamma is '0.9' and must be a number"),
    ({"nesterov": 1}, "nesterov is 1 and must be True or False"),
    ({"port": 3}, "port is 3 and must be a text or None"),
    ({"hidden": 8}, "hidden is 8 and must be a tuple of whole numbers"),
    ({"hidden": (8.5,)}, "every layer needs at least one unit, and whole ones"),
])
def test_settings_of_another_type(given, message):
    with pytest.raises(SettingsError, match=re.escape(message)):
        Settings(**given).check()


def test_settings_take_the_numbers_of_numpy():
    settings = Settings(seed=np.int64(3), learning_rate=np.float32(0.5), hidden=[8, np.int64(4)])
    settings.check()
    assert json.loads(json.dumps(asdict(settings))) | {"hidden": (8, 4)} == asdict(settings)
    assert (settings.seed, settings.learning_rate, settings.hidden) == (3, 0.5, (8, 4))
