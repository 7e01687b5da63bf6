# SPDX-License-Identifier: Apache-2.0
import pytest

from tb.common.runner import BenchFailed, run


@pytest.mark.parametrize("lanes", [4, 8, 16])
def test_secded(lanes):
    run("secded_harness", "tb.secded.bench", parameters={"Lanes": lanes})


@pytest.mark.parametrize("file, old, new", [
    ("rtl/mem/lathe_secded_pkg.sv", "ones <= 5; ones += 2", "ones <= 5; ones += 1"),  # columns with an even number of ones
    ("rtl/mem/lathe_secded_decode.sv", "Width+j] = syndrome_q == Checks'(1 << j)", "Width+j] = 1'b0"),  # check bits stay flipped
    ("rtl/mem/lathe_secded_decode.sv", "error_q && !(^syndrome_q)", "error_q && ^syndrome_q"),  # wrong kind of fault
    ("rtl/mem/lathe_secded_decode.sv", "valid_q && ^syndrome_q;", "^syndrome_q;"),  # a fault without a word
])
def test_secded_detects_a_planted_error(file, old, new):
    with pytest.raises(BenchFailed, match="test_"):
        run("secded_harness", "tb.secded.bench", parameters={"Lanes": 4}, mutate=(file, old, new))
