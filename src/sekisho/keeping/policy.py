"""How long what is kept, from the settings. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import UTC, datetime

from sekisho import settings

DAY_US = 86_400_000_000
#: mean Gregorian year
YEAR_US = int(365.2425 * DAY_US)
#: An event may claim to be so much older than its receipt; what claims more counts as so old.
LATENESS_US = 31 * DAY_US

#: Sources that a label of received records may turn into; None: any.
Becomes = Callable[[str], Collection[str] | None]


class Policy:
    """Periods by source, in µs."""

    def __init__(self, keep: settings.Keep) -> None:
        self._keep = keep
        self._by = {entry.source: entry for entry in keep.sources}

    def hot(self, source: str) -> int:
        """How long events of this source can be searched."""
        entry = self._by.get(source)
        days = self._keep.hot_days if entry is None or entry.hot_days is None else entry.hot_days
        return days * DAY_US

    def lateness(self, source: str) -> int:
        """See ``LATENESS_US``; never more than half of the source's own period."""
        return min(LATENESS_US, self.hot(source) // 2)

    def journal(self, label: str, becomes: Becomes) -> int:
        """How long records received under ``label`` stay in the journal: the longest of what they may be."""
        sources = becomes(label)
        if sources is None:
            return max([self._years(""), *(self._years(name) for name in self._by)])
        return max(self._years(name) for name in (label, *sources))

    def _years(self, source: str) -> int:
        entry = self._by.get(source)
        years = (
            self._keep.journal_years if entry is None or entry.journal_years is None else entry.journal_years
        )
        return int(years * YEAR_US)

    def words(self) -> str:
        """All periods, for the record of a deletion."""
        own = [
            f"{name}: hot_days={self.hot(name) // DAY_US} journal_years={self._years(name) / YEAR_US:g}"
            for name in sorted(self._by)
        ]
        every = f"hot_days={self._keep.hot_days} journal_years={self._keep.journal_years:g}"
        return "; ".join([every, *own])

    def journal_words(self) -> str:
        """The periods of the journal, as a text that changes when they do."""
        own = [f"{name}={self._years(name)}" for name in sorted(self._by)]
        return " ".join([str(self._years("")), *own])


def iso(micros: int) -> str:
    """UTC, to the second."""
    return datetime.fromtimestamp(micros // 1_000_000, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
