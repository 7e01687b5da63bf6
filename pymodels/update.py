# SPDX-License-Identifier: Apache-2.0
"""Steps of the optimizers (docs/numerics.md, section 9). The slots themselves are in :mod:`pymodels.weights`."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from pymodels.descriptor import UpdateOp
from pymodels.functions import HALF_TABLE, SUM_TABLE, log2_q, pow2_q
from pymodels.numerics import Result, Window, bitlen, clamp35, pack_cols, rand16_lines, saturate8, shift_round, term

#: Operations that step weights.
STEPS = (UpdateOp.SGD, UpdateOp.MOMENTUM, UpdateOp.NESTEROV, UpdateOp.ADAM)
#: Logarithm of a second moment of 0.
NO_MOMENT = -32768


@dataclass(frozen=True)
class Optimizer:
    """Registers of the optimizer.

    Attributes
    ----------
    lr_mant, lr_exp : int
        Learning rate ``lr_mant * 2**lr_exp``; mantissa 16 bits unsigned, exponent 8 bits signed.
    momentum, beta1 : int
        16 bits unsigned, LSB 2**-16.
    decay, gain, rate, eps : int
        ADAM_DECAY, ADAM_GAIN, ADAM_RATE, ADAM_EPS: binary logarithms, signed, LSB 2**-18.
    wd_mant, wd_exp : int
        Weight decay times learning rate, as the learning rate.
    """

    lr_mant: int = 0
    lr_exp: int = 0
    momentum: int = 0
    beta1: int = 0
    decay: int = 0
    gain: int = 0
    rate: int = 0
    eps: int = 0
    wd_mant: int = 0
    wd_exp: int = 0


class Step(NamedTuple):
    """Results of a step: the tensors, int16 (None: this operation has none), and results 0 and 1 of the command."""

    w: np.ndarray
    m: np.ndarray | None
    v: np.ndarray | None
    w_result: Result
    m_result: Result | None


def step(
    op: int,
    w: np.ndarray,
    g: np.ndarray,
    m: np.ndarray | None = None,
    v: np.ndarray | None = None,
    *,
    e_w: int,
    e_g: int,
    e_w_next: int,
    cfg: Optimizer,
    e_m: int = 0,
    e_m_next: int = 0,
    clip: int = 0,
    stochastic: bool = False,
    key: int = 0,
) -> Step:
    """Step weights once.

    Parameters
    ----------
    op : int
        One of STEPS.
    w, g, m, v : numpy.ndarray
        int16, shape (words * lanes,): weights, gradient, first moment (all but `sgd`) and the l of the document, the logarithm
        of the second one's root (`adam`), in the order of the scratchpad.
    e_w, e_g, e_m : int
        Exponents of `w`, `g` and `m`.
    e_w_next, e_m_next : int
        Exponents of the results.
    cfg : Optimizer
    clip : int
        C, the logarithm of the gradient's factor, at most 0; 0 is what a command without the bit `clip` has.
    stochastic : bool
        Round the results stochastically with the random bits of `key`.
    key : int
        Key of the operation, see `pymodels.numerics.op_key`.

    Notes
    -----
    Each of w' and m' is within half a unit of its exponent (one, if stochastic) of the exact sum of its terms, plus 2**-16 units
    for each term that was shifted right; `adam`'s step has a relative error of at most 0.31 % besides, l' an error of at most 0.0027
    octaves before it is rounded (tests/test_models_update.py).
    """
    adam = op == UpdateOp.ADAM
    firsts = (1 << 31,) if op == UpdateOp.SGD else (1 << 31, 0, 1 << 30) if adam else (1 << 31, 0)
    r_w, r_m, r_v = (*rand16_lines(key, len(w), firsts), 0, 0)[:3] if stochastic else (0, 0, 0)
    k, n = factor(clip, (1 << 16) - cfg.beta1 if adam else 1 << 16)
    scaled = k * g.astype(np.int64)

    def gradient(e: int) -> np.ndarray:
        return term(scaled, 33, e_g + n - e, up=15)

    def decayed(beta: int, moment: np.ndarray, e: int) -> np.ndarray:
        return term(beta * moment.astype(np.int64), 32, e - e_m_next, up=15)

    def weights(change: np.ndarray) -> tuple[np.ndarray, Result]:
        window = Window(term(w, 16, e_w - e_w_next + 16, up=31) - change)
        w_next, saturations = window.round16(stochastic, r_w)
        return w_next, Result(*window.tracked(e_w_next), saturations)

    def descent(direction: np.ndarray, e: int) -> tuple[np.ndarray, Result]:
        return weights(term(cfg.lr_mant * direction.astype(np.int64), 32, e + cfg.lr_exp - e_w_next + 16, up=15))

    if op == UpdateOp.SGD:
        w_next, w_result = descent(Window(gradient(e_g)).round16()[0], e_g)
        return Step(w_next, None, None, w_result, None)

    window = Window(decayed(cfg.beta1 if adam else cfg.momentum, m, e_m) + gradient(e_m_next))
    m_next, saturations = window.round16(stochastic, r_m)
    m_result = Result(*window.tracked(e_m_next), saturations)
    if op == UpdateOp.MOMENTUM:
        w_next, w_result = descent(m_next, e_m_next)
        return Step(w_next, m_next, None, w_result, m_result)
    if op == UpdateOp.NESTEROV:
        ahead, _ = Window(decayed(cfg.momentum, m_next, e_m_next) + gradient(e_m_next)).round16()
        w_next, w_result = descent(ahead, e_m_next)
        return Step(w_next, m_next, None, w_result, m_result)

    v_next = second_moment(v.astype(np.int64), g.astype(np.int64), e_g, clip, cfg, stochastic, r_v)
    mantissa, exponent = pow2_q(cfg.rate - denominator(v_next, cfg.eps))
    change = _shifted(mantissa * m_next, e_m_next + exponent - 15 - e_w_next + 16, up=15)
    decay = term(cfg.wd_mant * w.astype(np.int64), 32, e_w + cfg.wd_exp - e_w_next + 16, up=15)
    w_next, w_result = weights(clamp35(decay + change))
    return Step(w_next, m_next, v_next.astype(np.int16), w_result, m_result)


def factor(clip: int, one: int) -> tuple[int, int]:
    """Return (k, n) that scale the gradient by ``one * 2**-16`` and the clip whose logarithm is `clip` (LSB 2**-18)."""
    if clip == 0:
        return one, 0
    mantissa, exponent = pow2_q(np.array(clip))
    return int(mantissa) * one >> 15, int(exponent)


def second_moment(v: np.ndarray, g: np.ndarray, e_g: int, clip: int, cfg: Optimizer, stochastic: bool,
                  r: np.ndarray | int) -> np.ndarray:
    """Return l', the logarithm of the root of the mean square of gradients, from `v`, the last one, and the gradient; int64."""
    old = (v << 8) + cfg.decay
    new = log2_q(np.maximum(np.abs(g), 1)) + (e_g << 18) + clip + cfg.gain
    distance = np.abs(old - new) >> 11
    both = np.maximum(old, new) + np.where(distance < 1024, HALF_TABLE[distance & 1023], 0)
    log = np.where(v == NO_MOMENT, new, np.where(g == 0, old, both))
    rounded = np.minimum(np.maximum(shift_round(log, 8, stochastic, r), -32767), 32767)
    return np.where((v == NO_MOMENT) & (g == 0), NO_MOMENT, rounded)


