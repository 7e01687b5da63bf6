# SPDX-License-Identifier: Apache-2.0
"""The RTL, compiled in process, against the golden model: random programs, a training run, the README's example."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from lathe.backends.verilator import VerilatorBackend
from lathe.cli import main
from lathe.ppo import Trainer
from lathe.settings import Settings
from pymodels.csr_map import MEMORIES, REGISTERS
from pymodels.descriptor import Error, encode
from tb.chip.twins import Twins, compare_programs

ROOT = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.xdist_group("verilated")  # one worker builds, all tests use it


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_random_programs_give_the_same_bits(seed):
    compare_programs(8, 8, seed, 60)


@pytest.mark.regress
@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize(("lanes", "banks"), [(4, 2), (8, 8), (16, 2)])
def test_many_random_programs_give_the_same_bits(lanes, banks, seed):
    compare_programs(lanes, banks, 100 + seed, 300)


def product(rng: np.random.Generator, m: int, n: int, k: int, int8: bool, result_at: int) -> tuple[dict, int]:
    """A product in a random stored form of operands that lie anywhere below word 4096; its descriptor and the results' end."""
    options = {name: int(rng.integers(2)) for name in ("trans_a", "trans_b", "stochastic")} | {"overlap": int(rng.integers(4))}
    options |= rng.choice([{}, {"bias": 1}, {"accumulate": 1}, {"int8_result": 1}, {"bias": 1, "int8_result": 1}] if int8 else
                          [{}, {"bias": 1}, {"accumulate": 1}, {"colsum": 1}, {"dact": 1}, {"dact": 2}, {"int8_result": 1}])
    if "dact" not in options:
        options["act"] = int(rng.choice([0, 0, 1, 2]))
    fields = {"unit": 1, "m": m, "n": n, "k": k, "int8": int(int8), **options}
    inner, lanes = -(-k // 2) if int8 else k, 8
    shapes = {0: (inner, m) if options["trans_a"] else (m, inner), 1: (n, inner) if options["trans_b"] else (inner, n)}
    if "bias" in options:
        shapes[3] = (1, n)
    if "dact" in options or "accumulate" in options:
        shapes[4] = (m, n)
    for index, (rows, columns) in shapes.items():
        stride = -(-columns // lanes) + int(rng.integers(3))
        fields |= {f"t{index}_addr": int(rng.integers(4096 - rows * stride)), f"t{index}_stride": stride,
                   f"t{index}_exp": {0: 0, 1: 1}.get(index, 4 + 4 * int8)}
    results = {2: (m, -(-n // 2) if "int8_result" in options else n)} | ({4: (1, n)} if "colsum" in options else {})
    for index, (rows, columns) in results.items():
        words = -(-columns // lanes)
        exp = 5 if index == 4 else 2 + int(int8)
        fields |= {f"t{index}_addr": result_at, f"t{index}_stride": words, f"t{index}_exp": exp + 4 * ("int8_result" in options)}
        result_at += rows * words
    return fields, result_at


def compare_products(sizes: list[int], int8: bool) -> None:
    """All M, N, K of `sizes`, results side by side in the scratchpad, many to a program."""
    twins = Twins(8, 8, 6)
    low, high = 4096, twins.generator.space.words
    for register, exp in {0: -15, 1: -15, 2: -12, 3: -20, 4: -14, 5: -13, 6: -4, 7: -12, 8: -22}.items():
        twins.write(MEMORIES["EXPONENTS"].offset + 4 * register, (exp & 0xFF) * 0x101 | 1 << 16)
    steps, at, compared = [], low, 0
    shapes = twins.rng.permutation([(m, n, k) for m in sizes for n in sizes for k in sizes]).tolist()
    while shapes:
        step, end = product(twins.rng, *shapes[-1], int8, at)
        if end > high or len(steps) == 230:
            compared += run_products(twins, steps)
            steps, at = [], low
            continue
        shapes.pop()
        steps.append(step)
        at = end
    assert compared + run_products(twins, steps) == len(sizes) ** 3


def run_products(twins: Twins, steps: list[dict]) -> int:
    steps[-1]["last"] = 1
    twins.run(steps)
    found = twins.differences()
    wrong = [step for step in steps if any(f"scratchpad word {word}" in found for word in range(
        step["t2_addr"], step["t2_addr"] + step["m"] * step["t2_stride"]))]
    assert not found, "\n".join([*found[:10], *(str(step) for step in wrong[:5])])
    return len(steps)


@pytest.mark.parametrize("int8", [False, True])
def test_products_around_the_array_size_give_the_same_bits(int8):
    compare_products([1, 2, 3, 7, 8, 9, 17], int8)


@pytest.mark.regress
@pytest.mark.parametrize("int8", [False, True])
def test_every_product_up_to_20_gives_the_same_bits(int8):
    compare_products(list(range(1, 21)), int8)


def test_a_single_wrong_bit_is_found():
    twins = Twins(8, 8, 4)
    twins.golden.scratchpad[1234, 5] ^= 1
    assert twins.differences() == ["scratchpad word 1234"]


@pytest.mark.parametrize(("steps", "first"), [
    ([{"unit": 4, "op": op, "m": 3, "n": 1, operand + "_stride": 1, "mem_addr": 0x1000, "mem_stride": 0xFFFFF800, "last": 1}], 0)
    for op, operand in ((0, "t2"), (1, "t0"))
] + [
    ([{"unit": 3, "op": 1}] * 2 + [{"unit": 3, "op": 2}] * 3, 251),          # the fifth is refused: not the last of its program
    ([{"unit": 1, "m": 1, "n": 1, "k": 1, "wait_mask": 1}] * 4 + [{"unit": 1, "m": 1, "n": 1, "k": 1}], 251),
    ([{"unit": 3, "op": 2}] * 2 + [{"unit": 3, "op": 2, "last": 1}], 0),     # nothing is kept
    ([{"unit": 2, "op": 1, "m": 1, "n": 2, "t2_addr": 9, "last": 1}], 255),
], ids=["load backward", "store backward", "overrun", "overrun behind a full queue", "no version", "last place"])
def test_odd_programs_give_the_same_bits(steps, first):
    twins = Twins(8, 8, 5)
    twins.run(steps, first)
    read = {name: REGISTERS[name].offset for name in ("STATUS", "ERROR")}
    assert {n: twins.chip.csr_read(a) for n, a in read.items()} == {n: twins.golden.csr_read(a) for n, a in read.items()}
    if not twins.golden.csr_read(read["ERROR"]):
        assert not twins.differences()


def test_a_start_at_any_time_begins_at_start_pc_or_not_at_all():
    loads = [{"unit": 4, "op": 0, "m": 1, "n": 4, "t2_addr": 100 * i, "t2_stride": 4, "mem_addr": 0x100} for i in range(12)]
    loads[3]["mem_addr"] = 1 << 20  # where there is no memory
    loads[-1]["last"] = 1
    ends = set()
    for delay in range(250):
        chip = VerilatorBackend(8, 8, np.zeros(1 << 16, np.uint8), 1, latency=4)
        for i, word in enumerate(np.concatenate([encode(fields) for fields in loads])):
            chip.csr_write(MEMORIES["PROGRAM"].offset + 4 * i, int(word))
        for wait in (delay, 2000):
            chip.csr_write(REGISTERS["CONTROL"].offset, 1)
            chip.advance(wait)
        status, error = (REGISTERS[name].unpack(chip.csr_read(REGISTERS[name].offset)) for name in ("STATUS", "ERROR"))
        ends.add((status["busy"], status["done"], status["error"], error["code"], error["unit"], error["pc"]))
        chip.close()
    assert ends == {(0, 0, 1, int(Error.MEMORY), 4, 3)}


def test_verify_agrees_for_a_few_updates(capsys):
    assert main(["verify", "--backends", "golden,verilator", "--updates", "3", "--seed", "5"]) == 0
    assert "golden" in capsys.readouterr().out


@pytest.mark.parametrize("lag", ["0", "2"])
def test_verify_agrees_with_two_policies(lag, capsys):
    """Rollouts by the int8 sampler, publication through outside memory, EVALUATE, a correction of both ratios, evaluations."""
    assert main(["verify", "--updates", "7", "--seed", "6", "--environments", "8", "--minibatch", "64", "--epochs", "1",
                 "--sampler", "int8", "--publication-lag", lag, "--correction", "icepop_ppo",
                 "--evaluate-every", "2", "--evaluation-episodes", "8"]) == 0
    assert "agree in every bit, seed 6: 7 updates" in capsys.readouterr().out


@pytest.mark.parametrize("settings", [{}, {"sampler": "int8", "publication_lag": 1, "correction": "decoupled_ppo"}], ids=str)
def test_training_is_the_same_on_both_back_ends(settings):
    weights = []
    for backend in ("golden", "verilator"):
        with Trainer(Settings(backend=backend, seed=9, steps=1024, **settings)) as trainer:
            trainer.train()
            weights.append([trainer.device.store_mantissas(layer.weight)[0] for layer in trainer.net.layers])
            curve = trainer.rollout.curve
        weights[-1].append(np.array(curve))
    for golden, chip in zip(*weights, strict=True):
        assert np.array_equal(golden, chip)


def test_train_writes_result_and_picture(tmp_path):
    code = main(["train", "--backend", "verilator", "--seed", "3", "--steps", "1024", "--out", str(tmp_path)])
    assert code == 0
    result = json.loads((tmp_path / "result.json").read_text())
    for name in ("backend", "env", "seed", "env_steps", "mean_return_100", "wall_s", "train_wall_s", "chip_cycles", "array_utilization",
                 "weight_version", "saturations"):
        assert result[name] is not None, name
    assert result["weight_version"] == 16
    assert 0.3 < result["array_utilization"] < 1
    assert (tmp_path / "learning_curve.png").stat().st_size > 5000


def test_reset_keeps_the_current_version():
    with Trainer(Settings(backend="verilator", seed=2, steps=1024)) as trainer:
        trainer.iteration(max_updates=2)
        device, layer = trainer.device, trainer.net.layers[1]
        version, before = device.version, device.store_mantissas(layer.weight)
        device.registers.write("CONTROL", start=1)
        device.backend.advance(700)
        device.backend.reset()
        assert device.version == version
        device.registers.write("IRQ_ENABLE", enable=1)
        device._start_pc = None
        after = device.store_mantissas(layer.weight)
    assert after[1] == before[1]
    assert np.array_equal(after[0], before[0])


def test_example_of_the_readme_runs(capsys):
    code = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S).group(1)
    exec(compile(code, "README.md", "exec"), {})
    assert capsys.readouterr().out.count("[1. 2.]") == 5
