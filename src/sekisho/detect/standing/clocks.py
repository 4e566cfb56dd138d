"""Delays from event to receipt -> clocks that moved. Pure.

A record cannot arrive before it was written, so a clock that is ahead shows at once. One that is behind
looks like a late delivery; what tells them apart is that *every* record of an hour and of the next one is
late by the same time, while a backlog comes in with all delays and runs out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median_low
from typing import NamedTuple

AHEAD = 300_000_000  # µs
BEHIND = 600_000_000
#: Hours by which the usual delay is known, at least and at most.
_KNOWN_HOURS = 12
_WINDOW = 168
_SAME = 120_000_000
_RECORDS = 3

#: Hour (since 1970) of receipt, least and greatest delay in µs, records.
Hour = tuple[int, int, int, int]


class Moved(NamedTuple):
    """In ``hour`` the delay was ``by`` µs off the usual one (negative: the clock is ahead)."""

    hour: int
    by: int
    usual: int
    records: int


def moved(hours: Sequence[Hour], since: int) -> Iterator[Moved]:
    """The first hour of each move from hour ``since`` on."""
    usual: list[int] = []
    before: int | None = None  # offset of the hour before, if it was off
    for place, (hour, least, _, n) in enumerate(hours):
        if len(usual) < _KNOWN_HOURS:
            usual.append(least)
            continue
        base = median_low(usual[-_WINDOW:])
        by = _off(hours, place, base)
        if by is None:
            before = None
            usual.append(least)
        else:
            if hour >= since and (before is None or abs(by - before) > _SAME):
                yield Moved(hour, by, base, n)
            before = by


def _off(hours: Sequence[Hour], place: int, base: int) -> int | None:
    _, least, most, n = hours[place]
    by = least - base
    if by <= -AHEAD and least < 0:
        return by
    if by < BEHIND or n < _RECORDS or most - least > by // 2:
        return None
    near = [hours[p] for p in (place - 1, place + 1) if 0 <= p < len(hours)]
    return by if any(abs(other[1] - least) <= _SAME and other[3] >= _RECORDS for other in near) else None


def too_short(hours: Sequence[Hour]) -> bool:
    return len(hours) < _KNOWN_HOURS
