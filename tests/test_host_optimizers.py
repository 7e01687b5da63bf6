# SPDX-License-Identifier: Apache-2.0
"""Optimizers of the driver on the golden back end: registers, tensors, int8 copies, exponents, and what they refuse."""

import math
from dataclasses import replace

import numpy as np
import pytest

from lathe import Device, ProgramError, SettingsError, WeightGroup
from lathe.networks import MLP, CurrentSampler, Sampler
from lathe.optimizers import NO_MOMENT, SGD, Adam, AdamW, split_moments
from lathe.ppo import Trainer
from lathe.program import Program
from lathe.settings import Settings
from lathe.tensor import quantize
from lathe.verify import verify

MAKERS = [lambda: SGD(0.01), lambda: SGD(0.01, momentum=0.9), lambda: SGD(0.01, momentum=0.9, nesterov=True), lambda: Adam(0.01),
          lambda: AdamW(0.01, weight_decay=0.1)]
NAMES = ["sgd", "momentum", "nesterov", "adam", "adamw"]
ROWS, COLUMNS = 5, 12


class Bench:
    """A device with one weight tensor, its gradient, an int8 copy and a step."""

    def __init__(self, optimizer, lanes=8, exponent=-13, static=True, copy=True, in_group=True, stochastic=True,
                 gradient_exponent=None):
        self.optimizer = optimizer
        self.device = Device("golden", lanes=lanes, seed=3)
        layout = self.device.layout
        group = WeightGroup(layout)
        self.w = group.tensor("w", ROWS, COLUMNS, exponent, static)
        self.moments = optimizer.moments(group, "moments", self.w, -16)
        make = group.tensor if in_group else layout.tensor
        self.copy8 = make("w8", ROWS, COLUMNS, exponent + 8, dtype="int8", packed="columns") if copy else None
        group.place()
        self.g = layout.tensor("g", ROWS, COLUMNS, gradient_exponent, gradient_exponent is not None)
        self.program = Program("step", layout)
        optimizer.record(self.program, self.w, self.g, self.moments, stochastic, self.copy8)
        self.program.commit()
        for tensor, values in (optimizer.initial(self.moments) if self.moments else {}).items():
            self.device.load(tensor, values)

    def step(self, g, **options):
        self.device.load(self.g, g)
        self.optimizer.apply(self.device, **options)
        self.device.run(self.program)
        return self.device.store(self.w)


def fresh(index):
    """An optimizer that has not stepped yet."""
    return MAKERS[index]()


def in_float64(index, w, gradients):
    """The weights after each step, from the formulas of docs/optimizers.md."""
    m, v = np.zeros_like(w), np.zeros_like(w)
    for t, g in enumerate(gradients, 1):
        if index < 3:
            m = (0.9 if index else 0) * m + g
            w = w - 0.01 * (g + 0.9 * m if index == 2 else m)
        else:
            m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
            w = w * (1 - (0.01 * 0.1 if index == 4 else 0)) - 0.01 * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
        yield w


@pytest.mark.parametrize("index", range(5), ids=NAMES)
@pytest.mark.parametrize("lanes", [4, 8, 16])
def test_steps_follow_float64(index, lanes):
    rng = np.random.default_rng(index)
    start, gradients = rng.normal(size=(ROWS, COLUMNS)), rng.uniform(0.5, 2, (40, ROWS, COLUMNS)) * rng.choice([-1, 1], (40, ROWS, COLUMNS))
    bench = Bench(fresh(index), lanes, gradient_exponent=-13)  # which leaves a bit of headroom, as the chip does
    bench.device.load(bench.w, start)
    for t, expected in enumerate(in_float64(index, bench.device.store(bench.w), gradients), 1):
        w = bench.step(gradients[t - 1])
        # what stochastic rounding adds goes like a random walk; Adam's tables and its second moment are good for 0.5 % of a step
        assert np.abs(w - expected).max() < 2.0**-13 * (1 + 2.5 * math.sqrt(t)) + (5e-5 * t if index > 2 else 0)
    assert bench.optimizer.t == 40 and bench.device.version == 40 and bench.device.saturations == 0


