# SPDX-License-Identifier: Apache-2.0
"""Golden chip: registers, order of execution, errors, slots, and one training step against float64."""

import numpy as np
import pytest

from pymodels import gemm, policy
from pymodels.chip import Chip
from pymodels.csr_map import MEMORIES, REGISTERS
from pymodels.descriptor import Arbitration, Error, encode
from pymodels.numerics import op_key, pack_cols, pack_rows, unpack_rows
from pymodels.ratio import Clip, Lane

COMMIT = dict(unit="update", op="commit")
LOAD = dict(unit="dma", op="load", m=1, n=1)
SAMPLE = dict(unit="policy", op="sample", m=8, n=3, t0_stride=1, t2_stride=1)


class Host:
    """Names for the registers of a chip."""

    def __init__(self, **arguments):
        self.chip = Chip(**arguments)

    def write(self, name, **fields):
        self.chip.csr_write(REGISTERS[name].offset, REGISTERS[name].pack(**fields))

    def read(self, name):
        fields = REGISTERS[name].unpack(self.chip.csr_read(REGISTERS[name].offset))
        return fields["value"] if list(fields) == ["value"] else fields

    def load(self, descriptors, first=0, close=True):
        for i, fields in enumerate(descriptors):
            last = int(close and i == len(descriptors) - 1)
            for j, word in enumerate(encode(fields | ({"last": 1} if last else {})).tolist()):
                self.chip.csr_write(MEMORIES["PROGRAM"].offset + 64 * (first + i) + 4 * j, word)

    def run(self, descriptors=None, first=0, request=False):
        if descriptors is not None:
            self.load(descriptors, first)
        prefix, pc = ("REQUEST_", "REQUEST_PC") if request else ("", "START_PC")
        self.write(pc, value=first)
        others = self.status(not request)
        self.write("CONTROL", **{"request" if request else "start": 1})
        assert self.status(request) == (1, 0, 0)
        self.chip.run(1000)
        status, error = self.status(request), self.read(f"{prefix}ERROR")
        assert status == (0, int(not error["code"]), int(bool(error["code"]))) and self.status(not request) == others
        return error["code"], error["unit"], error["pc"]

    def status(self, request=False):
        status = self.read("STATUS")
        return tuple(status[f"{'request_' * request}{name}"] for name in ("busy", "done", "error"))

    def group(self, base=1000, size=100, slots=3, version=7):
        for name, value in dict(BASE=base, SIZE=size, SLOTS=slots, VERSION=version).items():
            self.write(f"GROUP_{name}", value=value)
        self.write("CONTROL", group_init=1)

    def exponent(self, index, value, static=0):
        self.chip.csr_write(MEMORIES["EXPONENTS"].offset + 4 * index, value & 0xFF | static << 16)


@pytest.fixture
def host():
    return Host()


def test_registers_keep_what_is_written(host):
    assert host.read("ID") == 0x4C415448
    assert host.read("BUILD") == {"lanes": 8, "log2_banks": 3, "slots": 4, "version": REGISTERS["BUILD"].fields["version"].reset}
    for name, register in REGISTERS.items():
        before = host.chip.csr_read(register.offset)
        if name in ("CONTROL", "STATUS"):
            continue
        host.chip.csr_write(register.offset, 0xFFFFFFFF)
        if name == "WEIGHTS":
            before |= REGISTERS[name].pack(error=Error.BAD_OP)
        mask = sum((1 << f.width) - 1 << f.lsb for f in register.fields.values() if f.access == "rw")
        assert host.chip.csr_read(register.offset) == before & ~mask | mask, name
    host.chip.reset()
    assert host.read("SEED") == host.read("OPNUM") == host.read("MOMENTUM") == 0
    with pytest.raises(OSError, match="0x0ffc"):
        host.chip.csr_read(0xFFC)


def test_program_and_exponent_windows(host):
    base = MEMORIES["PROGRAM"].offset
    host.chip.csr_write(base + 4 * 4095, 0xDEADBEEF)
    assert host.chip.csr_read(base + 4 * 4095) == 0xDEADBEEF == host.chip.program[255, 15]
    host.exponent(127, -3, static=1)
    assert host.chip.csr_read(MEMORIES["EXPONENTS"].offset + 4 * 127) == 0x1FDFD == host.chip.exponents[127]


