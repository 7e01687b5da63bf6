# SPDX-License-Identifier: Apache-2.0
"""What the placer is told: every multiplier a site of its own, neighbors in the array beside each other."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))
import floorplan


def netlist(others=50):
    """The multipliers of a chip with 8 lanes: the array's 64, its edges, the drain's, and others."""
    module = {"cells": {}, "netnames": {}}
    bit = 2

    def multiplier(name, net, index, width):
        nonlocal bit
        module["netnames"].setdefault(net, {"bits": []})["bits"] += range(bit, bit + width)
        module["cells"][name] = {"type": "MULT18X18D", "attributes": {}, "connections": {"P0": [bit], "A0": []}}
        bit += width

    for n in range(64):
        multiplier(f"dut.u_gemm.u_array.u_cells.product_d_{n}", "dut.u_gemm.u_array.u_cells.product_d", n, 32)
    for kind in ("side", "edge"):
        for n in range(8):
            multiplier(f"dut.u_gemm.u_array.{kind}_product_d_{n}", f"dut.u_gemm.u_array.{kind}_product_d", n, 18)
    for n in range(32):
        multiplier(f"dut.u_gemm.u_drain.gen_lane[{n // 4}].u_lane.{n % 4}", f"lane{n}", 0, 36)
    for n in range(others):
        multiplier(f"dut.u_{'update.u_prepare' if n % 2 else 'policy'}.{n}", f"other{n}", 0, 36)
    return module


def test_every_multiplier_has_a_site_of_its_own():
    module = netlist(40)
    assert floorplan.place_multipliers(module) == 152
    sites = [cell["attributes"]["BEL"] for cell in module["cells"].values()]
    assert len(set(sites)) == 152
    assert set(sites) <= {floorplan.site(row, block, place) for row in range(3) for block in range(13) for place in range(4)}


def test_columns_of_the_array_lie_side_by_side():
    module = netlist(8)
    floorplan.place_multipliers(module)

    def at(n):
        return module["cells"][f"dut.u_gemm.u_array.u_cells.product_d_{n}"]["attributes"]["BEL"]

    assert [at(8 * i) for i in range(4)] == [floorplan.site(1, 0, i) for i in range(4)]
    assert [at(8 * 5 + j) for j in range(8)] == [floorplan.site(2, block, 1) for block in floorplan.COLUMNS]


def test_lanes_of_the_optimizer_lie_in_one_row():
    module = netlist(0)
    for n in range(16):
        name = f"dut.u_update.u_step.g_lane[{n // 2}].u_lane.{n % 2}"
        module["cells"][name] = {"type": "MULT18X18D", "attributes": {}, "connections": {}}
    floorplan.place_multipliers(module)
    sites = [module["cells"][f"dut.u_update.u_step.g_lane[{n // 2}].u_lane.{n % 2}"]["attributes"]["BEL"] for n in range(16)]
    assert sites == [floorplan.site(*home, place) for home in floorplan.OPTIMIZER for place in range(4)]


def test_a_lane_of_the_optimizer_is_known_by_its_product():
    module = netlist(0)
    module["netnames"]["dut.u_update.u_step.u_adam.product_i"] = {"bits": [*range(9000, 9280)]}
    module["cells"]["dut.u_update.u_step.u_adam.product_i_MULT18X18D_P0"] = {
        "type": "MULT18X18D", "attributes": {}, "connections": {"P0": [9000 + 35 * 5]}}
    floorplan.place_multipliers(module)
    site = module["cells"]["dut.u_update.u_step.u_adam.product_i_MULT18X18D_P0"]["attributes"]["BEL"]
    assert site == floorplan.site(*floorplan.OPTIMIZER[2], 0)


def test_banks_with_another_name_are_an_error():
    with pytest.raises(ValueError, match="no bank of the scratchpad is named as it expects"):
        floorplan.place_memories({"cells": memories("dut.u_scratchpad.u_new.g_bank[0].mem_q.0.", 8)}, 8)


def test_too_many_of_one_place_is_an_error():
    module = netlist(0)
    module["cells"]["dut.u_gemm.u_drain.gen_lane[0].u_lane.5"] = {"type": "MULT18X18D", "attributes": {}, "connections": {}}
    with pytest.raises(ValueError, match="does not know"):
        floorplan.place_multipliers(module)


def test_a_unit_without_the_array_is_left_to_the_placer():
    module = netlist(0)
    module["cells"] = {"dut.u_policy.0": {"type": "MULT18X18D", "attributes": {}, "connections": {}}}
    assert floorplan.place_multipliers(module) == 0


def memories(name, count):
    return {f"{name}{n}": {"type": "DP16KD", "attributes": {}, "connections": {}} for n in range(count)}


def test_a_lane_of_the_scratchpad_lies_in_one_block_in_all_banks():
    cells = {}
    for bank in range(8):
        cells |= memories(f"dut.u_scratchpad.u_banks.g_bank[{bank}].mem_q.0.", 8)
        cells |= memories(f"dut.u_gemm.u_collect.gen_column[{bank}].u_rows.g_any.mem_q.0.", 2)
        cells |= memories(f"dut.u_gemm.u_drain.gen_lane[{bank}].u_lane.u_tanh.rom.0.", 1)
    cells |= memories("dut.u_ctrl.u_perf.count_mem.0.", 1)
    assert floorplan.place_memories({"cells": cells}, 8) == 88
    at = {name: cell["attributes"].get("BEL") for name, cell in cells.items()}
    assert at["dut.u_ctrl.u_perf.count_mem.0.0"] is None
    assert len(set(at.values())) == 89
    assert {at[f"dut.u_scratchpad.u_banks.g_bank[{bank}].mem_q.0.3"] for bank in range(8)} == {
        floorplan.memory_site(row, floorplan.COLUMNS[3], place) for row, places in ((1, 2), (2, 4), (3, 2)) for place in range(places)}
    assert at["dut.u_scratchpad.u_banks.g_bank[2].mem_q.0.0"] == "X4/Y70/EBR0"


def test_with_four_lanes_only_the_banks_are_placed():
    cells = memories("dut.u_policy.u_score.u_ram.", 4)
    for bank in range(8):
        cells |= memories(f"dut.u_scratchpad.u_banks.g_bank[{bank}].mem_q.0.", 4)
    assert floorplan.place_memories({"cells": cells}, 4) == 32
    at = {name: cell["attributes"].get("BEL") for name, cell in cells.items()}
    assert {at[f"dut.u_scratchpad.u_banks.g_bank[{bank}].mem_q.0.2"] for bank in range(8)} == {
        floorplan.memory_site(row, 7, place) for row in (1, 2) for place in range(4)}
    assert len(set(at.values())) == 33


def test_memories_of_a_group_lie_together_and_some_may_be_left():
    cells = memories("dut.u_policy.u_score.u_ram.", 40) | memories("dut.u_policy.u_read.u_ram.", 1) | memories("dut.u_other.u_ram.", 1)
    assert floorplan.place_memories({"cells": cells}, 8)
    bound = {name for name, cell in cells.items() if "BEL" in cell["attributes"]}
    (_, apart), (_, rest) = floorplan.GROUPS[-2:]
    assert len(bound) == len(rest) + 1 < 42
    assert cells["dut.u_policy.u_read.u_ram.0"]["attributes"]["BEL"] == floorplan.memory_site(*apart[0])
    assert "dut.u_other.u_ram.0" not in bound


def test_two_memories_in_one_place_are_an_error():
    cells = memories("dut.u_gemm.u_collect.gen_column[0].u_a.mem_q.0.", 1) | memories("dut.u_gemm.u_collect.gen_column[0].u_b.mem_q.0.", 1)
    with pytest.raises(ValueError, match="two want one site"):
        floorplan.place_memories({"cells": cells}, 8)


def products(loads=((("ff", "DI"),),) * 4, **changes):
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
    module = products()
    assert floorplan.pack_products(module) == 1
    assert list(module["cells"]) == ["product"]
    cell = module["cells"]["product"]
    assert [cell["connections"][f"P{n}"] for n in range(4)] == [[20], [21], [22], [23]]
    assert (cell["connections"]["CLK0"], cell["connections"]["CE0"], cell["connections"]["RST0"]) == ([2], [3], ["0"])
    assert (cell["parameters"]["REG_OUTPUT_CLK"], cell["parameters"]["REG_OUTPUT_CE"]) == ("CLK0", "CE0")


def test_a_register_without_enable_is_always_enabled():
    module = products()
    for name in ("ff0", "ff1", "ff2", "ff3"):
        module["cells"][name]["parameters"]["CEMUX"] = "1 "
    assert floorplan.pack_products(module) == 1
    assert module["cells"]["product"]["connections"]["CE0"] == ["1"]


@pytest.mark.parametrize("module", [
    products(((("ff", "DI"),), (("lut", "A"),), (("ff", "DI"),), (("ff", "M"),))),  # one bit used at once
    products(((("ff", "DI"), ("lut", "A")),) + ((("ff", "DI"),),) * 3),  # and in a register
    products(LSR=[7]),
    products(CE=[8]),
    products(CLK=[9]),
], ids=["no register", "used twice", "reset", "two enables", "two clocks"])
def test_other_products_are_left_alone(module):
    before = {name: dict(cell["connections"]) for name, cell in module["cells"].items()}
    assert floorplan.pack_products(module) == 0
    assert {name: cell["connections"] for name, cell in module["cells"].items()} == before
