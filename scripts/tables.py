# SPDX-License-Identifier: Apache-2.0
"""Lookup tables that a flat netlist of ECP5 cells can do without: synthesis maps logic, carry chains and registers apart.

Leaves the ends of multiplexers (PFUMX) where they are.
"""

from collections import defaultdict
from collections.abc import Callable

INPUTS = "ABCD"
# A carry chain's half as yosys maps $alu (D is 1): its sum A ^ B ^ C ^ carry; where A ^ B ^ C is 0 its carry out is A.
ALU = f"{0x96AA:016b}"
Net = int
Table = tuple[tuple[Net, ...], int]  # nets, and the output for each of their values; the first net is the lowest bit


def table(nets: tuple[Net, ...], function: Callable[[dict[Net, int]], int]) -> int:
    """Return the output for each value of the nets."""
    return sum(function({net: row >> place & 1 for place, net in enumerate(nets)}) << row for row in range(1 << len(nets)))


def look(of: Table, values: dict[Net, int]) -> int:
    """Return a table's output."""
    nets, rows = of
    return rows >> sum(values[net] << place for place, net in enumerate(nets)) & 1


def _spread(of: Table, rows: int) -> int:
    """Return a table's output for each value of log2(rows) inputs, of which its nets are the lowest."""
    nets, outputs = of
    return sum((outputs >> row % (1 << len(nets)) & 1) << row for row in range(rows))


class _Netlist:
    """Who drives and who loads each net of a module."""

    def __init__(self, module: dict):
        self.cells = module["cells"]
        self.loads: dict[Net, set[tuple[str, str]]] = defaultdict(set)
        self.tables: dict[Net, str] = {}  # the lookup table that drives a net
        self.outside = {bit for port in module["ports"].values() for bit in port["bits"]}
        for name, cell in self.cells.items():
            if cell["type"] == "LUT4":
                self.tables[cell["connections"]["Z"][0]] = name
            for port, bits in cell["connections"].items():
                if cell["port_directions"][port] == "input":
                    for bit in bits:
                        self.loads[bit].add((name, port))

    def read(self, name: str) -> Table:
        """Return what a lookup table does, without the inputs that are constant or do not matter."""
        cell = self.cells[name]
        pins = [cell["connections"][port][0] for port in INPUTS]
        rows = int(cell["parameters"]["INIT"], 2)
        nets = tuple(dict.fromkeys(pin for pin in pins if isinstance(pin, int)))
        whole = (nets, table(nets, lambda at: rows >> sum((at[pin] if isinstance(pin, int) else pin == "1") << place
                                                          for place, pin in enumerate(pins)) & 1))
        needed = tuple(net for net in nets if any(look(whole, at | {net: 0}) != look(whole, at | {net: 1})
                                                  for row in range(1 << len(nets))
                                                  for at in [{n: row >> place & 1 for place, n in enumerate(nets)}]))
        return needed, table(needed, lambda at: look(whole, dict.fromkeys(nets, 0) | at))

    def write(self, name: str, of: Table) -> None:
        """Make a lookup table do this."""
        for place, port in enumerate(INPUTS):
            self.connect(name, port, of[0][place] if place < len(of[0]) else "0")
        self.cells[name]["parameters"]["INIT"] = f"{_spread(of, 16):016b}"

    def connect(self, name: str, port: str, to: Net | str) -> None:
        pins = self.cells[name]["connections"][port]
        self.loads[pins[0]].discard((name, port))
        pins[0] = to
        self.loads[to].add((name, port))

    def behind(self, net: Net | str, most: int) -> Table | None:
        """Return what the lookup table does that drives this net alone, if of at most so many nets."""
        if net not in self.tables or len(self.loads[net]) != 1 or net in self.outside:
            return None
        found = self.read(self.tables[net])
        return found if len(found[0]) <= most else None

    def remove(self, net: Net) -> None:
        """Take away the lookup table that drives this net, which has no loads any more."""
        name = self.tables.pop(net)
        for port in INPUTS:
            self.loads[self.cells[name]["connections"][port][0]].discard((name, port))
        del self.cells[name]


def _merge(netlist: _Netlist, net: Net) -> bool:
    """Put the table that drives this net into those behind it, if each has room for it; return whether."""
    name, loads = netlist.tables[net], netlist.loads[net]
    if not loads or net in netlist.outside or any(netlist.cells[load]["type"] != "LUT4" for load, _ in loads):
        return False
    mine = netlist.read(name)
    merged = {}
    for load in {load for load, _ in loads}:
        theirs = netlist.read(load)
        nets = tuple(dict.fromkeys(other for other in (*theirs[0], *mine[0]) if other != net))
        if len(nets) > len(INPUTS):
            return False
        merged[load] = (nets, table(nets, lambda at, theirs=theirs: look(theirs, at | {net: look(mine, at)})))
    for load, of in merged.items():
        netlist.write(load, of)
    netlist.remove(net)
    return True


def merge_tables(module: dict) -> int:
    """Put tables into those behind them that have room; return how many that spares."""
    netlist, spared = _Netlist(module), 0
    while found := [net for net in list(netlist.tables) if _merge(netlist, net)]:
        spared += len(found)
    return spared


def _half(before: Table, other: Table, inverts: bool, other_inverted: bool) -> tuple[tuple[Net, ...], str]:
    """Return the inputs and the INIT of a carry chain's half that adds the output of a table and the other operand.

    `inverts` is C, with which the half subtracts. `other_inverted`: the other operand is the one that is subtracted.
    """
    nets = tuple(dict.fromkeys((*other[0], *before[0])))
    total = table(nets, lambda at: look(before, at) ^ look(other, at) ^ inverts)
    carry = table(other[0], lambda at: look(other, at) ^ other_inverted)  # where the operands are equal, either one
    low = _spread((other[0], carry), 4)
    return nets, f"{_spread((nets, total), 8) << 8 | low << 4 | low:016b}"


def _enter(netlist: _Netlist, name: str, half: str) -> int:
    """Put a table that only an operand of this half of a CCU2C needs into it; return how many that spares (0 or 1)."""
    cell = netlist.cells[name]
    a, b, c, d = (cell["connections"][port + half][0] for port in INPUTS)
    if cell["parameters"][f"INIT{half}"] != ALU or c not in ("0", "1") or d != "1":
        return 0
    for mine, other in ((a, b), (b, a)):
        if other not in ("0", "1") and not isinstance(other, int):
            continue
        others: Table = ((other,), 0b10) if isinstance(other, int) else ((), int(other))
        if (before := netlist.behind(mine, 3 - len(others[0]))) is None:
            continue
        nets, cell["parameters"][f"INIT{half}"] = _half(before, others, c == "1", c == "1" and mine == a)
        for place, port in enumerate("ABC"):
            netlist.connect(name, port + half, nets[place] if place < len(nets) else "0")
        netlist.remove(mine)
        return 1
    return 0


def enter_carries(module: dict) -> int:
    """Put tables before carry chains into the chains' own, which have an input or two to spare; return how many that spares."""
    netlist = _Netlist(module)
    return sum(_enter(netlist, name, half) for name, cell in list(module["cells"].items()) if cell["type"] == "CCU2C" for half in "01")
