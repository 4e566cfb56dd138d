"""Questions that count: over time (histogram) and by value (top)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

import pyarrow as pa
import pyarrow.compute as pc

from sekisho.lake.cold.cube import HOUR
from sekisho.lake.engines import Engine, FileUnreadable
from sekisho.lake.manifest import Stored
from sekisho.lake.query import Condition
from sekisho.lake.reader import Snapshot
from sekisho.lake.search import Search
from sekisho.lake.writer import Damage
from sekisho.model import Refused
from sekisho.ocsf import EVENT_SCHEMA, TIME

#: Rows of files that are asked at once: so often progress is told and a stop is heard.
_ROWS = 4_000_000
#: Bars of a histogram: more says nothing to a person and needs memory.
MOST_BARS = 100_000
#: Values that are kept on the way to the most frequent ones of all files.
_MOST_VALUES = 2_000_000

_SECOND = 1_000_000
#: Lengths that a person reads at a glance, in µs.
STEPS = tuple(
    n * _SECOND
    for n in (1, 5, 15, 30, 60, 300, 900, 1800, 3600, 10_800, 21_600, 43_200, 86_400, 604_800, 2_592_000)
)
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}

Told = Callable[[int], None]


def bucket_of(text: str, low: int, high: int, bars: int = 60) -> int:
    """Length of one bar in µs: ``1m``, ``1h``, ``1d``, ...; AUTO gives at most ``bars`` between the times."""
    if text.upper() == "AUTO":
        return next((step for step in STEPS if (high - low) <= step * bars), STEPS[-1])
    number, unit = text[:-1], text[-1:].lower()
    if not number.isascii() or not number.isdigit() or unit not in _UNITS or not 0 < int(number) <= 10_000:
        raise Refused(f"--histogram {text}: not a length of time", "write AUTO, 1m, 15m, 1h, 1d or 1w")
    return int(number) * _UNITS[unit] * _SECOND


def histogram(
    snapshot: Snapshot,
    engine: Engine,
    condition: Condition,
    bucket: int,
    *,
    zone_offset: int = 0,
    by: str = "",
    told: Told | None = None,
    damaged: list[Damage] | None = None,
) -> pa.Table:
    """How many events match, by stretch of time, and by the values of one column if ``by`` names it.

    ``bucket``       length of a stretch in µs
    ``zone_offset``  µs that the reader's clock is ahead of UTC: a day begins at his midnight
    Table of ``time`` (start of the stretch), ``n`` and ``by``, in order of time; stretches without events
    are left out.
    """
    column = _column(by) if by else ""
    if bucket % HOUR == 0 and zone_offset % HOUR == 0:
        return _hourly(Search(snapshot, engine, condition), bucket, zone_offset, column, told, damaged)
    extra = f", {column} AS by" if by else ""
    sql = (
        "SELECT ((epoch_us(time) + ?) // ? - CASE WHEN (epoch_us(time) + ?) % ? < 0 THEN 1 ELSE 0 END)"  # noqa: S608 - a name of a column
        f" * ? - ? AS time, count(*) AS n{extra} FROM events WHERE {condition.sql} GROUP BY ALL"
    )
    params = (zone_offset, bucket, zone_offset, bucket, bucket, zone_offset, *condition.params)
    counted: Counter[tuple[int, object]] = Counter()
    for table in _each(snapshot, engine, condition, sql, params, told, damaged):
        values = table["by"].to_pylist() if by else [None] * table.num_rows
        for time, value, n in zip(table["time"].to_pylist(), values, table["n"].to_pylist(), strict=True):
            counted[time, value] += n
        if len(counted) > MOST_BARS:
            raise Refused(f"more than {MOST_BARS:,} bars", "choose longer ones, or narrow the time")
    rows = sorted(counted.items(), key=lambda item: (item[0][0], -item[1], str(item[0][1])))
    columns = {
        "time": pa.array([key[0] for key, _ in rows], pa.int64()).cast(TIME),
        "n": pa.array([n for _, n in rows], pa.int64()),
    }
    if by:
        columns["by"] = pa.array([None if key[1] is None else str(key[1]) for key, _ in rows], pa.string())
    return pa.table(columns)


def _hourly(
    search: Search,
    bucket: int,
    zone_offset: int,
    by: str,
    told: Told | None,
    damaged: list[Damage] | None,
) -> pa.Table:
    """Where counts by hour may serve. Of a column whose values are no texts ``by`` is text here too."""
    found = search.histogram(bucket, zone_offset, by or None)
    if told is not None:
        told(search.scanned)
    if damaged is not None:
        damaged += [one for one in search.damaged if one not in damaged]
    if found.num_rows > MOST_BARS:
        raise Refused(f"more than {MOST_BARS:,} bars", "choose longer ones, or narrow the time")
    found = found.set_column(found.column_names.index("time"), "time", found["time"].cast(TIME))
    if not by:
        return found.select(["time", "n"])
    texts = pa.array([None if value is None else str(value) for value in found[by].to_pylist()], pa.string())
    named = found.select(["time", "n"]).append_column("by", texts)
    order = sorted(
        range(named.num_rows),
        key=lambda row: (named["time"][row].value, -named["n"][row].as_py(), str(texts[row])),
    )
    return named.take(pa.array(order, pa.int64()))


def top(
    snapshot: Snapshot,
    engine: Engine,
    condition: Condition,
    column: str,
    limit: int,
    *,
    told: Told | None = None,
    damaged: list[Damage] | None = None,
) -> pa.Table:
    """The most frequent values of one column: ``value`` (as text; null = not recorded), ``n``."""
    sql = (
        f"SELECT CAST({_column(column)} AS VARCHAR) AS value, count(*) AS n FROM events"  # noqa: S608 - a name of a column
        f" WHERE {condition.sql} GROUP BY ALL"
    )
    held: pa.Table | None = None
    for table in _each(snapshot, engine, condition, sql, condition.params, told, damaged):
        both = table if held is None else pa.concat_tables([held, table])
        held = both.group_by("value").aggregate([("n", "sum")]).rename_columns(["value", "n"])
        if held.num_rows > _MOST_VALUES:
            raise Refused(
                f"{column} has more than {_MOST_VALUES:,} different values here",
                "narrow the search or the time",
            )
    if held is None:
        return pa.table({"value": pa.array([], pa.string()), "n": pa.array([], pa.int64())})
    held = held.select(["value", "n"]).sort_by([("n", "descending"), ("value", "ascending")])
    return held.slice(0, limit).set_column(1, "n", pc.cast(held.slice(0, limit)["n"], pa.int64()))


def _column(name: str) -> str:
    if name not in EVENT_SCHEMA.names:
        raise Refused(f"there is no column {name}", "`sekisho search --fields` lists them")
    return name


def _each(
    snapshot: Snapshot,
    engine: Engine,
    condition: Condition,
    sql: str,
    params: tuple[object, ...],
    told: Told | None,
    damaged: list[Damage] | None,
) -> Iterator[pa.Table]:
    """The answer of some files after the other; a file that cannot be read is left out and named."""
    waiting = _groups(snapshot.within(condition.time_from, condition.time_to, condition.sources))
    for group in waiting:
        try:
            yield engine.select(snapshot.paths(group), sql, params)
        except FileUnreadable as error:
            if len(group) > 1:
                waiting.extend([file] for file in group)
                continue
            if damaged is not None:
                damaged.append(Damage(snapshot.paths(group)[0], str(error), group[0].rows))
        if told is not None:
            told(sum(file.rows for file in group))


def _groups(files: list[Stored]) -> list[list[Stored]]:
    groups: list[list[Stored]] = []
    rows = _ROWS
    for file in files:
        if rows >= _ROWS:
            groups.append([])
            rows = 0
        groups[-1].append(file)
        rows += file.rows
    return groups
