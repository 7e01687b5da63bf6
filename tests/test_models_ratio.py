# SPDX-License-Identifier: Apache-2.0
"""Corrections by importance ratios: golden model against the specification and against each method's formula in float64."""

import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from lathe import SettingsError
from lathe.corrections import CORRECTIONS, HIGHEST, LOWEST, Correction, correction
from pymodels.descriptor import RatioAction, RatioAggregate, RatioSource
from pymodels.functions import exp_q
from pymodels.ratio import UNCORRECTED, Clip, Lane, clip, log_ratios, measure, sequence_numbers
from tb.common.ratios import EXAMPLES, any_clip, clip_of, named

METHODS = list(CORRECTIONS)
UNIT = 2.0**-16


def spec(registers: Clip, x_r: int, x_rho: int, adv: int, word: tuple | None = None) -> tuple:
    """docs/numerics.md, section 8, sentence by sentence for one sample; `word`: with `sequence_words`."""
    log_weight, zero, masked, clipped, seq_masked, vetoed = 0, False, False, False, False, False
    if word is not None:
        x_r = word[0] if registers.r.aggregate else x_r
        x_rho = word[1] if registers.rho.aggregate else x_rho
        vetoed = bool(word[2] & 1)
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
        zeroed = (above and lane.above == 2) or (below and lane.below == 2)
        masked |= zeroed
        seq_masked |= zeroed and lane.aggregate != 0 and word is not None
        signed = (above and lane.above == 3 and adv > 0) or (below and lane.below == 3 and adv < 0)
        zero |= signed
        clipped |= signed
    if registers.dual_on and adv < 0 and x_r > registers.dual:
        zero = clipped = True
    coef = 0 if zero or masked or vetoed else int(exp_q(np.array(log_weight << 6)))
    x = x_rho if registers.stats_rho else x_r
    return (coef, int(exp_q(np.array(x << 6))), x, x_r > registers.r.hi, x_r < registers.r.lo, x_rho > registers.rho.hi,
            x_rho < registers.rho.lo, masked, clipped, seq_masked, vetoed)


def spec_sources(registers: Clip, new: int, old: int, mu: int) -> tuple[int, int]:
    pairs = {1: (new, old), 2: (old, mu), 3: (new, mu)}
    return tuple(above - below for above, below in (pairs[registers.r.source or 1], pairs[registers.rho.source or 2]))


def spec_measure(registers: Clip, x_r: list[int], x_rho: list[int], last: list[bool]) -> list[list[int]]:
    """The words of MEASURE, sentence by sentence."""
    words, start = [], 0
    for end in range(len(last)):
        if not last[end] and end < len(last) - 1:
            continue
        word, count = [], end + 1 - start
        for lane, x in ((registers.r, x_r[start:end + 1]), (registers.rho, x_rho[start:end + 1])):
            value = {0: sum(x), 1: sum(x), 2: round(Fraction(sum(x), count)), 3: max(x)}[lane.aggregate]
            word.append(min(max(value, -32768), 32767))
        veto = any((registers.veto_below and x < registers.veto_lo) or (registers.veto_above and x > registers.veto_hi)
                   for x in x_rho[start:end + 1])
        words.append([*word, int(veto), count])
        start = end + 1
    return words


def test_actions_are_the_codes_of_the_specification():
    assert [action.name for action in sorted(RatioAction)] == ["PASS", "SATURATE", "ZERO", "SIGN"]
    assert [source.name for source in sorted(RatioSource)] == ["OWN", "NEW_OLD", "OLD_MU", "NEW_MU"]
    assert [kind.name for kind in sorted(RatioAggregate)] == ["TOKEN", "SUM", "MEAN", "MAXIMUM"]


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
        last = rng.random(40) < rng.choice([0.02, 0.3, 1.0])
        words = spec_measure(registers, x_r.tolist(), x_rho.tolist(), last.tolist())
        assert measure(registers, x_r, x_rho, last).tolist() == words
        words = [words[number] for number in sequence_numbers(last)]
        got = clip(registers, x_r, x_rho, adv, np.array(words))
        expected = [spec(registers, *map(int, sample), word) for *sample, word in zip(x_r, x_rho, adv, words, strict=True)]
        assert [tuple(map(int, sample)) for sample in zip(*got, strict=True)] == [tuple(map(int, sample)) for sample in expected]
        new, old, mu = rng.integers(-32768, 32768, (3, 40))
        assert list(zip(*log_ratios(registers, new, old, mu), strict=True)) == [
            spec_sources(registers, *sample) for sample in zip(new, old, mu, strict=True)]


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
    "icepop_ppo": lambda r, rho, adv, lo=0.5, hi=2.0: rho * inside(rho, lo, hi) * surrogate(r, adv, 0.8, 1.2),
    "cispo": lambda r, rho, adv, lo=0.0, hi=5.0: np.clip(r, lo, hi),
    "bypass_ppo": lambda r, rho, adv: surrogate(r * rho, adv, 0.8, 1.2),
}


