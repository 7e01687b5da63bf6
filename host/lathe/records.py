# SPDX-License-Identifier: Apache-2.0
"""Formats of the records that the policy unit reads and writes (docs/numerics.md, section 8)."""

import numpy as np

VALUE_EXPONENT, ADVANTAGE_EXPONENT = -10, -11
ACTION, LOGP, VALUE, SAMPLED_VERSION = 0, 1, 2, 3  # elements of a record that SAMPLE writes
# Elements of a record that LOSS and EVALUATE read
OLD_ACTION, OLD_LOGP, ADVANTAGE, RETURN, SAMPLER_LOGP, FLAGS, VERSION, ENVIRONMENT = range(8)
EVALUATED_LOGP, EVALUATED_VALUE = 1, 3  # elements of a record that EVALUATE replaces
REWARD = 2  # element of a record that SCAN reads; the advantage takes its place
LAST, TERMINATED = 1, 2  # flags: the last sample of its sequence; nothing is worth anything behind it


def as_values(mantissas: np.ndarray) -> np.ndarray:
    """Return value estimates of records, int16 of any shape, as numbers."""
    return np.ldexp(mantissas.astype(np.float64), VALUE_EXPONENT)
