# SPDX-License-Identifier: Apache-2.0
"""Ends of the carry chains of a flat netlist.

nextpnr puts a cell (two tables) before each chain, for a constant carry too, and one behind each whose last carry has a net, also
one that nobody reads. Here a chain's first half makes its carry from its two operands alone, and carries that nobody reads go.
"""

from collections import Counter


def _begin(cell: dict, read: Counter, carry: bool, c0: bool, d0: bool) -> dict | None:
    """Make a first half independent of its constant carry; return the table that makes its sum, if anybody reads that.

    Its own table becomes 0 in all rows that C0 = D0 = 1 select: then its carry is its two-input table, the first four rows.
    """
    table = int(cell["parameters"]["INIT0"], 2)
    propagates = [bool(table >> (4 * c0 + 8 * d0 + operands) & 1) for operands in range(4)]
    carries = [carry if propagates[operands] else bool(table >> operands & 1) for operands in range(4)]
    sums = [propagates[operands] != carry for operands in range(4)]
    output = cell["connections"].get("S0", [None])[0]
    cell["parameters"]["INIT0"] = f"{sum(bit << operands for operands, bit in enumerate(carries)):016b}"
    cell["connections"] |= {"C0": ["1"], "D0": ["1"]}
    for port in ("CIN", "S0"):
        cell["connections"].pop(port, None)
        cell["port_directions"].pop(port, None)
    if not read[output]:
        return None
    operands = {port: cell["connections"][f"{port}0"] for port in "AB"}
    return {"hide_name": 1, "type": "LUT4", "parameters": {"INIT": "".join(str(int(bit)) for bit in reversed(sums)) * 4}, "attributes": {},
            "port_directions": dict.fromkeys("ABCD", "input") | {"Z": "output"},
            "connections": operands | {"C": ["0"], "D": ["0"], "Z": [output]}}


def shorten(module: dict) -> int:
    """Spare the cells that nextpnr would put at the ends of chains; return how many tables that costs, for sums of first bits."""
    cells = module["cells"]
    read = Counter(bit for cell in cells.values() for port, bits in cell["connections"].items()
                   if cell["port_directions"][port] == "input" for bit in bits)
    read.update(bit for port in module["ports"].values() for bit in port["bits"])
    tables = {}
    for name, cell in cells.items():
        if cell["type"] != "CCU2C":
            continue
        constants = [cell["connections"][port][0] for port in ("CIN", "C0", "D0")]
        if set(constants) <= {"0", "1"} and cell["parameters"]["INJECT1_0"].strip() == "NO":
            if table := _begin(cell, read, *(bit == "1" for bit in constants)):
                tables[f"{name}_first_sum"] = table
        if not read[cell["connections"].get("COUT", [None])[0]]:
            cell["connections"].pop("COUT", None)
            cell["port_directions"].pop("COUT", None)
    cells.update(tables)
    return len(tables)
