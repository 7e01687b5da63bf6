# SPDX-License-Identifier: Apache-2.0
import pytest

from tb.common.runner import BenchFailed, run

LANE, UNIT = "rtl/update/lathe_update_lane.sv", "rtl/update/lathe_update.sv"


@pytest.mark.parametrize("lanes", [4, 8, 16])
def test_update(lanes):
    run("lathe_update", "tb.update.bench", parameters={"Lanes": lanes})


@pytest.mark.parametrize("file, old, new, testcase", [
    (LANE, "rand_i[31:16]", "rand_i[30:15]", "test_corners"),                       # other random bits
    (LANE, "{v[31], {15{!v[31]}}}", "{v[31], {14{!v[31]}}, 1'b1}", "test_corners"),  # saturates to -32767
    (UNIT, "localparam int unsigned MDepth = 16", "localparam int unsigned MDepth = 8", "test_rate"),  # too few places
])
def test_update_detects_a_planted_error(file, old, new, testcase):
    with pytest.raises(BenchFailed, match=testcase):
        run("lathe_update", "tb.update.bench", parameters={"Lanes": 4}, mutate=(file, old, new), testcase=testcase)
