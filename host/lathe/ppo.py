# SPDX-License-Identifier: Apache-2.0
"""Proximal policy optimization on the chip, from top to bottom: settings, programs, rollout, advantages, minibatches.

The host steps environments, computes advantages, converts observations to int16 and moves data. Forward passes, sampling,
log-probabilities, ratios, the loss gradient, the backward pass and the weight update are two programs on the chip.
"""

import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, fields

import numpy as np

from .corrections import CORRECTIONS, Correction, correction, parameters
from .device import Device
from .environments import ObservationEncoder, make_environments
from .errors import SettingsError
from .networks import MLP
from .program import Program
from .tensor import quantize

# Formats of the records that the policy unit reads and writes (docs/numerics.md, section 8).
VALUE_EXPONENT, ADVANTAGE_EXPONENT = -10, -11
ACTION, LOGP, VALUE, SAMPLED_VERSION = 0, 1, 2, 3  # elements of a record that SAMPLE writes
# Elements of a record that LOSS reads
OLD_ACTION, OLD_LOGP, ADVANTAGE, RETURN, SAMPLER_LOGP, FLAGS, VERSION, ENVIRONMENT = range(8)
LAST = 1  # flag: the last sample of its sequence
#: Parameter of a correction -> the setting that holds it.
CORRECTION_SETTINGS = {"clip": "clip", "clip_high": "clip_high", "c": "dual_clip", "cap": "cap", "lo": "ratio_low", "hi": "ratio_high",
                       "threshold": "threshold"}


def _setting(default, text: str, **extra):
    return field(default=default, metadata={"help": text, **extra})


