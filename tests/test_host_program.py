# SPDX-License-Identifier: Apache-2.0
"""The program builder: semaphores against a brute-force checker on random programs, and its error messages."""

from dataclasses import replace

import numpy as np
import pytest

from lathe import CapacityError, Device, Layout, Program, ProgramError, TensorError, WeightGroup
from lathe.networks import MLP
from lathe.registers import UNITS
from lathe.verify import Lockstep
from pymodels.check import check, operands
from pymodels.descriptor import DmaOp, Error, PolicyOp, Space, Unit, UpdateOp, decode

LANES = 8
SIDE = 16


def make_layout() -> Layout:
    return Layout(LANES, 8, np.zeros(1 << 20, np.uint8))


# An independent account of what a descriptor touches, from its fields alone.


def touched(fields: dict[str, int], layout: Layout) -> tuple[set, set]:
    """Return (what is read, what is written) as sets of places."""
    unit, op = fields["unit"], fields["op"]
    group = layout.group
    region = range(group.base, group.base + group.slots * group.size)
    reads, writes = set(), set()
    static = {(t.space != "absolute", t.exponent) for t in layout.tensors if t.static}
    for number, extent in operands(fields, layout.lanes).items():
        space = fields[f"t{number}_space"]
        written = extent.result
        places = set()
        for row in range(extent.rows):
            first = fields[f"t{number}_addr"] + row * fields[f"t{number}_stride"]
            places |= {(space, first + word) for word in range(extent.words)}
        if space == Space.ABSOLUTE and any(word in region for _, word in places):
            places |= {(other, word) for other in (Space.CURRENT, Space.NEXT) for word in range(group.size)}
            reads.add("slot pointer")
        if space != Space.ABSOLUTE:
            reads.add("slot pointer")
        register = fields[f"t{number}_exp"]
        raw = unit == Unit.DMA or (unit == Unit.POLICY and (op != PolicyOp.LOSS and number == 2 or number in (1, 4)))
        fixed = (space != Space.ABSOLUTE, register) in static or (number == 4 and fields["dact"])
        if not raw and not fixed:
            places.add(("exponent", space, register))
        (writes if written else reads).update(places)
    if unit == Unit.POLICY and op == PolicyOp.SAMPLE:
        reads.add("slot pointer")
    if unit == Unit.UPDATE and op in (UpdateOp.COMMIT, UpdateOp.ROLLBACK):
        writes.add("slot pointer")
    if unit == Unit.DMA and op == DmaOp.LOAD:
        writes |= {place for place in reads if place != "slot pointer"}
    return reads, writes


def ended_before(decoded: list[dict], skip: tuple[int, int] | None = None) -> list[set[int]]:
    """For each descriptor, those that must have ended before it starts: unit order and the k-th wait after the k-th post."""
    posts: dict[int, list[int]] = {}
    waits: dict[int, list[int]] = {}
    for index, fields in enumerate(decoded):
        for bit in range(16):
            if fields["post_mask"] >> bit & 1:
                posts.setdefault(bit, []).append(index)
            if fields["wait_mask"] >> bit & 1:
                waits.setdefault(bit, []).append(index)
    assert posts.keys() == waits.keys()
    edges = []
    for bit, producers in posts.items():
        consumers = waits[bit]
        assert len(producers) == len(consumers)
        assert len({decoded[i]["unit"] for i in producers}) == 1 and len({decoded[i]["unit"] for i in consumers}) == 1
        edges += zip(producers, consumers, strict=True)
    before: list[set[int]] = []
    last: dict[int, int] = {}
    for index, fields in enumerate(decoded):
        direct = [last[fields["unit"]]] if fields["unit"] in last else []
        direct += [p for p, c in edges if c == index and (p, c) != skip]
        before.append(set().union(*({p} | before[p] for p in direct)) if direct else set())
        last[fields["unit"]] = index
    return before, edges


