# SPDX-License-Identifier: Apache-2.0
"""Table and pictures of the mismatch experiment (experiment.py makes the runs)."""

from pathlib import Path

import numpy as np

from .experiment import CORRECTIONS

#: Columns of the table: heading, figure of a run, format.
COLUMNS = (("return of the last 100", "return_100", ".0f"), ("mean of the curve", "curve_mean", ".0f"),
           ("learner's own return", "true_return", ".0f"), ("effective sample size", "effective_sample_size", ".3f"), ("k3", "k3", ".3g"),
           ("clip fraction", "clip_fraction", ".3f"), ("masked", "masked", ".3f"))
_COLORS = dict(zip(CORRECTIONS, ("tab:red", "tab:blue", "tab:orange", "tab:purple", "tab:green"), strict=True))
_POINTS = 80  #: of a drawn curve


def rows(results: list[dict]) -> dict[tuple[int, str], list[dict]]:
    """Return (lag, correction) -> runs in the order of their seeds; rows in the order of lag and correction."""
    order = list(CORRECTIONS)
    keys = sorted({(r["lag"], r["correction"]) for r in results}, key=lambda key: (key[0], order.index(key[1])))
    return {key: sorted((r for r in results if (r["lag"], r["correction"]) == key), key=lambda r: r["seed"]) for key in keys}


def table(results: list[dict]) -> list[str]:
    """Return the lines of a Markdown table: mean and standard deviation over the seeds of every row, and the range of the return."""
    lines = ["| lag | correction | seeds | " + " | ".join(heading for heading, _, _ in COLUMNS) + " |",
             "| --- " * (3 + len(COLUMNS)) + "|"]
    for (lag, correction), runs in rows(results).items():
        cells = [_cell([r[name] for r in runs if r[name] is not None], form) for _, name, form in COLUMNS]
        returns = [r["return_100"] for r in runs if r["return_100"] is not None]
        if returns:
            cells[0] += f" ({min(returns):.0f} to {max(returns):.0f})"
        lines.append(f"| {lag} | {correction} | {len(runs)} | " + " | ".join(cells) + " |")
    return lines


def _cell(values: list[float], form: str) -> str:
    if not values:
        return "-"
    spread = f" ± {np.std(values, ddof=1):{form}}" if len(values) > 1 else ""
    return f"{np.mean(values):{form}}{spread}"


def marks(observations: str) -> tuple[str, str]:
    """Return the lines of mismatch.md between which the table stands, for samplers whose observations are int16 or int8."""
    return f"<!-- {observations} observations: begin -->", f"<!-- {observations} observations: end -->"


def write(results: list[dict], folder: Path, observations: str = "int16") -> list[Path]:
    """Put the table into mismatch.md, between its marks if they are there, and draw its pictures; returns what was written."""
    page, (begin, end) = folder / "mismatch.md", marks(observations)
    text = page.read_text() if page.exists() else "# Sampler and learner that differ\n"
    if begin not in text:
        text += f"\n{begin}\n{end}\n"
    head, tail = text.split(begin)[0], text.split(end)[1]
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(head + "\n".join([begin, *table(results), end]) + tail)
    name = "mismatch" if observations == "int16" else f"mismatch_{observations}"
    curves, truth = folder / f"{name}.svg", folder / f"{name}_truth.svg"
    _draw(results, curves, _curves, "mean return of the last 100 episodes")
    _draw(results, truth, _truth, "return")
    return [page, curves, truth]


def _draw(results: list[dict], path: Path, panel, label: str) -> None:
    """Draw a panel for every lag, the same files from the same results."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    matplotlib.rcParams["svg.hashsalt"] = path.name
    lags = sorted({r["lag"] for r in results})
    figure, axes = pyplot.subplots(1, len(lags), figsize=(3.4 * len(lags), 3.6), sharey=True, squeeze=False, layout="constrained")
    for ax, lag in zip(axes[0], lags, strict=True):
        for (_, correction), runs in rows([r for r in results if r["lag"] == lag]).items():
            panel(ax, correction, runs)
        ax.set_title(f"lag {lag}")
        ax.set_xlabel("environment steps / 1,000")
        ax.grid(alpha=0.3)
    axes[0, 0].set_ylabel(label)
    axes[0, 0].legend(fontsize="small")
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def _curves(ax, correction: str, runs: list[dict]) -> None:
    """Mean over the seeds, and the band from the lowest to the highest."""
    curves = [np.array([r["series"]["env_steps"], r["series"]["mean_return_100"]]) for r in runs if r["series"]["env_steps"]]
    if not curves:
        return
    steps = np.linspace(max(c[0, 0] for c in curves), min(c[0, -1] for c in curves), _POINTS)
    values = np.array([np.interp(steps, *c) for c in curves])
    ax.plot(steps / 1000, values.mean(axis=0), color=_COLORS[correction], label=correction)
    ax.fill_between(steps / 1000, values.min(axis=0), values.max(axis=0), color=_COLORS[correction], alpha=0.12, linewidth=0)


def _truth(ax, correction: str, runs: list[dict]) -> None:
    """What the sampler logged (dashed) beside the learner's own return (solid), means over the seeds."""
    evaluated = [np.array(r["evaluations"], float) for r in runs if r["evaluations"]]
    count = min(map(len, evaluated), default=0)
    if count:
        steps, logged, true = np.mean([e[:count] for e in evaluated], axis=0).T
        ax.plot(steps / 1000, true, color=_COLORS[correction], label=f"{correction}: learner")
        ax.plot(steps / 1000, logged, "--", color=_COLORS[correction], linewidth=1)
