# SPDX-License-Identifier: Apache-2.0
import pytest

from tb.common.runner import BenchFailed, run


@pytest.mark.parametrize("ln", [0, 1])
def test_policy_functions(ln):
    run("functions_harness", "tb.policy_functions.bench", parameters={"Ln": ln})


@pytest.mark.parametrize("ln, file, old, new", [
    (0, "exp", "{base6_q, 1'b1}", "{base6_q, 1'b0}"),             # rounding of the interpolation
    (0, "exp", "24'(m[17:10])", "24'(m[17:11])"),                 # a wrong bit in the lowest octaves
    (1, "ln", "24'(rise_q) + 24'd8192", "24'(rise_q)"),            # floor in place of rounding
])
def test_policy_functions_detect_a_planted_error(ln, file, old, new):
    with pytest.raises(BenchFailed, match="wrong, first f"):
        run("functions_harness", "tb.policy_functions.bench", parameters={"Ln": ln},
            mutate=(f"rtl/policy/lathe_{file}_q.sv", old, new))
