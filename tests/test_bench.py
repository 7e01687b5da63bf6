# SPDX-License-Identifier: Apache-2.0
"""The cycles that products and programs may take, and the figures that the bench compares them with."""

import sys
from functools import partial
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))
import bench_engines
import bench_gemm
import bench_ratio
import bench_update

from lathe import Device
from lathe.backends.golden import GoldenBackend
from lathe.backends.verilator import VerilatorBackend
from lathe.requests import POLICIES
from pymodels.csr_map import REGISTERS


def open_device(banks: int, **settings) -> Device:
    return Device("verilator", 8, banks, **settings)


def check(row: dict) -> None:
    assert row["cycles"] <= row["limit_cycles"], f"{row['name']} {row['precision']}: {row['bound']}"
    assert row["scale_sim_cycles"] is None or row["cycles"] < row["scale_sim_cycles"]


def test_reference_figures():
    assert [bench_gemm.scale_sim(*sizes, 8) for sizes in ((64, 64, 64), (8, 64, 64), (9, 1, 1))] == [4991, 623, 29]
    shape = bench_gemm.Shape(9, 4, 8, 8, 1)
    assert (shape.tiles, shape.ideal, shape.steps) == (2, 4.5, 8)
    assert shape.bound(50).startswith("drain: 9 x 1 result words") and "= 16 cycles; 34 more" in shape.bound(50)


@pytest.mark.xdist_group("verilated")
@pytest.mark.parametrize("form", bench_gemm.FORMS)
def test_products_on_chip(form):
    measure = partial(bench_gemm.on_chip, open_device, 8)
    for precision, shapes in (("int16", bench_gemm.INT16), ("int8", bench_gemm.INT8)):
        for sizes in shapes:
            check(measure(precision, form, sizes))


@pytest.mark.xdist_group("verilated")
def test_rates_of_corrections():
    """A + 1 cycles a sample and pass, and the time of a sample through the unit."""
    for row in bench_ratio.rates(open_device, 8):
        assert row["passes"] == (2 if row["mode"] == "sequence" else 1)
        assert row["cycles"] <= row["passes"] * (row["samples"] * (row["actions"] + 1) + 150), row["name"]


@pytest.mark.xdist_group("verilated")
def test_rates_of_optimizers():
    """Words a cycle with the int8 copy, wherever the tensors lie; moves between versions take what they take for any size."""
    for row in bench_update.steps(8):
        assert row["words_per_cycle"] >= (0.95 if row["name"] in ("sgd", "momentum") else 0.45), row
    for row in bench_update.moves(8):
        assert len(set(row["command_cycles"].values())) == 1, row


def test_worst_errors_of_the_ratio_functions():
    worst = bench_ratio.errors()
    for name, small, relative in (("exp", 1.35, 3.2e-5), ("ln", 1.2, 1.7e-5), ("coefficient", 1.2, 3.2e-5)):
        assert worst[name]["ulp_up_to_1"] < small and worst[name]["relative_from_1"] < relative, (name, worst[name])
    assert worst["ln"]["ulp"] < 1.6


class Clocked(GoldenBackend):
    """The golden model with a clock on the wall: a program takes 20,000 cycles, a request 1,000, an access of a register 3."""

    def __init__(self, *settings):
        super().__init__(*settings)
        self.cycles, self._ends = 0, {}

    def csr_write(self, address, value):
        super().csr_write(address, value)
        self.advance(3)
        if address == REGISTERS["CONTROL"].offset:
            for bit, end, takes in ((1, self.run_program, 20_000), (16, self.run_request, 1000)):
                if value & bit:
                    self._ends[end] = self.cycles + takes

    def csr_read(self, address):
        if (name := next((name for name in ("CYCLES_LO", "DMA_BUSY") if address == REGISTERS[name].offset), None)):
            return {"CYCLES_LO": 20_000, "DMA_BUSY": 70}[name]
        return super().csr_read(address)

    def advance(self, cycles):
        self.cycles += cycles
        for end in [end for end, at in self._ends.items() if at <= self.cycles]:
            del self._ends[end]
            end()

    def run(self, max_cycles):
        while not self.irq:
            self.advance(max(min(self._ends.values()) - self.cycles, 0))


