# SPDX-License-Identifier: Apache-2.0
"""The flat netlist of ECP5 cells: what nextpnr places and what the netlist simulation runs."""

import json
from pathlib import Path

import controls
import products
from synth import Synthesis, count


def write(synthesis: Synthesis, top: str, keep: list[str], file: Path) -> tuple[dict, int]:
    """Map `top` module by module, flatten it into `file`.

    Returns the resources of `top` and of each module in `keep`, and how many lookup tables the whole then needs less.

    Mapped as for `make synth` and flattened afterwards: names keep their unit. Inverters go into registers, multiplexers
    get tables for themselves, wide resets go onto the global network, products' registers into the multipliers.
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
    products.pack_products(flat)
    file.write_text(json.dumps(design))
    return used, spared
