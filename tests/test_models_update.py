# SPDX-License-Identifier: Apache-2.0
"""Golden update unit, exponent registers and weight slots against the specification and float64."""

import math
from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from pymodels import functions, numerics, update
from pymodels.exponents import ExponentFile
from pymodels.functions import log2_q, pow2_q
from pymodels.numerics import Result, align, mix32
from pymodels.update import NO_MOMENT, STEPS, Optimizer, int8_copy, step
from tb.common import spec

SGD, MOMENTUM, NESTEROV, ADAM = STEPS
PLACES = ("e_w", "e_g", "e_m", "e_w_next", "e_m_next")
SUM = [round(2**18 * math.log2(1 + 2 ** (-(2 * i + 1) / 128))) for i in range(1024)]
HALF = [round(2**17 * math.log2(1 + 2 ** (-(2 * i + 1) / 128))) for i in range(1024)]
LOG = [round(2**18 * math.log2(1 + i / 1024)) for i in range(1024)]
POW = [round(2**15 * 2 ** ((2 * i + 1) / 2048)) for i in range(1024)]


def spec_log2(g):
    a = abs(g)
    n = a.bit_length() - 1
    i = ((a << 16 - n & 0xFFFF) + 32) >> 6
    return n + 1 << 18 if i == 1024 else (n << 18) + LOG[i]


def spec_pow2(x):
    return POW[x >> 8 & 1023], x >> 18


def spec_step(op, w, g, m, v, e_w, e_g, e_m, e_wn, e_mn, cfg, clip, stochastic, key):
    """Section 9 element by element in unbounded integers."""

    def term(x, s, up):
        return spec.clamp(spec.align(x, s, up), 35)

    def rounded(x, stochastic, r):
        x = spec.clamp(x, 35)
        q = spec.round_window(x, False, stochastic, r)
        return x, spec.clamp(q, 16), int(q != spec.clamp(q, 16))

    one = 65536 - cfg.beta1 if op == ADAM else 65536
    p, n = spec_pow2(clip)
    k, n = (p * one >> 15, n) if clip else (one, 0)
    out_w, out_m, out_l, all_w, all_m, sat_w, sat_m = [], [], [], [], [], 0, 0
    for i, (wi, gi) in enumerate(zip(w.tolist(), g.tolist(), strict=True)):
        row, col = i >> 16, i & 0xFFFF
        weight = term(wi, e_w - e_wn + 16, 31)
        if op == SGD:
            direction, e = (rounded(term(k * gi, n, 15), False, 0)[1] if clip else gi), e_g
        else:
            beta = cfg.beta1 if op == ADAM else cfg.momentum
            gradient = term(k * gi, e_g + n - e_mn, 15) if clip or op == ADAM else term(gi, e_g - e_mn + 16, 31)
            x, direction, clamped = rounded(term(beta * int(m[i]), e_m - e_mn, 15) + gradient, stochastic, spec.rand16(key, row, col))
            e = e_mn
            out_m.append(direction)
            all_m.append((x, False))
            sat_m += clamped
            if op == NESTEROV:
                direction = rounded(term(beta * direction, 0, 15) + gradient, False, 0)[1]
        if op == ADAM:
            a = (int(v[i]) << 8) + cfg.decay if v[i] != -32768 else None
            b = spec_log2(gi) + (e_g << 18) + clip + cfg.gain if gi else None
            if a is None and b is None:
                l_next = -32768
            else:
                if a is None or b is None:
                    s = a if b is None else b
                else:
                    d = abs(a - b) >> 11
                    s = max(a, b) + (HALF[d] if d < 1024 else 0)
                l_next = min(max(spec.shift_round(s, 8, stochastic, spec.rand16(key, row + 2**30, col)), -32767), 32767)
            out_l.append(l_next)
            if l_next == -32768:
                r = cfg.eps
            else:
                d = abs((l_next << 8) - cfg.eps) >> 12
                r = max(l_next << 8, cfg.eps) + (SUM[d] if d < 1024 else 0)
            p, q = spec_pow2(cfg.rate - r)
            change = spec.clamp(term(cfg.wd_mant * wi, e_w + cfg.wd_exp - e_wn + 16, 15)
                                + term(p * direction, e_mn + q - 15 - e_wn + 16, 15), 35)
        else:
            change = term(cfg.lr_mant * direction, e + cfg.lr_exp - e_wn + 16, 15)
        x, new, clamped = rounded(weight - change, stochastic, spec.rand16(key, row + 2**31, col))
        out_w.append(new)
        all_w.append((x, False))
        sat_w += clamped
    m_result = None if op == SGD else (*spec.tracked(all_m, e_mn), sat_m)
    return out_w, out_m, out_l, (*spec.tracked(all_w, e_wn), sat_w), m_result


