"""Records that suddenly cannot be read: the share of rejects of an hour against the usual one. Pure.

A vendor that changes its format, or an intruder who breaks a shipper, blinds every rule over that source.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from sekisho.contract.standing import Rise
from sekisho.model import Evidence

#: Rejects in an hour, and their share, below which nothing is said.
ENOUGH = 20
SHARE = 0.1
#: So many times the second-highest share of the week before.
TIMES = 3.0
_WEEK = 168


class Rejected(NamedTuple):
    """Rejects of one source with one code, received in one hour (since 1970); ``first``: the first of
    them."""

    source: str
    code: str
    hour: int
    n: int
    first: Evidence


def rises(
    rejected: Iterable[Rejected], arrived: Mapping[tuple[str, int], int], since: int, upto: int
) -> Iterator[Rise]:
    """Hours since <= hour < upto. ``arrived``: events by source and hour of receipt. The label ``auto``
    stands for records whose source nobody named: they are measured by all events."""
    by_source: dict[str, dict[int, list[Rejected]]] = defaultdict(lambda: defaultdict(list))
    for row in rejected:
        by_source[row.source][row.hour].append(row)
    everything: Counter[int] = Counter()
    for (_, hour), n in arrived.items():
        everything[hour] += n
    for source, hours in sorted(by_source.items()):
        for hour in sorted(hours):
            if not since <= hour < upto:
                continue
            rows = hours[hour]
            bad, share = _share(source, hour, hours, arrived, everything)
            before = sorted(
                _share(source, h, hours, arrived, everything)[1] for h in range(hour - _WEEK, hour)
            )
            usual = before[-2]
            if bad >= ENOUGH and share >= max(SHARE, TIMES * usual):
                codes: Counter[str] = Counter()
                for row in rows:
                    codes[row.code] += row.n
                first = min((row.first for row in rows), key=lambda piece: (piece.time, piece.event_uid))
                records = bad + _events(source, hour, arrived, everything)
                yield Rise(source, hour, bad, records, usual, tuple(codes.most_common(3)), first)


def _events(
    source: str, hour: int, arrived: Mapping[tuple[str, int], int], everything: Mapping[int, int]
) -> int:
    return everything.get(hour, 0) if source == "auto" else arrived.get((source, hour), 0)


def _share(
    source: str,
    hour: int,
    hours: Mapping[int, list[Rejected]],
    arrived: Mapping[tuple[str, int], int],
    everything: Mapping[int, int],
) -> tuple[int, float]:
    bad = sum(row.n for row in hours.get(hour, ()))
    all_of_it = bad + _events(source, hour, arrived, everything)
    return bad, bad / all_of_it if all_of_it else 0.0
