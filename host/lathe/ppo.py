# SPDX-License-Identifier: Apache-2.0
"""Proximal policy optimization (Schulman et al. 2017): generalized advantages, shuffled minibatches, several passes over a rollout.

The host computes the advantages and normalizes them; the rest is on the chip (training.py).
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from .metrics import RatioMetrics
from .records import (
    ACTION,
    ADVANTAGE,
    ADVANTAGE_EXPONENT,
    ENVIRONMENT,
    EVALUATED_LOGP,
    EVALUATED_VALUE,
    FLAGS,
    LAST,
    LOGP,
    OLD_ACTION,
    OLD_LOGP,
    RETURN,
    SAMPLED_VERSION,
    SAMPLER_LOGP,
    VALUE,
    VALUE_EXPONENT,
    VERSION,
    as_values,
)
from .tensor import quantize
from .training import Training


class Trainer(Training):
    """Training by PPO; see `Training`."""

    algorithm = "ppo"

    def score(self) -> None:
        """Set log-probabilities and values of the rollout under the learner at the start of the update.

        A sampler that is the learner has recorded them. For another one the learner evaluates the samples, and their ratios,
        learner over sampler, go through the correction once, for the statistics alone.
        """
        s, rollout = self.settings, self.rollout
        if s.sampler == "learner":
            self.old_logp, self.values = rollout.records[..., LOGP], rollout.records[..., VALUE]
            return
        sampled = rollout.records.reshape(-1, rollout.records.shape[2])
        records = np.zeros((len(sampled), self.learner.records.data.shape[1]), np.int16)
        records[:, OLD_ACTION], records[:, SAMPLER_LOGP] = sampled[:, ACTION], sampled[:, LOGP]
        replace(self.correction, stats_lane="rho").write(self.device.registers)
        self.device.clear_statistics()
        evaluated = self.evaluate(rollout.x.reshape(-1, self.encoder.width), records).reshape(*rollout.records.shape[:2], -1)
        self.progress.mismatch = RatioMetrics.of(self.device.statistics())
        self.device.clear_statistics()
        self.correction.write(self.device.registers)
        self.old_logp, self.values = evaluated[..., EVALUATED_LOGP], evaluated[..., EVALUATED_VALUE]

    def advantages(self) -> tuple[np.ndarray, np.ndarray]:
        """Return generalized advantage estimates and returns (Schulman et al. 2016), both float64 (rollout, environments).

        ``delta_t = r_t + gamma V(s_t+1) - V(s_t)``; ``A_t = delta_t + gamma lambda A_t+1``, cut where an episode ended;
        V of the state after a terminal one is 0, after a cut one the value of the state at which it was cut.
        """
        s, rollout = self.settings, self.rollout
        values = as_values(self.values)
        following = np.concatenate([values[1:], self.values_of(rollout.next_x)[None]])
        following = np.where(rollout.done, np.where(rollout.cut, rollout.next_values, 0.0), following)
        delta = rollout.rewards * s.reward_scale + s.gamma * following - values
        advantages, running = np.zeros_like(delta), np.zeros(s.environments)
        for t in reversed(range(s.rollout)):
            running = delta[t] + s.gamma * s.gae_lambda * np.where(rollout.done[t], 0.0, running)
            advantages[t] = running
        return advantages, advantages + values

    def minibatches(self) -> Iterator[None]:
        self.score()
        advantages, returns = self.advantages()
        self.device.clear_statistics()  # they are those of the updates
        s, rollout = self.settings, self.rollout
        samples = s.rollout * s.environments
        x, records = rollout.x.reshape(samples, -1), rollout.records.reshape(samples, -1)
        old = self.old_logp.ravel()
        last = rollout.done.copy()
        last[-1] = True
        last, environment = last.ravel(), np.arange(samples) % s.environments
        advantages, returns = advantages.ravel(), quantize(returns.ravel(), VALUE_EXPONENT)
        for _ in range(s.epochs):
            order = self.rng.permutation(samples)
            for start in range(0, samples, s.minibatch):
                chosen = order[start:start + s.minibatch]
                adv = advantages[chosen]
                adv = (adv - adv.mean()) / (adv.std() + 1e-8)
                self.learner.x.data[:, :self.encoder.width] = x[chosen]
                batch = self.learner.records.data
                batch[:, OLD_ACTION] = records[chosen, ACTION]
                batch[:, OLD_LOGP] = old[chosen]
                batch[:, ADVANTAGE] = quantize(adv, ADVANTAGE_EXPONENT)
                batch[:, RETURN] = returns[chosen]
                batch[:, SAMPLER_LOGP] = records[chosen, LOGP]
                batch[:, FLAGS] = np.where(last[chosen], LAST, 0)
                batch[:, VERSION] = records[chosen, SAMPLED_VERSION]
                batch[:, ENVIRONMENT] = environment[chosen]
                yield
