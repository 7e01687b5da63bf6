# SPDX-License-Identifier: Apache-2.0
"""lathe_csr: every register's reset value and access as the generated map says, pulses, status, counters, memories."""

import os
from collections import Counter

import cocotb
import numpy as np
from cocotbext.axi import AxiResp

from pymodels.csr_map import MEMORIES, REGISTERS
from tb.common.actors import Scoreboard, cycle, reset, rng, start_clock_and_reset
from tb.common.structs import struct
from tb.csr.host import Host

LANES, BANKS = int(os.environ["LANES"]), int(os.environ["BANKS"])
UNITS = ("GEMM", "POLICY", "UPDATE", "DMA")
STATES = ("IDLE", "BUSY", "WAIT", "STALL_OPERAND", "STALL_RESULT", "OVERHEAD", "FETCH")  # as lathe_pkg::unit_state_e
SUMS = ("x", "x2", "ratio", "ratio2", "k3", "entropy", "verr2")


def concatenate(*parts: tuple[int, int]) -> int:
    """A packed struct from (value, width), most significant first."""
    word = 0
    for value, width in parts:
        word = word << width | value & (1 << width) - 1
    return word


class Memories:
    """Answers the memory ports from arrays: program memory after two cycles, exponents and counters after a random time."""

    def __init__(self, dut):
        self.dut, self.generator = dut, rng(50)
        self.program = np.zeros(4096, np.uint32)
        self.exponents = np.zeros(128, np.uint32)
        self.histories = np.zeros(512, np.uint32)
        self.counters = np.zeros((len(UNITS), len(STATES) + 1), np.uint32)  # the last of each: CYCLES and MAC_STEPS, low, high
        cocotb.start_soon(self._program())
        cocotb.start_soon(self._exponents())
        cocotb.start_soon(self._counters())

    async def _program(self):
        dut, answer = self.dut, None
        while True:
            await cycle(dut)
            dut.progmem_rdata_i.value = int(self.generator.integers(0, 2**32)) if answer is None else answer
            answer = None
            if int(dut.progmem_en_o.value):
                index = int(dut.progmem_index_o.value)
                if int(dut.progmem_write_o.value):
                    self.program[index] = int(dut.progmem_wdata_o.value)
                else:
                    answer = int(self.program[index])

    async def _exponents(self):
        dut, ready = self.dut, False
        while True:
            await cycle(dut)
            valid = int(dut.exponents_valid_o.value)
            memory, index = self.exponents, int(dut.exponents_index_o.value)
            if int(dut.exponents_history_o.value):
                memory, index = self.histories, index << 2 | int(dut.exponents_word_o.value)
            if valid and ready and int(dut.exponents_write_o.value):
                memory[index] = int(dut.exponents_wdata_o.value)
            ready = bool(valid) and not ready and self.generator.random() < 0.3
            dut.exponents_ready_i.value = int(ready)
            dut.exponents_rdata_i.value = int(memory[index]) if ready else 0xAAAAAAAA

    async def _counters(self):
        dut, ready = self.dut, False
        while True:
            await cycle(dut)
            ready = bool(int(dut.count_valid_o.value)) and not ready and self.generator.random() < 0.3
            dut.count_ready_i.value = int(ready)
            dut.count_i.value = int(self.counters.flat[int(dut.count_index_o.value)]) if ready else 0xAAAAAAAA


