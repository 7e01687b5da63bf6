# SPDX-License-Identifier: Apache-2.0
"""A flat netlist as yosys writes it: who drives a net and who takes it, and copies of cells."""


class Netlist:
    """The cells of a module of primitives, changed in place; nets by their numbers."""

    def __init__(self, module: dict):
        self.cells = module["cells"]
        self.driver: dict[object, tuple[str, str]] = {}
        self.loads: dict[object, list[tuple[str, str]]] = {}
        self.unused = 1 + max(bit for cell in self.cells.values() for bits in cell["connections"].values()
                              for bit in bits if isinstance(bit, int))
        self.luts = 0  # that were added
        for name in self.cells:
            self._enter(name)

    def _enter(self, name: str) -> None:
        cell = self.cells[name]
        for port, bits in cell["connections"].items():
            for bit in bits:
                if isinstance(bit, int) and cell["port_directions"][port] == "output":
                    self.driver[bit] = (name, port)
                elif isinstance(bit, int):
                    self.loads.setdefault(bit, []).append((name, port))

    def type(self, bit: object) -> str:
        """Return the type of the cell that drives a net; "" if none does."""
        return self.cells[self.driver[bit][0]]["type"] if bit in self.driver else ""

    def copy(self, bit: object, suffix: str, kinds: tuple[str, ...], made: dict) -> object:
        """Return the output of a copy of the cell that drives `bit` and of what it gets from cells of these kinds; `made`: by then."""
        if bit not in made:
            name, port = self.driver[bit]
            cell, new = self.cells[name], f"{name}_{suffix}"
            connections = {key: [self.copy(value, suffix, kinds, made) if self.type(value) in kinds else value for value in bits]
                           for key, bits in cell["connections"].items() if key != port}
            made[bit] = self.unused
            self.unused += 1
            self.cells[new] = {**cell, "attributes": dict(cell["attributes"]), "connections": {**connections, port: [made[bit]]}}
            self.luts += cell["type"] == "LUT4"
            self._enter(new)
        return made[bit]

    def move(self, bit: object, to: object, loads: list[tuple[str, str]]) -> None:
        """Let `to` drive these loads of `bit`."""
        for name, port in loads:
            connections = self.cells[name]["connections"]
            connections[port] = [to if value == bit else value for value in connections[port]]
        self.loads.setdefault(to, []).extend(loads)
        self.loads[bit] = [load for load in self.loads[bit] if load not in loads]
