# SPDX-License-Identifier: Apache-2.0
"""Golden scan against the specification, and against each estimator's published sum in float64."""

from dataclasses import replace

import numpy as np
import pytest

from lathe import SettingsError
from lathe.advantages import Advantages
from pymodels.functions import exp_q
from pymodels.scan import Scan, scan
from tb.common.scans import any_scan, episodes, named, scan_of


def clamp(x, bits):
    return min(max(x, -(1 << bits - 1)), (1 << bits - 1) - 1)


def spec(records, n, registers):
    """docs/numerics.md, section 8, SCAN, sentence by sentence; returns (records, saturations)."""
    m = len(records)
    done = [[int(element) for element in record] for record in records]
    gamma, decay = min(registers.gamma, 65536), min(registers.decay, 65536)
    left = {}  # what each record leaves behind: (a, g, c)
    saturations = 0
    for i in range(m - 1, -1, -1):
        _, old, r, v, mu, flags = done[i][:6]
        e = int(exp_q(np.array((old - mu) << 6)))
        rho = min(e, 2 * registers.rho_cap) if registers.delta_weight else 65536
        c = min(e, 2 * registers.c_cap) if registers.trace_weight else 65536
        g = (gamma * v + 2**13) >> 14
        if i + n >= m:
            left[i] = 0, g, c
            continue
        a_next, g_next, c_next = left[i + n]
        td = clamp(4 * r - 4 * v + (0 if flags & 2 else g_next), 18)
        u = 0 if flags & 1 else (decay * a_next + 2**15) >> 16
        a = clamp((rho * td + (c_next if registers.trace_next else c) * u + 2**15) >> 16, 18)
        left[i] = a, g, c
        results = (td + u if registers.td_advantage else a) + 1 >> 1, (4 * v + a + 2) >> 2
        done[i][2:4] = (clamp(x, 16) for x in results)
        saturations += sum(clamp(x, 16) != x for x in results)
    return done[:max(m - n, 0)], saturations


