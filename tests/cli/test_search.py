"""`sekisho search` and `sekisho sql` as a person calls them."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from sekisho import settings
from sekisho.cli.main import group
from sekisho.lake import Lake
from sekisho.model import Refused
from tests.lake import sample

NOW = datetime(2026, 5, 20, tzinfo=UTC)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    (folder / "sekisho.toml").write_text('zone = "Asia/Tokyo"\n', encoding="utf-8")
    rows = [
        {
            "user_email_addr": "mamoru.seki@example.jp",
            "person_uid": "emp0042",
            "src_endpoint_ip": "203.0.113.7",
            "src_country": "JP",
            "status_id": 2,
            "status_detail": "INVALID_CREDENTIALS",
            "service_name": "Wallet Console",
            "unmapped": '{"left":"over"}',
        },
        {"source": "sshd", "user_name": "x\x1b]0;owned\x07\u202e", "status_id": 1},
        {"source": "squid", "class_uid": 4002, "http_request_url_url_string": "https://evil.example/"},
    ]
    with Lake(folder / "lake", settings.Lake(), now=lambda: NOW) as lake:
        lake.commit(sample.table(rows), 0)
    return folder


def call(data: Path, *args: str) -> Result:
    done = CliRunner().invoke(group, ["--data", str(data), *args], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done


def test_the_table_says_when_who_from_where_what_and_how_it_ended(data: Path) -> None:
    out = call(data, "search", "class:authentication").stdout
    assert "2026-05-14 09:00:00 JST" in out
    assert "mamoru.seki@example.jp (emp0042)" in out
    assert "203.0.113.7 JP" in out
    assert "Logon · Wallet Console" in out
    assert "failure: INVALID_CREDENTIALS" in out


def test_log_text_cannot_steer_the_terminal(data: Path) -> None:
    for how in (["class:3002"], ["source:sshd"], ["source:sshd", "--json"], ["source:sshd", "--full"]):
        out = call(data, "search", *how).stdout
        assert "owned" in out
        assert not {"\x1b", "\x07", "\u202e"} & set(out)


def test_a_single_event_is_shown_whole(data: Path) -> None:
    out = call(data, "search", "user:emp0042").stdout
    assert "event_uid" in out
    assert '"left": "over"' in out
    assert '"n": 0' in out


def test_json_csv_raw_and_count(data: Path) -> None:
    lines = call(data, "search", "", "--json", "--order", "oldest").stdout.splitlines()
    assert [json.loads(line)["source"] for line in lines] == ["okta", "sshd", "squid"]
    assert json.loads(lines[0])["time"] == "2026-05-14T00:00:00Z"
    rows = list(csv.DictReader(io.StringIO(call(data, "search", "--csv", "--columns", "time,source").stdout)))
    assert [row["source"] for row in rows] == ["squid", "sshd", "okta"]
    assert call(data, "search", "source:okta", "--raw").stdout == '{"n":0}\n'


def test_a_query_may_begin_with_a_minus(data: Path) -> None:
    assert call(data, "search", "--count", "--", "-status:success").stdout == "2\n"


def test_since_and_until_in_the_zone(data: Path) -> None:
    assert call(data, "search", "--count", "--since", "2026-05-14", "--until", "2026-05-14").stdout == "3\n"
    zoned = ["--since", "2026-05-14", "--zone", "America/New_York"]
    assert call(data, "search", "--count", *zoned).stdout == "0\n"
    assert call(data, "search", "--count", "--until", "2026-05-14T09:00:00").stdout == "1\n"


def test_explain_and_fields(data: Path) -> None:
    out = call(data, "search", "user:emp0042", "--explain").stdout
    assert "lower(person_uid) = lower(?)" in out
    assert "1 files with 3 events" in out
    assert "src_endpoint.ip" in call(data, "search", "--fields").stdout


@pytest.mark.parametrize(
    ("args", "why"),
    [
        (["search", "usr:a"], "did you mean user"),
        (["search", "a", "--since", "soon"], "--since: soon: not a time"),
        (["search", "a", "--zone", "Mars/Base"], "no such time zone"),
        (["search", "a", "--columns", "time,nope"], "no column nope"),
        (["sql", "DROP VIEW events"], "read-only"),
    ],
)
def test_mistakes_are_explained(data: Path, args: list[str], why: str) -> None:
    with pytest.raises(Refused, match=why):
        CliRunner().invoke(group, ["--data", str(data), *args], catch_exceptions=False)


def test_no_lake_yet(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="no lake here yet"):
        CliRunner().invoke(group, ["--data", str(tmp_path), "search", "a"], catch_exceptions=False)


def test_sql(data: Path) -> None:
    query = "SELECT source, count(*) AS n FROM events GROUP BY source ORDER BY source"
    lines = call(data, "sql", query, "--json").stdout.splitlines()
    assert [json.loads(line) for line in lines] == [
        {"source": "okta", "n": 1},
        {"source": "squid", "n": 1},
        {"source": "sshd", "n": 1},
    ]
    assert call(data, "sql", query, "--csv").stdout.splitlines()[0] == "source,n"
    assert "squid" in call(data, "sql", query).stdout
    assert "cut at 1" in call(data, "sql", query, "--rows", "1").stderr


def test_csv_cells_neither_run_as_formulas_nor_drive_a_terminal() -> None:
    from sekisho.cli.search_show import csv_cell

    assert csv_cell("=cmd|' /C calc'!A1\x1b[31m") == "'=cmd|' /C calc'!A1\\x1b[31m"
    assert csv_cell("@SUM(1)") == "'@SUM(1)"
    assert csv_cell(42) == 42
    assert csv_cell("plain") == "plain"
