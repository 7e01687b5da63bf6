# SPDX-License-Identifier: Apache-2.0
"""Two policies on one chip: whose log-probability is whose, how old the sampler's weights are, what is watched."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from lathe import Device, Program, ProgramError, SettingsError, TensorError
from lathe.engines import Actor, Publication, Server
from lathe.metrics import RatioMetrics, alerts
from lathe.networks import MLP, Sampler
from lathe.ppo import Trainer
from lathe.records import ACTION, ENVIRONMENT, LOGP, OLD_LOGP, SAMPLED_VERSION, SAMPLER_LOGP, VALUE, VERSION
from lathe.settings import Settings

SMALL = Settings(environments=8, rollout=16, epochs=2, minibatch=64, steps=1024)
INT8 = replace(SMALL, sampler="int8")


def same_numerics(trainer: Trainer) -> None:
    """Give the outputs of all batches one static exponent, so that equal weights give equal bits."""
    for tensor in trainer.device.layout.tensors:
        if tensor.name.endswith(".y"):
            trainer.device.registers.write_exponent(trainer.device.exponent_index(tensor), -12, True)


@pytest.mark.parametrize("correction", ["ppo", "decoupled_ppo", "icepop_ppo", "vtrace"])
def test_on_policy_all_ratios_are_exactly_1(correction):
    """Before the first update learner and sampler are the same: every log-ratio is 0, in the statistics of both lanes."""
    with Trainer(replace(SMALL, correction=correction, minibatch=128, epochs=1)) as trainer:
        same_numerics(trainer)
        for stats_lane in ("r", "rho"):
            trainer.correction = replace(trainer.correction, stats_lane=stats_lane)
            trainer.correction.write(trainer.device.registers)
            seen = []
            clear = trainer.device.clear_statistics
            trainer.device.clear_statistics = lambda clear=clear, seen=seen: (seen.append(trainer.device.statistics()), clear())
            ratio = trainer.iteration().ratio
            trainer.device.clear_statistics = clear
            assert seen[-1]["count"] == 128 and seen[-1]["max_x"] == seen[-1]["min_x"] == 0
            assert ratio == RatioMetrics(1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0)


def test_statistics_of_an_iteration_are_those_of_its_updates():
    """What the learner evaluates for ratios and values is not counted with them."""
    with Trainer(INT8) as trainer:
        counts, read = [], trainer.device.statistics
        trainer.device.statistics = lambda: counts.append(read()["count"]) or read()
        trainer.iteration()
        trainer.iteration()  # the first one clears them after its warm-up
        assert counts[-1] == SMALL.environments * SMALL.rollout * SMALL.epochs


@pytest.mark.parametrize("lanes", [4, 8, 16])
def test_evaluation_repeats_what_the_same_policy_recorded(lanes):
    """In another batch, with other tensors: the log-probabilities and values of SAMPLE, bit for bit."""
    rng = np.random.default_rng(3)
    with Device("golden", lanes=lanes) as device:
        net = MLP(device.layout, 4, (16,), 3)
        few, many = net.activations(5, "few", -12), net.activations(20, "many", -12)
        sampled, evaluated = device.layout.records("sampled", 5), device.layout.records("evaluated", 20)
        act, evaluate = Program("act", device.layout), Program("evaluate", device.layout)
        net.forward(act, few)
        act.sample(few.y, sampled)
        net.forward(evaluate, many)
        evaluate.evaluate(many.y, evaluated)
        for tensor, values in net.initial_values(rng, policy_gain=1.0).items():
            device.load(tensor, values)
        for y in (few.y, many.y):
            device.registers.write_exponent(device.exponent_index(y), -12, True)
        x = rng.uniform(-1, 1, (20, 4))
        came = []
        for start in range(0, 20, 5):
            device.load(few.x, x[start:start + 5])
            device.run(act)
            came.append(device.store(sampled))
        records = np.zeros(evaluated.shape, np.int16)
        records[:, ACTION] = np.concatenate(came)[:, ACTION]
        device.load(many.x, x)
        device.load(evaluated, records)
        device.run(evaluate)
        assert np.array_equal(device.store(evaluated)[:, [ACTION, OLD_LOGP]], np.concatenate(came)[:, [ACTION, LOGP]])
        assert np.array_equal(device.store(evaluated)[:, 3], np.concatenate(came)[:, VALUE])


def test_bypass_changes_nothing_if_the_sampler_is_the_learner():
    states = []
    for correction in ("ppo", "bypass_ppo"):
        with Trainer(replace(SMALL, correction=correction)) as trainer:
            trainer.train()
            states.append((trainer.rollout.curve, trainer.device.backend.scratchpad.tobytes()))
    assert states[0] == states[1]


@pytest.mark.parametrize("lag", [0, 2])
@pytest.mark.parametrize("correction", ["ppo", "bypass_ppo"])
def test_whose_log_probabilities_the_records_hold(lag, correction):
    """Element 4 is the sampler's, made from its own int8 logits; element 1 the learner's, whatever the correction reads of them."""
    with Trainer(replace(INT8, publication_lag=lag, correction=correction)) as trainer:
        device, y = trainer.device, next(t for t in trainer.device.layout.tensors if t.name == "rollout.y")
        for _ in range(4):
            trainer.iteration()
        act, run, own, checked = trainer.actor.act, device.run, [], []

        def watched(chip, x):
            records = act(chip, x)
            logits = chip.store(y)[:, :-1]
            exact = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
            own.append(exact[np.arange(len(x)), records[:, ACTION]])
            return records

        def counted(program):
            if program is trainer.learner.update:
                batch = trainer.learner.records.data
                columns = (trainer.old_logp, trainer.rollout.records[..., LOGP], trainer.rollout.records[..., SAMPLED_VERSION],
                           np.broadcast_to(np.arange(8), trainer.old_logp.shape))
                known = Counter(zip(*(column.ravel().tolist() for column in columns), strict=True))
                assert not Counter(map(tuple, batch[:, [OLD_LOGP, SAMPLER_LOGP, VERSION, ENVIRONMENT]].tolist())) - known
                checked.append(len(batch))
            run(program)

        trainer.actor.act, device.run = watched, counted
        trainer.iteration()
        assert checked == [64] * 4
        logged = trainer.rollout.records[..., LOGP] / 1024
        assert np.abs(logged - np.array(own)).max() < 6e-4  # what SAMPLE may be off
        learner = trainer.old_logp / 1024
        assert np.abs(learner - logged).max() > (0.05 if lag else 0.002)
        assert trainer.progress.mismatch.k3 > 0 and trainer.progress.mismatch.effective_sample_size < 1


@pytest.mark.parametrize("lag", [0, 1, 3])
def test_age_of_the_samplers_weights_is_constant(lag):
    versions = []
    with Trainer(replace(INT8, publication_lag=lag, steps=1024)) as trainer:
        trainer.train(lambda p: versions.append((p.sampler_version, p.weight_version)))
        assert set(trainer.rollout.records[..., SAMPLED_VERSION].ravel().tolist()) == {versions[-1][0]}
    assert [sampler for sampler, _ in versions] == [4 * max(iteration - lag, 0) for iteration in range(8)]
    assert [learner for _, learner in versions] == list(range(4, 36, 4))


def test_weights_never_pass_through_the_host():
    """Programs move them: what crosses the border besides observations and records is the ring of published slots."""
    with Trainer(replace(INT8, publication_lag=2)) as trainer:
        moved = Counter()
        for program in trainer.programs:
            moved.update((program.name, op.op, next(iter(op.operands.values())).name) for op in program.operations if op.unit == "dma")
        ring = [(f"publish {place}", *transfer) for place in range(3)
                for transfer in (("store", "current slot"), ("load", "published slot"))]
        batches = [(name, "load", tensor) for name in ("evaluate", "minibatch update", "warm-up")
                   for tensor in ("batch.x", "batch.records")]
        assert moved == Counter([*ring, *batches, ("rollout step", "load", "rollout.x"), ("rollout step", "store", "rollout.records"),
                                 ("evaluate", "store", "batch.records")])
        trainer.device.load = trainer.device.store = None
        runs, run = Counter(), trainer.device.run
        trainer.device.run = lambda program: (runs.update([program.name]), run(program))
        trainer.iteration()
        assert runs == {"rollout step": 16, "evaluate": 1 + 2, "warm-up": 8, "minibatch update": 4, "publish 0": 1, "adopt 0": 1}


@pytest.mark.parametrize("lag", [0, 2])
def test_what_is_published(lag):
    """The sampler holds the weights of `lag` publications ago, within half a unit of their int8 exponent; biases exactly."""
    rng = np.random.default_rng(5)
    with Device("golden") as device:
        net = MLP(device.layout, 4, (32, 16), 2)
        sampler = Sampler(net)
        publication = Publication(device.layout, [sampler], lag)
        history = []
        for number in range(6):
            history.append({})
            for layer in net.layers:
                for tensor in (layer.weight, layer.bias):
                    device.load(tensor, rng.uniform(-1, 1, tensor.shape))
                    history[-1][tensor] = device.store(tensor)
            device.load(net.layers[0].weight_momentum, rng.normal(size=(4, 32)))  # momentum lies between the weights
            if number == 0:
                publication.start(device)
            publication.publish(device)
            then = history[max(number - lag, 0)]
            for layer, weight, bias in zip(net.layers, sampler.weights, sampler.biases, strict=True):
                assert np.array_equal(device.store(bias), then[layer.bias])
                wanted = then[layer.weight].T if weight.packed else then[layer.weight]
                unit = 2.0**device.store_mantissas(weight)[1]
                assert np.abs(device.store(weight) - wanted).max() <= unit / 2 and unit <= 2.0**-6


def test_an_evaluation_does_not_disturb_training():
    states = []
    for every in (0, 2):
        with Trainer(replace(INT8, evaluate_every=every, evaluation_episodes=12)) as trainer:
            trainer.train()
            weights = [trainer.device.store(layer.weight).tobytes() for layer in trainer.net.layers]
            states.append((trainer.rollout.curve, weights, [replace(p, wall_s=0, true_return=None) for p in trainer.history]))
            evaluated = [p.true_return for p in trainer.history]
            assert [value is not None for value in evaluated] == [bool(every) and number % 2 == 0 for number in range(1, 9)]
            if every:
                assert len(trainer.evaluation.run()) == 16  # two from each of 8 environments
    assert states[0] == states[1]


@pytest.mark.parametrize("settings", [
    {"env": "Acrobot-v1", "hidden": (16,)}, {"normalize": True}, {"sampler_observations": "int8"}, {"activation": "relu"}, {"lanes": 4},
    {"env": "Taxi-v4", "hidden": (8,), "minibatch": 16}, {"correction": "reject_k3", "threshold": 0.01, "publication_lag": 1},
], ids=str)
def test_settings_run(settings):
    with Trainer(replace(INT8, **settings)) as trainer:
        for _ in range(2):
            progress = trainer.iteration()
        assert progress.mismatch is not None and progress.weight_version == progress.updates > progress.sampler_version >= 0


@pytest.mark.parametrize("change,message", [
    ({"sampler": "int4"}, "sampler 'int4' is none of: learner, int8"),
    ({"publication_lag": -1}, "publication_lag is -1 and must be at least 0"),
    ({"publication_lag": 2}, "always acts with its current weights; set sampler to int8"),
    ({"sampler": "int8", "sampler_observations": "int4"}, "observations 'int4' are none of: int8, int16"),
    ({"evaluate_every": -1}, "evaluate_every is -1"), ({"evaluation_episodes": 0}, "evaluation_episodes is 0 and must be at least 1"),
])
def test_bad_settings(change, message):
    with pytest.raises(SettingsError, match=message):
        Trainer(replace(SMALL, **change))


def test_metrics_against_their_formulas():
    """The chip's sums over the samples of a rollout against float64, from the log-probabilities themselves."""
    with Trainer(replace(INT8, publication_lag=2, correction="icepop_ppo", learning_rate=0.2)) as trainer:
        for _ in range(4):
            progress = trainer.iteration()
        x = (trainer.old_logp - trainer.rollout.records[..., LOGP].astype(np.int64)) / 1024
        rho = np.exp(x)
        got = progress.mismatch
        assert np.isclose(got.mean, rho.mean(), rtol=1e-4) and np.isclose(got.deviation, rho.std(), rtol=1e-3)
        assert np.isclose(got.effective_sample_size, rho.sum()**2 / (rho.size * (rho**2).sum()), rtol=1e-3)
        assert np.isclose(got.k1, -x.mean(), atol=1e-9) and np.isclose(got.k3, (rho - 1 - x).mean(), rtol=1e-3)
        assert np.isclose(got.chi_square, (rho**2).mean() - 1, atol=1e-4 * (rho**2).mean())
        assert got.masked == np.mean((rho < 0.5) | (rho > 2)) and 0 < got.masked < 1


