# SPDX-License-Identifier: Apache-2.0
import pytest

from tb.common.runner import BenchFailed, run


def test_spill():
    run("lathe_spill", "tb.spill.bench", parameters={"Width": 17})


def test_wide():
    run("lathe_spill_wide", "tb.spill.bench", parameters={"Width": 17, "WideW": 12})


def test_spill_detects_a_planted_error():
    with pytest.raises(BenchFailed, match="test_streams"):
        run("lathe_spill", "tb.spill.bench", parameters={"Width": 17},
            mutate=("rtl/prim/lathe_spill.sv", "out_q <= skid_valid_q ? skid_q : in_data_i", "out_q <= in_data_i"))


@pytest.mark.parametrize("old, new", [
    ("in_valid_i && in_ready_o", "in_valid_i"), ("{out_q, wide_out_q} <= '0;", "{out_q, wide_out_q} <= 2'b01;"),
    ("(full_q || in_valid_i)", "in_valid_i")])
def test_wide_detects_a_planted_error(old, new):
    with pytest.raises(BenchFailed, match="test_"):
        run("lathe_spill_wide", "tb.spill.bench", parameters={"Width": 17, "WideW": 12},
            mutate=("rtl/prim/lathe_spill_wide.sv", old, new))
