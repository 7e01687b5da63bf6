# SPDX-License-Identifier: Apache-2.0
"""Carry chains whose ends were taken off add, subtract and compare as before."""

import itertools
import sys
from copy import deepcopy
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))
import carries

ADD = 0b1001011010101010  # as synthesis makes it: B inverted if C; D is 1, the two-input table A


def chain(width, carry, invert, sums, carry_out):
    """A module that adds (or with `invert` and a carry subtracts) two numbers: a in nets 100 on, b in 200 on, the sum in 300 on."""
    cells, number = {}, -(-width // 2)
    for index in range(number):
        connections = {"CIN": [carry if index == 0 else 400 + index], "COUT": [401 + index]}
        for half in range(2):
            bit = 2 * index + half
            inside = bit < width
            connections |= {f"A{half}": [100 + bit if inside else "0"], f"B{half}": [200 + bit if inside else "0"],
                            f"C{half}": ["1" if invert else "0"], f"D{half}": ["1"], f"S{half}": [300 + bit]}
        cells[f"c{index}"] = {
            "type": "CCU2C", "connections": connections,
            "parameters": {"INIT0": f"{ADD:016b}", "INIT1": f"{ADD:016b}", "INJECT1_0": "NO", "INJECT1_1": "NO"},
            "port_directions": {port: "output" if port in ("S0", "S1", "COUT") else "input" for port in connections}}
    outputs = [300 + bit for bit in range(width) if sums] + [400 + number] * carry_out
    return {"cells": cells, "ports": {"out": {"bits": outputs}}}, outputs


def value(module, nets):
    """Return all nets, from a chain that begins with what nobody knows if nothing is connected there."""
    nets = dict(nets)

    def at(cell, port, unconnected):
        bit = cell["connections"].get(port, [unconnected])[0]
        return nets[bit] if isinstance(bit, int) else int(bit)

    for guess in (0, 1):  # of a carry that is not connected: the results may not depend on it
        for cell in module["cells"].values():
            if cell["type"] == "LUT4":
                row = sum(at(cell, port, "1") << place for place, port in enumerate("ABCD"))
                made = {"Z": int(cell["parameters"]["INIT"], 2) >> row & 1}
            else:
                carry, made = at(cell, "CIN", str(guess)), {}
                for half in range(2):
                    table = int(cell["parameters"][f"INIT{half}"], 2)
                    inputs = [at(cell, f"{port}{half}", "1") for port in "ABCD"]
                    four = table >> sum(bit << place for place, bit in enumerate(inputs)) & 1
                    made[f"S{half}"] = four ^ carry
                    carry = carry if four else table >> (inputs[0] + 2 * inputs[1]) & 1
                made["COUT"] = carry
            for port, bit in made.items():
                for net in cell["connections"].get(port, []):
                    assert guess == 0 or nets[net] == bit, "depends on a carry that is not connected"
                    nets[net] = bit
    return nets


@pytest.mark.parametrize("carry", "01")
@pytest.mark.parametrize("invert", [False, True])
@pytest.mark.parametrize("sums, carry_out", [(True, False), (False, True), (True, True)])
@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_results_are_those_of_before(width, carry, invert, sums, carry_out):
    before, outputs = chain(width, carry, invert, sums, carry_out)
    after = deepcopy(before)
    assert carries.shorten(after) == int(sums)  # a table for the first sum
    assert all(cell["connections"].get("CIN") not in (["0"], ["1"]) for cell in after["cells"].values())
    assert ("COUT" in list(after["cells"].values())[-(-width // 2) - 1]["connections"]) == carry_out
    for a, b in itertools.product(range(1 << width), repeat=2):
        nets = {100 + bit: a >> bit & 1 for bit in range(width)} | {200 + bit: b >> bit & 1 for bit in range(width)}
        old, new = value(before, nets), value(after, nets)
        assert [new[bit] for bit in outputs] == [old[bit] for bit in outputs]
        if sums:
            other = ~b & (1 << width) - 1 if invert else b
            assert sum(new[300 + bit] << bit for bit in range(width)) == (a + other + int(carry)) % (1 << width)


def test_a_chain_that_begins_with_a_signal_keeps_its_beginning():
    module, _ = chain(4, 99, False, True, False)
    cell = deepcopy(module["cells"]["c0"])
    assert carries.shorten(module) == 0
    assert module["cells"]["c0"] == cell