def test_alerts():
    fine = RatioMetrics(1.0, 0.1, 0.99, 0.01, 0.01, 0.01, 0.2, 0.2)
    assert not alerts(fine) and not alerts(RatioMetrics.of({"count": 0}))
    assert alerts(replace(fine, effective_sample_size=0.25)) == {"effective_sample_size": "effective sample size 0.25 is below 0.3"}
    bad = RatioMetrics(2.5, 1.5, 0.2, -0.2, 0.3, 1.5, 0.0, 0.0)
    assert alerts(bad).keys() == {"mean", "deviation", "effective_sample_size", "k1", "k3", "chi_square"}
    assert alerts(bad)["k1"] == "KL divergence k1 -0.2 is below -0.1"


class Serving:
    """A trainer with a server beside it; while a program runs, the server acts if `active`."""

    def __init__(self, trainer: Trainer, active: bool, lag: int):
        self.trainer, self.device, self.active = trainer, trainer.device, active
        before = len(self.device.layout.tensors)
        self.server = Server(self.device.layout, trainer.net, 8, "server", trainer.encoder.exponent, lag=lag)
        self.actors_own = [t for t in self.device.layout.tensors[before:] if t.name.startswith("server")]
        self.server.start(self.device)
        self.x = np.random.default_rng(7).integers(-4000, 4000, (11, 4)).astype(np.int16)
        self.answers = []
        self.device.run = self.run

    def run(self, program: Program) -> None:
        self.device.start(program)
        if self.active:
            self.answers.append(self.server.act(self.device, self.x))
        self.device.finish()


