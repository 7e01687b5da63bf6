# SPDX-License-Identifier: Apache-2.0
"""Gymnasium vector environments, checked for what the chip can learn, and observations as int16 mantissas."""

import difflib

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv

from .errors import SettingsError
from .program import MAX_OUTPUTS
from .tensor import fitting_exponent, quantize

#: Observations without finite bounds are held in -8 to 8.
UNBOUNDED_RANGE = 8.0
#: Normalized observations are held in -8 to 8 as well.
NORMALIZED_RANGE = 8.0


def make_environments(name: str, count: int) -> VectorEnv:
    """Return `count` environments called `name` that are reset by hand, so that no final observation is lost.

    Raises
    ------
    SettingsError
        It does not exist, cannot be made, or its actions or observations are not what the chip can learn.
    """
    _check_name(name)
    try:
        envs = gymnasium.make_vec(name, count, vectorization_mode="sync",
                                  vector_kwargs={"autoreset_mode": AutoresetMode.DISABLED})
    except (gymnasium.error.Error, ImportError) as error:
        raise SettingsError(f"environment '{name}' cannot be made: {' '.join(str(error).split())}") from None
    try:
        _check_spaces(name, envs)
    except SettingsError:
        envs.close()
        raise
    return envs


def known_environments() -> list[str]:
    """Return the environments with discrete actions that come with Gymnasium and need nothing else."""
    kinds = ("gymnasium.envs.classic_control", "gymnasium.envs.toy_text")
    refused = ("Blackjack", "CartPole-v0", "MountainCarContinuous", "Pendulum")
    return sorted(name for name, spec in gymnasium.registry.items()
                  if str(spec.entry_point).startswith(kinds) and not name.startswith(refused))


def _check_name(name: str) -> None:
    if name in gymnasium.registry or ":" in name:
        return
    close = difflib.get_close_matches(name, gymnasium.registry, n=1)
    hint = f"did you mean '{close[0]}'? Choose" if close else "choose"
    raise SettingsError(f"unknown environment '{name}'; {hint} for example one of: {', '.join(known_environments())}")


def _check_spaces(name: str, envs: VectorEnv) -> None:
    action, observation = envs.single_action_space, envs.single_observation_space
    if not isinstance(action, spaces.Discrete):
        raise SettingsError(f"environment '{name}' has the action space {action}; the policy unit draws one of up to "
                            f"{MAX_OUTPUTS - 1} discrete actions, so continuous or composite actions cannot be learned")
    if action.n > MAX_OUTPUTS - 1:
        raise SettingsError(f"environment '{name}' has {action.n} actions; the policy unit takes at most {MAX_OUTPUTS - 1} "
                            f"(rows of {MAX_OUTPUTS}: the logits and one value)")
    if not isinstance(observation, spaces.Box | spaces.Discrete):
        raise SettingsError(f"environment '{name}' has the observation space {observation}; only Box and Discrete observations "
                            "can be fed to the network; wrap it, for example with FlattenObservation")


class ObservationEncoder:
    """Turns a batch of observations into the mantissas of one static exponent.

    A Discrete observation becomes a one-hot row. Values outside the exponent's range saturate.

    Parameters
    ----------
    space : Box or Discrete
        Space of a single observation.
    normalize : bool
        Subtract the running mean and divide by the running standard deviation.

    Attributes
    ----------
    width : int
        Elements of an encoded observation.
    exponent : int
        From the finite bounds of the space, or the ranges above.
    """

    def __init__(self, space: spaces.Space, normalize: bool = False):
        self._one_hot = isinstance(space, spaces.Discrete)
        self._start = int(space.start) if self._one_hot else 0
        self.width = int(space.n if self._one_hot else np.prod(space.shape, dtype=int))
        self.normalize = normalize and not self._one_hot
        if self._one_hot:
            self.exponent = fitting_exponent(1.0)
        elif self.normalize:
            self.exponent = fitting_exponent(NORMALIZED_RANGE) - 1
        else:
            bounds = np.abs(np.concatenate([np.ravel(space.low), np.ravel(space.high)]).astype(np.float64))
            finite = bounds[bounds < 1e6]
            largest = max(float(finite.max(initial=0.0)), 1.0)
            if finite.size < bounds.size:
                largest = max(largest, UNBOUNDED_RANGE * 0.999)
            self.exponent = fitting_exponent(largest)
        self._count, self._mean, self._m2 = 0, np.zeros(self.width), np.zeros(self.width)

    def __call__(self, observations: np.ndarray, learn: bool = True) -> np.ndarray:
        """Return int16 (batch, width); `learn`: let these observations into the running statistics."""
        if self._one_hot:
            rows = np.zeros((len(observations), self.width))
            rows[np.arange(len(observations)), np.asarray(observations) - self._start] = 1.0
            return quantize(rows, self.exponent)
        values = np.asarray(observations, np.float64).reshape(len(observations), self.width)
        if not np.isfinite(values).all():
            row, element = np.argwhere(~np.isfinite(values))[0].tolist()
            raise SettingsError(f"environment number {row} gave an observation whose element {element} is {values[row, element]}; "
                                "the network takes finite numbers only, correct or wrap the environment")
        if self.normalize:
            if learn:
                self._learn(values)
            deviation = np.sqrt(self._m2 / max(self._count, 1)) + 1e-4
            values = (values - self._mean) / deviation
        return quantize(values, self.exponent)

    def state(self) -> dict:
        """Return the running statistics, for `restore`."""
        return {"count": self._count, "mean": self._mean, "m2": self._m2}

    def restore(self, state: dict) -> None:
        self._count, self._mean, self._m2 = int(state["count"]), state["mean"].copy(), state["m2"].copy()

    def _learn(self, values: np.ndarray) -> None:
        """Add a batch to the running mean and sum of squared deviations (Chan's parallel formula)."""
        count = len(values)
        mean, m2 = values.mean(axis=0), values.var(axis=0) * count
        total = self._count + count
        delta = mean - self._mean
        self._m2 += m2 + delta**2 * self._count * count / total
        self._mean += delta * count / total
        self._count = total
