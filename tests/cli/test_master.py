"""`sekisho people|accounts import` as a person calls it: what it asks and warns of."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from django.db import connections

from sekisho.cli.main import group
from sekisho.model import Refused

HEADER = "person_id,name,country,zone,employment_start,employment_end\n"
PEOPLE = HEADER + "".join(f"emp{n:04d},林 {n},JP,Asia/Tokyo,2020-04-01,\n" for n in range(1, 21))


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "data"
    connections.close_all()


def take_in(data: Path, table: str, text: str, *options: str) -> Result:
    path = data.parent / f"{table}.csv"
    path.write_text(text)
    args = ["--data", str(data), table, "import", str(path), "--lang", "en", *options]
    return CliRunner().invoke(group, args, catch_exceptions=False)


def without(rows: int) -> str:
    return "\n".join(PEOPLE.splitlines()[: 21 - rows]) + "\n"


def held(data: Path) -> int:
    """Rows without an end."""
    from sekisho.modules.people.models import Person

    return Person.objects.filter(superseded_at=None, employment_end=None).count()


@pytest.mark.parametrize("missing", [5, 20])
def test_a_complete_file_that_ends_many_rows_needs_a_yes(data: Path, missing: int) -> None:
    assert take_in(data, "people", PEOPLE).exit_code == 0
    dry = take_in(data, "people", without(missing), "--complete", "--dry-run")
    assert f"{missing} of the 20 current rows end" in dry.stderr
    assert "--yes is needed" in dry.stderr
    with pytest.raises(Refused, match=f"{missing} of the 20 current rows end") as refused:
        take_in(data, "people", without(missing), "--complete")
    assert "--yes" in refused.value.remedy
    assert held(data) == 20
    assert take_in(data, "people", without(missing), "--complete", "--yes").exit_code == 0
    assert held(data) == 20 - missing


def test_all_rows_are_many_however_few_there_are(data: Path) -> None:
    assert take_in(data, "people", "\n".join(PEOPLE.splitlines()[:3]) + "\n").exit_code == 0
    with pytest.raises(Refused, match="2 of the 2 current rows end"):
        take_in(data, "people", HEADER, "--complete")
    assert held(data) == 2


def test_a_fifth_or_less_ends_without_a_question(data: Path) -> None:
    assert take_in(data, "people", PEOPLE).exit_code == 0
    assert "current rows end" not in take_in(data, "people", without(4), "--complete").output
    assert held(data) == 16


@pytest.mark.parametrize(
    ("system", "says"),
    [
        ("lnux", ["no log belongs to system lnux", "Did you mean linux?", "active-directory, aws"]),
        ("Nowhere", ["no log belongs to system Nowhere"]),
        ("openssh", ["system openssh of the accounts means the log openssh alone", "write linux"]),
        ("Linux", []),
        ("*", []),
    ],
)
def test_a_system_that_no_log_belongs_to_is_told(data: Path, system: str, says: list[str]) -> None:
    take_in(data, "people", PEOPLE)
    rows = f"system,account,person_id,valid_from\n{system},dh,emp0001,2020-04-01T00:00:00+09:00\n"
    for options in (["--dry-run"], []):
        done = take_in(data, "accounts", rows, *options)
        assert done.exit_code == 0
        for part in says:
            assert part in done.stderr
        assert ("warning" in done.stderr) == bool(says)
