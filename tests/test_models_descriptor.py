# SPDX-License-Identifier: Apache-2.0
"""Encoding and checking of descriptors."""

import numpy as np
import pytest

from pymodels.check import check
from pymodels.descriptor import FIELDS, RESERVED, Act, Error, Space, Unit, decode, encode, reserved_bits

LIMITS = dict(lanes=8, scratchpad_words=8192, slot_words=500)
GEMM = dict(unit="gemm", m=8, n=9, k=17, t0_stride=3, t1_stride=2, t2_stride=2, t2_addr=100)
SAMPLE = dict(unit="policy", op="sample", m=8, n=3, t0_stride=1, t2_stride=1)
LOSS = dict(unit="policy", op="loss", m=8, n=3, t0_stride=1, t1_stride=1, t2_stride=1)
EVALUATE = dict(unit="policy", op="evaluate", m=8, n=3, t0_stride=1, t1_stride=2, t2_addr=100, t2_stride=2)
MEASURE = EVALUATE | dict(op="measure")
SEQUENCES = LOSS | dict(sequence_words=1, t4_stride=1)
MOMENTUM = dict(unit="update", op="momentum", m=1, n=100, t2_space="next", t4_space="next", t4_addr=400)
STEP = dict(unit="update", op="sgd", m=1, n=100, t2_addr=100)
LOAD = dict(unit="dma", op="load", m=4, n=5, t2_stride=5, mem_addr=64, mem_stride=80)
STORE = dict(unit="dma", op="store", m=4, n=5, t0_stride=5, mem_addr=64, mem_stride=80)
COMMIT = dict(unit="update", op="commit")
SCAN = dict(unit="policy", op="scan", m=8, n=3, t1_stride=1, t2_addr=100, t2_stride=1)
GOOD = [GEMM, SAMPLE, LOSS, EVALUATE, MEASURE, SEQUENCES, SCAN, MOMENTUM, STEP, LOAD, STORE, COMMIT, dict(unit="update", op="rollback")]


def verdict(base, **change):
    return check(encode(base | change), **LIMITS)


def test_every_field_survives_the_round_trip():
    rng = np.random.default_rng(1)
    for _ in range(50):
        fields = {name: int(rng.integers(1 << field.width)) for name, field in FIELDS.items()}
        words = encode(fields)
        assert words.dtype == np.uint32 and words.shape == (16,)
        assert decode(words) == fields and not reserved_bits(words)
    assert decode(encode({})) == dict.fromkeys(FIELDS, 0)


def test_fields_and_reserved_bits_fill_the_descriptor():
    words = encode({name: (1 << field.width) - 1 for name, field in FIELDS.items()})
    assert [int(w) | r for w, r in zip(words, RESERVED, strict=True)] == [0xFFFFFFFF] * 16
    assert [int(w) & r for w, r in zip(words, RESERVED, strict=True)] == [0] * 16


def test_codes_can_be_named():
    words = encode(dict(unit="policy", op="loss", t2_space="next"))
    assert decode(words)["unit"] == Unit.POLICY and decode(words)["op"] == 1 and decode(words)["t2_space"] == Space.NEXT
    assert decode(encode(dict(unit="gemm", act="tanh")))["act"] == Act.TANH


@pytest.mark.parametrize("fields, message", [
    (dict(rows=3), "no field 'rows'"), (dict(m=65536), "m = 65536 does not fit"), (dict(m=-1), "m = -1"),
    (dict(unit="gpu"), "none of gemm, policy"), (dict(unit="gemm", op="loss"), "none of matmul"), (dict(m="gemm"), "a number"),
])
def test_encode_refuses_what_it_does_not_know(fields, message):
    with pytest.raises(ValueError, match=message):
        encode(fields)


def test_decode_wants_16_words():
    with pytest.raises(ValueError, match="16 words, not 15"):
        decode(np.zeros(15, np.uint32))


@pytest.mark.parametrize("base", GOOD)
def test_good_descriptors_pass(base):
    assert verdict(base, wait_mask=0xFFFF, post_mask=0xFFFF, last=1) == Error.NONE


