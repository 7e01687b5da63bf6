# SPDX-License-Identifier: Apache-2.0
"""Momentum and weight update (docs/numerics.md, section 9). The slots themselves are in :mod:`pymodels.weights`."""

import numpy as np

from pymodels.numerics import Result, Window, rand16_lines, term


def sgd(
    w: np.ndarray,
    g: np.ndarray,
    m: np.ndarray,
    e_w: int,
    e_g: int,
    e_m: int,
    e_w_next: int,
    e_m_next: int,
    *,
    lr_mant: int,
    lr_exp: int,
    momentum: int,
    stochastic: bool = False,
    key: int = 0,
) -> tuple[np.ndarray, np.ndarray, Result, Result]:
    """One step of SGD: ``m' = momentum * m + g``, ``w' = w - lr * m'``.

    Parameters
    ----------
    w, g, m : numpy.ndarray
        int16, shape (words * lanes,): weights, gradient and momentum in the order of the scratchpad.
    e_w, e_g, e_m : int
        Their exponents.
    e_w_next, e_m_next : int
        Exponents of the results.
    lr_mant, lr_exp : int
        Learning rate ``lr_mant * 2**lr_exp``; mantissa 16 bits unsigned, exponent 8 bits signed.
    momentum : int
        16 bits unsigned, LSB 2**-16.
    stochastic : bool
        Round both results stochastically with the random bits of `key`.
    key : int
        Key of the operation, see `pymodels.numerics.op_key`.

    Returns
    -------
    w_next, m_next : numpy.ndarray
        int16, shapes as given.
    w_result, m_result : Result
        Results 0 and 1 of the command.

    Notes
    -----
    Each result is within half a unit of its exponent (one, if stochastic) of the exact sum of its terms, plus 2**-16
    units for each of two terms that were shifted right (tests/test_models_update.py).
    """
    r_m, r_w = rand16_lines(key, len(w), (0, 1 << 31)) if stochastic else (0, 0)
    vm = Window(term(momentum * m.astype(np.int64), 32, e_m - e_m_next, up=15) + term(g, 16, e_g - e_m_next + 16, up=31))
    m_next, m_saturations = vm.round16(stochastic, r_m)
    step = term(lr_mant * m_next.astype(np.int64), 32, e_m_next + lr_exp - e_w_next + 16, up=15)
    vw = Window(term(w, 16, e_w - e_w_next + 16, up=31) - step)
    w_next, w_saturations = vw.round16(stochastic, r_w)
    return w_next, m_next, Result(*vw.tracked(e_w_next), w_saturations), Result(*vm.tracked(e_m_next), m_saturations)
