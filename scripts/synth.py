# SPDX-License-Identifier: Apache-2.0
"""Maps the chip for Lattice ECP5 with yosys and prints resources per unit.

Fails when the design holds a latch or a combinational loop. Writes build/synth/lanes<n>.json.
"""

import argparse
import json
import sys

from sources import ROOT, rtl_sources

# What an ECP5 85k part has (Lattice data sheet FPGA-DS-02012).
PART = {"luts": 83640, "ffs": 83640, "multipliers": 156, "block_rams": 208}
# LUT4s a cell occupies: a CCU2C slice half uses two, a 16x4 distributed RAM four plus its write port's two.
LUTS = {"LUT4": 1, "CCU2C": 2, "TRELLIS_DPR16X4": 6}
UNITS = {"u_ctrl": "ctrl", "u_scratchpad": "scratchpad", "u_gemm": "gemm", "u_policy": "policy", "u_update": "update", "u_dma": "dma"}


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


def synthesize(lanes: int, banks: int) -> dict:
    """Return the resources of each unit and of the chip.

    Raises
    ------
    RuntimeError
        When yosys finds a latch or a combinational loop.
    """
    from pyosys import libyosys as ys

    folder = ROOT / "build/synth"
    folder.mkdir(parents=True, exist_ok=True)
    statistics = folder / f"stat_lanes{lanes}.json"
    design = ys.Design()

    def step(command: str) -> None:
        ys.run_pass(command, design)

    names = " ".join(str(path) for path in rtl_sources())
    step(f"read_slang --keep-hierarchy --top lathe -DSYNTHESIS -G Lanes={lanes} -G Banks={banks} {names}")
    step("hierarchy -check -top lathe")
    step("proc")
    step("select -assert-none t:$dlatch t:$adlatch t:$dlatchsr")
    step("design -save elaborated")
    step("flatten")
    step("opt_clean")
    step("check -assert")
    step("design -load elaborated")
    # Units stay apart, everything inside them is flattened.
    cells = {str(cell.name).lstrip("\\"): str(cell.type).lstrip("\\") for cell in design.top_module().cells_.values()}
    for instance in UNITS:
        step(f"setattr -mod -set keep_hierarchy 1 {cells[instance]}")
    step("synth_ecp5 -top lathe")
    step(f"tee -q -o {statistics} stat -json")
    modules = {name.lstrip("\\"): body for name, body in json.loads(statistics.read_text())["modules"].items()}
    report = {unit: count(modules, cells[instance]) for instance, unit in UNITS.items()}
    report["chip"] = count(modules, "lathe")
    return report


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lanes", type=int, default=8, choices=(4, 8, 16))
    parser.add_argument("--banks", type=int, default=8)
    args = parser.parse_args()
    report = synthesize(args.lanes, args.banks)
    rows = [{"unit": unit, "lanes": args.lanes, **used} for unit, used in report.items()]
    (ROOT / f"build/synth/lanes{args.lanes}.json").write_text(
        json.dumps({"meta": {"part": "ECP5 85k", "has": PART}, "rows": rows}, indent=1))
    print(f"{'unit':12}" + "".join(f"{key:>14}" for key in PART))
    for unit, used in report.items():
        print(f"{unit:12}" + "".join(f"{used[key]:>14,}" for key in PART))
    print(f"{'85k part':12}" + "".join(f"{PART[key]:>14,}" for key in PART))
    return 0


if __name__ == "__main__":
    sys.exit(main())
