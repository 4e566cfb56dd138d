"""Every problem of a file at once, in both languages, word for word; and nothing guessed."""

from __future__ import annotations

import io
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from time import process_time

import openpyxl
import pytest

from sekisho.contract import TABLES
from sekisho.tabular import Plan, Row, parse, plan, read, template, told

NOW = datetime(2026, 4, 1, tzinfo=UTC)
GOLDEN = Path(__file__).parent / "problems"


def planned(
    table: str, content: bytes, *, name: str = "file.csv", known: frozenset[str] = frozenset()
) -> Plan[int]:
    sheet, problems = read(content, name, table)
    if sheet is None:
        return Plan((), (), (), (), 0, tuple(problems))
    parsed = parse(TABLES[table], sheet, {"people": known, "devices": known})
    return plan(
        TABLES[table], parsed._replace(problems=(*problems, *parsed.problems)), [], complete=False, now=NOW
    )


def rows(table: str, text: str, known: frozenset[str] = frozenset()) -> list[dict[str, object]]:
    found = planned(table, text.encode(), known=known)
    assert found.problems == ()
    return [dict(change.after or {}) for change in found.added]


PEOPLE = """person_id,name,email,role_class,country,prefecture,zone,employment_start,employment_end
emp1,関 守,mamoru.seki@example.jp,developer,JP,東京都,Asia/Tokyo,2024-04-01,
emp1,関 守,mamoru.seki@example.jp,developer,JP,東京都,Asia/Tokyo,2025-04-01,2026-03-31
,名無し,not-a-mail,boss,JPN,東京都,Tokyo,2024-04-31,2026-03-31T18:00:00
emp3,Ann,ann@example.com,office,US,,America/New_York,2024-04-01,2024-03-31

emp4,Bob,bob@example.com,office,US,,America/New_York,1 April 2024,,surplus
"""
ACCOUNTS = """system,account,person_id,kind,privileged,mfa_required,valid_from,valid_to
okta,a@example.jp,emp1,human,maybe,yes,2026-04-01T09:00:00,2026-04-01
okta,b@example.jp,emp9,robot,no,yes,2026-04-01T09:00:00+09:00,2026-04-01T08:00:00+09:00
okta,c@example.jp,emp1,human,no,yes,2026-04-01T09:00:00+09:00,
OKTA,C@example.jp,emp1,human,no,yes,2026-05-01T09:00:00+09:00,
"""
NETWORKS = """cidr,name,net_class,valid_from,colour,cidr
203.0.113.7/24,本社,own-egress,2026-04-01T09:00:00+09:00,blue,
"""
NETWORK_ROWS = """cidr,name,net_class,valid_from
203.0.113.7/24,本社,own-egress,2026-04-01T09:00:00+09:00
not an address,本社,home,2026-02-30T09:00:00+09:00
"""
DECOYS = """decoy_id,identifier,asset_tag,valid_from
D1,svc-secret,PC-9,2026-04-01T09:00:00+09:00
D1,svc-secret,PC-1,2026-04-01T09:00:00+09:00
D2,,PC-1,2026-04-01T09:00:00+09:00
"""


@pytest.mark.parametrize("language", ["ja", "en"])
@pytest.mark.parametrize(
    ("name", "table", "text"),
    [
        ("people", "people", PEOPLE),
        ("accounts", "accounts", ACCOUNTS),
        ("header", "networks", NETWORKS),
        ("networks", "networks", NETWORK_ROWS),
        ("decoys", "decoys", DECOYS),
    ],
)
def test_golden(name: str, table: str, text: str, language: str, request: pytest.FixtureRequest) -> None:
    found = planned(table, text.encode(), known=frozenset({"emp1", "PC-1"})).problems
    lines = "\n".join(told(found, "ja" if language == "ja" else "en")) + "\n"
    assert lines == (GOLDEN / f"{name}.{language}.txt").read_text(encoding="utf-8")


def test_a_decoys_identifier_is_in_no_problem() -> None:
    long = DECOYS.replace("svc-secret", "svc-secret" * 60)
    for text in (DECOYS, long):
        for language in ("ja", "en"):
            assert "svc-secret" not in "".join(told(planned("decoys", text.encode()).problems, language))


