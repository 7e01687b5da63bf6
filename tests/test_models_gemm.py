# SPDX-License-Identifier: Apache-2.0
"""Golden gemm against unbounded integers written from the specification, and against float64."""

import numpy as np
import pytest

from pymodels import gemm, numerics
from pymodels.descriptor import Act
from pymodels.functions import tanh_q
from pymodels.gemm import column_sums, matmul
from pymodels.numerics import Window
from tb.common import spec

EXTREMES = np.array([-32768, -32767, -1, 0, 1, 32767], np.int16)


def draw(rng, shape, kind):
    if kind == "extreme":
        return rng.choice(EXTREMES, shape)
    low, high = {"full": (-32768, 32768), "small": (-40, 41), "minimum": (-32768, -32767)}[kind]
    return rng.integers(low, high, shape).astype(np.int16)


def reference(a, b, e_a, e_b, e_c, bias=None, addend=None, e_addend=0, act=0, dact=0, y=None, int8_result=False,
              stochastic=False, key=0):
    """Section 6 element by element in unbounded integers: (c, track, top, saturations)."""
    rows, cols = a.shape[0], b.shape[1]
    c, seen, saturations, bits = np.zeros((rows, cols), np.int16), [], 0, 8 if int8_result else 16
    has_terms = bias is not None or addend is not None or dact == Act.TANH
    e_to = -15 if act == Act.TANH else e_c
    for i in range(rows):
        for j in range(cols):
            acc = sum(int(p) * int(q) for p, q in zip(a[i], b[:, j], strict=True))
            x, lost = spec.window(acc, e_to - e_a - e_b)
            exact = [acc * 2 ** (16 - s) if (s := min(max(e_to - e_a - e_b, -16), 62)) < 16 else acc >> s - 16, 0]
            terms = [x, 0]
            if bias is not None or addend is not None:
                z = int(bias[j] if addend is None else addend[i, j])
                exact[1] = spec.align(z, e_addend - e_to + 16, 31)
                terms[1] = spec.clamp(exact[1], 35)
                x = spec.clamp(x + terms[1], 35)
            cut = exact != terms
            cut = cut or x != sum(terms) if dact == Act.TANH else cut and (terms[0] < 0) != (terms[1] < 0)
            counts = has_terms and not (dact == Act.RELU and y[i, j] <= 0)
            if (act == Act.RELU and x < 0) or (dact == Act.RELU and y[i, j] <= 0):
                x, lost = 0, False
            elif dact == Act.TANH:
                p = x * (65536 - ((int(y[i, j]) ** 2 + 2**13) >> 14))
                x, lost = p >> 16, lost or p % 2**16 != 0
            if act == Act.TANH:
                q = int(tanh_q(np.array([spec.clamp(spec.round_window(x, lost, False, 0), 19)]))[0])
                q = (q + 128) >> 8 if int8_result else q
            else:
                q = spec.round_window(x, lost, stochastic, spec.rand16(key, i, j))
                seen += [(x, lost)] + [(spec.magnitude(term) >> (11 if int8_result else 3), False) for term in terms] * counts
            c[i, j] = spec.clamp(q, bits)
            saturations += q != c[i, j] or (counts and cut and act != Act.TANH)
    return c, *spec.tracked(seen, e_to), saturations


def random_operands(rng, kind, a8, act, dact):
    """Operands of a random shape and the options that go with them."""
    m, k, n = rng.integers(1, 9, 3)
    draw_factor = draw8 if a8 else draw
    arguments = dict(act=act, dact=dact, stochastic=bool(rng.integers(2)), key=int(rng.integers(1 << 32)))
    use = rng.integers(3)
    if use == 1:
        arguments["bias"] = draw(rng, n, kind)
    elif use == 2 and not dact:
        arguments["addend"] = draw(rng, (m, n), kind)
    if dact:
        arguments["y"] = draw(rng, (m, n), kind)
    elif "addend" not in arguments:
        arguments["int8_result"] = bool(rng.integers(2))
    return draw_factor(rng, (m, k), kind), draw_factor(rng, (k, n), kind), arguments


def draw8(rng, shape, kind):
    return np.clip(draw(rng, shape, kind), -128, 127).astype(np.int8) if kind != "full" else rng.integers(-128, 128, shape).astype(np.int8)


