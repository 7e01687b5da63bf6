# SPDX-License-Identifier: Apache-2.0
"""Golden gemm against unbounded integers written from the specification, and against float64."""

import numpy as np
import pytest

from pymodels import gemm, numerics
from pymodels.descriptor import Act
from pymodels.functions import tanh_q
from pymodels.gemm import matmul
from pymodels.numerics import mix32

EXTREMES = np.array([-32768, -32767, -1, 0, 1, 32767], np.int16)


def draw(rng, shape, kind):
    if kind == "extreme":
        return rng.choice(EXTREMES, shape)
    low, high = {"full": (-32768, 32768), "small": (-40, 41), "minimum": (-32768, -32767)}[kind]
    return rng.integers(low, high, shape).astype(np.int16)


def reference(a, b, e_a, e_b, e_c, bias=None, e_bias=0, act=0, dact=0, y=None, stochastic=False, key=0):
    """Section 6 element by element in unbounded integers: (c, track, top, saturations)."""
    rows, cols = a.shape[0], b.shape[1]
    c, tops, saturations = np.zeros((rows, cols), np.int16), [], 0
    for i in range(rows):
        for j in range(cols):
            acc = sum(int(p) * int(q) for p, q in zip(a[i], b[:, j], strict=True))
            if bias is not None:
                s = min(e_bias - e_a - e_b, 28)
                acc += int(bias[j]) << s if s >= 0 else int(bias[j]) >> min(-s, 63)
            d = 65536
            if dact == Act.RELU:
                d = 65536 if y[i, j] > 0 else 0
            elif dact == Act.TANH:
                d = 65536 - ((int(y[i, j]) ** 2 + 2**13) >> 14)
            elif act == Act.RELU:
                d = 65536 if acc > 0 else 0
            v, e_v = acc * d, e_a + e_b - 16
            assert abs(v) <= 2**61
            s = min(max((-15 if act == Act.TANH else e_c) - e_v, -16), 62)
            if s <= 0:
                q = v << -s
            elif stochastic and act != Act.TANH:
                f = ((v % 2**s) << 16) >> s
                q = (v >> s) + ((f + (mix32(mix32(key ^ i) ^ j) & 0xFFFF)) >> 16)
            else:
                q, rest = divmod(v, 2**s)
                q += rest > 2 ** (s - 1) or (rest == 2 ** (s - 1) and q % 2 == 1)
            if act == Act.TANH:
                c[i, j] = tanh_q(np.array([min(max(q, -(2**18)), 2**18 - 1)]))[0]
                continue
            tops.append((v if v >= 0 else -1 - v).bit_length())
            c[i, j] = min(max(q, -32768), 32767)
            saturations += q != c[i, j]
    track = int(any(tops))
    return c, track, min(max(max(tops) + e_a + e_b - 16, -127), 127) if track else 0, saturations


@pytest.mark.parametrize("kind", ["full", "small", "extreme", "minimum"])
@pytest.mark.parametrize("act, dact", [(0, 0), (1, 0), (2, 0), (0, 1), (0, 2)])
def test_matmul_follows_the_specification(kind, act, dact):
    rng = np.random.default_rng([len(kind), act, dact])
    exponents = [(-12, -14, -11), (0, 0, 0), (-64, -64, -64), (63, 63, 63), (-64, -64, 63), (63, 63, -64), (-9, -12, 2)]
    exponents += [(-10, -5, -15)] * 6  # nothing is rounded away: shows the last bit of every term
    for e_a, e_b, e_c in exponents + rng.integers(-20, 4, (12, 3)).tolist():
        m, k, n = rng.integers(1, 9, 3)
        arguments = dict(act=act, dact=dact, stochastic=bool(rng.integers(2)), key=int(rng.integers(1 << 32)))
        if rng.integers(2):
            arguments |= dict(bias=draw(rng, n, kind), e_bias=int(rng.choice([-64, 63, e_a + e_b, e_a + e_b + 7, e_a + e_b - 5])))
        if dact:
            arguments["y"] = draw(rng, (m, n), kind)
        a, b = draw(rng, (m, k), kind), draw(rng, (k, n), kind)
        c, result = matmul(a, b, e_a, e_b, e_c, **arguments)
        expected, track, top, saturations = reference(a, b, e_a, e_b, e_c, **arguments)
        assert c.dtype == np.int16
        assert (c == expected).all()
        if act == Act.TANH:
            assert result == (1, -15, 0, 0, 0)
        else:
            assert result == (1, e_c, track, top, saturations)


def test_the_longest_sum_is_exact():
    a = np.full((2, gemm.MAX_K), -32768, np.int16)
    b = np.full((gemm.MAX_K, 2), -32768, np.int16)
    a[1], b[-1, 1] = 32767, 32767
    c, result = matmul(a, b, -20, -24, -14)
    expected, track, top, saturations = reference(a, b, -20, -24, -14)
    assert (c == expected).all() and result == (1, -14, track, top, saturations) and top == 45 - 44
    with pytest.raises(ValueError, match="16385"):
        matmul(np.zeros((1, 16385), np.int16), np.zeros((16385, 1), np.int16), 0, 0, 0)


def test_act_and_dact_exclude_each_other():
    one = np.ones((1, 1), np.int16)
    with pytest.raises(ValueError, match="exclude"):
        matmul(one, one, 0, 0, 0, act=Act.RELU, dact=Act.RELU, y=one)


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


@pytest.mark.parametrize("name, wrong", [
    ("align", lambda x, s, up: x << min(s, up) if s >= 0 else -(-x >> -s)),  # ceiling, not floor
    ("align", lambda x, s, up: x << min(s, up - 1) if s >= 0 else x >> min(-s, 63)),
    ("store", lambda v, e_v, e_to, stochastic, key: numerics.store(v + 1, e_v, e_to, stochastic, key)),
    ("store", lambda v, e_v, e_to, stochastic, key: numerics.store(v, e_v, e_to, stochastic, key ^ 1)),
    ("tanh_q", lambda arg: tanh_q(arg + 1)),
])
def test_a_wrong_model_would_be_noticed(monkeypatch, name, wrong):
    monkeypatch.setattr(gemm, name, wrong)
    with pytest.raises(AssertionError):
        for kind in ("full", "small", "extreme"):
            for act in (0, 2):
                test_matmul_follows_the_specification(kind, act, 0)
