"""Searching: newest first, file by file, keys before wide columns, as a stream.

Reading ``raw`` of every row to sort by time is what makes such searches slow. So only
time and journal offset of the matches are sorted; whole rows are fetched for those that are shown. Of a cold
file only the row groups are read that its index does not rule out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import pyarrow as pa

from sekisho.lake import files as parquet
from sekisho.lake.cold import cube, pruning
from sekisho.lake.engines import Engine, FileUnreadable, Rows
from sekisho.lake.manifest import Stored
from sekisho.lake.query import Condition
from sekisho.lake.reader import Snapshot
from sekisho.lake.writer import Damage
from sekisho.model import Refused
from sekisho.ocsf import EVENT_SCHEMA

Order = Literal["newest", "oldest"]

#: Rows of files that are looked through at once: small first (the newest events are there soon), then more.
_FIRST = 50_000
_MOST = 4_000_000
#: Rows given at once when there is no limit.
PAGE = 10_000
_WORD = re.compile(r"[A-Za-z_][A-Za-z_0-9]*")


class _Key(NamedTuple):
    """Where a match stands in the order, and where it lies."""

    time: int
    offset: int
    path: str = ""
    row: int = 0


class Search:
    """One question to one snapshot. ``damaged`` grows when a file proves unreadable on the way."""

    def __init__(self, snapshot: Snapshot, engine: Engine, condition: Condition) -> None:
        self._snapshot = snapshot
        self._engine = engine
        self._condition = condition
        self.damaged: list[Damage] = list(snapshot.damaged)
        self.scanned = 0
        self._rows: dict[int, Rows | None] = {}

    def again(self, condition: Condition) -> Search:
        """Another question to the same snapshot."""
        return Search(self._snapshot, self._engine, condition)

    def files(self) -> list[Stored]:
        """The files that can hold matches."""
        return self._within(self._condition)

    def _within(self, c: Condition) -> list[Stored]:
        near = self._snapshot.within(c.time_from, c.time_to, c.sources)
        return [file for file in near if self._stretches(file) != []]

    def _stretches(self, file: Stored) -> Rows | None:
        """The rows of a file that can match; None = all of them."""
        if file.id not in self._rows:
            path, c = parquet.path_of(self._snapshot.folder, file), self._condition
            self._rows[file.id] = pruning.rows(file, path, c.needles, c.tokens)
        return self._rows[file.id]

    def _size(self, file: Stored) -> int:
        """How many rows must be looked at."""
        rows = self._stretches(file)
        return file.rows if rows is None else sum(behind - first for first, behind in rows)

    def count(self) -> int:
        """How many events match."""
        counted = self._grouped([], self._condition.sql, self._condition.params)
        return int(counted["n"][0].as_py()) if counted.num_rows else 0

    def histogram(self, bucket: int, zone_offset: int = 0, by: str | None = None) -> pa.Table:
        """Matches by stretches of time: columns ``time`` (start), ``n`` and, if asked, ``by``.

        ``bucket``       length of a stretch, µs
        ``zone_offset``  of the zone in which stretches begin at full hours or days, µs east of UTC
        """
        shift = -(-(1 << 56) // bucket) * bucket  # so that times before 1970 round down too
        start = (
            f"make_timestamptz(((epoch_us(events.time) + {zone_offset + shift:d}) // {bucket:d}) * {bucket:d}"
            f" - {zone_offset + shift:d}) AS time"
        )
        hourly = bucket % cube.HOUR == 0 and zone_offset % cube.HOUR == 0
        extra = [f"{_column(by)} AS {by}"] if by is not None else []
        found = self._grouped([start, *extra], self._condition.sql, self._condition.params, counts=hourly)
        return found.sort_by("time")

    def top(self, column: str, limit: int) -> pa.Table:
        """The most frequent values among the matches: columns ``value`` and ``n``."""
        name = _column(column)
        sql = f"({self._condition.sql}) AND {name} IS NOT NULL"
        found = self._grouped([f"{name} AS value"], sql, self._condition.params)
        return found.sort_by([("n", "descending"), ("value", "ascending")]).slice(0, limit)

    def _grouped(
        self, keys: list[str], sql: str, params: tuple[object, ...], *, counts: bool = True
    ) -> pa.Table:
        """Counts by these expressions, hot and cold together. ``counts``: counts by hour may serve."""
        wanted = self.files()
        names = [key.rsplit(" AS ", 1)[1] for key in keys]
        select = f"SELECT {''.join(key + ', ' for key in keys)}"
        group = f" FROM events WHERE {sql} GROUP BY ALL" if keys else f" FROM events WHERE {sql}"
        tables: list[pa.Table] = []
        if counts and _countable(" ".join([*keys, sql])):
            ready = [file for file in wanted if self._has_counts(file)]
            tables += self._select(ready, f"{select}sum(n)::BIGINT AS n{group}", params, counts=True)
            wanted = [file for file in wanted if file not in ready]
        for chunk in _chunks(wanted, self._size, most=len(wanted) * _MOST if keys else _MOST):
            tables += self._select(chunk, f"{select}count(*) AS n{group}", params)
        if not tables:
            return pa.table({**{name: [] for name in names}, "n": pa.array([], pa.int64())})
        joined = pa.concat_tables(tables)
        added = joined.group_by(names, use_threads=False).aggregate([("n", "sum")])
        return added.rename_columns([name if name != "n_sum" else "n" for name in added.column_names])

    def _has_counts(self, file: Stored) -> bool:
        """Whether a file's counts by hour answer for it: no end of the time asked cuts an hour of it."""
        c = self._condition
        low = file.time_min // cube.HOUR * cube.HOUR
        inside = (c.time_from is None or c.time_from <= low) and (
            c.time_to is None or file.time_max < c.time_to
        )
        if file.tier != "cold" or not inside or self._stretches(file) is not None:
            return False
        return self._counts_of(file).is_file()

    def _counts_of(self, file: Stored) -> Path:
        return parquet.path_of(self._snapshot.folder, file).with_suffix(cube.SUFFIX)

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
                last = _Key(tail["time"].cast(pa.int64())[0].as_py(), tail["journal_offset"][0].as_py())
                yield table
            if shown < PAGE:
                return

    def _page(
        self, limit: int, order: Order, columns: Sequence[str], after: _Key | None
    ) -> Iterator[pa.Table]:
        newest = order == "newest"
        condition = _after(self._condition, after, newest)
        files = self._within(condition)
        files.sort(key=lambda file: file.time_max if newest else file.time_min, reverse=newest)
        waiting: list[_Key] = []
        done = 0
        for chunk in _chunks(files, self._size):
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
            "SELECT epoch_us(time) AS time, journal_offset, filename, file_row_number FROM events"  # noqa: S608 - the condition binds its values
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
        names = dict.fromkeys(["time", "journal_offset", *columns]) if columns else EVENT_SCHEMA.names
        lying: dict[str, list[int]] = {}
        for key in keys:
            lying.setdefault(key.path, []).append(key.row)
        rows = {Path(path): [(row, row + 1) for row in sorted(held)] for path, held in lying.items()}
        near = [file for file in files if parquet.path_of(self._snapshot.folder, file) in rows]
        tables = self._select(near, f"SELECT {', '.join(names)} FROM events", (), rows)  # noqa: S608 - names of columns
        if tables:
            way = "descending" if order == "newest" else "ascending"
            yield pa.concat_tables(tables).sort_by([("time", way), ("journal_offset", way)])

    def _select(
        self,
        files: list[Stored],
        sql: str,
        params: tuple[object, ...],
        rows: dict[Path, list[tuple[int, int]]] | None = None,
        *,
        counts: bool = False,
    ) -> list[pa.Table]:
        """The result over these files; if one cannot be read, over each of the others by itself.

        ``rows``    of each file only these (default: those that can match)
        ``counts``  over the counts by hour beside the files; the events are read where those cannot be
        """
        bad = {damage.path.name for damage in self.damaged}
        good = [file for file in files if file.name not in bad]
        if not good:
            return []
        try:
            if counts:
                return [self._engine.counts([self._counts_of(file) for file in good], sql, params)]
            self.scanned += sum(map(self._size, good))
            return [self._engine.select(self._snapshot.paths(good), sql, params, self._narrowed(good, rows))]
        except FileUnreadable as error:
            if counts:
                return self._select(good, sql.replace("sum(n)::BIGINT", "count(*)", 1), params)
            if len(good) > 1:
                return [table for file in good for table in self._select([file], sql, params, rows)]
            self.damaged.append(Damage(self._snapshot.paths(good)[0], str(error), good[0].rows))
            return []

    def _narrowed(
        self, files: list[Stored], rows: dict[Path, list[tuple[int, int]]] | None
    ) -> dict[Path, Rows]:
        if rows is not None:
            return dict(rows)
        paths = zip(self._snapshot.paths(files), map(self._stretches, files), strict=True)
        return {path: stretches for path, stretches in paths if stretches is not None}


def _column(name: str) -> str:
    if name not in EVENT_SCHEMA.names:
        raise Refused(f"there is no column {name!r}", "`sekisho search --fields` lists them")
    return f"events.{name}"


def _countable(sql: str) -> bool:
    """Whether a statement needs nothing but what is counted by hour."""
    words = set(_WORD.findall(sql)) & set(EVENT_SCHEMA.names)
    return words <= {"time", *cube.DIMENSIONS}


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


def _chunks(
    files: Sequence[Stored], size_of: Callable[[Stored], int], most: int = _MOST
) -> Iterator[list[Stored]]:
    """Neighbours that are looked through at once: few rows at first, so that the newest are there soon."""
    size = _FIRST
    chunk: list[Stored] = []
    rows = 0
    for file in files:
        chunk.append(file)
        rows += size_of(file)
        if rows >= size:
            yield chunk
            chunk, rows, size = [], 0, min(size * 4, most)
    if chunk:
        yield chunk
