"""Events that already are OCSF JSON (1.0 to 1.8): typed decoding and flattening into columns.

The Struct is computed from the column paths of ``ocsf/event.py``, so a new column is read from native
events without a line here.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, NamedTuple, cast

import msgspec
import pyarrow as pa

from sekisho.ocsf.classes import CLASSES
from sekisho.ocsf.columns import MAPPED
from sekisho.ocsf.event import Event


class Hash(msgspec.Struct, gc=False):
    """OCSF ``fingerprint``; algorithm 3 is SHA-256."""

    algorithm_id: int | None = None
    algorithm: str | None = None
    value: str | None = None


class _Slot(NamedTuple):
    """One attribute: ``how`` it is read, into which ``column``, or by which ``plan`` if it is an object."""

    how: str
    column: str = ""
    plan: _Plan | None = None


class _Plan(NamedTuple):
    """How one object is read: its Struct, and a slot for each of its fields, in their order."""

    record: type[msgspec.Struct]
    slots: tuple[_Slot, ...]


#: Read for validation, not columns.
_CHECKED = {"category_uid": int, "type_uid": int, "time_dt": str}
_Tree = dict[str, Any]


def _tree() -> _Tree:
    root: _Tree = {}
    for column in MAPPED:
        *parents, leaf = column.path.split(".")
        node = root
        for parent in parents:
            node = node.setdefault(parent, {})
        node[leaf] = column
    return root


def _leaf_type(path: str, kind: pa.DataType) -> tuple[str, Any]:
    if path.endswith("hashes[SHA-256]"):
        return "hash", list[Hash] | None
    if path == "process.file.signature":
        return "signature", Any
    if pa.types.is_timestamp(kind):
        return "time", int | str | None
    if pa.types.is_boolean(kind):
        return "plain", bool | None
    return "plain", int | None if pa.types.is_integer(kind) else str | None


def _plan(name: str, tree: _Tree, extra: dict[str, Any]) -> _Plan:
    fields: list[tuple[str, Any, Any]] = [(field, kind | None, None) for field, kind in extra.items()]
    slots = [_Slot("checked") for _ in extra]
    for key, value in tree.items():
        attribute, bracket, index = key.partition("[")
        if isinstance(value, dict):
            plan = _plan(f"{name}_{attribute}", value, {})
            kind: Any = list[plan.record] if bracket else plan.record  # type: ignore[name-defined]
            slots.append(_Slot({"": "object", "0]": "first"}.get(index, "all"), plan=plan))
        else:
            how, kind = _leaf_type(value.path, value.type)
            slots.append(_Slot(how, value.name))
        fields.append((attribute, kind | None, None))
    record = msgspec.defstruct(name, fields, module=__name__, gc=False)
    return _Plan(record, tuple(slots))


_ROOT = _plan("Native", _tree(), _CHECKED)

#: What ``Json(...)`` of a source decodes into.
Native: type[msgspec.Struct] = _ROOT.record


class Inconsistent(ValueError):  # noqa: N818 - a verdict on an event
    """The event contradicts itself or the schema: ``code`` for counting, the text for a person."""

    def __init__(self, code: str, why: str) -> None:
        self.code = code
        super().__init__(why)


def check(record: Any) -> None:
    """Class, activity, category and type must exist and agree. Raises ``Inconsistent``."""
    known = CLASSES.get(record.class_uid)
    if known is None:
        raise Inconsistent("unknown-class", f"class_uid {record.class_uid} is no class of OCSF 1.8")
    activity = record.activity_id
    if activity not in known.activities:
        raise Inconsistent(
            "unknown-activity", f"activity_id {activity} is no activity of {known.caption} ({known.uid})"
        )
    if record.category_uid not in (None, known.category_uid):
        raise Inconsistent(
            "inconsistent", f"category_uid {record.category_uid}: {known.caption} is in {known.category_uid}"
        )
    wanted = known.uid * 100 + activity
    if record.type_uid not in (None, wanted):
        raise Inconsistent(
            "inconsistent", f"type_uid is {record.type_uid}, class_uid x 100 + activity_id is {wanted}"
        )


#: Category of OCSF whose classes are findings.
_FINDINGS = 2


def flatten(record: Any) -> Event:
    """Columns of a checked record. Raises ``Inconsistent`` if a time cannot be read."""
    event: dict[str, Any] = {}
    _fill(event, record, _ROOT)
    if event.get("time") is None and record.time_dt is not None:
        event["time"] = _time(record.time_dt)
    if event.get("class_uid", 0) // 1000 == _FINDINGS:
        # there it counts the steps of handling (1 New, 2 In Progress, ...): no success and no failure
        event.pop("status_id", None)
    return cast(Event, event)


def _fill(event: dict[str, Any], record: msgspec.Struct, plan: _Plan) -> None:
    slots = plan.slots
    for index, value in enumerate(msgspec.structs.astuple(record)):
        if value is None:
            continue
        how, column, child = slots[index]
        if how == "plain":
            event[column] = value
        elif child is not None:
            _nest(event, value, how, child)
        elif how != "checked":
            event[column] = _READ[how](value)


def _nest(event: dict[str, Any], value: Any, how: str, plan: _Plan) -> None:
    if how == "object":
        _fill(event, value, plan)
    elif how == "first":
        if value:
            _fill(event, value[0], plan)
    else:
        told = [dict[str, Any]() for _ in value]
        for row, element in zip(told, value, strict=True):
            _fill(row, element, plan)
        for slot in plan.slots:
            event[slot.column] = " ".join(row[slot.column] for row in told if row.get(slot.column)) or None


def _time(value: int | str) -> datetime:
    """OCSF ``timestamp_t`` is milliseconds since 1970 UTC, ``datetime_t`` RFC 3339."""
    try:
        if isinstance(value, int):
            return datetime.fromtimestamp(value / 1000, UTC)
        return msgspec.convert(value, datetime)
    except (ValueError, OverflowError, OSError) as error:
        raise Inconsistent("wrong-shape", f"{str(value)[:40]!r} is no time: {error}") from error


def _hash(values: list[Hash]) -> str | None:
    return next((h.value for h in values if h.algorithm_id == 3 or h.algorithm == "SHA-256"), None)


def _signature(value: Any) -> str | None:
    """OCSF ``digital_signature``: who signed, else its state, as one text."""
    if not isinstance(value, dict):
        return value if isinstance(value, str) else None
    certificate = value.get("certificate")
    signer = certificate.get("subject") if isinstance(certificate, dict) else None
    told = signer or value.get("state") or value.get("developer_uid")
    return told if isinstance(told, str) else None


_READ: dict[str, Any] = {"time": _time, "hash": _hash, "signature": _signature}