@pytest.mark.parametrize("lag", [0, 1])
def test_requests_do_not_disturb_training(lag):
    """Beside every program, publications too: each bit of the training, and of the copies, is that of a run without requests."""
    states = []
    for active in (False, True):
        with Trainer(INT8) as trainer:
            serving = Serving(trainer, active, lag)
            for _ in range(3):
                trainer.iteration()
                serving.server.publish(trainer.device, serving.run)
            assert len(serving.answers) == active * (3 * (16 + 3 + 4 + 2 + 2) + 8)
            del trainer.device.run
            tensors = [t for t in trainer.device.layout.tensors if t not in serving.actors_own]
            states.append((trainer.rollout.curve, trainer.device.registers.value("OPNUM"), [replace(p, wall_s=0) for p in trainer.history],
                           [(*map(np.ndarray.tolist, mantissas), exponent) for mantissas, exponent in map(
                               trainer.device.store_mantissas, tensors)]))
    assert states[0] == states[1]


@pytest.mark.parametrize("policy", ["command", "priority", "round_robin", "time_slice"])
def test_the_chip_serves_as_the_golden_model(policy):
    """Training with requests beside every program, on the RTL: the weights, the answers and the operation numbers are the model's."""
    states = []
    for backend in ("golden", "verilator"):
        with Trainer(replace(INT8, backend=backend)) as trainer:
            serving = Serving(trainer, True, 0)
            trainer.device.set_arbiter(policy, 64)
            for _ in range(2):
                trainer.iteration()
                serving.server.publish(trainer.device, serving.run)
            del trainer.device.run
            registers = trainer.device.registers
            states.append((np.concatenate(serving.answers).tolist(), trainer.rollout.curve,
                           [registers.value(name) for name in ("OPNUM", "REQUEST_OPNUM", "SATURATIONS")],
                           [(*map(np.ndarray.tolist, mantissas), exponent) for mantissas, exponent in map(
                               trainer.device.store_mantissas, trainer.device.layout.tensors)]))
    assert states[0] == states[1]