class Bench:
    """The host, the hardware's side of every register, and what is expected of each."""

    def __init__(self, dut):
        self.dut, self.board = dut, Scoreboard("registers")
        self.host, self.memories = Host(dut), Memories(dut)
        self.expected = {name: sum((f.reset or 0) << f.lsb for f in r.fields.values()) for name, r in REGISTERS.items()}
        self.expected["BUILD"] = REGISTERS["BUILD"].pack(lanes=LANES, log2_banks=BANKS.bit_length() - 1, slots=4, version=5)
        self.pulses = Counter()
        cocotb.start_soon(self._count_pulses())

    async def _count_pulses(self):
        dut = self.dut
        pins = {"start": dut.start_o, "stats_clear": dut.stats_clear_o, "perf_clear": dut.perf_clear_o, "group_init": dut.group_init_o,
                "request": dut.request_o, "move": dut.move_valid_o}
        while True:
            await cycle(dut)
            for name, pin in pins.items():
                self.pulses[name] += int(pin.value)

    def drive(self, generator: np.random.Generator, corner: int | None = None) -> None:
        """Give the hardware's side random values, or all bits `corner`, and expect them."""
        def draw(bits: int, signed: bool = False) -> int:
            if corner is not None:
                return -corner if signed else ((1 << bits) - 1) * corner
            value = int.from_bytes(generator.bytes(8), "little") & (1 << bits) - 1
            return value - (1 << bits) if signed and value >> bits - 1 else value

        dut, expected = self.dut, self.expected
        expected["VERSION"] = draw(32)
        flags = {name: draw(4) for name in ("valid", "pinned", "bad")} | {"next": draw(2)}
        weights = flags | {"version": expected["VERSION"], "slot": draw(2), "versions": [draw(32) for _ in range(4)]}
        expected["SLOT"], expected["SLOTS"] = REGISTERS["SLOT"].pack(slot=weights["slot"]), REGISTERS["SLOTS"].pack(**flags)
        expected |= {f"VERSIONS_{slot}": number for slot, number in enumerate(weights["versions"])}
        dut.weights_i.value = struct("weights_t").pack(weights)
        dut.policy_version_i.value = self.policy_version = draw(16)

        dut.saturations_i.value = expected["SATURATIONS"] = draw(32)
        norm, zero = draw(32, signed=True), int(corner is None and draw(2) == 0)
        dut.norm_i.value, dut.norm_zero_i.value = norm, zero
        self.norm = None if zero else norm
        expected["NORM"] = norm & 0xFFFFFFFF
        dut.corrected_i.value, dut.uncorrected_i.value = expected["FAULT_CORRECTED"], expected["FAULT_UNCORRECTED"] = draw(32), draw(32)
        dut.fault_i.value = expected["FAULT_ADDRESS"] = draw(18)
        totals = {f"{name}_{half}": draw(32) for name in ("CYCLES", "MAC_STEPS") for half in ("LO", "HI")}
        units = {unit: [draw(32) for _ in STATES] for unit in UNITS}
        self.memories.counters[:] = [[*values, total] for values, total in zip(units.values(), totals.values(), strict=True)]
        expected |= totals
        for unit, values in units.items():
            expected |= {f"{unit}_{state}": value for state, value in zip(STATES, values, strict=True)}

        stats = {name: draw(32) for name in ("count", "high", "low", "rho_high", "rho_low", "masked", "clipped", "seq_masked", "vetoed")}
        stats |= {f"sum_{name}": draw(48, signed=True) for name in SUMS}
        stats |= {"max_x": draw(17, signed=True), "min_x": draw(17, signed=True)}
        dut.stats_i.value = struct("policy_stats_t").pack(stats)
        for name, value in stats.items():
            if name.startswith("sum_"):
                expected[f"STAT_{name.upper()}_LO"], expected[f"STAT_{name.upper()}_HI"] = value & 0xFFFFFFFF, value >> 32 & 0xFFFFFFFF
            else:
                expected[f"STAT_{name.upper()}"] = value & 0xFFFFFFFF

    async def compare(self, names=REGISTERS) -> None:
        """Read registers and compare."""
        for name in names:
            self.board.expect((name, hex(self.expected[name])))
            self.board.observe((name, hex(await self.host.read(name))))


async def start(dut) -> Bench:
    bench = Bench(dut)
    await start_clock_and_reset(dut)
    bench.drive(rng(), 0)
    return bench


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def test_reset_values(dut):
    """Every register reads its reset value, or what the hardware drives."""
    bench = await start(dut)
    await bench.compare()
    bench.board.finish()


