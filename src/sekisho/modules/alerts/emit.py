"""Alert changes as OCSF events (class 2005 Incident Finding) for the journal: the platform's own audit."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sekisho.modules.alerts.models import Alert, Reason, State

_UPDATE, _CLOSE = 2, 3
_STATUS = {State.NEW: (1, "New"), State.ACKNOWLEDGED: (2, "In Progress"), State.CLOSED: (5, "Closed")}
_VERDICT = {
    Reason.FALSE_POSITIVE: (1, "False Positive"),
    Reason.TRUE_POSITIVE: (2, "True Positive"),
    Reason.BENIGN: (5, "Benign"),
    Reason.TEST: (6, "Test"),
    Reason.DUPLICATE: (10, "Duplicate"),
    Reason.WITHDRAWN: (3, "Disregard"),
}


def events(alert: Alert, *, action: str, by: str, note: str, now: datetime) -> list[dict[str, Any]]:
    """One event per change of state; the caller journals it. ``time`` is milliseconds since 1970 UTC."""
    state = State(alert.state)
    activity = _CLOSE if state is State.CLOSED else _UPDATE
    status_id, status = _STATUS[state]
    event: dict[str, Any] = {
        "class_uid": 2005,
        "category_uid": 2,
        "activity_id": activity,
        "type_uid": 200500 + activity,
        "time": int(now.timestamp() * 1000),
        "severity_id": alert.severity,
        "status_id": status_id,
        "status": status,
        "message": f"alert {alert.uid[:8]} {action} by {by}: {alert.title_en}",
        "comment": note,
        "assignee": {"name": by},
        "actor": {"user": {"name": by}},
        "finding_info_list": [
            {"uid": alert.uid, "title": alert.title_en, "analytic": {"uid": alert.rule, "type_id": 1}}
        ],
        "metadata": {
            "version": "1.8.0",
            "uid": f"{alert.uid}-{action}-{int(now.timestamp() * 1_000_000)}",
            "event_code": f"alert.{action}",
            "log_name": "alerts",
            "product": {"name": "Sekisho", "vendor_name": "Sekisho"},
        },
    }
    if alert.reason:
        event["verdict_id"], event["verdict"] = _VERDICT[Reason(alert.reason)]
    return [event]
