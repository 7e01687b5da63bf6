# SPDX-License-Identifier: Apache-2.0
"""Copies of cells in the netlist: who gets one, and that nothing else changes."""

import replicate


def cell(kind, output, **connections):
    directions = {name: "output" if name == output else "input" for name in connections}
    bits = {name: bit if isinstance(bit, list) else [bit] for name, bit in connections.items()}
    return {"type": kind, "attributes": {}, "port_directions": directions, "connections": bits}


def test_the_upper_half_of_a_banks_lanes_gets_addresses_of_its_own():
    cells = {"row": cell("TRELLIS_FF", "Q", Q=10), "hit": cell("LUT4", "Z", A=10, B=11, Z=20),
             "address": cell("PFUMX", "Z", ALUT=20, C0=12, Z=21)}
    for part in range(8):
        cells[f"dut.u_scratchpad.g_bank[0].mem_q.0.{part}"] = cell("DP16KD", "DOA0", ADA0=21, CEB=20, DIA0=20, DOA0=100 + part)
    assert replicate.split_banks({"cells": cells}) == 1
    lower, upper = (cells[f"dut.u_scratchpad.g_bank[0].mem_q.0.{part}"]["connections"] for part in (3, 4))
    assert (lower["ADA0"], lower["CEB"], upper["DIA0"]) == ([21], [20], [20])
    copy = cells["hit_upper"]["connections"]
    assert (copy["A"], copy["B"], copy["Z"]) == ([10], [11], upper["CEB"])
    assert cells["address_upper"]["connections"] == {"ALUT": upper["CEB"], "C0": [12], "Z": upper["ADA0"]}
    assert len({21, 20, *upper["ADA0"], *upper["CEB"]}) == 4


def lanes(fan_out, register="dut.u_gemm.u_drain.valid_q"):
    """A register, a LUT after it, and in each of eight lanes `fan_out` registers that this LUT enables."""
    cells = {register: cell("TRELLIS_FF", "Q", CLK=2, DI=3, Q=10), "dut.enable": cell("LUT4", "Z", A=10, B=4, Z=11)}
    for lane in range(8):
        for n in range(fan_out):
            cells[f"dut.u_gemm.u_drain.gen_lane[{lane}].u_lane.q{n}"] = cell("TRELLIS_FF", "Q", CLK=2, CE=11, DI=5, Q=100 + 50 * lane + n)
    return cells


def test_each_pair_of_lanes_gets_an_enable_of_its_own():
    cells = lanes(4)
    assert replicate.spread_lanes({"cells": cells}) == 4
    enables = [cells[f"dut.u_gemm.u_drain.gen_lane[{lane}].u_lane.q{n}"]["connections"]["CE"][0] for lane in range(8) for n in range(4)]
    assert len(set(enables)) == 4 and 11 not in enables
    assert enables == [enables[8 * (k // 8)] for k in range(32)]
    copies = [copy for copy in cells.values() if copy["type"] == "LUT4" and copy["connections"]["Z"] != [11]]
    assert sorted(copy["connections"]["Z"][0] for copy in copies) == sorted(set(enables))
    assert all(copy["connections"]["B"] == [4] for copy in copies)


def test_what_drives_few_is_not_copied():
    cells = lanes(2)
    before = {name: dict(body["connections"]) for name, body in cells.items()}
    assert replicate.spread_lanes({"cells": cells}) == 0
    assert {name: body["connections"] for name, body in cells.items()} == before


def test_a_bus_port_keeps_its_other_bits():
    cells = {"line": cell("TRELLIS_FF", "Q", CLK=2, DI=3, Q=10)}
    for k in range(8):
        for n in range(2):
            memory = cell("TRELLIS_DPR16X4", "DO", RAD=[10, 7, 8, "0"], DO=[50 + 2 * k + n])
            cells[f"dut.u_feed.u_fetch_a.u_transpose.gen_memory[{k}].mem.{n}"] = memory
    assert replicate.spread_lanes({"cells": cells}) == 0  # registers are no LUTs
    ports = [body["connections"]["RAD"] for name, body in cells.items() if "gen_memory" in name]
    assert all(port[1:] == [7, 8, "0"] for port in ports)
    assert len({port[0] for port in ports}) == 4


def test_each_unit_gets_a_reset_register_of_its_own():
    cells = {"dut.rst_n": cell("TRELLIS_FF", "Q", CLK=2, DI=3, Q=10), "dut.other": cell("TRELLIS_FF", "Q", CLK=2, DI=3, Q=11)}
    units = ("u_ctrl", "u_dma", "u_gemm", "u_policy", "u_update")
    for n, unit in enumerate(units):
        cells[f"dut.{unit}.reset"] = cell("LUT4", "Z", A=10, B=11 if n < 4 else 12, Z=20 + n)
    assert replicate.spread_resets({"cells": cells}) == 4
    resets = [cells[f"dut.{unit}.reset"]["connections"]["A"][0] for unit in units]
    assert len(set(resets)) == 5 and resets[0] == 10
    assert [cells[f"dut.{unit}.reset"]["connections"]["B"] for unit in units] == [[11]] * 4 + [[12]]
    copies = [body["connections"] for body in cells.values() if body["type"] == "TRELLIS_FF" and body["connections"]["Q"][0] in resets]
    assert all((copy["CLK"], copy["DI"]) == ([2], [3]) for copy in copies) and len(copies) == 5
