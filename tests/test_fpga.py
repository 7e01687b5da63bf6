# SPDX-License-Identifier: Apache-2.0
"""Bitstreams and the netlist: the PLL's dividers, what does not fit or is missing, the report, the cells' models."""

import json
import sys
from pathlib import Path

import bitstream
import floorplan_picture
import mapping
import netlist
import netlist_sim
import pytest
from generate_tables import log_table, pow_table, sum_table

from lathe.boards import BOARDS, Board, board
from tb.common.runner import BenchFailed, run

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("wanted", [3.2e6, 12e6, 24.9e6, 25e6, 33.3e6, 40e6, 48e6, 61.7e6, 99.9e6, 133e6, 400e6])
def test_the_pll_stays_within_its_limits_and_below_the_wanted_clock(wanted):
    found = bitstream.pll(wanted)
    compared = 25e6 / found.input
    assert 10e6 <= compared <= 400e6
    assert 10e6 <= compared * found.feedback <= 400e6
    assert 400e6 <= compared * found.feedback * found.loop <= 800e6
    assert found.input <= 128 and found.feedback <= 80 and found.loop <= 128 and found.output <= 128
    assert 0.95 * wanted < found.hz() <= wanted


@pytest.mark.parametrize("wanted", [25e6, 40e6, 50e6, 62.5e6, 100e6])
def test_the_pll_makes_round_clocks_exactly(wanted):
    assert bitstream.pll(wanted).hz() == wanted


def test_a_clock_that_no_setting_makes_is_an_error():
    with pytest.raises(bitstream.FlowError, match="not into 3 MHz"):
        bitstream.pll(3e6)