@pytest.mark.parametrize("in_group", [True, False])
@pytest.mark.parametrize("lanes", [4, 16])
def test_an_int8_copy_follows_the_weights(in_group, lanes):
    rng = np.random.default_rng(5)
    bench = Bench(SGD(0.5, momentum=0.5), lanes, in_group=in_group)
    bench.device.load(bench.w, rng.normal(size=(ROWS, COLUMNS)) * 0.1)
    exponents = set()
    for _ in range(12):
        bench.step(rng.normal(size=(ROWS, COLUMNS)))
        w, e_w = bench.device.store_mantissas(bench.w)
        copy, e_copy = bench.device.store_mantissas(bench.copy8)
        assert np.array_equal(copy, quantize(w * 2.0**e_w, e_copy, 8))
        exponents.add(e_copy)
        tail = bench.device.registers.read_exponent(bench.device.exponent_index(bench.copy8))[1]
        assert np.abs(w * 2.0**e_w).max() <= 2.0 ** (tail + 7)
    assert len(exponents) > 1  # it moved


def test_an_int8_copy_is_the_right_operand_of_a_product():
    rng = np.random.default_rng(6)
    bench = Bench(SGD(0.1), exponent=-13)
    layout = bench.device.layout
    bench.device.load(bench.w, rng.normal(size=(ROWS, COLUMNS)))
    for _ in range(2):
        bench.step(rng.normal(size=(ROWS, COLUMNS)))
    x8, y = layout.tensor("x8", 3, ROWS, dtype="int8"), layout.tensor("y", 3, COLUMNS)
    bench.device.load(x8, rng.normal(size=(3, ROWS)))
    program = Program("product", layout)
    program.matmul(x8, bench.copy8, y)
    for _ in range(2):
        bench.device.run(program)
    exact = bench.device.store(x8) @ bench.device.store(bench.copy8)
    assert np.abs(bench.device.store(y) - exact).max() <= np.abs(exact).max() * 2.0**-14


@pytest.mark.parametrize("index", range(5), ids=NAMES)
def test_nothing_saturates_however_fast_gradients_grow(index):
    """Exponents of m' and w' grow before they are needed; a register that is static has none of it."""
    rng = np.random.default_rng(8)
    gradients = [rng.normal(size=(ROWS, COLUMNS)) * 8.0**t for t in range(12)]
    clamped = []
    for static in (False, True):
        bench = Bench(fresh(index), static=static, copy=False)
        produce = Program("g", bench.device.layout)  # the chip's own gradient, as delayed scaling expects it
        x = bench.device.layout.tensor("x", ROWS, COLUMNS)
        produce.copy(x, bench.g)
        bench.device.load(bench.w, np.zeros((ROWS, COLUMNS)))
        for g in gradients:
            bench.device.load(x, g)
            for _ in range(2):  # the second time delayed scaling has found g's exponent
                bench.device.run(produce)
            bench.optimizer.apply(bench.device)
            count = bench.device.saturations
            bench.device.run(bench.program)
            clamped.append((static, bench.device.saturations - count))
    assert not any(count for static, count in clamped if not static)
    if index < 3:
        assert any(count for static, count in clamped if static)


def test_registers_of_adam():
    with Device("golden") as device:
        optimizer = AdamW(2e-3, (0.9, 0.99), 1e-6, 0.05)
        beta1 = 58982 / 65536
        for t in (1, 2, 3):
            optimizer.apply(device, gradient_scale=4.0)
            value = device.registers.value
            assert optimizer.t == t and value("BETA1") == 58982
            decay = value("ADAM_DECAY") / 2**18
            assert abs(decay - math.log2(0.99) / 2) <= 2.0**-19
            beta2 = 2.0 ** (2 * decay)
            assert abs(value("ADAM_GAIN") / 2**18 - math.log2(1 - beta2) / 2) <= 2.0**-19
            bias2 = math.sqrt(1 - beta2**t)
            assert abs(value("ADAM_RATE") / 2**18 - math.log2(2e-3 * bias2 / (1 - beta1**t))) <= 2.0**-19
            assert abs(value("ADAM_EPS") / 2**18 - math.log2(1e-6 * bias2 / 4)) <= 2.0**-19
            decay = device.registers.read("WEIGHT_DECAY")
            assert decay["mant"] * 2.0 ** decay["exp"] == pytest.approx(1e-4, rel=2.0**-16)
        optimizer.lr = 0.0
        optimizer.apply(device, step=1000)
        assert optimizer.t == 3 and device.registers.value("ADAM_RATE") == -(1 << 23) and not device.registers.read("WEIGHT_DECAY")["mant"]
        Adam(betas=(0.0, 0.5)).apply(device)
        assert device.registers.value("BETA1") == 0 and device.registers.value("ADAM_DECAY") == -(1 << 17)


