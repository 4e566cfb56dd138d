"""Which days are compacted next, and which files that takes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from sekisho.lake.cold.build import DAY, Window
from sekisho.lake.manifest import Stored

#: A group of days is closed when it has so many rows; one cold file gets at most so many.
GROUP_ROWS = 8_000_000
FILE_ROWS = 4_000_000
#: Late rows of a day that is cold already wait until they are this share of it.
WORTH = 16

#: Times of a file's rows below a limit (µs since 1970 UTC), in no order.
Times = Callable[[Stored], "np.typing.NDArray[np.int64]"]


class Group(NamedTuple):
    """``days``: numbers since 1970, ascending → rows that each brings; ``files``: what is taken over."""

    days: dict[int, int]
    files: tuple[Stored, ...]


def choose(stored: Sequence[Stored], times: Times, closed: int, least: int) -> Group | None:
    """The oldest days worth compacting, or None.

    ``closed``  days before this one (number since 1970) have ended long enough ago
    ``least``   a day with fewer rows in the hot tier waits; 0 = none waits
    """
    hot = [file for file in stored if file.tier == "hot" and file.time_min < closed * DAY]
    cold = Counter[int]()
    for file in stored:
        if file.tier == "cold":
            cold[file.time_min // DAY] += file.rows
    by_file = {file.id: _days(file, times, closed) for file in hot}
    waiting = Counter[int]()
    for days in by_file.values():
        waiting.update(days)
    chosen: dict[int, int] = {}
    for day in sorted(waiting):
        if chosen and sum(chosen.values()) + waiting[day] > GROUP_ROWS:
            break
        if waiting[day] >= (max(least, cold[day] // WORTH) if least else 1):
            chosen[day] = waiting[day]
    if not chosen:
        return None
    files = [file for file in hot if any(day in chosen for day in by_file[file.id])]
    along = [
        file
        for file in stored
        if file.tier == "cold" and file.rows <= 2 * chosen.get(file.time_min // DAY, 0)
    ]
    return Group(chosen, (*files, *along))


def _days(file: Stored, times: Times, closed: int) -> Counter[int]:
    first, last = file.time_min // DAY, file.time_max // DAY
    if first == last:
        return Counter({first: file.rows})
    found, counts = np.unique(times(file) // DAY, return_counts=True)
    return Counter({int(d): int(n) for d, n in zip(found, counts, strict=True) if d < closed})


def windows(day: int, times: np.typing.NDArray[np.int64]) -> list[Window]:
    """The day in stretches of about equally many rows, one for each file. ``times``: of its rows."""
    pieces = max(1, -(-len(times) // FILE_ROWS))
    low, high = day * DAY, (day + 1) * DAY
    inner = [int(np.quantile(times, n / pieces, method="lower")) for n in range(1, pieces)]
    edges = sorted({low, high, *(edge for edge in inner if low < edge < high)})
    return [Window(a, b) for a, b in pairwise(edges)]
