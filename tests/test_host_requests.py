# SPDX-License-Identifier: Apache-2.0
"""Requests beside a program: what may be recorded, who ends when, whose error it is, and what must wait."""

import numpy as np
import pytest

from lathe import CapacityError, Device, DeviceError, DeviceTimeout, Program, ProgramError, SettingsError, WeightGroup
from lathe.advantages import Advantages
from lathe.backends.golden import GoldenBackend
from lathe.corrections import Correction
from lathe.errors import LatheError
from lathe.verify import Lockstep


class OneByOne(GoldenBackend):
    """Ends the program or the request, whichever is told to be first, and the other one in another run."""

    first = "program"

    def run(self, max_cycles=None):
        both = [self.run_program, self.run_request]
        for end in both if self.first == "program" else reversed(both):
            if self.irq:
                return
            end()
        if not self.irq:
            raise TimeoutError("no interrupt")


class Case:
    """A device with a program that makes 2 a, and a request that makes b b."""

    def __init__(self, backend=OneByOne, **settings):
        self.device = device = Device(backend, **settings)
        layout = device.layout
        self.a, self.b, self.b2 = (layout.tensor(name, 8, 8, -10) for name in ("a", "b", "b2"))
        self.out, self.two = layout.tensor("out", 8, 8, -8), layout.tensor("two", 8, 8, -8)
        self.x = np.random.default_rng(1).uniform(-1, 1, (8, 8))
        device.load(self.a, self.x)
        device.load(self.b, self.x)
        device.load(self.two, 2 * np.eye(8))
        self.program, self.request = Program("double", layout), Program("square", layout, request=True)
        self.program.matmul(self.a, self.two, self.out)
        self.request.matmul(self.b, self.b, self.b2)
        device.install(self.program)
        device.install(self.request)


@pytest.fixture(params=["program", "request"])
def case(request):
    made = Case()
    made.device.backend.first = request.param
    yield made
    made.device.close()


def test_requests_between_start_and_finish(case):
    device = case.device
    for _ in range(3):
        device.start(case.program)
        for _ in range(3):
            before = device.registers.value("REQUEST_OPNUM")
            device.request(case.request)
            assert device.registers.value("REQUEST_OPNUM") == before + 1
            assert not device.registers.read("STATUS")["request_done"]
        device.finish()
        device.request(case.request)  # alone
    device.run(case.program)
    assert np.abs(device.store(case.out) - 2 * case.x).max() < 1e-3
    assert np.abs(device.store(case.b2) - device.store(case.b) @ device.store(case.b)).max() < 1e-3
    assert device.registers.value("REQUEST_OPNUM") == 2**31 + 12


def test_whose_error_it_is(case):
    device, layout = case.device, case.device.layout
    bad, worse = Program("bad", layout), Program("worse", layout, request=True)
    bad.matmul(case.a, case.two, case.out)
    bad.raw("the program's fault", unit=7)
    worse.matmul(case.b, case.b, case.b2)
    worse.raw("the request's fault", unit="update", op="commit")
    for program in (bad, worse):
        device.install(program)
    device.start(bad)
    device.request(case.request)
    with pytest.raises(DeviceError, match="program 'bad', descriptor 1 'the program's fault': bad_unit: ") as caught:
        device.finish()
    assert caught.value.index == 1
    device.start(case.program)
    with pytest.raises(DeviceError, match="program 'worse', descriptor 1 'the request's fault': bad_unit: "):
        device.request(worse)
    device.request(case.request)
    device.finish()
    device.start(bad)
    with pytest.raises(DeviceError, match="program 'worse'"):
        device.request(worse)
    with pytest.raises(DeviceError, match="program 'bad'"):
        device.finish()
    device.run(case.program)
    assert device.version == 0


