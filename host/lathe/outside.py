# SPDX-License-Identifier: Apache-2.0
"""Products of matrices in outside memory: cut into blocks that fit the scratchpad, transfers beside the multiplication.

While the array works on one block of the result, dma brings what the next one needs and takes the one before away. So the
array rests only while the first blocks come and the last one leaves, if the transfers of a block take no longer than it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from numbers import Integral

from .allocator import MAX_DIMENSION, Layout
from .errors import CapacityError, ProgramError
from .matrix import Matrix
from .products import MAX_INNER, TANH_EXPONENT, Product
from .tensor import Tensor, stored_shape

#: The cost model: cycles to start a transfer, the shortest time of a row of it, cycles lost between two programs.
TRANSFER_START, ROW_LEAST, PROGRAM_GAP = 30, 4, 1000
#: Share of a product's cycles lost because both operands want the same scratchpad bank, unless their rows are equally far
#: apart: then they soon take the banks in turns. Measured: 4.5 % and 0.4 %.
BANK_CONFLICTS = 0.045
PROGRAM_LENGTH = 254
#: Exponent of partial sums whose final result is a tanh: they range over +-8, beyond which tanh is 1.
TANH_PARTIAL_EXPONENT = -12


@dataclass(frozen=True)
class Shape:
    """What of a product decides how it is cut.

    Attributes
    ----------
    m, n, k : int
    trans_a, trans_b : bool
    packed_a, packed_b, packed_c : str or None
        As of the matrices.
    addend : bool
        Whether another m x n matrix comes from outside, to be added or as the input of a derivative.
    lanes : int
    """

    m: int
    n: int
    k: int
    trans_a: bool
    trans_b: bool
    packed_a: str | None
    packed_b: str | None
    packed_c: str | None
    addend: bool
    lanes: int

    @property
    def units(self) -> tuple[int, int, int]:
        """What m, n and k of a block are multiples of, unless they are whole."""
        return self.lanes, self.lanes * (2 if self.packed_c else 1), self.lanes * (2 if self.packed_a else 1)


@dataclass(frozen=True)
class Plan:
    """How a product is cut: result blocks of m x n, the inner dimension in slices of k.

    Attributes
    ----------
    rows_first : bool
        Blocks go along a row of the result, so that a block of a stays while those of b pass; else the other way around.
    """

    shape: Shape
    m: int
    n: int
    k: int
    rows_first: bool

    @property
    def counts(self) -> tuple[int, int, int]:
        s = self.shape
        return -(-s.m // self.m), -(-s.n // self.n), -(-s.k // self.k)

    def _extent(self, operand: str) -> tuple[int, int]:
        """Stored rows and words of a row of a block."""
        s = self.shape
        rows, columns, packed = {
            "a": ((self.k, self.m) if s.trans_a else (self.m, self.k)) + (s.packed_a,),
            "b": ((self.n, self.k) if s.trans_b else (self.k, self.n)) + (s.packed_b,),
            "c": (self.m, self.n, s.packed_c), "z": (self.m, self.n, None)}[operand]
        rows, columns = stored_shape(rows, columns, packed)
        return rows, -(-columns // s.lanes)

    def buffers(self, operand: str) -> int:
        """Blocks of an operand that are on the chip at a time: two, or one if there is no second."""
        blocks_m, blocks_n, slices = self.counts
        blocks = {"a": blocks_m * slices, "b": blocks_n * slices}.get(operand, blocks_m * blocks_n * slices)
        return min(2, blocks)

    @property
    def operands(self) -> str:
        return "abcz" if self.shape.addend else "abc"

    @property
    def words(self) -> int:
        """Scratchpad words that all buffers take."""
        return sum(self.buffers(o) * rows * words for o in self.operands for rows, words in [self._extent(o)])

    def _transfer(self, operand: str) -> int:
        rows, words = self._extent(operand)
        return TRANSFER_START + rows * max(words, ROW_LEAST)

    @property
    def cycles(self) -> int:
        """Predicted cycles: a step takes as long as its product or the transfers beside it, whichever is more."""
        s = self.shape
        blocks_m, blocks_n, slices = self.counts
        lanes = s.lanes
        steps_of_tile = -(-self.k // (2 * lanes if s.packed_a else lanes)) * lanes
        product = -(-self.m // lanes) * -(-self.n // lanes) * max(steps_of_tile, lanes)
        if self._extent("a")[1] != self._extent("b")[1]:
            product *= 1 + BANK_CONFLICTS
        loads = {o: self._transfer(o) for o in self.operands if o != "c"}
        store = self._transfer("c")
        outer, inner = (("a", "b") if self.rows_first else ("b", "a"))
        outers, inners = (blocks_m, blocks_n) if self.rows_first else (blocks_n, blocks_m)
        beside = store + loads.get("z", 0)
        if slices > 1:
            steps, changes = outers * inners * slices, 0
            usual = loads["a"] + loads["b"] + beside
        else:
            steps, changes = outers * inners, outers - 1
            usual = beside + (loads[inner] if inners > 2 else 0)
        first = sum(loads.values())
        change = loads[outer] + beside
        return round(first + (steps - changes) * max(product, usual) + changes * max(product, change) + store
                     + (self.programs - 1) * PROGRAM_GAP)

    @property
    def descriptors(self) -> int:
        """Descriptors of the whole product, about."""
        blocks_m, blocks_n, slices = self.counts
        outers, inners = (blocks_m, blocks_n) if self.rows_first else (blocks_n, blocks_m)
        steps = outers * inners * slices
        loads = 2 * steps if slices > 1 else outers + (inners if inners <= 2 else outers * (inners - 1) + 1)
        return steps + loads + outers * inners * (2 if self.shape.addend else 1)

    @property
    def programs(self) -> int:
        """Pieces in which it runs."""
        return -(-self.descriptors // PROGRAM_LENGTH)

    def steps(self) -> Iterator[tuple[int, int, int]]:
        """Yield (row block, column block, slice), back and forth, so that the block at a turn stays."""
        blocks_m, blocks_n, slices = self.counts
        outers, inners = (blocks_m, blocks_n) if self.rows_first else (blocks_n, blocks_m)
        for outer in range(outers):
            for inner in range(inners) if outer % 2 == 0 else reversed(range(inners)):
                for part in range(slices):
                    yield (outer, inner, part) if self.rows_first else (inner, outer, part)


def plan(shape: Shape, words: int, inner: int | None = None) -> Plan | None:
    """Choose how to cut a product: of the plans within half a percent of the shortest predicted time the one with the fewest slices
    of the inner dimension, each of which rounds, and of those the one with the fewest words.

    Parameters
    ----------
    shape : Shape
    words : int
        Scratchpad words that may be used.
    inner : int, optional
        Largest slice of the inner dimension. Unless given it is whole, which costs no rounding, if that fits at all.

    Returns
    -------
    Plan, or None if nothing fits.
    """
    unit_m, unit_n, unit_k = shape.units
    largest = MAX_INNER if inner is None else min(inner, MAX_INNER)
    wholes = [shape.k] if shape.k <= largest else []
    slices = [size for size in _sizes(shape.k, unit_k) if size < shape.k and size <= largest]
    for inners in (wholes, slices):
        plans = [plan for m in _sizes(shape.m, unit_m) for n in _sizes(shape.n, unit_n) for k in inners for first in (True, False)
                 if (plan := Plan(shape, m, n, k, first)).words <= words]
        if plans:
            costs = [plan.cycles for plan in plans]
            best = min(costs)
            return min((plan for plan, cost in zip(plans, costs, strict=True) if cost <= 1.005 * best),
                       key=lambda plan: (plan.counts[2], plan.programs, plan.words, plan.cycles))
    return None


def _sizes(total: int, unit: int) -> list[int]:
    """Return the sizes of blocks that divide `total` about evenly, in whole units."""
    units = -(-total // unit)
    sizes = {min(total, -(-units // count) * unit) for count in range(1, units + 1)}
    return sorted(size for size in sizes if size <= MAX_DIMENSION)


class _Buffers:
    """Places of one shape on the chip that blocks of a matrix take in turn, the one used longest ago first."""

    def __init__(self, tensors: list[Tensor]):
        self._places: list[tuple[object, Tensor]] = [(None, tensor) for tensor in tensors]

    def take(self, key: object) -> tuple[Tensor, bool]:
        """Return the place of the block `key` and whether it is there already."""
        held = next((place for place in self._places if place[0] == key), None)
        chosen = held or self._places[0]
        self._places.remove(chosen)
        self._places.append((key, chosen[1]))
        return chosen[1], held is not None


def record(program, a: Matrix, b: Matrix, c: Matrix, *, trans_a: bool, trans_b: bool, bias: Tensor | None, activation: str,
           derivative: str, y: Matrix | None, accumulate: Matrix | None, stochastic: bool, words: int | None,
           inner: int | None) -> Plan:
    """Record the transfers and products of `Program.matmul_outside`."""
    layout: Layout = program.layout
    m, k = a.shape[::-1] if trans_a else a.shape
    n = b.shape[0] if trans_b else b.shape[1]
    label = f"{c.name} = {a.name}{'^T' if trans_a else ''} {b.name}{'^T' if trans_b else ''}"
    addend = y or accumulate
    _check(label, (m, n, k), a, b, c, trans_b, bias, y, accumulate)
    Product(a.form, b.form, c.form, trans_a, trans_b, bias, activation, derivative, y and y.form,
            accumulate and accumulate.form).check(label, whole=False)
    shape = Shape(m, n, k, trans_a, trans_b, a.packed, b.packed, c.packed, addend is not None, layout.lanes)
    for what, value in (("words", words), ("inner", inner)):
        if value is not None and not (isinstance(value, Integral) and value >= 1):
            raise ProgramError(f"'{label}': {what} is {value!r} and must be a whole number from 1")
    if inner is not None and inner < min(k, shape.units[2]):
        raise ProgramError(f"'{label}': inner is {inner} and must be at least {shape.units[2]}, the elements of a word of these operands")
    room = layout.workspace_free(program.request)
    chosen = plan(shape, room if words is None else min(room, words), inner)
    if chosen is None:
        least = min(Plan(shape, min(m, shape.units[0]), min(n, shape.units[1]), min(k, shape.units[2]), True).words, 1 << 16)
        raise CapacityError(f"'{label}': no block of the product fits into {room if words is None else min(room, words)} free scratchpad "
                            f"words; the smallest takes {least}. Free some, or use a chip with more banks (--banks, up to 64)")
    sliced = chosen.counts[2] > 1
    if sliced and c.packed:
        raise ProgramError(f"'{label}': the inner dimension {k} is cut into {chosen.counts[2]} slices, whose sums int8 does not hold; make "
                           f"{c} int16, give more scratchpad words (words, inner), or use a chip with more banks (--banks, up to 64)")
    if sliced and derivative != "none":
        raise ProgramError(f"'{label}': the inner dimension {k} does not fit (or exceeds `inner`) and is cut into {chosen.counts[2]} "
                           "slices, whose sums take no derivative; free scratchpad words, or use more banks (--banks, up to 64)")
    _Recorder(program, chosen, (a, b, c, addend), bias, activation, derivative, stochastic).run()
    return chosen


def _check(label: str, sizes: tuple[int, int, int], a: Matrix, b: Matrix, c: Matrix, trans_b: bool, bias: Tensor | None,
           y: Matrix | None, accumulate: Matrix | None) -> None:
    m, n, k = sizes
    for what, matrix in (("a", a), ("b", b), ("c", c), ("y", y), ("accumulate", accumulate)):
        if matrix is not None and not isinstance(matrix, Matrix):
            raise ProgramError(f"'{label}': {what} is a {type(matrix).__name__}, not a matrix in outside memory; make it with "
                               "layout.matrix, or use Program.matmul for tensors on the chip")
    k_b = b.shape[1] if trans_b else b.shape[0]
    if k != k_b:
        raise ProgramError(f"'{label}': the inner dimensions differ: {a} gives {k}, {b} gives {k_b}")
    if y is not None and accumulate is not None:
        raise ProgramError(f"'{label}': derivative and accumulate exclude each other; record two products")
    for matrix in (c, y, accumulate):
        if matrix is not None and matrix.shape != (m, n):
            raise ProgramError(f"'{label}': matrix {matrix} should be {m} x {n}")
    for matrix in (y, accumulate):
        if matrix is not None and matrix.packed:
            raise ProgramError(f"'{label}': matrix {matrix} is int8; only the two factors and the result may be, make it int16")
    if bias is not None and not isinstance(bias, Tensor):
        raise ProgramError(f"'{label}': bias is a {type(bias).__name__}, not a tensor on the chip; make it with layout.tensor")
    if bias is not None and bias.shape != (1, n):
        raise ProgramError(f"'{label}': tensor {bias} should be 1 x {n}")
    if any(matrix is c for matrix in (a, b, y)):
        raise ProgramError(f"'{label}': the result {c} is also an operand, of which blocks are read after others were written; "
                           "put the result into a matrix of its own")


class _Recorder:
    """Records the steps of a plan."""

    def __init__(self, program, chosen: Plan, matrices: tuple[Matrix, Matrix, Matrix, Matrix | None], bias: Tensor | None,
                 activation: str, derivative: str, stochastic: bool):
        self.program, self.plan, self.shape, self.bias = program, chosen, chosen.shape, bias
        self.activation, self.derivative, self.stochastic = activation, derivative, stochastic
        self.matrices = dict(zip("abcz", matrices, strict=True))
        layout, address = program.layout, program.layout.workspace(chosen.words, program.request)
        self.buffers: dict[str, _Buffers] = {}
        for operand in chosen.operands:
            form = self.matrices[operand].form
            rows, columns = self._range(operand, (0, 0, 0))
            block = form.view(rows, columns)
            tensors = []
            for index in range(chosen.buffers(operand)):
                copy = index + 1 + 2 * program.request if operand == "c" else 0
                tensors.append(replace(block, address=address, stride=block.row_words, layout=layout,
                                       exponent=layout.static_exponent(form.initial, copy)))
                address += tensors[-1].words
            self.buffers[operand] = _Buffers(tensors)

    def _range(self, operand: str, step: tuple[int, int, int]) -> tuple[slice, slice]:
        """Rows and columns of an operand that a step needs."""
        s, p = self.shape, self.plan
        m, n, k = (slice(i * size, min((i + 1) * size, whole))
                   for i, size, whole in zip(step, (p.m, p.n, p.k), (s.m, s.n, s.k), strict=True))
        return {"a": (k, m) if s.trans_a else (m, k), "b": (n, k) if s.trans_b else (k, n)}.get(operand, (m, n))

    def _take(self, operand: str, step: tuple[int, int, int]) -> tuple[Tensor, Callable[[], None] | None]:
        """Return the tensor on the chip for a step's block, and what loads it if it is not there."""
        rows, columns = self._range(operand, step)
        key = (rows.start, columns.start) if operand in "abz" else step
        buffer, held = self.buffers[operand].take(key)
        matrix = self.matrices[operand]
        name, block = matrix.part(rows, columns)
        tensor = buffer.view(slice(0, rows.stop - rows.start), slice(0, columns.stop - columns.start), name)
        return tensor, None if held or operand == "c" else lambda: self.program.load(tensor, block)

    def _prepare(self, step: tuple[int, int, int]) -> dict[str, Tensor]:
        """Record the loads that a step needs; return its tensors."""
        tensors = {}
        for operand in self.plan.operands:
            if operand == "z" and step[2]:  # only the first slice takes it
                continue
            tensors[operand], load = self._take(operand, step)
            if load:
                load()
        return tensors

    def run(self) -> None:
        steps = list(self.plan.steps())
        tensors, before, store = self._prepare(steps[0]), None, None
        for number, step in enumerate(steps):
            following = self._prepare(steps[number + 1]) if number + 1 < len(steps) else None
            self._multiply(step, tensors, before)
            if store:
                store()
            store = self._store(step, tensors["c"]) if step[2] == self.plan.counts[2] - 1 else None
            before, tensors = tensors["c"], following
        store()

    def _store(self, step: tuple[int, int, int], tensor: Tensor) -> Callable[[], None]:
        _, block = self.matrices["c"].part(*self._range("c", step))
        return lambda: self.program.store(tensor, block)

    def _multiply(self, step: tuple[int, int, int], tensors: dict[str, Tensor], before: Tensor | None) -> None:
        first, last = step[2] == 0, step[2] == self.plan.counts[2] - 1
        bias = self.bias.view(columns=self._range("c", step)[1]) if self.bias is not None and first else None
        z = tensors.get("z")
        self.program.matmul(
            tensors["a"], tensors["b"], tensors["c"] if last else self._as_partial(tensors["c"]), trans_a=self.shape.trans_a,
            trans_b=self.shape.trans_b, bias=bias, activation=self.activation if last else "none", derivative=self.derivative,
            y=z if self.derivative != "none" else None, stochastic=self.stochastic,
            accumulate=self._as_partial(before) if not first else z if self.derivative == "none" else None)

    def _as_partial(self, tensor: Tensor) -> Tensor:
        """Return the tensor as a sum that is not complete, which has an exponent of its own if the result is a tanh."""
        if self.activation != "tanh":
            return tensor
        copy = 3 + int(tensor.exponent == self.program.layout.static_exponent(TANH_EXPONENT, 2))
        return replace(tensor, initial=TANH_PARTIAL_EXPONENT,
                       exponent=self.program.layout.static_exponent(TANH_PARTIAL_EXPONENT, copy))
