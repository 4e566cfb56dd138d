"""Answers to questions, as a stream of tables, always within somebody's rights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import duckdb
import pyarrow as pa

from sekisho import settings
from sekisho.lake import asking, hunt, indicators, reader, sandbox, terms
from sekisho.lake import following as follow
from sekisho.lake import query as language
from sekisho.lake.engines import Engine
from sekisho.lake.engines.duckdb import DuckDB
from sekisho.lake.fields import FIELDS, suggestions
from sekisho.lake.moments import span
from sekisho.lake.query import Condition, micros
from sekisho.lake.questions import (
    SAME,
    Around,
    Asked,
    Count,
    Explain,
    Find,
    Histogram,
    Hunted,
    Meter,
    Question,
    Sql,
    Stopped,
    Tail,
    Top,
    moment,
    zone_of,
)
from sekisho.lake.reader import Snapshot
from sekisho.lake.rights import RAW, WITHOUT_EXPORT, Narrowed, Rights
from sekisho.lake.search import Search
from sekisho.lake.terms import Value, all_of, any_of, equals
from sekisho.lake.writer import Damage
from sekisho.model import Refused
from sekisho.ocsf import EVENT_SCHEMA

#: Seconds between two looks of a live tail.
POLL = 0.5


class _Desk(NamedTuple):
    """Everything that an answer needs."""

    folder: Path
    options: settings.Lake
    rights: Rights
    now: datetime
    meter: Meter
    engine: Engine


def answer(
    question: Question,
    folder: Path,
    options: settings.Lake,
    rights: Rights,
    *,
    now: datetime,
    meter: Meter,
) -> Iterator[pa.Table]:
    """The answer, table after table. Raises ``Refused`` where the question or the rights do not allow it."""
    duck = DuckDB(options)
    meter.interrupt = duck.interrupt
    engine: Engine = Narrowed(duck, rights) if rights.narrow else duck
    desk = _Desk(folder, options, rights, now, meter, engine)
    try:
        if rights.narrow and not rights.raw:
            meter.notes.append(f"the role {rights.role} does not see {' and '.join(RAW)}")
        for table in _ANSWERS[type(question)](question, desk):
            meter.found += table.num_rows
            yield table
            if meter.ended.is_set():
                return
    except Stopped:
        return
    except duckdb.InterruptException:
        if not meter.ended.is_set():
            raise
    finally:
        meter.interrupt = None
        engine.close()


# -- what all share ----------------------------------------------------------------------------------------


def _condition(asked: Asked, desk: _Desk) -> Condition:
    zone = zone_of(asked.zone)
    condition = language.compile(asked.query, zone, desk.now)
    if asked.since or asked.until:
        condition = condition.during(
            micros(moment("--since", asked.since, zone, desk.now).start) if asked.since else None,
            micros(moment("--until", asked.until, zone, desk.now).end) if asked.until else None,
        )
    return desk.rights.limit(condition, desk.now)


def _look(asked: Asked, desk: _Desk) -> tuple[Snapshot, Condition]:
    condition = _condition(asked, desk)
    held = reader.snapshot(desk.folder)
    desk.meter.offset = held.offset
    desk.meter.total = sum(
        file.rows for file in held.within(condition.time_from, condition.time_to, condition.sources)
    )
    _damaged(list(held.damaged), desk)
    return held, condition


def _damaged(damaged: list[Damage], desk: _Desk) -> None:
    for damage in damaged:
        note = f"left out, not readable: {damage}"
        if note not in desk.meter.notes:
            desk.meter.notes.append(note)


def _export(export: bool, limit: int, desk: _Desk) -> int:
    """How many rows may be given: a role without export gets a screenful, not the store."""
    if export:
        desk.rights.demand("export")
    if desk.rights.export or 0 < limit <= WITHOUT_EXPORT:
        return limit
    desk.meter.notes.append(f"the role {desk.rights.role} gets at most {WITHOUT_EXPORT:,} rows at once")
    return WITHOUT_EXPORT


def _known(names: tuple[str, ...]) -> None:
    unknown = [name for name in names if name not in EVENT_SCHEMA.names]
    if unknown:
        raise Refused(
            f"--columns: there is no column {', '.join(unknown)}", "`sekisho search --fields` lists them"
        )


# -- one by one --------------------------------------------------------------------------------------------


def _find(asked: Find, desk: _Desk) -> Iterator[pa.Table]:
    _known(asked.columns)
    limit = _export(asked.export, asked.limit, desk)
    held, condition = _look(asked, desk)
    search = Search(held, desk.engine, condition)
    tables = _measured(search, search.rows(limit or None, asked.order, asked.columns), desk)
    if not asked.single:
        yield from tables
        return
    first = list(_until(tables, 2))
    if sum(table.num_rows for table in first) != 1:
        yield from first
        yield from tables
        return
    lone = next(table for table in first if table.num_rows).to_pylist()[0]
    at = micros(lone["time"])
    own = Condition("event_uid = ?", (_uid(search, condition, at, lone["journal_offset"]),)).during(
        at, at + 1
    )
    yield from search.again(own).rows(limit=1)


def _uid(search: Search, condition: Condition, at: int, offset: int) -> str:
    exact = condition.during(at, at + 1)
    exact = exact._replace(sql=f"({exact.sql}) AND journal_offset = ?", params=(*exact.params, offset))
    return next(
        str(table["event_uid"][0].as_py())
        for table in search.again(exact).rows(limit=1, columns=("event_uid",))
    )


def _until(tables: Iterator[pa.Table], rows: int) -> Iterator[pa.Table]:
    held = 0
    for table in tables:
        held += table.num_rows
        yield table
        if held >= rows:
            return


def _measured(search: Search, tables: Iterator[pa.Table], desk: _Desk) -> Iterator[pa.Table]:
    for table in tables:
        desk.meter.done = min(search.scanned, desk.meter.total)
        yield table
        if desk.meter.ended.is_set():
            raise Stopped
    desk.meter.done = desk.meter.total
    _damaged(search.damaged, desk)


def _count(asked: Count, desk: _Desk) -> Iterator[pa.Table]:
    held, condition = _look(asked, desk)
    search = Search(held, desk.engine, condition)
    yield pa.table({"n": pa.array([search.count()], pa.int64())})
    desk.meter.done = desk.meter.total
    _damaged(search.damaged, desk)


def _histogram(asked: Histogram, desk: _Desk) -> Iterator[pa.Table]:
    if asked.export:
        desk.rights.demand("export")
    held, condition = _look(asked, desk)
    files = held.within(condition.time_from, condition.time_to, condition.sources)
    low = max(min((f.time_min for f in files), default=0), condition.time_from or -(1 << 62))
    high = min(max((f.time_max for f in files), default=0), condition.time_to or 1 << 62)
    bucket = asking.bucket_of(asked.bucket, low, max(low, high))
    start = desk.now if not files else span(f"{_day(high)}", zone_of("UTC"), desk.now).start
    ahead = zone_of(asked.zone).utcoffset(start)
    damaged: list[Damage] = []
    yield asking.histogram(
        held,
        desk.engine,
        condition,
        bucket,
        zone_offset=0 if ahead is None else int(ahead.total_seconds()) * 1_000_000,
        by=_column_of(asked.by) if asked.by else "",
        told=desk.meter.told,
        damaged=damaged,
    ).replace_schema_metadata({"bucket": str(bucket)})
    _damaged(damaged, desk)


def _day(at: int) -> str:
    return str(pa.scalar(at, pa.timestamp("us", "UTC")).as_py().date())


def _column_of(name: str) -> str:
    """A column by its own name or by the short name of a field (its first column)."""
    if name in EVENT_SCHEMA.names:
        return name
    found = FIELDS.get(name.lower())
    if found is None:
        near = ", ".join(suggestions(name))
        raise Refused(
            f"there is no field {name!r}",
            f"did you mean {near}?" if near else "`sekisho search --fields` lists them",
        )
    return found.targets[0].column


def _top(asked: Top, desk: _Desk) -> Iterator[pa.Table]:
    if asked.export:
        desk.rights.demand("export")
    held, condition = _look(asked, desk)
    desk.meter.total *= max(1, len(asked.fields))
    damaged: list[Damage] = []
    for name in asked.fields:
        column = _column_of(name)
        limit = _export(asked.export, asked.limit, desk)
        found = asking.top(held, desk.engine, condition, column, limit, told=desk.meter.told, damaged=damaged)
        yield found.add_column(0, "field", pa.array([name] * found.num_rows, pa.string()))
    _damaged(damaged, desk)


def _around(asked: Around, desk: _Desk) -> Iterator[pa.Table]:
    _known(asked.columns)
    unknown = [name for name in asked.same if name not in SAME]
    if unknown:
        raise Refused(f"--same {', '.join(unknown)}: not known", f"give some of {', '.join(SAME)}")
    held, condition = _look(Find(f"event_uid:{asked.event_uid}"), desk)
    search = Search(held, desk.engine, condition)
    centre = next((row for table in search.rows(limit=1) for row in table.to_pylist()), None)
    if centre is None:
        raise Refused(f"there is no event {asked.event_uid}", "give the event_uid that a search shows")
    at, gap = micros(centre["time"]), asked.minutes * 60_000_000
    near = [_same(name, centre) for name in asked.same]
    told = [part for part in near if part is not None]
    if asked.same and not told:
        raise Refused(f"the event names no {' and no '.join(asked.same)}", "leave out --same")
    about = language.compile(asked.query, zone_of(asked.zone), desk.now)
    parts = [terms.Sql(about.sql, about.params), *([any_of(told)] if told else [])]
    both = all_of(parts)
    wanted = Condition(both.text, both.params).during(at - gap, at + gap + 1)
    # as wide as the question says, not as the role's default stretch before now
    wanted = desk.rights._replace(longest=0).limit(wanted, desk.now)
    limit = _export(False, asked.limit, desk)
    around = search.again(wanted)
    desk.meter.total = sum(file.rows for file in around.files())
    yield from _measured(around, around.rows(limit or None, "oldest", asked.columns), desk)


def _same(name: str, row: dict[str, object]) -> terms.Sql | None:
    """Any column of the field that holds any value that the event has in it."""
    known = FIELDS[name]
    values = {str(row[target.column]) for target in known.targets if row.get(target.column) not in (None, "")}
    return any_of(equals(known, Value(value)) for value in sorted(values)) if values else None


def _explain(asked: Explain, desk: _Desk) -> Iterator[pa.Table]:
    held, condition = _look(asked, desk)
    files = Search(held, desk.engine, condition).files()
    lines = [f"WHERE {condition.sql}", *(f"  ? {param!r}" for param in condition.params)]
    rows = sum(file.rows for file in files)
    lines.append(f"at most {len(files)} files with {rows:,} events are looked through")
    yield pa.table({"line": pa.array(lines, pa.string())})


def _sql(asked: Sql, desk: _Desk) -> Iterator[pa.Table]:
    desk.rights.demand("sql")
    rows = _export(False, asked.rows, desk)
    held = reader.snapshot(desk.folder)
    desk.meter.offset = held.offset
    _damaged(list(held.damaged), desk)
    since = micros(desk.now) - desk.rights.longest if desk.rights.longest else None
    stream = sandbox.stream(
        held,
        desk.options,
        asked.statement,
        rows=rows + 1,
        seconds=min(asked.seconds, 300.0),
        rights=desk.rights,
        since=since,
    )
    left = rows
    for batch in stream:
        table = pa.Table.from_batches([batch.slice(0, left)])
        if batch.num_rows > left:
            desk.meter.notes.append(f"cut at {rows} rows: --rows")
        left -= table.num_rows
        yield table


def _hunt(asked: Hunted, desk: _Desk) -> Iterator[pa.Table]:
    desk.rights.demand("hunt")
    if asked.export:
        desk.rights.demand("export")
    sought = []
    for held in asked.sought:
        try:
            sought.append(indicators.make(held.kind, held.value, held.name))
        except indicators.Unfit as error:
            raise Refused(f"{held.value[:100]}: {error}", "mend the list") from error
    empty = Condition("true", ())
    if asked.since:
        zone = zone_of(asked.zone)
        empty = empty.during(micros(moment("--since", asked.since, zone, desk.now).start), None)
    since = desk.rights.limit(empty, desk.now).time_from
    snapshot = reader.snapshot(desk.folder)
    desk.meter.offset = snapshot.offset
    looked = hunt.Hunt(snapshot, desk.engine, sought, since=since, rights=desk.rights)
    desk.meter.total = looked.rows
    looked.run(desk.meter.told)
    _damaged(looked.damaged, desk)
    for number, why in looked.skipped.items():
        desk.meter.notes.append(f"not looked for: {sought[number].value}: {why}")
    yield hunt.table(looked.found.values())


def _tail(asked: Tail, desk: _Desk) -> Iterator[pa.Table]:
    _known(asked.columns)
    condition = _condition(asked, desk)
    held, place = follow.start(desk.folder)
    names = tuple(dict.fromkeys(["time", "journal_offset", *asked.columns])) if asked.columns else ()
    search = Search(held, desk.engine, condition)
    if asked.since:
        yield from search.rows(None, "oldest", names)
    elif asked.last:
        found = list(search.rows(asked.last, "newest", names))
        yield from (_reversed(table) for table in reversed(found))
    # what is stored from now on counts whatever its time
    live = desk.rights._replace(longest=0).limit(
        language.compile(asked.query, zone_of(asked.zone), desk.now), desk.now
    )
    follower = follow.Follower(desk.folder, desk.engine, live, place)
    nothing = EVENT_SCHEMA.empty_table()
    while not desk.meter.ended.wait(POLL):
        for new in follower.poll(", ".join(names) or "*"):
            if new.rows is None:
                desk.meter.notes.append(new.note)
            else:
                yield new.rows
        yield nothing  # a sign of life; whoever went away is noticed


def _reversed(table: pa.Table) -> pa.Table:
    return table.take(pa.array(range(table.num_rows - 1, -1, -1), pa.int64()))


_ANSWERS: dict[type, Callable[..., Iterator[pa.Table]]] = {
    Find: _find,
    Count: _count,
    Histogram: _histogram,
    Top: _top,
    Around: _around,
    Explain: _explain,
    Sql: _sql,
    Hunted: _hunt,
    Tail: _tail,
}
