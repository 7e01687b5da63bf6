# SPDX-License-Identifier: Apache-2.0
"""Centralized inference (SEED RL): environments in processes of their own, and a batcher between them and the sampler."""

import time
from collections import deque
from collections.abc import Callable
from contextlib import closing, suppress
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from typing import NamedTuple

import gymnasium
import numpy as np

from .environments import make_environments
from .errors import LatheError, SettingsError

GRACE = 5.0  #: seconds that a process gets to end its last step


class Batcher:
    """Requests wait until there are enough for a batch, or until the oldest has waited long enough.

    Parameters
    ----------
    size : int
        Requests of a batch, at most.
    timeout : float
        Seconds that a request waits, at most, for others.
    clock : callable
        Returns seconds.
    """

    def __init__(self, size: int, timeout: float, clock: Callable[[], float] = time.monotonic):
        self.size, self.timeout, self._clock = size, timeout, clock
        self._waiting: deque[tuple[float, int]] = deque()

    def add(self, request: int) -> None:
        self._waiting.append((self._clock(), request))

    def ready(self) -> bool:
        """Whether a batch is to be flushed."""
        return len(self._waiting) >= self.size or self.remaining == 0.0

    @property
    def remaining(self) -> float | None:
        """Seconds until the oldest request has waited long enough; None without one."""
        return max(self._waiting[0][0] + self.timeout - self._clock(), 0.0) if self._waiting else None

    def take(self) -> list[int]:
        """Return the requests of a batch, the oldest first."""
        return [self._waiting.popleft()[1] for _ in range(min(self.size, len(self._waiting)))]


class Step(NamedTuple):
    """What an environment answered: its number, what it gave, and, if the episode ended, the first observation of the next."""

    index: int
    observation: np.ndarray
    reward: float
    terminated: bool
    truncated: bool
    fresh: np.ndarray | None


class EnvironmentPool:
    """Gymnasium environments in processes; actions are sent one by one, and who has stepped first is received first.

    Parameters
    ----------
    name : str
        Gymnasium environment.
    count : int
        Environments.
    workers : int
        Processes, which share the environments.

    Attributes
    ----------
    single_observation_space, single_action_space : Space
        Of one environment.

    Raises
    ------
    SettingsError
        As of `make_environments`; also whenever an environment fails.
    """

    def __init__(self, name: str, count: int, workers: int):
        with closing(make_environments(name, 1)) as one:
            self.single_observation_space, self.single_action_space = one.single_observation_space, one.single_action_space
        self.count, self._closed = count, False
        context = get_context()
        self._pipes: list[Connection] = []
        self._processes = []
        for worker in range(min(workers, count)):
            pipe, theirs = context.Pipe()
            process = context.Process(target=_work, args=(theirs, name, range(worker, count, workers)), daemon=True)
            process.start()
            theirs.close()
            self._pipes.append(pipe)
            self._processes.append(process)

    def reset(self, seed: int) -> np.ndarray:
        """Reset all, environment number i with seed + i; returns the observations, one a row."""
        for pipe in self._pipes:
            pipe.send(("reset", seed))
        first = dict(item for pipe in self._pipes for item in self._answer(pipe))
        return np.stack([first[index] for index in range(self.count)])

    def send(self, index: int, action: int) -> None:
        """Let an environment take a step; what may have ended its process is raised when it is received."""
        with suppress(ConnectionError):
            self._pipes[index % len(self._pipes)].send((index, action))

    def receive(self, timeout: float | None) -> list[Step]:
        """Return what has come, in the order of the processes; waits for the first, at most `timeout` seconds unless None."""
        return [self._answer(pipe) for pipe in wait(self._pipes, timeout)]

    def _answer(self, pipe: Connection):
        try:
            answer = pipe.recv()
        except (EOFError, ConnectionError):
            raise LatheError("a process of the environments has ended unexpectedly") from None
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self) -> None:
        """End the processes; may be called again."""
        if self._closed:
            return
        self._closed = True
        for pipe, process in zip(self._pipes, self._processes, strict=True):
            with suppress(OSError):  # it has ended already
                pipe.send(("close", None))
            process.join(GRACE)
            process.kill()
            pipe.close()


def _work(pipe: Connection, name: str, numbers: range) -> None:
    """Step the environments of these numbers as asked, until told to close; an error ends it and goes to the other side."""
    with pipe, suppress(EOFError, ConnectionError, KeyboardInterrupt):
        try:
            envs = {index: gymnasium.make(name) for index in numbers}
            ended = parent_process().sentinel  # a pipe alone does not tell: a forked process holds the other end, too
            while pipe in wait([pipe, ended]):
                what, value = pipe.recv()
                if what == "close":
                    return
                pipe.send(_first(envs, value) if what == "reset" else _step(envs[what], what, value))
        except (EOFError, ConnectionError):
            raise
        except Exception as error:  # whatever an environment may raise
            pipe.send(SettingsError(f"environment '{name}' failed: {type(error).__name__}: {error}"))


def _first(envs: dict[int, gymnasium.Env], seed: int) -> list[tuple[int, np.ndarray]]:
    return [(index, np.asarray(env.reset(seed=seed + index)[0])) for index, env in envs.items()]


def _step(env: gymnasium.Env, index: int, action: int) -> Step:
    observation, reward, terminated, truncated, _ = env.step(action)
    fresh = np.asarray(env.reset()[0]) if terminated or truncated else None
    return Step(index, np.asarray(observation), float(reward), bool(terminated), bool(truncated), fresh)
