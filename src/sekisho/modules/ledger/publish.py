"""Stored rows for readers: as Arrow tables for the data plane, as texts for a file or a screen."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

import pyarrow as pa

from sekisho.modules.ledger.flows import Register, as_known, current, history, values_of
from sekisho.modules.ledger.models import Version
from sekisho.tabular import Value, show

_HISTORY = ("known_from", "superseded_at", "added_by", "added_file", "superseded_by", "superseded_file")


class Texts(NamedTuple):
    header: tuple[str, ...]
    rows: list[tuple[str, ...]]


def table(register: Register) -> pa.Table:
    """Current versions in the contract's schema, all validity intervals, ordered by key."""
    schema = register.table.schema()
    rows = list(current(register).values_list(*schema.names))
    arrays = [pa.array([_null(row[place]) for row in rows], kind.type) for place, kind in enumerate(schema)]
    return pa.Table.from_arrays(arrays, schema=schema)


def texts(register: Register, zone: str, *, at: datetime | None = None, past: bool = False) -> Texts:
    """Rows as ``import`` reads them: current ones, or as known at ``at``; with ``past`` all versions and
    who brought them. Times carry the offset of the row's own zone where it has one, else of ``zone``.
    Hashed columns stay empty."""
    names = tuple(field.name for field in register.table.fields)
    if past:
        rows = [_texts(register, v, zone) + _origin(v, zone) for v in history(register)]
        return Texts(names + _HISTORY, rows)
    chosen = current(register) if at is None else as_known(register, at)
    return Texts(names, [_texts(register, version, zone) for version in chosen])


def _texts(register: Register, version: Version, zone: str) -> tuple[str, ...]:
    values: dict[str, Value] = values_of(register, version)
    own = next((values[f.name] for f in register.table.fields if f.kind == "zone"), None)
    at = own if isinstance(own, str) else zone
    return tuple("" if name in register.table.hashed else show(value, at) for name, value in values.items())


def _origin(version: Version, zone: str) -> tuple[str, ...]:
    added, gone = version.added_by, version.superseded_by
    return (
        show(version.known_from, zone),
        show(version.superseded_at, zone),
        added.by,
        added.file,
        gone.by if gone else "",
        gone.file if gone else "",
    )


def _null(value: Any) -> Any:
    return None if value == "" else value
