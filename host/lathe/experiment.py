# SPDX-License-Identifier: Apache-2.0
"""The mismatch experiment: an int8 sampler with delayed weights beside an int16 learner, with and without correction.

Every run leaves one JSON file; runs whose file is there are not repeated. docs/mismatch.md explains and shows what comes out.
"""

import json
import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path

from .errors import SettingsError
from .metrics import Progress, alerts
from .ppo import Trainer
from .settings import Settings

#: Name of a correction in the experiment -> settings. All keep PPO's clip on r, the ratio of the updated policy.
CORRECTIONS = {
    "none": {"correction": "ppo"},
    "tis": {"correction": "decoupled_ppo", "cap": 2.0},
    "icepop": {"correction": "icepop_ppo", "ratio_low": 0.5, "ratio_high": 2.0},
    "decoupled": {"correction": "decoupled_ppo", "cap": math.inf},
    "bypass": {"correction": "bypass_ppo"},
}
#: Publication lags in iterations; the one that tells most comes first.
LAGS = (8, 0, 16, 2)
#: Settings of every run, unless changed.
RECIPE = {"env": "CartPole-v1", "steps": 200_000, "environments": 8, "rollout": 64, "epochs": 6, "minibatch": 128, "learning_rate": 0.02,
          "anneal_steps": 300_000, "sampler": "int8", "sampler_observations": "int16",
          "evaluation_episodes": 8}
EVALUATIONS = 10  #: of the learner itself, in a run