def over(sequence, x):
    """The sum of x over the sample's sequence, and the sequence's length."""
    total, count = np.bincount(sequence, x), np.bincount(sequence)
    return total[sequence], count[sequence]


def geometric(sequence, ratio):
    total, count = over(sequence, np.log(ratio))
    return np.exp(total / count)


def product(sequence, ratio):
    return np.exp(over(sequence, np.log(ratio))[0])


SEQUENCE_FORMULAS = {
    "sequence_tis": lambda s, r, rho, adv, cap=2.0: np.minimum(product(s, rho), cap),
    "sequence_mask": lambda s, r, rho, adv, lo=0.0, hi=3.0: product(s, rho) * inside(product(s, rho), lo, hi),
    "geometric_mask": lambda s, r, rho, adv, lo=0.99, hi=1.01: inside(geometric(s, rho), lo, hi),
    "geometric_tis": lambda s, r, rho, adv, lo=0.5, hi=5.0, cap=2.0: np.minimum(rho, cap) * inside(geometric(s, rho), lo, hi),
    "opsm": lambda s, r, rho, adv, threshold: np.where((adv < 0) & (-np.log(geometric(s, r * rho)) > threshold), 0.0, 1.0),
    "gspo": lambda s, r, rho, adv, clip=3e-4, clip_high=4e-4: surrogate(geometric(s, r), adv, 1 - clip, 1 + clip_high),
}


def test_every_correction_has_a_formula():
    assert FORMULAS.keys() | SEQUENCE_FORMULAS.keys() == CORRECTIONS.keys() == EXAMPLES.keys()
    assert {name for name in METHODS if correction(name, **EXAMPLES[name]).sequences} == SEQUENCE_FORMULAS.keys()


def clip_over_sequences(registers: Clip, new, old, mu, adv, sequence):
    """Both passes: the sequences' words, then the coefficients."""
    x_r, x_rho = log_ratios(registers, new, old, mu)
    words = measure(registers, x_r, x_rho, np.diff(sequence, append=-1) != 0)
    return clip(registers, x_r, x_rho, adv, words[sequence])


def compare_sequences_with_the_formula(name: str, samples: int, seed: int) -> None:
    rng = np.random.default_rng([seed, METHODS.index(name)])
    sequence = np.repeat(np.arange(samples), np.minimum(rng.geometric(0.1, samples), 40))[:samples]
    drift = rng.integers(-60, 60, samples)[sequence]
    mu = rng.integers(-3000, 1, samples)
    old = mu + drift + rng.integers(-200, 200, samples)
    new = old + drift + rng.integers(-200, 200, samples)
    adv = rng.choice([0, 1, -1, 2048, -32768], samples)
    registers = named()[name]
    got = clip_over_sequences(registers, new, old, mu, adv, sequence)
    r, rho = np.exp((new - old) / 1024), np.exp((old - mu) / 1024)
    exact = np.minimum(SEQUENCE_FORMULAS[name](sequence, r, rho, adv, **EXAMPLES[name]), 32)
    # Near a bound the rounding of bound and mean decides; elsewhere a mean is off by half a step, a bound too
    clear = np.ones(samples, bool)
    for lane, ratio in ((registers.r, {1: r, 2: rho, 3: r * rho}[lane_source(registers.r, 1)]),
                        (registers.rho, {1: r, 2: rho, 3: r * rho}[lane_source(registers.rho, 2)])):
        if lane.aggregate:
            x = np.log((product if lane.aggregate == RatioAggregate.SUM else geometric)(sequence, ratio)) * 1024
        else:
            x = np.log(ratio) * 1024
        for bound in (lane.lo, lane.hi):
            clear &= np.abs(x - bound) > 1.01
    assert clear.mean() > 0.9
    assert (np.abs(exact - got.coef * UNIT) <= exact * (0.5 / 1024 + 4e-5) + 2 * UNIT)[clear].all()


