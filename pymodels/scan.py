# SPDX-License-Identifier: Apache-2.0
"""Advantages and returns by one recursion from the last record to the first (docs/numerics.md, section 8, SCAN)."""

from dataclasses import dataclass

import numpy as np

from pymodels.functions import exp_q
from pymodels.numerics import Result, saturate16

_ONE = 1 << 16
_LIMIT = 1 << 17


@dataclass(frozen=True)
class Scan:
    """Registers SCAN_MODE, SCAN_GAMMA, SCAN_DECAY and SCAN_CAPS.

    Attributes
    ----------
    delta_weight, trace_weight : int
        1: the capped ratio of sampler to old policy weights the temporal difference, the trace.
    trace_next : int
        1: the trace's weight is that of the record that follows.
    td_advantage : int
        1: the advantage is the unweighted temporal difference with the return behind it in place of the value.
    gamma, decay : int
        Discount, and discount times lambda: 17 bits unsigned, LSB 2**-16; above 65536 as 65536.
    rho_cap, c_cap : int
        Caps of the two weights: 16 bits unsigned, LSB 2**-15.
    """

    delta_weight: int = 0
    trace_weight: int = 0
    trace_next: int = 0
    td_advantage: int = 0
    gamma: int = 0
    decay: int = 0
    rho_cap: int = 0
    c_cap: int = 0


def _sat18(x: np.ndarray) -> np.ndarray:
    return np.minimum(np.maximum(x, -_LIMIT), _LIMIT - 1)


def scan(records: np.ndarray, environments: int, registers: Scan) -> tuple[np.ndarray, Result]:
    """Return the records with advantage and return in place of reward and value.

    Parameters
    ----------
    records : numpy.ndarray
        int16, shape (M, >= 8): action, old log-probability (LSB 2**-10), reward and value (LSB 2**-10), the sampler's
        log-probability (LSB 2**-10), flags (bit 0 last, bit 1 terminated) and two that are not read. Record
        ``t*environments + e`` is step t of environment e.
    environments : int
        1..63.
    registers : Scan

    Returns
    -------
    records : numpy.ndarray
        int16, shape (max(M - environments, 0), as given): element 2 the advantage (LSB 2**-11), 3 the return
        (LSB 2**-10), the other elements up to 7 as they were, zeros behind them.
    result : Result
        Saturations of these two; nothing for the histories.

    Notes
    -----
    Where nothing is clamped, advantage and return are in varying episodes within 2**-9 of float64 with the same registers for a
    decay up to 0.95, and within 2**-7 for any over 1,000 steps: found over random episodes in tests/test_models_scan.py. The worst
    case is that of steps that stay the same: ``1.5 * 2**-12 * (1 - C**T) / (1 - C) + 2**-11`` after T of them, C the decay times
    the trace's ratio.
    """
    count = len(records) - environments
    if count <= 0:
        return records[:0].copy(), Result()
    old, reward, value, mu, flags = (records[:, i].astype(np.int64) for i in (1, 2, 3, 4, 5))
    gamma, decay = min(registers.gamma, _ONE), min(registers.decay, _ONE)
    ratio = exp_q((old - mu) << 6)
    rho = np.minimum(ratio, 2 * registers.rho_cap) if registers.delta_weight else np.full_like(ratio, _ONE)
    c = np.minimum(ratio, 2 * registers.c_cap) if registers.trace_weight else np.full_like(ratio, _ONE)
    k = c[environments:] if registers.trace_next else c[:count]
    behind = np.where(flags[:count] & 2, 0, (gamma * value[environments:] + (1 << 13)) >> 14)
    td = _sat18(4 * (reward - value)[:count] + behind)
    delta, going = rho[:count] * td, ~flags[:count] & 1

    a, u = np.zeros_like(value), np.empty_like(td)
    for end in range(count, 0, -environments):
        now = slice(max(end - environments, 0), end)
        u[now] = going[now] * ((decay * a[now.start + environments : end + environments] + (1 << 15)) >> 16)
        a[now] = _sat18((delta[now] + k[now] * u[now] + (1 << 15)) >> 16)
    a = a[:count]

    done = np.zeros_like(records[:count])
    done[:, :8] = records[:count, :8]
    done[:, 2], clamped = saturate16(((td + u if registers.td_advantage else a) + 1) >> 1)
    done[:, 3], more = saturate16((4 * value[:count] + a + 2) >> 2)
    return done, Result(saturations=clamped + more)
