"""Which files were read already, by content: the same file under another name is stored once.

One SQLite file beside the data. It is written only after the journal has acknowledged, so it may lag
behind (then a chunk is sent again and folds into the stored one) and is never ahead.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

_SCHEMA = """
CREATE TABLE IF NOT EXISTS members (
    sha256    TEXT PRIMARY KEY,
    size      INTEGER NOT NULL,
    path      TEXT NOT NULL,
    member    TEXT NOT NULL,
    source    TEXT NOT NULL,
    bodies    INTEGER NOT NULL,
    finished  INTEGER NOT NULL,
    frame     INTEGER NOT NULL,
    noted_at  INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS files (
    sha256    TEXT PRIMARY KEY,
    path      TEXT NOT NULL,
    bodies    INTEGER NOT NULL
) STRICT;
"""


class Entry(NamedTuple):
    """Progress of one content. ``bodies`` were acknowledged; ``frame`` is the last one's number."""

    sha256: str
    size: int
    path: str
    member: str
    source: str
    bodies: int
    finished: bool
    frame: int


class Ledger:
    """Open ledger; a context manager. Times in ns since 1970 UTC."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(path, timeout=30.0, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.executescript(_SCHEMA)

    def __enter__(self) -> Ledger:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._db.close()

    def find(self, sha256: str) -> Entry | None:
        """Progress of the content with this digest."""
        row = self._db.execute(
            "SELECT sha256, size, path, member, source, bodies, finished, frame"
            " FROM members WHERE sha256 = ?",
            (sha256,),
        ).fetchone()
        if row is None:
            return None
        digest, size, path, member, source, bodies, finished, frame = row
        return Entry(digest, size, path, member, source, bodies, bool(finished), frame)

    def sizes(self) -> list[int]:
        """Sizes of all finished contents that were files by themselves, ascending (for grown files)."""
        rows = self._db.execute(
            "SELECT DISTINCT size FROM members WHERE member = '' AND finished = 1 AND size > 0 ORDER BY size"
        )
        return [int(size) for (size,) in rows]

    def note(self, entry: Entry, at: int) -> None:
        """The journal has acknowledged that much of this content."""
        self._db.execute(
            "INSERT INTO members VALUES (?,?,?,?,?,?,?,?,?) ON CONFLICT (sha256) DO UPDATE SET"
            " source = excluded.source, bodies = excluded.bodies, finished = excluded.finished,"
            " frame = excluded.frame, noted_at = excluded.noted_at",
            (*entry[:6], int(entry.finished), entry.frame, at),
        )

    def whole(self, sha256: str) -> tuple[str, int] | None:
        """Path and number of bodies of a file that was read to its end without trouble."""
        row = self._db.execute("SELECT path, bodies FROM files WHERE sha256 = ?", (sha256,)).fetchone()
        return (str(row[0]), int(row[1])) if row else None

    def note_whole(self, sha256: str, path: str, bodies: int) -> None:
        """The file was read to its end; next time its digest alone answers."""
        self._db.execute("INSERT OR REPLACE INTO files VALUES (?,?,?)", (sha256, path, bodies))
