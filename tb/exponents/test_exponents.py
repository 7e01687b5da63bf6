# SPDX-License-Identifier: Apache-2.0
import pytest

from tb.common.runner import BenchFailed, run

RTL = "rtl/ctrl/lathe_exponents.sv"


def test_exponents():
    run("lathe_exponents", "tb.exponents.bench")


@pytest.mark.parametrize("old, new", [
    ("window[Depth-2:0];", "{window[Depth-3:0], window[0]};"),                       # a history of fewer tops
    ("if (host_write) history_set_q[host_logical] <= 1'b0;", ""),                    # the host does not empty it
])
def test_exponents_detects_a_planted_error(old, new):
    with pytest.raises(BenchFailed, match="test_"):
        run("lathe_exponents", "tb.exponents.bench", mutate=(RTL, old, new))
