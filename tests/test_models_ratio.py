# SPDX-License-Identifier: Apache-2.0
"""Corrections by importance ratios: golden model against the specification and against each method's formula in float64."""

import math
from dataclasses import replace

import numpy as np
import pytest

from lathe import SettingsError
from lathe.corrections import CORRECTIONS, HIGHEST, LOWEST, Correction, correction
from pymodels.descriptor import RatioAction
from pymodels.functions import exp_q
from pymodels.ratio import UNCORRECTED, Clip, Lane, clip
from tb.common.ratios import EXAMPLES, any_clip, clip_of, named

METHODS = list(CORRECTIONS)
UNIT = 2.0**-16


def spec(registers: Clip, x_r: int, x_rho: int, adv: int) -> tuple:
    """docs/numerics.md, section 8, sentence by sentence for one sample."""
    log_weight, zero, masked, clipped = 0, False, False, False
    for lane, x in ((registers.r, x_r), (registers.rho, x_rho)):
        above, below = x > lane.hi, x < lane.lo
        w = x
        if above and lane.above == 1:
            w = lane.hi
        elif below and lane.below == 1:
            w = lane.lo
        if lane.weight:
            log_weight += w
            clipped |= (above and lane.above == 1) or (below and lane.below == 1)
        masked |= (above and lane.above == 2) or (below and lane.below == 2)
        signed = (above and lane.above == 3 and adv > 0) or (below and lane.below == 3 and adv < 0)
        zero |= signed
        clipped |= signed
    if registers.dual_on and adv < 0 and x_r > registers.dual:
        zero = clipped = True
    coef = 0 if zero or masked else int(exp_q(np.array(log_weight << 6)))
    x = x_rho if registers.stats_rho else x_r
    return (coef, int(exp_q(np.array(x << 6))), x, x_r > registers.r.hi, x_r < registers.r.lo, x_rho > registers.rho.hi,
            x_rho < registers.rho.lo, masked, clipped)


def test_actions_are_the_codes_of_the_specification():
    assert [action.name for action in sorted(RatioAction)] == ["PASS", "SATURATE", "ZERO", "SIGN"]


@pytest.mark.parametrize("seed", range(20))
def test_any_registers_follow_the_specification(seed):
    rng = np.random.default_rng(seed)
    for registers in [any_clip(rng) for _ in range(20)] + list(named().values()):
        bounds = [registers.r.lo, registers.r.hi, registers.rho.lo, registers.rho.hi, registers.dual, 0, -65535, 65535]
        near = rng.choice(bounds, (2, 20)) + rng.integers(-1, 2, (2, 20))
        x_r, x_rho = np.concatenate([near, rng.integers(-2000, 2000, (2, 20))], axis=1)
        adv = rng.choice([0, 1, -1, 32767, -32768], 40)
        got = clip(registers, x_r, x_rho, adv)
        expected = [spec(registers, *map(int, sample)) for sample in zip(x_r, x_rho, adv, strict=True)]
        assert [tuple(map(int, sample)) for sample in zip(*got, strict=True)] == [tuple(map(int, sample)) for sample in expected]


# formulas in float64, from the publications' definitions; the ratios are exp of the log-ratios that the chip holds


def surrogate(r, adv, low, high):
    return np.where((adv > 0) & (r > high) | (adv < 0) & (r < low), 0, r)


def inside(values, lo, hi):
    return ((values >= lo) & (values <= hi)).astype(float)


