# SPDX-License-Identifier: Apache-2.0
"""Grants: a program writes what its descriptors name, whatever lies in program memory when it runs."""

import numpy as np
import pytest

from lathe import Device, DeviceError, Program, WeightGroup
from lathe.grants import merged
from lathe.registers import Registers
from pymodels.csr_map import MEMORIES, REGISTERS
from pymodels.descriptor import FIELDS


class Case:
    """A device with a product, a request, and a tensor that neither of them may write."""

    def __init__(self, backend: str):
        self.device = device = Device(backend)
        layout = device.layout
        self.a, self.b, self.out, self.other = (layout.tensor(name, 8, 16, -10) for name in ("a", "b", "out", "other"))
        group = WeightGroup(layout, slots=3)
        self.w = group.tensor("w", 8, 8, -12)
        group.place()
        self.group = group
        self.values = np.random.default_rng(1).uniform(-1, 1, (8, 16))
        for tensor in (self.a, self.b, self.other):
            device.load(tensor, self.values)
        device.load(self.w, np.eye(8))
        self.program, self.request = Program("product", layout), Program("beside", layout, request=True)
        self.program.matmul(self.w, self.a, self.out)
        self.program.matmul(self.w, self.a, self.w.next.view(name="part") if False else self.out, label="again")
        self.request.copy(self.a, self.b)

    def alter(self, program: Program, index: int = 0, **fields: int) -> None:
        """Change fields of a descriptor in program memory, behind the driver's back."""
        device = self.device
        device.install(program)
        at = MEMORIES["PROGRAM"].offset + 64 * (device._programs[program] + index)
        for name, value in fields.items():
            field = FIELDS[name]
            word = device.backend.csr_read(at + 4 * field.word)
            mask = (1 << field.width) - 1 << field.lsb
            device.backend.csr_write(at + 4 * field.word, word & ~mask | value << field.lsb)

    def contents(self) -> list:
        return [self.device.store_mantissas(t)[0].tolist() for t in (self.a, self.b, self.other, self.w)]


@pytest.fixture(params=["golden", "verilator"])
def case(request):
    made = Case(request.param)
    yield made
    made.device.close()


def refused(case: Case, run, program: Program, code: str = "protected") -> None:
    before = case.contents()
    with pytest.raises(DeviceError, match=code) as caught:
        run(program)
    assert caught.value.code == code and caught.value.index == 0 and "'out'" in str(caught.value) or "'b'" in str(caught.value)
    assert case.contents() == before
""".strip() if False else None
