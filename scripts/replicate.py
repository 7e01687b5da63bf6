# SPDX-License-Identifier: Apache-2.0
"""Copies registers and logic of the chip's flat netlist where a single one would drive what lies far apart.

Synthesis joins what is equal, so copies cannot be had from the RTL. No function here changes what the netlist computes.
"""

import re
from collections import Counter

from floorplan import BANK
from netlist import Netlist

WIDE = ("PFUMX", "L6MUX21")
LOGIC = ("LUT4", *WIDE)
LANES = 8


def split_banks(module: dict) -> int:
    """Give the banks' bits of the upper half of the lanes logic of their own for addresses and enables; return the LUTs added.

    Registers feed both, so that these wires, one for each bank, side and address bit, do not cross the middle of the chip.
    """
    netlist, made = Netlist(module), {}
    for name, cell in list(module["cells"].items()):
        found = BANK.search(name)
        if found and cell["type"] == "DP16KD" and int(found[2]) >= LANES // 2:
            for port, bits in cell["connections"].items():
                if re.fullmatch(r"AD[AB]\d+|CE[AB]|WE[AB]|OCE[AB]", port):
                    cell["connections"][port] = [netlist.copy(bit, "upper", LOGIC, made) if netlist.type(bit) in LOGIC else bit
                                                 for bit in bits]
    return netlist.luts


def _pair(name: str) -> tuple[str, int] | None:
    """Return unit and number of the pair of lanes that a cell is a part of; None if of none."""
    if found := re.search(r"u_(drain|sgd)\.g(?:en)?_lane\[(\d)\]|u_fetch_(.)\.u_transpose\.gen_memory\[(\d)\]", name):
        return found[1] or found[3], int(found[2] or found[4]) // 2
    if found := re.search(r"u_drain\.u_out\.mem_q\.0\.(\d+)", name):  # four bits each, those of the lanes first
        return "drain", min(int(found[1]) // 8, LANES // 2 - 1)
    return None


def spread_lanes(module: dict) -> int:
    """Give pairs of lanes copies of their own of registers and of logic that drives three other pairs or more; return the LUTs added."""
    netlist = Netlist(module)
    pairs = {name: _pair(name) for name in module["cells"]}
    logic = (LOGIC, 24, 4)  # kinds, fewest loads in all, fewest of a pair
    for kinds, fewest, each in (logic, logic, logic, (("TRELLIS_FF",), 6, 1)):
        for bit in sorted(netlist.driver):
            loads = netlist.loads.get(bit, [])
            if netlist.type(bit) not in kinds or len(loads) < fewest or any(module["cells"][name]["type"] in WIDE for name, _ in loads):
                continue
            own = pairs[netlist.driver[bit][0]]
            groups: dict[tuple[str, int], list[tuple[str, str]]] = {}
            for load in loads:
                if pairs[load[0]] not in (None, own):
                    groups.setdefault(pairs[load[0]], []).append(load)
            units = Counter(unit for unit, _ in groups)
            for pair, group in sorted(groups.items()):
                if units[pair[0]] >= 3 and len(group) >= each:
                    made: dict = {}
                    to = netlist.copy(bit, f"{pair[0]}{pair[1]}", LOGIC if netlist.type(bit) in WIDE else (), made)
                    pairs |= {netlist.driver[copy][0]: pair for copy in made.values()}
                    netlist.move(bit, to, group)
    return netlist.luts


def spread_resets(module: dict) -> int:
    """Give each unit a copy of a register that drives most of the units, the reset's; return how many."""
    netlist, copies = Netlist(module), 0
    for bit in sorted(netlist.driver):
        if netlist.type(bit) != "TRELLIS_FF":
            continue
        groups: dict[str, list[tuple[str, str]]] = {}
        for load in netlist.loads.get(bit, []):
            if found := re.match(r"dut\.(u_\w+)\.", load[0]):
                groups.setdefault(found[1], []).append(load)
        for unit in sorted(groups)[1:] if len(groups) >= 5 else []:
            netlist.move(bit, netlist.copy(bit, unit, (), {}), groups[unit])
            copies += 1
    return copies
