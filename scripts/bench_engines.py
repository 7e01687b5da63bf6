# SPDX-License-Identifier: Apache-2.0
"""Two engines on one chip: how long an int8 sampler's requests take beside the learner's updates, for every policy of the arbiter."""

import json
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
from bench_gemm import ACT_BATCH, LEARN_BATCH, NETWORK

BANKS = 16  # an update of LEARN_BATCH samples needs as many
REQUESTS = 250  # of each policy, at least
COMPARED = 4  # updates after which the learner must hold the same bits under all policies
GAP = 4000  # cycles from one request to the next, at most
SLICE = 1024
COUNTED = ("BUSY", "STALL_OPERAND", "STALL_RESULT", "OVERHEAD")


class Stopwatch:
    """A back end that measures its requests, in cycles from the write of CONTROL.request to the interrupt."""

    name = "stopwatch"

    def __init__(self, inner):
        from pymodels.csr_map import REGISTERS

        self._inner, self._control = inner, REGISTERS["CONTROL"]
        self._begin = self.latency = 0

    def __getattr__(self, name: str):
        return getattr(self._inner, name)

    def csr_write(self, address: int, value: int) -> None:
        if address == self._control.offset and self._control.unpack(value)["request"]:
            self._begin = self._inner.cycles
        self._inner.csr_write(address, value)

    def run(self, max_cycles: int) -> None:
        self._inner.run(max_cycles)
        self.latency = self._inner.cycles - self._begin


class Engines:
    """A learner and a server on one device, as one policy of the arbiter finds them."""

    def __init__(self, backend: Callable, lanes: int, policy: str):
        from lathe import Device
        from lathe.engines import Learner, Server
        from lathe.networks import MLP
        from lathe.settings import Settings

        inputs, hidden, actions = NETWORK
        rng = np.random.default_rng(1)
        self.device = device = Device(lambda *settings: Stopwatch(backend(*settings)), lanes, BANKS, seed=1)
        net = MLP(device.layout, inputs, hidden, actions)
        self.learner = Learner(device.layout, net, Settings(hidden=hidden, minibatch=LEARN_BATCH), -12)
        self.server = Server(device.layout, net, ACT_BATCH, "served", -12)
        self.weights = net.group.slot
        for tensor, values in net.initial_values(rng).items():
            device.load(tensor, values)
        self.x = rng.integers(-4000, 4000, (ACT_BATCH, inputs)).astype(np.int16)
        self.learner.x.data[:, :inputs] = rng.integers(-4000, 4000, (LEARN_BATCH, inputs))
        self.learner.records.data[:, 0] = rng.integers(0, actions, LEARN_BATCH)
        self.learner.records.data[:, 1:4] = rng.integers(-700, 700, (LEARN_BATCH, 3))
        device.set_optimizer(0.01, 0.9)
        device.set_arbiter(policy, SLICE)
        device.install(self.learner.update)
        self.server.start(device)
        for _ in range(4):  # delayed scaling settles
            device.run(self.learner.warmup)
            for actor in self.server.actors:
                actor.act(device, self.x)

    def request(self) -> int:
        """Serve one request; return its cycles."""
        self.server.act(self.device, self.x)
        return self.device.backend.latency

    def update(self, rng: np.random.Generator | None = None) -> tuple[int, list[int]]:
        """Run one update, with requests at moments that `rng` draws; return its cycles and the requests'."""
        device, latencies = self.device, []
        device.registers.write("CONTROL", perf_clear=1)
        device.start(self.learner.update)
        while rng is not None:
            device.backend.advance(int(rng.integers(GAP)))
            if not device.registers.read("STATUS")["busy"]:
                break
            latencies.append(self.request())
        device.finish()
        return device.cycles, latencies

    def longest(self, cut: bool) -> tuple[int, str]:
        """Return the cycles of what the update may keep a unit for at a stretch, and what that is: each runs alone in its unit."""
        from lathe import Program

        device, found = self.device, []
        for op in self.learner.update.operations:
            if op.unit == "update":  # a request has no use for that unit
                continue
            program = Program(f"part of {op.label}", device.layout)
            program.raw(op.label, **(piece(op.fields, device.layout.lanes) if cut else without_order(op.fields)))
            device.registers.write("CONTROL", perf_clear=1)
            device.run(program)
            found.append((sum(device.registers.value(f"{op.unit.upper()}_{what}") for what in COUNTED), f"{op.unit} {op.label}"))
        return max(found)


