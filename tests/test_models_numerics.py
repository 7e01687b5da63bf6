# SPDX-License-Identifier: Apache-2.0
"""Rounding, saturation, alignment, random bits and the function tables against exact arithmetic and float64."""

import random
from fractions import Fraction

import numpy as np
import pytest

from pymodels import functions
from pymodels.functions import exp_q, ln_q, tanh_q
from pymodels.numerics import (
    Window,
    align,
    bitlen,
    clamp35,
    mix32,
    mix32_array,
    op_key,
    pack_cols,
    pack_rows,
    rand16_grid,
    rand16_lines,
    rand32,
    saturate8,
    saturate16,
    shift_round,
    term,
    top,
    unpack_cols,
    unpack_rows,
)
from tb.common import spec

EDGES = sorted({sign * value for e in (0, 1, 2, 3, 14, 15, 16, 17, 31, 46, 60, 61) for value in
                ((1 << e) - 1, 1 << e, (1 << e) + 1, 3 << max(e - 1, 0)) for sign in (1, -1) if value <= 1 << 61})


@pytest.mark.parametrize("stochastic", [False, True])
def test_shift_round_follows_the_specification(stochastic):
    rng = random.Random(1)
    values = EDGES + [rng.randrange(-(1 << b), 1 << b) for b in range(1, 62) for _ in range(4)]
    for s in range(-20, 66):
        usable = [v for v in values if s > 0 or abs(v) <= 1 << 46]
        r = [rng.choice((0, 1, 0x7FFF, 0x8000, 0xFFFF, rng.randrange(1 << 16))) for _ in usable]
        got = shift_round(np.array(usable, np.int64), s, stochastic, np.array(r, np.uint32))
        assert got.tolist() == [spec.shift_round(v, s, stochastic, x) for v, x in zip(usable, r, strict=True)], s


def test_shift_round_left_keeps_sign_and_saturation_of_wide_values():
    wide = np.array([-(1 << 61), 1 << 61, -(1 << 46) - 1, (1 << 46) + 1], np.int64)
    for s in range(-20, 1):
        assert saturate16(shift_round(wide, s))[0].tolist() == [-32768, 32767, -32768, 32767]


@pytest.mark.parametrize("v, expected", [(5, 2), (7, 4), (-5, -2), (-7, -4), (1, 0), (3, 2), (-1, 0), (-3, -2)])
def test_shift_round_at_the_half(v, expected):
    assert shift_round(np.array([v], np.int64), 1)[0] == expected
    assert shift_round(np.array([v << 20], np.int64), 21)[0] == expected


def test_sticky_bits_decide_beyond_the_half():
    assert shift_round(np.array([(1 << 39) + 1, 1 << 39, (1 << 39) - 1], np.int64), 40).tolist() == [1, 0, 0]


def test_stochastic_rounding_has_the_stated_mean_error():
    r = np.arange(1 << 16)
    for v, s in ((12345, 10), (-12345, 10), (0x123456789, 30), (-0x123456789, 30), (1, 40), (-1, 40), (7 << 16, 16)):
        mean = Fraction(int(shift_round(np.full(1 << 16, v, np.int64), s, True, r).sum()), 1 << 16)
        assert Fraction(-1, 1 << 16) < mean - Fraction(v, 1 << s) <= 0
        if s <= 16:
            assert mean == Fraction(v, 1 << s)


@pytest.mark.parametrize("fraction", [0x0400, 0x3777, 0x8000, 0xE001])
def test_stochastic_rounding_with_the_hash_has_a_mean_error_near_zero(fraction):
    v = np.full((128, 32), fraction, np.int64)
    means = [shift_round(v, 16, True, rand16_grid(op_key(1, n), 128, 32)).mean() for n in range(400)]
    p = fraction / 65536
    deviation = np.sqrt(p * (1 - p) / v.size)  # of one mean, were the draws independent
    # As good as independent: the mean over all operations within four of its deviations, each mean's scatter within 15 %.
    assert abs(np.mean(means) - p) < 4 * deviation / np.sqrt(400)
    assert 0.85 * deviation < np.std(means) < 1.15 * deviation