@dataclass(frozen=True)
class Settings:
    """Every setting of a training run. `lathe train --help` is made from it."""

    env: str = _setting("CartPole-v1", "Gymnasium environment with discrete actions")
    backend: str = _setting("golden", "what executes the programs: golden (numpy model) or verilator (the RTL)")
    seed: int = _setting(1, "seed of environments, initial weights, shuffling and the chip's random bits")
    steps: int = _setting(150_000, "environment steps that training may take; it ends at the last whole rollout within them")
    target: float | None = _setting(None, "end as soon as the mean return of the last 100 episodes reaches this")
    # the chip
    lanes: int = _setting(8, "lanes of the chip: 4, 8 or 16")
    banks: int = _setting(8, "scratchpad banks of 1,024 words")
    memory_bytes: int = _setting(1 << 20, "size of outside memory")
    slots: int = _setting(3, "slots of the weight group, 2 to 4; all but two keep older versions for rollback")
    # the network
    hidden: tuple[int, ...] = _setting((32, 32), "widths of the hidden layers, separated by commas")
    activation: str = _setting("tanh", "activation of the hidden layers: tanh or relu")
    weight_exponent: int = _setting(-13, "static exponent of weights and biases: they range over +-2**(15 + this)")
    # PPO
    environments: int = _setting(16, "environments stepped side by side")
    rollout: int = _setting(64, "steps of each environment between updates")
    epochs: int = _setting(2, "passes over a rollout")
    minibatch: int = _setting(128, "samples of one weight update")
    gamma: float = _setting(0.99, "discount of future rewards")
    gae_lambda: float = _setting(0.95, "lambda of generalized advantage estimation")
    correction: str = _setting("ppo", "correction by importance ratios: " + ", ".join(CORRECTIONS))
    clip: float = _setting(0.2, "ppo, dual_clip, decoupled_ppo, bypass_ppo: ratios beyond 1 +- this give no gradient")
    clip_high: float | None = _setting(None, "the same above 1, if it differs")
    dual_clip: float | None = _setting(None, "dual_clip: largest ratio at which a negative advantage counts (3)")
    cap: float | None = _setting(None, "tis, decoupled_ppo, vtrace: largest ratio of the sampler (2, 2, 1)")
    ratio_low: float | None = _setting(None, "clamp, icepop, token_mask, cispo: smallest ratio (0.5, 0.5, 1 / largest, 0)")
    ratio_high: float | None = _setting(None, "the same: largest ratio (2, 2, 1 / smallest, 5)")
    threshold: float | None = _setting(None, "reject_k1, reject_k2, reject_k3: largest k")
    entropy: float = _setting(0.005, "weight of the entropy bonus")
    value_weight: float = _setting(0.5, "weight of the value loss")
    reward_scale: float = _setting(0.05, "factor on rewards before advantages")
    normalize: bool = _setting(False, "normalize observations by their running mean and deviation")
    # SGD with momentum
    learning_rate: float = _setting(0.05, "learning rate at the start")
    anneal_steps: int = _setting(150_000, "environment steps in which the learning rate falls linearly to 0")
    momentum: float = _setting(0.9, "momentum: m <- momentum m + g; w <- w - learning_rate m")
    stochastic: bool = _setting(True, "round weights and momentum stochastically")
    warmup: int = _setting(8, "runs of the update without commit at the start, by which delayed scaling finds its exponents")

    def check(self) -> None:
        """Raise SettingsError, naming setting and limit, if one cannot work."""
        for setting in fields(self):
            value = getattr(self, setting.name)
            if isinstance(value, float) and not math.isfinite(value):
                raise SettingsError(f"{setting.name} is {value} and must be a finite number")
        positive = ("steps", "environments", "rollout", "epochs", "minibatch", "anneal_steps", "memory_bytes")
        for name in positive:
            if getattr(self, name) < 1:
                raise SettingsError(f"{name} is {getattr(self, name)} and must be at least 1")
        for name, low, high in (("gamma", 0, 1), ("gae_lambda", 0, 1), ("clip", 0, 0.999), ("entropy", 0, 3.99),
                                ("value_weight", 0, 3.99), ("momentum", 0, 65535 / 65536), ("seed", 0, 2**32 - 1),
                                ("warmup", 0, 1000), ("weight_exponent", -30, 0), ("learning_rate", 0, 1000)):
            if not low <= getattr(self, name) <= high:
                raise SettingsError(f"{name} is {getattr(self, name)} and must lie between {low} and {high}")
        if any(width < 1 for width in self.hidden):
            raise SettingsError(f"hidden is {self.hidden}; every layer needs at least one unit")
        self.made_correction()
        samples = self.environments * self.rollout
        if self.steps < samples:
            raise SettingsError(f"steps is {self.steps}, fewer than one rollout of environments x rollout = {samples}")
        if samples % self.minibatch:
            raise SettingsError(f"a rollout has environments x rollout = {samples} samples, which minibatch = {self.minibatch} "
                                "does not divide; choose a divisor")

    def made_correction(self) -> Correction:
        """Return the correction of these settings; SettingsError if there is none."""
        takes = parameters(self.correction)
        given = {}
        for parameter, name in CORRECTION_SETTINGS.items():
            value = getattr(self, name)
            if parameter in takes and value is not None:
                given[parameter] = value
            elif value is not None and name != "clip":  # which always has a value
                names = ", ".join(CORRECTION_SETTINGS[each] for each in takes) or "nothing"
                raise SettingsError(f"{name} is set, but correction '{self.correction}' takes: {names}")
        try:
            made = correction(self.correction, **given)
        except SettingsError as error:
            renamed = [f"{parameter} is the setting {CORRECTION_SETTINGS[parameter]}" for parameter in takes
                       if CORRECTION_SETTINGS[parameter] != parameter]
            raise SettingsError(f"{error} ({', '.join(renamed)})" if renamed else str(error)) from None
        if made.sequences:
            raise SettingsError(f"correction '{self.correction}' works on whole sequences, but minibatches are drawn sample by sample; "
                                "choose a correction of samples, such as tis, icepop or decoupled_ppo")
        return made


@dataclass
class Progress:
    """State of a run after an iteration (a rollout and its updates); what the progress bar and the curve show."""

    env_steps: int = 0
    updates: int = 0
    mean_return_100: float = math.nan
    episodes: int = 0
    learning_rate: float = 0.0
    clip_fraction: float = 0.0
    entropy: float = 0.0
    k3: float = 0.0
    weight_version: int = 0
    chip_cycles: int = 0
    macs: int = 0
    array_utilization: float | None = None
    saturations: int = 0
    wall_s: float = 0.0


