"""Times as a person writes them: ``2026-05-14`` (the whole day in the reader's zone), ``now-2h``, ..."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

_RELATIVE = re.compile(r"(?:now)?([+-])(\d{1,9})([smhdw])", re.IGNORECASE)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_ABSOLUTE = re.compile(
    r"(\d{4})-(\d\d)(?:-(\d\d)(?:[T ](\d\d)(?::(\d\d)(?::(\d\d)(?:[.,](\d{1,6})\d*)?)?)?)?)?"
    r"(Z|[+-]\d\d:?\d\d)?"
)
EXPECTED = "a time such as 2026-05-14, 2026-05-14T09:30, now, now-2h, today or yesterday"


class Span(NamedTuple):
    """from ``start`` until before ``end`` (UTC)."""

    start: datetime
    end: datetime


def span(text: str, zone: ZoneInfo, now: datetime) -> Span:
    """The stretch of time that ``text`` names: a day, a minute, a moment.

    Times without an offset are in ``zone``. Raises ``ValueError`` if it is none.
    """
    word = text.strip().lower()
    if word == "now":
        return _moment(now)
    if word in {"today", "yesterday"}:
        day = now.astimezone(zone).date() - timedelta(days=word == "yesterday")
        start = datetime(day.year, day.month, day.day, tzinfo=zone)
        return _utc(start, start + timedelta(days=1))
    if relative := _RELATIVE.fullmatch(word):
        sign = 1 if relative[1] == "+" else -1
        try:
            return _moment(now + sign * timedelta(**{_UNITS[relative[3]]: int(relative[2])}))
        except OverflowError as error:
            raise ValueError(f"{text}: too far away") from error
    if absolute := _ABSOLUTE.fullmatch(text.strip().upper()):
        return _absolute(absolute, zone)
    raise ValueError(f"{text}: not {EXPECTED}")


def _moment(at: datetime) -> Span:
    at = at.astimezone(UTC)
    return Span(at, at + timedelta(microseconds=1))


def _utc(start: datetime, end: datetime) -> Span:
    return Span(start.astimezone(UTC), end.astimezone(UTC))


def _absolute(found: re.Match[str], zone: ZoneInfo) -> Span:
    year, month, day, hour, minute, second, fraction, offset = found.groups()
    tz = datetime.strptime(offset, "%z").tzinfo if offset else zone
    start = datetime(
        int(year),
        int(month),
        int(day or 1),
        int(hour or 0),
        int(minute or 0),
        int(second or 0),
        int((fraction or "0").ljust(6, "0")),
        tzinfo=tz,
    )
    if day is None:
        following = start.replace(year=start.year + start.month // 12, month=start.month % 12 + 1)
        return _utc(start, following)
    lengths = (
        (fraction, timedelta(microseconds=10 ** (6 - len(fraction or "")))),
        (second, timedelta(seconds=1)),
        (minute, timedelta(minutes=1)),
        (hour, timedelta(hours=1)),
    )
    for part, length in lengths:
        if part is not None:
            return Span(start.astimezone(UTC), start.astimezone(UTC) + length)
    return _utc(start, start + timedelta(days=1))
