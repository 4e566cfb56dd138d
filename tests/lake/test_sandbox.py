"""SQL from a person: what it may, and every way out that we could think of."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest

from sekisho import settings
from sekisho.lake import Lake, reader, sandbox
from sekisho.lake.reader import Snapshot
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
]


@pytest.mark.parametrize("sql", ESCAPES)
def test_no_way_out(snapshot: Snapshot, sql: str) -> None:
    before = sorted(path for path in snapshot.folder.rglob("*"))
    with pytest.raises(Refused):
        ask(snapshot, sql.replace("{folder}", str(snapshot.folder)))
    assert sorted(path for path in snapshot.folder.rglob("*")) == before


def test_information_functions_tell_no_secret(snapshot: Snapshot) -> None:
    for sql in (
        "FROM duckdb_settings()",
        "FROM duckdb_databases()",
        "FROM duckdb_secrets()",
        "FROM duckdb_views()",
    ):
        said = str(ask(snapshot, sql, rows=10_000).table.to_pylist())
        assert "hunter2" not in said


def test_python_variables_are_not_tables(snapshot: Snapshot) -> None:
    secret = sample.batch(0, 3)
    assert secret.num_rows == 3
    with pytest.raises(Refused, match="secret"):
        ask(snapshot, "SELECT * FROM secret")


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
    with pytest.raises(Refused, match="memory"):
        ask(snapshot, "SELECT list(range || repeat('x', 100)) FROM range(50000000)")