@pytest.mark.parametrize("a8", [False, True])
@pytest.mark.parametrize("kind", ["full", "small", "extreme", "minimum"])
@pytest.mark.parametrize("act, dact", [(0, 0), (1, 0), (2, 0), (0, 1), (0, 2)])
def test_matmul_follows_the_specification(a8, kind, act, dact):
    rng = np.random.default_rng([a8, len(kind), act, dact])
    exponents = [(-12, -14, -11), (0, 0, 0), (-64, -64, -64), (63, 63, 63), (-64, -64, 63), (63, 63, -64), (-9, -12, 2)]
    exponents += [(-10, -5, -15)] * 6  # nothing is rounded away: shows the last bit of every term
    exponents += [(-24, -24, -48 + s) for s in range(-2, 66, 3)]  # every part of the window
    for e_a, e_b, e_c in exponents + rng.integers(-20, 4, (12, 3)).tolist():
        a, b, arguments = random_operands(rng, kind, a8, act, dact)
        if "bias" in arguments or "addend" in arguments:
            arguments["e_addend"] = int(np.clip(rng.choice([-64, 63, e_a + e_b, e_a + e_b + 7, e_c - 16, e_c, e_c + 3]), -64, 63))
        c, result = matmul(a, b, e_a, e_b, e_c, **arguments)
        expected, track, top, saturations = reference(a, b, e_a, e_b, e_c, **arguments)
        assert c.dtype == (np.int8 if arguments.get("int8_result") else np.int16)
        assert (c == expected).all()
        assert result == (track, top, saturations)


@pytest.mark.parametrize("e_to", [-64, -40, -30, -29, -16, -8, 0, 9, 63])
def test_column_sums_follow_the_specification(e_to):
    rng = np.random.default_rng(5)
    for kind, stochastic, e_b in (("full", False, -14), ("full", True, -14), ("extreme", True, -30), ("small", False, -9),
                                  ("minimum", False, 63), ("minimum", True, -64)):
        b, key, row = draw(rng, rng.integers(1, 40, 2), kind), int(rng.integers(1 << 32)), int(rng.integers(1, 1 << 16))
        sums, result = column_sums(b, e_b, e_to, stochastic=stochastic, key=key, row=row)
        seen, wanted = [], []
        for j, column in enumerate(b.T.tolist()):
            seen.append(spec.window(sum(column), e_to - e_b))
            wanted.append(spec.round_window(*seen[-1], stochastic, spec.rand16(key, row, j)))
        clamped = [spec.clamp(q, 16) for q in wanted]
        assert sums.dtype == np.int16 and sums.tolist() == clamped
        assert result == (*spec.tracked(seen, e_to), sum(q != c for q, c in zip(wanted, clamped, strict=True)))


@pytest.mark.parametrize("kind", [np.int16, np.int8])
def test_the_longest_sum_is_exact(kind):
    low, high = np.iinfo(kind).min, np.iinfo(kind).max
    a = np.full((2, gemm.MAX_K), low, kind)
    b = np.full((gemm.MAX_K, 2), low, kind)
    a[1], b[-1, 1] = high, high
    for e_c in (-14, -30, -44):
        c, result = matmul(a, b, -20, -24, e_c)
        expected, track, top, saturations = reference(a, b, -20, -24, e_c)
        assert (c == expected).all() and result == (track, top, saturations)
    assert matmul(a, b, -20, -24, -14)[1].top == np.log2(float(low) ** 2 * gemm.MAX_K) + 1 - 44
    with pytest.raises(ValueError, match="16385"):
        matmul(np.zeros((1, 16385), kind), np.zeros((16385, 1), kind), 0, 0, 0)


@pytest.mark.parametrize("value", [-128, 127])
def test_short_int8_sums_are_exact_in_single_precision(value):
    a = np.full((1, gemm.MAX_K_FLOAT32), value, np.int8)
    a[0, 0] = 1
    assert matmul(a, a.T, 0, 0, 9)[0] == np.rint((1 + (gemm.MAX_K_FLOAT32 - 1) * value**2) / 512)


@pytest.mark.parametrize("options, message", [
    (dict(act=Act.RELU, dact=Act.RELU), "excludes act"), (dict(dact=Act.TANH, addend=np.ones((1, 1), np.int16)), "excludes act"),
    (dict(dact=Act.RELU, int8_result=True), "excludes act"),
    (dict(bias=np.ones(1, np.int16), addend=np.ones((1, 1), np.int16)), "bias and addend"),
])
def test_options_that_exclude_each_other(options, message):
    one = np.ones((1, 1), np.int16)
    with pytest.raises(ValueError, match=message):
        matmul(one, one, 0, 0, 0, y=one, **options)