@pytest.mark.parametrize("seed", range(30))
def test_any_registers_follow_the_specification(seed):
    rng = np.random.default_rng(seed)
    for n in (1, 2, 3, int(rng.integers(4, 64)), 63):
        records = rng.choice([0, -1, 1, -32768, 32767], (int(rng.integers(1, 4 * n + 3)), 8)).astype(np.int16)
        ordinary = episodes(rng, 3, n, 0.3)
        for some in (records, ordinary, ordinary[n // 2:]):
            registers = any_scan(rng)
            got, result = scan(some, n, registers)
            expected, saturations = spec(some, n, registers)
            assert got.tolist() == expected and result == (0, 0, saturations)


# In float64, from the publications: sums over the steps ahead, not recursions.


def in_reals(records, n):
    """One environment after the other: reward, value, ratio, last, terminated, each of shape (steps + 1, n)."""
    r, v = (records[:, i].reshape(-1, n) / 1024 for i in (2, 3))
    ratio = np.exp((records[:, 1].astype(int) - records[:, 4]) / 1024).reshape(-1, n)
    last, terminated = ((records[:, 5].reshape(-1, n) & flag) != 0 for flag in (1, 2))
    return r, v, ratio, last, terminated


def ahead(td, discount, trace, last):
    """sum over t >= s of discount**(t - s) * (product of the traces s .. t - 1) * td_t, up to the end of the episode."""
    sums = np.zeros_like(td)
    for e in range(td.shape[1]):
        for s in range(len(td)):
            weight = 1.0
            for t in range(s, len(td)):
                sums[s, e] += weight * td[t, e]
                weight *= discount * trace[t, e]
                if last[t, e] or abs(weight) < 1e-12:
                    break
    return sums


def published(name, records, n, made):
    """(advantage, return) of GAE, V-trace or Retrace, shape (steps, n)."""
    r, v, ratio, last, terminated = in_reals(records, n)
    registers = scan_of(made)
    gamma, decay = registers.gamma / 65536, registers.decay / 65536
    steps = len(r) - 1
    td = r[:-1] + gamma * np.where(terminated[:-1], 0, v[1:]) - v[:-1]
    if name == "gae":
        advantage = ahead(td, decay, np.ones_like(td), last)
        return advantage, v[:-1] + advantage
    if name == "vtrace":
        rho, c = (np.minimum(ratio[:-1], cap / 32768) for cap in (registers.rho_cap, registers.c_cap))
        targets = v[:-1] + ahead(rho * td, decay, c, last)
        behind = np.vstack([targets[1:], v[-1:]])  # v of the next step, V of the bootstrap
        lam = decay / gamma
        behind = np.where(last[:-1], v[1:], lam * behind + (1 - lam) * v[1:])
        return r[:-1] + gamma * np.where(terminated[:-1], 0, behind) - v[:-1], targets
    c = np.minimum(ratio, 1)
    advantage = ahead(td, decay, c[1:steps + 1], last)
    return advantage, v[:-1] + advantage


@pytest.mark.parametrize("name, made, bound", [
    ("gae", Advantages.gae(), 2**-9),
    ("gae", Advantages.gae(0.99, 1), 2**-8),
    ("gae", Advantages.td_lambda(0.9, 0), 2**-10),
    ("vtrace", Advantages.vtrace(), 2**-9),
    ("vtrace", Advantages.vtrace(0.97, 0.9, 1.7, 0.6), 2**-9),
    ("retrace", Advantages.retrace(), 2**-9),
])
@pytest.mark.parametrize("ends", [0, 0.05])
def test_estimators_are_those_of_the_publications(name, made, bound, ends):
    rng = np.random.default_rng(3)
    worst = 0.0
    for n, steps in ((1, 1), (1, 300), (3, 200), (8, 128)):
        records = episodes(rng, steps, n, ends)
        if ends and (n, steps) == (8, 128):
            records[:, 5] = 3  # every step ends its episode
        done, result = scan(records, n, scan_of(made))
        expected = np.stack(published(name, records, n, made), axis=-1).reshape(-1, 2)
        assert not result.saturations
        worst = max(worst, np.abs(done[:, 2:4] / (2048, 1024) - expected).max())
    print(f"{name}, ends {ends}: worst error {worst * 1024:.2f} * 2**-10")
    assert worst <= bound


def test_retrace_with_action_values():
    """The host's change of the reward makes of one value a record the estimator with Q and its expectation."""
    rng = np.random.default_rng(8)
    n, steps, gamma = 4, 60, 0.95
    records = episodes(rng, steps, n, 0)
    q, expected_q = rng.integers(-2000, 2000, (2, steps + 1, n)) / 1024
    r, _, ratio, last, _ = in_reals(records, n)
    reward = r[:-1] + gamma * np.vstack([(expected_q - q)[1:-1], np.zeros((1, n))])
    records[:, 3] = np.rint(np.vstack([q[:-1], expected_q[-1:]]) * 1024).reshape(-1)
    records[:steps * n, 2] = np.rint(reward * 1024).reshape(-1)
    done, _ = scan(records, n, scan_of(Advantages.retrace(gamma)))
    td = r[:-1] + gamma * expected_q[1:] - q[:-1]
    target = q[:-1] + ahead(td, gamma, np.minimum(ratio[1:], 1), last)
    assert np.abs(done[:, 3].reshape(steps, n) / 1024 - target).max() < 2**-6  # the reward's rounding adds up


def test_error_bound_of_the_documents():
    """2**-9 for decays up to 0.95; 2**-7 for any, over 1,000 steps without an end."""
    rng = np.random.default_rng(5)
    worst = {2**-9: 0.0, 2**-7: 0.0}
    for gamma, lam in ((0.99, 0.95), (0.95, 1), (0.99, 1), (0.999, 1), (0.9999, 1), (1, 0.99)):
        for registers in (named()["gae"], replace(named()["vtrace"], td_advantage=0), named()["retrace"]):
            registers = replace(registers, gamma=round(gamma * 65536), decay=round(gamma * lam * 65536))
            records = episodes(rng, 1000, 16, 0)
            r, v, ratio, _, _ = in_reals(records, 16)
            done, _ = scan(records, 16, registers)
            g, d, a = registers.gamma / 65536, registers.decay / 65536, np.zeros(16)
            weights = [np.minimum(ratio, 1) if on else np.ones_like(ratio) for on in (registers.delta_weight, registers.trace_weight)]
            for t in range(999, -1, -1):
                a = weights[0][t] * (r[t] + g * v[t + 1] - v[t]) + d * weights[1][t + registers.trace_next] * a
                got = done[16 * t:16 * t + 16, 2:4] / (2048, 1024)
                inside = (np.abs(a) < 15.9) & (np.abs(a + v[t]) < 31.9)
                error = max(np.abs(got[:, 0] - a)[inside].max(initial=0), np.abs(got[:, 1] - v[t] - a)[inside].max(initial=0))
                bound = 2**-9 if gamma * lam <= 0.95 else 2**-7
                worst[bound] = max(worst[bound], error)
    print({bound: f"{error * 1024:.2f} * 2**-10" for bound, error in worst.items()})
    assert all(error <= bound for bound, error in worst.items())


@pytest.mark.parametrize("r, v, gamma, decay, ratio, steps, weights, caps", [
    (51, 0, 64881, 61637, 0, 1000, 0, 65535), (-4, 938, 64881, 62259, 0, 300, 0, 65535), (-64, -1412, 62259, 62259, 26, 300, 1, 65535),
    (51, 3000, 64881, 64881, 0, 1000, 0, 65535), (7, 0, 65470, 65470, 0, 1000, 0, 65535), (-3, 100, 65536, 65470, 0, 1000, 0, 65535),
    (9, -700, 60000, 58982, -200, 500, 1, 65535), (9445, 4649, 51646, 54312, -314, 7, 3, 32768),
    (700, 1500, 62000, 30000, 680, 300, 3, 65535), (1200, 0, 60000, 40000, 500, 300, 2, 65535),
    (300, -2000, 60000, 61000, -60, 300, 3, 32768), (-300, 0, 65536, 35000, 600, 300, 3, 65535),
])
def test_worst_error_bound_of_the_documents(r, v, gamma, decay, ratio, steps, weights, caps):
    """Steps that stay the same, whose errors add up; `weights`: 1 on the trace, 2 on the temporal difference."""
    registers = Scan(gamma=gamma, decay=decay, rho_cap=caps, c_cap=caps, trace_weight=weights & 1, delta_weight=weights >> 1)
    records = np.zeros((steps + 1, 8), np.int16)
    records[:, 1:4] = ratio, r, v
    done, _ = scan(records, 1, registers)
    weight = min(np.exp(ratio / 1024), caps / 32768)
    (k, eps_k), (rho, eps_rho) = ((weight, max(1.35 * 2**-16, 3.2e-5 * weight)) if weights >> i & 1 else (1.0, 0.0) for i in range(2))
    c, a, exact, td = decay / 65536 * k, 0.0, np.zeros(steps), r / 1024 + (gamma / 65536 - 1) * v / 1024
    for t in range(steps - 1, -1, -1):
        a = rho * td + c * a
        exact[t] = a
    assert np.abs(exact).max() < 15.9  # nothing is clamped
    step = (1 + rho + k) / 2 * 2**-12 + eps_rho * abs(td) + eps_k * decay / 65536 * np.abs(exact).max()
    bound = step * (1 - c ** (steps - np.arange(steps))) / (1 - c) + 2**-11
    assert np.all(np.abs(done[:, 2] / 2048 - exact) <= bound) and np.all(np.abs(done[:, 3] / 1024 - v / 1024 - exact) <= bound)


def test_on_policy_vtrace_has_the_returns_of_gae():
    """Ratios of 1: the same bits with lambda 1, and one advantage is the other."""
    records = episodes(np.random.default_rng(1), 100, 8)
    records[:, 4] = records[:, 1]
    gae, _ = scan(records, 8, scan_of(Advantages.gae(0.99, 1)))
    vtrace, _ = scan(records, 8, scan_of(Advantages.vtrace(0.99)))
    assert np.array_equal(gae, vtrace)


def test_without_a_follower_nothing_is_written():
    records = episodes(np.random.default_rng(1), 0, 5)
    assert scan(records, 5, Scan())[0].shape == scan(records[:2], 5, Scan())[0].shape == (0, 8)


@pytest.mark.parametrize("make", [
    lambda: Advantages.gae(1.1), lambda: Advantages.gae(0.9, -0.1), lambda: Advantages.td_lambda(float("nan")),
    lambda: Advantages.vtrace(rho_cap=2), lambda: Advantages.vtrace(c_cap=0), lambda: Advantages.vtrace(rho_cap=-1e-9),
])
def test_bad_settings_are_refused(make):
    with pytest.raises(SettingsError, match="must be"):
        make()
