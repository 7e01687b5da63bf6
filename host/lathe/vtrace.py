# SPDX-License-Identifier: Apache-2.0
"""Actor-critic with V-trace (IMPALA, Espeholt et al. 2018): the sampler may be older and coarser than the learner.

An iteration has a rollout of the sampler; with T steps of N environments its records are ``(T + 1) * N``, the last N of them there
for their values alone. Each pass over it does, with the learner's weights at its beginning:

1. EVALUATE, a minibatch at a time: log-probability and value under the learner beside the sampler's log-probability;
2. SCAN, whole steps of as many environments as the scratchpad has room for: ``rho = min(pi/mu, rho_cap)``, ``c = min(pi/mu, c_cap)``,
   ``v_t = V_t + rho*(r_t + gamma*V_{t+1} - V_t) + gamma*lam*c*(v_{t+1} - V_{t+1})``, and advantages ``r_t + gamma*v_{t+1} - V_t``;
3. a weight update for every shuffled minibatch, whose LOSS weights the advantages by ``min(pi/mu, cap)`` and takes v as the returns.

All of it is programs on the chip (training.py, engines.py). The host steps environments and moves data; the one sum it makes is the
reward of a step at which an episode was cut.
"""

from collections.abc import Iterator

import numpy as np

from pymodels.descriptor import record_words

from .advantages import ENVIRONMENTS
from .errors import CapacityError
from .program import Program
from .records import (
    ACTION,
    ENVIRONMENT,
    FLAGS,
    LAST,
    LOGP,
    OLD_ACTION,
    REWARD,
    SAMPLED_VERSION,
    SAMPLER_LOGP,
    TERMINATED,
    VALUE_EXPONENT,
    VERSION,
)
from .tensor import quantize
from .training import Training


class Trainer(Training):
    """Training by V-trace; see `Training`.

    Attributes
    ----------
    scan : Program
        Makes records of LOSS of evaluated ones, in place in `scanned`.
    scanned : Block
        Records of `scanned_environments` of the rollout, in outside memory.
    scanned_environments : int
        The largest divisor of all environments that one SCAN takes and for whose records the scratchpad has room.
    records : ndarray of int16, (steps + 1, environments, elements)
        Of the rollout, as SCAN left them.

    Raises
    ------
    CapacityError
        Not even the records of one environment fit.
    """

    algorithm = "vtrace"

    def _record_programs(self) -> None:
        super()._record_programs()
        s, layout = self.settings, self.device.layout
        words = (s.rollout + 1) * record_words(s.lanes)
        most = min(layout.words_free // words, ENVIRONMENTS)
        if not most:
            raise CapacityError(f"SCAN takes all steps of an environment at once: rollout + 1 = {s.rollout + 1} records need {words} "
                                f"scratchpad words and {layout.words_free} are free; use a shorter rollout, a smaller minibatch, or a "
                                "chip with more banks (--banks, up to 64)")
        self.scanned_environments = count = max(n for n in range(1, most + 1) if s.environments % n == 0)
        records = layout.records("scan.records", (s.rollout + 1) * count)
        self.scanned = layout.block_for(records)
        self.scan = Program("scan", layout)
        self.scan.load(records, self.scanned)
        self.scan.scan(records, count)
        self.scan.store(records, self.scanned)

    @property
    def programs(self) -> list[Program]:
        return [*super().programs, self.scan]

    def _configure(self) -> None:
        super()._configure()
        self.settings.made_advantages().write(self.device.registers)

    def score(self) -> None:
        """Let the learner evaluate the rollout, and SCAN make advantages and returns of that.

        A cut episode ends like one that terminates, but with the discounted value of where it stood in its last reward.
        """
        s, rollout, count = self.settings, self.rollout, self.scanned_environments
        samples = s.rollout * s.environments
        rewards = rollout.rewards * s.reward_scale + s.gamma * np.where(rollout.cut, rollout.next_values, 0.0)
        sampled = rollout.records.reshape(samples, -1)
        records = np.zeros((samples + s.environments, self.scanned.data.shape[1]), np.int16)
        steps = records[:samples]
        steps[:, OLD_ACTION], steps[:, SAMPLER_LOGP] = sampled[:, ACTION], sampled[:, LOGP]
        steps[:, REWARD] = quantize(rewards.ravel(), VALUE_EXPONENT)
        steps[:, FLAGS] = np.where(rollout.done.ravel(), LAST | TERMINATED, 0)
        steps[:, VERSION], steps[:, ENVIRONMENT] = sampled[:, SAMPLED_VERSION], np.arange(samples) % s.environments
        x = np.concatenate([rollout.x.reshape(samples, -1), rollout.next_x])
        self.records = self.evaluate(x, records).reshape(s.rollout + 1, s.environments, -1)
        for first in range(0, s.environments, count):
            group = self.records[:, first:first + count]
            self.scanned.data[:] = group.reshape(self.scanned.data.shape)
            self.device.run(self.scan)
            group[:] = self.scanned.data.reshape(group.shape)

    def minibatches(self) -> Iterator[None]:
        s = self.settings
        samples = s.rollout * s.environments
        x = self.rollout.x.reshape(samples, -1)
        for _ in range(s.epochs):
            self.score()
            records = self.records[:-1].reshape(samples, -1)
            order = self.rng.permutation(samples)
            for start in range(0, samples, s.minibatch):
                chosen = order[start:start + s.minibatch]
                self.learner.x.data[:, :self.encoder.width] = x[chosen]
                self.learner.records.data[:] = records[chosen]
                yield

    def _note(self) -> None:
        super()._note()
        if self.settings.sampler != "learner":
            self.progress.mismatch = self.progress.ratio  # the lane of V-trace's correction is learner over sampler
