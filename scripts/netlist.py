# SPDX-License-Identifier: Apache-2.0
"""The flat netlist of ECP5 cells: what nextpnr places and what the netlist simulation runs."""

import json
from pathlib import Path

import controls
import products
import tables
from mapping import LUTS, PART, Synthesis


def write(synthesis: Synthesis, top: str, keep: list[str], file: Path) -> dict:
    """Map `top` module by module, flatten it into `file`; return it as yosys writes it.

    The modules in `keep` are mapped apart: names of their cells begin with their instance's. Inverters go into registers, lookup tables
    into others and into carry chains that have room, multiplexers get tables for themselves, wide resets go onto the global network,
    products' registers into the multipliers.
    """
    synthesis.keep(keep)
    synthesis.map(top)
    synthesis.step("setattr -mod -unset keep_hierarchy *")
    synthesis.step("flatten")
    synthesis.step("clean")
    synthesis.step(f"write_json {file}")
    design = json.loads(file.read_text())
    flat = design["modules"][top]
    controls.absorb_inverters(flat)
    tables.merge_tables(flat)
    tables.enter_carries(flat)
    controls.split_muxed_tables(flat)
    controls.promote_resets(flat)
    products.pack_products(flat)
    file.write_text(json.dumps(design))
    return flat


def resources(module: dict, path: str = "") -> dict[str, int]:
    """Sum what the cells of a flat netlist take, of the instance `path` or of all."""
    total = dict.fromkeys(PART, 0)
    kinds = {"TRELLIS_FF": "ffs", "MULT18X18D": "multipliers", "DP16KD": "block_rams"}
    for name, cell in module["cells"].items():
        if not path or name.lstrip("\\").startswith(f"{path}."):
            total["luts"] += LUTS.get(cell["type"], 0)
            if cell["type"] in kinds:
                total[kinds[cell["type"]]] += 1
    return total
