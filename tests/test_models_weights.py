# SPDX-License-Identifier: Apache-2.0
"""Golden model of the weight slots against docs/architecture.md, "Versions"."""

import pytest

from pymodels.descriptor import Error
from pymodels.weights import WeightGroup


@pytest.mark.parametrize("slots", [2, 3, 4])
def test_versions_go_forth_and_back(slots):
    group = WeightGroup()
    group.init(100, 10, slots, 0xFFFFFFFE)
    assert group.rollback() == Error.NO_VERSION and (group.slot, group.version) == (0, 0xFFFFFFFE)
    for n in range(1, 8):
        group.commit()
        assert (group.slot, group.version, group.kept) == (n % slots, (0xFFFFFFFE + n) % 2**32, min(n, slots - 2))
    for n in range(slots - 2):
        assert group.rollback() == Error.NONE and group.slot == (7 - n - 1) % slots
    assert group.rollback() == Error.NO_VERSION
    assert group.first_word(group.slot_next) == 100 + 10 * ((group.slot + 1) % slots)
    group.commit()
    assert group.version == 6  # not the number of a version that was left
    for asked, taken in ((0, 2), (1, 2), (5, 4), (7, 4)):
        group.init(0, 10, asked, 0)
        assert group.slots == taken


def test_a_pinned_version_stays():
    group = WeightGroup()
    group.init(0, 10, 3, 5)
    assert group.pin() == group.pin() == Error.NONE
    group.commit()
    assert group.pin() == Error.NO_SLOT
    for _ in range(5):
        assert group.restore(0) == Error.NONE and group.version == 5
        group.commit()
        group.commit()
        assert group.slot and group.slot_next
    assert group.rollback() == Error.NO_VERSION  # the other slot is written next
    assert group.restore(group.slot_next) == group.restore(3) == Error.NO_VERSION
    assert group.restore(0) == group.unpin(0) == Error.NONE
    for _ in range(3):
        group.commit()
    assert group.table[0].version != 5


def test_what_a_request_holds_is_not_written():
    group = WeightGroup()
    group.init(0, 10, 3, 0)
    group.hold()
    for _ in range(4):
        assert not group.must_wait
        group.commit()
        assert group.slot_next != 0 == group.held
    group.restore(0)
    group.pin()
    group.commit()
    group.release()
    group.hold()
    assert group.must_wait
    group.release()
    assert not group.must_wait


def test_a_bad_version_is_not_returned_to():
    group = WeightGroup()
    group.init(100, 10, 3, 0)
    group.commit()
    for address in (99, 130):
        group.fault(address)
    assert not group.flags("bad")
    group.fault(109)
    assert group.flags("bad") == 1
    assert group.rollback() == group.restore(0) == Error.NO_VERSION
    group.commit()
    group.commit()
    assert not group.flags("bad") and group.rollback() == Error.NONE
