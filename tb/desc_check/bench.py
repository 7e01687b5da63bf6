# SPDX-License-Identifier: Apache-2.0
"""lathe_desc_check against pymodels.check: legal descriptors, every limit from both sides, every bit that may not be set."""

import os
import random

import cocotb

from pymodels.check import Grants, absolute_results, check, operands
from pymodels.descriptor import FIELDS, Error, reserved_bits
from tb.common.actors import Coverage, Scoreboard, cycle, rng, start_clock_and_reset
from tb.common.structs import struct
from tb.desc_check.descriptors import ADAM, KINDS, SGD, STEPS, Limits, legal, number, words

GRANTS = struct("grants_t")
REQUESTED = [(1, 0), (2, 0), (2, 1), (2, 2), (4, 0), (4, 1)]  # operations that a request may have
CYCLES = 6
ARRIVAL = (range(8, 12), range(4), range(4, 8), range(12, 16))  # words that are there at the start and 1, 2, 3 cycles later


class Bench:
    def __init__(self, dut, slot_words: int = 300):
        self.dut = dut
        self.lanes, self.banks = int(os.environ["LANES"]), int(os.environ["BANKS"])
        self.board, self.seen = Scoreboard("check"), Coverage()
        self.limits = Limits(self.lanes, 1024 * self.banks, slot_words)
        self.rng = random.Random(cocotb.RANDOM_SEED)
        self.windows, self.request_windows = [(0xFFFF, 0)] * 4, [(0xFFFF, 0)] * 2
        self.enabled = {"programs": 0, "requests": 0, "install": 0}

    def grants(self, request: bool) -> Grants:
        """What holds for a descriptor of a program or of a request."""
        windows = tuple(self.request_windows if request else self.windows) if self.enabled["requests" if request else "programs"] else None
        return Grants(windows, bool(self.enabled["install"]), self.limits.grants.group)

    async def judge(self, value: int, overrun: bool = False, request: bool = False) -> int:
        """Let the DUT check the descriptor, of a program or of a request, compare with the model, return the error."""
        keywords = self.limits.keywords() | {"grants": self.grants(request)}
        dut, expected = self.dut, check(words(value), request=request, **keywords)
        windows = {name: [{"first": first, "last": last} for first, last in getattr(self, name)] for name in ("windows", "request_windows")}
        dut.grants_i.value = GRANTS.pack(windows | self.enabled)
        dut.group_first_i.value, dut.group_end_i.value = self.limits.grants.group
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
        assert int(dut.bad_o.value) == (expected != Error.NONE), "bad_o"
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
        allowed = kind in REQUESTED
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
async def test_grants(dut):
    """Every result of every operation, exactly granted, a word too few at either end, across two windows, and near the weight group."""
    await start_clock_and_reset(dut)
    bench, generator = Bench(dut), rng(6)
    for kind in KINDS * 3:
        only = ("wait_mask", "post_mask", "chain", "overlap", "norm")
        fields = legal(generator, bench.limits, kind, spaces=(0,)) | dict.fromkeys(only, 0)
        results = absolute_results(fields, bench.lanes)
        for request in (False, True) if kind in REQUESTED else (False,):
            windows = bench.request_windows if request else bench.windows
            bench.enabled = {"programs": int(not request), "requests": int(request), "install": int(generator.integers(0, 2))}
            if len(results) > len(windows):
                continue
            places = generator.permutation(len(windows)).tolist()

            async def judge(exact: list, request=request, windows=windows, places=places, fields=fields) -> Error:
                windows[:] = [(0xFFFF, 0)] * len(windows)
                for place, window in zip(places, exact, strict=False):
                    windows[place] = window
                return await bench.judge(number(fields), request=request)

            assert await judge(results) == Error.NONE
            for i, (first, last) in enumerate(results):
                outside = [(first + 1, last), (first, last - 1), (first + 1, 0xFFFF), (0, last - 1)]
                for short in (w for w in outside if w[0] <= 0xFFFF and w[1] >= 0):
                    others = results[:i] + results[i + 1:]
                    expected = any(low <= first and last <= high for low, high in others)
                    assert await judge([*results[:i], short, *results[i + 1:]]) == (Error.NONE if expected else Error.PROTECTED)
                if first < last and len(windows) > len(results):
                    await judge([*results[:i], (0, first), (first + 1, 0xFFFF), *results[i + 1:]])
            bench.enabled = dict.fromkeys(bench.enabled, 0)
            assert await judge([]) == Error.NONE
        if results:
            first, last = results[int(generator.integers(0, len(results)))]
            bench.enabled = dict.fromkeys(bench.enabled, 0)
            for group, expected in (((last, last + 5), Error.PROTECTED), ((last + 1, last + 5), Error.NONE),
                                    ((max(first - 3, 0), first), Error.NONE), ((first, first + 1), Error.PROTECTED),
                                    ((0, 2**16), Error.PROTECTED), ((first, 0), Error.NONE)):
                if group[0] > 0xFFFF or group[1] > 1 << 16:
                    continue  # beyond the largest scratchpad
                bench.limits.grants = Grants(group=group)
                verdict = await bench.judge(number(fields))
                assert verdict == expected or (len(results) > 1 and expected == Error.NONE)
            bench.limits.grants = Grants()
            bench.seen.hit(("granted", kind))
    bench.seen.require(("granted", kind) for kind in (*STEPS, *REQUESTED) if kind != (4, 1))
    bench.enabled["programs"] = 1
    for install in (0, 1):
        bench.enabled["install"] = install
        fields = legal(generator, bench.limits, (4, 0)) | {"t2_space": 1, "t2_addr": 0, "t2_exp": 0, "m": 1, "n": 1}
        assert await bench.judge(number(fields)) == (Error.NONE if install else Error.PROTECTED)
        assert await bench.judge(number(fields | {"t2_space": 2})) == Error.NONE
        assert await bench.judge(number(fields | {"mem_addr": 1})) == Error.MISALIGNED
        assert await bench.judge(number(fields), overrun=True) == (Error.PROGRAM_OVERRUN if install else Error.PROTECTED)
    bench.board.finish()


