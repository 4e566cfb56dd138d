"""Rows of text into typed rows, with every problem of the file at once."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Set
from typing import NamedTuple

from sekisho.contract import Field, Table
from sekisho.model import Problem, Text
from sekisho.tabular.sheet import Sheet, SheetRow
from sekisho.tabular.values import NotThis, Row, Value, value


class Parsed(NamedTuple):
    """``rows`` are without problem. ``faulty`` rows hold what could be read of the others, so that they
    are still compared with the rest."""

    rows: tuple[Row, ...]
    faulty: tuple[Row, ...]
    problems: tuple[Problem, ...]


def parse(table: Table, sheet: Sheet, known: Mapping[str, Set[str]]) -> Parsed:
    """``known``: for each table that ``table.refers`` names, the keys that exist (case counts).

    A required column must be there; a column that is left out keeps what is stored (``plan``). An
    empty cell of a column with a default takes the default. A ``hashed`` column may be empty here.
    What a ``hashed`` column holds is never repeated in a problem.
    """
    columns, problems = _columns(table, sheet)
    if not any(columns):
        return Parsed((), (), tuple(problems))  # another table: each cell would only be another problem
    rows: list[Row] = []
    faulty: list[Row] = []
    for line in sheet.rows:
        row, wrong = _row(table, columns, line, known)
        problems.extend(wrong)
        (faulty if wrong else rows).append(row)
    return Parsed(tuple(rows), tuple(faulty), tuple(problems))


# -- the header ------------------------------------------------------------------------------------


def _fold(text: str) -> str:
    return unicodedata.normalize("NFKC", text).strip().casefold()


def _names(field: Field) -> set[str]:
    """What the column may be called: its name, or its description in Japanese or English, with or
    without what stands in brackets."""
    ja, en = _fold(field.doc.ja), _fold(field.doc.en)
    return {_fold(field.name), ja, en, ja.partition("(")[0].strip(), en.partition("(")[0].strip()}


def _columns(table: Table, sheet: Sheet) -> tuple[list[Field | None], list[Problem]]:
    by_name = {name: field for field in reversed(table.fields) for name in _names(field)}
    by_name |= {_fold(field.name): field for field in table.fields}
    allowed = ", ".join(field.name for field in table.fields)
    columns: list[Field | None] = []
    problems = []
    for index, head in enumerate(sheet.header, 1):
        field = by_name.get(_fold(head))
        if field is None and (head or any(len(r.cells) >= index and r.cells[index - 1] for r in sheet.rows)):
            expected = Text(ja=f"次のいずれかの列名: {allowed}", en=f"a column named one of: {allowed}")
            problems.append(Problem(1, head or str(index), head, expected, table.fields[0].name))
        elif field is not None and field in columns:
            expected = Text(ja="各列は 1 回だけ", en="each column only once")
            problems.append(Problem(1, field.name, head, expected))
        columns.append(field)
    for field in table.fields:
        if field.required and field not in columns:
            expected = Text(
                ja=f"必須の列「{field.name}」（{field.doc.ja}）",
                en=f"the column '{field.name}' ({field.doc.en}), which is required",
            )
            problems.append(Problem(1, field.name, "", expected, field.example))
    return columns, problems


# -- one row ---------------------------------------------------------------------------------------


def _row(
    table: Table, columns: list[Field | None], line: SheetRow, known: Mapping[str, Set[str]]
) -> tuple[Row, list[Problem]]:
    given = {f.name: cell.strip() for f, cell in zip(columns, line.cells, strict=False) if f is not None}
    given |= {f.name: "" for f in columns if f is not None and f.name not in given}
    values: dict[str, Value] = {}
    problems: list[Problem] = []
    refers = dict(table.refers)
    zone = _zone_of(table, given)
    for field in table.fields:
        if field.name not in given:
            continue
        text = given[field.name]
        try:
            cell = _cell(table, field, text, zone)
            _refer(refers.get(field.name), cell, known)
        except NotThis as wrong:
            shown = "" if field.name in table.hashed else text[:80]
            problems.append(Problem(line.number, field.name, shown, wrong.expected, wrong.example))
        else:
            values[field.name] = cell
    problems.extend(_surplus(columns, line))
    return Row(line.number, values, {k: v for k, v in given.items() if k not in table.hashed}), problems


def _surplus(columns: list[Field | None], line: SheetRow) -> list[Problem]:
    surplus = [cell for cell in line.cells[len(columns) :] if cell.strip()]
    if not surplus:
        return []
    expected = Text(
        ja=f"見出しと同じ {len(columns)} 列", en=f"{len(columns)} cells, as many as the header has"
    )
    return [Problem(line.number, str(len(columns) + 1), surplus[0][:80], expected)]


def _zone_of(table: Table, given: Mapping[str, str]) -> str | None:
    for field in table.fields:
        if field.kind == "zone" and given.get(field.name):
            try:
                return str(value(field, given[field.name], None))
            except NotThis:
                return None
    return None


def _cell(table: Table, field: Field, text: str, zone: str | None) -> Value:
    text = text or field.default
    if text:
        return value(field, text, zone)
    if field.required and field.name not in table.hashed:
        raise NotThis(Text(ja=f"{field.doc.ja}（必須）", en=f"{field.doc.en} (required)"), field.example)
    return None


def _refer(table: str | None, cell: Value, known: Mapping[str, Set[str]]) -> None:
    if table is None or cell is None or cell in known.get(table, set()):
        return
    raise NotThis(
        Text(ja=f"{table} 表にある番号", en=f"one that the table '{table}' holds"),
        f"sekisho {table} list",
    )
