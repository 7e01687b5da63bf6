# SPDX-License-Identifier: Apache-2.0
"""Requests beside a COMMIT that waits for them, neither of which may hold the other for ever; requests whose wait was interrupted."""

import numpy as np
import pytest

from lathe import Device, DeviceError, Program, Tensor, WeightGroup, checkpoint
from lathe.backends.verilator import VerilatorBackend

pytestmark = pytest.mark.xdist_group("verilated")

COMMIT, FAILS = 1, 2  # semaphores, as masks


@pytest.fixture(params=["golden", "verilator"])
def device(request):
    with Device(request.param) as opened:
        yield opened


def waiting(device: Device, products: int) -> tuple[Program, Tensor, Tensor]:
    """Return a request of so many products with a weight of a group of two slots, whose COMMIT has to wait for it; weight and result."""
    layout = device.layout
    group = WeightGroup(layout, slots=2)
    w = group.tensor("w", 32, 32, -13)
    group.place()
    x, out = layout.tensor("x", 64, 32, -8), layout.tensor("out", 64, 32, -8)
    device.load(x, np.ones((64, 32)))
    device.load(w, np.full((32, 32), 0.5))
    request = Program("request", layout, request=True)
    for _ in range(products):
        request.matmul(x, w, out)
    return request, w, out


@pytest.mark.parametrize("policy", ["command", "priority", "round_robin"])
def test_the_program_fails_while_its_commit_waits(device, policy):
    request, _, out = waiting(device, 6)
    a, b, y = (device.layout.tensor(name, 64, 64, -10) for name in "aby")
    for tensor in (a, b):
        device.load(tensor, np.ones((64, 64)))
    device.set_arbiter(policy)
    program = Program("program", device.layout)
    program.raw("long enough for the request to start", unit="gemm", op="matmul", m=64, n=64, k=64, t0_addr=a.address, t0_stride=a.stride,
                t1_addr=b.address, t1_stride=b.stride, t2_addr=y.address, t2_stride=y.stride, t0_exp=a.exponent, t1_exp=b.exponent,
                t2_exp=y.exponent, post_mask=COMMIT | FAILS)
    program.raw("commit", unit="update", op="commit", wait_mask=COMMIT)
    program.raw("outside memory", unit="dma", op="load", wait_mask=FAILS, m=1, n=256, t2_addr=a.address, t2_stride=256, mem_addr=1 << 30,
                mem_stride=4096)
    device.install(program)
    device.install(request)
    device.start(program)
    device.request(request)
    with pytest.raises(DeviceError, match="'outside memory'"):
        device.finish()
    np.testing.assert_array_equal(device.store(out), 16)
    device.request(request)


def test_a_slice_of_the_program_of_which_it_makes_no_use(device):
    request, w, _ = waiting(device, 2)
    gradient = device.layout.tensor("gradient", 32, 32, -13)
    device.load(gradient, np.ones((32, 32)))
    device.set_optimizer(0.1)
    device.set_arbiter("time_slice", 1 << 31)
    program = Program("program", device.layout)
    for _ in range(2):
        program.sgd(w, gradient)
        program.commit()
    device.install(program)
    device.install(request)
    device.run(program)
    device.start(program)
    device.request(request)
    device.finish()
    assert device.version == 4


class Interrupted(VerilatorBackend):
    """Ctrl-C so many cycles after the next wait has begun."""

    after: int | None = None

    def run(self, max_cycles):
        if self.after is not None:
            cycles, self.after = self.after, None
            self.advance(cycles)
            raise KeyboardInterrupt
        super().run(max_cycles)