def test_interrupt_and_status(host):
    host.run([COMMIT])
    assert not host.chip.irq
    host.write("IRQ_ENABLE", enable=1)
    assert host.chip.irq
    host.write("STATUS", done=1)
    assert not host.chip.irq and host.read("STATUS")["done"] == 0
    assert host.run([dict(unit=6)]) == (Error.BAD_UNIT, 6, 0)
    assert host.chip.irq and host.read("OPNUM") == 1
    host.write("STATUS", error=1)
    assert not host.chip.irq
    assert host.run([COMMIT]) == (0, 0, 0)


def test_versions_survive_reset_but_not_power_on(host):
    host.group()
    host.exponent(5, -9)
    host.run([COMMIT, COMMIT])
    assert (host.read("VERSION"), host.read("SLOT"), host.read("OPNUM")) == (9, {"slot": 2}, 2)
    host.chip.reset()
    assert (host.chip.version, host.chip.slot, host.read("OPNUM")) == (9, 2, 0)
    assert host.run([dict(unit="update", op="rollback")]) == (0, 0, 0)
    assert host.run([COMMIT, dict(unit="update", op="rollback"), dict(unit="update", op="rollback")])[0] == Error.NO_VERSION
    assert host.read("ERROR") == {"code": Error.NO_VERSION, "unit": 3, "pc": 2}
    assert host.chip.exponents[5] == 0xF7F7
    host.chip.reset(power_on=True)
    assert host.chip.version == 0 and not host.chip.exponents.any()


def test_errors_name_the_descriptor(host):
    wait = COMMIT | dict(wait_mask=1)
    assert host.run([COMMIT, wait]) == (Error.DEADLOCK, 3, 1)
    assert host.run([COMMIT] * 2 + [COMMIT | dict(op=9)], first=40) == (Error.BAD_OP, 3, 42)
    load = dict(unit="dma", op="load", m=1, n=1, wait_mask=2)
    assert host.run([load, wait]) == (Error.DEADLOCK, 3, 1)  # the lowest unit, not the lowest index
    assert host.run([wait] * 5 + [COMMIT | dict(post_mask=1)]) == (Error.DEADLOCK, 3, 0)  # the queue is full before the post
    host.load([COMMIT] * 256, close=False)
    assert host.run(first=250) == (Error.PROGRAM_OVERRUN, 3, 255)
    assert host.run([COMMIT | dict(post_mask=1)] * 255) == (0, 0, 0)
    assert host.run([COMMIT | dict(post_mask=1)] * 256) == (Error.SEMAPHORE_OVERFLOW, 3, 255)
    assert host.run([load | dict(wait_mask=0, mem_addr=1 << 20)]) == (Error.MEMORY, 4, 0)
    assert host.run([load | dict(wait_mask=0, mem_addr=(1 << 20) - 16)]) == (0, 0, 0)


def test_a_request_has_its_own_interrupt_and_status(host):
    """Neither's flags, error or operation numbers touch the other's."""
    host.write("IRQ_ENABLE", enable=1)
    assert host.run([LOAD, LOAD], first=20, request=True) == (0, 0, 0)
    assert host.chip.irq and (host.read("OPNUM"), host.read("REQUEST_OPNUM")) == (0, 2)
    assert host.run([dict(unit=6)]) == (Error.BAD_UNIT, 6, 0)
    host.write("STATUS", error=1)
    assert host.chip.irq and host.status(request=True) == (0, 1, 0)
    host.write("STATUS", request_done=1)
    assert not host.chip.irq and host.status(request=True) == (0, 0, 0)
    assert host.run([LOAD, COMMIT], first=20, request=True) == (Error.BAD_UNIT, 3, 21)
    assert host.read("ERROR") == {"code": Error.BAD_UNIT, "unit": 6, "pc": 0}
    host.write("STATUS", request_error=1)
    assert not host.chip.irq and host.status(request=True) == (0, 0, 0)
    assert host.run([COMMIT]) == (0, 0, 0)
    assert host.read("REQUEST_ERROR") == {"code": Error.BAD_UNIT, "unit": 3, "pc": 21}
    host.write("CONTROL", request=1)
    assert host.read("REQUEST_ERROR") == {"code": 0, "unit": 0, "pc": 0} and host.status() == (0, 1, 0)
    host.chip.reset()
    assert host.status() == host.status(request=True) == (0, 0, 0) and host.read("REQUEST_OPNUM") == 0


