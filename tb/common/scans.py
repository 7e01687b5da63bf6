# SPDX-License-Identifier: Apache-2.0
"""Contents of the scan registers for benches and tests, and records to scan."""

import numpy as np

from lathe.advantages import Advantages
from pymodels.scan import Scan


def scan_of(made: Advantages) -> Scan:
    """Return the registers of an estimator as the golden model takes them."""
    registers = made.registers()
    return Scan(**registers["SCAN_MODE"], gamma=registers["SCAN_GAMMA"]["value"], decay=registers["SCAN_DECAY"]["value"],
                rho_cap=registers["SCAN_CAPS"]["rho"], c_cap=registers["SCAN_CAPS"]["c"])


def named() -> dict[str, Scan]:
    """Return every estimator, V-trace also with caps that differ and a lambda."""
    made = {"gae": Advantages.gae(), "td_lambda": Advantages.td_lambda(0.9, 1), "vtrace": Advantages.vtrace(),
            "vtrace_caps": Advantages.vtrace(0.97, 0.9, 1.7, 0.6), "retrace": Advantages.retrace(lam=0.9)}
    return {name: scan_of(one) for name, one in made.items()}


def any_scan(rng: np.random.Generator) -> Scan:
    """Return random registers, gamma and decay also beyond 1."""
    def fraction() -> int:
        return int(rng.choice([0, 1, 65535, 65536, 65537, 131071, rng.integers(0, 65536), rng.integers(60000, 65536)]))

    def cap() -> int:
        return int(rng.choice([0, 1, 32768, 65535, rng.integers(0, 65536)]))

    return Scan(*(int(bit) for bit in rng.integers(0, 2, 4)), fraction(), fraction(), cap(), cap())


def episodes(rng: np.random.Generator, steps: int, environments: int, ends: float = 0.05) -> np.ndarray:
    """Return int16 records, shape ((steps + 1) * environments, 8), of episodes that end with probability `ends` a step, half of them
    terminated: values of about +-1.5, rewards of about +-0.06, ratios of about 1.2 or its reciprocal, the other elements random."""
    count = (steps + 1) * environments
    records = rng.integers(-32768, 32768, (count, 8)).astype(np.int16)
    records[:, 1] = rng.normal(-700, 100, count)
    records[:, 2], records[:, 3] = rng.normal(0, 60, count), rng.normal(0, 1500, count)
    records[:, 4] = records[:, 1] + rng.normal(0, 200, count)
    last = rng.random(count) < ends
    records[:, 5] = last + 2 * (last & (rng.random(count) < 0.5)) + 4 * rng.integers(-1000, 1000, count)
    return records
