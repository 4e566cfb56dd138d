"""Rows of a batch become Arrow columns, once; a row whose value does not fit is named, not fatal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from sekisho.ocsf import MAPPED, NORMALISED_SCHEMA, Event

_TYPES: dict[str, pa.DataType] = {column.name: column.type for column in MAPPED}
_TIMES = tuple(
    column.name for column in MAPPED if pa.types.is_timestamp(column.type) and column.name != "time"
)
#: What Arrow raises when a value does not fit its column.
_MISFITS = (pa.ArrowException, TypeError, ValueError, OverflowError)


class Misfit(Exception):  # noqa: N818 - a verdict on rows
    """Rows that cannot become columns: index in the batch and the reason."""

    def __init__(self, rows: dict[int, str]) -> None:
        self.rows = rows
        super().__init__(f"{len(rows)} rows do not fit")


def texts(bodies: Sequence[bytes]) -> pa.Array:
    """Bodies as text; bytes that are not UTF-8 stand as ``\\xNN``."""
    try:
        return pa.array(bodies, pa.binary()).cast(pa.string())
    except pa.ArrowInvalid:
        return pa.array([body.decode("utf-8", "backslashreplace") for body in bodies], pa.string())


def _offenders(name: str, values: list[Any], kind: pa.DataType) -> dict[int, str]:
    found: dict[int, str] = {}
    for index, value in enumerate(values):
        try:
            pa.array([value], kind)
        except _MISFITS:
            found[index] = (
                f"column {name}: {kind} was expected, got {type(value).__name__} {str(value)[:80]!a}"
            )
    return found


def _unzoned(name: str, values: list[Any]) -> dict[int, str]:
    return {
        index: f"column {name}: the time has no offset from UTC: {value}"
        for index, value in enumerate(values)
        if value is not None and getattr(value, "tzinfo", None) is None
    }


def mapped(rows: Sequence[Event]) -> dict[str, pa.Array]:
    """Columns that the rows fill. Raises ``Misfit`` with every row that does not fit."""
    used = set().union(*rows)
    misfits: dict[int, str] = {}
    columns: dict[str, pa.Array] = {}
    for name in used - _TYPES.keys():
        misfits.update(
            {
                i: f"column {name}: there is no such column in ocsf/event.py"
                for i, row in enumerate(rows)
                if name in row
            }
        )
    for name in used & _TYPES.keys():
        values = [row.get(name) for row in rows]
        try:
            columns[name] = pa.array(values, _TYPES[name])
        except _MISFITS:
            misfits.update(_offenders(name, values, _TYPES[name]))
        if name in _TIMES:
            misfits.update(_unzoned(name, values))
    if misfits:
        raise Misfit(misfits)
    return columns


def table(columns: dict[str, pa.Array], rows: int) -> pa.Table:
    """A table with all columns of ``NORMALISED_SCHEMA``; those not given are null."""
    arrays = []
    for field in NORMALISED_SCHEMA:
        column = columns.get(field.name)
        arrays.append(pa.nulls(rows, field.type) if column is None else column)
    return pa.Table.from_arrays(arrays, schema=NORMALISED_SCHEMA)
