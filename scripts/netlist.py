# SPDX-License-Identifier: Apache-2.0
"""The flat netlist of ECP5 cells: what nextpnr places and what the netlist simulation runs."""

import json
from pathlib import Path

import controls
import floorplan
from synth import Synthesis, count


def write(synthesis: Synthesis, top: str, keep: list[str], file: Path, lanes: int = 0) -> tuple[dict, int]:
    """Map `top` module by module, flatten it into `file`.

    Returns the resources of `top` and of each module in `keep`, and how many lookup tables the whole then needs less.

    Mapped as for `make synth` and flattened afterwards: names keep their unit. Inverters go into registers, multiplexers
    get tables for themselves, wide resets go onto the global network, products' registers into the multipliers; a chip
    with so many `lanes` (4 or 8) and 8 banks, for the 85k part, has sites for its multipliers (8 lanes) and memories.
    """
    synthesis.keep(keep)
    synthesis.map(top)
    modules = synthesis.statistics(file.with_name(f"{file.stem}_stat.json"))
    used = {module: count(modules, module) for module in {top, *keep}}
    synthesis.step("setattr -mod -unset keep_hierarchy *")
    synthesis.step("flatten")
    synthesis.step("clean")
    synthesis.step(f"write_json {file}")
    design = json.loads(file.read_text())
    flat = design["modules"][top]
    spared = controls.absorb_inverters(flat)
    spared -= controls.split_muxed_tables(flat)
    controls.promote_resets(flat)
    if lanes == 8:
        floorplan.place_multipliers(flat)
    if lanes in floorplan.BANKS:
        floorplan.place_memories(flat, lanes)
    floorplan.pack_products(flat)  # after what knows multipliers by their products' names
    file.write_text(json.dumps(design))
    return used, spared