def random_program(rng: np.random.Generator, length: int) -> tuple[Program, Layout]:
    """A program on tensors that overlap in every way: whole, by a row, by a column strip, and with the weight group."""
    layout = make_layout()
    group = WeightGroup(layout, 2)
    weights = [group.tensor(f"w{i}", SIDE, SIDE, -13, static=True) for i in range(2)]
    momenta = [group.tensor(f"m{i}", SIDE, SIDE, -13) for i in range(2)]
    group.place()
    whole = [layout.tensor(f"t{i}", SIDE, SIDE, static=bool(i % 3 == 0)) for i in range(5)]
    wide = layout.tensor("wide", SIDE, 3 * SIDE)
    strips = [replace(wide, name=f"strip{i}", columns=SIDE, address=wide.address + i) for i in (0, 1, 2, 4)]
    shifted = [replace(whole[1], name="shifted", address=whole[1].address + 2 * 3),
               replace(whole[3], name="shifted back", address=whole[3].address - 2)]
    alias = replace(whole[0], name="alias of the group", address=group.base + group.size // 2, static=False)
    records = [layout.records(f"r{i}", SIDE) for i in range(2)]
    records.append(replace(records[0], name="r shifted", address=records[0].address + 5))
    tanh = layout.tensor("tanh", SIDE, SIDE, -15, static=True)
    squares = [*whole, *strips, *shifted, tanh]
    if rng.random() < 0.3:
        squares.append(alias)
    results = [t for t in squares if t is not tanh]
    rows = [layout.tensor("row", 1, SIDE), replace(whole[2], name="row of t2", rows=1)]

    def pick(tensors):
        return tensors[rng.integers(len(tensors))]

    program = Program("random", layout)
    block = layout.block("square", SIDE, SIDE // LANES)
    record_block = layout.block("records", SIDE)

    def add(kind):
        if kind == 0:
            program.load(pick([*squares, pick(weights)]), block)
        elif kind == 1:
            program.store(pick([*squares, pick(weights), pick(momenta).next]), block)
        elif kind == 2:
            program.matmul(pick(squares), pick([*squares, *weights]), pick(results), trans_a=bool(rng.integers(2)),
                           trans_b=bool(rng.integers(2)))
        elif kind == 3:
            program.matmul(pick(squares), pick(weights), tanh, activation="tanh")
        elif kind == 9:
            program.matmul(pick(squares), pick(squares), pick(results), accumulate=pick(squares))
        elif kind == 10:
            program.matmul(pick(squares), pick(squares), pick(results), trans_a=True, colsum=pick(rows))
        elif kind == 11:  # its left operand is what the last product made
            last = next((op for op in reversed(program.operations) if op.unit == "gemm"), None)
            program.matmul(last.operands[2] if last else whole[0], pick(squares), pick(results), bias=pick(rows))
        elif kind == 4:
            program.matmul(pick(squares), pick(weights).next, pick(results), trans_b=True, derivative="tanh", y=tanh)
        elif kind == 5:
            program.sample(pick(squares), pick(records))
        elif kind == 6:
            which = rng.integers(7)
            if which < 2:
                program.load(pick(records), record_block)
            elif which == 2:
                program.loss(pick(squares), pick(records), pick(results), 4)
            elif which == 3:
                program.evaluate(pick(squares), pick(records), pick([None, *records]))
            elif which == 4:
                program.measure(pick(squares), pick(records), pick(records))
            elif which == 5:
                program.loss(pick(squares), pick(records), pick(results), 4, sequences=pick(records))
            else:
                program.scan(pick(records), 1, pick([None, *records]))
        elif kind == 7:
            index = rng.integers(2)
            contiguous = [t for t in results if t.stride == t.row_words]
            program.sgd(weights[index], pick(contiguous), momenta[index])
        elif rng.random() < 0.5:
            program.commit(partial=True)
        else:
            program.rollback()

    while len(program.operations) < length:
        try:
            add(rng.integers(12))
        except ProgramError as error:  # a draw whose result lies on its own operand
            assert "overlaps the operand" in str(error)
    return program, layout


@pytest.mark.parametrize("seed", range(40))
def test_semaphores_against_brute_force(seed):
    rng = np.random.default_rng(seed)
    program, layout = random_program(rng, int(rng.integers(2, 60)))
    descriptors = program.descriptors()
    decoded = [decode(words) for words in descriptors]
    for words in descriptors:
        assert check(words, lanes=LANES, scratchpad_words=layout.scratchpad_words, slot_words=layout.group.size) == Error.NONE
    before, edges = ended_before(decoded)
    access = [touched(fields, layout) for fields in decoded]
    for fields, (reads, writes) in zip(decoded, access, strict=True):
        in_place = fields["unit"] == Unit.POLICY and fields["op"] in (PolicyOp.EVALUATE, PolicyOp.SCAN)
        if fields["unit"] != Unit.DMA and not in_place:
            assert not {place for place in reads & writes if place[0] != "exponent"}
    conflicts = 0
    for j, (reads, writes) in enumerate(access):
        for i in range(j):
            if decoded[i]["unit"] != decoded[j]["unit"] and (access[i][1] & (reads | writes) or access[i][0] & writes):
                conflicts += 1
                assert i in before[j], f"seed {seed}: '{program.operations[j].label}' must wait for '{program.operations[i].label}'"
    for producer, consumer in edges:
        without, _ = ended_before(decoded, skip=(producer, consumer))
        assert producer not in without[consumer], f"seed {seed}: the semaphore {producer} -> {consumer} is redundant"
    assert conflicts or len(decoded) < 10


def test_brute_force_checker_sees_a_missing_semaphore():
    program, layout = random_program(np.random.default_rng(7), 50)
    decoded = [decode(words) for words in program.descriptors()]
    _, edges = ended_before(decoded)
    access = [touched(fields, layout) for fields in decoded]
    for producer, consumer in edges:
        without, _ = ended_before(decoded, skip=(producer, consumer))
        pairs = [(i, j) for j in range(len(decoded)) for i in range(j) if decoded[i]["unit"] != decoded[j]["unit"]
                 and (access[i][1] & (access[j][0] | access[j][1]) or access[i][0] & access[j][1])]
        assert any(i not in without[j] for i, j in pairs), f"{producer} -> {consumer} guards nothing"


def test_semaphores_stay_within_the_limit_for_a_long_program():
    program, _ = random_program(np.random.default_rng(3), 256)
    masks = program.descriptors()[:, 1]
    assert 0 < bin(int(np.bitwise_or.reduce(masks >> 16))).count("1") <= len(UNITS) * (len(UNITS) - 1)


def test_last_is_set_once():
    program, _ = random_program(np.random.default_rng(4), 30)
    last = [decode(words)["last"] for words in program.descriptors()]
    assert last == [0] * 29 + [1]


def words_of(fields: dict[str, int], numbers, layout: Layout) -> dict[int, set]:
    """Places in the scratchpad of some operands; one in the weight group by its absolute address lies in any slot."""
    found = {}
    group = range(layout.group.base, layout.group.base + layout.group.slots * layout.group.size)
    for number, extent in operands(fields, layout.lanes).items():
        if number in numbers(extent):
            places = {(fields[f"t{number}_space"], fields[f"t{number}_addr"] + row * fields[f"t{number}_stride"] + word)
                      for row in range(extent.rows) for word in range(extent.words)}
            if any(space == Space.ABSOLUTE and word in group for space, word in places):
                places |= {(space, word) for space in (Space.CURRENT, Space.NEXT) for word in range(layout.group.size)}
            found[number] = places
    return found


@pytest.mark.parametrize("seed", range(40))
def test_overlap_and_chain_against_brute_force(seed):
    """No command may read what one of the `overlap` before it writes, but for the left operand of a chain, and one more would."""
    program, layout = random_program(np.random.default_rng(100 + seed), 60)
    decoded = [decode(words) for words in program.descriptors()]
    gemms = [fields for fields in decoded if fields["unit"] == Unit.GEMM]
    assert all(not fields["overlap"] and not fields["chain"] for fields in decoded if fields["unit"] != Unit.GEMM)
    results = [words_of(fields, lambda extent: range(5) if extent.result else (), layout) for fields in gemms]
    reads = [words_of(fields, lambda extent: () if extent.result else range(5), layout) for fields in gemms]
    chains = 0
    for j, fields in enumerate(gemms):
        before = [set().union(*results[i].values()) for i in range(j - 1, max(j - 4, -1), -1)]
        same = j > 0 and not fields["trans_a"] and (fields["m"], fields["k"]) == (gemms[j - 1]["m"], gemms[j - 1]["n"]) and all(
            fields[f"t0_{what}"] == gemms[j - 1][f"t2_{what}"] for what in ("addr", "stride", "space"))
        taken = set().union(*(places for number, places in reads[j].items() if not (same and number == 0)))
        depth = next((d for d, written in enumerate(before) if written & taken), len(before))
        assert fields["overlap"] == depth
        assert fields["chain"] == (same and depth > 0)
        chains += fields["chain"]
    assert chains or len(gemms) < 24


def test_overlap_of_a_network():
    """Forward is a chain; in backward each layer's gradient goes down while that of the weights is made."""
    layout = make_layout()
    net = MLP(layout, 4, (16, 16), 2)
    acts, grads = net.activations(32, "batch", -12), net.gradients(32, "batch")
    program = Program("p", layout)
    net.forward(program, acts)
    program.loss(acts.y, layout.records("r", 32), grads.outputs[-1], 5)
    net.backward(program, acts, grads, update=True)
    program.commit()
    gemms = [fields for fields in map(decode, program.descriptors()) if fields["unit"] == Unit.GEMM]
    assert [fields["chain"] for fields in gemms] == [0, 1, 1] + [0] * 5
    # h1, h2, y; dh2 and dW3 read h2; dh1 and dW2 read dh2; dW1 reads dh1
    assert [fields["overlap"] for fields in gemms] == [0, 1, 2, 1, 2, 1, 2, 1]
    assert "chain    batch.h2 = tanh(batch.h1 W2 + b2)" in program.listing()


def random_products(rng: np.random.Generator, layout: Layout, length: int) -> Program:
    """Products of int16 and int8 tensors and of views, most of them on what the one before has made."""
    tall, wide = layout.tensor("tall", 40, 24), layout.tensor("wide", 24, 40)
    int16 = [tall, wide, tall.view(slice(3, 27)), tall.view(slice(0, 24)), wide.view(slice(0, 17), slice(8, 32)),
             *(layout.tensor(f"square{i}", 24, 24) for i in range(3)), layout.tensor("thin", 24, 3), layout.tensor("row", 1, 24)]
    rows8 = [layout.tensor(f"rows{i}", n, 24, dtype="int8") for i, n in enumerate((24, 40, 1))]
    int8 = [*rows8, rows8[1].view(slice(5, 30), slice(16, 24)), layout.tensor("columns", 24, 40, dtype="int8", packed="columns")]
    tanh = layout.tensor("tanh", 24, 24, -15, static=True)
    program, last = Program("products", layout), int16[0]

    def pick(choices):
        return choices[rng.integers(len(choices))]

    while len(program.operations) < length:
        a = last if rng.random() < 0.6 else pick([*int16, *int8, tanh])
        options = pick([{}, {"bias": int16[-1]}, {"accumulate": pick(int16)}, {"colsum": int16[-1]}, {"activation": "relu"},
                        {"activation": "tanh"}, {"derivative": "tanh", "y": tanh}])
        out = tanh if "activation" in options and options["activation"] == "tanh" else pick([*int16, *int8])
        try:
            if rng.random() < 0.15:
                program.quantize(a, pick(int8), transpose=bool(rng.integers(2)))
            else:
                program.matmul(a, pick([*int16, *int8, tanh]), out, trans_a=bool(rng.integers(2)), trans_b=bool(rng.integers(2)),
                               stochastic=bool(rng.integers(2)), **options)
        except ProgramError:  # most draws do not fit together
            continue
        last = program.operations[-1].operands[2]
    return program


@pytest.mark.xdist_group("verilated")
def test_products_under_way_at_a_time_make_what_the_model_makes():
    """The chip starts a product while those before are unfinished; the golden model ends one before the next."""
    with Device(lambda *chip: Lockstep(["golden", "verilator"], *chip)) as device:
        program = random_products(np.random.default_rng(1), device.layout, 200)
        for _ in range(2):  # the second time with the exponents that follow from the first
            device.run(program)
        gemms = [decode(words) for words in program.descriptors()]
    assert {fields["overlap"] for fields in gemms} == {0, 1, 2, 3} and sum(fields["chain"] for fields in gemms) > 3
    assert any(fields["int8"] for fields in gemms) and any(fields["int8_result"] for fields in gemms)


# messages name the tensor, the shape, the limit and the remedy


@pytest.fixture
def layout():
    return make_layout()


def test_shapes(layout):
    a, b, c = layout.tensor("a", 4, 6), layout.tensor("b", 5, 7), layout.tensor("c", 4, 7)
    program = Program("p", layout)
    with pytest.raises(ProgramError, match=r"inner dimensions differ: 'a' 4 x 6 gives 6, 'b' 5 x 7 gives 5"):
        program.linear(a, b, c)
    with pytest.raises(ProgramError, match=r"'c' 4 x 7 should be 4 x 5"):
        program.matmul(a, layout.tensor("b6", 6, 5), c)
    with pytest.raises(ProgramError, match=r"'bias' 1 x 3 should be 1 x 7"):
        program.linear(a, layout.tensor("w", 6, 7), c, bias=layout.tensor("bias", 1, 3))
    with pytest.raises(ProgramError, match=r"exponent is always -15.*static=True"):
        program.linear(a, layout.tensor("w2", 6, 7), c, activation="tanh")
    with pytest.raises(ProgramError, match="none of none, relu, tanh"):
        program.linear(a, layout.tensor("w3", 6, 7), c, activation="gelu")


def test_policy_limits(layout):
    program = Program("p", layout)
    with pytest.raises(ProgramError, match=r"65 columns; the policy unit takes 2 to 64"):
        program.sample(layout.tensor("y", 4, 65), layout.records("r", 4))
    with pytest.raises(ProgramError, match=r"should be 4 raw records"):
        program.sample(layout.tensor("y2", 4, 3), layout.records("r2", 5))


def test_evaluate_works_in_place_or_beside(layout):
    program = Program("p", layout)
    y, records, other = layout.tensor("y", 8, 3), layout.records("r", 8), layout.records("other", 8)
    program.evaluate(y, records)
    program.evaluate(y, records, other)
    assert [decode(words)["t2_addr"] for words in program.descriptors()] == [records.address, other.address]
    assert "r = evaluate(y, r)" in program.listing()
    with pytest.raises(ProgramError, match="the result 'r later' 8 x 8 overlaps the operand 'r' 8 x 8"):
        program.evaluate(y, records, replace(records, name="r later", address=records.address + 1))
    with pytest.raises(ProgramError, match="overlaps the operand 'y' 8 x 3"):
        program.evaluate(y, records, replace(records, name="on y", address=y.address))
    with pytest.raises(ProgramError, match=r"should be 8 raw records of 1 words"):
        program.evaluate(y, records, layout.records("short", 7))


def test_sequences_take_two_passes(layout):
    program = Program("p", layout)
    y, gradient, records, words = layout.tensor("y", 8, 3), layout.tensor("dy", 8, 3), layout.records("r", 8), layout.records("words", 8)
    program.measure(y, records, words)
    program.loss(y, records, gradient, 4, sequences=words)
    measure, loss = (decode(descriptor) for descriptor in program.descriptors())
    assert measure["t2_addr"] == loss["t4_addr"] == words.address and loss["sequence_words"] == 1
    with pytest.raises(ProgramError, match="overlaps the operand 'r' 8 x 8"):
        program.measure(y, records, records)
    with pytest.raises(ProgramError, match="should be 8 raw records of 1 words"):
        program.loss(y, records, gradient, 4, sequences=layout.records("short", 7))


def test_scan_works_in_place_or_beside(layout):
    program = Program("p", layout)
    records, other = layout.records("r", 12), layout.records("other", 12)
    program.scan(records, 3)
    program.scan(records, 6, other)
    fields = [decode(words) for words in program.descriptors()]
    assert [(d["m"], d["n"], d["t1_addr"], d["t2_addr"]) for d in fields] == [
        (12, 4, records.address, records.address), (12, 7, records.address, other.address)]
    assert "other = scan(r)" in program.listing()
    with pytest.raises(ProgramError, match="the result 'r later' 12 x 8 overlaps the operand 'r' 12 x 8"):
        program.scan(records, 3, replace(records, name="r later", address=records.address + 1))
    with pytest.raises(ProgramError, match="at least 2 whole steps of 5 environments"):
        program.scan(records, 5)
    with pytest.raises(ProgramError, match="at least 2 whole steps of 12 environments"):
        program.scan(records, 12)
    with pytest.raises(ProgramError, match="64 environments; a scan takes 1 to 63"):
        program.scan(layout.records("many", 128), 64)
    with pytest.raises(ProgramError, match="should be 12 raw records"):
        program.scan(records, 3, layout.records("short", 9))
    with pytest.raises(ProgramError, match="rows of 'wide' 12 x 8 have gaps"):
        program.scan(replace(records, name="wide", stride=2), 3, other)


def test_current_weights_are_not_written(layout):
    group = WeightGroup(layout)
    w = group.tensor("w", 8, 8, -13)
    program = Program("p", layout)
    x = layout.tensor("x", 8, 8)
    with pytest.raises(ProgramError, match="not placed"):
        program.linear(x, w, x)
    group.place()
    with pytest.raises(ProgramError, match="current weights, which no program may write"):
        program.linear(x, x, w)
    with pytest.raises(ProgramError, match="not in the weight group"):
        program.sgd(x, x, x)


def test_a_result_on_its_own_operand_is_refused(layout):
    group = WeightGroup(layout)
    w, m = group.tensor("w", 8, 8, -13), group.tensor("m", 8, 8, -13)
    group.place()
    x, y, records = layout.tensor("x", 8, 8), layout.tensor("y", 8, 8), layout.records("r", 8)
    wide = layout.tensor("wide", 8, 16)
    left, right = (replace(wide, name=name, columns=8, address=wide.address + i) for i, name in enumerate(("left", "right")))
    program = Program("p", layout)
    with pytest.raises(ProgramError, match=r"the result 'x' 8 x 8 overlaps the operand 'x' 8 x 8"):
        program.linear(x, w, x)
    with pytest.raises(ProgramError, match=r"the result 'y later' 8 x 8 overlaps the operand 'y' 8 x 8"):
        program.matmul(x, w, replace(y, name="y later", address=y.address + 7), derivative="relu", y=y)
    with pytest.raises(ProgramError, match=r"the result 'left' 8 x 8 overlaps the operand 'wide' 8 x 16"):
        program.matmul(wide, layout.tensor("k", 16, 8), left)
    with pytest.raises(ProgramError, match=r"the result 'y' 8 x 8 overlaps the operand 'y' 8 x 8"):
        program.loss(y, records, y, 0)
    with pytest.raises(ProgramError, match=r"the result 'on y' 8 x 8 overlaps the operand 'y' 8 x 8"):
        program.sample(y, replace(records, name="on y", address=y.address))
    assert not program.operations
    program.linear(left, w, right)  # strips of the same rows do not overlap
    program.sgd(w, x, m)


def test_commit_asks_for_the_whole_slot(layout):
    group = WeightGroup(layout)
    w, v, m = (group.tensor(name, 8, 8, -13) for name in "wvm")
    group.place()
    x = layout.tensor("x", 8, 8)
    program = Program("p", layout)
    program.sgd(w, x, m)
    with pytest.raises(ProgramError, match=r"an old version of 'v' 8 x 8 current: program 'p' .*partial=True"):
        program.commit()
    program.load(v.next, layout.block_for(v))
    program.commit()
    with pytest.raises(ProgramError, match=r"'w' 8 x 8, 'v' 8 x 8, 'm' 8 x 8"):
        program.commit()
    program.commit(partial=True)


def test_tensors_of_another_layout(layout):
    other = make_layout()
    x, y, w = layout.tensor("x", 8, 8), other.tensor("y", 8, 8), layout.tensor("w", 8, 8)
    program = Program("p", layout)
    with pytest.raises(ProgramError, match=r"tensor 'y' 8 x 8 belongs to the layout of another device"):
        program.linear(x, w, y)
    with pytest.raises(ProgramError, match=r"block 'y' lies in the memory of another device"):
        program.load(x, other.block_for(y))
    with pytest.raises(ProgramError, match=r"given 'NoneType' in place of a layout; pass device.layout"):
        Program("p", None)


def test_capacity(layout):
    layout.tensor("first", 1000, 8)
    with pytest.raises(CapacityError, match=r"tensor 'big' 1000 x 64 needs 8000 scratchpad words and 7192 of 8192 are free.*"
                                            r"'first' 1000 x 8 1000.*smaller"):
        layout.tensor("big", 1000, 64)
    for index in range(63):
        layout.tensor(f"t{index}", 1, 1)
    with pytest.raises(CapacityError, match="no exponent register is left for tensor 'one more'"):
        layout.tensor("one more", 1, 1)
    layout.tensor("raw", 1, 1, raw=True)
    with pytest.raises(CapacityError, match="outside memory.*--memory-bytes, now 1048576"):
        layout.block("huge", 1 << 20)


def test_program_length(layout):
    program = Program("long", layout)
    with pytest.raises(ProgramError, match="empty"):
        program.descriptors()
    for _ in range(257):
        program.commit()
    with pytest.raises(ProgramError, match="257 descriptors, program memory holds 256"):
        program.descriptors()


def test_forbidden_combinations_say_what_to_do(layout):
    make = layout.tensor
    a, b, c, row = make("a", 8, 8), make("b", 8, 8), make("c", 8, 8), make("row", 1, 8)
    by_rows, by_columns = make("ar", 8, 8, dtype="int8"), make("bc", 8, 8, dtype="int8", packed="columns")
    small = make("c8", 8, 8, dtype="int8")
    raw = make("raw", 8, 8, raw=True)
    program = Program("p", layout)
    for message, operands_, options in (
            ("derivative and colsum exclude each other.*two products", (a, b, c), {"derivative": "relu", "y": a, "colsum": row}),
            ("accumulate and colsum exclude each other", (a, b, c), {"accumulate": a, "colsum": row}),
            ("bias and accumulate exclude each other; add 'row' 1 x 8 in the product", (a, b, c), {"accumulate": a, "bias": row}),
            ("int8 tensors takes no colsum; use int16 copies", (by_rows, by_columns, c), {"colsum": row}),
            ("an int8 result takes no accumulate; write an int16 tensor, then Program.quantize", (a, b, small), {"accumulate": a}),
            ("'b' 8 x 8 is int16, make an int8 copy with Program.quantize", (by_rows, b, c), {}),
            ("'ar' 8 x 8 is packed along its rows, but this product sums along its columns.*packed='columns'.*trans_a=False",
             (by_rows, by_columns, c), {"trans_a": True}),
            ("'ar' 8 x 8 is packed along its rows.*columns.*trans_b=True", (by_rows, by_rows, c), {}),
            ("'bc' 8 x 8 is packed along its columns.*its rows.*trans_b=False", (by_rows, by_columns, c), {"trans_b": True}),
            ("an int8 result along its rows; make 'bc' 8 x 8 with packed='rows'", (a, b, by_columns), {}),
            ("'ar' 8 x 8 is int8; only the two factors and the result", (a, b, c), {"accumulate": by_rows}),
            ("exponent is always -7 in int8; make it with exponent=-7", (a, b, small), {"activation": "tanh"}),
            ("'raw' 8 x 8 is raw and has no exponent", (raw, b, c), {}),
            ("'c' 8 x 8 should be 1 x 8", (a, b, make("d", 8, 8)), {"colsum": c}),
            ("the result 'c' 8 x 8 overlaps the operand 'c' 8 x 8", (a, b, c), {"accumulate": c})):
        with pytest.raises(ProgramError, match=message):
            program.matmul(*operands_, **options)
    with pytest.raises(ProgramError, match="'a' 8 x 8 is int16 and should be int8"):
        program.quantize(c, a)
    with pytest.raises(ProgramError, match="'c8' 8 x 8 should be 5 x 8"):
        program.quantize(make("five", 8, 5), small, transpose=True)
    with pytest.raises(ProgramError, match="'c8' 8 x 8 is int8; the policy unit takes int16"):
        program.sample(small, layout.records("r", 8))
    with pytest.raises(ProgramError, match="int16 and raw tensors take no packed"):
        make("x", 4, 4, packed="rows")
    with pytest.raises(ProgramError, match="dtype 'int4'"):
        make("x", 4, 4, dtype="int4")
    assert not program.operations


def test_only_tensors_can_be_recorded(layout):
    program, x, y = Program("types", layout), layout.tensor("x", 8, 8), layout.tensor("y", 8, 8)
    records, data = layout.records("r", 8), np.ones((8, 8))
    for record in (lambda: program.matmul(data, x, y), lambda: program.linear(x, None, y), lambda: program.matmul(x, x, y, bias=data),
                   lambda: program.copy(data, y), lambda: program.quantize(x, data), lambda: program.sample(data, records),
                   lambda: program.evaluate(y, data), lambda: program.measure(y, records, data), lambda: program.loss(y, records, data, 0),
                   lambda: program.scan(data, 2), lambda: program.sgd(x, data), lambda: program.adam(x, y, None),
                   lambda: program.load(data, layout.block("b", 8)), lambda: program.store(None, layout.block("c", 8))):
        with pytest.raises(ProgramError, match=r"program 'types': \w+ was given \w+ of type (ndarray|NoneType), not a tensor"):
            record()
    with pytest.raises(ProgramError, match="a block of outside memory is expected, not 'ndarray'"):
        program.load(x, data)
    with pytest.raises(ProgramError, match=r"gshift is 2\.9 and must be a whole number from 0 to 31"):
        program.loss(y, records, layout.tensor("g", 8, 8), 2.9)
    with pytest.raises(ProgramError, match=r"2\.0 environments"):
        program.scan(records, 2.0)
    assert not program.operations


def test_views(layout):
    x, x8, c8 = layout.tensor("x", 20, 40), layout.tensor("x8", 20, 40, dtype="int8"), layout.tensor(
        "c8", 20, 40, dtype="int8", packed="columns")
    view = x.view(slice(3, 9), slice(16, 37))
    assert (view.shape, view.address, view.stride, view.exponent) == ((6, 21), x.address + 3 * 5 + 2, 5, x.exponent)
    assert view.words == 5 * 5 + 3 and x.view().words == x.words
    assert x8.view(slice(1, 2), slice(16, 40)).address == x8.address + x8.stride + 1
    assert c8.view(slice(4, 9)).address == c8.address + 2 * c8.stride
    for tensor, rows, columns, message in ((x, slice(None), slice(4, 8), "cannot begin at column 4: words hold 8 columns"),
                                           (x8, slice(None), slice(8, 16), "words hold 16 columns"),
                                           (c8, slice(3, 5), slice(None), "rows 2 and 3 share their lanes"),
                                           (x, slice(0, 21), slice(None), "has no rows 0 to 21"),
                                           (x, slice(4, 4), slice(None), "0 <= start < stop <= 20"),
                                           (x, slice(0, 4, 2), slice(None), "in steps of 2")):
        with pytest.raises(TensorError, match=message):
            tensor.view(rows, columns)


def test_parts_whose_exponent_follows_the_data(layout):
    """A part that is written must be all that is used of its tensor, or static."""
    x, w = layout.tensor("x", 8, 8), layout.tensor("w", 8, 8)
    for static in (False, True):
        whole = layout.tensor("whole", 16, 8, -10, static=static)
        top, bottom = whole.view(rows=slice(0, 8)), whole.view(rows=slice(8, 16))
        assert top.whole is whole and bottom.place == (slice(8, 16), slice(0, 8)) and bottom.view(rows=slice(1, 2)).place[0] == slice(9, 10)
        program = Program("halves", layout)
        program.matmul(x, w, top)
        program.matmul(top, w, layout.tensor("y", 8, 8))
        program.matmul(top.view(rows=slice(2, 5)), w, layout.tensor("z", 3, 8))
        for use in (lambda: program.matmul(x, w, bottom), lambda: program.matmul(whole, w, layout.tensor("v", 16, 8)),  # noqa: B023
                    lambda: program.load(bottom, layout.block("b", 8, 1))):  # noqa: B023
            if static:
                use()
            else:
                with pytest.raises(ProgramError, match=r"'whole\[0:8,0:8\]' 8 x 8 is written as a part of 'whole' 16 x 8.*static=True"):
                    use()
        assert len(program.operations) == (6 if static else 3)
        program.matmul(top, w, layout.tensor("u", 8, 8))  # what was refused is as if it had not been asked for
    read = Program("read", layout)
    read.matmul(x.view(rows=slice(0, 4)), w, layout.tensor("r", 4, 8))
    read.matmul(x, w, layout.tensor("s", 8, 8))
