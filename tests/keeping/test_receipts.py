"""Which time the journal bears witness to."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sekisho.keeping.receipts import DAY_NS, STRIDE, justified, witness
from sekisho.keeping.segments import HOUR_NS

HOUR = 494_000


def test_hour_follows_hour() -> None:
    seen = witness([(0, [HOUR, HOUR + 1]), (10, [HOUR + 20, HOUR + 44])])
    assert seen.hour == HOUR + 44
    assert seen.leaps == ()
    assert seen.at_start == {10: HOUR + 1}


def test_a_clock_set_to_2099_is_not_believed_and_time_goes_on_after_it() -> None:
    far = HOUR + 640_000
    seen = witness([(0, [HOUR]), (10, [far, far + 1]), (20, [HOUR + 5])])
    assert seen.hour == HOUR + 5
    assert [(leap.segment, leap.before, leap.after) for leap in seen.leaps] == [(10, HOUR, far)]
    assert justified((far + 1) * HOUR_NS, seen.hour) == (HOUR + 6) * HOUR_NS + DAY_NS


def test_a_stand_still_of_days_is_believed_once_a_person_said_so() -> None:
    journal = [(0, [HOUR]), (10, [HOUR + 200])]
    assert witness(journal).hour == HOUR
    assert witness(journal, confirmed=HOUR + 201).hour == HOUR + 200


def test_a_clock_set_back_takes_no_time_away() -> None:
    assert witness([(0, [HOUR]), (10, [3, 4]), (20, [HOUR + 1])]).hour == HOUR + 1


def test_without_a_frame_nothing_is_old() -> None:
    assert justified(10**19, None) == 0
    assert justified(HOUR * HOUR_NS, HOUR + 5) == HOUR * HOUR_NS


@given(st.lists(st.lists(st.integers(0, 1_200_000), max_size=5), max_size=6))
def test_it_never_goes_back_and_never_further_than_a_stride(journal: list[list[int]]) -> None:
    seen = witness(list(enumerate(journal)))
    hours = [hour for part in journal for hour in part]
    reached = hours[0] if hours else None
    for hour in hours:
        if reached is not None and hour <= reached + STRIDE:
            reached = max(reached, hour)
    assert seen.hour == reached
    assert list(seen.at_start.values()) == sorted(seen.at_start.values())
