"""Is an event sound OCSF, as far as Sekisho's columns reach?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from sekisho.ocsf.classes import CLASSES

#: Objects that OCSF 1.8 requires of a class: of each group at least one must have a column filled.
#: Left out: ``metadata`` (always there) and ``privileges`` (no column).
REQUIRED: dict[int, tuple[tuple[str, ...], ...]] = {
    1001: (("actor",), ("device",), ("file",)),
    1006: (("device",), ("job",)),
    1007: (("actor",), ("device",), ("process",)),
    2004: (("finding_info",),),
    3001: (("user",),),
    # a session that ends may be all that is recorded of it
    3002: (("user", "session"), ("service", "dst_endpoint", "device")),
    3003: (("user",),),
    3004: (("entity",),),
    3005: (("user",),),
    3006: (("group",),),
    4001: (("src_endpoint", "dst_endpoint"),),
    4002: (("http_request", "http_response"),),
    4003: (("query", "answers"),),
    5001: (("device",),),
    6003: (("actor",), ("api",), ("src_endpoint",)),
}
_STATUS = {None, 0, 1, 2, 99}
_SEVERITY = {0, 1, 2, 3, 4, 5, 6, 99}
_RISKY = {"is_mfa", "actor_session_is_mfa"}


def problems(event: Mapping[str, Any]) -> list[str]:
    """Every problem of an event (columns by name), in words; empty if it is sound."""
    known = CLASSES.get(event.get("class_uid", -1))
    if known is None:
        return [f"class_uid {event.get('class_uid')} is no class of OCSF 1.8"]
    found: list[str] = []
    activity = event.get("activity_id")
    if activity not in known.activities:
        found.append(f"activity_id {activity} is no activity of {known.caption}")
    if activity == 99 and not event.get("activity_name"):
        found.append("activity_id is 99 Other without an activity_name")
    for name, wanted in (
        ("category_uid", known.category_uid),
        ("type_uid", known.uid * 100 + (activity or 0)),
    ):
        if event.get(name, wanted) != wanted:
            found.append(f"{name} is {event[name]}, {wanted} follows from class and activity")
    found += _values(event)
    for group in REQUIRED.get(known.uid, ()):
        if not any(_has(event, name) for name in group):
            found.append(f"{known.caption} needs {' or '.join(group)}, and no such column is filled")
    return found


def _values(event: Mapping[str, Any]) -> Iterable[str]:
    time = event.get("time")
    if not isinstance(time, datetime) or time.tzinfo is None:
        yield "time is absent or has no zone"
    if event.get("severity_id") not in _SEVERITY:
        yield f"severity_id {event.get('severity_id')} is none of OCSF's"
    if event.get("status_id") not in _STATUS:
        yield f"status_id {event.get('status_id')} is none of OCSF's"
    for name, value in event.items():
        if value == "":
            yield f"{name} is empty; what is not recorded is null"
        if name in _RISKY and value is not None and not isinstance(value, bool):
            yield f"{name} is neither true, false nor null"


def _has(event: Mapping[str, Any], name: str) -> bool:
    prefix = f"{name}_"
    return any(column.startswith(prefix) and value is not None for column, value in event.items())
