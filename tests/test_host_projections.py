# SPDX-License-Identifier: Apache-2.0
"""Int8 products, quantization, projections of token blocks and the int8 sampler on the golden back end against float64."""

import numpy as np
import pytest

from lathe import Device, Program
from lathe.networks import MLP, Sampler
from lathe.projections import Fused, Linear, PrimalAttention

#: Largest error of a chain of up to three int16 products, relative to its largest element: an operand or result is off by
#: at most 2**-14 of its tensor's largest element (15 bits, one of them headroom), and such errors add up over K terms.
BOUND = 2.0**-10
TOKENS = 37


def settled(device, program):
    """Run a program until delayed scaling has found its exponents."""
    for _ in range(4):
        device.run(program)


def close(device, tensor, exact, bound=BOUND):
    error = np.max(np.abs(device.store(tensor) - exact)) / np.max(np.abs(exact))
    assert error < bound, f"{tensor}: relative error {error:.2e}, bound {bound:.2e}"


@pytest.mark.parametrize("trans_a", [False, True])
@pytest.mark.parametrize("trans_b", [False, True])
@pytest.mark.parametrize("lanes", [4, 8, 16])
def test_int8_product_is_rounded_once(trans_a, trans_b, lanes):
    rng = np.random.default_rng(1)
    with Device("golden", lanes=lanes) as device:
        make = device.layout.tensor
        m, n, k = 13, 19, 27
        a = make("a", *((k, m) if trans_a else (m, k)), dtype="int8", packed="columns" if trans_a else "rows")
        b = make("b", *((n, k) if trans_b else (k, n)), dtype="int8", packed="rows" if trans_b else "columns")
        z, c, c8 = make("z", m, n, -10, static=True), make("c", m, n, -10, static=True), make("c8", m, n, -2, static=True, dtype="int8")
        for tensor in (a, b, z):
            device.load(tensor, rng.normal(size=tensor.shape))
        exact = (device.store(a).T if trans_a else device.store(a)) @ (device.store(b).T if trans_b else device.store(b))
        program = Program("p", device.layout)
        program.matmul(a, b, c, trans_a=trans_a, trans_b=trans_b, accumulate=z)
        program.matmul(a, b, c8, trans_a=trans_a, trans_b=trans_b)
        device.run(program)
        assert np.abs(device.store(c) - exact - device.store(z)).max() <= 2.0**-11
        assert np.abs(device.store(c8) - exact).max() <= 2.0**-3
        assert not device.saturations


@pytest.mark.parametrize("transpose", [False, True])
def test_quantize(transpose):
    rng = np.random.default_rng(2)
    with Device("golden") as device:
        x = device.layout.tensor("x", 11, 23)
        x8 = device.layout.tensor("x8", *(x.shape[::-1] if transpose else x.shape), dtype="int8")
        values = rng.normal(size=x.shape)
        device.load(x, values)
        program = Program("p", device.layout)
        program.quantize(x, x8, transpose=transpose)
        before = device.layout.words_free
        program.quantize(x, x8, transpose=transpose)
        assert device.layout.words_free == before and program.macs == 0  # one identity matrix serves all
        settled(device, program)
        mantissas, exponent = device.store_mantissas(x8)
        largest = np.abs(values).max()
        assert 32 <= np.abs(mantissas).max() <= 127 and exponent == np.ceil(np.log2(largest)) - 6
        exact = device.store(x)
        assert np.abs(device.store(x8) - (exact.T if transpose else exact)).max() <= 2.0**exponent / 2


@pytest.mark.parametrize("packed", ["rows", "columns"])
@pytest.mark.parametrize("shape", [(1, 1), (5, 7), (6, 33)])
def test_int8_tensors_come_back_as_they_went(packed, shape):
    with Device("golden") as device:
        x = device.layout.tensor("x", *shape, 0, static=True, dtype="int8", packed=packed)
        values = np.random.default_rng(3).integers(-128, 128, shape)
        device.load(x, values)
        assert np.array_equal(device.store(x), values)
        with pytest.raises(ValueError, match=r"does not fit its static exponent 0, at which it holds -128 to 127; make the tensor"):
            device.load(x, np.full(shape, 128))


