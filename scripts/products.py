# SPDX-License-Identifier: Apache-2.0
"""Registers behind the products of a flat netlist: a multiplier has its own."""

import re


def _register(cells: dict, loads: dict, product: int) -> str | None:
    """Return the flip-flop that alone takes this bit of a product, if it has neither reset nor an inverted clock or enable."""
    if len(found := loads.get(product, [])) != 1:
        return None
    name, port = found[0]
    cell = cells[name]
    plain = {"CLKMUX": ("CLK",), "CEMUX": ("CE", "1")}
    if cell["type"] != "TRELLIS_FF" or port not in ("DI", "M") or cell["connections"].get("LSR", ["0"]) not in (["0"], []):
        return None
    return name if all(cell["parameters"].get(key, values[0]).strip() in values for key, values in plain.items()) else None


def pack_products(module: dict) -> int:
    """Let multipliers whose whole product enters a register use the one that they have; return how many.

    Synthesis leaves that register in the fabric, where up to 36 wires lead to it.
    """
    cells = module["cells"]
    loads: dict[object, list[tuple[str, str]]] = {}
    for name, cell in cells.items():
        for port, bits in cell["connections"].items():
            for bit in bits if cell["port_directions"][port] == "input" else ():
                loads.setdefault(bit, []).append((name, port))
    outputs = {bit for port in module["ports"].values() for bit in port["bits"]}
    packed = 0
    for cell in [cell for cell in cells.values() if cell["type"] == "MULT18X18D"]:
        products = {port: bits[0] for port, bits in cell["connections"].items()
                    if re.fullmatch(r"P\d+", port) and bits and (bits[0] in loads or bits[0] in outputs)}
        registers = {port: _register(cells, loads, bit) for port, bit in products.items()}
        if not registers or None in registers.values() or outputs & set(products.values()):
            continue
        controls = {(ff["connections"]["CLK"][0], ff["connections"]["CE"][0] if ff["parameters"].get("CEMUX", "CE") == "CE" else "1")
                    for ff in (cells[name] for name in registers.values())}
        if len(controls) != 1:
            continue
        clock, enable = controls.pop()
        cell["parameters"] |= {"REG_OUTPUT_CLK": "CLK0", "REG_OUTPUT_CE": "CE0", "REG_OUTPUT_RST": "RST0"}
        cell["connections"] |= {"CLK0": [clock], "CE0": [enable], "RST0": ["0"]}
        cell["port_directions"] |= {"CLK0": "input", "CE0": "input", "RST0": "input"}
        for port, name in registers.items():
            cell["connections"][port] = cells.pop(name)["connections"]["Q"]
        packed += 1
    return packed
