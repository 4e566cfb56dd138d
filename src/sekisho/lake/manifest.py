"""The manifest: which Parquet files *are* the lake, and up to which journal frame it goes (SQLite).

A file counts only when a row names it; the row and the journal offset change in one transaction.
Times are microseconds since 1970-01-01 UTC.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

from sekisho.model import Refused, Retry

FILE = "manifest.sqlite3"
SCHEMA_VERSION = 1

#: ``hot``: as committed, or merged. ``cold``: a closed day's, sorted and indexed (``lake.cold``).
Tier = Literal["hot", "cold"]

_TABLES = """
CREATE TABLE files (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    tier TEXT NOT NULL,
    level INTEGER NOT NULL,
    rows INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    time_min INTEGER NOT NULL,
    time_max INTEGER NOT NULL,
    offset_min INTEGER NOT NULL,
    offset_max INTEGER NOT NULL,
    timeless INTEGER NOT NULL,
    sources TEXT NOT NULL,
    schema_version INTEGER NOT NULL,
    last_commit INTEGER NOT NULL,
    replaced_at INTEGER
);
CREATE INDEX files_live ON files (time_max) WHERE replaced_at IS NULL;
CREATE TABLE state (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE counters (
    source TEXT, name TEXT, value INTEGER NOT NULL, PRIMARY KEY (source, name)
) WITHOUT ROWID;
CREATE TABLE runs (name TEXT PRIMARY KEY, keys INTEGER NOT NULL, last_commit INTEGER NOT NULL) WITHOUT ROWID;
"""


#: Files that proved unreadable on the way. Added after version 1: older manifests get it when opened.
_DAMAGE = "CREATE TABLE IF NOT EXISTS damage (name TEXT PRIMARY KEY, why TEXT NOT NULL) WITHOUT ROWID"

#: Compactions under way. Added after version 1, like the table before.
_INTENTS = "CREATE TABLE IF NOT EXISTS intents (id TEXT PRIMARY KEY, intent TEXT NOT NULL) WITHOUT ROWID"


class Stored(NamedTuple):
    """One Parquet file of the lake.

    ``offset_min``, ``offset_max``  packed journal offsets of its rows (column ``journal_offset``)
    ``timeless``     rows that have no time of their own (``time`` = ``ingested_at``)
    ``level``        0 as committed, n+1 merged from files of level n
    ``last_commit``  number of the newest commit whose rows are in it
    """

    id: int
    name: str
    tier: str
    level: int
    rows: int
    bytes: int
    time_min: int
    time_max: int
    offset_min: int
    offset_max: int
    timeless: int
    sources: tuple[str, ...]
    schema_version: int
    last_commit: int
    replaced_at: int | None


class Intent(NamedTuple):
    """What a compaction has announced: nobody else touches ``sources``, nobody sweeps ``written``.

    ``ready``  the new files, all durable, once they are: from then on it is only ever completed
    """

    sources: tuple[str, ...]
    written: tuple[str, ...]
    ready: tuple[Stored, ...] | None = None


class Run(NamedTuple):
    """One sorted file of the index of event ids; covers commits up to ``last_commit``."""

    name: str
    keys: int
    last_commit: int


_COLUMNS = ", ".join(Stored._fields)


class Manifest:
    """One connection. Each thread or process opens its own."""

    def __init__(self, folder: Path, *, read_only: bool = False) -> None:
        self.path = folder / FILE
        if read_only and not self.path.exists():
            raise Refused(
                f"{folder}: there is no lake here yet (no {FILE})",
                "start Sekisho with `sekisho up`, or name the data folder with --data",
            )
        mode = "ro" if read_only else "rwc"
        self._db = sqlite3.connect(
            f"{self.path.absolute().as_uri()}?mode={mode}",
            uri=True,
            timeout=30,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            self._prepare(read_only)
        except sqlite3.DatabaseError as error:
            self._db.close()
            raise Refused(
                f"{self.path}: not readable as the lake's manifest: {error}",
                "move the lake folder away; Sekisho rebuilds it from the journal",
            ) from error

    def _prepare(self, read_only: bool) -> None:
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version > SCHEMA_VERSION:
            self._db.close()
            raise Refused(
                f"{self.path}: written by a newer Sekisho (manifest version {version}, this one reads "
                f"{SCHEMA_VERSION})",
                "use the newer version",
            )
        if read_only:
            return
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        if version == 0:
            self._db.executescript(f"BEGIN;{_TABLES}PRAGMA user_version = {SCHEMA_VERSION};COMMIT;")
        for table, create in (("damage", _DAMAGE), ("intents", _INTENTS)):
            if not self._knows(table):
                self._db.execute(create)

    def close(self) -> None:
        self._db.close()

    @contextmanager
    def transaction(self, kind: Literal["IMMEDIATE", "DEFERRED"] = "IMMEDIATE") -> Iterator[None]:
        """All or nothing. Raises ``Retry`` when the disk is full or the manifest stays locked."""
        try:
            self._db.execute(f"BEGIN {kind}")
            try:
                yield
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")
        except sqlite3.OperationalError as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            if error.sqlite_errorname.startswith(("SQLITE_FULL", "SQLITE_BUSY", "SQLITE_IOERR")):
                raise Retry(5, f"{self.path}: {error}") from error
            raise

    # -- files -------------------------------------------------------------------------------------

    def files(self, *, replaced: bool = False) -> list[Stored]:
        """Live files in order of ``id``; with ``replaced`` those that a merge has superseded."""
        where = "IS NOT NULL" if replaced else "IS NULL"
        rows = self._db.execute(f"SELECT {_COLUMNS} FROM files WHERE replaced_at {where} ORDER BY id")  # noqa: S608 - constants
        return [_stored(row) for row in rows]

    def names(self) -> set[str]:
        """Every file that must not be swept: live, being written, or replaced and in its grace period."""
        written = {name for intent in self.intents().values() for name in intent.written}
        return written | {name for (name,) in self._db.execute("SELECT name FROM files")}

    def add(self, file: Stored) -> int:
        """Name a file; returns its id (``file.id`` is ignored)."""
        values = file._replace(sources=json.dumps(file.sources))[1:]  # type: ignore[arg-type]
        marks = ", ".join("?" * len(values))
        cursor = self._db.execute(
            f"INSERT INTO files ({', '.join(Stored._fields[1:])}) VALUES ({marks})",  # noqa: S608 - constants
            values,
        )
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def replace(self, ids: Iterable[int], at: int) -> None:
        self._db.executemany("UPDATE files SET replaced_at = ? WHERE id = ?", [(at, i) for i in ids])

    def forget(self, ids: Iterable[int]) -> None:
        self._db.executemany("DELETE FROM files WHERE id = ?", [(i,) for i in ids])

    # -- damage ------------------------------------------------------------------------------------

    def damage(self) -> dict[str, str]:
        """Why, by name, of files whose inside proved unreadable."""
        if not self._knows("damage"):
            return {}
        return dict(self._db.execute("SELECT name, why FROM damage").fetchall())

    def mark(self, name: str, why: str) -> None:
        self._db.execute("INSERT OR REPLACE INTO damage VALUES (?, ?)", (name, why))

    def unmark(self, name: str) -> None:
        self._db.execute("DELETE FROM damage WHERE name = ?", (name,))

    def _knows(self, table: str) -> bool:
        found = self._db.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (table,))
        return found.fetchone() is not None

    # -- compactions under way ---------------------------------------------------------------------

    def version(self) -> int:
        """Another number after any other connection has changed something."""
        return int(self._db.execute("PRAGMA data_version").fetchone()[0])

    def intents(self) -> dict[str, Intent]:
        """By the id of the compaction."""
        if not self._knows("intents"):
            return {}
        return {name: _intent(text) for name, text in self._db.execute("SELECT id, intent FROM intents")}

    def set_intent(self, name: str, intent: Intent) -> None:
        self._db.execute("INSERT OR REPLACE INTO intents VALUES (?, ?)", (name, json.dumps(intent)))

    def end_intent(self, name: str) -> None:
        self._db.execute("DELETE FROM intents WHERE id = ?", (name,))

    def live(self, names: Iterable[str]) -> bool:
        """Whether all of these files are live, and no compaction has announced to take them over."""
        taken = {source for intent in self.intents().values() for source in intent.sources}
        held = {name for (name,) in self._db.execute("SELECT name FROM files WHERE replaced_at IS NULL")}
        return set(names) <= held - taken

    # -- state -------------------------------------------------------------------------------------

    def state(self, name: str) -> int | None:
        row = self._db.execute("SELECT value FROM state WHERE name = ?", (name,)).fetchone()
        return None if row is None else int(row[0])

    def set_state(self, name: str, value: int) -> None:
        self._db.execute("INSERT OR REPLACE INTO state VALUES (?, ?)", (name, value))

    def count(self, counts: Mapping[str, Mapping[str, int]]) -> None:
        self._db.executemany(
            "INSERT INTO counters VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET value = value + excluded.value",
            [(source, name, value) for source, by in counts.items() for name, value in by.items()],
        )

    def raise_to(self, name: str, values: Mapping[str, int]) -> None:
        """A counter that keeps the greatest value (time of the newest event by source)."""
        self._db.executemany(
            "INSERT INTO counters VALUES (?, ?, ?)"
            " ON CONFLICT DO UPDATE SET value = max(value, excluded.value)",
            [(source, name, value) for source, value in values.items()],
        )

    def counters(self) -> dict[str, dict[str, int]]:
        out: dict[str, dict[str, int]] = {}
        for source, name, value in self._db.execute("SELECT source, name, value FROM counters"):
            out.setdefault(source, {})[name] = value
        return out

    # -- runs of the index of ids ------------------------------------------------------------------

    def runs(self) -> list[Run]:
        return [
            Run(*row)
            for row in self._db.execute("SELECT name, keys, last_commit FROM runs ORDER BY last_commit")
        ]

    def replace_runs(self, old: Iterable[str], new: Iterable[Run]) -> None:
        self._db.executemany("DELETE FROM runs WHERE name = ?", [(name,) for name in old])
        self._db.executemany("INSERT INTO runs VALUES (?, ?, ?)", list(new))


def _intent(text: str) -> Intent:
    sources, written, ready = json.loads(text)
    files = None if ready is None else tuple(Stored(*row)._replace(sources=tuple(row[11])) for row in ready)
    return Intent(tuple(sources), tuple(written), files)


def _stored(row: tuple[Any, ...]) -> Stored:
    file = Stored(*row)
    return file._replace(sources=tuple(json.loads(str(row[11]))))