def test_what_must_wait(case):
    device, layout = case.device, case.device.layout
    late, request = Program("late", layout), Program("late request", layout, request=True)
    late.matmul(case.b, case.two, case.b2)
    request.matmul(case.b, case.b, case.b2)
    device.start(case.program)
    for use in (lambda: device.load(case.b, case.x), lambda: device.store(case.b), lambda: device.install(late),
                lambda: device.run(case.program), lambda: device.start(case.program),
                lambda: device.set_optimizer(0.1), lambda: device.set_arbiter("priority")):
        with pytest.raises(ProgramError, match="program 'double' was started; call Device.finish first"):
            use()
    with pytest.raises(ProgramError, match="request 'late request' is not on the chip .* Device.install with it before Device.start"):
        device.request(request)
    device.request(case.request)
    device.finish()
    with pytest.raises(ProgramError, match="no program runs .* call Device.start first"):
        device.finish()
    device.run(late)
    device.request(request)
    assert device.store(case.b2).any()


def test_request_and_program_may_not_meet(case):
    device, layout = case.device, case.device.layout
    a, b, b2, out = case.a, case.b, case.b2, case.out
    for name, operands in (("reads", (out, b, b2)), ("writes", (b, b, a)), ("both", (b, b, out))):
        request = Program(name, layout, request=True)
        request.matmul(*operands)
        device.install(request)
        device.request(request)  # alone
        device.start(case.program)
        with pytest.raises(ProgramError, match=f"of request '{name}' and '.*' of program 'double' touch .* tensors of its own"):
            device.request(request)
        device.finish()
    shared = Program("shared", layout, request=True)
    shared.matmul(case.two, case.b, case.b2)
    device.install(shared)
    device.start(case.program)
    device.request(shared)  # both read it
    device.finish()


def test_what_a_request_may_hold():
    with Device("golden") as device:
        layout = device.layout
        group = WeightGroup(layout)
        w, m = group.tensor("w", 8, 8, -13), group.tensor("m", 8, 8, -13)
        group.place()
        x, y, g = (layout.tensor(name, 8, 8) for name in "xyg")
        records, words = layout.records("records", 8), layout.records("words", 8)
        program = Program("served", layout, request=True)
        program.load(x, layout.block_for(x))
        program.matmul(x, g, y)
        program.matmul(y, g, x)
        program.sample(x, records)
        program.evaluate(x, records)
        program.loss(x, records, y, 3)
        program.store(records, layout.block_for(records))
        for record, what in ((lambda: program.sgd(w, g, m), "update momentum"), (lambda: program.commit(partial=True), "update commit"),
                             (program.rollback, "update rollback"), (lambda: program.measure(x, records, words), "policy measure"),
                             (lambda: program.scan(records, 2), "policy scan")):
            with pytest.raises(ProgramError, match=f"a request has no {what}; record it in a program of its own"):
                record()
        program.matmul(x, w, y)
        for a, b, out in ((x, w.next, y), (x, y, w.next)):
            with pytest.raises(ProgramError, match="'w.*' 8 x 8 lies in the next slot of the weight group; .* only read"):
                program.matmul(a, b, out)
        with pytest.raises(ProgramError, match="'w' 8 x 8 lies in the current slot"):
            program.load(w, layout.block_for(w))
        assert len(program.operations) == 8
        fields = ("wait_mask", "post_mask", "overlap", "chain")
        assert not any(op.fields.get(name, 0) for op in program.operations for name in fields)
        assert not any(op.wait_mask or op.post_mask for op in program.operations) and "wait" not in program.listing()
        device.request(program)
        with pytest.raises(ProgramError, match="program 'served' is a request; run it with Device.request"):
            device.run(program)
        plain = Program("plain", layout)
        plain.matmul(x, g, y)
        with pytest.raises(ProgramError, match=r"program 'plain' is no request; record it with Program\(name, layout, request=True\)"):
            device.request(plain)
        long = Program("long", layout, request=True)
        for _ in range(255):
            long.matmul(x, g, y)
        with pytest.raises(CapacityError, match="program 'long' has 255 descriptors"):
            device.request(long)


class Deaf(GoldenBackend):
    """A chip that does not serve requests."""

    def run(self, max_cycles=None):
        self.run_program()
        if not self.irq:
            raise TimeoutError("no interrupt")


