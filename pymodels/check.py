# SPDX-License-Identifier: Apache-2.0
"""Check of a descriptor before it is dispatched (docs/architecture.md, "Life of a descriptor" and table of operands)."""

from typing import NamedTuple

import numpy as np

from pymodels.descriptor import OPS, Act, DmaOp, Error, GemmOp, PolicyOp, Space, Unit, UpdateOp, decode, record_words, reserved_bits
from pymodels.exponents import LOGICAL
from pymodels.gemm import MAX_K


class Operand(NamedTuple):
    """Extent of an operand: `rows` rows of `words` words, of which the first `cols` elements count.

    Of a raw operand (records, update, dma) all elements of the words count.
    """

    rows: int
    cols: int
    words: int
    result: bool


class Grants(NamedTuple):
    """Where results may lie.

    Attributes
    ----------
    windows : tuple of (int, int), or None
        First and last word of each window that results by absolute addresses may lie in; None: anywhere.
    install : bool
        Whether `dma load` may write the current slot, if there are windows.
    group : (int, int)
        First word of the weight group and the one behind its last slot, which no absolute result may touch.
    """

    windows: tuple[tuple[int, int], ...] | None = None
    install: bool = True
    group: tuple[int, int] = (0, 0)

    def allows(self, first: int, last: int) -> bool:
        """Whether a result may take the words `first` to `last` of the scratchpad."""
        if self.group[0] < self.group[1] and first < self.group[1] and last >= self.group[0]:
            return False
        return self.windows is None or any(low <= first and last <= high for low, high in self.windows)


#: Results may lie anywhere.
UNPROTECTED = Grants()
#: Operands of a descriptor.
OPERANDS = 6
#: Operations of update that change weights.
STEPS = (UpdateOp.SGD, UpdateOp.MOMENTUM, UpdateOp.NESTEROV, UpdateOp.ADAM)
#: Those that name a slot.
_SLOT_OPS = (UpdateOp.RESTORE, UpdateOp.UNPIN)
_SLOTS = 4
#: Most words that a step takes.
_MAX_STEP_WORDS = 65535
#: Fields that only some operations use; all others must leave them zero.
_GEMM = {"trans_a", "trans_b", "bias", "act", "dact", "stochastic", "int8", "int8_result", "accumulate", "colsum", "chain", "overlap",
         "norm"}
_STEP = {"stochastic", "clip", "int8_result"}
_OPTIONS = _GEMM | _STEP | {"greedy", "gshift", "sequence_words", "mem_addr", "mem_stride"}
#: (unit, op): (options used, dimensions used).
_USES: dict[tuple[int, int], tuple[set[str], set[str]]] = {
    (Unit.GEMM, GemmOp.MATMUL): (_GEMM, {"m", "n", "k"}),
    (Unit.POLICY, PolicyOp.SAMPLE): ({"greedy"}, {"m", "n"}),
    (Unit.POLICY, PolicyOp.LOSS): ({"stochastic", "gshift", "sequence_words"}, {"m", "n"}),
    (Unit.POLICY, PolicyOp.EVALUATE): (set(), {"m", "n"}),
    (Unit.POLICY, PolicyOp.MEASURE): (set(), {"m", "n"}),
    (Unit.POLICY, PolicyOp.SCAN): (set(), {"m", "n"}),
    **{(Unit.UPDATE, op): (_STEP, {"m", "n"}) for op in STEPS},
    **{(Unit.UPDATE, op): (set(), set()) for op in (UpdateOp.COMMIT, UpdateOp.ROLLBACK, UpdateOp.PIN)},
    **{(Unit.UPDATE, op): (set(), {"k"}) for op in _SLOT_OPS},
    (Unit.DMA, DmaOp.LOAD): ({"mem_addr", "mem_stride"}, {"m", "n"}),
    (Unit.DMA, DmaOp.STORE): ({"mem_addr", "mem_stride"}, {"m", "n"}),
}


#: Operations of policy that a request may not have.
_NOT_REQUESTED = {PolicyOp.MEASURE, PolicyOp.SCAN}
#: Fields that a request leaves zero.
_PROGRAM_ONLY = ("wait_mask", "post_mask", "chain", "overlap", "norm")


