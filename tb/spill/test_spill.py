# SPDX-License-Identifier: Apache-2.0
import pytest

from tb.common.runner import BenchFailed, run


def test_spill():
    run("lathe_spill", "tb.spill.bench", parameters={"Width": 17})


def test_spill_detects_a_planted_error():
    with pytest.raises(BenchFailed, match="test_streams"):
        run("lathe_spill", "tb.spill.bench", parameters={"Width": 17},
            mutate=("rtl/prim/lathe_spill.sv", "out_q <= skid_valid_q ? skid_q : in_data_i", "out_q <= in_data_i"))
