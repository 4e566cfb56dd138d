"""Master data on disk: one folder per version, and ``CURRENT``, which names the one in force.

``<dir>/<version>/<table>.parquet``, ``<dir>/<version>/WRITTEN`` (time of writing), ``<dir>/CURRENT``.
Old versions stay, so that an event's ``context_version`` can be looked up and a replay gives the same.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from sekisho.contract import TABLES, Context
from sekisho.model import Refused

EMPTY = "empty"
_VERSION = re.compile(r"[0-9a-f]{16}")


def write(folder: Path, tables: Mapping[str, pa.Table], now: datetime) -> str:
    """Publish ``tables`` (missing ones are empty) as a version and make it current; gives the version.

    The version is the SHA-256 of the rows whatever their order: the same content is the same version.
    Nothing is visible before everything is on the disk. Raises ``ValueError`` on an unknown table.
    """
    unknown = sorted(set(tables) - set(TABLES))
    if unknown:
        raise ValueError(f"no such master-data tables: {', '.join(unknown)}")
    shaped = {name: _shaped(name, tables.get(name)) for name in TABLES}
    version = _digest(shaped)
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / version
    if not target.exists():
        staging = folder / f".{version}.{os.getpid()}"
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir()
        for name, table in shaped.items():
            pq.write_table(table, staging / f"{name}.parquet")
            _sync(staging / f"{name}.parquet")
        _write_synced(staging / "WRITTEN", now.isoformat())
        _sync(staging)
        try:
            staging.rename(target)
        except OSError:  # another process published the same content in between
            shutil.rmtree(staging, ignore_errors=True)
            if not target.exists():
                raise
        _sync(folder)
    _write_synced(folder / f".CURRENT.{os.getpid()}", version)
    (folder / f".CURRENT.{os.getpid()}").replace(folder / "CURRENT")
    _sync(folder)
    return version


def current(folder: Path) -> str:
    """Version in force; ``empty`` before the first. Raises ``Refused`` if ``CURRENT`` names nothing."""
    path = folder / "CURRENT"
    try:
        version = path.read_text(encoding="ascii", errors="replace").strip()
    except FileNotFoundError:
        return EMPTY
    if not _VERSION.fullmatch(version):
        raise Refused(
            f"{path}: holds {version[:40]!r}, not a version (16 hex digits)",
            "publish the master data again: any `sekisho people import` does it",
        )
    return version


def read(folder: Path) -> Context:
    """The version in force. Raises ``Refused`` with the file that cannot be read."""
    version = current(folder)
    if version == EMPTY:
        return Context()
    tables = {}
    for name in TABLES:
        path = folder / version / f"{name}.parquet"
        try:
            tables[name] = _shaped(name, pq.read_table(path))
        except (OSError, pa.ArrowException) as error:
            raise Refused(
                f"{path}: cannot be read: {error}",
                f"remove {folder / version} and publish again: any `sekisho people import` does it",
            ) from error
    return Context(version, tables)


def _shaped(name: str, table: pa.Table | None) -> pa.Table:
    """With exactly the declared columns; a column that an older version lacks is null."""
    schema = TABLES[name].schema()
    if table is None:
        return schema.empty_table()
    columns = [
        table.column(field.name).cast(field.type)
        if field.name in table.column_names
        else pa.nulls(table.num_rows, field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def _digest(tables: Mapping[str, pa.Table]) -> str:
    digest = hashlib.sha256()
    for name, table in sorted(tables.items()):
        rows = sorted(msgspec.json.encode(list(row.values())) for row in table.to_pylist())
        digest.update(msgspec.json.encode([name, table.column_names, len(rows)]))
        for row in rows:
            digest.update(row)
            digest.update(b"\n")
    return digest.hexdigest()[:16]


def _write_synced(path: Path, text: str) -> None:
    path.write_text(text, encoding="ascii")
    _sync(path)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
