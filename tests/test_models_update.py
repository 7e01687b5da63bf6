# SPDX-License-Identifier: Apache-2.0
"""Golden update unit, exponent registers and weight slots against the specification and float64."""

import numpy as np
import pytest

from pymodels import numerics
from pymodels.descriptor import Error
from pymodels.exponents import ExponentFile
from pymodels.numerics import Result, align, mix32
from pymodels.update import sgd
from pymodels.weights import WeightGroup
from tb.common import spec


def spec_sgd(w, g, m, e_w, e_g, e_m, e_wn, e_mn, lr_mant, lr_exp, momentum, stochastic, key):
    """Section 9 element by element in unbounded integers."""
    w_next, m_next, all_w, all_m, sat_w, sat_m = [], [], [], [], 0, 0
    for i in range(len(w)):
        row, col = i >> 16, i & 0xFFFF
        vm = spec.clamp(spec.align(momentum * int(m[i]), e_m - e_mn, 15), 35)
        vm = spec.clamp(vm + spec.clamp(spec.align(int(g[i]), e_g - e_mn + 16, 31), 35), 35)
        q = spec.round_window(vm, False, stochastic, spec.rand16(key, row, col))
        value = spec.clamp(q, 16)
        sat_m += q != value
        m_next.append(value)
        vw = spec.clamp(spec.align(int(w[i]), e_w - e_wn + 16, 31), 35)
        vw = spec.clamp(vw - spec.clamp(spec.align(lr_mant * value, e_mn + lr_exp - e_wn + 16, 15), 35), 35)
        q = spec.round_window(vw, False, stochastic, spec.rand16(key, row + 2**31, col))
        new = spec.clamp(q, 16)
        sat_w += q != new
        w_next.append(new)
        all_w.append((vw, False))
        all_m.append((vm, False))
    return w_next, m_next, (*spec.tracked(all_w, e_wn), sat_w), (*spec.tracked(all_m, e_mn), sat_m)


def draw(rng, n, kind):
    if kind == "extreme":
        return rng.choice(np.array([-32768, 32767, 0, -1, 1], np.int16), (3, n))
    low, high = {"full": (-32768, 32768), "small": (-9, 10), "zero": (0, 1)}[kind]
    return rng.integers(low, high, (3, n)).astype(np.int16)


@pytest.mark.parametrize("stochastic", [False, True])
@pytest.mark.parametrize("kind", ["full", "small", "extreme", "zero"])
def test_sgd_follows_the_specification(stochastic, kind):
    rng = np.random.default_rng([stochastic, len(kind)])
    exponents = [(-14, -12, -13, -14, -13)] * 3 + [(0, 0, 0, 63, 63), (63, 63, 63, -64, -64), (-64, -64, -64, 63, 63)]
    for places in exponents + rng.integers(-22, -8, (10, 5)).tolist():
        n = 8 * int(rng.integers(1, 6))
        w, g, m = draw(rng, n, kind)
        settings = dict(lr_mant=int(rng.choice([0, 1, 1000, 65535])), lr_exp=int(rng.choice([-128, -20, -16, 0, 127])),
                        momentum=int(rng.choice([0, 58982, 65535])), stochastic=stochastic, key=int(rng.integers(1 << 32)))
        w_next, m_next, *results = sgd(w, g, m, *places, **settings)
        assert w_next.dtype == m_next.dtype == np.int16
        assert (w_next.tolist(), m_next.tolist(), *results) == spec_sgd(w, g, m, *places, **settings)


@pytest.mark.parametrize("stochastic", [False, True])
def test_sgd_against_float64(stochastic):
    rng = np.random.default_rng(2)
    half = 1.0 if stochastic else 0.5
    for e_w, e_g, e_m, e_wn, e_mn in rng.integers(-18, -12, (50, 5)):
        w, g, m = rng.integers(-9000, 9000, (3, 400)).astype(np.int16)
        w_next, m_next, w_result, m_result = sgd(
            w, g, m, e_w, e_g, e_m, e_wn, e_mn, lr_mant=41943, lr_exp=-22, momentum=58982, stochastic=stochastic, key=7)
        exact_m = 58982 / 65536 * m * 2.0**e_m + g * 2.0**e_g
        fits = np.abs(exact_m) < 32766 * 2.0**e_mn
        assert np.abs(m_next * 2.0**e_mn - exact_m)[fits].max() <= (half + 2.0**-15) * 2.0**e_mn
        exact_w = w * 2.0**e_w - 41943 * 2.0**-22 * (m_next * 2.0**e_mn)
        fits = np.abs(exact_w) < 32766 * 2.0**e_wn
        assert np.abs(w_next * 2.0**e_wn - exact_w)[fits].max() <= (half + 2.0**-15) * 2.0**e_wn
        for exact, result, e in ((exact_m, m_result, e_mn), (exact_w, w_result, e_wn)):  # top sees no further than the window
            assert min(np.abs(exact).max(), 2.0 ** (int(e) + 18)) <= 2.0**result.top


