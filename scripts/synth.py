# SPDX-License-Identifier: Apache-2.0
"""Maps the chip for Lattice ECP5 with yosys and prints resources per unit.

Of the netlist that a bitstream would be made of. Fails when the design holds a latch or a combinational loop. Writes
build/synth/lanes<n>.json.
"""

import argparse
import json
import sys

import netlist
from mapping import FOLDER, PART, UNITS, Synthesis


def synthesize(lanes: int, banks: int) -> dict:
    """Return the resources of each unit and of the chip."""
    synthesis = Synthesis("lathe", {"Lanes": lanes, "Banks": banks})
    cells = synthesis.instances()
    flat = netlist.write(synthesis, "lathe", [cells[instance] for instance in UNITS], FOLDER / f"netlist_lanes{lanes}.json")
    return {unit: netlist.resources(flat, instance) for instance, unit in UNITS.items()} | {"chip": netlist.resources(flat)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lanes", type=int, default=8, choices=(4, 8, 16))
    parser.add_argument("--banks", type=int, default=8)
    args = parser.parse_args()
    report = synthesize(args.lanes, args.banks)
    rows = [{"unit": unit, "lanes": args.lanes, **used} for unit, used in report.items()]
    (FOLDER / f"lanes{args.lanes}.json").write_text(
        json.dumps({"meta": {"part": "ECP5 85k", "has": PART}, "rows": rows}, indent=1))
    print(f"{'unit':12}" + "".join(f"{key:>14}" for key in PART))
    for unit, used in report.items():
        print(f"{unit:12}" + "".join(f"{used[key]:>14,}" for key in PART))
    print(f"{'85k part':12}" + "".join(f"{PART[key]:>14,}" for key in PART))
    return 0


if __name__ == "__main__":
    sys.exit(main())