def test_linear_layers_forward_and_backward():
    rng = np.random.default_rng(4)
    with Device("golden") as device:
        make = device.layout.tensor
        x, w1, b1, w2 = make("x", TOKENS, 20), make("w1", 20, 30), make("b1", 1, 30), make("w2", 30, 12)
        h, y, dy, dh = make("h", TOKENS, 30, -15, static=True), make("y", TOKENS, 12), make("dy", TOKENS, 12), make("dh", TOKENS, 30)
        d_w1, d_b1, d_w2, d_x = make("d_w1", 20, 30), make("d_b1", 1, 30), make("d_w2", 30, 12), make("d_x", TOKENS, 20)
        first, second = Linear(w1, b1), Linear(w2)
        program = Program("linear", device.layout)
        first.forward(program, x, h, "tanh")
        second.forward(program, h, y)
        second.backward(program, h, dy, d_w2, d_x=dh, derivative="tanh")
        first.backward(program, x, dh, d_w1, d_b1, d_x)
        for tensor in (x, w1, b1, w2, dy):
            device.load(tensor, rng.normal(size=tensor.shape) / np.sqrt(tensor.rows))
        settled(device, program)
        exact = {tensor: device.store(tensor) for tensor in (x, w1, b1, w2, dy)}
        exact_h = np.tanh(exact[x] @ exact[w1] + exact[b1])
        exact_dh = exact[dy] @ exact[w2].T * (1 - exact_h**2)
        close(device, y, exact_h @ exact[w2])
        close(device, d_w2, exact_h.T @ exact[dy])
        close(device, d_w1, exact[x].T @ exact_dh)
        close(device, d_b1, exact_dh.sum(axis=0, keepdims=True))
        close(device, d_x, exact_dh @ exact[w1].T)


@pytest.mark.parametrize("lanes", [4, 8, 16])
def test_fused_q_k_v(lanes):
    rng = np.random.default_rng(5)
    widths = {"q": 20, "k": 20, "v": 13}
    with Device("golden", lanes=lanes) as device:
        x = device.layout.tensor("x", TOKENS, 24)
        fused = Fused(device.layout, "attention", 24, widths)
        program = Program("fused", device.layout)
        parts = fused.forward(program, x, fused.output(TOKENS))
        scores = device.layout.tensor("scores", TOKENS, TOKENS)
        program.matmul(parts["q"], parts["k"], scores, trans_b=True)  # views are operands like any other
        weights = {part: rng.normal(size=(24, width)) / 5 for part, width in widths.items()}
        device.load(fused.weight, fused.weights(weights))
        device.load(x, rng.normal(size=x.shape))
        settled(device, program)
        values = device.store(x)
        for part, view in parts.items():
            assert view.shape == (TOKENS, widths[part])
            close(device, view, values @ weights[part])
        close(device, scores, (values @ weights["q"]) @ (values @ weights["k"]).T)
        assert len(program.operations) == 2


@pytest.mark.parametrize("activation", ["none", "tanh"])
@pytest.mark.parametrize("rank", [8, 20])
def test_primal_attention(activation, rank):
    rng = np.random.default_rng(6)
    inputs, width, outputs = 24, 30, 17
    with Device("golden", banks=16) as device:
        attention = PrimalAttention(device.layout, inputs, width, rank, outputs, activation)
        w_q, w_k = (rng.normal(size=(inputs, width)) / 5 for _ in range(2))
        w_e, w_r = (rng.normal(size=(width, rank)) / 5 for _ in range(2))
        w_c, bias = rng.normal(size=(2 * rank, outputs)) / 5, rng.normal(size=outputs)
        for tensor, values in attention.weights(w_q, w_k, w_e, w_r, w_c, bias).items():
            device.load(tensor, values)
        macs = {}
        for tokens in (TOKENS, 3 * TOKENS):
            x, out = device.layout.tensor("x", tokens, inputs), device.layout.tensor("out", tokens, outputs)
            program = Program("attention", device.layout)
            attention.forward(program, x, attention.activations(tokens), out)
            device.load(x, rng.normal(size=x.shape))
            settled(device, program)
            values = device.store(x)
            q, k = values @ w_q, values @ w_k
            if activation == "tanh":
                q, k = np.tanh(q), np.tanh(k)
            close(device, out, np.hstack([q @ w_e, k @ w_r]) @ w_c + bias)
            macs[tokens] = program.macs
        assert macs[3 * TOKENS] == 3 * macs[TOKENS]  # linear in the tokens