class Bench:
    """A device, a long request that writes y, others that write z and y, and a program that writes out."""

    def __init__(self):
        self.device = device = Device(Interrupted)
        layout = device.layout
        self.a, self.x, self.y, self.z, self.out = (layout.tensor(name, 64, 64, -10) for name in ("a", "x", "y", "z", "out"))
        for tensor, value in ((self.a, 2), (self.x, 1), (self.y, 0), (self.z, 0), (self.out, 0)):
            device.load(tensor, value * np.eye(64))
        self.long, self.short, self.same, self.bad = (Program(name, layout, request=True) for name in ("long", "short", "same", "bad"))
        for _ in range(8):
            self.long.matmul(self.a, self.x, self.y)
        self.short.matmul(self.x, self.x, self.z)
        self.same.matmul(self.x, self.x, self.y)
        for _ in range(4):
            self.bad.matmul(self.a, self.x, self.y)
        self.bad.raw("no such unit", unit=7)
        self.program = Program("program", layout)
        for _ in range(4):
            self.program.matmul(self.x, self.x, self.out)
        for program in (self.long, self.short, self.same, self.bad, self.program):
            device.install(program)
        self.first = device.registers.value("REQUEST_OPNUM")

    def interrupt(self, request: Program, after: int) -> None:
        self.device.backend.after = after
        with pytest.raises(KeyboardInterrupt):
            self.device.request(request)

    def corner(self, tensor: Tensor) -> float:
        return self.device.store(tensor)[0, 0]

    @property
    def numbers(self) -> int:
        """Operation numbers that requests have taken."""
        assert self.device._runner.opnum == self.device.registers.value("REQUEST_OPNUM")
        return self.device._runner.opnum - self.first


@pytest.fixture
def bench():
    made = Bench()
    yield made
    made.device.close()


@pytest.mark.parametrize("after", [0, 40, 200, 100_000])
def test_the_next_request_waits_for_one_that_was_interrupted(bench, after):
    bench.interrupt(bench.long, after)
    bench.device.request(bench.same)
    assert (bench.corner(bench.y), bench.numbers) == (1, 9)
    bench.interrupt(bench.long, after)
    bench.device.request(bench.short)
    assert (bench.corner(bench.y), bench.corner(bench.z), bench.numbers) == (2, 1, 18)


@pytest.mark.parametrize("use", [
    lambda bench: bench.device.store(bench.z), lambda bench: bench.device.load(bench.a, np.zeros((64, 64))),
    lambda bench: bench.device.set_arbiter("priority"), lambda bench: bench.device.run(bench.program),
    lambda bench: bench.device.set_optimizer(0.1), lambda bench: bench.device.request(bench.short),
])
def test_whatever_uses_the_chip_waits_for_an_interrupted_request(bench, use):
    bench.interrupt(bench.long, 200)
    assert bench.device.registers.read("STATUS")["request_busy"]
    use(bench)
    assert not bench.device.registers.read("STATUS")["request_busy"]
    assert bench.corner(bench.y) == 2
    bench.interrupt(bench.bad, 100)
    with pytest.raises(DeviceError, match="program 'bad', descriptor 4 'no such unit'"):
        use(bench)
    use(bench)
    assert bench.numbers in (13, 15)  # two of the short one


@pytest.mark.parametrize("after", [0, 200, 3000])
def test_an_interrupted_request_beside_a_program(bench, after):
    bench.device.start(bench.program)
    bench.interrupt(bench.long, after)
    bench.device.finish()
    assert (bench.corner(bench.out), bench.corner(bench.y), bench.numbers) == (1, 2, 8)
    bench.device.start(bench.program)
    bench.interrupt(bench.long, after)
    bench.device.request(bench.same)
    bench.device.finish()
    assert (bench.corner(bench.y), bench.numbers) == (1, 17)


def test_a_checkpoint_after_an_interrupted_run(bench, tmp_path):
    number = bench.device.registers.value("OPNUM")
    bench.device.backend.after = 100
    with pytest.raises(KeyboardInterrupt):
        bench.device.run(bench.program)
    checkpoint.save(bench.device, tmp_path / "file")
    assert bench.device.registers.value("OPNUM") == number + 4
    checkpoint.load(bench.device, tmp_path / "file")
    assert bench.device.registers.value("OPNUM") == number + 4
