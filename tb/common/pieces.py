# SPDX-License-Identifier: Apache-2.0
"""In which pieces a command starts beside requests, as docs/architecture.md ("Requests beside a program") has it."""

from dataclasses import dataclass

from pymodels.descriptor import PolicyOp, Unit

POLICY_ROWS = 32
WHOLE = (PolicyOp.MEASURE, PolicyOp.SCAN)


@dataclass(frozen=True)
class Piece:
    """Fields of a piece that differ from the command's, and how many words further each operand lies."""

    fields: dict[str, int]
    offsets: dict[int, int]
    first: bool
    last: bool


def whole(d: dict[str, int]) -> list[Piece]:
    """The command as the one piece that it is."""
    return [Piece({"first_row": 0, "first_col": 0, "all_rows": d["m"]}, {}, True, True)]


def cuttable(d: dict[str, int]) -> bool:
    return d["unit"] == Unit.GEMM or (d["unit"] == Unit.POLICY and d["op"] not in WHOLE and not d["sequence_words"])


def pieces(d: dict[str, int], lanes: int) -> list[Piece]:
    """The pieces of a command, in their order; `d`: fields of its descriptor."""
    if not cuttable(d):
        return whole(d)
    gemm, blocks = d["unit"] == Unit.GEMM, 1 << 16
    if gemm:
        steps = -(-d["k"] // 2) if d["int8"] else d["k"]
        blocks = 8 if steps <= 16 else 2 if steps <= 64 or d["int8_result"] else 1
    height, width = (lanes, blocks * lanes) if gemm else (POLICY_ROWS, d["n"])
    corners = [(row, column) for row in range(0, d["m"], height) for column in range(0, d["n"], width)]
    stride = [d[f"t{i}_stride"] for i in range(5)]
    found = []
    for row, column in corners:
        block, colsum = column // lanes if gemm else 0, d["colsum"] and not row
        fields = {"m": min(height, d["m"] - row), "n": min(width, d["n"] - column), "first_row": row, "first_col": block,
                  "all_rows": d["m"], "colsum": int(colsum)}
        offsets = {i: row * stride[i] for i in range(3)}
        if gemm:
            offsets = {0: row // lanes if d["trans_a"] else row * stride[0], 1: column * stride[1] if d["trans_b"] else block,
                       2: row * stride[2] + (block // 2 if d["int8_result"] else block), 3: block,
                       4: block if d["colsum"] else row * stride[4] + block}
        found.append(Piece(fields, offsets, (row, column) == corners[0], (row, column) == corners[-1]))
    return found