@pytest.mark.parametrize("lag", [0, 2])
def test_a_server_acts_with_what_was_published_last(lag):
    """Its logits are those of the copy, while the learner's weights have gone on; a publication changes the copy after it."""
    with Trainer(SMALL) as trainer:
        serving, device = Serving(trainer, False, lag), trainer.device
        server, net = serving.server, trainer.net
        x = serving.x[:8] * 2.0**trainer.encoder.exponent
        versions, newest = [], []
        for iteration in range(1, 5):
            versions.append(server.publish(device))
            newest.append(server.publication.newest)
            trainer.iteration()
            copy = server.copies[newest[-1]]
            weights = [device.store(w).T if w.packed else device.store(w) for w in copy.weights]
            device.start(trainer.learner.update)
            for _ in range(3):  # delayed scaling settles
                records = server.act(device, serving.x[:8])
            device.finish()
            h = x
            for weight, bias in zip(weights, copy.biases, strict=True):
                h = h @ weight + device.store(bias)
                h = np.tanh(h) if weight is not weights[-1] else h
            y = device.store(next(t for t in serving.actors_own if t.name == f"server {newest[-1]}.y"))
            assert np.abs(y - h).max() < 0.1
            logp = h[:, :-1] - np.log(np.exp(h[:, :-1]).sum(axis=1, keepdims=True))
            assert np.abs(records[:, LOGP] / 1024 - logp[np.arange(8), records[:, ACTION]]).max() < 0.1
            assert set(records[:, SAMPLED_VERSION].tolist()) == {versions[-1]}
            assert records[:, VALUE].tolist() == np.rint(y[:, -1] * 1024).tolist()
            if iteration > lag + 1:
                assert np.abs(device.store(net.layers[0].weight) - weights[0]).max() > 1e-3
        assert newest == [1, 0, 1, 0] and versions == [max(5 * (n - lag), 0) for n in range(4)]