@pytest.mark.parametrize("base, change, error", [
    (GEMM, dict(unit=0), Error.BAD_UNIT), (GEMM, dict(unit=5), Error.BAD_UNIT), (GEMM, dict(unit=7, op=31), Error.BAD_UNIT),
    (GEMM, dict(op=1), Error.BAD_OP), (SAMPLE, dict(op=5), Error.BAD_OP), (COMMIT, dict(op=9), Error.BAD_OP),
    (LOAD, dict(op=2), Error.BAD_OP), (GEMM, dict(op=1, act=3), Error.BAD_OP),
    (GEMM, dict(act=3), Error.BAD_FIELD), (GEMM, dict(dact=3, t4_stride=2), Error.BAD_FIELD),
    (GEMM, dict(act="relu", dact="relu", t4_stride=2), Error.BAD_FIELD),
    (GEMM, dict(greedy=1), Error.BAD_FIELD), (GEMM, dict(gshift=1), Error.BAD_FIELD), (GEMM, dict(mem_addr=16), Error.BAD_FIELD),
    (GEMM, dict(t3_addr=1), Error.BAD_FIELD), (GEMM, dict(t4_exp=1), Error.BAD_FIELD), (GEMM, dict(t3_space=1), Error.BAD_FIELD),
    (GEMM, dict(t2_space="current"), Error.BAD_FIELD), (GEMM, dict(t0_space=3), Error.BAD_FIELD),
    (GEMM, dict(t1_space="current", t1_exp=16), Error.BAD_FIELD), (GEMM, dict(t1_space="current", t1_exp=15), Error.NONE),
    (GEMM, dict(t1_exp=63), Error.NONE), (GEMM, dict(t2_space="next"), Error.NONE),
    (GEMM, dict(int8=1, t0_stride=2), Error.NONE), (GEMM, dict(int8=1, t0_stride=1), Error.BAD_SHAPE),
    (GEMM, dict(int8=1, t1_addr=8192 - 17), Error.OUT_OF_SCRATCHPAD), (GEMM, dict(int8=1, t1_addr=8192 - 18), Error.NONE),
    (GEMM, dict(int8=1, trans_a=1, t0_stride=1, t0_addr=8192 - 9), Error.NONE),
    (GEMM, dict(int8=1, trans_a=1, t0_stride=1, t0_addr=8192 - 8), Error.OUT_OF_SCRATCHPAD),
    (GEMM, dict(int8=1, trans_b=1, t1_stride=2), Error.NONE), (GEMM, dict(int8=1, trans_b=1, t1_stride=1), Error.BAD_SHAPE),
    (GEMM, dict(int8_result=1, t2_stride=1), Error.NONE), (GEMM, dict(int8_result=1, n=17, t1_stride=3, t2_stride=1), Error.BAD_SHAPE),
    (GEMM, dict(accumulate=1, t4_stride=2), Error.NONE), (GEMM, dict(accumulate=1, t4_stride=1), Error.BAD_SHAPE),
    (GEMM, dict(accumulate=1, t4_stride=2, t4_space="current"), Error.NONE), (GEMM, dict(colsum=1), Error.NONE),
    (GEMM, dict(colsum=1, t4_space="current"), Error.BAD_FIELD), (GEMM, dict(colsum=1, t4_space="next", t4_addr=498), Error.NONE),
    (GEMM, dict(colsum=1, t4_addr=8191), Error.OUT_OF_SCRATCHPAD),
    *[(GEMM, dict.fromkeys(pair, 1) | (dict(t4_stride=2) if {"dact", "accumulate"} & set(pair) else {}), Error.BAD_FIELD) for pair in (
        ("dact", "accumulate"), ("dact", "colsum"), ("accumulate", "colsum"), ("bias", "accumulate"), ("int8", "dact"),
        ("int8", "colsum"), ("int8_result", "dact"), ("int8_result", "accumulate"), ("int8_result", "colsum"), ("int8_result", "norm"))],
    *[(GEMM, dict.fromkeys(pair, 1) | (dict(t4_stride=2) if {"dact", "accumulate"} & set(pair) else {}), Error.NONE) for pair in (
        ("int8", "accumulate"), ("int8", "bias"), ("int8_result", "bias"), ("int8", "int8_result"), ("bias", "colsum"),
        ("bias", "dact"), ("act", "colsum"), ("act", "accumulate"), ("chain", "overlap"), ("int8_result", "act"), ("norm", "colsum"),
        ("norm", "stochastic"))],
    (GEMM, dict(chain=1), Error.BAD_FIELD), (GEMM, dict(chain=1, overlap=3, trans_a=1), Error.BAD_FIELD),
    (GEMM, dict(overlap=3, trans_a=1), Error.NONE), (GEMM, dict(k=16385, int8=1), Error.BAD_SHAPE),
    *[(base, {name: 1}, Error.BAD_FIELD) for base in (SAMPLE, LOSS, EVALUATE, MEASURE, SCAN, MOMENTUM, LOAD, STORE, COMMIT)
      for name in ("int8", "accumulate", "colsum", "chain", "overlap", "norm")],
    *[(base, {name: 1}, Error.BAD_FIELD) for base in (GEMM, SAMPLE, LOSS, EVALUATE, MEASURE, SCAN, LOAD, STORE, COMMIT)
      for name in ("clip", "t5_addr", "t5_stride", "t5_exp", "t5_space", *(() if base is GEMM else ("int8_result",)))],
    (MOMENTUM, dict(op="restore"), Error.BAD_FIELD), (MOMENTUM, dict(op="unpin", k=3), Error.BAD_FIELD),
    *[(COMMIT, dict(op=op, k=k), error) for op in ("restore", "unpin")
      for k, error in ((0, Error.NONE), (3, Error.NONE), (4, Error.BAD_FIELD), (0x8000, Error.BAD_FIELD))],
    (COMMIT, dict(op="pin"), Error.NONE), (COMMIT, dict(op="pin", k=1), Error.BAD_FIELD), (COMMIT, dict(k=1), Error.BAD_FIELD),
    *[(MOMENTUM, dict(op=op, clip=1, stochastic=1), Error.NONE) for op in ("momentum", "nesterov")],
    (MOMENTUM, dict(op="sgd"), Error.BAD_FIELD), (STEP, dict(clip=1), Error.NONE), (STEP, dict(t4_addr=1), Error.BAD_FIELD),
    (MOMENTUM, dict(op="adam", t4_addr=300), Error.NONE), (MOMENTUM, dict(op="adam", t4_addr=301), Error.OUT_OF_SCRATCHPAD),
    (MOMENTUM, dict(op="adam", t4_addr=0, t3_addr=8192 - 199), Error.OUT_OF_SCRATCHPAD),
    (MOMENTUM, dict(t5_exp=1), Error.BAD_FIELD), (STEP, dict(int8_result=1, t5_exp=3, t5_addr=8192 - 100), Error.NONE),
    (STEP, dict(int8_result=1, t5_addr=8192 - 99), Error.OUT_OF_SCRATCHPAD), (STEP, dict(int8_result=1, t5_space=1), Error.BAD_FIELD),
    (STEP, dict(int8_result=1, m=5, t5_addr=8192 - 300), Error.NONE), (STEP, dict(int8_result=1, m=6, t1_addr=8192 - 599),
                                                                      Error.OUT_OF_SCRATCHPAD),
    (STEP, dict(int8_result=1, m=656, n=100), Error.BAD_SHAPE), (STEP, dict(int8_result=1, m=655, n=100), Error.OUT_OF_SCRATCHPAD),
    (SAMPLE, dict(stochastic=1), Error.BAD_FIELD), (SAMPLE, dict(k=1), Error.BAD_FIELD), (SAMPLE, dict(t1_stride=1), Error.BAD_FIELD),
    *[(base, {name: 1}, Error.BAD_FIELD) for base in (EVALUATE, MEASURE)
      for name in ("stochastic", "greedy", "gshift", "t3_stride", "t4_stride", "sequence_words")],
    (SAMPLE, dict(sequence_words=1), Error.BAD_FIELD), (GEMM, dict(sequence_words=1), Error.BAD_FIELD),
    (LOSS, dict(t4_stride=1), Error.BAD_FIELD), (SEQUENCES, dict(t3_stride=1), Error.BAD_FIELD),
    (SEQUENCES, dict(t4_space="current"), Error.NONE), (SEQUENCES, dict(t4_stride=0), Error.BAD_SHAPE),
    (MEASURE, dict(t2_stride=1), Error.NONE), (MEASURE, dict(t2_stride=0), Error.BAD_SHAPE),
    (EVALUATE, dict(t2_space="current"), Error.BAD_FIELD), (EVALUATE, dict(t1_space="current", t2_addr=0), Error.NONE),
    *[(SCAN, {name: 1}, Error.BAD_FIELD) for name in ("stochastic", "greedy", "gshift", "k", "t0_stride", "t3_stride", "t4_stride")],
    (SCAN, dict(t2_space="current"), Error.BAD_FIELD), (SCAN, dict(t2_addr=0), Error.NONE), (SCAN, dict(n=1), Error.BAD_SHAPE),
    (SCAN, dict(n=64), Error.NONE), (SCAN, dict(n=65), Error.BAD_SHAPE), (SCAN, dict(t1_stride=2), Error.BAD_SHAPE),
    (SCAN, dict(t2_stride=2), Error.BAD_SHAPE), (SCAN, dict(t2_stride=0), Error.BAD_SHAPE),
    (SCAN, dict(m=1, t1_stride=9, t2_stride=0), Error.NONE), (SCAN, dict(t2_addr=8192 - 8), Error.NONE),
    (SCAN, dict(t1_addr=8192 - 7), Error.OUT_OF_SCRATCHPAD),
    (LOSS, dict(greedy=1), Error.BAD_FIELD), (LOSS, dict(gshift=31, stochastic=1), Error.NONE),
    (MOMENTUM, dict(t2_space="current"), Error.BAD_FIELD), (MOMENTUM, dict(t4_space="current"), Error.BAD_FIELD),
    (MOMENTUM, dict(t2_space="absolute", t0_space="current", t3_space="current"), Error.NONE), (MOMENTUM, dict(k=1), Error.BAD_FIELD),
    (COMMIT, dict(m=1), Error.BAD_FIELD), (COMMIT, dict(t0_addr=1), Error.BAD_FIELD), (COMMIT, dict(stochastic=1), Error.BAD_FIELD),
    (LOAD, dict(t0_stride=5), Error.BAD_FIELD), (STORE, dict(t2_stride=5), Error.BAD_FIELD),
    (LOAD, dict(t2_space="current"), Error.NONE), (LOAD, dict(bias=1), Error.BAD_FIELD),
    (GEMM, dict(m=0), Error.BAD_SHAPE), (GEMM, dict(n=0), Error.BAD_SHAPE), (GEMM, dict(k=0), Error.BAD_SHAPE),
    (GEMM, dict(m=1, n=1, k=16385, t0_stride=0, t1_addr=9), Error.BAD_SHAPE),
    (GEMM, dict(m=1, n=1, k=16384, trans_b=1, t0_stride=0, t1_stride=0), Error.NONE),
    (GEMM, dict(t0_stride=2), Error.BAD_SHAPE), (GEMM, dict(m=1, t0_stride=0, t2_stride=0), Error.NONE),
    (GEMM, dict(trans_a=1, t0_stride=1), Error.NONE), (GEMM, dict(trans_a=1, t0_stride=0), Error.BAD_SHAPE),
    (GEMM, dict(trans_b=1), Error.BAD_SHAPE), (GEMM, dict(trans_b=1, t1_stride=3), Error.NONE),
    (GEMM, dict(bias=1), Error.NONE), (GEMM, dict(dact="tanh", t4_stride=1), Error.BAD_SHAPE),
    (SAMPLE, dict(n=1), Error.BAD_SHAPE), (SAMPLE, dict(n=65, t0_stride=9), Error.BAD_SHAPE),
    (SAMPLE, dict(n=64, t0_stride=8), Error.NONE), (SAMPLE, dict(t2_stride=0), Error.BAD_SHAPE),
    (LOSS, dict(t1_stride=0), Error.BAD_SHAPE), (MOMENTUM, dict(m=2), Error.BAD_SHAPE), (MOMENTUM, dict(m=0), Error.BAD_SHAPE),
    (MOMENTUM, dict(n=0), Error.BAD_SHAPE), (LOAD, dict(t2_stride=4), Error.BAD_SHAPE), (LOAD, dict(mem_stride=16), Error.NONE),
    (GEMM, dict(t2_addr=8192 - 16), Error.NONE), (GEMM, dict(t2_addr=8192 - 15), Error.OUT_OF_SCRATCHPAD),
    (GEMM, dict(t2_space="next", t2_addr=500 - 16), Error.NONE),
    (GEMM, dict(t2_space="next", t2_addr=500 - 15), Error.OUT_OF_SCRATCHPAD),
    (GEMM, dict(m=65535, t0_stride=65535), Error.OUT_OF_SCRATCHPAD),
    (GEMM, dict(bias=1, t3_addr=8192 - 2), Error.NONE), (GEMM, dict(bias=1, t3_addr=8191), Error.OUT_OF_SCRATCHPAD),
    (MOMENTUM, dict(t4_addr=401), Error.OUT_OF_SCRATCHPAD), (STORE, dict(t0_addr=8192 - 20), Error.NONE),
    (STORE, dict(t0_addr=8192 - 19), Error.OUT_OF_SCRATCHPAD),
    (LOAD, dict(mem_addr=8), Error.MISALIGNED), (STORE, dict(mem_stride=81), Error.MISALIGNED),
    (LOAD, dict(mem_addr=8, t2_addr=8192), Error.OUT_OF_SCRATCHPAD), (LOAD, dict(mem_addr=8, m=0), Error.BAD_SHAPE),
    (LOAD, dict(m=0, greedy=1), Error.BAD_FIELD),
])
def test_the_first_error_is_reported(base, change, error):
    assert verdict(base, **change) == error


