"""The arithmetic of absence: runs of numbers, usual silence, clocks. However cut, the same."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sekisho.detect.standing import clocks, numbers
from sekisho.detect.standing.digest import Digest, Run, join
from sekisho.detect.standing.lanes import Calendar
from sekisho.detect.standing.silence import SLOTS, Usual

SECOND = 1_000_000


def runs_of(present: list[int]) -> list[Run]:
    """Runs of these numbers, as one read gives them; number n was written at second n."""
    runs: list[Run] = []
    for number in sorted(present):
        if runs and runs[-1].high + 1 == number:
            last = runs.pop()
            runs.append(Run(last.low, number, last.low_time, number * SECOND, last.n + 1))
        else:
            runs.append(Run(number, number, number * SECOND, number * SECOND, 1))
    return runs


@given(
    st.sets(st.integers(1000, 1400), min_size=2, max_size=200),
    st.randoms(use_true_random=False),
    st.integers(1, 8),
)
def test_runs_are_the_same_in_whatever_pieces_they_come(present: set[int], dice: object, pieces: int) -> None:
    """Each record is read once, in any order and any number of reads."""
    order = sorted(present)
    dice.shuffle(order)  # type: ignore[attr-defined]
    held: list[Run] = []
    size = -(-len(order) // pieces)
    for start in range(0, len(order), size):
        held = join([*held, *runs_of(order[start : start + size])])
    expected = [(a.high + 1, b.low - 1) for a, b in zip(runs_of(order)[:-1], runs_of(order)[1:], strict=True)]
    found = [(gone.before.high + 1, gone.after.low - 1) for gone in numbers.breaks(held)]
    assert found == expected
    assert sum(run.n for run in held) == len(present)


def test_counting_anew_is_no_hole() -> None:
    first, second = Run(1, 5000, 0, 10, 5000), Run(1, 300, 20, 30, 300)
    assert join([first, second]) == [first, second]
    assert numbers.breaks([second, first]) == [numbers.Break(first, second, restart=True)]


def test_a_late_record_of_the_first_count_fills_its_hole() -> None:
    runs = join([Run(1, 100, 0, 100, 100), Run(111, 200, 110, 200, 90), Run(101, 110, 101, 109, 10)])
    assert runs == [Run(1, 200, 0, 200, 200)]


# -- silence ------------------------------------------------------------------------------------


def usual(hours: int, quiet: set[int], born: int = 0) -> Usual:
    active = np.ones(hours * SLOTS, np.bool_)
    for hour in quiet:
        active[hour * SLOTS : (hour + 1) * SLOTS] = False
    active[: born * SLOTS] = False
    return Usual(active, born, np.zeros(hours, np.int64))


def test_a_silence_counts_from_an_hour_on_and_says_where() -> None:
    hours = 24 * 35
    lane = usual(hours, {hours - 2, hours - 1})
    received = np.ones(hours * SLOTS, np.bool_)
    (gap,) = lane.gaps(received, 0, hours * SLOTS)
    assert (gap.start, gap.end, gap.open) == ((hours - 2) * SLOTS, hours * SLOTS, True)
    assert gap.missed == 24
    assert list(lane.gaps(received, 0, (hours - 1) * SLOTS - 1)) == []
    received[(hours - 2) * SLOTS :] = False
    assert list(lane.gaps(received, 0, hours * SLOTS)) == [], (
        "nothing came from anybody: not this lane's silence"
    )


def test_nights_weigh_nothing() -> None:
    hours = 24 * 35
    nights = {hour for hour in range(hours) if hour % 24 < 8}
    lane = usual(hours, nights)
    assert list(lane.gaps(np.ones(hours * SLOTS, np.bool_), 0, hours * SLOTS)) == []


def test_a_silence_as_long_as_usual_ones_is_none() -> None:
    """Every third day in the afternoon nothing comes for three hours, on no fixed day of the week."""
    hours = 24 * 62
    quiet = {day * 24 + 14 + k for day in range(0, 60, 3) for k in range(3)}
    lane = usual(hours, quiet | {hours - 4, hours - 3, hours - 2})
    received = np.ones(hours * SLOTS, np.bool_)
    assert list(lane.gaps(received, 24 * 55 * SLOTS, hours * SLOTS)) == []


def test_the_hour_on_the_wall_is_compared_over_a_change_of_daylight_saving_time() -> None:
    zone = ZoneInfo("Europe/Berlin")  # 2026-03-29: from UTC+1 to UTC+2
    base = (datetime(2026, 3, 1, tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)).days
    calendar = Calendar(base, 35, zone)
    hours = np.arange(35 * 24)
    active = np.repeat((hours + calendar.shift) % 24 >= 9, SLOTS)
    lane = Usual(active, 0, calendar.shift)
    monday = (30 - 1) * 24  # 2026-03-30
    nine = next(hour for hour in range(monday, monday + 24) if (hour + calendar.shift[hour]) % 24 == 9)
    assert lane.weight[nine] == 1
    assert lane.weight[nine - 1] == 0


@pytest.mark.parametrize(("born", "why"), [(24 * 34, "less than two weeks"), (0, "")])
def test_what_is_not_known_is_said(born: int, why: str) -> None:
    lane = usual(24 * 35, set(), born)
    assert lane.why_not(24 * 35 * SLOTS).startswith(why)


# -- clocks, the file ---------------------------------------------------------------------------


def test_a_backlog_is_no_clock() -> None:
    steady = [(hour, 2 * SECOND, 4 * SECOND, 20) for hour in range(24)]
    backlog = [(24, 3 * SECOND, 36_000 * SECOND, 400)]
    offline = [(24, 7_200 * SECOND, 30_000 * SECOND, 400)]
    moved = [(24, 7_200 * SECOND, 7_203 * SECOND, 20), (25, 7_201 * SECOND, 7_203 * SECOND, 20)]
    assert list(clocks.moved(steady + backlog, 0)) == []
    assert list(clocks.moved(steady + offline, 0)) == []
    (found,) = clocks.moved(steady + moved, 0)
    assert (found.hour, found.by, found.usual) == (24, 7_198 * SECOND, 2 * SECOND)


def test_a_digest_of_another_version_is_made_anew(tmp_path: Path) -> None:
    import sqlite3

    path = tmp_path / "standing" / "digest.sqlite3"
    digest = Digest(path)
    with digest.writing():
        digest.set_state("offset", 7)
    digest.close()
    assert path.stat().st_mode & 0o077 == 0
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    again = Digest(path)
    assert again.state("offset") is None
    again.close()
