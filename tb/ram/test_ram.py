# SPDX-License-Identifier: Apache-2.0
import pytest

from tb.common.runner import BenchFailed, run


@pytest.mark.parametrize("width, words", [(32, 64), (9, 48)])
def test_ram(width, words):
    run("lathe_ram", "tb.ram.bench", parameters={"Width": width, "Words": words})


def test_ram_detects_a_planted_error():
    old = """  end else begin : g_old
    logic [Width-1:0] mem_q [Words];
    always_ff @(posedge clk_i) begin
      if (wr_en_i) mem_q[wr_addr_i] <= wr_data_i;
      if (rd_en_i) rd_data_o <= mem_q[rd_addr_i];"""
    new = old.replace("<= mem_q[rd_addr_i]", "<= wr_en_i && wr_addr_i == rd_addr_i ? wr_data_i : mem_q[rd_addr_i]")
    with pytest.raises(BenchFailed, match="test_random"):
        run("lathe_ram", "tb.ram.bench", parameters={"Width": 32, "Words": 64},
            mutate=("rtl/prim/lathe_ram.sv", old, new))
