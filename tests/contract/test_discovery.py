"""Discovery is loud: each fault of a content file is named with file, line and remedy, all at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from sekisho.contract import Content, discover
from sekisho.contract.faults import ADVISORY
from sekisho.model import ContentError

SOURCE = '''"""A source."""
from __future__ import annotations
from datetime import datetime
from msgspec import Struct
from sekisho.contract import Hints, Json, Recognise, Source
from sekisho.model import Text
from sekisho.ocsf import Event


class Record(Struct, gc=False):
    time: datetime
    user: str | None = None


def to_event(record: Record, hints: Hints) -> Event:
    return {"time": record.time, "class_uid": 3002, "activity_id": 1}


SOURCE = Source(
    id="made",
    title=Text(ja="試験", en="Made"),
    vendor="v",
    product="p",
    decode=Json(Record),
    map=to_event,
    recognise=Recognise(marks=(b"x",)),
    reference="https://example.com/",
    switch_on=Text(ja="常に", en="always"),
    advisory=("A10",),
)
'''

RULE = '''"""A rule."""
from sekisho.contract import Match, Rule, Told
from sekisho.model import Severity, Text


def tell(match: Match) -> Told:
    return Told("s", "a", Severity.LOW, Text(ja="何か", en="something"))


RULE = Rule(
    id="made-rule",
    title=Text(ja="試験", en="Made"),
    advisory=("A8",),
    attack=("T1078.004",),
    query="SELECT e.* FROM events e",
    tell=tell,
    why=Text(ja="理由", en="why"),
    todo=(Text(ja="調べる", en="look"),),
    columns=("user_name",),
    tables=("people",),
)
'''


class Made:
    """A content folder under construction."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def source(self, text: str = SOURCE, name: str = "made", *, case: bool = True) -> Made:
        folder = self.root / "sources"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
        if case:
            (folder / f"{name}.cases").mkdir(exist_ok=True)
            (folder / f"{name}.cases" / "one.in").write_text("{}")
        return self

    def rule(
        self, text: str = RULE, name: str = "made_rule.py", group: str = "g", *, case: bool = True
    ) -> Made:
        folder = self.root / "rules" / group
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
        if case:
            (folder / f"{name.rpartition('.')[0]}.cases.yml").write_text("cases: []\n")
        return self

    def content(self) -> Content:
        return discover(self.root)

    def problems(self) -> list[tuple[str, str]]:
        with pytest.raises(ContentError) as caught:
            discover(self.root)
        assert all(problem.remedy for problem in caught.value.problems)
        return [(problem.where, problem.why) for problem in caught.value.problems]


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return Made(tmp_path)


def test_what_is_shipped_loads() -> None:
    content = discover()
    assert {"okta", "entra_signin", "cloudtrail", "ocsf", "sekisho"} <= content.sources.keys()


def test_a_source_and_rules_of_both_kinds_are_found(made: Made) -> None:
    content = made.source().rule().rule("title: x\n", "from_sigma.yml").content()
    assert list(content.sources) == ["made"]
    assert list(content.rules) == ["made-rule"]
    assert content.sigma == {"from-sigma": made.root / "rules/g/from_sigma.yml"}
    assert content.files["rule/made-rule"] == made.root / "rules/g/made_rule.py"


def test_the_same_file_is_loaded_once(made: Made) -> None:
    made.source()
    assert made.content().sources["made"] is made.content().sources["made"]


def test_an_empty_folder_is_empty_content(made: Made) -> None:
    assert made.content().sources == {}


@pytest.mark.parametrize(
    ("old", "new", "line", "why"),
    [
        ("from datetime import datetime", "import requests", 3, "imports requests"),
        ("from datetime import datetime", "from sekisho import lake", 3, "imports sekisho.lake"),
        ("from datetime import datetime", "from . import okta", 3, "imports ."),
        (
            "from datetime import datetime",
            "from sekisho.content.sources import okta",
            3,
            "imports sekisho.content",
        ),
        ("user: str | None = None", "user: str | None = 1 / 0", 12, "does not import: ZeroDivisionError"),
        ("def to_event(", "def to_event((", 15, "is not Python"),
        ("SOURCE = Source(", "OTHER = Source(", 1, "defines no SOURCE"),
        ("SOURCE = Source(", "SOURCE = dict(", 1, "SOURCE is a dict"),
        ('id="made"', 'id="other"', 20, "does not fit the file name"),
        ('id="made"', 'id="Made"', 20, "is no id"),
        ('advisory=("A10",)', 'advisory=("A11",)', 29, "'A11' is no ID of the advisory"),
        ('advisory=("A10",)', "advisory=()", 29, "names no ID of the advisory"),
        ("https://example.com/", "", 27, "has no reference"),
        ('advisory=("A10",)', 'advisory=("A10",), zone="Asia/Tokio"', 29, "no IANA time zone"),
        ('advisory=("A10",)', 'advisory=("A10",), lag=-1', 29, "lag is negative"),
        ('title=Text(ja="試験", en="Made")', 'title="Made"', 21, "not in both languages"),
        ('en="always"', 'en=""', 28, "does not import: ValueError"),
    ],
)
def test_each_fault_of_a_source_is_named(made: Made, old: str, new: str, line: int, why: str) -> None:
    assert old in SOURCE
    problems = made.source(SOURCE.replace(old, new)).problems()
    assert len(problems) == 1, problems
    where, told = problems[0]
    assert why in told
    assert where == f"sources/made.py:{line}"


