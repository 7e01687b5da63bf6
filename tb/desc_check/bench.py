# SPDX-License-Identifier: Apache-2.0
"""lathe_desc_check against pymodels.check: legal descriptors, every limit from both sides, every bit that may not be set."""

import os
import random

import cocotb

from pymodels.check import check, operands
from pymodels.descriptor import FIELDS, Error, reserved_bits
from tb.common.actors import Coverage, Scoreboard, cycle, rng, start_clock_and_reset
from tb.desc_check.descriptors import ADAM, KINDS, SGD, STEPS, Limits, legal, number, words

CYCLES = 6
ARRIVAL = (range(8, 12), range(4), range(4, 8), range(12, 16))  # words that are there at the start and 1, 2, 3 cycles later


class Bench:
    def __init__(self, dut, slot_words: int = 300):
        self.dut = dut
        self.lanes, self.banks = int(os.environ["LANES"]), int(os.environ["BANKS"])
        self.board, self.seen = Scoreboard("check"), Coverage()
        self.limits = Limits(self.lanes, 1024 * self.banks, slot_words)
        self.rng = random.Random(cocotb.RANDOM_SEED)

    async def judge(self, value: int, overrun: bool = False, request: bool = False) -> int:
        """Let the DUT check the descriptor, of a program or of a request, compare with the model, return the error."""
        dut, expected = self.dut, check(words(value), request=request, **self.limits.keywords())
        dut.overrun_i.value, dut.request_i.value = overrun, request
        if overrun and expected == Error.NONE:
            expected = Error.PROGRAM_OVERRUN
        await self.begin(value)
        for _ in range(CYCLES):
            assert not int(dut.done_o.value), "a verdict too early"
            await self.advance()
        assert int(dut.done_o.value), f"no verdict after {CYCLES} cycles"
        self.board.expect((hex(value), expected.name))
        self.board.observe((hex(value), Error(int(dut.error_o.value)).name))
        self.seen.hit((value & 7, expected.name))
        self.seen.hit(("request", value & 7, expected.name), request)
        return expected

    async def begin(self, value: int) -> None:
        """Start a check: words that are not yet there are anything."""
        self.value, self.given, self.cycles = value, self.rng.getrandbits(512), 0
        self.dut.group_size_i.value, self.dut.start_i.value = self.limits.slot_words, 1
        await self.advance()
        self.dut.start_i.value = 0

    async def advance(self) -> None:
        """One cycle, at the beginning of which words arrive."""
        if self.cycles < len(ARRIVAL):
            mask = sum(0xFFFFFFFF << 32 * word for word in ARRIVAL[self.cycles])
            self.given = self.given & ~mask | self.value & mask
            self.dut.desc_i.value = self.given
        self.cycles += 1
        await cycle(self.dut)

    async def judge_fields(self, fields: dict) -> int:
        return await self.judge(number(fields))


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def test_legal(dut):
    """What is legal passes, for small and large slots; one word less in the limit and it does not."""
    await start_clock_and_reset(dut)
    bench, generator = Bench(dut), rng()
    for slot_words in (1, 300, 65535):
        bench.limits.slot_words = slot_words
        for kind in KINDS * 12:
            fields = legal(generator, Limits(bench.lanes, 1024 * bench.banks, min(slot_words, 1024 * bench.banks)), kind)
            assert await bench.judge_fields(fields) == Error.NONE
    bench.board.finish()


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def test_ends(dut):
    """Every operand of every operation: its last word at the limit, one behind it, far behind it; stride one too small."""
    await start_clock_and_reset(dut)
    bench, generator = Bench(dut), rng(1)
    for kind in KINDS * 4:
        fields = legal(generator, bench.limits, kind)
        if kind[0] == 1:
            fields = legal(generator, bench.limits, kind) | {"act": 0}
        for i, t in operands(fields, bench.lanes).items():
            limit = bench.limits.of(fields[f"t{i}_space"])
            extent = (t.rows - 1) * fields[f"t{i}_stride"] + t.words
            for addr, expected in ((limit - extent, Error.NONE), (limit - extent + 1, Error.OUT_OF_SCRATCHPAD),
                                   (65535, Error.OUT_OF_SCRATCHPAD)):
                if addr < 65536 and addr + extent > 0:
                    verdict = await bench.judge_fields(fields | {f"t{i}_addr": addr})
                    assert verdict == (expected if addr + extent > limit or expected == Error.NONE else Error.NONE)
            for stride in (0, t.words - 1, t.words, 65535):
                await bench.judge_fields(fields | {f"t{i}_stride": stride})
    bench.seen.require((unit, "BAD_SHAPE") for unit in (1, 2, 4))
    bench.seen.require((unit, "OUT_OF_SCRATCHPAD") for unit in (1, 2, 3, 4))
    bench.board.finish()


