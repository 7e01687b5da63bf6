# SPDX-License-Identifier: Apache-2.0
"""Rollouts: what a policy and its environments did, step by step, and two ways to collect it."""

from collections import deque
from typing import Protocol

import numpy as np
from gymnasium.vector import VectorEnv

from .batching import Batcher, EnvironmentPool
from .environment_state import environment_state, restore_environments
from .environments import ObservationEncoder
from .errors import SettingsError
from .records import ACTION
from .settings import Settings


class Policy(Protocol):
    """What acts in a rollout."""

    def act(self, x: np.ndarray) -> np.ndarray:
        """Return the records, int16 (n, elements), of encoded observations (n, width)."""

    def values_of(self, x: np.ndarray) -> np.ndarray:
        """Return the learner's value estimates of encoded observations (n, width)."""


class Rollout:
    """The same number of steps of every environment, all of them stepped together.

    Parameters
    ----------
    policy : Policy
    envs : VectorEnv
        Reset by hand.
    encoder : ObservationEncoder
    elements : int
        Elements of a record.
    settings : Settings

    Attributes
    ----------
    x : ndarray of int16, (steps, environments, width)
        Encoded observations before the step. The next five arrays are (steps, environments), too.
    records : ndarray of int16, (steps, environments, elements)
    rewards, next_values : ndarray of float64
        `next_values`: where a step was cut, the learner's value of the state at which it was.
    done, cut : ndarray of bool
        The episode ended with this step; it was cut off by a limit of its steps.
    next_x : ndarray of int16, (environments, width)
        Encoded observations after the last step.
    curve : list of (environment step, return)
        Every finished episode.
    recent : deque of float
        The last 100 returns.
    env_steps : int
    """

    def __init__(self, policy: Policy, envs: VectorEnv, encoder: ObservationEncoder, elements: int, settings: Settings):
        self._prepare(policy, envs, encoder, elements, settings)
        observations, _ = envs.reset(seed=settings.seed)
        self.next_x = encoder(observations)

    def _prepare(self, policy: Policy, envs: VectorEnv | EnvironmentPool, encoder: ObservationEncoder, elements: int,
                 settings: Settings) -> None:
        self._policy, self._envs, self._encoder, self._settings = policy, envs, encoder, settings
        self._first_action = int(envs.single_action_space.start)
        shape = (settings.rollout, settings.environments)
        self.x = np.zeros((*shape, encoder.width), np.int16)
        self.records = np.zeros((*shape, elements), np.int16)
        self.rewards, self.next_values = np.zeros(shape), np.zeros(shape)
        self.done, self.cut = np.zeros(shape, bool), np.zeros(shape, bool)
        self.curve: list[tuple[int, float]] = []
        self.recent: deque[float] = deque(maxlen=100)
        self.env_steps = 0
        self._running_return = np.zeros(settings.environments)

    @property
    def batch_fill(self) -> float:
        """Share of the sampler's batches that was filled so far."""
        return 1.0

    def collect(self) -> None:
        """Step all environments `rollout` times."""
        s = self._settings
        for t in range(s.rollout):
            self.x[t] = self.next_x
            self.records[t] = self._policy.act(self.next_x)
            observations, reward, terminated, truncated, _ = self._envs.step(self.records[t, :, ACTION] + self._first_action)
            self.env_steps += s.environments
            self.rewards[t] = reward
            self.done[t] = ended = terminated | truncated
            self.cut[t] = truncated & ~terminated
            self.next_x = self._encoder(observations)
            self._note_rewards(slice(None), reward, ended)
            if ended.any():
                if self.cut[t].any():  # cut off by a time limit: the value of where it stood stands for the rest
                    self.next_values[t] = self._policy.values_of(self.next_x)
                observations, _ = self._envs.reset(options={"reset_mask": ended})
                fresh = self._encoder(observations, learn=False)
                self.next_x[ended] = fresh[ended]

    def state(self) -> dict:
        """Return what the next `collect` begins with, and the episodes so far; for `restore`."""
        return {"environments": environment_state(self._envs), "next_x": self.next_x, "env_steps": self.env_steps,
                "running_return": self._running_return, "recent": list(self.recent),
                "curve_steps": np.array([steps for steps, _ in self.curve], np.int64),
                "curve_returns": np.array([value for _, value in self.curve], np.float64)}

    def restore(self, state: dict) -> None:
        restore_environments(self._envs, state["environments"])
        self.next_x, self._running_return, self.env_steps = state["next_x"].copy(), state["running_return"].copy(), int(state["env_steps"])
        self.recent = deque(state["recent"], maxlen=self.recent.maxlen)
        self.curve = list(zip(state["curve_steps"].tolist(), state["curve_returns"].tolist(), strict=True))

    def _note_rewards(self, which, rewards: np.ndarray, ended: np.ndarray) -> None:
        """Add rewards of the environments `which` to their returns, and note those that have ended."""
        numbers = np.arange(self._settings.environments)[which]
        if not np.isfinite(rewards).all():
            index = int(np.argmin(np.isfinite(rewards)))
            raise SettingsError(f"environment number {numbers[index]} of '{self._settings.env}' gave the reward {rewards[index]}; "
                                "advantages need finite rewards, correct or wrap the environment")
        self._running_return[which] += rewards
        for index in numbers[ended]:
            self.recent.append(float(self._running_return[index]))
            self.curve.append((self.env_steps, float(self._running_return[index])))
            self._running_return[index] = 0.0


