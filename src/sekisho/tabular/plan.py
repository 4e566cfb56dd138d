"""What a file would change, given what is stored. Nothing is done here."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Generic, NamedTuple, TypeVar

from sekisho.contract import Field, Table
from sekisho.model import Problem, Text
from sekisho.tabular.parse import Parsed
from sekisho.tabular.values import Row, Value, show

Id = TypeVar("Id")
Values = Mapping[str, Value]
Key = tuple[Value, ...]


class Stored(NamedTuple, Generic[Id]):
    """A current version: the database's id and all columns."""

    id: Id
    values: Values


class Change(NamedTuple, Generic[Id]):
    """``before`` None: added. ``after`` None: withdrawn. Else changed, or closed (only its end)."""

    before: Stored[Id] | None
    after: dict[str, Value] | None


class Plan(NamedTuple, Generic[Id]):
    """``closed``: missing from a complete file, so they end now. ``withdrawn``: missing from it and not
    begun yet, or contradicted by the file; they stay in the history only."""

    added: tuple[Change[Id], ...]
    changed: tuple[Change[Id], ...]
    closed: tuple[Change[Id], ...]
    withdrawn: tuple[Change[Id], ...]
    unchanged: int
    problems: tuple[Problem, ...]

    @property
    def changes(self) -> tuple[Change[Id], ...]:
        return self.withdrawn + self.closed + self.changed + self.added


class _Span(NamedTuple):
    start: datetime
    end: datetime | None
    row: int | None  # None: stored, not in the file

    def meets(self, other: _Span) -> bool:
        first, second = (self, other) if self.start <= other.start else (other, self)
        return first.start == second.start or first.end is None or first.end > second.start


def plan(
    table: Table, parsed: Parsed, stored: Sequence[Stored[Id]], *, complete: bool, now: datetime
) -> Plan[Id]:
    """``parsed`` against what is stored. ``complete``: the file is the whole table, so what it lacks
    ends at ``now``. With problems (of ``parsed``, too; in the order of the rows) nothing may be applied."""
    by_key = {_key(table, item.values): item for item in stored}
    rows, problems = _completed(table, parsed, by_key)
    needed = (*table.key, *table.interval)
    placed = [r for r in parsed.faulty if all(n in r.values or n not in r.given for n in needed)]
    problems += _intervals(table, [*rows, *parsed.faulty])
    keys = {_key(table, row.values) for row in (*rows, *placed)}
    rest = [item for item in stored if _key(table, item.values) not in keys]
    closed, withdrawn, kept = _missing(table, rest, rows, now) if complete else ([], [], rest)
    left = [
        *kept,
        *(Stored(change.before.id, change.after) for change in closed if change.before and change.after),
    ]
    problems += _overlaps(table, [*rows, *placed], left)
    added, changed = [], []
    for row in rows:
        before = by_key.get(_key(table, row.values))
        if before is None:
            added.append(Change[Id](None, row.values))
        elif row.values != before.values:
            changed.append(Change(before, row.values))
    same = len(rows) - len(added) - len(changed) + (len(kept) if complete else 0)
    everything = sorted((*parsed.problems, *problems), key=lambda problem: problem.row or 0)
    return Plan(tuple(added), tuple(changed), tuple(closed), tuple(withdrawn), same, tuple(everything))


def _key(table: Table, values: Values) -> Key:
    return tuple(values.get(name) for name in table.key)


def _entity(table: Table, values: Values) -> Key:
    """Key without the start of validity, folded: whom or what the intervals are about."""
    parts = (values.get(name) for name in table.key if name != table.interval[0])
    return tuple(part.casefold() if isinstance(part, str) else part for part in parts)


def _completed(
    table: Table, parsed: Parsed, by_key: Mapping[Key, Stored[Id]]
) -> tuple[list[Row], list[Problem]]:
    """Columns that the file leaves out, and empty cells of hashed columns, keep what is stored."""
    rows, problems = [], []
    for row in parsed.rows:
        before = by_key.get(_key(table, row.values))
        values: dict[str, Value] = {}
        for field in table.fields:
            cell = row.values.get(field.name)
            left_out = field.name not in row.values or (field.name in table.hashed and cell is None)
            if left_out:
                cell = before.values.get(field.name) if before else _default(field)
            if cell is None and field.required:
                expected = Text(ja=f"{field.doc.ja}（必須）", en=f"{field.doc.en} (required)")
                problems.append(Problem(row.number, field.name, "", expected, field.example))
            values[field.name] = cell
        rows.append(row._replace(values=values))
    return rows, problems


