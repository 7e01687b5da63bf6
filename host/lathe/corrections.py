# SPDX-License-Identifier: Apache-2.0
"""Corrections of the policy gradient by importance ratios, under the names that publications use.

The chip multiplies a sample's advantage by a coefficient c made from two ratios, each the numerator's policy over the
denominator's at the action that was taken:

- ``rho = pi_old / pi_mu``: the policy at the start of the update over the one that acted (stale, or of lower precision);
- ``r = pi_new / pi_old``: the policy that is being updated over the one at the start of the update.

A correction is nothing but the content of five registers (docs/numerics.md, section 8), so every one runs at the same speed. Bounds
are inclusive: a ratio on its bound is kept. Corrections of whole sequences, and a veto, take two passes: `Program.measure`,
then `Program.loss` with its result.
"""

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from numbers import Real

from pymodels.descriptor import RatioAction, RatioAggregate, RatioSource

from .errors import SettingsError
from .registers import Registers

LOWEST, HIGHEST = -32768, 32767  #: codes of a bound
_PASS, _SATURATE, _ZERO, _SIGN = RatioAction.PASS, RatioAction.SATURATE, RatioAction.ZERO, RatioAction.SIGN
_SUM, _MEAN = RatioAggregate.SUM, RatioAggregate.MEAN


@dataclass(frozen=True)
class Lane:
    """What a sample's log-ratio of one lane does.

    Attributes
    ----------
    weight : bool
        It enters the coefficient.
    above, below : RatioAction
        What happens above `hi` and below `lo`.
    lo, hi : int
        Bounds of the log-ratio, LSB 2**-10; the widest unless given.
    source : RatioSource
        Of which two policies the ratio is.
    aggregate : RatioAggregate
        `TOKEN`, or how the samples' log-ratios of a sequence make one: `SUM` (the product of the ratios), `MEAN` (their
        geometric mean), `MAXIMUM`.
    """

    weight: bool = False
    above: RatioAction = _PASS
    below: RatioAction = _PASS
    lo: int = LOWEST
    hi: int = HIGHEST
    source: RatioSource = RatioSource.OWN
    aggregate: RatioAggregate = RatioAggregate.TOKEN


def _code(log_ratio: float) -> int:
    """Return the nearest code of a bound."""
    return min(max(round(log_ratio * 1024), LOWEST), HIGHEST) if math.isfinite(log_ratio) else HIGHEST if log_ratio > 0 else LOWEST


def _bound(name: str, ratio: float) -> int:
    """Return the code of a bound that is given as a ratio."""
    if not (isinstance(ratio, Real) and ratio >= 0):
        raise SettingsError(f"{name} is {ratio!r} and must be a ratio of at least 0")
    return _code(math.log(ratio)) if ratio else LOWEST


def _cap(ratio: float) -> int:
    """Return the code of the largest ratio that counts."""
    if not (isinstance(ratio, Real) and ratio > 0):
        raise SettingsError(f"cap is {ratio!r} and must be a ratio above 0, or infinite for none; with 0 nothing would be learned")
    return _code(math.log(ratio))


def _band(lo: float, hi: float) -> dict[str, int]:
    bounds = {"lo": _bound("lo", lo), "hi": _bound("hi", hi)}
    if not lo <= hi:
        raise SettingsError(f"lo is {lo} and hi is {hi}; lo must not be above hi")
    return bounds


def _inside(lo: float, hi: float) -> dict[str, int]:
    """Return the outermost codes within two log-ratios."""
    return {"lo": max(math.ceil(lo * 1024), LOWEST), "hi": min(math.floor(hi * 1024), HIGHEST)}


def _mask(weight: bool, lo: float, hi: float, **kinds) -> Lane:
    """Return a lane that zeroes what is outside the band; a bound of 0 or infinity is none."""
    return Lane(weight, _ZERO if math.isfinite(hi) else _PASS, _ZERO if lo > 0 else _PASS, **_band(lo, hi), **kinds)


def _positive(name: str, value: float) -> float:
    if not (isinstance(value, Real) and value > 0 and math.isfinite(value)):
        raise SettingsError(f"{name} is {value!r} and must be a finite number above 0")
    return value


