# SPDX-License-Identifier: Apache-2.0
"""Products of matrices in outside memory against float64, and how they are cut."""

import numpy as np
import pytest

from lathe import CapacityError, Device, Layout, Program, ProgramError
from lathe.outside import Shape, plan

FORMS = [(False, False), (False, True), (True, False), (True, True)]


def shape(m, n, k, **other):
    return Shape(m, n, k, **({"trans_a": False, "trans_b": False, "packed_a": None, "packed_b": None, "packed_c": None,
                              "addend": False, "lanes": 8} | other))


def filled(device, name, values, exponent, **kind):
    """A matrix that holds `values`, and the numbers that it really holds."""
    matrix = device.layout.matrix(name, *values.shape, exponent, **kind)
    matrix.write(values)
    return matrix, matrix.read()


def product(rng, m, n, k, trans_a=False, trans_b=False, dtype="int16", scale=1.0, lanes=8, backend="golden"):
    """A device and the matrices of a product with the exact result."""
    device = Device(backend, lanes=lanes, memory_bytes=1 << 22)
    a, b = rng.uniform(-scale, scale, (k, m) if trans_a else (m, k)), rng.uniform(-scale, scale, (n, k) if trans_b else (k, n))
    exponent = -15 if dtype == "int16" else -7
    along_a, along_b = ("columns" if trans_a else "rows", "rows" if trans_b else "columns") if dtype == "int8" else (None, None)
    a, exact_a = filled(device, "a", a * 0.99, exponent, dtype=dtype, packed=along_a)
    b, exact_b = filled(device, "b", b * 0.99, exponent, dtype=dtype, packed=along_b)
    return device, a, b, (exact_a.T if trans_a else exact_a) @ (exact_b.T if trans_b else exact_b)


@pytest.mark.parametrize("dtype", ["int16", "int8"])
@pytest.mark.parametrize("trans_a,trans_b", FORMS)
@pytest.mark.parametrize("sizes", [(61, 75, 40), (8, 200, 33), (1, 1, 1), (130, 20, 129)])
def test_every_form_is_rounded_once(trans_a, trans_b, sizes, dtype):
    rng = np.random.default_rng(sum(sizes))
    device, a, b, exact = product(rng, *sizes, trans_a, trans_b, dtype)
    with device:
        c = device.layout.matrix("c", *exact.shape, -9)
        program = Program("outside", device.layout)
        plan = program.matmul_outside(a, b, c, trans_a=trans_a, trans_b=trans_b, words=600)
        assert plan.counts[2] == 1 and plan.words <= 600
        assert program.macs == np.prod(sizes)
        device.run(program)
        assert np.abs(c.read() - exact).max() <= 2.0**-10


def test_int8_result():
    device, a, b, exact = product(np.random.default_rng(2), 45, 90, 30, dtype="int8", scale=0.3)
    with device:
        c = device.layout.matrix("c", 45, 90, -6, dtype="int8")
        program = Program("outside", device.layout)
        assert program.matmul_outside(a, b, c, words=300).n % 16 == 0
        device.run(program)
        assert np.abs(c.read() - exact).max() <= 2.0**-7


@pytest.mark.parametrize("lanes", [4, 16])
def test_other_lane_counts(lanes):
    device, a, b, exact = product(np.random.default_rng(lanes), 50, 70, 30, True, False, lanes=lanes)
    with device:
        c = device.layout.matrix("c", 50, 70, -9)
        program = Program("outside", device.layout)
        program.matmul_outside(a, b, c, trans_a=True, words=512)
        device.run(program)
        assert np.abs(c.read() - exact).max() <= 2.0**-10


