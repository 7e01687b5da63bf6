# SPDX-License-Identifier: Apache-2.0
"""Algorithms by the names that the settings give them."""

from collections.abc import Callable

from . import ppo, vtrace
from .settings import Settings
from .training import Training

#: Name -> who trains.
TRAINERS: dict[str, type[Training]] = {trainer.algorithm: trainer for trainer in (ppo.Trainer, vtrace.Trainer)}


def make_trainer(settings: Settings, backend: Callable | None = None) -> Training:
    """Return the trainer of ``settings.algorithm``; parameters and errors as of `Training`."""
    settings.check()
    return TRAINERS[settings.algorithm](settings, backend)