def _clip_lane(clip: float, clip_high: float | None) -> Lane:
    clip_high = clip if clip_high is None else clip_high
    for name, value, limit in (("clip", clip, 1), ("clip_high", clip_high, math.inf)):
        if not (isinstance(value, Real) and 0 <= value < limit):
            raise SettingsError(f"{name} is {value!r} and must be at least 0" + (" and less than 1" if limit == 1 else " and finite"))
    return Lane(True, _SIGN, _SIGN, _code(math.log(1 - clip)), _code(math.log(1 + clip_high)))


def _k3_root(threshold: float, above: bool) -> float:
    """Return the x on one side of 0 at which ``exp(x) - 1 - x`` reaches `threshold`, by bisection."""
    inner, outer = 0.0, 64.0 if above else -threshold - 2.0
    for _ in range(200):
        middle = (inner + outer) / 2
        inner, outer = (middle, outer) if math.expm1(middle) - middle <= threshold else (inner, middle)
    return inner


@dataclass(frozen=True)
class Correction:
    """The registers of a correction, made by the constructor of its name.

    Attributes
    ----------
    r, rho : Lane
        What the two ratios do.
    dual : int, optional
        Samples of negative advantage whose log-ratio of lane r is above this (LSB 2**-10) get coefficient 0.
    stats_lane : str
        Lane whose log-ratio the statistics sum: ``r`` or ``rho``.
    veto_lo, veto_hi : int, optional
        Samples' log-ratios of lane rho (LSB 2**-10) outside of which their sequence gets coefficient 0; see `with_veto`.

    Notes
    -----
    `A` is the advantage, `1[..]` is 1 where the condition holds and 0 elsewhere.
    """

    r: Lane = Lane()
    rho: Lane = Lane()
    dual: int | None = None
    stats_lane: str = "r"
    veto_lo: int | None = None
    veto_hi: int | None = None

    def __post_init__(self):
        if self.stats_lane not in ("r", "rho"):
            raise SettingsError(f"stats_lane is {self.stats_lane!r} and must be 'r' or 'rho'")

    @property
    def sequences(self) -> bool:
        """Whether it needs the pass `Program.measure`."""
        aggregates = any(lane.aggregate != RatioAggregate.TOKEN for lane in (self.r, self.rho))
        return aggregates or self.veto_lo is not None or self.veto_hi is not None

    def with_veto(self, lo: float | None = 1e-4, hi: float | None = None) -> "Correction":
        """Return this correction with a veto: ``c = 0`` for all samples of a sequence one of whose ratios is outside the band.

        Parameters
        ----------
        lo, hi : float, optional
            Bounds of the samples' ratios of lane rho; 1e-4 (slime) and none.
        """
        _band(lo or 0, math.inf if hi is None else hi)
        return replace(self, veto_lo=None if lo is None else _bound("lo", lo), veto_hi=None if hi is None else _bound("hi", hi))

    def registers(self) -> dict[str, dict[str, int]]:
        """Return register name -> field -> content."""
        mode = {f"{name}_{field}": int(getattr(lane, field)) for name, lane in (("r", self.r), ("rho", self.rho))
                for field in ("weight", "above", "below", "source", "aggregate")}
        veto = {"veto_below": int(self.veto_lo is not None), "veto_above": int(self.veto_hi is not None)}
        return {
            "RATIO_MODE": mode | veto | {"r_dual": int(self.dual is not None), "stats_lane": int(self.stats_lane == "rho")},
            "RATIO_BOUNDS": {"lo": self.r.lo, "hi": self.r.hi},
            "RHO_BOUNDS": {"lo": self.rho.lo, "hi": self.rho.hi},
            "RATIO_DUAL": {"value": self.dual or 0},
            "VETO_BOUNDS": {"lo": self.veto_lo or 0, "hi": self.veto_hi or 0},
        }

    def write(self, registers: Registers) -> None:
        """Put the correction in force; one of whole sequences for losses with `sequences` alone, since others would not heed it."""
        for name, fields in self.registers().items():
            registers.write(name, **fields)

    # without clipping by the advantage: the sampler's ratio

    @classmethod
    def none(cls) -> "Correction":
        """No correction: ``c = 1`` (REINFORCE)."""
        return cls()

    @classmethod
    def importance_sampling(cls) -> "Correction":
        """Importance sampling without a limit: ``c = rho`` (vanilla importance sampling)."""
        return cls(rho=Lane(True), stats_lane="rho")

    @classmethod
    def tis(cls, cap: float = 2.0) -> "Correction":
        """Truncated importance sampling: ``c = min(rho, cap)`` (verl, slime, SkyRL, OlmoRL).

        Parameters
        ----------
        cap : float
            Largest ratio; 2 as in all four.
        """
        return cls(rho=Lane(True, _SATURATE, hi=_cap(cap)), stats_lane="rho")

    @classmethod
    def clamp(cls, lo: float = 0.5, hi: float = 2.0) -> "Correction":
        """Importance sampling clamped on both sides: ``c = min(max(rho, lo), hi)`` (slime).

        Parameters
        ----------
        lo, hi : float
            Bounds of the ratio; 0.5 and 2.
        """
        return cls(rho=Lane(True, _SATURATE, _SATURATE, **_band(lo, hi)), stats_lane="rho")

    @classmethod
    def icepop(cls, lo: float = 0.5, hi: float = 2.0) -> "Correction":
        """Masked importance sampling: ``c = rho * 1[lo <= rho <= hi]`` (IcePop, slime, SkyRL, OpenRLHF).

        Parameters
        ----------
        lo, hi : float
            Bounds of the ratio; 0.5 and 2.
        """
        return cls(rho=_mask(True, lo, hi), stats_lane="rho")

    @classmethod
    def token_mask(cls, lo: float | None = None, hi: float | None = None) -> "Correction":
        """Rejection by the ratio: ``c = 1[lo <= rho <= hi]`` (verl).

        Parameters
        ----------
        lo, hi : float
            Bounds of the ratio; one that is left out is the other's reciprocal.
        """
        if lo is None and hi is None:
            raise SettingsError("token_mask needs lo or hi")
        if lo is None:
            if _positive("hi", hi) < 1:
                raise SettingsError(f"hi is {hi} and must be at least 1 where lo, its reciprocal, is not given")
            lo = 1 / hi
        elif hi is None:
            if _positive("lo", lo) > 1:
                raise SettingsError(f"lo is {lo} and must be at most 1 where hi, its reciprocal, is not given")
            hi = 1 / lo
        return cls(rho=_mask(False, lo, hi), stats_lane="rho")

    @classmethod
    def _reject(cls, lo: float, hi: float) -> "Correction":
        return cls(rho=Lane(False, _ZERO, _ZERO, **_inside(lo, hi)), stats_lane="rho")

    @classmethod
    def reject_k1(cls, threshold: float) -> "Correction":
        """Rejection by the log-ratio: ``c = 1[abs(log rho) <= threshold]`` (verl's token_k1, with symmetric bounds).

        Parameters
        ----------
        threshold : float
            Largest magnitude of the log-ratio.
        """
        return cls._reject(-_positive("threshold", threshold), threshold)

    @classmethod
    def reject_k2(cls, threshold: float) -> "Correction":
        """Rejection by k2: ``c = 1[(log rho)**2 / 2 <= threshold]`` (verl, usually 1.5 to 3).

        Parameters
        ----------
        threshold : float
            Largest k2.
        """
        root = math.sqrt(2 * _positive("threshold", threshold))
        return cls._reject(-root, root)

    @classmethod
    def reject_k3(cls, threshold: float) -> "Correction":
        """Rejection by k3: ``c = 1[rho - 1 - log rho <= threshold]`` (verl).

        Parameters
        ----------
        threshold : float
            Largest k3.
        """
        _positive("threshold", threshold)
        return cls._reject(_k3_root(threshold, above=False), _k3_root(threshold, above=True))

    @classmethod
    def vtrace(cls, cap: float = 1.0) -> "Correction":
        """V-trace's policy gradient: ``c = min(rho, cap)`` with advantages ``R + gamma v' - V`` (IMPALA, SEED).

        Parameters
        ----------
        cap : float
            Largest ratio; 1. Whoever computes the advantages caps the ratios of v and of the traces.
        """
        return cls(rho=Lane(True, _SATURATE, hi=_cap(cap)), stats_lane="rho")

    # the sampler's ratio of whole sequences

    @classmethod
    def sequence_tis(cls, cap: float = 2.0) -> "Correction":
        """Truncated importance sampling of sequences: ``c = min(prod rho, cap)`` for all samples of one (verl; SkyRL with 5).

        Parameters
        ----------
        cap : float
            Largest product of a sequence's ratios; 2.
        """
        return cls(rho=Lane(True, _SATURATE, hi=_cap(cap), aggregate=_SUM), stats_lane="rho")

    @classmethod
    def sequence_mask(cls, lo: float = 0.0, hi: float = 3.0) -> "Correction":
        """Masked importance sampling of sequences: ``c = prod rho * 1[lo <= prod rho <= hi]`` (TRL).

        Parameters
        ----------
        lo, hi : float
            Bounds of the product of a sequence's ratios; 0 (none) and 3.
        """
        return cls(rho=_mask(True, lo, hi, aggregate=_SUM), stats_lane="rho")

    @classmethod
    def geometric_mask(cls, lo: float = 0.99, hi: float = 1.01) -> "Correction":
        """Rejection by the geometric mean of a sequence's ratios: ``c = 1[lo <= (prod rho)**(1/T) <= hi]`` (SkyRL; verl, slime closer).

        Parameters
        ----------
        lo, hi : float
            Bounds of the geometric mean; 0.99 and 1.01. A log-ratio has steps of 2**-10: nearer to 1 than half a step is 1.
        """
        return cls(rho=_mask(False, lo, hi, aggregate=_MEAN), stats_lane="rho")

    @classmethod
    def geometric_tis(cls, lo: float = 0.5, hi: float = 5.0, cap: float = 2.0) -> "Correction":
        """Both: ``c = min(rho, cap) * 1[lo <= (prod rho)**(1/T) <= hi]``, the first of the sample (OpenRLHF's seq-mask-tis, verl's cap).

        Lane r serves the geometric mean, so there is no clipping by the policy that is being updated.

        Parameters
        ----------
        lo, hi : float
            Bounds of the geometric mean; 0.5 and 5.
        cap : float
            Largest ratio of a sample; 2.
        """
        mean = _mask(False, lo, hi, aggregate=_MEAN, source=RatioSource.OLD_MU)
        return cls(r=mean, rho=Lane(True, _SATURATE, hi=_cap(cap)), stats_lane="rho")

    @classmethod
    def opsm(cls, threshold: float) -> "Correction":
        """OPSM (DeepSeek-V3.2, TRL): ``c = 0`` where ``A < 0`` and ``mean(log(pi_mu / pi_new)) > threshold``, else 1.

        Parameters
        ----------
        threshold : float
            Largest mean of a sequence.
        """
        below = math.ceil(-_positive("threshold", threshold) * 1024)
        return cls(rho=Lane(below=_SIGN, lo=max(below, LOWEST), aggregate=_MEAN, source=RatioSource.NEW_MU), stats_lane="rho")

    # the ratio of the policy that is being updated

    @classmethod
    def ppo(cls, clip: float = 0.2, clip_high: float | None = None) -> "Correction":
        """PPO's clipped surrogate: ``c = r``, but 0 where ``A > 0, r > 1 + clip_high`` or ``A < 0, r < 1 - clip`` (Schulman et al. 2017).

        Parameters
        ----------
        clip, clip_high : float
            0.2 and as `clip`; 0.28 above in DAPO.
        """
        return cls(r=_clip_lane(clip, clip_high))

    @classmethod
    def dual_clip(cls, c: float = 3.0, clip: float = 0.2, clip_high: float | None = None) -> "Correction":
        """Dual-clip PPO: as `ppo`, and 0 where ``A < 0, r > c`` (verl, SkyRL).

        Parameters
        ----------
        c : float
            Largest ratio at which a negative advantage counts, at least 1; 3.
        clip, clip_high : float
            As for `ppo`.
        """
        if not (isinstance(c, Real) and c >= 1):
            raise SettingsError(f"c is {c!r} and must be a ratio of at least 1; below it samples of negative advantage would not count at "
                                "all where the policy has not moved")
        return cls(r=_clip_lane(clip, clip_high), dual=_bound("c", c))

    @classmethod
    def decoupled_ppo(cls, cap: float = 2.0, clip: float = 0.2, clip_high: float | None = None) -> "Correction":
        """PPO with the sampler apart from the old policy: ``min(rho, cap)`` times `ppo` on r (verl).

        Parameters
        ----------
        cap : float
            Largest ratio of the sampler; 2. Infinite for the objective as first published (Hilton et al. 2021,
            arXiv:2110.00641), which has rho as it is.
        clip, clip_high : float
            As for `ppo`.
        """
        return cls(r=_clip_lane(clip, clip_high), rho=Lane(True, _SATURATE, hi=_cap(cap)))

    @classmethod
    def icepop_ppo(cls, lo: float = 0.5, hi: float = 2.0, clip: float = 0.2, clip_high: float | None = None) -> "Correction":
        """PPO with the sampler apart from the old policy and masked: `icepop` on rho times `ppo` on r (IcePop, slime).

        Parameters
        ----------
        lo, hi : float
            Bounds of the sampler's ratio; 0.5 and 2.
        clip, clip_high : float
            As for `ppo`.
        """
        return cls(r=_clip_lane(clip, clip_high), rho=_mask(True, lo, hi))

    @classmethod
    def cispo(cls, lo: float = 0.0, hi: float = 5.0) -> "Correction":
        """Clamped ratio whose gradient is always kept: ``c = min(max(r, lo), hi)`` (SkyRL, ScaleRL).

        Parameters
        ----------
        lo, hi : float
            Bounds of the ratio; 0 (none) and 5.
        """
        return cls(r=Lane(True, _SATURATE, _SATURATE, **_band(lo, hi)))

    @classmethod
    def bypass_ppo(cls, clip: float = 0.2, clip_high: float | None = None) -> "Correction":
        """PPO of two policies: `ppo` with ``pi_new / pi_mu`` in place of r, and no other weight (verl's bypass mode).

        Parameters
        ----------
        clip, clip_high : float
            As for `ppo`.
        """
        return cls(r=replace(_clip_lane(clip, clip_high), source=RatioSource.NEW_MU))

    @classmethod
    def gspo(cls, clip: float = 3e-4, clip_high: float | None = 4e-4) -> "Correction":
        """Group sequence policy optimization: `ppo` with ``(prod r)**(1/T)`` in place of r (Zheng et al. 2025).

        Parameters
        ----------
        clip, clip_high : float
            3e-4 and 4e-4 (TRL). A log-ratio has steps of 2**-10: limits below half of one are 0, and a mean is rounded to them.
        """
        return cls(r=replace(_clip_lane(clip, clip_high), aggregate=_MEAN))


