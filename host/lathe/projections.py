# SPDX-License-Identifier: Apache-2.0
"""Projections of a block of tokens as recorded operations: linear layers, fused Q/K/V, low-rank primal attention.

A token block is a tensor of one row a token. Weights and biases are whatever tensors the caller made, on the chip, in the
weight group or not.
"""

from dataclasses import dataclass

import numpy as np

from .allocator import Layout
from .program import Program
from .tensor import Tensor


@dataclass(frozen=True)
class Linear:
    """``y = activation(x w + b)`` and its gradients.

    Attributes
    ----------
    weight : Tensor
        Inputs x outputs.
    bias : Tensor, optional
        1 x outputs.
    """

    weight: Tensor
    bias: Tensor | None = None

    def forward(self, program: Program, x: Tensor, y: Tensor, activation: str = "none") -> None:
        program.linear(x, self.weight, y, self.bias, activation)

    def backward(self, program: Program, x: Tensor, dy: Tensor, d_weight: Tensor, d_bias: Tensor | None = None,
                 d_x: Tensor | None = None, derivative: str = "none") -> None:
        """Record the gradients from `dy`, that of ``x w + b``; `derivative`: x is the output of that activation."""
        if d_x is not None:  # first, so that the layer below need not wait for d_weight
            program.matmul(dy, self.weight, d_x, trans_b=True, derivative=derivative, y=x if derivative != "none" else None)
        program.matmul(x, dy, d_weight, trans_a=True, colsum=d_bias)


class Fused:
    """Several projections of the same tokens as one product: their weights side by side, each beginning with a word.

    Parameters
    ----------
    layout : Layout
    name : str
    inputs : int
        Columns of the token block.
    widths : dict of str to int
        Outputs of each projection, such as ``{"q": 20, "k": 20, "v": 32}``.
    exponent : int, optional
        As of `Layout.tensor`.
    """

    def __init__(self, layout: Layout, name: str, inputs: int, widths: dict[str, int], exponent: int | None = None):
        self.layout, self.name, self.widths = layout, name, widths
        self.columns, end = {}, 0
        for part, width in widths.items():
            start = -(-end // layout.lanes) * layout.lanes
            end = start + width
            self.columns[part] = slice(start, end)
        self.weight = layout.tensor(f"{name}.w", inputs, end, exponent)

    def weights(self, values: dict[str, np.ndarray]) -> np.ndarray:
        """Return what to load into `weight`: the parts in their places, zeros between."""
        whole = np.zeros(self.weight.shape)
        for part, columns in self.columns.items():
            whole[:, columns] = values[part]
        return whole

    def output(self, tokens: int, name: str | None = None) -> Tensor:
        """Make a tensor for all results of a token block."""
        return self.layout.tensor(name or f"{self.name}.out", tokens, self.weight.columns)

    def parts(self, out: Tensor) -> dict[str, Tensor]:
        """Return the projections as views of `out`, or of anything else as wide, such as its gradient.

        To be read: parts share their exponent, so a gradient that is to be written part by part is made with ``static=True``.
        """
        return {part: out.view(columns=columns, name=f"{out.name}.{part}") for part, columns in self.columns.items()}

    def forward(self, program: Program, x: Tensor, out: Tensor, activation: str = "none") -> dict[str, Tensor]:
        """Record the product; return its parts."""
        program.linear(x, self.weight, out, activation=activation)
        return self.parts(out)


class PrimalAttention:
    """Low-rank self-attention in its primal form (Chen et al., Primal-Attention, NeurIPS 2023): no N x N matrix.

    ``[q k] = x [Wq Wk]``; ``e = q We``; ``r = k Wr``; ``out = [e r] Wc + b``, of which the half of r is added to that of e, rounded:
    inputs * 2p + 2 p s + 2 s * outputs multiply-accumulates a token, whatever the number of tokens.

    The paper divides the rows of q and k by their lengths. The chip has no row norm: they are left as they are or, with
    `activation="tanh"`, bounded by tanh. We and Wr do not depend on the data.

    Parameters
    ----------
    layout : Layout
    inputs, width, rank, outputs : int
        Columns of the token block, of q and k (p), of e and r (s), and of the result.
    activation : str
        Of q and k: none, relu or tanh.
    exponent : int, optional
        Of the weights, as of `Layout.tensor`.
    """

    def __init__(self, layout: Layout, inputs: int, width: int, rank: int, outputs: int, activation: str = "none",
                 exponent: int | None = None, name: str = "attention"):
        self.layout, self.activation, self.name, self.rank = layout, activation, name, rank
        self.qk = Fused(layout, f"{name}.qk", inputs, {"q": width, "k": width}, exponent)
        self.w_e, self.w_r = (layout.tensor(f"{name}.{part}", width, rank, exponent) for part in ("We", "Wr"))
        self.w_c = layout.tensor(f"{name}.Wc", 2 * rank, outputs, exponent)
        self.bias = layout.tensor(f"{name}.b", 1, outputs, exponent)

    def weights(self, w_q, w_k, w_e, w_r, w_c, bias) -> dict[Tensor, np.ndarray]:
        """Return what to load into every tensor; `w_c` is 2 s x outputs, the rows of e first."""
        return {self.qk.weight: self.qk.weights({"q": w_q, "k": w_k}), self.w_e: w_e, self.w_r: w_r, self.w_c: w_c,
                self.bias: np.asarray(bias).reshape(1, -1)}

    def activations(self, tokens: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Make the tensors of [q k], e, r and the half of e for a token block."""
        fixed = {"exponent": -15, "static": True} if self.activation == "tanh" else {}
        return (self.layout.tensor(f"{self.name}.qk", tokens, self.qk.weight.columns, **fixed),
                *(self.layout.tensor(f"{self.name}.{part}", tokens, self.rank) for part in "er"),
                self.layout.tensor(f"{self.name}.half", tokens, self.w_c.columns))

    def forward(self, program: Program, x: Tensor, activations: tuple[Tensor, Tensor, Tensor, Tensor], out: Tensor) -> None:
        """Record the attention of the token block `x` into `out` (tokens x outputs)."""
        qk, e, r, half = activations
        parts = self.qk.forward(program, x, qk, self.activation)
        program.matmul(parts["q"], self.w_e, e)
        program.matmul(parts["k"], self.w_r, r)
        program.linear(e, self.w_c.view(rows=slice(0, self.rank)), half, self.bias)
        program.matmul(r, self.w_c.view(rows=slice(self.rank, 2 * self.rank)), out, accumulate=half)
