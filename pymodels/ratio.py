# SPDX-License-Identifier: Apache-2.0
"""Importance ratios of two lanes and the coefficient that follows from them (docs/numerics.md, section 8)."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from pymodels.descriptor import RatioAction, RatioAggregate, RatioSource
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
    source : RatioSource
        Of which two policies the log-ratio is.
    aggregate : RatioAggregate
        How a sequence's log-ratio follows from its samples'; `TOKEN`: every sample keeps its own.
    """

    weight: int = 0
    above: int = RatioAction.PASS
    below: int = RatioAction.PASS
    lo: int = 0
    hi: int = 0
    source: int = RatioSource.OWN
    aggregate: int = RatioAggregate.TOKEN


@dataclass(frozen=True)
class Clip:
    """Registers RATIO_MODE, RATIO_BOUNDS, RHO_BOUNDS, RATIO_DUAL and VETO_BOUNDS.

    Attributes
    ----------
    r, rho : Lane
        Old to new policy, sampler to old policy.
    dual_on, dual : int
        1: lane r zeroes samples of negative advantage whose log-ratio is above `dual` (16 bits signed, LSB 2**-10).
    stats_rho : int
        1: statistics sum the log-ratio of lane rho, 0: of lane r.
    veto_below, veto_above, veto_lo, veto_hi : int
        1: a sample's log-ratio of lane rho below `veto_lo` / above `veto_hi` (16 bits signed, LSB 2**-10) vetoes its sequence.
    """

    r: Lane = Lane()
    rho: Lane = Lane()
    dual_on: int = 0
    dual: int = 0
    stats_rho: int = 0
    veto_below: int = 0
    veto_above: int = 0
    veto_lo: int = 0
    veto_hi: int = 0


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
    seq_masked: np.ndarray
    vetoed: np.ndarray


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


def log_ratios(registers: Clip, new: np.ndarray, old: np.ndarray, mu: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the samples' log-ratios of lanes r and rho from three log-probabilities (int64, LSB 2**-10)."""
    def of(source: int) -> np.ndarray:
        return {RatioSource.NEW_OLD: new - old, RatioSource.OLD_MU: old - mu, RatioSource.NEW_MU: new - mu}[source]

    return of(registers.r.source or RatioSource.NEW_OLD), of(registers.rho.source or RatioSource.OLD_MU)


def sequence_numbers(last: np.ndarray) -> np.ndarray:
    """Return the number of each sample's sequence; `last` tells which samples end one."""
    return np.cumsum(last) - last


def _aggregate(kind: int, x: np.ndarray, first: np.ndarray, count: np.ndarray) -> np.ndarray:
    if kind == RatioAggregate.MAXIMUM:
        value = np.maximum.reduceat(x, first)
    else:
        value = np.add.reduceat(x, first)
    if kind == RatioAggregate.MEAN:
        value, rest = np.divmod(value, count)
        value += (2 * rest > count) | (2 * rest == count) & (value & 1 == 1)
    return np.clip(value, -32768, 32767)


def measure(registers: Clip, x_r: np.ndarray, x_rho: np.ndarray, last: np.ndarray) -> np.ndarray:
    """Return a word for each sequence: int64, shape (sequences, 4).

    Parameters
    ----------
    registers : Clip
    x_r, x_rho : numpy.ndarray
        The samples' log-ratios, int64 within 17 bits signed, LSB 2**-10.
    last : numpy.ndarray
        bool, whether a sample ends its sequence; the last one does so in any case.

    Notes
    -----
    Sums and maxima are exact, a mean is within half a unit, up to their saturation at 16 bits. With a mean the coefficient is
    within ``0.5 / 1024 + 4e-5`` of its own size and 2 units of 2**-16 of the float64 formula at the samples' log-ratios, further
    than a unit from a bound: found over random sequences of every method in tests/test_models_ratio.py.
    """
    first = np.flatnonzero(np.concatenate([[True], last[:-1]]))
    count = np.diff(first, append=len(last))
    vetoes = bool(registers.veto_below) & (x_rho < registers.veto_lo) | bool(registers.veto_above) & (x_rho > registers.veto_hi)
    return np.stack([_aggregate(registers.r.aggregate, x_r, first, count), _aggregate(registers.rho.aggregate, x_rho, first, count),
                     np.maximum.reduceat(vetoes, first), count], axis=1)


def clip(registers: Clip, x_r: np.ndarray, x_rho: np.ndarray, adv: np.ndarray, words: np.ndarray | None = None) -> Clipped:
    """Return coefficient, ratio and flags of samples.

    Parameters
    ----------
    registers : Clip
    x_r, x_rho : numpy.ndarray
        The samples' log-ratios of the lanes, int64 within 17 bits signed, LSB 2**-10.
    adv : numpy.ndarray
        Advantages, of which only the sign matters.
    words : numpy.ndarray, optional
        For each sample the word of its sequence, see `measure`; without it no lane aggregates.

    Notes
    -----
    The coefficient is within 3.5e-5 of its own size and 1.5 units of 2**-16 of the float64 formula at the same log-ratios
    and bounds, up to its saturation at 32: found over random samples of every method in tests/test_models_ratio.py.
    """
    never = np.zeros(x_r.shape, bool)
    aggregates, vetoed = (False, False), never
    if words is not None:
        aggregates = registers.r.aggregate != RatioAggregate.TOKEN, registers.rho.aggregate != RatioAggregate.TOKEN
        vetoed = words[:, 2] & 1 == 1
        x_r, x_rho = (words[:, i] if aggregates[i] else x for i, x in enumerate((x_r, x_rho)))
    r, rho = _judge(registers.r, x_r, adv), _judge(registers.rho, x_rho, adv)
    dual = (adv < 0) & (x_r > registers.dual) if registers.dual_on else never
    masked, by_sign = r.masked | rho.masked, r.signed | rho.signed | dual
    seq_masked = aggregates[0] & r.masked | aggregates[1] & rho.masked
    coef = np.where(masked | by_sign | vetoed, 0, exp_q(r.log_weight + rho.log_weight << 6))
    x = x_rho if registers.stats_rho else x_r
    clipped = by_sign | r.saturated | rho.saturated
    return Clipped(coef, exp_q(x << 6), x, r.high, r.low, rho.high, rho.low, masked, clipped, seq_masked, vetoed)
