"""Events for tests: rows of column values become a batch with the schema of the lake."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import msgspec
import pyarrow as pa

from sekisho.contract import TABLES, Context
from sekisho.ocsf import COLUMNS, EVENT_SCHEMA, NORMALISED_SCHEMA


def _value(value: Any, kind: pa.DataType) -> Any:
    return datetime.fromisoformat(value) if pa.types.is_timestamp(kind) and isinstance(value, str) else value


def _batch(rows: Iterable[Mapping[str, Any]], schema: pa.Schema) -> pa.Table:
    known = {column.name for column in COLUMNS}
    filled = []
    for number, row in enumerate(rows):
        unknown = set(row) - known
        assert not unknown, f"no such columns: {sorted(unknown)}"
        stem = hashlib.sha256(msgspec.json.encode([number, sorted((k, str(v)) for k, v in row.items())]))
        filled.append({"event_uid": stem.hexdigest()[:32], "receiver": "test", "raw": "{}", **row})
    return pa.Table.from_arrays(
        [
            pa.array([_value(row.get(field.name), field.type) for row in filled], field.type)
            for field in schema
        ],
        schema=schema,
    )


def normalised(rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    """As normalisation gives them; ``event_uid`` follows from place and content unless given."""
    return _batch(rows, NORMALISED_SCHEMA)


def enriched(rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    """As enrichment gives them."""
    return _batch(rows, EVENT_SCHEMA)


def context(version: str = "0" * 16, **tables: list[dict[str, Any]]) -> Context:
    """Master data of these rows; columns left out are null, defaults are not applied."""
    built = {}
    for name, table in TABLES.items():
        schema = table.schema()
        rows = tables.get(name, [])
        unknown = {key for row in rows for key in row} - set(schema.names)
        assert not unknown, f"table {name} has no columns {sorted(unknown)}"
        built[name] = pa.Table.from_arrays(
            [
                pa.array([_value(row.get(field.name), field.type) for row in rows], field.type)
                for field in schema
            ],
            schema=schema,
        )
    return Context(version, built)
