# SPDX-License-Identifier: Apache-2.0
"""What a step of the weights may combine, and what to do instead where it may not."""

from dataclasses import dataclass

from .errors import ProgramError
from .tensor import Tensor

#: Words that one step takes at most.
MAX_WORDS = 65535


@dataclass(frozen=True)
class WeightStep:
    """One step of an optimizer on one tensor of the weight group; see `Program.sgd` and `Program.adam`.

    Attributes
    ----------
    op : str
        sgd, momentum, nesterov or adam.
    w, gradient, moments, copy8 : Tensor
        Weights, their gradient, the optimizer's memory and the int8 copy; the last two may be None.
    """

    op: str
    w: Tensor
    gradient: Tensor
    moments: Tensor | None = None
    copy8: Tensor | None = None

    @property
    def label(self) -> str:
        """The step in names of tensors."""
        operands = ", ".join(tensor.name for tensor in (self.w, self.gradient, self.moments) if tensor)
        return f"{self.w.name}'{f', {self.copy8.name}' if self.copy8 else ''} = {self.op}({operands})"

    @property
    def operands(self) -> dict[int, Tensor | None]:
        """Operands by number; those of the next version are 2, 4 and 5."""
        return {0: self.w, 1: self.gradient, 2: self.w.next, 3: self.moments, 4: self.moments and self.moments.next,
                5: self.copy8 and (self.copy8 if self.copy8.space == "absolute" else self.copy8.next)}

    def fields(self) -> dict[str, int]:
        """Return the sizes."""
        rows, words = (self.w.rows, self.w.row_words) if self.copy8 else (1, self.w.words)
        return {"m": rows, "n": words, "int8_result": int(self.copy8 is not None)}

    def check(self, label: str) -> None:
        """Raise a ProgramError that says what to do if the chip cannot do this step."""
        for problem in (self._groups(), self._shapes(), self._forms(), self._copy()):
            if problem:
                raise ProgramError(f"'{label}': {problem}")

    def _groups(self) -> str | None:
        for tensor in (self.w, self.moments):
            if tensor and tensor.space != "current":
                return f"tensor {tensor} is not in the weight group; make it with WeightGroup.tensor"
        return None

    def _shapes(self) -> str | None:
        rows, columns = self.w.shape
        if self.gradient.shape != self.w.shape:
            return f"tensor {self.gradient} should be {rows} x {columns} like {self.w}"
        wanted = rows * (2 if self.op == "adam" else 1)
        if self.moments and self.moments.shape != (wanted, columns):
            both = ": two moments for each weight, made with WeightGroup.moments" if self.op == "adam" else f" like {self.w}"
            return f"tensor {self.moments} should be {wanted} x {columns}{both}"
        if self.w.words > MAX_WORDS:
            return f"tensor {self.w} has {self.w.words} words, a step takes {MAX_WORDS}; make several tensors of it"
        return None

    def _forms(self) -> str | None:
        for tensor in (self.w, self.gradient, self.moments):
            if tensor and not tensor.contiguous:
                return f"rows of tensor {tensor} are not contiguous"
            if tensor and tensor.packed:
                return f"tensor {tensor} is int8; an update takes int16"
        return None

    def _copy(self) -> str | None:
        copy = self.copy8
        if copy and (copy.packed != "columns" or copy.shape != self.w.shape or not copy.contiguous):
            return (f"the int8 copy {copy} should be {self.w.rows} x {self.w.columns} without gaps like {self.w}; make it with "
                    "dtype='int8', packed='columns'")
        return None
