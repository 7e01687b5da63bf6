# SPDX-License-Identifier: Apache-2.0
"""The learner's true return, beside the return that the sampler logs."""

import numpy as np

from .device import Device
from .engines import Actor
from .environment_state import environment_state, restore_environments
from .environments import ObservationEncoder, make_environments
from .networks import MLP
from .records import ACTION
from .settings import Settings


class Evaluation:
    """Plays episodes with the learner's current int16 weights, actions drawn as in training, in environments of its own.

    Training goes on as if nothing had happened: the tensors are its own, and the number from which random bits follow is put back.
    The first evaluation begins with the seed after that of training; later ones go on.

    Parameters
    ----------
    device : Device
    net : MLP
    encoder : ObservationEncoder
        The one of training; its running statistics are used, not changed.
    settings : Settings
    """

    def __init__(self, device: Device, net: MLP, encoder: ObservationEncoder, settings: Settings):
        self._device, self._encoder, self._settings = device, encoder, settings
        self.actor = Actor(device.layout, net, settings.environments, "evaluation", encoder.exponent)
        self.envs = make_environments(settings.env, settings.environments)
        self._first_action = int(self.envs.single_action_space.start)
        self._seed = settings.seed + 1

    def close(self) -> None:
        self.envs.close()

    def state(self) -> dict:
        """Return what the next evaluation begins with, for `restore`."""
        return {"environments": environment_state(self.envs), "seed": self._seed}

    def restore(self, state: dict) -> None:
        restore_environments(self.envs, state["environments"])
        self._seed = state["seed"]

    def run(self) -> list[float]:
        """Return the returns of at least `evaluation_episodes` episodes, the same number from every environment."""
        registers = self._device.registers
        opnum = registers.value("OPNUM")
        returns = self._play(-(-self._settings.evaluation_episodes // self._settings.environments))
        registers.set("OPNUM", opnum)
        return returns

    def _play(self, episodes: int) -> list[float]:
        count = self._settings.environments
        finished: list[list[float]] = [[] for _ in range(count)]
        running = np.zeros(count)
        observations, _ = self.envs.reset(seed=self._seed)
        self._seed = None
        while min(map(len, finished)) < episodes:
            records = self.actor.act(self._device, self._encoder(observations, learn=False))
            observations, reward, terminated, truncated, _ = self.envs.step(records[:, ACTION] + self._first_action)
            running += reward
            ended = terminated | truncated
            for index in np.flatnonzero(ended):
                finished[index].append(float(running[index]))
                running[index] = 0.0
            if ended.any():
                observations, _ = self.envs.reset(options={"reset_mask": ended})
        return [value for each in finished for value in each[:episodes]]