FORMULAS = {
    "none": lambda r, rho, adv: np.ones_like(r),
    "importance_sampling": lambda r, rho, adv: rho,
    "tis": lambda r, rho, adv, cap=2.0: np.minimum(rho, cap),
    "clamp": lambda r, rho, adv, lo=0.5, hi=2.0: np.clip(rho, lo, hi),
    "icepop": lambda r, rho, adv, lo=0.5, hi=2.0: rho * inside(rho, lo, hi),
    "token_mask": lambda r, rho, adv, lo, hi: inside(rho, lo, hi),
    "reject_k1": lambda r, rho, adv, threshold: inside(np.abs(np.log(rho)), 0, threshold),
    "reject_k2": lambda r, rho, adv, threshold: inside(np.log(rho)**2 / 2, 0, threshold),
    "reject_k3": lambda r, rho, adv, threshold: inside(rho - 1 - np.log(rho), 0, threshold),
    "vtrace": lambda r, rho, adv, cap=1.0: np.minimum(rho, cap),
    "ppo": lambda r, rho, adv, clip=0.2, clip_high=0.2: surrogate(r, adv, 1 - clip, 1 + clip_high),
    "dual_clip": lambda r, rho, adv, c=3.0: np.where((adv < 0) & (r > c), 0, surrogate(r, adv, 0.8, 1.2)),
    "decoupled_ppo": lambda r, rho, adv, cap=2.0: np.minimum(rho, cap) * surrogate(r, adv, 0.8, 1.2),
    "cispo": lambda r, rho, adv, lo=0.0, hi=5.0: np.clip(r, lo, hi),
}


def test_every_correction_has_a_formula():
    assert FORMULAS.keys() == CORRECTIONS.keys() == EXAMPLES.keys()


def compare_with_the_formula(name: str, samples: int, seed: int) -> None:
    rng = np.random.default_rng([seed, METHODS.index(name)])
    shape = (2, samples)
    x_r, x_rho = np.where(rng.random(shape) < 0.8, rng.integers(-1500, 1500, shape), rng.integers(-20480, 20481, shape))
    adv = rng.choice([0, 1, -1, 2048, -32768], samples)
    registers = named()[name]
    got = clip(registers, x_r, x_rho, adv)
    exact = FORMULAS[name](np.exp(x_r / 1024), np.exp(x_rho / 1024), adv, **EXAMPLES[name])
    bounds = (registers.r.lo, registers.r.hi, registers.rho.lo, registers.rho.hi, registers.dual)
    # A bound is a multiple of 2**-10: a saturated ratio is off by half a step, a ratio that close to it may be on the other side
    clear = ~np.any([abs(x - bound) <= 1 for x in (x_r, x_rho) for bound in bounds], axis=0)
    saturated = np.abs(np.minimum(exact, 32) - got.coef * UNIT) <= np.minimum(exact, 32) * (0.5 / 1024 + 4e-5) + 2 * UNIT
    assert saturated[clear].all() and clear.mean() > 0.95
    kept = clear & ~got.clipped & (exact < 32)  # nothing was saturated: only exp rounds
    assert (np.abs(exact - got.coef * UNIT) <= 3.5e-5 * exact + 1.5 * UNIT)[kept].all()


@pytest.mark.parametrize("name", METHODS)
def test_against_the_formula(name):
    compare_with_the_formula(name, 5000, 1)


@pytest.mark.regress
@pytest.mark.parametrize("name", METHODS)
def test_against_the_formula_with_100000_samples(name):
    compare_with_the_formula(name, 100_000, 2)


@pytest.mark.parametrize("name", METHODS)
def test_on_policy_every_coefficient_is_1(name):
    zeros = np.zeros(5, np.int64)
    got = clip(named()[name], zeros, zeros, np.array([-32768, -1, 0, 1, 32767]))
    assert got.coef.tolist() == [65536] * 5
    assert not any(getattr(got, field).any() for field in ("high", "low", "rho_high", "rho_low", "masked", "clipped"))


