"""Rejects: records that could not become events, with the reason. Their bodies stay in the journal.

Trying them again touches two stores, this one and the lake. So what is to happen here is written down as
a *plan* before the lake's commit and carried out after it, together with the number of the lake's commits:
whoever finds a plan after a crash sees from that number whether the commit took place.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from sekisho.model import RECORDS_PER_FRAME, Offset, Reject

_SCHEMA = """
CREATE TABLE IF NOT EXISTS rejects (
    frame INTEGER NOT NULL, idx INTEGER NOT NULL, source TEXT NOT NULL, code TEXT NOT NULL,
    why TEXT NOT NULL, candidates TEXT NOT NULL, received_at INTEGER NOT NULL,
    retry_as TEXT, PRIMARY KEY (frame, idx)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS rejects_retry ON rejects (retry_as) WHERE retry_as IS NOT NULL;
CREATE TABLE IF NOT EXISTS tried (
    frame INTEGER NOT NULL, idx INTEGER NOT NULL, times INTEGER NOT NULL, PRIMARY KEY (frame, idx)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS plan (
    one INTEGER PRIMARY KEY CHECK (one = 1), commits INTEGER NOT NULL, rows TEXT NOT NULL
);
"""

_ROW = (
    "SELECT frame, idx, source, code, why, candidates, received_at, retry_as, coalesce(times, 0)"
    " FROM rejects LEFT JOIN tried USING (frame, idx)"
)


class RejectRow(NamedTuple):
    """A stored reject; ``received_at`` in ns UTC, ``retry_as`` set when a person asked for a retry.

    ``tried``: how often a retry was begun since then and did not end.
    """

    reject: Reject
    received_at: int
    retry_as: str | None
    tried: int = 0


class Outcome(NamedTuple):
    """What a retry of ``row`` came to: an event (None), or a reject still."""

    row: RejectRow
    still: Reject | None


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
        with self._transaction():
            self._db.execute(
                "DELETE FROM rejects WHERE frame BETWEEN ? AND ? AND idx BETWEEN ? AND ?", (*frames, *indexes)
            )
            self._insert(rejects, received_at)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        finally:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")

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
            f"{_ROW} WHERE (? = '' OR source = ?) AND (? = '' OR code = ?)"
            " ORDER BY frame DESC, idx DESC LIMIT ?",
            (source, source, code, code, limit),
        ).fetchall()
        return [_row(values) for values in found]

    def get(self, offset: Offset) -> RejectRow | None:
        found = self._db.execute(
            f"{_ROW} WHERE frame = ? AND idx = ?",
            offset,
        ).fetchone()
        return _row(found) if found else None

    # -- trying again ------------------------------------------------------------------------------

    def ask_retry(self, source: str, code: str, retry_as: str) -> int:
        """Mark rejects for a retry as source ``retry_as`` (empty: as before). Gives the number marked."""
        chosen = (source, source, code, code)
        with self._transaction():
            self._db.execute(
                "DELETE FROM tried WHERE (frame, idx) IN"
                " (SELECT frame, idx FROM rejects WHERE (? = '' OR source = ?) AND (? = '' OR code = ?))",
                chosen,
            )
            return self._db.execute(
                "UPDATE rejects SET retry_as = ? WHERE (? = '' OR source = ?) AND (? = '' OR code = ?)",
                (retry_as, *chosen),
            ).rowcount

    def to_retry(self, limit: int) -> list[RejectRow]:
        """The marked ones, oldest first."""
        found = self._db.execute(
            f"{_ROW} WHERE retry_as IS NOT NULL ORDER BY frame, idx LIMIT ?", (limit,)
        ).fetchall()
        return [_row(values) for values in found]

    def begin_retry(self, offsets: Iterable[Offset]) -> None:
        """Count an attempt before it begins. The marks stay: a crash forgets none."""
        with self._transaction():
            self._db.executemany(
                "INSERT INTO tried VALUES (?, ?, 1) ON CONFLICT DO UPDATE SET times = times + 1",
                list(offsets),
            )

    def take_back(self, offsets: Iterable[Offset]) -> None:
        """The attempt that was begun does not count."""
        with self._transaction():
            self._db.executemany(
                "UPDATE tried SET times = max(0, times - 1) WHERE frame = ? AND idx = ?", list(offsets)
            )

    def plan(self, outcomes: Iterable[Outcome], commits: int) -> None:
        """Write down what ``carry_out`` is to do when the lake has more than ``commits`` commits."""
        text = json.dumps([_planned(outcome) for outcome in outcomes])
        with self._transaction():
            self._db.execute("INSERT OR REPLACE INTO plan VALUES (1, ?, ?)", (commits, text))

    def carry_out(self, commits: int) -> bool:
        """Do what was planned, if the lake has more commits than then; else drop the plan.

        Gives whether it was done. To be called before anything else is committed to the lake.
        """
        found = self._db.execute("SELECT commits, rows FROM plan").fetchone()
        if found is None:
            return False
        stored = commits > int(found[0])
        with self._transaction():
            if stored:
                self._end(json.loads(found[1]))
            self._db.execute("DELETE FROM plan")
        return stored

    def end_retry(self, outcomes: Iterable[Outcome]) -> None:
        """Outcomes that need no commit: the rows stay rejects, their marks go."""
        with self._transaction():
            self._end([_planned(outcome) for outcome in outcomes])

    def _end(self, planned: Sequence[list[Any]]) -> None:
        """A mark that was set anew with another source meanwhile stays."""
        for frame, index, retry_as, still in planned:
            self._db.execute("DELETE FROM tried WHERE frame = ? AND idx = ?", (frame, index))
            if still is None:
                self._db.execute("DELETE FROM rejects WHERE frame = ? AND idx = ?", (frame, index))
                continue
            self._db.execute(
                "UPDATE rejects SET source = ?, code = ?, why = ?, candidates = ?,"
                " retry_as = CASE WHEN retry_as = ? THEN NULL ELSE retry_as END WHERE frame = ? AND idx = ?",
                (*still, retry_as, frame, index),
            )

    def close(self) -> None:
        self._db.close()


def _planned(outcome: Outcome) -> list[Any]:
    row, still = outcome
    told = (
        None if still is None else [still.source, still.code, still.why[:2000], json.dumps(still.candidates)]
    )
    return [*row.reject.offset, row.retry_as, told]


def _row(values: tuple[int, int, str, str, str, str, int, str | None, int]) -> RejectRow:
    frame, index, source, code, why, candidates, received_at, retry_as, tried = values
    reject = Reject(Offset(frame, index), source, code, why, tuple(json.loads(candidates)))
    return RejectRow(reject, received_at, retry_as, tried)
