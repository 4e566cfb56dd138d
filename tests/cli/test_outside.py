"""Nothing from outside steers the terminal: names of files, cells of tables, texts of logs."""

from __future__ import annotations

import io
import json
from pathlib import Path

import openpyxl
import pytest
from click.testing import CliRunner, Result

from sekisho.cli.main import group
from sekisho.cli.outside import echo_json, lines, literal, shown
from sekisho.contract import TABLES

#: title set and red (ECMA-48), bell, back to the line's beginning, right-to-left override, C1's CSI
HOSTILE = "a\x1b]0;pwn\x07\x1b[31m\rRED\u202e\x9b31m"
FORBIDDEN = ("\x1b", "\x07", "\r", "\u202e", "\x9b")
TABLE_NAMES = ("people", "devices", "accounts", "assignments", "networks", "decoys")


def run(data: Path, *args: str) -> Result:
    result = CliRunner().invoke(group, ["--data", str(data), *args], env={"COLUMNS": "400"})
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def harmless(result: Result) -> str:
    assert not [mark for mark in FORBIDDEN if mark in result.output], repr(result.output)
    return result.output


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


def quoted(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"'


def write(file: Path, *rows: list[str]) -> None:
    file.write_text("\n".join(",".join(map(quoted, row)) for row in rows) + "\n", newline="")


@pytest.mark.parametrize("language", ["ja", "en"])
@pytest.mark.parametrize("name", TABLE_NAMES)
def test_no_cell_or_heading_of_an_import(data: Path, tmp_path: Path, name: str, language: str) -> None:
    fields = TABLES[name].fields
    file = tmp_path / f"{HOSTILE}.csv"
    good = [field.example for field in fields]
    header = [field.name for field in fields]
    for place in range(len(fields)):
        write(file, header, [*good[:place], HOSTILE, *good[place + 1 :]])
        harmless(run(data, name, "import", "--dry-run", "--lang", language, str(file)))
    harmless(run(data, name, "import", "--dry-run", "--json", str(file)))
    write(file, [HOSTILE for _ in fields], ["1", "2"])
    said = harmless(run(data, name, "import", "--dry-run", "--lang", language, str(file)))
    assert "pwn" in said, "the heading is shown, made harmless"


def test_what_was_imported_is_listed_harmlessly(data: Path, tmp_path: Path) -> None:
    file = tmp_path / f"{HOSTILE}.csv"
    row = ["203.0.113.0/24", HOSTILE, "own-egress", "2026-04-01T09:00:00+09:00"]
    write(file, ["cidr", "name", "net_class", "valid_from"], row)
    harmless(run(data, "networks", "import", str(file)))
    for command in (("networks", "list"), ("networks", "list", "--json"), ("networks", "imports")):
        harmless(run(data, *command))


def test_no_name_and_no_text_of_an_ingested_file(data: Path, tmp_path: Path) -> None:
    folder = tmp_path / f"f{HOSTILE}".replace("/", "")
    folder.mkdir()
    record = {"eventType": "user.session.start", "published": HOSTILE, "uuid": HOSTILE, HOSTILE: {HOSTILE: 1}}
    good = {**record, "published": "2026-05-18T00:12:45Z"}
    (folder / f"x{HOSTILE}.json").write_text(json.dumps(record) + "\n" + json.dumps(good) + "\n")
    (folder / f"y{HOSTILE}.log").write_text(HOSTILE + " unknown\n", newline="")
    (folder / f"l{HOSTILE}.log").symlink_to(tmp_path)
    for more in ((), ("--json",)):
        said = harmless(run(data, "ingest", "--source", "okta", "--again", *more, str(folder)))
        assert "pwn" in said
    for more in ((), ("--event",), ("--json",)):
        for file in sorted(folder.glob("[xy]*")):
            harmless(run(data, "sources", "try", "--source", "okta", *more, str(file)))
            harmless(run(data, "sources", "try", *more, str(file)))
    harmless(run(data, "rules", "try", "leaver-attempt", str(next(folder.glob("x*")))))
    rejects = json.loads(harmless(run(data, "rejects", "list", "--json")))["newest"]
    assert rejects
    harmless(run(data, "rejects", "list"))
    harmless(run(data, "rejects", "show", rejects[0]["offset"]))
    harmless(run(data, "status"))
    harmless(run(data, "status", "--json"))


def test_a_workbook_as_well(data: Path, tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    assert book.active is not None
    book.active.append(["cidr\u202e", "name\u202e"])
    book.active.append(["x", "y"])
    held = io.BytesIO()
    book.save(held)
    file = tmp_path / "networks.xlsx"
    file.write_bytes(held.getvalue())
    assert "cidr" in harmless(run(data, "networks", "import", str(file)))


def test_harmless_text_stays_readable() -> None:
    assert shown("関 守\u3000<a@example.jp>") == "関 守\u3000<a@example.jp>"
    assert (shown("a\nb\tc"), lines("a\nb\tc\r")) == ("a\\x0ab\\x09c", "a\nb\tc\\x0d")
    assert literal("[red]\x1b") == "\\[red]\\x1b"


def test_json_means_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    echo_json({"a": HOSTILE + "\ud800関"})
    out = capsys.readouterr().out
    assert not [mark for mark in FORBIDDEN if mark in out]
    assert json.loads(out) == {"a": HOSTILE + "\ud800関"}