def denominator(v: np.ndarray, eps: int) -> np.ndarray:
    """Return the logarithm, LSB 2**-18, of the root that `v` stands for plus epsilon."""
    root = v << 8
    distance = np.abs(root - eps) >> 12
    both = np.maximum(root, eps) + np.where(distance < 1024, SUM_TABLE[distance & 1023], 0)
    return np.where(v == NO_MOMENT, eps, both)


def _shifted(x: np.ndarray, s: np.ndarray, up: int) -> np.ndarray:
    """`term` with a shift for each element."""
    s = np.minimum(s, up)
    return clamp35(x << np.maximum(s, 0) >> np.minimum(np.maximum(-s, 0), 63))


def int8_copy(w_next: np.ndarray, rows: int, e_w_next: int, e_w8: int) -> tuple[np.ndarray, int]:
    """Return (w8, saturations): the new weights as int8, packed along their columns.

    Parameters
    ----------
    w_next : numpy.ndarray
        int16, shape (words * lanes,), exponent `e_w_next`; `rows` rows.
    e_w8 : int
        Exponent of the copy.

    Returns
    -------
    w8 : numpy.ndarray
        int16, shape (ceil(rows / 2), words * lanes / rows).
    saturations : int
    """
    rounded, saturations = saturate8(shift_round(w_next.astype(np.int64), e_w8 - e_w_next))
    return pack_cols(rounded.reshape(rows, -1)), saturations


def moment_room(op: int, next_g: int) -> int:
    """Return the least exponent of m' at which a step of `op` fits, from the gradient's next one."""
    return next_g + (op == UpdateOp.NESTEROV)


def room(op: int, cfg: Optimizer, e: int) -> int:
    """Return the least exponent of w' at which a step of `op` fits ("Range").

    `e` is that of the gradient (`sgd`) or of m' (`momentum`, `nesterov`); `adam` does not look at it.
    """
    return (cfg.rate >> 18) - 10 if op == UpdateOp.ADAM else e + bitlen(cfg.lr_mant) + cfg.lr_exp + 1
