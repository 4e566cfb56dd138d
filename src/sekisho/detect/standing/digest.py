"""The digest: what standing rules need of all stored events, small, rebuilt from the lake at any time.

One SQLite file. Everything in it adds up: events are read once, by their place in the journal, in spans
``low < journal_offset <= high`` that follow each other. It is never the truth; without it the lake is read
again.
"""

from __future__ import annotations

import os
import sqlite3
from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from sekisho.detect.standing.reading import Read

Masks = npt.NDArray[np.uint16]

VERSION = 1
#: Days that are kept: 28 to learn from, 7 that are judged, and the weeks that those are compared with.
KEPT_DAYS = 64
#: A log with more runs of numbers than this, per read, is sent as a selection: its runs are only counted.
RUNS_KEPT = 2_000
_HOURS = 24

_SCHEMA = """
CREATE TABLE state (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE days (
    source TEXT, host TEXT, asset TEXT, day INTEGER, masks BLOB NOT NULL, n INTEGER NOT NULL,
    PRIMARY KEY (source, host, asset, day)
) WITHOUT ROWID;
CREATE TABLE first_seen (source TEXT, host TEXT, day INTEGER NOT NULL, PRIMARY KEY (source, host)) WITHOUT
  ROWID;
CREATE TABLE receipts (day INTEGER PRIMARY KEY, masks BLOB NOT NULL);
CREATE TABLE arrivals (
    source TEXT, hour INTEGER, n INTEGER NOT NULL, PRIMARY KEY (source, hour)
) WITHOUT ROWID;
CREATE TABLE delays (
    source TEXT, host TEXT, hour INTEGER, least INTEGER NOT NULL, most INTEGER NOT NULL, n INTEGER NOT NULL,
    PRIMARY KEY (source, host, hour)
) WITHOUT ROWID;
CREATE TABLE runs (
    source TEXT, host TEXT, log TEXT, low INTEGER, high INTEGER, low_time INTEGER, high_time INTEGER,
    n INTEGER NOT NULL
);
CREATE INDEX runs_by_log ON runs (source, host, log);
CREATE TABLE selections (
    source TEXT, host TEXT, log TEXT, PRIMARY KEY (source, host, log)
) WITHOUT ROWID;
CREATE TABLE marks (
    uid TEXT PRIMARY KEY, kind TEXT, time INTEGER, source TEXT, host TEXT, device TEXT, code TEXT, actor TEXT,
    actor_uid TEXT, process TEXT, text TEXT
) WITHOUT ROWID;
CREATE TABLE records (key TEXT PRIMARY KEY, time INTEGER, uid TEXT NOT NULL, seen INTEGER) WITHOUT ROWID;
"""
_TABLES = (
    "days",
    "first_seen",
    "receipts",
    "arrivals",
    "delays",
    "runs",
    "selections",
    "marks",
    "records",
    "state",
)
_DELAY_DAYS = 15
_MARKS_KEPT = 20_000


class Day(NamedTuple):
    """One day (UTC, days since 1970) of one host of one source: 24 masks of 12 times 5 minutes."""

    source: str
    host: str
    asset: str
    day: int
    masks: Masks
    n: int


class Count(NamedTuple):
    """One row of ``reading.COUNTS``."""

    live: bool
    source: str
    host: str
    asset: str
    hour: int
    received: int
    mask: int
    received_mask: int
    n: int
    least: int
    most: int
    delays: int


class Run(NamedTuple):
    """Record numbers without a break, and the times of the first and the last."""

    low: int
    high: int
    low_time: int
    high_time: int
    n: int