def test_a_bound_lies_on_the_side_of_the_ratio():
    """Accepted is lo <= ratio <= hi, not 1/hi <= ratio <= 1/lo."""
    rho = np.array([0.55, 0.65, 1.0, 1.35, 1.6, 1.9])
    x, zeros = np.rint(np.log(rho) * 1024).astype(np.int64), np.zeros(6, np.int64)
    for made in (correction("token_mask", lo=0.6, hi=1.4), correction("icepop", lo=0.6, hi=1.4)):
        assert (clip(clip_of(made), zeros, x, zeros).coef > 0).tolist() == [False, True, True, True, False, False]
    got = clip(clip_of(correction("clamp", lo=0.6, hi=1.4)), zeros, x, zeros).coef * UNIT
    assert np.allclose(got, np.clip(rho, 0.6, 1.4), rtol=1e-3)
    up = clip(clip_of(correction("ppo", clip=0.5, clip_high=0.25)), np.array([-300, 300]), zeros[:2], np.array([-1, 1])).coef
    assert up[0] > 0 and up[1] == 0


@pytest.mark.parametrize("threshold", [0.001, 0.05, 0.5, 3.0, 20.0])
def test_tests_of_k_are_two_thresholds(threshold):
    """The codes that the registers accept are those whose k does not exceed the threshold."""
    codes = np.arange(-32767, 32767)
    x = codes / 1024
    for name, k in (("reject_k1", np.abs(x)), ("reject_k2", x**2 / 2), ("reject_k3", np.expm1(x) - x)):
        kept = clip(clip_of(correction(name, threshold=threshold)), np.zeros_like(codes), codes, codes).coef
        assert np.array_equal(kept == 65536, k <= threshold), name
        assert set(kept.tolist()) <= {0, 65536}


def test_without_weight_a_saturating_bound_does_nothing():
    lane = Lane(0, RatioAction.SATURATE, RatioAction.SATURATE, -10, 10)
    x = np.array([-100, 0, 100])
    got = clip(replace(UNCORRECTED, r=lane, rho=lane), x, x, x)
    assert got.coef.tolist() == [65536] * 3 and not got.clipped.any() and got.high.tolist() == [False, False, True]


def test_defaults():
    assert correction("ppo") == correction("ppo", clip=0.2, clip_high=0.2)
    assert (correction("ppo").r.lo, correction("ppo").r.hi) == (-228, 187)
    assert correction("dual_clip").dual == 1125 and correction("vtrace").rho.hi == 0 and correction("tis").rho.hi == 710
    assert (correction("cispo").r.lo, correction("cispo").r.hi) == (LOWEST, 1648)
    assert (correction("clamp").rho.lo, correction("icepop").rho.hi) == (-710, 710)
    assert correction("token_mask", hi=2) == correction("token_mask", lo=0.5) == correction("token_mask", lo=0.5, hi=2)
    assert correction("none") == Correction() and set(correction("none").registers()["RATIO_MODE"].values()) == {0}
    open_ended = correction("icepop", lo=0, hi=math.inf).rho
    assert (open_ended.lo, open_ended.hi, open_ended.above, open_ended.below) == (LOWEST, HIGHEST, RatioAction.PASS, RatioAction.PASS)


@pytest.mark.parametrize("name, given, message", [
    ("vanilla", {}, "correction 'vanilla' is none of: none, importance_sampling, tis, clamp, icepop, token_mask, reject_k1, "),
    ("tis", {"clip": 2}, "correction 'tis' takes no clip; it takes: cap"), ("none", {"cap": 2}, "takes no cap; it takes: nothing"),
    ("reject_k2", {}, "correction 'reject_k2' needs threshold"), ("token_mask", {}, "token_mask needs lo or hi"),
    ("reject_k3", {"threshold": 0}, "threshold is 0 and must be a finite number above 0"),
    ("tis", {"cap": -1}, "cap is -1 and must be a ratio of at least 0"), ("tis", {"cap": math.nan}, "cap is nan"),
    ("clamp", {"lo": 3}, "lo is 3 and hi is 2.0; lo must not be above hi"), ("ppo", {"clip": 1}, "clip is 1 and must be at least 0 and"),
    ("ppo", {"clip_high": -0.1}, "clip_high is -0.1 and must be at least 0 and finite"),
])
def test_refused(name, given, message):
    with pytest.raises(SettingsError, match=message):
        correction(name, **given)