@cocotb.test(timeout_time=4, timeout_unit="ms")
async def test_hardware_values(dut):
    """All that the hardware drives is read in its place, extended by its sign."""
    bench = await start(dut)
    for corner in (1, None, None):
        bench.drive(rng(1), corner)
        await bench.compare()
    bench.board.finish()


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def test_access(dut):
    """Writes reach the fields that can be written, all others stay; with pauses on every channel."""
    bench = await start(dut)
    generator = rng(2)
    pulses = {"CONTROL"}
    for share in (0, 0.5, 0.9):
        bench.host.pause(share)
        order = [name for name in REGISTERS if name not in pulses]
        generator.shuffle(order)
        for name in order[: None if share < 0.9 else 12]:
            register = REGISTERS[name]
            writable = sum((1 << f.width) - 1 << f.lsb for f in register.fields.values() if f.access == "rw")
            for value in (0xFFFFFFFF, int(generator.integers(0, 2**32))):
                await bench.host.write(name, value)
                bench.expected[name] = bench.expected[name] & ~writable | value & writable
            await bench.compare([name])
        bench.host.pause(0)
        await bench.compare()
    moves = bench.pulses.pop("move")
    assert moves > 2 and not any(bench.pulses.values()), bench.pulses
    bench.board.finish()


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def test_bytes(dut):
    """Byte strobes: only the bytes that are written change."""
    bench = await start(dut)
    await bench.host.write("SEED", 0x11223344)
    for i, byte in ((0, 0xA0), (3, 0xA3), (1, 0xA1)):
        await bench.host.master.write(REGISTERS["SEED"].offset + i, bytes([byte]))
    bench.expected["SEED"] = 0xA322A1A0
    await bench.compare()
    bench.board.finish()


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def test_outputs(dut):
    """Settings appear at the ports."""
    bench = await start(dut)
    generator, host, board = rng(3), bench.host, bench.board
    policy, update = struct("policy_cfg_t"), struct("update_cfg_t")
    for _ in range(4):
        value = {name: int(generator.integers(0, 2**32)) for name in REGISTERS}
        for name in ("START_PC", "SEED", "OPNUM", "GROUP_BASE", "GROUP_SIZE", "GROUP_SLOTS", "GROUP_VERSION", "LEARNING_RATE",
                     "MOMENTUM", "RATIO_MODE", "RATIO_BOUNDS", "RHO_BOUNDS", "RATIO_DUAL", "VETO_BOUNDS", "ENTROPY_COEF", "VALUE_COEF",
                     "SCAN_MODE", "SCAN_GAMMA", "SCAN_DECAY", "SCAN_CAPS", "REQUEST_PC", "REQUEST_OPNUM", "ARBITER", "BETA1", "ADAM_DECAY",
                     "ADAM_GAIN", "ADAM_RATE", "ADAM_EPS", "WEIGHT_DECAY", "CLIP_NORM"):
            await host.write(name, value[name])
        bench.drive(generator)
        await cycle(dut, 4)
        field = {name: REGISTERS[name].unpack(value[name]) for name in value}
        rate, mode = field["LEARNING_RATE"], field["RATIO_MODE"]
        lanes = {lane: {name: mode[f"{lane}_{name}"] for name in ("weight", "above", "below", "source", "aggregate")} | field[bounds]
                 for lane, bounds in (("r", "RATIO_BOUNDS"), ("rho", "RHO_BOUNDS"))}
        clip = 0 if bench.norm is None else max(min(0, field["CLIP_NORM"]["value"] - bench.norm), -1 << 23)
        for expected, pin in (
            (value["REQUEST_PC"] & 0xFF, dut.request_pc_o), (value["REQUEST_OPNUM"], dut.request_opnum_o),
            (field["ARBITER"]["policy"], dut.arbiter_policy_o), (field["ARBITER"]["slice"], dut.arbiter_slice_o),
            (value["START_PC"] & 0xFF, dut.start_pc_o), (value["SEED"], dut.seed_o), (value["OPNUM"], dut.opnum_o),
            (concatenate((value["GROUP_BASE"], 16), (value["GROUP_SIZE"], 16), (value["GROUP_SLOTS"], 3), (value["GROUP_VERSION"], 32)),
             dut.group_o),
            (policy.pack({**lanes, "dual_on": mode["r_dual"], "dual": field["RATIO_DUAL"]["value"], "stats_rho": mode["stats_lane"],
                          **{f"veto_{side}": mode[f"veto_{side}"] for side in ("below", "above")},
                          **{f"veto_{side}": code for side, code in field["VETO_BOUNDS"].items()},
                          "entropy_coef": field["ENTROPY_COEF"]["value"], "value_coef": field["VALUE_COEF"]["value"],
                          "version": bench.policy_version,
                          "scan": field["SCAN_MODE"] | {"gamma": field["SCAN_GAMMA"]["value"], "decay": field["SCAN_DECAY"]["value"],
                                                        "rho_cap": field["SCAN_CAPS"]["rho"], "c_cap": field["SCAN_CAPS"]["c"]}}),
             dut.policy_cfg_o),
            (update.pack({"lr_mant": rate["mant"], "lr_exp": rate["exp"], "momentum": field["MOMENTUM"]["value"],
                          "beta1": field["BETA1"]["value"], **{f"{name}_log": field[f"ADAM_{name.upper()}"]["value"]
                                                               for name in ("decay", "gain", "rate", "eps")},
                          **{f"wd_{name}": code for name, code in field["WEIGHT_DECAY"].items()}, "clip_log": clip}), dut.update_cfg_o),
        ):
            board.expect(expected)
            board.observe(int(pin.value))
    board.finish()


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def test_pulses(dut):
    """Each bit of CONTROL is one pulse of one cycle, alone and together."""
    bench = await start(dut)
    names = list(REGISTERS["CONTROL"].fields)
    expected = Counter()
    for mask in (1, 2, 4, 8, 16, 31, 0, 5, 20):
        await bench.host.write("CONTROL", mask)
        await cycle(dut, 3)
        expected.update(name for i, name in enumerate(names) if mask >> i & 1)
        assert +bench.pulses == +expected, (mask, bench.pulses)
    await bench.compare()
    bench.board.finish()


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def test_moves(dut):
    """A write to WEIGHTS is one pulse with its operation and slot, none while a program runs; the error that comes back is read."""
    bench = await start(dut)
    generator, host = rng(6), bench.host
    for error in (0, 11, 14, 2):
        for busy in (0, 1):
            op, slot = int(generator.integers(2, 6)), int(generator.integers(0, 4))
            dut.busy_i.value = busy
            before, seen = bench.pulses["move"], []
            task = cocotb.start_soon(watch_move(dut, seen))
            await host.write("WEIGHTS", op=op, slot=slot)
            await cycle(dut, 3)
            task.cancel()
            assert bench.pulses["move"] - before == 1 - busy and seen == [(op, slot)] * (1 - busy), seen
            bench.expected["WEIGHTS"] = bench.expected["WEIGHTS"] & ~0xFFFF | REGISTERS["WEIGHTS"].pack(op=op, slot=slot)
            if not busy:
                dut.move_error_i.value, dut.move_done_i.value = error, 1
                await cycle(dut)
                dut.move_error_i.value, dut.move_done_i.value = 15, 0
                bench.expected["WEIGHTS"] = REGISTERS["WEIGHTS"].pack(op=op, slot=slot, error=error)
            await bench.compare(["WEIGHTS"])
    dut.busy_i.value = 0
    seen = []
    cocotb.start_soon(watch_move(dut, seen))
    await host.write("WEIGHTS", op=1, slot=0)  # a commit is a program's alone
    await cycle(dut, 3)
    assert len(seen) == 1 and not 1 <= seen[0][0] <= 5
    bench.board.finish()


