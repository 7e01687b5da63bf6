# SPDX-License-Identifier: Apache-2.0
"""Golden policy unit against unbounded integers written from the specification, and against float64."""

import numpy as np
import pytest

from pymodels import policy
from pymodels.functions import exp_q, ln_q
from pymodels.numerics import mix32
from pymodels.policy import Stats, evaluate, loss, measure, sample
from pymodels.ratio import clip, log_ratios
from pymodels.ratio import measure as measure_sequences
from tb.common.ratios import any_clip, named
from tb.common.spec import rand16, shift_round


def exp1(x):
    return int(exp_q(np.array([x]))[0])


def ln1(s):
    return int(ln_q(np.array([s]))[0])


def clamp(x, bits):
    return min(max(x, -(1 << bits - 1)), (1 << bits - 1) - 1)


def rne(x, s):
    q, rest = divmod(x, 1 << s)
    return q + (2 * rest > 1 << s or (2 * rest == 1 << s and q % 2))


def spec_row(y, e_y):
    """Steps that SAMPLE and LOSS share, for one row."""
    s = min(e_y + 16, 31)
    z = [clamp(int(v) << s if s >= 0 else int(v) >> min(-s, 63), 24) for v in y]
    d = [v - max(z[:-1]) for v in z[:-1]]
    e = [exp1(v) for v in d]
    lp = [v - ln1(sum(e)) for v in d]
    return z, e, lp


def spec_sample(y, e_y, greedy, key, version, lanes):
    records = []
    for i, row in enumerate(y):
        z, e, lp = spec_row(row, e_y)
        if greedy:
            action = z[:-1].index(max(z[:-1]))
        else:
            t = ((mix32(mix32(key ^ i)) >> 8) * sum(e)) >> 24
            action = next(a for a in range(len(e)) if sum(e[: a + 1]) > t)
        version &= 0xFFFF
        records.append([action, clamp(rne(lp[action], 6), 16), clamp(rne(z[-1], 6), 16),
                        version - 65536 if version > 32767 else version] + [0] * (lanes - 4))
    return records


def spec_evaluate(y, records, e_y):
    results = []
    for row, record in zip(y, records.tolist(), strict=True):
        z, _, lp = spec_row(row, e_y)
        act = min(record[0] & 0xFFFF, len(lp) - 1)
        results.append([record[0], clamp(rne(lp[act], 6), 16), record[2], clamp(rne(z[-1], 6), 16), *record[4:8]] + [0] * (len(record) - 8))
    return results


def spec_loss(y, records, e_y, e_dy, registers, entropy_coef, value_coef, gshift, stochastic, key, words=None):
    gradient, exact, saturations, stats, number = [], [], 0, Stats(), 0
    for i, (row, record) in enumerate(zip(y, records, strict=True)):
        z, _, lp = spec_row(row, e_y)
        p = [exp1(v) for v in lp]
        act = min(int(record[0]) & 0xFFFF, len(lp) - 1)
        old, adv, ret, mu = (int(v) for v in record[1:5])
        # what follows from the log-ratios has its own test, test_models_ratio.py
        x_r, x_rho = log_ratios(registers, *(np.array([v]) for v in (clamp(rne(lp[act], 6), 16), old, mu)))
        one = clip(registers, x_r, x_rho, np.array([adv]), None if words is None else words[[number]].astype(np.int64))
        number += int(record[5]) & 1
        c, ratio, x, *flags = (int(values[0]) for values in one)
        c_adv = (c * adv + 2**10) >> 11
        h = -sum((a * b + 2**15) >> 16 for a, b in zip(p, lp, strict=True))
        v = [c_adv * (p[a] - 65536 * (a == act)) + entropy_coef * ((p[a] * (lp[a] + h) + 2**15) >> 16) for a in range(len(p))]
        v.append(value_coef * (z[-1] - (ret << 6)))
        exact += v
        line = []
        for j, value in enumerate(v):
            q = shift_round(value, e_dy + 32 + gshift, stochastic, rand16(key, i, j))
            line.append(clamp(q, 16))
            saturations += q != line[-1]
        gradient.append(line)
        stats.count += 1
        for name, flag in zip(("high", "low", "rho_high", "rho_low", "masked", "clipped", "seq_masked", "vetoed"), flags, strict=True):
            setattr(stats, name, getattr(stats, name) + flag)
        stats.sum_x += x
        stats.sum_x2 += x * x
        stats.sum_ratio += ratio
        stats.sum_ratio2 += ratio * ratio >> 16
        stats.sum_k3 += ratio - 65536 - (x << 6)
        stats.sum_entropy += h
        stats.sum_verr2 += (z[-1] - (ret << 6)) ** 2 >> 16
        stats.max_x, stats.min_x = max(stats.max_x, x), min(stats.min_x, x)
    bits = max((v if v >= 0 else -1 - v).bit_length() for v in exact)
    top = min(max(bits - 32 - gshift, -127), 127) if bits else 0
    return gradient, (int(bits > 0), top, saturations), stats