@pytest.mark.parametrize(
    ("old", "new", "line", "why"),
    [
        ('id="made-rule"', 'id="made"', 11, "does not fit the file name"),
        ("T1078.004", "T10", 14, "no ATT&CK technique"),
        ('columns=("user_name",)', 'columns=("user_nam",)', 19, "'user_nam' is no column"),
        ('tables=("people",)', 'tables=("persons",)', 20, "'persons' is no master-data table"),
        ('tables=("people",)', 'shown=("x",)', 20, "'x' is no column"),
        ('todo=(Text(ja="調べる", en="look"),)', "todo=()", 18, "what to do now"),
        ("RULE = Rule(", "NO = Rule(", 1, "defines no RULE"),
        ("from sekisho.model import", "import duckdb\nfrom sekisho.model import", 3, "imports duckdb"),
    ],
)
def test_each_fault_of_a_rule_is_named(made: Made, old: str, new: str, line: int, why: str) -> None:
    assert old in RULE
    problems = made.rule(RULE.replace(old, new)).problems()
    assert len(problems) == 1, problems
    where, told = problems[0]
    assert why in told
    assert where == f"rules/g/made_rule.py:{line}"


def test_a_file_without_cases_is_a_problem(made: Made) -> None:
    made.source(case=False).rule(case=False).rule("title: x\n", "by_sigma.yml", case=False)
    assert [where for where, why in made.problems() if "has no cases" in why] == [
        "sources/made.py:1",
        "rules/g/by_sigma.yml:1",
        "rules/g/made_rule.py:1",
    ]


def test_an_empty_cases_folder_is_a_problem(made: Made) -> None:
    made.source()
    (made.root / "sources/made.cases/one.in").unlink()
    assert "holds no case" in made.problems()[0][1]


def test_cases_without_their_file_are_a_problem(made: Made) -> None:
    made.source().rule()
    (made.root / "sources/made.py").unlink()
    (made.root / "rules/g/made_rule.py").unlink()
    assert [where for where, _ in made.problems()] == [
        "sources/made.cases:1",
        "rules/g/made_rule.cases.yml:1",
    ]


def test_an_id_is_given_once_over_all_groups_and_kinds(made: Made) -> None:
    made.rule().rule(group="other").rule("title: x\n", "made_rule.yml", group="third")
    problems = made.problems()
    assert [where for where, _ in problems] == ["rules/other/made_rule.py:1", "rules/third/made_rule.yml:1"]
    assert all("is taken by rules/g/made_rule.py" in why for _, why in problems)


def test_a_file_that_is_not_utf_8_is_a_problem(made: Made) -> None:
    made.source()
    (made.root / "sources/made.py").write_bytes(b"# \xff\n")
    assert "is not UTF-8" in made.problems()[0][1]


def test_all_problems_of_all_files_are_shown_at_once(made: Made) -> None:
    bad = SOURCE.replace('advisory=("A10",)', 'advisory=("A11",)').replace("https://example.com/", "")
    made.source(bad).source("import os, duckdb", "second").rule(RULE.replace("T1078.004", "T"))
    with pytest.raises(ContentError) as caught:
        made.content()
    assert len(caught.value.problems) == 4
    text = str(caught.value)
    assert text.startswith("4 problems in content")
    assert "sources/second.py:1: imports duckdb" in text
    assert "remedy: " in text


def test_the_ids_are_those_of_the_advisory(shared_data: Path) -> None:
    text = (shared_data.parent / "mission" / "advisory.md").read_text(encoding="utf-8")
    written = {line.split("**")[1] for line in text.splitlines() if line.startswith("| **")}
    assert written == ADVISORY
