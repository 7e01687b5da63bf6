# SPDX-License-Identifier: Apache-2.0
"""Advantages by a scan on a device: registers, episodes that end or are cut, the record that LOSS takes."""

import numpy as np
import pytest

from lathe import Device, Program, ProgramError
from lathe.advantages import Advantages
from lathe.records import LAST, TERMINATED
from pymodels.scan import scan
from tb.common.scans import episodes, scan_of


def scanned(device, given, environments, made):
    records = device.layout.records("records", len(given))
    program = Program("scan", device.layout)
    program.scan(records, environments)
    made.write(device.registers)
    device.load(records, np.pad(given, ((0, 0), (0, records.columns - 8))))
    device.run(program)
    return device.store_mantissas(records)[0]


def test_a_scan_without_an_estimator_is_refused():
    with Device() as device:
        program = Program("scan", device.layout)
        program.scan(device.layout.records("records", 4), 2)
        with pytest.raises(ProgramError, match=r"program 'scan' has no estimator of advantages for 'records = scan\(records\)'; write one"):
            device.run(program)
        Advantages.gae(0.0, 0.0).write(device.registers)
        device.run(program)


@pytest.mark.parametrize("lanes", [4, 8, 16])
@pytest.mark.parametrize("made", [Advantages.gae(), Advantages.vtrace(0.97, 0.9, 1.5, 0.5), Advantages.retrace()])
def test_registers_reach_the_unit(made, lanes):
    given = episodes(np.random.default_rng(lanes), 20, 3)
    with Device(backend="golden", lanes=lanes) as device:
        result = scanned(device, given, 3, made)
        expected, _ = scan(given, 3, scan_of(made))
        assert np.array_equal(result[:60, :8], expected)
        assert np.array_equal(result[60:, :8], given[60:])  # without followers: as they were
        assert device.saturations == 0


def test_episodes_that_end_or_are_cut():
    """One environment, rewards of 1: an end counts nothing behind it, a cut one the value that the host added."""
    gamma, cut = 0.5, 3.0
    given = np.zeros((7, 8), np.int16)
    given[:, 2], given[:, 3] = 1024, 2048  # reward 1, value 2
    given[2, 5] = LAST | TERMINATED
    given[4, 2] += int(gamma * cut * 1024)
    given[4, 5] = LAST | TERMINATED
    with Device(backend="golden") as device:
        returns = scanned(device, given, 1, Advantages.td_lambda(gamma, 1))[:6, 3] / 1024
    assert returns.tolist() == [1.75, 1.5, 1, 1 + gamma * (1 + gamma * cut), 1 + gamma * cut, 1 + gamma * 2]


def test_what_is_clamped_is_counted():
    given = np.zeros((4, 8), np.int16)
    given[:, 2] = 32767
    with Device(backend="golden") as device:
        result = scanned(device, given, 1, Advantages.gae(1, 1))
        assert (result[:3, 2:4] == [32767, 32767]).all() and device.saturations == 5  # the last return is just not clamped
