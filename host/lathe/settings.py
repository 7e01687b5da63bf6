# SPDX-License-Identifier: Apache-2.0
"""Every setting of a training run, and what they may be."""

import math
from dataclasses import Field, dataclass, field, fields
from numbers import Integral, Real
from types import NoneType, UnionType
from typing import get_args, get_origin

from .advantages import Advantages
from .corrections import CORRECTIONS, Correction, correction, parameters
from .errors import SettingsError
from .optimizers import OPTIMIZERS, Optimizer

#: How a rollout is learned from.
ALGORITHMS = ("ppo", "vtrace")
#: Who may act.
SAMPLERS = ("learner", "int8", "int8_current")
#: Parameter of a correction -> the setting that holds it.
CORRECTION_SETTINGS = {"clip": "clip", "clip_high": "clip_high", "c": "dual_clip", "cap": "cap", "lo": "ratio_low", "hi": "ratio_high",
                       "threshold": "threshold"}

#: Setting -> the optimizers that take it, if not all do.
OPTIMIZER_SETTINGS = {"momentum": ("sgd",), "nesterov": ("sgd",), "beta1": ("adam", "adamw"), "beta2": ("adam", "adamw"),
                      "adam_eps": ("adam", "adamw"), "weight_decay": ("adamw",)}


#: Type of a setting -> what its value may be an instance of, and how a message says so.
KINDS = {bool: (bool, "True or False"), int: (int, "a whole number"), float: ((int, float), "a number"), str: (str, "a text"),
         tuple: (tuple, "a tuple of whole numbers"), NoneType: (NoneType, "None")}


def _kinds(setting: Field) -> list[type]:
    """Return the types that the value of a setting may have."""
    return [get_origin(kind) or kind for kind in (get_args(setting.type) if isinstance(setting.type, UnionType) else [setting.type])]


def _setting(default, text: str, **extra):
    return field(default=default, metadata={"help": text, **extra})