def test_a_request_that_does_not_end():
    case = Case(Deaf)
    case.device.start(case.program)
    with pytest.raises(DeviceTimeout, match=r"program 'square' did not end within \d+ cycles(.|\n)*'request_busy': 1"):
        case.device.request(case.request)


def test_arbiter():
    with Device("golden") as device:
        assert device.registers.read("ARBITER") == {"policy": 0, "slice": 10}
        for number, policy in enumerate(("command", "priority", "round_robin", "time_slice")):
            device.set_arbiter(policy, 32 << number)
            assert device.registers.read("ARBITER") == {"policy": number, "slice": 5 + number}
        with pytest.raises(SettingsError, match="'fair' is none of: command, priority, round_robin, time_slice"):
            device.set_arbiter("fair")
        for cycles in (16, 1000, 1 << 32, "64"):
            with pytest.raises(SettingsError, match=f"slice_cycles is {cycles} and must be a power of two from 32 to 2147483648"):
                device.set_arbiter("time_slice", cycles)


@pytest.mark.parametrize("backend", ["golden", "verilator"])
def test_the_first_error_of_a_request_is_reported(backend):
    """A command that fails, then one that is refused: whatever was read ahead, error, results and operation numbers are the same."""
    case = Case(backend)
    with case.device as device:
        bad = Program("bad", case.device.layout, request=True)
        bad.raw("memory that is not there", unit=4, op=0, m=1, n=4, t2_addr=case.b2.address, t2_stride=4, mem_addr=1 << 30, mem_stride=64)
        bad.matmul(case.b, case.b, case.b2)
        bad.raw("no unit", unit=7)
        late = Program("late", case.device.layout, request=True)
        late.matmul(case.b, case.b, case.b2)
        late.raw("no unit", unit=7)
        for program in (bad, late):
            device.install(program)
        before = device.store(case.b2)
        device.start(case.program)
        with pytest.raises(DeviceError, match="descriptor 0 'memory that is not there': memory"):
            device.request(bad)
        device.finish()
        assert np.array_equal(device.store(case.b2), before) and device.registers.value("REQUEST_OPNUM") == 2**31 + 3
        with pytest.raises(DeviceError, match="descriptor 1 'no unit': bad_unit"):
            device.request(late)
        assert np.abs(device.store(case.b2) - device.store(case.b) @ device.store(case.b)).max() < 1e-3
        assert device.registers.value("REQUEST_OPNUM") == 2**31 + 5
        device.request(case.request)


class Impatient(OneByOne):
    """Is interrupted while it waits, once."""

    interrupted = False

    def run(self, max_cycles=None):
        if self._request.busy and not self.interrupted:
            self.interrupted = True
            raise KeyboardInterrupt
        super().run(max_cycles)


def test_an_interrupted_request_leaves_the_device_usable():
    case = Case(Impatient)
    with case.device as device:
        with pytest.raises(KeyboardInterrupt):
            device.request(case.request)
        device.backend.first = "request"
        device.run(case.program)
        assert np.abs(device.store(case.out) - 2 * case.x).max() < 4e-3
        device.request(case.request)


def test_settings_wait_for_the_program_that_was_started(case):
    """What its commands read as they start would be new for some of them and old for others."""
    device = case.device
    device.start(case.program)
    for write in (Correction.tis().write, Advantages.gae().write, lambda registers: registers.write("LEARNING_RATE", mant=1)):
        with pytest.raises(ProgramError, match=r"register [A-Z_]+ cannot be written: program 'double' was started; call Device.finish"):
            write(device.registers)
    device.finish()
    Correction.tis().write(device.registers)


def test_back_ends_side_by_side_serve_no_requests():
    case = Case(lambda *chip: Lockstep(["golden", "golden"], *chip))
    with case.device as device:
        device.run(case.program)
        with pytest.raises(LatheError, match="open one back end alone"):
            device.request(case.request)
