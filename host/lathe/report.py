# SPDX-License-Identifier: Apache-2.0
"""What a training run leaves behind: result.json and a picture of the learning curve."""

import json
import math
from dataclasses import asdict
from pathlib import Path

import numpy as np

from .training import Training


def result(trainer: Training, wall_s: float) -> dict:
    """Return the figures of a run; `wall_s` counts from the start of the command, building the chip included."""
    s, p = trainer.settings, trainer.progress
    return {
        "backend": trainer.device.name,
        "env": s.env,
        "seed": s.seed,
        "env_steps": p.env_steps,
        "mean_return_100": None if math.isnan(p.mean_return_100) else round(p.mean_return_100, 2),
        "target": s.target,
        "solved": trainer.solved,
        "episodes": p.episodes,
        "updates": p.updates,
        "wall_s": round(wall_s, 2),
        "train_wall_s": round(p.wall_s, 2),
        "chip_cycles": p.chip_cycles or None,
        "array_utilization": None if p.array_utilization is None else round(p.array_utilization, 4),
        "macs": p.macs,
        "weight_version": p.weight_version,
        "saturations": p.saturations,
        "warmup_saturations": trainer.warmup_saturations,
        "algorithm": s.algorithm,
        "correction": s.correction_name,
        "sampler": s.sampler,
        "publication_lag": s.publication_lag,
        "ratio": asdict(p.ratio) if p.ratio else None,
        "mismatch": asdict(p.mismatch) if p.mismatch else None,
        "evaluations": [{"env_steps": h.env_steps, "logged_return": h.mean_return_100, "true_return": h.true_return}
                        for h in trainer.history if h.true_return is not None],
        "batch_fill": round(p.batch_fill, 4),
        "lanes": s.lanes,
        "banks": s.banks,
    }


def write(trainer: Training, wall_s: float, folder: Path) -> dict:
    """Write result.json and learning_curve.png into `folder`; returns the result."""
    folder.mkdir(parents=True, exist_ok=True)
    figures = result(trainer, wall_s)
    (folder / "result.json").write_text(json.dumps(figures, indent=2) + "\n")
    draw(trainer, folder / "learning_curve.png")
    return figures


def draw(trainer: Training, path: Path) -> None:
    """Draw over environment steps every episode's return, the mean of the last 100, and the learner's own evaluations."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    s, p = trainer.settings, trainer.progress
    figure, axes = pyplot.subplots(figsize=(7, 4), layout="constrained")
    if trainer.rollout.curve:
        steps, returns = np.array(trainer.rollout.curve).T
        axes.plot(steps, returns, ".", markersize=2, alpha=0.35, color="tab:gray", label="episode")
        axes.plot([h.env_steps for h in trainer.history], [h.mean_return_100 for h in trainer.history], color="tab:blue",
                  label="mean of the last 100")
    evaluated = [(h.env_steps, h.true_return) for h in trainer.history if h.true_return is not None]
    if evaluated:
        axes.plot(*np.array(evaluated).T, "o-", markersize=4, color="tab:orange", label="learner's own evaluation")
    if s.target is not None:
        axes.axhline(s.target, color="tab:green", linestyle="--", linewidth=1, label=f"target {s.target:g}")
    axes.set_xlabel("environment steps")
    axes.set_ylabel("return")
    axes.set_title(f"{s.env}, seed {s.seed}, back end {trainer.device.name}: weight version {p.weight_version}")
    axes.grid(alpha=0.3)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="best")
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