def test_d35_a_time_without_offset_is_rejected_and_never_shifted() -> None:
    text = "system,account,valid_from\nokta,a,{}\n"
    for time in (
        "2026-04-01T09:00:00",
        "2026-04-01 09:00",
        "2026/4/1 9:00",
        "2026-04-01",
        "2026-04-01T09:00 JST",
    ):
        found = planned("accounts", text.format(time).encode())
        assert found.added == ()
        assert [p.column for p in found.problems] == ["valid_from"]
    for time in (
        "2026-04-01T09:00:00+09:00",
        "2026-04-01 00:00Z",
        "2026/4/1 9:00 +0900",
        "2026-03-31T20:00-04:00",
    ):
        assert rows("accounts", text.format(time))[0]["valid_from"] == datetime(2026, 4, 1, tzinfo=UTC)


def test_bare_dates_are_local_midnight_and_an_end_is_the_end_of_that_day() -> None:
    text = "person_id,name,country,zone,employment_start,employment_end\nemp1,A,{},{},{},{}\n"
    tokyo = rows("people", text.format("JP", "Asia/Tokyo", "2024-04-01", "2026/3/31"))[0]
    assert tokyo["employment_start"] == datetime(2024, 3, 31, 15, tzinfo=UTC)
    assert tokyo["employment_end"] == datetime(2026, 3, 31, 15, tzinfo=UTC)
    # New York: summer time begins on 8 March 2026, so the day has 23 hours
    [york] = rows("people", text.format("US", "america/new_york", "2026-03-08", "2026-03-08"))
    assert york["zone"] == "America/New_York"
    assert york["employment_start"] == datetime(2026, 3, 8, 5, tzinfo=UTC)
    assert york["employment_end"] == datetime(2026, 3, 9, 4, tzinfo=UTC)


def test_japanese_headers_and_words_in_cp932_with_semicolons() -> None:
    account = "ログに現れるアカウント名・ID・メールアドレス・アクセスキー"
    head = f"システム;{account};従業員番号;特権;多要素認証を必須とするか;有効期間の開始"
    header = f"{head}\nokta;a@example.jp;emp1;はい;いいえ;2026-04-01T09:00:00+09:00\n"
    found = planned("accounts", header.encode("cp932"), known=frozenset({"emp1"}))
    assert found.problems == ()
    [change] = found.added
    assert change.after is not None
    assert (change.after["privileged"], change.after["mfa_required"], change.after["kind"]) == (
        True,
        False,
        "human",
    )


@pytest.mark.parametrize("word", ["yes", "TRUE", "1", "はい", "no", "False", "0", "いいえ", ""])
def test_words_for_truth(word: str) -> None:
    [row] = rows("accounts", f"system,account,privileged,valid_from\nokta,a,{word},2026-04-01T09:00Z\n")
    assert row["privileged"] is (word.lower() in ("yes", "true", "1", "はい"))


def book(*lines: list[object], sheet: str = "people") -> bytes:
    made = openpyxl.Workbook()
    page = made.active
    assert page is not None
    page.title = sheet
    for line in lines:
        page.append(line)
    out = io.BytesIO()
    made.save(out)
    return out.getvalue()


def test_xlsx_dates_numbers_and_row_numbers() -> None:
    head: list[object] = ["person_id", "name", "country", "zone", "employment_start", "employment_end"]
    day, clock = datetime(2024, 4, 1), datetime(2026, 3, 31, 18, 0)
    good = planned("people", book(head, [42, "A", "JP", "Asia/Tokyo", day.date(), None]), name="p.xlsx")
    assert good.problems == ()
    assert good.added[0].after is not None
    assert good.added[0].after["person_id"] == "42"
    assert good.added[0].after["employment_start"] == datetime(2024, 3, 31, 15, tzinfo=UTC)
    bad = planned(
        "people", book(head, [None], [42, "A", "JP", "Asia/Tokyo", day.date(), clock]), name="p.xlsx"
    )
    assert [(p.row, p.column, p.got) for p in bad.problems] == [(3, "employment_end", "2026-03-31T18:00:00")]


def test_a_formula_is_refused_with_its_place() -> None:
    head: list[object] = ["person_id", "name", "country", "zone", "employment_start"]
    found = planned(
        "people", book(head, ["emp1", '="A"&"B"', "JP", "Asia/Tokyo", "2024-04-01"]), name="p.xlsx"
    )
    assert [(p.row, p.column) for p in found.problems] == [(2, "name")]
    assert found.problems[0].expected.en == "a value, not a formula"