def test_a_rate_follows_its_schedule():
    bench = Bench(SGD(0.5), stochastic=False)
    bench.device.load(bench.w, np.zeros((ROWS, COLUMNS)))
    assert np.array_equal(bench.step(np.ones((ROWS, COLUMNS))), np.full((ROWS, COLUMNS), -0.5))
    bench.optimizer.lr = 0.25
    assert np.array_equal(bench.step(np.ones((ROWS, COLUMNS)), gradient_scale=2.0), np.full((ROWS, COLUMNS), -1.0))
    bench.optimizer.lr = 0.0
    assert np.array_equal(bench.step(np.ones((ROWS, COLUMNS))), np.full((ROWS, COLUMNS), -1.0))


def test_first_moments_are_nothing():
    bench = Bench(Adam())
    first, second = split_moments(bench.moments)
    assert not bench.device.store(first).any() and (bench.device.store(second) == NO_MOMENT).all()
    assert first.shape == second.shape == (ROWS, COLUMNS) and second.exponent is None


@pytest.mark.parametrize("make, message", [
    (lambda: SGD(weight_decay=0.1), "use AdamW"), (lambda: SGD(dampening=0.1), "no dampening"),
    (lambda: SGD(nesterov=True), "give momentum"),
    (lambda: SGD(momentum=1.0), "momentum is 1.0 and must be a number between 0 and 0.9999"), (lambda: SGD(lr=-1), "lr is -1"),
    (lambda: SGD(lr=math.nan), "lr is nan"), (lambda: Adam(weight_decay=0.1), "use AdamW"), (lambda: Adam(amsgrad=True), "no amsgrad"),
    (lambda: Adam(betas=(0.9, 0.99995)), "beta2 is 0.99995 and must be a number between 0.5 and 0.9999"),
    (lambda: Adam(betas=(1.0, 0.9)), "beta1 is 1.0"), (lambda: Adam(betas=(0.9,)), "two numbers"), (lambda: Adam(eps=0), "eps is 0"),
    (lambda: AdamW(weight_decay=-1), "weight_decay is -1"), (lambda: AdamW("fast"), "lr is fast"),
])
def test_what_the_chip_does_not_do_is_refused(make, message):
    with pytest.raises(SettingsError, match=message):
        make()


def test_tensors_that_do_not_fit_are_refused():
    with Device("golden") as device:
        group = WeightGroup(device.layout)
        w, m, mv = group.tensor("w", 4, 8, -13), group.tensor("m", 4, 8, -13), group.tensor("mv", 8, 8, -13)
        wide, rows8 = group.tensor("wide", 4, 9, -13), group.tensor("rows8", 4, 8, -5, dtype="int8")
        group.place()
        g, free = device.layout.tensor("g", 4, 8), device.layout.tensor("free", 4, 8)
        program = Program("p", device.layout)
        for record, message in (
                (lambda: program.adam(w, g, m), "'m' 4 x 8 should be 8 x 8: two moments for each weight, made with WeightGroup.moments"),
                (lambda: program.sgd(w, g, mv), "'mv' 8 x 8 should be 4 x 8 like 'w' 4 x 8"),
                (lambda: program.sgd(wide, g), "'g' 4 x 8 should be 4 x 9 like 'wide' 4 x 9"),
                (lambda: program.sgd(w, g, free), "'free' 4 x 8 is not in the weight group"),
                (lambda: program.sgd(w, g, nesterov=True), "nesterov needs momentum"),
                (lambda: program.sgd(w, g, copy8=rows8), "without gaps like 'w' 4 x 8; make it with dtype='int8', packed='columns'"),
                (lambda: program.sgd(w, g, copy8=m), "packed='columns'")):
            with pytest.raises(ProgramError, match=message):
                record()
        program.adam(w, g, mv)
        with pytest.raises(ProgramError, match=r"never set; call Device.set_optimizer\(learning_rate, momentum\), or apply\(device\)"):
            device.run(program)
        Adam().apply(device)
        device.run(program)


