# SPDX-License-Identifier: Apache-2.0
"""Contents of the ratio registers for benches and tests: every named correction, and random ones."""

import numpy as np

from lathe.corrections import CORRECTIONS, LOWEST, Correction, correction
from pymodels.ratio import Clip, Lane

#: Name -> parameters, those that must be given and some that make bounds asymmetric.
EXAMPLES: dict[str, dict[str, float]] = {name: {} for name in CORRECTIONS} | {
    "clamp": {"lo": 0.5, "hi": 5.0}, "icepop": {"lo": 0.5, "hi": 5.0}, "token_mask": {"lo": 0.6, "hi": 1.4},
    "reject_k1": {"threshold": 0.3}, "reject_k2": {"threshold": 0.08}, "reject_k3": {"threshold": 0.05},
    "opsm": {"threshold": 0.1},
    "ppo": {"clip": 0.2, "clip_high": 0.28},
}


def clip_of(made: Correction) -> Clip:
    """Return the registers of a correction as the golden model takes them."""
    registers = made.registers()
    mode = registers["RATIO_MODE"]
    lanes = {name: Lane(*(mode[f"{name}_{field}"] for field in ("weight", "above", "below")), **registers[bounds],
                        source=mode[f"{name}_source"], aggregate=mode[f"{name}_aggregate"])
             for name, bounds in (("r", "RATIO_BOUNDS"), ("rho", "RHO_BOUNDS"))}
    veto = {f"veto_{side}": mode[f"veto_{side}"] for side in ("below", "above")}
    veto |= {f"veto_{side}": code for side, code in registers["VETO_BOUNDS"].items()}
    return Clip(**lanes, dual_on=mode["r_dual"], dual=registers["RATIO_DUAL"]["value"], stats_rho=mode["stats_lane"], **veto)


def named() -> dict[str, Clip]:
    """Return every correction with the parameters of EXAMPLES."""
    return {name: clip_of(correction(name, **parameters)) for name, parameters in EXAMPLES.items()}


def any_clip(rng: np.random.Generator, reach: int = 1500) -> Clip:
    """Return random registers, with bounds in any order of which most are within `reach`."""
    def code() -> int:
        return int(rng.integers(-reach, reach)) if rng.random() < 0.8 else int(rng.integers(LOWEST, -LOWEST))

    def lane() -> Lane:
        return Lane(int(rng.integers(2)), *map(int, rng.integers(4, size=2)), code(), code(), *map(int, rng.integers(4, size=2)))

    return Clip(lane(), lane(), int(rng.integers(2)), code(), int(rng.integers(2)), *map(int, rng.integers(2, size=2)), code(), code())
