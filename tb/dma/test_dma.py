# SPDX-License-Identifier: Apache-2.0
import pytest

from tb.common.runner import BenchFailed, run

BURSTS, UNIT, READER = "rtl/mem/lathe_dma_bursts.sv", "rtl/mem/lathe_dma.sv", "rtl/mem/lathe_row_reader.sv"


@pytest.mark.parametrize("lanes", [4, 8, 16])
def test_dma(lanes):
    run("lathe_dma", "tb.dma.bench", parameters={"Lanes": lanes})


@pytest.mark.parametrize("file, old, new, testcase", [
    (UNIT, "!failed_q && m_axi_rresp == RespOkay", "!failed_q", "test_errors"),               # writes a failing beat
    (UNIT, "burst_valid && burst_ready && store_q),", "m_axi_awvalid && m_axi_awready),", "test_random"),  # data wait for their address
    (BURSTS, "if (page_first)", "if (1'b0)", "test_corners"),  # crosses 4 KiB
    (READER, "parameter int unsigned Depth = 16", "parameter int unsigned Depth = 4", "test_rate"),
])
def test_dma_detects_a_planted_error(file, old, new, testcase):
    with pytest.raises(BenchFailed, match=testcase):
        run("lathe_dma", "tb.dma.bench", parameters={"Lanes": 4}, mutate=(file, old, new), testcase=testcase)