def draw(rng, n, kind):
    if kind == "extreme":
        return rng.choice(np.array([-32768, 32767, 0, -1, 1], np.int16), (4, n))
    low, high = {"full": (-32768, 32768), "small": (-9, 10), "zero": (0, 1)}[kind]
    values = rng.integers(low, high, (4, n)).astype(np.int16)
    values[3, rng.random(n) < 0.2] = NO_MOMENT
    return values


def draw_settings(rng):
    low, high = -(1 << 23), (1 << 23) - 1
    logs = dict(decay=int(rng.choice([0, -1, -190, -(1 << 17)])), gain=int(rng.choice([0, -1306340, low, high])),
                rate=int(rng.choice([0, -2612400, low, high])), eps=int(rng.choice([-6966000, 0, low, high])))
    return Optimizer(lr_mant=int(rng.choice([0, 1, 1000, 65535])), lr_exp=int(rng.choice([-128, -20, -16, 0, 127])),
                     momentum=int(rng.choice([0, 58982, 65535])), beta1=int(rng.choice([0, 58982, 65535])),
                     wd_mant=int(rng.choice([0, 0, 655, 65535])), wd_exp=int(rng.choice([-128, -26, -16, 127])), **logs)


def run(op, w, g, m, v, places, **settings):
    """A step with the operands that the operation has."""
    operands = () if op == SGD else (m, v) if op == ADAM else (m,)
    return step(op, w, g, *operands, **dict(zip(PLACES, map(int, places), strict=True)), **settings)


@pytest.mark.parametrize("op", STEPS)
@pytest.mark.parametrize("stochastic", [False, True])
@pytest.mark.parametrize("kind", ["full", "small", "extreme", "zero"])
def test_steps_follow_the_specification(op, stochastic, kind):
    rng = np.random.default_rng([op, stochastic, len(kind)])
    exponents = [(-14, -12, -13, -14, -13)] * 3 + [(0, 0, 0, 63, 63), (63, 63, 63, -64, -64), (-64, -64, -64, 63, 63)]
    for places in exponents + rng.integers(-22, -8, (10, 5)).tolist():
        n = 8 * int(rng.integers(1, 6))
        w, g, m, v = draw(rng, n, kind)
        settings = dict(cfg=draw_settings(rng), clip=int(rng.choice([0, 0, -1, -262144, -1000000, -(1 << 23)])), stochastic=stochastic,
                        key=int(rng.integers(1 << 32)))
        made = run(op, w, g, m, v, places, **settings)
        assert all(tensor.dtype == np.int16 for tensor in made[:3] if tensor is not None)
        assert (made.m is None, made.v is None) == (op == SGD, op != ADAM)
        lists = tuple([] if tensor is None else tensor.tolist() for tensor in made[:3])
        assert (*lists, made.w_result, made.m_result) == spec_step(op, w, g, m, v, *places, **settings)


def half_of(stochastic):
    return 1.0 if stochastic else 0.5


def inside(exact, e):
    """Where a value is within the range of its exponent."""
    return np.abs(exact) < 32766 * 2.0**e


CFG = Optimizer(lr_mant=41943, lr_exp=-22, momentum=58982, beta1=58982, decay=round(2**17 * math.log2(0.999)),
                gain=round(2**17 * math.log2(0.001)), rate=round(2**18 * math.log2(0.02)), eps=round(2**18 * math.log2(1e-8)),
                wd_mant=42950, wd_exp=-26)