@cocotb.test(timeout_time=60, timeout_unit="ms")
async def test_fields(dut):
    """Every field of every operation at its corners, every reserved bit, every unit and operation code."""
    await start_clock_and_reset(dut)
    bench, generator = Bench(dut), rng(2)
    corners = {"k": [16384, 16385], "n": [63, 64, 65], "m": [2], "mem_addr": [bench.lanes, 2 * bench.lanes, 2**32 - 1],
               "mem_stride": [bench.lanes, 2 * bench.lanes], **{f"t{i}_exp": [15, 16] for i in range(6)}}
    for kind in KINDS:
        fields = legal(generator, bench.limits, kind)
        for name, field in FIELDS.items():
            most = (1 << field.width) - 1
            for value in {0, 1, most, most - 1, *corners.get(name, ())} | (set(range(most + 1)) if field.width <= 3 else set()):
                await bench.judge_fields(fields | {name: value})
        for bit in range(512):
            flipped = number(fields) | 1 << bit
            if reserved_bits(words(flipped)):
                assert await bench.judge(flipped) == Error.BAD_FIELD
    for unit in range(8):
        for op in range(32):
            await bench.judge_fields(legal(generator, bench.limits) | {"unit": unit, "op": op})
    bench.seen.require([(0, "BAD_UNIT"), (7, "BAD_UNIT"), (4, "MISALIGNED")])
    bench.seen.require((unit, error) for unit in (1, 2, 3, 4) for error in ("BAD_OP", "BAD_FIELD"))
    bench.board.finish()


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def test_requests(dut):
    """A request's descriptors: every operation, with and without each field that only a program may set."""
    await start_clock_and_reset(dut)
    bench, generator = Bench(dut), rng(5)
    only = ("wait_mask", "post_mask", "chain", "overlap", "norm")
    for kind in KINDS:
        fields = legal(generator, bench.limits, kind, spaces=(0,)) | dict.fromkeys(only, 0)
        allowed = kind[0] == 1 or kind[0] == 4 or (kind[0] == 2 and kind[1] <= 2)
        assert (await bench.judge(number(fields), request=True) == Error.NONE) == allowed
        for name in only:
            for bit in range(FIELDS[name].width):
                verdict = await bench.judge(number(fields | {name: 1 << bit}), request=True)
                assert verdict == (Error.BAD_FIELD if allowed else verdict) != Error.NONE
        for i, t in operands(fields, bench.lanes).items() if allowed else ():
            for space in (1, 2, 3):
                verdict = await bench.judge(number(fields | {f"t{i}_space": space, f"t{i}_exp": 3, f"t{i}_addr": 0}), request=True)
                if t.result or space != 1:
                    assert verdict == Error.BAD_FIELD
                else:
                    bench.seen.hit(("current", kind[0], verdict.name))
    bench.seen.require(("request", unit, "NONE") for unit in (1, 2, 4))
    bench.seen.require([("request", 3, "BAD_UNIT"), ("request", 2, "BAD_OP")])
    bench.seen.require(("current", unit, "NONE") for unit in (1, 2, 4))
    bench.board.finish()


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def test_steps(dut):
    """Steps of update at the corners of their shape, in a scratchpad and slots that would hold them: rows, words, 65,535 at most."""
    await start_clock_and_reset(dut)
    bench = Bench(dut, slot_words=65535)
    bench.limits.slot_words = 65535
    for kind in STEPS:
        base = dict.fromkeys(FIELDS, 0) | {"unit": 3, "op": kind[1], "t0_space": 1, "t1_space": 1, "t2_space": 2}
        base |= {} if kind == SGD else {"t3_space": 1, "t4_space": 2}
        for m, n in ((1, 65535), (255, 257), (256, 256), (65535, 1), (32767, 1), (32768, 1), (2, 32768), (3, 21845), (3, 21846),
                     (1, 32767), (1, 32768), (65535, 65535), (65535, 2), (32769, 2), (2, 0), (0, 2)):
            for copy in (0, 1):
                size = -(-m // 2) * n
                for addr in {0, max(65535 - size, 0), max(65536 - size, 0)} if copy else (0,):
                    fields = base | {"m": m, "n": n, "int8_result": copy, "t5_space": 2 * copy, "t5_addr": addr % 65536 * copy}
                    verdict = await bench.judge_fields(fields)
                    if (m > 1 and not copy) or not 1 <= m * n <= 65535:
                        assert verdict == Error.BAD_SHAPE
                    else:
                        fits = (2 if kind == ADAM else 1) * m * n <= 65535 and addr + size <= 65535
                        assert verdict == (Error.NONE if fits else Error.OUT_OF_SCRATCHPAD)
                        bench.seen.hit((kind, copy, fits))
    bench.seen.require((kind, 1, fits) for kind in STEPS for fits in (False, True))
    bench.board.finish()


@cocotb.test(timeout_time=60, timeout_unit="ms")
async def test_random(dut):
    """Legal descriptors with a few random changes: also several errors at once, of which the first is reported."""
    await start_clock_and_reset(dut)
    bench, generator = Bench(dut), rng(3)
    names = list(FIELDS)
    for round_number in range(1500):
        if round_number % 50 == 0:
            bench.limits.slot_words = int(generator.integers(1, 1000))
        fields = legal(generator, bench.limits)
        for _ in range(int(generator.integers(1, 4))):
            name = names[int(generator.integers(0, len(names)))]
            fields[name] = int(generator.integers(0, 1 << FIELDS[name].width)) >> int(generator.integers(0, FIELDS[name].width))
        value = number(fields)
        if generator.random() < 0.05:
            value ^= 1 << int(generator.integers(0, 512))
        await bench.judge(value, overrun=generator.random() < 0.2, request=generator.random() < 0.3)
    bench.seen.require((unit, "PROGRAM_OVERRUN") for unit in (1, 2, 3, 4))
    bench.board.finish()


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def test_reset(dut):
    """A reset ends a check; the next one is right."""
    await start_clock_and_reset(dut)
    bench, generator = Bench(dut), rng(4)
    for wait in range(1, CYCLES + 1):
        await bench.begin(number(legal(generator, bench.limits) | {"unit": 7}))
        for _ in range(wait):
            await bench.advance()
        dut.rst_ni.value = 0
        await cycle(dut)
        dut.rst_ni.value = 1
        for _ in range(2 * CYCLES):
            await cycle(dut)
            assert not int(dut.done_o.value), "a verdict after a reset"
        assert await bench.judge_fields(legal(generator, bench.limits)) == Error.NONE
    bench.board.finish()
