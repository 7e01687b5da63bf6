# SPDX-License-Identifier: Apache-2.0
"""Where the multipliers and block RAMs of a placed netlist would lie better, everything else held where it is.

nextpnr gives them sites early and for good, while the logic around them is still on its way; the logic then settles around those
sites. Here they are annealed among their sites once the logic has settled, and the placer starts again with them bound: each such
round leaves less wire. Knows the sites of the ECP5 85k part, no names.
"""

import json
import math
import random
import re
import subprocess
from collections import defaultdict
from pathlib import Path

# Sites of an ECP5 85k part, read off nextpnr's own placements: rows, 13 blocks of four in each.
BLOCKS = 13
MULTIPLIER_ROWS, MULTIPLIER_PLACES = (10, 34, 58), (0, 1, 4, 5)
MEMORY_ROWS = (22, 46, 70, 82)
MOVES = 200_000  # of the annealing
HOT = 60.0       # its first temperature, in tiles of wire
COLD = 0.01      # its last
# yosys names a multiplier after the register behind it and one of its bits, another one after each change of the sources
BIT = re.compile(r"_TRELLIS_FF_Q(_\d+)?_DI_MULT18X18D_P\d+$")
WIDE = 1000      # cells: a wider net reaches everywhere anyhow
ROUNDS = 3       # further ones hardly help: see docs/fpga.md

Box = tuple[int, int, int, int]  # least and greatest x, least and greatest y


def _x(block: int) -> int:
    return 4 + 9 * block if block < 7 else 69 + 9 * (block - 7)


def _names() -> dict[str, list[str]]:
    """Return the sites of each kind of cell."""
    return {
        "MULT18X18D": [f"X{_x(block) + place}/Y{row}/MULT18_{place}"
                       for row in MULTIPLIER_ROWS for block in range(BLOCKS) for place in MULTIPLIER_PLACES],
        "DP16KD": [f"X{_x(block) + 2 * place}/Y{row}/EBR{place}" for row in MEMORY_ROWS for block in range(BLOCKS) for place in range(4)]}


def _tile(site: str) -> tuple[int, int]:
    x, y = re.match(r"X(\d+)/Y(\d+)/", site).groups()
    return int(x), int(y)


class Placement:
    """The multipliers and block RAMs of a module that nextpnr has placed, and the nets that they are on.

    `sites` is where each is, `wire` the sum of half the bounding boxes of those nets, in tiles; `module` is as nextpnr writes it.
    """

    def __init__(self, module: dict):
        cells = {name: cell for name, cell in module["cells"].items() if "NEXTPNR_BEL" in cell["attributes"]}
        names = _names()
        self.sites = {name: cell["attributes"]["NEXTPNR_BEL"] for name, cell in cells.items() if cell["type"] in names}
        if unknown := [site for name, site in self.sites.items() if site not in names[cells[name]["type"]]]:
            raise ValueError(f"these are no sites of an ECP5 85k part: {', '.join(unknown[:5])}")
        self._tiles = {site: _tile(site) for kind in names.values() for site in kind}
        self._choice = {name: names[cells[name]["type"]] for name in self.sites}
        self._held = {site: name for name, site in self.sites.items()}
        on: dict[int, dict[str, None]] = defaultdict(dict)
        for name, cell in cells.items():
            for bits in cell["connections"].values():
                for bit in bits:
                    if isinstance(bit, int):
                        on[bit][name] = None
        self._nets: list[tuple[Box, list[str]]] = []
        self._of: dict[str, list[int]] = defaultdict(list)
        for names_on in on.values():
            mine = [name for name in names_on if name in self.sites]
            if not mine or not 1 < len(names_on) <= WIDE:
                continue
            for name in mine:
                self._of[name].append(len(self._nets))
            tiles = [_tile(cells[name]["attributes"]["NEXTPNR_BEL"]) for name in names_on if name not in self.sites]
            columns, rows = [x for x, _ in tiles], [y for _, y in tiles]
            outside = (min(columns), max(columns), min(rows), max(rows)) if tiles else (1 << 20, -1, 1 << 20, -1)
            self._nets.append((outside, mine))
        self._at = {name: self._tiles[site] for name, site in self.sites.items()}
        self._wire = [self._measure(net) for net in range(len(self._nets))]

    @property
    def wire(self) -> int:
        return sum(self._wire)

    def _measure(self, net: int) -> int:
        """Return width and height of the box around what is on the net."""
        (left, right, top, bottom), names = self._nets[net]
        for name in names:
            x, y = self._at[name]
            if x < left:
                left = x
            if x > right:
                right = x
            if y < top:
                top = y
            if y > bottom:
                bottom = y
        return right - left + bottom - top

    def _put(self, name: str, site: str) -> None:
        self.sites[name], self._held[site], self._at[name] = site, name, self._tiles[site]

    def _swap(self, name: str, site: str) -> list[int]:
        """Put a cell there, and what was there where the cell was; return the nets that this changes."""
        old, other = self.sites[name], self._held.get(site)
        del self._held[old]
        self._put(name, site)
        if other is not None:
            self._put(other, old)
        return list(dict.fromkeys(self._of[name] + (self._of[other] if other is not None else [])))

    def anneal(self, seed: int = 1, moves: int = MOVES) -> None:
        """Exchange sites until the nets are short: the same seed gives the same sites."""
        dice = random.Random(seed)
        movable = list(self.sites)
        for move in range(moves if movable else 0):
            temperature = HOT * (1 - move / moves) ** 2 + COLD
            name = dice.choice(movable)
            site, old = dice.choice(self._choice[name]), self.sites[name]
            if site == old:
                continue
            nets = self._swap(name, site)
            lengths = [self._measure(net) for net in nets]
            more = sum(lengths) - sum(self._wire[net] for net in nets)
            if more <= 0 or dice.random() < math.exp(-more / temperature):
                for net, length in zip(nets, lengths, strict=True):
                    self._wire[net] = length
            else:
                self._swap(name, old)