def test_primal_attention_of_data_whose_range_changes():
    """One run with data of another power of two makes no other part wrong; the first one may round with the exponents of before."""
    rng = np.random.default_rng(8)
    with Device("golden", banks=16) as device:
        attention = PrimalAttention(device.layout, 12, 8, 8, 9)
        w_q, w_k, w_e, w_r, w_c = (rng.normal(size=shape) / 4 for shape in ((12, 8), (12, 8), (8, 8), (8, 8), (16, 9)))
        for tensor, values in attention.weights(w_q, w_k, w_e, w_r, w_c, np.zeros(9)).items():
            device.load(tensor, values)
        x, out = device.layout.tensor("x", TOKENS, 12), device.layout.tensor("out", TOKENS, 9)
        program = Program("attention", device.layout)
        attention.forward(program, x, attention.activations(TOKENS), out)
        for scale in (1, 1, 1, 1.3, 1.7, 2.2, 2.9, 3.8, 5.0):
            device.load(x, scale * rng.uniform(-1, 1, x.shape))
            device.run(program)
            values = device.store(x)
            exact = np.hstack([values @ w_q @ w_e, values @ w_k @ w_r]) @ w_c
            assert scale == 1 or np.abs(device.store(out) - exact).max() < 2.0**-8 * np.abs(exact).max()


@pytest.mark.parametrize("observations,input_exponent", [("int8", -5), ("int16", -12)])
@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_int8_sampler_against_float64(activation, observations, input_exponent):
    """Every element within the sum of what its roundings can do at worst, and typically far below."""
    rng = np.random.default_rng(7)
    with Device("golden", banks=16) as device:
        net = MLP(device.layout, 4, (64, 64), 2, activation)
        sampler = Sampler(net, observations)
        acts = sampler.activations(8, "sampler", input_exponent)
        publish, step = Program("publish", device.layout), Program("step", device.layout)
        sampler.publish(publish)
        sampler.forward(step, acts)
        for tensor, values in net.initial_values(rng, policy_gain=0.5).items():
            device.load(tensor, values)
        for layer in net.layers:
            device.load(layer.bias, rng.normal(size=layer.bias.shape) * 0.2)
        x = rng.uniform(-2, 2, acts.x.shape)
        device.load(acts.x, x)
        settled(device, publish)
        settled(device, step)
        exact, off = x, np.full(x.shape, 2.0**input_exponent / 2)
        for layer, weight8, out in zip(net.layers, sampler.weights, acts.outputs, strict=True):
            w = device.store(layer.weight)
            exponent = device.store_mantissas(weight8)[1]
            assert exponent <= -5 and weight8.dtype == (observations if layer is net.layers[0] else "int8")
            off_w = 2.0**exponent / 2
            off = np.abs(exact) @ np.full(w.shape, off_w) + off @ (np.abs(w) + off_w)
            exact = exact @ w + device.store(layer.bias)
            if out is not acts.y:
                exact = np.tanh(exact) if activation == "tanh" else np.maximum(exact, 0)
            off = off + 2.0**device.store_mantissas(out)[1] * 0.6
        error = np.abs(device.store(acts.y) - exact)
        assert (error <= off).all()
        assert np.sqrt(np.mean(error**2)) < 0.05 * np.abs(exact).max()
        device.load(net.layers[0].weight, np.zeros((4, 64)))  # the learner moves on, the sampler keeps what was published
        before = device.store(acts.y)
        device.run(step)
        assert np.array_equal(device.store(acts.y), before)