class AsynchronousRollout(Rollout):
    """The same number of steps of every environment, each stepped in a process as soon as it has its action.

    The sampler serves who comes first: a batch of observations is flushed when it is full or when its oldest one has waited
    long enough. What is in a batch then depends on time, so runs of the same seed differ.

    Parameters
    ----------
    policy : Policy
    pool : EnvironmentPool
    encoder, elements, settings
        As of `Rollout`.
    """

    def __init__(self, policy: Policy, pool: EnvironmentPool, encoder: ObservationEncoder, elements: int, settings: Settings):
        self._prepare(policy, pool, encoder, elements, settings)
        self._batches = self._served = 0
        self.next_x = encoder(pool.reset(settings.seed))

    @property
    def batch_fill(self) -> float:
        return self._served / max(self._batches * self._settings.sampler_rows, 1)

    def collect(self) -> None:
        """Step every environment `rollout` times; those that are ahead wait for the others only at the end."""
        s = self._settings
        batcher = Batcher(s.sampler_rows, s.inference_timeout)
        at = np.zeros(s.environments, int)  # steps so far
        stood = []  # (step, environment, encoded observation) where an episode was cut
        for index in range(s.environments):
            batcher.add(index)
        while (at < s.rollout).any():
            while batcher.ready():
                self._serve(batcher.take(), at)
            for step in self._envs.receive(batcher.remaining):
                t, index = at[step.index], step.index
                self.env_steps += 1
                self.rewards[t, index] = step.reward
                self.done[t, index] = ended = step.terminated or step.truncated
                self.cut[t, index] = step.truncated and not step.terminated
                encoded = self._encoder(step.observation[None])[0]
                self._note_rewards([index], np.array([step.reward]), np.array([ended]))
                if self.cut[t, index]:
                    stood.append((t, index, encoded))
                self.next_x[index] = self._encoder(step.fresh[None], learn=False)[0] if ended else encoded
                at[index] += 1
                if at[index] < s.rollout:
                    batcher.add(index)
        if stood:
            steps, indices, x = zip(*stood, strict=True)
            self.next_values[steps, indices] = self._policy.values_of(np.array(x))

    def _serve(self, indices: list[int], at: np.ndarray) -> None:
        """Let the policy act for these environments and send them on."""
        self._batches += 1
        self._served += len(indices)
        self.x[at[indices], indices] = self.next_x[indices]
        records = self._policy.act(self.next_x[indices])
        self.records[at[indices], indices] = records
        for index, action in zip(indices, records[:, ACTION], strict=True):
            self._envs.send(index, int(action) + self._first_action)
