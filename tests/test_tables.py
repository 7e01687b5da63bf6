# SPDX-License-Identifier: Apache-2.0
"""Lookup tables go into those behind them and into carry chains, and what the netlist computes stays."""

import random
import sys
from itertools import product
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))
import tables

INPUTS = 6  # nets 2 to 7


def lut(rows, inputs, output):
    return {"type": "LUT4", "parameters": {"INIT": f"{rows:016b}"},
            "port_directions": dict.fromkeys("ABCD", "input") | {"Z": "output"},
            "connections": {port: [bit] for port, bit in zip("ABCDZ", [*inputs, output], strict=True)}}


def adder(first, second, sums, carry, carry_in="0"):
    """Two bits of A + B, or with C = 1 (second[1]) of A - B, as yosys maps $alu."""
    cell = {"type": "CCU2C", "parameters": {"INIT0": f"{0x96AA:016b}", "INIT1": f"{0x96AA:016b}", "INJECT1_0": "NO", "INJECT1_1": "NO"},
            "port_directions": {"CIN": "input", "COUT": "output"}, "connections": {"CIN": [carry_in], "COUT": [carry]}}
    for half, (a, b, c), output in (("0", first, sums[0]), ("1", second, sums[1])):
        for port, bit in zip("ABCDS", [a, b, c, "1", output], strict=True):
            cell["connections"][port + half] = [bit]
            cell["port_directions"][port + half] = "output" if port == "S" else "input"
    return cell


def values(module, inputs):
    """Every net's value: the function of a CCU2C is that of Project Trellis's and yosys's descriptions."""
    known = {"0": 0, "1": 1} | inputs

    def look(rows, *pins):
        return rows >> sum(known[pin] << place for place, pin in enumerate(pins)) & 1

    waiting = list(module["cells"].values())
    while waiting:
        later = []
        for cell in waiting:
            pins = {port: bits[0] for port, bits in cell["connections"].items()}
            if any(pins[port] not in known for port, way in cell["port_directions"].items() if way == "input"):
                later.append(cell)
            elif cell["type"] == "LUT4":
                known[pins["Z"]] = look(int(cell["parameters"]["INIT"], 2), *(pins[port] for port in "ABCD"))
            else:
                carry = known[pins["CIN"]]
                for half in "01":
                    rows = int(cell["parameters"][f"INIT{half}"], 2)
                    passes = look(rows, *(pins[port + half] for port in "ABCD"))
                    makes = look(rows & 15, pins["A" + half], pins["B" + half])
                    known[pins["S" + half]] = passes ^ carry
                    carry = carry if passes else makes
                known[pins["COUT"]] = carry
        assert len(later) < len(waiting), "a loop"
        waiting = later
    return known


def outputs(module):
    bits = module["ports"]["out"]["bits"]
    return [[values(module, dict(enumerate(row, 2)))[bit] for bit in bits] for row in product((0, 1), repeat=INPUTS)]


def module(cells, *bits):
    return {"cells": cells, "ports": {"out": {"bits": list(bits)}}}


def netlist(seed):
    """Tables and adders of random functions, some with inputs that are constant, the same, or do not matter."""
    dice = random.Random(seed)
    nets, cells, new = list(range(2, 2 + INPUTS)), {}, 100

    def pin():
        return dice.choice("01") if dice.random() < 0.25 else dice.choice(nets[-8:])

    for number in range(14):
        if dice.random() < 0.6:
            cells[f"lut{number}"] = lut(dice.getrandbits(16), [pin() for _ in range(4)], new)
            nets.append(new)
        else:
            halves = [(pin(), pin(), dice.choice("01")) for _ in "01"]
            cells[f"sum{number}"] = adder(*halves, (new, new + 1), new + 2, pin())
            nets += [new, new + 1, new + 2]
        new += 3
    return module(cells, *nets[-6:])


@pytest.mark.parametrize("seed", range(40))
def test_a_random_netlist_computes_the_same_with_fewer_tables(seed):
    chip = netlist(seed)
    before, tables_before = outputs(chip), sum(cell["type"] == "LUT4" for cell in chip["cells"].values())
    spared = tables.merge_tables(chip) + tables.enter_carries(chip)
    assert outputs(chip) == before
    assert spared == tables_before - sum(cell["type"] == "LUT4" for cell in chip["cells"].values())


def test_some_random_netlists_lose_tables_both_ways():
    chips = [netlist(seed) for seed in range(40)]
    assert sum(map(tables.merge_tables, chips)) > 20
    assert sum(map(tables.enter_carries, chips)) > 10


@pytest.mark.parametrize("wide, spared", [([10, 3, 4, 5], 1), ([10, 4, 5, 6], 0)])
def test_a_table_goes_into_those_behind_it_if_all_have_room(wide, spared):
    first, second, third = lut(0x8888, [2, 3, "0", "0"], 10), lut(0x6666, [10, 4, "0", "0"], 11), lut(0x8000, wide, 12)
    chip = module({"first": first, "second": second, "third": third}, 11, 12)
    before = outputs(chip)
    assert tables.merge_tables(chip) == spared and len(chip["cells"]) == 3 - spared
    assert outputs(chip) == before


@pytest.mark.parametrize("subtract", "01")
@pytest.mark.parametrize("operand", [0, 1])
@pytest.mark.parametrize("other", [4, "0", "1"])
def test_a_table_goes_into_the_carry_chain_behind_it(operand, other, subtract):
    pins = (10, other) if operand == 0 else (other, 10)
    chip = module({"xor": lut(0x6666, [2, 3, "0", "0"], 10), "sum": adder((*pins, subtract), (5, 6, subtract), (20, 21), 22, 7)},
                  20, 21, 22)
    before = outputs(chip)
    assert tables.enter_carries(chip) == 1 and set(chip["cells"]) == {"sum"}
    assert outputs(chip) == before


@pytest.mark.parametrize("change", [
    lambda chip: chip["ports"]["out"]["bits"].append(10),  # seen from outside
    lambda chip: chip["cells"]["sum"]["connections"].update(B1=[10]),  # needed twice
    lambda chip: chip["cells"]["sum"]["parameters"].update(INIT0=f"{0x9699:016b}"),  # not yosys's adder
    lambda chip: chip["cells"]["sum"]["connections"].update(C0=[5]),
    lambda chip: chip["cells"]["sum"]["connections"].update(D0=["0"]),
    lambda chip: chip["cells"]["sum"]["connections"].update(A0=[10]),  # twice by the same half
    lambda chip: chip["cells"]["xor"].update(lut(0x6996, [2, 3, 5, "0"], 10)),  # too wide
])
def test_what_the_carry_chain_cannot_take_stays(change):
    chip = module({"xor": lut(0x6666, [2, 3, "0", "0"], 10), "sum": adder((4, 10, "0"), (5, 6, "0"), (20, 21), 22)}, 20, 21, 22)
    change(chip)
    before = outputs(chip)
    assert tables.enter_carries(chip) == 0 and set(chip["cells"]) == {"xor", "sum"}
    assert outputs(chip) == before