def without_order(fields: dict) -> dict:
    """Return a descriptor's fields without what ties it to those before it."""
    return {name: value for name, value in fields.items() if name not in ("overlap", "chain")}


def piece(fields: dict, lanes: int) -> dict:
    """Return the fields of the first and largest piece of a command (docs/architecture.md, "Requests beside a program")."""
    from pymodels.descriptor import PolicyOp, Unit
    from tb.common.pieces import pieces

    codes = defaultdict(int, fields, unit=Unit[fields["unit"].upper()])
    if fields["unit"] == "policy":
        codes["op"] = PolicyOp[fields["op"].upper()]
    first = pieces(codes, lanes)[0].fields
    return without_order(fields) | {name: first[name] for name in ("m", "n") if name in first}


def compare(backend: Callable, lanes: int) -> list[dict]:
    """Measure every policy on a chip of its own, whose back end `backend` makes; return a row for each.

    The moments of the requests are drawn from the same seed for all policies, and so are the learner's data: after COMPARED
    updates its weights must be the same bits.
    """
    from lathe.requests import POLICIES

    rows, reference = [], None
    for policy in POLICIES:
        engines, rng = Engines(backend, lanes, policy), np.random.default_rng(2)
        with engines.device as device:
            longest, what = engines.longest(cut=policy != "command")
            for _ in range(2):
                device.run(engines.learner.warmup)
            own = max(engines.request() for _ in range(8))
            alone, _ = engines.update()
            latencies, served = [], []
            while len(latencies) < REQUESTS or len(served) < COMPARED:
                cycles, more = engines.update(rng)
                served.append(cycles)
                latencies += more
                if len(served) == COMPARED:
                    weights = device.store(engines.weights)
                    reference = weights if reference is None else reference
                    if not np.array_equal(weights, reference):
                        raise SystemExit(f"bench: the learner's weights under arbiter policy '{policy}' differ from those under "
                                         f"'{POLICIES[0]}'")
        p50, p99 = (int(np.percentile(latencies, share, method="higher")) for share in (50, 99))
        rows.append({
            "name": f"batch-{ACT_BATCH} requests beside updates of {LEARN_BATCH}, arbiter {policy}", "policy": policy, "lanes": lanes,
            "requests": len(latencies), "p50_cycles": p50, "p99_cycles": p99, "max_cycles": max(latencies), "own_cycles": own,
            "longest_cycles": longest, "longest": what, "bound_cycles": longest + own, "within_bound": p99 <= longest + own,
            "update_cycles": alone, "cutting_cycles": alone - (rows[0]["update_cycles"] if rows else alone),
            "served_update_cycles": float(np.mean(served)), "requests_an_update": len(latencies) / len(served),
            "cycles_a_request_costs": (sum(served) - len(served) * alone) / len(latencies)})
    return rows


def measure(lanes: int, out: Path) -> list[dict]:
    """Measure on the simulated chip; write two_engines.json into the folder `out`."""
    from lathe.backends.verilator import VerilatorBackend

    rows = compare(VerilatorBackend, lanes)
    meta = {"network": NETWORK, "banks": BANKS, "slice_cycles": SLICE,
            "latency": "p50, p99, max: cycles from before the write of CONTROL.request to the interrupt; a request is load, forward of the "
                       f"int8 sampler, sample, store; issued 0 to {GAP} cycles after the one before has ended",
            "own_cycles": "the same with no program running, the longest of 8",
            "longest_cycles": "longest stretch for which the update keeps gemm, policy or dma: a piece, or (arbiter command) a command",
            "bound_cycles": "longest_cycles + own_cycles: what p99 must keep under priority",
            "update_cycles": "an update without requests; cutting_cycles: what it takes more than under arbiter command; with requests "
                             "it is counted to the end of the last one"}
    (out / "two_engines.json").write_text(json.dumps({"meta": meta, "rows": rows}, indent=1) + "\n")
    return rows
