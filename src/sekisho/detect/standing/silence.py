"""Silence measured by what is usual: pure arithmetic over stretches of 5 minutes with or without a record.

The usual share of active stretches in an hour is the *lower median* of the same hour of the week in the four
weeks before it: one holiday, one outage or one busy night among them changes nothing, and an hour that is
usually quiet weighs nothing. A silence is weighed by the sum of these shares over it, that is by the number
of stretches in which a record was usual; were they independent, nothing at all would come with probability
e^-weight. It counts when it weighs at least ``ENOUGH`` and twice as much as the second-longest silence of
the four weeks before it. All this is known when the silence begins, so it is judged the same whenever it is
asked.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

SLOT = 300_000_000  # µs
SLOTS = 12  # in an hour
HOUR = 3_600_000_000
WEEK = 168  # hours
#: Usual stretches that must have passed without a record: e^-12 is 6 in a million.
ENOUGH = 12.0
WEEKS = 4
STEADY_HOURS = 72
STEADY_SHARE = 0.95
#: Silences of fewer stretches (half an hour) are not looked at.
_SHORT = 6
#: Usual active stretches in a week below which silence says nothing.
_RARE = 24.0


class Gap(NamedTuple):
    """Slots start <= s < end without a record; ``open``: nothing has come since."""

    start: int
    end: int
    open: bool
    missed: float
    usual: float


class Usual:
    """What is usual for one lane. ``active`` has one flag for each slot from ``base`` (slots since 1970, at
    the start of an hour); ``born`` is the first hour (index) in which it was ever seen; ``shift`` gives for
    each hour how many hours its zone is ahead of UTC."""

    def __init__(self, active: Bools, born: int, shift: Ints) -> None:
        self.active = active
        self.born = born
        self.share: Floats = active.reshape(-1, SLOTS).mean(axis=1)
        self.weight, self.weeks = _weights(self.share, born, shift)

    def gaps(self, received: Bools, first: int, end: int) -> Iterator[Gap]:
        """Silences that begin at slot ``first`` or later and weigh enough; ``end``: what is later is not
        over.

        ``received``  slots in which anything came from anybody: while nothing did, no single lane is silent
        """
        weighed = np.concatenate([[0.0], np.cumsum(np.repeat(self.weight, SLOTS) * received)])
        heard = np.concatenate([[0], np.cumsum(received)])
        starts, stops = _holes(self.active[:end], end)
        weights = weighed[stops] - weighed[starts]
        places = np.flatnonzero((starts >= first) & (heard[stops] - heard[starts] >= ENOUGH))
        for place in places.tolist():
            start, stop = int(starts[place]), int(stops[place])
            if self.weeks[start // SLOTS] >= 2:
                missed = float(weights[place])
                before = np.sort(weights[(starts >= start - 28 * 288) & (starts < start)])
                usual = float(before[-2]) if len(before) > 1 else 0.0
            elif self._steady(start):
                hour = start // SLOTS
                mean = float(self.share[hour - STEADY_HOURS : hour].mean())
                missed = mean * float(heard[stop] - heard[start])
                near = (starts >= start - STEADY_HOURS * SLOTS) & (stops < start)
                usual = mean * float((stops[near] - starts[near]).max(initial=0))
            else:
                continue
            if missed >= max(ENOUGH, 2 * usual):
                yield Gap(start, stop, stop == end, missed, usual)

    def _steady(self, slot: int) -> bool:
        """Active in nearly all hours of the three days before: then no weeks are needed to know it."""
        hour = slot // SLOTS
        if hour - STEADY_HOURS < max(self.born, 0):
            return False
        return bool((self.share[hour - STEADY_HOURS : hour] > 0).mean() >= STEADY_SHARE)

    def why_not(self, end: int) -> str:
        """Why this lane cannot be judged at slot ``end``; empty if it can."""
        hour = min(end // SLOTS, len(self.weight) - 1)
        week = self.weight[max(0, hour - WEEK) : hour + 1]
        if self.weeks[hour] < 2:
            last = int(np.flatnonzero(self.active[:end])[-1]) if self.active[:end].any() else end
            if self._steady(last + 1):
                return ""
            return "less than two weeks of records: what is usual is not known yet"
        if float(week.sum()) * SLOTS < _RARE:
            return "too few records to tell silence from chance"
        return ""

    def people(self, shift: Ints, base_hour: int, end: int) -> bool:
        """Follows people's working days: at weekends hardly a quarter of what there is on working days."""
        hours = np.arange(len(self.share)) + base_hour + shift
        weekday = (hours // 24 + 3) % 7  # 1970-01-01 was a Thursday: 0 is Monday
        known = (np.arange(len(self.share)) >= self.born) & (np.arange(len(self.share)) < end // SLOTS)
        rest, work = known & (weekday >= 5), known & (weekday < 5)
        if not rest.any() or not work.any():
            return False
        return bool(self.share[rest].mean() < 0.25 * self.share[work].mean())


def _weights(share: Floats, born: int, shift: Ints) -> tuple[Floats, Ints]:
    """Lower median of the same hour of the week in the weeks before, and how many of them are known."""
    hours = np.arange(len(share))
    earlier = np.full((WEEKS, len(share)), np.nan)
    for week in range(1, WEEKS + 1):
        at = hours - WEEK * week
        inside = at >= max(born, 0)
        moved = np.where(inside, at + shift - shift[np.maximum(at, 0)], 0)  # the same hour on the wall
        inside &= (moved >= max(born, 0)) & (moved < hours)
        earlier[week - 1, inside] = share[moved[inside]]
    known = (~np.isnan(earlier)).sum(axis=0)
    ordered = np.sort(earlier, axis=0)  # unknown ones last
    middle = np.maximum((known - 1) // 2, 0)
    weight = np.take_along_axis(ordered, middle[None, :], axis=0)[0]
    return np.nan_to_num(weight), known.astype(np.int64)


def _holes(active: Bools, end: int) -> tuple[Ints, Ints]:
    """Begin and end of the stretches between active slots; the last one may still be open (its end is
    ``end``)."""
    places = np.flatnonzero(active)
    if not len(places):
        return places, places
    edges = np.append(places, end)
    long = np.diff(edges) > _SHORT
    return edges[:-1][long] + 1, edges[1:][long]