def test_saturate16_clamps_and_counts():
    values, count = saturate16(np.array([-(1 << 60), -32769, -32768, 0, 32767, 32768], np.int64))
    assert values.dtype == np.int16
    assert values.tolist() == [-32768, -32768, -32768, 0, 32767, 32767]
    assert count == 3


def test_bitlen_and_top():
    assert [bitlen(v) for v in (0, -1, 1, -2, 255, 256, -256, -257)] == [0, 0, 1, 1, 8, 9, 8, 9]
    assert top(np.array([[0, -1]]), 5) == (0, 0)
    assert top(np.array([[3, -5]]), -2) == (1, 1)
    assert top(np.array([[-4, 3]]), -2) == (1, 0)
    assert top(np.array([[1 << 60]]), 100) == (1, 127)
    assert top(np.array([[1]]), -200) == (1, -127)


def test_saturate8_and_clamp35():
    values, count = saturate8(np.array([-(1 << 60), -129, -128, 0, 127, 128], np.int64))
    assert values.dtype == np.int8 and values.tolist() == [-128, -128, -128, 0, 127, 127] and count == 3
    limit = 1 << 34
    assert clamp35(np.array([-limit - 1, -limit, limit - 1, limit])).tolist() == [-limit, -limit, limit - 1, limit - 1]


@pytest.mark.parametrize("stochastic", [False, True])
def test_window_and_what_follows_are_the_specification(stochastic):
    rng = random.Random(2)
    values = EDGES + [rng.randrange(-(1 << b), 1 << b) for b in range(1, 62) for _ in range(4)]
    z, d = ([rng.randrange(-(1 << b), 1 << b) for b in rng.choices(range(36), k=len(values))],
            [rng.choice((0, 1, 32768, 65535, 65536, rng.randrange(65537))) for _ in values])
    r = [rng.choice((0, 1, 0x7FFF, 0x8000, 0xFFFF, rng.randrange(1 << 16))) for _ in values]

    def compare(window, wanted):
        lost = (window.bits & (1 << window.below) - 1) != 0
        assert list(zip((window.bits >> window.below).tolist(), lost.tolist(), strict=True)) == wanted
        assert window.round(stochastic, np.array(r)).tolist() == [
            spec.round_window(*w, stochastic, x) for w, x in zip(wanted, r, strict=True)]
        assert window.tracked(-9) == spec.tracked(wanted, -9)

    for s in range(-20, 66):
        window, wanted = Window.of(np.array(values, np.int64), s), [spec.window(v, s) for v in values]
        compare(window, wanted)
        compare(window.relu(), [(x, lost) if x >= 0 else (0, False) for x, lost in wanted])
        window = window.add(clamp35(np.array(z)))
        wanted = [(spec.clamp(x + spec.clamp(t, 35), 35), lost) for (x, lost), t in zip(wanted, z, strict=True)]
        compare(window, wanted)
        keep = [t % 3 > 0 for t in r]
        compare(window.mask(np.array(keep)), [w if k else (0, False) for w, k in zip(wanted, keep, strict=True)])
        compare(window.scale(np.array(d)), [
            (x * f >> 16, lost or x * f % 65536 != 0) for (x, lost), f in zip(wanted, d, strict=True)])


def test_terms_are_aligned_and_clamped():
    for x, width in (([-32768, -1, 0, 1, 32767], 16), ([-(1 << 31), 1 - (1 << 31), 1, (1 << 31) - 1], 32)):
        for s in range(-70, 40):
            assert term(np.array(x), width, s, 31).tolist() == [spec.clamp(spec.align(v, s, 31), 35) for v in x], s


def test_round19_clamps():
    for s in (0, 15, 16, 17, 20):
        for values in ([-(1 << 60), 5, 1 << 60], [-(1 << 18) << s, ((1 << 18) - 1) << s], [3, -3]):
            wanted = [spec.clamp(spec.round_window(*spec.window(v, s), False, 0), 19) for v in values]
            assert Window.of(np.array(values, np.int64), s).round19().tolist() == wanted, (s, values)