@pytest.mark.parametrize("op", STEPS)
@pytest.mark.parametrize("clip", [0, -350000])
@pytest.mark.parametrize("stochastic", [False, True])
def test_steps_against_float64(op, clip, stochastic):
    rng = np.random.default_rng(2)
    half = half_of(stochastic)
    for places in rng.integers(-18, -12, (50, 5)):
        e_w, e_g, e_m, e_wn, e_mn = places.tolist()
        w, g, m = rng.integers(-9000, 9000, (3, 400)).astype(np.int16)
        v = rng.integers(-9000, 1000, 400).astype(np.int16)
        made = run(op, w, g, m, v, places, cfg=CFG, clip=clip, stochastic=stochastic, key=7)
        gradient = g * 2.0**e_g * 2.0 ** (clip / 2**18)
        rough = 3.6e-4 if clip else 0.0  # pow2_q of the clip, cut to 16 bits
        exact_w, wide_w = w * 2.0**e_w, np.zeros(400)
        if op == SGD:
            exact_w = exact_w - 0.01 * gradient
            wide_w = wide_w + 0.01 * (rough * np.abs(gradient) + 0.51 * 2.0**e_g * bool(clip))
        else:
            share = 1 - 58982 / 65536 if op == ADAM else 1.0
            exact_m = 58982 / 65536 * m * 2.0**e_m + share * gradient
            fits = inside(exact_m, e_mn)
            m_next = made.m * 2.0**e_mn
            assert (np.abs(m_next - exact_m)[fits] <= ((half + 2.0**-15) * 2.0**e_mn + rough * share * np.abs(gradient))[fits]).all()
            assert min(np.abs(exact_m).max() * (1 - rough), 2.0 ** (e_mn + 18)) <= 2.0**made.m_result.top
        if op == MOMENTUM:
            exact_w = exact_w - 0.01 * m_next
        if op == NESTEROV:
            ahead = 58982 / 65536 * m_next + gradient
            fits = inside(ahead, e_mn)
            exact_w = np.where(fits, exact_w - 0.01 * ahead, np.inf)
            wide_w = wide_w + 0.01 * ((0.5 + 2.0**-15) * 2.0**e_mn + rough * np.abs(gradient))
        if op == ADAM:
            log = np.log2(0.999 * 4.0 ** (v / 1024) + 0.001 * gradient**2) / 2
            assert np.abs(made.v / 1024 - log).max() <= 0.0027 + half / 1024
            change = 0.02 * m_next / (2.0 ** (made.v / 1024) + 1e-8)
            exact_w = exact_w * (1 - 42950 * 2.0**-26) - change
            wide_w = wide_w + 0.0031 * np.abs(change)
        fits = inside(exact_w, e_wn)
        error = np.abs(made.w * 2.0**e_wn - np.where(fits, exact_w, 0.0))
        assert fits.any() and (error <= (half + 2.0**-14) * 2.0**e_wn + wide_w * 1.001 + 1e-9 * np.abs(w) * 2.0**e_w)[fits].all()
        largest = np.abs(exact_w[np.isfinite(exact_w)]).max()
        assert min(largest * 0.99, 2.0 ** (e_wn + 18)) <= 2.0**made.w_result.top  # top sees no further than the window


def test_stochastic_updates_reach_the_goal_that_rounding_never_leaves():
    w = np.zeros(800, np.int16)
    g = np.full(800, 100, np.int16)
    arguments = dict(zip(PLACES, (-14,) * 5, strict=True)) | {"cfg": Optimizer(lr_mant=32768, lr_exp=-25)}  # a step of 100/1024 units
    for op in (SGD, MOMENTUM, NESTEROV):
        moments = () if op == SGD else (np.zeros_like(w),)
        stuck, moving = w, w
        for n in range(200):
            stuck = step(op, stuck, g, *moments, **arguments).w
            moving = step(op, moving, g, *moments, **arguments, stochastic=True, key=mix32(n)).w
        assert (stuck == 0).all()
        assert abs(moving.mean() + 200 * 100 / 1024) < 0.6


def test_a_second_moment_keeps_what_stochastic_rounding_adds():
    """1,000 steps with beta2 = 0.999 and normal gradients: the mean over elements of the square root is that of float64."""
    rng = np.random.default_rng(3)
    w = m = np.zeros(2000, np.int16)
    v, square = np.full(2000, NO_MOMENT, np.int16), np.zeros(2000)
    for t in range(1000):
        g = rng.normal(0, 300, 2000).round().astype(np.int16)
        v = step(ADAM, w, g, m, v, **dict(zip(PLACES, (-14,) * 5, strict=True)), cfg=CFG, stochastic=True, key=mix32(t)).v
        square = 0.999 * square + 0.001 * (g * 2.0**-14) ** 2
    assert abs(np.mean(2.0 ** (v / 1024)) / np.mean(np.sqrt(square)) - 1) < 0.002