@pytest.mark.parametrize("base", [GEMM, SAMPLE, LOSS, EVALUATE, SEQUENCES, LOAD, STORE])
def test_what_a_request_may_hold(base):
    """What a program may, but no semaphores, no slots and nothing that belongs to gemm's pipeline."""
    words = encode(base | dict(last=1))
    assert check(words, request=True, **LIMITS) == Error.NONE
    for name in ("wait_mask", "post_mask", *(["overlap"] if base is GEMM else []),
                 *(f"t{i}_space" for i in range(3) if f"t{i}_stride" in base)):
        change = {name: 2}  # of a space: next
        assert verdict(base, **change) == Error.NONE
        assert check(encode(base | change), request=True, **LIMITS) == Error.BAD_FIELD, name


@pytest.mark.parametrize("base, change, error", [
    (MOMENTUM, {}, Error.BAD_UNIT), (COMMIT, {}, Error.BAD_UNIT), (COMMIT, dict(op=9, wait_mask=1), Error.BAD_UNIT),
    (MEASURE, dict(wait_mask=1), Error.BAD_OP), (SCAN, dict(n=1), Error.BAD_OP), (SAMPLE, dict(op=5), Error.BAD_OP),
    (GEMM, dict(chain=1, overlap=1), Error.BAD_FIELD), (GEMM, dict(overlap=3), Error.BAD_FIELD),
    (GEMM, dict(t1_space="next", m=0), Error.BAD_FIELD), (GEMM, dict(t1_space="current"), Error.NONE),
    (LOAD, dict(t2_space="current"), Error.BAD_FIELD),
    (LOAD, dict(post_mask=0x8000, mem_addr=8), Error.BAD_FIELD), (GEMM, dict(m=0), Error.BAD_SHAPE),
    (GEMM, dict(t2_addr=8192 - 15), Error.OUT_OF_SCRATCHPAD), (LOAD, dict(mem_addr=8), Error.MISALIGNED),
])
def test_the_first_error_of_a_request_is_reported(base, change, error):
    assert check(encode(base | change), request=True, **LIMITS) == error


