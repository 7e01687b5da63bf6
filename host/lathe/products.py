# SPDX-License-Identifier: Apache-2.0
"""What a matrix product may combine, and what to do instead where it may not."""

from dataclasses import dataclass

from .errors import ProgramError
from .tensor import Tensor

MAX_INNER = 16384
ACTIVATIONS = ("none", "relu", "tanh")
TANH_EXPONENT, TANH_EXPONENT_INT8 = -15, -7


@dataclass(frozen=True)
class Product:
    """``out = activation(a b + bias)`` and its variants; see `Program.matmul`."""

    a: Tensor
    b: Tensor
    out: Tensor
    trans_a: bool = False
    trans_b: bool = False
    bias: Tensor | None = None
    activation: str = "none"
    derivative: str = "none"
    y: Tensor | None = None
    accumulate: Tensor | None = None
    colsum: Tensor | None = None

    @property
    def m(self) -> int:
        return self.a.columns if self.trans_a else self.a.rows

    @property
    def n(self) -> int:
        return self.b.rows if self.trans_b else self.b.columns

    @property
    def k(self) -> int:
        return self.a.rows if self.trans_a else self.a.columns

    @property
    def label(self) -> str:
        """The formula in names of tensors."""
        text = f"{self.a.name}{'^T' if self.trans_a else ''} {self.b.name}{'^T' if self.trans_b else ''}"
        for term in (self.bias, self.accumulate):
            text += f" + {term.name}" if term else ""
        text = f"{self.activation}({text})" if self.activation != "none" else text
        text += f" * {self.derivative}'({self.y.name})" if self.derivative != "none" and self.y else ""
        return f"{self.out.name} = {text}" + (f"; {self.colsum.name} = column sums" if self.colsum else "")

    @property
    def fourth(self) -> Tensor | None:
        """Operand 4."""
        return self.y or self.accumulate or self.colsum

    def check(self, label: str, whole: bool = True) -> None:
        """Raise a ProgramError that says what to do if the chip cannot make this product; not `whole`: cut into blocks, of any size."""
        for problem in (self._functions(), self._exclusions(), self._shapes() if whole else None, self._packing(), self._exponents()):
            if problem:
                raise ProgramError(f"'{label}': {problem}")

    def _functions(self) -> str | None:
        for kind, value in (("activation", self.activation), ("derivative", self.derivative)):
            if value not in ACTIVATIONS:
                return f"{kind} {value!r} is none of {', '.join(ACTIVATIONS)}"
        if self.activation != "none" and self.derivative != "none":
            return "a result takes either an activation or a derivative, not both"
        if (self.derivative != "none") != (self.y is not None):
            return "a derivative needs y, the output of that activation, and nothing else does"
        return None

    def _exclusions(self) -> str | None:
        fourth = [name for name, given in (("derivative", self.y), ("accumulate", self.accumulate), ("colsum", self.colsum)) if given]
        if len(fourth) > 1:
            return f"{' and '.join(fourth)} exclude each other, they use the same operand of the chip; record two products"
        if self.bias and self.accumulate:
            return (f"bias and accumulate exclude each other; add {self.bias} in the product that makes {self.accumulate}, or load "
                    "the sum of both")
        if self.a.packed and fourth and not self.accumulate:
            return f"a product of int8 tensors takes no {fourth[0]}; use int16 copies of {self.a} and {self.b}"
        if self.out.packed and fourth:
            return (f"an int8 result takes no {fourth[0]}; write an int16 tensor, then Program.quantize it into {self.out}")
        return None

    def _shapes(self) -> str | None:
        k_b = self.b.columns if self.trans_b else self.b.rows
        if self.k != k_b:
            return (f"the inner dimensions differ: {self.a}{' transposed' if self.trans_a else ''} gives {self.k}, "
                    f"{self.b}{' transposed' if self.trans_b else ''} gives {k_b}")
        if self.k > MAX_INNER:
            return (f"inner dimension {self.k} is above {MAX_INNER}; split the product: record a part of the inner dimension after the "
                    "other (Tensor.view) and pass accumulate")
        full, row = (self.m, self.n), (1, self.n)
        for tensor, shape in ((self.out, full), (self.bias, row), (self.y, full), (self.accumulate, full), (self.colsum, row)):
            if tensor is not None and tensor.shape != shape:
                return f"tensor {tensor} should be {shape[0]} x {shape[1]}"
        return None

    def _packing(self) -> str | None:
        if bool(self.a.packed) != bool(self.b.packed):
            wide = self.b if self.a.packed else self.a
            return f"operands are either both int16 or both int8; tensor {wide} is int16, make an int8 copy with Program.quantize"
        if self.a.packed:
            for tensor, flag, wanted in ((self.a, "trans_a", "columns" if self.trans_a else "rows"),
                                         (self.b, "trans_b", "rows" if self.trans_b else "columns")):
                if tensor.packed != wanted:
                    return (f"tensor {tensor} is packed along its {tensor.packed}, but this product sums along its {wanted}; make it "
                            f"with packed='{wanted}', or keep its transpose and pass {flag}={not getattr(self, flag)}")
        if self.out.packed == "columns":
            return f"the chip packs an int8 result along its rows; make {self.out} with packed='rows'"
        for tensor in (self.bias, self.y, self.accumulate, self.colsum):
            if tensor is not None and tensor.packed:
                return f"tensor {tensor} is int8; only the two factors and the result may be, make it int16"
        return None

    def _exponents(self) -> str | None:
        for tensor in (self.a, self.b, self.out, self.bias, self.y, self.accumulate, self.colsum):
            if tensor is not None and tensor.exponent is None:
                return f"tensor {tensor} is raw and has no exponent; make it without raw=True"
        for tensor, holds in ((self.out, self.activation), (self.y, self.derivative)):
            exponent = TANH_EXPONENT_INT8 if tensor is not None and tensor.packed else TANH_EXPONENT
            if holds == "tanh" and not (tensor.static and tensor.initial == exponent):
                return (f"tensor {tensor} holds tanh, whose exponent is always {exponent}{' in int8' if tensor.packed else ''}; make it "
                        f"with exponent={exponent}, static=True")
        return None

    def fields(self) -> dict:
        """Return the descriptor's fields besides the operands'."""
        return {"trans_a": int(self.trans_a), "trans_b": int(self.trans_b), "bias": int(self.bias is not None),
                "act": self.activation, "dact": self.derivative, "accumulate": int(self.accumulate is not None),
                "colsum": int(self.colsum is not None), "int8": int(bool(self.a.packed)), "int8_result": int(bool(self.out.packed)),
                "m": self.m, "n": self.n, "k": self.k}
