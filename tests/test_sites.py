# SPDX-License-Identifier: Apache-2.0
"""Sites of multipliers and memories: one for each, near what they are wired to, the same for the same seed."""

import json
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))
import bitstream
import sites

from lathe.boards import BOARDS

TILE = re.compile(r"X(\d+)/Y(\d+)/")


def cell(kind, bel, **nets):
    return {"type": kind, "attributes": {"NEXTPNR_BEL": bel} if bel else {}, "connections": {port: [net] for port, net in nets.items()}}


def chip(memories=20, multipliers=20, seed=1):
    """Blocks on random sites, each wired to registers in another corner, to the next block and to the clock."""
    dice = random.Random(seed)
    names = sites._names()
    cells, net = {"clock": cell("DCCA", "X0/Y47/LDCC0", CLKO=2)}, 10
    for kind, count in (("DP16KD", memories), ("MULT18X18D", multipliers)):
        for number, site in enumerate(dice.sample(names[kind], count)):
            cells[f"{kind}{number}"] = cell(kind, site, CLK=2, A=net, B=net + 1, C=net + 2)
            at = f"X{dice.randrange(90)}/Y{dice.randrange(60)}/SLICEA.FF0"
            for ends in (net, net + 1):
                cells[f"ff{ends}"] = cell("TRELLIS_FF", at, CLK=2, Q=ends)
            net += 2
    cells["constant"] = cell("VCC_DRV", None, Z="1")
    return {"cells": cells}


def wire(module, places):
    """Sum of half the bounding boxes of the nets of multipliers and memories, straight from its definition."""
    nets = {}
    for name, held in module["cells"].items():
        for bits in held["connections"].values():
            for bit in bits:
                if found := TILE.match(places.get(name) or held["attributes"].get("NEXTPNR_BEL", "")):
                    nets.setdefault(bit, []).append((name, int(found[1]), int(found[2])))
    ours = [ends for bit, ends in nets.items() if isinstance(bit, int) and any(name in places for name, _, _ in ends)]
    return sum(max(x for _, x, _ in ends) - min(x for _, x, _ in ends) + max(y for _, _, y in ends) - min(y for _, _, y in ends)
               for ends in ours if len({name for name, _, _ in ends}) > 1)


def without_clock(module):
    del module["cells"]["clock"]
    for held in module["cells"].values():
        held["connections"].pop("CLK", None)
    return module


def test_blocks_move_to_what_they_are_wired_to():
    module = without_clock(chip())
    placement = sites.Placement(module)
    before = placement.wire
    assert before == wire(module, placement.sites)
    placement.anneal(moves=30_000)
    assert placement.wire == wire(module, placement.sites) < 0.6 * before
    names = sites._names()
    assert len(set(placement.sites.values())) == 40
    assert all(site in names[module["cells"][name]["type"]] for name, site in placement.sites.items())


def test_a_full_part_only_exchanges():
    module = without_clock(chip(memories=208, multipliers=156))
    placement = sites.Placement(module)
    before = dict(placement.sites)
    placement.anneal(moves=20_000)
    assert placement.sites != before and sorted(placement.sites.values()) == sorted(before.values())
    assert placement.wire == wire(module, placement.sites)


def test_the_same_seed_gives_the_same_sites():
    found = []
    for seed in (1, 1, 2):
        placement = sites.Placement(chip())
        placement.anneal(seed, 3000)
        found.append(placement.sites)
    assert found[0] == found[1] != found[2]


def test_the_clock_pulls_nothing(monkeypatch):
    """A net as wide as the chip costs time and says nothing."""
    monkeypatch.setattr(sites, "WIDE", 30)
    assert sites.Placement(chip()).wire == sites.Placement(without_clock(chip())).wire


def test_nothing_to_move():
    placement = sites.Placement({"cells": {"lut": cell("LUT4", "X1/Y1/SLICEA.COMB0", A=3)}})
    placement.anneal(moves=10)
    assert placement.sites == {} and placement.wire == 0


def test_a_site_of_another_part_is_an_error():
    with pytest.raises(ValueError, match="no sites of an ECP5 85k part: X1/Y2/EBR0"):
        sites.Placement({"cells": {"memory": cell("DP16KD", "X1/Y2/EBR0", A=3)}})


PLACER = """
import json, sys
arguments = dict(zip(sys.argv[2::2], sys.argv[3::2]))
design = json.load(open(arguments["--json"]))
for name, cell in design["modules"]["chip"]["cells"].items():
    cell["attributes"]["NEXTPNR_BEL"] = cell["attributes"].get("BEL", {"memory": "X4/Y22/EBR0"}.get(name, "X110/Y80/SLICEA.FF0"))
json.dump({"modules": {"top": design["modules"]["chip"]}}, open(arguments["--write"], "w"))
open("rounds", "a").write(sys.argv[1] + arguments["--log"] + "\\n")
"""