def _default(field: Field) -> Value:
    if field.kind == "bool" and field.default:
        return field.default == "yes"
    return field.default or None


def _span(table: Table, values: Values, row: int | None) -> _Span | None:
    start, end = (values.get(name) for name in table.interval)
    if not isinstance(start, datetime) or not isinstance(end, datetime | None):
        return None
    return _Span(start, end, row)


def _intervals(table: Table, rows: Iterable[Row]) -> list[Problem]:
    problems = []
    begin, end = table.interval
    for row in rows:
        span = _span(table, row.values, row.number)
        if span and span.end is not None and span.end <= span.start:
            since = row.given.get(begin) or show(span.start)
            expected = Text(ja=f"{begin}（{since}）より後の時刻", en=f"a time after {begin} ({since})")
            problems.append(Problem(row.number, end, row.given.get(end, ""), expected))
    return problems


def _overlaps(table: Table, rows: Sequence[Row], stored: Sequence[Stored[Id]]) -> list[Problem]:
    spans: dict[Key, list[_Span]] = defaultdict(list)
    of_file = [(row.values, row.number) for row in rows]
    for values, number in [*of_file, *((item.values, None) for item in stored)]:
        if (span := _span(table, values, number)) is not None:
            spans[_entity(table, values)].append(span)
    shown = {row.number: row for row in rows}
    problems = []
    for found in spans.values():
        found.sort(key=lambda s: (s.start, s.row or 0))
        problems.extend(_clashes(table, found, shown))
    return problems


def _clashes(table: Table, spans: list[_Span], shown: Mapping[int, Row]) -> list[Problem]:
    """Each row of the file that meets another interval of the same thing is told once."""
    problems = []
    reach = spans[0]
    alone = table.interval[0] not in table.key  # then the key may stand in the file only once
    for span in spans[1:]:
        if alone or reach.meets(span):
            later, other = (span, reach) if span.row is not None else (reach, span)
            if later.row is not None:
                problems.append(_clash(table, shown[later.row], other))
        if reach.end is not None and (span.end is None or span.end > reach.end):
            reach = span
    return problems


def _clash(table: Table, row: Row, other: _Span) -> Problem:
    if table.interval[0] not in table.key:
        where = Text(ja=f"{other.row} 行目と同じ番号", en=f"also in row {other.row}")
        if other.row is None:
            where = Text(ja="大文字小文字だけが違う登録済みの番号", en="stored in other upper or lower case")
        once = Text(ja=f"1 つの番号は 1 回だけ（{where.ja}）", en=f"each number only once ({where.en})")
        return Problem(row.number, table.key[0], row.given.get(table.key[0], ""), once)
    until = show(other.end) or "…"
    when = f"{show(other.start)} – {until}"
    if other.row is not None:
        expected = Text(
            ja=f"{other.row} 行目（{when}）と重ならない期間",
            en=f"a period that does not meet row {other.row} ({when})",
        )
    else:
        expected = Text(
            ja=f"登録済みの期間（{when}）と重ならない期間。先に終了させる行も入れてください",
            en=f"a period that does not meet the stored one ({when}); include its row with an end",
        )
    column = table.interval[0]
    name = next(name for name in table.key if name != column)
    return Problem(
        row.number, column, f"{row.given.get(name, '')} {row.given.get(column, '')}".strip(), expected
    )


def _missing(
    table: Table, rest: Sequence[Stored[Id]], rows: Sequence[Row], now: datetime
) -> tuple[list[Change[Id]], list[Change[Id]], list[Stored[Id]]]:
    """What a complete file lacks: closed, withdrawn, or ended already and so kept."""
    of_file: dict[Key, list[_Span]] = defaultdict(list)
    for row in rows:
        if (span := _span(table, row.values, row.number)) is not None:
            of_file[_entity(table, row.values)].append(span)
    end = table.interval[1]
    closed, withdrawn, kept = [], [], []
    for item in rest:
        span = _span(table, item.values, None)
        assert span is not None  # nothing without a start is ever stored
        over = span.end is not None and span.end <= now
        ended = span if over else span._replace(end=now)
        if span.start >= now or any(ended.meets(other) for other in of_file[_entity(table, item.values)]):
            withdrawn.append(Change(item, None))
        elif over:
            kept.append(item)
        else:
            closed.append(Change(item, {**item.values, end: now}))
    return closed, withdrawn, kept
