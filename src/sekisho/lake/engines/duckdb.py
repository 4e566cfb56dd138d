"""DuckDB inside this process, over an explicit list of Parquet files. Nothing is ever downloaded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import duckdb
import pyarrow as pa

from sekisho import settings
from sekisho.lake.engines import FileUnreadable
from sekisho.lake.files import SCHEMA, field_id
from sekisho.model import Refused

_TYPES = {
    pa.string(): "VARCHAR",
    pa.bool_(): "BOOLEAN",
    pa.int32(): "INTEGER",
    pa.int64(): "BIGINT",
    pa.timestamp("us", tz="UTC"): "TIMESTAMP WITH TIME ZONE",
}

#: Columns are found by field id, so files of any older or newer schema are read without opening them
#: before they are needed; a column that a file lacks is null.
_COLUMNS = ", ".join(
    f"{field_id(field.name)}: {{name: '{field.name}', type: '{_TYPES[field.type]}', default_value: NULL}}"
    for field in SCHEMA
)
_NO_ROWS = ", ".join(f"NULL::{_TYPES[field.type]} AS {field.name}" for field in SCHEMA)

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


def table_of(files: Sequence[Path]) -> str:
    """SQL that reads these files as one table with every column of the lake."""
    if not files:
        return f"(SELECT {_NO_ROWS} WHERE false)"
    names = ", ".join(_literal(file) for file in files)
    return f"read_parquet([{names}], schema = MAP {{{_COLUMNS}}})"


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

    def select(self, files: Sequence[Path], sql: str, params: Sequence[object]) -> pa.Table:
        view = f"WITH events AS (SELECT * FROM {table_of(files)}) {sql}"  # noqa: S608 - names of our own files
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