def test_settling_binds_the_netlist(tmp_path, capsys):
    netlist = tmp_path / "chip.json"
    cells = {"memory": cell("DP16KD", None, A=3, B=4), "ff": cell("TRELLIS_FF", None, Q=3), "other": cell("TRELLIS_FF", None, Q=4)}
    netlist.write_text(json.dumps({"modules": {"chip": {"cells": cells}, "$box": {"cells": {}}}}))
    (tmp_path / "placer.py").write_text(PLACER)
    found = sites.settle(netlist, "chip", [sys.executable, "placer.py"], rounds=2)
    bound = json.loads(netlist.read_text())["modules"]["chip"]["cells"]
    assert found == {"memory": bound["memory"]["attributes"]["BEL"]}
    assert found["memory"] in ("X109/Y82/EBR2", "X111/Y82/EBR3")  # as near as one gets to X110/Y80
    assert bound["ff"]["attributes"] == {}
    assert (tmp_path / "rounds").read_text().split() == ["--no-routechip_place1.log", "--no-routechip_place2.log"]
    assert "round 1 of 2: wire of multipliers and memories 328 -> " in capsys.readouterr().out


@pytest.mark.parametrize("kept, all_of_them", [
    ({"memory": "X4/Y22/EBR0"}, True), ({"memory": "X4/Y22/EBR0", "gone": "X6/Y22/EBR1"}, False), ({"gone": "X6/Y22/EBR1"}, False),
    ({}, False)])
def test_kept_sites_bind_what_they_know(kept, all_of_them, tmp_path):
    netlist = tmp_path / "chip.json"
    cells = {"memory": cell("DP16KD", None, A=3), "ff": cell("TRELLIS_FF", None, Q=3)}
    netlist.write_text(json.dumps({"modules": {"chip": {"cells": cells}}}))
    assert sites.bind(netlist, "chip", kept) is all_of_them
    bound = json.loads(netlist.read_text())["modules"]["chip"]["cells"]
    assert bound["memory"]["attributes"] == ({"BEL": kept["memory"]} if "memory" in kept else {}) and bound["ff"]["attributes"] == {}


def test_a_placement_that_fails_is_an_error(tmp_path):
    with pytest.raises(subprocess.CalledProcessError):
        sites.settle(tmp_path / "none.json", "top", [sys.executable, "-c", "raise SystemExit(3)"])


@pytest.mark.parametrize("file", sorted(bitstream.SITES.glob("*.json")), ids=lambda file: file.stem)
def test_the_kept_sites_are_sites_of_a_board(file):
    kept = json.loads(file.read_text())
    assert file.stem in BOARDS and bitstream.part(BOARDS[file.stem]).option == "--85k"
    assert set(kept.values()) <= {site for names in sites._names().values() for site in names} and len(set(kept.values())) == len(kept)


@pytest.mark.parametrize("kept, bound", [
    ({"u_lr.x_TRELLIS_FF_Q_3_DI_MULT18X18D_P7": "X4/Y10/MULT18_0", "u_lr.y_TRELLIS_FF_Q_DI_MULT18X18D_P0": "X8/Y10/MULT18_4"}, True),
    ({"u_lr.x_TRELLIS_FF_Q_3_DI_MULT18X18D_P7": "X4/Y10/MULT18_0", "u_lr.z_TRELLIS_FF_Q_DI_MULT18X18D_P0": "X8/Y10/MULT18_4"}, False),
    ({"u_lr.x_TRELLIS_FF_Q_3_DI_MULT18X18D_P7": "X4/Y10/MULT18_0", "u_lr.x_TRELLIS_FF_Q_DI_MULT18X18D_P0": "X8/Y10/MULT18_4"}, False)])
def test_a_multiplier_that_is_named_after_another_bit_keeps_its_site(kept, bound, tmp_path):
    netlist = tmp_path / "chip.json"
    cells = {"u_lr.x_TRELLIS_FF_Q_9_DI_MULT18X18D_P1": cell("MULT18X18D", None, A=3),
             "u_lr.y_TRELLIS_FF_Q_DI_MULT18X18D_P0": cell("MULT18X18D", None, A=4)}
    netlist.write_text(json.dumps({"modules": {"chip": {"cells": cells}}}))
    assert sites.bind(netlist, "chip", kept) is bound
    x, y = (held["attributes"].get("BEL") for held in json.loads(netlist.read_text())["modules"]["chip"]["cells"].values())
    two_of_x = all(".x_" in name for name in kept)  # which of them it was nobody knows
    assert (x, y) == (None if two_of_x else "X4/Y10/MULT18_0", "X8/Y10/MULT18_4" if bound else None)