def _renamed(names: set[str], known: set[str]) -> dict[str, str]:
    """Return which of `known` a name stands for that differs from it in a bit only (see BIT)."""
    groups: dict[str, tuple[list[str], list[str]]] = defaultdict(lambda: ([], []))
    for side, group in enumerate((names - known, known - names)):
        for name in sorted(group):
            groups[BIT.sub("", name)][side].append(name)
    return {name: old for new, before in groups.values() if len(new) == len(before) for name, old in zip(new, before, strict=True)}


def bind(netlist: Path, top: str, sites: dict[str, str]) -> bool:
    """Bind those of the netlist's multipliers and block RAMs to sites that `sites` has; return whether it has all, and no others."""
    design = json.loads(netlist.read_text())
    cells = design["modules"][top]["cells"]
    movable = {name for name, cell in cells.items() if cell["type"] in _names()}
    stands_for = _renamed(movable, set(sites)) | {name: name for name in movable & sites.keys()}
    for name, known in stands_for.items():
        cells[name]["attributes"]["BEL"] = sites[known]
    netlist.write_text(json.dumps(design))
    return len(stands_for) == len(movable) == len(sites)


def settle(netlist: Path, top: str, command: list[str], seed: int = 1, rounds: int = ROUNDS) -> dict[str, str]:
    """Bind the multipliers and block RAMs of a netlist to sites, found by placing it `rounds` times with them annealed after each.

    Parameters
    ----------
    netlist : Path
        Flat netlist for nextpnr, which is changed.
    top : str
        Its module.
    command : list of str
        The placement, to which netlist and results are added; nextpnr sees only the netlist's folder.

    Returns
    -------
    dict
        The site of each.

    Raises
    ------
    subprocess.CalledProcessError
        The placement fails.
    """
    placed, placement = netlist.with_name(f"{netlist.stem}_placed.json"), None
    for number in range(1, rounds + 1):
        subprocess.run([*command, "--no-route", "--json", netlist.name, "--write", placed.name,
                        "--log", f"{netlist.stem}_place{number}.log"], cwd=netlist.parent, check=True)
        [module] = json.loads(placed.read_text())["modules"].values()
        placement = Placement(module)
        before = placement.wire
        placement.anneal(seed)
        print(f"round {number} of {rounds}: wire of multipliers and memories {before:,} -> {placement.wire:,} tiles", flush=True)
        bind(netlist, top, placement.sites)
    return placement.sites if placement else {}