def test_errors_of_a_request_name_its_descriptor(host):
    """It ends at the first descriptor that fails or is refused, which in a request come in order; a refused one has no number."""
    def numbered(*arguments, **settings):
        host.write("REQUEST_OPNUM", value=0xFFFFFFFF)
        return *host.run(*arguments, **settings, request=True), host.read("REQUEST_OPNUM")

    beyond = LOAD | dict(mem_addr=1 << 20)
    assert numbered([LOAD, LOAD | dict(post_mask=1)], first=30) == (Error.BAD_FIELD, 4, 31, 0)
    assert numbered([LOAD, beyond, LOAD | dict(op=5)], first=30) == (Error.MEMORY, 4, 31, 1)
    assert numbered([LOAD, beyond, LOAD, LOAD]) == (Error.MEMORY, 4, 1, 1)
    assert numbered([SAMPLE | dict(op=op) for op in ("loss", "measure")]) == (Error.BAD_SHAPE, 2, 0, 0xFFFFFFFF)
    assert numbered([SAMPLE, SAMPLE | dict(op="scan")]) == (Error.BAD_OP, 2, 1, 0)
    host.load([LOAD] * 256, close=False)
    assert numbered(first=250) == (Error.PROGRAM_OVERRUN, 4, 255, 4)
    assert numbered([LOAD] * 256) == (0, 0, 0, 255)
    assert host.run([LOAD, COMMIT], first=30) == (0, 0, 0)  # the same descriptors as a program
    assert numbered(first=30) == (Error.BAD_UNIT, 3, 31, 0)


def test_random_bits_of_program_and_request(host):
    """Made from the number of each alone, whichever of them runs beside."""
    host.chip.scratchpad[:8] = np.random.default_rng(2).integers(-2000, 2000, (8, 8))
    host.write("SEED", value=77)
    host.exponent(0, -11, static=1)
    host.load([SAMPLE | dict(t2_addr=20), SAMPLE | dict(t2_addr=40)])
    host.load([SAMPLE | dict(t2_addr=60)], first=30)
    host.write("OPNUM", value=5)
    host.write("REQUEST_OPNUM", value=1 << 31)
    host.write("REQUEST_PC", value=30)
    host.write("ARBITER", policy=Arbitration.TIME_SLICE, slice=12)
    host.write("CONTROL", start=1, request=1)
    host.write("CONTROL", start=1, request=1)  # both are busy
    assert host.status() == host.status(request=True) == (1, 0, 0)
    host.chip.run()
    assert host.status() == host.status(request=True) == (0, 1, 0)
    assert host.read("ARBITER") == {"policy": 3, "slice": 12}
    assert (host.read("OPNUM"), host.read("REQUEST_OPNUM")) == (7, (1 << 31) + 1)
    for opnum, place in ((5, 20), (6, 40), (1 << 31, 60)):
        records, _ = policy.sample(host.chip.scratchpad[:8, :3], -11, greedy=False, key=op_key(77, opnum), version=0, lanes=8)
        assert (host.chip.scratchpad[place : place + 8] == records).all()
    assert (host.chip.scratchpad[20:28] != host.chip.scratchpad[60:68]).any()


def test_semaphores_order_units(host):
    """store needs what gemm makes, gemm needs what load brings: listed in the opposite order of units."""
    rng = np.random.default_rng(1)
    memory = host.chip.memory.view("<i2")
    memory[:512] = rng.integers(-300, 300, 512)
    program = [
        dict(unit="dma", op="load", m=8, n=2, t2_stride=2, mem_addr=0, mem_stride=32, post_mask=1),
        dict(unit="dma", op="load", m=16, n=1, t2_stride=1, t2_addr=50, mem_addr=256, mem_stride=16, post_mask=2),
        dict(unit="gemm", m=8, n=5, k=16, t0_stride=2, t1_addr=50, t1_stride=1, t2_addr=100, t2_stride=1, t2_exp=1,
             wait_mask=3, post_mask=4),
        dict(unit="dma", op="store", m=8, n=1, t0_addr=100, t0_stride=1, mem_addr=4096, mem_stride=16, wait_mask=4),
    ]
    host.chip.scratchpad[100:108] = -1  # pad lanes are cleared
    host.exponent(1, 6, static=1)
    assert host.run(program) == (0, 0, 0)
    a, b = memory[:128].reshape(8, 16), memory[128:256].reshape(16, 8)[:, :5]
    expected, _ = gemm.matmul(a, b, 0, 0, 6)
    out = memory[2048:2112].reshape(8, 8)
    assert (out[:, :5] == expected).all() and not out[:, 5:].any() and expected.any()