def draw(rng, rows, cols):
    kind = rng.integers(4)
    if kind == 0:
        return rng.integers(-32768, 32768, (rows, cols)).astype(np.int16)
    if kind == 1:
        return rng.choice(np.array([-32768, 32767, 0, -1], np.int16), (rows, cols))
    return rng.integers(-3000, 3000, (rows, cols)).astype(np.int16)


@pytest.mark.parametrize("actions", [1, 2, 3, 7, 18, 63])
@pytest.mark.parametrize("greedy", [False, True])
def test_sample_follows_the_specification(actions, greedy):
    rng = np.random.default_rng([actions, greedy])
    for e_y in (-64, -18, -16, -13, -12, -10, 0, 15, 63):
        y, key, version = draw(rng, 9, actions + 1), int(rng.integers(1 << 32)), int(rng.integers(1 << 32))
        lanes = int(rng.choice([4, 8, 16]))
        records, result = sample(y, e_y, greedy=greedy, key=key, version=version, lanes=lanes)
        assert records.dtype == np.int16 and records.tolist() == spec_sample(y, e_y, greedy, key, version, lanes)
        assert result == (0, 0, 0)


@pytest.mark.parametrize("actions", [1, 2, 3, 7, 18, 63])
def test_evaluate_follows_the_specification(actions):
    rng = np.random.default_rng(actions)
    for e_y in (-64, -18, -16, -13, -12, -10, 0, 15, 63):
        y, records = draw(rng, 9, actions + 1), draw(rng, 9, int(rng.choice([8, 16])))
        if rng.integers(2):
            records[:, 0] = rng.integers(0, actions + 2, 9)
        given = records.copy()
        got, result = evaluate(y, records, e_y)
        assert got.dtype == np.int16 and got.tolist() == spec_evaluate(y, records, e_y)
        assert np.array_equal(records, given) and result == (0, 0, 0)


def test_evaluate_agrees_with_sample():
    rng = np.random.default_rng(3)
    y = draw(rng, 50, 7)
    sampled, _ = sample(y, -12, key=5)
    got, _ = evaluate(y, np.hstack([sampled[:, :1], draw(rng, 50, 7)]), -12)
    assert np.array_equal(got[:, [0, 1, 3]], sampled[:, [0, 1, 2]])


@pytest.mark.parametrize("lanes", [4, 8, 16])
def test_measure_follows_the_specification(lanes):
    rng = np.random.default_rng(lanes)
    for number in range(30):
        y, records, registers = draw(rng, 20, 4), draw(rng, 20, max(lanes, 8)), any_clip(rng, 300)
        records[:, 5] = records[:, 5] & ~1 | (rng.random(20) < (0.0, 0.2, 1.0)[number % 3])
        new = evaluate(y, records, -12)[0][:, 1]
        last = records[:, 5] & 1 == 1
        last[-1] = True
        wanted = measure_sequences(registers, *log_ratios(registers, *(v.astype(int) for v in (new, records[:, 1], records[:, 4]))), last)
        words, result = measure(y, records, -12, ratio=registers, lanes=lanes)
        assert words.dtype == np.int16 and words.shape == (last.sum(), lanes) and result == (0, 0, 0)
        assert np.array_equal(words[:, :4], wanted) and not words[:, 4:].any()


