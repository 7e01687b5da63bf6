# SPDX-License-Identifier: Apache-2.0
"""What every algorithm shares: device, network and programs, rollouts, the loop of iterations, evaluation and progress.

The host steps environments, converts observations to int16 and moves data. Forward passes, sampling, log-probabilities, ratios,
the loss gradient, the backward pass, the weight update and its publication are programs on the chip (engines.py). What an
algorithm makes of a rollout is its own (ppo.py, vtrace.py).
"""

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from .batching import EnvironmentPool
from .device import Device
from .engines import Actor, Learner, Publication
from .environments import ObservationEncoder, make_environments
from .errors import SettingsError
from .evaluation import Evaluation
from .metrics import Progress, RatioMetrics
from .networks import MLP, CurrentSampler, Sampler
from .program import Program
from .records import EVALUATED_VALUE, SAMPLED_VERSION, VALUE, as_values
from .rollout import AsynchronousRollout, Rollout
from .settings import Settings


class Training(ABC):
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
    optimizer : Optimizer
        Its learning rate follows the settings, its step the updates.
    """

    algorithm: str  #: its name in the settings

    def __init__(self, settings: Settings, backend: Callable | None = None):
        settings.check()
        if settings.algorithm != self.algorithm:
            raise SettingsError(f"algorithm is '{settings.algorithm}', but this trains with '{self.algorithm}'; algorithms.make_trainer "
                                "takes either")
        self.settings = s = settings
        self.device = self.evaluation = None
        self.envs = (EnvironmentPool(s.env, s.environments, s.environment_workers) if s.environment_workers
                     else make_environments(s.env, s.environments))
        try:
            self.encoder = ObservationEncoder(self.envs.single_observation_space, s.normalize)
            self.device = Device(backend or s.backend, s.lanes, s.banks, s.memory_bytes, s.seed, **s.backend_options)
            self.rng = np.random.default_rng(s.seed)
            self.optimizer = s.made_optimizer()
            self._record_programs()
            self._configure()
            self._start()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "Training":
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
                             s.weight_exponent, slots=s.slots, optimizer=self.optimizer, int8_copies=s.sampler == "int8_current")
        samplers = {"int8": Sampler, "int8_current": CurrentSampler}
        sampler = samplers[s.sampler](net, s.sampler_observations) if s.sampler in samplers else None
        self.actor = Actor(layout, sampler or net, s.sampler_rows, "rollout", exponent)
        self.learner = Learner(layout, net, s, exponent)
        self.publication = Publication(layout, [sampler], s.publication_lag) if s.sampler == "int8" else None
        if s.evaluate_every:
            self.evaluation = Evaluation(self.device, net, self.encoder, s)

    @property
    def programs(self) -> list[Program]:
        """What training runs."""
        return [self.actor.program, *self.learner.programs, *(self.publication.programs if self.publication else []),
                *([self.evaluation.actor.program] if self.evaluation else [])]

    def _configure(self) -> None:
        s, registers = self.settings, self.device.registers
        self.optimizer.apply(self.device, self.learner.rate_factor, step=1)
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
        if self.learner.evaluate is None:
            return as_values(self.act(x)[:, VALUE])
        blank = np.zeros((len(x), self.learner.records.data.shape[1]), np.int16)
        return as_values(self.evaluate(x, blank)[:, EVALUATED_VALUE])

    def _count(self, program: Program, runs: int = 1) -> None:
        self.progress.macs += program.macs * runs

    @abstractmethod
    def minibatches(self) -> Iterator[None]:
        """Make minibatches of the rollout, put one after the other into outside memory and yield after each."""

    def warm_up(self) -> None:
        """Run the update a few times without commit, so that no tensor's first write meets an exponent that was a guess."""
        self.optimizer.apply(self.device, self.learner.rate_factor, step=1)
        for _ in range(self.settings.warmup):
            self.device.run(self.learner.warmup)
            self._count(self.learner.warmup)
        self.warmup_saturations = self._saturations_before = self.device.saturations

    def iteration(self, max_updates: int | None = None) -> Progress:
        """Collect a rollout, update on it, and return the new state; ends early after `max_updates` updates in total."""
        s, p = self.settings, self.progress
        p.learning_rate = self.optimizer.lr = s.initial_rate * max(0.0, 1.0 - p.env_steps / s.anneal_steps)
        self.rollout.collect()
        p.env_steps = self.rollout.env_steps
        for _ in self.minibatches():
            if p.updates == 0:
                self.warm_up()
                self.device.clear_statistics()
            self.optimizer.t = p.updates  # which a resumed run knows
            self.optimizer.apply(self.device, self.learner.rate_factor)
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
        self.uncount(cycles, saturations)

    def uncount(self, cycles: int, saturations: int) -> None:
        """Take what the chip has done since its counters stood there for no part of training."""
        self._cycles_before += self.device.cycles - cycles
        self._saturations_before += self.device.saturations - saturations

    def count_from(self, progress: Progress) -> None:
        """Count cycles, saturations and seconds on from those of a saved run."""
        self._cycles_before = self.device.cycles - progress.chip_cycles
        self._saturations_before = self.device.saturations - progress.saturations
        self._time = time.perf_counter() - progress.wall_s

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
