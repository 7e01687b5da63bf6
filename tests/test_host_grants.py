# SPDX-License-Identifier: Apache-2.0
"""Grants: a program writes what its descriptors name, whatever lies in program memory when it runs."""

import numpy as np
import pytest

from lathe import Device, DeviceError, Program, WeightGroup
from lathe.grants import merged
from pymodels.csr_map import MEMORIES
from pymodels.descriptor import FIELDS, WORDS


class Case:
    """A device with a program and a request, and tensors that they may not write."""

    def __init__(self, backend: str):
        self.device = device = Device(backend)
        layout = device.layout
        self.a, self.b, self.out, self.other = (layout.tensor(name, 8, 8, -10) for name in ("a", "b", "out", "other"))
        self.group = WeightGroup(layout, slots=3)
        self.w = self.group.tensor("w", 8, 8, -12)
        self.group.place()
        values = np.random.default_rng(1).uniform(-1, 1, (8, 8))
        for tensor in (self.a, self.b, self.other):
            device.load(tensor, values)
        device.load(self.out, -values)
        device.load(self.w, np.eye(8))
        self.program, self.request = Program("product", layout), Program("beside", layout, request=True)
        self.program.matmul(self.w, self.a, self.out)
        self.request.matmul(self.a, self.other, self.b)

    def alter(self, program: Program, **fields: int) -> None:
        """Change fields of the first descriptor in program memory, behind the driver's back."""
        device = self.device
        device.install(program)
        at = MEMORIES["PROGRAM"].offset + 4 * WORDS * device._programs.use(program)
        for name, value in fields.items():
            field = FIELDS[name]
            address, mask = at + 4 * field.word, (1 << field.width) - 1 << field.lsb
            device.backend.csr_write(address, device.backend.csr_read(address) & ~mask | value << field.lsb)

    def contents(self) -> list:
        return [self.device.store_mantissas(tensor)[0].tolist() for tensor in (self.a, self.b, self.out, self.other, self.w)]

    def refused(self, run, program: Program) -> None:
        before = self.contents()
        with pytest.raises(DeviceError, match=f"protected.*'{program.operations[0].operands[2].name}'") as caught:
            run(program)
        assert caught.value.code == "protected" and caught.value.index == 0
        assert self.contents() == before


@pytest.fixture(params=["golden", "verilator"])
def case(request):
    made = Case(request.param)
    yield made
    made.device.close()


def test_what_is_granted_runs(case):
    before = case.contents()
    case.device.run(case.program)
    case.device.request(case.request)
    after = case.contents()
    assert [i for i in range(5) if before[i] != after[i]] == [1, 2]  # b and out


def test_an_altered_program_writes_nothing(case):
    slot = case.group.base
    for address in (case.other.address, case.out.address + 1, case.out.address - 1, slot, slot + 2 * case.group.size):
        case.alter(case.program, t2_addr=address)
        case.refused(case.device.run, case.program)
    case.alter(case.program, t2_addr=case.out.address, t2_stride=2)
    case.refused(case.device.run, case.program)
    case.alter(case.program, t2_stride=case.out.stride)
    case.device.run(case.program)


def test_an_altered_request_writes_nothing(case):
    for address in (case.other.address, case.out.address, case.group.base):
        case.alter(case.request, t2_addr=address)
        case.refused(case.device.request, case.request)
    case.alter(case.request, t2_addr=case.b.address)
    case.device.request(case.request)


def test_an_altered_program_does_not_install(case):
    program, layout = Program("fill", case.device.layout), case.device.layout
    block = layout.block("block", 8, 1)
    program.load(case.out, block)
    case.alter(program, t2_space=1, t2_addr=0)
    case.refused(case.device.run, program)
    case.device.load(case.w, 2 * np.eye(8))  # the device itself may
    assert np.array_equal(case.device.store(case.w), 2 * np.eye(8))


def test_no_result_in_the_weight_group_by_an_absolute_address(case):
    """Not even one that the program itself names."""
    fields = case.program.operations[0].fields
    for address in (case.group.base, case.group.base + 3 * case.group.size - 1):
        program = Program("raw", case.device.layout)
        program.raw("straight into a slot", **fields | {"t2_addr": address, "m": 1})
        before = case.contents()
        with pytest.raises(DeviceError, match="protected"):
            case.device.run(program)
        assert case.contents() == before


def test_more_results_than_windows(case):
    layout = case.device.layout
    outs = [layout.tensor(f"out{i}", 8, 8, -10) for i in range(13)]
    program = Program("many", layout)
    for out in outs[::2]:
        program.matmul(case.w, case.a, out)
    case.device.run(program)
    for out in outs[::2]:
        assert np.abs(case.device.store(out) - case.device.store(case.a)).max() < 2**-8


@pytest.mark.parametrize("windows, most, expected", [
    ([], 4, []), ([(3, 5)], 4, [(3, 5)]), ([(6, 7), (3, 5)], 4, [(3, 7)]), ([(3, 9), (4, 5)], 1, [(3, 9)]),
    ([(0, 0), (10, 11), (14, 20), (30, 31)], 2, [(0, 20), (30, 31)]),
    ([(0, 0), (10, 11), (14, 20), (30, 31)], 3, [(0, 0), (10, 20), (30, 31)]), ([(5, 70000), (0, -1)], 2, [(5, 65535)]),
])
def test_nearest_windows_become_one(windows, most, expected):
    assert merged(windows, most) == expected


@pytest.mark.parametrize("backend", ["golden", "verilator"])
def test_a_request_before_any_program_is_held_to_its_grants(backend):
    with Device(backend) as device:
        a, b, other = (device.layout.tensor(name, 8, 8, -10) for name in ("a", "b", "other"))
        request = Program("first", device.layout, request=True)
        request.matmul(a, a, b)
        device.install(request)
        field = FIELDS["t2_addr"]
        at = MEMORIES["PROGRAM"].offset + 4 * (WORDS * device._programs.use(request) + field.word)
        mask = (1 << field.width) - 1 << field.lsb
        device.backend.csr_write(at, device.backend.csr_read(at) & ~mask | other.address << field.lsb)
        with pytest.raises(DeviceError, match="protected"):
            device.request(request)