def test_a_server_needs_weights():
    with Trainer(SMALL) as trainer:
        server = Server(trainer.device.layout, trainer.net, 8, "server", trainer.encoder.exponent)
        for use in (lambda: server.act(trainer.device, np.zeros((8, 4), np.int16)), lambda: server.publish(trainer.device)):
            with pytest.raises(ProgramError, match="call its start"):
                use()


def test_observations_are_mantissas():
    with Trainer(SMALL) as trainer:
        with pytest.raises(TensorError, match="not float64; round them"):
            trainer.actor.act(trainer.device, np.zeros((8, 4)))
        assert trainer.actor.act(trainer.device, np.zeros((0, 4), np.int16)).shape[0] == 0


def test_a_server_started_again_forgets_what_it_published():
    """Weights of another size published by mistake leave no exponents behind."""
    answers = []
    for mistake in (False, True):
        with Trainer(SMALL) as trainer:
            device, net = trainer.device, trainer.net
            server, w = Server(device.layout, net, 8, "server", trainer.encoder.exponent), net.layers[-1].weight
            values = device.store(w)
            if mistake:
                device.load(w, np.full(w.shape, 3.9))
                server.start(device)
                device.load(w, values)
            server.start(device)
            device.registers.set("REQUEST_OPNUM", 5)
            server.act(device, np.full((8, 4), 1000, np.int16))
            answers.append(server.act(device, np.full((8, 4), 1000, np.int16))[:, 1:3].tolist())
    assert answers[0] == answers[1]


def test_the_network_itself_can_serve():
    """A request reads the weight group's current version; a sampler's copies are there for their int8 alone."""
    with Trainer(SMALL) as trainer:
        device = trainer.device
        actor = Actor(device.layout, trainer.net, 8, "served", trainer.encoder.exponent, request=True)
        for _ in range(2):
            trainer.iteration(max_updates=2)
            records = actor.act(device, np.full((8, 4), 1000, np.int16))
            assert device.version and (records[:, 3] == device.version).all()
