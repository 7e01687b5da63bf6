# SPDX-License-Identifier: Apache-2.0
"""The two policies on the chip and their programs: actors that sample, the learner that trains, and what passes between them."""

import math
from collections.abc import Callable, Sequence

import numpy as np

from .allocator import Layout
from .device import Device
from .errors import ProgramError, TensorError
from .networks import MLP, Sampler
from .program import Program
from .records import SAMPLED_VERSION
from .settings import Settings
from .tensor import dequantize, quantize


class Actor:
    """Samples actions from a network's logits: observations in, forward, sample, records out.

    Parameters
    ----------
    layout : Layout
    net : MLP or Sampler
        Whose current or last published weights it acts with.
    rows : int
        Observations at a time.
    prefix : str
        Of its tensors' names.
    input_exponent : int
        Exponent of the int16 observations; int8 ones have 8 more.
    request : bool
        Act by requests, beside whatever program was started, even one that commits.

    Attributes
    ----------
    rows : int
    program : Program
    x, records : Block
        What goes in and out, in outside memory.
    """

    def __init__(self, layout: Layout, net: MLP | Sampler, rows: int, prefix: str, input_exponent: int, request: bool = False):
        self.rows, self._exponent = rows, input_exponent
        acts = net.activations(rows, prefix, input_exponent + 8 * (net.observations == "int8"))
        records = layout.records(f"{prefix}.records", rows)
        self._input = acts.x
        self.x, self.records = layout.block_for(acts.x), layout.block_for(records)
        self.program = Program(f"{prefix} step", layout, request)
        self.program.load(acts.x, self.x)
        net.forward(self.program, acts)
        self.program.sample(acts.y, records)
        self.program.store(records, self.records)

    def act(self, device: Device, x: np.ndarray) -> np.ndarray:
        """Run on observations, int16 mantissas (any number, inputs); returns the records, int16 (that number, elements).

        Takes `rows` at a time; where fewer are left, the other rows of outside memory are run as they are.

        Raises
        ------
        TensorError
            They are not int16.
        """
        if x.dtype != np.int16:
            raise TensorError(f"observations are int16 mantissas of exponent {self._exponent}, not {x.dtype}; "
                              f"round them: numpy.round(x * 2.0**{-self._exponent}).astype(numpy.int16)")
        if self._input.packed:
            x = quantize(dequantize(x, self._exponent), self._input.initial, self._input.bits)
        run, done = device.request if self.program.request else device.run, []
        for start in range(0, len(x), self.rows):
            part = self._input.view(slice(0, min(self.rows, len(x) - start)))
            self.x.data[:part.rows] = part.pack(x[start:start + self.rows])
            run(self.program)
            done.append(self.records.data[:part.rows].copy())
        return np.concatenate(done) if done else self.records.data[:0].copy()

    def runs(self, observations: int) -> int:
        """Return how often `act` runs the program for so many observations."""
        return -(-observations // self.rows)


class Publication:
    """Brings the learner's weights to the sampler, a fixed number of publications late.

    Every publication stores the current slot of the weight group into a ring in outside memory, loads the oldest one there
    back into the scratchpad, and rounds that to the sampler's int8 weights.

    Parameters
    ----------
    layout : Layout
    copies : sequence of Sampler
        All of one network; publications go to them in turn.
    lag : int
        Publications that a copy waits, at least 0.

    Attributes
    ----------
    newest : int
        Which of the copies was written last.
    version : int
        The version of the weights in it.
    """

    def __init__(self, layout: Layout, copies: Sequence[Sampler], lag: int):
        group = copies[0].net.group
        arrived = layout.tensor("published slot", group.size, layout.lanes, raw=True)
        ring = [layout.block_for(arrived, f"published slot {place}") for place in range(lag + 1)]
        self._turns, self._adopt = [], []
        for place in range(lag + 1):
            program = Program(f"publish {place}", layout)
            program.store(group.slot, ring[place])
            program.load(arrived, ring[(place + 1) % len(ring)])
            self._turns.append(program)
        for number, sampler in enumerate(copies):
            program = Program(f"adopt {number}", layout)
            sampler.publish(program, arrived)
            self._adopt.append(program)
        self._versions = [0] * len(ring)
        self._place = self.newest = self.version = 0

    @property
    def programs(self) -> list[Program]:
        return [*self._turns, *self._adopt]

    def publish(self, device: Device, run: Callable[[Program], None] | None = None) -> int:
        """Publish the current weights; the newest copy then holds those of `lag` publications ago, whose version is returned.

        `run` runs a program in place of `Device.run`; it may serve requests meanwhile, which must not use the copy being written.
        """
        run = run or device.run
        copy = (self.newest + 1) % len(self._adopt)
        run(self._turns[self._place])
        run(self._adopt[copy])
        self._versions[self._place] = device.version
        self._place = (self._place + 1) % len(self._turns)
        self.newest, self.version = copy, self._versions[self._place]
        return self.version

    def state(self) -> dict:
        """Return which copy and which place of the ring are next, and the versions there; for `restore`."""
        return {"place": self._place, "newest": self.newest, "version": self.version, "versions": list(self._versions)}

    def restore(self, state: dict) -> None:
        self._place, self.newest, self.version = int(state["place"]), int(state["newest"]), int(state["version"])
        self._versions = [int(version) for version in state["versions"]]

    def start(self, device: Device) -> None:
        """Fill the ring with the current weights, and let the int8 weights' exponents follow them."""
        for _ in range(2 * len(self._turns) * len(self._adopt)):
            self.publish(device)


class Server:
    """Acts by requests while the learner's programs run, with the newer one of two int8 copies of its network.

    Publication writes the other copy, so it disturbs no request either.

    Parameters
    ----------
    layout : Layout
    net : MLP
    rows : int
        Observations of a request.
    prefix : str
        Of its tensors' names.
    input_exponent : int
        Exponent of the int16 observations.
    observations : str
        As of `Sampler`.
    lag : int
        As of `Publication`.

    Attributes
    ----------
    copies : list of Sampler
    actors : list of Actor
        One for each copy.
    publication : Publication

    Notes
    -----
    >>> server.start(device)                            # doctest: +SKIP
    ... device.start(learner.update)
    ... records = server.act(device, x)                 # beside the update
    ... device.finish()
    ... server.publish(device, serving)                 # serving(program): start it, serve, finish
    """

    def __init__(self, layout: Layout, net: MLP, rows: int, prefix: str, input_exponent: int, observations: str = "int16",
                 lag: int = 0):
        self.copies = [Sampler(net, observations) for _ in range(2)]
        self.actors = [Actor(layout, copy, rows, f"{prefix} {number}", input_exponent, request=True)
                       for number, copy in enumerate(self.copies)]
        self.publication = Publication(layout, self.copies, lag)
        self._started = False

    @property
    def programs(self) -> list[Program]:
        return [*(actor.program for actor in self.actors), *self.publication.programs]

    def start(self, device: Device) -> None:
        """Install the programs and publish the current weights, which must have been loaded, into both copies."""
        device.check_idle("the server cannot be started")
        for program in self.programs:
            device.install(program)
        for copy in self.copies:  # what was published before says nothing about these weights
            for tensor in (*copy.weights, *copy.biases):
                if tensor.exponent is not None and not tensor.static:
                    device.registers.write_exponent(device.exponent_index(tensor), tensor.initial, False)
        self.publication.start(device)
        self._started = True

    def publish(self, device: Device, run: Callable[[Program], None] | None = None) -> int:
        """As `Publication.publish`.

        After weights of another scale (load_state_dict, a checkpoint) call `start` again: until a copy has been published once its
        exponents are those of the weights before.
        """
        self._check_started()
        return self.publication.publish(device, run)

    def _check_started(self) -> None:
        if not self._started:
            raise ProgramError("this server has no weights yet; load the network's and call its start(device) first")

    def act(self, device: Device, x: np.ndarray) -> np.ndarray:
        """As `Actor.act`, by requests with the copy that was published last, whose weights' version the records carry.

        Raises
        ------
        ProgramError
            Nothing has been published yet.
        """
        self._check_started()
        records = self.actors[self.publication.newest].act(device, x)
        records[:, SAMPLED_VERSION] = np.uint16(self.publication.version & 0xFFFF).view(np.int16)  # SAMPLE wrote the learner's
        return records


class Learner:
    """The int16 network that is trained, and what the chip does for it.

    Attributes
    ----------
    update, warmup : Program
        One minibatch update, with and without the commit.
    evaluate : Program or None
        Replaces log-probability and value of a minibatch's records by those of the current weights; only made if the sampler is
        not the learner, and for V-trace. For PPO it adds the ratio of these over the sampler's to the statistics, which V-trace's
        update does.
    x, records : Block
        The minibatch in outside memory.
    rate_factor : float
        What the optimizer multiplies the gradient with: the chip divides it by a power of two instead of the minibatch's size.
    """

    def __init__(self, layout: Layout, net: MLP, settings: Settings, input_exponent: int):
        s = settings
        acts, grads = net.activations(s.minibatch, "batch", input_exponent), net.gradients(s.minibatch, "batch")
        records = layout.records("batch.records", s.minibatch)
        self.x, self.records = layout.block_for(acts.x), layout.block_for(records)
        gshift = math.ceil(math.log2(s.minibatch))
        self.rate_factor = 2**gshift / s.minibatch
        self.update, self.warmup = Program("minibatch update", layout), Program("warm-up", layout)
        for program in (self.update, self.warmup):
            program.load(acts.x, self.x)
            program.load(records, self.records)
            net.forward(program, acts)
            program.loss(acts.y, records, grads.outputs[-1], gshift)
            net.backward(program, acts, grads, update=True, stochastic=s.stochastic)
        self.update.commit()
        self.evaluate = None
        if s.sampler != "learner" or s.algorithm == "vtrace":
            self.evaluate = Program("evaluate", layout)
            self.evaluate.load(acts.x, self.x)
            self.evaluate.load(records, self.records)
            net.forward(self.evaluate, acts)
            self.evaluate.evaluate(acts.y, records)
            if s.algorithm == "ppo":
                unused = layout.tensor("evaluate.dy", *acts.y.shape)  # a gradient that nobody reads: LOSS is there for its statistics
                self.evaluate.loss(acts.y, records, unused, gshift)
            self.evaluate.store(records, self.records)

    @property
    def programs(self) -> list[Program]:
        return [self.update, self.warmup, *([self.evaluate] if self.evaluate else [])]
