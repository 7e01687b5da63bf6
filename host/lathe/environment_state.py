# SPDX-License-Identifier: Apache-2.0
"""State of Gymnasium environments as plain values: where each one stands, the steps of its episode, its random generator.

Gymnasium cannot say in general what the state of an environment is, and pickled objects are code that a foreign file would run. So
there is a list of environments whose state is known; others are refused.
"""

import copy
from typing import Any

import numpy as np
from gymnasium import Env, Wrapper
from gymnasium.envs.classic_control import AcrobotEnv, CartPoleEnv, MountainCarEnv
from gymnasium.envs.toy_text import CliffWalkingEnv, FrozenLakeEnv, TaxiEnv
from gymnasium.vector import SyncVectorEnv
from gymnasium.wrappers import OrderEnforcing, PassiveEnvChecker, TimeLimit

from .errors import CheckpointError

#: Environment -> the attributes that change as it is stepped.
STATES: dict[type[Env], tuple[str, ...]] = {
    CartPoleEnv: ("state", "steps_beyond_terminated"), AcrobotEnv: ("state",), MountainCarEnv: ("state",),
    FrozenLakeEnv: ("s", "lastaction"), CliffWalkingEnv: ("s", "lastaction"), TaxiEnv: ("s", "lastaction", "fickle_step")}
#: The same of wrappers.
_WRAPPERS: dict[type[Wrapper], tuple[str, ...]] = {TimeLimit: ("_elapsed_steps",), OrderEnforcing: ("_has_reset",), PassiveEnvChecker: ()}


def check_environments(envs: SyncVectorEnv) -> None:
    """Raise CheckpointError if the state of these environments cannot be saved."""
    for layer in _layers(envs):
        if type(layer) not in STATES and type(layer) not in _WRAPPERS:
            known = ", ".join(sorted(kind.__name__ for kind in STATES))
            raise CheckpointError(f"the state of environment {type(layer).__name__} is not known, so training in it cannot be saved and "
                                  f"resumed; known are {known} under Gymnasium's own wrappers; save the network's weights alone with "
                                  "lathe.weights.save")


def environment_state(envs: SyncVectorEnv) -> list[dict[str, Any]]:
    """Return the state of environments between two steps, none of which has ended: numbers, arrays and None."""
    return [{"random": generator_state(env.unwrapped._np_random), **_of_one(env)} for env in envs.envs]


def restore_environments(envs: SyncVectorEnv, states: list[dict[str, Any]]) -> None:
    """Bring as many environments of the same kind to these states."""
    if len(states) != len(envs.envs):
        raise ValueError(f"{len(states)} environments instead of {len(envs.envs)}")
    for env, state in zip(envs.envs, states, strict=True):
        if state["random"] is not None:
            env.unwrapped.np_random = generator(state["random"])
        for layer, name in _attributes(env):
            setattr(layer, name, copy.copy(state[name]))


def generator_state(generator: np.random.Generator | None) -> dict[str, Any] | None:
    """Return the state of a random generator as plain values."""
    return None if generator is None else generator.bit_generator.state


def generator(state: dict[str, Any]) -> np.random.Generator:
    """Return a random generator (numpy's default kind) with that state."""
    made = np.random.Generator(np.random.PCG64())
    made.bit_generator.state = state
    return made


def _layers(envs: SyncVectorEnv) -> list[Env]:
    """The wrappers of the first environment, and itself."""
    layers = [envs.envs[0]]
    while isinstance(layers[-1], Wrapper):
        layers.append(layers[-1].env)
    return layers


def _attributes(env: Env) -> list[tuple[Env, str]]:
    found = []
    while isinstance(env, Wrapper):
        found += [(env, name) for name in _WRAPPERS[type(env)]]
        env = env.env
    return found + [(env, name) for name in STATES[type(env)]]


def _of_one(env: Env) -> dict[str, Any]:
    values = {}
    for layer, name in _attributes(env):
        value = getattr(layer, name, None)
        values[name] = np.array(value) if isinstance(value, np.ndarray | tuple | list) else value
    return values
