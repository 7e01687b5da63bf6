# SPDX-License-Identifier: Apache-2.0
import pytest

from tb.common.runner import BenchFailed, run


def test_progmem():
    run("lathe_progmem", "tb.progmem.bench")


def test_progmem_detects_a_planted_error():
    with pytest.raises(BenchFailed, match="test_all_addresses"):
        run("lathe_progmem", "tb.progmem.bench",
            mutate=("rtl/ctrl/lathe_progmem.sv", "seq_rdata_o[c] <= mem[seq_row_i]", "seq_rdata_o[c] <= mem[seq_row_i ^ 10'h200]"))
