"""``contract.standing.Past`` over the digest: what was usual, and what is absent now."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property
from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np

from sekisho.contract.standing import Hole, Mark, Mute, Rise, Shift, Silence, Spot, Unjudged
from sekisho.detect.standing import clocks, numbers
from sekisho.detect.standing.digest import Digest, Run
from sekisho.detect.standing.lanes import DAY, Calendar, Grid, Lanes, flags_of, hours_of
from sekisho.detect.standing.rises import Rejected, rises
from sekisho.detect.standing.silence import ENOUGH, HOUR, SLOT, SLOTS, Bools, Gap, Usual
from sekisho.model import Evidence

#: What is judged again and again; what is older is settled.
JUDGED_DAYS = 7
#: Learned from: 4 weeks before each silence, compared with the 4 weeks before them.
_BACK_DAYS = 28 + 28 + JUDGED_DAYS
_LAG = 300
#: Hours with a sign of life from which is known how often a source of the device speaks.
_LIFE_HOURS = 20
_LIFE_SHARE = 0.9
#: Many devices are asked about many hours: chance must be rare enough for all of them.
_CHANCE = 1e-6


class Seen(NamedTuple):
    """What the process knows besides the digest.

    ``upto``      moment up to which everything that arrived is in the digest (µs since 1970 UTC)
    ``lags``      seconds by source in which its events usually arrive
    ``rejected``  records that could not be read, by source, code and hour
    ``record``    finds one record (None: it cannot be read any more)
    """

    upto: int
    zone: ZoneInfo
    lags: Mapping[str, int]
    rejected: Sequence[Rejected]
    record: Callable[[Spot], Evidence | None]
    since: int | None = None


class StoredPast:
    """See ``contract.standing.Past``."""

    def __init__(self, digest: Digest, seen: Seen) -> None:
        self.zone = seen.zone
        self.upto = seen.upto
        asked = seen.upto - JUDGED_DAYS * DAY if seen.since is None else seen.since
        begin = datetime.fromtimestamp(asked / 1e6, seen.zone).replace(
            hour=0, minute=0, second=0, microsecond=0
        )
        self.since = (
            int(begin.timestamp()) * 1_000_000
        )  # whole local days: what is settled stays as it was said
        self._digest = digest
        self._seen = seen
        last = seen.upto // DAY
        back = max(_BACK_DAYS, last - self.since // DAY + 56)
        self._calendar = Calendar(last - back, back + 1, seen.zone)

    # -- silence -----------------------------------------------------------------------------------

    @cached_property
    def _lanes(self) -> Lanes:
        return Lanes(self._digest.days(self._calendar.base), self._calendar)

    @cached_property
    def _born(self) -> dict[tuple[str, str], int]:
        return self._digest.first_days()

    @cached_property
    def _receipts(self) -> Bools:
        return flags_of(self._calendar.grid(self._digest.receipts(self._calendar.base).items()))

    @cached_property
    def _usual(self) -> dict[str, Usual]:
        """Of whole sources."""
        found = {}
        for source, grid in self._lanes.sources.items():
            born = min(day for (name, _), day in self._born.items() if name == source)
            found[source] = self._lane(grid, born)
        return found

    def _lane(self, grid: Grid, born: int) -> Usual:
        flags = flags_of(grid)
        first = int(np.argmax(flags)) // SLOTS if flags.any() else 0
        return Usual(flags, 0 if born < self._calendar.base else first, self._calendar.shift)

    def _end(self, source: str) -> int:
        """Slot up to which all of a source can have arrived."""
        lag = max(_LAG, self._seen.lags.get(source, _LAG))
        return self._calendar.slot(self.upto - lag * 1_000_000)

    def silences(self) -> tuple[Sequence[Silence], Sequence[Unjudged]]:
        """Whole sources; hosts that are never off; and everything at once (``*``)."""
        found: list[Silence] = []
        unjudged: list[Unjudged] = []
        first = self._calendar.slot(self.since)
        for source, usual in sorted(self._usual.items()):
            if why := usual.why_not(self._end(source)):
                unjudged.append(Unjudged(source, why))
            people = self._people(source)
            for gap in usual.gaps(self._receipts, first, self._end(source)):
                if not (people and self._quiet_day(source, gap)):
                    alone = people and not self._peers(source)
                    found.append(self._silence(source, "", gap, people=people, alone=alone))
        silent = {(s.source, s.since) for s in found}
        found += [s for s in self._steady_hosts(first) if not self._whole(s, silent)]
        found += self._everything(first)
        return found, unjudged

    def _silence(
        self, source: str, host: str, gap: Gap, *, people: bool = False, alone: bool = False
    ) -> Silence:
        since = self._calendar.time(gap.start)
        until = None if gap.open else self._calendar.time(gap.end)
        spot = Spot(source, host or None, since - SLOT, since)
        return Silence(source, host, since, until, gap.missed, gap.usual, people, alone, spot)

    def _people(self, source: str) -> bool:
        return self._usual[source].people(self._calendar.shift, self._calendar.base * 24, self._end(source))

    def _peers(self, source: str) -> list[str]:
        return [name for name in self._usual if name != source and self._people(name)]

    def _quiet_day(self, source: str, gap: Gap) -> bool:
        """Most of the other sources that follow people's days are quiet too: a public holiday looks like
        this."""
        quiet = judged = 0
        for name in self._peers(source):
            usual = self._usual[name]
            expected = float(np.repeat(usual.weight, SLOTS)[gap.start : gap.end].sum())
            if expected >= 6:
                judged += 1
                quiet += bool(usual.active[gap.start : gap.end].sum() < 0.25 * expected)
        return quiet * 2 > judged

    def _steady_hosts(self, first: int) -> Iterator[Silence]:
        """Servers: hosts with a record in nearly every hour, which nothing switches off."""
        off = [(mark.device, mark.time) for mark in self.marks("power")]
        for (source, host), grid in sorted(self._lanes.hosts.items()):
            end = self._end(source)
            if not self._may_be_silent(grid, first, end):
                continue
            usual = self._lane(grid, self._born[source, host])
            if usual.weeks[min(end // SLOTS, len(usual.weeks) - 1)] < 2:
                continue
            for gap in usual.gaps(self._receipts, first, end):
                before = usual.share[max(usual.born, gap.start // SLOTS - 168) : gap.start // SLOTS]
                if len(before) and float((before > 0).mean()) >= 0.95:
                    silence = self._silence(source, host, gap)
                    device = self._lanes.device_of.get(host, host)
                    if not any(name == device and abs(at - silence.since) < HOUR // 4 for name, at in off):
                        yield silence

    @staticmethod
    def _may_be_silent(grid: Grid, first: int, end: int) -> bool:
        """Cheaply: it was there in nearly all hours of the week before, and a stretch of an hour is missing
        since."""
        hours = hours_of(grid)
        before = hours[max(0, first // SLOTS - 168) : first // SLOTS]
        if len(before) == 0 or float(before.mean()) < 0.8:
            return False
        places = np.flatnonzero(flags_of(grid)[first - SLOTS : end])
        edges = np.concatenate([places, [end - first + SLOTS]])
        return len(places) == 0 or bool(np.diff(edges).max() > ENOUGH)

    @staticmethod
    def _whole(silence: Silence, silent: Collection[tuple[str, int]]) -> bool:
        """The whole source fell silent at that time: one alert says it."""
        return any(name == silence.source and abs(at - silence.since) <= 4 * SLOT for name, at in silent)

    def _everything(self, first: int) -> Iterator[Silence]:
        """Nothing at all was received, by the time of receipt."""
        flags = self._receipts
        if not flags.any():
            return
        usual = Usual(flags, int(np.argmax(flags)) // SLOTS, self._calendar.shift)
        always = np.ones(len(flags), np.bool_)
        for gap in usual.gaps(always, first, self._calendar.slot(self.upto - _LAG * 1_000_000)):
            yield self._silence("*", "", gap)

    # -- devices that live -------------------------------------------------------------------------

    def mutes(self, sources: Collection[str]) -> tuple[Sequence[Mute], Sequence[Unjudged]]:
        found: list[Mute] = []
        unjudged: list[Unjudged] = []
        for device, lanes in sorted(self._lanes.devices.items()):
            asked = sorted(set(sources) & set(lanes))
            hours = {source: hours_of(grid) for source, grid in lanes.items()} if asked else {}
            for source in asked:
                life = np.zeros(len(hours[source]), np.bool_)
                for other, there in hours.items():
                    if other != source:
                        life |= there
                if int(life.sum()) < _LIFE_HOURS:
                    reason = "the device is hardly seen in other sources: whether it lives is not known"
                    unjudged.append(Unjudged(f"{device} {source}", reason))
                    continue
                found += self._mute(device, source, hours[source], life)
        return found, unjudged

    def _mute(self, device: str, source: str, here: Bools, life: Bools) -> Iterator[Mute]:
        end = self._end(source) // SLOTS
        first = (self.since - self._calendar.base * DAY) // HOUR
        lived = np.concatenate([[0], np.cumsum(life)])
        both = np.concatenate([[0], np.cumsum(life & here)])
        starts = np.flatnonzero(here[:end])
        stops = np.append(starts[1:], end)
        missed = lived[stops] - lived[np.minimum(starts + 1, stops)]
        for place in np.flatnonzero((missed >= 2) & (starts >= first)).tolist():
            start, stop = int(starts[place]), int(stops[place])
            hours, of = int(missed[place]), int(lived[start])
            share = float(both[start] + 0.5) / (of + 1)
            before = np.sort(missed[:place])
            if len(before) > 1 and hours < 2 * before[-2]:
                continue  # it has been as long before, and more than once
            if of < _LIFE_HOURS or share < _LIFE_SHARE or (1 - share) ** hours > _CHANCE:
                continue
            inside = life[start + 1 : stop]
            yield self._told(device, source, start, stop if stop < end else None, (hours, share, of), inside)

    def _told(
        self,
        device: str,
        source: str,
        start: int,
        stop: int | None,
        sums: tuple[int, float, int],
        inside: Bools,
    ) -> Mute:
        base = self._calendar.base * DAY
        lanes = self._lanes.devices[device]
        place = start + 1 + int(np.argmax(inside))
        lived = []
        for other, grid in sorted(lanes.items()):
            hours = hours_of(grid)[start + 1 : start + 1 + len(inside)]
            if other != source and hours.any():
                lived.append(other)
        hosts = [host for host, asset in self._lanes.device_of.items() if asset == device] or [device]
        low, high = base + start * HOUR, base + (start + 1) * HOUR
        life_low = base + place * HOUR
        return Mute(
            source,
            hosts[0],
            device,
            high,
            None if stop is None else base + stop * HOUR,
            *sums,
            tuple(lived),
            Spot(source, hosts[0], low, high, device=device),
            Spot(lived[0], hosts[0], life_low, life_low + HOUR, newest=False, device=device),
        )

    # -- numbers, clocks, rejects ------------------------------------------------------------------

    def holes(self) -> tuple[Sequence[Hole], Sequence[Unjudged]]:
        found: list[Hole] = []
        unjudged: list[Unjudged] = []
        logs = self._digest.runs()
        selections = self._digest.selections()
        for key, runs in sorted(logs.items()):
            source, host, log = key
            if source == "syslog" and not self._speaks(key, logs, selections):
                continue
            why = "its numbers are broken everywhere: the shipper sends a selection, so a hole tells nothing"
            why = why if key in selections else numbers.why_not(runs)
            if why:
                unjudged.append(Unjudged(f"{host} {log or source}".strip(), why))
            else:
                found += self._broken(key, runs)
        return found, unjudged

    @staticmethod
    def _speaks(
        key: tuple[str, str, str],
        logs: Mapping[tuple[str, str, str], list[Run]],
        selections: Collection[object],
    ) -> bool:
        """A sender counts over the whole host or for each program: of the two views the whole one speaks."""
        source, host, log = key
        whole = (source, host, "")
        dense = whole not in selections and not numbers.why_not(logs.get(whole, []))
        return dense if log == "" else not dense

    def _broken(self, key: tuple[str, str, str], runs: Sequence[Run]) -> Iterator[Hole]:
        source, host, log = key
        lag = max(_LAG, self._seen.lags.get(source, _LAG)) * 1_000_000
        for gone in numbers.breaks(runs):
            before, after = gone.before, gone.after
            if not self.since <= before.high_time <= after.low_time + lag or after.low_time + lag > self.upto:
                continue
            low, high = (before.high, after.low) if gone.restart else (before.high + 1, after.low - 1)
            first = Spot(source, host, before.high_time, before.high_time + 1, sequence=before.high)
            then = Spot(source, host, after.low_time, after.low_time + 1, sequence=after.low)
            yield Hole(source, host, log, low, high, first, then, restart=gone.restart)

    def shifts(self) -> tuple[Sequence[Shift], Sequence[Unjudged]]:
        found: list[Shift] = []
        unjudged: list[Unjudged] = []
        since = self.since // HOUR
        for (source, host), hours in sorted(
            self._digest.unusual_delays(-clocks.AHEAD, clocks.BEHIND).items()
        ):
            if clocks.too_short(hours):
                unjudged.append(Unjudged(f"{host} {source}".strip(), "too few hours to know the usual delay"))
            for move in clocks.moved(hours, since):
                at = move.hour * HOUR
                low, high = at - move.by - HOUR, at - move.by + 2 * HOUR
                spot = Spot(source, host or None, low, high, newest=move.by < 0)
                found.append(Shift(source, host, at, move.by / 1e6, move.usual / 1e6, move.records, spot))
        return found, unjudged

    def rises(self) -> tuple[Sequence[Rise], Sequence[Unjudged]]:
        since, upto = self.since // HOUR, self.upto // HOUR + 1
        arrived = self._digest.arrivals(since - 168)
        return list(rises(self._seen.rejected, arrived, since, upto)), []

    def marks(self, *kinds: str) -> Sequence[Mark]:
        rows = (Mark(*row) for row in self._digest.marks(kinds))
        return [mark for mark in rows if self.since - DAY <= mark.time <= self.upto]

    def record(self, spot: Spot) -> Evidence:
        known = self._seen.record(spot)
        if known is not None:
            return known
        at = datetime.fromtimestamp(spot.low / 1e6, UTC)
        return Evidence(
            at, f"unreadable {spot.source} {spot.low}", spot.source, (("note", "record not readable"),)
        )
