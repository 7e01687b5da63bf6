# SPDX-License-Identifier: Apache-2.0
"""The cycles that products and programs may take, and the figures that the bench compares them with."""

import sys
from functools import partial
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))
import bench_gemm
import bench_ratio

from lathe import Device


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


def test_worst_errors_of_the_ratio_functions():
    worst = bench_ratio.errors()
    for name, small, relative in (("exp", 1.35, 3.2e-5), ("ln", 1.2, 1.7e-5), ("coefficient", 1.2, 3.2e-5)):
        assert worst[name]["ulp_up_to_1"] < small and worst[name]["relative_from_1"] < relative, (name, worst[name])
    assert worst["ln"]["ulp"] < 1.6


@pytest.mark.xdist_group("verilated")
def test_a_product_from_outside_memory():
    check(bench_gemm.from_outside(open_device, 8, (256, 256, 256)))


@pytest.mark.regress  # builds a chip of 16 banks
@pytest.mark.xdist_group("verilated")
def test_networks():
    forward, _, update = bench_gemm.networks(open_device, 8)
    check(forward)
    check(update)
