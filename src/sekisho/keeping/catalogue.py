"""What is known of every segment that ever was: contents, where its copies are, whether it is still here
(SQLite).

The catalogue can be lost without losing a log: contents are read anew from the segments, copies from the
archive's
own descriptions. Then retention begins as on the first day: whatever it would delete waits for confirmation.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec

from sekisho.keeping import durably
from sekisho.keeping.segments import Contents, contents
from sekisho.model import Refused, Retry

FILE = "catalogue.sqlite3"
VERSION = 1

_TABLES = """
CREATE TABLE segments (
    first INTEGER PRIMARY KEY, contents TEXT NOT NULL, gone_at INTEGER, gone_why TEXT, restored_at INTEGER
);
CREATE TABLE copies (
    target TEXT NOT NULL, name TEXT NOT NULL, segment INTEGER NOT NULL, size INTEGER NOT NULL,
    sha256 TEXT NOT NULL, version TEXT NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (target, name)
) WITHOUT ROWID;
CREATE TABLE uploads (
    target TEXT NOT NULL, name TEXT NOT NULL, sha256 TEXT NOT NULL, upload TEXT NOT NULL,
    PRIMARY KEY (target, name)
) WITHOUT ROWID;
CREATE TABLE state (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""


class Known(NamedTuple):
    """A segment; times in ns since 1970 UTC. ``gone_at``: it was deleted (``why``) and may be restored
    since."""

    contents: Contents
    gone_at: int | None
    why: str
    restored_at: int | None


class Copy(NamedTuple):
    """A file in an archive. ``version``: as the store names this very state of it (empty: it has no
    versions)."""

    target: str
    name: str
    segment: int
    size: int
    sha256: str
    version: str
    at: int


class Catalogue:
    """One connection; each thread opens its own. Raises ``Refused`` if the file is not readable as a
    catalogue."""

    def __init__(self, folder: Path) -> None:
        self.path = durably.private(folder) / FILE
        self._db = sqlite3.connect(self.path, timeout=30, isolation_level=None)
        try:
            self._prepare()
        except sqlite3.DatabaseError as error:
            self._db.close()
            raise Refused(
                f"{self.path}: not readable as the catalogue of segments: {error}",
                "move the file away; it is made anew, and deletions then wait for confirmation",
            ) from error

    def _prepare(self) -> None:
        self.path.chmod(0o600)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        with self.transaction():
            version = self._db.execute("PRAGMA user_version").fetchone()[0]
            if version > VERSION:
                raise Refused(f"{self.path}: written by a newer Sekisho", "use the newer version")
            if version == 0:
                for statement in _TABLES.split(";"):
                    self._db.execute(statement)
                self._db.execute(f"PRAGMA user_version = {VERSION}")

    def close(self) -> None:
        self._db.close()

    def __enter__(self) -> Catalogue:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing. Raises ``Retry`` when the disk is full or another process holds the catalogue."""
        try:
            self._db.execute("BEGIN IMMEDIATE")
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

    # -- segments ----------------------------------------------------------------------------------

    def segments(self) -> list[Known]:
        """Every segment ever learnt of, oldest first."""
        rows = self._db.execute(
            "SELECT contents, gone_at, gone_why, restored_at FROM segments ORDER BY first"
        ).fetchall()
        return [Known(_contents(text), gone, why or "", restored) for text, gone, why, restored in rows]

    def segment(self, first: int) -> Known | None:
        row = self._db.execute(
            "SELECT contents, gone_at, gone_why, restored_at FROM segments WHERE first = ?", (first,)
        ).fetchone()
        return Known(_contents(row[0]), row[1], row[2] or "", row[3]) if row else None

    def learn(self, path: Path) -> Known:
        """The segment's contents: as known, or read now. ``path`` must not change any more.

        A file whose length differs from what is known is not taken for the same: ``Refused`` names it.
        """
        known = self.segment(int(path.stem))
        if known is None:
            known = Known(contents(path), None, "", None)
            with self.transaction():
                self._db.execute(
                    "INSERT OR REPLACE INTO segments (first, contents) VALUES (?, ?)",
                    (known.contents.first, msgspec.json.encode(known.contents).decode()),
                )
        elif path.stat().st_size != known.contents.size:
            raise Refused(
                f"{path}: {path.stat().st_size} bytes long, and {known.contents.size} when it was finished",
                "the segment was altered: keep it, and restore it from the archive or a backup elsewhere",
            )
        return known

    def gone(self, first: int, why: str, at: int) -> None:
        self._db.execute(
            "UPDATE segments SET gone_at = ?, gone_why = ?, restored_at = NULL WHERE first = ?",
            (at, why, first),
        )

    def restored(self, found: Contents, at: int) -> None:
        with self.transaction():
            self._db.execute(
                "INSERT INTO segments (first, contents, restored_at) VALUES (?, ?, ?)"
                " ON CONFLICT (first) DO UPDATE SET restored_at = excluded.restored_at",
                (found.first, msgspec.json.encode(found).decode(), at),
            )

    # -- copies ------------------------------------------------------------------------------------

    def copies(self, target: str) -> dict[str, Copy]:
        """By name."""
        rows = self._db.execute(
            "SELECT target, name, segment, size, sha256, version, at FROM copies WHERE target = ?"
            " ORDER BY name",
            (target,),
        )
        return {row[1]: Copy(*row) for row in rows}

    def copied(self, copy: Copy) -> None:
        with self.transaction():
            self._db.execute("INSERT OR REPLACE INTO copies VALUES (?, ?, ?, ?, ?, ?, ?)", copy)
            self._db.execute("DELETE FROM uploads WHERE target = ? AND name = ?", (copy.target, copy.name))

    def lost(self, target: str, name: str) -> None:
        """A copy proved to be missing or altered: it does not count, and is made again."""
        self._db.execute("DELETE FROM copies WHERE target = ? AND name = ?", (target, name))

    def upload(self, target: str, name: str, sha256: str) -> str:
        """Where an interrupted upload of just these bytes may go on; empty: nowhere."""
        row = self._db.execute(
            "SELECT upload FROM uploads WHERE target = ? AND name = ? AND sha256 = ?", (target, name, sha256)
        ).fetchone()
        return str(row[0]) if row else ""

    def uploading(self, target: str, name: str, sha256: str, upload: str) -> None:
        self._db.execute("INSERT OR REPLACE INTO uploads VALUES (?, ?, ?, ?)", (target, name, sha256, upload))

    # -- state -------------------------------------------------------------------------------------

    def state(self, name: str) -> str:
        """Empty if it was never set."""
        row = self._db.execute("SELECT value FROM state WHERE name = ?", (name,)).fetchone()
        return str(row[0]) if row else ""

    def number(self, name: str) -> int | None:
        text = self.state(name)
        return int(text) if text else None

    def numbers(self, before: str) -> list[int]:
        """Every number whose name begins so."""
        rows = self._db.execute("SELECT value FROM state WHERE substr(name, 1, ?) = ?", (len(before), before))
        return [int(value) for (value,) in rows]

    def set_state(self, name: str, value: str | int) -> None:
        self._db.execute("INSERT OR REPLACE INTO state VALUES (?, ?)", (name, str(value)))

    def clear_state(self, name: str) -> None:
        self._db.execute("DELETE FROM state WHERE name = ?", (name,))


def _contents(text: str) -> Contents:
    return msgspec.json.decode(text, type=Contents)
