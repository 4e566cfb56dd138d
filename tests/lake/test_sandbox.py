"""SQL from a person: what it may, and every way out that we could think of."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime

import pytest

from sekisho import settings
from sekisho.lake import Lake, reader, sandbox
from sekisho.lake.reader import Snapshot
from sekisho.lake.rights import Rights
from sekisho.model import Refused
from tests.lake import sample

NOW = datetime(2026, 5, 20, tzinfo=UTC)
OPTIONS = settings.Lake(duckdb_memory="100MB")


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    folder = tmp_path_factory.mktemp("lake")
    with Lake(folder, OPTIONS, now=lambda: NOW) as lake:
        for number in range(3):
            lake.commit(sample.mixed(number, 300), number)
    (folder / "secret.csv").write_text("password\nhunter2\n")
    return reader.snapshot(folder)


def ask(snapshot: Snapshot, sql: str, rows: int = 100, seconds: float = 20) -> sandbox.Result:
    return sandbox.run(snapshot, OPTIONS, sql, rows=rows, seconds=seconds)


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        ("SELECT count(*) AS n FROM events", [{"n": 900}]),
        ("FROM events SELECT count(DISTINCT event_uid) AS n", [{"n": 900}]),
        (
            "WITH o AS (SELECT * FROM events WHERE source = 'okta') SELECT min(source) AS s FROM o",
            [{"s": "okta"}],
        ),
        ("SELECT 1 AS one; ", [{"one": 1}]),
        ("SELECT json_extract_string(raw, '$.u') LIKE 'emp%' AS ok FROM events LIMIT 1", [{"ok": True}]),
    ],
)
def test_reading(snapshot: Snapshot, sql: str, rows: list[dict[str, object]]) -> None:
    assert ask(snapshot, sql).table.to_pylist() == rows


ESCAPES = [
    "SELECT * FROM read_csv('{folder}/secret.csv')",
    "SELECT * FROM read_csv_auto('{folder}/secret.csv')",
    "SELECT * FROM '{folder}/secret.csv'",
    "SELECT * FROM read_text('/etc/passwd')",
    "SELECT * FROM read_blob('/etc/passwd')",
    "SELECT * FROM read_json('/etc/passwd')",
    "SELECT * FROM read_ndjson_objects('/etc/passwd')",
    "SELECT * FROM read_parquet('{folder}/hot/*.parquet')",
    "SELECT * FROM parquet_metadata('{folder}/other.parquet')",
    "SELECT * FROM sniff_csv('{folder}/secret.csv')",
    "FROM '/etc/passwd'",
    "FROM glob('/etc/*')",
    "FROM glob('{folder}/*')",
    "SELECT * FROM query('SELECT * FROM read_text(''/etc/passwd'')')",
    "SELECT * FROM query_table('/etc/passwd')",
    "SELECT * FROM read_csv('https://evil.example/x.csv')",
    "SELECT * FROM 'https://evil.example/x.parquet'",
    "SELECT * FROM sqlite_scan('{folder}/manifest.sqlite3', 'files')",
    "SELECT * FROM read_duckdb('{folder}/manifest.sqlite3')",
    "SELECT getenv('HOME')",
    "COPY events TO '{folder}/out.csv'",
    "COPY (SELECT 1) TO '{folder}/out.parquet'",
    "EXPORT DATABASE '{folder}/out'",
    "ATTACH '{folder}/new.db'",
    "ATTACH '{folder}/manifest.sqlite3' (TYPE sqlite)",
    "CREATE TABLE t AS SELECT 1",
    "CREATE MACRO f() AS 1",
    "DROP VIEW events",
    "INSERT INTO events SELECT * FROM events",
    "DELETE FROM events",
    "UPDATE events SET source = ''",
    "INSTALL httpfs",
    "LOAD httpfs",
    "LOAD '{folder}/evil.duckdb_extension'",
    "SET enable_external_access = true",
    "SET allowed_paths = ['/etc/passwd']",
    "RESET lock_configuration",
    "PRAGMA enable_profiling",
    "PRAGMA database_list",
    "CALL pragma_version()",
    "USE memory",
    "PREPARE p AS SELECT 1",
    "BEGIN",
    "CHECKPOINT",
    "VACUUM",
    "EXPLAIN ANALYZE COPY events TO '{folder}/out.csv'",
    "SELECT 1; COPY events TO '{folder}/out.csv'",
    "SET VARIABLE x = 1",
    "CREATE SECRET s (TYPE s3)",
    "",
    ";",
    "-- nothing",
    "SELECT",
    "SELECT nope FROM events",
    "FROM duckdb_settings()",
    "FROM duckdb_views()",
    "SELECT * FROM information_schema.tables",
    "SHOW TABLES",
    "SHOW ALL TABLES",
    "SELECT current_setting('allowed_paths')",
    "WITH events AS (FROM '/etc/passwd') SELECT * FROM events",
    'WITH "/etc/passwd" AS (SELECT 1) SELECT * FROM "/etc/passwd"',
    "SELECT (SELECT count(*) FROM read_text('/etc/passwd'))",
    "SELECT 1 UNION ALL SELECT count(*) FROM glob('/etc/*')",
    "SELECT * FROM events, LATERAL (SELECT * FROM read_text(events.raw))",
    "PIVOT events ON source USING count(*)",
    "SELECT * FROM events ORDER BY (SELECT max(filename) FROM read_blob('/etc/passwd'))",
    "EXECUTE p",
    "SELECT " + "(" * 5000 + "1" + ")" * 5000,
    "SELECT '" + "x" * 200_000 + "'",
]


@pytest.mark.parametrize("sql", ESCAPES)
def test_no_way_out(snapshot: Snapshot, sql: str) -> None:
    before = sorted(path for path in snapshot.folder.rglob("*"))
    with pytest.raises(Refused):
        ask(snapshot, sql.replace("{folder}", str(snapshot.folder)))
    assert sorted(path for path in snapshot.folder.rglob("*")) == before


def test_rows_are_limited(snapshot: Snapshot) -> None:
    result = ask(snapshot, "SELECT range AS n FROM range(10000000)", rows=5)
    assert result.table["n"].to_pylist() == [0, 1, 2, 3, 4]
    assert result.cut
    assert not ask(snapshot, "SELECT range FROM range(5)", rows=5).cut


def test_time_is_limited(snapshot: Snapshot) -> None:
    start = time.monotonic()
    with pytest.raises(Refused, match=r"stopped after 0\.5 s"):
        ask(
            snapshot,
            "SELECT count(*) FROM range(1000000) a, range(1000000) b WHERE a.range * b.range = 7",
            seconds=0.5,
        )
    assert time.monotonic() - start < 5


def test_memory_is_limited(snapshot: Snapshot) -> None:
    with pytest.raises(Refused, match="needs more than the 100MB"):
        ask(snapshot, "SELECT list(range || repeat('x', 100)) FROM range(50000000)")


BOMBS = [
    "SELECT repeat('x', 2000000000)",
    "SELECT max(length(repeat('x', 900000000) || range)) FROM range(40)",
    "WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM t) SELECT count(*) FROM t",
    "WITH RECURSIVE t AS (SELECT 'x' AS n UNION ALL SELECT n || n FROM t) SELECT max(length(n)) FROM t",
    "SELECT count(*) FROM generate_series(1, 1000000000000) a(n), range(1000) b WHERE n % 7 = range",
    "SELECT list(range) FROM range(3000000000)",
    "SELECT range(4000000000)",
    "SELECT count(*) FROM events a, events b, events c, events d WHERE a.raw || b.raw < c.raw || d.raw",
    "SELECT count(*) FROM range(90000000) t(n) WHERE regexp_matches(repeat('a', 5000) || n, '(a+)+(b+)+(c?){500}$')",  # noqa: E501
    "SELECT levenshtein(repeat('a', 300000), repeat('b', 300000))",
    "SELECT string_agg(repeat('x', 1000000), '') FROM range(100000)",
]


@pytest.mark.slow
@pytest.mark.parametrize("sql", BOMBS)
def test_what_does_not_listen_is_killed(snapshot: Snapshot, sql: str) -> None:
    start = time.monotonic()
    with pytest.raises(Refused) as caught:
        ask(snapshot, sql, seconds=2)
    why = caught.value.why
    assert re.search(r"stopped after 2 s|needs more than the 100MB|larger than|Out of Range", why), why
    assert time.monotonic() - start < 15  # the process is killed at 2 s; beside that it has to start


def test_a_role_sees_its_sources_and_no_record(snapshot: Snapshot) -> None:
    """What is hidden is not in the table at all, and no path to a file is allowed."""
    rights = Rights("analyst", frozenset({"okta", "sshd"}), raw=False)
    since = int(datetime(2026, 5, 15, tzinfo=UTC).timestamp() * 1_000_000)

    def narrow(sql: str) -> list[dict[str, object]]:
        asked = sandbox.run(snapshot, OPTIONS, sql, rows=100, seconds=20, rights=rights, since=since)
        return list(asked.table.to_pylist())

    assert {row["source"] for row in narrow("SELECT DISTINCT source FROM events")} == {"okta", "sshd"}
    assert narrow(
        "SELECT count(*) AS n FROM events WHERE source = 'squid' OR 1 = 1 AND source LIKE '%quid'"
    ) == [{"n": 0}]
    assert narrow(f"SELECT count(*) AS n FROM events WHERE epoch_us(time) < {since}") == [{"n": 0}]
    mine = f"source IN ('okta', 'sshd') AND epoch_us(time) >= {since}"
    whole = ask(snapshot, f"SELECT count(*) AS n FROM events WHERE {mine}")
    assert narrow("SELECT count(*) AS n FROM events") == whole.table.to_pylist()
    assert not {"raw", "unmapped"} & set(narrow("SELECT * FROM events LIMIT 1")[0])
    lake_file = next((snapshot.folder / "hot").iterdir())
    for sql in (
        "SELECT raw FROM events",
        "SELECT unmapped FROM events",
        "SELECT COLUMNS('^raw$') FROM events",
        f"SELECT raw FROM read_parquet('{lake_file}')",
        f"SELECT raw FROM '{lake_file}'",
        f"WITH events AS (FROM '{lake_file}') SELECT raw FROM events",
    ):
        with pytest.raises(
            Refused, match=r'not allowed|"raw" not found|"unmapped" not found|No matching columns'
        ):
            narrow(sql)


def test_the_statement_inherits_no_variable(snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "hunter2")
    with pytest.raises(Refused):
        ask(snapshot, "SELECT getenv('SECRET_TOKEN')")


def test_what_stays_open_is_closed_when_the_reader_goes_away(snapshot: Snapshot) -> None:
    answer = sandbox.stream(snapshot, OPTIONS, "SELECT * FROM range(100000000000)", rows=10**9, seconds=60)
    assert next(answer).num_rows == 0
    assert next(answer).num_rows > 0
    start = time.monotonic()
    answer.close()  # type: ignore[attr-defined]
    assert time.monotonic() - start < 2
