"""Legal holds: what a case needs stays, whatever the periods say, until somebody releases it.

All holds, released ones too, stand in one file that is replaced as a whole. Its revision is also noted in the
catalogue: a file that is missing, older than that, or unreadable stops every deletion.
"""

from __future__ import annotations

import fcntl
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec

from sekisho.keeping import durably
from sekisho.keeping.catalogue import Catalogue
from sekisho.keeping.policy import DAY_US, Becomes
from sekisho.lake import query
from sekisho.lake.query import Condition
from sekisho.model import Refused

FILE = "holds.json"
_REVISION = "holds_revision"
_CASE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
#: A clock that runs ahead of ours dates events after their receipt: so much earlier receipts are held too.
AHEAD_US = DAY_US


class Hold(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``query``, ``source``: empty = all. ``begin``, ``end``: µs since 1970 UTC of the event's time, end
    excluded.

    ``at``, ``released_at``: µs since 1970 UTC. ``zone``: in which the query's times are read.
    """

    case: str
    query: str
    source: str
    begin: int | None
    end: int | None
    why: str
    by: str
    at: int
    zone: str
    released_at: int | None = None
    released_by: str = ""
    released_why: str = ""

    def condition(self) -> Condition:
        """Which events are held. Relative times of the query count from the moment when the hold was made."""
        moment = datetime.fromtimestamp(self.at / 1e6, tz=UTC)
        found = query.compile(self.query, ZoneInfo(self.zone), moment)
        if self.source:
            found = found._replace(
                sql=f"({found.sql} AND source = ?)",
                params=(*found.params, self.source),
                sources=frozenset({self.source}),
            )
        return found if self.begin is None and self.end is None else found.during(self.begin, self.end)

    def may_be_in(self, label: str, newest: int, becomes: Becomes) -> bool:
        """Whether records received as ``label`` up to ``newest`` (µs since 1970 UTC) may hold such an event.

        The journal is not unpacked to decide: receipt and label alone. An event can be received long after it
        happened (a disk image is read in), so ``end`` excludes nothing.
        """
        wanted = self.condition()
        if wanted.time_from is not None and newest + AHEAD_US < wanted.time_from:
            return False
        sources = becomes(label)
        return wanted.sources is None or sources is None or not wanted.sources.isdisjoint({label, *sources})


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    revision: int
    holds: tuple[Hold, ...]


class Holds:
    """The holds of one installation."""

    def __init__(self, folder: Path, catalogue: Catalogue) -> None:
        self._folder = folder
        self._path = folder / FILE
        self._catalogue = catalogue

    def all(self) -> tuple[Hold, ...]:
        """Released ones too. Raises ``Refused`` unless the file is there, whole and the newest known."""
        return self._read().holds

    def active(self) -> tuple[Hold, ...]:
        return tuple(hold for hold in self.all() if hold.released_at is None)

    def add(self, hold: Hold) -> None:
        """Durable when this returns. Raises ``Refused`` for a case that is held already or a query that
        fails."""
        if not _CASE.fullmatch(hold.case):
            raise Refused(
                f"{hold.case!r} is no name of a case",
                "use letters, digits, '.', '_' and '-', 64 at most: CASE-2026-014",
            )
        if not hold.why.strip():
            raise Refused("a hold needs a reason", "say why with --why")
        hold.condition()
        with self._changing() as held:
            if any(other.case == hold.case and other.released_at is None for other in held.holds):
                raise Refused(
                    f"the case {hold.case} is held already", "release it first, or use another name"
                )
            self._write(_File(held.revision + 1, (*held.holds, hold)))

    def release(self, case: str, *, by: str, why: str, at: int) -> Hold:
        """Raises ``Refused`` if the case is not held. ``at``: µs since 1970 UTC."""
        if not why.strip():
            raise Refused("a release needs a reason", "say why with --why")
        with self._changing() as held:
            found = next((h for h in held.holds if h.case == case and h.released_at is None), None)
            if found is None:
                raise Refused(f"the case {case} is not held", "`sekisho hold list` shows what is")
            done = msgspec.structs.replace(found, released_at=at, released_by=by, released_why=why)
            self._write(_File(held.revision + 1, tuple(done if h is found else h for h in held.holds)))
            return done

    @contextmanager
    def steady(self) -> Iterator[tuple[Hold, ...]]:
        """The active holds; nobody can add or release one until the block ends."""
        durably.private(self._folder)
        with (self._folder / "holds.lock").open("a") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield self.active()

    @contextmanager
    def _changing(self) -> Iterator[_File]:
        durably.private(self._folder)
        with (self._folder / "holds.lock").open("a") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield self._read()

    def _read(self) -> _File:
        known = self._catalogue.number(_REVISION) or 0
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            if known:
                raise self._unsure(f"missing, though holds were made (revision {known})") from None
            return _File(0, ())
        except OSError as error:
            raise self._unsure(f"not readable: {error.strerror}") from error
        try:
            held = msgspec.json.decode(data, type=_File)
        except msgspec.MsgspecError as error:
            raise self._unsure(f"not readable: {error}") from error
        if held.revision < known:
            raise self._unsure(
                f"revision {held.revision}, but {known} was written: an older state was put back"
            )
        return held

    def _write(self, held: _File) -> None:
        with durably.whole(self._path, replace=True) as file:
            file.write(msgspec.json.format(msgspec.json.encode(held)))
        self._catalogue.set_state(_REVISION, held.revision)

    def _unsure(self, why: str) -> Refused:
        return Refused(
            f"{self._path}: {why}; nothing is deleted",
            "restore the file from a backup (`sekisho backup restore`), then repeat",
        )