def command(monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", ["bitstream.py", *arguments])
    code = bitstream.main()
    return code, capsys.readouterr().err


@pytest.mark.parametrize("name", ["", "ulx3s", "icebreaker"])
def test_an_unknown_board_lists_the_boards(name, monkeypatch, capsys):
    code, said = command(monkeypatch, capsys, name)
    assert code == 2
    assert f"'{name}'" in said and all(known in said for known in BOARDS)


def test_a_chip_that_is_too_large_is_refused_with_the_figures():
    target = board("ulx3s-25f")
    used = {"luts": 45_032, "ffs": 37_600, "multipliers": 74, "block_rams": 50}
    with pytest.raises(bitstream.FlowError, match="45,032 of 24,288 luts and 74 of 28 multipliers; choose another board"):
        bitstream.fits(used, bitstream.part(target), target)
    bitstream.fits(used, bitstream.part(board("ulx3s-85f")), board("ulx3s-85f"))


def test_a_part_without_a_flow_is_named():
    with pytest.raises(bitstream.FlowError, match="iCE40UP5K-SG48.*LFE5U-85F"):
        bitstream.part(Board("x", "iCE40UP5K-SG48", 4, 2, 2, 8192))


def test_program_says_what_is_missing(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(bitstream, "ROOT", tmp_path)
    monkeypatch.setattr(bitstream, "FOLDER", tmp_path)
    code, said = command(monkeypatch, capsys, "ulx3s-85f", "--program")
    assert code == 2 and "make bitstream BOARD=ulx3s-85f" in said
    (tmp_path / "ulx3s-85f.bit").write_bytes(b"bits")
    monkeypatch.setenv("PATH", str(tmp_path))
    code, said = command(monkeypatch, capsys, "ulx3s-85f", "--program")
    assert code == 2 and "'openFPGALoader' is not on this machine: install it" in said


def test_pins_of_the_constraints_are_those_of_the_top():
    located = {line.split('"')[1].split("[")[0] for line in bitstream.PINS.read_text().splitlines() if line.startswith("LOCATE")}
    source = (ROOT / "fpga/rtl/lathe_ulx3s.sv").read_text()
    ports = source[source.index(") ("):source.index(");")]
    declared = {line.split("//")[0].strip().rstrip(",").split()[-1] for line in ports.splitlines()[1:] if line.strip()}
    assert located == declared


def test_worst_paths_are_sorted_and_leave_out_what_has_no_clock():
    def net(name, event, *ends):
        return {"net": name, "event": event,
                "endpoints": [{"cell": cell, "event": kind, "delay": [0.0, delay]} for cell, kind, delay in ends]}

    rise = "posedge clk"
    report = {"detailed_net_timings": [net("u_board.u_chip.u_gemm.a", rise, ("u_board.u_chip.u_dma.q", rise, 3.0)),
                                       net("u_board.u_link.b", rise, ("u_board.u_bus.q", rise, 9.126), ("led_o", "<async>", 50.0)),
                                       net("rx", "<async>", ("u_board.u_link.q", rise, 99.0))]}
    assert bitstream.worst_paths(report) == [{"delay_ns": 9.13, "through": "u_link", "to": "u_bus"},
                                             {"delay_ns": 3.0, "through": "u_chip.u_gemm", "to": "u_chip.u_dma"}]


def test_tiles_belong_to_the_unit_with_most_cells():
    def cell(bel):
        return {"attributes": {"NEXTPNR_BEL": bel}}

    cells = {"u_board.u_chip.u_gemm.a": cell("X3/Y4/SLICEA.COMB0"), "u_board.u_chip.u_gemm.b": cell("X3/Y4/SLICEB.COMB0"),
             "u_board.u_link.c": cell("X3/Y4/SLICEC.COMB0"), "$nextpnr_1": cell("X9/Y9/SLICEA.FF0"), "virtual": {"attributes": {}}}
    assert floorplan_picture.tiles(cells) == {(3, 4): "gemm", (9, 9): "other"}


@pytest.mark.parametrize("table, contents", list(enumerate([log_table(), sum_table(17), sum_table(18), pow_table()])))
def test_synthesis_reads_the_table_that_a_parameter_chooses(table, contents, tmp_path):
    """The netlist once had the same table in all four memories: what the compiler of the synthesis reads is not what Verilator does."""
    synthesis = mapping.Synthesis("lathe_update_rom", {"Table": table})
    synthesis.step("memory_collect")
    synthesis.step(f"write_json {tmp_path / 'rom.json'}")
    cells = json.loads((tmp_path / "rom.json").read_text())["modules"]["lathe_update_rom"]["cells"].values()
    (bits,) = [cell["parameters"]["INIT"][::-1] for cell in cells if cell["type"] == "$mem_v2"]
    assert [int(bits[18 * i:18 * i + 18][::-1], 2) for i in range(1024)] == contents


one_worker = pytest.mark.xdist_group("netlist")  # they share a folder


def mapped_ram(**parameters):
    """lathe_ram mapped to block RAMs, and the cells' models, as sources of a bench."""
    parameters = {"Width": 40, "Words": 1024} | parameters
    folder = ROOT / f"build/netlist/ram{len(parameters)}"
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "lathe_ram.json"
    flat = netlist.write(mapping.Synthesis("lathe_ram", parameters), "lathe_ram", [], file)
    assert netlist.resources(flat)["block_rams"] >= 2
    return [str(path.relative_to(ROOT)) for path in netlist_sim.write_verilog(file, "lathe_ram", parameters)]


@one_worker
def test_a_mapped_ram_passes_the_bench_of_the_ram():
    run("lathe_ram", "tb.ram.bench", sources=mapped_ram())


@one_worker
def test_a_word_that_the_device_leaves_open_is_not_the_old_one():
    with pytest.raises(BenchFailed, match="expected"):
        run("lathe_ram", "tb.ram.bench", sources=mapped_ram(AnyOnCollision=1))


@pytest.mark.regress
@one_worker
@pytest.mark.parametrize(("old", "new"), [("enable_b && !(write_b", "!(write_b"), ("new_a[9*i +: 9];", "new_a[0 +: 9];")])
def test_the_bench_of_the_ram_sees_a_wrong_model(old, new):
    with pytest.raises(BenchFailed, match="expected"):
        run("lathe_ram", "tb.ram.bench", sources=mapped_ram(), mutate=("fpga/cells/DP16KD.v", old, new))


@pytest.mark.regress
@one_worker
def test_ten_random_programs_on_the_netlist_give_the_same_bits():
    netlist_sim.compare_programs(4, 2, 1, 10, netlist_sim.NetlistBackend)