async def watch_move(dut, seen: list) -> None:
    """Note what the pulses ask for."""
    while True:
        await cycle(dut)
        if int(dut.move_valid_o.value):
            seen.append((int(dut.move_op_o.value), int(dut.move_slot_o.value)))


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def test_status(dut):
    """done, error and ERROR follow the hardware; writing 1 and a start clear; the interrupt follows enable and status."""
    await follow_status(dut, "", dut.started_i)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def test_status_of_requests(dut):
    """The same of the request's bits and REQUEST_ERROR."""
    await follow_status(dut, "request_", dut.requested_i)


async def follow_status(dut, side: str, started) -> None:
    """Check the bits of STATUS, the pins and the ERROR register whose names begin with `side`."""
    bench = await start(dut)
    host, error_register = bench.host, f"{side}ERROR".upper()
    status, done_bit, error_bit = REGISTERS["STATUS"], *(REGISTERS["STATUS"].pack(**{f"{side}{name}": 1}) for name in ("done", "error"))
    busy_pin, done_pin, error_pin, report_pin = (getattr(dut, f"{side}{name}_i") for name in ("busy", "done", "error", "report"))

    async def pulse(pin):
        pin.value = 1
        await cycle(dut)
        pin.value = 0
        report_pin.value = 0x7FFF
        await cycle(dut, 3)

    async def expect(done: int, error: int, irq: int, busy: int = 0, **report: int):
        bench.expected["STATUS"] = status.pack(**{f"{side}busy": busy, f"{side}done": done, f"{side}error": error})
        bench.expected[error_register] = REGISTERS[error_register].pack(**report)
        await bench.compare(["STATUS", error_register])
        assert int(dut.irq_o.value) == irq

    busy_pin.value = 1
    await expect(0, 0, 0, busy=1)
    await pulse(done_pin)
    busy_pin.value = 0
    await expect(1, 0, 0)
    await host.write("IRQ_ENABLE", enable=1)
    await expect(1, 0, 1)
    await host.write("STATUS", error_bit)  # the other bit: nothing
    await expect(1, 0, 1)
    await host.write("STATUS", 0)
    await expect(1, 0, 1)
    await host.write("STATUS", done_bit)
    await expect(0, 0, 0)
    report_pin.value = concatenate((11, 4), (3, 3), (200, 8))
    await pulse(error_pin)
    await expect(0, 1, 1, code=11, unit=3, pc=200)
    await host.write(error_register, 0)  # read only
    await host.write("STATUS", error_bit)
    await expect(0, 0, 0, code=11, unit=3, pc=200)
    await pulse(started)
    await expect(0, 0, 0)
    report_pin.value = concatenate((15, 4), (7, 3), (255, 8))
    await pulse(error_pin)
    await pulse(done_pin)
    await expect(1, 1, 1, code=15, unit=7, pc=255)
    await host.write("IRQ_ENABLE", enable=0)
    await expect(1, 1, 0, code=15, unit=7, pc=255)
    await pulse(started)
    await expect(0, 0, 0)
    bench.board.finish()


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def test_interrupts_of_others_stay(dut):
    """A start takes back the interrupt of what is started, in that very cycle, and leaves all others where they are."""
    bench = await start(dut)
    ends = {"program": dut.done_i, "request": dut.request_done_i, "fault": dut.uncorrectable_i}
    starts = {"program": dut.started_i, "request": dut.requested_i}
    await bench.host.write("IRQ_ENABLE", enable=1)
    for ended in ends:
        for begun, pin in starts.items():
            ends[ended].value = 1
            await cycle(dut)
            ends[ended].value = 0
            await cycle(dut, 4)
            assert int(dut.irq_o.value), f"no interrupt of a {ended}"
            pin.value, seen = 1, []
            for _ in range(4):
                await cycle(dut)
                pin.value = 0
                seen.append(int(dut.irq_o.value))
            assert seen == [int(ended != begun)] * 4, f"interrupt of a {ended} after the start of a {begun}: {seen}"
            await bench.host.write("STATUS", sum(REGISTERS["STATUS"].pack(**{bit: 1}) for bit in ("done", "request_done", "fault")))
            await cycle(dut, 3)
            assert not int(dut.irq_o.value)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def test_opnum(dut):
    """OPNUM and REQUEST_OPNUM count, wrap and can be written."""
    bench = await start(dut)
    for name, pin in (("OPNUM", dut.opnum_increment_i), ("REQUEST_OPNUM", dut.request_opnum_increment_i)):
        for first, steps in ((0, 5), (0xFFFFFFFE, 4), (0x0000FFFF, 1)):
            await bench.host.write(name, first)
            for _ in range(steps):
                pin.value = 1
                await cycle(dut)
                pin.value = 0
                await cycle(dut)
            bench.expected[name] = first + steps & 0xFFFFFFFF
            await bench.compare(["OPNUM", "REQUEST_OPNUM"])
    bench.board.finish()


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def test_memories(dut):
    """All memories, ends and random words, with pauses; registers answer in between."""
    bench = await start(dut)
    host, board, generator = bench.host, bench.board, rng(4)
    for share in (0, 0.5, 0.9):
        host.pause(share)
        for name in ("PROGRAM", "EXPONENTS", "HISTORY"):
            memory, mirror = MEMORIES[name], {}
            for index in (0, memory.words - 1, *(int(i) for i in generator.integers(0, memory.words, 20))):
                mirror[index] = int(generator.integers(0, 2**32))
                await host.write_at(memory.offset + 4 * index, mirror[index])
            await bench.compare(["ID"])
            for index, value in mirror.items():
                board.expect((name, index, value))
                board.observe((name, index, await host.read_at(memory.offset + 4 * index)))
    host.pause(0)
    words = [int(v) for v in generator.integers(0, 2**32, 32)]
    await host.load("PROGRAM", 100, words)
    board.expect(words)
    board.observe(await host.dump("PROGRAM", 100, 32))
    board.finish()


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def test_unmapped(dut):
    """Offsets that nothing occupies answer SLVERR and change nothing."""
    bench = await start(dut)
    taken = {register.offset for register in REGISTERS.values()}
    ranges = [range(m.offset, m.offset + 4 * m.words) for m in MEMORIES.values()]
    holes = [a for a in (*range(0, 0x300, 4), 0xFFC, 0x1200, 0x2000, 0x3FFC) if a not in taken and not any(a in r for r in ranges)]
    assert len(holes) > 40
    for address in holes[::3]:
        await bench.host.write_at(address, 0xFFFFFFFF, AxiResp.SLVERR)
        await bench.host.read_at(address, AxiResp.SLVERR)
    await bench.compare()
    assert not any(bench.pulses.values())
    bench.board.finish()


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def test_reset(dut):
    """A reset in the middle of accesses, also of one that waits for the exponents, returns everything to its reset value."""
    bench = await start(dut)
    generator = rng(5)
    for wait in range(2, 14):
        for name in ("SEED", "GROUP_BASE", "IRQ_ENABLE"):
            await bench.host.write(name, 0xFFFFFFFF)
        master = bench.host.master  # its accesses return without an answer when a reset ends them
        task = cocotb.start_soon(master.read(MEMORIES["EXPONENTS"].offset, 4) if wait % 2 else master.write(0x20, bytes(4)))
        await cycle(dut, wait)
        await reset(dut, int(generator.integers(1, 4)))
        task.cancel()
        await cycle(dut)
        await bench.compare()
    bench.board.finish()


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def test_faults(dut):
    """A write of FAULT_INJECT gives one pulse with what is to be flipped; an uncorrectable word interrupts until that is cleared."""
    bench = await start(dut)
    host, orders = bench.host, []

    async def watch():
        while True:
            await cycle(dut)
            if int(dut.inject_valid_o.value):
                orders.append(int(dut.inject_o.value))

    async def expect(**values: int):
        bench.expected |= values
        await bench.compare(values)

    cocotb.start_soon(watch())
    await host.write("FAULT_BITS", first=5, second=0x101, two=1)
    await host.write("FAULT_INJECT", value=0x1234)
    await expect(FAULT_INJECT=0x1234)
    assert orders == [0x1234 | 5 << 16 | 0x101 << 25 | 1 << 34]
    dut.inject_busy_i.value = 1
    await expect(FAULT_INJECT=0x1234 | 1 << 31)
    await host.write("IRQ_ENABLE", enable=1)
    dut.uncorrectable_i.value = 1
    await cycle(dut)
    dut.uncorrectable_i.value = 0
    await cycle(dut, 4)
    assert int(dut.irq_o.value)
    fault = REGISTERS["STATUS"].pack(fault=1)
    await expect(STATUS=fault)
    await host.write("STATUS", fault)
    await expect(STATUS=0)
    assert not int(dut.irq_o.value)
    bench.board.finish()
