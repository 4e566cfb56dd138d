"""The digest's days as lanes: for each source, and each host of it, the stretches of 5 minutes with a
record."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TypeVar
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from sekisho.detect.standing.digest import Day, Masks
from sekisho.detect.standing.silence import SLOT, SLOTS, Bools, Ints

DAY = 86_400_000_000  # µs
_BITS = np.arange(SLOTS, dtype=np.uint16)


#: 16-bit masks by day and hour: which of the 12 stretches of 5 minutes hold a record.
Grid = npt.NDArray[np.uint16]


def hours_of(grid: Grid) -> Bools:
    """Hours with at least one record."""
    found: Bools = np.asarray((grid != 0).reshape(-1), np.bool_)
    return found


def flags_of(grid: Grid) -> Bools:
    """One flag for each stretch of 5 minutes."""
    found: Bools = np.asarray(((grid[:, :, None] >> _BITS) & 1).reshape(-1), np.bool_)
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

    def grid(self, masks: Iterable[tuple[int, Masks]]) -> Grid:
        """Masks by day, as one grid."""
        grid = np.zeros((self.days, 24), np.uint16)
        for day, held in masks:
            if 0 <= day - self.base < self.days:
                grid[day - self.base] |= held
        return grid


class Lanes:
    """Grids of every source, of every (source, host), and of every device and source."""

    def __init__(self, days: Sequence[Day], calendar: Calendar) -> None:
        lanes: dict[tuple[str, str, str], list[tuple[int, Masks]]] = defaultdict(list)
        self.device_of: dict[str, str] = {}
        newest: dict[str, int] = {}
        for row in days:
            lanes[row.source, row.host, row.asset].append((row.day, row.masks))
            if row.host and row.asset and row.day >= newest.get(row.host, 0):
                self.device_of[row.host], newest[row.host] = row.asset, row.day
        self.sources: dict[str, Grid] = {}
        self.hosts: dict[tuple[str, str], Grid] = {}
        #: device (asset tag, else host) -> source -> grid
        self.devices: dict[str, dict[str, Grid]] = defaultdict(dict)
        for (source, host, asset), masks in lanes.items():
            grid = calendar.grid(masks)
            _lay(self.sources, source, grid)
            if host:
                _lay(self.hosts, (source, host), grid)
            device = self.device_of.get(host, host) or asset
            if device:
                _lay(self.devices[device], source, grid)


K = TypeVar("K")


def _lay(grids: dict[K, Grid], key: K, grid: Grid) -> None:
    held = grids.get(key)
    grids[key] = grid if held is None else held | grid