def lane_source(lane: Lane, own: int) -> int:
    return lane.source or own


@pytest.mark.parametrize("name", SEQUENCE_FORMULAS)
def test_sequences_against_the_formula(name):
    compare_sequences_with_the_formula(name, 5000, 1)


@pytest.mark.regress
@pytest.mark.parametrize("name", SEQUENCE_FORMULAS)
def test_sequences_against_the_formula_with_100000_samples(name):
    compare_sequences_with_the_formula(name, 100_000, 2)


@pytest.mark.parametrize("name", METHODS)
def test_sequences_of_one_sample_are_samples(name):
    """Sum, mean and largest of one log-ratio are itself."""
    rng = np.random.default_rng(4)
    new, old, mu = rng.integers(-9000, 1, (3, 300))
    new[:100], old[100:200] = old[:100], mu[100:200]
    adv = rng.integers(-3, 4, 300)
    registers = named()[name]
    got = clip_over_sequences(registers, new, old, mu, adv, np.arange(300))
    token = clip(registers, *log_ratios(registers, new, old, mu), adv)
    for field in set(got._fields) - {"seq_masked"}:
        assert np.array_equal(getattr(got, field), getattr(token, field)), field


@pytest.mark.parametrize("name", METHODS)
def test_long_sequences(name):
    """4,096 samples: without a difference the coefficient is 1; a product goes to either end, a mean stays; 20 nats."""
    registers = named()[name]
    zeros, sequence = np.zeros(8192, np.int64), np.repeat([0, 1], 4096)
    adv = np.ones_like(zeros)
    assert (clip_over_sequences(registers, zeros, zeros, zeros, adv, sequence).coef == 65536).all()
    step = np.where(sequence, 5, -5)
    x_r, x_rho = log_ratios(registers, 2 * step, step, zeros)
    words = measure(registers, x_r, x_rho, np.diff(sequence, append=-1) != 0)
    for column, lane, x in ((0, registers.r, x_r), (1, registers.rho, x_rho)):
        kind = "mean" if lane.aggregate in (RatioAggregate.MEAN, RatioAggregate.MAXIMUM) else "sum"
        wanted = x[[0, -1]] if kind == "mean" else x[[0, -1]] * 4096
        assert words[:, column].tolist() == np.clip(wanted, -32768, 32767).tolist()
    assert words[:, 3].tolist() == [4096, 4096]
    one = np.array([20 * 1024, -20 * 1024])
    got = clip_over_sequences(named()["sequence_tis"], zeros[:2], one, zeros[:2], adv[:2], np.array([0, 1]))
    assert got.coef.tolist() == [int(exp_q(np.array(710 << 6))), 0]


def test_veto():
    made = correction("tis").with_veto()
    assert made.sequences and made.veto_hi is None and made.veto_lo == -9431 and made.registers()["RATIO_MODE"]["veto_above"] == 0
    x = np.array([0, -9431, 5, 0, -9432, 5])
    zeros = np.zeros(6, np.int64)
    got = clip_over_sequences(clip_of(made), x, x, zeros, zeros, np.repeat([0, 1], 3))
    assert got.vetoed.tolist() == [False] * 3 + [True] * 3
    assert got.coef[0] == 65536 and (got.coef[3:] == 0).all()
    both = correction("ppo").with_veto(0.5, 2)
    x = np.array([0, 710, 711, -710, -711, 0])
    got = clip_over_sequences(clip_of(both), x, x, zeros, zeros, np.arange(6))
    assert got.vetoed.tolist() == [False, False, True, False, True, False]
    with pytest.raises(SettingsError, match="lo is 2 and hi is 1"):
        correction("none").with_veto(2, 1)


