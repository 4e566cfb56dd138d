"""What is exported comes back the same, whatever it is; and no reader ever fails on hostile bytes."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta
from typing import Any

import openpyxl
from hypothesis import given, settings
from hypothesis import strategies as st

from sekisho.contract import TABLES
from sekisho.model import Problem
from sekisho.tabular import parse, plan, read, show, write
from sekisho.tabular.safe import escape, unescape

NOW = datetime(2026, 4, 1, tzinfo=UTC)
RUNS = ("=", "+", "-", "@", "\t", "\r", "\n")
printable = st.text(
    st.characters(exclude_categories=("Cc", "Cs", "Cf", "Zs", "Zl", "Zp", "Cn")), min_size=1, max_size=30
)
names = printable | st.sampled_from(["=1+1", "+81-3", "-x", "@SUM(A1)", "'=x", "''=x", "'", "＝1"])
instants = st.datetimes(datetime(1970, 1, 2), datetime(2100, 1, 1), timezones=st.just(UTC))
people = st.lists(
    st.tuples(names, instants, st.sampled_from(["Asia/Tokyo", "America/New_York", "Africa/Monrovia"]), names),
    max_size=6,
    unique_by=lambda row: row[0].casefold(),
)


@given(st.text(max_size=20) | names)
def test_escaping_is_undone_exactly_and_leaves_nothing_that_runs(text: str) -> None:
    assert unescape(escape(text)) == text
    assert not escape(text).startswith(RUNS)


@settings(max_examples=60, deadline=None)
@given(people, st.sampled_from(["csv", "xlsx"]))
def test_export_and_import_give_the_same_values(
    given_rows: list[tuple[str, datetime, str, str]], kind: str
) -> None:
    import unicodedata

    head = ["person_id", "name", "country", "zone", "employment_start"]
    nfc = [
        (unicodedata.normalize("NFC", a), t, z, unicodedata.normalize("NFC", b)) for a, t, z, b in given_rows
    ]
    if len({a.casefold() for a, *_ in nfc}) != len(nfc):
        return
    lines = [[a, b, "JP", z, show(t, z)] for a, t, z, b in nfc]
    content = write(head, lines, "csv" if kind == "csv" else "xlsx", "people")
    sheet, problems = read(content, "file", "people")
    assert problems == []
    assert sheet is not None
    found: Any = plan(TABLES["people"], parse(TABLES["people"], sheet, {}), [], complete=False, now=NOW)
    assert found.problems == ()
    came = [
        (c.after["person_id"], c.after["employment_start"], c.after["zone"], c.after["name"])
        for c in found.added
        if c.after
    ]
    assert came == nfc


def test_no_exported_cell_is_a_formula() -> None:
    cells = [["=1+1", "+1", "-1", "@a", "\t=1", "'=1", "plain"]]
    head = list("abcdefg")
    text = write(head, cells, "csv").decode("utf-8-sig")
    for cell in list(csv.reader(io.StringIO(text)))[1]:
        assert not cell.startswith(RUNS)
    page = openpyxl.load_workbook(io.BytesIO(write(head, cells, "xlsx"))).active
    assert page is not None
    assert {cell.data_type for row in page.iter_rows(min_row=2) for cell in row} == {"s"}


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_any_bytes_give_rows_or_problems(content: bytes) -> None:
    sheet, problems = read(content, "file", "networks")
    assert sheet is not None or problems
    assert all(isinstance(problem, Problem) for problem in problems)
    if sheet is not None:
        parse(TABLES["networks"], sheet, {})


cells = (
    st.sampled_from(
        [
            "",
            "203.0.113.0/24",
            "2001:db8::/32",
            "own-egress",
            "x",
            "JP",
            "2026-04-01T09:00:00+09:00",
            "2026-13-01T00:00Z",
            "9999-12-31T23:59:59-23:59",
            "0001-01-01T00:00:00+23:59",
            "2026-04-01T25:00+09:99",
        ]
    )
    | printable
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.lists(cells, min_size=5, max_size=7), max_size=5))
def test_any_cells_give_rows_or_problems(lines: list[list[str]]) -> None:
    content = write(["cidr", "name", "net_class", "country", "valid_from", "valid_to"], lines, "csv")
    sheet, problems = read(content, "file", "networks")
    assert sheet is not None
    assert problems == []
    parsed = parse(TABLES["networks"], sheet, {})
    found: Any = plan(TABLES["networks"], parsed, [], complete=True, now=NOW)
    bad = {problem.row for problem in parsed.problems}
    filled = sum(1 for line in lines if any(cell.strip() for cell in line))
    assert len(parsed.rows) + len(bad) == filled
    for change in found.added:
        assert change.after is not None
        start = change.after["valid_from"]
        assert isinstance(start, datetime)
        assert start.utcoffset() == timedelta(0)
