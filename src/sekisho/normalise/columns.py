"""Rows of a batch become Arrow columns, once; a row whose value does not fit is named, not fatal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy
import pyarrow as pa

from sekisho.ocsf import MAPPED, NORMALISED_SCHEMA, TIME, Event

_TYPES: dict[str, pa.DataType] = {column.name: column.type for column in MAPPED}
_TIMES = tuple(
    column.name for column in MAPPED if pa.types.is_timestamp(column.type) and column.name != "time"
)
#: What Arrow raises when a value does not fit its column.
_MISFITS = (pa.ArrowException, TypeError, ValueError, OverflowError)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: Kinds of rows that have fewer rows in a slice than this share one group.
_FEW = 40


#: Columns without which a row is no event.
_CORE = frozenset({"time", "class_uid", "activity_id"})
#: So many characters of a value that fits no column are kept.
_SHOWN = 1_000

#: Of the rows that do not fit: place in the batch → column → the reason.
Reasons = dict[int, dict[str, str]]


class Misfit(Exception):  # noqa: N818 - a verdict on rows
    """Rows that cannot become columns as they are."""

    def __init__(self, rows: Reasons) -> None:
        self.rows = rows
        super().__init__(f"{len(rows)} rows do not fit")


def cleared(event: Event, reasons: Mapping[str, str]) -> dict[str, str] | None:
    """Take what does not fit out of ``event``; it comes back as texts, by ``misfit.COLUMN``.

    None if the row is no event without it, or has a column that there is not (a fault of the mapping).
    """
    if any(name in _CORE or name not in _TYPES for name in reasons):
        return None
    values: dict[str, Any] = dict(event)
    for name in reasons:
        event[name] = None  # type: ignore[literal-required]  # a name of _TYPES
    return {f"misfit.{name}": _told(values[name]) for name in reasons}


def _told(value: Any) -> str:
    return str(value).encode("utf-8", "backslashreplace").decode()[:_SHOWN]


def utf8(texts: Sequence[bytes | None]) -> pa.Array:
    """Raises ``pa.ArrowInvalid`` if one is not UTF-8."""
    return pa.array(texts, pa.binary()).cast(pa.string())


def texts(bodies: Sequence[bytes]) -> pa.Array:
    """Bodies as text; bytes that are not UTF-8 stand as ``\\xNN``."""
    try:
        return utf8(bodies)
    except pa.ArrowInvalid:
        return pa.array([body.decode("utf-8", "backslashreplace") for body in bodies], pa.string())


def utf8_mended(texts: Sequence[bytes | None]) -> pa.Array:
    """``utf8``; bytes that are not UTF-8 become U+FFFD."""
    try:
        return utf8(texts)
    except pa.ArrowInvalid:
        return pa.array([text and text.decode("utf-8", "replace") for text in texts], pa.string())


def _offenders(name: str, values: Sequence[Any], kind: pa.DataType) -> dict[int, str]:
    found: dict[int, str] = {}
    for index, value in enumerate(values):
        try:
            pa.array([value], kind)
        except _MISFITS:
            found[index] = (
                f"column {name}: {kind} was expected, got {type(value).__name__} {str(value)[:80]!a}"
            )
    return found


def _unzoned(name: str, values: Sequence[Any]) -> dict[int, str]:
    return {
        index: f"column {name}: the time has no offset from UTC: {value}"
        for index, value in enumerate(values)
        if value is not None and getattr(value, "tzinfo", None) is None
    }


def _instants(values: Sequence[Any]) -> pa.Array:
    """Times with an offset; five times as fast as ``pa.array``, which asks every value for its zone."""
    since = [None if value is None else value - _EPOCH for value in values]
    return pa.array(since, pa.duration("us")).view(TIME)


def array(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """The column; one text (or nothing) for all rows is converted but once."""
    first = values[0] if values else ...
    if (first is None or type(first) is str) and first == values[-1] and values.count(first) == len(values):
        return (
            pa.nulls(len(values), kind) if first is None else pa.repeat(pa.scalar(first, kind), len(values))
        )
    if kind == TIME:
        try:
            return _instants(values)
        except TypeError:  # not a time, or one without offset: named below
            pass
    return pa.array(values, kind)


def _note(misfits: Reasons, name: str, found: Mapping[int, str]) -> None:
    for index, why in found.items():
        misfits.setdefault(index, {}).setdefault(name, why)


def _filled(names: Iterable[str], columns: Iterable[Sequence[Any]]) -> dict[str, pa.Array]:
    """Arrays of parallel columns. Raises ``Misfit``."""
    misfits: Reasons = {}
    arrays: dict[str, pa.Array] = {}
    for name, values in zip(names, columns, strict=True):
        kind = _TYPES[name]
        try:
            arrays[name] = array(values, kind)
        except _MISFITS:
            _note(misfits, name, _offenders(name, values, kind))
        if name in _TIMES:
            _note(misfits, name, _unzoned(name, values))
    if misfits:
        raise Misfit(misfits)
    return arrays


def _group(names: Sequence[str], rows: Sequence[Event], mixed: bool) -> dict[str, pa.Array]:
    """Columns of rows that have the same keys in the same order (or not, if ``mixed``). Raises ``Misfit``."""
    if unknown := [name for name in names if name not in _TYPES]:
        raise Misfit(
            {
                index: {name: f"column {name}: there is no such column in ocsf/event.py"}
                for name in unknown
                for index, row in enumerate(rows)
                if name in row
            }
        )
    if mixed:
        return _filled(names, ([row.get(name) for row in rows] for name in names))
    return _filled(names, zip(*[tuple(row.values()) for row in rows], strict=True))


def _groups(rows: Sequence[Event]) -> list[tuple[Sequence[str], list[int], bool]]:
    """(keys, places of the rows, mixed): rows by their keys; what is rare goes into one group."""
    shapes: dict[tuple[str, ...], list[int]] = {}
    for index, row in enumerate(rows):
        try:
            shapes[tuple(row)].append(index)
        except KeyError:
            shapes[tuple(row)] = [index]
    few = [shape for shape, places in shapes.items() if len(places) < _FEW]
    if len(few) < 2:
        return [(shape, places, False) for shape, places in shapes.items()]
    rare = sorted(place for shape in few for place in shapes.pop(shape))
    names = tuple(dict.fromkeys(name for shape in few for name in shape))
    return [*((shape, places, False) for shape, places in shapes.items()), (names, rare, True)]


def mapped(rows: Sequence[Event]) -> dict[str, pa.Array]:
    """Columns that the rows fill. Raises ``Misfit`` with every row that does not fit."""
    groups = _groups(rows)
    if len(groups) == 1:
        names, _, mixed = groups[0]
        return _group(names, rows, mixed)
    parts: list[dict[str, pa.Array]] = []
    misfits: Reasons = {}
    for names, places, mixed in groups:
        try:
            parts.append(_group(names, [rows[place] for place in places], mixed))
        except Misfit as misfit:
            misfits.update({places[index]: why for index, why in misfit.rows.items()})
    if misfits:
        raise Misfit(misfits)
    return _merged(parts, [places for _, places, _ in groups])


def _merged(parts: list[dict[str, pa.Array]], places: list[list[int]]) -> dict[str, pa.Array]:
    """The groups one after the other, put back into the order of the rows."""
    order = pa.array(numpy.argsort([place for group in places for place in group]))
    columns: dict[str, pa.Array] = {}
    for name in dict.fromkeys(name for part in parts for name in part):
        pieces = [
            part[name] if name in part else pa.nulls(len(group), _TYPES[name])
            for part, group in zip(parts, places, strict=True)
        ]
        columns[name] = pa.concat_arrays(pieces).take(order)
    return columns


def table(columns: dict[str, pa.Array], rows: int) -> pa.Table:
    """A table with all columns of ``NORMALISED_SCHEMA``; those not given are null."""
    arrays = []
    for field in NORMALISED_SCHEMA:
        column = columns.get(field.name)
        arrays.append(pa.nulls(rows, field.type) if column is None else column)
    return pa.Table.from_arrays(arrays, schema=NORMALISED_SCHEMA)
