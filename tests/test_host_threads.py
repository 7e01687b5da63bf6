# SPDX-License-Identifier: Apache-2.0
"""Other threads, copies and forked processes: refused, not wrong."""

import copy
import os
import pickle
import threading
import time

import numpy as np
import pytest

from lathe import Device
from lathe.errors import BackendError, ProgramError, SettingsError


def test_another_thread_is_refused_while_one_is_inside(monkeypatch):
    with Device("golden") as device:
        x = device.layout.tensor("x", 2, 3)
        inside, go_on, stored = threading.Event(), threading.Event(), []
        move = device._move_in

        def slow(*args):
            inside.set()
            assert go_on.wait(10)
            move(*args)

        monkeypatch.setattr(device, "_move_in", slow)
        other = threading.Thread(target=lambda: (device.load(x, np.ones((2, 3))), stored.append(device.store(x))))
        other.start()
        assert inside.wait(10)
        for action in (lambda: device.store(x), lambda: device.load(x, np.zeros((2, 3))), device.close, lambda: device.gradient_norm):
            with pytest.raises(ProgramError, match="another thread uses this device"):
                action()
        go_on.set()
        other.join(10)
        assert np.array_equal(stored[0], np.ones((2, 3))) and np.array_equal(device.store(x), np.ones((2, 3)))


@pytest.mark.parametrize("action", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_device_is_not_copied(action):
    with Device("golden") as device, pytest.raises(BackendError, match="neither copied nor pickled"):
        action(device)


@pytest.mark.xdist_group("verilated")
def test_a_forked_process_closes_its_copy_of_the_simulation():
    with Device("verilator") as device:
        x = device.layout.tensor("x", 2, 3)
        device.load(x, np.ones((2, 3)))
        child = os.fork()
        if not child:
            device.close()
            os._exit(7)
        for _ in range(300):
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                break
            time.sleep(0.1)
        else:
            os.kill(child, 9)
            os.waitpid(child, 0)
            pytest.fail("the child hangs")
        assert os.waitstatus_to_exitcode(status) == 7
        assert np.array_equal(device.store(x), np.ones((2, 3)))


def test_mistakes_with_registers_and_back_ends_have_a_message():
    with Device("golden") as device:
        with pytest.raises(SettingsError, match="ENTROPY_COEF.value is 0.01"):
            device.registers.set("ENTROPY_COEF", 0.01)
        with pytest.raises(SettingsError, match="did you mean .*ENTROPY_COEF"):
            device.registers.set("ENTROPY_COEFF", 1)
        with pytest.raises(SettingsError, match="has no field 'valeu'; its fields: value"):
            device.registers.write("ENTROPY_COEF", valeu=1)
    with pytest.raises(BackendError, match="golden, verilator, serial"):
        Device(backend=None)
