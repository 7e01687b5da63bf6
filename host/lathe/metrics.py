# SPDX-License-Identifier: Apache-2.0
"""What is watched during training: the state of a run, figures of importance ratios, and levels at which to worry."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class RatioMetrics:
    """Figures of the ratio ``exp(x)`` of one lane over a number of samples, from the policy unit's statistics.

    Attributes
    ----------
    mean, deviation : float
        Of the ratio.
    effective_sample_size : float
        ``(sum w)**2 / (n sum w**2)`` with the ratio as weight w, uncapped; 1 if all ratios are equal (Kong 1992).
    k1, k3 : float
        Estimates of the KL divergence of the denominator's policy from the numerator's, in nats: ``mean(-x)`` and
        ``mean(exp(x) - 1 - x)`` (Schulman, "Approximating KL Divergence", 2020).
    chi_square : float
        ``mean(exp(x)**2) - 1``.
    clipped, masked : float
        Share of the samples that a clip zeroed or saturated, and that a mask zeroed.
    """

    mean: float
    deviation: float
    effective_sample_size: float
    k1: float
    k3: float
    chi_square: float
    clipped: float
    masked: float

    @classmethod
    def of(cls, statistics: dict[str, float]) -> "RatioMetrics":
        """Make them from `Device.statistics`; without samples all ratios count as 1."""
        count = statistics["count"]
        if not count:
            return cls(1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0)
        mean, square = statistics["sum_ratio"] / count, statistics["sum_ratio2"] / count
        return cls(mean, math.sqrt(max(square - mean**2, 0.0)), min(mean**2 / square, 1.0) if square else 0.0,
                   0.0 - statistics["sum_x"] / count, statistics["sum_k3"] / count, square - 1.0,
                   statistics["clipped"] / count, statistics["masked"] / count)


#: Alert levels of verl's rollout correction: name of the figure -> (lowest, highest) value without alert.
ALERT_LEVELS = {"mean": (0.5, 2.0), "deviation": (0.0, 1.0), "effective_sample_size": (0.3, 1.0), "k1": (-0.1, 0.1),
                "k3": (-0.1, 0.1), "chi_square": (-1.0, 1.0)}
_NAMES = {"mean": "mean ratio", "deviation": "standard deviation of the ratio", "effective_sample_size": "effective sample size",
          "k1": "KL divergence k1", "k3": "KL divergence k3", "chi_square": "chi-square divergence"}


def alerts(metrics: RatioMetrics) -> dict[str, str]:
    """Return figure -> sentence for every published alert level that is crossed."""
    crossed = {}
    for name, (low, high) in ALERT_LEVELS.items():
        value = getattr(metrics, name)
        if not low <= value <= high:
            side, level = ("below", low) if value < low else ("above", high)
            crossed[name] = f"{_NAMES[name]} {value:.3g} is {side} {level:g}"
    return crossed


@dataclass
class Progress:
    """State of a run after an iteration (a rollout and its updates); what the progress bar and the curve show.

    Attributes
    ----------
    ratio : RatioMetrics
        Over the iteration's updates, of the lane that the correction names.
    mismatch : RatioMetrics or None
        Learner over sampler at the start of the iteration's updates, if the sampler is not the learner.
    sampler_version : int
        Weight version that the sampler acted with, low 16 bits.
    batch_fill : float
        Share of the sampler's batches that was filled so far; less than 1 only with environments in processes.
    true_return : float or None
        Mean return of the learner's own evaluation, if one followed this iteration.
    """

    env_steps: int = 0
    updates: int = 0
    mean_return_100: float = math.nan
    episodes: int = 0
    learning_rate: float = 0.0
    clip_fraction: float = 0.0
    entropy: float = 0.0
    k3: float = 0.0
    ratio: RatioMetrics | None = None
    mismatch: RatioMetrics | None = None
    weight_version: int = 0
    sampler_version: int = 0
    batch_fill: float = 1.0
    true_return: float | None = None
    chip_cycles: int = 0
    macs: int = 0
    array_utilization: float | None = None
    saturations: int = 0
    wall_s: float = 0.0