@dataclass(frozen=True)
class Settings:
    """Every setting of a training run. `lathe train --help` is made from it."""

    env: str = _setting("CartPole-v1", "Gymnasium environment with discrete actions")
    backend: str = _setting("golden", "what executes the programs: golden (numpy model), verilator (the RTL) or serial (a board)")
    port: str | None = _setting(None, "serial: the board's port, /dev/ttyUSB0 for example")
    baud: int | None = _setting(None, "serial: bits a second that the board's bitstream was built for (3000000)")
    seed: int = _setting(1, "seed of environments, initial weights, shuffling and the chip's random bits")
    steps: int = _setting(150_000, "environment steps that training may take; it ends at the last whole rollout within them")
    target: float | None = _setting(None, "end as soon as the mean return of the last 100 episodes reaches this")
    # the chip
    lanes: int = _setting(8, "lanes of the chip: 4, 8 or 16")
    banks: int = _setting(8, "scratchpad banks of 1,024 words")
    memory_bytes: int | None = _setting(None, "size of outside memory (1 MiB, or what the board has)")
    slots: int = _setting(3, "slots of the weight group, 2 to 4; all but two keep older versions for rollback")
    # the network
    hidden: tuple[int, ...] = _setting((32, 32), "widths of the hidden layers, separated by commas")
    activation: str = _setting("tanh", "activation of the hidden layers: tanh or relu")
    weight_exponent: int = _setting(-13, "static exponent of weights and biases: they range over +-2**(15 + this)")
    # training
    algorithm: str = _setting("ppo", "what is made of a rollout: ppo, or vtrace, IMPALA's actor-critic (docs/algorithms.md)")
    environments: int = _setting(16, "environments stepped side by side")
    environment_workers: int = _setting(0, "processes that step the environments, each on its own; 0: in lock step, repeatable")
    inference_batch: int | None = _setting(None, "observations that the sampler serves at a time; all environments, or half of them "
                                                 "with environment_workers, unless set")
    inference_timeout: float = _setting(0.002, "environment_workers: seconds that an observation waits for a full batch")
    rollout: int = _setting(64, "steps of each environment between updates")
    epochs: int = _setting(2, "passes over a rollout; 1 in IMPALA")
    minibatch: int = _setting(128, "samples of one weight update")
    gamma: float = _setting(0.99, "discount of future rewards")
    gae_lambda: float = _setting(0.95, "lambda of generalized advantage estimation, and of V-trace (1 in IMPALA)")
    rho_cap: float | None = _setting(None, "algorithm vtrace: largest ratio that weights a temporal difference, below 2 (1)")
    c_cap: float | None = _setting(None, "algorithm vtrace: largest ratio that weights a trace, below 2 (1)")
    correction: str | None = _setting(None, "correction by importance ratios, the algorithm's own unless set; algorithm vtrace takes no "
                                            "other: " + ", ".join(CORRECTIONS))
    clip: float = _setting(0.2, "ppo, dual_clip, decoupled_ppo, icepop_ppo, bypass_ppo: ratios beyond 1 +- this give no gradient")
    clip_high: float | None = _setting(None, "the same above 1, if it differs")
    dual_clip: float | None = _setting(None, "dual_clip: largest ratio at which a negative advantage counts (3)")
    cap: float | None = _setting(None, "tis, decoupled_ppo, vtrace: largest ratio of the sampler (2, 2, 1; inf: none)")
    ratio_low: float | None = _setting(None, "clamp, icepop, icepop_ppo, token_mask, cispo: smallest ratio (0.5, 0.5, 0.5, 1 / largest, 0)")
    ratio_high: float | None = _setting(None, "the same: largest ratio (2, 2, 2, 1 / smallest, 5)")
    threshold: float | None = _setting(None, "reject_k1, reject_k2, reject_k3: largest k")
    # two policies
    sampler: str = _setting("learner", "who acts: the learner itself, an int8 copy of its network, or the int8 copy that every update "
                                        "makes: " + ", ".join(SAMPLERS))
    sampler_observations: str = _setting("int16", "operands of the int8 sampler's first layer: int16 or int8")
    publication_lag: int = _setting(0, "iterations that published weights wait before the int8 sampler acts with them")
    evaluate_every: int = _setting(0, "iterations between evaluations of the learner itself; 0: none")
    evaluation_episodes: int = _setting(16, "episodes of an evaluation")
    entropy: float = _setting(0.005, "weight of the entropy bonus")
    value_weight: float = _setting(0.5, "weight of the value loss")
    reward_scale: float = _setting(0.05, "factor on rewards before advantages")
    normalize: bool = _setting(False, "normalize observations by their running mean and deviation")
    # the optimizer
    optimizer: str = _setting("sgd", "how weights follow gradients: " + ", ".join(OPTIMIZERS))
    learning_rate: float | None = _setting(None, "learning rate at the start (sgd 0.03; adam, adamw 0.003)")
    anneal_steps: int = _setting(150_000, "environment steps in which the learning rate falls linearly to 0")
    momentum: float = _setting(0.9, "sgd: m <- momentum m + g; w <- w - learning_rate m; 0: none is kept")
    nesterov: bool = _setting(False, "sgd: w <- w - learning_rate (g + momentum m)")
    beta1: float = _setting(0.9, "adam, adamw: decay of the mean gradient")
    beta2: float = _setting(0.999, "adam, adamw: decay of the mean squared gradient")
    adam_eps: float = _setting(1e-8, "adam, adamw: what is added to the root of the mean squared gradient")
    weight_decay: float | None = _setting(None, "adamw: weight decay (0.01)")
    max_grad_norm: float | None = _setting(None, "largest global norm of the gradients, above which they are scaled down (none)")
    stochastic: bool = _setting(True, "round weights and momentum stochastically")
    warmup: int = _setting(8, "runs of the update without commit at the start, by which delayed scaling finds its exponents")

    def __post_init__(self):
        for setting in fields(self):  # numpy's numbers too, which no checkpoint could hold
            value = getattr(self, setting.name)
            if isinstance(value, Real) and not isinstance(value, (bool, int, float)):
                object.__setattr__(self, setting.name, int(value) if isinstance(value, Integral) else float(value))
        if isinstance(self.hidden, (list, tuple)):
            object.__setattr__(self, "hidden", tuple(int(width) if isinstance(width, Integral) else width for width in self.hidden))

    def check(self) -> None:
        """Raise SettingsError, naming setting and limit, if one cannot work."""
        for setting in fields(self):
            value = getattr(self, setting.name)
            kinds = _kinds(setting)
            if not any(isinstance(value, KINDS[kind][0]) and isinstance(value, bool) == (kind is bool) for kind in kinds):
                raise SettingsError(f"{setting.name} is {value!r} and must be {' or '.join(KINDS[kind][1] for kind in kinds)}")
            if isinstance(value, float) and not math.isfinite(value) and setting.name not in CORRECTION_SETTINGS.values():
                raise SettingsError(f"{setting.name} is {value} and must be a finite number")
        positive = ("steps", "environments", "rollout", "epochs", "minibatch", "anneal_steps", "memory_bytes", "baud",
                    "evaluation_episodes")
        for name in positive:
            value = getattr(self, name)
            if value is not None and value < 1:
                raise SettingsError(f"{name} is {value} and must be at least 1")
        for name, low, high in (("gamma", 0, 1), ("gae_lambda", 0, 1), ("clip", 0, 0.999), ("entropy", 0, 3.99),
                                ("value_weight", 0, 3.99), ("momentum", 0, 65535 / 65536), ("seed", 0, 2**32 - 1),
                                ("warmup", 0, 1000), ("weight_exponent", -30, 0), ("initial_rate", 0, 1000)):
            if not low <= getattr(self, name) <= high:
                raise SettingsError(f"{name.replace('initial', 'learning')} is {getattr(self, name)} and must lie between {low} and {high}")
        if any(not isinstance(width, int) or width < 1 for width in self.hidden):
            raise SettingsError(f"hidden is {self.hidden}; every layer needs at least one unit, and whole ones")
        self._check_algorithm()
        self._check_sampler()
        self.made_correction()
        self.made_optimizer()
        samples = self.environments * self.rollout
        if self.steps < samples:
            raise SettingsError(f"steps is {self.steps}, fewer than one rollout of environments x rollout = {samples}")
        if samples % self.minibatch:
            raise SettingsError(f"a rollout has environments x rollout = {samples} samples, which minibatch = {self.minibatch} "
                                "does not divide; choose a divisor")

    @property
    def initial_rate(self) -> float:
        """The learning rate at the start."""
        return (0.03 if self.optimizer == "sgd" else 0.003) if self.learning_rate is None else self.learning_rate

    @property
    def sampler_rows(self) -> int:
        """Observations that the sampler serves at a time."""
        return self.inference_batch or (max(self.environments // 2, 1) if self.environment_workers else self.environments)

    @property
    def correction_name(self) -> str:
        """The correction in force."""
        return self.correction or self.algorithm

    @property
    def backend_options(self) -> dict[str, str | int | None]:
        """How the back end is reached."""
        return {"port": self.port, "baud": self.baud}

    def _check_algorithm(self) -> None:
        if self.algorithm not in ALGORITHMS:
            raise SettingsError(f"algorithm '{self.algorithm}' is none of: {', '.join(ALGORITHMS)}")
        if self.algorithm != "vtrace":
            for name in ("rho_cap", "c_cap"):
                if getattr(self, name) is not None:
                    raise SettingsError(f"{name} is set, but algorithm '{self.algorithm}' does not take it; set algorithm to vtrace")
            return
        if self.correction_name != "vtrace":
            raise SettingsError(f"correction is '{self.correction}', but algorithm 'vtrace' weights the policy gradient by its own; "
                                "leave it out, or set algorithm to ppo")
        self.made_advantages()

    def made_advantages(self) -> Advantages:
        """Return V-trace's estimator of these settings; SettingsError if there is none."""
        given = {name: value for name in ("rho_cap", "c_cap") if (value := getattr(self, name)) is not None}
        return Advantages.vtrace(self.gamma, self.gae_lambda, **given)

    def _check_sampler(self) -> None:
        if self.inference_batch is not None and not 1 <= self.inference_batch <= self.environments:
            raise SettingsError(f"inference_batch is {self.inference_batch} and must lie between 1 and environments = {self.environments}")
        if self.sampler not in SAMPLERS:
            raise SettingsError(f"sampler '{self.sampler}' is none of: {', '.join(SAMPLERS)}")
        for name in ("publication_lag", "evaluate_every", "environment_workers", "inference_timeout"):
            if getattr(self, name) < 0:
                raise SettingsError(f"{name} is {getattr(self, name)} and must be at least 0")
        if self.publication_lag and self.sampler != "int8":
            who = "the learner" if self.sampler == "learner" else f"sampler '{self.sampler}'"
            raise SettingsError(f"publication_lag is {self.publication_lag}, but {who} always acts with its current weights; set sampler "
                                "to int8")

    def made_optimizer(self) -> Optimizer:
        """Return the optimizer of these settings; SettingsError if there is none."""
        if self.optimizer not in OPTIMIZERS:
            raise SettingsError(f"optimizer '{self.optimizer}' is none of: {', '.join(OPTIMIZERS)}")
        for setting in fields(self):
            takers = OPTIMIZER_SETTINGS.get(setting.name, (self.optimizer,))
            value = getattr(self, setting.name)
            if value != setting.default and self.optimizer not in takers:
                raise SettingsError(f"{setting.name} is {value}, but optimizer '{self.optimizer}' does not take it; leave it out or set "
                                    f"optimizer to {' or '.join(takers)}")
        if self.optimizer == "sgd":
            return OPTIMIZERS["sgd"](self.initial_rate, self.momentum, nesterov=self.nesterov, max_grad_norm=self.max_grad_norm)
        decay = {} if self.weight_decay is None else {"weight_decay": self.weight_decay}
        return OPTIMIZERS[self.optimizer](self.initial_rate, (self.beta1, self.beta2), self.adam_eps, max_grad_norm=self.max_grad_norm,
                                          **decay)

    def made_correction(self) -> Correction:
        """Return the correction of these settings; SettingsError if there is none."""
        takes = parameters(self.correction_name)
        given = {}
        for parameter, name in CORRECTION_SETTINGS.items():
            value = getattr(self, name)
            if parameter in takes and value is not None:
                given[parameter] = value
            elif value is not None and name != "clip":  # which always has a value
                names = ", ".join(CORRECTION_SETTINGS[each] for each in takes) or "nothing"
                raise SettingsError(f"{name} is set, but correction '{self.correction_name}' takes: {names}")
        try:
            made = correction(self.correction_name, **given)
        except SettingsError as error:
            renamed = [f"{parameter} is the setting {CORRECTION_SETTINGS[parameter]}" for parameter in takes
                       if CORRECTION_SETTINGS[parameter] != parameter]
            raise SettingsError(f"{error} ({', '.join(renamed)})" if renamed else str(error)) from None
        if made.sequences:
            raise SettingsError(f"correction '{self.correction_name}' works on whole sequences, but minibatches are drawn sample by "
                                "sample; choose a correction of samples, such as tis, icepop or decoupled_ppo")
        return made