def test_latency_of_requests():
    rows = bench_engines.compare(Clocked, 8)
    assert [row["policy"] for row in rows] == list(POLICIES)
    for row in rows:
        assert row["requests"] >= bench_engines.REQUESTS and 6 < row["requests_an_update"] < 10
        assert row["own_cycles"] == row["p50_cycles"] == row["p99_cycles"] == row["max_cycles"] == 1003
        assert row["longest_cycles"] == 70 and row["bound_cycles"] == 1073 and row["within_bound"]
        assert row["update_cycles"] == row["served_update_cycles"] == 20_000
        assert row["cutting_cycles"] == row["cycles_a_request_costs"] == 0


@pytest.mark.xdist_group("verilated")
@pytest.mark.parametrize("network, batch, banks, longest, cut", [
    ((4, (40, 40), 2), 160, 8, 240, 0.12),
    pytest.param((4, (64, 64), 2), 256, 16, 320, 0.06, marks=pytest.mark.regress),  # builds a chip of 16 banks
])
def test_priority_keeps_a_request_within_its_bound(network, batch, banks, longest, cut, monkeypatch):
    """The longest piece is a tile of `batch` k-steps, filled and drained; cutting costs the update less than the share `cut`."""
    for name, value in {"NETWORK": network, "LEARN_BATCH": batch, "BANKS": banks, "REQUESTS": 30}.items():
        monkeypatch.setattr(bench_engines, name, value)
    rows = {row["policy"]: row for row in bench_engines.compare(VerilatorBackend, 8)}
    first = rows["priority"]
    assert first["p99_cycles"] <= first["longest_cycles"] + first["own_cycles"]
    assert first["longest"].startswith("gemm") and first["longest_cycles"] < longest
    assert first["cutting_cycles"] < cut * first["update_cycles"]
    assert first["p50_cycles"] < rows["round_robin"]["p50_cycles"] < rows["time_slice"]["p50_cycles"] < rows["command"]["p50_cycles"]


@pytest.mark.parametrize("fields, size", [
    (dict(unit="gemm", m=256, k=16, n=100, int8=0, int8_result=0), (8, 64)),
    (dict(unit="gemm", m=256, k=17, n=100, int8=0, int8_result=0), (8, 16)),
    (dict(unit="gemm", m=256, k=65, n=100, int8=0, int8_result=0), (8, 8)),
    (dict(unit="gemm", m=256, k=128, n=100, int8=1, int8_result=0), (8, 16)),
    (dict(unit="gemm", m=256, k=130, n=100, int8=1, int8_result=1), (8, 16)),
    (dict(unit="gemm", m=4, k=4, n=3, int8=0, int8_result=0, overlap=3, chain=1), (4, 3)),
    (dict(unit="policy", op="loss", m=256, n=3, sequence_words=0), (32, 3)),
    (dict(unit="policy", op="loss", m=256, n=3, sequence_words=1), (256, 3)),
    (dict(unit="policy", op="sample", m=8, n=3), (8, 3)), (dict(unit="policy", op="scan", m=64, n=3), (64, 3)),
    (dict(unit="dma", op="load", m=256, n=3), (256, 3)),
])
def test_pieces(fields, size):
    part = bench_engines.piece(fields, 8)
    assert (part["m"], part["n"]) == size and "overlap" not in part and "chain" not in part


@pytest.mark.xdist_group("verilated")
def test_a_product_from_outside_memory():
    check(bench_gemm.from_outside(open_device, 8, (256, 256, 256)))


@pytest.mark.regress  # builds a chip of 16 banks
@pytest.mark.xdist_group("verilated")
def test_networks():
    forward, _, update = bench_gemm.networks(open_device, 8)
    check(forward)
    check(update)
