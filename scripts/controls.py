# SPDX-License-Identifier: Apache-2.0
"""Resets, enables and wide multiplexers of a flat netlist.

Inverters go into the registers, wide resets onto the global network; a slice's multiplexer gets lookup tables for itself.
"""

from copy import deepcopy

RESET_LOADS = 400  # a reset of more registers takes the global network
GLOBALS = 12       # of 16; clocks need some


def _inverted(cell: dict) -> int | None:
    """Return the net that a lookup table only inverts; None if it does anything else."""
    inputs = [(place, cell["connections"][port][0]) for place, port in enumerate("ABCD")]
    nets = [(place, bit) for place, bit in inputs if isinstance(bit, int)]
    if cell["type"] != "LUT4" or len(nets) != 1:
        return None
    place, net = nets[0]
    row = sum(1 << other for other, bit in inputs if bit == "1")
    table = int(cell["parameters"]["INIT"], 2)
    return net if table >> row & 1 and not table >> (row | 1 << place) & 1 else None


def absorb_inverters(module: dict) -> int:
    """Let registers invert their reset and enable themselves, instead of a table before them; return how many tables that spares."""
    cells = module["cells"]
    inverters = {cell["connections"]["Z"][0]: (name, net) for name, cell in cells.items()
                 if cell["type"] == "LUT4" and (net := _inverted(cell)) is not None}
    for cell in cells.values():
        for port in ("LSR", "CE") if cell["type"] == "TRELLIS_FF" else ():
            bit, mux = cell["connections"].get(port, ["0"])[:1], f"{port}MUX"
            if bit and bit[0] in inverters and cell["parameters"].get(mux, port).strip() == port:
                cell["connections"][port] = [inverters[bit[0]][1]]
                cell["parameters"][mux] = "INV"
    used = {bit for cell in cells.values() for port, bits in cell["connections"].items()
            if cell["port_directions"][port] == "input" for bit in bits}
    used |= {bit for port in module["ports"].values() for bit in port["bits"]}
    spared = [name for bit, (name, _) in inverters.items() if bit not in used]
    for name in spared:
        del cells[name]
    return len(spared)


def promote_resets(module: dict) -> int:
    """Drive the resets of many registers through the global network; return how many."""
    loads: dict[int, list[dict]] = {}
    for cell in module["cells"].values():
        if cell["type"] == "TRELLIS_FF":
            for bit in cell["connections"].get("LSR", []):
                loads.setdefault(bit, []).append(cell)
    wide = sorted((bit for bit in loads if isinstance(bit, int) and len(loads[bit]) >= RESET_LOADS), key=lambda bit: -len(loads[bit]))
    new = 1 + max(bit for net in module["netnames"].values() for bit in net["bits"] if isinstance(bit, int))
    for number, bit in enumerate(wide[:GLOBALS], new):
        for cell in loads[bit]:
            cell["connections"]["LSR"] = [number]
        module["netnames"][f"global_reset{number}"] = {"hide_name": 0, "bits": [number], "attributes": {}}
        module["cells"][f"global_reset{number}_buffer"] = {
            "hide_name": 0, "type": "DCCA", "parameters": {}, "attributes": {},
            "port_directions": {"CLKI": "input", "CE": "input", "CLKO": "output"},
            "connections": {"CLKI": [bit], "CE": ["1"], "CLKO": [number]}}
    return len(wide[:GLOBALS])


def split_muxed_tables(module: dict) -> int:
    """Give each PFUMX lookup tables that drive nothing else, copies where needed; return how many.

    A slice's table and the multiplexer behind it leave the slice through one wire: nextpnr places both there and cannot route them.
    """
    cells, loads = module["cells"], {}
    drivers = {cell["connections"]["Z"][0]: name for name, cell in cells.items() if cell["type"] == "LUT4"}
    for cell in cells.values():
        for port, bits in cell["connections"].items():
            if cell["port_directions"][port] == "input":
                for bit in bits:
                    loads[bit] = loads.get(bit, 0) + 1
    for port in module["ports"].values():
        for bit in port["bits"]:
            loads[bit] = loads.get(bit, 0) + 1
    new = 1 + max(bit for net in module["netnames"].values() for bit in net["bits"] if isinstance(bit, int))
    copies = 0
    for name, cell in list(cells.items()):
        for port in ("ALUT", "BLUT") if cell["type"] == "PFUMX" else ():
            bit = cell["connections"][port][0]
            if bit not in drivers or loads[bit] == 1:
                continue
            copy = deepcopy(cells[drivers[bit]])
            copy["connections"]["Z"] = cell["connections"][port] = [new]
            loads[bit], loads[new] = loads[bit] - 1, 1
            own = f"{name}_{port}_own{new}"  # yosys gives names that end like {name}_{port} itself
            cells[own] = copy
            module["netnames"][f"{own}_Z"] = {"hide_name": 1, "bits": [new], "attributes": {}}
            new, copies = new + 1, copies + 1
    return copies
