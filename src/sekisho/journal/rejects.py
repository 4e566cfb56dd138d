"""Rejects: records that could not become events, with the reason. Their bodies stay in the journal."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from sekisho.model import RECORDS_PER_FRAME, Offset, Reject

_SCHEMA = """
CREATE TABLE IF NOT EXISTS rejects (
    frame INTEGER NOT NULL, idx INTEGER NOT NULL, source TEXT NOT NULL, code TEXT NOT NULL,
    why TEXT NOT NULL, candidates TEXT NOT NULL, received_at INTEGER NOT NULL,
    retry_as TEXT, PRIMARY KEY (frame, idx)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS rejects_retry ON rejects (retry_as) WHERE retry_as IS NOT NULL;
"""


class RejectRow(NamedTuple):
    """A stored reject; ``received_at`` in ns UTC, ``retry_as`` set when a person asked for a retry."""

    reject: Reject
    received_at: int
    retry_as: str | None


class Rejects:
    """SQLite file beside the journal. Adding the same reject again changes nothing."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._db = sqlite3.connect(folder / "rejects.sqlite3", timeout=20, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.executescript(_SCHEMA)

    def settle(
        self,
        rejects: Sequence[Reject],
        received_at: dict[int, int],
        frames: tuple[int, int],
        indexes: tuple[int, int],
    ) -> None:
        """These are all rejects of frames ``first`` to ``last``, records ``low`` to ``high``: others go.

        So a record that an earlier, crashed attempt had rejected is not both a reject and an event.
        """
        self._db.execute("BEGIN IMMEDIATE")
        try:
            self._db.execute(
                "DELETE FROM rejects WHERE frame BETWEEN ? AND ? AND idx BETWEEN ? AND ?", (*frames, *indexes)
            )
            self._insert(rejects, received_at)
            self._db.execute("COMMIT")
        except sqlite3.Error:
            self._db.execute("ROLLBACK")
            raise

    def add(self, rejects: Sequence[Reject], received_at: dict[int, int]) -> None:
        """``received_at``: ns UTC by frame number."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            self._insert(rejects, received_at)
            self._db.execute("COMMIT")
        except sqlite3.Error:
            self._db.execute("ROLLBACK")
            raise

    def _insert(self, rejects: Sequence[Reject], received_at: dict[int, int]) -> None:
        rows = [
            (
                r.offset.frame,
                r.offset.index,
                r.source,
                r.code,
                r.why[:2000],
                json.dumps(r.candidates),
                received_at.get(r.offset.frame, 0),
            )
            for r in rejects
        ]
        self._db.executemany(
            "INSERT OR REPLACE INTO rejects (frame, idx, source, code, why, candidates, received_at)"
            " VALUES (?,?,?,?,?,?,?)",
            rows,
        )

    def counts(self) -> list[tuple[str, str, int]]:
        """(source, code, number), most frequent first."""
        rows = self._db.execute(
            "SELECT source, code, count(*) FROM rejects GROUP BY 1, 2 ORDER BY 3 DESC"
        ).fetchall()
        return [(str(s), str(c), int(n)) for s, c, n in rows]

    def by_hour(self, since: int) -> list[tuple[str, str, int, int, Offset, int]]:
        """(source, code, hour since 1970, number, first, its receipt in ns) of those received since then
        (ns)."""
        rows = self._db.execute(
            "SELECT source, code, received_at / 3600000000000, count(*), min(frame * ? + idx),"
            " min(received_at)"
            " FROM rejects WHERE received_at >= ? GROUP BY 1, 2, 3",
            (RECORDS_PER_FRAME, since),
        )
        return [(s, c, hour, n, Offset.unpack(first), at) for s, c, hour, n, first, at in rows]

    def total(self) -> int:
        return int(self._db.execute("SELECT count(*) FROM rejects").fetchone()[0])

    def rows(self, source: str = "", code: str = "", limit: int = 50) -> list[RejectRow]:
        """Newest first."""
        found = self._db.execute(
            "SELECT frame, idx, source, code, why, candidates, received_at, retry_as FROM rejects"
            " WHERE (? = '' OR source = ?) AND (? = '' OR code = ?) ORDER BY frame DESC, idx DESC LIMIT ?",
            (source, source, code, code, limit),
        ).fetchall()
        return [_row(values) for values in found]

    def get(self, offset: Offset) -> RejectRow | None:
        found = self._db.execute(
            "SELECT frame, idx, source, code, why, candidates, received_at, retry_as FROM rejects"
            " WHERE frame = ? AND idx = ?",
            offset,
        ).fetchone()
        return _row(found) if found else None

    def ask_retry(self, source: str, code: str, retry_as: str) -> int:
        """Mark rejects for a retry as source ``retry_as`` (empty: as before). Gives the number marked."""
        return self._db.execute(
            "UPDATE rejects SET retry_as = ? WHERE (? = '' OR source = ?) AND (? = '' OR code = ?)",
            (retry_as, source, source, code, code),
        ).rowcount

    def to_retry(self, limit: int) -> list[RejectRow]:
        found = self._db.execute(
            "SELECT frame, idx, source, code, why, candidates, received_at, retry_as FROM rejects"
            " WHERE retry_as IS NOT NULL ORDER BY frame, idx LIMIT ?",
            (limit,),
        ).fetchall()
        return [_row(values) for values in found]

    def begin_retry(self, offsets: Iterable[Offset]) -> None:
        """Take the mark away before the attempt: a record that crashes it is not tried again by itself."""
        self._change("UPDATE rejects SET retry_as = NULL WHERE frame = ? AND idx = ?", offsets)

    def remove(self, offsets: Iterable[Offset]) -> None:
        """They became events."""
        self._change("DELETE FROM rejects WHERE frame = ? AND idx = ?", offsets)

    def _change(self, statement: str, offsets: Iterable[Offset]) -> None:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            self._db.executemany(statement, list(offsets))
            self._db.execute("COMMIT")
        except sqlite3.Error:
            self._db.execute("ROLLBACK")
            raise

    def close(self) -> None:
        self._db.close()


def _row(values: tuple[int, int, str, str, str, str, int, str | None]) -> RejectRow:
    frame, index, source, code, why, candidates, received_at, retry_as = values
    reject = Reject(Offset(frame, index), source, code, why, tuple(json.loads(candidates)))
    return RejectRow(reject, received_at, retry_as)