class Digest:
    """Opens or makes the file; one that cannot be read, or is of another version, is made anew.

    For one thread at a time.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            self._db = self._open()
        except sqlite3.DatabaseError:
            path.unlink(missing_ok=True)
            self._db = self._open()

    def _open(self) -> sqlite3.Connection:
        os.close(os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600))
        db = sqlite3.connect(self._path, timeout=30, isolation_level=None, check_same_thread=False)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = OFF")  # what a power cut tears is made anew
        db.execute("PRAGMA cache_size = -32768")
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version != VERSION:
            names = [row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            drop = "".join(f"DROP TABLE {name};" for name in names if name in _TABLES)
            db.executescript(f"BEGIN;{drop}{_SCHEMA}PRAGMA user_version = {VERSION};COMMIT;")
        return db

    def close(self) -> None:
        self._db.close()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """All or nothing."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    # -- writing -----------------------------------------------------------------------------------

    def state(self, name: str) -> int | None:
        row = self._db.execute("SELECT value FROM state WHERE name = ?", (name,)).fetchone()
        return None if row is None else int(row[0])

    def set_state(self, name: str, value: int) -> None:
        self._db.execute("INSERT OR REPLACE INTO state VALUES (?, ?)", (name, value))

    def clear(self) -> None:
        for table in _TABLES:
            self._db.execute(f"DELETE FROM {table}")  # noqa: S608 - constants

    def add(self, read: Read) -> int:
        """Add what one span of the journal holds; returns how many events it has. Within ``writing``."""
        rows = list(zip(*(read.counts[name].to_pylist() for name in Count._fields), strict=True))
        counts = [Count(*row) for row in rows if row[0]]
        self._add_days(counts)
        self._add_receipts(counts)
        self._add_delays(counts)
        self._add_runs(read.runs.to_pylist())
        self._db.executemany(
            "INSERT OR IGNORE INTO marks VALUES (:uid, :kind, :time, :source, :host, :device, :code, :actor,"
            " :actor_uid, :process, :text)",
            [
                {**row, "device": row["asset"] or row["host"], "text": row["told"][:2000]}
                for row in read.marks.to_pylist()
            ],
        )
        newest = pc.max(read.counts["newest"]).as_py() or 0
        self.set_state("newest", max(newest, self.state("newest") or 0))
        return int(pc.sum(read.counts["n"]).as_py() or 0)

    def _add_days(self, rows: Sequence[Count]) -> None:
        found: dict[tuple[str, str, str, int], list[int]] = {}
        for row in rows:
            day, hour = divmod(row.hour, _HOURS)
            key = (row.source, row.host, row.asset, day)
            held = found.get(key)
            if held is None:
                held = found[key] = [0] * (_HOURS + 1)
            held[hour] |= row.mask
            held[_HOURS] += row.n
        for key, stored, n in self._held(found):
            held = found[key]
            for hour, mask in enumerate(np.frombuffer(stored, np.uint16).tolist()):
                held[hour] |= mask
            held[_HOURS] += n
        self._db.executemany(
            "INSERT OR REPLACE INTO days VALUES (?, ?, ?, ?, ?, ?)",
            [(*key, array("H", held[:_HOURS]).tobytes(), held[_HOURS]) for key, held in found.items()],
        )
        first: dict[tuple[str, str], int] = {}
        for source, host, _, day in found:
            first[source, host] = min(day, first.get((source, host), day))
        self._db.executemany(
            "INSERT INTO first_seen VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET day = min(day, excluded.day)",
            [(*lane, day) for lane, day in first.items()],
        )

    def _held(
        self, keys: Mapping[tuple[str, str, str, int], object]
    ) -> Iterator[tuple[tuple[str, str, str, int], bytes, int]]:
        """Of these days, those that are stored."""
        if not keys:
            return
        days = [key[3] for key in keys]
        rows = self._db.execute(
            "SELECT source, host, asset, day, masks, n FROM days WHERE day BETWEEN ? AND ?",
            (min(days), max(days)),
        )
        for source, host, asset, day, masks, n in rows:
            if (source, host, asset, day) in keys:
                yield (source, host, asset, day), masks, n

    def _add_receipts(self, rows: Sequence[Count]) -> None:
        found: dict[int, Masks] = {}
        arrived: dict[tuple[str, int], int] = defaultdict(int)
        slots: dict[int, int] = defaultdict(int)
        for row in rows:
            slots[row.received] |= row.received_mask
            arrived[row.source, row.received] += row.n
        for received, mask in slots.items():
            day, hour = divmod(received, _HOURS)
            found.setdefault(day, np.zeros(_HOURS, np.uint16))[hour] |= mask
        for day, masks in found.items():
            held = self._db.execute("SELECT masks FROM receipts WHERE day = ?", (day,)).fetchone()
            if held is not None:
                masks |= np.frombuffer(held[0], np.uint16)
            self._db.execute("INSERT OR REPLACE INTO receipts VALUES (?, ?)", (day, masks.tobytes()))
        self._db.executemany(
            "INSERT INTO arrivals VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET n = n + excluded.n",
            [(source, hour, n) for (source, hour), n in arrived.items()],
        )

    def _add_delays(self, rows: Sequence[Count]) -> None:
        newest = max((row.received for row in rows), default=0) - _DELAY_DAYS * _HOURS
        self._db.executemany(
            "INSERT INTO delays VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
            " least = min(least, excluded.least), most = max(most, excluded.most), n = n + excluded.n",
            sorted(
                (row.source, row.host, row.received, row.least, row.most, row.delays)
                for row in rows
                if row.delays and row.received >= newest
            ),
        )

    def _add_runs(self, rows: Sequence[Mapping[str, Any]]) -> None:
        fresh: dict[tuple[str, str, str], list[Run]] = defaultdict(list)
        for row in rows:
            run = Run(row["low"], row["high"], row["low_time"], row["high_time"], row["n"])
            fresh[row["source"], row["host"], row["log"]].append(run)
        for log, runs in fresh.items():
            held = [
                Run(*found)
                for found in self._db.execute(
                    "SELECT low, high, low_time, high_time, n FROM runs"
                    " WHERE source = ? AND host = ? AND log = ?",
                    log,
                )
            ]
            joined = join([*held, *runs])
            self._db.execute("DELETE FROM runs WHERE source = ? AND host = ? AND log = ?", log)
            if len(joined) > RUNS_KEPT:
                self._db.execute("INSERT OR IGNORE INTO selections VALUES (?, ?, ?)", log)
                joined = joined[-RUNS_KEPT // 2 :]
            self._db.executemany(
                "INSERT INTO runs VALUES (?, ?, ?, ?, ?, ?, ?, ?)", [(*log, *run) for run in joined]
            )

    def prune(self, now: int) -> None:
        """Forget what no rule looks at any more. Within ``writing``."""
        day = now // 86_400_000_000
        self._db.execute("DELETE FROM days WHERE day < ?", (day - KEPT_DAYS,))
        self._db.execute("DELETE FROM receipts WHERE day < ?", (day - KEPT_DAYS,))
        self._db.execute("DELETE FROM arrivals WHERE hour < ?", ((day - KEPT_DAYS) * _HOURS,))
        self._db.execute("DELETE FROM delays WHERE hour < ?", ((day - _DELAY_DAYS) * _HOURS,))
        self._db.execute("DELETE FROM runs WHERE high_time < ?", ((day - KEPT_DAYS) * 86_400_000_000,))
        self._db.execute(
            "DELETE FROM marks WHERE uid NOT IN (SELECT uid FROM marks ORDER BY time DESC LIMIT ?)",
            (_MARKS_KEPT,),
        )
        self._db.execute("DELETE FROM records WHERE seen < ?", ((day - KEPT_DAYS) * 86_400_000_000,))

    # -- reading -----------------------------------------------------------------------------------

    def days(self, since: int) -> list[Day]:
        """From day ``since`` on."""
        rows = self._db.execute(
            "SELECT source, host, asset, day, masks, n FROM days WHERE day >= ?", (since,)
        )
        return [Day(row[0], row[1], row[2], row[3], np.frombuffer(row[4], np.uint16), row[5]) for row in rows]

    def first_days(self) -> dict[tuple[str, str], int]:
        """The day on which a host of a source was first seen."""
        rows = self._db.execute("SELECT source, host, day FROM first_seen")
        return {(source, host): day for source, host, day in rows}

    def receipts(self, since: int) -> dict[int, Masks]:
        rows = self._db.execute("SELECT day, masks FROM receipts WHERE day >= ?", (since,))
        return {day: np.frombuffer(masks, np.uint16) for day, masks in rows}

    def arrivals(self, since: int) -> dict[tuple[str, int], int]:
        """Events by source and hour of receipt (hours since 1970)."""
        rows = self._db.execute("SELECT source, hour, n FROM arrivals WHERE hour >= ?", (since,))
        return {(source, hour): n for source, hour, n in rows}

    def runs(self) -> dict[tuple[str, str, str], list[Run]]:
        found: dict[tuple[str, str, str], list[Run]] = defaultdict(list)
        for row in self._db.execute("SELECT * FROM runs"):
            found[row[0], row[1], row[2]].append(Run(*row[3:]))
        return found

    def selections(self) -> set[tuple[str, str, str]]:
        return {(a, b, c) for a, b, c in self._db.execute("SELECT * FROM selections")}

    def unusual_delays(
        self, ahead: int, behind: int
    ) -> dict[tuple[str, str], list[tuple[int, int, int, int]]]:
        """(hour, least, most, n) of hosts that had an hour with a delay below ``ahead`` or above ``behind``
        µs."""
        found: dict[tuple[str, str], list[tuple[int, int, int, int]]] = defaultdict(list)
        rows = self._db.execute(
            "SELECT source, host, hour, least, most, n FROM delays WHERE (source, host) IN"
            " (SELECT source, host FROM delays WHERE least < ? OR least > ?) ORDER BY hour",
            (ahead, behind),
        )
        for source, host, *rest in rows:
            found[source, host].append((rest[0], rest[1], rest[2], rest[3]))
        return found

    def marks(self, kinds: Sequence[str]) -> list[tuple[Any, ...]]:
        places = ", ".join("?" * len(kinds))
        return self._db.execute(
            "SELECT kind, time, uid, source, host, device, code, actor, actor_uid, process, text"  # noqa: S608 - marks
            " FROM marks"
            f" WHERE kind IN ({places}) ORDER BY time, uid",
            tuple(kinds),
        ).fetchall()

    def known_record(self, key: str) -> tuple[int, str] | None:
        row = self._db.execute("SELECT time, uid FROM records WHERE key = ?", (key,)).fetchone()
        return None if row is None else (row[0], row[1])

    def remember_record(self, key: str, time: int, uid: str) -> None:
        self._db.execute("INSERT OR REPLACE INTO records VALUES (?, ?, ?, ?)", (key, time, uid, time))


def join(runs: Iterable[Run]) -> list[Run]:
    """Runs in order of time; those whose numbers follow each other, or overlap in time and number, are
    one."""
    joined: list[Run] = []
    for run in sorted(runs, key=lambda run: (run.low_time, run.low)):
        place = _place(joined, run)
        if place is None:
            joined.append(run)
        else:
            held = joined[place]
            joined[place] = Run(
                min(held.low, run.low),
                max(held.high, run.high),
                min(held.low_time, run.low_time),
                max(held.high_time, run.high_time),
                held.n + run.n,
            )
    if len(joined) < 2:
        return joined
    again = sorted(joined, key=lambda run: (run.low_time, run.low))
    return again if len(again) == len(list(runs)) else join(again)


def _place(joined: list[Run], run: Run) -> int | None:
    """The run among the last few that this one continues. Counting began anew where numbers fell far."""
    for place in range(len(joined) - 1, max(-1, len(joined) - 9), -1):
        held = joined[place]
        if held.low - 1 <= run.high and run.low <= held.high + 1 and run.low * 2 >= held.high:
            return place
    return None