@dataclass(frozen=True)
class Run:
    """One run of the experiment."""

    lag: int
    correction: str
    seed: int

    @property
    def name(self) -> str:
        return f"lag{self.lag}_{self.correction}_seed{self.seed}"

    def settings(self, changes: dict) -> Settings:
        """Return the settings of this run; `changes` to the recipe count for all runs."""
        given = RECIPE | changes | CORRECTIONS[self.correction] | {"publication_lag": self.lag, "seed": self.seed}
        iterations = given["steps"] // (given["environments"] * given["rollout"])
        return Settings(evaluate_every=max(1, iterations // EVALUATIONS), **given)


def plan(seeds: int, lags: tuple[int, ...] = LAGS, corrections: tuple[str, ...] = tuple(CORRECTIONS)) -> list[Run]:
    """Return the runs, one seed of everything before the next seed.

    Raises
    ------
    SettingsError
        A number is too small, or there is no such correction.
    """
    if seeds < 1:
        raise SettingsError(f"seeds is {seeds} and must be at least 1")
    for name in corrections:
        if name not in CORRECTIONS:
            raise SettingsError(f"correction '{name}' is not in this experiment; choose from: {', '.join(CORRECTIONS)}")
    if not lags or min(lags) < 0:
        raise SettingsError(f"lags are {lags} and must be numbers of iterations, at least 0")
    return [Run(lag, name, seed) for seed in range(1, seeds + 1) for lag in lags for name in corrections]


def execute(run: Run, changes: dict) -> dict:
    """Train once and return the figures of the run."""
    settings = run.settings(changes)
    begin = time.perf_counter()
    with Trainer(settings) as trainer:
        trainer.train()
        figures = _figures(trainer.history)
    return {**asdict(run), "settings": _plain(asdict(settings)), "wall_s": round(time.perf_counter() - begin, 1), **figures}


def _figures(history: list[Progress]) -> dict:
    """Return last return, means over all iterations, and the series behind them."""
    def mean(values: list[float]) -> float:
        return sum(values) / len(values) if values else math.nan

    logged = [p for p in history if not math.isnan(p.mean_return_100)]
    true = [(p.env_steps, p.mean_return_100, p.true_return) for p in history if p.true_return is not None]
    series = {
        "env_steps": [p.env_steps for p in logged],
        "mean_return_100": [round(p.mean_return_100, 2) for p in logged],
        "effective_sample_size": [round(p.mismatch.effective_sample_size, 5) for p in logged],
        "k3": [round(p.mismatch.k3, 6) for p in logged],
    }
    return _plain({
        "env_steps": history[-1].env_steps,
        "return_100": history[-1].mean_return_100,
        "curve_mean": mean([p.mean_return_100 for p in logged]),
        "true_return": true[-1][2] if true else None,
        "effective_sample_size": mean([p.mismatch.effective_sample_size for p in history]),
        "mean_ratio": mean([p.mismatch.mean for p in history]),
        "k1": mean([p.mismatch.k1 for p in history]),
        "k3": mean([p.mismatch.k3 for p in history]),
        "chi_square": mean([p.mismatch.chi_square for p in history]),
        "masked": mean([p.mismatch.masked for p in history]),
        "clip_fraction": mean([p.clip_fraction for p in history]),
        "alerting_iterations": sum(bool(alerts(p.mismatch)) for p in history),
        "iterations": len(history),
        "evaluations": true,
        "series": series,
    })


def _plain(figures: dict) -> dict:
    """Return what JSON can hold: infinite and missing numbers as text and None."""
    def plain(value):
        if isinstance(value, float) and not math.isfinite(value):
            return None if math.isnan(value) else str(value)
        return list(value) if isinstance(value, tuple) else value

    return {name: plain(value) for name, value in figures.items()}


def read(path: Path) -> dict:
    """Return the figures of the run in a file; SettingsError if there are none."""
    try:
        figures = json.loads(path.read_text())
        figures["settings"].items()
    except (ValueError, TypeError, KeyError, AttributeError):
        raise SettingsError(f"{path} holds no figures of a run; delete it, and the run is repeated") from None
    return figures


def load(path: Path, run: Run, changes: dict) -> dict | None:
    """Return the figures of a run that is there, None if it is not; SettingsError if they belong to other settings."""
    if not path.exists():
        return None
    figures = read(path)
    wanted = _plain(asdict(run.settings(changes)))
    for name, value in figures["settings"].items():
        if wanted.get(name) != value:
            raise SettingsError(f"{path} was made with {name} = {value}, not {wanted.get(name)}; choose another --out")
    return figures


def differences(first: dict, second: dict) -> list[str]:
    """Return what two results of the same run differ in, apart from the back end that made them and the time it took.

    Settings count that both of them name.
    """
    first, second = (json.loads(json.dumps(figures)) for figures in (first, second))  # lists, as after reading
    settings = (first.pop("settings"), second.pop("settings"))
    different = [name for name in first | second if name != "wall_s" and first.get(name) != second.get(name)]
    return different + [f"setting {name}" for name in settings[0].keys() & settings[1].keys() - {"backend"}
                        if settings[0][name] != settings[1][name]]


def collect(runs: list[Run], changes: dict, folder: Path, jobs: int = 1, show: Callable[[str], None] = print) -> list[dict]:
    """Execute the runs that are missing in `folder` and return the figures of all.

    Parameters
    ----------
    runs : list of Run
    changes : dict
        Settings of all runs that differ from the recipe.
    folder : Path
        Where the JSON files lie.
    jobs : int
        Processes.
    show : callable
        Receives a line after every run.
    """
    if jobs < 1:
        raise SettingsError(f"jobs is {jobs} and must be at least 1")
    folder.mkdir(parents=True, exist_ok=True)
    for run in runs:
        run.settings(changes).check()
    done = {run: figures for run in runs if (figures := load(folder / f"{run.name}.json", run, changes)) is not None}
    missing = [run for run in runs if run not in done]
    show(f"{len(runs)} runs, {len(done)} of them in {folder} already")
    begin = time.perf_counter()
    for number, (run, figures) in enumerate(_executed(missing, changes, jobs), 1):
        path = folder / f"{run.name}.json"
        part = path.with_suffix(".part")
        part.write_text(json.dumps(figures) + "\n")
        part.rename(path)
        done[run] = figures
        left = (time.perf_counter() - begin) / number * (len(missing) - number)
        show(f"{len(done)}/{len(runs)}  {run.name}: return {_number(figures['return_100'])}, curve {_number(figures['curve_mean'])}, "
             f"k3 {figures['k3']:.3g}, effective sample size {figures['effective_sample_size']:.3f}, {figures['wall_s']:.0f} s; "
             f"about {left / 60:.0f} min left")
    return [done[run] for run in runs]


def _executed(runs: list[Run], changes: dict, jobs: int) -> Iterator[tuple[Run, dict]]:
    if jobs == 1:
        for run in runs:
            yield run, execute(run, changes)
        return
    with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
        futures = {pool.submit(execute, run, changes): run for run in runs}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"