@cocotb.test(timeout_time=60, timeout_unit="ms")
async def test_random(dut):
    """Legal descriptors with a few random changes: also several errors at once, of which the first is reported."""
    await start_clock_and_reset(dut)
    bench, generator = Bench(dut), rng(3)
    names = list(FIELDS)
    for round_number in range(2000):
        if round_number % 50 == 0:
            bench.limits.slot_words = int(generator.integers(1, 1000))
            base = int(generator.integers(0, bench.limits.scratchpad_words))
            group = (base, base + int(generator.integers(1, 100))) if generator.random() < 0.5 else (base, 0)
            bench.windows, bench.request_windows = ([tuple(int(v) for v in generator.integers(0, bench.limits.scratchpad_words, 2))
                                                     for _ in range(count)] for count in (4, 2))
            bench.enabled = {name: int(generator.random() < 0.3) for name in bench.enabled}
        bench.limits.grants = Grants()
        fields = legal(generator, bench.limits)
        for _ in range(int(generator.integers(1, 4))):
            name = names[int(generator.integers(0, len(names)))]
            fields[name] = int(generator.integers(0, 1 << FIELDS[name].width)) >> int(generator.integers(0, FIELDS[name].width))
        value = number(fields)
        if generator.random() < 0.05:
            value ^= 1 << int(generator.integers(0, 512))
        bench.limits.grants = Grants(group=group)
        await bench.judge(value, overrun=generator.random() < 0.2, request=generator.random() < 0.3)
    bench.seen.require((unit, error) for unit in (1, 2, 3, 4) for error in ("PROGRAM_OVERRUN", "PROTECTED"))
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