def test_plans_follow_the_content_of_program_memory(host):
    for first, count in ((0, 3), (10, 1), (0, 3), (0, 2), (10, 1)):
        before = host.chip.version
        assert host.run([COMMIT] * count, first=first) == (0, 0, 0)
        assert host.chip.version == before + count
    before = host.chip.version
    assert host.run(first=10) == (0, 0, 0) and host.chip.version == before + 1
    host.group(size=50)
    relative = dict(unit="gemm", m=1, n=1, k=1, t1_space="current", t1_addr=60)
    assert host.run([relative])[0] == Error.OUT_OF_SCRATCHPAD
    host.group(size=61)
    assert host.run() == (0, 0, 0)
    with pytest.raises(ValueError, match="do not fit"):
        host.group(size=5000)


def test_operation_numbers_make_the_keys(host):
    host.chip.scratchpad[:16] = np.random.default_rng(2).integers(-20000, 20000, (16, 8))
    host.write("SEED", value=77)
    host.write("OPNUM", value=0xFFFFFFFF)
    host.exponent(0, -14, static=1)
    host.exponent(1, -9, static=1)
    product = dict(unit="gemm", m=8, n=8, k=8, t0_stride=1, t1_addr=8, t1_stride=1, t2_stride=1, t2_exp=1, stochastic=1)
    assert host.run([product | dict(t2_addr=20), product | dict(t2_addr=40)]) == (0, 0, 0)
    assert host.read("OPNUM") == 1
    for opnum, place in ((0xFFFFFFFF, 20), (0, 40)):
        expected, result = gemm.matmul(host.chip.scratchpad[:8], host.chip.scratchpad[8:16], -14, -14, -9, stochastic=True,
                                       key=op_key(77, opnum))
        assert (host.chip.scratchpad[place : place + 8] == expected).all()
    assert (host.chip.scratchpad[20:28] != host.chip.scratchpad[40:48]).any()
    assert host.read("SATURATIONS") == 2 * result.saturations
    host.write("CONTROL", perf_clear=1)
    assert host.read("SATURATIONS") == 0


def test_transposed_operands_are_the_same_product(host):
    rng = np.random.default_rng(3)
    a, b = rng.integers(-99, 99, (5, 11)), rng.integers(-99, 99, (11, 7))
    pad = host.chip.scratchpad
    pad[0:10].reshape(5, 16)[:, :11] = a
    pad[10:21, :5] = a.T
    pad[30:41, :7] = b
    pad[50:64].reshape(7, 16)[:, :11] = b.T
    for trans_a, a_addr, a_stride in ((0, 0, 2), (1, 10, 1)):
        for trans_b, b_addr, b_stride in ((0, 30, 1), (1, 50, 2)):
            assert host.run([dict(unit="gemm", m=5, n=7, k=11, trans_a=trans_a, trans_b=trans_b, t0_addr=a_addr,
                                  t0_stride=a_stride, t1_addr=b_addr, t1_stride=b_stride, t2_addr=80, t2_stride=1)])[0] == 0
            host.exponent(0, 0)
            assert (pad[80:85, :7] == np.clip(a @ b, -32768, 32767)).all()


