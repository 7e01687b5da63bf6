# SPDX-License-Identifier: Apache-2.0
"""Short training runs whose outcomes are compared bit by bit."""

from functools import partial
from typing import NamedTuple

import numpy as np

from lathe.backends.serial import SerialBackend
from lathe.ppo import Trainer
from lathe.settings import Settings

SHORT = Settings(environments=8, rollout=16, minibatch=32, epochs=1, warmup=2, steps=128, hidden=(16,))


class Outcome(NamedTuple):
    """All tensors' words, version of the weights, operation number, records of the last rollout."""

    tensors: list[np.ndarray]
    version: int
    opnum: int
    records: np.ndarray


def on(channel, **options):
    """Return the back end `serial` on a channel, as `Device` takes it."""
    return partial(SerialBackend, channel=channel, **options)


def weights(trainer: Trainer) -> list[np.ndarray]:
    """Return the words of all tensors."""
    return [trainer.device.read_words(tensor) for tensor in trainer.device.layout.tensors]


def trained(updates: int, backend=None, settings: Settings = SHORT) -> Outcome:
    """Train for so many updates."""
    with Trainer(settings, backend) as trainer:
        while trainer.progress.updates < updates:
            trainer.iteration(max_updates=updates)
        return Outcome(weights(trainer), trainer.device.version, trainer.device.registers.value("OPNUM"), trainer.rollout.records.copy())


def same(first: Outcome, second: Outcome) -> None:
    """Assert that no bit differs."""
    assert all(np.array_equal(a, b) for a, b in zip(first.tensors, second.tensors, strict=True))
    assert first[1:3] == second[1:3] and np.array_equal(first.records, second.records)