# Against float64, with the bounds that the model states: half a unit of the result (one, if stochastic), 2**-16 for an addend.

@pytest.mark.parametrize("stochastic", [False, True])
@pytest.mark.parametrize("kind", [np.int16, np.int8])
@pytest.mark.parametrize("result", [np.int16, np.int8])
@pytest.mark.parametrize("mode", ["plain", "bias", "accumulate", "relu", "dact relu", "dact tanh"])
def test_every_mode_against_float64(kind, result, mode, stochastic):
    if mode == "accumulate" and result == np.int8 or mode.startswith("dact") and (kind == np.int8 or result == np.int8):
        return  # no such mode
    rng = np.random.default_rng(7)
    limits, bits = np.iinfo(kind), np.iinfo(result).bits
    worst = 0.0
    for k in (1, 3, 7, 33, 64, 255):
        a = rng.integers(limits.min, limits.max + 1, (24, k)).astype(kind)
        b = rng.integers(limits.min, limits.max + 1, (k, 17)).astype(kind)
        z, y = (rng.integers(-32768, 32768, (24, 17)).astype(np.int16) for _ in range(2))
        e_acc = -2 * (np.iinfo(kind).bits - 1)
        e_c, e_z = 4 - bits + int(np.log2(k)) // 2, -14
        exact = a.astype(float) @ b.astype(float) * 2.0**e_acc
        options = {}
        if mode == "bias":
            options, exact = dict(bias=z[0], e_addend=e_z), exact + z[0] * 2.0**e_z
        elif mode == "accumulate":
            options, exact = dict(addend=z, e_addend=e_z), exact + z * 2.0**e_z
        elif mode == "relu":
            options, exact = dict(act=Act.RELU), np.maximum(exact, 0)
        elif mode == "dact relu":
            options, exact = dict(dact=Act.RELU, y=y), exact * (y > 0)
        elif mode == "dact tanh":
            options, exact = dict(dact=Act.TANH, y=y), exact * (1 - (y / 32768.0) ** 2)
        c, told = matmul(a, b, e_acc // 2, e_acc // 2, e_c, int8_result=result == np.int8, stochastic=stochastic, key=k, **options)
        fits = np.abs(exact) < (2.0 ** (bits - 1) - 2) * 2.0**e_c
        assert fits.mean() > 0.9
        worst = max(worst, np.abs(c - exact * 2.0**-e_c)[fits].max())
        assert np.abs(exact).max() <= 2.0**told.top and told.saturations == np.count_nonzero(~fits & (np.abs(c) > 0) & (
            np.abs(exact) > 2.0 ** (bits - 1) * 2.0**e_c + 1)) or told.saturations <= np.count_nonzero(~fits)
    # The factor of tanh' has 2**-16: it adds half of that times the sum, here below 2**15 units.
    assert worst <= (1 if stochastic else 0.5) + {"bias": 2.0**-15, "accumulate": 2.0**-15, "dact tanh": 0.27}.get(mode, 1e-9)


@pytest.mark.parametrize("stochastic", [False, True])
def test_column_sums_against_float64(stochastic):
    rng = np.random.default_rng(8)
    b = rng.integers(-32768, 32768, (256, 64)).astype(np.int16)
    sums, _ = column_sums(b, -20, -13, stochastic=stochastic, key=3, row=64)
    assert np.abs(sums - b.sum(axis=0) / 128).max() <= (1 if stochastic else 0.5)


def test_int8_tanh_layer_against_float64():
    rng = np.random.default_rng(3)
    a, b = rng.integers(-128, 128, (64, 33)).astype(np.int8), rng.integers(-60, 60, (33, 64)).astype(np.int8)
    c, _ = matmul(a, b, -7, -8, 0, act=Act.TANH, int8_result=True)
    exact = np.tanh(a.astype(float) @ b.astype(float) * 2.0**-15)
    assert c.dtype == np.int8 and np.abs(np.clip(exact * 128, -128, 127) - c).max() < 0.51


def test_accumulating_halves_of_k_is_the_whole_sum():
    rng = np.random.default_rng(4)
    a, b = rng.integers(-300, 300, (9, 20)).astype(np.int16), rng.integers(-300, 300, (20, 7)).astype(np.int16)
    first, _ = matmul(a[:, :11] // 32, b[:11] // 32, 0, 0, 0)
    whole, _ = matmul(a[:, 11:] // 32, b[11:] // 32, 0, 0, 0, addend=first)
    assert (whole == (a // 32).astype(int) @ (b // 32).astype(int)).all()


def test_tanh_layer_against_float64():
    rng = np.random.default_rng(3)
    worst = 0.0
    for _ in range(40):
        a, b = rng.integers(-32768, 32768, (64, 32)).astype(np.int16), rng.integers(-9000, 9000, (32, 64)).astype(np.int16)
        c, _ = matmul(a, b, -14, -16, 0, act=Act.TANH)
        exact = np.tanh(a.astype(float) @ b.astype(float) * 2.0**-30)
        worst = max(worst, np.abs(c - exact * 2.0**15).max())
    assert worst < 2.04


def test_derivative_of_tanh_against_float64():
    y = np.arange(-32767, 32768, dtype=np.int16)[None]
    one = np.array([[1 << 14]], np.int16)
    c, _ = matmul(one, np.full((1, y.size), 1 << 14, np.int16), -14, -14, -14, dact=Act.TANH, y=y)
    assert np.abs(c - (1 - (y / 32768.0) ** 2) * 2.0**14).max() <= 0.5 + 2.0**-3


@pytest.mark.parametrize("kind", ["bias", "addend", "tanh"])
@pytest.mark.parametrize("start", [-8, -20])
def test_small_results_of_large_terms_stay_right(kind, start):
    """Delayed scaling of 60 writes: a result may be the small difference of large terms, or have the factor of a saturated tanh."""
    rng, exponent, history = np.random.default_rng(3), start, []
    for write in range(60):
        a = rng.integers(25200, 26000, (4, 1)).astype(np.int16)
        b, options = np.full((1, 8), 1 << 14, np.int16), {"e_addend": -8}
        z = -25600 - rng.integers(0, 8, 8).astype(np.int16)
        wanted = a * 2.0**-8
        if kind == "tanh":
            options |= {"dact": Act.TANH, "y": np.full((4, 8), 32700, np.int16)}
            wanted = wanted * (1 - ((32700**2 + 2**13) >> 14) / 65536) * np.ones(8)  # the factor that the chip has
        else:
            options[kind] = z if kind == "bias" else np.tile(z, (4, 1))
            wanted = wanted + z * 2.0**-8
        c, result = matmul(a, b, -8, -14, exponent, **options)
        error = np.abs(c * 2.0**exponent - wanted).max()
        # half a unit and what is cut behind the 16th place; too small an exponent at first is seen and grows, a bit a write
        assert error <= 2.0**exponent * (0.5 + 2.0**-3) or (write < 15 and start == -20 and result.saturations), write
        history = [*history[-15:], result.top]
        exponent = max(history) - 14
    assert exponent < -8


@pytest.mark.parametrize("place, name, wrong", [
    (numerics, "align", lambda x, s, up: x << min(s, up) if s >= 0 else -(-x >> -s)),  # ceiling, not floor
    (numerics, "align", lambda x, s, up: x << min(s, up - 16) if s >= 0 else x >> min(-s, 63)),
    (gemm, "rand16_grid", lambda key, rows, cols: spec.rand32(key, 0, 0) & 0xFFFF),
    (gemm, "tanh_q", lambda arg: tanh_q(arg + 1)),
    (Window, "tracked", lambda x, e_to, terms: (1, e_to)),
    (gemm._Terms, "seen", lambda terms, dact, y: (0, None)),
    (gemm._Terms, "seen", lambda terms, dact, y: (int(terms._window.x.max()), terms._cut)),
    (Window, "mask", lambda x, keep: x),
    (Window, "scale", lambda x, d: Window((x.bits >> x.below) * d >> 16)),  # forgets what was lost
])
def test_a_wrong_model_would_be_noticed(monkeypatch, place, name, wrong):
    monkeypatch.setattr(place, name, wrong)
    with pytest.raises(AssertionError):
        for kind in ("full", "small", "extreme"):
            for act, dact in ((0, 0), (2, 0), (0, 1), (0, 2)):
                test_matmul_follows_the_specification(False, kind, act, dact)
