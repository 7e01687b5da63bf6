# SPDX-License-Identifier: Apache-2.0
"""Lookup tables without nets, which spread a design over its part.

nextpnr's electrostatic placer packs what it places as if only 70 % of the part's lookup tables were there, and in a tile whose
eight tables are all in use nets find no way out. It adds no spacers of its own once the netlist has more than those 70 %.
A unit alone finds its way without, and is not to be spread.
"""

from mapping import LUTS

NAME = "filler"  # with a number
LEAST = 0.5   # of the part's lookup tables: a design with fewer gets no fillers
SHARE = 0.71  # of the part's lookup tables, used and filled; the placer counts some 3 % more as used, what it adds to carry chains


def fill(module: dict, luts: int) -> int:
    """Add fillers to a flat netlist for a part with so many lookup tables; return how many."""
    cells = module["cells"]
    used = sum(LUTS.get(cell["type"], 0) for cell in cells.values())
    count = max(0, round(SHARE * luts) - used) if used >= LEAST * luts else 0
    for number in range(count):
        cells[f"{NAME}{number}"] = {
            "hide_name": 0, "type": "LUT4", "parameters": {"INIT": "0" * 16}, "attributes": {},
            "port_directions": dict.fromkeys("ABCD", "input") | {"Z": "output"}, "connections": {port: [] for port in "ABCDZ"}}
    return count
