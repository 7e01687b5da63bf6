# SPDX-License-Identifier: Apache-2.0
"""Centralized inference: the batcher, environments in processes, and training with both."""

import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import gymnasium
import numpy as np
import pytest

from lathe import LatheError, SettingsError
from lathe.batching import Batcher, EnvironmentPool
from lathe.environments import make_environments
from lathe.ppo import Trainer
from lathe.records import ACTION, LOGP, SAMPLED_VERSION
from lathe.settings import Settings

ASYNCHRONOUS = Settings(environments=8, rollout=16, epochs=2, minibatch=64, steps=512, environment_workers=2, inference_batch=3)


def test_a_batch_is_flushed_when_it_is_full_or_its_oldest_request_has_waited_long_enough():
    now = [0.0]
    batcher = Batcher(3, 0.5, lambda: now[0])
    assert not batcher.ready() and batcher.remaining is None and batcher.take() == []
    batcher.add(7)
    now[0] = 0.2
    batcher.add(5)
    assert not batcher.ready() and batcher.remaining == pytest.approx(0.3)
    batcher.add(1)
    batcher.add(0)
    assert batcher.ready() and batcher.take() == [7, 5, 1]
    assert not batcher.ready() and batcher.remaining == pytest.approx(0.5)
    now[0] = 0.7
    assert batcher.ready() and batcher.remaining == 0 and batcher.take() == [0] and not batcher.ready()


@pytest.mark.parametrize("workers", [1, 3, 8])
def test_environments_in_processes_do_what_they_do_in_lock_step(workers):
    """The same seeds, actions and resets give the same observations, whoever answers first."""
    count, steps = 5, 60
    envs, pool = make_environments("CartPole-v1", count), EnvironmentPool("CartPole-v1", count, workers)
    observations, _ = envs.reset(seed=4)
    assert np.array_equal(pool.reset(4), observations) and pool.single_action_space == envs.single_action_space
    actions = np.random.default_rng(1).integers(0, 2, (steps, count))
    came = {index: [] for index in range(count)}
    for index in range(count):
        pool.send(index, int(actions[0, index]))
    while any(len(each) < steps for each in came.values()):
        for step in pool.receive(None):
            each = came[step.index]
            each.append(step)
            if len(each) < steps:
                pool.send(step.index, int(actions[len(each), step.index]))
    ends = 0
    for t in range(steps):
        observations, rewards, terminated, truncated, _ = envs.step(actions[t])
        for index in range(count):
            step = came[index][t]
            assert np.array_equal(step.observation, observations[index])
            assert (step.reward, step.terminated, step.truncated) == (rewards[index], terminated[index], truncated[index])
        ended = terminated | truncated
        if ended.any():
            fresh, _ = envs.reset(options={"reset_mask": ended})
            for index in np.flatnonzero(ended):
                assert np.array_equal(came[index][t].fresh, fresh[index])
                ends += 1
    assert ends > count
    assert pool.receive(0.0) == []
    pool.close()
    pool.close()
    envs.close()


@pytest.mark.parametrize("settings", [{}, {"sampler": "int8", "publication_lag": 1}, {"normalize": True}, {"inference_timeout": 0.0}],
                         ids=str)
def test_training(settings):
    with Trainer(replace(ASYNCHRONOUS, **settings)) as trainer:
        progress = trainer.train()
        assert progress.env_steps == trainer.rollout.env_steps == 512 and progress.updates == 16
        assert 1 / 3 <= progress.batch_fill <= 1
        records = trainer.rollout.records
        assert (records[..., LOGP] < 0).all() and set(records[..., ACTION].ravel().tolist()) == {0, 1}
        assert set(records[..., SAMPLED_VERSION].ravel().tolist()) == {progress.sampler_version}
        assert len(trainer.rollout.curve) == progress.episodes > 0


class Broken(gymnasium.Env):
    """Fails at the third step."""

    observation_space = gymnasium.spaces.Box(-1, 1, (1,))
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        self.left = 3
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.left -= 1
        return np.zeros(1, np.float32), 1 / self.left, False, False, {}


def test_an_environment_that_fails():
    name = "LatheBroken-v0"
    gymnasium.register(name, Broken, disable_env_checker=True)
    try:
        with Trainer(replace(ASYNCHRONOUS, env=name)) as trainer:
            with pytest.raises(SettingsError, match="environment 'LatheBroken-v0' failed: ZeroDivisionError"):
                trainer.iteration()
    finally:
        gymnasium.registry.pop(name)


def test_a_process_that_dies():
    pool = EnvironmentPool("CartPole-v1", 2, 2)
    pool.reset(1)
    pool._processes[0].kill()
    pool._processes[0].join()
    pool.send(0, 1)
    with pytest.raises(LatheError, match="a process of the environments has ended unexpectedly"):
        pool.receive(1.0)
    pool.close()


def test_processes_end_with_the_one_that_began_them():
    """Killed, it cannot tell them; and each has the other end of its own pipe."""
    script = ("from lathe.batching import EnvironmentPool; import os, time\n"
              "pool = EnvironmentPool('CartPole-v1', 2, 2); pool.reset(1)\n"
              "print(*(process.pid for process in pool._processes), flush=True); time.sleep(60)")
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        workers = [int(number) for number in parent.stdout.readline().split()]
        parent.kill()
    assert len(workers) == 2
    stats = [Path(f"/proc/{worker}/stat") for worker in workers]
    for _ in range(200):  # a dead one whom nobody has asked for its end has the state Z
        if not any(stat.exists() and stat.read_text().rsplit(")", 1)[1].split()[0] != "Z" for stat in stats):
            return
        time.sleep(0.05)
    raise AssertionError(f"processes {workers} are still there")


def test_an_environment_that_cannot_be_learned():
    with pytest.raises(SettingsError, match="continuous or composite actions"):
        EnvironmentPool("Pendulum-v1", 2, 1)
