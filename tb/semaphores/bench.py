# SPDX-License-Identifier: Apache-2.0
"""lathe_semaphores against counters: random takes and posts, both at once, overflow, clear."""

import cocotb

from tb.common.actors import Coverage, Scoreboard, cycle, rng, start_clock_and_reset

NUM, MOST = 16, 255


class Model:
    """The counts, moved with every edge."""

    def __init__(self):
        self.count = [0] * NUM

    def positive(self) -> int:
        return sum(1 << i for i in range(NUM) if self.count[i])

    def overflow(self, take: int, post: int) -> int:
        return int(any(post >> i & 1 and not take >> i & 1 and self.count[i] == MOST for i in range(NUM)))

    def step(self, take: int, post: int) -> None:
        for i in range(NUM):
            self.count[i] = min(self.count[i] + (post >> i & 1) - (take >> i & 1), MOST)


async def step(dut, board: Scoreboard, model: Model, take: int, post: int, valid: bool = True) -> None:
    """One cycle; the outputs are read at its end."""
    dut.take_i.value, dut.take_mask_i.value = int(valid and take != 0), take
    dut.post_i.value, dut.post_mask_i.value = int(valid and post != 0), post
    if not valid:
        take = post = 0
    board.expect((model.positive(), model.overflow(take, post)))
    await cycle(dut)
    board.observe((int(dut.positive_o.value), int(dut.overflow_o.value)))
    model.step(take, post)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def test_full(dut):
    """To 255, over it, back to zero."""
    await start_clock_and_reset(dut)
    board, model = Scoreboard("full"), Model()
    for _ in range(MOST + 3):
        await step(dut, board, model, 0, 0x8001)
    await step(dut, board, model, 0x0001, 0x0001)  # taken and posted at 255: no overflow
    await step(dut, board, model, 0x0001, 0x8001)
    for take, post in ((0x0001, 0), (0x0001, 0), (0, 0x0001), (0, 0x0001)):  # down from 254 too, and back up
        await step(dut, board, model, take, post)
    for _ in range(MOST):
        await step(dut, board, model, 0x8001, 0)
    await step(dut, board, model, 0, 0)
    assert model.count == [0] * NUM
    board.finish()


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def test_random(dut):
    """Random posts and takes of what is positive, with clears in between."""
    await start_clock_and_reset(dut)
    board, model, generator, seen = Scoreboard("random"), Model(), rng(), Coverage()
    for round_number in range(4000):
        post, take = (int(v) for v in generator.integers(0, 1 << NUM, 2))
        if round_number // 500 % 2:
            post &= int(generator.integers(0, 1 << NUM))
        take &= model.positive()
        seen.hit("both", bool(take & post))
        seen.hit("last one", any(take >> i & 1 and model.count[i] == 1 for i in range(NUM)))
        await step(dut, board, model, take, post, valid=bool(generator.random() < 0.9))
        if generator.random() < 0.003:
            dut.clear_i.value = 1
            dut.take_i.value, dut.post_i.value = 0, 1  # clear wins
            await cycle(dut)
            dut.clear_i.value = 0
            model = Model()
    seen.require(["both", "last one"])
    board.finish()


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def test_reset(dut):
    """A reset leaves all at zero."""
    await start_clock_and_reset(dut)
    board, model = Scoreboard("reset"), Model()
    await step(dut, board, model, 0, 0xFFFF)
    dut.post_i.value = 0
    dut.rst_ni.value = 0
    await cycle(dut)
    dut.rst_ni.value = 1
    model = Model()
    await step(dut, board, model, 0, 0)
    board.finish()
