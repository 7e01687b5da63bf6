# SPDX-License-Identifier: Apache-2.0
"""A program's COMMIT that waits for a request: neither holds the other for ever, whatever happens beside it."""

import numpy as np
import pytest

from lathe import Device, DeviceError, Program, Tensor, WeightGroup

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
