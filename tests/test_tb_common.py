# SPDX-License-Identifier: Apache-2.0
"""The benches' own tools: they must fail when a bench proves nothing."""

import pytest

from tb.common.actors import Coverage, Scoreboard
from tb.common.runner import BenchFailed, BuildFailed, find_sources, run
from tb.common.structs import constant, struct


def test_scoreboard_that_compared_nothing_fails():
    with pytest.raises(AssertionError, match="compared nothing"):
        Scoreboard().finish()


def test_scoreboard_with_expectations_left_fails():
    board = Scoreboard()
    board.expect(1)
    board.expect(2)
    board.observe(1)
    with pytest.raises(AssertionError, match="never came"):
        board.finish()


def test_scoreboard_refuses_extra_and_wrong_output():
    board = Scoreboard()
    with pytest.raises(AssertionError, match="extra output"):
        board.observe(1)
    board.expect(1)
    with pytest.raises(AssertionError, match="expected 1"):
        board.observe(2)


def test_coverage_names_what_is_missing():
    seen = Coverage()
    seen.hit("full")
    with pytest.raises(AssertionError, match="empty"):
        seen.require(["full", "empty"])


def test_run_without_tests_fails():
    with pytest.raises(BenchFailed, match="no tests ran"):
        run("lathe_spill", "tb.spill.bench", parameters={"Width": 17}, testcase="no_such_test")


def test_run_of_an_unknown_module_fails_to_build():
    with pytest.raises(BuildFailed, match="no file"):
        run("lathe_no_such_module", "tb.spill.bench")


def test_mutation_must_apply():
    with pytest.raises(ValueError, match="occurs 0 times"):
        run("lathe_spill", "tb.spill.bench", mutate=("rtl/prim/lathe_spill.sv", "no such text", ""))
    with pytest.raises(ValueError, match="not a source"):
        run("lathe_spill", "tb.spill.bench", mutate=("rtl/prim/lathe_fifo.sv", "level_q", ""))


def test_packages_come_before_their_users():
    names = [path.name for path in find_sources("lathe_rng")]
    assert names == ["lathe_num_pkg.sv", "lathe_rng.sv"]


def test_struct_layout_of_a_command():
    cmd = struct("cmd_t")
    raw = cmd.pack({"all_rows": 0xBEEF, "op": 31, "t": {4: {"exp": -1}}, "act": "ActTanh"})
    assert raw & 0xFFFF == 0xBEEF and raw >> (cmd.width - 5) == 31
    fields = cmd.unpack(raw)
    assert fields["t"][4]["exp"] == -1 and fields["t"][0]["exp"] == 0 and fields["act"] == constant("ActTanh")


def test_struct_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match="does not fit"):
        struct("cmd_t").pack({"m": 1 << 16})
    with pytest.raises(ValueError, match="no member"):
        struct("cmd_t").pack({"nothing": 1})
