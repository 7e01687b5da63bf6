# SPDX-License-Identifier: Apache-2.0
"""The demonstration's two programs as PyTorch does them on this processor: float32, eager. torch is an optional extra."""

import json
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path

from lathe.boards import BOARDS
from lathe.settings import Settings

BOARD = next(board for board in BOARDS.values() if board.fits)
INPUTS, ACTIONS = 4, 2  # of CartPole-v1
SECONDS = 1.0  # that a measurement takes; the median call counts


class Steps:
    """A network like the demonstration's, its sampler and its learner.

    Parameters
    ----------
    settings : Settings
        Widths, activation, batch sizes and coefficients; algorithm ppo, optimizer sgd.
    inputs, actions : int
        Observation elements and discrete actions.
    """

    def __init__(self, settings: Settings, inputs: int, actions: int):
        import torch

        torch.manual_seed(settings.seed)
        self.torch, self.settings, self.actions = torch, settings, actions
        activation = {"tanh": torch.nn.Tanh, "relu": torch.nn.ReLU}[settings.activation]
        layers: list[torch.nn.Module] = []
        sizes = (inputs, *settings.hidden)
        for rows, columns in zip(sizes, sizes[1:], strict=False):
            layers += [torch.nn.Linear(rows, columns), activation()]
        self.network = torch.nn.Sequential(*layers, torch.nn.Linear(sizes[-1], actions + 1))
        self.optimizer = torch.optim.SGD(self.network.parameters(), lr=settings.initial_rate, momentum=settings.momentum)
        self.observations = torch.randn(settings.environments, inputs)
        count = settings.minibatch
        self.batch = torch.randn(count, inputs)
        self.taken = torch.randint(actions, (count,))
        self.old, self.advantage, self.returns = (torch.randn(count) * scale for scale in (0.1, 1.0, 1.0))

    def rollout_step(self) -> None:
        """Forward pass of one observation of each environment; actions, their log probabilities, values."""
        with self.torch.no_grad():
            y = self.network(self.observations)
            log_pi = self.torch.log_softmax(y[:, :-1], dim=1)
            action = self.torch.multinomial(log_pi.exp(), 1)
            log_pi.gather(1, action).numpy(), action.numpy(), y[:, -1].numpy()

    def minibatch_update(self) -> None:
        """Forward pass, PPO's clipped loss with value and entropy, backward pass, step with momentum."""
        settings = self.settings
        y = self.network(self.batch)
        log_pi = self.torch.log_softmax(y[:, :-1], dim=1)
        ratio = (log_pi.gather(1, self.taken[:, None])[:, 0] - self.old).exp()
        clipped = ratio.clamp(1 - settings.clip, 1 + settings.clip)
        gain = self.torch.minimum(ratio * self.advantage, clipped * self.advantage).mean()
        entropy = -(log_pi.exp() * log_pi).sum(1).mean()
        value = 0.5 * (y[:, -1] - self.returns).square().mean()
        self.optimizer.zero_grad()
        (-gain + settings.value_weight * value - settings.entropy * entropy).backward()
        self.optimizer.step()


def _median_us(work: Callable[[], None]) -> float:
    """Return the median of the microseconds that a call takes."""
    times = []
    end = time.perf_counter() + SECONDS
    for _ in range(20):
        work()
    while (begun := time.perf_counter()) < end or len(times) < 20:
        work()
        times.append(time.perf_counter() - begun)
    return sorted(times)[len(times) // 2] * 1e6


def measure(settings: Settings, inputs: int, actions: int) -> dict | None:
    """Return microseconds of a rollout step and of a minibatch update, and with what; None without torch.

    Of one thread and of as many as torch takes by itself, the faster, each step for itself.
    """
    try:
        import torch
    except ImportError:
        return None

    threads, found = torch.get_num_threads(), {}
    try:
        for number in sorted({1, threads}):
            torch.set_num_threads(number)
            steps = Steps(settings, inputs, actions)
            for name, work in (("rollout_step", steps.rollout_step), ("minibatch_update", steps.minibatch_update)):
                us = _median_us(work)
                if name not in found or us < found[name]["us"]:
                    found[name] = {"us": us, "threads": number}
    finally:
        torch.set_num_threads(threads)
    return {"torch": torch.__version__, **found}


def compare(programs: Callable[[Settings], list[dict]], out: Path) -> list[dict]:
    """Put the demonstration's programs on a board's chip beside PyTorch; write torch.json into the folder `out`. No rows without torch.

    `programs` gives the rows of a rollout step and of a minibatch update on a simulated chip. Microseconds of the board are
    their cycles over its clock.
    """
    (out / "torch.json").unlink(missing_ok=True)
    settings = Settings(backend="verilator", lanes=BOARD.lanes, banks=BOARD.banks, seed=1)
    found = measure(settings, INPUTS, ACTIONS)
    if not found:
        return []
    clock = BOARD.clock_hz / 1e6
    table = [{"name": program["name"], "lanes": BOARD.lanes, "cycles": program["cycles"], "us": program["cycles"] / clock,
              "board": BOARD.name, "clock_mhz": clock, "torch": found["torch"], "torch_us": found[key]["us"],
              "torch_threads": found[key]["threads"]}
             for program, key in zip(programs(settings), ("rollout_step", "minibatch_update"), strict=True)]
    meta = {"machine": platform.machine(), "cores": os.cpu_count(), "us": "simulated cycles over the board's clock, without host and link",
            "torch": "eager, float32; the median call; one thread or all, the faster"}
    (out / "torch.json").write_text(json.dumps({"meta": meta, "rows": table}, indent=1) + "\n")
    return table