def test_tracked_knows_what_was_lost():
    for values, s, expected in (([0, -1], 16, (0, 0)), ([0, -1], 17, (1, -16)), ([0, -2], 17, (0, 0)), ([0, 1], 17, (1, -16)),
                                ([1], 16, (1, -15)), ([1 << 60], 17, (1, 18)), ([-(1 << 60)], 0, (1, 18))):
        assert Window.of(np.array(values, np.int64), s).tracked(0) == expected, (values, s)
    assert Window.of(np.array([1 << 60]), 0).tracked(120) == (1, 127)


@pytest.mark.parametrize("rows", [1, 2, 7])
@pytest.mark.parametrize("cols", [1, 2, 5, 8])
def test_int8_matrices_survive_packing(rows, cols):
    m = np.random.default_rng(1).integers(-128, 128, (rows, cols)).astype(np.int8)
    along_rows, along_cols = pack_rows(m), pack_cols(m)
    assert along_rows.dtype == along_cols.dtype == np.int16
    assert along_rows.shape == (rows, (cols + 1) // 2) and along_cols.shape == ((rows + 1) // 2, cols)
    assert (unpack_rows(along_rows, cols) == m).all() and (unpack_cols(along_cols, rows) == m).all()
    assert (pack_cols(m.T.copy()).T == along_rows).all()
    for i in range(rows):
        for j in range(cols):
            assert (int(along_rows[i, j // 2]) >> 8 * (j % 2)) & 0xFF == int(m[i, j]) & 0xFF
    garbage = along_rows | (np.int16(0x7100) if cols % 2 else np.int16(0)) * (np.arange((cols + 1) // 2) == cols // 2)
    assert (unpack_rows(garbage, cols) == m).all()  # a pad byte does not count
    assert (unpack_rows(np.repeat(along_rows, 2, axis=0)[::2], cols) == m).all()


@pytest.mark.parametrize("seed", [5, 6])
def test_neighbors_share_no_randomness(seed):
    """Numbers of an 8x8 block over 10,000 keys: uniform, and no two of them correlated by more than chance allows."""
    blocks = np.array([rand16_grid(op_key(seed, n), 8, 8).ravel() for n in range(10_000)], float)
    correlation = np.corrcoef(blocks.T) - np.eye(64)
    pairs = np.abs(correlation[np.triu_indices(64, 1)])  # 2,016, deviation 0.01 each
    assert pairs.max() < 0.05 and pairs.mean() < 0.0086
    assert np.abs(blocks.mean(axis=0) - 32767.5).max() < 4.5 * 189.2
    for element in range(64):
        histogram = np.bincount((blocks[:, element] // 2048).astype(int), minlength=32)
        assert ((histogram - 312.5) ** 2).sum() / 312.5 < 75  # 31 degrees of freedom
    for bit in range(16):  # of the sharing columns' bits none is another's copy
        ones = (blocks[:, :4].astype(int) >> bit & 1).astype(float)
        assert np.abs(np.corrcoef(ones.T) - np.eye(4)).max() < 0.05


def test_align_shifts_both_ways_and_stops():
    x = np.array([-32768, -1, 0, 1, 32767], np.int64)
    assert align(x, 3, 28).tolist() == (x * 8).tolist()
    assert align(x, 40, 28).tolist() == (x << 28).tolist()
    assert align(x, -1, 28).tolist() == [-16384, -1, 0, 0, 16383]
    assert align(x, -200, 28).tolist() == [-1, -1, 0, 0, 0]


def test_mix32_is_a_permutation_and_its_array_form_agrees():
    rng = np.random.default_rng(1)
    x = np.concatenate([rng.integers(0, 1 << 32, 2000, dtype=np.uint32), np.array([0, 1, 0xFFFFFFFF, 1 << 31], np.uint32)])
    assert mix32_array(x.copy()).tolist() == [mix32(int(v)) for v in x]
    assert len(np.unique(mix32_array(np.arange(1 << 20, dtype=np.uint32)))) == 1 << 20
    # Written out once more, operation by operation, for one value.
    x = 0x12345678
    x = (0xFFFFFFFF - x + (x << 15)) % 2**32
    x ^= x >> 12
    x = x * 5 % 2**32
    x ^= x >> 4
    x = x * (1 + 8 + 2048) % 2**32
    assert mix32(0x12345678) == x ^ (x >> 16)


def test_random_bits_depend_on_row_and_column_alone():
    key = op_key(7, 3)
    assert key == mix32(7 ^ mix32(3))
    grid = rand16_grid(key, 5, 7)
    assert all(grid[i, j] == spec.rand16(key, i, j) for i in range(5) for j in range(7))
    assert rand16_grid(key, 1, 9, 77)[0].tolist() == [spec.rand16(key, 77, j) for j in range(9)]
    for first in (0, 1 << 31):
        line = rand16_lines(key, 65541, (5, first))[1]
        assert all(line[i] == spec.rand16(key, first + (i >> 16), i & 0xFFFF) for i in (0, 1, 2, 3, 65535, 65536, 65540))
        assert (rand16_lines(key, 101, (first,)) == line[:101]).all()
    assert all(rand32(key, i, j)[()] == spec.rand32(key, i, j) for i in range(3) for j in (0, 5, 65535))
    assert rand32(key, np.arange(3), 0).tolist() == [mix32(mix32(key ^ i)) for i in range(3)]
    assert len({op_key(1, n) for n in range(1000)} | {op_key(2, n) for n in range(1000)}) == 2000


@pytest.mark.parametrize("exact", [
    2.0**15 * np.tanh(np.arange(513) / 64), 2.0**16 * np.exp2(np.arange(257) / 256), 2.0**16 * np.log1p(np.arange(257) / 256)])
def test_tables_do_not_depend_on_the_last_bits_of_float64(exact):
    assert np.abs(exact - np.floor(exact) - 0.5).min() > 1e-6


def test_tables_have_their_corners():
    assert functions.TANH_TABLE[[0, 512]].tolist() == [0, 32767]
    assert functions.EXP_TABLE[[0, 256]].tolist() == [65536, 131072]
    assert functions.LN_TABLE[[0, 256]].tolist() == [0, 45426]


def test_tanh_q_over_all_arguments():
    x = np.arange(-(1 << 18), 1 << 18)
    y = tanh_q(x)
    assert np.abs(y - 2.0**15 * np.tanh(x / 2.0**15)).max() < 1.54
    assert (np.diff(y) >= 0).all() and y.min() == -32767 and y.max() == 32767
    assert (y[1:] == -y[:0:-1]).all() and tanh_q(np.array([0]))[0] == 0
    assert tanh_q(np.array([-(1 << 18)]))[0] == tanh_q(np.array([1 - (1 << 18)]))[0]


def test_exp_q_over_the_arguments_of_the_policy_unit():
    for start in range(-(1 << 25), 1 << 18, 1 << 20):
        x = np.arange(start, min(start + (1 << 20), 1 << 18)) if start >= -(1 << 20) else np.arange(start, start + (1 << 20), 61)
        y, exact = exp_q(x), 2.0**16 * np.exp(x / 2.0**16)
        assert (np.diff(y) >= 0).all()
        assert np.abs(y - exact)[x <= 0].max(initial=0) < 1.35
        inside = (x > 0) & (exact < (1 << 21) - 100)
        assert np.abs(y / exact - 1)[inside].max(initial=0) < 3.2e-5
        assert (y[exact > (1 << 21) + 100] == (1 << 21) - 1).all()
    assert exp_q(np.array([0, -(1 << 25), (1 << 25) - 1])).tolist() == [65536, 0, (1 << 21) - 1]


def test_ln_q_over_all_arguments():
    s = np.arange(65536, 1 << 23)
    y = ln_q(s)
    assert np.abs(y - 2.0**16 * np.log(s / 2.0**16)).max() < 1.6
    assert (np.diff(y) >= 0).all() and y[0] == 0
