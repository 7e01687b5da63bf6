# SPDX-License-Identifier: Apache-2.0
"""What a training run shows while it goes on."""

import math
import time

from .metrics import Progress, alerts
from .settings import Settings


class Display:
    """A progress bar with a line of figures below on a terminal, a line now and then elsewhere."""

    LINE_SECONDS = 10.0

    def __init__(self, settings: Settings):
        from rich.console import Console, Group
        from rich.live import Live
        from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Bar
        from rich.text import Text

        self._console = console = Console()
        self._terminal = console.is_terminal
        self._steps = settings.steps
        self._bar = Bar(TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:,}/{task.total:,} steps"),
                        TimeElapsedColumn(), console=console)
        self._task = self._bar.add_task(settings.env, total=settings.steps)
        self._state = ""
        self._alerted: set[str] = set()
        self._live = Live(get_renderable=lambda: Group(self._bar, Text(self._state)), console=console, refresh_per_second=4)
        self._printed = time.perf_counter()

    def __enter__(self) -> "Display":
        if self._terminal:
            self._live.start()
        return self

    def __exit__(self, *_) -> None:
        if self._terminal:
            self._live.stop()

    def show(self, p: Progress) -> None:
        self._state = _state(p)
        self._bar.update(self._task, completed=min(p.env_steps, self._steps))
        self._warn(p)
        now = time.perf_counter()
        if not self._terminal and now - self._printed >= self.LINE_SECONDS:
            self._printed = now
            print(f"{p.env_steps:,}/{self._steps:,} steps  {self._state}  {p.wall_s:.0f} s", flush=True)


    def _warn(self, p: Progress) -> None:
        """Say once of each alert level that it is crossed."""
        for figure, text in (alerts(p.mismatch) if p.mismatch else {}).items():
            if figure not in self._alerted:
                self._alerted.add(figure)
                self._console.print(f"after {p.env_steps:,} steps the sampler is far from the learner: {text} (published alert level); a "
                                    "smaller --publication-lag or another --correction may help", soft_wrap=True, highlight=False)


def _state(p: Progress) -> str:
    mean = "-" if math.isnan(p.mean_return_100) else f"{p.mean_return_100:.1f}"
    busy = "" if p.array_utilization is None else f"  cycles {p.chip_cycles / 1e6:.1f}M  array {100 * p.array_utilization:.1f}%"
    true = "" if p.true_return is None else f" true {p.true_return:.1f}"
    ratio = p.mismatch or p.ratio
    watched = "" if ratio is None else f"  ESS {ratio.effective_sample_size:.3f} k3 {ratio.k3:.4f}"
    sampler = f"  sampler {p.sampler_version}" if p.mismatch else ""
    return f"return {mean}{true}  clip {100 * p.clip_fraction:.1f}%{watched}  version {p.weight_version}{sampler}{busy}"
