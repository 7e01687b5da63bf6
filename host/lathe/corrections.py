# SPDX-License-Identifier: Apache-2.0
"""Corrections of the policy gradient by importance ratios, under the names that publications use.

The chip multiplies a sample's advantage by a coefficient c made from two ratios, each the numerator's policy over the
denominator's at the action that was taken:

- ``rho = pi_old / pi_mu``: the policy at the start of the update over the one that acted (stale, or of lower precision);
- ``r = pi_new / pi_old``: the policy that is being updated over the one at the start of the update.

A correction is nothing but the content of four registers (docs/numerics.md, section 8), so every one runs at the same speed.
Bounds are inclusive: a ratio on its bound is kept.
"""

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass

from pymodels.descriptor import RatioAction

from .errors import SettingsError
from .registers import Registers

LOWEST, HIGHEST = -32768, 32767  #: codes of a bound
_PASS, _SATURATE, _ZERO, _SIGN = RatioAction.PASS, RatioAction.SATURATE, RatioAction.ZERO, RatioAction.SIGN


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
    """

    weight: bool = False
    above: RatioAction = _PASS
    below: RatioAction = _PASS
    lo: int = LOWEST
    hi: int = HIGHEST


def _code(log_ratio: float) -> int:
    """Return the nearest code of a bound."""
    return min(max(round(log_ratio * 1024), LOWEST), HIGHEST) if math.isfinite(log_ratio) else HIGHEST if log_ratio > 0 else LOWEST


def _bound(name: str, ratio: float) -> int:
    """Return the code of a bound that is given as a ratio."""
    if not ratio >= 0:
        raise SettingsError(f"{name} is {ratio} and must be a ratio of at least 0")
    return _code(math.log(ratio)) if ratio else LOWEST


def _band(lo: float, hi: float) -> dict[str, int]:
    if not lo <= hi:
        raise SettingsError(f"lo is {lo} and hi is {hi}; lo must not be above hi")
    return {"lo": _bound("lo", lo), "hi": _bound("hi", hi)}


def _inside(lo: float, hi: float) -> dict[str, int]:
    """Return the outermost codes within two log-ratios."""
    return {"lo": max(math.ceil(lo * 1024), LOWEST), "hi": min(math.floor(hi * 1024), HIGHEST)}


def _mask(weight: bool, lo: float, hi: float) -> Lane:
    """Return a lane that zeroes what is outside the band; a bound of 0 or infinity is none."""
    return Lane(weight, _ZERO if math.isfinite(hi) else _PASS, _ZERO if lo > 0 else _PASS, **_band(lo, hi))


def _positive(name: str, value: float) -> float:
    if not (value > 0 and math.isfinite(value)):
        raise SettingsError(f"{name} is {value} and must be a finite number above 0")
    return value


def _clip_lane(clip: float, clip_high: float | None) -> Lane:
    clip_high = clip if clip_high is None else clip_high
    for name, value, limit in (("clip", clip, 1), ("clip_high", clip_high, math.inf)):
        if not 0 <= value < limit:
            raise SettingsError(f"{name} is {value} and must be at least 0" + (" and less than 1" if limit == 1 else " and finite"))
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

    Notes
    -----
    `A` is the advantage, `1[..]` is 1 where the condition holds and 0 elsewhere.
    """

    r: Lane = Lane()
    rho: Lane = Lane()
    dual: int | None = None
    stats_lane: str = "r"

    def registers(self) -> dict[str, dict[str, int]]:
        """Return register name -> field -> content."""
        mode = {f"{name}_{field}": int(getattr(lane, field)) for name, lane in (("r", self.r), ("rho", self.rho))
                for field in ("weight", "above", "below")}
        return {
            "RATIO_MODE": mode | {"r_dual": int(self.dual is not None), "stats_lane": int(self.stats_lane == "rho")},
            "RATIO_BOUNDS": {"lo": self.r.lo, "hi": self.r.hi},
            "RHO_BOUNDS": {"lo": self.rho.lo, "hi": self.rho.hi},
            "RATIO_DUAL": {"value": self.dual or 0},
        }

    def write(self, registers: Registers) -> None:
        """Put the correction in force."""
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
        return cls(rho=Lane(True, _SATURATE, hi=_bound("cap", cap)), stats_lane="rho")

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
            lo = 1 / _positive("hi", hi)
        elif hi is None:
            hi = 1 / _positive("lo", lo)
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
        return cls(rho=Lane(True, _SATURATE, hi=_bound("cap", cap)), stats_lane="rho")

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
            Largest ratio at which a negative advantage counts; 3.
        clip, clip_high : float
            As for `ppo`.
        """
        return cls(r=_clip_lane(clip, clip_high), dual=_bound("c", c))

    @classmethod
    def decoupled_ppo(cls, cap: float = 2.0, clip: float = 0.2, clip_high: float | None = None) -> "Correction":
        """PPO with the sampler apart from the old policy: ``min(rho, cap)`` times `ppo` on r (verl).

        Parameters
        ----------
        cap : float
            Largest ratio of the sampler; 2.
        clip, clip_high : float
            As for `ppo`.
        """
        return cls(r=_clip_lane(clip, clip_high), rho=Lane(True, _SATURATE, hi=_bound("cap", cap)))

    @classmethod
    def cispo(cls, lo: float = 0.0, hi: float = 5.0) -> "Correction":
        """Clamped ratio whose gradient is always kept: ``c = min(max(r, lo), hi)`` (SkyRL, ScaleRL).

        Parameters
        ----------
        lo, hi : float
            Bounds of the ratio; 0 (none) and 5.
        """
        return cls(r=Lane(True, _SATURATE, _SATURATE, **_band(lo, hi)))


#: Name -> constructor.
CORRECTIONS: dict[str, Callable[..., Correction]] = {
    name: getattr(Correction, name) for name in (
        "none", "importance_sampling", "tis", "clamp", "icepop", "token_mask", "reject_k1", "reject_k2", "reject_k3", "vtrace",
        "ppo", "dual_clip", "decoupled_ppo", "cispo")}


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