def test_a_sampler_reads_the_copies_that_updates_make():
    """The same logits as from published copies, as soon as an update has committed."""
    rng = np.random.default_rng(11)
    with Device("golden") as device:
        net = MLP(device.layout, 4, (16, 16), 3, optimizer=SGD(0.1), int8_copies=True)
        with pytest.raises(SettingsError, match="int8_copies=True"):
            CurrentSampler(replace_copies(net))
        current, published = CurrentSampler(net), Sampler(net)
        with pytest.raises(ProgramError, match="nothing to publish"):
            current.publish(Program("p", device.layout))
        acts, grads = net.activations(8, "batch", -12), net.gradients(8, "batch")
        for tensor, values in net.initial_values(rng, policy_gain=1.0).items():
            device.load(tensor, values)
        update, publish = Program("update", device.layout), Program("publish", device.layout)
        net.forward(update, acts)
        net.backward(update, acts, grads, update=True)
        update.commit()
        published.publish(publish)
        device.load(acts.x, rng.normal(size=acts.x.shape))
        device.load(grads.outputs[-1], rng.normal(size=acts.y.shape))
        forwards = []
        for name, sampler in (("current", current), ("published", published)):
            own = sampler.activations(8, name, -12)
            device.load(own.x, device.store(acts.x))
            program = Program(name, device.layout)
            sampler.forward(program, own)
            forwards.append((program, own.y))
        for step in range(5):
            if step == 3:  # from here on the weights stay, and exponents have caught up with them
                device.load(grads.outputs[-1], np.zeros(acts.y.shape))
            net.optimizer.apply(device)
            device.run(update)
            for program in (publish, publish, *(program for program, _ in forwards)):
                device.run(program)
        for program, _ in forwards:
            device.run(program)
        mine, theirs = (device.store(y) for _, y in forwards)
        assert np.array_equal(mine, theirs) and mine.any()


def replace_copies(net):
    """The network without its int8 copies."""
    bare = object.__new__(MLP)
    vars(bare).update(vars(net) | {"layers": [replace(layer, copy8=None) for layer in net.layers]})
    return bare


SMALL = Settings(environments=4, rollout=16, minibatch=32, hidden=(16,), steps=2000, warmup=2)


@pytest.mark.parametrize("changes", [
    {"optimizer": "adam"}, {"optimizer": "adamw", "weight_decay": 0.1, "sampler": "int8_current"}, {"nesterov": True}, {"momentum": 0.0},
    {"optimizer": "adam", "sampler": "int8", "publication_lag": 1},
    {"algorithm": "vtrace", "optimizer": "adam", "sampler": "int8_current"}])
def test_training_takes_every_optimizer(changes):
    from lathe.algorithms import make_trainer

    with make_trainer(replace(SMALL, **changes)) as trainer:
        first = [trainer.device.store(layer.weight) for layer in trainer.net.layers]
        for _ in range(3):
            trainer.iteration()
        updates = trainer.progress.updates
        assert trainer.optimizer.t == updates == trainer.device.version > 0
        assert all(not np.array_equal(trainer.device.store(layer.weight), w) for layer, w in zip(trainer.net.layers, first, strict=True))
        if changes.get("sampler") == "int8_current":
            for layer in trainer.net.layers:
                weight, copy = trainer.device.store(layer.weight), trainer.device.store(layer.copy8)
                assert np.abs(weight - copy).max() <= np.abs(weight).max() / 32


