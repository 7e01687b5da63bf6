# SPDX-License-Identifier: Apache-2.0
"""Runs random programs on the chip's netlist of ECP5 cells and on the golden model, and compares every bit.

The netlist is the one that a bitstream is made of (netlist.py), with yosys's simulation models of the cells; those that yosys
has not (block RAM, multiplier, global buffer) are in fpga/cells.
"""

import argparse
import fcntl
import hashlib
import json
import re
import shutil
import sys
import time
from importlib.metadata import version
from pathlib import Path

import netlist
import toolchain
from mapping import UNITS, Synthesis
from sources import ROOT, RTL, rtl_sources

from lathe.backends import build as verilated
from lathe.backends.verilator import VerilatorBackend
from tb.chip.twins import compare_programs

FOLDER = ROOT / "build/netlist"
CELLS = sorted((ROOT / "fpga/cells").glob("*.v"))
MAKERS = [ROOT / "scripts" / name for name in (
    "mapping.py", "wide_muxes.v", "netlist.py", "controls.py", "tables.py", "products.py", "netlist_sim.py")]
HARNESS = "sim.cpp"
FIRST_VALUE = "initial Q = srval;"  # in TRELLIS_FF; tens of thousands of these also take Verilator hours
COMPILER_FLAGS = [flag for flag in verilated.COMPILER_FLAGS if flag != "-O3"]


def yosys_cells(folder: Path) -> list[Path]:
    """Copy yosys's models of the ECP5's cells into `folder`, without delays; registers come up at random there: it must not matter."""
    import pyosys

    copies = []
    for name in ("common_sim.vh", "ccu2c_sim.vh"):
        text = (Path(pyosys.__file__).parent / "share/lattice" / name).read_text()
        if name == "common_sim.vh" and FIRST_VALUE not in text:
            raise RuntimeError(f"pyosys's {name} has no '{FIRST_VALUE}' any more; look how its TRELLIS_FF starts now")
        copies.append(folder / name)
        copies[-1].write_text("`define NO_INCLUDES\n" + re.sub(r"(?s)\bspecify\b.*?\bendspecify\b", "", text.replace(FIRST_VALUE, "")))
    return copies


def wrapper(top: str, ports: dict, parameters: dict[str, int]) -> str:
    """Return Verilog of a module like `top`, which gives its netlist the in-process model's clock (lathe_clock)."""
    declared = [f"  {port['direction']} [{len(port['bits']) - 1}:0] {name}" for name, port in ports.items()]
    joins = [f"    .{name}({'clk' if name == 'clk_i' else name})" for name in ports]
    named = ", ".join(f"{name} = {value}" for name, value in parameters.items())
    return "\n".join([f"module {top} #(parameter {named}) (", ",\n".join(declared), ");", "  wire clk;",
                      "  lathe_clock u_clock (.clk_i(clk_i), .clk_o(clk));", f"  {top}_netlist u_netlist (", ",\n".join(joins), "  );",
                      "endmodule", ""])


def write_verilog(file: Path, top: str, parameters: dict[str, int]) -> list[Path]:
    """Write the netlist `file` as Verilog beside it; return all that is to be simulated: cells, netlist, and `top` around it."""
    from pyosys import libyosys as ys

    file.with_name("netlist.vlt").write_text("`verilator_config\nlint_off -file \"*\"\n")  # nobody reads a netlist
    inside, outside = file.with_name(f"{top}_netlist.v"), file.with_name(f"{top}.v")
    outside.write_text(wrapper(top, json.loads(file.read_text())["modules"][top]["ports"], parameters))
    design = ys.Design()
    for command in (f"read_json {file}", f"rename {top} {top}_netlist", "rename -hide w:* c:*", f"write_verilog -noattr {inside}"):
        ys.run_pass(f"tee -q {command}", design)
    return [*yosys_cells(file.parent), *CELLS, RTL / "prim/lathe_clock.sv", inside, outside]


def synthesize(lanes: int, banks: int, folder: Path) -> list[Path]:
    """Write the chip's netlist into `folder`; return what is to be simulated."""
    parameters, file = {"Lanes": lanes, "Banks": banks}, folder / "lathe.json"
    synthesis = Synthesis("lathe", parameters)
    cells = synthesis.instances()
    netlist.write(synthesis, "lathe", [cells[instance] for instance in UNITS], file)
    return write_verilog(file, "lathe", parameters)


def compile_netlist(folder: Path, sources: list[Path]) -> None:
    """Compile what `synthesize` returned into liblathe.so."""
    env, log, compiler = toolchain.environment(), folder / "build.log", toolchain.compiler()
    log.write_text("")
    shutil.rmtree(folder / "obj", ignore_errors=True)
    verilated._run(["verilator", *verilated.VERILATOR_FLAGS, "--top-module", "lathe", "--prefix", "Vlathe", "-Mdir", "obj", "-CFLAGS",
                    " ".join(COMPILER_FLAGS), *map(str, sources)], env, log, folder)
    verilated.compile_model("lathe", folder, compiler, env, log, "OPT_FAST=-O1", "OPT_SLOW=-O0")
    verilated.link("lathe", HARNESS, folder, compiler, env, log)


def library(lanes: int, banks: int) -> Path:
    """Return the shared library of the netlist with this many lanes and banks, making it when needed."""
    toolchain.require(toolchain.compiler()[0], "make", "perl", "verilator")
    digest = hashlib.sha256(repr((lanes, banks, version("pyosys"), version("verilator"))).encode())
    chip = [path for path in rtl_sources() if path.parent.name not in ("link", "board")]
    for path in [*chip, *CELLS, *MAKERS, verilated.HERE / HARNESS]:
        digest.update(path.read_bytes())
    folder = FOLDER / f"lanes{lanes}_banks{banks}"
    folder.mkdir(parents=True, exist_ok=True)
    stamp = folder / "digest"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.exists() or stamp.read_text() != digest.hexdigest():
            stamp.unlink(missing_ok=True)
            print(f"lathe: synthesizing and compiling the netlist for {lanes} lanes and {banks} banks, some minutes",
                  file=sys.stderr, flush=True)
            compile_netlist(folder, synthesize(lanes, banks, folder))
            stamp.write_text(digest.hexdigest())
    return folder / "liblathe.so"


class NetlistBackend(VerilatorBackend):
    """The chip's netlist of ECP5 cells, simulated cycle by cycle in compiled code."""

    name = "netlist"
    library = staticmethod(library)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lanes", type=int, default=4, choices=(4, 8, 16))
    parser.add_argument("--banks", type=int, default=2)
    parser.add_argument("--programs", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    if args.programs < 1:
        parser.error(f"PROGRAMS is a whole number from 1, not {args.programs}")
    library(args.lanes, args.banks)
    start = time.monotonic()
    try:
        twins = compare_programs(args.lanes, args.banks, args.seed, args.programs, NetlistBackend)
    except AssertionError as difference:
        print(f"netlist and golden model differ: {difference}", file=sys.stderr)
        return 1
    print(f"{args.programs} random programs, {twins.chip.cycles:,} cycles, Lanes {args.lanes}, Banks {args.banks}, seed {args.seed}: "
          f"no bit differs ({time.monotonic() - start:.0f} s)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
