# SPDX-License-Identifier: Apache-2.0
"""A multiplier takes the register behind it only when that is all the same."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))
import products


def netlist(loads=((("ff", "DI"),),) * 4, **changes):
    """A multiplier with the products 10 to 13 and what takes each of them: flip-flops with outputs 20 to 23, or others."""
    cells = {"product": {"type": "MULT18X18D", "parameters": {}, "attributes": {},
                         "port_directions": {"A0": "input"} | {f"P{n}": "output" for n in range(4)},
                         "connections": {"A0": [5]} | {f"P{n}": [10 + n] for n in range(4)}}}
    for n, takers in enumerate(loads):
        for kind, port in takers:
            connections = {"CLK": [2], "CE": [3], "LSR": ["0"], port: [10 + n], "Q": [20 + n]} | (changes if n == 2 else {})
            cells[f"{kind}{n}"] = {"type": {"ff": "TRELLIS_FF", "lut": "LUT4"}[kind], "attributes": {}, "parameters": {"CEMUX": "CE"},
                                   "port_directions": {name: "output" if name == "Q" else "input" for name in connections},
                                   "connections": connections}
    return {"cells": cells, "netnames": {}, "ports": {}}


def test_a_product_that_enters_a_register_takes_the_multipliers_own():
    module = netlist()
    assert products.pack_products(module) == 1
    assert list(module["cells"]) == ["product"]
    cell = module["cells"]["product"]
    assert [cell["connections"][f"P{n}"] for n in range(4)] == [[20], [21], [22], [23]]
    assert (cell["connections"]["CLK0"], cell["connections"]["CE0"], cell["connections"]["RST0"]) == ([2], [3], ["0"])
    assert (cell["parameters"]["REG_OUTPUT_CLK"], cell["parameters"]["REG_OUTPUT_CE"]) == ("CLK0", "CE0")


def test_a_register_without_enable_is_always_enabled():
    module = netlist()
    for name in ("ff0", "ff1", "ff2", "ff3"):
        module["cells"][name]["parameters"]["CEMUX"] = "1 "
    assert products.pack_products(module) == 1
    assert module["cells"]["product"]["connections"]["CE0"] == ["1"]


@pytest.mark.parametrize("module", [
    netlist(((("ff", "DI"),), (("lut", "A"),), (("ff", "DI"),), (("ff", "M"),))),  # one bit used at once
    netlist(((("ff", "DI"), ("lut", "A")),) + ((("ff", "DI"),),) * 3),  # and in a register
    netlist(LSR=[7]),
    netlist(CE=[8]),
    netlist(CLK=[9]),
], ids=["no register", "used twice", "reset", "two enables", "two clocks"])
def test_other_products_are_left_alone(module):
    before = {name: dict(cell["connections"]) for name, cell in module["cells"].items()}
    assert products.pack_products(module) == 0
    assert {name: cell["connections"] for name, cell in module["cells"].items()} == before