@pytest.mark.parametrize("changes, message", [
    ({"optimizer": "lion"}, "optimizer 'lion' is none of: sgd, adam, adamw"),
    ({"optimizer": "adam", "nesterov": True}, "set optimizer to sgd"),
    ({"optimizer": "adam", "momentum": 0.5}, "momentum is 0.5, but .*'adam' does not take it; leave it out or set optimizer to sgd"),
    ({"beta1": 0.5}, "set optimizer to adam or adamw"), ({"weight_decay": 0.1}, "set optimizer to adamw"),
    ({"optimizer": "adam", "beta2": 1.0}, "beta2 is 1.0"),
    ({"nesterov": True, "momentum": 0.0}, "give momentum"),
    ({"sampler": "int8_current", "publication_lag": 1}, "set sampler to int8")])
def test_settings_that_cannot_work_are_refused(changes, message):
    with pytest.raises(SettingsError, match=message):
        replace(SMALL, **changes).check()


def test_adam_learns_cartpole():
    with Trainer(Settings(optimizer="adam", steps=24_000)) as trainer:
        assert trainer.train().mean_return_100 > 100


@pytest.mark.xdist_group("verilated")
@pytest.mark.parametrize("changes", [
    {"optimizer": "adamw", "sampler": "int8_current", "max_grad_norm": 0.5}, {"nesterov": True, "max_grad_norm": 0.5},
    {"momentum": 0.0, "sampler": "int8_current"}], ids=lambda changes: "-".join(map(str, changes.values())))
def test_training_is_the_same_on_the_rtl(changes):
    """Every word of the scratchpad, every register and statistic, after every program."""
    done = verify(["golden", "verilator"], 3, Settings(rollout=16, **changes))
    assert done.version == 3 and done.words > 0


def test_power_on_changes_no_step():
    """Whatever the registers hold at power-on, the first step is the same (about one seed in 200 began a word that was not there)."""
    w0, g0 = np.ones((8, 8)), np.arange(64.0).reshape(8, 8)
    for seed in range(1, 600, 2):  # the simulator takes odd ones
        with Device("verilator", seed=seed) as device:
            group = WeightGroup(device.layout)
            w = group.tensor("w", 8, 8, -5, static=True)
            group.place()
            g = device.layout.tensor("g", 8, 8, -5, static=True)
            program = Program("step", device.layout)
            program.sgd(w, g, stochastic=False)
            program.commit()
            device.load(w, w0)
            device.load(g, g0)
            device.set_optimizer(1.0)
            device.run(program)
            assert np.array_equal(device.store(w), w0 - g0), seed


@pytest.mark.parametrize("arguments, message", [
    ({"step": 0}, "step is 0 and must be a number between 1"), ({"step": 1.5}, "must be an integer"),
    ({"gradient_scale": 0}, "gradient_scale is 0"), ({"gradient_scale": -1.0}, "gradient_scale is -1"),
    ({"gradient_scale": math.nan}, "gradient_scale is nan")])
@pytest.mark.parametrize("index", range(5), ids=NAMES)
def test_a_step_that_cannot_be_is_refused_and_not_counted(index, arguments, message):
    optimizer = fresh(index)
    with Device("golden") as device:
        with pytest.raises(SettingsError, match=message):
            optimizer.apply(device, **arguments)
        assert optimizer.t == 0
        for t in (-1, 1.5, 10**400):
            optimizer.t = t
            with pytest.raises(SettingsError, match="number of a? ?step"):
                optimizer.apply(device)
            assert optimizer.t == t


def test_a_rate_too_large_for_the_scale_counts_no_step():
    optimizer = SGD(65536)
    with Device("golden") as device:
        with pytest.raises(SettingsError, match="learning_rate is 131072"):
            optimizer.apply(device, gradient_scale=2)
    assert optimizer.t == 0


def test_betas_that_are_no_pair_are_refused():
    for betas in (0.9, None, (0.9, 0.99, 0.999)):
        with pytest.raises(SettingsError, match="should be two numbers"):
            Adam(betas=betas)
    assert Adam(betas=np.array([0.5, 0.75])).betas == (0.5, 0.75)
