# SPDX-License-Identifier: Apache-2.0
"""Importance ratios of two lanes and the coefficient that follows from them (docs/numerics.md, section 8)."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from pymodels.descriptor import RatioAction
from pymodels.functions import exp_q

_SATURATE, _ZERO, _SIGN = int(RatioAction.SATURATE), int(RatioAction.ZERO), int(RatioAction.SIGN)


@dataclass(frozen=True)
class Lane:
    """What one lane does with its log-ratio.

    Attributes
    ----------
    weight : int
        1: the log-ratio enters the coefficient.
    above, below : RatioAction
        Action for a log-ratio above `hi` and below `lo`.
    lo, hi : int
        Bounds, 16 bits signed, LSB 2**-10; a log-ratio on a bound is kept.
    """

    weight: int = 0
    above: int = RatioAction.PASS
    below: int = RatioAction.PASS
    lo: int = 0
    hi: int = 0


@dataclass(frozen=True)
class Clip:
    """Registers RATIO_MODE, RATIO_BOUNDS, RHO_BOUNDS and RATIO_DUAL.

    Attributes
    ----------
    r, rho : Lane
        Old to new policy, sampler to old policy.
    dual_on, dual : int
        1: lane r zeroes samples of negative advantage whose log-ratio is above `dual` (16 bits signed, LSB 2**-10).
    stats_rho : int
        1: statistics sum the log-ratio of lane rho, 0: of lane r.
    """

    r: Lane = Lane()
    rho: Lane = Lane()
    dual_on: int = 0
    dual: int = 0
    stats_rho: int = 0


#: Reset values: every coefficient is 1.
UNCORRECTED = Clip()


class Clipped(NamedTuple):
    """Results for each sample: int64 `coef` and `ratio` at LSB 2**-16, `x` at LSB 2**-10, the others bool."""

    coef: np.ndarray
    ratio: np.ndarray
    x: np.ndarray
    high: np.ndarray
    low: np.ndarray
    rho_high: np.ndarray
    rho_low: np.ndarray
    masked: np.ndarray
    clipped: np.ndarray


class _Judged(NamedTuple):
    high: np.ndarray
    low: np.ndarray
    log_weight: np.ndarray
    masked: np.ndarray
    signed: np.ndarray
    saturated: np.ndarray


def _judge(lane: Lane, x: np.ndarray, adv: np.ndarray) -> _Judged:
    high, low = x > lane.hi, x < lane.lo
    never = np.zeros(x.shape, bool)

    def taken(action: int) -> tuple[np.ndarray, np.ndarray]:
        return high if lane.above == action else never, low if lane.below == action else never

    up, down = taken(_SATURATE)
    log_weight = np.where(up, lane.hi, np.where(down, lane.lo, x)) if lane.weight else np.zeros_like(x)
    saturated = up | down if lane.weight else never
    masked = np.logical_or(*taken(_ZERO))
    up, down = taken(_SIGN)
    return _Judged(high, low, log_weight, masked, up & (adv > 0) | down & (adv < 0), saturated)


def clip(registers: Clip, x_r: np.ndarray, x_rho: np.ndarray, adv: np.ndarray) -> Clipped:
    """Return coefficient, ratio and flags of samples.

    Parameters
    ----------
    registers : Clip
    x_r, x_rho : numpy.ndarray
        Log-ratios of the lanes, int64 within 17 bits signed, LSB 2**-10.
    adv : numpy.ndarray
        Advantages, of which only the sign matters.

    Notes
    -----
    The coefficient is within 3.5e-5 of its own size and 1.5 units of 2**-16 of the float64 formula at the same log-ratios
    and bounds, up to its saturation at 32: found over random samples of every method in tests/test_models_ratio.py.
    """
    r, rho = _judge(registers.r, x_r, adv), _judge(registers.rho, x_rho, adv)
    dual = (adv < 0) & (x_r > registers.dual) if registers.dual_on else np.zeros(x_r.shape, bool)
    masked, by_sign = r.masked | rho.masked, r.signed | rho.signed | dual
    coef = np.where(masked | by_sign, 0, exp_q(r.log_weight + rho.log_weight << 6))
    x = x_rho if registers.stats_rho else x_r
    return Clipped(coef, exp_q(x << 6), x, r.high, r.low, rho.high, rho.low, masked, by_sign | r.saturated | rho.saturated)
