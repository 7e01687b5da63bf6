# SPDX-License-Identifier: Apache-2.0
"""Draws where each unit of a board's bitstream lies: build/fpga/<board>.png, of what nextpnr placed."""

import argparse
import json
import re
import sys
from collections import Counter, defaultdict
from pathlib import Path

import fillers
import numpy as np
from bitstream import FOLDER
from mapping import UNITS

from lathe.boards import BOARDS, board

TILE = re.compile(r"X(\d+)/Y(\d+)/")
PARTS = {**UNITS, "u_link": "host link", "u_memory": "outside memory"}  # instances that get a color; all else is "other"


def unit(name: str) -> str:
    """Return the unit that a cell of the flat netlist belongs to, by its name."""
    scopes = re.split(r"[.\\]", name)
    return next((PARTS[scope] for scope in scopes if scope in PARTS), "other")


def tiles(cells: dict[str, dict]) -> dict[tuple[int, int], str]:
    """Return the unit with most cells in each tile (column, row) that holds any."""
    held: dict[tuple[int, int], Counter] = defaultdict(Counter)
    for name, cell in cells.items():
        if not name.startswith(fillers.NAME) and (found := TILE.match(cell["attributes"].get("NEXTPNR_BEL", ""))):
            held[int(found[1]), int(found[2])][unit(name)] += 1
    return {place: counts.most_common(1)[0][0] for place, counts in held.items()}


def draw(placed: dict[tuple[int, int], str], title: str, file: Path) -> None:
    """Write the picture: a tile is a dot in its unit's color."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(9, 6.2))
    for index, name in enumerate([*dict.fromkeys(PARTS.values()), "other"]):
        if places := np.array([place for place, held in placed.items() if held == name]).reshape(-1, 2).T.tolist():
            color = "0.75" if name == "other" else f"C{index}"
            axes.scatter(*places, s=9, marker="s", linewidths=0, color=color, label=f"{name} ({len(places[0]):,})")
    axes.invert_yaxis()
    axes.set(title=title, xlabel="column of tiles", ylabel="row of tiles", aspect="equal")
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, markerscale=2, title="unit (tiles)")
    figure.savefig(file, dpi=110, bbox_inches="tight", metadata={"Software": None})


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("board", choices=BOARDS)
    parser.add_argument("--out", type=Path, help="another file")
    args = parser.parse_args()
    routed = FOLDER / args.board / "routed.json"
    if not routed.exists():
        print(f"there is no {routed}; make it first: make bitstream BOARD={args.board}", file=sys.stderr)
        return 2
    target = board(args.board)
    [module] = json.loads(routed.read_text())["modules"].values()
    placed = tiles(module["cells"])
    draw(placed, f"{target.name}: {target.lanes} lanes, {target.banks} banks", args.out or FOLDER / f"{args.board}.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