def test_corners_of_adam():
    places = dict(zip(PLACES, (-14,) * 5, strict=True))
    zero = np.zeros(4, np.int16)
    none, some = np.full(4, NO_MOMENT, np.int16), np.array([-32767, 0, 5, 32767], np.int16)
    first = step(ADAM, zero, zero, zero, none, **places, cfg=CFG, stochastic=True)
    assert not first.w.any() and not first.m.any() and (first.v == NO_MOMENT).all()
    assert first.w_result == first.m_result == Result()
    faded = step(ADAM, zero, zero, zero, some, **places, cfg=replace(CFG, decay=-256))
    assert faded.v.tolist() == [-32767, -1, 4, 32766]  # never 0 again
    grown = step(ADAM, zero, np.full(4, -32768, np.int16), zero, none, **{**places, "e_g": 63}, cfg=replace(CFG, gain=0))
    assert (grown.v == 32767).all()
    alone = step(ADAM, zero, np.array([1, 2, 1000, -1000], np.int16), zero, none, **{**places, "e_g": -14}, cfg=CFG)
    exact = np.log2(np.array([1, 2, 1000, 1000]) * 2.0**-14 * math.sqrt(0.001))
    assert np.abs(alone.v / 1024 - exact).max() < 0.0007 + 0.5 / 1024


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_an_int8_copy_is_packed_along_its_columns(rows):
    rng = np.random.default_rng(rows)
    w = rng.integers(-32768, 32768, rows * 8).astype(np.int16)
    for s in (-20, -1, 0, 1, 8, 9, 70):
        stored, saturations = int8_copy(w, rows, -14, -14 + s)
        exact = [[spec.shift_round(int(x), s, False, 0) for x in row] for row in w.reshape(rows, 8)]
        kept = [[spec.clamp(x, 8) for x in row] for row in exact]
        assert saturations == sum(a != b for row, clamped in zip(exact, kept, strict=True) for a, b in zip(row, clamped, strict=True))
        kept += [[0] * 8] * (rows % 2)
        assert stored.tolist() == [[(low & 0xFF) | high << 8 for low, high in zip(*pair, strict=True)]
                                   for pair in zip(kept[0::2], kept[1::2], strict=True)]


def test_logarithm_and_power_are_as_near_as_stated():
    a = np.arange(1, 32769)
    assert log2_q(a).tolist() == [spec_log2(x) for x in a.tolist()]
    assert 184 < np.abs(log2_q(a) - 2**18 * np.log2(a)).max() < 185 and (np.diff(log2_q(a)) >= 0).all()
    x = np.arange(-(1 << 18), 1 << 18)
    mantissa, exponent = pow2_q(x)
    value = mantissa * np.exp2(exponent - 15.0)
    assert 3.5e-4 < np.abs(value / np.exp2(x / 2**18) - 1).max() < 3.6e-4 and (np.diff(value) >= 0).all()
    for table, expected in ((functions.LOG_TABLE[:1024], LOG), (functions.HALF_TABLE, HALF), (functions.SUM_TABLE, SUM),
                            (functions.POW_TABLE, POW)):
        assert table.tolist() == expected
    for table, bits, scale, worst in ((HALF, 11, 2, 512), (SUM, 12, 1, 1024)):
        d = np.arange(0, 1024 << bits, 5)
        assert worst - 2 < np.abs(np.array(table)[d >> bits] - 2**18 / scale * np.log2(1 + np.exp2(-d * scale / 2**18))).max() < worst


def test_exponents_grow_before_a_step_needs_it():
    cfg = Optimizer(lr_mant=40000, lr_exp=-16, rate=-(7 << 18) - 1)
    for op, e, expected in ((SGD, -14, -13), (MOMENTUM, -20, -19), (NESTEROV, 70, 71), (ADAM, 40, -18)):
        assert update.room(op, cfg, e) == expected
    assert update.room(ADAM, replace(cfg, rate=3 << 18), 0) == -7
    rng = np.random.default_rng(4)
    for op, e in product((SGD, MOMENTUM, NESTEROV), range(-20, 0)):  # nothing saturates
        cfg = replace(cfg, lr_mant=int(rng.integers(1, 65536)), lr_exp=int(rng.integers(-24, -8)))
        w, g = rng.choice(np.array([-16384, 16383], np.int16), (2, 64))
        m = rng.choice(np.array([-32768, 32767], np.int16), 64)
        if op != SGD:
            g = np.zeros_like(g)  # m' = m, the largest there is
            cfg = replace(cfg, momentum=65535)
        made = run(op, w, m if op == SGD else g, m, m, (-14, e, e, max(-14, update.room(op, cfg, e)), e), cfg=cfg)
        assert made.w_result.saturations == 0
    assert update.moment_room(MOMENTUM, -14) == -14 == update.moment_room(ADAM, -14)
    extreme, e = np.array([-16384, 16383], np.int16), update.moment_room(NESTEROV, -14)
    cfg = Optimizer(lr_mant=32768, lr_exp=-16, momentum=65535)  # a step of half of u, which must not have been clamped
    made = step(NESTEROV, np.zeros(2, np.int16), extreme, extreme, e_w=0, e_g=-14, e_m=e, e_w_next=e, e_m_next=e, cfg=cfg)
    assert np.abs(made.w + extreme).max() <= 2 and made.m_result.saturations == 0


