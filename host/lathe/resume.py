# SPDX-License-Identifier: Apache-2.0
"""Training runs that go on: the device's checkpoint and, in the same file, all that the host's side of training holds.

A run is saved between two iterations. What follows is the same, bit for bit, whether the run goes on or another process, on any back
end, takes it up.
"""

import os
from dataclasses import asdict, fields, replace
from typing import Any

from . import checkpoint
from .environment_state import check_environments, generator, generator_state
from .errors import CheckpointError, SettingsError
from .metrics import Progress, RatioMetrics
from .settings import Settings
from .training import Training

#: Settings that may differ when a run is taken up: they change when it ends and what it runs on, no result.
CHANGEABLE = ("backend", "port", "baud", "memory_bytes", "steps", "target")


def check_savable(trainer: Training) -> None:
    """Raise CheckpointError if a run of these settings could not be resumed."""
    if trainer.settings.environment_workers:
        raise CheckpointError("environments in processes of their own (environment_workers) cannot be saved, and such runs are not "
                              "repeatable; train without them, or save the network's weights alone with lathe.weights.save")
    check_environments(trainer.envs)


def save(trainer: Training, path: str | os.PathLike) -> None:
    """Write the checkpoint of a training run, between two iterations; the run goes on as if it had not been saved.

    Raises
    ------
    CheckpointError
        The state of its environments is not known, or the file cannot be written.
    """
    check_savable(trainer)
    cycles = trainer.device.cycles
    checkpoint.save(trainer.device, path, {
        "settings": asdict(trainer.settings), "rng": generator_state(trainer.rng), "encoder": trainer.encoder.state(),
        "rollout": trainer.rollout.state(), "publication": trainer.publication and trainer.publication.state(),
        "evaluation": trainer.evaluation and trainer.evaluation.state(),
        "progress": asdict(trainer.progress), "history": [asdict(each) for each in trainer.history],
        "warmup_saturations": trainer.warmup_saturations})
    trainer.uncount(cycles, trainer.device.saturations)


def load(trainer: Training, path: str | os.PathLike) -> None:
    """Bring a new training run of the same settings to where the saved one was.

    Raises
    ------
    CheckpointError
        The file is damaged or of other settings; the chip is as it was then.
    """
    content = checkpoint.read(path)
    checkpoint.check(trainer.device, content, path)
    theirs, ours = read_settings(content, path), trainer.settings
    for name in (field.name for field in fields(Settings) if field.name not in CHANGEABLE):
        if getattr(theirs, name) != getattr(ours, name):
            raise CheckpointError(f"'{path}' was saved with {name} {getattr(theirs, name)}, and this run has {getattr(ours, name)}")
    check_savable(trainer)
    state = content.state
    try:
        rng, progress, history = generator(state["rng"]), _progress(state["progress"]), [_progress(each) for each in state["history"]]
        warmup_saturations = int(state["warmup_saturations"])
        for part in ("encoder", "rollout", "publication", "evaluation"):
            if (owner := getattr(trainer, part)) is not None:
                owner.restore(state[part])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(f"'{path}' lacks a part of the training run: {type(error).__name__}: {error}") from None
    checkpoint.apply(trainer.device, content)
    trainer.rng, trainer.progress, trainer.history, trainer.warmup_saturations = rng, progress, history, warmup_saturations
    trainer.count_from(progress)


def read_settings(content: checkpoint.Content, path: str | os.PathLike, **changes: Any) -> Settings:
    """Return the settings of a saved run with some of `CHANGEABLE` changed; CheckpointError if it is of no run."""
    try:
        saved = {**content.state["settings"], **changes}
        settings = Settings(**{**saved, "hidden": tuple(saved["hidden"])})
        settings.check()
    except (KeyError, TypeError, ValueError, SettingsError) as error:
        raise CheckpointError(f"'{path}' holds no training run that this version can take up: {error}") from None
    return settings


def _progress(saved: dict[str, Any]) -> Progress:
    made = Progress(**saved)
    return replace(made, **{name: RatioMetrics(**saved[name]) for name in ("ratio", "mismatch") if saved[name] is not None})


def summary(content: checkpoint.Content) -> str:
    """Return what is in a checkpoint, for people."""
    chip, lines = content.chip, []
    lines.append(f"chip: {chip['lanes']} lanes, {chip['banks']} banks, {chip['memory']} bytes of outside memory in use, weight version "
                 f"{chip['version']}, seed {chip['settings']['SEED']['value']:#x}, operation number {chip['settings']['OPNUM']['value']}")
    if progress := content.state.get("progress"):
        settings = content.state["settings"]
        lines.append(f"training: {settings['algorithm']} in {settings['env']}, seed {settings['seed']}, {progress['env_steps']:,} "
                     f"environment steps, {progress['updates']:,} updates, mean return {progress['mean_return_100']:.2f}")
    for name, rows, columns, packed, space, address, *_ in chip["tensors"]:
        lines.append(f"  {name:24} {rows:6} x {columns:<6} {'int8 ' if packed else 'int16'} {space} {address}")
    return "\n".join(lines)


class Saver:
    """Writes a run's checkpoint every so many iterations.

    Parameters
    ----------
    path : path
    every : int
        Iterations between two checkpoints; 0: only `finish` writes one.
    """

    def __init__(self, trainer: Training, path: str | os.PathLike, every: int = 0):
        if every < 0:
            raise SettingsError(f"save_every is {every} and must be at least 0")
        check_savable(trainer)
        checkpoint.check_file(path)
        self._trainer, self._path, self._every, self._saved = trainer, path, every, -1

    def step(self) -> None:
        """Save if it is time to; called after every iteration."""
        if self._every and len(self._trainer.history) % self._every == 0:
            self.finish()

    def finish(self) -> None:
        """Save unless that has been done since the last iteration."""
        if self._saved != len(self._trainer.history):
            save(self._trainer, self._path)
            self._saved = len(self._trainer.history)