@pytest.mark.parametrize("word", [0, 8, 10, 13, 14, 15])
def test_reserved_bits_must_be_zero(word):
    for bit in range(32):
        if RESERVED[word] >> bit & 1:
            words = encode(GEMM)
            words[word] |= np.uint32(1 << bit)
            assert check(words, **LIMITS) == Error.BAD_FIELD


@pytest.mark.parametrize("lanes, words", [(4, 2), (8, 1), (16, 1)])
def test_a_record_has_eight_elements(lanes, words):
    limits, last = LIMITS | dict(lanes=lanes), 8192 - 7 * 3 - words
    assert check(encode(LOSS | dict(t1_stride=words)), **limits) == Error.NONE
    assert check(encode(LOSS | dict(t1_stride=words - 1)), **limits) == Error.BAD_SHAPE
    assert check(encode(LOSS | dict(t1_stride=3, t1_addr=last)), **limits) == Error.NONE
    assert check(encode(LOSS | dict(t1_stride=3, t1_addr=last + 1)), **limits) == Error.OUT_OF_SCRATCHPAD
    for operand in "12":
        strides = dict(t1_stride=words, t2_stride=words)
        assert check(encode(EVALUATE | strides), **limits) == Error.NONE
        assert check(encode(EVALUATE | strides | {f"t{operand}_stride": words - 1}), **limits) == Error.BAD_SHAPE
        assert check(encode(EVALUATE | {f"t{operand}_stride": 3, f"t{operand}_addr": last}), **limits) == Error.NONE
        assert check(encode(EVALUATE | {f"t{operand}_stride": 3, f"t{operand}_addr": last + 1}), **limits) == Error.OUT_OF_SCRATCHPAD
    dense = dict(t1_stride=words, t2_stride=words)
    assert check(encode(SCAN | dense), **limits) == Error.NONE
    for operand in "12":
        for stride in (words - 1, words + 1, words + 256):
            assert check(encode(SCAN | dense | {f"t{operand}_stride": stride}), **limits) == Error.BAD_SHAPE
    assert check(encode(SAMPLE), **limits) == Error.NONE  # what SAMPLE writes is one word


def test_words_of_a_row_depend_on_lanes():
    limits = LIMITS | dict(lanes=16)
    assert check(encode(GEMM | dict(t0_stride=2, t1_stride=1, t2_stride=1)), **limits) == Error.NONE
    assert check(encode(GEMM | dict(t0_stride=1)), **limits) == Error.BAD_SHAPE
    assert check(encode(LOAD | dict(mem_addr=16)), **limits) == Error.MISALIGNED
    assert check(encode(LOAD | dict(mem_stride=80)), **limits) == Error.MISALIGNED