@pytest.mark.parametrize("method", ["any", "none", "ppo", "tis", "icepop", "decoupled_ppo", "gspo", "sequence_mask", "geometric_tis"])
@pytest.mark.parametrize("actions", [1, 2, 6, 63])
def test_loss_follows_the_specification(method, actions):
    rng = np.random.default_rng([len(method), actions])
    for e_y in (-64, -16, -13, -12, -12, -11, 0, 63):
        y = draw(rng, 7, actions + 1)
        records = draw(rng, 7, 8)
        registers = any_clip(rng, 300) if method == "any" else named()[method]
        if rng.integers(4):
            records = sample(y, e_y, key=1, lanes=8)[0]
            steps = np.array([-230, -228, -227, -1, 0, 253, 254, 800, -700], np.int16)
            records[:, 1] += rng.choice(steps, 7)
            records[:, 4] = records[:, 1] - rng.choice(steps, 7)
            records[:, 2] = rng.choice(np.array([-32768, -2048, -1, 0, 1, 2048, 32767], np.int16), 7)
        arguments = dict(entropy_coef=int(rng.choice([0, 655, 1 << 17, (1 << 18) - 1])), gshift=int(rng.integers(32)),
                         value_coef=int(rng.choice([0, 32768, (1 << 18) - 1])), stochastic=bool(rng.integers(2)),
                         key=int(rng.integers(1 << 32)))
        e_dy = int(rng.choice([-64, -40, -20, -15, -12, 0, 63]))
        stats = Stats()
        words = measure(y, records, e_y, ratio=registers)[0] if rng.integers(2) else None
        gradient, result = loss(y, records, e_y, e_dy, ratio=registers, stats=stats, sequences=words, **arguments)
        expected, expected_result, expected_stats = spec_loss(y, records, e_y, e_dy, registers, words=words, **arguments)
        assert gradient.dtype == np.int16 and gradient.tolist() == expected
        assert result == expected_result
        assert stats == expected_stats


def test_statistics_add_up_and_wrap():
    y, records = np.zeros((3, 3), np.int16), np.zeros((3, 8), np.int16)
    stats, once = Stats(), Stats()
    loss(y, records, -12, -12, stats=once)
    for _ in range(4):
        loss(y, records, -12, -12, stats=stats)
    assert (stats.count, stats.sum_entropy, stats.max_x) == (12, 4 * once.sum_entropy, once.max_x)
    stats.sum_x, stats.count = (1 << 47) - 1, 0xFFFFFFFF
    stats.add("sum_x", np.array([1]))
    stats.count_up("count", 1)
    assert (stats.sum_x, stats.count) == (-(1 << 47), 0)
    stats.clear()
    assert stats == Stats() and (stats.max_x, stats.min_x) == (-65536, 65535)


def log_softmax(x):
    x = x - x.max(axis=-1, keepdims=True)
    return x - np.log(np.exp(x).sum(axis=-1, keepdims=True))


def test_sampled_log_probability_against_float64():
    rng = np.random.default_rng(5)
    for greedy in (False, True):
        worst = 0.0
        for actions in (2, 3, 6, 18, 63):
            y = rng.integers(-32768, 32768, (3000, actions + 1)).astype(np.int16)
            records, _ = sample(y, -12, greedy=greedy, key=int(rng.integers(1 << 32)))
            exact = log_softmax(y[:, :-1] / 4096.0)[np.arange(3000), records[:, 0]]
            worst = max(worst, np.abs(records[:, 1] / 1024 - exact).max())
            assert np.abs(records[:, 2] / 1024 - y[:, -1] / 4096.0).max() <= 0.5 / 1024
        assert worst < 5.4e-4


def test_actions_are_drawn_with_their_probabilities():
    y = np.tile(np.array([[4096, 0, -4096, 2000, 0]], np.int16), (1 << 12, 1))
    counts = np.zeros(4)
    for n in range(16):
        counts += np.bincount(sample(y, -12, key=mix32(n))[0][:, 0], minlength=4)
    p = np.exp(log_softmax(y[0, :4] / 4096.0))
    assert np.abs(counts / 65536 - p).max() < 0.01


def float_loss(logits, value, action, c, adv, ret, entropy_coef, value_coef):
    lp = log_softmax(logits)
    chosen = np.take_along_axis(lp, action[:, None], 1)[:, 0]
    return -c * adv * chosen + entropy_coef * (np.exp(lp) * lp).sum(axis=1) + value_coef / 2 * (value - ret) ** 2


