# SPDX-License-Identifier: Apache-2.0
import pytest

from tb.common.runner import BenchFailed, run

RX, TX = "rtl/link/lathe_uart_rx.sv", "rtl/link/lathe_uart_tx.sv"


@pytest.mark.parametrize("clock, baud", [(4_000_000, 1_000_000), (25_000_000, 3_000_000), (13_000_000, 3_000_000),
                                         pytest.param(25_000_000, 115_200, marks=pytest.mark.regress)])
def test_uart(clock, baud):
    run("uart_harness", "tb.uart.bench", parameters={"ClockHz": clock, "Baud": baud})


@pytest.mark.parametrize("file, old, new, testcase", [
    (RX, "{(PhaseW - 1) {1'b0}}} + Step", "{(PhaseW - 1) {1'b0}}} - Step", "test_receive"),  # samples late
    (RX, "tick && rx_q;", "tick;", "test_disturbed"),                                     # takes a byte without stop bit
    (RX, "rx_q ? Idle : High", "Idle", "test_disturbed"),                                 # a break begins bytes
    (TX, "left_q <= 4'd9", "left_q <= 4'd10", "test_send"),
])
def test_uart_detects_a_planted_error(file, old, new, testcase):
    with pytest.raises(BenchFailed, match=testcase):
        run("uart_harness", "tb.uart.bench", parameters={"ClockHz": 4_000_000, "Baud": 1_000_000}, mutate=(file, old, new),
            testcase=testcase)
