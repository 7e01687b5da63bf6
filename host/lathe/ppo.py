# SPDX-License-Identifier: Apache-2.0
"""Proximal policy optimization on the chip, from top to bottom: programs, rollout, advantages, minibatches.

The host steps environments, computes advantages, converts observations to int16 and moves data. Forward passes, sampling,
log-probabilities, ratios, the loss gradient, the backward pass, the weight update and its publication are programs on the chip
(engines.py).
"""

import math
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from .batching import EnvironmentPool
from .device import Device
from .engines import Actor, Learner, Publication
from .environments import ObservationEncoder, make_environments
from .evaluation import Evaluation
from .metrics import Progress, RatioMetrics
from .networks import MLP, Sampler
from .program import Program
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
from .rollout import AsynchronousRollout, Rollout
from .settings import Settings
from .tensor import quantize


class Trainer:
    """One training run on one device.

    Parameters
    ----------
    settings : Settings
    backend : callable, optional
        Back end in place of ``settings.backend``; see `Device`.

    Attributes
    ----------
    rollout : Rollout
        What is trained on, and every finished episode.
    history : list of Progress
        One entry an iteration.
    """

    def __init__(self, settings: Settings, backend: Callable | None = None):
        settings.check()
        self.settings = s = settings
        self.device = self.evaluation = None
        self.envs = (EnvironmentPool(s.env, s.environments, s.environment_workers) if s.environment_workers
                     else make_environments(s.env, s.environments))
        try:
            self.encoder = ObservationEncoder(self.envs.single_observation_space, s.normalize)
            self.device = Device(backend or s.backend, s.lanes, s.banks, s.memory_bytes, s.seed)
            self.rng = np.random.default_rng(s.seed)
            self._record_programs()
            self._configure()
            self._start()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "Trainer":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        """Free the device and the environments."""
        self.envs.close()
        if self.evaluation is not None:
            self.evaluation.close()
        if self.device is not None:
            self.device.close()

    # ---- what the chip does: recorded once

    def _record_programs(self) -> None:
        s, layout, exponent = self.settings, self.device.layout, self.encoder.exponent
        self.net = net = MLP(layout, self.encoder.width, s.hidden, int(self.envs.single_action_space.n), s.activation,
                             s.weight_exponent, slots=s.slots)
        sampler = Sampler(net, s.sampler_observations) if s.sampler == "int8" else None
        self.actor = Actor(layout, sampler or net, s.sampler_rows, "rollout", exponent)
        self.learner = Learner(layout, net, s, exponent)
        self.publication = Publication(layout, sampler, s.publication_lag) if sampler else None
        if s.evaluate_every:
            self.evaluation = Evaluation(self.device, net, self.encoder, s)

    @property
    def programs(self) -> list[Program]:
        """What training runs."""
        return [self.actor.program, *self.learner.programs, *(self.publication.programs if self.publication else []),
                *([self.evaluation.actor.program] if self.evaluation else [])]

    def _configure(self) -> None:
        s, registers = self.settings, self.device.registers
        self._set_learning_rate(s.learning_rate)
        self.correction = s.made_correction()
        self.correction.write(registers)
        registers.set("ENTROPY_COEF", round(s.entropy * 65536))
        registers.set("VALUE_COEF", round(s.value_weight * 65536))
        for tensor, values in self.net.initial_values(self.rng).items():
            self.device.load(tensor, values)
        for program in self.programs:
            self.device.install(program)
        if self.publication:
            self.publication.start(self.device)

    def _set_learning_rate(self, rate: float) -> None:
        self.device.set_optimizer(rate * self.learner.rate_factor, self.settings.momentum)

    # ---- what the host does

    def _start(self) -> None:
        s = self.settings
        self.progress = Progress()
        self.history: list[Progress] = []
        self.warmup_saturations = 0
        collecting = AsynchronousRollout if s.environment_workers else Rollout
        self.rollout = collecting(self, self.envs, self.encoder, self.actor.records.data.shape[1], s)
        self._cycles_before = self.device.cycles
        self._time = time.perf_counter()

    def act(self, x: np.ndarray) -> np.ndarray:
        """Let the sampler act on encoded observations; returns the records, int16 (n, elements)."""
        self._count(self.actor.program, self.actor.runs(len(x)))
        records = self.actor.act(self.device, x)
        if self.publication:  # SAMPLE wrote the learner's version
            records[:, SAMPLED_VERSION] = np.uint16(self.publication.version & 0xFFFF).view(np.int16)
        return records

    def evaluate(self, x: np.ndarray, records: np.ndarray) -> np.ndarray:
        """Return records (n, elements) with the learner's log-probability and value for encoded observations (n, width).

        The last minibatch is filled up with what lies there.
        """
        learner, size, evaluated = self.learner, self.settings.minibatch, []
        for start in range(0, len(x), size):
            rows = len(x[start:start + size])
            learner.x.data[:rows, :self.encoder.width] = x[start:start + size]
            learner.records.data[:rows] = records[start:start + size]
            self.device.run(learner.evaluate)
            self._count(learner.evaluate)
            evaluated.append(learner.records.data[:rows].copy())
        return np.concatenate(evaluated)

    def values_of(self, x: np.ndarray) -> np.ndarray:
        """Return the learner's value estimates of encoded observations (n, width)."""
        if self.publication is None:
            return as_values(self.act(x)[:, VALUE])
        blank = np.zeros((len(x), self.learner.records.data.shape[1]), np.int16)
        return as_values(self.evaluate(x, blank)[:, EVALUATED_VALUE])

    def _count(self, program: Program, runs: int = 1) -> None:
        self.progress.macs += program.macs * runs

    def score(self) -> None:
        """Set log-probabilities and values of the rollout under the learner at the start of the update.

        A sampler that is the learner has recorded them. For another one the learner evaluates the samples, and their ratios,
        learner over sampler, go through the correction once, for the statistics alone.
        """
        rollout = self.rollout
        if self.publication is None:
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

    def minibatches(self, advantages: np.ndarray, returns: np.ndarray):
        """Put one shuffled minibatch after the other into outside memory and yield after each."""
        s, rollout = self.settings, self.rollout
        samples = s.rollout * s.environments
        x, records = rollout.x.reshape(samples, -1), rollout.records.reshape(samples, -1)
        old = records[:, LOGP] if s.bypass else self.old_logp.ravel()
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

    def warm_up(self) -> None:
        """Run the update a few times without commit, so that no tensor's first write meets an exponent that was a guess."""
        for _ in range(self.settings.warmup):
            self.device.run(self.learner.warmup)
            self._count(self.learner.warmup)
        self.warmup_saturations = self._saturations_before = self.device.saturations

    def iteration(self, max_updates: int | None = None) -> Progress:
        """Collect a rollout, update on it, and return the new state; ends early after `max_updates` updates in total."""
        s, p = self.settings, self.progress
        p.learning_rate = s.learning_rate * max(0.0, 1.0 - p.env_steps / s.anneal_steps)
        self.rollout.collect()
        p.env_steps = self.rollout.env_steps
        self.score()
        advantages, returns = self.advantages()
        self._set_learning_rate(p.learning_rate)
        for _ in self.minibatches(advantages, returns):
            if p.updates == 0:
                self.warm_up()
                self.device.clear_statistics()
            self.device.run(self.learner.update)
            self._count(self.learner.update)
            p.updates += 1
            if p.updates == max_updates:
                break
        self._note()
        if self.publication:
            self.publication.publish(self.device)
        self._evaluate_learner()
        self.history.append(replace(p))
        return p

    def _evaluate_learner(self) -> None:
        """Let the learner play every so many iterations; what that takes is not counted as training."""
        p, device = self.progress, self.device
        p.true_return = None
        if self.evaluation is None or (len(self.history) + 1) % self.settings.evaluate_every:
            return
        cycles, saturations = device.cycles, device.saturations
        p.true_return = float(np.mean(self.evaluation.run()))
        self._cycles_before += device.cycles - cycles
        self._saturations_before += device.saturations - saturations

    def _note(self) -> None:
        """Bring the progress up to date with the chip's counters."""
        p, device = self.progress, self.device
        statistics = device.statistics()
        device.clear_statistics()
        count = max(statistics["count"], 1)
        p.clip_fraction = statistics["clipped"] / count
        p.entropy, p.k3 = statistics["sum_entropy"] / count, statistics["sum_k3"] / count
        p.ratio = RatioMetrics.of(statistics)
        p.sampler_version = int(np.uint16(self.rollout.records[-1, -1, SAMPLED_VERSION]))
        p.weight_version, p.saturations = device.version, device.saturations - self._saturations_before
        p.chip_cycles = device.cycles - self._cycles_before
        p.array_utilization = p.macs / (self.settings.lanes**2 * p.chip_cycles) if p.chip_cycles else None
        p.batch_fill = self.rollout.batch_fill
        p.episodes, recent = len(self.rollout.curve), self.rollout.recent
        p.mean_return_100 = sum(recent) / len(recent) if recent else math.nan
        p.wall_s = time.perf_counter() - self._time

    @property
    def solved(self) -> bool:
        """Whether the last 100 episodes reach the target."""
        target = self.settings.target
        return target is not None and len(self.rollout.recent) == 100 and self.progress.mean_return_100 >= target

    def train(self, on_iteration: Callable[[Progress], None] | None = None) -> Progress:
        """Iterate until the next rollout would exceed the steps, or the target is reached."""
        s = self.settings
        while self.progress.env_steps + s.environments * s.rollout <= s.steps and not self.solved:
            self.iteration()
            if on_iteration:
                on_iteration(self.progress)
        return self.progress
