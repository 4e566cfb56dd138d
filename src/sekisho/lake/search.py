"""Searching: newest first, file by file, keys before wide columns, as a stream.

Reading ``raw`` of every row to sort by time is what makes such searches slow. So only
time and journal offset of the matches are sorted; whole rows are fetched for those that are shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import pyarrow as pa

from sekisho.lake.engines import Engine, FileUnreadable
from sekisho.lake.manifest import Stored
from sekisho.lake.query import Condition
from sekisho.lake.reader import Snapshot
from sekisho.lake.writer import Damage
from sekisho.ocsf import EVENT_SCHEMA

Order = Literal["newest", "oldest"]

#: Rows of files that are looked through at once: small first (the newest events are there soon), then more.
_FIRST = 50_000
_MOST = 4_000_000
#: Rows given at once when there is no limit.
PAGE = 10_000


class _Key(NamedTuple):
    time: int
    offset: int
    uid: str


class Search:
    """One question to one snapshot. ``damaged`` grows when a file proves unreadable on the way."""

    def __init__(self, snapshot: Snapshot, engine: Engine, condition: Condition) -> None:
        self._snapshot = snapshot
        self._engine = engine
        self._condition = condition
        self.damaged: list[Damage] = list(snapshot.damaged)
        self.scanned = 0

    def again(self, condition: Condition) -> Search:
        """Another question to the same snapshot."""
        return Search(self._snapshot, self._engine, condition)

    def files(self) -> list[Stored]:
        """The files that can hold matches."""
        c = self._condition
        return self._snapshot.within(c.time_from, c.time_to, c.sources)

    def count(self) -> int:
        """How many events match."""
        total = 0
        for chunk in _chunks(self.files()):
            for table in self._select(chunk, f"SELECT count(*) AS n FROM events WHERE {self._condition.sql}"):  # noqa: S608
                total += table["n"][0].as_py()
        return total

    def rows(
        self, limit: int | None = None, order: Order = "newest", columns: Sequence[str] = ()
    ) -> Iterator[pa.Table]:
        """Matching events in order of time, in tables of a few rows, as soon as they are certain.

        ``columns``  which ones (all if empty); ``time`` always comes too
        """
        if limit is not None:
            yield from self._page(limit, order, columns, None)
            return
        last: _Key | None = None
        while True:
            shown = 0
            for table in self._page(PAGE, order, columns, last):
                shown += table.num_rows
                tail = table.slice(table.num_rows - 1)
                last = _Key(tail["time"].cast(pa.int64())[0].as_py(), tail["journal_offset"][0].as_py(), "")
                yield table
            if shown < PAGE:
                return

    def _page(
        self, limit: int, order: Order, columns: Sequence[str], after: _Key | None
    ) -> Iterator[pa.Table]:
        newest = order == "newest"
        condition = _after(self._condition, after, newest)
        files = self._snapshot.within(condition.time_from, condition.time_to, condition.sources)
        files.sort(key=lambda file: file.time_max if newest else file.time_min, reverse=newest)
        waiting: list[_Key] = []
        done = 0
        for chunk in _chunks(files):
            waiting = self._keys(chunk, condition, limit, newest, waiting)
            done += len(chunk)
            ready = _certain(waiting, files[done:], newest)
            if ready:
                yield from self._wide(waiting[:ready], files[:done], columns, order)
                waiting = waiting[ready:]
                limit -= ready
            if limit <= 0:
                return

    def _keys(
        self, chunk: list[Stored], condition: Condition, limit: int, newest: bool, waiting: list[_Key]
    ) -> list[_Key]:
        way = "DESC" if newest else "ASC"
        sql = (
            "SELECT epoch_us(time) AS time, journal_offset, event_uid FROM events"  # noqa: S608 - the condition binds its values
            f" WHERE {condition.sql} ORDER BY events.time {way}, journal_offset {way} LIMIT {limit:d}"
        )
        found = [
            _Key(*row)
            for table in self._select(chunk, sql, condition.params)
            for row in zip(*(table[name].to_pylist() for name in table.column_names), strict=True)
        ]
        return sorted(waiting + found, reverse=newest)[:limit]

    def _wide(
        self, keys: list[_Key], files: list[Stored], columns: Sequence[str], order: Order
    ) -> Iterator[pa.Table]:
        """Whole rows of these keys."""
        low, high = min(key.time for key in keys), max(key.time for key in keys)
        near = [file for file in files if file.time_min <= high and file.time_max >= low]
        names = dict.fromkeys(["time", "journal_offset", *columns]) if columns else EVENT_SCHEMA.names
        sql = (
            f"SELECT {', '.join(names)} FROM events"  # noqa: S608 - names of columns
            " WHERE time >= make_timestamptz(?::BIGINT) AND time <= make_timestamptz(?::BIGINT)"
            " AND event_uid IN (SELECT unnest(?))"
        )
        tables = self._select(near, sql, (low, high, [key.uid for key in keys]))
        if tables:
            way = "descending" if order == "newest" else "ascending"
            yield pa.concat_tables(tables).sort_by([("time", way), ("journal_offset", way)])

    def _select(
        self, files: list[Stored], sql: str, params: tuple[object, ...] | None = None
    ) -> list[pa.Table]:
        """The result over these files; if one cannot be read, over each of the others by itself."""
        bound = self._condition.params if params is None else params
        bad = {damage.path.name for damage in self.damaged}
        good = [file for file in files if file.name not in bad]
        if not good:
            return []
        self.scanned += sum(file.rows for file in good)
        try:
            return [self._engine.select(self._snapshot.paths(good), sql, bound)]
        except FileUnreadable as error:
            if len(good) > 1:
                return [table for file in good for table in self._select([file], sql, params)]
            self.damaged.append(Damage(self._snapshot.paths(good)[0], str(error), good[0].rows))
            return []


def _after(condition: Condition, last: _Key | None, newest: bool) -> Condition:
    """Only what comes after ``last`` in the order."""
    if last is None:
        return condition
    sign = "<" if newest else ">"
    bounded = condition.during(None, last.time + 1) if newest else condition.during(last.time, None)
    return bounded._replace(
        sql=f"({bounded.sql} AND (epoch_us(time), journal_offset) {sign} (?, ?))",
        params=(*bounded.params, last.time, last.offset),
    )


def _certain(waiting: list[_Key], rest: list[Stored], newest: bool) -> int:
    """How many of the first keys no file of ``rest`` can precede."""
    if not rest:
        return len(waiting)
    edge = rest[0].time_max if newest else rest[0].time_min
    return sum(1 for key in waiting if (key.time > edge if newest else key.time < edge))


def _chunks(files: Sequence[Stored]) -> Iterator[list[Stored]]:
    size = _FIRST
    chunk: list[Stored] = []
    rows = 0
    for file in files:
        chunk.append(file)
        rows += file.rows
        if rows >= size:
            yield chunk
            chunk, rows, size = [], 0, min(size * 4, _MOST)
    if chunk:
        yield chunk