#: Name -> constructor.
CORRECTIONS: dict[str, Callable[..., Correction]] = {
    name: getattr(Correction, name) for name in (
        "none", "importance_sampling", "tis", "clamp", "icepop", "token_mask", "reject_k1", "reject_k2", "reject_k3", "vtrace",
        "sequence_tis", "sequence_mask", "geometric_mask", "geometric_tis", "opsm", "ppo", "dual_clip", "decoupled_ppo", "icepop_ppo",
        "cispo", "bypass_ppo", "gspo")}


def parameters(name: str) -> dict[str, inspect.Parameter]:
    """Return what the constructor of a correction takes; SettingsError if there is none of that name."""
    if name not in CORRECTIONS:
        raise SettingsError(f"correction '{name}' is none of: {', '.join(CORRECTIONS)}")
    return dict(inspect.signature(CORRECTIONS[name]).parameters)


def correction(name: str, **given: float) -> Correction:
    """Return the correction of that name with these parameters.

    Raises
    ------
    SettingsError
        There is none of that name, it does not take a parameter or lacks one, or a value cannot be.
    """
    takes = parameters(name)
    for parameter in given:
        if parameter not in takes:
            raise SettingsError(f"correction '{name}' takes no {parameter}; it takes: {', '.join(takes) or 'nothing'}")
    for parameter, description in takes.items():
        if parameter not in given and description.default is inspect.Parameter.empty:
            raise SettingsError(f"correction '{name}' needs {parameter}")
    return CORRECTIONS[name](**given)