@pytest.mark.parametrize("activation", ["none", "relu", "tanh"])
def test_slices_of_the_inner_dimension(activation):
    """Each slice rounds once: the error is at most half a unit a slice (tanh: of the sums, and 2.04 of its own result)."""
    device, a, b, exact = product(np.random.default_rng(5), 40, 30, 200, scale=0.4)
    with device:
        bias = device.layout.tensor("bias", 1, 30, -12, static=True)
        values = np.linspace(-1, 1, 30)[None]
        device.load(bias, values)
        exponent = -15 if activation == "tanh" else -11
        c = device.layout.matrix("c", 40, 30, exponent)
        program = Program("outside", device.layout)
        plan = program.matmul_outside(a, b, c, bias=bias, activation=activation, words=600, inner=48)
        assert plan.counts[2] >= 4
        device.run(program)
        exact += device.store(bias)
        expected = {"none": exact, "relu": np.maximum(exact, 0), "tanh": np.tanh(exact)}[activation]
        bound = plan.counts[2] * 2.0**-12 if activation != "tanh" else plan.counts[2] * 2.0**-13 + 2.04 * 2.0**-15
        error = np.abs(c.read() - expected).max()
        assert 0 < error <= bound
        assert not device.saturations


def test_addend_and_derivative_come_from_outside():
    rng = np.random.default_rng(3)
    device, a, b, exact = product(rng, 45, 52, 24)
    with device:
        y, exact_y = filled(device, "y", np.tanh(rng.normal(size=(45, 52))) * 0.999, -15)
        z, exact_z = filled(device, "z", rng.normal(size=(45, 52)), -12)
        c, d = (device.layout.matrix(name, 45, 52, -10) for name in "cd")
        program = Program("outside", device.layout)
        program.matmul_outside(a, b, c, derivative="tanh", y=y, words=300)
        program.matmul_outside(a, b, d, accumulate=z, activation="relu", words=300)
        device.run(program)
        assert np.abs(c.read() - exact * (1 - exact_y**2)).max() <= 2.0**-11 + 2.0**-13
        assert np.abs(d.read() - np.maximum(exact + exact_z, 0)).max() <= 2.0**-11
        assert device.layout.workspace_free(request=False) > 7000  # both share their words


@pytest.mark.parametrize("backend", ["golden", "verilator"])
def test_a_request_has_blocks_of_its_own(backend):
    rng = np.random.default_rng(4)
    device, a, b, exact = product(rng, 45, 52, 24, backend=backend)
    with device:
        c, d = (device.layout.matrix(name, 45, 52, -11) for name in "cd")
        program, request = Program("program", device.layout), Program("request", device.layout, request=True)
        program.matmul_outside(a, b, c, words=300)
        request.matmul_outside(a, b, d, words=200)
        device.install(request)
        device.start(program)
        device.request(request)
        device.finish()
        for result in (c, d):
            assert np.abs(result.read() - exact).max() <= 2.0**-12


def test_a_program_longer_than_program_memory_runs_in_pieces():
    device, a, b, exact = product(np.random.default_rng(9), 160, 160, 16)
    with device:
        c = device.layout.matrix("c", 160, 160, -11)
        program = Program("outside", device.layout)
        program.matmul_outside(a, b, c, words=80)
        assert len(program.operations) > 3 * 256
        for _ in range(2):
            c.block.data[:] = 0
            device.run(program)
            assert np.abs(c.read() - exact).max() <= 2.0**-12
        with pytest.raises(ProgramError, match="too late"):
            program.load(device.layout.tensor("x", 1, 8), device.layout.block("x", 1))
        filler = Program("filler", device.layout)
        for _ in range(230):
            filler.rollback()
        device.install(filler)  # gives its place up
        c.block.data[:] = 0
        device.run(program)
        assert np.abs(c.read() - exact).max() <= 2.0**-12


def test_the_plans_of_the_contract_lose_little():
    """By the prediction, which counts bank conflicts high: bench.py measures 97 % of ideal and more."""
    for sizes in ((256, 256, 256), (1024, 1024, 64)):
        chosen = plan(shape(*sizes), 8192)
        assert chosen.counts[2] == 1 and chosen.programs <= 2
        assert chosen.cycles <= np.prod(sizes) / 64 / 0.94


def test_the_plan_follows_the_room_and_keeps_the_inner_dimension_whole_while_it_fits():
    assert plan(shape(64, 64, 64), 3).__class__ is type(None)
    small = plan(shape(512, 512, 512), 4 * 512 + 40)
    assert small.counts[2] == 1 and small.words <= 4 * 512 + 40
    assert plan(shape(512, 512, 4096), 8192).counts[2] > 1
    assert plan(shape(512, 512, 512), 8192, inner=100).k <= 100
    assert plan(shape(64, 512, 64), 8192).descriptors < 254
    assert plan(shape(64, 64, 20_000, trans_b=True), 8192).counts[2] == 41  # 167 with the fewest words, half a percent faster


