"""Changes of master data as OCSF events for the journal: the platform's own audit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sekisho.contract import Table
from sekisho.modules.ledger.models import Import
from sekisho.tabular import Plan, Value, show

_CREATE, _UPDATE, _DELETE, _DEACTIVATE = 1, 3, 4, 11


def imported(table: Table, record: Import, plan: Plan[int]) -> list[dict[str, Any]]:
    """One event for the file and one for each row that changed (class 3004 Entity Management)."""
    words = ("added", "changed", "closed", "withdrawn")
    counts = ", ".join(f"{getattr(record, word)} {word}" for word in words)
    events = [
        _event(
            table, record, _UPDATE, "imported", 0, table.name, f"{record.file} into {table.name}: {counts}"
        )
    ]
    groups = (
        ("added", _CREATE, plan.added),
        ("changed", _UPDATE, plan.changed),
        ("closed", _DEACTIVATE, plan.closed),
        ("withdrawn", _DELETE, plan.withdrawn),
    )
    for word, activity, changes in groups:
        for change in changes:
            before = change.before.values if change.before else None
            key = _key(table, change.after or before or {})
            event = _event(
                table, record, activity, word, len(events), key, f"{table.name} {key} {word} by {record.by}"
            )
            if before is not None:
                event["entity"]["data"] = _shown(table, before)
            if change.after is not None:
                event["entity_result"] = {
                    "name": key,
                    "type": table.name,
                    "data": _shown(table, change.after),
                }
            events.append(event)
    return events


def undone(table: Table, record: Import, last: Import) -> list[dict[str, Any]]:
    """One event: which import was taken back."""
    message = f"import of {last.file} into {table.name} of {last.at.isoformat()} undone by {record.by}"
    return [_event(table, record, _UPDATE, "undone", 0, table.name, message)]


def _event(
    table: Table, record: Import, activity: int, word: str, number: int, name: str, message: str
) -> dict[str, Any]:
    return {
        "class_uid": 3004,
        "category_uid": 3,
        "activity_id": activity,
        "type_uid": 300400 + activity,
        "time": int(record.at.timestamp() * 1000),
        "severity_id": 1,
        "status_id": 1,
        "status": "Success",
        "message": message,
        "comment": f"file SHA-256 {record.digest}",
        "actor": {"user": {"name": record.by}},
        "entity": {"name": name, "type": table.name},
        "metadata": {
            "version": "1.8.0",
            "uid": f"ledger-{record.pk}-{number}-{record.digest[:12]}",
            "event_code": f"{table.name}.{word}",
            "log_name": "ledger",
            "product": {"name": "Sekisho", "vendor_name": "Sekisho"},
        },
    }


def _key(table: Table, values: Mapping[str, Value]) -> str:
    return " ".join(show(values.get(name)) for name in table.key)


def _shown(table: Table, values: Mapping[str, Value]) -> dict[str, str]:
    """Hashed columns are left out: their hash would let a reader of the log test guesses offline."""
    return {
        name: show(value) for name, value in values.items() if value is not None and name not in table.hashed
    }