def test_without_sequences_only_the_first_five_elements_of_a_record_are_read():
    rng = np.random.default_rng(8)
    y, records = draw(rng, 9, 5), draw(rng, 9, 16)
    registers = named()["decoupled_ppo"]
    gradient = loss(y, records, -12, -12, ratio=registers)[0]
    records[:, 5:] = draw(rng, 9, 11)
    assert np.array_equal(loss(y, records, -12, -12, ratio=registers)[0], gradient)


@pytest.mark.parametrize("method", ["none", "tis", "ppo", "cispo"])
@pytest.mark.parametrize("actions", [2, 3, 6, 18, 63])
def test_gradient_against_finite_differences_of_the_float_loss(monkeypatch, method, actions):
    captured = []
    monkeypatch.setattr(policy, "store", lambda v, *rest: captured.append(v) or (None, None))
    rng = np.random.default_rng([len(method), actions])
    samples = 400
    y = rng.normal(0, 6000, (samples, actions + 1)).clip(-32768, 32767).astype(np.int16)
    records = sample(y, -12, key=9)[0]
    records[:, 1] += rng.integers(-500, 500, samples).astype(np.int16)
    records[:, 2] = rng.normal(0, 4000, samples).clip(-32768, 32767)
    records[:, 3] = rng.normal(0, 4000, samples).clip(-32768, 32767)
    records[:, 4] = records[:, 1] - rng.integers(-1000, 1000, samples).astype(np.int16)
    entropy_coef, value_coef = 655, 32768
    registers = named()[method]
    loss(y, records, -12, -12, ratio=registers, entropy_coef=entropy_coef, value_coef=value_coef)
    got = captured[0] * 2.0**-32

    logits, value = y[:, :-1] / 4096.0, y[:, -1] / 4096.0
    action, adv, ret = records[:, 0].astype(int), records[:, 2] / 2048.0, records[:, 3] / 1024.0
    x = np.take_along_axis(log_softmax(logits), action[:, None], 1)[:, 0] - records[:, 1] / 1024.0
    lo, hi = registers.r.lo / 1024, registers.r.hi / 1024
    clear = (np.abs(x - lo) > 2e-3) & (np.abs(x - hi) > 2e-3)  # elsewhere rounding of x decides about the clip
    ratio, rho = np.exp(x), np.exp((records[:, 1].astype(int) - records[:, 4]) / 1024)
    zeroed = ((adv > 0) & (x > hi)) | ((adv < 0) & (x < lo))
    c = {"none": np.ones(samples), "tis": np.minimum(rho, np.exp(registers.rho.hi / 1024)), "ppo": np.where(zeroed, 0, ratio),
         "cispo": np.minimum(ratio, np.exp(hi))}[method]
    rest = (action, c, adv, ret, entropy_coef / 65536, value_coef / 65536)
    exact, step = np.zeros(got.shape), 1e-5
    for j in range(actions):
        shift = np.zeros(actions)
        shift[j] = step
        exact[:, j] = (float_loss(logits + shift, value, *rest) - float_loss(logits - shift, value, *rest)) / (2 * step)
    exact[:, -1] = (float_loss(logits, value + step, *rest) - float_loss(logits, value - step, *rest)) / (2 * step)
    error = np.abs(got - exact)[clear]
    scale = (np.abs(c * adv) + entropy_coef / 65536)[clear]
    assert clear.sum() > samples * 0.9
    relative = {"none": 4e-5, "tis": 8e-5}.get(method, 6e-4)
    assert (error[:, :-1].max(axis=1) <= relative * scale + 3e-5).all()
    assert error[:, -1].max() < 1e-8


@pytest.mark.parametrize("name, wrong", [
    ("exp_q", lambda x: exp_q(x) + (x == 0)),
    ("ln_q", lambda s: ln_q(s) + 1),
    ("rand32", lambda key, row, col: mix32(key) + np.asarray(row) * 0),
    ("_to_record", lambda v: np.minimum(np.maximum((v + 32) >> 6, -32768), 32767)),
])
def test_a_wrong_model_would_be_noticed(monkeypatch, name, wrong):
    monkeypatch.setattr(policy, name, wrong)
    with pytest.raises(AssertionError):
        for actions in (2, 18, 63):
            test_sample_follows_the_specification(actions, False)
