"""A moment as alerts write it: Japan's time first, the person's own clock beside it where it differs."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

_JST = ZoneInfo("Asia/Tokyo")


def moment(time: datetime, zone: str = "", *, seconds: bool = False) -> str:
    """``2026-10-20 18:00 JST``, and ``(2026-10-20 05:00 America/New_York)`` if that clock shows another
    time then. ``time`` carries its offset; ``zone`` is an IANA name, empty if unknown."""
    form = "%Y-%m-%d %H:%M:%S" if seconds else "%Y-%m-%d %H:%M"
    japan = time.astimezone(_JST)
    first = f"{japan.strftime(form)} JST"
    if not zone:
        return first
    own = time.astimezone(ZoneInfo(zone))
    return first if own.utcoffset() == japan.utcoffset() else f"{first} ({own.strftime(form)} {zone})"
