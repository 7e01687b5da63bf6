# SPDX-License-Identifier: Apache-2.0
"""Sampling of actions and the gradient of the policy-gradient loss (docs/numerics.md, sections 7 and 8)."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from pymodels.functions import exp_q, ln_q
from pymodels.numerics import Result, align, rand32, shift_round, store
from pymodels.ratio import UNCORRECTED, Clip, clip, log_ratios, sequence_numbers
from pymodels.ratio import measure as measure_sequences

#: What SAMPLE, EVALUATE and MEASURE report: records are raw integers without exponent.
RECORDS = Result()


@dataclass
class Stats:
    """Sums over the samples of LOSS since they were last cleared.

    Attributes
    ----------
    count, high, low, rho_high, rho_low, masked, clipped, seq_masked, vetoed : int
        Samples; with the log-ratio above / below the bound, of lane r and of lane rho; zeroed by an action zero; zeroed by
        an action sign or by dual, or saturated; of the masked those zeroed with their sequence; of vetoed sequences. 32 bits.
    sum_x : int
        Log-ratio of the chosen lane, LSB 2**-10. This and the following sums have 48 bits, signed, and wrap.
    sum_x2 : int
        Its square, LSB 2**-20.
    sum_ratio, sum_ratio2, sum_k3, sum_entropy, sum_verr2 : int
        Ratio, its square, ``ratio - 1 - log-ratio``, entropy and squared value error, LSB 2**-16.
    max_x, min_x : int
        Largest and smallest log-ratio, LSB 2**-10.
    """

    count: int = 0
    high: int = 0
    low: int = 0
    rho_high: int = 0
    rho_low: int = 0
    masked: int = 0
    clipped: int = 0
    seq_masked: int = 0
    vetoed: int = 0
    sum_x: int = 0
    sum_x2: int = 0
    sum_ratio: int = 0
    sum_ratio2: int = 0
    sum_k3: int = 0
    sum_entropy: int = 0
    sum_verr2: int = 0
    max_x: int = -65536
    min_x: int = 65535

    def clear(self) -> None:
        """Return to the state after reset."""
        self.__init__()

    def count_up(self, name: str, amount: int) -> None:
        """Add to one of the 32-bit counters."""
        setattr(self, name, (getattr(self, name) + int(amount)) & 0xFFFFFFFF)

    def add(self, name: str, values: np.ndarray) -> None:
        """Add int64 values to one of the 48-bit sums."""
        total = getattr(self, name) + int(values.sum())
        setattr(self, name, (total + (1 << 47)) % (1 << 48) - (1 << 47))


@lru_cache(maxsize=32)
def _rows(count: int) -> np.ndarray:
    return np.arange(count)


def _convert(y: np.ndarray, e_y: int) -> np.ndarray:
    """Bring logits and values to LSB 2**-16, 24 bits signed."""
    z = align(y.astype(np.int64), e_y + 16, up=31)
    return np.minimum(np.maximum(z, -(1 << 23)), (1 << 23) - 1)


def _to_record(value: np.ndarray) -> np.ndarray:
    """Round LSB 2**-16 to LSB 2**-10 in 16 bits; not counted as saturation."""
    return np.minimum(np.maximum(shift_round(value, 6), -32768), 32767)


def _distances(z: np.ndarray) -> np.ndarray:
    """Return each logit less the largest of its row."""
    logits = z[:, :-1]
    return logits - logits.max(axis=1, keepdims=True)


def _recorded_actions(records: np.ndarray, actions: int) -> np.ndarray:
    return np.minimum(records[:, 0].astype(np.int64) & 0xFFFF, actions - 1)


def sample(
    y: np.ndarray, e_y: int, *, greedy: bool = False, key: int = 0, version: int = 0, lanes: int = 8
) -> tuple[np.ndarray, Result]:
    """Draw an action a row.

    Parameters
    ----------
    y : numpy.ndarray
        int16, shape (M, N): N - 1 logits, then the value; N in 2..64.
    e_y : int
        Exponent of `y`.
    greedy : bool
        Take the most probable action (the lowest of several) instead of drawing one.
    key : int
        Key of the operation, see `pymodels.numerics.op_key`.
    version : int
        Version of the current weights; its low 16 bits enter the record.
    lanes : int
        Elements of a word.

    Returns
    -------
    records : numpy.ndarray
        int16, shape (M, lanes): action, log-probability (LSB 2**-10), value (LSB 2**-10), version, zeros.
    result : Result
        RECORDS: nothing for the histories.

    Notes
    -----
    The log-probability is within 5.4e-4 of float64 (half a unit is 4.9e-4) for 2 to 63 actions, found over random
    logits in tests/test_models_policy.py; within 4.8e-4 more where many exponentials are half a unit and round up.
    """
    z = _convert(y, e_y)
    d = _distances(z)
    e = exp_q(d)
    samples = _rows(len(z))
    if greedy:
        total = e.sum(axis=1)
        action = d.argmax(axis=1)
    else:
        sums = e.cumsum(axis=1)
        total = sums[:, -1]
        u = (rand32(key, samples, 0) >> 8).astype(np.int64)
        action = (sums > ((u * total) >> 24)[:, None]).argmax(axis=1)
    records = np.zeros((len(z), lanes), np.int16)
    records[:, 0] = action
    records[:, 1] = _to_record(d[samples, action] - ln_q(total))
    records[:, 2] = _to_record(z[:, -1])
    records[:, 3] = (version + 0x8000 & 0xFFFF) - 0x8000
    return records, RECORDS


def evaluate(y: np.ndarray, records: np.ndarray, e_y: int) -> tuple[np.ndarray, Result]:
    """Return records with log-probability and value of the present policy in place of `old` and of the return.

    Parameters
    ----------
    y : numpy.ndarray
        int16, shape (M, N): N - 1 logits, then the value; N in 2..64.
    records : numpy.ndarray
        int16, shape (M, >= 8), as `loss` takes them.
    e_y : int
        Exponent of `y`.

    Returns
    -------
    records : numpy.ndarray
        int16, of the same shape: element 1 the log-probability of the record's action, element 3 the value (LSB 2**-10), the
        other elements up to 7 as they were, zeros behind them.
    result : Result
        RECORDS: nothing for the histories.
    """
    z = _convert(y, e_y)
    d = _distances(z)
    action = _recorded_actions(records, d.shape[1])
    result = np.zeros_like(records)
    result[:, :8] = records[:, :8]
    result[:, 1] = _to_record(d[_rows(len(z)), action] - ln_q(exp_q(d).sum(axis=1)))
    result[:, 3] = _to_record(z[:, -1])
    return result, RECORDS


def _last(records: np.ndarray) -> np.ndarray:
    """Return which samples end their sequence."""
    last = records[:, 5] & 1 == 1
    last[-1] = True
    return last


def measure(y: np.ndarray, records: np.ndarray, e_y: int, *, ratio: Clip, lanes: int = 8) -> tuple[np.ndarray, Result]:
    """Return a word for each sequence in `records`.

    Parameters
    ----------
    y : numpy.ndarray
        int16, shape (M, N): N - 1 logits, then the value; N in 2..64.
    records : numpy.ndarray
        int16, shape (M, >= 6), as `loss` takes them.
    e_y : int
        Exponent of `y`.
    ratio : Clip
        What is aggregated, and how.
    lanes : int
        Elements of a word.

    Returns
    -------
    words : numpy.ndarray
        int16, shape (sequences, lanes): log-ratio of lane r and of lane rho (LSB 2**-10), veto, samples, zeros.
    result : Result
        RECORDS: nothing for the histories.
    """
    new = evaluate(y, records, e_y)[0][:, 1].astype(np.int64)
    x_r, x_rho = log_ratios(ratio, new, records[:, 1].astype(np.int64), records[:, 4].astype(np.int64))
    measured = measure_sequences(ratio, x_r, x_rho, _last(records))
    words = np.zeros((len(measured), lanes), np.int16)
    words[:, :4] = measured
    return words, RECORDS


def loss(
    y: np.ndarray,
    records: np.ndarray,
    e_y: int,
    e_dy: int,
    *,
    ratio: Clip = UNCORRECTED,
    sequences: np.ndarray | None = None,
    entropy_coef: int = 0,
    value_coef: int = 0,
    gshift: int = 0,
    stochastic: bool = False,
    key: int = 0,
    stats: Stats | None = None,
) -> tuple[np.ndarray, Result]:
    """Gradient of ``-c*adv*log pi(action) - entropy_coef*H + value_coef/2*(V - R)**2`` by logits and value.

    Parameters
    ----------
    y : numpy.ndarray
        int16, shape (M, N): N - 1 logits, then the value; N in 2..64.
    records : numpy.ndarray
        int16, shape (M, >= 5): action, old log-probability (LSB 2**-10), advantage (LSB 2**-11), return R (LSB 2**-10),
        the sampler's log-probability (LSB 2**-10), flags if `sequences` is given (bit 0: the last sample of its sequence).
    e_y, e_dy : int
        Exponents of `y` and of the result.
    ratio : Clip
        How the coefficient c follows from the importance ratios.
    sequences : numpy.ndarray, optional
        int16, shape (>= sequences, >= 3): what `measure` returned; without it no lane aggregates.
    entropy_coef, value_coef : int
        18 bits unsigned, LSB 2**-16.
    gshift : int
        The gradient is scaled by 2**-gshift.
    stochastic : bool
        Round stochastically with the random bits of `key`.
    key : int
        Key of the operation, see `pymodels.numerics.op_key`.
    stats : Stats, optional
        Sums that this operation adds to.

    Returns
    -------
    gradient : numpy.ndarray
        int16, shape (M, N).
    result : Result
        `top` and saturations of the gradient.

    Notes
    -----
    Before the final rounding a logit's component is within ``6e-4 * (|c * adv| + entropy_coef) + 3e-5`` of the float64
    gradient for 2 to 63 actions, mostly because the log-ratio is rounded to 2**-10 (4e-5 in place of 6e-4 with
    ``c = 1``); the value's component is exact. Found over random samples in tests/test_models_policy.py; within ``5e-4 * |c * adv|``
    and ``6e-3 * entropy_coef`` more where many exponentials are half a unit and round up.
    """
    z = _convert(y, e_y)
    d = _distances(z)
    rows = _rows(len(z))
    action = _recorded_actions(records, d.shape[1])
    old, adv, ret, mu = records[:, 1:5].astype(np.int64).T

    lp = d - ln_q(exp_q(d).sum(axis=1))[:, None]
    p = exp_q(lp)
    entropy = -((p * lp + (1 << 15)) >> 16).sum(axis=1)

    words = None if sequences is None else sequences[sequence_numbers(_last(records))].astype(np.int64)
    clipped = clip(ratio, *log_ratios(ratio, _to_record(lp[rows, action]), old, mu), adv, words)
    c_adv = (clipped.coef * adv + (1 << 10)) >> 11

    v = np.empty(z.shape, np.int64)
    v[:, :-1] = entropy_coef * ((p * (lp + entropy[:, None]) + (1 << 15)) >> 16)
    p[rows, action] -= 1 << 16
    v[:, :-1] += c_adv[:, None] * p
    verr = z[:, -1] - (ret << 6)
    v[:, -1] = value_coef * verr

    if stats is not None:
        stats.count_up("count", len(z))
        for name in ("high", "low", "rho_high", "rho_low", "masked", "clipped", "seq_masked", "vetoed"):
            stats.count_up(name, np.count_nonzero(getattr(clipped, name)))
        stats.add("sum_x", clipped.x)
        stats.add("sum_x2", clipped.x * clipped.x)
        stats.add("sum_ratio", clipped.ratio)
        stats.add("sum_ratio2", (clipped.ratio * clipped.ratio) >> 16)
        stats.add("sum_k3", clipped.ratio - (1 << 16) - (clipped.x << 6))
        stats.add("sum_entropy", entropy)
        stats.add("sum_verr2", (verr * verr) >> 16)
        stats.max_x = max(stats.max_x, int(clipped.x.max()))
        stats.min_x = min(stats.min_x, int(clipped.x.min()))
    return store(v, -32 - gshift, e_dy, stochastic, key)
