"""DuckDB inside this process, over an explicit list of Parquet files. Nothing is ever downloaded."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import duckdb
import pyarrow as pa

from sekisho import settings
from sekisho.lake.cold.cube import DIMENSIONS
from sekisho.lake.engines import FileUnreadable, Rows
from sekisho.lake.files import SCHEMA, field_id
from sekisho.model import Refused

_TYPES = {
    pa.string(): "VARCHAR",
    pa.bool_(): "BOOLEAN",
    pa.int32(): "INTEGER",
    pa.int64(): "BIGINT",
    pa.timestamp("us", tz="UTC"): "TIMESTAMP WITH TIME ZONE",
}

#: DuckDB's types and Parquet field ids of the columns.
_KINDS = {field.name: (_TYPES[field.type], field_id(field.name)) for field in SCHEMA}
_COUNT = {"n": ("BIGINT", 1)}
_WORD = re.compile(r"[A-Za-z_][A-Za-z_0-9]*")
_EVERYTHING = re.compile(r"\bSELECT\s+(?:DISTINCT\s+)?\*|\.\*|,\s*\*|\bCOLUMNS\b", re.IGNORECASE)

#: Errors of the statement itself, or somebody stopped it. DuckDB has no class of its own for a damaged
#: file (Thrift, zstd, IO, invalid input, ...), so whatever else fails is one.
_STATEMENT = (
    duckdb.BinderException,
    duckdb.CatalogException,
    duckdb.ParserException,
    duckdb.InterruptException,
)


def connect(options: settings.Lake) -> duckdb.DuckDBPyConnection:
    """A connection in memory within the limits of the settings; times are shown in UTC."""
    connection = duckdb.connect(
        ":memory:",
        config={
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "allow_community_extensions": "false",
            "allow_persistent_secrets": "false",
            "python_enable_replacements": "false",
            "memory_limit": options.duckdb_memory,
            "threads": str(options.duckdb_threads),
            "temp_directory": "",
        },
    )
    connection.execute("SET TimeZone = 'UTC'")
    return connection


def table_of(files: Sequence[Path], columns: Iterable[str] | None = None, *, places: bool = False) -> str:
    """SQL that reads these files as one table with the columns of the lake (all, or these).

    Columns are found by field id, so files of any older or newer schema are read without opening them
    before they are needed; a column that a file lacks is null. Each column named costs time, even
    if nothing reads it (half a millisecond a query).

    ``places``  also ``filename`` and ``file_row_number``
    """
    kinds = _KINDS if columns is None else {name: (_KINDS | _COUNT)[name] for name in columns}
    if not files:
        nothing = [f"NULL::{kind} AS {name}" for name, (kind, _) in kinds.items()]
        nothing += ["'' AS filename", "0::BIGINT AS file_row_number"] if places else []
        return f"(SELECT {', '.join(nothing)} WHERE false)"
    names = ", ".join(_literal(file) for file in files)
    schema = ", ".join(
        f"{number}: {{name: '{name}', type: '{kind}', default_value: NULL}}"
        for name, (kind, number) in kinds.items()
    )
    more = ", filename = true, file_row_number = true" if places else ""
    return f"read_parquet([{names}], schema = MAP {{{schema}}}{more})"


def used(sql: str) -> list[str] | None:
    """Columns that a statement can mean, at least one; None = all."""
    if _EVERYTHING.search(sql):
        return None
    words = {word.lower() for word in _WORD.findall(sql)}
    return [name for name in _KINDS if name in words] or ["time"]


def _some_rows(file: Path, rows: Rows, columns: Iterable[str] | None, *, places: bool) -> str:
    """SQL that reads these rows of a file; DuckDB skips the row groups outside."""
    single = [str(first) for first, behind in rows if behind == first + 1]
    parts = [f"file_row_number BETWEEN {a:d} AND {b - 1:d}" for a, b in rows if b != a + 1]
    if single:
        parts.append(f"file_row_number IN ({', '.join(single)})")
    given = "*" if places else "* EXCLUDE (filename, file_row_number)"
    return f"SELECT {given} FROM {table_of([file], columns, places=True)} WHERE ({' OR '.join(parts)})"  # noqa: S608 - numbers


def _literal(file: Path) -> str:
    name = str(file)
    for special in "[*?":
        if special in name:
            name = "".join(f"[{c}]" if c in "[*?" else c for c in name)
            break
    return "'" + name.replace("'", "''") + "'"


class DuckDB:
    """See ``engines.Engine``."""

    def __init__(self, options: settings.Lake) -> None:
        self._connection = connect(options)

    def select(
        self, files: Sequence[Path], sql: str, params: Sequence[object], rows: Mapping[Path, Rows] = {}
    ) -> pa.Table:
        columns = used(sql)
        places = "file_row_number" in sql
        whole = [file for file in files if file not in rows]
        parts = [_some_rows(file, rows[file], columns, places=places) for file in files if rows.get(file)]
        if whole or not parts:
            parts.append(f"SELECT * FROM {table_of(whole, columns, places=places)}")  # noqa: S608 - our own files
        return self._run(" UNION ALL ".join(parts), sql, params)

    def counts(self, files: Sequence[Path], sql: str, params: Sequence[object]) -> pa.Table:
        columns = ["time", *DIMENSIONS, "n"]
        return self._run(f"SELECT * FROM {table_of(files, columns)}", sql, params)  # noqa: S608 - our own files

    def _run(self, events: str, sql: str, params: Sequence[object]) -> pa.Table:
        view = f"WITH events AS ({events}) {sql}"
        try:
            return self._connection.sql(view, params=list(params)).to_arrow_table()
        except duckdb.OutOfMemoryException as error:
            raise Refused(
                f"the search needs more memory than duckdb_memory allows: {error}",
                "narrow the time or the fields, or raise [lake] duckdb_memory in sekisho.toml",
            ) from error
        except _STATEMENT:
            raise
        except duckdb.Error as error:
            raise FileUnreadable(str(error)) from error

    def interrupt(self) -> None:
        """Stop what is running; may be called from another thread."""
        self._connection.interrupt()

    def close(self) -> None:
        self._connection.close()