@pytest.mark.parametrize("k, n", [(11, 7), (1, 1), (8, 16)])
def test_int8_operands_are_packed_along_k(host, k, n):
    rng = np.random.default_rng(3)
    m = 5
    a, b = rng.integers(-128, 128, (m, k)).astype(np.int8), rng.integers(-128, 128, (k, n)).astype(np.int8)
    pad = host.chip.scratchpad
    pad[:] = rng.integers(-32768, 32768, pad.shape)  # garbage in pad lanes

    def put(place, stored):
        words = -(-stored.shape[1] // 8)
        view = pad[place : place + words * stored.shape[0]].reshape(stored.shape[0], -1)
        view[:, : stored.shape[1]] = stored
        return dict(addr=place, stride=words)

    a_forms = {0: put(0, pack_rows(a)), 1: put(100, pack_cols(a.T))}
    b_forms = {0: put(200, pack_cols(b)), 1: put(300, pack_rows(b.T))}
    host.exponent(1, 3, static=1)
    host.exponent(2, -5)
    for trans_a, trans_b in ((0, 0), (0, 1), (1, 0), (1, 1)):
        product = dict(unit="gemm", m=m, n=n, k=k, trans_a=trans_a, trans_b=trans_b, int8=1, act="relu", t2_addr=400)
        for i, where in ((0, a_forms[trans_a]), (1, b_forms[trans_b])):
            product |= {f"t{i}_{name}": value for name, value in where.items()}
        assert host.run([product | dict(t2_stride=-(-n // 8), t2_exp=1)])[0] == 0
        exact = np.maximum(a.astype(int) @ b.astype(int), 0) / 8
        wide = pad[400 : 400 + m * -(-n // 8)].reshape(m, -1)
        assert (wide[:, :n] == np.rint(exact)).all() and not wide[:, n:].any()
        host.exponent(2, 9)
        words = -(-n // 16)
        assert host.run([product | dict(int8_result=1, t2_stride=words, t2_exp=2)])[0] == 0
        narrow = pad[400 : 400 + m * words].reshape(m, -1)
        assert (unpack_rows(narrow, n) == np.rint(exact / 64)).all()
        assert not narrow[:, (n + 1) // 2 :].any() and (n % 2 == 0 or not (narrow[:, n // 2].view(np.uint16) >> 8).any())
        top = int(exact.max() * 8 * 2**16 // 512).bit_length() + 9 - 16
        assert host.chip.exponents[2] == 9 | (((top - 6) & 0xFF) << 8 if exact.any() else 9 << 8)


def test_accumulate_and_column_sums(host):
    rng = np.random.default_rng(3)
    pad = host.chip.scratchpad
    pad[:] = rng.integers(-999, 999, pad.shape)
    host.exponent(4, 2, static=1)
    host.exponent(5, 1)
    product = dict(unit="gemm", m=5, n=6, k=7, t0_stride=1, t1_addr=20, t1_stride=1, t2_addr=40, t2_stride=1, t2_exp=4)
    host.exponent(4, 9, static=1)
    exact = pad[:5, :7].astype(int) @ pad[20:27, :6].astype(int)
    assert host.run([product | dict(accumulate=1, t4_addr=60, t4_stride=2, t4_exp=5)])[0] == 0
    assert (pad[40:45, :6] == np.rint((exact + 2 * pad[60:70:2, :6]) / 512)).all()
    assert host.run([product | dict(colsum=1, t4_addr=80, t4_stride=0, t4_exp=5)])[0] == 0
    assert (pad[40:45, :6] == np.rint(exact / 512)).all() and (pad[80, :6] == np.rint(pad[20:27, :6].sum(axis=0) / 2)).all()
    assert not pad[80, 6:].any()
    sums = np.abs(pad[20:27, :6].sum(axis=0, dtype=int)).max()
    assert host.chip.exponents[5] == 1 | (int(sums).bit_length() - 14 & 0xFF) << 8


def test_statistics_are_read_through_registers(host):
    rng = np.random.default_rng(4)
    pad = host.chip.scratchpad
    pad[:20, :4] = rng.integers(-9000, 9000, (20, 4))
    pad[20:40, :6] = rng.integers(-3000, 3000, (20, 6))
    host.exponent(0, -12, static=1)
    host.write("RATIO_MODE", r_weight=1, r_above=3, r_below=3, r_dual=1, rho_weight=1, rho_above=1, rho_below=2, stats_lane=1,
               r_source=3, r_aggregate=1, rho_aggregate=2, veto_below=1, veto_above=1)
    host.write("RATIO_BOUNDS", lo=-228, hi=186)
    host.write("RHO_BOUNDS", lo=-1000, hi=700)
    host.write("RATIO_DUAL", value=1125)
    host.write("VETO_BOUNDS", lo=-3000, hi=2500)
    ratio = Clip(Lane(1, 3, 3, -228, 186, 3, 1), Lane(1, 1, 2, -1000, 700, 0, 2), 1, 1125, 1, 1, 1, -3000, 2500)
    host.write("ENTROPY_COEF", value=655)
    host.write("VALUE_COEF", value=32768)
    step = dict(unit="policy", op="loss", m=20, n=4, t0_stride=1, t1_addr=20, t1_stride=1, t2_addr=60, t2_stride=1)
    measure = dict(unit="policy", op="measure", m=20, n=4, t0_stride=1, t1_addr=20, t1_stride=1, t2_addr=100, t2_stride=2)
    sequences = step | dict(sequence_words=1, t4_addr=100, t4_stride=2)
    assert host.run([step, measure, sequences]) == (0, 0, 0)
    stats = policy.Stats()
    words, _ = policy.measure(pad[:20, :4], pad[20:40], -12, ratio=ratio)
    assert np.array_equal(pad[100:100 + 2 * len(words):2], words) and 1 < len(words) < 20
    for given in (None, words):
        gradient, _ = policy.loss(pad[:20, :4], pad[20:40], -12, -12, ratio=ratio, entropy_coef=655, value_coef=32768, stats=stats,
                                  sequences=given)
    assert (pad[60:80, :4] == gradient).all() and host.chip.stats == stats and stats.clipped and stats.masked and stats.sum_x
    assert stats.seq_masked and stats.vetoed
    for name, value in vars(stats).items():
        if name.startswith("sum_"):
            assert host.read(f"STAT_{name.upper()}_HI") << 32 | host.read(f"STAT_{name.upper()}_LO") == value
        else:
            assert host.read(f"STAT_{name.upper()}") == value
    host.write("CONTROL", stats_clear=1)
    assert host.read("STAT_COUNT") == 0 and host.read("STAT_MAX_X") == -65536


@pytest.mark.parametrize("lanes", [4, 8, 16])
def test_a_training_step_against_float64(lanes):
    """One linear layer, squared error of the value output, SGD into the next slot, commit; then the other slot is read."""
    host = Host(lanes=lanes, banks=2)
    host.group(base=1000, size=40, slots=2, version=0)
    for index, exponent in ((0, -12), (1, -12), (2, -12), (64, -14), (65, -14), (80, -14), (81, -14)):
        host.exponent(index, exponent, static=1)
    for name, value in dict(VALUE_COEF=65536, MOMENTUM=32768).items():
        host.write(name, value=value)
    host.write("LEARNING_RATE", mant=1 << 13, exp=-16)
    rng = np.random.default_rng(6)
    x, w = rng.normal(0, 1, (16, 4)), rng.normal(0, 0.3, (4, 3))
    pad = host.chip.scratchpad
    pad[:16, :4] = x * 4096
    pad[1000:1004, :3] = np.rint(w * 16384)
    x, w = pad[:16, :4] / 4096, pad[1000:1004, :3] / 16384
    words = max(1, 8 // lanes)
    records = pad[100:100 + 16 * words:words]
    records[:, 1:4] = rng.integers(-1000, 1000, (16, 3))
    records[:, 2] = 0  # no advantage: only the value learns
    returns = records[:, 3] / 1024
    program = [
        dict(unit="gemm", m=16, n=3, k=4, t0_stride=1, t1_stride=1, t1_space="current", t2_addr=20, t2_stride=1, t2_exp=1,
             post_mask=1),
        dict(unit="policy", op="loss", m=16, n=3, t0_addr=20, t0_stride=1, t0_exp=1, t1_addr=100, t1_stride=words, t2_addr=40,
             t2_stride=1, t2_exp=1, gshift=4, wait_mask=1, post_mask=2),
        dict(unit="gemm", m=4, n=3, k=16, trans_a=1, t0_stride=1, t1_addr=40, t1_stride=1, t1_exp=1, t2_addr=60, t2_stride=1,
             t2_exp=2, wait_mask=2, post_mask=4),
        dict(unit="update", op="momentum", m=1, n=4, t0_space="current", t1_addr=60, t1_exp=2, t2_space="next", t3_addr=20,
             t3_exp=1, t3_space="current", t4_addr=20, t4_exp=1, t4_space="next", wait_mask=4),
        COMMIT,
    ]
    velocity = np.zeros((4, 3))
    for step in range(1, 9):
        assert host.run(program if step == 1 else None) == (0, 0, 0)
        slot = 1000 + 40 * (step % 2)
        gradient = np.zeros((16, 3))
        gradient[:, 2] = (x @ w)[:, 2] - returns
        velocity = 0.5 * velocity + x.T @ gradient / 16
        w = w - velocity / 8
        assert host.chip.version == step and host.chip.slot == step % 2
        assert np.abs(pad[slot : slot + 4, :3] / 16384 - w).max() < 1e-3
        assert np.abs(pad[slot + 20 : slot + 24, :3] / 16384 - velocity).max() < 2e-3
        assert not pad[slot : slot + 4, 3:].any()
    assert host.read("STAT_COUNT") == 8 * 16 and host.read("OPNUM") == 40
