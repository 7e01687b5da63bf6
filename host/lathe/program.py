# SPDX-License-Identifier: Apache-2.0
"""Records operations on tensors as a program of the chip and derives the semaphores between its units.

Users name tensors; which descriptor must wait for which follows from what they read and write.
"""

from numbers import Integral

import numpy as np

from pymodels.descriptor import record_words

from .allocator import Layout
from .dependencies import place_overlap, place_semaphores
from .encoding import encode_operations, explain, table
from .errors import ProgramError
from .matrix import Block, Matrix
from .operation import NORM, POINTER, Operation, accesses, overlap, places
from .outside import Plan, record
from .products import Product
from .registers import PROGRAM_DESCRIPTORS
from .requests import check_operation
from .tensor import Tensor
from .updates import WeightStep

MAX_OUTPUTS = 64


class Program:
    """A sequence of operations that the chip runs on its own once started.

    Parameters
    ----------
    name : str
        Used in messages.
    layout : Layout
        Where the tensors lie: the `layout` of the device that is to run it.
    request : bool
        Record it for `Device.request`, which runs it beside another program: operation by operation, without update, `measure`
        and `scan`. Of the weight group it can only read the current weights, those of its start.

    No operation may write its result over one of its own operands, not even in part: which of the two the chip would read
    depends on its timing. Every method refuses that; only `evaluate` and `scan` may work in place.
    """

    def __init__(self, name: str, layout: Layout, request: bool = False):
        if not isinstance(layout, Layout):
            hint = "pass device.layout, not the device" if isinstance(getattr(layout, "layout", None), Layout) else "pass device.layout"
            raise ProgramError(f"program '{name}' was given {type(layout).__name__!r} in place of a layout; {hint}")
        self.name, self.layout, self.request = name, layout, request
        self.operations: list[Operation] = []
        self.frozen = False  # on a chip already
        self._parts: dict[tuple[str, int], list[tuple[Tensor, bool]]] = {}  # exponent register -> what has it, and: a part, written
        self._compiled: np.ndarray | None = None
        self._pieces: tuple[int, list[Program]] | None = None

    # gemm

    def linear(self, x: Tensor, w: Tensor, out: Tensor, bias: Tensor | None = None, activation: str = "none",
               label: str | None = None) -> None:
        """Record ``out = activation(x w + bias)``; x is M x K, w K x N, bias 1 x N."""
        self.matmul(x, w, out, bias=bias, activation=activation, label=label)

    def matmul(self, a: Tensor, b: Tensor, out: Tensor, *, trans_a: bool = False, trans_b: bool = False,
               bias: Tensor | None = None, activation: str = "none", derivative: str = "none", y: Tensor | None = None,
               accumulate: Tensor | None = None, colsum: Tensor | None = None, stochastic: bool = False, norm: bool = False,
               label: str | None = None) -> None:
        """Record ``out = activation(a b + bias)``, ``out = (a b) * derivative(y)`` or ``out = activation(a b + accumulate)``.

        Parameters
        ----------
        a, b, out : Tensor
            M x K, K x N and M x N; `trans_a`: a is stored K x M, `trans_b`: b is stored N x K. Both factors int16, or both
            int8 and packed along K; `out` int16, or int8 packed along its rows.
        bias : Tensor, optional
            1 x N, added to every row.
        activation : str
            none, relu or tanh.
        derivative : str
            none, relu or tanh: multiply by the derivative of that activation, whose output is `y` (M x N).
        accumulate : Tensor, optional
            M x N, added to the product; not `out` itself.
        colsum : Tensor, optional
            1 x N, receives the column sums of b: with ``b = dY`` the gradient of the bias.
        stochastic : bool
            Round the result stochastically instead of half to even.
        norm : bool
            Add the squares of `out` and `colsum` to the gradient norm, by which steps with ``clip=True`` recorded later limit theirs.
        """
        self._tensors("matmul", a=a, b=b, out=out, optional={"bias": bias, "y": y, "accumulate": accumulate, "colsum": colsum})
        product = Product(a, b, out, trans_a, trans_b, bias, activation, derivative, y, accumulate, colsum)
        label = label or product.label
        product.check(label)
        if norm and self.request:
            raise ProgramError(f"'{label}': a request cannot add to the gradient norm; leave norm=False")
        op = self._operation(label, "gemm", "matmul", {0: a, 1: b, 2: out, 3: bias, 4: product.fourth},
                             results=(2, 4) if colsum else (2,))
        op.fields |= product.fields() | {"stochastic": int(stochastic), "norm": int(norm)}
        if norm:
            op.reads.append(NORM)
        if y is not None:
            op.fields.pop("t4_exp", None)  # the derivative takes y's exponent as given
        op.macs = product.m * product.n * product.k
        op.words = out.words * (product.k + 16)

    def quantize(self, x: Tensor, x8: Tensor, *, transpose: bool = False, stochastic: bool = False, label: str | None = None) -> None:
        """Record ``x8 = x`` or, with `transpose`, ``x8 = x^T``, rounded to int8.

        The array does it, as a product with an identity matrix that the layout keeps once (n rows of n int16, n the columns
        of x, its rows with `transpose`). It takes as long as any product of that shape: rows * columns * n / lanes**2 cycles
        and at least one a word of the result. A weight matrix W (K x N) needs `transpose`, which packs it along K: then
        ``matmul(x8, w8, out, trans_b=True)``.
        """
        self._tensors("quantize", x=x, x8=x8)
        label = label or f"{x8.name} = int8({x.name}{'^T' if transpose else ''})"
        for tensor, wanted in ((x, "int16"), (x8, "int8")):
            if tensor.dtype != wanted:
                raise ProgramError(f"'{label}': tensor {tensor} is {tensor.dtype} and should be {wanted}")
        shape = x.shape[::-1] if transpose else x.shape
        if x8.shape != shape:
            raise ProgramError(f"'{label}': tensor {x8} should be {shape[0]} x {shape[1]}")
        self._copy(x, x8, shape[1], transpose, stochastic, label)

    def copy(self, x: Tensor, out: Tensor, label: str | None = None) -> None:
        """Record ``out = x``, rounded to the exponent of `out`; costs what `quantize` costs."""
        self._tensors("copy", x=x, out=out)
        label = label or f"{out.name} = {x.name}"
        for tensor in (x, out):
            if tensor.packed:
                raise ProgramError(f"'{label}': tensor {tensor} is int8; copy takes int16 tensors, quantize makes int8 ones of them")
        self._copy(x, out, x.columns, False, False, label)

    def _copy(self, x: Tensor, out: Tensor, size: int, transpose: bool, stochastic: bool, label: str) -> None:
        """Record a product with the identity matrix of `size`; its words are taken only if that can be recorded."""
        with self.layout.unless_refused():
            self.matmul(x, self.layout.identity(size), out, trans_a=transpose, stochastic=stochastic, label=label)
        self.operations[-1].macs = 0  # nobody asked for a product

    def matmul_outside(self, a: Matrix, b: Matrix, c: Matrix, *, trans_a: bool = False, trans_b: bool = False,
                       bias: Tensor | None = None, activation: str = "none", derivative: str = "none", y: Matrix | None = None,
                       accumulate: Matrix | None = None, stochastic: bool = False, words: int | None = None,
                       inner: int | None = None) -> Plan:
        """Record a `matmul` of matrices in outside memory (`Layout.matrix`), which need not fit on the chip.

        It is cut into blocks; transfers run beside the products. The blocks take scratchpad words that all such products of
        programs share and keep, so make the tensors of the program first; those of requests share others, so give `words` where
        both are recorded. A program of more descriptors than program memory holds is cut too: `Device.run` writes the next part
        while one runs.

        Parameters
        ----------
        bias : Tensor, optional
            1 x N, on the chip.
        y, accumulate : Matrix, optional
            M x N, in outside memory.
        words : int, optional
            Scratchpad words that it may use; all free ones unless given.
        inner : int, optional
            Largest slice of the inner dimension. Unless given the inner dimension is whole if that fits. Every further slice
            rounds the sum once more to c's exponent (up to half a unit of its last place, or one if `stochastic`; of a tanh to
            2**-12, up to four units of its last place), and sums that are not complete must not exceed its range (of a tanh +-8).

        Returns
        -------
        Plan
            How it was cut, with the predicted `cycles`.

        Raises
        ------
        CapacityError
            Not even the smallest blocks fit.
        """
        recorded, parts = len(self.operations), dict(self._parts)
        try:
            return record(self, a, b, c, trans_a=trans_a, trans_b=trans_b, bias=bias, activation=activation, derivative=derivative, y=y,
                          accumulate=accumulate, stochastic=stochastic, words=words, inner=inner)
        except BaseException:  # refused halfway: nothing of it stays
            del self.operations[recorded:]
            self._parts, self._compiled, self._pieces = parts, None, None
            raise

    # policy

    def sample(self, y: Tensor, records: Tensor, greedy: bool = False, label: str | None = None) -> None:
        """Record the drawing of one action a row from the logits in `y` (M x (actions + 1), last column the value).

        The first word of each row of `records` receives action, log-probability (LSB 2**-10), value (LSB 2**-10) and weight version.
        Logits and value are taken within +-128, here and in `evaluate`, `measure` and `loss`: beyond that they are clamped, which
        nothing counts.
        """
        self._tensors("sample", y=y, records=records)
        label = label or f"{records.name} = sample({y.name})"
        self._check_policy(label, y, records)
        op = self._operation(label, "policy", "sample", {0: y, 2: records}, results=(2,))
        op.fields |= {"greedy": int(greedy), "m": y.rows, "n": y.columns}
        op.reads.append(POINTER)  # the record carries the version
        op.words = y.words * 100

    def evaluate(self, y: Tensor, records: Tensor, out: Tensor | None = None, label: str | None = None) -> None:
        """Record what the policy behind `y` says of the actions in `records`, whose form is that of `loss`.

        `out` (unless given `records` itself: in place) becomes a copy with the log-probability of the action as element 1 and the
        value as element 3, both at LSB 2**-10. The sampler's log-probability, element 4, stays what it was.
        """
        out = out or records
        self._tensors("evaluate", y=y, records=records, out=out)
        label = label or f"{out.name} = evaluate({y.name}, {records.name})"
        for tensor in (records, out):
            self._check_policy(label, y, tensor)
        op = self._operation(label, "policy", "evaluate", {0: y, 1: records, 2: out}, results=(2,), in_place=(1,))
        op.fields |= {"m": y.rows, "n": y.columns}
        op.words = y.words * 200

    def measure(self, y: Tensor, records: Tensor, words: Tensor, label: str | None = None) -> None:
        """Record the aggregation of log-ratios over the sequences in `records`, for corrections whose `sequences` is true.

        The first word of each row of `words` (`Layout.records`, as many rows) receives, a row for each sequence: its log-ratio of
        lane r and of lane rho (LSB 2**-10), the veto and the number of samples. A sequence ends with the sample whose flags have
        bit 0 set, and with the last row: one that goes on in another operation would be taken for two.
        """
        self._tensors("measure", y=y, records=records, words=words)
        label = label or f"{words.name} = measure({y.name}, {records.name})"
        for tensor in (records, words):
            self._check_policy(label, y, tensor)
        op = self._operation(label, "policy", "measure", {0: y, 1: records, 2: words}, results=(2,))
        op.fields |= {"m": y.rows, "n": y.columns}
        op.words = y.words * 200

    def loss(self, y: Tensor, records: Tensor, gradient: Tensor, gshift: int, label: str | None = None,
             sequences: Tensor | None = None) -> None:
        """Record ``gradient = d loss / d y * 2**-gshift``; `sequences`: what `measure` makes of the same operands.

        Registers weigh its terms, 0 until they are written, before the program runs: ENTROPY_COEF and VALUE_COEF
        (``device.registers.set("VALUE_COEF", round(0.5 * 65536))``; docs/registers.md); a `Correction` writes how it uses ratios.

        A row of `records` holds action, old log-probability (LSB 2**-10), advantage (LSB 2**-11), return (LSB 2**-10), the
        sampler's log-probability (LSB 2**-10), flags (bit 0: last sample of its sequence), weight version, environment.
        """
        self._tensors("loss", y=y, records=records, gradient=gradient, optional={"sequences": sequences})
        label = label or f"{gradient.name} = d loss / d {y.name}"
        self._check_policy(label, y, records)
        if gradient.shape != y.shape:
            raise ProgramError(f"'{label}': tensor {gradient} should be {y.rows} x {y.columns} like {y}")
        if not isinstance(gshift, Integral) or not 0 <= gshift <= 31:
            raise ProgramError(f"'{label}': gshift is {gshift!r} and must be a whole number from 0 to 31")
        if sequences is not None:
            self._check_policy(label, y, sequences)
        op = self._operation(label, "policy", "loss", {0: y, 1: records, 2: gradient, 4: sequences}, results=(2,))
        op.fields |= {"gshift": gshift, "m": y.rows, "n": y.columns, "sequence_words": int(sequences is not None)}
        op.words = y.words * 200

    def scan(self, records: Tensor, environments: int, out: Tensor | None = None, label: str | None = None) -> None:
        """Record advantages and returns of steps, from the last to the first, as the registers say that `Advantages` fills.

        Row ``t * environments + e`` of `records` is step t of environment e: action, old log-probability, reward and value
        (LSB 2**-10), the sampler's log-probability, flags (bit 0: last step of its episode, bit 1: nothing is worth anything
        behind it), weight version, environment. Of the last step only the value counts, and nothing is written for it. The rows
        before become records of `loss` in `out` (unless given `records` itself: in place).

        Parameters
        ----------
        records : Tensor
            Raw records, rows without gaps.
        environments : int
            1 to 63.
        out : Tensor, optional
            As `records`, of as many rows.
        """
        out = out or records
        self._tensors("scan", records=records, out=out)
        label = label or f"{out.name} = scan({records.name})"
        if not isinstance(environments, Integral) or not 1 <= environments <= MAX_OUTPUTS - 1:
            raise ProgramError(f"'{label}': {environments} environments; a scan takes 1 to {MAX_OUTPUTS - 1}, so make several of more")
        if records.rows % environments or records.rows < 2 * environments:
            raise ProgramError(f"'{label}': {records} should have the rows of at least 2 whole steps of {environments} environments, the "
                               "last of which is there for its values")
        for tensor in (records, out):
            self._check_records(label, tensor, records.rows)
            if not tensor.contiguous:
                raise ProgramError(f"'{label}': rows of {tensor} have gaps; a scan takes whole tensors of layout.records")
        op = self._operation(label, "policy", "scan", {1: records, 2: out}, results=(2,), in_place=(1,))
        op.fields |= {"m": records.rows, "n": environments + 1}
        op.words = records.words * 100

    def _check_policy(self, label: str, y: Tensor, records: Tensor) -> None:
        if y.packed:
            raise ProgramError(f"'{label}': {y} is int8; the policy unit takes int16, let the last product write int16")
        if not 2 <= y.columns <= MAX_OUTPUTS:
            raise ProgramError(f"'{label}': {y} has {y.columns} columns; the policy unit takes 2 to {MAX_OUTPUTS} "
                               f"(at most {MAX_OUTPUTS - 1} actions and the value)")
        self._check_records(label, records, y.rows)

    def _check_records(self, label: str, records: Tensor, rows: int) -> None:
        words = record_words(records.lanes)
        if records.exponent is not None or records.row_words != words or records.rows != rows:
            raise ProgramError(f"'{label}': {records} should be {rows} raw records of {words} words; make it with layout.records")

    # update

    def sgd(self, w: Tensor, gradient: Tensor, momentum: Tensor | None = None, stochastic: bool = True, label: str | None = None, *,
            nesterov: bool = False, copy8: Tensor | None = None, clip: bool = False) -> None:
        """Record ``w' = w - learning_rate d`` into the next slot; `optimizers.SGD` sets the rates.

        Parameters
        ----------
        w, gradient : Tensor
            Of one shape; `w` in the weight group.
        momentum : Tensor, optional
            Of the weight group and w's shape: ``m' = momentum m + g`` goes into the next slot too, and ``d = m'``; else ``d = g``.
        stochastic : bool
            Round the results stochastically instead of half to even.
        nesterov : bool
            ``d = momentum m' + g``.
        copy8 : Tensor, optional
            int8 of w's shape, packed along columns, in the weight group or not: w' is also rounded into it, half to even. A
            product takes it as its right operand.
        clip : bool
            Scale the gradient by ``min(1, max_norm / norm)``: the norm of all results recorded before with ``norm=True`` since the
            program's start or the last commit; the optimizer's `max_grad_norm`, 1 if none was applied.
        """
        if nesterov and momentum is None:
            raise ProgramError(f"'{label or 'sgd'}': nesterov needs momentum; pass the tensor that holds it")
        self._tensors("sgd", w=w, gradient=gradient, optional={"momentum": momentum, "copy8": copy8})
        op = "sgd" if momentum is None else "nesterov" if nesterov else "momentum"
        self._step(WeightStep(op, w, gradient, momentum, copy8, clip), stochastic, label)

    def adam(self, w: Tensor, gradient: Tensor, moments: Tensor, stochastic: bool = True, label: str | None = None, *,
             copy8: Tensor | None = None, clip: bool = False) -> None:
        """Record a step of Adam or AdamW into the next slot; `optimizers.Adam` sets the rates before each run.

        Parameters
        ----------
        w, gradient, stochastic, copy8, clip
            As of `sgd`.
        moments : Tensor
            What `WeightGroup.moments` makes: both moments of w.
        """
        self._tensors("adam", w=w, gradient=gradient, moments=moments, optional={"copy8": copy8})
        self._step(WeightStep("adam", w, gradient, moments, copy8, clip), stochastic, label)

    def _step(self, step: WeightStep, stochastic: bool, label: str | None) -> None:
        label = label or step.label
        step.check(label)
        op = self._operation(label, "update", step.op, step.operands, results=(2, 4, 5))
        for operand in step.operands:
            op.fields.pop(f"t{operand}_stride", None)  # rows follow each other
        op.fields |= step.fields() | {"stochastic": int(stochastic)}
        if step.clip:
            op.writes.append(NORM)  # after all that adds to it
        op.words = 10 * step.w.words

    def commit(self, label: str = "commit", *, partial: bool = False) -> None:
        """Record the switch to the weights just written, as one step for everyone who reads them.

        Parameters
        ----------
        partial : bool
            Do not ask that this program has written the whole slot. A commit makes the next slot the current one with all
            that is in it, and that slot holds an old version; a tensor that nobody wrote into it goes back to that. This is
            right where several programs fill one slot and the last of them commits.

        Raises
        ------
        ProgramError
            A tensor of the weight group was not written, wholly, into `next` since the last commit or rollback, and
            `partial` is not set.
        """
        missing = [] if partial or self.frozen else self._unwritten()
        if missing:
            raise ProgramError(f"'{label}' would make an old version of {', '.join(map(str, missing))} current: program "
                               f"'{self.name}' has not written all of the weight group into the next slot; write the .next of "
                               "these tensors too, or pass partial=True if another program has")
        self._operation(label, "update", "commit", {}).writes.extend((POINTER, NORM))

    def rollback(self, label: str = "rollback") -> None:
        """Record the return to the version from which the current one was made; delayed scaling goes on, unlike `Device.rollback`."""
        self._operation(label, "update", "rollback", {}).writes.append(POINTER)

    def restore(self, slot: int, label: str | None = None) -> None:
        """Record the return to the version in a slot of the weight group (`Device.versions`).

        Delayed scaling goes on as if nothing had changed, unlike `Device.restore`: a step behind it clamps values (SATURATIONS) whose
        tensor has become smaller in the last 16 writes.
        """
        if not isinstance(slot, Integral) or not 0 <= slot < 4:
            raise ProgramError(f"slot is {slot!r} and must be a whole number from 0 to 3; Device.versions says which slot holds what")
        op = self._operation(label or f"restore slot {slot}", "update", "restore", {})
        op.fields["k"] = slot
        op.writes.append(POINTER)

    def _unwritten(self) -> list[Tensor]:
        """Return the tensors of the weight group whose next version is not complete at this point of the program."""
        group = self.layout.group
        if group is None:
            return []
        written = np.zeros(group.size, bool)
        for op in self.operations:
            if op.op in ("commit", "rollback"):
                written[:] = False
            for access in op.writes:
                if access.resource == "next":
                    written[access.where] = True
        return [t for t in group.tensors if not written[t.address:t.address + t.words].all()]

    # dma

    def load(self, tensor: Tensor, block: Block, label: str | None = None) -> None:
        """Record a copy from outside memory into the scratchpad."""
        self._tensors("load", tensor=tensor)
        self._transfer(label or f"{tensor.name} <- memory", "load", tensor, block, 2)

    def store(self, tensor: Tensor, block: Block, label: str | None = None) -> None:
        """Record a copy from the scratchpad to outside memory."""
        self._tensors("store", tensor=tensor)
        self._transfer(label or f"memory <- {tensor.name}", "store", tensor, block, 0)

    def _transfer(self, label: str, op_name: str, tensor: Tensor, block: Block, operand: int) -> None:
        if not isinstance(block, Block):
            raise ProgramError(f"'{label}': a block of outside memory is expected, not {type(block).__name__!r}; make it with layout.block")
        if not np.may_share_memory(block.data, self.layout.memory):
            raise ProgramError(f"'{label}': block '{block.name}' lies in the memory of another device; make it with this one's layout")
        rows, elements = tensor.stored[0], tensor.row_words * self.layout.lanes
        if block.data.shape != (rows, elements):
            raise ProgramError(f"'{label}': block '{block.name}' has the shape {block.data.shape}, tensor {tensor} needs "
                               f"({rows}, {elements})")
        op = self._operation(label, "dma", op_name, {operand: tensor}, results=(2,), exponents=False)
        words = tensor.row_words
        if tensor.contiguous and block.contiguous and tensor.words < 1 << 16:  # one long row takes fewer bursts
            rows, words = 1, tensor.words
        op.fields |= {"m": rows, "n": words, "mem_addr": block.address, "mem_stride": block.row_bytes}
        op.words = 20 * tensor.words

    def raw(self, label: str, **fields) -> None:
        """Record a descriptor field by field, semaphores included; nothing is checked or derived. For tests of the chip."""
        self._append(Operation(label, str(fields.get("unit")), "raw", fields))

    # recording

    def _tensors(self, what: str, /, *, optional: dict[str, Tensor | None] | None = None, **tensors: Tensor) -> None:
        """Refuse to record `what` of anything but tensors; `optional` ones may be None."""
        for name, tensor in (tensors | (optional or {})).items():
            if not isinstance(tensor, Tensor) and (tensor is not None or name in tensors):
                raise ProgramError(f"program '{self.name}': {what} was given {name} of type {type(tensor).__name__}, not a tensor; "
                                   "make it with layout.tensor (values go into it with Device.load)")

    def _operation(self, label: str, unit: str, op_name: str, operands: dict[int, Tensor | None], results: tuple[int, ...] = (),
                   exponents: bool = True, in_place: tuple[int, ...] = ()) -> Operation:
        operands = {number: tensor for number, tensor in operands.items() if tensor is not None}
        op = Operation(label, unit, op_name, {"unit": unit, "op": op_name}, operands, tuple(n for n in results if n in operands))
        for number, tensor in operands.items():
            self._check_place(label, tensor, number in results and op_name != "load")
            op.fields |= {f"t{number}_addr": tensor.address, f"t{number}_stride": tensor.stride, f"t{number}_space": tensor.space}
            if exponents and tensor.exponent is not None:
                op.fields[f"t{number}_exp"] = tensor.exponent
            (op.writes if number in results else op.reads).extend(
                access for access in accesses(tensor, self.layout) if exponents or not access.resource.endswith("exponent"))
            if tensor.space != "absolute":
                op.reads.append(POINTER)
        self._check_overlap(op, in_place)
        parts = self._check_parts(op, exponents)
        self._append(op)
        self._parts |= parts
        return op

    def _check_overlap(self, op: Operation, in_place: tuple[int, ...]) -> None:
        """Refuse a result on an operand, but for one of `in_place` that lies exactly where the result does."""
        where = {number: places(tensor, self.layout) for number, tensor in op.operands.items()}
        for result in op.results:
            for number, tensor in op.operands.items():
                if number in in_place and tensor.same_place(op.operands[result]):
                    continue
                if number != result and overlap(where[result], where[number]):
                    raise ProgramError(f"'{op.label}': the result {op.operands[result]} overlaps the operand {tensor}, which the "
                                       "chip reads while it writes; put the result into a tensor of its own")

    def _check_parts(self, op: Operation, rescales: bool) -> dict[tuple[str, int], list[tuple[Tensor, bool]]]:
        """Refuse to touch anything of a tensor but the part that is written, if the write may change their common exponent.

        Returns what of `_parts` the operation changes.
        """
        changed: dict[tuple[str, int], list[tuple[Tensor, bool]]] = {}
        for number, tensor in op.operands.items():
            if tensor.exponent is None or tensor.static:
                continue
            written = rescales and number in op.results and tensor.whole is not None
            key = (tensor.space, tensor.exponent)
            shared = changed.setdefault(key, list(self._parts.get(key, [])))
            if not any(other.same_place(tensor) and before >= written for other, before in shared):
                shared.append((tensor, written))
            parts = [other for other, as_part in shared if as_part]
            for part in parts:
                words = np.concatenate([access.indices for access in places(part, self.layout)])
                beyond = [other for other, _ in shared
                          if not all(np.isin(access.indices, words).all() for access in places(other, self.layout))]
                if beyond:
                    raise ProgramError(f"'{op.label}': tensor {part} is written as a part of {part.whole}, whose exponent follows what is "
                                       f"written; that would change what the numbers of {beyond[0]} mean. Make '{part.whole.name}' with "
                                       "static=True and a fitting exponent, or its parts as tensors of their own")
        return changed

    def _append(self, op: Operation) -> None:
        if self.frozen:
            raise ProgramError(f"'{op.label}' comes too late: program '{self.name}' is already on the chip; record a new one")
        if self.request:
            check_operation(op)
        self.operations.append(op)
        self._compiled = self._pieces = None

    def _check_place(self, label: str, tensor: Tensor, written: bool) -> None:
        layout, group = self.layout, self.layout.group
        if tensor.layout is not None and tensor.layout is not layout:
            raise ProgramError(f"'{label}': tensor {tensor} belongs to the layout of another device; make it with the layout of "
                               f"program '{self.name}'")
        if tensor.lanes != layout.lanes:
            raise ProgramError(f"'{label}': tensor {tensor} was made for {tensor.lanes} lanes, the chip has {layout.lanes}")
        if tensor.space == "absolute":
            limit, of = layout.scratchpad_words, "the scratchpad"
        elif group is None or not group.placed:
            raise ProgramError(f"'{label}': tensor {tensor} lies in a weight group that is not placed; call WeightGroup.place")
        else:
            limit, of = group.size, "a slot of the weight group"
        if tensor.address + tensor.words > limit:
            raise ProgramError(f"'{label}': tensor {tensor} ends at word {tensor.address + tensor.words}, {of} has {limit}")
        if tensor.stride < tensor.row_words and tensor.stored[0] > 1:
            raise ProgramError(f"'{label}': tensor {tensor} has a stride of {tensor.stride} words, a row takes {tensor.row_words}")
        if written and tensor.space == "current":
            raise ProgramError(f"'{label}': tensor {tensor} belongs to the current weights, which no program may write; "
                               "write tensor.next and commit")

    # compilation

    @property
    def macs(self) -> int:
        """Multiply-accumulates of the program: the work an ideal array would do."""
        return sum(op.macs for op in self.operations)

    @property
    def cycle_limit(self) -> int:
        """Cycles after which something is certainly wrong."""
        return 100_000 + sum(1_000 + 4 * op.words for op in self.operations)

    def descriptors(self) -> np.ndarray:
        """Return the program as uint32 (descriptors, 16), semaphores placed; a request has none.

        Raises
        ------
        ProgramError
            It is empty, longer than program memory (see `pieces`), needs more semaphores than there are, or clips a step by a norm
            of which no gradient in it is a part.
        """
        if self._compiled is None:
            if not self.operations:
                raise ProgramError(f"program '{self.name}' is empty")
            if len(self.operations) > PROGRAM_DESCRIPTORS:
                raise ProgramError(f"program '{self.name}' has {len(self.operations)} descriptors, program memory holds "
                                   f"{PROGRAM_DESCRIPTORS}; split it")
            self._check_norms()
            if not self.request:
                place_semaphores(self.name, self.operations, self.layout)
                place_overlap(self.operations, self.layout)
            self._compiled = encode_operations(self.name, self.operations)
        return self._compiled

    def pieces(self, length: int) -> list[tuple["Program", int]]:
        """Cut it into programs of at most `length` descriptors each, to be run one after the other; also where each begins.

        Every one begins with a gradient norm of 0, so what adds to the norm stays together with the steps that are clipped by it.

        Raises
        ------
        ProgramError
            That is impossible with so few descriptors.
        """
        if self._pieces is None or self._pieces[0] != length:
            parts, start, together = [], 0, self._needed_norms()
            while start < len(self.operations):
                end = min(start + length, len(self.operations))
                while end > start and any(first < end <= last for first, last in together):
                    end -= 1
                if end == start:
                    first, last = next((first, last) for first, last in together if first <= start + length <= last)
                    step, gradient = (self.operations[index].label for index in (last, first))
                    raise ProgramError(f"program '{self.name}' has {len(self.operations)} operations and runs in pieces of at most "
                                       f"{length}, but '{step}' is clipped by a norm of which '{gradient}', {last - first} before, is a "
                                       "part; record gradients and steps as a program of their own")
                part = Program(f"{self.name}, from descriptor {start}", self.layout)
                part.operations = self.operations[start:end]
                parts.append((part, start))
                start = end
            self._pieces = (length, parts)
        return self._pieces[1]

    def splits_norm(self, length: int) -> bool:
        """Whether what adds to the last gradient norm lies in several of the `pieces`."""
        last = [any(op.fields.get("norm") for op in piece.operations[piece.last_commit:]) for piece, _ in self.pieces(length)]
        commits = [number for number, (piece, _) in enumerate(self.pieces(length)) if piece.last_commit]
        return sum(last[commits[-1] if commits else 0:]) > 1

    @property
    def last_commit(self) -> int:
        """Number of operations up to the last commit."""
        return max((index + 1 for index, op in enumerate(self.operations) if op.op == "commit"), default=0)

    def _check_norms(self) -> None:
        """Refuse a step that is clipped by a norm which is 0, since every program and every commit begins a new one."""
        norm = False
        for op in self.operations:
            norm = op.op != "commit" and (norm or bool(op.fields.get("norm")))
            if op.fields.get("clip") and op.op != "raw" and not norm:
                raise ProgramError(f"program '{self.name}': '{op.label}' is to be clipped, but no gradient before it in this program is "
                                   "part of the norm; record its gradients here with norm=True, or the step without clip")

    def _needed_norms(self) -> list[tuple[int, int]]:
        """Return, for each gradient norm by which steps are clipped, the first operation that adds to it and the last such step."""
        needed, first = [], None
        for index, op in enumerate(self.operations):
            if op.op == "commit":
                first = None
            elif op.fields.get("norm"):
                first = index if first is None else first
            elif op.fields.get("clip") and first is not None:
                if needed and needed[-1][0] == first:
                    needed.pop()
                needed.append((first, index))
        return needed

    def explain(self, index: int, code: str) -> tuple[str, str]:
        """Return (label, what to say) for an error `code` that the chip reported at descriptor `index`."""
        return explain(self.operations, self.layout, index, code)

    def listing(self) -> str:
        """Return the program as a table: index, unit, waits, posts, label."""
        self.descriptors()
        return (f"program '{self.name}': {len(self.operations)} descriptors, {self.macs} multiply-accumulates\n"
                f"{table(self.operations)}")