class Trainer:
    """One training run on one device.

    Parameters
    ----------
    settings : Settings
    backend : callable, optional
        Back end in place of ``settings.backend``; see `Device`.

    Attributes
    ----------
    curve : list of (environment step, return)
        Every finished episode.
    history : list of Progress
        One entry an iteration.
    """

    def __init__(self, settings: Settings, backend: Callable | None = None):
        settings.check()
        self.settings = s = settings
        self.envs = make_environments(s.env, s.environments)
        self.device = None
        try:
            self.encoder = ObservationEncoder(self.envs.single_observation_space, s.normalize)
            self.first_action = int(self.envs.single_action_space.start)
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
        if self.device is not None:
            self.device.close()

    # ---- what the chip does: recorded once

    def _record_programs(self) -> None:
        s, layout = self.settings, self.device.layout
        self.net = net = MLP(layout, self.encoder.width, s.hidden, int(self.envs.single_action_space.n), s.activation,
                             s.weight_exponent, slots=s.slots)

        # Rollout step: observations in, forward, sample, records out.
        acts = net.activations(s.environments, "rollout", self.encoder.exponent)
        records = layout.records("rollout.records", s.environments)
        self.step_x, self.step_records = layout.block_for(acts.x), layout.block_for(records)
        self.step_program = Program("rollout step", layout)
        self.step_program.load(acts.x, self.step_x)
        net.forward(self.step_program, acts)
        self.step_program.sample(acts.y, records)
        self.step_program.store(records, self.step_records)

        # Minibatch update: samples in, forward, loss gradient, backward, update, commit. The chip divides the gradient by
        # 2**gshift; what is left of the mean over the minibatch goes into the learning rate.
        acts, grads = net.activations(s.minibatch, "batch", self.encoder.exponent), net.gradients(s.minibatch, "batch")
        records = layout.records("batch.records", s.minibatch)
        self.batch_x, self.batch_records = layout.block_for(acts.x), layout.block_for(records)
        gshift = math.ceil(math.log2(s.minibatch))
        self.rate_factor = 2**gshift / s.minibatch
        self.update_program, self.warmup_program = Program("minibatch update", layout), Program("warm-up", layout)
        for program in (self.update_program, self.warmup_program):
            program.load(acts.x, self.batch_x)
            program.load(records, self.batch_records)
            net.forward(program, acts)
            program.loss(acts.y, records, grads.outputs[-1], gshift)
            net.backward(program, acts, grads, update=True, stochastic=s.stochastic)
        self.update_program.commit()

    def _configure(self) -> None:
        s, registers = self.settings, self.device.registers
        self._set_learning_rate(s.learning_rate)
        s.made_correction().write(registers)
        registers.set("ENTROPY_COEF", round(s.entropy * 65536))
        registers.set("VALUE_COEF", round(s.value_weight * 65536))
        for tensor, values in self.net.initial_values(self.rng).items():
            self.device.load(tensor, values)
        for program in (self.step_program, self.update_program, self.warmup_program):
            self.device.install(program)

    def _set_learning_rate(self, rate: float) -> None:
        self.device.set_optimizer(rate * self.rate_factor, self.settings.momentum)

    # ---- what the host does

    def _start(self) -> None:
        s = self.settings
        self.progress = Progress()
        self.history: list[Progress] = []
        self.curve: list[tuple[int, float]] = []
        self.recent: deque[float] = deque(maxlen=100)
        self.warmup_saturations = 0
        self._running_return = np.zeros(s.environments)
        shape = (s.rollout, s.environments)
        self.x = np.zeros((*shape, self.encoder.width), np.int16)
        self.records = np.zeros((*shape, self.step_records.data.shape[1]), np.int16)
        self.rewards, self.next_values = np.zeros(shape), np.zeros(shape)
        self.done, self.cut = np.zeros(shape, bool), np.zeros(shape, bool)
        observations, _ = self.envs.reset(seed=s.seed)
        self.next_x = self.encoder(observations)
        self._cycles_before = self.device.cycles
        self._time = time.perf_counter()

    def act(self, x: np.ndarray) -> np.ndarray:
        """Run the rollout step on encoded observations; returns the records, int16 (environments, elements)."""
        self.step_x.data[:, :self.encoder.width] = x
        self.device.run(self.step_program)
        self.progress.macs += self.step_program.macs
        return self.step_records.data.copy()

    def collect(self) -> None:
        """Step all environments `rollout` times with the current weights."""
        s = self.settings
        for t in range(s.rollout):
            self.x[t] = self.next_x
            self.records[t] = self.act(self.next_x)
            observations, reward, terminated, truncated, _ = self.envs.step(self.records[t, :, ACTION] + self.first_action)
            self.progress.env_steps += s.environments
            if not np.isfinite(reward).all():
                index = int(np.argmin(np.isfinite(reward)))
                raise SettingsError(f"environment number {index} of '{s.env}' gave the reward {reward[index]}; advantages need finite "
                                    "rewards, correct or wrap the environment")
            self.rewards[t] = reward
            self._running_return += reward
            self.done[t] = ended = terminated | truncated
            self.cut[t] = truncated & ~terminated
            self.next_x = self.encoder(observations)
            if ended.any():
                if self.cut[t].any():  # cut off by a time limit: the value of where it stood stands for the rest
                    self.next_values[t] = _values(self.act(self.next_x))
                for index in np.flatnonzero(ended):
                    self.recent.append(float(self._running_return[index]))
                    self.curve.append((self.progress.env_steps, float(self._running_return[index])))
                    self._running_return[index] = 0.0
                observations, _ = self.envs.reset(options={"reset_mask": ended})
                fresh = self.encoder(observations, learn=False)
                self.next_x[ended] = fresh[ended]

    def advantages(self) -> tuple[np.ndarray, np.ndarray]:
        """Return generalized advantage estimates and returns (Schulman et al. 2016), both float64 (rollout, environments).

        ``delta_t = r_t + gamma V(s_t+1) - V(s_t)``; ``A_t = delta_t + gamma lambda A_t+1``, cut where an episode ended;
        V of the state after a terminal one is 0, after a cut one the value of the state at which it was cut.
        """
        s = self.settings
        values = _values(self.records)
        following = np.concatenate([values[1:], _values(self.act(self.next_x))[None]])
        following = np.where(self.done, np.where(self.cut, self.next_values, 0.0), following)
        delta = self.rewards * s.reward_scale + s.gamma * following - values
        advantages, running = np.zeros_like(delta), np.zeros(s.environments)
        for t in reversed(range(s.rollout)):
            running = delta[t] + s.gamma * s.gae_lambda * np.where(self.done[t], 0.0, running)
            advantages[t] = running
        return advantages, advantages + values

    def minibatches(self, advantages: np.ndarray, returns: np.ndarray):
        """Put one shuffled minibatch after the other into outside memory and yield after each."""
        s = self.settings
        samples = s.rollout * s.environments
        x, records = self.x.reshape(samples, -1), self.records.reshape(samples, -1)
        last = self.done.copy()
        last[-1] = True
        last, environment = last.ravel(), np.arange(samples) % s.environments
        advantages, returns = advantages.ravel(), quantize(returns.ravel(), VALUE_EXPONENT)
        for _ in range(s.epochs):
            order = self.rng.permutation(samples)
            for start in range(0, samples, s.minibatch):
                chosen = order[start:start + s.minibatch]
                adv = advantages[chosen]
                adv = (adv - adv.mean()) / (adv.std() + 1e-8)
                self.batch_x.data[:, :self.encoder.width] = x[chosen]
                batch = self.batch_records.data
                batch[:, OLD_ACTION] = records[chosen, ACTION]
                batch[:, OLD_LOGP] = records[chosen, LOGP]
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
            self.device.run(self.warmup_program)
            self.progress.macs += self.warmup_program.macs
        self.warmup_saturations = self.device.saturations

    def iteration(self, max_updates: int | None = None) -> Progress:
        """Collect a rollout, update on it, and return the new state; ends early after `max_updates` updates in total."""
        s, p = self.settings, self.progress
        p.learning_rate = s.learning_rate * max(0.0, 1.0 - p.env_steps / s.anneal_steps)
        self.collect()
        advantages, returns = self.advantages()
        self._set_learning_rate(p.learning_rate)
        for _ in self.minibatches(advantages, returns):
            if p.updates == 0:
                self.warm_up()
                self.device.clear_statistics()
            self.device.run(self.update_program)
            p.macs += self.update_program.macs
            p.updates += 1
            if p.updates == max_updates:
                break
        self._note()
        return p

    def _note(self) -> None:
        """Bring the progress up to date with the chip's counters."""
        p, device = self.progress, self.device
        statistics = device.statistics()
        device.clear_statistics()
        count = max(statistics["count"], 1)
        p.clip_fraction = statistics["clipped"] / count
        p.entropy, p.k3 = statistics["sum_entropy"] / count, statistics["sum_k3"] / count
        p.weight_version, p.saturations = device.version, device.saturations - self.warmup_saturations
        p.chip_cycles = device.cycles - self._cycles_before
        p.array_utilization = p.macs / (self.settings.lanes**2 * p.chip_cycles) if p.chip_cycles else None
        p.episodes = len(self.curve)
        p.mean_return_100 = sum(self.recent) / len(self.recent) if self.recent else math.nan
        p.wall_s = time.perf_counter() - self._time
        self.history.append(Progress(**{f.name: getattr(p, f.name) for f in fields(p)}))

    @property
    def solved(self) -> bool:
        """Whether the last 100 episodes reach the target."""
        target = self.settings.target
        return target is not None and len(self.recent) == 100 and self.progress.mean_return_100 >= target

    def train(self, on_iteration: Callable[[Progress], None] | None = None) -> Progress:
        """Iterate until the next rollout would exceed the steps, or the target is reached."""
        s = self.settings
        while self.progress.env_steps + s.environments * s.rollout <= s.steps and not self.solved:
            self.iteration()
            if on_iteration:
                on_iteration(self.progress)
        return self.progress


def _values(records: np.ndarray) -> np.ndarray:
    """Return the value estimates of SAMPLE records (..., lanes) as numbers."""
    return np.ldexp(records[..., VALUE].astype(np.float64), VALUE_EXPONENT)
