"""Which time the journal itself bears witness to. Pure.

The machine's clock decides what is old enough to go, and a clock may be wrong: set to 2099, everything
is old. The
journal's frames carry their time of receipt in the order in which they came. As long as one hour follows
another
within a day, they bear each other out. A leap of more than a day (a clock set forward, or a platform
that stood
still so long) is believed only when a person has confirmed it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from sekisho.keeping.segments import HOUR_NS

#: Hours that may lie between one receipt and the next. A little more than a day, as hours are cut off.
STRIDE = 25
DAY_NS = 24 * HOUR_NS


class Leap(NamedTuple):
    """From one hour to another that the receipts in between do not bear out; ``segment``: where it was
    met first."""

    segment: int
    before: int
    after: int


class Witness(NamedTuple):
    """``hour``: the newest hour that is borne out, None without any frame. ``leaps``: those not believed.

    ``at_start``  the hour that was borne out when a segment began, by its first frame's number
    """

    hour: int | None
    leaps: tuple[Leap, ...]
    at_start: dict[int, int]


def witness(
    journal: Iterable[tuple[int, Sequence[int]]], confirmed: int = 0, anchor: int | None = None
) -> Witness:
    """Walk over ``(first frame, hours of receipt)`` of all segments, oldest first.

    ``confirmed``  a person said that the time was right up to this hour
    ``anchor``     the hour with which to begin (known from segments that are gone)
    """
    hour = anchor
    leaps: list[Leap] = []
    at_start: dict[int, int] = {}
    for first, hours in journal:
        if hour is not None:
            at_start[first] = hour
        refused: Leap | None = None
        for received in hours:
            if hour is None or received <= max(hour + STRIDE, confirmed):
                hour = received if hour is None else max(hour, received)
            elif refused is None:
                refused = Leap(first, hour, received)
        if refused is not None:
            leaps.append(refused)
    return Witness(hour, tuple(leaps), at_start)


def justified(now_ns: int, hour: int | None) -> int:
    """The time (ns since 1970 UTC) by which age may be judged: the clock's, but at most a day past the
    witness."""
    if hour is None:
        return 0
    return min(now_ns, (hour + 1) * HOUR_NS + DAY_NS)
