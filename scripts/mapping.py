# SPDX-License-Identifier: Apache-2.0
"""A design in yosys, mapped for Lattice ECP5, and what it takes of the part."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from sources import ROOT, rtl_sources

# What an ECP5 85k part has (Lattice data sheet FPGA-DS-02012).
PART = {"luts": 83640, "ffs": 83640, "multipliers": 156, "block_rams": 208}
# LUT4s a cell occupies: a CCU2C slice half uses two, a 16x4 distributed RAM four plus its write port's two.
LUTS = {"LUT4": 1, "CCU2C": 2, "TRELLIS_DPR16X4": 6}
UNITS = {"u_ctrl": "ctrl", "u_scratchpad": "scratchpad", "u_gemm": "gemm", "u_policy": "policy", "u_update": "update", "u_dma": "dma"}
FOLDER = ROOT / "build/synth"


class Synthesis:
    """One design in yosys: `step` runs a command on it; what it says goes to build/synth/<top>.log."""

    def __init__(self, top: str, parameters: dict[str, int], sources: Sequence[Path] = ()):
        """Read and elaborate `top`, of the RTL and these `sources`; RuntimeError on a latch or a combinational loop."""
        from pyosys import libyosys as ys

        FOLDER.mkdir(parents=True, exist_ok=True)
        self.design = ys.Design()
        log = FOLDER / f"{top}.log"
        log.unlink(missing_ok=True)
        self.step: Callable[[str], None] = lambda command: ys.run_pass(f"tee -q -a {log} {command}", self.design)
        names = FOLDER / f"{top}.f"
        names.write_text("\n".join(str(path) for path in [*rtl_sources(), *sources]))
        values = " ".join(f"-G {name}={value}" for name, value in parameters.items())
        self.step(f"read_slang --keep-hierarchy --top {top} -DSYNTHESIS {values} -f {names}")
        self.step(f"hierarchy -check -top {top}")
        self.step("proc")
        self.step("select -assert-none t:$dlatch t:$adlatch t:$dlatchsr")
        self.step("design -save elaborated")
        self.step("flatten")
        self.step("opt_clean")
        self.step("check -assert")
        self.step("design -load elaborated")

    def instances(self, module: str = "") -> dict[str, str]:
        """Return the module of each instance in `module` (default: the top module)."""
        found = next(m for m in self.design.modules_.values() if str(m.name).lstrip("\\") == module) if module else self.design.top_module()
        return {str(cell.name).lstrip("\\"): str(cell.type).lstrip("\\") for cell in found.cells_.values()}

    def keep(self, modules: list[str]) -> None:
        """Keep these modules apart; everything inside them is flattened."""
        for module in modules:
            self.step(f"setattr -mod -set keep_hierarchy 1 {module}")

    def map(self, top: str) -> None:
        """Map for ECP5; the slices' multiplexers for multiplexers of four and eight bits only (wide_muxes.v), not for other logic."""
        self.step(f"synth_ecp5 -top {top} -run begin:map_luts")
        self.step("muxcover -nopartial -mux4=10 -mux8=10")
        self.step(f"techmap -map {ROOT / 'scripts/wide_muxes.v'}")
        self.step(f"synth_ecp5 -top {top} -nowidelut -run map_luts:")

    def statistics(self, file: Path) -> dict[str, dict]:
        """Return yosys's statistics of each module, also written to `file`."""
        self.step(f"tee -q -o {file} stat -json")
        return {name.lstrip("\\"): body for name, body in json.loads(file.read_text())["modules"].items()}


def count(modules: dict, name: str) -> dict[str, int]:
    """Sum the resources of a module and everything below it."""
    total = dict.fromkeys(PART, 0)
    for cell, number in modules[name]["num_cells_by_type"].items():
        if cell in modules:
            below = count(modules, cell)
            for key in total:
                total[key] += number * below[key]
        total["luts"] += LUTS.get(cell, 0) * number
        total["ffs"] += number if cell == "TRELLIS_FF" else 0
        total["multipliers"] += number if cell == "MULT18X18D" else 0
        total["block_rams"] += number if cell == "DP16KD" else 0
    return total
