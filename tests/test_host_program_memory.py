# SPDX-License-Identifier: Apache-2.0
"""Program memory: any number of programs, of which the ones used longest ago make room."""

import numpy as np
import pytest

from lathe import Device, Program
from lathe.errors import CapacityError, ProgramError
from lathe.program_memory import ProgramMemory

SIZE = 254


@pytest.fixture(params=["golden", "verilator"])
def device(request):
    with Device(request.param) as made:
        yield made


def recorded(device, name: str, copies: int, request: bool = False):
    """A program of `copies` products that copy a number of its own; returns it with a check of what it wrote."""
    layout = device.layout
    program = Program(name, layout, request=request)
    x, y = (layout.tensor(f"{name} {which}", 1, 1, -8) for which in "xy")
    number = len(layout.tensors)
    device.load(x, [[number]])
    for _ in range(copies):
        program.matmul(layout.identity(1), x, y)

    def check():
        assert device.store(y) == number
        device.load(y, [[0]])

    return program, check


def test_any_number_of_programs(device):
    """Random programs and requests, more than fit: each runs whenever it is asked for."""
    rng = np.random.default_rng(3)
    programs = [recorded(device, f"p{number}", int(rng.integers(1, 120)), request=number % 4 == 3) for number in range(12)]
    assert sum(len(program.operations) for program, _ in programs) > 2 * SIZE
    for number in rng.integers(0, len(programs), 60):
        program, check = programs[number]
        if program.request:
            device.request(program)
        elif number % 4 == 2:
            device.start(program)
            device.finish()
        else:
            device.run(program)
        check()


def test_those_used_longest_ago_make_room_and_requests_last():
    with Device("golden") as device:
        memory = device._programs
        (first, _), (second, _), (third, _) = (recorded(device, name, 80) for name in ("first", "second", "third"))
        request, check = recorded(device, "request", 10, request=True)
        for program in (request, first, second, third):
            device.install(program)
        device.run(first)
        device.install(second)
        device.run(recorded(device, "fourth", 60)[0])
        assert third not in memory and all(program in memory for program in (request, first, second))
        device.start(first)
        device.request(request)
        device.finish()
        check()
        device.start(recorded(device, "whole", SIZE)[0])
        with pytest.raises(ProgramError, match=r"'request' is not on the chip.*takes 254 descriptors, these are 10 and 254"):
            device.request(request)
        device.finish()
        device.request(request)
        check()


def test_requests_stay_beside_whatever_fits_with_them():
    rng = np.random.default_rng(7)
    with Device("golden") as device:
        requests = [recorded(device, f"r{number}", int(rng.integers(5, 40)), request=True) for number in range(3)]
        programs = [recorded(device, f"p{number}", int(rng.integers(20, 170)))[0] for number in range(12)]
        asked = 0
        for _ in range(60):
            program, used = programs[rng.integers(12)], [pair for pair in requests if rng.random() < 0.6]
            if len(program.operations) + sum(len(request.operations) for request, _ in used) > SIZE:
                continue
            for request, _ in used:
                device.install(request)
            device.start(program)
            for request, _ in used:
                device.request(request)
            device.finish()
            for _, check in used:
                check()
                asked += 1
        assert asked > 50


def test_a_program_that_can_never_fit():
    with Device("golden") as device:
        program, check = recorded(device, "long", SIZE + 1)
        request, check_request = recorded(device, "beside", 100, request=True)
        device.install(request)
        for use in (device.install, device.start):
            with pytest.raises(CapacityError, match="'long' has 255 descriptors and program memory takes 254; split it, or use Device.run"):
                use(program)
        device.run(program)  # in pieces, which take all of program memory
        check()
        device.start(recorded(device, "short", 100)[0])
        device.request(request)  # is there again
        device.finish()
        check_request()
        longest, _ = recorded(device, "longest", SIZE + 3, request=True)
        with pytest.raises(CapacityError, match="'longest' has 257 descriptors and program memory takes 254; split it$"):
            device.request(longest)


class Entry:
    def __init__(self, length, request):
        self.operations, self.request = range(length), request


def test_places_do_not_overlap():
    rng, memory, request = np.random.default_rng(5), ProgramMemory(SIZE), None
    for number in range(1000):
        entry = Entry(int(rng.integers(1, SIZE + 1 if number % 10 == 0 else 60)), bool(rng.integers(4) == 0))
        held = request in memory
        for displaced in memory.make_room(len(entry.operations)):
            assert displaced.request and not memory.make_room(len(displaced.operations))
            memory.add(displaced, memory.free(len(displaced.operations)))
        memory.add(entry, memory.free(len(entry.operations)))
        assert entry in memory
        if held and len(request.operations) + len(entry.operations) <= SIZE:
            assert request in memory  # the one used last
        request = entry if entry.request else request
        taken = sorted((place.start, place.stop) for place in memory._places.values())
        assert taken[0][0] >= 0 and taken[-1][1] <= SIZE
        assert all(before[1] <= after[0] for before, after in zip(taken, taken[1:], strict=False))
        assert all(len(place) == len(program.operations) for program, place in memory._places.items())
