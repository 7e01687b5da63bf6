# SPDX-License-Identifier: Apache-2.0
"""The units with what they share: scratchpad, exponents, weight slots, outside memory. Knows no registers or programs.

A descriptor is first bound, which turns its addresses into numpy views, then executed as often as wanted.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pymodels import gemm, policy, update
from pymodels.check import Operand, check, operands
from pymodels.descriptor import DmaOp, Error, PolicyOp, Space, Unit, UpdateOp, decode
from pymodels.exponents import ExponentFile
from pymodels.norm import GradientNorm
from pymodels.numerics import Result, op_key, pack_rows, unpack_cols, unpack_rows
from pymodels.policy import Stats
from pymodels.ratio import UNCORRECTED, Clip
from pymodels.scan import Scan, scan
from pymodels.update import Optimizer
from pymodels.weights import MOVES, WeightGroup

#: A bound descriptor: takes its operation number, returns an error code.
Execute = Callable[[int], int]
#: A bound factor of a product: returns the matrix and its exponent.
Factor = Callable[[], tuple[np.ndarray, int]]


@dataclass
class Settings:
    """Configuration of the units; the registers of the same names, signed where they are, and those of `optimizer`, `ratio` and `scan`."""

    seed: int = 0
    clip_norm: int = 0
    optimizer: Optimizer = Optimizer()
    ratio: Clip = UNCORRECTED
    entropy_coef: int = 0
    value_coef: int = 0
    scan: Scan = Scan()


class _Tensor:
    """An operand bound to the scratchpad, in every slot it can lie in."""

    def __init__(self, machine: "Machine", fields: dict[str, int], index: int, extent: Operand, transposed: bool = False):
        self._machine, self._extent, self._transposed = machine, extent, transposed
        self._addr, self._stride = fields[f"t{index}_addr"], fields[f"t{index}_stride"]
        self._space, self._register = fields[f"t{index}_space"], fields[f"t{index}_exp"]
        self._places: list = [None] * 4
        self._fixed = self._place(0, 0) if self._space == Space.ABSOLUTE else None

    def _place(self, first_word: int, slot: int) -> tuple[np.ndarray, np.ndarray | None, int]:
        extent, scratchpad = self._extent, self._machine.scratchpad
        lanes = scratchpad.shape[1]
        stride = self._stride if extent.rows > 1 else extent.words
        whole = np.ndarray((extent.rows, extent.words * lanes), np.int16, scratchpad,
                           2 * lanes * (first_word + self._addr), (2 * lanes * stride, 2))
        data = whole[:, : extent.cols]
        pad = whole[:, extent.cols :] if extent.cols < whole.shape[1] else None
        register = ExponentFile.physical(self._register, self._space, slot, slot)
        return data.T if self._transposed else data, pad, register

    def locate(self) -> tuple[np.ndarray, np.ndarray | None, int]:
        """Return (elements, pad lanes or None, physical exponent register) as the weight group stands now."""
        if self._fixed is not None:
            return self._fixed
        machine = self._machine
        slot = machine.slot if self._space == Space.CURRENT else machine.weights.slot_next
        place = self._places[slot]
        if place is None:
            place = self._places[slot] = self._place(machine.weights.first_word(slot), slot)
        return place


class Machine:
    """State of the chip behind its registers.

    Parameters
    ----------
    lanes : int
        Elements of a scratchpad word: 4, 8 or 16.
    banks : int
        Banks of 1,024 words, a power of two.
    memory : numpy.ndarray
        Outside memory, uint8, contiguous; shared, not copied.

    Attributes
    ----------
    scratchpad : numpy.ndarray
        int16, shape (banks * 1024, lanes). Write into it, do not replace it.
    exponent_file : ExponentFile
        Exponent registers.
    weights : WeightGroup
        Slots and version.
    stats : Stats
        Statistics of the policy unit.
    settings : Settings
        Configuration of the units.
    norm : GradientNorm
        Of the results of gemm commands with `norm`.
    saturations : int
        Values clamped since this was last cleared, 32 bits.
    """

    def __init__(self, lanes: int, banks: int, memory: np.ndarray):
        if lanes not in (4, 8, 16):
            raise ValueError(f"lanes = {lanes} is none of 4, 8, 16")
        if not 2 <= banks <= 64 or banks & (banks - 1):
            raise ValueError(f"banks = {banks} is not a power of two from 2 to 64")
        if memory.dtype != np.uint8 or not memory.flags.c_contiguous:
            raise ValueError("memory must be a contiguous uint8 array")
        self.lanes, self.banks, self.memory = lanes, banks, memory
        self.poisoned = False  # an uncorrectable word was read since the last START: nothing is committed
        self.scratchpad = np.zeros((banks * 1024, lanes), np.int16)
        self.exponent_file, self.weights, self.stats, self.settings = ExponentFile(), WeightGroup(), Stats(), Settings()
        self.norm = GradientNorm()
        self.saturations = 0
        self.serving = False  # a request's descriptors are executed, not a program's

    @property
    def slot(self) -> int:
        """What `current` means: the current slot, or the one that the request holds while its descriptors are executed."""
        return self.weights.held if self.serving else self.weights.slot

    def end_request(self) -> None:
        """Bring the request to its end, for which a COMMIT waits; here there are none."""

    def check(self, words: np.ndarray) -> Error:
        """Check a descriptor (16 words) against this machine's sizes."""
        return check(words, lanes=self.lanes, scratchpad_words=len(self.scratchpad), slot_words=self.weights.size)

    def execute(self, words: np.ndarray, opnum: int = 0) -> Error:
        """Check and execute one descriptor (16 words), outside any program; semaphores and `last` are ignored."""
        return self.check(words) or Error(self.bind(decode(words))(opnum))

    def bind(self, fields: dict[str, int]) -> Execute:
        """Prepare a decoded descriptor that has passed its check; valid until the weight group is initialized anew."""
        binders = {Unit.GEMM: self._bind_gemm, Unit.POLICY: self._bind_policy, Unit.UPDATE: self._bind_update,
                   Unit.DMA: self._bind_dma}
        return binders[fields["unit"]](fields, operands(fields, self.lanes))

    def _retire(self, register: int, result: Result, int8: bool = False) -> None:
        self.exponent_file.retire(register, result, int8)
        self._count(result)

    def _count(self, result: Result) -> None:
        if result.saturations:
            self.saturations = (self.saturations + result.saturations) & 0xFFFFFFFF

    def _bind_gemm(self, fields: dict[str, int], used: dict[int, Operand]) -> Execute:
        int8, int8_result = bool(fields["int8"]), bool(fields["int8_result"])
        read_a = self._factor(fields, 0, used[0], fields["trans_a"], int8)
        read_b = self._factor(fields, 1, used[1], fields["trans_b"], int8)
        t2 = _Tensor(self, fields, 2, used[2])
        t3 = _Tensor(self, fields, 3, used[3]) if 3 in used else None
        t4 = _Tensor(self, fields, 4, used[4]) if 4 in used else None
        act, dact, stochastic = fields["act"], fields["dact"], bool(fields["stochastic"])
        accumulate, colsum, m, to_norm = fields["accumulate"], fields["colsum"], fields["m"], fields["norm"]
        fixed = gemm.fixed_exponent(act, int8_result)
        file, settings = self.exponent_file, self.settings

        def execute(opnum: int) -> int:
            a, e_a = read_a()
            b, e_b = read_b()
            bias = addend = y = None
            e_addend = 0
            if t3 is not None:
                bias, _, register = t3.locate()
                e_addend = file.exp[register]
            if dact:
                y = t4.locate()[0]
            elif accumulate:
                addend, _, register = t4.locate()
                e_addend = file.exp[register]
            c, pad, c_register = t2.locate()
            key = op_key(settings.seed, opnum) if stochastic else 0
            if colsum:
                sums, sums_pad, sums_register = t4.locate()
                e_sums = file.begin(sums_register)
            e_c = file.begin(c_register, fixed)
            values, result = gemm.matmul(
                a, b, e_a, e_b, e_c, bias=bias, addend=addend, e_addend=e_addend, act=act,
                dact=dact, y=y, int8_result=int8_result, stochastic=stochastic, key=key)
            c[...] = pack_rows(values) if int8_result else values
            if pad is not None:
                pad[...] = 0
            self._retire(c_register, result, int8_result)
            if to_norm:
                self.norm.add(values, e_c)
            if colsum:
                sums[0], result = gemm.column_sums(b, e_b, e_sums, stochastic=stochastic, key=key, row=m)
                if sums_pad is not None:
                    sums_pad[...] = 0
                self._retire(sums_register, result)
                if to_norm:
                    self.norm.add(sums, e_sums)
            return 0

        return execute

    def _factor(self, fields: dict[str, int], index: int, extent: Operand, transposed: int, int8: bool) -> Factor:
        """Bind A (index 0) or B: a function that returns the matrix, as it is multiplied, and its exponent."""
        file, k = self.exponent_file, fields["k"]
        tensor = _Tensor(self, fields, index, extent, bool(transposed) and not int8)

        def read() -> tuple[np.ndarray, int]:
            values, _, register = tensor.locate()
            return values, file.exp[register]

        def read_int8() -> tuple[np.ndarray, int]:  # packed along k
            stored, _, register = tensor.locate()
            if bool(transposed) == (index == 1):  # along the rows
                values = unpack_rows(stored, k)
            else:
                values = unpack_cols(stored, k)
            return values.T if transposed else values, file.exp[register]

        return read_int8 if int8 else read

    def _bind_policy(self, fields: dict[str, int], used: dict[int, Operand]) -> Execute:
        t2 = _Tensor(self, fields, 2, used[2])
        file, settings, weights = self.exponent_file, self.settings, self.weights
        if fields["op"] == PolicyOp.SCAN:
            source, environments = _Tensor(self, fields, 1, used[1]), fields["n"] - 1

            def execute_scan(opnum: int) -> int:
                records, result = scan(source.locate()[0], environments, settings.scan)
                t2.locate()[0][: len(records)] = records
                self._count(result)
                return 0

            return execute_scan

        t0 = _Tensor(self, fields, 0, used[0])
        if fields["op"] == PolicyOp.SAMPLE:
            greedy = bool(fields["greedy"])

            def execute_sample(opnum: int) -> int:
                y, _, register = t0.locate()
                t2.locate()[0][...], _ = policy.sample(
                    y, file.exp[register], greedy=greedy, key=op_key(settings.seed, opnum), version=weights.table[self.slot].version,
                    lanes=self.lanes)
                return 0

            return execute_sample

        t1 = _Tensor(self, fields, 1, used[1])
        if fields["op"] == PolicyOp.EVALUATE:

            def execute_evaluate(opnum: int) -> int:
                y, _, register = t0.locate()
                t2.locate()[0][...], _ = policy.evaluate(y, t1.locate()[0], file.exp[register])
                return 0

            return execute_evaluate

        if fields["op"] == PolicyOp.MEASURE:

            def execute_measure(opnum: int) -> int:
                y, _, register = t0.locate()
                words, _ = policy.measure(y, t1.locate()[0], file.exp[register], ratio=settings.ratio, lanes=self.lanes)
                t2.locate()[0][:len(words)] = words
                return 0

            return execute_measure

        t4 = _Tensor(self, fields, 4, used[4]) if 4 in used else None
        gshift, stochastic = fields["gshift"], bool(fields["stochastic"])

        def execute_loss(opnum: int) -> int:
            y, _, y_register = t0.locate()
            gradient, pad, register = t2.locate()
            gradient[...], result = policy.loss(
                y, t1.locate()[0], file.exp[y_register], file.begin(register), ratio=settings.ratio,
                sequences=t4.locate()[0] if t4 else None, entropy_coef=settings.entropy_coef, value_coef=settings.value_coef,
                gshift=gshift, stochastic=stochastic, key=op_key(settings.seed, opnum) if stochastic else 0, stats=self.stats)
            if pad is not None:
                pad[...] = 0
            self._retire(register, result)
            return 0

        return execute_loss

    def _bind_update(self, fields: dict[str, int], used: dict[int, Operand]) -> Execute:
        file, settings, weights = self.exponent_file, self.settings, self.weights
        if fields["op"] in MOVES:

            def execute_move(opnum: int) -> int:
                if fields["op"] == UpdateOp.COMMIT and weights.must_wait:
                    self.end_request()
                if fields["op"] == UpdateOp.COMMIT:
                    self.norm.clear()
                    if self.poisoned:
                        return Error.UNCORRECTABLE
                return weights.move(fields["op"], fields["k"])

            return execute_move

        op, rows, lanes = fields["op"], fields["m"], self.lanes
        count = rows * fields["n"]  # words; rows follow each other
        moments = {UpdateOp.SGD: 0, UpdateOp.ADAM: 2 * count}.get(op, count)

        def bind(index: int, words: int) -> Callable[[], tuple[np.ndarray, int]]:
            tensor = _Tensor(self, fields, index, Operand(1, words * lanes, words, False))

            def locate() -> tuple[np.ndarray, int]:
                data, _, register = tensor.locate()
                return data[0], register

            return locate

        locate_w, locate_g, locate_w_next = (bind(i, count) for i in range(3))
        locate_m, locate_m_next = (bind(i, moments) for i in (3, 4)) if moments else (None, None)
        locate_w8 = bind(5, -(-rows // 2) * fields["n"]) if fields["int8_result"] else None
        stochastic, clips, elements = bool(fields["stochastic"]), bool(fields["clip"]), count * lanes

        def execute_step(opnum: int) -> int:
            cfg = settings.optimizer
            (w, rw), (g, rg), (w_next, rw_next) = locate_w(), locate_g(), locate_w_next()
            places, operands_m, e_step = {"e_w": file.exp[rw], "e_g": file.exp[rg]}, (), file.exp[rg]
            if moments:
                (m, rm), (m_next, rm_next) = locate_m(), locate_m_next()
                operands_m, places["e_m"] = (m[:elements], m[elements:]), file.exp[rm]
                e_step = places["e_m_next"] = self._begin_grown(rm_next, update.moment_room(op, file.next_of(rg)))
            places["e_w_next"] = self._begin_grown(rw_next, update.room(op, cfg, e_step))
            if locate_w8:
                w8, r8 = locate_w8()
                e_w8 = file.begin(r8)
            clip = self.norm.clip(settings.clip_norm) if clips else 0
            made = update.step(op, w, g, *operands_m, **places, cfg=cfg, clip=clip, stochastic=stochastic,
                               key=op_key(settings.seed, opnum) if stochastic else 0)
            w_next[...] = made.w
            self._retire(rw_next, made.w_result)
            if moments:
                m_next[:elements] = made.m
                if op == UpdateOp.ADAM:
                    m_next[elements:] = made.v
                self._retire(rm_next, made.m_result)
            if locate_w8:
                stored, saturations = update.int8_copy(made.w, rows, places["e_w_next"], e_w8)
                w8[...] = stored.ravel()
                self._retire(r8, made.w_result._replace(saturations=saturations), int8=True)
            return 0

        return execute_step

    def _begin_grown(self, register: int, room: int) -> int:
        """As `ExponentFile.begin`, but at least `room` unless the register is static."""
        file = self.exponent_file
        static = file.static[file.logical(register)]
        return file.begin(register, None if static else min(max(file.next_of(register), room, -64), 63))

    def _bind_dma(self, fields: dict[str, int], used: dict[int, Operand]) -> Execute:
        load = fields["op"] == DmaOp.LOAD
        index = 2 if load else 0
        rows, width = used[index].rows, 2 * used[index].cols
        stride = fields["mem_stride"] if rows > 1 else width
        stride = stride - (stride >> 31 << 32)  # addresses are 32 bits and wrap: a large stride goes backward
        ends = (fields["mem_addr"], fields["mem_addr"] + (rows - 1) * stride)
        if min(ends) < 0 or max(ends) + width > self.memory.size:
            return lambda opnum: Error.MEMORY
        outside = np.ndarray((rows, width // 2), np.int16, self.memory, fields["mem_addr"], (stride, 2))
        tensor = _Tensor(self, fields, index, used[index])

        def execute_load(opnum: int) -> int:
            tensor.locate()[0][...] = outside
            return 0

        def execute_store(opnum: int) -> int:
            data = tensor.locate()[0]
            if stride >= width:
                outside[...] = data
            else:  # rows overlap: the later one wins
                for row in range(rows):
                    outside[row] = data[row]
            return 0

        return execute_load if load else execute_store
