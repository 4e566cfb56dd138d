"""The digest's days as lanes: for each source, and each host of it, the stretches of 5 minutes with a
record."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np

from sekisho.detect.standing.digest import Day, Masks
from sekisho.detect.standing.silence import SLOT, SLOTS, Bools, Ints

DAY = 86_400_000_000  # µs
_BITS = np.arange(SLOTS, dtype=np.uint16)


def hours_of(flags: Bools) -> Bools:
    """Hours with at least one active slot."""
    found: Bools = np.asarray(flags.reshape(-1, SLOTS).any(axis=1), np.bool_)
    return found


class Calendar:
    """The stretch of time that is looked at: ``days`` days (UTC) from day ``base``."""

    def __init__(self, base: int, days: int, zone: ZoneInfo) -> None:
        self.base = base
        self.days = days
        starts = [datetime.fromtimestamp((base * 24 + hour) * 3600, UTC) for hour in range(days * 24)]
        offsets = [start.astimezone(zone).utcoffset() for start in starts]
        self.shift: Ints = np.array([round(o.total_seconds() / 3600) if o else 0 for o in offsets], np.int64)

    def slot(self, time: int) -> int:
        """Slot of a moment (µs since 1970 UTC), within the calendar."""
        return max(0, min((time - self.base * DAY) // SLOT, self.days * 24 * SLOTS))

    def time(self, slot: int) -> int:
        return self.base * DAY + slot * SLOT

    def flags(self, masks: Mapping[int, Masks]) -> Bools:
        """One flag for each slot, of masks by day."""
        grid = np.zeros((self.days, 24), np.uint16)
        for day, held in masks.items():
            if 0 <= day - self.base < self.days:
                grid[day - self.base] |= held
        return ((grid[:, :, None] >> _BITS) & 1).astype(bool).reshape(-1)


class Lanes:
    """Masks by day of every source and of every (source, host), and which device a host is."""

    def __init__(self, days: Iterable[Day]) -> None:
        self.sources: dict[str, dict[int, Masks]] = defaultdict(dict)
        self.hosts: dict[tuple[str, str], dict[int, Masks]] = defaultdict(dict)
        #: device (asset tag, else host) -> source -> masks
        self.devices: dict[str, dict[str, dict[int, Masks]]] = defaultdict(lambda: defaultdict(dict))
        self.records: dict[str, int] = defaultdict(int)
        self.device_of: dict[str, str] = {}
        held = list(days)
        for day in sorted(held, key=lambda day: day.day):
            if day.host and day.asset:
                self.device_of[day.host] = day.asset
        for day in held:
            _lay(self.sources[day.source], day)
            self.records[day.source] += day.n
            if day.host:
                _lay(self.hosts[day.source, day.host], day)
            device = self.device_of.get(day.host, day.host) or day.asset
            if device:
                _lay(self.devices[device][day.source], day)


def _lay(masks: dict[int, Masks], day: Day) -> None:
    held = masks.get(day.day)
    masks[day.day] = day.masks if held is None else held | day.masks