@pytest.mark.parametrize("wrong", [
    lambda x, s, up: align(x, s, up - 16), lambda x, s, up: -align(-x, s, up), lambda x, s, up: align(x, s + 1, up)])
def test_a_wrong_model_would_be_noticed(monkeypatch, wrong):
    monkeypatch.setattr(numerics, "align", wrong)
    with pytest.raises(AssertionError):
        test_steps_follow_the_specification(MOMENTUM, True, "small")


@pytest.mark.parametrize("name, wrong", [
    ("log2_q", lambda a: log2_q(a) + 256), ("pow2_q", lambda x: pow2_q(x + 256)), ("NO_MOMENT", -32767),
    ("rand16_lines", lambda key, count, firsts: numerics.rand16_lines(key, count, firsts[::-1])),
    ("HALF_TABLE", functions.SUM_TABLE)])
def test_a_wrong_adam_would_be_noticed(monkeypatch, name, wrong):
    monkeypatch.setattr(update, name, wrong)
    with pytest.raises(AssertionError):
        for kind in ("full", "small", "extreme"):
            test_steps_follow_the_specification(ADAM, True, kind)


def test_delayed_scaling_follows_the_largest_of_16():
    file = ExponentFile()
    file.retire(3, Result(1, 5, 0))
    assert (file.exp[3], file.next_of(3)) == (0, 5 - 14)
    assert file.begin(3) == -9 == file.exp[3]
    file.retire(3, Result(1, 2, 0))
    assert file.next_of(3) == -9
    assert file.begin(3, fixed=-15) == -15 == file.exp[3]
    file.retire(3, Result(0, 99, 0))  # nothing to track: next stays
    assert file.next_of(3) == -9
    for _ in range(14):
        file.retire(3, Result(1, 1, 0))
    assert file.next_of(3) == -9
    file.retire(3, Result(1, 1, 0))  # the 5 leaves: now it is the 2
    assert file.next_of(3) == 2 - 14
    file.retire(3, Result(1, 1, 0), int8=True)
    assert file.next_of(3) == 1 - 6
    file.retire(3, Result(1, 1, 0))
    assert file.next_of(3) == 1 - 14
    for top, int8, expected in ((127, False, 63), (-127, False, -64), (70, True, 63), (-59, True, -64), (-58, True, -64)):
        file.host_write(4, 0)
        file.retire(4, Result(1, top, 0), int8)
        assert file.next_of(4) == expected


def test_exponents_of_slots_share_what_comes_next():
    file = ExponentFile()
    current, following = file.physical(2, 1, 1, 2), file.physical(2, 2, 1, 2)
    assert (current, following, file.physical(2, 0, 1, 2)) == (64 + 16 + 2, 64 + 32 + 2, 2)
    file.host_write(current, 0x1_33_F2)  # static, exp = next = -14
    assert [file.host_read(i) for i in (current, following)] == [0x1_F2_F2, 0x1_F2_00]
    assert file.begin(following) == -14
    assert [file.host_read(i) for i in (current, following)] == [0x1_F2_F2, 0x1_F2_F2]
    file.retire(following, Result(1, 9, 0))
    assert [file.host_read(i) for i in (current, following)] == [0x1_F2_F2, 0x1_F2_F2]
    file.host_write(following, 0x05)
    assert not file.history[64 + 2]
    assert [file.host_read(i) for i in (current, following)] == [0x5_F2, 0x5_05]
    file.begin(current)
    file.retire(current, Result(1, 9, 0))
    assert file.host_read(following) == 0x00_FB_05 and file.host_read(current) == 0x00_FB_05
