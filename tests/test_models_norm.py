# SPDX-License-Identifier: Apache-2.0
"""Golden gradient norm against float64."""

import math

import numpy as np
import pytest

from pymodels.norm import GradientNorm

BOUND = 2.0**-11  # of the logarithm: half a step of the table (log2(e) / 2**11, halved by the root) and two floors


def test_the_norm_is_that_of_float64():
    rng = np.random.default_rng(1)
    for trial in range(300):
        norm, squares = GradientNorm(), 0.0
        for _ in range(rng.integers(1, 6)):
            values = rng.integers(-32768, 32768, rng.integers(1, 40)) >> rng.integers(0, 16)
            exponent = int(rng.integers(-64, 64)) if trial % 2 else int(rng.integers(-20, 0))
            norm.add(values.astype(np.int16), exponent)
            squares += float((values.astype(np.float64) ** 2).sum()) * 4.0**exponent
        if squares:
            assert norm.log / 2**18 == pytest.approx(math.log2(squares) / 2, abs=BOUND)
        else:
            assert norm.log is None


def test_the_clip_factor_is_at_most_one():
    norm = GradientNorm()
    assert norm.clip(-100) == 0  # no gradient at all
    norm.add(np.array([3, 4], np.int16), 0)
    assert norm.clip(round(2**18 * math.log2(10))) == 0
    assert 2 ** (norm.clip(round(2**18 * math.log2(2.5))) / 2**18) == pytest.approx(0.5, rel=1e-3)
    assert norm.clip(-(1 << 23)) == -(1 << 23)