def test_the_sheet_with_the_tables_name_counts() -> None:
    made = openpyxl.load_workbook(io.BytesIO(template(TABLES["people"], "xlsx")))
    made.create_sheet("notes", 0).append(["anything"])
    out = io.BytesIO()
    made.save(out)
    assert len(planned("people", out.getvalue(), name="p.xlsx").added) == 1


def bomb() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/worksheets/sheet1.xml", b"0" * 30_000_000)
    return out.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n\n",
        b"\x00\x01\x02",
        b"PK\x03\x04 broken",
        bomb(),
        b'person_id,name\n"open,1\n',
        b"\xff\xfe\x81",
    ],
    ids=["empty", "blank", "binary", "broken zip", "bomb", "quotes", "encoding"],
)
def test_files_that_are_no_tables(content: bytes) -> None:
    found = planned("people", content)
    assert found.added == ()
    assert len(found.problems) >= 1
    assert all(p.expected.ja and p.expected.en for p in found.problems)


def test_every_template_can_be_imported() -> None:
    every = frozenset({"emp0042", "emp0003", "PC-0042"})
    for name, table in TABLES.items():
        for kind in ("csv", "xlsx"):
            found = planned(name, template(table, "csv" if kind == "csv" else "xlsx"), known=every)
            assert found.problems == (), name
            assert len(found.added) == 1


def test_a_row_is_plain_data() -> None:
    assert Row(2, {"a": None}, {}).number == 2


def test_a_problem_hides_no_other_of_the_same_row_or_of_the_next() -> None:
    head = "person_id,name,email,role_class,country,prefecture,zone,employment_start,employment_end\n"
    rest = "関 守,a@example.jp,office,JP,東京都,Asia/Tokyo"
    twice = f"emp5,{rest},2026-04-01,2026-03-01\nemp5,{rest},2026-04-01,\n"
    found = planned("people", (head + twice).encode()).problems
    assert [(p.row, p.column) for p in found] == [(2, "employment_end"), (3, "employment_start")]
    nameless = f",{rest.replace('office', 'boss')},2026-04-01,2026-03-01\n"
    found = planned("people", (head + nameless).encode()).problems
    assert {p.column for p in found} == {"person_id", "role_class", "employment_end"}


def workbook(rows: str) -> bytes:
    """A workbook whose sheet has these XML rows."""
    held, out = io.BytesIO(), io.BytesIO()
    openpyxl.Workbook().save(held)
    space = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    page = f'<worksheet xmlns="{space}"><sheetData>{rows}</sheetData></worksheet>'.encode()
    with zipfile.ZipFile(held) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for member in old.namelist():
            new.writestr(member, page if member == "xl/worksheets/sheet1.xml" else old.read(member))
    return out.getvalue()


def cell(place: str, text: str) -> str:
    return f'<c r="{place}" t="inlineStr"><is><t>{text}</t></is></c>'


def test_a_row_number_costs_nothing() -> None:
    """A tiny file that states row 1,048,576,000 had each row before it made: half a minute."""
    head = f'<row r="1">{cell("A1", "cidr")}</row>'
    far = f'<row r="1048576000">{cell("A1048576000", "x")}</row>'
    began = process_time()
    (problem,) = read(workbook(head + far), "x.xlsx")[1]
    assert "10,000 empty rows" in problem.expected.en
    assert process_time() - began < 5


def test_rows_left_out_and_cells_left_empty_count_as_before() -> None:
    some = f'<row r="3">{cell("B3", "name")}</row><row r="9">{cell("A9", "x")}<c r="B9"/></row>'
    sheet, problems = read(workbook(some), "x.xlsx")
    assert sheet is not None
    assert (problems, sheet.header) == ([], ("", "name"))
    assert [(row.number, row.cells) for row in sheet.rows] == [(9, ("x",))]


def test_a_sheet_has_an_end_of_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sekisho.tabular.sheet.MAX_CELLS", 10)
    rows = "".join(f'<row r="{n}">{cell(f"A{n}", "x")}{cell(f"B{n}", "y")}</row>' for n in range(1, 9))
    (problem,) = read(workbook(rows), "x.xlsx")[1]
    assert problem.expected.en == "at most 10 cells"
