"""SQL that a person types: reading only, over ``events`` only, within limits of time, rows and memory.

The engine itself forbids the rest (no files but the lake's, no network, no extensions, settings locked);
statements that are not a SELECT are refused before, with a clearer sentence.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import duckdb
import pyarrow as pa

from sekisho import settings
from sekisho.lake.engines.duckdb import connect, table_of
from sekisho.lake.reader import Snapshot
from sekisho.model import Refused


class Result(NamedTuple):
    """``cut``: there were more rows than the limit."""

    table: pa.Table
    cut: bool


def run(snapshot: Snapshot, options: settings.Lake, sql: str, *, rows: int, seconds: float) -> Result:
    """The first ``rows`` rows of one SELECT. Raises ``Refused`` with the reason and what to do."""
    with _locked(snapshot, options) as connection:
        statement = _single_select(connection, sql)
        with _deadline(connection, seconds) as expired:
            try:
                return _fetch(connection, statement, rows)
            except duckdb.InterruptException as error:
                if not expired.is_set():
                    raise
                raise Refused(
                    f"stopped after {seconds:g} s", "narrow it by time, or allow more with --timeout"
                ) from error
            except duckdb.OutOfMemoryException as error:
                raise Refused(
                    f"needs more than the {options.duckdb_memory} of memory that are allowed",
                    "narrow it by time or columns, or raise [lake] duckdb_memory in sekisho.toml",
                ) from error
            except (duckdb.PermissionException, duckdb.IOException) as error:
                raise Refused(
                    f"not allowed or not readable: {error}", "only the table `events` can be read"
                ) from error
            except duckdb.Error as error:
                raise Refused(str(error)) from error


@contextmanager
def _locked(snapshot: Snapshot, options: settings.Lake) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection that can reach the lake's files and nothing else, and cannot change that."""
    connection = connect(options)
    try:
        paths = snapshot.paths(snapshot.files)
        connection.execute(f"CREATE VIEW events AS SELECT * FROM {table_of(paths)}")  # noqa: S608 - our own files
        connection.execute("SET allowed_paths = ?", [[str(path) for path in paths]])
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        yield connection
    finally:
        connection.close()


def _single_select(connection: duckdb.DuckDBPyConnection, sql: str) -> duckdb.Statement:
    try:
        statements = connection.extract_statements(sql)
    except duckdb.Error as error:
        raise Refused(str(error)) from error
    if len(statements) != 1:
        raise Refused(f"{len(statements)} statements instead of one", "give one SELECT")
    if statements[0].type != duckdb.StatementType.SELECT:
        raise Refused(
            f"{statements[0].type.name} is not allowed: the lake is read-only here",
            "give one SELECT, for example: SELECT source, count(*) FROM events GROUP BY source",
        )
    return statements[0]


def _fetch(connection: duckdb.DuckDBPyConnection, statement: duckdb.Statement, rows: int) -> Result:
    """Read as a stream, so that a huge result takes no memory beyond the limit."""
    reader = connection.sql(statement).to_arrow_reader(2048)
    batches = []
    held = 0
    for batch in reader:
        batches.append(batch)
        held += batch.num_rows
        if held > rows:
            break
    table = pa.Table.from_batches(batches, schema=reader.schema)
    return Result(table.slice(0, rows), held > rows)


@contextmanager
def _deadline(connection: duckdb.DuckDBPyConnection, seconds: float) -> Iterator[threading.Event]:
    expired = threading.Event()

    def stop() -> None:
        expired.set()
        connection.interrupt()

    timer = threading.Timer(seconds, stop)
    timer.start()
    try:
        yield expired
    finally:
        timer.cancel()