def operands(d: dict[str, int], lanes: int) -> dict[int, Operand]:
    """Operands that a decoded descriptor with valid unit and operation uses, by number."""
    m, n, k = d["m"], d["n"], d["k"]

    def matrix(rows: int, cols: int, result: bool = False) -> Operand:
        return Operand(rows, cols, -(-cols // lanes), result)

    def words(rows: int, count: int, result: bool = False) -> Operand:
        return Operand(rows, count * lanes, count, result)

    kind = d["unit"], d["op"]
    if kind == (Unit.GEMM, GemmOp.MATMUL):
        k = -(-k // 2) if d["int8"] else k
        used = {
            0: matrix(k, m) if d["trans_a"] else matrix(m, k),
            1: matrix(n, k) if d["trans_b"] else matrix(k, n),
            2: matrix(m, -(-n // 2) if d["int8_result"] else n, result=True),
        }
        if d["bias"]:
            used[3] = matrix(1, n)
        if d["dact"] or d["accumulate"]:
            used[4] = matrix(m, n)
        elif d["colsum"]:
            used[4] = matrix(1, n, result=True)
        return used
    if kind == (Unit.POLICY, PolicyOp.SAMPLE):
        return {0: matrix(m, n), 2: words(m, 1, result=True)}
    if kind == (Unit.POLICY, PolicyOp.LOSS):
        used = {0: matrix(m, n), 1: words(m, record_words(lanes)), 2: matrix(m, n, result=True)}
        if d["sequence_words"]:
            used[4] = words(m, 1)
        return used
    if kind == (Unit.POLICY, PolicyOp.EVALUATE):
        return {0: matrix(m, n), 1: words(m, record_words(lanes)), 2: words(m, record_words(lanes), result=True)}
    if kind == (Unit.POLICY, PolicyOp.MEASURE):
        return {0: matrix(m, n), 1: words(m, record_words(lanes)), 2: words(m, 1, result=True)}
    if kind == (Unit.POLICY, PolicyOp.SCAN):
        return {1: words(m, record_words(lanes)), 2: words(m, record_words(lanes), result=True)}
    if d["unit"] == Unit.UPDATE and d["op"] in STEPS:
        used = {i: words(1, m * n, result=i == 2) for i in range(3)}
        if d["op"] != UpdateOp.SGD:
            moments = 2 * m * n if d["op"] == UpdateOp.ADAM else m * n
            used |= {3: words(1, moments), 4: words(1, moments, result=True)}
        if d["int8_result"]:
            used[5] = words(1, -(-m // 2) * n, result=True)
        return used
    if kind == (Unit.DMA, DmaOp.LOAD):
        return {2: words(m, n, result=True)}
    if kind == (Unit.DMA, DmaOp.STORE):
        return {0: words(m, n)}
    return {}


def _bad_field(d: dict[str, int], used: dict[int, Operand], request: bool) -> bool:
    if request and any(d[name] for name in _PROGRAM_ONLY):
        return True
    options, dims = _USES[d["unit"], d["op"]]
    if any(d[name] for name in _OPTIONS if name not in options):
        return True
    if any(d[name] for name in ("m", "n", "k") if name not in dims):
        return True
    codes = set(Act)
    if d["act"] not in codes or d["dact"] not in codes or (d["act"] and d["dact"]):
        return True
    fourth = bool(d["dact"]) + d["accumulate"] + d["colsum"]  # uses of operand 4
    if fourth > 1 or (d["bias"] and d["accumulate"]) or (d["int8_result"] and (fourth or d["norm"])):
        return True
    if d["unit"] == Unit.UPDATE and d["op"] in _SLOT_OPS and d["k"] >= _SLOTS:
        return True
    if (d["int8"] and (d["dact"] or d["colsum"])) or (d["chain"] and (d["trans_a"] or not d["overlap"])):
        return True
    installs = (d["unit"], d["op"]) == (Unit.DMA, DmaOp.LOAD) and not request
    for i in range(OPERANDS):
        space, exp = d[f"t{i}_space"], d[f"t{i}_exp"]
        if i not in used:
            if space or exp or d[f"t{i}_addr"] or d[f"t{i}_stride"]:
                return True
        elif space not in set(Space) or (space != Space.ABSOLUTE and exp >= LOGICAL):
            return True
        elif used[i].result and space == Space.CURRENT and not installs:
            return True
        elif request and space == Space.NEXT:
            return True
    return False


def _bad_shape(d: dict[str, int], used: dict[int, Operand]) -> bool:
    dims = _USES[d["unit"], d["op"]][1]
    if any(d[name] == 0 for name in dims if d["unit"] != Unit.UPDATE or name != "k"):
        return True
    if d["unit"] == Unit.GEMM and d["k"] > MAX_K:
        return True
    if d["unit"] == Unit.POLICY and not 2 <= d["n"] <= 64:
        return True
    if d["unit"] == Unit.UPDATE and ((d["m"] > 1 and not d["int8_result"]) or d["m"] * d["n"] > _MAX_STEP_WORDS):
        return True
    dense = (d["unit"], d["op"]) == (Unit.POLICY, PolicyOp.SCAN)
    return any(t.rows > 1 and (d[f"t{i}_stride"] < t.words or (dense and d[f"t{i}_stride"] > t.words)) for i, t in used.items())


def _protected(d: dict[str, int], used: dict[int, Operand], grants: Grants) -> bool:
    for i, t in used.items():
        if t.result and d[f"t{i}_space"] == Space.ABSOLUTE and not grants.allows(d[f"t{i}_addr"], _end(d, i, t) - 1):
            return True
        if t.result and d[f"t{i}_space"] == Space.CURRENT and grants.windows is not None and not grants.install:
            return True
    return False


def _end(d: dict[str, int], index: int, t: Operand) -> int:
    """Word behind the last one of an operand, in its address space."""
    return d[f"t{index}_addr"] + (t.rows - 1) * d[f"t{index}_stride"] + t.words


def absolute_results(d: dict[str, int], lanes: int) -> list[tuple[int, int]]:
    """First and last word of each result that a decoded descriptor writes by an absolute address; none if it has no such operation."""
    if (d["unit"], d["op"]) not in _USES:
        return []
    return [(d[f"t{i}_addr"], _end(d, i, t) - 1) for i, t in operands(d, lanes).items()
            if t.result and d[f"t{i}_space"] == Space.ABSOLUTE]


def check(words: np.ndarray, *, lanes: int, scratchpad_words: int, slot_words: int, request: bool = False,
          grants: Grants = UNPROTECTED) -> Error:
    """Return the first of the errors that a descriptor has, Error.NONE if it may be dispatched.

    Parameters
    ----------
    words : numpy.ndarray
        The descriptor, 16 words.
    lanes : int
        Elements of a scratchpad word.
    scratchpad_words : int
        Words of the scratchpad, the limit of absolute addresses.
    slot_words : int
        Words of a weight slot, the limit of addresses relative to one.
    request : bool
        Check it as a descriptor of a request, of which more is refused.
    grants : Grants
        Where its results may lie.

    Notes
    -----
    Order: bad_unit, bad_op, bad_field, bad_shape, out_of_scratchpad, misaligned, protected.
    """
    d = decode(words)
    if d["unit"] not in OPS or (request and d["unit"] == Unit.UPDATE):
        return Error.BAD_UNIT
    if (d["unit"], d["op"]) not in _USES or (request and d["unit"] == Unit.POLICY and d["op"] in _NOT_REQUESTED):
        return Error.BAD_OP
    used = operands(d, lanes)
    if reserved_bits(words) or _bad_field(d, used, request):
        return Error.BAD_FIELD
    if _bad_shape(d, used):
        return Error.BAD_SHAPE
    for i, t in used.items():
        if _end(d, i, t) > (scratchpad_words if d[f"t{i}_space"] == Space.ABSOLUTE else slot_words):
            return Error.OUT_OF_SCRATCHPAD
    if d["mem_addr"] % (2 * lanes) or d["mem_stride"] % (2 * lanes):
        return Error.MISALIGNED
    return Error.PROTECTED if _protected(d, used, grants) else Error.NONE
