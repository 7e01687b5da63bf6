# SPDX-License-Identifier: Apache-2.0
"""What `make bench` replays on the chip bench. Late in the alphabet: by then the chip has been built for the benches."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))
import bench

from lathe import Device, Program


@pytest.mark.xdist_group("verilated")
def test_recorded_accesses_replay_under_cocotb(tmp_path):
    """The second run of a program takes on the chip bench the cycles of its commands, and not much more."""
    with Device(bench.RecordingBackend, 8, 8) as device:
        x = device.layout.tensor("x", 64, 64, exponent=-15)
        y = device.layout.tensor("y", 64, 64, exponent=-9)
        program = Program("product", device.layout)
        program.matmul(x, x, y)
        device.load(x, np.full((64, 64), 0.5))
        bench.record_runs(device, program, 2, tmp_path / "replay.npz")
        cycles = bench.measure(device, program, "product", 8)["cycles"]
    slow = bench.replay(tmp_path / "replay.npz", 8, 8)
    assert cycles > 4096
    assert cycles <= slow["cycles"] < cycles + 200