def compare_with_the_formula(name: str, samples: int, seed: int) -> None:
    rng = np.random.default_rng([seed, METHODS.index(name)])
    shape = (2, samples)
    x_r, x_rho = np.where(rng.random(shape) < 0.8, rng.integers(-1500, 1500, shape), rng.integers(-20480, 20481, shape))
    adv = rng.choice([0, 1, -1, 2048, -32768], samples)
    registers = named()[name]
    got = clip(registers, *log_ratios(registers, x_r + x_rho, x_rho, np.zeros_like(x_r)), adv)
    exact = FORMULAS[name](np.exp(x_r / 1024), np.exp(x_rho / 1024), adv, **EXAMPLES[name])
    bounds = (registers.r.lo, registers.r.hi, registers.rho.lo, registers.rho.hi, registers.dual)
    # A bound is a multiple of 2**-10: a saturated ratio is off by half a step, a ratio that close to it may be on the other side
    clear = ~np.any([abs(x - bound) <= 1 for x in (x_r, x_rho, x_r + x_rho) for bound in bounds], axis=0)
    saturated = np.abs(np.minimum(exact, 32) - got.coef * UNIT) <= np.minimum(exact, 32) * (0.5 / 1024 + 4e-5) + 2 * UNIT
    assert saturated[clear].all() and clear.mean() > 0.95
    kept = clear & ~got.clipped & (exact < 32)  # nothing was saturated: only exp rounds
    assert (np.abs(exact - got.coef * UNIT) <= 3.5e-5 * exact + 1.5 * UNIT)[kept].all()


@pytest.mark.parametrize("name", FORMULAS)
def test_against_the_formula(name):
    compare_with_the_formula(name, 5000, 1)


@pytest.mark.regress
@pytest.mark.parametrize("name", FORMULAS)
def test_against_the_formula_with_100000_samples(name):
    compare_with_the_formula(name, 100_000, 2)


@pytest.mark.parametrize("name", METHODS)
def test_on_policy_every_coefficient_is_1(name):
    zeros = np.zeros(5, np.int64)
    got = clip(named()[name], zeros, zeros, np.array([-32768, -1, 0, 1, 32767]))
    assert got.coef.tolist() == [65536] * 5
    flags = ("high", "low", "rho_high", "rho_low", "masked", "clipped", "seq_masked", "vetoed")
    assert not any(getattr(got, field).any() for field in flags)


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
    assert (correction("sequence_mask").rho.lo, correction("sequence_mask").rho.hi) == (LOWEST, 1125)
    assert (correction("geometric_mask").rho.lo, correction("geometric_mask").rho.hi) == (-10, 10)
    assert (correction("gspo").r.lo, correction("gspo").r.hi) == (0, 0) and correction("bypass_ppo").r.source == RatioSource.NEW_MU
    assert correction("token_mask", hi=2) == correction("token_mask", lo=0.5) == correction("token_mask", lo=0.5, hi=2)
    assert correction("none") == Correction() and not correction("none").sequences
    assert set(correction("none").registers()["RATIO_MODE"].values()) == {0}
    assert correction("icepop_ppo").rho == correction("icepop").rho and correction("icepop_ppo").r == correction("ppo").r
    untruncated = correction("decoupled_ppo", cap=math.inf)
    assert untruncated.rho.hi == HIGHEST and untruncated.r == correction("ppo").r
    open_ended = correction("icepop", lo=0, hi=math.inf).rho
    assert (open_ended.lo, open_ended.hi, open_ended.above, open_ended.below) == (LOWEST, HIGHEST, RatioAction.PASS, RatioAction.PASS)


@pytest.mark.parametrize("name, given, message", [
    ("vanilla", {}, "correction 'vanilla' is none of: none, importance_sampling, tis, clamp, icepop, token_mask, reject_k1, "),
    ("tis", {"clip": 2}, "correction 'tis' takes no clip; it takes: cap"), ("none", {"cap": 2}, "takes no cap; it takes: nothing"),
    ("reject_k2", {}, "correction 'reject_k2' needs threshold"), ("token_mask", {}, "token_mask needs lo or hi"),
    ("reject_k3", {"threshold": 0}, "threshold is 0 and must be a finite number above 0"),
    ("tis", {"cap": -1}, "cap is -1 and must be a ratio above 0"), ("tis", {"cap": math.nan}, "cap is nan"),
    ("clamp", {"lo": 3}, "lo is 3 and hi is 2.0; lo must not be above hi"), ("ppo", {"clip": 1}, "clip is 1 and must be at least 0 and"),
    ("ppo", {"clip_high": -0.1}, "clip_high is -0.1 and must be at least 0 and finite"),
])
def test_refused(name, given, message):
    with pytest.raises(SettingsError, match=message):
        correction(name, **given)