def test_messages():
    layout = Layout(8, 8, np.zeros(1 << 20, np.uint8))
    program = Program("p", layout)
    a, b, c = layout.matrix("a", 40, 3000, -15), layout.matrix("b", 3000, 50, -15), layout.matrix("c", 40, 50, -8)
    with pytest.raises(ProgramError, match=r"inner dimensions differ: 'a' 40 x 3000 in outside memory gives 40, 'b' .* gives 3000"):
        program.matmul_outside(a, b, c, trans_a=True)
    with pytest.raises(ProgramError, match=r"b is a Tensor, not a matrix in outside memory; make it with layout.matrix"):
        program.matmul_outside(a, layout.tensor("t", 1, 1), c)
    with pytest.raises(ProgramError, match=r"'d' 40 x 51 in outside memory should be 40 x 50"):
        program.matmul_outside(a, b, layout.matrix("d", 40, 51, -8))
    with pytest.raises(CapacityError, match=r"no block of the product fits into 10 free scratchpad words; the smallest takes"):
        program.matmul_outside(a, b, c, words=10)
    with pytest.raises(ProgramError, match=r"cut into \d+ slices, whose sums take no derivative"):
        program.matmul_outside(a, b, c, derivative="relu", y=layout.matrix("y", 40, 50, -8))
    square = layout.matrix("s", 40, 40, -8)
    with pytest.raises(ProgramError, match=r"the result 's' 40 x 40 in outside memory is also an operand"):
        program.matmul_outside(square, layout.matrix("t", 40, 40, -8), square)
    for options, message in (({"y": layout.matrix("y2", 40, 50, -8)}, "a derivative needs y"),
                             ({"derivative": "relu", "accumulate": layout.matrix("z", 40, 50, -8)}, "a derivative needs y"),
                             ({"activation": "gelu"}, "activation 'gelu' is none of"), ({"words": 0}, "words is 0 and must be"),
                             ({"inner": -1}, "inner is -1 and must be"), ({"inner": 7}, "inner is 7 and must be at least 8"),
                             ({"bias": np.ones((1, 50))}, "bias is a ndarray, not a tensor")):
        with pytest.raises(ProgramError, match=message):
            program.matmul_outside(a, b, c, **options)
    with pytest.raises(ProgramError, match=r"cut into \d+ slices, whose sums int8 does not hold; make 'c8'"):
        program.matmul_outside(a, b, layout.matrix("c8", 40, 50, -2, dtype="int8"), inner=500)
    assert not program.operations
    assert plan(shape(8, 8, 40_000), 64 * 1024).k <= 16384  # the chip's longest sum
    wide = plan(shape(1, 6_000_000, 1, lanes=16), 64 * 1024)
    assert wide.n <= 65535  # what a descriptor holds
    program.matmul_outside(a, b, c)
    with pytest.raises(CapacityError, match=r"largest: blocks of matmul_outside, which takes all free words unless given `words` \d+"):
        layout.tensor("late", 1000, 64)


def test_a_product_refused_halfway_leaves_nothing(monkeypatch):
    layout = Layout(8, 8, np.zeros(1 << 20, np.uint8))
    program = Program("p", layout)
    a, b, c = layout.matrix("a", 64, 64, -15), layout.matrix("b", 64, 64, -15), layout.matrix("c", 64, 64, -8)
    program.matmul_outside(a, b, c)
    before, parts = program.descriptors(), dict(program._parts)
    monkeypatch.setattr(Program, "store", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        program.matmul_outside(a, b, layout.matrix("d", 64, 64, -9), words=256)
    assert np.array_equal(program.descriptors(), before) and program._parts == parts


def test_a_workspace_that_is_refused_takes_nothing():
    layout = Device("golden").layout
    layout.workspace(300, request=False)
    with pytest.raises(CapacityError):
        layout.workspace(layout.words_free + 301, request=False)
    assert layout.workspace(400, request=False) == 0  # grows where it is
    assert layout.tensor("t", 8, 8, 0).address == 400