def test_stochastic_updates_reach_the_goal_that_rounding_never_leaves():
    w = np.zeros(800, np.int16)
    g = np.full(800, 100, np.int16)
    arguments = dict(lr_mant=32768, lr_exp=-25, momentum=0)  # a step of 100/1024 units
    stuck, moving = w, w
    for n in range(200):
        stuck = sgd(stuck, g, w, -14, -14, -14, -14, -14, **arguments)[0]
        moving = sgd(moving, g, w, -14, -14, -14, -14, -14, stochastic=True, key=mix32(n), **arguments)[0]
    assert (stuck == 0).all()
    assert abs(moving.mean() + 200 * 100 / 1024) < 0.6


@pytest.mark.parametrize("wrong", [
    lambda x, s, up: align(x, s, up - 16), lambda x, s, up: -align(-x, s, up), lambda x, s, up: align(x, s + 1, up)])
def test_a_wrong_model_would_be_noticed(monkeypatch, wrong):
    monkeypatch.setattr(numerics, "align", wrong)
    with pytest.raises(AssertionError):
        test_sgd_follows_the_specification(True, "small")


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


@pytest.mark.parametrize("slots", [2, 3, 4])
def test_versions_go_forth_and_back(slots):
    group = WeightGroup()
    group.init(100, 10, slots, 0xFFFFFFFE)
    assert group.rollback() == Error.NO_VERSION and (group.slot, group.version) == (0, 0xFFFFFFFE)
    for n in range(1, 8):
        group.commit()
        assert (group.slot, group.version, group.kept) == (n % slots, (0xFFFFFFFE + n) % 2**32, min(n, slots - 2))
    for n in range(slots - 2):
        assert group.rollback() == Error.NONE and group.slot == (7 - n - 1) % slots
    assert group.rollback() == Error.NO_VERSION
    assert group.first_word(group.slot_next) == 100 + 10 * ((group.slot + 1) % slots)
    group.commit()
    assert group.version == 6  # not the number of a version that was left
    for asked, taken in ((0, 2), (1, 2), (5, 4), (7, 4)):
        group.init(0, 10, asked, 0)
        assert group.slots == taken


def test_a_pinned_version_stays():
    group = WeightGroup()
    group.init(0, 10, 3, 5)
    assert group.pin() == group.pin() == Error.NONE
    group.commit()
    assert group.pin() == Error.NO_SLOT
    for _ in range(5):
        assert group.restore(0) == Error.NONE and group.version == 5
        group.commit()
        group.commit()
        assert group.slot and group.slot_next
    assert group.rollback() == Error.NO_VERSION  # the other slot is written next
    assert group.restore(group.slot_next) == group.restore(3) == Error.NO_VERSION
    assert group.restore(0) == group.unpin(0) == Error.NONE
    for _ in range(3):
        group.commit()
    assert group.table[0].version != 5


def test_what_a_request_holds_is_not_written():
    group = WeightGroup()
    group.init(0, 10, 3, 0)
    group.hold()
    for _ in range(4):
        assert not group.must_wait
        group.commit()
        assert group.slot_next != 0 == group.held
    group.restore(0)
    group.pin()
    group.commit()
    group.release()
    group.hold()
    assert group.must_wait
    group.release()
    assert not group.must_wait


def test_a_bad_version_is_not_returned_to():
    group = WeightGroup()
    group.init(100, 10, 3, 0)
    group.commit()
    for address in (99, 130):
        group.fault(address)
    assert not group.flags("bad")
    group.fault(109)
    assert group.flags("bad") == 1
    assert group.rollback() == group.restore(0) == Error.NO_VERSION
    group.commit()
    group.commit()
    assert not group.flags("bad") and group.rollback() == Error.NONE
